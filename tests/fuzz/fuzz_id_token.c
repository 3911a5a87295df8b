/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: what OpenID providers send. The first byte says what the rest is: a key set, an id_token of
 * whatever form, or the claims of one that is signed with a listed key. Nothing is believed but the last,
 * and that only if its claims are what they must be. */
#include <openssl/rsa.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/text.h"
#include "src/auth/oidc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NOW = 1700000000 };
static struct jwks keys;
static const struct id_token_rules rules = {
    .issuer = "https://i", .client_id = "c", .nonce = "n", .now_s = NOW,
};

static void keys_make(void)
{
    keys.keys[0] = (struct jwk){ .kid = "k", .alg = OIDC_RS256, .key = EVP_RSA_gen(2048) };
    check(keys.keys[0].key);
    keys.count = 1;
}

static void key_set(const uint8_t *data, size_t size)
{
    struct jwks got;
    struct why why = { "" };
    enum err e = jwks_parse((const char *)data, size, &got, &why);
    check(e == OK || (e == ERR_BAD_REQUEST && why.text[0]));
    check(got.count <= JWKS_KEYS && (e == OK || !got.count));
    for (unsigned i = 0; i < got.count; i++)
        check(got.keys[i].key && got.keys[i].alg != OIDC_ALG_NONE);
    jwks_free(&got);
}

static void token(const char *text, bool ours)
{
    struct why why = { "" };
    json_t *claims = NULL;
    enum err e = id_token_verify(&keys, text, &rules, &claims, &why);
    check(e == OK || e == ERR_UNAUTHORIZED || e == ERR_NOT_FOUND);
    check((claims != NULL) == (e == OK));
    if (e)
        return;
    check(ours);
    const char *issuer = json_string_value(json_object_get(claims, "iss"));
    const char *nonce = json_string_value(json_object_get(claims, "nonce"));
    const char *subject = json_string_value(json_object_get(claims, "sub"));
    check(issuer && strcmp(issuer, "https://i") == 0 && nonce && strcmp(nonce, "n") == 0);
    check(subject && *subject && json_number_value(json_object_get(claims, "exp")) > NOW - 3600);
    json_decref(claims);
}

static void token_signed(struct arena *a, const uint8_t *data, size_t size)
{
    static const char head[] = "{\"alg\":\"RS256\",\"kid\":\"k\"}";
    char *text = arena_printf(a, "%s.%s", base64url_encode(a, head, sizeof head - 1),
                              base64url_encode(a, data, size));
    unsigned char signature[512];
    size_t length = sizeof signature;
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    check(EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, keys.keys[0].key) == 1 &&
          EVP_DigestSign(c, signature, &length, (unsigned char *)text, strlen(text)) == 1);
    EVP_MD_CTX_free(c);
    token(arena_printf(a, "%s.%s", text, base64url_encode(a, signature, length)), true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    if (!keys.count)
        keys_make();
    if (!size)
        return 0;
    arena_init(&a);
    switch (data[0] % 3) {
    case 0: key_set(data + 1, size - 1); break;
    case 1: token(arena_strndup(&a, (const char *)data + 1, size - 1), false); break;
    default: token_signed(&a, data + 1, size - 1);
    }
    arena_release(&a);
    return 0;
}
