/* SPDX-License-Identifier: Apache-2.0 */
/* src/auth/oidc_flow.h: what the files share that speak with OpenID providers. One sign-in is one `struct
 * flow`; flow_next (oidc.c) looks at what is still missing and asks for it; an answer is recorded and
 * flow_next called again:
 *
 *     discovery → start: the URL for the browser
 *     discovery → [password: a session or an id_token at once] → token endpoint → keys → id_token
 *                 → (a key is unknown: keys, once more) → whom it vouches for
 *
 * A flow ends in flow_fail, or by giving its result; nothing touches it after that. */
#ifndef AUTH_OIDC_FLOW_H
#define AUTH_OIDC_FLOW_H

#include "pantera/buf.h"
#include "pantera/tether.h"
#include "src/auth/oidc.h"

/* --- oidc_fetched.c: what providers publish, kept for an hour by each worker --- */

/* One provider's documents. An issuer whose configuration changed is another entry. */
struct fetched {
    struct fetched *next;
    char *issuer, *ca_file, *iss, *authorize_url, *token_url, *keys_url;
    bool post_secret;           /* RFC 6749 §2.3.1: in the body, for providers that know only that */
    enum client_near near;      /* where it answered from: as near may be what it publishes */
    uint64_t found_ms, keys_ms; /* 0: never */
    struct jwks keys;
};
/* The entry of this provider, perhaps an empty one. Valid until the next call. */
struct fetched *fetched_get(struct auth *a, const struct provider *p);
bool fetched_fresh(uint64_t then_ms);

/* --- a flow: oidc_flow.c --- */

enum { FLOW_FACTORS = 4 };
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
    const char *callback, *code, *state, *verifier, *nonce, *id_token;
    bool keys_again, by_password;
    struct sso_password given; /* by_password; and on the way of Okta's: */
    const char *session, *state_token, *factors[FLOW_FACTORS];
    unsigned factor_count, factor_at;
};

struct flow *flow_new(struct auth *a, struct client *c, struct http_request *req, const struct provider *p,
                      const char *callback);
void flow_free(struct flow *f); /* the request hears nothing */
void flow_fail(struct flow *f, enum err e, const struct why *why);
/* `on_answer` gets whatever status and body (NULL: not JSON); its first line is flow_good. What was given
 * lives until then. */
void flow_call(struct flow *f, const char *method, const char *url, const char *const *headers,
               const char *body, void (*on_answer)(struct flow *f, json_t *body));
/* A 200 with JSON; else the flow has failed with UPSTREAM. */
bool flow_good(struct flow *f, const json_t *body);

/* --- oidc.c --- */
void flow_next(struct flow *f);
/* State, nonce and PKCE's verifier anew, in the flow; where the provider's page is with them. */
const char *flow_authorize_url(struct flow *f, const struct fetched *d);
/* POST to the token endpoint as the client that we are; flow_token takes the answer's id_token. */
void flow_token_call(struct flow *f, const struct fetched *d, const char *body,
                     void (*on_answer)(struct flow *f, json_t *body));
void flow_token(struct flow *f, json_t *body);

/* --- oidc_password.c: what is missing before the token endpoint is asked --- */
void flow_password(struct flow *f, const struct fetched *d);

/* --- oidc_fetched.c --- */
void flow_discover(struct flow *f);
void flow_keys(struct flow *f, const struct fetched *d);

#endif
