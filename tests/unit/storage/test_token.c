/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on token rows: rotation, reuse, revocation, sweeping, caps. */
#include "fx_meta.h"

#include "pantera/meta_token.h"
#include "pantera/meta_user.h"

static struct fx_meta fx;
static int64_t epoch;

static int open_it(void **state)
{
    struct user user;
    fx_meta_open(&fx);
    assert_int_equal(fx_run(&fx, "user.put", json_pack("{s:s, s:s, s:b}", "name", "joe", "password", "h",
                                                       "create", 1), NULL), OK);
    assert_int_equal(user_get(fx.reader, &fx.arena, "joe", &user, NULL), OK);
    epoch = user.epoch_ms;
    return 0;
}

static int close_it(void **state)
{
    fx_meta_close(&fx);
    return 0;
}

static enum err add(const char *id, const char *type, int64_t expires_ms)
{
    return fx_run(&fx, "token.add",
                  json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I}", "user", "joe", "id", id, "type", type,
                            "family", "f1", "label", "l", "expires_ms", (json_int_t)expires_ms,
                            "epoch_ms", (json_int_t)epoch), NULL);
}

static enum err refresh(const char *id, const char *new_id, bool *ret_reused)
{
    json_t *result = NULL;
    enum err e = fx_run(&fx, "token.refresh",
                        json_pack("{s:s, s:s, s:s, s:I, s:I}", "user", "joe", "id", id, "new_id", new_id,
                                  "expires_ms", (json_int_t)9000000, "epoch_ms", (json_int_t)epoch),
                        &result);
    *ret_reused = json_is_true(json_object_get(result, "reused"));
    json_decref(result);
    return e;
}

static bool alive(const char *id)
{
    struct token t;
    return token_get(fx.reader, &fx.arena, "joe", id, &t, NULL) == OK && !t.revoked;
}

/* A refresh token pays once; the same call again (a retry of the same proposal) is not a reuse. */
static void token_refresh_rotates(void **state)
{
    bool reused;
    assert_int_equal(add("r1", "refresh", 9000000), OK);
    assert_int_equal(refresh("r1", "r2", &reused), OK);
    assert_false(reused);
    assert_false(alive("r1"));
    assert_true(alive("r2"));
    assert_int_equal(refresh("r1", "r2", &reused), OK);
    assert_false(reused);
    assert_true(alive("r2"));
    assert_int_equal(refresh("r2", "r3", &reused), OK);
    assert_true(alive("r3"));
}

/* Somebody who pays with a spent one has a copy: the whole family ends, and stays ended. */
static void token_reuse_ends_the_family(void **state)
{
    bool reused;
    assert_int_equal(add("r1", "refresh", 9000000), OK);
    assert_int_equal(refresh("r1", "r2", &reused), OK);
    assert_int_equal(refresh("r1", "x1", &reused), OK);
    assert_true(reused);
    assert_false(alive("r2"));
    assert_false(alive("x1"));
    assert_int_equal(refresh("r2", "x2", &reused), OK);
    assert_true(reused);
    assert_false(alive("x2"));
}

/* Unknown, expired, of another kind, of a user that was revoked or switched off: no. */
static void token_refresh_refuses(void **state)
{
    bool reused;
    assert_int_equal(refresh("nope", "x", &reused), ERR_UNAUTHORIZED);
    assert_int_equal(add("a1", "api", 9000000), OK);
    assert_int_equal(refresh("a1", "x", &reused), ERR_UNAUTHORIZED);
    assert_int_equal(add("r1", "refresh", fx.now_ms + 1), OK);
    assert_int_equal(refresh("r1", "x", &reused), ERR_UNAUTHORIZED);
    assert_int_equal(add("r2", "refresh", 9000000), OK);
    assert_int_equal(fx_run(&fx, "user.revoke", json_pack("{s:s}", "name", "joe"), NULL), OK);
    assert_int_equal(refresh("r2", "x", &reused), ERR_UNAUTHORIZED);
    assert_int_equal(add("late", "api", 9000000), ERR_UNAUTHORIZED); /* signed before, too late now */
}

/* Revoking counts what was alive: API and refresh, not expired, not revoked before. */
static void user_revoke_counts_tokens(void **state)
{
    json_t *result = NULL;
    assert_int_equal(add("a1", "api", 9000000), OK);
    assert_int_equal(add("a2", "api", 0), OK);
    assert_int_equal(add("a3", "api", fx.now_ms + 1), OK);
    assert_int_equal(add("r1", "refresh", 9000000), OK);
    assert_int_equal(fx_run(&fx, "token.revoke", json_pack("{s:s, s:s, s:s}", "user", "joe", "id", "a1",
                                                           "type", "api"), NULL), OK);
    assert_int_equal(fx_run(&fx, "user.revoke", json_pack("{s:s}", "name", "joe"), &result), OK);
    assert_int_equal(json_integer_value(json_object_get(result, "tokens_revoked")), 2);
    json_decref(result);
    assert_false(alive("a2"));
    assert_false(alive("r1"));
}

/* Only the owner's, only API tokens, once. An access token's revocation is a row. */
static void token_revoke_is_for_its_owner(void **state)
{
    struct token *tokens;
    unsigned count;
    assert_int_equal(add("a1", "api", 0), OK);
    assert_int_equal(add("a1", "api", 0), OK); /* a retry */
    assert_int_equal(add("r1", "refresh", 9000000), OK);
    token_list(fx.reader, &fx.arena, "joe", &tokens, &count);
    assert_int_equal(count, 1);
    assert_int_equal(tokens[0].expires_ms, 0);
    assert_int_equal(fx_run(&fx, "token.revoke", json_pack("{s:s, s:s, s:s}", "user", "ann", "id", "a1",
                                                           "type", "api"), NULL), ERR_NOT_FOUND);
    assert_int_equal(fx_run(&fx, "token.revoke", json_pack("{s:s, s:s, s:s}", "user", "joe", "id", "r1",
                                                           "type", "api"), NULL), ERR_NOT_FOUND);
    assert_int_equal(fx_run(&fx, "token.revoke", json_pack("{s:s, s:s, s:s}", "user", "joe", "id", "a1",
                                                           "type", "api"), NULL), OK);
    assert_int_equal(fx_run(&fx, "token.revoke", json_pack("{s:s, s:s, s:s}", "user", "joe", "id", "a1",
                                                           "type", "api"), NULL), ERR_NOT_FOUND);
    assert_int_equal(fx_run(&fx, "token.revoke", json_pack("{s:s, s:s, s:s, s:i}", "user", "joe", "id",
                                                           "c1", "type", "access", "expires_ms", 5000),
                            NULL), OK);
    token_list(fx.reader, &fx.arena, "joe", &tokens, &count);
    assert_int_equal(count, 0);
    assert_false(alive("c1"));
}

/* The sweep takes what is dead for good, and nothing else. */
static void token_sweep_takes_the_dead(void **state)
{
    assert_int_equal(add("gone", "api", fx.now_ms + 1), OK);
    assert_int_equal(add("stays", "api", 9000000), OK);
    assert_int_equal(add("forever", "api", 0), OK);
    fx.now_ms += 100;
    assert_true(token_sweep_due(fx.reader, fx.now_ms));
    assert_int_equal(fx_run(&fx, "token.sweep", json_pack("{s:i}", "limit", 10), NULL), OK);
    assert_false(token_sweep_due(fx.reader, fx.now_ms));
    assert_int_equal(fx_int(&fx, "SELECT count(*) FROM token"), 2);
    assert_true(alive("stays"));
    assert_true(alive("forever"));
}

/* One user can't fill the table: API tokens are refused, of sessions the oldest ends. */
static void tokens_of_a_user_are_bounded(void **state)
{
    char id[16];
    for (int i = 0; i < 1001; i++) {
        snprintf(id, sizeof id, "r%d", i);
        assert_int_equal(add(id, "refresh", 9000000), OK);
        snprintf(id, sizeof id, "a%d", i);
        assert_int_equal(add(id, "api", 0), i < 1000 ? OK : ERR_CONFLICT);
    }
    assert_int_equal(fx_int(&fx, "SELECT count(*) FROM token WHERE type = 'refresh'"), 1000);
    assert_false(alive("r0"));
    assert_true(alive("r1000"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_it, close_it)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(token_refresh_rotates), CASE(token_reuse_ends_the_family), CASE(token_refresh_refuses),
        CASE(user_revoke_counts_tokens), CASE(token_revoke_is_for_its_owner),
        CASE(token_sweep_takes_the_dead), CASE(tokens_of_a_user_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
