/* SPDX-License-Identifier: Apache-2.0 */
/* JSON texts without a tree: what is one, and what is in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/formats/npm/span.h"

static bool reads(const char *text)
{
    size_t n = strlen(text);
    char *exact = malloc(n ? n : 1); /* nothing behind it: a look too far is seen */
    struct span s;
    bool good;

    memcpy(exact, text, n);
    good = span_read(exact, n, &s);
    free(exact);
    return good;
}

static void texts_are_judged(void **state)
{
    static const char *const good[] = {
        "{}", " [ ] ", "0", "-0.5e+10", "\"\"", "true", "null",
        "[1,[2,{\"a\":[]}],\"\\\"\\\\\\/\\b\\u00e9\"]",
        "{\"a\":{},\"a\":\"\\ud83d\\ude00\"}", "\"\xc3\xa9\xf0\x9f\x98\x80\"", "\"\\u0000\"",
    };
    static const char *const bad[] = {
        "", " ", "{", "[", "{]", "[}", "[1,]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}",
        "{a:1}", "01", "1.", "-", "+1",
        "1e", "tru", "nulll", "\"", "\"\\", "\"\\x\"", "\"\\u12\"",
        "\"\t\"", "\"\xff\"", "\"\xc3\"", "\"\\ud83d\"",
        "\"\\ude00\\ud83d\"", "\"\\ud83d\\u0041\"",
        "{} {}", "[1 2]", "]", ",", "{\"a\" 1}", "\"\xed\xa0\x80\"",
    };
    char deep[2 * SPAN_DEPTH + 3] = { 0 };

    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!reads(good[i]))
            fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (reads(bad[i]))
            fail_msg("taken: %s", bad[i]);
    memset(deep, '[', SPAN_DEPTH + 1);
    memset(deep + SPAN_DEPTH + 1, ']', SPAN_DEPTH + 1);
    assert_true(reads(deep)); /* the innermost is empty, and no level */
    memset(deep, '[', SPAN_DEPTH + 1);
    memset(deep + SPAN_DEPTH + 1, '1', 1);
    assert_false(reads(deep));
}

static void objects_are_walked(void **state)
{
    static const char text[] =
        " { \"a\" : \"x\\\"}\\\\\" , \"b\":[1,{\"c\":\"]\"}],\"n\":-1.5 ,\"a\":{\"d\":null}} ";
    struct span root, key, value;
    struct span_walk w;
    unsigned count = 0;
    json_t *v;

    assert_true(span_read(text, sizeof text - 1, &root));
    for (w = span_walk(root); span_next(&w, &key, &value); count++)
        assert_true(span_is(key, count == 1 ? "b" : count == 2 ? "n" : "a"));
    assert_int_equal(count, 4);
    assert_true(span_object(span_get(root, "a"))); /* the last */
    assert_null(span_get(root, "c").at);
    assert_null(span_get(span_get(root, "b"), "c").at); /* no object */
    v = span_json(span_get(root, "n"));
    assert_true(json_real_value(v) == -1.5);
    json_decref(v);
    v = span_json(span_get(root, "b"));
    assert_int_equal(json_array_size(v), 2);
    json_decref(v);
    /* What was walked before is passed at once, wherever it stands. */
    for (w = span_walk(root), w.known = span_get(root, "b"), count = 0; span_next(&w, &key, &value); count++)
        assert_true(count != 1 || value.size == w.known.size);
    assert_int_equal(count, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_judged),
        cmocka_unit_test(objects_are_walked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
