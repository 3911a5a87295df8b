/* SPDX-License-Identifier: Apache-2.0 */
/* OpenID Connect's authorization code flow: the URL for the browser, the exchange of what comes back, whom
 * the id_token vouches for.
 * An unknown key asks for the keys again, once in a sign-in. */
#include "src/auth/oidc.h"

#include <string.h>

#include "pantera/clock.h"
#include "pantera/ids.h"
#include "pantera/text.h"
#include "src/auth/internal.h"
#include "src/auth/oidc_flow.h"

/* --- the URL for the browser: OIDC Core §3.1.2.1, RFC 7636 §4.3 --- */

const char *flow_authorize_url(struct flow *f, const struct fetched *d)
{
    struct arena *a = &f->arena;
    unsigned char random[32], hash[32];
    char state[33], nonce[33];
    random_hex(state, 16);
    random_hex(nonce, 16);
    random_bytes(random, sizeof random);
    f->state = arena_strdup(a, state);
    f->nonce = arena_strdup(a, nonce);
    f->verifier = base64url_encode(a, random, sizeof random);
    sha256(f->verifier, strlen(f->verifier), hash);
    return arena_printf(a, "%s%cclient_id=%s&response_type=code&scope=%s&redirect_uri=%s&state=%s&nonce=%s"
                        "&code_challenge=%s&code_challenge_method=S256", d->authorize_url,
                        strchr(d->authorize_url, '?') ? '&' : '?',
                        percent_encode(a, f->provider.client_id, false),
                        percent_encode(a, f->provider.scope, false), percent_encode(a, f->callback, false),
                        state, nonce, base64url_encode(a, hash, sizeof hash));
}

static void start_finish(struct flow *f, const struct fetched *d)
{
    struct arena *a = &f->arena;
    const struct seal_key *key = cluster_seal_key(f->auth->o.cluster);
    const char *url = flow_authorize_url(f, d), *known = sso_state_hash(a, f->state);
    struct sso_start s = {
        .state = f->state, .url = url,
        .operation = json_pack("{s:s, s:I, s:s, s:s, s:s}", "state", known, "provider",
                               (json_int_t)f->provider.id, "callback", f->callback, "nonce", f->nonce,
                               "verifier", seal(a, key, known, f->verifier, strlen(f->verifier))),
    };
    tether_cut(f->tether);
    f->started(f->req, OK, NULL, &s);
    f->req = NULL;
    flow_free(f);
}

const char *sso_state_hash(struct arena *a, const char *state)
{
    unsigned char hash[32];
    char *hex = arena_alloc(a, 65);
    sha256(state, strlen(state), hash);
    hex_encode(hash, sizeof hash, hex);
    return hex;
}

/* --- the exchange: OIDC Core §3.1.3, RFC 7636 §4.5 --- */

void flow_token(struct flow *f, json_t *body)
{
    if (!flow_good(f, body))
        return;
    struct why why = { "" };
    const char *token = json_string_value(json_object_get(body, "id_token"));
    if (!token) {
        fail(&why, ERR_UPSTREAM, "the token endpoint gave no id_token");
        flow_fail(f, ERR_UPSTREAM, &why);
        return;
    }
    f->id_token = arena_strdup(&f->arena, token);
    flow_next(f);
}

void flow_token_call(struct flow *f, const struct fetched *d, const char *body,
                     void (*on_answer)(struct flow *f, json_t *body))
{
    struct arena *a = &f->arena;
    const struct provider *p = &f->provider;
    const char **headers = arena_alloc(a, 4 * sizeof *headers);
    unsigned n = 0;
    const char *id = percent_encode(a, p->client_id, false);
    const char *secret = p->client_secret ? percent_encode(a, p->client_secret, false) : NULL;
    headers[n++] = "Content-Type: application/x-www-form-urlencoded";
    headers[n++] = "Accept: application/json";
    if (secret && !d->post_secret) {
        const char *pair = arena_printf(a, "%s:%s", id, secret);
        headers[n++] = arena_printf(a, "Authorization: Basic %s", base64_encode(a, pair, strlen(pair)));
    } else {
        body = arena_printf(a, "%s&client_id=%s%s%s", body, id, secret ? "&client_secret=" : "",
                            secret ? secret : "");
    }
    flow_call(f, "POST", arena_strdup(a, d->token_url), headers, body, on_answer);
}

static void exchange(struct flow *f, const struct fetched *d)
{
    struct arena *a = &f->arena;
    flow_token_call(f, d, arena_printf(a, "grant_type=authorization_code&code=%s&redirect_uri=%s"
                                       "&code_verifier=%s", percent_encode(a, f->code, false),
                                       percent_encode(a, f->callback, false), f->verifier), flow_token);
}

/* --- whom it vouches for --- */

static const char *claim(const json_t *claims, const char *name)
{
    const char *text = json_string_value(json_object_get(claims, name));
    return text && *text ? text : NULL;
}

/* The groups as an array of strings, a new reference; NULL: the token has no such claim. */
static json_t *groups_of(const json_t *claims, const char *name)
{
    const json_t *given = json_object_get(claims, name), *item;
    size_t i;
    if (!json_is_string(given) && !json_is_array(given))
        return NULL;
    json_t *groups = json_array();
    if (json_is_string(given))
        json_array_append(groups, (json_t *)(uintptr_t)given);
    json_array_foreach(given, i, item)
        if (json_is_string(item))
            json_array_append(groups, (json_t *)(uintptr_t)item);
    return groups;
}

static void exchange_finish(struct flow *f, json_t *claims)
{
    const char *name = claim(claims, f->provider.username_claim), *email = claim(claims, "email");
    json_t *groups = groups_of(claims, f->provider.groups_claim);
    char *lower = arena_strdup(&f->arena, name ? name : claim(claims, "sub"));
    for (char *c = lower; *c; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
    struct sso_identity who = {
        .issuer = f->provider.issuer, .subject = claim(claims, "sub"), .name = lower,
        .email = email && strlen(email) <= 320 ? email : NULL, .groups = groups,
    };
    tether_cut(f->tether);
    f->exchanged(f->req, OK, NULL, &who);
    f->req = NULL;
    json_decref(groups);
    flow_free(f);
}

static void verify(struct flow *f, const struct fetched *d)
{
    struct why why = { "" };
    json_t *claims = NULL;
    struct id_token_rules rules = {
        .issuer = d->iss, .client_id = f->provider.client_id, .nonce = f->nonce,
        .now_s = clock_wall_ms() / 1000,
    };
    enum err e = id_token_verify(&d->keys, f->id_token, &rules, &claims, &why);
    /* A rotated key: asked for once in a sign-in, which itself costs a code of the provider's. */
    if (e == ERR_NOT_FOUND && !f->keys_again) {
        f->keys_again = true;
        flow_keys(f, d);
    } else if (e) {
        flow_fail(f, e, &why);
    } else {
        exchange_finish(f, claims);
        json_decref(claims);
    }
}

/* --- what comes next --- */

void flow_next(struct flow *f)
{
    const struct fetched *d = fetched_get(f->auth, &f->provider);
    if (!fetched_fresh(d->found_ms))
        flow_discover(f);
    else if (f->started)
        start_finish(f, d);
    else if (!f->id_token && f->by_password && !f->code)
        flow_password(f, d);
    else if (!f->id_token)
        exchange(f, d);
    else if (!fetched_fresh(d->keys_ms))
        flow_keys(f, d);
    else
        verify(f, d);
}

void sso_start(struct auth *a, struct client *c, struct http_request *req, const struct provider *p,
               const char *callback, sso_start_cb *done)
{
    struct flow *f = flow_new(a, c, req, p, callback);
    f->started = done;
    flow_next(f);
}

void sso_exchange(struct auth *a, struct client *c, struct http_request *req, const struct provider *p,
                  const json_t *taken, const char *code, sso_exchange_cb *done)
{
    struct why why = { "" };
    void *verifier;
    size_t size;
    const char *sealed = json_string_value(json_object_get(taken, "verifier"));
    const char *nonce = json_string_value(json_object_get(taken, "nonce"));
    const char *callback = json_string_value(json_object_get(taken, "callback"));
    const char *state = json_string_value(json_object_get(taken, "state"));
    enum err e = sealed && nonce && callback && state
                     ? unseal(&req->arena, cluster_seal_key(a->o.cluster), state, sealed, &verifier, &size,
                              &why)
                     : fail(&why, ERR_INTERNAL, "sso.take gave too little");
    if (e) {
        done(req, e, &why, NULL);
        return;
    }
    struct flow *f = flow_new(a, c, req, p, callback);
    f->exchanged = done;
    f->verifier = arena_strndup(&f->arena, verifier, size);
    f->nonce = arena_strdup(&f->arena, nonce);
    f->code = arena_strdup(&f->arena, code);
    flow_next(f);
}
