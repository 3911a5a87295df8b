/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/npm/account.c: signing in and out (npm login, npm logout), whoami, ping, and the questions
 * about advisories, to which a hosted repository has no answers of its own. */
#include <stdlib.h>
#include <string.h>

#include "pantera/api.h"
#include "pantera/limits.h"
#include "src/formats/npm/npm.h"

/* --- signing in: PUT /-/user/org.couchdb.user:<name> {"name", "password"} --- */

void npm_refuse(struct http_request *req, enum err e, const struct why *why)
{
    if (e != ERR_UNAUTHORIZED || http_reply_started(req)) {
        npm_fail(req, e, why);
        return;
    }
    /* npm asks for a one-time password and comes again with it in the header npm-otp. Else no challenge: npm
     * then shows the text, instead of guessing what was wrong. */
    if (why && strstr(why->text, "one-time"))
        http_set_header(req, "WWW-Authenticate", "OTP");
    npm_reply(req, 401, json_pack("{s:s}", "error", why_text(why, e)));
}

static void on_signed_in(struct http_request *req, enum err e, const struct why *why,
                         const struct token_order *token)
{
    if (e) {
        npm_refuse(req, e, why);
        return;
    }
    http_set_header(req, "Cache-Control", "no-store");
    npm_reply(req, 201,
              json_pack("{s:b, s:s, s:s}", "ok", 1, "id",
                        arena_printf(&req->arena, "org.couchdb.user:%s", req->user ? req->user : ""), "token",
                        token->token));
}

static void on_user(struct http_request *req, char *data, size_t size, enum err e, void *arg)
{
    const struct npm_path *path = arg;
    json_t *body = e ? NULL : json_loadb(data, size, 0, NULL);
    const char *name = json_string_value(json_object_get(body, "name"));
    const char *password = json_string_value(json_object_get(body, "password"));

    if (e)
        npm_fail(req, e, NULL);
    else if (!name || !password || strcmp(name, path->word))
        npm_fail_text(req, ERR_BAD_REQUEST, "expected {\"name\": text, \"password\": text}");
    else
        api_sign_in(req, &(struct api_sign_in){
            .name = arena_strdup(&req->arena, name), .password = arena_strdup(&req->arena, password),
            .code = http_header(req, "npm-otp"), .label = "npm login" }, on_signed_in);
    json_decref(body);
}

/* --- signing out: DELETE /-/user/token/<token>, by who holds it --- */

static void on_signed_out(struct http_request *req, enum err e, const struct why *why, json_t *result)
{
    (void)result;
    if (e)
        npm_fail(req, e, why);
    else
        npm_reply(req, 200, json_pack("{s:b}", "ok", 1));
}

/* The token itself never gets here: api/repository_port.c says whether it is the one that the request came
 * with. */
static void sign_out(struct http_request *req, const char *which)
{
    const struct principal *p = req->principal;

    if (p->via != TOKEN_API || strcmp(which, "self"))
        npm_fail_text(req, ERR_NOT_FOUND, "only the API token that a request comes with can be signed out");
    else
        api_propose_all(req, "token.revoke",
                        json_pack("{s:s, s:s, s:s}", "user", p->name, "id", p->token_id, "type", "api"),
                        on_signed_out);
}

/* --- advisories: a hosted repository knows of none --- */

static void audit_reply(struct http_request *req)
{
    static const char *const levels[] = { "info", "low", "moderate", "high", "critical" };
    json_t *counts = json_object();

    for (unsigned i = 0; i < sizeof levels / sizeof *levels; i++)
        json_object_set_new(counts, levels[i], json_integer(0));
    npm_reply(req, 200,
              json_pack("{s:[], s:{}, s:[], s:{s:o, s:i, s:i, s:i, s:i}}", "actions", "advisories", "muted",
                        "metadata", "vulnerabilities", counts, "dependencies", 0, "devDependencies", 0,
                        "optionalDependencies", 0, "totalDependencies", 0));
}

/* Nobody has to be known for asking how to become known. */
bool npm_anonymous(const struct http_request *req, const char *path)
{
    return (req->method == HTTP_M_PUT && !strncmp(path, "-/user/org.couchdb.user:", 24)) ||
           (req->method == HTTP_M_POST && !strcmp(path, "-/v1/login"));
}

/* npm owner add and rm ask for whom they are to add first. */
static void no_owners(struct http_request *req, const struct repo *repo)
{
    npm_fail_text(req, ERR_FORBIDDEN, "packages have no owners here: roles say who may publish to '%.100s'",
                  repo->name);
}

static unsigned methods_of(enum npm_what what)
{
    switch (what) {
    case NPM_USER: return HTTP_M_PUT | HTTP_M_GET;
    case NPM_TOKENS: return HTTP_M_GET | HTTP_M_HEAD | HTTP_M_POST | HTTP_M_DELETE;
    case NPM_PROFILE: return HTTP_M_GET | HTTP_M_HEAD | HTTP_M_POST;
    case NPM_TOKEN: return HTTP_M_DELETE;
    case NPM_AUDIT:
    case NPM_BULK:
    case NPM_WEB_LOGIN: return HTTP_M_POST;
    default: return HTTP_M_GET | HTTP_M_HEAD;
    }
}

static const char *allowed(struct http_request *req, unsigned methods)
{
    const char *list = NULL;

    for (unsigned m = 1; m && m <= methods; m <<= 1)
        if (methods & m)
            list = list ? arena_printf(&req->arena, "%s, %s", list, http_method_name((enum http_method)m))
                        : http_method_name((enum http_method)m);
    return list;
}

static void reading(struct http_request *req, const struct repo *repo, const struct npm_path *path)
{
    if (!may_repo(req->principal, repo->name, REPO_READ))
        npm_fail_text(req, ERR_FORBIDDEN, "no permission to read repository '%.100s'", repo->name);
    else if (path->what == NPM_SEARCH)
        npm_search(req, repo);
    else if ((path->what == NPM_AUDIT || path->what == NPM_BULK) && npm_forward(req, repo, path->whole))
        return;
    else if (path->what == NPM_AUDIT)
        audit_reply(req);
    else if (path->what == NPM_KEYS)
        npm_keys(req, repo);
    else if (path->what == NPM_BULK)
        npm_reply(req, 200, json_object());
    else if (path->what == NPM_ROOT)
        npm_reply(req, 200, json_pack("{s:s}", "db_name", repo->name));
    else
        npm_fail_text(req, ERR_NOT_FOUND, "'%.200s' not found", path->whole);
}

void npm_account(struct http_request *req, const struct repo *repo, const struct npm_path *path)
{
    const struct principal *p = req->principal;

    if (!(req->method & methods_of(path->what))) {
        http_set_header(req, "Allow", allowed(req, methods_of(path->what)));
        npm_fail(req, ERR_METHOD, NULL);
        return;
    }
    switch (path->what) {
    case NPM_USER:
        if (req->method == HTTP_M_GET)
            no_owners(req, repo);
        else
            http_body_collect(req, KIB(64), on_user, (void *)(uintptr_t)path);
        return;
    case NPM_WEB_LOGIN: /* npm then asks for name and password itself */
        npm_fail_text(req, ERR_NOT_FOUND, "there is no login in a browser here");
        return;
    case NPM_TOKEN:
        sign_out(req, path->word);
        return;
    case NPM_TOKENS:
        npm_tokens(req, path);
        return;
    case NPM_PROFILE:
        npm_profile(req);
        return;
    case NPM_WHOAMI:
        npm_reply(req, 200, json_pack("{s:s}", "username", p->name));
        return;
    case NPM_PING:
        npm_reply(req, 200, json_object());
        return;
    default:
        reading(req, repo, path);
    }
}
