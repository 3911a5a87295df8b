/* SPDX-License-Identifier: Apache-2.0 */
/* api/sign_in.h: what signing in with a provider has in common, in a browser (sso.c) and with a password
 * (sso_password.c). req->context points to a struct sso_attempt, or to a struct that begins with one. */
#ifndef API_SIGN_IN_H
#define API_SIGN_IN_H

#include "pantera/http.h"
#include "pantera/sso.h"

struct sso_attempt {
    struct provider provider;
    const char *name;    /* that was typed, or "" */
    const char *refusal; /* what a client learns */
};
/* --- providers.c: a provider by its type, secrets open; NOT_FOUND, also for `local` --- */
enum err provider_read(struct http_request *req, const char *type, struct provider *ret, struct why *why);
/* --- sso.c --- */
/* The provider vouches for `who`: provisions, sets roles, begins a session; or refuses. */
void sso_finish(struct http_request *req, const struct sso_identity *who);
/* Ours to cure is 503, an administrator's is 409; whatever else is the same to a client. */
void sso_fail(struct http_request *req, enum err e, const struct why *why);

/* --- sso_password.c: POST /auth/token of somebody who is not a local user --- */
/* False: no provider is to be asked, and nothing was done: the name is the local provider's to refuse or
 * accept. */
bool sso_password_try(struct http_request *req, const char *name, const char *password, const char *mfa_code);

#endif
