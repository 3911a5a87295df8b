/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: Authorization's value, and tokens. Without a signature of ours nothing may be believed; with
 * one (the input is then header and claims, which we sign), whatever is believed is complete. */
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "pantera/text.h"
#include "src/auth/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct keyring ring;
static EVP_PKEY *key;

static void keys_make(void)
{
    char pem[4096] = "";
    key = EVP_RSA_gen(2048);
    BIO *bio = BIO_new(BIO_s_mem());
    check(key && PEM_write_bio_PUBKEY(bio, key) == 1);
    check(BIO_read(bio, pem, sizeof pem - 1) > 0);
    BIO_free(bio);
    check(keyring_add(&ring, "k", pem, NULL) == OK);
}

static void believe(struct arena *a, const char *text, size_t length, bool ours)
{
    struct claims c;
    struct why why = { "" };
    enum err e = token_parse(&ring, a, text, length, &c, &why);
    check(e == OK || e == ERR_UNAUTHORIZED);
    if (e)
        return;
    check(ours);
    check(c.user && c.context && c.id && c.kid && c.type != TOKEN_NONE && c.epoch_ms >= 0);
    check(c.expires_ms > 0 || c.type == TOKEN_API);
}

static void believe_signed(struct arena *a, const uint8_t *data, size_t size)
{
    /* The header may be the input's too: up to the first NUL, if there is one. */
    static const char usual[] = "{\"alg\":\"RS256\",\"kid\":\"k\",\"typ\":\"JWT\"}";
    const uint8_t *nul = memchr(data, 0, size);
    size_t header = nul ? (size_t)(nul - data) : 0, rest = nul ? header + 1 : 0;
    const char *head = nul ? base64url_encode(a, data, header)
                           : base64url_encode(a, usual, sizeof usual - 1);
    char *text = arena_printf(a, "%s.%s", head, base64url_encode(a, data + rest, size - rest));
    unsigned char signature[512];
    size_t length = sizeof signature;
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    check(EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, key) == 1 &&
          EVP_DigestSign(c, signature, &length, (unsigned char *)text, strlen(text)) == 1);
    EVP_MD_CTX_free(c);
    text = arena_printf(a, "%s.%s", text, base64url_encode(a, signature, length));
    believe(a, text, strlen(text), true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct credentials given;
    struct why why = { "" };
    if (!key)
        keys_make();
    if (!size)
        return 0;
    arena_init(&a);
    if (data[0] & 1) {
        believe_signed(&a, data + 1, size - 1);
    } else {
        char *value = arena_strndup(&a, (const char *)data + 1, size - 1);
        enum err e = credentials_parse(&a, value, &given, &why);
        check(e == OK || (e == ERR_UNAUTHORIZED && why.text[0]));
        if (!e)
            check((given.token != NULL) != (given.password != NULL));
        believe(&a, value, strlen(value), false);
        if (!e && given.token)
            believe(&a, given.token, strlen(given.token), false);
    }
    arena_release(&a);
    return 0;
}
