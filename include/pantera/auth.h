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
    PERM_SCOPED,    /* any valid principal, also by a token that is narrowed to a scope */
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
    bool second_factor;        /* the user has one: after auth_login it must still be asked for */
    int64_t epoch_ms;          /* the user's: goes into the tokens that it is given */
    int64_t expires_ms;        /* of a token; 0: never */
    /* What its token was narrowed to ("repository:images/app:pull"); NULL: it may what the user may. With
     * it, only may_image, may_catalog, may_see and PERM_SCOPED say yes. */
    const char *scope;
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

/* Name and password, as POST /auth/token gives them: throttled, argon2id on the pool. OK: req->principal
 * is set. UNAUTHORIZED "Invalid credentials", TOO_MANY, UNAVAILABLE (too many wait), NOT_CURRENT. */
void auth_login(struct auth *a, struct http_request *req, const char *name, const char *password,
                auth_guard_cb *done, void *arg);

/* For what else is guessed at (second factors): takes an attempt as a sign-in does, TOO_MANY with Retry-After
 * if there is none left; gives it back when it was right. */
enum err auth_attempt(struct http_request *req, const char *name, struct why *why);
void auth_attempt_right(struct http_request *req, const char *name);

/* For what this cluster signed on behalf of a user, when it comes back without a token (downloads): OK and
 * req->principal if that user could still use a token of then. UNAUTHORIZED. Look at the lease after. */
enum err auth_vouch(struct auth *a, struct http_request *req, const char *name, int64_t epoch_ms,
                    struct why *why);

/* A refresh token as /auth/refresh is given it: signature, type, expiry, user. Whether it was spent is
 * for the operation token.refresh to say, on the leader. OK: *ret lives as long as the request. */
enum err auth_check_refresh(struct auth *a, struct http_request *req, const char *token,
                            const struct principal **ret, struct why *why);

/* Signs tokens for `p` on the pool. `done` on the loop, later; not called if the request has ended. */
struct token_order {
    enum token_type type;
    int64_t lifetime_ms;       /* 0: permanent */
    /* NULL: all that the user may. Else, who signed in with a token gets that one, narrowed: of its type,
     * with its id (so that it ends with it), no longer than it lives. */
    const char *scope;
    char id[37];               /* out */
    int64_t issued_ms, expires_ms; /* out; expires_ms 0: permanent */
    const char *token;         /* out: the request's arena */
};
enum { TOKEN_ORDERS = 2 };
void auth_issue(struct auth *a, struct http_request *req, const struct principal *p,
                const struct token_order *orders, unsigned count,
                void (*done)(struct http_request *req, enum err e, const struct why *why,
                             struct token_order *orders, void *arg),
                void *arg);

bool may(const struct principal *p, enum permission need);
bool may_repo(const struct principal *p, const char *repo, enum repo_action action);
/* One image of a docker repository: what may_repo allows (write: push and overwrite), or what
 * docker_repository_permissions say. */
enum image_action { IMAGE_PULL = 1, IMAGE_PUSH = 2, IMAGE_OVERWRITE = 4, IMAGE_DELETE = 8 };
bool may_image(const struct principal *p, const char *repo, const char *image, enum image_action action);
/* docker_registry_permissions. Base, that there is such a registry (NULL: any), is what any right on it
 * gives, also one on an image; a token's scope does not matter. Catalog: the names of its images (NULL: does
 * the token's scope have it?). */
bool may_see(const struct principal *p, const char *repo);
bool may_catalog(const struct principal *p, const char *repo);
bool may_repo_any(const struct principal *p, enum repo_action action); /* on "*" */
bool may_everything(const struct principal *p); /* an administrator */
/* seed 000's permissions{} of /auth/me; a new reference. */
json_t *grants_describe(const struct principal *p);
/* Nobody hands out what they don't hold. `text`: a role's canonical JSON. FORBIDDEN names the first
 * thing that `p` lacks. */
enum err grants_cover(const struct principal *p, const char *text, struct why *why);

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

/* --- the audit log (auth/audit.c) --- */
/* {"actor", "address", "request_id"} of who asks: an operation's "_audit". A new reference. */
json_t *audit_envelope(const struct http_request *req);
/* Records what no operation did. Takes args: of audit.note. Nobody waits for it. */
void audit_note(struct cluster *c, struct loop *home, json_t *args);
/* An attempt to sign in that no operation records. Of too many a minute only the number is kept. */
struct sign_in {
    const char *name, *address;
    const char *method;        /* "password", "second factor", a provider's type */
    const char *refused;       /* why; NULL: it was right */
};
void audit_sign_in(struct cluster *c, struct loop *home, const struct sign_in *s);
/* The same, for a request whose sign-in is refused. */
void audit_refused(struct http_request *req, struct cluster *c, struct loop *home, const char *name,
                   const char *method, const char *why);
void audit_tick(struct cluster *c, struct loop *home); /* every second or so, on every node */

/* First start: makes the admin, the roles admin and reader, the signing key and the alias `default`, by
 * one proposal. For the loop of worker 0 while this node leads and the replica has no signing key. */
struct auth_founding {
    struct loop *loop;
    struct cluster *cluster;
    const char *user_name, *user_pass; /* NULL: "admin"; made */
    const char *private_key_path, *public_key_path; /* PEM instead of a made pair; NULL */
    const json_t *storage;             /* of the alias `default` */
    const char *const *prefixes;       /* NULL-terminated, or NULL */
    /* `generated_password` is NULL unless one was made here and is now the admin's. */
    void (*done)(enum err e, const char *generated_password, void *arg);
    void *arg;
};
void auth_found(const struct auth_founding *f); /* borrows what it points to until `done` */
bool auth_bootstrapped(struct meta_reader *r);  /* the replica has a signing key */

#endif
