/* SPDX-License-Identifier: Apache-2.0 */
/* The buffer keeps its cap and its NUL; the cursor never reads behind what it was given. */
#include "pantera/buf.h"

#include <stdlib.h>
#include <string.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void everything_written_is_read_back(void **state)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_u8(&b, 0xfe);
    buf_u16(&b, 0xfedc);
    buf_u32(&b, 0xfedcba98u);
    buf_u64(&b, 0xfedcba9876543210u);
    buf_blob(&b, "blob", 4);
    buf_blob(&b, NULL, 0);
    assert_int_equal(buf_add(&b, "tail", 4), OK);
    assert_int_equal(buf_err(&b), OK);
    assert_memory_equal(b.data, "\xfe\xdc\xfe\x98\xba\xdc\xfe\x10\x32\x54\x76\x98\xba\xdc\xfe", 15);
    struct cursor c = cursor_of(b.data, b.length);
    size_t n;
    assert_int_equal(cursor_u8(&c), 0xfe);
    assert_int_equal(cursor_u16(&c), 0xfedc);
    assert_int_equal(cursor_u32(&c), 0xfedcba98u);
    assert_true(cursor_u64(&c) == 0xfedcba9876543210u);
    assert_memory_equal(cursor_blob(&c, &n), "blob", 4);
    assert_int_equal(n, 4);
    assert_non_null(cursor_blob(&c, &n));
    assert_int_equal(n, 0);
    assert_int_equal(cursor_left(&c), 4);
    assert_memory_equal(cursor_bytes(&c, 4), "tail", 4);
    assert_int_equal(cursor_left(&c), 0);
    assert_false(c.bad);
    buf_free(&b);
}

/* The bytes are the size of the allocation exactly, so that a read behind them is seen by ASan. */
static void every_truncation_is_bad_and_stays_bad(void **state)
{
    struct buf b;
    buf_init(&b, 256);
    buf_u8(&b, 1);
    buf_u16(&b, 2);
    buf_u32(&b, 3);
    buf_u64(&b, 4);
    buf_blob(&b, "0123456789", 10);
    for (size_t size = 0; size <= b.length; size++) {
        unsigned char *exact = malloc(size ? size : 1);
        memcpy(exact, b.data, size);
        struct cursor c = cursor_of(exact, size);
        size_t n = 99;
        cursor_u8(&c);
        cursor_u16(&c);
        cursor_u32(&c);
        cursor_u64(&c);
        const void *blob = cursor_blob(&c, &n);
        assert_int_equal(c.bad, size < b.length);
        if (c.bad) {
            assert_null(blob);
            assert_int_equal(n, 0);
            assert_int_equal(cursor_u8(&c), 0);
            assert_null(cursor_bytes(&c, 0));
        }
        free(exact);
    }
    struct cursor c = cursor_of("\xff\xff\xff\xff" "abc", 7); /* a length that lies */
    size_t n;
    assert_null(cursor_blob(&c, &n));
    assert_true(c.bad);
    c = cursor_of(NULL, 0);
    assert_int_equal(cursor_u64(&c), 0);
    assert_true(c.bad);
    buf_free(&b);
}

static void the_cap_holds_to_the_byte(void **state)
{
    struct buf b;
    char *at;
    buf_init(&b, 10);
    assert_int_equal(buf_puts(&b, "0123456789"), OK);
    assert_int_equal(b.length, 10);
    assert_string_equal(b.data, "0123456789");
    assert_int_equal(buf_puts(&b, ""), OK);
    assert_int_equal(buf_puts(&b, "x"), ERR_TOO_BIG);
    assert_string_equal(b.data, "0123456789"); /* what fitted is as it was */
    buf_clear(&b);
    assert_int_equal(buf_err(&b), OK);
    assert_string_equal(b.data, "");
    assert_int_equal(buf_printf(&b, "%05d%s", 42, "12345"), OK);
    assert_string_equal(b.data, "0004212345");
    assert_int_equal(buf_printf(&b, "%d", 1), ERR_TOO_BIG);
    buf_clear(&b);
    assert_int_equal(buf_reserve(&b, SIZE_MAX, &at), ERR_TOO_BIG);
    buf_clear(&b);
    buf_puts(&b, "123");
    assert_int_equal(buf_reserve(&b, SIZE_MAX - 1, &at), ERR_TOO_BIG);
    buf_free(&b);
}

static void failure_is_remembered(void **state)
{
    struct buf b;
    buf_init(&b, 8);
    buf_u64(&b, 1);
    buf_u8(&b, 2);
    assert_int_equal(buf_err(&b), ERR_TOO_BIG);
    buf_drop_front(&b, 8);
    assert_int_equal(buf_puts(&b, "a"), ERR_TOO_BIG); /* a hole in the middle would be worse */
    assert_int_equal(b.length, 0);
    buf_clear(&b);
    assert_int_equal(buf_puts(&b, "a"), OK);
    buf_free(&b);
    assert_int_equal(buf_puts(&b, "again"), OK); /* and is usable after free, with its cap */
    assert_int_equal(buf_puts(&b, "more"), ERR_TOO_BIG);
    buf_free(&b);
}

static void reserved_memory_is_used_in_place(void **state)
{
    struct buf b;
    char *at;
    buf_init(&b, 100000);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(buf_reserve(&b, 50, &at), OK);
        memset(at, 'a' + i % 26, 50);
        buf_advance(&b, (size_t)(i % 51));
        assert_int_equal(b.data[b.length], 0);
    }
    buf_free(&b);
}

static void front_is_dropped_and_rest_stays(void **state)
{
    struct buf b;
    buf_init(&b, 100);
    buf_drop_front(&b, 0);
    buf_puts(&b, "hello world");
    buf_drop_front(&b, 6);
    assert_string_equal(b.data, "world");
    buf_puts(&b, "!");
    assert_string_equal(b.data, "world!");
    buf_drop_front(&b, b.length);
    assert_string_equal(b.data, "");
    buf_free(&b);
}

static void detached_memory_is_the_callers(void **state)
{
    struct buf b;
    size_t n;
    buf_init(&b, 100);
    buf_puts(&b, "mine");
    char *data = buf_detach(&b, &n);
    assert_int_equal(n, 4);
    assert_string_equal(data, "mine");
    assert_null(b.data);
    assert_int_equal(buf_puts(&b, "other"), OK);
    assert_string_equal(data, "mine");
    free(data);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_written_is_read_back),
        cmocka_unit_test(every_truncation_is_bad_and_stays_bad),
        cmocka_unit_test(the_cap_holds_to_the_byte),
        cmocka_unit_test(failure_is_remembered),
        cmocka_unit_test(reserved_memory_is_used_in_place),
        cmocka_unit_test(front_is_dropped_and_rest_stays),
        cmocka_unit_test(detached_memory_is_the_callers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
