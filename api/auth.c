/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions and API tokens. Tokens are signed first (auth), then their row is proposed; the answer comes
 * when the row is everywhere. */
#include <stdio.h>
#include <string.h>

#include "api/internal.h"
#include "api/sign_in.h"
#include "pantera/clock.h"
#include "pantera/ids.h"
#include "pantera/meta_user.h"
#include "pantera/text.h"

enum { ACCESS, REFRESH };
#define DAY_MS (24ll * 3600 * 1000)

/* What a request carries between its steps; req->context. */
struct session {
    const struct principal *principal;
    const struct principal *spent; /* the refresh token that pays, or NULL: a new session */
    struct token_order *orders;
    int64_t expires_in_s;
    const char *label;
};

/* --- a session: an access and a refresh token --- */

static void session_answer(struct http_request *req)
{
    const struct session *s = req->context;
    http_set_header(req, "Cache-Control", "no-store"); /* RFC 6749 §5.1 */
    api_done(req, 200,
             json_pack("{s:s, s:s, s:I}", "token", s->orders[ACCESS].token, "refresh_token",
                       s->orders[REFRESH].token, "expires_in", (json_int_t)s->expires_in_s));
}

static void session_added(struct http_request *req, json_t *result)
{
    if (json_is_true(json_object_get(result, "reused")))
        api_fail_text(req, ERR_UNAUTHORIZED, "Refresh token expired or revoked");
    else
        session_answer(req);
}

static void session_signed(struct http_request *req, enum err e, const struct why *why,
                           struct token_order *orders, void *arg)
{
    struct session *s = req->context;
    char family[37];
    if (e) {
        api_fail(req, e, why);
        return;
    }
    s->orders = orders;
    const struct token_order *r = &orders[REFRESH];
    if (s->spent) {
        api_propose(req, "token.refresh",
                    json_pack("{s:s, s:s, s:s, s:I, s:I}", "user", s->spent->name, "id",
                              s->spent->token_id, "new_id", r->id, "expires_ms",
                              (json_int_t)r->expires_ms, "epoch_ms",
                              (json_int_t)s->spent->epoch_ms),
                    session_added);
        return;
    }
    random_uuid(family);
    api_propose(req, "token.add",
                json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I}", "user", s->principal->name, "context",
                          s->principal->context, "id", r->id, "type", "refresh", "label",
                          "Refresh Token", "family", family, "expires_ms", (json_int_t)r->expires_ms,
                          "epoch_ms", (json_int_t)s->principal->epoch_ms),
                session_added);
}

void session_begin(struct http_request *req, const struct principal *p, const struct principal *spent)
{
    struct worker *w = worker_of(req);
    struct token_policy policy;
    struct session *s = arena_alloc(&req->arena, sizeof *s);
    if (!token_policy_now(req, &policy))
        return;
    s->principal = p;
    s->spent = spent;
    s->expires_in_s = policy.access_s;
    req->context = s;
    struct token_order orders[] = {
        [ACCESS] = { .type = TOKEN_ACCESS, .lifetime_ms = policy.access_s * 1000 },
        [REFRESH] = { .type = TOKEN_REFRESH, .lifetime_ms = policy.refresh_s * 1000 },
    };
    auth_issue(w->auth, req, p, orders, 2, session_signed, NULL);
}

static void session_first(struct http_request *req)
{
    session_begin(req, req->principal, NULL);
}

static void signed_in(struct http_request *req, enum err e, const struct why *why, void *arg)
{
    const char *code = arg;
    if (e)
        api_fail(req, e, why);
    else if (principal_of(req)->second_factor)
        mfa_ask(req, code, session_first);
    else
        session_first(req);
}

static void sign_in(struct http_request *req, json_t *body)
{
    bool bad = false;
    const char *name = api_string(body, "name", &bad), *pass = api_string(body, "pass", &bad);
    const char *code = api_string(body, "mfa_code", &bad);
    if (bad || !name || !pass)
        api_fail_text(req, ERR_BAD_REQUEST, "expected {\"name\": text, \"pass\": text}");
    else if (!sso_password_try(req, name, pass, code))
        auth_login(worker_of(req)->auth, req, name, pass, signed_in, (void *)(uintptr_t)code);
}

void auth_token_post(struct http_request *req)
{
    api_body(req, sign_in);
}

static void refresh(struct http_request *req, const char *token)
{
    struct why why = { "" };
    const struct principal *p;
    enum err e = auth_check_refresh(worker_of(req)->auth, req, token, &p, &why);
    if (e)
        api_refuse(req, fail(&why, ERR_UNAUTHORIZED, "Refresh token expired or revoked"), &why);
    else
        session_begin(req, p, p);
}

static void refresh_body(struct http_request *req, json_t *body)
{
    bool bad = false;
    const char *token = api_string(body, "refresh_token", &bad);
    if (bad || !token)
        api_fail_text(req, ERR_BAD_REQUEST, "expected {\"refresh_token\": text}");
    else
        refresh(req, token);
}

void auth_refresh_post(struct http_request *req)
{
    const char *header = http_header(req, "authorization");
    if (header && strncasecmp(header, "Bearer ", 7) == 0)
        refresh(req, header + 7 + strspn(header + 7, " "));
    else
        api_body(req, refresh_body);
}

/* --- who am I --- */

void auth_me_get(struct http_request *req)
{
    const struct principal *p = req->principal;
    struct user user;
    struct why why = { "" };
    enum err e = user_get(worker_of(req)->reader, &req->arena, p->name, &user, &why);
    if (e) {
        api_refuse(req, ERR_UNAUTHORIZED, NULL); /* it was deleted a moment ago */
        return;
    }
    json_t *me = json_pack("{s:s, s:s, s:[], s:o}", "name", p->name, "context", p->context,
                           "groups", "permissions", grants_describe(p));
    if (user.email)
        json_object_set_new(me, "email", json_string(user.email));
    if (user.must_change)
        json_object_set_new(me, "must_change_password", json_true());
    api_json(req, 200, me);
}

/* --- API tokens --- */

static void generated(struct http_request *req, json_t *result)
{
    const struct session *s = req->context;
    const struct token_order *o = s->orders;
    char text[32];
    json_t *body = json_pack("{s:s, s:s, s:s, s:b}", "token", o->token, "id", o->id, "label",
                             s->label, "permanent", o->expires_ms == 0);
    if (o->expires_ms)
        json_object_set_new(body, "expires_at", json_string(clock_rfc3339(o->expires_ms, text)));
    http_set_header(req, "Cache-Control", "no-store");
    api_done(req, 200, body);
}

static void generate_signed(struct http_request *req, enum err e, const struct why *why,
                            struct token_order *orders, void *arg)
{
    struct session *s = req->context;
    if (e) {
        api_fail(req, e, why);
        return;
    }
    s->orders = orders;
    api_propose(req, "token.add",
                json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "user", s->principal->name, "id",
                          orders->id, "type", "api", "label", s->label, "expires_ms",
                          (json_int_t)orders->expires_ms, "epoch_ms",
                          (json_int_t)s->principal->epoch_ms),
                generated);
}

static void generate(struct http_request *req, json_t *body)
{
    struct worker *w = worker_of(req);
    struct token_policy policy;
    bool bad = false;
    const char *label = api_string(body, "label", &bad);
    const json_t *days = json_object_get(body, "expiry_days");
    int64_t n = days ? json_integer_value(days) : 30;
    if (!token_policy_now(req, &policy))
        return;
    if (!days && n > policy.api_max_days)
        n = policy.api_max_days; /* nobody asked for more than is allowed */
    if (bad || (label && strlen(label) > 255))
        api_fail_text(req, ERR_BAD_REQUEST, "label must be a text of at most 255 bytes");
    else if ((days && !json_is_integer(days)) || n < 0)
        api_fail_text(req, ERR_BAD_REQUEST, "expiry_days must be a number of days, or 0");
    else if (n == 0 && !policy.permanent)
        api_fail_text(req, ERR_BAD_REQUEST, "permanent tokens are not allowed here");
    else if (n > policy.api_max_days)
        api_fail_text(req, ERR_BAD_REQUEST, "expiry_days may be at most %lld",
                      (long long)policy.api_max_days);
    else {
        struct token_order order = { .type = TOKEN_API, .lifetime_ms = n * DAY_MS };
        struct session *s = arena_alloc(&req->arena, sizeof *s);
        s->principal = req->principal;
        s->label = label && *label ? label : "API Token";
        req->context = s;
        auth_issue(w->auth, req, s->principal, &order, 1, generate_signed, NULL);
    }
}

void auth_generate_post(struct http_request *req)
{
    if (principal_of(req)->via == TOKEN_API)
        api_fail_text(req, ERR_FORBIDDEN, "an API token can't make tokens");
    else
        api_body(req, generate);
}

void auth_tokens_get(struct http_request *req)
{
    json_t *tokens;
    struct why why = { "" };
    enum err e = api_own_tokens(req, &tokens, &why);
    if (e)
        api_fail(req, e, &why);
    else
        api_json(req, 200, json_pack("{s:o}", "tokens", tokens));
}

static void token_deleted(struct http_request *req, json_t *result)
{
    api_done(req, 204, NULL);
}

void auth_tokens_delete(struct http_request *req)
{
    api_propose(req, "token.revoke",
                json_pack("{s:s, s:s, s:s}", "user", principal_of(req)->name, "id", req->params[0],
                          "type", "api"),
                token_deleted);
}
