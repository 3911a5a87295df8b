/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords that a provider checks, for whom it knows and we don't.
 *
 * Okta has an API of its own for that: authn gives a session, perhaps after a factor's code, and the session
 * opens its authorization endpoint without a page; from there it is the flow of a browser, nonce included.
 * All others: the password grant (RFC 6749 §4.3), whose id_token has no nonce of ours; Keycloak takes a
 * one-time code beside it as `totp`. */
#include <stdlib.h>
#include <string.h>

#include "pantera/text.h"
#include "src/auth/internal.h"
#include "src/auth/oidc_flow.h"

bool provider_takes_passwords(const struct provider *p)
{
    return p->enabled && p->password_login;
}

static void refuse(struct flow *f, enum err e, const char *text)
{
    struct why why = { "" };
    flow_fail(f, fail(&why, e, "%s", text), &why);
}

/* --- the password grant --- */

static void on_grant(struct flow *f, json_t *body)
{
    struct why why = { "" };
    const char *said = json_string_value(json_object_get(body, "error"));
    if (body && (f->call.status == 400 || f->call.status == 401))
        flow_fail(f, fail(&why, ERR_UNAUTHORIZED, "the provider refused: %.80s", said ? said : ""), &why);
    else
        flow_token(f, body);
}

static void grant(struct flow *f, const struct fetched *d)
{
    struct arena *a = &f->arena;
    const struct sso_password *g = &f->given;
    flow_token_call(f, d,
                    arena_printf(a, "grant_type=password&username=%s&password=%s&scope=%s%s%s",
                                 percent_encode(a, g->name, false), percent_encode(a, g->password, false),
                                 percent_encode(a, f->provider.scope, false), g->mfa_code ? "&totp=" : "",
                                 g->mfa_code ? percent_encode(a, g->mfa_code, false) : ""), on_grant);
}

/* --- Okta: POST /api/v1/authn, then /factors/ID/verify --- */

static void authn_call(struct flow *f, const char *path, json_t *doc,
                       void (*on_answer)(struct flow *f, json_t *body))
{
    static const char *const headers[] = { "Content-Type: application/json", "Accept: application/json",
                                           NULL };
    char *text = json_dumps(doc, JSON_COMPACT);
    check(text);
    const char *body = arena_strdup(&f->arena, text);
    free(text);
    json_decref(doc);
    flow_call(f, "POST", arena_printf(&f->arena, "%s%s", f->provider.authn_url, path), headers, body,
              on_answer);
}

static bool answer_is(const json_t *body, const char *status)
{
    const char *text = json_string_value(json_object_get(body, "status"));
    return text && strcmp(text, status) == 0;
}

static bool refused(const struct flow *f)
{
    return f->call.status == 401 || f->call.status == 403;
}

static void session_take(struct flow *f, const json_t *body)
{
    const char *session = json_string_value(json_object_get(body, "sessionToken"));
    if (!session) {
        refuse(f, ERR_UPSTREAM, "authn: success without a sessionToken");
        return;
    }
    f->session = arena_strdup(&f->arena, session);
    flow_next(f);
}

static void verify_next(struct flow *f);

/* One code fits one of the devices; which, the provider knows. */
static void on_verify(struct flow *f, json_t *body)
{
    if (refused(f) && f->factor_at < f->factor_count)
        verify_next(f);
    else if (refused(f))
        refuse(f, ERR_UNAUTHORIZED, "authn: the second factor's code is wrong");
    else if (!flow_good(f, body))
        return;
    else if (answer_is(body, "SUCCESS"))
        session_take(f, body);
    else
        refuse(f, ERR_FORBIDDEN, "the provider wants more than a code: sign in with it in a browser");
}

static void verify_next(struct flow *f)
{
    const char *id = percent_encode(&f->arena, f->factors[f->factor_at++], false);
    authn_call(f, arena_printf(&f->arena, "/factors/%s/verify", id),
               json_pack("{s:s, s:s}", "stateToken", f->state_token, "passCode", f->given.mfa_code),
               on_verify);
}

static bool takes_code(const char *type)
{
    return type && (strcmp(type, "token:software:totp") == 0 || strcmp(type, "token:hardware") == 0 ||
                    strcmp(type, "token") == 0);
}

static void factors_take(struct flow *f, const json_t *body)
{
    const json_t *list = json_object_get(json_object_get(body, "_embedded"), "factors"), *factor;
    const char *state = json_string_value(json_object_get(body, "stateToken"));
    size_t i;
    json_array_foreach(list, i, factor) {
        const char *id = json_string_value(json_object_get(factor, "id"));
        if (id && f->factor_count < FLOW_FACTORS &&
            takes_code(json_string_value(json_object_get(factor, "factorType"))))
            f->factors[f->factor_count++] = arena_strdup(&f->arena, id);
    }
    f->state_token = state ? arena_strdup(&f->arena, state) : NULL;
    if (!state)
        refuse(f, ERR_UPSTREAM, "authn: a factor is wanted, without a stateToken");
    else if (!f->factor_count)
        refuse(f, ERR_FORBIDDEN, "the provider wants a factor that is no code: sign in with it in a browser");
    else if (!f->given.mfa_code)
        refuse(f, ERR_FORBIDDEN, "mfa_code required");
    else
        verify_next(f);
}

static void on_authn(struct flow *f, json_t *body)
{
    if (refused(f))
        refuse(f, ERR_UNAUTHORIZED, "authn: wrong name or password");
    else if (!flow_good(f, body))
        return;
    else if (answer_is(body, "SUCCESS"))
        session_take(f, body);
    else if (answer_is(body, "MFA_REQUIRED"))
        factors_take(f, body);
    else /* LOCKED_OUT, PASSWORD_EXPIRED, MFA_ENROLL, … */
        refuse(f, ERR_FORBIDDEN, "the provider wants more than a password: sign in with it in a browser");
}

static void authn(struct flow *f)
{
    authn_call(f, "",
               json_pack("{s:s, s:s, s:{s:b, s:b}}", "username", f->given.name, "password",
                         f->given.password, "options", "multiOptionalFactorEnroll", false,
                         "warnBeforePasswordExpired", false), on_authn);
}

/* --- Okta: the session for a code --- */

static void on_authorize(struct flow *f, json_t *body)
{
    const char *to = client_header(&f->call, "location");
    size_t n = strlen(f->callback);
    struct why why = { "" };
    const char *query = to && strncmp(to, f->callback, n) == 0 && to[n] == '?' ? to + n + 1 : "";
    const char *code = query_get(&f->arena, query, "code"), *said = query_get(&f->arena, query, "error");
    const char *state = query_get(&f->arena, query, "state");
    if (f->call.status / 100 != 3 || !code || !state || strcmp(state, f->state) != 0) {
        flow_fail(f, fail(&why, ERR_UPSTREAM, "authorization: status %d and no code for this session%s%.60s",
                          f->call.status, said ? ", " : "", said ? said : ""), &why);
        return;
    }
    f->code = code;
    flow_next(f);
}

static void authorize(struct flow *f, const struct fetched *d)
{
    static const char *const headers[] = { "Accept: text/html", NULL };
    const char *url = flow_authorize_url(f, d);
    flow_call(f, "GET", arena_printf(&f->arena, "%s&prompt=none&sessionToken=%s", url,
                                     percent_encode(&f->arena, f->session, false)), headers, NULL,
              on_authorize);
}

/* --- in between --- */

void flow_password(struct flow *f, const struct fetched *d)
{
    if (strcmp(f->provider.type, "okta") != 0)
        grant(f, d);
    else if (!f->session)
        authn(f);
    else
        authorize(f, d);
}

void sso_password(struct auth *a, struct client *c, struct http_request *req, const struct provider *p,
                  const struct sso_password *given, sso_exchange_cb *done)
{
    struct flow *f = flow_new(a, c, req, p, p->redirect_uri ? p->redirect_uri : "");
    f->exchanged = done;
    f->by_password = true;
    f->given = (struct sso_password){
        .name = arena_strdup(&f->arena, given->name),
        .password = arena_strdup(&f->arena, given->password),
        .mfa_code = given->mfa_code && *given->mfa_code ? arena_strdup(&f->arena, given->mfa_code) : NULL,
    };
    flow_next(f);
}
