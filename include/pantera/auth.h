/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/auth.h: who is asking, and may they.
 * What:    one guard before every handler; passwords (argon2id), tokens (RS256 JWT), permissions.
 * Not:     HTTP bodies (api/ shapes them), other people's protocols.
 * Threads: a `struct auth` belongs to one worker: its caches are its own. Password hashing runs on the
 *          pool. Callbacks on the worker's loop, possibly before auth_guard returns (when warm).
 * Policy:  every decision reads the replicated state (through generations, gen.h) and is followed by
 *          a lease check: a node that can't prove that it is current answers NOT_CURRENT. */
#ifndef PANTERA_AUTH_H
#define PANTERA_AUTH_H

#include <jansson.h>
#include <stdint.h>

#include "pantera/cluster.h"
#include "pantera/err.h"
#include "pantera/http.h"
#include "pantera/meta.h"

/* Permissions that a route may name. PERM(name, domain, action): permissions.def. */
enum permission {
    PERM_UNSET = 0, /* a route with it does not compile */
    PERM_PUBLIC,    /* nobody is asked */
    PERM_ANYONE,    /* any valid principal */
#define PERM(name, domain, action) PERM_##name,
#include "pantera/permissions.def"
#undef PERM
    PERM_COUNT
};

/* Actions on one repository (adapter_basic_permissions). */
enum repo_action { REPO_READ = 1, REPO_WRITE = 2, REPO_DELETE = 4 };

struct grants; /* resolved permissions of a user: immutable, shared */

enum token_type { TOKEN_NONE, TOKEN_ACCESS, TOKEN_REFRESH, TOKEN_API };

struct principal {
    const char *name;          /* user */
    const char *context;       /* provider that vouched: "local" */
    enum token_type via;       /* TOKEN_NONE: a password */
    const char *token_id;      /* jti, or NULL */
    bool must_change_password;
    const struct grants *grants;
};

struct auth;
struct auth_options {
    struct loop *loop;
    struct cluster *cluster;
    struct meta_reader *reader;
};
struct auth *auth_new(const struct auth_options *o);
void auth_free(struct auth *a);

/* Decides for this request: reads Authorization (Basic with password or token, Bearer), then `need`.
 * OK: req->principal is set (NULL for PERM_PUBLIC). UNAUTHORIZED, FORBIDDEN, TOO_MANY (throttled; a
 * Retry-After header is already set on the reply), NOT_CURRENT. */
typedef void auth_guard_cb(struct http_request *req, enum err e, const struct why *why, void *arg);
void auth_guard(struct auth *a, struct http_request *req, enum permission need, auth_guard_cb *done,
                void *arg);

bool may(const struct principal *p, enum permission need);
bool may_repo(const struct principal *p, const char *repo, enum repo_action action);
bool may_repo_any(const struct principal *p, enum repo_action action); /* on "*" */
/* seed 000's permissions{} of /auth/me; a new reference. */
json_t *grants_describe(const struct principal *p);

/* A role's permissions as put by a client (both shapes of pantera-facts 2.1, with or without the
 * wrapper): validated; *ret_canonical a new reference. ERR_BAD_REQUEST names what was wrong. */
enum err role_permissions_parse(const json_t *in, json_t **ret_canonical, struct why *why);

/* ≥12 chars, upper, lower, digit, special, not the name, not a known weak one. */
enum err password_policy(const char *user, const char *password, struct why *why);
/* argon2id on the pool. `done` on the loop, later. */
struct password_hash {
    struct work work;
    char password[1025];       /* wiped when done */
    char encoded[160];         /* in for verify, out for hash */
    bool verify, matches;
    enum err err;
    void (*done)(struct password_hash *h);
    void *arg;
};
void password_hash_start(struct password_hash *h, struct loop *home);
enum err password_hash_now(const char *password, char ret_encoded[160]); /* blocks: first start, CLI */

#endif
