/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords that providers check, in the order of their priority (seed 000: local, Okta, Keycloak).
 *
 * A local user's password is checked here and shown to nobody else; a provider's user is asked for at that
 * provider only; a name that nobody knows is asked for at each, until one says yes. */
#include <string.h>

#include "api/internal.h"
#include "api/sign_in.h"
#include "pantera/limits.h"
#include "pantera/log.h"
#include "pantera/meta_user.h"

struct chain {
    struct sso_attempt attempt; /* at the provider that is being asked */
    struct sso_password given;
    struct provider providers[PROVIDERS];
    unsigned count, at;
    bool unreachable;
};

/* --- whom to ask --- */

static void collect(struct http_request *req, struct chain *c, const char *only)
{
    struct worker *w = worker_of(req);
    struct provider_row *rows;
    unsigned count;
    struct why why = { "" };
    provider_list(w->reader, &req->arena, &rows, &count);
    for (unsigned i = 0; i < count; i++) {
        struct provider *p = &c->providers[c->count];
        if (strcmp(rows[i].type, PROVIDER_LOCAL) == 0 || (only && strcmp(rows[i].type, only) != 0))
            continue;
        if (provider_open(&req->arena, cluster_seal_key(w->cluster), &rows[i], p, &why))
            log_warn("auth", "%s", why.text);
        else if (provider_takes_passwords(p) && provider_takes_name(p, c->given.name))
            c->count++;
    }
}

/* --- asking --- */

static void ask(struct http_request *req);

static void refuse(struct http_request *req, const struct chain *c)
{
    struct why why = { "" };
    if (!c->unreachable)
        sso_fail(req, fail(&why, ERR_UNAUTHORIZED, "no provider takes this name and password"), &why);
    else
        api_refuse(req, fail(&why, ERR_UNAVAILABLE, "a provider can't be asked at the moment"), &why);
}

static void answered(struct http_request *req, enum err e, const struct why *why,
                     const struct sso_identity *who)
{
    struct chain *c = req->context;
    if (!e || e == ERR_FORBIDDEN)
        auth_attempt_right(req, c->given.name); /* it was no guess */
    if (!e) {
        sso_finish(req, who);
    } else if (e == ERR_FORBIDDEN) {
        c->attempt.refusal = arena_strdup(&req->arena, why_text(why, e));
        sso_fail(req, e, why);
    } else {
        c->unreachable = c->unreachable || e != ERR_UNAUTHORIZED;
        log_warn("auth", "request %s: %s does not sign '%s' in: %s", req->id, c->attempt.provider.type,
                 c->given.name, why_text(why, e));
        ask(req);
    }
}

static void ask(struct http_request *req)
{
    struct chain *c = req->context;
    struct worker *w = worker_of(req);
    if (c->at == c->count) {
        refuse(req, c);
        return;
    }
    c->attempt.provider = c->providers[c->at++];
    sso_password(w->auth, w->client, req, &c->attempt.provider, &c->given, answered);
}

bool sso_password_try(struct http_request *req, const char *name, const char *password, const char *mfa_code)
{
    struct worker *w = worker_of(req);
    struct chain *c;
    struct user user;
    struct why why = { "" };
    bool known = user_get(w->reader, &req->arena, name, &user, NULL) == OK;
    if (!*name || !*password || strlen(name) > LIMIT_NAME || strlen(password) > LIMIT_PASSWORD ||
        (known && strcmp(user.provider, PROVIDER_LOCAL) == 0))
        return false;
    c = arena_alloc(&req->arena, sizeof *c);
    c->given = (struct sso_password){ name, password, mfa_code };
    collect(req, c, known ? user.provider : NULL);
    if (!c->count)
        return false;
    c->attempt.provider = c->providers[0];
    c->attempt.name = name;
    c->attempt.refusal = "Invalid credentials";
    req->context = c;
    enum err e = auth_attempt(req, name, &why);
    if (e) {
        audit_refused(req, w->cluster, &w->loop, name, "password", why_text(&why, e));
        api_refuse(req, e, &why);
    } else {
        ask(req);
    }
    return true;
}
