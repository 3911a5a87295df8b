/* SPDX-License-Identifier: Apache-2.0 */
/* id_tokens and the keys that sign them: pure functions, no network, no clock. The algorithm is one of two,
 * and it must be the key's: what the token's header says chooses among keys, never how one is used. */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/param_build.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/text.h"
#include "src/auth/oidc.h"

enum { P256_BYTES = 32, RSA_BITS_LEAST = 2048, RSA_BITS_MOST = 8192 };

/* --- keys: RFC 7517, RFC 7518 §6 --- */

static const void *member_bytes(struct arena *a, const json_t *jwk, const char *name, size_t *ret_size)
{
    const char *text = json_string_value(json_object_get(jwk, name));
    return text ? base64_decode(a, text, strlen(text), ret_size) : NULL;
}

static EVP_PKEY *key_from(const char *kind, OSSL_PARAM *params)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *c = params ? EVP_PKEY_CTX_new_from_name(NULL, kind, NULL) : NULL;
    if (!c || EVP_PKEY_fromdata_init(c) != 1 ||
        EVP_PKEY_fromdata(c, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(c);
    OSSL_PARAM_free(params);
    return key;
}

static EVP_PKEY *rsa_key(struct arena *a, const json_t *jwk)
{
    size_t n_size = 0, e_size = 0;
    const void *n = member_bytes(a, jwk, "n", &n_size), *e = member_bytes(a, jwk, "e", &e_size);
    if (!n || !e || n_size > RSA_BITS_MOST / 8 || e_size > 8)
        return NULL;
    BIGNUM *bn_n = BN_bin2bn(n, (int)n_size, NULL), *bn_e = BN_bin2bn(e, (int)e_size, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    if (bn_n && bn_e && build && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, bn_n) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, bn_e))
        params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY *key = key_from("RSA", params);
    OSSL_PARAM_BLD_free(build);
    BN_free(bn_n);
    BN_free(bn_e);
    if (key && EVP_PKEY_bits(key) < RSA_BITS_LEAST) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

static EVP_PKEY *ec_key(struct arena *a, const json_t *jwk)
{
    const char *curve = json_string_value(json_object_get(jwk, "crv"));
    size_t x_size = 0, y_size = 0;
    const void *x = member_bytes(a, jwk, "x", &x_size), *y = member_bytes(a, jwk, "y", &y_size);
    unsigned char point[1 + 2 * P256_BYTES] = { 4 }; /* uncompressed */
    if (!curve || strcmp(curve, "P-256") != 0 || !x || !y || x_size != P256_BYTES || y_size != P256_BYTES)
        return NULL;
    memcpy(point + 1, x, P256_BYTES);
    memcpy(point + 1 + P256_BYTES, y, P256_BYTES);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    if (build && OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point))
        params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY *key = key_from("EC", params); /* refuses a point that is not on the curve */
    OSSL_PARAM_BLD_free(build);
    return key;
}

static enum oidc_alg alg_parse(const char *text)
{
    if (text && strcmp(text, "RS256") == 0)
        return OIDC_RS256;
    return text && strcmp(text, "ES256") == 0 ? OIDC_ES256 : OIDC_ALG_NONE;
}

static void jwks_add(struct jwks *set, struct arena *a, const json_t *jwk)
{
    const char *kty = json_string_value(json_object_get(jwk, "kty"));
    const char *use = json_string_value(json_object_get(jwk, "use"));
    const char *kid = json_string_value(json_object_get(jwk, "kid"));
    const json_t *alg = json_object_get(jwk, "alg");
    struct jwk *slot = &set->keys[set->count];
    if (!kty || (use && strcmp(use, "sig") != 0) || (kid && strlen(kid) >= sizeof slot->kid))
        return;
    bool rsa = strcmp(kty, "RSA") == 0, ec = strcmp(kty, "EC") == 0;
    slot->alg = rsa ? OIDC_RS256 : ec ? OIDC_ES256 : OIDC_ALG_NONE;
    if (!slot->alg || (alg && alg_parse(json_string_value(alg)) != slot->alg))
        return;
    slot->key = rsa ? rsa_key(a, jwk) : ec_key(a, jwk);
    snprintf(slot->kid, sizeof slot->kid, "%s", kid ? kid : "");
    set->count += slot->key != NULL;
}

enum err jwks_parse(const char *text, size_t size, struct jwks *ret, struct why *why)
{
    struct arena a;
    size_t i;
    const json_t *jwk;
    json_t *doc = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    const json_t *keys = json_object_get(doc, "keys");
    enum err e = OK;
    memset(ret, 0, sizeof *ret);
    arena_init(&a);
    if (!json_is_array(keys))
        e = fail(why, ERR_BAD_REQUEST, "the provider's key set is not one");
    json_array_foreach(keys, i, jwk) {
        if (ret->count < JWKS_KEYS)
            jwks_add(ret, &a, jwk);
    }
    arena_release(&a);
    json_decref(doc);
    return e;
}

void jwks_free(struct jwks *k)
{
    for (unsigned i = 0; i < k->count; i++)
        EVP_PKEY_free(k->keys[i].key);
    k->count = 0;
}

/* --- signatures --- */

/* RFC 7518 §3.4: r and s, 32 bytes each; OpenSSL wants them as DER. */
static unsigned char *ecdsa_der(const unsigned char *raw, size_t size, int *ret_size)
{
    unsigned char *der = NULL;
    if (size != 2 * P256_BYTES)
        return NULL;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, P256_BYTES, NULL), *s = BN_bin2bn(raw + P256_BYTES, P256_BYTES, NULL);
    if (sig && r && s && ECDSA_SIG_set0(sig, r, s)) {
        *ret_size = i2d_ECDSA_SIG(sig, &der);
        r = s = NULL;
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return der;
}

static bool signature_good(const struct jwk *k, const char *text, size_t length,
                           const unsigned char *signature, size_t size)
{
    unsigned char *der = NULL;
    int der_size = 0;
    if (k->alg == OIDC_ES256) {
        if (!(der = ecdsa_der(signature, size, &der_size)) || der_size <= 0)
            return false;
        signature = der;
        size = (size_t)der_size;
    }
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool good = c && EVP_DigestVerifyInit(c, NULL, EVP_sha256(), NULL, k->key) == 1 &&
                EVP_DigestVerify(c, signature, size, (const unsigned char *)text, length) == 1;
    EVP_MD_CTX_free(c);
    OPENSSL_free(der);
    return good;
}

/* The key that the header names; without a name, the only one of its algorithm (OIDC Core §10.1). */
static const struct jwk *key_find(const struct jwks *keys, enum oidc_alg alg, const char *kid)
{
    const struct jwk *found = NULL;
    for (unsigned i = 0; i < keys->count; i++) {
        const struct jwk *k = &keys->keys[i];
        if (k->alg != alg || (kid && strcmp(k->kid, kid) != 0))
            continue;
        if (found)
            return NULL;
        found = k;
    }
    return found;
}

/* --- claims: OIDC Core §3.1.3.7 --- */

static const char *claim(const json_t *claims, const char *name)
{
    return json_string_value(json_object_get(claims, name));
}

static bool claim_is(const json_t *claims, const char *name, const char *wanted)
{
    const char *text = claim(claims, name);
    return text && strcmp(text, wanted) == 0;
}

/* For us; and if for others too, then given to us (azp). */
static bool audience_good(const json_t *claims, const char *client_id)
{
    const json_t *aud = json_object_get(claims, "aud"), *item;
    bool ours = claim_is(claims, "aud", client_id);
    size_t i;
    json_array_foreach(aud, i, item)
        ours = ours || (json_is_string(item) && strcmp(json_string_value(item), client_id) == 0);
    if (json_object_get(claims, "azp") || json_array_size(aud) > 1)
        return ours && claim_is(claims, "azp", client_id);
    return ours;
}

static bool claim_time(const json_t *claims, const char *name, int64_t *ret)
{
    const json_t *v = json_object_get(claims, name);
    double d = json_number_value(v);
    if (!json_is_number(v) || !(d >= 0 && d < 1e12))
        return false;
    *ret = (int64_t)d;
    return true;
}

static enum err claims_check(const json_t *claims, const struct id_token_rules *r, struct why *why)
{
    int64_t exp, iat, nbf = 0;
    const char *nonce = claim(claims, "nonce"), *sub = claim(claims, "sub");
    if (!claim_is(claims, "iss", r->issuer))
        return fail(why, ERR_UNAUTHORIZED, "id_token: the issuer is not the provider's");
    if (!audience_good(claims, r->client_id))
        return fail(why, ERR_UNAUTHORIZED, "id_token: it was made for somebody else");
    if (!claim_time(claims, "exp", &exp) || !claim_time(claims, "iat", &iat) ||
        (json_object_get(claims, "nbf") && !claim_time(claims, "nbf", &nbf)))
        return fail(why, ERR_UNAUTHORIZED, "id_token: exp, iat or nbf is not a time");
    if (exp <= r->now_s - OIDC_SKEW_S)
        return fail(why, ERR_UNAUTHORIZED, "id_token: expired");
    if (nbf > r->now_s + OIDC_SKEW_S || iat > r->now_s + OIDC_SKEW_S)
        return fail(why, ERR_UNAUTHORIZED, "id_token: not valid yet");
    if (r->nonce && (!nonce || strlen(nonce) != strlen(r->nonce) ||
                     !equal_constant_time(nonce, r->nonce, strlen(nonce))))
        return fail(why, ERR_UNAUTHORIZED, "id_token: the nonce is not this sign-in's");
    if (!sub || !*sub || strlen(sub) > 255)
        return fail(why, ERR_UNAUTHORIZED, "id_token: no subject");
    return OK;
}

static json_t *part_json(struct arena *a, const char *text, size_t length)
{
    size_t size;
    const char *raw = base64_decode(a, text, length, &size);
    return raw ? json_loadb(raw, size, JSON_REJECT_DUPLICATES, NULL) : NULL;
}

static enum err header_check(const json_t *header, const struct jwks *keys, const struct jwk **ret,
                             struct why *why)
{
    const json_t *kid = json_object_get(header, "kid");
    enum oidc_alg alg = alg_parse(json_string_value(json_object_get(header, "alg")));
    if (alg == OIDC_ALG_NONE)
        return fail(why, ERR_UNAUTHORIZED, "id_token: the algorithm is neither RS256 nor ES256");
    if (json_object_get(header, "crit") || (kid && !json_is_string(kid)))
        return fail(why, ERR_UNAUTHORIZED, "id_token: a header that is not understood");
    *ret = key_find(keys, alg, json_string_value(kid));
    return *ret ? OK : fail(why, ERR_NOT_FOUND, "id_token: signed with a key that the provider does not "
                            "list");
}

enum err id_token_verify(const struct jwks *keys, const char *text, const struct id_token_rules *rules,
                         json_t **ret_claims, struct why *why)
{
    struct arena a;
    json_t *header = NULL, *claims = NULL;
    const struct jwk *key = NULL;
    size_t length = strlen(text), size;
    const char *dot = strchr(text, '.'), *last = strrchr(text, '.');
    enum err e = OK;
    if (length > OIDC_ID_TOKEN || !dot || last == dot || memchr(dot + 1, '.', (size_t)(last - dot - 1)))
        return fail(why, ERR_UNAUTHORIZED, "id_token: not a signed token");
    arena_init(&a);
    header = part_json(&a, text, (size_t)(dot - text));
    if ((e = header_check(header, keys, &key, why)))
        goto out;
    const unsigned char *signature = base64_decode(&a, last + 1, strlen(last + 1), &size);
    if (!signature || !signature_good(key, text, (size_t)(last - text), signature, size)) {
        e = fail(why, ERR_UNAUTHORIZED, "id_token: the signature is wrong");
        goto out;
    }
    claims = part_json(&a, dot + 1, (size_t)(last - dot - 1));
    e = json_is_object(claims) ? claims_check(claims, rules, why)
                               : fail(why, ERR_UNAUTHORIZED, "id_token: malformed");
    if (!e)
        *ret_claims = json_incref(claims);
out:
    json_decref(header);
    json_decref(claims);
    arena_release(&a);
    return e;
}
