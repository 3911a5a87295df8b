/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on users and roles, and the first start, on a real replica. */
#include "fx_meta.h"

#include "pantera/meta_alias.h"
#include "pantera/meta_role.h"
#include "pantera/meta_setting.h"
#include "pantera/meta_signing_key.h"
#include "pantera/meta_user.h"

static struct fx_meta fx;

static json_t *bootstrap_args(void)
{
    return json_pack("{s:s, s:s, s:{s:s, s:s, s:s}, s:{s:s, s:s, s:{s:s, s:s, s:s}}, s:[s]}", "admin",
                     "admin", "password", "argon", "signing_key", "kid", "k1", "private", "sealed",
                     "public", "pem", "storage", "type", "s3", "bucket", "b", "credentials", "type",
                     "basic", "accessKeyId", "id", "secretAccessKey", "topsecret", "prefixes", "pre");
}

static int open_founded(void **state)
{
    fx_meta_open(&fx);
    assert_int_equal(fx_run(&fx, "system.bootstrap", bootstrap_args(), NULL), OK);
    return 0;
}

static int close_it(void **state)
{
    fx_meta_close(&fx);
    return 0;
}

/* args of user.put by somebody who may both */
static json_t *put_args(const char *name, const char *password)
{
    json_t *args = json_pack("{s:s, s:b, s:b}", "name", name, "create", 1, "update", 1);
    if (password)
        json_object_set_new(args, "password", json_string(password));
    return args;
}

static json_t *with_roles(json_t *args, json_t *roles)
{
    json_object_set_new(args, "roles", roles);
    return args;
}

static json_t *named(const char *name)
{
    return json_pack("{s:s}", "name", name);
}

static json_t *enabled(const char *name, bool on)
{
    return json_pack("{s:s, s:b}", "name", name, "enabled", on);
}

static struct user get(const char *name)
{
    struct user user = { 0 };
    assert_int_equal(user_get(fx.reader, &fx.arena, name, &user, NULL), OK);
    return user;
}

/* The first start makes everything once; a second one changes nothing. No secret is in clear. */
static void bootstrap_founds_once(void **state)
{
    struct signing_key *keys;
    struct role role;
    struct alias_row alias;
    unsigned count;
    json_t *result = NULL;
    assert_true(signing_key_exists(fx.reader));
    signing_key_list(fx.reader, &fx.arena, &keys, &count);
    assert_int_equal(count, 1);
    assert_string_equal(keys[0].kid, "k1");
    assert_true(keys[0].active);
    assert_false(get("admin").must_change);
    assert_string_equal(user_roles(fx.reader, &fx.arena, "admin", &count)[0], "admin");
    assert_int_equal(role_get(fx.reader, &fx.arena, "admin", &role, NULL), OK);
    assert_string_equal(role.permissions, "{\"*\":[\"*\"]}");
    assert_int_equal(role_get(fx.reader, &fx.arena, "reader", &role, NULL), OK);
    assert_int_equal(alias_get(fx.reader, &fx.arena, 0, "default", &alias), OK);
    assert_null(strstr(alias.config, "topsecret"));
    json_t *prefixes = setting_get(fx.reader, "prefixes");
    assert_string_equal(json_string_value(json_array_get(prefixes, 0)), "pre");
    json_decref(prefixes);

    json_t *again = bootstrap_args();
    json_object_set_new(again, "admin", json_string("other"));
    assert_int_equal(fx_run(&fx, "system.bootstrap", again, &result), OK);
    assert_true(json_is_false(json_object_get(result, "founded")));
    json_decref(result);
    assert_int_equal(user_get(fx.reader, &fx.arena, "other", &(struct user){ 0 }, NULL), ERR_NOT_FOUND);
}

/* Put makes, then changes only what it was given. */
static void user_put_creates_then_updates(void **state)
{
    json_t *args = with_roles(put_args("joe", "h1"), json_pack("[s]", "reader")), *result = NULL;
    unsigned count;
    json_object_set_new(args, "email", json_string("joe@x"));
    assert_int_equal(fx_run(&fx, "user.put", args, &result), OK);
    assert_true(json_is_true(json_object_get(result, "created")));
    json_decref(result);
    struct user first = get("joe");
    assert_int_equal(fx_run(&fx, "user.put", put_args("joe", "h2"), &result), OK);
    assert_true(json_is_false(json_object_get(result, "created")));
    json_decref(result);
    struct user second = get("joe");
    assert_string_equal(second.password, "h2");
    assert_string_equal(second.email, "joe@x");
    assert_int_equal(second.version, first.version + 1);
    assert_int_equal(second.epoch_ms, first.epoch_ms);
    assert_string_equal(user_roles(fx.reader, &fx.arena, "joe", &count)[0], "reader");
    assert_int_equal(fx_run(&fx, "user.put", with_roles(put_args("joe", NULL), json_array()), NULL), OK);
    user_roles(fx.reader, &fx.arena, "joe", &count);
    assert_int_equal(count, 0);
    assert_string_equal(get("joe").password, "h2");
}

/* Whether it is a create or an update is only known here: so is whether the caller may. */
static void user_put_asks_for_the_right_permission(void **state)
{
    json_t *create = json_pack("{s:s, s:s, s:b}", "name", "joe", "password", "h", "update", 1);
    json_t *update = json_pack("{s:s, s:s, s:b}", "name", "admin", "password", "h", "create", 1);
    assert_int_equal(fx_run(&fx, "user.put", create, NULL), ERR_FORBIDDEN);
    assert_int_equal(fx_run(&fx, "user.put", update, NULL), ERR_FORBIDDEN);
    assert_int_equal(fx_run(&fx, "user.put", with_roles(put_args("joe", "h"), json_pack("[s]", "nope")),
                            NULL), ERR_BAD_REQUEST);
    assert_int_equal(user_get(fx.reader, &fx.arena, "joe", &(struct user){ 0 }, NULL), ERR_NOT_FOUND);
    assert_int_equal(fx_run(&fx, "user.put", put_args("a/b", "h"), NULL), ERR_BAD_REQUEST);
}

/* An enabled user with an enabled role that grants everything remains, whichever way it is tried. */
static void last_admin_remains(void **state)
{
    json_t *less = json_pack("{s:s, s:{s:[s]}, s:b}", "name", "admin", "permissions", "*", "read",
                             "update", 1);
    assert_int_equal(fx_run(&fx, "user.delete", named("admin"), NULL), ERR_CONFLICT);
    assert_int_equal(fx_run(&fx, "user.enable", enabled("admin", false), NULL), ERR_CONFLICT);
    assert_int_equal(fx_run(&fx, "user.put", with_roles(put_args("admin", NULL), json_pack("[s]", "reader")),
                            NULL), ERR_CONFLICT);
    assert_int_equal(fx_run(&fx, "role.delete", named("admin"), NULL), ERR_CONFLICT);
    assert_int_equal(fx_run(&fx, "role.enable", enabled("admin", false), NULL), ERR_CONFLICT);
    assert_int_equal(fx_run(&fx, "role.put", less, NULL), ERR_CONFLICT);
    assert_true(get("admin").enabled);

    /* With a second one, by a role of the other shape, the first may go; then that one is the last. */
    assert_int_equal(fx_run(&fx, "role.put", json_pack("{s:s, s:{s:{}}, s:b}", "name", "root",
                                                       "permissions", "all_permission", "create", 1),
                            NULL), OK);
    assert_int_equal(fx_run(&fx, "user.put", with_roles(put_args("ann", "h"), json_pack("[s]", "root")),
                            NULL), OK);
    assert_int_equal(fx_run(&fx, "user.delete", named("admin"), NULL), OK);
    assert_int_equal(fx_run(&fx, "user.enable", enabled("ann", false), NULL), ERR_CONFLICT);
}

/* Deleting takes roles and tokens along: the name, made again, has nothing of the old. */
static void user_delete_leaves_nothing(void **state)
{
    unsigned count;
    assert_int_equal(fx_run(&fx, "user.delete", named("nope"), NULL), ERR_NOT_FOUND);
    assert_int_equal(fx_run(&fx, "user.put", with_roles(put_args("joe", "h"), json_pack("[s]", "reader")),
                            NULL), OK);
    struct user old = get("joe");
    assert_int_equal(fx_run(&fx, "token.add",
                            json_pack("{s:s, s:s, s:s, s:I}", "user", "joe", "id", "t1", "type", "api",
                                      "epoch_ms", (json_int_t)old.epoch_ms), NULL), OK);
    assert_int_equal(fx_run(&fx, "user.delete", named("joe"), NULL), OK);
    assert_int_equal(fx_run(&fx, "user.put", put_args("joe", "h"), NULL), OK);
    user_roles(fx.reader, &fx.arena, "joe", &count);
    assert_int_equal(count, 0);
    assert_int_equal(fx_int(&fx, "SELECT count(*) FROM token WHERE user = 'joe'"), 0);
    assert_true(get("joe").epoch_ms != old.epoch_ms);
}

/* Each revocation is a new epoch, even if the leader's clock stands or goes back. */
static void user_revoke_moves_the_epoch(void **state)
{
    json_t *result = NULL;
    int64_t before = get("admin").epoch_ms;
    fx.now_ms = 10;
    assert_int_equal(fx_run(&fx, "user.revoke", named("admin"), &result), OK);
    assert_int_equal(json_integer_value(json_object_get(result, "tokens_revoked")), 0);
    json_decref(result);
    assert_true(get("admin").epoch_ms > before);
    before = get("admin").epoch_ms;
    assert_int_equal(fx_run(&fx, "user.revoke", named("admin"), NULL), OK);
    assert_true(get("admin").epoch_ms > before);
    assert_int_equal(fx_run(&fx, "user.revoke", named("nope"), NULL), ERR_NOT_FOUND);
}

/* Disabling ends what was issued; enabling does not bring it back. */
static void user_disable_ends_tokens(void **state)
{
    assert_int_equal(fx_run(&fx, "user.put", put_args("joe", "h"), NULL), OK);
    int64_t before = get("joe").epoch_ms;
    assert_int_equal(fx_run(&fx, "user.enable", enabled("joe", false), NULL), OK);
    assert_false(get("joe").enabled);
    assert_int_equal(fx_run(&fx, "user.enable", enabled("joe", true), NULL), OK);
    assert_true(get("joe").enabled);
    assert_true(get("joe").epoch_ms > before);
    assert_int_equal(fx_run(&fx, "user.enable", enabled("nope", true), NULL), ERR_NOT_FOUND);
}

/* The old password was verified elsewhere: here it must still be the one. */
static void user_password_checks_what_was_verified(void **state)
{
    json_t *must = put_args("joe", "h1");
    json_object_set_new(must, "must_change", json_true());
    assert_int_equal(fx_run(&fx, "user.put", must, NULL), OK);
    assert_true(get("joe").must_change);
    assert_int_equal(fx_run(&fx, "user.password", json_pack("{s:s, s:s, s:s}", "name", "joe", "password",
                                                            "h2", "old", "stale"), NULL),
                     ERR_UNAUTHORIZED);
    for (int i = 0; i < 2; i++) /* twice: a retry */
        assert_int_equal(fx_run(&fx, "user.password", json_pack("{s:s, s:s, s:s}", "name", "joe",
                                                                "password", "h2", "old", "h1"), NULL),
                         OK);
    assert_string_equal(get("joe").password, "h2");
    assert_false(get("joe").must_change);
}

/* Search is by characters, not by LIKE's signs; order and pages are as asked. */
static void user_list_searches_and_sorts(void **state)
{
    struct user *users;
    unsigned count;
    int64_t total;
    static const char *const names[] = { "bob", "al_ice", "carl" };
    for (int i = 0; i < 3; i++) {
        json_t *args = put_args(names[i], "h");
        json_object_set_new(args, "email", json_string(i == 1 ? "z@X" : i ? "m@x" : "a@x"));
        assert_int_equal(fx_run(&fx, "user.put", args, NULL), OK);
    }
    struct user_query q = { .limit = 10 };
    user_list(fx.reader, &fx.arena, &q, &users, &count, &total);
    assert_int_equal(total, 4);
    assert_string_equal(users[0].name, "admin");
    q.sort = USER_BY_EMAIL;
    q.descending = true;
    user_list(fx.reader, &fx.arena, &q, &users, &count, &total);
    assert_string_equal(users[0].name, "al_ice");
    assert_string_equal(users[3].name, "admin"); /* without one */
    q = (struct user_query){ .q = "_", .limit = 10 };
    user_list(fx.reader, &fx.arena, &q, &users, &count, &total);
    assert_int_equal(total, 1);
    q = (struct user_query){ .q = "@x", .limit = 2, .offset = 2 };
    user_list(fx.reader, &fx.arena, &q, &users, &count, &total);
    assert_int_equal(total, 3);
    assert_int_equal(count, 1);
    assert_string_equal(users[0].name, "carl");
    q.offset = 1000;
    user_list(fx.reader, &fx.arena, &q, &users, &count, &total);
    assert_int_equal(total, 3);
    assert_int_equal(count, 0);
}

/* A user's roles: enabled ones only, and the provider's own. */
static void role_list_of_user_takes_enabled_ones(void **state)
{
    struct role *roles;
    unsigned count;
    assert_int_equal(fx_run(&fx, "role.put", json_pack("{s:s, s:{s:[s]}, s:b}", "name", "default/local",
                                                       "permissions", "pub", "read", "create", 1), NULL),
                     OK);
    assert_int_equal(fx_run(&fx, "role.put", json_pack("{s:s, s:{s:[s]}, s:b}", "name", "a/b",
                                                       "permissions", "pub", "read", "create", 1), NULL),
                     ERR_BAD_REQUEST);
    assert_int_equal(fx_run(&fx, "user.put", with_roles(put_args("joe", "h"), json_pack("[s]", "reader")),
                            NULL), OK);
    role_list_of_user(fx.reader, &fx.arena, "joe", "local", &roles, &count);
    assert_int_equal(count, 2);
    role_list_of_user(fx.reader, &fx.arena, "joe", "okta", &roles, &count);
    assert_int_equal(count, 1);
    assert_int_equal(fx_run(&fx, "role.enable", enabled("reader", false), NULL), OK);
    role_list_of_user(fx.reader, &fx.arena, "joe", "local", &roles, &count);
    assert_int_equal(count, 1);
    assert_string_equal(roles[0].name, "default/local");
    assert_int_equal(fx_run(&fx, "role.enable", enabled("nope", true), NULL), ERR_NOT_FOUND);
    assert_int_equal(fx_run(&fx, "role.delete", named("nope"), NULL), ERR_NOT_FOUND);
    assert_int_equal(fx_run(&fx, "role.delete", named("reader"), NULL), OK);
    assert_int_equal(fx_int(&fx, "SELECT count(*) FROM user_role WHERE role = 'reader'"), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_founded, close_it)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(bootstrap_founds_once), CASE(user_put_creates_then_updates),
        CASE(user_put_asks_for_the_right_permission), CASE(last_admin_remains),
        CASE(user_delete_leaves_nothing), CASE(user_revoke_moves_the_epoch),
        CASE(user_disable_ends_tokens), CASE(user_password_checks_what_was_verified),
        CASE(user_list_searches_and_sorts), CASE(role_list_of_user_takes_enabled_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
