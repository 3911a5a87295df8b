/* SPDX-License-Identifier: Apache-2.0 */
/* Our endpoints over sockets: what every row promises, sessions, users, roles, no way up. */
#include "fx_api.h"

static struct fx_api *fx;
static const char *admin;

static int start(void **state)
{
    int rc = fx_api_start(state);
    fx = *state;
    admin = fx_sign_in(fx, "admin", FX_PASSWORD, NULL);
    return rc;
}

static const char *concrete(const char *pattern)
{
    char *path = arena_strdup(&fx->arena, pattern), *out = arena_alloc(&fx->arena, strlen(pattern) + 64);
    char *at = out;
    for (; *path; path++) {
        if (*path == ':') {
            *at++ = 'x';
            while (path[1] && path[1] != '/')
                path++;
        } else {
            *at++ = *path;
        }
    }
    return out;
}

/* Every row: 401 without credentials unless PUBLIC; 403 for a user who may nothing unless ANYONE. */
static void route_rows_keep_their_promise(void **state)
{
    const char *nobody = fx_user(fx, admin, "nobody", "{}");
    for (unsigned i = 0; i < api_routes_count; i++) {
        const struct api_route *r = &api_routes[i];
        const char *method = http_method_name((enum http_method)r->method);
        const char *target = concrete(r->pattern), *body = r->body_limit ? "{}" : NULL;
        struct fx_answer without = fx_ask(fx, fx->api_port, method, target, NULL, body);
        struct fx_answer with = fx_ask(fx, fx->api_port, method, target, nobody, body);
        assert_non_null(strstr(without.head, "Access-Control-Allow-Origin: *\r\n"));
        if (r->permission == PERM_PUBLIC) {
            assert_int_not_equal(with.status, 403);
            continue;
        }
        assert_int_equal(without.status, 401);
        assert_non_null(strstr(without.head, "WWW-Authenticate: Bearer"));
        if (r->permission != PERM_ANYONE) {
            if (with.status != 403)
                print_error("%s %s: %d\n", method, target, with.status);
            assert_int_equal(with.status, 403);
        }
    }
}

/* 404, 405 with Allow, 413 before the body, 400 for what is not an object; the seed's shape. */
static void request_errors_have_the_seeds_shape(void **state)
{
    json_t *json = fx_json(fx, 404, "GET", "/nope", NULL, NULL);
    assert_string_equal(json_string_value(json_object_get(json, "error")), "NOT_FOUND");
    assert_int_equal(json_integer_value(json_object_get(json, "status")), 404);
    assert_int_equal(json_object_size(json), 3);
    json_decref(json);
    struct fx_answer a = fx_ask(fx, fx->api_port, "PATCH", "/api/v1/users", NULL, NULL);
    assert_int_equal(a.status, 405);
    assert_non_null(strstr(a.head, "Allow: GET"));
    a = fx_ask(fx, fx->api_port, "OPTIONS", "/api/v1/users", NULL, NULL);
    assert_int_equal(a.status, 204);
    assert_non_null(strstr(a.head, "Access-Control-Max-Age: 3600"));
    assert_non_null(strstr(a.head, "Access-Control-Allow-Methods: GET, POST, PUT, DELETE"));
    char *huge = arena_alloc(&fx->arena, 20001);
    memset(huge, ' ', 20000);
    assert_int_equal(fx_status(fx, "POST", "/auth/token", NULL, huge), 413);
    static const char *const bad[] = { "", "[]", "{", "{\"name\":1,\"pass\":\"x\"}", "\"x\"",
                                       "{\"name\":\"a\",\"name\":\"b\",\"pass\":\"c\"}",
                                       "{\"name\":\"\xff\"}" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(fx_status(fx, "POST", "/auth/token", NULL, bad[i]), 400);
}

/* Type is enforced, rotation detects reuse, and a revoked session is over at once. */
static void session_rotates_and_ends(void **state)
{
    const char *refresh, *next;
    const char *bearer = fx_sign_in(fx, "admin", FX_PASSWORD, &refresh);
    assert_int_equal(fx_status(fx, "GET", "/auth/me", bearer, NULL), 200);
    assert_int_equal(fx_status(fx, "GET", "/auth/me", fx_bearer(fx, refresh), NULL), 401);
    assert_int_equal(fx_status(fx, "POST", "/auth/refresh", bearer, NULL), 401);
    json_t *json = fx_json(fx, 200, "POST", "/auth/refresh", fx_bearer(fx, refresh), NULL);
    next = fx_text(fx, json, "refresh_token");
    assert_int_equal(json_integer_value(json_object_get(json, "expires_in")), 3600);
    json_decref(json);
    const char *body = arena_printf(&fx->arena, "{\"refresh_token\":\"%s\"}", next);
    json = fx_json(fx, 200, "POST", "/auth/refresh", NULL, body);
    const char *last = fx_text(fx, json, "refresh_token");
    json_decref(json);
    assert_int_equal(fx_status(fx, "POST", "/auth/refresh", fx_bearer(fx, refresh), NULL), 401);
    assert_int_equal(fx_status(fx, "POST", "/auth/refresh", fx_bearer(fx, last), NULL), 401);

    /* A token that is issued right after a revocation works, however short the time between. */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fx_status(fx, "POST", "/admin/revoke-user/admin", bearer, NULL), 200);
        assert_int_equal(fx_status(fx, "GET", "/auth/me", bearer, NULL), 401);
        bearer = fx_sign_in(fx, "admin", FX_PASSWORD, NULL);
        assert_int_equal(fx_status(fx, "GET", "/auth/me", bearer, NULL), 200);
    }
    assert_int_equal(fx_status(fx, "POST", "/admin/revoke-user/nope", bearer, NULL), 404);
}

/* An API token: as Bearer, as Basic with its own user, not to make tokens with; gone when revoked. */
static void api_token_lives_until_revoked(void **state)
{
    json_t *json = fx_json(fx, 200, "POST", "/auth/token/generate", admin,
                           "{\"label\":\"ci\",\"expiry_days\":7}");
    const char *token = fx_text(fx, json, "token"), *id = fx_text(fx, json, "id");
    assert_string_equal(fx_text(fx, json, "label"), "ci");
    assert_true(json_is_false(json_object_get(json, "permanent")));
    assert_non_null(fx_text(fx, json, "expires_at"));
    json_decref(json);
    const char *path = arena_printf(&fx->arena, "/auth/tokens/%s", id);
    assert_int_equal(fx_status(fx, "GET", "/users", fx_bearer(fx, token), NULL), 200);
    assert_int_equal(fx_status(fx, "GET", "/users", fx_basic(fx, "admin", token), NULL), 200);
    assert_int_equal(fx_status(fx, "GET", "/users", fx_basic(fx, "other", token), NULL), 401);
    assert_int_equal(fx_status(fx, "POST", "/auth/token/generate", fx_bearer(fx, token), "{}"), 403);
    json = fx_json(fx, 200, "GET", "/auth/tokens", admin, NULL);
    assert_int_equal(json_array_size(json_object_get(json, "tokens")), 1);
    json_decref(json);
    const char *joe = fx_user(fx, admin, "joe", "{}");
    assert_int_equal(fx_status(fx, "DELETE", path, joe, NULL), 404); /* not the owner */
    assert_int_equal(fx_status(fx, "DELETE", path, admin, NULL), 204);
    assert_int_equal(fx_status(fx, "GET", "/users", fx_bearer(fx, token), NULL), 401);
    assert_int_equal(fx_status(fx, "GET", "/users", fx_basic(fx, "admin", token), NULL), 401);
    assert_int_equal(fx_status(fx, "DELETE", path, admin, NULL), 404);

    static const char *const bad[] = { "{\"expiry_days\":0}", "{\"expiry_days\":91}",
                                       "{\"expiry_days\":-1}", "{\"expiry_days\":\"1\"}",
                                       "{\"expiry_days\":1.5}", "{\"label\":1}" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(fx_status(fx, "POST", "/auth/token/generate", admin, bad[i]), 400);
    assert_int_equal(fx_status(fx, "PUT", "/admin/auth-settings", admin,
                               "{\"allow_permanent_tokens\":true}"), 200);
    json = fx_json(fx, 200, "POST", "/auth/token/generate", admin, "{\"expiry_days\":0}");
    assert_true(json_is_true(json_object_get(json, "permanent")));
    assert_null(json_object_get(json, "expires_at"));
    assert_int_equal(fx_status(fx, "GET", "/users", fx_bearer(fx, fx_text(fx, json, "token")), NULL), 200);
    json_decref(json);
}

/* What an operation changes holds in the very next request: nothing cached answers. */
static void changes_hold_at_once(void **state)
{
    const char *joe = fx_user(fx, admin, "joe", "{\"api_user_permissions\":[\"read\"]}");
    const char *basic = fx_basic(fx, "joe", FX_USER_PASSWORD);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(fx_status(fx, "GET", "/users", joe, NULL), 200);
        assert_int_equal(fx_status(fx, "GET", "/users", basic, NULL), 200);
        assert_int_equal(fx_status(fx, "POST", "/roles/joes/disable", admin, NULL), 200);
        assert_int_equal(fx_status(fx, "GET", "/users", joe, NULL), 403);
        assert_int_equal(fx_status(fx, "GET", "/users", basic, NULL), 403);
        assert_int_equal(fx_status(fx, "POST", "/roles/joes/enable", admin, NULL), 200);
    }
    assert_int_equal(fx_status(fx, "POST", "/users/joe/password", basic,
                               "{\"old_pass\":\"" FX_USER_PASSWORD "\",\"new_pass\":\"Other-pass-123\"}"),
                     200);
    assert_int_equal(fx_status(fx, "GET", "/users", basic, NULL), 401);
    basic = fx_basic(fx, "joe", "Other-pass-123");
    assert_int_equal(fx_status(fx, "GET", "/users", basic, NULL), 200);
    assert_int_equal(fx_status(fx, "POST", "/users/joe/disable", admin, NULL), 200);
    assert_int_equal(fx_status(fx, "GET", "/users", basic, NULL), 401);
    assert_int_equal(fx_status(fx, "GET", "/users", joe, NULL), 401);
    assert_int_equal(fx_status(fx, "POST", "/users/joe/enable", admin, NULL), 200);
    assert_int_equal(fx_status(fx, "GET", "/users", basic, NULL), 200);
    assert_int_equal(fx_status(fx, "GET", "/users", joe, NULL), 401); /* ended by disabling */
    assert_int_equal(fx_status(fx, "DELETE", "/users/joe", admin, NULL), 200);
    assert_int_equal(fx_status(fx, "GET", "/users", basic, NULL), 401);
    assert_int_equal(fx_status(fx, "DELETE", "/users/joe", admin, NULL), 404);
}

/* Who may manage users and roles can't make himself, or anybody, stronger than he is. */
static void nobody_climbs(void **state)
{
    const char *joe = fx_user(fx, admin, "joe", "{\"api_user_permissions\":[\"*\"],"
                                                "\"api_role_permissions\":[\"*\"]}");
    static const struct {
        const char *method, *path, *body;
    } tries[] = {
        { "PUT", "/users/joe", "{\"roles\":[\"admin\"]}" },
        { "PUT", "/users/new", "{\"pass\":\"Other-pass-123\",\"roles\":[\"reader\"]}" },
        { "PUT", "/users/admin", "{\"pass\":\"Other-pass-123\"}" },
        { "PUT", "/users/admin", "{\"roles\":[]}" },
        { "POST", "/users/admin/password", "{\"new_pass\":\"Other-pass-123\"}" },
        { "PUT", "/roles/joes", "{\"*\":[\"*\"]}" },
        { "PUT", "/roles/new", "{\"permissions\":{\"all_permission\":{}}}" },
        { "PUT", "/roles/new", "{\"maven\":[\"read\"]}" },
        { "PUT", "/roles/default/local", "{\"*\":[\"*\"]}" },
        { "PUT", "/roles/admin", "{}" },
        { "DELETE", "/users/admin", NULL }, { "POST", "/users/admin/disable", NULL },
        { "POST", "/users/admin/enable", NULL }, { "DELETE", "/roles/admin", NULL },
        { "POST", "/roles/admin/disable", NULL }, { "POST", "/admin/revoke-user/admin", NULL },
    };
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        int status = fx_status(fx, tries[i].method, tries[i].path, joe, tries[i].body);
        if (status != 403)
            print_error("%s %s %s: %d\n", tries[i].method, tries[i].path, tries[i].body, status);
        assert_int_equal(status, 403);
    }
    /* What he holds he may give. */
    assert_int_equal(fx_status(fx, "PUT", "/roles/mine", joe, "{\"api_user_permissions\":[\"read\"]}"), 201);
    assert_int_equal(fx_status(fx, "PUT", "/users/ann", joe,
                               "{\"pass\":\"Other-pass-123\",\"roles\":[\"mine\"]}"), 201);
    /* And with update alone nothing is created. */
    const char *editor = fx_user(fx, admin, "ed", "{\"api_user_permissions\":[\"update\"]}");
    assert_int_equal(fx_status(fx, "PUT", "/users/another", editor, "{\"pass\":\"Other-pass-123\"}"), 403);
    assert_int_equal(fx_status(fx, "PUT", "/users/ed", editor, "{\"email\":\"e@x\"}"), 201);
    assert_int_equal(fx_status(fx, "DELETE", "/users/admin", admin, NULL), 409);
    assert_int_equal(fx_status(fx, "POST", "/roles/admin/disable", admin, NULL), 409);
}

/* The server, not the console, holds back who must change the password. */
static void must_change_allows_only_the_change(void **state)
{
    assert_int_equal(fx_status(fx, "PUT", "/users/new", admin,
                               "{\"pass\":\"First-pass-123\",\"roles\":[\"admin\"],"
                               "\"must_change_password\":true}"), 201);
    const char *bearer = fx_sign_in(fx, "new", "First-pass-123", NULL);
    assert_int_equal(fx_status(fx, "GET", "/users", bearer, NULL), 403);
    assert_int_equal(fx_status(fx, "POST", "/users/admin/password", bearer,
                               "{\"new_pass\":\"Other-pass-123\"}"), 403);
    assert_int_equal(fx_ask(fx, fx->port, "GET", "/files/x", bearer, NULL).status, 403);
    json_t *me = fx_json(fx, 200, "GET", "/auth/me", bearer, NULL);
    assert_true(json_is_true(json_object_get(me, "must_change_password")));
    json_decref(me);
    assert_int_equal(fx_status(fx, "POST", "/users/new/password", bearer,
                               "{\"old_pass\":\"wrong\",\"new_pass\":\"Second-pass-123\"}"), 401);
    assert_int_equal(fx_status(fx, "POST", "/users/new/password", bearer,
                               "{\"old_pass\":\"First-pass-123\",\"new_pass\":\"weak\"}"), 400);
    assert_int_equal(fx_status(fx, "POST", "/users/new/password", bearer,
                               "{\"new_pass\":\"Second-pass-123\"}"), 401);
    assert_int_equal(fx_status(fx, "POST", "/users/new/password", bearer,
                               "{\"old_pass\":\"First-pass-123\",\"new_pass\":\"Second-pass-123\"}"), 200);
    assert_int_equal(fx_status(fx, "GET", "/users", bearer, NULL), 200);
}

/* Pages: nonsense is the default, too much is clamped, beyond the end is empty. */
static void pages_are_forgiving(void **state)
{
    static const struct {
        const char *query;
        int page, size, items;
    } asked[] = {
        { "", 0, 20, 2 }, { "?page=-1&size=1", 0, 1, 1 }, { "?page=x&size=0", 0, 20, 2 },
        { "?size=100000", 0, 100, 2 }, { "?page=7", 7, 20, 0 }, { "?size=-5", 0, 20, 2 },
        { "?page=99999999999999999999", 0, 20, 2 }, { "?q=READ", 0, 20, 1 },
    };
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        const char *path = arena_printf(&fx->arena, "/roles%s", asked[i].query);
        json_t *json = fx_json(fx, 200, "GET", path, admin, NULL);
        assert_int_equal(json_integer_value(json_object_get(json, "page")), asked[i].page);
        assert_int_equal(json_integer_value(json_object_get(json, "size")), asked[i].size);
        assert_int_equal(json_array_size(json_object_get(json, "items")), asked[i].items);
        assert_true(json_is_boolean(json_object_get(json, "hasMore")));
        json_decref(json);
    }
    json_t *json = fx_json(fx, 200, "GET", "/roles?sort=name&sort_dir=desc&size=1", admin, NULL);
    const json_t *first = json_array_get(json_object_get(json, "items"), 0);
    assert_string_equal(json_string_value(json_object_get(first, "name")), "reader");
    assert_true(json_is_true(json_object_get(json, "hasMore")));
    json_decref(json);
}

/* Eleven wrong passwords, then 429 with Retry-After; a proof that was verified before still counts. */
static void wrong_passwords_are_throttled(void **state)
{
    struct fx_answer a = { 0 };
    const char *right = fx_basic(fx, "admin", FX_PASSWORD);
    assert_int_equal(fx_status(fx, "GET", "/users", right, NULL), 200);
    for (int i = 0; i < 15 && a.status != 429; i++) {
        a = fx_ask(fx, fx->api_port, "GET", "/api/v1/users", fx_basic(fx, "admin", "nope"), NULL);
        assert_true(a.status == 401 || a.status == 429);
    }
    assert_int_equal(a.status, 429);
    assert_non_null(strstr(a.head, "Retry-After: "));
    assert_int_equal(fx_status(fx, "GET", "/users", right, NULL), 200);
}

/* The repository port: specials are public; names are told to nobody who is not known. */
static void repository_port_guards_names(void **state)
{
    assert_int_equal(fx_ask(fx, fx->port, "POST", "/.health", NULL, NULL).status, 200);
    assert_int_equal(fx_ask(fx, fx->port, "GET", "/.ready", NULL, NULL).status, 200);
    assert_int_equal(fx_ask(fx, fx->port, "GET", "/", NULL, NULL).status, 204);
    assert_non_null(strstr(fx_ask(fx, fx->port, "GET", "/.version", NULL, NULL).body, "[{\"version\":"));
    struct fx_answer a = fx_ask(fx, fx->port, "GET", "/nope/x", NULL, NULL);
    assert_int_equal(a.status, 401);
    assert_non_null(strstr(a.head, "WWW-Authenticate: Basic realm=\"pantera\"\r\n"));
    assert_non_null(strstr(a.head, "WWW-Authenticate: Bearer realm=\"pantera\"\r\n"));
    a = fx_ask(fx, fx->port, "GET", "/nope/x", admin, NULL);
    assert_int_equal(a.status, 404);
    assert_non_null(strstr(a.body, "Repository 'nope' not found"));

    const char *repo = "{\"repo\":{\"type\":\"file\",\"storage\":\"default\"}}";
    assert_int_equal(fx_status(fx, "PUT", "/repositories/files", admin, repo), 200);
    assert_int_equal(fx_ask(fx, fx->port, "PUT", "/files/a/b", admin, "hello").status, 201);
    static const char *const ways[] = { "/files/a/b", "/api/files/a/b", "/api/storage/files/a/b" };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        a = fx_ask(fx, fx->port, "GET", ways[i], admin, NULL);
        assert_int_equal(a.status, 200);
        assert_string_equal(a.body, "hello");
    }
    const char *joe = fx_user(fx, admin, "joe", "{}");
    /* Whoever may do nothing with it doesn't learn that it is there. */
    a = fx_ask(fx, fx->port, "GET", "/files/a/b", joe, NULL);
    assert_int_equal(a.status, 404);
    assert_non_null(strstr(a.body, "Repository 'files' not found"));
    assert_int_equal(fx_ask(fx, fx->port, "PUT", "/files/a/b", joe, "x").status, 404);
    const char *writer = fx_user(fx, admin, "writer", "{\"files\":[\"write\"]}");
    assert_int_equal(fx_ask(fx, fx->port, "GET", "/files/a/b", writer, NULL).status, 403);
    assert_int_equal(fx_ask(fx, fx->port, "PUT", "/files/a/c", writer, "x").status, 201);
    assert_int_equal(fx_ask(fx, fx->port, "GET", "/files/../files/a/b", admin, NULL).status, 400);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, fx_api_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(route_rows_keep_their_promise), CASE(request_errors_have_the_seeds_shape),
        CASE(session_rotates_and_ends), CASE(api_token_lives_until_revoked),
        CASE(changes_hold_at_once), CASE(nobody_climbs), CASE(must_change_allows_only_the_change),
        CASE(pages_are_forgiving), CASE(repository_port_guards_names),
        CASE(wrong_passwords_are_throttled), /* last: its address is throttled then */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
