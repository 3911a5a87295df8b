/* SPDX-License-Identifier: Apache-2.0 */
/* Dates as HTTP writes and reads them (RFC 9110 §5.6.7), durations, and clocks that go forward. */
#include "pantera/clock.h"

#include <string.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void the_three_forms_of_the_rfc_are_one_moment(void **state)
{
    static const char *const forms[] = {
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    };
    for (size_t i = 0; i < COUNT(forms); i++) {
        int64_t ms = 0;
        assert_true(clock_parse_http_date(forms[i], &ms));
        assert_true(ms == 784111777000);
    }
}

static void other_dates_are_read(void **state)
{
    static const struct { const char *text; int64_t seconds; } cases[] = {
        { "Thu, 01 Jan 1970 00:00:00 GMT", 0 },
        { "Wed, 31 Dec 1969 23:59:59 GMT", -1 },
        { "Thursday, 01-Jan-70 00:00:00 GMT", 0 },
        { "Tuesday, 19-Jan-38 03:14:08 GMT", 2147483648 }, /* two digits: not more than 50 years on */
        { "Tue, 29 Feb 2000 12:00:00 GMT", 951825600 },
        { "Thu Dec 31 23:59:59 2026", 1798761599 },
        { "Sat, 31 Dec 2016 23:59:60 GMT", 1483228799 },   /* a leap second */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t ms = 1;
        assert_true(clock_parse_http_date(cases[i].text, &ms));
        assert_true(ms == cases[i].seconds * 1000);
    }
}

static void what_is_no_date_is_refused(void **state)
{
    static const char *const bad[] = {
        "", "0", "now", "1994-11-06T08:49:37Z", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994",
        "Sun, 06 Nov 1994 08:49:37 GMT ", " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 32 Nov 1994 08:49:37 GMT", "Sun, 31 Nov 1994 08:49:37 GMT",
        "Thu, 29 Feb 2001 12:00:00 GMT", "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 -8:49:37 GMT", "Sun, 06 Nov 1994 08:-1:37 GMT",
        "Sun, -6 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT", "Sun, 06 Nov +994 08:49:37 GMT",
        "Sun,06 Nov 1994 08:49:37 GMT", "Sun, 06-Nov-94 08:49:37 GMT", /* a short day's name */
        "Sunday, 06-Nov-1994 08:49:37 GMT", "Sunday, 31-Feb-94 08:49:37 GMT",
        "Sun Nov 06 08:49:37 94", "Sun Nov 31 08:49:37 1994", "Sun Nov  6 08:49:37 1994 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT", ",", "aaaaaa,",
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        int64_t ms = 42;
        if (clock_parse_http_date(bad[i], &ms))
            fail_msg("accepted: '%s'", bad[i]);
        assert_true(ms == 42);
    }
}

static void rfc3339_is_read(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {
        { "1970-01-01", 0 }, { "2026-03-22", 1774137600000 }, { "2026-03-22T10:00:00Z", 1774173600000 },
        { "2026-03-22t10:00:00.123456z", 1774173600000 }, { "2026-03-22T10:00:00+01:30", 1774168200000 },
        { "2026-03-22T10:00:00-01:00", 1774177200000 }, { "2016-12-31T23:59:60Z", 1483228799000 },
    };
    static const char *const bad[] = { "", "2026", "2026-13-01", "2026-02-30", "2026-00-10", "2026-01-00",
                                       "2026-03-22 10:00:00Z", "2026-03-22T10:00:00", "2026-03-22T10:00Z",
                                       "2026-03-22T24:00:00Z", "2026-03-22T10:60:00Z", "2026-03-22Z",
                                       "2026-03-22T10:00:00+1", "2026-03-22T10:00:00Zx", "22 March 2026" };
    int64_t ms;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(clock_parse_rfc3339(good[i].text, &ms));
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (clock_parse_rfc3339(bad[i], &ms))
            print_message("%s\n", bad[i]);
        assert_false(clock_parse_rfc3339(bad[i], &ms));
    }
}

static void dates_survive_a_round_trip(void **state)
{
    char text[32];
    assert_string_equal(clock_http_date(784111777999, text), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_string_equal(clock_rfc3339(1774173600123, text), "2026-03-22T10:00:00Z");
    for (int64_t s = 0; s < 4102444800; s += 86400 * 13 + 3599) {
        int64_t back;
        assert_true(clock_parse_http_date(clock_http_date(s * 1000, text), &back));
        assert_true(back == s * 1000);
    }
}

static void durations_are_read(void **state)
{
    static const struct { const char *text; uint64_t ms; } cases[] = {
        { "7d", 604800000 }, { "3h", 10800000 }, { "30m", 1800000 }, { "45s", 45000 },
        { "500ms", 500 },    { "2w", 1209600000 }, { "1h30m", 5400000 }, { "0s", 0 },
        { "P7D", 604800000 }, { "PT60S", 60000 }, { "PT2M", 120000 }, { "P1DT12H", 129600000 },
        { "P2W", 1209600000 }, { "PT1H1M1S", 3661000 },
    };
    static const char *const bad[] = {
        "", "7", "d", "7x", "-7d", "+7d", " 7d", "7d ", "7 d", "1.5h", "P", "PT", "P1M", "P1Y", "7D7",
        "PT7", "ms", "0x10s", "99999999999999999999s", "18446744073709551615s",
        "1099511627776w", "9007199254740992s",
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t ms = 1;
        assert_true(clock_parse_duration(cases[i].text, &ms));
        assert_true(ms == cases[i].ms);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        uint64_t ms = 42;
        if (clock_parse_duration(bad[i], &ms))
            fail_msg("accepted: '%s'", bad[i]);
        assert_true(ms == 42);
    }
}

static void clocks_go_forward(void **state)
{
    uint64_t last = clock_mono_us();
    for (int i = 0; i < 100000; i++) {
        uint64_t now = clock_mono_us();
        assert_true(now >= last);
        last = now;
    }
    uint64_t ms = clock_mono_ms();
    assert_true(ms >= last / 1000 && ms - last / 1000 < 10000);
    assert_true(clock_wall_ms() > 1700000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_three_forms_of_the_rfc_are_one_moment),
        cmocka_unit_test(other_dates_are_read),
        cmocka_unit_test(what_is_no_date_is_refused),
        cmocka_unit_test(rfc3339_is_read),
        cmocka_unit_test(dates_survive_a_round_trip),
        cmocka_unit_test(durations_are_read),
        cmocka_unit_test(clocks_go_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
