/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens as text: round trip, tampering, other algorithms, missing claims; Authorization's forms. */
#include <jwt.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/limits.h"
#include "pantera/text.h"
#include "src/auth/internal.h"

#include <cmocka.h>
#undef fail

static struct keyring ring;
static struct arena arena;
static char *private_pem, *public_pem, *other_private_pem;

static void pair(char **ret_private, char **ret_public)
{
    EVP_PKEY *key = EVP_RSA_gen(2048);
    BIO *a = BIO_new(BIO_s_mem()), *b = BIO_new(BIO_s_mem());
    char *data;
    assert_true(PEM_write_bio_PrivateKey(a, key, NULL, NULL, 0, NULL, NULL));
    assert_true(PEM_write_bio_PUBKEY(b, key));
    long n = BIO_get_mem_data(a, &data);
    *ret_private = strndup(data, (size_t)n);
    n = BIO_get_mem_data(b, &data);
    *ret_public = strndup(data, (size_t)n);
    BIO_free(a);
    BIO_free(b);
    EVP_PKEY_free(key);
}

static int setup(void **state)
{
    char *unused;
    pair(&private_pem, &public_pem);
    pair(&other_private_pem, &unused);
    free(unused);
    arena_init(&arena);
    return keyring_add(&ring, "k1", public_pem, NULL);
}

static int teardown(void **state)
{
    keyring_free(&ring);
    arena_release(&arena);
    free(private_pem);
    free(public_pem);
    free(other_private_pem);
    return 0;
}

static const struct claims joe = {
    .user = "joe", .context = "local", .id = "id-1", .kid = "k1", .type = TOKEN_ACCESS,
    .epoch_ms = 1234567890123, .issued_ms = 1000, .expires_ms = 9000000000000,
};

static enum err parse(const char *text, struct claims *ret)
{
    struct why why = { "" };
    enum err e = token_parse(&ring, &arena, text, strlen(text), ret, &why);
    assert_true(e == OK || (e == ERR_UNAUTHORIZED && why.text[0]));
    return e;
}

/* What is built is read again, to the millisecond of the epoch. */
static void token_round_trip(void **state)
{
    for (enum token_type type = TOKEN_ACCESS; type <= TOKEN_API; type++) {
        struct claims c = joe, got;
        char *text;
        c.type = type;
        c.expires_ms = type == TOKEN_API ? 0 : joe.expires_ms;
        assert_int_equal(token_build(&c, private_pem, &text), OK);
        assert_int_equal(parse(text, &got), OK);
        assert_string_equal(got.user, "joe");
        assert_string_equal(got.context, "local");
        assert_string_equal(got.id, "id-1");
        assert_string_equal(got.kid, "k1");
        assert_int_equal(got.type, type);
        assert_int_equal(got.epoch_ms, joe.epoch_ms);
        assert_int_equal(got.expires_ms, c.expires_ms);
        free(text);
    }
}

/* One changed character anywhere, and it is nobody's. */
static void token_tampered_is_refused(void **state)
{
    struct claims got;
    char *text;
    assert_int_equal(token_build(&joe, private_pem, &text), OK);
    size_t length = strlen(text);
    for (size_t i = 0; i + 1 < length; i += 7) { /* the last character has bits that mean nothing */
        char kept = text[i];
        text[i] = kept == 'A' ? 'B' : 'A';
        assert_int_equal(parse(text, &got), ERR_UNAUTHORIZED);
        text[i] = kept;
    }
    for (size_t cut = 1; cut < 40; cut++) {
        char *shorter = strndup(text, length - cut);
        assert_int_equal(parse(shorter, &got), ERR_UNAUTHORIZED);
        free(shorter);
    }
    assert_int_equal(parse(text, &got), OK);
    free(text);
}

static char *foreign(jwt_alg_t alg, const char *key, const char *kid)
{
    jwt_t *jwt;
    assert_int_equal(jwt_new(&jwt), 0);
    assert_int_equal(jwt_set_alg(jwt, alg, (const unsigned char *)key, key ? (int)strlen(key) : 0), 0);
    if (kid)
        jwt_add_header(jwt, "kid", kid);
    jwt_add_grant(jwt, "sub", "joe");
    jwt_add_grant(jwt, "context", "local");
    jwt_add_grant(jwt, "jti", "id-1");
    jwt_add_grant(jwt, "type", "access");
    jwt_add_grant_int(jwt, "epoch", 1);
    jwt_add_grant_int(jwt, "iat", 1);
    jwt_add_grant_int(jwt, "exp", 9000000000);
    char *text = jwt_encode_str(jwt);
    jwt_free(jwt);
    assert_non_null(text);
    return text;
}

/* none, HS256 with the public key as the secret, RS512, another key, no kid, an unknown kid. */
static void token_of_other_algorithms_is_refused(void **state)
{
    struct claims got;
    char *text = foreign(JWT_ALG_RS256, private_pem, "k1");
    assert_int_equal(parse(text, &got), OK); /* the helper makes good ones too */
    free(text);
    const struct {
        jwt_alg_t alg;
        const char *key, *kid;
    } bad[] = {
        { JWT_ALG_NONE, NULL, "k1" },          { JWT_ALG_HS256, public_pem, "k1" },
        { JWT_ALG_RS512, private_pem, "k1" },  { JWT_ALG_RS256, other_private_pem, "k1" },
        { JWT_ALG_RS256, private_pem, NULL },  { JWT_ALG_RS256, private_pem, "k2" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        text = foreign(bad[i].alg, bad[i].key, bad[i].kid);
        assert_int_equal(parse(text, &got), ERR_UNAUTHORIZED);
        free(text);
    }
    assert_int_equal(parse("eyJhbGciOiJub25lIn0.eyJzdWIiOiJqb2UifQ.", &got), ERR_UNAUTHORIZED);
}

/* A header of another algorithm is refused even where the signature under it is ours. */
static void token_header_decides_nothing(void **state)
{
    static const struct {
        const char *header;
        enum err expected;
    } tries[] = {
        { "{\"alg\":\"RS256\",\"kid\":\"k1\"}", OK },
        { "{\"alg\":\"HS256\",\"kid\":\"k1\"}", ERR_UNAUTHORIZED },
        { "{\"alg\":\"none\",\"kid\":\"k1\"}", ERR_UNAUTHORIZED },
        { "{\"alg\":\"rs256\",\"kid\":\"k1\"}", ERR_UNAUTHORIZED },
        { "{\"kid\":\"k1\"}", ERR_UNAUTHORIZED },
        { "{\"alg\":\"RS256\",\"kid\":\"k1\",\"crit\":[\"x\"]}", ERR_UNAUTHORIZED },
        { "{\"alg\":\"RS256\",\"alg\":\"none\",\"kid\":\"k1\"}", ERR_UNAUTHORIZED },
    };
    BIO *bio = BIO_new_mem_buf(private_pem, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    char *good;
    assert_int_equal(token_build(&joe, private_pem, &good), OK);
    const char *payload = strchr(good, '.') + 1;
    size_t length = (size_t)(strrchr(good, '.') - payload);
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        struct claims got;
        unsigned char signature[512];
        size_t size = sizeof signature;
        char *text = arena_printf(&arena, "%s.%.*s",
                                  base64url_encode(&arena, tries[i].header, strlen(tries[i].header)),
                                  (int)length, payload);
        EVP_MD_CTX *c = EVP_MD_CTX_new();
        assert_int_equal(EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, key), 1);
        assert_int_equal(EVP_DigestSign(c, signature, &size, (unsigned char *)text, strlen(text)), 1);
        EVP_MD_CTX_free(c);
        text = arena_printf(&arena, "%s.%s", text, base64url_encode(&arena, signature, size));
        assert_int_equal(parse(text, &got), tries[i].expected);
    }
    free(good);
    EVP_PKEY_free(key);
    BIO_free(bio);
}

/* Every claim is needed; only an API token may be without an end. */
static void token_without_a_claim_is_refused(void **state)
{
    static const char *const claims[] = { "sub", "context", "jti", "type", "epoch", "exp" };
    for (size_t i = 0; i < sizeof claims / sizeof *claims; i++) {
        struct claims got;
        jwt_t *jwt;
        char *text = foreign(JWT_ALG_RS256, private_pem, "k1");
        assert_int_equal(jwt_decode(&jwt, text, (const unsigned char *)public_pem,
                                    (int)strlen(public_pem)), 0);
        free(text);
        jwt_del_grants(jwt, claims[i]);
        jwt_set_alg(jwt, JWT_ALG_RS256, (const unsigned char *)private_pem, (int)strlen(private_pem));
        text = jwt_encode_str(jwt);
        jwt_free(jwt);
        assert_int_equal(parse(text, &got), ERR_UNAUTHORIZED);
        free(text);
    }
}

static enum err credentials(const char *value, struct credentials *ret)
{
    struct why why = { "" };
    return credentials_parse(&arena, value, ret, &why);
}

static const char *basic(const char *pair)
{
    return arena_printf(&arena, "Basic %s", base64_encode(&arena, pair, strlen(pair)));
}

/* Basic with a password, Basic with a token, Bearer; the rest is refused and harms nobody. */
static void authorization_is_taken_apart(void **state)
{
    struct credentials c;
    assert_int_equal(credentials("Bearer abc.def", &c), OK);
    assert_string_equal(c.token, "abc.def");
    assert_null(c.user);
    assert_int_equal(credentials("bEARER   x", &c), OK);
    assert_string_equal(c.token, "x");
    assert_int_equal(credentials(basic("joe:a:b"), &c), OK);
    assert_string_equal(c.user, "joe");
    assert_string_equal(c.password, "a:b");
    assert_null(c.token);
    assert_int_equal(credentials(basic("joe:eyJhbGciOiJSUzI1NiJ9.eyJzIjoxfQ.c2ln"), &c), OK);
    assert_null(c.password);
    assert_string_equal(c.token, "eyJhbGciOiJSUzI1NiJ9.eyJzIjoxfQ.c2ln");
    assert_int_equal(credentials(basic("joe:"), &c), OK);
    assert_string_equal(c.password, "");
    static const char *const bad[] = { "", "Basic", "Basic ", "Basic %%%", "Digest x", "Bearerx",
                                       "Basic am9l", "Basic OnBhc3M=" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(credentials(bad[i], &c), ERR_UNAUTHORIZED);
    assert_int_equal(credentials(arena_printf(&arena, "Basic %s", base64_encode(&arena, "j\0e:x", 5)),
                                 &c), ERR_UNAUTHORIZED);
    char *huge = malloc(3 * LIMIT_TOKEN);
    memset(huge, 'a', 3 * LIMIT_TOKEN - 1);
    memcpy(huge, "Bearer ", 7);
    huge[3 * LIMIT_TOKEN - 1] = '\0';
    assert_int_equal(credentials(huge, &c), ERR_UNAUTHORIZED);
    free(huge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_round_trip),
        cmocka_unit_test(token_tampered_is_refused),
        cmocka_unit_test(token_of_other_algorithms_is_refused),
        cmocka_unit_test(token_header_decides_nothing),
        cmocka_unit_test(token_without_a_claim_is_refused),
        cmocka_unit_test(authorization_is_taken_apart),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
