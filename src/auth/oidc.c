/* SPDX-License-Identifier: Apache-2.0 */
/* OpenID Connect on the network: discovery, the exchange of a code, keys. A sign-in is one `struct flow`;
 * flow_next looks at what is still missing and asks the provider for it; an answer is recorded and flow_next
 * called again:
 *
 *     discovery → (start: the URL) → token endpoint → keys → id_token → (a key is unknown: keys, once more)
 *
 * What was fetched is kept for an hour by each worker; an unknown key asks again, at most every 10 s. */
#include "src/auth/oidc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/buf.h"
#include "pantera/clock.h"
#include "pantera/ids.h"
#include "pantera/limits.h"
#include "pantera/tether.h"
#include "pantera/text.h"
#include "src/auth/login.h"

enum { ANSWER = 256 << 10, KEPT_MS = 3600000, KEYS_AGAIN_MS = 10000, CALL_MS = 10000 };

/* --- what was fetched --- */

/* One provider's documents. An issuer whose configuration changed is another entry. */
struct fetched {
    struct fetched *next;
    char *issuer, *ca_file, *iss, *authorize_url, *token_url, *keys_url;
    bool post_secret;          /* RFC 6749 §2.3.1: in the body, for providers that know only that */
    uint64_t found_ms, keys_ms; /* 0: never */
    struct jwks keys;
};

struct sso {
    struct fetched *first;
};

static void fetched_free(struct fetched *f)
{
    jwks_free(&f->keys);
    free(f->issuer);
    free(f->ca_file);
    free(f->iss);
    free(f->authorize_url);
    free(f->token_url);
    free(f->keys_url);
    free(f);
}

void sso_free(struct sso *s)
{
    while (s && s->first) {
        struct fetched *f = s->first;
        s->first = f->next;
        fetched_free(f);
    }
    free(s);
}

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static char *copy(const char *text)
{
    char *s = text ? strdup(text) : NULL;
    check(s || !text);
    return s;
}

/* The entry of this provider, moved to the front; the oldest goes. */
static struct fetched *fetched_get(struct sso *s, const struct provider *p)
{
    struct fetched **at = &s->first, *f;
    for (unsigned n = 0; *at; at = &(*at)->next, n++) {
        f = *at;
        bool found = strcmp(f->issuer, p->issuer) == 0 && same(f->ca_file, p->ca_file);
        if (!found && n < PROVIDERS)
            continue;
        *at = f->next;
        if (found)
            goto front;
        fetched_free(f);
        break;
    }
    f = calloc(1, sizeof *f);
    check(f);
    f->issuer = copy(p->issuer);
    f->ca_file = copy(p->ca_file);
front:
    f->next = s->first;
    return s->first = f;
}

static bool fresh(uint64_t then_ms)
{
    return then_ms && clock_mono_ms() - then_ms < KEPT_MS;
}

/* --- a flow --- */

struct flow {
    struct auth *auth;
    struct client *client;
    struct http_request *req; /* NULL: gone */
    struct tether *tether;
    struct arena arena;
    struct provider provider;
    struct client_request call;
    struct buf answer;
    void (*on_answer)(struct flow *f, json_t *body);
    sso_start_cb *started;    /* one of these two */
    sso_exchange_cb *exchanged;
    const char *callback, *code, *verifier, *nonce, *id_token;
    bool keys_again;
};

static void config_release(void *arg)
{
    json_decref(arg);
}

static struct flow *flow_new(struct auth *a, struct client *c, struct http_request *req,
                             const struct provider *p, const char *callback)
{
    struct flow *f = calloc(1, sizeof *f);
    check(f);
    if (!a->sso) {
        a->sso = calloc(1, sizeof *a->sso);
        check(a->sso);
    }
    arena_init(&f->arena);
    buf_init(&f->answer, ANSWER);
    f->auth = a;
    f->client = c;
    f->tether = tether_tie(req, &f->req);
    f->provider = *p; /* texts are the configuration's, which is kept, but for these */
    arena_on_release(&f->arena, config_release, json_incref((json_t *)(uintptr_t)p->config));
    f->provider.type = arena_strdup(&f->arena, p->type);
    f->provider.issuer = arena_strdup(&f->arena, p->issuer);
    f->callback = arena_strdup(&f->arena, callback);
    return f;
}

static void flow_free(struct flow *f)
{
    if (f->req)
        tether_cut(f->tether);
    buf_free(&f->answer);
    arena_release(&f->arena);
    free(f);
}

static void flow_fail(struct flow *f, enum err e, const struct why *why)
{
    struct http_request *req = f->req;
    sso_start_cb *started = f->started;
    sso_exchange_cb *exchanged = f->exchanged;
    struct why text = *why;
    flow_free(f);
    if (req && started)
        started(req, e, &text, NULL);
    else if (req)
        exchanged(req, e, &text, NULL);
}

static void flow_next(struct flow *f);

/* --- calls --- */

static bool on_data(struct client_request *r, const void *data, size_t size)
{
    struct flow *f = r->arg;
    (void)buf_add(&f->answer, data, size); /* its cap is looked at when the call is done */
    return true;
}

static void on_done(struct client_request *r)
{
    struct flow *f = r->arg;
    struct why why = { "" };
    enum err e = r->err;
    if (e == ERR_CANCELED) { /* everything is being torn down */
        flow_free(f);
        return;
    }
    json_t *body = NULL;
    if (e)
        why = r->why;
    else if (buf_err(&f->answer))
        e = fail(&why, ERR_UPSTREAM, "%.150s: too large an answer", r->url);
    else if (!(body = json_loadb(f->answer.data ? f->answer.data : "", f->answer.length,
                                 JSON_REJECT_DUPLICATES, NULL)) || r->status != 200) {
        const char *said = json_string_value(json_object_get(body, "error"));
        e = fail(&why, ERR_UPSTREAM, "%.120s: status %d%s%.60s", r->url, r->status,
                 said ? ", " : body ? "" : ", not JSON", said ? said : "");
    }
    if (e || !f->req) {
        json_decref(body);
        if (!e)
            e = ERR_CANCELED;
        flow_fail(f, e, &why);
        return;
    }
    f->on_answer(f, body);
    json_decref(body);
}

static void flow_call(struct flow *f, const char *method, const char *url, const char *const *headers,
                      const char *body, void (*on_answer)(struct flow *f, json_t *body))
{
    struct why why = { "" };
    f->on_answer = on_answer;
    buf_clear(&f->answer);
    f->call = (struct client_request){
        .method = method, .url = url, .headers = headers, .body = body,
        .body_size = body ? strlen(body) : 0, .total_timeout_ms = CALL_MS, .connect_timeout_ms = 5000,
        .ca_file = f->provider.ca_file, .on_data = on_data, .on_done = on_done, .arg = f,
    };
    enum err e = client_submit(f->client, &f->call, &why);
    if (e)
        flow_fail(f, e, &why);
}

/* --- discovery: OpenID Connect Discovery §4 --- */

static const char *address(const struct flow *f, const json_t *doc, const char *name)
{
    const char *url = json_string_value(json_object_get(doc, name));
    return provider_address_good(&f->provider, url) ? url : NULL;
}

static bool lists(const json_t *doc, const char *name, const char *value)
{
    const json_t *list = json_object_get(doc, name), *item;
    size_t i;
    json_array_foreach(list, i, item)
        if (json_is_string(item) && strcmp(json_string_value(item), value) == 0)
            return true;
    return false;
}

static void replace(char **slot, const char *text)
{
    free(*slot);
    *slot = copy(text);
}

static void on_discovery(struct flow *f, json_t *doc)
{
    static const char methods[] = "token_endpoint_auth_methods_supported";
    struct fetched *d = fetched_get(f->auth->sso, &f->provider);
    struct why why = { "" };
    const char *issuer = json_string_value(json_object_get(doc, "issuer"));
    const char *authorize = address(f, doc, "authorization_endpoint");
    const char *token = address(f, doc, "token_endpoint"), *keys = address(f, doc, "jwks_uri");
    size_t n = strlen(f->provider.issuer);
    if (!issuer || strncmp(issuer, f->provider.issuer, n) != 0 ||
        (issuer[n] && strcmp(issuer + n, "/") != 0)) {
        fail(&why, ERR_UPSTREAM, "discovery: it is of the issuer '%.80s', not '%.80s'",
             issuer ? issuer : "", f->provider.issuer);
        flow_fail(f, ERR_UPSTREAM, &why);
    } else if (!authorize || !token || !keys) {
        fail(&why, ERR_UPSTREAM, "discovery: an endpoint is missing, or not https");
        flow_fail(f, ERR_UPSTREAM, &why);
    } else {
        replace(&d->iss, issuer); /* as its tokens say it: perhaps with a slash at the end */
        replace(&d->authorize_url, authorize);
        replace(&d->token_url, token);
        if (!same(d->keys_url, keys))
            d->keys_ms = 0;
        replace(&d->keys_url, keys);
        d->post_secret = json_object_get(doc, methods) && !lists(doc, methods, "client_secret_basic") &&
                         lists(doc, methods, "client_secret_post");
        d->found_ms = clock_mono_ms();
        flow_next(f);
    }
}

static void discover(struct flow *f)
{
    static const char *const headers[] = { "Accept: application/json", NULL };
    flow_call(f, "GET", arena_printf(&f->arena, "%s/.well-known/openid-configuration", f->provider.issuer),
              headers, NULL, on_discovery);
}

/* --- the URL for the browser: OIDC Core §3.1.2.1, RFC 7636 §4.3 --- */

static void start_finish(struct flow *f, const struct fetched *d)
{
    struct arena *a = &f->arena;
    const struct seal_key *key = cluster_seal_key(f->auth->o.cluster);
    unsigned char random[32], hash[32];
    char state[33], nonce[33];
    random_hex(state, 16);
    random_hex(nonce, 16);
    random_bytes(random, sizeof random);
    const char *verifier = base64url_encode(a, random, sizeof random), *known = sso_state_hash(a, state);
    sha256(verifier, strlen(verifier), hash);
    struct sso_start s = {
        .state = state,
        .url = arena_printf(a, "%s%cclient_id=%s&response_type=code&scope=%s&redirect_uri=%s&state=%s"
                            "&nonce=%s&code_challenge=%s&code_challenge_method=S256", d->authorize_url,
                            strchr(d->authorize_url, '?') ? '&' : '?',
                            percent_encode(a, f->provider.client_id, false),
                            percent_encode(a, f->provider.scope, false),
                            percent_encode(a, f->callback, false), state, nonce,
                            base64url_encode(a, hash, sizeof hash)),
        .operation = json_pack("{s:s, s:I, s:s, s:s, s:s}", "state", known, "provider",
                               (json_int_t)f->provider.id, "callback", f->callback, "nonce", nonce,
                               "verifier", seal(a, key, known, verifier, strlen(verifier))),
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

static void on_token(struct flow *f, json_t *body)
{
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

static void exchange(struct flow *f, const struct fetched *d)
{
    struct arena *a = &f->arena;
    const struct provider *p = &f->provider;
    const char **headers = arena_alloc(a, 4 * sizeof *headers);
    unsigned n = 0;
    const char *id = percent_encode(a, p->client_id, false);
    const char *secret = p->client_secret ? percent_encode(a, p->client_secret, false) : NULL;
    const char *body = arena_printf(a, "grant_type=authorization_code&code=%s&redirect_uri=%s"
                                    "&code_verifier=%s", percent_encode(a, f->code, false),
                                    percent_encode(a, f->callback, false), f->verifier);
    headers[n++] = "Content-Type: application/x-www-form-urlencoded";
    headers[n++] = "Accept: application/json";
    if (secret && !d->post_secret) {
        const char *pair = arena_printf(a, "%s:%s", id, secret);
        headers[n++] = arena_printf(a, "Authorization: Basic %s", base64_encode(a, pair, strlen(pair)));
    } else {
        body = arena_printf(a, "%s&client_id=%s%s%s", body, id, secret ? "&client_secret=" : "",
                            secret ? secret : "");
    }
    flow_call(f, "POST", arena_strdup(a, d->token_url), headers, body, on_token);
}

static void on_keys(struct flow *f, json_t *body)
{
    struct fetched *d = fetched_get(f->auth->sso, &f->provider);
    struct jwks keys;
    struct why why = { "" };
    enum err e = jwks_parse(f->answer.data, f->answer.length, &keys, &why);
    if (e) {
        jwks_free(&keys);
        flow_fail(f, e, &why);
        return;
    }
    jwks_free(&d->keys);
    d->keys = keys;
    d->keys_ms = clock_mono_ms();
    flow_next(f);
}

static void keys_fetch(struct flow *f, const struct fetched *d)
{
    static const char *const headers[] = { "Accept: application/json, application/jwk-set+json", NULL };
    flow_call(f, "GET", arena_strdup(&f->arena, d->keys_url), headers, NULL, on_keys);
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
    if (e == ERR_NOT_FOUND && !f->keys_again && clock_mono_ms() - d->keys_ms >= KEYS_AGAIN_MS) {
        f->keys_again = true;
        keys_fetch(f, d);
    } else if (e) {
        flow_fail(f, e, &why);
    } else {
        exchange_finish(f, claims);
        json_decref(claims);
    }
}

static void flow_next(struct flow *f)
{
    const struct fetched *d = fetched_get(f->auth->sso, &f->provider);
    if (!fresh(d->found_ms))
        discover(f);
    else if (f->started)
        start_finish(f, d);
    else if (!f->id_token)
        exchange(f, d);
    else if (!fresh(d->keys_ms))
        keys_fetch(f, d);
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

/* --- who asks without being known --- */

static uv_once_t throttle_once = UV_ONCE_INIT;
static struct throttle *throttle;

/* A start costs a log entry: 120 a minute for an address, so that one can't fill SSO_STATES. */
static void throttle_make(void)
{
    throttle = throttle_new_of(clock_mono_ms, 120, 240);
}

enum err sso_attempt(struct http_request *req, const char *provider, struct why *why)
{
    uv_once(&throttle_once, throttle_make);
    uint64_t wait = throttle_take(throttle, provider, req->peer ? req->peer : "");
    char text[24];
    if (!wait)
        return OK;
    snprintf(text, sizeof text, "%llu", (unsigned long long)(wait + 999) / 1000);
    http_set_header(req, "Retry-After", text);
    return fail(why, ERR_TOO_MANY, "too many sign-ins from this address; try again in %s s", text);
}

/* --- the principal --- */

static void principal_release(void *arg)
{
    credential_unref(arg);
}

enum err auth_vouched(struct auth *a, struct http_request *req, const char *name, const char *context,
                      const struct principal **ret, struct why *why)
{
    struct credential *c = credential_new(name, context, NULL);
    c->identity = identity_get(a, name);
    c->principal.grants = c->identity->grants;
    c->principal.epoch_ms = c->identity->epoch_ms;
    http_on_end(req, principal_release, c);
    if (!c->identity->exists || !c->identity->enabled)
        return fail(why, ERR_UNAUTHORIZED, "the user '%.100s' is disabled", name);
    req->user = c->principal.name;
    *ret = &c->principal;
    return OK;
}
