/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on second factors and identities: a step and a code pass once, nobody takes a name over. */
#include "fx_meta.h"

#include "pantera/meta_mfa.h"
#include "pantera/meta_provider.h"
#include "pantera/meta_user.h"

static struct fx_meta fx;

static int open_it(void **state)
{
    fx_meta_open(&fx);
    assert_int_equal(fx_run(&fx, "role.put", json_pack("{s:s, s:{s:{}}, s:b, s:b}", "name", "admin",
                                                       "permissions", "all_permission", "create", 1,
                                                       "update", 1), NULL), OK);
    assert_int_equal(fx_run(&fx, "user.put", json_pack("{s:s, s:s, s:b, s:[s]}", "name", "joe", "password",
                                                       "h", "create", 1, "roles", "admin"), NULL), OK);
    return 0;
}

static int close_it(void **state)
{
    fx_meta_close(&fx);
    return 0;
}

static enum err use(const char *op, int64_t created_ms, int64_t step)
{
    return fx_run(&fx, op, json_pack("{s:s, s:I, s:I, s:[s]}", "user", "joe", "created_ms",
                                     (json_int_t)created_ms, "step", (json_int_t)step, "codes", "c1"), NULL);
}

static enum err enrol(struct mfa *ret)
{
    enum err e = fx_run(&fx, "mfa.enrol", json_pack("{s:s, s:s}", "user", "joe", "secret", "s"), NULL);
    return e ? e : mfa_get(fx.reader, &fx.arena, "joe", ret);
}

/* A step passes once, and no older one after it; not one that was checked against another enrolment. */
static void mfa_step_passes_once(void **state)
{
    struct mfa first, second;
    assert_int_equal(enrol(&first), OK);
    assert_false(mfa_required(fx.reader, "joe"));
    assert_int_equal(enrol(&second), OK);
    assert_int_not_equal(first.created_ms, second.created_ms);
    assert_int_equal(use("mfa.confirm", first.created_ms, 10), ERR_UNAUTHORIZED);
    assert_int_equal(use("mfa.confirm", second.created_ms, 10), OK);
    assert_true(mfa_required(fx.reader, "joe"));
    assert_int_equal(use("mfa.use", second.created_ms, 10), ERR_UNAUTHORIZED);
    assert_int_equal(use("mfa.use", second.created_ms, 9), ERR_UNAUTHORIZED);
    assert_int_equal(use("mfa.use", second.created_ms, 11), OK);
    assert_int_equal(use("mfa.use", second.created_ms, 11), ERR_UNAUTHORIZED);
    assert_int_equal(enrol(&second), ERR_CONFLICT);
}

static enum err backup(const char *user, const char *hash)
{
    return fx_run(&fx, "mfa.backup", json_pack("{s:s, s:s}", "user", user, "hash", hash), NULL);
}

static void mfa_backup_code_passes_once(void **state)
{
    struct mfa m;
    assert_int_equal(enrol(&m), OK);
    assert_int_equal(use("mfa.confirm", m.created_ms, 10), OK);
    assert_int_equal(backup("joe", "c2"), ERR_UNAUTHORIZED);
    assert_int_equal(backup("eve", "c1"), ERR_UNAUTHORIZED);
    assert_int_equal(backup("joe", "c1"), OK);
    assert_int_equal(backup("joe", "c1"), ERR_UNAUTHORIZED);
}

/* Whoever is given the name of a deleted user has neither the factor nor the identity of that one. */
static void mfa_ends_with_its_user(void **state)
{
    struct mfa m;
    assert_int_equal(fx_run(&fx, "user.put", json_pack("{s:s, s:s, s:b, s:[s]}", "name", "eve", "password",
                                                       "h", "create", 1, "roles", "admin"), NULL), OK);
    assert_int_equal(enrol(&m), OK);
    assert_int_equal(fx_run(&fx, "user.delete", json_pack("{s:s}", "name", "joe"), NULL), OK);
    assert_int_equal(mfa_get(fx.reader, &fx.arena, "joe", &m), ERR_NOT_FOUND);
    assert_int_equal(fx_int(&fx, "SELECT count(*) FROM user_mfa_code"), 0);
}

/* --- identities --- */

static int64_t provider(void)
{
    json_t *result = NULL;
    assert_int_equal(fx_run(&fx, "provider.create",
                            json_pack("{s:s, s:{s:s, s:s, s:s}}", "type", "oidc", "config", "issuer",
                                      "https://i", "client-id", "c", "client-secret", "very-secret"),
                            &result), OK);
    int64_t id = json_integer_value(json_object_get(result, "id"));
    json_decref(result);
    return id;
}

static enum err sign_in(const char *subject, const char *name, json_t *roles)
{
    return fx_run(&fx, "sso.sign_in",
                  json_pack("{s:s, s:s, s:s, s:s, s:o*}", "provider", "oidc", "issuer", "https://i",
                            "subject", subject, "name", name, "roles", roles), NULL);
}

static void sso_user_is_found_by_subject_and_never_by_name(void **state)
{
    struct user u;
    unsigned count;
    provider();
    assert_int_equal(sign_in("s1", "ann", json_pack("[s, s]", "admin", "nowhere")), OK);
    assert_int_equal(user_get(fx.reader, &fx.arena, "ann", &u, NULL), OK);
    assert_string_equal(u.provider, "oidc");
    assert_null(u.password);
    user_roles(fx.reader, &fx.arena, "ann", &count);
    assert_int_equal(count, 1);
    assert_int_equal(sign_in("s1", "renamed", NULL), OK); /* still ann, roles as they were */
    assert_int_equal(user_get(fx.reader, &fx.arena, "renamed", &u, NULL), ERR_NOT_FOUND);
    user_roles(fx.reader, &fx.arena, "ann", &count);
    assert_int_equal(count, 1);
    assert_int_equal(sign_in("s2", "ann", NULL), ERR_CONFLICT); /* another one who is called so now */
    assert_int_equal(sign_in("s2", "joe", NULL), ERR_CONFLICT); /* a local user */
    assert_int_equal(fx_run(&fx, "sso.link", json_pack("{s:s, s:s, s:s, s:s}", "name", "joe", "provider",
                                                       "oidc", "issuer", "https://i", "subject", "s2"),
                            NULL), OK);
    assert_int_equal(sign_in("s2", "joe", NULL), OK);
    assert_int_equal(fx_run(&fx, "user.enable", json_pack("{s:s, s:b}", "name", "ann", "enabled", 0), NULL),
                     OK);
    assert_int_equal(sign_in("s1", "ann", NULL), ERR_FORBIDDEN);
    assert_int_equal(sign_in("s9", "a/b", NULL), ERR_BAD_REQUEST);
}

/* A provider's groups may take roles away, but not the last administrator. */
static void sso_groups_leave_an_administrator(void **state)
{
    unsigned count;
    provider();
    assert_int_equal(sign_in("s1", "ann", json_pack("[s]", "admin")), OK);
    assert_int_equal(sign_in("s1", "ann", json_array()), OK);
    user_roles(fx.reader, &fx.arena, "ann", &count);
    assert_int_equal(count, 0);
    assert_int_equal(sign_in("s1", "ann", json_pack("[s]", "admin")), OK);
    assert_int_equal(fx_run(&fx, "user.delete", json_pack("{s:s}", "name", "joe"), NULL), OK);
    assert_int_equal(sign_in("s1", "ann", json_array()), OK);
    user_roles(fx.reader, &fx.arena, "ann", &count);
    assert_int_equal(count, 1);
}

/* One that was turned off, or taken away, while somebody was signing in vouches for nobody. */
static void sso_wants_an_enabled_provider(void **state)
{
    assert_int_equal(sign_in("s1", "ann", NULL), ERR_FORBIDDEN);
    json_int_t id = provider();
    assert_int_equal(sign_in("s1", "ann", NULL), OK);
    assert_int_equal(fx_run(&fx, "provider.enable", json_pack("{s:I, s:b}", "id", id, "enabled", 0), NULL),
                     OK);
    assert_int_equal(sign_in("s1", "ann", NULL), ERR_FORBIDDEN);
    assert_int_equal(sign_in("s2", "new", NULL), ERR_FORBIDDEN);
}

/* --- states and providers --- */

static enum err begin(const char *state, int64_t id)
{
    return fx_run(&fx, "sso.begin", json_pack("{s:s, s:I, s:s, s:s, s:s}", "state", state, "provider",
                                              (json_int_t)id, "callback", "u", "nonce", "n", "verifier", "v"),
                  NULL);
}

static enum err take(const char *state)
{
    return fx_run(&fx, "sso.take", json_pack("{s:s}", "state", state), NULL);
}

static void sso_state_is_taken_once_and_in_time(void **state)
{
    int64_t id = provider();
    assert_int_equal(begin("a", id), OK);
    assert_int_equal(begin("b", id), OK);
    assert_int_equal(take("c"), ERR_NOT_FOUND);
    assert_int_equal(take("a"), OK);
    assert_int_equal(take("a"), ERR_NOT_FOUND);
    fx.now_ms += SSO_STATE_MS;
    assert_int_equal(take("b"), ERR_NOT_FOUND);
    assert_int_equal(begin("d", id), OK);
    assert_int_equal(fx_int(&fx, "SELECT count(*) FROM sso_state"), 1); /* the expired one is swept */
}

static enum err configure(int64_t id, const char *issuer, const char *secret)
{
    return fx_run(&fx, "provider.config",
                  json_pack("{s:I, s:{s:s, s:s, s:s}}", "id", (json_int_t)id, "config", "issuer", issuer,
                            "client-id", "c", "client-secret", secret), NULL);
}

/* A masked secret stays, where it was; it is not sent to another issuer. Sealed in the row. */
static void provider_secret_stays_where_it_was_given_for(void **state)
{
    struct provider_row row;
    int64_t id = provider();
    assert_int_equal(provider_get(fx.reader, &fx.arena, "oidc", &row, NULL), OK);
    assert_null(strstr(row.config, "very-secret"));
    assert_int_equal(configure(id, "https://i/", "ve***et"), OK);
    assert_int_equal(configure(id, "https://evil", "ve***et"), ERR_BAD_REQUEST);
    assert_int_equal(configure(id, "https://i", "xx***xx"), ERR_BAD_REQUEST);
    assert_int_equal(configure(id, "https://evil", "another"), OK);
}

static void provider_local_stays(void **state)
{
    struct provider_row *rows;
    unsigned count;
    assert_int_equal(fx_run(&fx, "provider.delete", json_pack("{s:i}", "id", 1), NULL), ERR_BAD_REQUEST);
    assert_int_equal(fx_run(&fx, "provider.enable", json_pack("{s:i, s:b}", "id", 1, "enabled", 0), NULL),
                     ERR_BAD_REQUEST);
    assert_int_equal(fx_run(&fx, "provider.delete", json_pack("{s:i}", "id", 77), NULL), ERR_NOT_FOUND);
    int64_t id = provider();
    assert_int_equal(fx_run(&fx, "provider.create", json_pack("{s:s, s:{}, s:i}", "type", "okta", "config",
                                                              "priority", -5), NULL), OK);
    assert_int_equal(fx_run(&fx, "provider.create", json_pack("{s:s, s:{}}", "type", "okta", "config"),
                            NULL), ERR_CONFLICT);
    provider_list(fx.reader, &fx.arena, &rows, &count);
    assert_int_equal(count, 3);
    assert_string_equal(rows[0].type, "local");
    assert_string_equal(rows[1].type, "okta");
    assert_int_equal(fx_run(&fx, "provider.delete", json_pack("{s:I}", "id", (json_int_t)id), NULL), OK);
    assert_int_equal(provider_get(fx.reader, &fx.arena, "oidc", &rows[0], NULL), ERR_NOT_FOUND);
}

/* What a client can make grow is found by an index. */
static void queries_use_an_index(void **state)
{
    static const char *const queries[] = {
        "EXPLAIN QUERY PLAN SELECT state FROM sso_state WHERE expires_ms <= 5 ORDER BY expires_ms LIMIT 100",
        "EXPLAIN QUERY PLAN SELECT user FROM user_link WHERE issuer = 'a' AND subject = 'b'",
        "EXPLAIN QUERY PLAN DELETE FROM user_link WHERE user = 'a' AND provider = 'b'",
        "EXPLAIN QUERY PLAN DELETE FROM user_link WHERE user = 'a'",
        "EXPLAIN QUERY PLAN DELETE FROM user_mfa_code WHERE user = 'a'",
        "EXPLAIN QUERY PLAN SELECT count(*) FROM user_mfa_code WHERE user = 'a'",
    };
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        struct sql *q = sql_read(fx.reader, queries[i]);
        while (sql_row(q))
            assert_memory_equal(sql_str(q, 3, &fx.arena), "SEARCH", 6);
        sql_end(q);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_it, close_it)
    const struct CMUnitTest tests[] = {
        TEST(mfa_step_passes_once),
        TEST(mfa_backup_code_passes_once),
        TEST(mfa_ends_with_its_user),
        TEST(sso_user_is_found_by_subject_and_never_by_name),
        TEST(sso_groups_leave_an_administrator),
        TEST(sso_wants_an_enabled_provider),
        TEST(sso_state_is_taken_once_and_in_time),
        TEST(provider_secret_stays_where_it_was_given_for),
        TEST(provider_local_stays),
        TEST(queries_use_an_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
