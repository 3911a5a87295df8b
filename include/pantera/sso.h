/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/sso.h: signing in with an OpenID provider: authorization code flow with PKCE, state and nonce.
 * What:    one OpenID Connect core; okta, keycloak and oidc are forms of its configuration.
 * Not:     rows (meta_provider.h), HTTP bodies (api/providers.c).
 * Threads: the worker's loop. Callbacks, possibly at once, and only while the request lives; their texts
 *          until they return.
 * Errors:  why of sso_exchange is for the log; a client learns that the sign-in failed, and no more. */
#ifndef PANTERA_SSO_H
#define PANTERA_SSO_H

#include "pantera/auth.h"
#include "pantera/client.h"
#include "pantera/meta_provider.h"

/* A provider's configuration with its secrets open; what it points to is the arena's. */
struct provider {
    const char *type, *issuer, *client_id, *client_secret, *scope; /* client_secret NULL: a public client */
    const char *groups_claim, *username_claim, *default_role, *ca_file;
    const char *redirect_uri;  /* or NULL */
    const char *authn_url;     /* Okta's authentication API */
    const json_t *config; /* callbacks, groups, domains */
    int64_t id;
    bool enabled, plain_http, password_login;
};

/* What a client puts: unknown members, wrong kinds and addresses that are not https are refused. */
enum err provider_config_check(const char *type, const json_t *config, struct why *why);
bool provider_type_known(const char *type);
/* Names of roles that a sign-in may give according to `config`: an array, a new reference. */
json_t *provider_config_roles(const json_t *config);
enum err provider_open(struct arena *a, const struct seal_key *key, const struct provider_row *row,
                       struct provider *ret, struct why *why);
bool provider_allows_callback(const struct provider *p, const char *url);

/* TOO_MANY, with Retry-After, if this address has begun or ended too many sign-ins. */
enum err sso_attempt(struct http_request *req, const char *provider, struct why *why);
/* Where to send the browser: the URL, and what the operation sso.begin must keep (verifier sealed). */
struct sso_start {
    const char *url, *state;
    json_t *operation; /* taken by the callback */
};
typedef void sso_start_cb(struct http_request *req, enum err e, const struct why *why,
                          const struct sso_start *start);
void sso_start(struct auth *a, struct client *c, struct http_request *req, const struct provider *p,
               const char *callback, sso_start_cb *done);
/* What sso.begin and sso.take know a state by. */
const char *sso_state_hash(struct arena *a, const char *state);

/* Whom the provider vouched for; groups NULL: the token says nothing of groups. */
struct sso_identity {
    const char *issuer, *subject, *name, *email;
    const json_t *groups; /* an array of strings */
};
typedef void sso_exchange_cb(struct http_request *req, enum err e, const struct why *why,
                             const struct sso_identity *identity);
/* `taken`: the result of sso.take. Exchanges the code, verifies the id_token, reads it. */
void sso_exchange(struct auth *a, struct client *c, struct http_request *req, const struct provider *p,
                  const json_t *taken, const char *code, sso_exchange_cb *done);
/* With a password that the provider checks. UNAUTHORIZED: it said no. FORBIDDEN: the password was right,
 * that is not enough, and why is for the client. Else it could not be asked. */
struct sso_password {
    const char *name, *password, *mfa_code; /* mfa_code: or NULL */
};
bool provider_takes_passwords(const struct provider *p);
bool provider_takes_name(const struct provider *p, const char *name); /* user-domains */
void sso_password(struct auth *a, struct client *c, struct http_request *req, const struct provider *p,
                  const struct sso_password *given, sso_exchange_cb *done);
/* Who may sign in, and with which roles. *ret_roles: a new reference, or NULL: leave them as they are. */
enum err sso_admit(const struct provider *p, const struct sso_identity *who, json_t **ret_roles,
                   struct why *why);
/* The principal of a user for whom `context` has vouched now. Lives as long as the request. */
enum err auth_vouched(struct auth *a, struct http_request *req, const char *name, const char *context,
                      const struct principal **ret, struct why *why);

#endif
