/* SPDX-License-Identifier: Apache-2.0 */
/* id_tokens: each rule of OIDC Core §3.1.3.7, and the ways in which signatures are forged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include "pantera/text.h"
#include "src/auth/oidc.h"

#include <cmocka.h>

enum { NOW = 1700000000 };
static EVP_PKEY *rsa, *ec, *small;
static struct arena arena;
static struct jwks keys;
static const struct id_token_rules rules = {
    .issuer = "https://idp.example", .client_id = "pantera", .nonce = "n0nce", .now_s = NOW,
};

static const char *param(EVP_PKEY *key, const char *name)
{
    BIGNUM *bn = NULL;
    unsigned char bytes[512];
    assert_int_equal(EVP_PKEY_get_bn_param(key, name, &bn), 1);
    int n = strlen(name) == 2 ? BN_bn2binpad(bn, bytes, 32) : BN_bn2bin(bn, bytes); /* "qx", "qy" */
    BN_free(bn);
    return base64url_encode(&arena, bytes, (size_t)n);
}

static json_t *rsa_jwk(EVP_PKEY *key, const char *kid)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "kty", "RSA", "use", "sig", "kid", kid, "n",
                     param(key, OSSL_PKEY_PARAM_RSA_N), "e", param(key, OSSL_PKEY_PARAM_RSA_E));
}

static json_t *ec_jwk(const char *kid)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "kty", "EC", "crv", "P-256", "kid", kid, "x",
                     param(ec, OSSL_PKEY_PARAM_EC_PUB_X), "y", param(ec, OSSL_PKEY_PARAM_EC_PUB_Y));
}

static void keys_of(json_t *list, struct jwks *ret)
{
    json_t *doc = json_pack("{s:o}", "keys", list);
    char *text = json_dumps(doc, 0);
    assert_int_equal(jwks_parse(text, strlen(text), ret, NULL), OK);
    free(text);
    json_decref(doc);
}

static int make_keys(void **state)
{
    arena_init(&arena);
    rsa = EVP_RSA_gen(2048);
    small = EVP_RSA_gen(1024);
    ec = EVP_EC_gen("P-256");
    keys_of(json_pack("[o, o]", rsa_jwk(rsa, "r"), ec_jwk("e")), &keys);
    assert_int_equal(keys.count, 2);
    return 0;
}

static int free_keys(void **state)
{
    jwks_free(&keys);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(small);
    EVP_PKEY_free(ec);
    arena_release(&arena);
    return 0;
}

static const char *part(json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT);
    const char *out = base64url_encode(&arena, text, strlen(text));
    free(text);
    json_decref(value);
    return out;
}

static size_t sign_with(EVP_PKEY *key, const char *text, unsigned char ret[512])
{
    size_t size = 512;
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestSign(c, ret, &size, (const unsigned char *)text, strlen(text)), 1);
    EVP_MD_CTX_free(c);
    if (EVP_PKEY_base_id(key) != EVP_PKEY_EC)
        return size;
    const unsigned char *at = ret;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)size);
    unsigned char raw[64];
    BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32);
    ECDSA_SIG_free(sig);
    memcpy(ret, raw, 64);
    return 64;
}

/* Takes both. */
static const char *token(EVP_PKEY *key, json_t *header, json_t *claims)
{
    unsigned char signature[512];
    const char *head = part(header);
    const char *text = arena_printf(&arena, "%s.%s", head, part(claims));
    size_t size = sign_with(key, text, signature);
    return arena_printf(&arena, "%s.%s", text, base64url_encode(&arena, signature, size));
}

static json_t *header(const char *alg, const char *kid)
{
    return json_pack("{s:s, s:s*}", "alg", alg, "kid", kid);
}

static json_t *claims(void)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:i, s:i}", "iss", "https://idp.example", "aud", "pantera", "sub",
                     "joe", "nonce", "n0nce", "exp", NOW + 300, "iat", NOW);
}

static enum err verify(const char *text)
{
    json_t *out = NULL;
    enum err e = id_token_verify(&keys, text, &rules, &out, NULL);
    assert_true((out != NULL) == (e == OK));
    json_decref(out);
    return e;
}

static void id_token_of_both_algorithms_is_good(void **state)
{
    assert_int_equal(verify(token(rsa, header("RS256", "r"), claims())), OK);
    assert_int_equal(verify(token(ec, header("ES256", "e"), claims())), OK);
    assert_int_equal(verify(token(rsa, header("RS256", NULL), claims())), OK); /* the only RSA key */
}

static void id_token_with_a_wrong_claim_is_refused(void **state)
{
    static const struct { const char *name, *value; enum err err; } cases[] = {
        { "iss", "\"https://idp.example/\"", ERR_UNAUTHORIZED }, { "iss", "null", ERR_UNAUTHORIZED },
        { "aud", "\"other\"", ERR_UNAUTHORIZED }, { "aud", "[\"other\"]", ERR_UNAUTHORIZED },
        { "aud", "[]", ERR_UNAUTHORIZED }, { "aud", "[\"pantera\"]", OK },
        { "aud", "[\"pantera\", \"other\"]", ERR_UNAUTHORIZED }, /* and no azp */
        { "azp", "\"other\"", ERR_UNAUTHORIZED }, { "azp", "\"pantera\"", OK },
        { "nonce", "\"N0nce\"", ERR_UNAUTHORIZED }, { "nonce", "null", ERR_UNAUTHORIZED },
        { "nonce", "\"\"", ERR_UNAUTHORIZED }, { "sub", "\"\"", ERR_UNAUTHORIZED },
        { "exp", "1699999940", ERR_UNAUTHORIZED }, { "exp", "1699999941", OK },
        { "exp", "\"1800000000\"", ERR_UNAUTHORIZED }, { "exp", "1e300", ERR_UNAUTHORIZED },
        { "iat", "null", ERR_UNAUTHORIZED }, { "iat", "1700000061", ERR_UNAUTHORIZED },
        { "nbf", "1700000061", ERR_UNAUTHORIZED }, { "nbf", "1700000060", OK },
        { "nbf", "\"x\"", ERR_UNAUTHORIZED },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *c = claims();
        json_object_set_new(c, cases[i].name, json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
        if (verify(token(rsa, header("RS256", "r"), c)) != cases[i].err)
            fail_msg("%s = %s", cases[i].name, cases[i].value);
    }
}

static void id_token_that_is_forged_is_refused(void **state)
{
    EVP_PKEY *other = EVP_RSA_gen(2048);
    assert_int_equal(verify(token(other, header("RS256", "r"), claims())), ERR_UNAUTHORIZED);
    assert_int_equal(verify(token(other, header("RS256", "x"), claims())), ERR_NOT_FOUND);
    EVP_PKEY_free(other);
    /* One key, used as another kind of key. */
    assert_int_equal(verify(token(rsa, header("ES256", "r"), claims())), ERR_NOT_FOUND);
    assert_int_equal(verify(token(rsa, header("RS512", "r"), claims())), ERR_UNAUTHORIZED);
    json_t *crit = header("RS256", "r");
    json_object_set_new(crit, "crit", json_pack("[s]", "b64"));
    assert_int_equal(verify(token(rsa, crit, claims())), ERR_UNAUTHORIZED);
    /* No signature at all, and a MAC with what everybody knows. */
    const char *head = part(header("none", NULL));
    const char *bare = arena_printf(&arena, "%s.%s", head, part(claims()));
    assert_int_equal(verify(arena_printf(&arena, "%s.", bare)), ERR_UNAUTHORIZED);
    assert_int_equal(verify(bare), ERR_UNAUTHORIZED);
    unsigned char mac[32];
    unsigned n = 0;
    head = part(header("HS256", "r"));
    const char *text = arena_printf(&arena, "%s.%s", head, part(claims()));
    const char *modulus = param(rsa, OSSL_PKEY_PARAM_RSA_N);
    HMAC(EVP_sha256(), modulus, (int)strlen(modulus), (const unsigned char *)text, strlen(text), mac, &n);
    assert_int_equal(verify(arena_printf(&arena, "%s.%s", text, base64url_encode(&arena, mac, n))),
                     ERR_UNAUTHORIZED);
}

static void id_token_that_is_garbled_is_refused(void **state)
{
    const char *good = token(ec, header("ES256", "e"), claims());
    size_t length = strlen(good);
    for (size_t i = 0; i < length; i += 7) {
        char *bad = arena_strdup(&arena, good);
        bad[i] = bad[i] == 'A' ? 'B' : 'A';
        assert_int_not_equal(verify(bad), OK);
        assert_int_not_equal(verify(arena_strndup(&arena, good, i)), OK);
    }
    assert_int_equal(verify(""), ERR_UNAUTHORIZED);
    assert_int_equal(verify(".."), ERR_UNAUTHORIZED);
    assert_int_equal(verify(arena_printf(&arena, "%s.x", good)), ERR_UNAUTHORIZED);
}

static void jwks_leaves_out_what_is_not_for_us(void **state)
{
    struct jwks set;
    json_t *encryption = rsa_jwk(rsa, "enc"), *odd = rsa_jwk(rsa, "odd"), *off = ec_jwk("off");
    json_object_set_new(encryption, "use", json_string("enc"));
    json_object_set_new(odd, "alg", json_string("RS512"));
    json_object_set_new(off, "x", json_string(param(ec, OSSL_PKEY_PARAM_EC_PUB_Y))); /* not on the curve */
    keys_of(json_pack("[o, o, o, o, {s:s}, s, {s:s, s:s, s:s}]", encryption, odd, off, rsa_jwk(small, "s"),
                      "kty", "oct", "text", "kty", "RSA", "n", "!", "e", "AQAB"), &set);
    assert_int_equal(set.count, 0);
    jwks_free(&set);
    json_t *many = json_array();
    for (int i = 0; i < 40; i++)
        json_array_append_new(many, ec_jwk("k"));
    keys_of(many, &set);
    assert_int_equal(set.count, JWKS_KEYS);
    jwks_free(&set);
    assert_int_equal(jwks_parse("{}", 2, &set, NULL), ERR_BAD_REQUEST);
    assert_int_equal(jwks_parse("", 0, &set, NULL), ERR_BAD_REQUEST);
}

/* --- configurations --- */

static enum err check_config(const char *type, const char *text)
{
    json_t *config = json_loads(text, 0, NULL);
    enum err e = provider_config_check(type, config, NULL);
    json_decref(config);
    return e;
}

static void provider_config_is_checked(void **state)
{
    assert_int_equal(check_config("oidc", "{\"issuer\": \"https://i\", \"client-id\": \"c\"}"), OK);
    assert_int_equal(check_config("okta",
                                  "{\"issuer\": \"https://i\", \"client-id\": \"c\", \"group-roles\": "
                                  "[{\"a\": \"b\"}], \"user-domains\": [\"x.org\"]}"), OK);
    assert_int_equal(check_config("keycloak",
                                  "{\"url\": \"https://k\", \"realm\": \"r\", \"client-id\": \"c\","
                                  "\"client-password\": \"p\"}"), OK);
    assert_int_equal(check_config("oidc", "{\"issuer\": \"http://127.0.0.1:80\", \"client-id\": \"c\"}"), OK);
    static const char *const bad[] = {
        "{\"issuer\": \"http://i\", \"client-id\": \"c\"}", "{\"issuer\": \"https://i\"}",
        "{\"issuer\": \"http://127.0.0.1.evil.org\", \"client-id\": \"c\"}",
        "{\"issuer\": \"ftp://i\", \"client-id\": \"c\"}", "{\"issuer\": \"https://\", \"client-id\": \"c\"}",
        "{\"issuer\": \"https://i?x\", \"client-id\": \"c\"}",
        "{\"issuer\": \"https://i\", \"client-id\": 1}",
        "{\"issuer\": \"https://i\", \"client-id\": \"c\", \"realm\": \"r\"}",
        "{\"issuer\": \"https://i\", \"client-id\": \"c\", \"callback-urls\": [1]}",
        "{\"issuer\": \"https://i\", \"client-id\": \"c\", \"group-roles\": {\"a\": 1}}",
        "{\"issuer\": \"https://i\", \"client-id\": \"c\", \"group-roles\": [[[]]]}",
        "{\"issuer\": \"https://i\", \"client-id\": \"c\", \"allow-http\": \"yes\"}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (check_config("oidc", bad[i]) != ERR_BAD_REQUEST)
            fail_msg("%s", bad[i]);
    assert_int_equal(check_config("ldap", "{}"), ERR_BAD_REQUEST);
}

static enum err admit(const char *config, const char *name, const char *groups, const char *roles)
{
    struct provider p = { .config = json_loads(config, 0, NULL) };
    struct sso_identity who = { .name = name, .groups = groups ? json_loads(groups, 0, NULL) : NULL };
    json_t *got = NULL, *wanted = roles ? json_loads(roles, 0, NULL) : NULL;
    p.default_role = json_string_value(json_object_get(p.config, "default-role"));
    enum err e = sso_admit(&p, &who, &got, NULL);
    if (!e)
        assert_true(wanted ? json_equal(got, wanted) : !got);
    json_decref(got);
    json_decref(wanted);
    json_decref((json_t *)(uintptr_t)p.config);
    json_decref((json_t *)(uintptr_t)who.groups);
    return e;
}

static void sso_admit_follows_the_configuration(void **state)
{
    static const char map[] = "{\"group-roles\": {\"dev\": \"deployer\", \"ops\": [\"admin\", \"x\"]}, "
                              "\"default-role\": \"reader\"}";
    assert_int_equal(admit(map, "joe", "[\"dev\", \"ops\"]", "[\"deployer\", \"admin\", \"x\"]"), OK);
    assert_int_equal(admit(map, "joe", "[\"admin\"]", "[\"reader\"]"), OK); /* a name is not a mapping */
    assert_int_equal(admit(map, "joe", NULL, "[\"reader\"]"), OK);
    assert_int_equal(admit("{\"group-roles\": [{\"dev\": \"deployer\"}]}", "joe", "[\"dev\"]",
                           "[\"deployer\"]"), OK);
    assert_int_equal(admit("{}", "joe", "[\"dev\"]", "[]"), OK);
    assert_int_equal(admit("{}", "joe", NULL, NULL), OK);
    assert_int_equal(admit("{\"allowed-groups\": [\"dev\"]}", "joe", "[\"ops\"]", NULL), ERR_FORBIDDEN);
    assert_int_equal(admit("{\"allowed-groups\": [\"dev\"]}", "joe", NULL, NULL), ERR_FORBIDDEN);
    assert_int_equal(admit("{\"allowed-groups\": [\"dev\"]}", "joe", "[\"ops\", \"dev\"]", "[]"), OK);
    assert_int_equal(admit("{\"user-domains\": [\"a.org\"]}", "joe@a.org", NULL, NULL), OK);
    assert_int_equal(admit("{\"user-domains\": [\"@a.org\"]}", "joe@b.org", NULL, NULL), ERR_FORBIDDEN);
    assert_int_equal(admit("{\"user-domains\": [\"a.org\"]}", "joe", NULL, NULL), ERR_FORBIDDEN);
    assert_int_equal(admit("{\"user-domains\": [\"local\"]}", "joe", NULL, NULL), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(id_token_of_both_algorithms_is_good),
        cmocka_unit_test(id_token_with_a_wrong_claim_is_refused),
        cmocka_unit_test(id_token_that_is_forged_is_refused),
        cmocka_unit_test(id_token_that_is_garbled_is_refused),
        cmocka_unit_test(jwks_leaves_out_what_is_not_for_us),
        cmocka_unit_test(provider_config_is_checked),
        cmocka_unit_test(sso_admit_follows_the_configuration),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
