/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/fx_arena.h: cmocka, for tests of what is pure: an arena for each test. Include it last. */
#ifndef TESTS_FX_ARENA_H
#define TESTS_FX_ARENA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "pantera/arena.h"

#include <cmocka.h>

static struct arena arena;

static int arena_begin(void **state)
{
    (void)state;
    arena_init(&arena);
    return 0;
}

static int arena_end(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, arena_begin, arena_end)

#endif
