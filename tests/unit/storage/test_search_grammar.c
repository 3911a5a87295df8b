/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar of searches: trees, written as text again, and what is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>

#include "pantera/search.h"

#include <cmocka.h>
#undef fail

static struct arena arena;

static const char *shown(const struct search_node *n)
{
    static const char *const fields[] = { "", "name:", "version:", "repo:", "type:" };

    switch (n->kind) {
    case SEARCH_TERM:
        return arena_printf(&arena, "%s%s", fields[n->field], n->text);
    case SEARCH_NOT:
        return arena_printf(&arena, "!%s", shown(n->a));
    case SEARCH_AND:
        return arena_printf(&arena, "(%s & %s)", shown(n->a), shown(n->b));
    case SEARCH_OR:
        break;
    }
    return arena_printf(&arena, "(%s | %s)", shown(n->a), shown(n->b));
}

static void queries_read_like_what_they_mean(void **state)
{
    static const char *const rows[][2] = {
        { "spring boot", "(spring & boot)" },
        { "  guava\t", "guava" },
        { "name:pydantic AND version:2.12", "(name:pydantic & version:2.12)" },
        { "name:pydantic AND (version:2.12 OR version:2.11)",
          "(name:pydantic & (version:2.12 | version:2.11))" },
        { "repo:pypi-proxy AND type:pypi", "(repo:pypi-proxy & type:pypi)" },
        { "a OR b c", "(a | (b & c))" },
        { "a b OR c", "((a & b) | c)" },
        { "NOT a b", "(!a & b)" },
        { "a NOT b", "(a & !b)" },
        { "a NOT (b OR c)", "(a & !(b | c))" },
        { "NOT NOT a", "!!a" },
        { "a and b or not", "((((a & and) & b) & or) & not)" },
        { "\"spring boot\" x", "(spring boot & x)" },
        { "\"name:foo\"", "name:foo" },
        { "\"AND\"", "AND" },
        { "name:\"a b\"", "name:a b" },
        { "name: x", "name:x" },
        { "NAME:x", "name:x" },
        { "http://x owner:me", "(http://x & owner:me)" },
        { "ANDROID ORacle NOTe", "((ANDROID & ORacle) & NOTe)" },
        { "a(b)c", "((a & b) & c)" },
        { "((a))", "a" },
        { "50%_off", "50%_off" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct search_node *n = NULL;
        struct why why = { "" };
        assert_int_equal(search_parse(&arena, rows[i][0], &n, &why), OK);
        assert_string_equal(shown(n), rows[i][1]);
    }
}

static void nonsense_is_refused(void **state)
{
    static const char *const rows[] = {
        "", "   ", "(", ")", "()", "(a", "a)", "a (b", "AND", "a AND", "a OR", "OR a", "NOT", "a AND OR b",
        "\"", "\"a", "\"\"", "name:", "name:\"\"", "name: ", "version:) x", "\xff\xfe", "\xc0\xaf",
        "((((((((((((((a))))))))))))))", "NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT NOT a",
    };
    char many[200] = "", longest[1100];
    const struct search_node *n;
    struct why why = { "" };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        why.text[0] = 0;
        assert_int_equal(search_parse(&arena, rows[i], &n, &why), ERR_BAD_REQUEST);
        assert_true(why.text[0] != 0);
    }
    for (int i = 0; i < SEARCH_TERMS; i++)
        strcat(many, "a ");
    assert_int_equal(search_parse(&arena, many, &n, &why), OK);
    strcat(many, "a");
    assert_int_equal(search_parse(&arena, many, &n, &why), ERR_BAD_REQUEST);
    memset(longest, 'a', sizeof longest);
    longest[1024] = 0;
    assert_int_equal(search_parse(&arena, longest, &n, &why), OK);
    longest[1024] = 'a';
    longest[1025] = 0;
    assert_int_equal(search_parse(&arena, longest, &n, &why), ERR_BAD_REQUEST);
}

static int setup(void **state)
{
    arena_init(&arena);
    return 0;
}

static int teardown(void **state)
{
    arena_release(&arena);
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(queries_read_like_what_they_mean, setup, teardown),
        cmocka_unit_test_setup_teardown(nonsense_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
