/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker keeps about users, on a real replica: valid while its generations stand, bounded. */
#include "unit/storage/fx_meta.h"

#include "pantera/gen.h"
#include "pantera/text.h"
#include "src/auth/internal.h"

static struct fx_meta fx;
static struct auth *auth;

static int open_it(void **state)
{
    fx_meta_open(&fx);
    auth = auth_new(&(struct auth_options){ .reader = fx.reader });
    assert_int_equal(fx_run(&fx, "role.put", json_pack("{s:s, s:{s:[s]}, s:b}", "name", "r", "permissions",
                                                       "maven", "read", "create", 1), NULL), OK);
    assert_int_equal(fx_run(&fx, "user.put", json_pack("{s:s, s:s, s:[s], s:b}", "name", "joe", "password",
                                                       "h", "roles", "r", "create", 1), NULL), OK);
    return 0;
}

static int close_it(void **state)
{
    auth_free(auth);
    fx_meta_close(&fx);
    return 0;
}

static bool reads_maven(const struct identity *i)
{
    struct principal p = { .name = i->name, .grants = i->grants };
    return may_repo(&p, "maven", REPO_READ);
}

/* The same while nothing changed; read again as soon as a stamp moved, and not for another's. */
static void identity_stands_with_its_generations(void **state)
{
    struct identity *first = identity_get(auth, "joe"), *again = identity_get(auth, "joe"), *other;
    assert_ptr_equal(first, again);
    assert_true(first->exists && first->enabled && reads_maven(first));
    identity_unref(again);
    gen_bump(GEN_USER, hash_text("ann"));
    assert_true(identity_stands(first));
    gen_bump(GEN_USER, hash_text("joe"));
    assert_false(identity_stands(first));
    again = identity_get(auth, "joe");
    assert_ptr_not_equal(first, again);
    assert_true(reads_maven(first)); /* whoever holds the old one may still look at it */
    gen_bump(GEN_POLICY, 0);
    assert_false(identity_stands(again));
    other = identity_get(auth, "nobody");
    assert_false(other->exists);
    identity_unref(first);
    identity_unref(again);
    identity_unref(other);
}

/* Committing an operation bumps what it touched: the next look sees it. */
static void identity_follows_operations(void **state)
{
    struct identity *i = identity_get(auth, "joe");
    assert_true(reads_maven(i));
    identity_unref(i);
    assert_int_equal(fx_run(&fx, "role.put", json_pack("{s:s, s:{s:[s]}, s:b}", "name", "r", "permissions",
                                                       "npm", "read", "update", 1), NULL), OK);
    i = identity_get(auth, "joe");
    assert_false(reads_maven(i));
    identity_unref(i);
    assert_int_equal(fx_run(&fx, "user.enable", json_pack("{s:s, s:b}", "name", "joe", "enabled", 0), NULL),
                     OK);
    i = identity_get(auth, "joe");
    assert_false(i->enabled);
    identity_unref(i);
    assert_int_equal(fx_run(&fx, "user.put", json_pack("{s:s, s:[], s:b}", "name", "joe", "roles", "update",
                                                       1), NULL), OK);
    assert_int_equal(fx_run(&fx, "user.delete", json_pack("{s:s}", "name", "joe"), NULL), OK);
    i = identity_get(auth, "joe");
    assert_false(i->exists);
    identity_unref(i);
    /* A token's row is the user's too. */
    assert_int_equal(fx_run(&fx, "user.put", json_pack("{s:s, s:s, s:b}", "name", "ann", "password", "h",
                                                       "create", 1), NULL), OK);
    i = identity_get(auth, "ann");
    assert_int_equal(fx_run(&fx, "token.revoke", json_pack("{s:s, s:s, s:s, s:i}", "user", "ann", "id", "t",
                                                           "type", "access", "expires_ms", 99999), NULL),
                     OK);
    assert_false(identity_stands(i));
    identity_unref(i);
}

/* The table of proofs is bounded, keeps what is used, and never frees what somebody holds. */
static void credential_table_is_bounded(void **state)
{
    unsigned char key[32] = { 0 };
    struct credential *held = credential_new("joe", "local", "id", NULL);
    memcpy(held->key, key, 32);
    credential_keep(auth, held);
    assert_ptr_equal(credential_find(auth, key), held);
    for (unsigned i = 1; i <= 100; i++) { /* all into the same set */
        unsigned char other[32] = { 0 };
        struct credential *c = credential_new("x", "local", NULL, NULL);
        memcpy(other + 8, &i, sizeof i);
        memcpy(c->key, other, 32);
        credential_keep(auth, c);
        credential_unref(c);
        assert_non_null(credential_find(auth, other));
        if (i < 50)
            assert_ptr_equal(credential_find(auth, key), held); /* in use: it stays */
    }
    assert_null(credential_find(auth, key)); /* not used any more: it went */
    assert_string_equal(held->principal.name, "joe");
    assert_string_equal(held->principal.token_id, "id");
    credential_unref(held);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_it, close_it)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(identity_stands_with_its_generations), CASE(identity_follows_operations),
        CASE(credential_table_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
