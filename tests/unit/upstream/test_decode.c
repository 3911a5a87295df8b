/* SPDX-License-Identifier: Apache-2.0 */
/* Packed answers: in pieces of any size, through pauses, and what is damaged, half or too much. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "src/upstream/internal.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum { SIZE = 300 << 10, GZIP = 15 + 16, ZLIB = 15, BARE = -15 };

static unsigned char plain[SIZE], packed[2 * SIZE];

struct taker {
    unsigned char data[2 * SIZE];
    size_t size;
    unsigned pause_every, asked;
};

static bool take(void *arg, const void *data, size_t size)
{
    struct taker *t = arg;
    if (t->pause_every && ++t->asked % t->pause_every == 0)
        return false;
    assert_true(t->size + size <= sizeof t->data);
    memcpy(t->data + t->size, data, size);
    t->size += size;
    return true;
}

/* The first half is noise, the second packs a thousandfold: pieces are held back for want of room. */
static size_t pack(int bits, size_t size)
{
    z_stream z = { .next_in = plain, .avail_in = (uInt)size, .next_out = packed, .avail_out = sizeof packed };
    srandom(7);
    for (size_t i = 0; i < SIZE; i++)
        plain[i] = i < SIZE / 2 ? (unsigned char)random() : 'x';
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(deflateEnd(&z), Z_OK);
    return sizeof packed - z.avail_out;
}

/* As curl gives them: after a pause the same bytes, and perhaps some more with them. */
static enum decoded push_all(struct decoder *d, struct taker *t, size_t size, size_t step)
{
    enum decoded result = DECODED_ALL;
    for (size_t at = 0; at < size && result != DECODED_BAD;) {
        size_t n = size - at < step ? size - at : step;
        while ((result = decoder_push(d, packed + at, n, take, t)) == DECODED_PAUSED)
            n += n < size - at;
        at += n;
    }
    return result;
}

static void whole_however_it_comes(void **state)
{
    static const struct {
        enum coding coding;
        int bits;
    } kinds[] = { { CODING_GZIP, GZIP }, { CODING_DEFLATE, ZLIB }, { CODING_DEFLATE, BARE } };
    static const size_t steps[] = { 1, 777, 16384, sizeof packed };
    struct taker *t = malloc(sizeof *t);
    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        size_t size = pack(kinds[k].bits, SIZE);
        for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
            for (unsigned pause = 0; pause <= 3; pause += 1 + (pause == 0)) { /* 0, 2, 3 */
                struct decoder *d = decoder_new(kinds[k].coding);
                t->size = t->asked = 0;
                t->pause_every = pause;
                assert_int_equal(push_all(d, t, size, steps[s]), DECODED_ALL);
                assert_true(decoder_whole(d));
                assert_int_equal(t->size, SIZE);
                assert_memory_equal(t->data, plain, SIZE);
                decoder_free(d);
            }
        }
    }
    free(t);
}

static bool is_whole(enum coding coding, size_t size, enum decoded *ret)
{
    struct taker *t = calloc(1, sizeof *t);
    struct decoder *d = decoder_new(coding);
    *ret = push_all(d, t, size, 4096);
    bool whole = decoder_whole(d);
    decoder_free(d);
    free(t);
    return whole;
}

static void half_is_not_whole(void **state)
{
    enum decoded how;
    size_t size = pack(GZIP, 100000);
    (void)state;
    assert_true(is_whole(CODING_GZIP, size, &how));
    for (size_t cut = 1; cut < size; cut += cut < 20 ? 1 : 5000) {
        assert_false(is_whole(CODING_GZIP, size - cut, &how));
        assert_int_equal(how, DECODED_ALL); /* nothing wrong with it so far */
    }
    packed[size - 6] ^= 1; /* its checksum */
    assert_false(is_whole(CODING_GZIP, size, &how));
    assert_int_equal(how, DECODED_BAD);
    size = pack(GZIP, 1000);
    packed[0] = 'P';
    assert_false(is_whole(CODING_GZIP, size, &how));
    assert_int_equal(how, DECODED_BAD);
}

static void members_and_what_is_behind_them(void **state)
{
    struct taker *t = calloc(1, sizeof *t);
    struct decoder *d = decoder_new(CODING_GZIP);
    enum decoded how;
    size_t size = pack(GZIP, 1000);
    (void)state;
    memcpy(packed + size, packed, size); /* RFC 1952 §2.2 */
    assert_int_equal(push_all(d, t, 2 * size, 100), DECODED_ALL);
    assert_true(decoder_whole(d));
    assert_int_equal(t->size, 2000);
    decoder_free(d);
    free(t);
    packed[size] = 'P';
    assert_false(is_whole(CODING_GZIP, size + 10, &how));
    assert_int_equal(how, DECODED_BAD);
}

static void names(void **state)
{
    static const struct {
        const char *value;
        enum coding coding;
    } values[] = {
        { "", CODING_NONE }, { "identity", CODING_NONE }, { "gzip", CODING_GZIP }, { "X-GZip", CODING_GZIP },
        { "identity, gzip", CODING_GZIP }, { "deflate", CODING_DEFLATE }, { "br", CODING_UNKNOWN },
        { "zstd", CODING_UNKNOWN }, { "gzip, gzip", CODING_UNKNOWN }, { "gzip2", CODING_UNKNOWN },
    };
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        assert_int_equal(coding_parse(values[i].value), values[i].coding);
    assert_true(coding_is_the_files("https://h/a/lib-1.0.tar.gz?x=1", NULL));
    assert_true(coding_is_the_files("https://h/a/lib-1.0.TGZ", "application/octet-stream"));
    assert_true(coding_is_the_files("https://h/blob", "application/vnd.oci.image.layer.v1.tar+gzip"));
    assert_false(coding_is_the_files("https://h/index.json?of=a.gz", "application/json"));
    assert_false(coding_is_the_files("https://h/simple/gz/", "text/html"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_however_it_comes), cmocka_unit_test(half_is_not_whole),
        cmocka_unit_test(members_and_what_is_behind_them), cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
