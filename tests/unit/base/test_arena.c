/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of one request: zeroed, aligned, freed at once; hooks newest first; bounded between requests. */
#include "pantera/arena.h"

#include <stdio.h>
#include <string.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void memory_is_zeroed_aligned_and_apart(void **state)
{
    struct arena a;
    arena_init(&a);
    char *previous = NULL;
    size_t previous_size = 0;
    for (int round = 0; round < 3; round++) {
        for (size_t size = 0; size < 3000; size += 7) {
            char *p = arena_alloc(&a, size);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % 16, 0);
            for (size_t i = 0; i < size; i++)
                assert_int_equal(p[i], 0);
            memset(p, 0xa5, size); /* the next round would see it */
            if (previous && previous_size)
                assert_int_equal((unsigned char)previous[previous_size - 1], 0xa5);
            previous = p;
            previous_size = size;
        }
        arena_reset(&a);
        previous = NULL;
    }
    arena_release(&a);
}

static void copies_are_copies(void **state)
{
    struct arena a;
    arena_init(&a);
    char text[] = "text";
    char *s = arena_strdup(&a, text), *n = arena_strndup(&a, text, 2);
    void *d = arena_memdup(&a, text, 5);
    char *f = arena_printf(&a, "%s-%d-%0*d", text, 7, 5000, 1); /* larger than a block */
    text[0] = 'X';
    assert_string_equal(s, "text");
    assert_string_equal(n, "te");
    assert_string_equal(d, "text");
    assert_memory_equal(f, "text-7-000", 10);
    assert_int_equal(strlen(f), 5007);
    assert_non_null(arena_memdup(&a, NULL, 0));
    arena_release(&a);
}

static char order[16];
static char letters[] = "abcdxy";

static void note(void *arg)
{
    strncat(order, arg, 1);
}

static void hooks_run_newest_first_and_once(void **state)
{
    struct arena a;
    arena_init(&a);
    order[0] = 0;
    arena_on_release(&a, note, &letters[0]);
    arena_on_release(&a, note, &letters[1]);
    arena_on_release(&a, note, &letters[2]);
    arena_reset(&a);
    assert_string_equal(order, "cba");
    arena_on_release(&a, note, &letters[3]);
    arena_release(&a);
    assert_string_equal(order, "cbad");
    arena_release(&a);
    assert_string_equal(order, "cbad");
}

/* What a hook looks at (here: memory of the arena itself) is still there when it runs. */
static void look(void *arg)
{
    snprintf(order, sizeof order, "%s", (char *)arg);
}

static struct arena *reentrant;
static void add_hook(void *arg)
{
    arena_on_release(reentrant, note, &letters[5]);
    note(&letters[4]);
}

static void hooks_may_use_the_arena(void **state)
{
    struct arena a;
    arena_init(&a);
    char *text = arena_strdup(&a, "alive");
    arena_alloc(&a, 100000);
    arena_on_release(&a, look, text);
    arena_release(&a);
    assert_string_equal(order, "alive");
    reentrant = &a;
    order[0] = 0;
    arena_on_release(&a, add_hook, NULL);
    arena_release(&a);
    assert_string_equal(order, "xy");
}

static size_t kept(const struct arena *a)
{
    return (size_t)(a->end - a->next);
}

static void reset_keeps_one_small_block_only(void **state)
{
    struct arena a;
    arena_init(&a);
    char *first = arena_alloc(&a, 10);
    for (int i = 0; i < 1000; i++)
        arena_alloc(&a, 5000);
    arena_reset(&a);
    assert_true(kept(&a) > 0 && kept(&a) <= 4096);
    assert_ptr_equal(arena_alloc(&a, 10), first); /* the same block again: no malloc a request */
    arena_release(&a);
    arena_alloc(&a, 10 << 20); /* one that began big does not stay so */
    arena_reset(&a);
    assert_int_equal(kept(&a), 0);
    assert_non_null(arena_alloc(&a, 1));
    arena_release(&a);
    assert_null(a.head);
}

static void many_resets_do_not_grow(void **state)
{
    struct arena a;
    arena_init(&a);
    for (int i = 0; i < 100000; i++) {
        arena_alloc(&a, (size_t)(i % 97) * 100);
        arena_alloc(&a, 64);
        arena_reset(&a);
        assert_true(kept(&a) <= 4096);
    }
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_aligned_and_apart),
        cmocka_unit_test(copies_are_copies),
        cmocka_unit_test(hooks_run_newest_first_and_once),
        cmocka_unit_test(hooks_may_use_the_arena),
        cmocka_unit_test(reset_keeps_one_small_block_only),
        cmocka_unit_test(many_resets_do_not_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
