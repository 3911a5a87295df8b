/* SPDX-License-Identifier: Apache-2.0 */
/* Digests and sealing, on libcrypto. One digester computes all that a format wants in one pass. */
#include "pantera/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/ids.h"
#include "pantera/log.h"
#include "pantera/text.h"

enum { KINDS = 4, NONCE = 12, TAG = 16 };

struct digester {
    EVP_MD_CTX *contexts[KINDS];
};

static const EVP_MD *algorithm(unsigned index)
{
    switch (index) {
    case 0: return EVP_sha256();
    case 1: return EVP_sha1();
    case 2: return EVP_md5();
    default: return EVP_sha512();
    }
}

struct digester *digester_new(unsigned kinds)
{
    struct digester *d = calloc(1, sizeof *d);
    if (!d)
        log_fatal("base", "out of memory: digester");
    for (unsigned i = 0; i < KINDS; i++)
        if (kinds & 1u << i) {
            d->contexts[i] = EVP_MD_CTX_new();
            if (!d->contexts[i] || !EVP_DigestInit_ex(d->contexts[i], algorithm(i), NULL))
                log_fatal("base", "libcrypto has no digest %u", i);
        }
    return d;
}

void digester_free(struct digester *d)
{
    if (!d)
        return;
    for (unsigned i = 0; i < KINDS; i++)
        EVP_MD_CTX_free(d->contexts[i]);
    free(d);
}

void digester_update(struct digester *d, const void *data, size_t size)
{
    for (unsigned i = 0; i < KINDS; i++)
        if (d->contexts[i])
            check(EVP_DigestUpdate(d->contexts[i], data, size) == 1);
}

void digester_final(struct digester *d, struct digest_values *ret)
{
    unsigned char *const out[KINDS] = { ret->sha256, ret->sha1, ret->md5, ret->sha512 };
    ret->kinds = 0;
    for (unsigned i = 0; i < KINDS; i++)
        if (d->contexts[i]) {
            check(EVP_DigestFinal_ex(d->contexts[i], out[i], NULL) == 1);
            ret->kinds |= 1u << i;
        }
}

void sha256(const void *data, size_t size, unsigned char ret[32])
{
    check(EVP_Digest(data, size, ret, NULL, EVP_sha256(), NULL) == 1);
}

void hmac_sha256(const void *key, size_t key_size, const void *data, size_t size,
                 unsigned char ret[32])
{
    unsigned length = 32;
    check(HMAC(EVP_sha256(), key, (int)key_size, data, size, ret, &length) != NULL);
}

void seal_key_new(struct seal_key *ret)
{
    random_hex(ret->id, 4);
    random_bytes(ret->key, sizeof ret->key);
}

char *seal(struct arena *a, const struct seal_key *key, const char *aad, const void *data,
           size_t size)
{
    unsigned char *out = arena_alloc(a, NONCE + TAG + size);
    int n;
    random_bytes(out, NONCE);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    check(c && EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key->key, out) == 1);
    check(EVP_EncryptUpdate(c, NULL, &n, (const unsigned char *)aad, (int)strlen(aad)) == 1);
    check(EVP_EncryptUpdate(c, out + NONCE + TAG, &n, data, (int)size) == 1);
    check(EVP_EncryptFinal_ex(c, out + NONCE + TAG + n, &n) == 1);
    check(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG, out + NONCE) == 1);
    EVP_CIPHER_CTX_free(c);
    return arena_printf(a, "s1.%s.%s", key->id, base64url_encode(a, out, NONCE + TAG + size));
}

enum err unseal(struct arena *a, const struct seal_key *key, const char *aad, const char *sealed,
                void **ret, size_t *ret_size, struct why *why)
{
    const char *text = strncmp(sealed, "s1.", 3) == 0 ? strchr(sealed + 3, '.') : NULL;
    size_t size;
    if (!text)
        return fail(why, ERR_BAD_REQUEST, "not a sealed value");
    if ((size_t)(text - sealed - 3) != strlen(key->id) ||
        memcmp(sealed + 3, key->id, strlen(key->id)) != 0)
        return fail(why, ERR_FORBIDDEN, "sealed with another cluster key");
    unsigned char *raw = base64_decode(a, text + 1, strlen(text + 1), &size);
    /* the two alphabets of base64_decode would be two spellings of it */
    if (!raw || size < NONCE + TAG || strcmp(base64url_encode(a, raw, size), text + 1) != 0)
        return fail(why, ERR_BAD_REQUEST, "not a sealed value");
    unsigned char *out = arena_alloc(a, size - NONCE - TAG + 1);
    int n, last, good;
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    check(c && EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key->key, raw) == 1);
    check(EVP_DecryptUpdate(c, NULL, &n, (const unsigned char *)aad, (int)strlen(aad)) == 1);
    check(EVP_DecryptUpdate(c, out, &n, raw + NONCE + TAG, (int)(size - NONCE - TAG)) == 1);
    check(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG, raw + NONCE) == 1);
    good = EVP_DecryptFinal_ex(c, out + n, &last);
    EVP_CIPHER_CTX_free(c);
    if (good != 1)
        return fail(why, ERR_FORBIDDEN, "sealed value was tampered with or moved");
    *ret = out;
    *ret_size = size - NONCE - TAG;
    return OK;
}
