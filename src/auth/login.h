/* SPDX-License-Identifier: Apache-2.0 */
/* src/auth/login.h: between guard.c (decisions) and login.c (passwords). */
#ifndef AUTH_LOGIN_H
#define AUTH_LOGIN_H

#include "src/auth/internal.h"

/* Reads what the proof `c` gives from the replica, into `c`, which nobody uses yet. */
enum err credential_renew(struct auth *a, struct credential *c, struct why *why);
/* The credential in the table that is true now: `c`, or one made anew in its place. Borrowed. */
enum err credential_current(struct auth *a, struct credential *c, struct credential **ret,
                            struct why *why);
/* Permission and lease, then `done`. `c` is NULL only with an error. */
void guard_finish(struct auth *a, struct http_request *req, enum permission need, enum err e,
                  const struct why *why, struct credential *c, auth_guard_cb *done, void *arg);

/* `session`: for one that will be recorded by its own row (token.add). */
void login_start(struct auth *a, struct http_request *req, const char *name, const char *password,
                 enum permission need, bool session, auth_guard_cb *done, void *arg);
/* What is on the pool will find no auth to come back to. */
void logins_abandon(struct auth *a);

#endif
