/* SPDX-License-Identifier: Apache-2.0 */
/* Signing in with a provider in a browser: the way there and back. What went wrong is in the log; the
 * client learns that it failed. docs/guide/sso.md. */
#include <string.h>

#include "api/internal.h"
#include "api/sign_in.h"
#include "pantera/log.h"
#include "pantera/text.h"

/* --- the way to the provider --- */

struct redirect {
    const char *url, *state;
};

static void redirect_kept(struct http_request *req, json_t *result)
{
    const struct redirect *r = req->context;
    http_set_header(req, "Cache-Control", "no-store");
    api_done(req, 200, json_pack("{s:s, s:s}", "url", r->url, "state", r->state));
}

static void redirect_started(struct http_request *req, enum err e, const struct why *why,
                             const struct sso_start *start)
{
    if (e) {
        log_warn("auth", "request %s: the provider does not answer as it should: %s", req->id,
                 why_text(why, e));
        api_fail_text(req, ERR_UNAVAILABLE, "the provider can't be used at the moment");
        return;
    }
    struct redirect *r = arena_alloc(&req->arena, sizeof *r);
    r->url = arena_strdup(&req->arena, start->url);
    r->state = arena_strdup(&req->arena, start->state);
    req->context = r;
    api_propose(req, "sso.begin", start->operation, redirect_kept);
}

static enum err attempt(struct http_request *req, const char *type, struct why *why)
{
    enum err e = sso_attempt(req, type, why);
    if (e == ERR_TOO_MANY)
        audit_refused(req, worker_of(req)->cluster, &worker_of(req)->loop, "", type, why_text(why, e));
    return e;
}

void auth_redirect_get(struct http_request *req)
{
    struct worker *w = worker_of(req);
    const char *callback = query_get(&req->arena, req->query, "callback_url");
    struct provider p;
    struct why why = { "" };
    enum err e = provider_read(req, req->params[0], &p, &why);
    if (!e && !p.enabled)
        e = fail(&why, ERR_NOT_FOUND, "the provider '%s' is not enabled", p.type);
    if (!e && !callback)
        e = fail(&why, ERR_BAD_REQUEST, "callback_url is missing");
    if (!e && !provider_allows_callback(&p, callback))
        e = fail(&why, ERR_BAD_REQUEST, "callback_url is not one of the provider's callback-urls");
    if (!e)
        e = attempt(req, p.type, &why);
    if (e)
        api_refuse(req, e, &why);
    else
        sso_start(w->auth, w->client, req, &p, callback, redirect_started);
}

/* --- and back --- */

struct callback {
    struct sso_attempt attempt;
    const char *code, *url, *state;
};

void sso_fail(struct http_request *req, enum err e, const struct why *why)
{
    const struct sso_attempt *t = req->context;
    log_warn("auth", "request %s from %s: sign-in with %s failed: %s", req->id,
             req->peer ? req->peer : "", t->provider.type, why_text(why, e));
    audit_refused(req, worker_of(req)->cluster, &worker_of(req)->loop, t->name, t->provider.type,
                  why_text(why, e));
    if (e == ERR_CONFLICT || (err_status(e) == 503 && e != ERR_UPSTREAM))
        api_fail(req, e, why);
    else
        api_fail_text(req, ERR_UNAUTHORIZED, "%s", t->refusal);
}

static void signed_in(struct http_request *req, enum err e, const struct why *why, json_t *result)
{
    const struct sso_attempt *t = req->context;
    const struct principal *p;
    struct why text = { "" };
    const char *name = json_string_value(json_object_get(result, "name"));
    if (e) {
        sso_fail(req, e, why);
        return;
    }
    json_t *skipped = json_object_get(result, "skipped"), *role;
    size_t i;
    json_array_foreach(skipped, i, role)
        log_warn("auth", "provider %s gives '%s' the role '%s', which does not exist", t->provider.type,
                 name, json_string_value(role));
    e = auth_vouched(worker_of(req)->auth, req, name, t->provider.type, &p, &text);
    if (e)
        sso_fail(req, e, &text);
    else
        session_begin(req, p, NULL);
}

void sso_finish(struct http_request *req, const struct sso_identity *who)
{
    const struct sso_attempt *t = req->context;
    struct why why = { "" };
    json_t *roles = NULL;
    enum err e = sso_admit(&t->provider, who, &roles, &why);
    if (e) {
        sso_fail(req, e, &why);
        return;
    }
    json_t *args = json_pack("{s:s, s:s, s:s, s:s, s:s*}", "provider", t->provider.type, "issuer",
                             who->issuer, "subject", who->subject, "name", who->name, "email", who->email);
    if (roles)
        json_object_set_new(args, "roles", roles);
    api_propose_all(req, "sso.sign_in", args, signed_in);
}

static void exchanged(struct http_request *req, enum err e, const struct why *why,
                      const struct sso_identity *who)
{
    if (e)
        sso_fail(req, e, why);
    else
        sso_finish(req, who);
}

/* The state is spent, whatever comes of it. What it was for must be what comes back. */
static void taken(struct http_request *req, enum err e, const struct why *why, json_t *result)
{
    struct worker *w = worker_of(req);
    struct callback *c = req->context;
    struct why text = { "" };
    const char *url = json_string_value(json_object_get(result, "callback"));
    if (e) {
        sso_fail(req, e, why);
        return;
    }
    if (json_integer_value(json_object_get(result, "id")) != c->attempt.provider.id)
        e = fail(&text, ERR_UNAUTHORIZED, "the sign-in was begun with another provider");
    else if (strcmp(url, c->url) != 0 || !provider_allows_callback(&c->attempt.provider, url))
        e = fail(&text, ERR_UNAUTHORIZED, "callback_url is not the one that the sign-in was begun with, or "
                 "not allowed any more");
    if (e) {
        sso_fail(req, e, &text);
        return;
    }
    json_object_set_new(result, "state", json_string(sso_state_hash(&req->arena, c->state)));
    sso_exchange(w->auth, w->client, req, &c->attempt.provider, result, c->code, exchanged);
}

static void callback_body(struct http_request *req, json_t *body)
{
    bool bad = false;
    struct callback *c = arena_alloc(&req->arena, sizeof *c);
    struct provider *p = &c->attempt.provider;
    const char *type = api_string(body, "provider", &bad);
    struct why why = { "" };
    c->code = api_string(body, "code", &bad);
    c->url = api_string(body, "callback_url", &bad);
    c->state = api_string(body, "state", &bad);
    c->attempt.name = "";
    c->attempt.refusal = "Sign-in failed";
    req->context = c;
    if (bad || !type || !c->code || !c->url || !c->state) {
        api_fail_text(req, ERR_BAD_REQUEST, "expected {\"code\": text, \"provider\": text, "
                      "\"callback_url\": text, \"state\": text}");
        return;
    }
    enum err e = provider_read(req, type, p, &why);
    if (!e)
        e = attempt(req, type, &why);
    if (e) {
        api_refuse(req, e, &why);
    } else if (!p->enabled) {
        sso_fail(req, fail(&why, ERR_UNAUTHORIZED, "the provider is not enabled"), &why);
    } else {
        api_propose_all(req, "sso.take",
                        json_pack("{s:s}", "state", sso_state_hash(&req->arena, c->state)), taken);
    }
}

void auth_callback_post(struct http_request *req)
{
    api_body(req, callback_body);
}
