/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/digest.h: digests while bytes stream by, HMAC, sealing.
 * Threads: a struct belongs to one thread at a time. */

#ifndef PANTERA_DIGEST_H
#define PANTERA_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "pantera/arena.h"
#include "pantera/err.h"

enum digest_kind { DIGEST_SHA256 = 1, DIGEST_SHA1 = 2, DIGEST_MD5 = 4, DIGEST_SHA512 = 8 };

struct digest_values {
    unsigned kinds; /* which of them are set */
    unsigned char sha256[32], sha1[20], md5[16], sha512[64];
};

struct digester;
struct digester *digester_new(unsigned kinds);
void digester_free(struct digester *d); /* NULL is fine */
void digester_update(struct digester *d, const void *data, size_t size);
void digester_final(struct digester *d, struct digest_values *ret); /* once */

void sha256(const void *data, size_t size, unsigned char ret[32]);
void hmac_sha256(const void *key, size_t key_size, const void *data, size_t size,
                 unsigned char ret[32]);

/* AES-256-GCM with the cluster key. Sealed text: "s1.<key id>.<base64url of nonce, tag, bytes>".
 * `aad` binds it to its place (table, row), so that it can't be moved to another. */
struct seal_key {
    char id[9];
    unsigned char key[32];
};
void seal_key_new(struct seal_key *ret);
char *seal(struct arena *a, const struct seal_key *key, const char *aad, const void *data,
           size_t size);
/* ERR_BAD_REQUEST: not sealed text; ERR_FORBIDDEN: another key, or tampered with. */
enum err unseal(struct arena *a, const struct seal_key *key, const char *aad, const char *sealed,
                void **ret, size_t *ret_size, struct why *why);

#endif
