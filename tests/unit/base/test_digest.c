/* SPDX-License-Identifier: Apache-2.0 */
/* Digests against known vectors (FIPS 180-4, RFC 1321, RFC 4231); what is sealed opens with its key, in
 * its place, unchanged, and in no other case. */
#include "pantera/digest.h"

#include <string.h>

#include "pantera/ids.h"
#include "pantera/text.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum { ALL = DIGEST_SHA256 | DIGEST_SHA1 | DIGEST_MD5 | DIGEST_SHA512 };

static void assert_hex(const unsigned char *bytes, size_t size, const char *expected)
{
    char text[129];
    hex_encode(bytes, size, text);
    assert_string_equal(text, expected);
}

static void known_vectors_in_one_pass(void **state)
{
    struct digest_values v;
    struct digester *d = digester_new(ALL);
    digester_update(d, "a", 1); /* in pieces, one of them empty */
    digester_update(d, "", 0);
    digester_update(d, "bc", 2);
    digester_final(d, &v);
    digester_free(d);
    assert_int_equal(v.kinds, ALL);
    assert_hex(v.sha256, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_hex(v.sha1, 20, "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_hex(v.md5, 16, "900150983cd24fb0d6963f7d28e17f72");
    assert_hex(v.sha512, 64,
               "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
               "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
}

static void only_what_was_asked_for(void **state)
{
    for (unsigned kinds = 0; kinds <= ALL; kinds++) {
        struct digest_values v;
        memset(&v, 0xee, sizeof v);
        struct digester *d = digester_new(kinds);
        digester_final(d, &v);
        digester_free(d);
        assert_int_equal(v.kinds, kinds);
        if (kinds & DIGEST_MD5)
            assert_hex(v.md5, 16, "d41d8cd98f00b204e9800998ecf8427e");
        else
            assert_int_equal(v.md5[0], 0xee);
    }
    digester_free(NULL);
    digester_free(digester_new(ALL)); /* given up half-way */
}

static void pieces_do_not_matter(void **state)
{
    static unsigned char data[100000];
    unsigned char whole[32];
    random_bytes(data, sizeof data);
    sha256(data, sizeof data, whole);
    struct digester *d = digester_new(DIGEST_SHA256);
    struct digest_values v;
    for (size_t at = 0; at < sizeof data;) {
        size_t n = random_below(5000);
        if (n > sizeof data - at)
            n = sizeof data - at;
        digester_update(d, data + at, n);
        at += n;
    }
    digester_final(d, &v);
    digester_free(d);
    assert_memory_equal(v.sha256, whole, 32);
}

static void hmac_has_the_vectors_of_rfc_4231(void **state)
{
    unsigned char mac[32], key[131];
    hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, mac);
    assert_hex(mac, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    hmac_sha256(key, sizeof key, "Test Using Larger Than Block-Size Key - Hash Key First", 54, mac);
    assert_hex(mac, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

/* --- sealing --- */

static struct seal_key key;

static enum err open_it(struct arena *a, const struct seal_key *k, const char *aad, const char *text)
{
    void *data;
    size_t size;
    struct why why = { "" };
    enum err e = unseal(a, k, aad, text, &data, &size, &why);
    if (e)
        assert_true(why.text[0] != 0);
    return e;
}

static void what_was_sealed_opens(void **state)
{
    struct arena a;
    arena_init(&a);
    unsigned char data[300];
    random_bytes(data, sizeof data);
    for (size_t size = 0; size <= sizeof data; size++) {
        void *back = NULL;
        size_t back_size = 999;
        char *text = seal(&a, &key, "table/row", data, size);
        assert_memory_equal(text, "s1.", 3);
        assert_null(strpbrk(text, "+/= "));
        assert_int_equal(unseal(&a, &key, "table/row", text, &back, &back_size, NULL), OK);
        assert_int_equal(back_size, size);
        assert_memory_equal(back, data, size);
    }
    assert_string_not_equal(seal(&a, &key, "x", data, 5), seal(&a, &key, "x", data, 5));
    char *empty = seal(&a, &key, "", "data", 4);
    assert_int_equal(open_it(&a, &key, "", empty), OK);
    assert_int_equal(open_it(&a, &key, "x", empty), ERR_FORBIDDEN);
    arena_release(&a);
}

static void another_key_or_place_is_refused(void **state)
{
    struct arena a;
    arena_init(&a);
    struct seal_key other, same_id;
    seal_key_new(&other);
    same_id = other;
    memcpy(same_id.id, key.id, sizeof key.id);
    char *text = seal(&a, &key, "storage/a", "secret", 6);
    assert_int_equal(open_it(&a, &other, "storage/a", text), ERR_FORBIDDEN);
    assert_int_equal(open_it(&a, &same_id, "storage/a", text), ERR_FORBIDDEN);
    assert_int_equal(open_it(&a, &key, "storage/b", text), ERR_FORBIDDEN);
    assert_int_equal(open_it(&a, &key, "", text), ERR_FORBIDDEN);
    assert_int_equal(open_it(&a, &key, "storage/a", text), OK);
    arena_release(&a);
}

/* Every byte of the text, made into every other one: id, nonce, tag, bytes, and the unused bits of the
 * last character. */
static void any_changed_byte_is_refused(void **state)
{
    struct arena a;
    for (size_t size = 0; size < 4; size++) {
        arena_init(&a);
        char *text = seal(&a, &key, "place", "abc", size);
        for (size_t i = 0; text[i]; i++) {
            char was = text[i];
            for (int c = 1; c < 256; c++) {
                if ((char)c == was)
                    continue;
                text[i] = (char)c;
                struct arena b;
                arena_init(&b);
                if (open_it(&b, &key, "place", text) == OK)
                    fail_msg("byte %zu from %d to %d went unnoticed", i, was, c);
                arena_release(&b);
            }
            text[i] = was;
        }
        assert_int_equal(open_it(&a, &key, "place", text), OK);
        arena_release(&a);
    }
}

static void other_spellings_are_refused(void **state)
{
    struct arena a;
    arena_init(&a);
    char *text = seal(&a, &key, "place", "secret!", 7);
    size_t n = strlen(text);
    assert_int_not_equal(open_it(&a, &key, "place", arena_printf(&a, "%s=", text)), OK);
    assert_int_not_equal(open_it(&a, &key, "place", arena_printf(&a, "%s==", text)), OK);
    assert_int_not_equal(open_it(&a, &key, "place", arena_printf(&a, "%sA", text)), OK);
    for (size_t cut = 0; cut < n; cut++)
        assert_int_not_equal(open_it(&a, &key, "place", arena_strndup(&a, text, cut)), OK);
    static const char *const junk[] = { "", "s1", "s1.", "s1..", "s2.x.y", "secret", "s1.abcdefgh" };
    for (size_t i = 0; i < sizeof junk / sizeof junk[0]; i++)
        assert_int_not_equal(open_it(&a, &key, "place", junk[i]), OK);
    assert_int_equal(open_it(&a, &key, "place", "plain text"), ERR_BAD_REQUEST);
    arena_release(&a);
}

static int make_key(void **state)
{
    seal_key_new(&key);
    return strlen(key.id) == 8 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_vectors_in_one_pass),
        cmocka_unit_test(only_what_was_asked_for),
        cmocka_unit_test(pieces_do_not_matter),
        cmocka_unit_test(hmac_has_the_vectors_of_rfc_4231),
        cmocka_unit_test(what_was_sealed_opens),
        cmocka_unit_test(another_key_or_place_is_refused),
        cmocka_unit_test(any_changed_byte_is_refused),
        cmocka_unit_test(other_spellings_are_refused),
    };
    return cmocka_run_group_tests(tests, make_key, NULL);
}
