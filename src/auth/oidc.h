/* SPDX-License-Identifier: Apache-2.0 */
/* src/auth/oidc.h: what the OpenID Connect files share: keys of a provider and the id_token (pure,
 * oidc_token.c), what was fetched from a provider (oidc.c). */
#ifndef AUTH_OIDC_H
#define AUTH_OIDC_H

#include <openssl/evp.h>

#include "pantera/sso.h"

enum { JWKS_KEYS = 32, OIDC_SKEW_S = 60, OIDC_ID_TOKEN = 32 << 10 };

/* --- oidc_token.c --- */
enum oidc_alg { OIDC_ALG_NONE, OIDC_RS256, OIDC_ES256 }; /* the only ones that are ever looked at */

struct jwks {
    unsigned count;
    struct jwk {
        char kid[128]; /* "": it has none */
        enum oidc_alg alg;
        EVP_PKEY *key;
    } keys[JWKS_KEYS];
};
/* RFC 7517. Keys of other kinds, for encryption, or too weak are left out. BAD_REQUEST: not a key set. */
enum err jwks_parse(const char *text, size_t size, struct jwks *ret, struct why *why);
void jwks_free(struct jwks *k);

/* What the token must say: OIDC Core §3.1.3.7. */
struct id_token_rules {
    const char *issuer, *client_id, *nonce; /* nonce NULL: none was given (the password grant) */
    int64_t now_s;
};
/* NOT_FOUND: its key is not in the set (which may be out of date); UNAUTHORIZED: anything else. */
enum err id_token_verify(const struct jwks *keys, const char *text, const struct id_token_rules *rules,
                         json_t **ret_claims, struct why *why);

/* --- providers.c --- */
bool provider_address_good(const struct provider *p, const char *url); /* https, or plain where it may be */

/* --- oidc.c --- */
struct sso; /* one worker's: what was fetched from providers */
void sso_free(struct sso *s);

#endif
