/* SPDX-License-Identifier: Apache-2.0 */
/* test_downloads: download tokens that this cluster signed itself, with claims that it would not make: past
 * their time, of another version, of another repository, of a user who is not there. */
#include "fx_api.h"

#include "pantera/meta_search.h"

static struct fx_api *fx;
static const char *admin;
static unsigned char *key;
static size_t key_size;
static const char *claims; /* of a token that was given out */

static int start(void **state)
{
    int rc = fx_api_start(state);

    fx = *state;
    admin = fx_sign_in(fx, "admin", FX_PASSWORD, NULL);
    return rc;
}

static void token_is_made(void **state)
{
    const char *body = "{\"repo\":{\"type\":\"file\",\"storage\":\"default\"}}";
    struct meta_reader *reader;
    const char *token, *sealed;
    json_t *json;
    size_t n;
    void *clear;

    assert_int_equal(fx_status(fx, "PUT", "/repositories/files", admin, body), 200);
    assert_int_equal(fx_status(fx, "PUT", "/repositories/other", admin, body), 200);
    assert_int_equal(fx_ask(fx, fx->port, "PUT", "/files/f", admin, "bytes").status, 201);
    json = fx_json(fx, 200, "POST", "/repositories/files/artifact/download-token?path=f", admin, NULL);
    token = fx_text(fx, json, "token");
    json_decref(json);
    claims = base64_decode(&fx->arena, token, strcspn(token, "."), &n);
    assert_non_null(claims);
    reader = meta_reader_open(fx->dir, &fx->why);
    assert_non_null(reader);
    sealed = download_key_sealed(reader, &fx->arena);
    assert_non_null(sealed);
    assert_int_equal(unseal(&fx->arena, cluster_seal_key(fx->cluster), "download_key", sealed, &clear,
                            &key_size, &fx->why), OK);
    key = clear;
    meta_reader_close(reader);
}

/* What a token with the given claim in the place of its own is worth. */
static int worth(const char *repo, unsigned index, const char *value)
{
    const char *text = claims, *forged, *target;
    unsigned char signature[32];
    struct buf b;

    buf_init(&b, 4096);
    for (unsigned i = 0; *text; i++) {
        size_t n = strcspn(text, "\n");
        if (i)
            buf_puts(&b, "\n");
        if (i == index)
            buf_puts(&b, value);
        else
            buf_add(&b, text, n);
        text += n + (text[n] == '\n');
    }
    hmac_sha256(key, key_size, b.data, b.length, signature);
    forged = arena_printf(&fx->arena, "%s.%s", base64url_encode(&fx->arena, b.data, b.length),
                          base64url_encode(&fx->arena, signature, sizeof signature));
    buf_free(&b);
    target = arena_printf(&fx->arena, "/repositories/%s/artifact/download-direct?token=%s", repo, forged);
    return fx_status(fx, "GET", target, NULL, NULL);
}

static void claims_are_looked_at(void **state)
{
    enum { VERSION, REPO, USER, EPOCH, EXPIRES, PATH };
    int64_t now = clock_wall_ms();

    assert_int_equal(worth("files", 99, ""), 200); /* as it was */
    assert_int_equal(worth("files", EXPIRES, arena_printf(&fx->arena, "%lld", (long long)now + 5000)), 200);
    assert_int_equal(worth("files", EXPIRES, arena_printf(&fx->arena, "%lld", (long long)now)), 401);
    assert_int_equal(worth("files", EXPIRES, arena_printf(&fx->arena, "%lld", (long long)now - 60000)), 401);
    assert_int_equal(worth("files", EXPIRES, "x"), 401);
    assert_int_equal(worth("files", EXPIRES, ""), 401);
    assert_int_equal(worth("files", EXPIRES, "99999999999999999999999"), 401);
    assert_int_equal(worth("files", VERSION, "2"), 401);
    assert_int_equal(worth("files", REPO, "77"), 401);
    assert_int_equal(worth("other", 99, ""), 401);
    assert_int_equal(worth("none", 99, ""), 401);
    assert_int_equal(worth("files", USER, "nobody"), 401);
    assert_int_equal(worth("files", EPOCH, "1"), 401);
    assert_int_equal(worth("files", PATH, "g"), 404);
    assert_int_equal(worth("files", PATH, "f\nmore"), 401);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_is_made),
        cmocka_unit_test(claims_are_looked_at),
    };
    return cmocka_run_group_tests(tests, start, fx_api_stop);
}
