/* SPDX-License-Identifier: Apache-2.0 */
/* src/auth/internal.h: what auth's files share. One worker owns a `struct auth` and all below it, except
 * for the throttle and the hashing queue, which the process shares behind locks. */
#ifndef AUTH_INTERNAL_H
#define AUTH_INTERNAL_H

#include <openssl/evp.h>

#include "pantera/auth.h"
#include "pantera/meta_user.h"

/* --- keys.c: the keys that sign tokens, parsed once --- */
enum { KEYRING_KEYS = 64 };
struct keyring {
    uint64_t stamp;      /* GEN_POLICY when it was read; 0: never */
    unsigned count;
    struct keyring_key {
        char kid[64];
        EVP_PKEY *public;
        bool kept;
    } keys[KEYRING_KEYS];
    char kid[64];        /* the one that signs, or "" */
    char *private_pem;
};
void keyring_free(struct keyring *k);
/* For the replica's rows, and for tests. */
enum err keyring_add(struct keyring *k, const char *kid, const char *public_pem, struct why *why);
void keyring_sign_with(struct keyring *k, const char *kid, const char *private_pem);
EVP_PKEY *keyring_find(const struct keyring *k, const char *kid);
/* Reads signing_key again if it may have changed. */
void keyring_refresh(struct keyring *k, struct meta_reader *r, const struct seal_key *seal);

/* --- jwt.c: tokens as text --- */
struct claims {
    const char *user, *context, *id, *kid;
    enum token_type type;
    int64_t epoch_ms, issued_ms, expires_ms; /* expires_ms 0: never */
    const char *scope;   /* or NULL */
};
/* Looks like a token at all: two dots, "eyJ". Cheap, for Basic. */
bool token_shaped(const char *text, size_t length);
/* Signature and form; not expiry, not the replica. Strings are the arena's. */
enum err token_parse(const struct keyring *k, struct arena *a, const char *text, size_t length,
                     struct claims *ret, struct why *why);
/* malloc'ed. Blocks for a millisecond: pool thread. */
enum err token_build(const struct claims *c, const char *private_pem, char **ret_text);
const char *token_type_name(enum token_type t);
/* Authorization's value, taken apart. password is NULL for Bearer, token for Basic with a password. */
struct credentials {
    const char *user, *password, *token;
};
enum err credentials_parse(struct arena *a, const char *value, struct credentials *ret,
                           struct why *why);

/* --- grants.c --- */
struct grants *grants_new(void);
struct grants *grants_ref(struct grants *g);
void grants_unref(struct grants *g);
/* Adds a role's canonical JSON. What it can't read it leaves out (and says so in the log). */
void grants_add(struct grants *g, const char *text);
void grants_seal(struct grants *g); /* sorts; then it is immutable */

/* --- scope.c --- */
bool scope_covers(const char *scope, const char *type, const char *name, const char *action);

/* --- permissions.c: the words of roles --- */
unsigned repo_actions_parse(const char *word);          /* 0: not an action; all: REPO_* or-ed */
enum docker_action { DOCKER_PULL = 1, DOCKER_PUSH = 2, DOCKER_OVERWRITE = 4 };
enum registry_action { DOCKER_BASE = 1, DOCKER_CATALOG = 2 };
unsigned docker_actions_parse(const char *word);
unsigned registry_actions_parse(const char *word);
const char *permission_domain(const char *type);        /* alias names resolved; NULL: not one */
enum permission permission_find(const char *domain, const char *action); /* PERM_UNSET: none */
const char *permission_domain_of(enum permission p);
const char *permission_action_of(enum permission p);

/* --- identity.c: users as the replica has them, with what they may --- */
struct identity {
    unsigned refs;
    uint64_t user_stamp, policy_stamp;
    bool exists, enabled, must_change, second_factor;
    int64_t epoch_ms;
    char *name, *password, *provider;
    struct grants *grants;
};
struct identity *identity_get(struct auth *a, const char *name); /* a reference; never NULL */
void identity_unref(struct identity *i);
bool identity_stands(const struct identity *i); /* nothing it was read from has changed */

/* --- credential.c: proofs that were checked once --- */
/* A proof (a signature, a password) and, while the stamps match, the principal that it gives. */
struct credential {
    unsigned refs;
    unsigned char key[32];
    uint64_t used;              /* for eviction */
    struct principal principal; /* name, context, token_id point into this block */
    struct identity *identity;
    char kid[64];
    int64_t expires_ms;
    char *encoded;              /* the argon2id text that a password matched, or NULL */
    bool token_checked;         /* its row was read under identity's stamps */
    char text[];
};
struct credential *credential_new(const char *user, const char *context, const char *token_id,
                                  const char *scope);
void credential_unref(struct credential *c);
enum { CREDENTIAL_SETS = 2048, CREDENTIAL_WAYS = 4, IDENTITY_SETS = 1024, IDENTITY_WAYS = 4 };
struct credential *credential_find(struct auth *a, const unsigned char key[32]);
void credential_keep(struct auth *a, struct credential *c); /* takes a reference */
void credential_drop(struct auth *a, struct credential *c);

/* --- throttle.c: failed sign-ins; one a process --- */
struct throttle;
struct throttle *throttle_new(uint64_t (*now_ms)(void));
struct throttle *throttle_new_of(uint64_t (*now_ms)(void), unsigned per_pair, unsigned per_address);
void throttle_free(struct throttle *t);
/* Takes one attempt. 0: go on; else ms to wait. */
uint64_t throttle_take(struct throttle *t, const char *user, const char *address);
void throttle_give_back(struct throttle *t, const char *user, const char *address); /* it was right */
struct throttle *throttle_shared(void);

/* --- guard.c --- */
struct login;
struct sso;
enum { SIGN_INS_SEEN = 512 };
struct auth {
    struct auth_options o;
    struct keyring keyring;
    struct credential *credentials[CREDENTIAL_SETS][CREDENTIAL_WAYS];
    struct identity *identities[IDENTITY_SETS][IDENTITY_WAYS];
    uint64_t clock;             /* ticks with every use */
    unsigned char secret[32];   /* keys the hashes of passwords; this process only */
    struct login *logins;       /* passwords being verified; equal ones share one */
    unsigned login_count;
    uint64_t seen[SIGN_INS_SEEN]; /* sign-ins by a proof that was checked before, recorded this hour */
    struct sso *sso;            /* what was fetched from OpenID providers; NULL: nothing yet */
};

#endif
