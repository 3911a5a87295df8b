/* SPDX-License-Identifier: Apache-2.0 */
/* Failed sign-ins, with a clock that stands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "src/auth/internal.h"

#include <cmocka.h>
#undef fail

static uint64_t now;

static uint64_t fake_now(void)
{
    return now;
}

/* Ten a minute for one user from one address; others are not touched; it refills. */
static void throttle_limits_user_and_address(void **state)
{
    struct throttle *t = throttle_new(fake_now);
    now = 1000;
    for (int i = 0; i < 10; i++)
        assert_int_equal(throttle_take(t, "joe", "10.0.0.1"), 0);
    uint64_t wait = throttle_take(t, "joe", "10.0.0.1");
    assert_in_range(wait, 5900, 6001);
    assert_int_equal(throttle_take(t, "ann", "10.0.0.1"), 0);
    assert_int_equal(throttle_take(t, "joe", "10.0.0.2"), 0);
    now += wait;
    assert_int_equal(throttle_take(t, "joe", "10.0.0.1"), 0);
    assert_true(throttle_take(t, "joe", "10.0.0.1") > 0);
    throttle_free(t);
}

/* Fifty a minute from one address, whoever is tried. */
static void throttle_limits_an_address(void **state)
{
    struct throttle *t = throttle_new(fake_now);
    char user[16];
    for (int i = 0; i < 50; i++) {
        snprintf(user, sizeof user, "u%d", i);
        assert_int_equal(throttle_take(t, user, "10.0.0.1"), 0);
    }
    assert_true(throttle_take(t, "another", "10.0.0.1") > 0);
    assert_int_equal(throttle_take(t, "another", "10.0.0.2"), 0);
    throttle_free(t);
}

/* What was right does not count, however often. */
static void throttle_forgets_successes(void **state)
{
    struct throttle *t = throttle_new(fake_now);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(throttle_take(t, "joe", "10.0.0.1"), 0);
        throttle_give_back(t, "joe", "10.0.0.1");
    }
    throttle_free(t);
}

/* A client of IPv6 can't move within its own network. */
static void throttle_sees_one_ipv6_network(void **state)
{
    struct throttle *t = throttle_new(fake_now);
    char address[64];
    for (int i = 0; i < 10; i++) {
        snprintf(address, sizeof address, "2001:db8:1:2::%x", i + 1);
        assert_int_equal(throttle_take(t, "joe", address), 0);
    }
    assert_true(throttle_take(t, "joe", "2001:db8:1:2:ffff::1") > 0);
    assert_int_equal(throttle_take(t, "joe", "2001:db8:1:3::1"), 0);
    throttle_free(t);
}

/* The table does not grow, and filling it from elsewhere does not free whoever is throttled: what is
 * evicted is the fullest bucket, not the emptiest. */
static void throttle_keeps_the_worst(void **state)
{
    struct throttle *t = throttle_new(fake_now);
    char address[64];
    for (int i = 0; i < 10; i++)
        assert_int_equal(throttle_take(t, "joe", "10.0.0.1"), 0);
    for (int i = 0; i < 100000; i++) {
        snprintf(address, sizeof address, "11.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
        assert_int_equal(throttle_take(t, "joe", address), 0);
    }
    assert_true(throttle_take(t, "joe", "10.0.0.1") > 0);
    throttle_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(throttle_limits_user_and_address),
        cmocka_unit_test(throttle_limits_an_address),
        cmocka_unit_test(throttle_forgets_successes),
        cmocka_unit_test(throttle_sees_one_ipv6_network),
        cmocka_unit_test(throttle_keeps_the_worst),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
