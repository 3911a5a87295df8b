/* SPDX-License-Identifier: Apache-2.0 */
/* A fault happens at the call that was named, as often as was said, and nowhere else. */
#include "pantera/fault.h"

#include <errno.h>
#include <stdlib.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static int cleared(void **state)
{
    fault_clear();
    unsetenv("PANTERA_FAULTS");
    return 0;
}

static void nothing_fails_unless_armed(void **state)
{
    assert_false(faults_armed);
    assert_int_equal(fault("blob.fsync"), 0);
    fault_init();
    assert_false(faults_armed);
}

static void the_nth_call_fails_once(void **state)
{
    fault_set("blob.fsync", ENOSPC, 3, false);
    assert_true(faults_armed);
    for (int call = 1; call < 10; call++) {
        assert_int_equal(fault("blob.open"), 0);
        assert_int_equal(fault("blob.fsync"), call == 3 ? ENOSPC : 0);
    }
}

static void a_sticky_one_fails_from_then_on(void **state)
{
    fault_set("a", EIO, 2, true);
    for (int call = 1; call < 10; call++)
        assert_int_equal(fault("a"), call >= 2 ? EIO : 0);
    fault_clear();
    assert_int_equal(fault("a"), 0);
    fault_set("a", EMFILE, 1, false); /* counts from the beginning */
    assert_int_equal(fault("a"), EMFILE);
    assert_int_equal(fault("a"), 0);
}

static void two_on_one_place_each_count(void **state)
{
    fault_set("a", EIO, 1, false);
    fault_set("a", ENOSPC, 3, false);
    assert_int_equal(fault("a"), EIO);
    assert_int_equal(fault("a"), 0);
    assert_int_equal(fault("a"), ENOSPC);
    assert_int_equal(fault("a"), 0);
}

static void the_environment_arms(void **state)
{
    setenv("PANTERA_FAULTS", "one=EIO,two=ENOSPC:2,three=EAGAIN:2+,junk,four=EMFILE:1+", 1);
    fault_init();
    assert_int_equal(fault("one"), EIO);
    assert_int_equal(fault("one"), 0);
    assert_int_equal(fault("two"), 0);
    assert_int_equal(fault("two"), ENOSPC);
    assert_int_equal(fault("two"), 0);
    assert_int_equal(fault("three"), 0);
    assert_int_equal(fault("three"), EAGAIN);
    assert_int_equal(fault("three"), EAGAIN);
    assert_int_equal(fault("four"), EMFILE);
    assert_int_equal(fault("four"), EMFILE);
    assert_int_equal(fault("junk"), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, cleared, cleared)
    const struct CMUnitTest tests[] = {
        T(nothing_fails_unless_armed), T(the_nth_call_fails_once), T(a_sticky_one_fails_from_then_on),
        T(two_on_one_place_each_count), T(the_environment_arms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
