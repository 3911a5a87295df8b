/* SPDX-License-Identifier: Apache-2.0 */
/* Range headers against RFC 9110 §14. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "pantera/http.h"

#include <cmocka.h>

struct a_case {
    const char *header;
    int64_t size;
    int count;
    const char *ranges;
};

static const struct a_case cases[] = {
    { "bytes=0-0", 10, 1, "0-0" },
    { "bytes=0-99", 10, 1, "0-9" },
    { "bytes=9-", 10, 1, "9-9" },
    { "bytes=-3", 10, 1, "7-9" },
    { "bytes=-30", 10, 1, "0-9" },
    { "BYTES=2-3", 10, 1, "2-3" },
    { "bytes= 0-1 , 4-5 ,, -1", 10, 3, "0-1 4-5 9-9" },
    { "bytes=5-6,0-1", 10, 2, "5-6 0-1" }, /* as asked */
    { "bytes=0-1,20-30", 10, 1, "0-1" },   /* the satisfiable ones */
    { "bytes=0-99999999999999999999999", 10, 1, "0-9" },
    { "bytes=1-,", 10, 1, "1-9" },
    /* none satisfiable: 416 */
    { "bytes=10-", 10, -1, "" },
    { "bytes=10-20,30-", 10, -1, "" },
    { "bytes=-0", 10, -1, "" },
    { "bytes=0-", 0, -1, "" },
    { "bytes=-5", 0, -1, "" },
    { "bytes=99999999999999999999-", 10, -1, "" },
    /* not ranges: the whole */
    { NULL, 10, 0, "" },
    { "", 10, 0, "" },
    { "bytes", 10, 0, "" },
    { "bytes=", 10, 0, "" },
    { "bytes=,", 10, 0, "" },
    { "items=0-1", 10, 0, "" },
    { "bytes=2-1", 10, 0, "" },
    { "bytes=-", 10, 0, "" },
    { "bytes=a-b", 10, 0, "" },
    { "bytes=0-1x", 10, 0, "" },
    { "bytes=0 -1", 10, 0, "" },
    { "bytes=0-1 2-3", 10, 0, "" },
    { "bytes=--1", 10, 0, "" },
    { "bytes=+1-2", 10, 0, "" },
    { "bytes=0-9,0-9", 10, 0, "" },        /* overlapping: more than the whole */
};

static void ranges_are_understood(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_range ranges[16];
        char text[200] = "", *at = text, *end = text + sizeof text;
        int count = http_ranges(cases[i].header, cases[i].size, ranges);
        for (int r = 0; r < count; r++)
            at += snprintf(at, (size_t)(end - at), "%s%lld-%lld", r ? " " : "",
                           (long long)ranges[r].first, (long long)ranges[r].last);
        if (count != cases[i].count || strcmp(text, cases[i].ranges) != 0)
            fail_msg("%s of %lld: %d (%s)", cases[i].header, (long long)cases[i].size, count, text);
    }
}

/* 16 ranges are served, 17 are not, however small. */
static void too_many_ranges_mean_the_whole(void **state)
{
    struct http_range ranges[16];
    char text[200] = "bytes=", *at = text + 6;
    for (int i = 0; i < 16; i++)
        at += snprintf(at, 20, "%d-%d,", i * 2, i * 2);
    assert_int_equal(http_ranges(text, 100, ranges), 16);
    assert_int_equal(ranges[15].first, 30);
    stpcpy(at, "50-50");
    assert_int_equal(http_ranges(text, 100, ranges), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_understood),
        cmocka_unit_test(too_many_ranges_mean_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
