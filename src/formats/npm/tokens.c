/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/npm/tokens.c: npm token list, create and revoke; npm profile get and set password. Of whoever
 * asks, whatever the repository: tokens are for all of them. What a token of ours can't be is refused, not
 * left out: nobody shall get more than he asked for. */
#include <string.h>

#include "pantera/api.h"
#include "pantera/limits.h"
#include "src/formats/npm/doc.h"
#include "src/formats/npm/npm.h"

/* --- npm token list --- */

/* An id as npm's "key": without its hyphens, since npm blots out whatever looks like a UUID. */
static const char *key_of(struct arena *a, const char *id)
{
    char *key = arena_strdup(a, id), *out = key;

    for (; *id; id++)
        if (*id != '-')
            *out++ = *id;
    *out = 0;
    return key;
}

/* And back: 8-4-4-4-12. */
static const char *id_of(struct arena *a, const char *key)
{
    return strlen(key) == 32 && !strchr(key, '-')
               ? arena_printf(a, "%.8s-%.4s-%.4s-%.4s-%s", key, key + 8, key + 12, key + 16, key + 20) : key;
}

/* "token": what npm shows of it, and compares with a token that it is given. Of a token that is stored
 * nowhere there is only its id. */
static json_t *token_described(struct arena *a, const json_t *t)
{
    const char *key = key_of(a, json_string_value(json_object_get(t, "id")));
    const char *label = json_string_value(json_object_get(t, "label"));
    const char *created = json_string_value(json_object_get(t, "created_at"));
    const char *expires = json_string_value(json_object_get(t, "expires_at"));

    return json_pack("{s:s, s:s%, s:s, s:s, s:s?, s:b, s:n}", "key", key, "token", key, strnlen(key, 8),
                     "name", label, "created", created, "expires", expires, "readonly", 0, "cidr_whitelist");
}

static void token_list_reply(struct http_request *req)
{
    json_t *tokens, *objects = json_array();
    const json_t *t;
    struct why why = { "" };
    enum err e = api_own_tokens(req, &tokens, &why);
    size_t i;

    if (e) {
        json_decref(objects);
        npm_fail(req, e, &why);
        return;
    }
    json_array_foreach (tokens, i, t)
        json_array_append_new(objects, token_described(&req->arena, t));
    json_decref(tokens);
    npm_reply(req, 200, json_pack("{s:o, s:I, s:{}}", "objects", objects, "total",
                                  (json_int_t)json_array_size(objects), "urls"));
}

/* --- npm token create --- */

static void on_created(struct http_request *req, enum err e, const struct why *why,
                       const struct token_order *token)
{
    char created[32], expires[32];

    if (e) {
        npm_refuse(req, e, why);
        return;
    }
    http_set_header(req, "Cache-Control", "no-store");
    npm_reply(req, 201, json_pack("{s:s, s:s, s:s, s:s, s:b, s:[]}", "token", token->token, "key",
                                  key_of(&req->arena, token->id),
                                  "created", npm_time_text(token->issued_ms, created), "expires",
                                  npm_time_text(token->expires_ms, expires), "readonly", 0,
                                  "cidr_whitelist"));
}

/* NULL: all that was asked for can be had. Else the name of what can't. */
static const char *limit_of(const json_t *body)
{
    static const char *const lists[] = { "cidr_whitelist", "packages", "scopes", "orgs" };
    static const char *const permissions[] = { "packages_and_scopes_permission", "orgs_permission" };

    if (json_is_true(json_object_get(body, "readonly")))
        return "readonly";
    for (unsigned i = 0; i < sizeof lists / sizeof *lists; i++)
        if (json_array_size(json_object_get(body, lists[i])))
            return lists[i];
    for (unsigned i = 0; i < sizeof permissions / sizeof *permissions; i++) {
        const char *value = json_string_value(json_object_get(body, permissions[i]));
        if (value && strcmp(value, "read-write"))
            return permissions[i];
    }
    return NULL;
}

static const char *label_of(struct http_request *req, const json_t *body)
{
    const char *name = json_string_value(json_object_get(body, "name"));

    if (!name || !*name)
        name = json_string_value(json_object_get(body, "token_description"));
    return name && *name ? arena_strdup(&req->arena, name) : "npm token";
}

static void on_create(struct http_request *req, char *data, size_t size, enum err e, void *arg)
{
    json_t *body = e ? NULL : json_loadb(data, size, 0, NULL);
    const char *password = json_string_value(json_object_get(body, "password")), *limit = limit_of(body);
    const json_t *days = json_object_get(body, "expires");
    const struct principal *p = req->principal;

    (void)arg;
    if (e)
        npm_fail(req, e, NULL);
    else if (!password || (days && !json_is_null(days) && json_integer_value(days) < 1))
        npm_fail_text(req, ERR_BAD_REQUEST, "expected {\"password\": text, \"expires\": days}");
    else if (strlen(label_of(req, body)) > 255)
        npm_fail_text(req, ERR_BAD_REQUEST, "a token's name has at most 255 bytes");
    else if (limit)
        npm_fail_text(req, ERR_BAD_REQUEST, "a token here can't be limited by '%s': it may what its user may",
                      limit);
    else
        api_sign_in(req, &(struct api_sign_in){
            .name = arena_strdup(&req->arena, p->name),
            .password = arena_strdup(&req->arena, password), .code = http_header(req, "npm-otp"),
            .label = label_of(req, body), .days = json_integer_value(days) }, on_created);
    json_decref(body);
}

/* --- npm token revoke --- */

static void on_revoked(struct http_request *req, enum err e, const struct why *why, json_t *result)
{
    (void)result;
    if (e)
        npm_fail(req, e, why);
    else
        npm_reply(req, 200, json_pack("{s:b}", "ok", 1));
}

static void not_allowed(struct http_request *req, const char *allow)
{
    http_set_header(req, "Allow", allow);
    npm_fail(req, ERR_METHOD, NULL);
}

void npm_tokens(struct http_request *req, const struct npm_path *path)
{
    const struct principal *p = req->principal;
    bool reads = req->method & (HTTP_M_GET | HTTP_M_HEAD);

    if (path->word && req->method != HTTP_M_DELETE)
        not_allowed(req, "DELETE");
    else if (!path->word && req->method == HTTP_M_DELETE)
        not_allowed(req, "GET, HEAD, POST");
    else if (path->word)
        api_propose_all(req, "token.revoke",
                        json_pack("{s:s, s:s, s:s}", "user", p->name, "id",
                                  id_of(&req->arena, path->word), "type", "api"), on_revoked);
    else if (reads)
        token_list_reply(req);
    else
        http_body_collect(req, KIB(64), on_create, NULL);
}

/* --- npm profile --- */

/* In npm's words: the second factor is asked for when somebody signs in, not when he publishes. */
static json_t *profile_described(const json_t *p)
{
    bool on = json_is_true(json_object_get(p, "second_factor"));
    bool pending = json_is_true(json_object_get(p, "second_factor_pending"));
    json_t *tfa = on || pending ? json_pack("{s:b, s:s}", "pending", pending, "mode", "auth-only")
                                : json_null();

    return json_pack("{s:O, s:O, s:b, s:O, s:O, s:o}", "name", json_object_get(p, "name"), "email",
                     json_object_get(p, "email"), "email_verified", 0, "created",
                     json_object_get(p, "created_at"), "updated", json_object_get(p, "updated_at"), "tfa",
                     tfa);
}

static void on_password(struct http_request *req, enum err e, const struct why *why)
{
    if (e)
        npm_refuse(req, e, why);
    else
        npm_reply(req, 200, json_object());
}

/* npm sends all that it read back, with one change. *ret: the first that is another now, or NULL. */
static const char *changed_of(const json_t *body, const json_t *profile)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)body, key, value)
        if (strcmp(key, "password") && !json_is_null(value) &&
            !json_equal(value, json_object_get(profile, key)))
            return key;
    return NULL;
}

static void profile_change(struct http_request *req, const json_t *body, const json_t *profile)
{
    const json_t *password = json_object_get(body, "password");
    const char *old = json_string_value(json_object_get(password, "old"));
    const char *next = json_string_value(json_object_get(password, "new"));
    const char *key = changed_of(body, profile);

    if (key && !strcmp(key, "tfa"))
        npm_fail_text(req, ERR_FORBIDDEN, "second factors are changed on the web page, not by npm");
    else if (key)
        npm_fail_text(req, ERR_FORBIDDEN, "'%.60s' of a profile can't be changed here: an administrator can",
                      key);
    else if (!old || !next)
        npm_fail_text(req, ERR_BAD_REQUEST, "expected {\"password\": {\"old\": text, \"new\": text}}");
    else
        api_own_password(req, arena_strdup(&req->arena, old), arena_strdup(&req->arena, next), on_password);
}

static void on_profile(struct http_request *req, char *data, size_t size, enum err e, void *arg)
{
    json_t *body = e ? NULL : json_loadb(data, size, 0, NULL), *profile = NULL;
    struct why why = { "" };

    (void)arg;
    if (!e)
        e = json_is_object(body) ? api_own_profile(req, &profile, &why)
                                 : fail(&why, ERR_BAD_REQUEST, "the body is not a JSON object");
    if (e)
        npm_fail(req, e, &why);
    else
        profile_change(req, body, profile);
    json_decref(profile);
    json_decref(body);
}

void npm_profile(struct http_request *req)
{
    json_t *profile;
    struct why why = { "" };
    enum err e;

    if (req->method == HTTP_M_POST) {
        http_body_collect(req, KIB(64), on_profile, NULL);
        return;
    }
    e = api_own_profile(req, &profile, &why);
    if (e) {
        npm_fail(req, e, &why);
        return;
    }
    npm_reply(req, 200, profile_described(profile));
    json_decref(profile);
}
