/* SPDX-License-Identifier: Apache-2.0 */
/* Encodings, names, and the one judgement of paths: every way to be refused, every way to pass. */
#include "pantera/text.h"

#include <stdio.h>
#include <string.h>

#include "pantera/ids.h"
#include "pantera/limits.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static int arena_up(void **state)
{
    static struct arena a;
    arena_init(&a);
    *state = &a;
    return 0;
}

static int arena_down(void **state)
{
    arena_release(*state);
    return 0;
}

/* --- path_normalise --- */

struct path_case {
    const char *raw;
    size_t length; /* 0: strlen */
    const char *expected; /* the path, or a part of the reason */
};

static enum err normalise(struct arena *a, const struct path_case *c, char **ret, struct why *why)
{
    size_t length = c->length ? c->length : strlen(c->raw);
    char *exact = arena_memdup(a, c->raw, length); /* not NUL-terminated: no byte behind it is read */
    return path_normalise(a, exact, length, ret, why);
}

static void path_is_accepted_and_decoded_once(void **state)
{
    static const struct path_case cases[] = {
        { "/", 0, "/" },
        { "/a", 0, "/a" },
        { "/a/b.bin", 0, "/a/b.bin" },
        { "/a/", 0, "/a/" },                         /* one trailing slash is kept */
        { "/%61%2E%62", 0, "/a.b" },
        { "/a%20b", 0, "/a b" },
        { "/a+b", 0, "/a+b" },                       /* a plus is a plus in a path */
        { "/%25", 0, "/%" },
        { "/%252e%252e/x", 0, "/%2e%2e/x" },         /* decoded once: stays literal */
        { "/%252F", 0, "/%2F" },
        { "/%2500", 0, "/%00" },
        { "/...", 0, "/..." },
        { "/..a/.b/c..", 0, "/..a/.b/c.." },
        { "/~u/@scope/pkg:1;v=2,3", 0, "/~u/@scope/pkg:1;v=2,3" },
        { "/\xc3\xa9", 0, "/\xc3\xa9" },             /* é, raw and encoded */
        { "/%C3%a9", 0, "/\xc3\xa9" },
        { "/%E2%82%AC", 0, "/\xe2\x82\xac" },
        { "/%F0%9F%98%80", 0, "/\xf0\x9f\x98\x80" },
        { "/%F4%8F%BF%BF", 0, "/\xf4\x8f\xbf\xbf" }, /* U+10FFFF, the last one */
        { "/%ED%9F%BF%EE%80%80", 0, "/\xed\x9f\xbf\xee\x80\x80" }, /* around the surrogates */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *path = NULL;
        struct why why = { "" };
        assert_int_equal(normalise(*state, &cases[i], &path, &why), OK);
        assert_string_equal(path, cases[i].expected);
    }
}

static void path_is_refused(void **state)
{
    static const struct path_case cases[] = {
        { "a", 0, "begin" },
        { "%2Fa", 0, "begin" },
        { "../a", 0, "begin" },
        { "/a%2Fb", 0, "encoded slash" },
        { "/a%2fb", 0, "encoded slash" },
        { "/%2f", 0, "encoded slash" },
        { "/a%5Cb", 0, "encoded slash" },
        { "/a%5cb", 0, "encoded slash" },
        { "/a\\b", 0, "backslash" },
        { "/a%00b", 0, "control" },
        { "/%00", 0, "control" },
        { "/a\0b", 4, "control" },
        { "/a%0Ab", 0, "control" },
        { "/a%0d%0aSet-Cookie:x", 0, "control" },
        { "/a\tb", 0, "control" },
        { "/%1f", 0, "control" },
        { "/%7F", 0, "control" },
        { "//", 0, "empty segment" },
        { "//a", 0, "empty segment" },
        { "/a//b", 0, "empty segment" },
        { "/a//", 0, "empty segment" },
        { "/.", 0, "'.'" },
        { "/..", 0, "'.'" },
        { "/./a", 0, "'.'" },
        { "/a/../b", 0, "'.'" },
        { "/a/..", 0, "'.'" },
        { "/a/../", 0, "'.'" },
        { "/%2e%2e/a", 0, "'.'" },
        { "/%2E./a", 0, "'.'" },
        { "/a/.%2e", 0, "'.'" },
        { "/%2e", 0, "'.'" },
        { "/%", 0, "escape" },
        { "/%4", 0, "escape" },
        { "/%g0", 0, "escape" },
        { "/%0g", 0, "escape" },
        { "/%%41", 0, "escape" },
        { "/%u002e", 0, "escape" },
        { "/%C0%AF", 0, "UTF-8" },          /* overlong slash, two to four bytes */
        { "/%E0%80%AF", 0, "UTF-8" },
        { "/%F0%80%80%AF", 0, "UTF-8" },
        { "/\xc0\xae\xc0\xae/a", 0, "UTF-8" }, /* overlong dots */
        { "/%C1%BF", 0, "UTF-8" },
        { "/%ED%A0%80", 0, "UTF-8" },       /* surrogates, first and last */
        { "/%ED%BF%BF", 0, "UTF-8" },
        { "/%F4%90%80%80", 0, "UTF-8" },    /* above U+10FFFF */
        { "/%F5%80%80%80", 0, "UTF-8" },
        { "/%FF", 0, "UTF-8" },
        { "/%80", 0, "UTF-8" },             /* a continuation without a beginning */
        { "/%C3", 0, "UTF-8" },             /* beginnings without a continuation */
        { "/%E2%82", 0, "UTF-8" },
        { "/%E2%82/a", 0, "UTF-8" },
        { "/%F0%9F%98", 0, "UTF-8" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *path = NULL;
        struct why why = { "" };
        if (normalise(*state, &cases[i], &path, &why) != ERR_BAD_REQUEST)
            fail_msg("case %zu was not refused: %s", i, cases[i].raw);
        if (!strstr(why.text, cases[i].expected))
            fail_msg("case %zu (%s): the reason is '%s'", i, cases[i].raw, why.text);
        assert_null(path);
    }
    assert_int_equal(path_normalise(*state, "", 0, &(char *){ NULL }, NULL), ERR_BAD_REQUEST);
}

static enum err normalise_long(struct arena *a, size_t segment, size_t total)
{
    char raw[4096] = "/", *path;
    for (size_t i = 1; i < total; i++)
        raw[i] = i % (segment + 1) ? 'x' : '/';
    return path_normalise(a, raw, total, &path, NULL);
}

static void path_has_bounds(void **state)
{
    const size_t most = LIMIT_PATH + LIMIT_NAME * 2;
    assert_int_equal(normalise_long(*state, LIMIT_PATH_SEGMENT, LIMIT_PATH_SEGMENT + 1), OK);
    assert_int_equal(normalise_long(*state, LIMIT_PATH_SEGMENT + 1, LIMIT_PATH_SEGMENT + 2),
                     ERR_BAD_REQUEST);
    assert_int_equal(normalise_long(*state, 100, most), OK);
    assert_int_equal(normalise_long(*state, 100, most + 1), ERR_URI_TOO_LONG);
    assert_int_equal(normalise_long(*state, 100, 4000), ERR_URI_TOO_LONG);
}

/* Whatever comes in: what is accepted holds nothing of what is refused. */
static void path_never_lets_a_trick_through(void **state)
{
    static const char *const parts[] = { "/",    ".",    "..",  "%2e", "%2F", "%00", "%25",
                                         "\\",   "a",    "%5c", "\xc0", "%af", "%C3", "%a9",
                                         "\xed", "\xa0", "%",   "2",   "e",   "%7f", "\n" };
    unsigned accepted = 0;
    for (int round = 0; round < 200000; round++) {
        char raw[64] = "/", *path, *end = raw + 1;
        for (uint64_t bits = random_u64(), n = bits % 8; n; n--, bits /= COUNT(parts))
            end = stpcpy(end, parts[(bits >> 8) % COUNT(parts)]);
        struct arena a;
        arena_init(&a);
        if (path_normalise(&a, raw, strlen(raw), &path, NULL) == OK) {
            accepted++;
            assert_int_equal(path[0], '/');
            assert_null(strstr(path, "//"));
            assert_null(strpbrk(path, "\\\n\x7f"));
            assert_true(utf8_valid(path, strlen(path)));
            for (char *s = path; (s = strchr(s, '/')); s++) {
                size_t n = strcspn(s + 1, "/");
                assert_false((n == 1 && s[1] == '.') || (n == 2 && s[1] == '.' && s[2] == '.'));
            }
        }
        arena_release(&a);
    }
    assert_true(accepted > 1000);
}

/* --- encodings --- */

static void percent_survives_a_round_trip(void **state)
{
    char all[256], back[256];
    size_t n;
    for (int i = 0; i < 255; i++)
        all[i] = (char)(i + 1);
    all[255] = 0;
    for (int keep_slash = 0; keep_slash < 2; keep_slash++) {
        char *text = percent_encode(*state, all, keep_slash);
        assert_int_equal(strchr(text, '/') != NULL, keep_slash);
        assert_null(strpbrk(text, " +&?#=\\\"\x7f"));
        char room[256 * 3];
        assert_true(percent_decode(text, strlen(text), room, &n));
        assert_int_equal(n, 255);
        assert_memory_equal(room, all, 256);
    }
    assert_string_equal(percent_encode(*state, "a b/\xc3\xa9~-._", true), "a%20b/%C3%A9~-._");
    assert_true(percent_decode("%00%ff", 6, back, &n));
    assert_int_equal(n, 2);
    static const char *const broken[] = { "%", "a%", "%4", "%4x", "%x4", "%-1", "% 1", "%%" };
    for (size_t i = 0; i < COUNT(broken); i++)
        assert_false(percent_decode(broken[i], strlen(broken[i]), back, &n));
}

static void hex_survives_a_round_trip(void **state)
{
    unsigned char all[256], back[256];
    char text[513];
    for (int i = 0; i < 256; i++)
        all[i] = (unsigned char)i;
    hex_encode(all, 256, text);
    assert_int_equal(strlen(text), 512);
    assert_memory_equal(text, "000102030405060708090a0b0c0d0e0f10", 34);
    assert_true(hex_decode(text, 512, back));
    assert_memory_equal(back, all, 256);
    assert_true(hex_decode("aBcD", 4, back));
    assert_int_equal(back[1], 0xcd);
    assert_false(hex_decode("abc", 3, back));
    assert_false(hex_decode("0g", 2, back));
    assert_false(hex_decode("g0", 2, back));
    assert_false(hex_decode("0x", 2, back));
}

static void base64_has_the_vectors_of_rfc_4648(void **state)
{
    static const char *const vectors[][3] = {
        { "", "", "" },           { "f", "Zg==", "Zg" },         { "fo", "Zm8=", "Zm8" },
        { "foo", "Zm9v", "Zm9v" }, { "foob", "Zm9vYg==", "Zm9vYg" },
        { "fooba", "Zm9vYmE=", "Zm9vYmE" }, { "foobar", "Zm9vYmFy", "Zm9vYmFy" },
        { "\xfb\xff\xfe", "+//+", "-__-" },
    };
    for (size_t i = 0; i < COUNT(vectors); i++) {
        size_t size = strlen(vectors[i][0]), n;
        assert_string_equal(base64_encode(*state, vectors[i][0], size), vectors[i][1]);
        assert_string_equal(base64url_encode(*state, vectors[i][0], size), vectors[i][2]);
        for (int form = 1; form < 3; form++) {
            char *back = base64_decode(*state, vectors[i][form], strlen(vectors[i][form]), &n);
            assert_non_null(back);
            assert_int_equal(n, size);
            assert_string_equal(back, vectors[i][0]);
        }
    }
    unsigned char bytes[100];
    for (size_t size = 0; size <= sizeof bytes; size++) {
        size_t n;
        random_bytes(bytes, size);
        char *text = base64url_encode(*state, bytes, size);
        assert_null(strpbrk(text, "+/="));
        void *back = base64_decode(*state, text, strlen(text), &n);
        assert_int_equal(n, size);
        assert_memory_equal(back, bytes, size);
    }
}

static void base64_that_is_malformed_is_refused(void **state)
{
    static const char *const bad[] = {
        "Z",    "Zm9vY",  "Zm9v Zm9v", "Zm9v\n", "Zm*v",    "=",    "==",   "====",  "Zg=",
        "Zg===", "Z===",  "Zm8==",     "Zm9v=",  "Zm9v====", "Zg==Zg==", "Z=g=", "=Zg=",
        "Zh",   "Zh==",   "Zm9", /* unused bits that are not zero: another spelling of "f", "fo" */
        "Zm\x80v",
    };
    size_t n;
    for (size_t i = 0; i < COUNT(bad); i++)
        if (base64_decode(*state, bad[i], strlen(bad[i]), &n))
            fail_msg("accepted: %s", bad[i]);
    assert_null(base64_decode(*state, "Zm\0v", 4, &n));
}

static void utf8_sequences_are_measured(void **state)
{
    assert_int_equal(utf8_sequence("a", 1), 1);
    assert_int_equal(utf8_sequence("\xc3\xa9x", 3), 2);
    assert_int_equal(utf8_sequence("\xe2\x82\xac", 3), 3);
    assert_int_equal(utf8_sequence("\xe2\x82\xac", 2), 0);
    assert_int_equal(utf8_sequence("\xf0\x9f\x98\x80", 4), 4);
    assert_int_equal(utf8_sequence("\xbf", 1), 0);
    assert_true(utf8_valid("", 0));
    assert_true(utf8_valid("a\0b", 3));
}

static void constant_time_comparison_compares(void **state)
{
    char a[64], b[64];
    random_bytes(a, sizeof a);
    memcpy(b, a, sizeof a);
    assert_true(equal_constant_time(a, b, sizeof a));
    for (size_t i = 0; i < sizeof a; i++) {
        b[i] ^= 1;
        assert_false(equal_constant_time(a, b, sizeof a));
        assert_true(equal_constant_time(a, b, i));
        b[i] ^= 1;
    }
}

/* --- names and queries --- */

static void names_are_judged(void **state)
{
    static const char *const good[] = { "a", "maven-central", "A_b.c", "...", "a b", "\xc3\xa9",
                                        "user@example.org", "-", "*", ".hidden" };
    static const char *const bad[] = { "", ".", "..", "a/b", "a\\b", "a%b", "a?b", "a#b", "a:b",
                                       "a\nb", "\x7f", "\x01", "\xff", "\xc0\xae", "\xed\xa0\x80",
                                       "/", "a/" };
    char name[LIMIT_NAME + 2];
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(name_valid(good[i]));
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(name_valid(bad[i]));
    memset(name, 'n', sizeof name);
    name[LIMIT_NAME] = 0;
    assert_true(name_valid(name));
    name[LIMIT_NAME] = 'n';
    name[LIMIT_NAME + 1] = 0;
    assert_false(name_valid(name));
}

static void reserved_repository_names_are_known(void **state)
{
    static const char *const reserved[] = { "rpm", "deb", "oci", "gpg", "v1", "v2", "api", "auth",
                                            "ui", "metrics", ".", ".health", ".x" };
    static const char *const fine[] = { "rpms", "v3", "API", "maven", "a.b", "metric" };
    for (size_t i = 0; i < COUNT(reserved); i++)
        assert_true(repo_name_reserved(reserved[i]));
    for (size_t i = 0; i < COUNT(fine); i++)
        assert_false(repo_name_reserved(fine[i]));
}

static void query_values_are_found_and_decoded(void **state)
{
    static const struct { const char *query, *name, *value; } cases[] = {
        { "a=1&b=2", "a", "1" },
        { "a=1&b=2", "b", "2" },
        { "a=1&b=2", "c", NULL },
        { "", "a", NULL },
        { "a", "a", "" },
        { "a=", "a", "" },
        { "a&b=2", "a", "" },
        { "aa=1&a=2", "a", "2" },            /* not by prefix, */
        { "ba=1&a=2", "a", "2" },            /* nor by suffix */
        { "a=1&a=2", "a", "1" },
        { "q=x+y%2Bz%26%3D", "q", "x y+z&=" },
        { "q=%C3%A9", "q", "\xc3\xa9" },
        { "q=a=b", "q", "a=b" },
        { "&&q=1&&", "q", "1" },
        { "q=%", "q", NULL },
        { "q=%zz", "q", NULL },
        { "q=a%00b", "q", NULL },
        { "q=%ff", "q", NULL },
        { "q=%C0%AF", "q", NULL },
        { "Q=1", "q", NULL },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *value = query_get(*state, cases[i].query, cases[i].name);
        if (!cases[i].value)
            assert_null(value);
        else
            assert_string_equal(value, cases[i].value);
    }
}

static void broken_queries_are_refused(void **state)
{
    static const char *const good[] = { "", "a=1&b=%41", "q=%C3%A9", "&&=" };
    static const char *const bad[] = { "q=%", "q=%zz", "q=%00", "q=%ff", "%=1" };
    struct why why;
    for (size_t i = 0; i < COUNT(good); i++)
        assert_int_equal(query_check(*state, good[i], &why), OK);
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(query_check(*state, bad[i], &why), ERR_BAD_REQUEST);
}

static void hashes_differ_and_repeat(void **state)
{
    assert_int_equal(hash_text("abc"), hash_bytes("abc", 3));
    assert_int_not_equal(hash_text("abc"), hash_text("acb"));
    assert_int_not_equal(hash_bytes("a\0b", 3), hash_bytes("a\0c", 3));
    unsigned used[256] = { 0 }, empty = 0;
    for (int i = 0; i < 10000; i++) {
        char key[32];
        size_t n = (size_t)snprintf(key, sizeof key, "user-%d", i);
        used[hash_bytes(key, n) % 256]++;
    }
    for (int i = 0; i < 256; i++)
        empty += used[i] == 0 || used[i] > 120; /* 39 on average */
    assert_int_equal(empty, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, arena_up, arena_down)
    const struct CMUnitTest tests[] = {
        T(path_is_accepted_and_decoded_once), T(path_is_refused), T(path_has_bounds),
        T(path_never_lets_a_trick_through), T(percent_survives_a_round_trip),
        T(hex_survives_a_round_trip), T(base64_has_the_vectors_of_rfc_4648),
        T(base64_that_is_malformed_is_refused), T(utf8_sequences_are_measured),
        T(constant_time_comparison_compares), T(names_are_judged),
        T(reserved_repository_names_are_known), T(query_values_are_found_and_decoded),
        T(broken_queries_are_refused),
        T(hashes_differ_and_repeat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
