/* SPDX-License-Identifier: Apache-2.0 */
/* Names of projects, versions and files (src/formats/pypi/names.h), and the digest that uploads announce. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "pantera/text.h"
#include "src/formats/pypi/blake2b.h"
#include "src/formats/pypi/names.h"

#include <cmocka.h> /* after our headers: its fail() is a macro */
#undef fail

static struct arena a;

static int setup(void **state)
{
    arena_init(&a);
    return 0;
}

static int teardown(void **state)
{
    arena_release(&a);
    return 0;
}

static void names_are_made_normal(void **state)
{
    static const char *const rows[][2] = { { "Friendly-Bard", "friendly-bard" },
                                           { "FRIENDLY.__-bard", "friendly-bard" },
                                           { "a", "a" },
                                           { "A_B.c-9", "a-b-c-9" } };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(pypi_name_normal(&a, rows[i][0]), rows[i][1]);
    static const char *const bad[] = { "", "-a", "a-", ".", "a b", "a/b", "ä", "a\n", "_" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(pypi_name_valid(bad[i]));
    assert_true(pypi_name_valid("a.b_c-D9"));
    char longest[PYPI_NAME + 2] = "";
    memset(longest, 'a', PYPI_NAME);
    assert_true(pypi_name_valid(longest));
    longest[PYPI_NAME] = 'a';
    assert_false(pypi_name_valid(longest));
}

/* The spellings of PEP 440, "Normalization". */
static void versions_are_made_normal(void **state)
{
    static const char *const rows[][2] = {
        { "1.0", "1.0" },
        { " v1.0 ", "1.0" },
        { "1.1RC1", "1.1rc1" },
        { "00.09", "0.9" },
        { "1.1.a1", "1.1a1" },
        { "1.1-a1", "1.1a1" },
        { "1.1_alpha.1", "1.1a1" },
        { "1.1beta2", "1.1b2" },
        { "1.1c3", "1.1rc3" },
        { "1.1pre", "1.1rc0" },
        { "1.1preview-4", "1.1rc4" },
        { "1.2a", "1.2a0" },
        { "1.2-post2", "1.2.post2" },
        { "1.2post", "1.2.post0" },
        { "1.0-r4", "1.0.post4" },
        { "1.0.rev4", "1.0.post4" },
        { "1.0-1", "1.0.post1" },
        { "1.2dev2", "1.2.dev2" },
        { "1.2-dev", "1.2.dev0" },
        { "1.0+Ubuntu-1", "1.0+ubuntu.1" },
        { "1.0+001.a_b", "1.0+1.a.b" },
        { "1!2.0", "1!2.0" },
        { "0!2.0", "2.0" },
        { "2!1.0rc1.post2.dev3+x", "2!1.0rc1.post2.dev3+x" },
        { "20230101123456789012345678901234567890", "20230101123456789012345678901234567890" },
    };
    static const char *const bad[] = {
        "",      "a",  "1.",   "1.0.",    "1..0",   "1.0+",      "1.0+a..b",
        "1.0 a", "!1", "1.0-", "1.0+a/b", "1.0foo", "1.0rc1rc2", "1.0.dev1.post1x",
        "../1"
    };
    struct pypi_version v, again;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(pypi_version_parse(&a, rows[i][0], &v));
        assert_string_equal(v.text, rows[i][1]);
        assert_true(pypi_version_parse(&a, v.text, &again));
        assert_string_equal(again.text, v.text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(pypi_version_parse(&a, bad[i], &v));
    char longest[PYPI_VERSION + 1] = "1-2+"; /* "1.post2+": four more */
    memset(longest + 4, 'x', PYPI_VERSION - 4);
    longest[PYPI_VERSION] = 0;
    assert_false(pypi_version_parse(&a, longest, &v));
    longest[PYPI_VERSION - 4] = 0;
    assert_true(pypi_version_parse(&a, longest, &v));
}

/* From PEP 440, "Summary of permitted suffixes and relative ordering", and local versions. */
static void versions_are_ordered(void **state)
{
    static const char *const order[] = {
        "1.dev0",
        "1.0.dev456",
        "1.0a1.dev1",
        "1.0a1",
        "1.0a2.dev456",
        "1.0a12.dev456",
        "1.0a12",
        "1.0b1.dev456",
        "1.0b2",
        "1.0b2.post345.dev456",
        "1.0b2.post345",
        "1.0rc1.dev456",
        "1.0rc1",
        "1.0",
        "1.0+abc.5",
        "1.0+abc.7",
        "1.0+5",
        "1.0+5.1",
        "1.0.post456.dev34",
        "1.0.post456",
        "1.0.15",
        "1.1.dev1",
        "1.2",
        "1.10",
        "10",
        "1!0.1",
    };
    enum { N = sizeof order / sizeof *order };
    struct pypi_version v[N], other;

    for (size_t i = 0; i < N; i++)
        assert_true(pypi_version_parse(&a, order[i], &v[i]));
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < N; k++) {
            int c = pypi_version_compare(&v[i], &v[k]);
            assert_int_equal((c > 0) - (c < 0), (i > k) - (i < k));
        }
    assert_true(pypi_version_parse(&a, "1.0.0", &other));
    assert_int_equal(pypi_version_compare(&v[13], &other), 0);
}

static void files_tell_their_version(void **state)
{
    static const struct {
        const char *project, *name, *version;
        enum pypi_kind kind;
    } rows[] = {
        { "foo-bar", "foo_bar-1.0-py3-none-any.whl", "1.0", PYPI_WHEEL },
        { "foo-bar", "Foo.Bar-1.0-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
          "1.0", PYPI_WHEEL },
        { "foo", "foo-1.0+local_1-py2.py3-none-any.whl", "1.0+local.1", PYPI_WHEEL },
        { "foo", "foo-1.0_1-py3-none-any.whl", "1.0.post1", PYPI_WHEEL },
        { "foo-bar", "foo_bar-1.0.tar.gz", "1.0", PYPI_SDIST },
        { "foo-bar", "foo-bar-1.0-1.zip", "1.0.post1", PYPI_SDIST },
        { "foo-2", "foo-2-3.zip", "3", PYPI_SDIST },
        { "foo", "foo-2-3.zip", "2.post3", PYPI_SDIST },
        { "foo", "foo-1.0-py3.7.egg", "1.0", PYPI_OTHER },
        { "foo", "foo-1.0.win-amd64-py2.7.exe", "1.0", PYPI_OTHER },
    };
    static const char *const bad[] = { "foo.whl",
                                       "foo-1.0.whl",
                                       "bar-1.0.tar.gz",
                                       "foo-1.0-a-py3-none-any.whl",
                                       "foo-.tar.gz",
                                       "foo-1.0",
                                       "",
                                       ".whl",
                                       "foo-x-py3-none-any.whl",
                                       "foo-1.0-1-2-3-4-py3-none-any.whl" };
    struct pypi_file f;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(pypi_file_parse(&a, rows[i].project, rows[i].name, &f));
        assert_string_equal(f.version.text, rows[i].version);
        assert_int_equal(f.kind, rows[i].kind);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(pypi_file_parse(&a, "foo", bad[i], &f));
}

static void times_are_read(void **state)
{
    int64_t ms;

    assert_true(pypi_time_parse("2024-02-29T12:00:01.250999Z", &ms));
    assert_true(ms == 1709208001250);
    assert_true(pypi_time_parse("1970-01-01T00:00:00", &ms) && ms == 0);
    assert_true(pypi_time_parse("1970-01-01T00:00:00+00:00", &ms) && ms == 0);
    assert_false(pypi_time_parse("1970-01-01T00:00:00+02:00", &ms));
    assert_false(pypi_time_parse("1970-13-01T00:00:00Z", &ms));
    assert_false(pypi_time_parse("1970-01-01", &ms));
    assert_false(pypi_time_parse("", &ms));
}

/* What Python's hashlib.blake2b(data, digest_size=32) says. */
static void digest_is_that_of_others(void **state)
{
    static const struct {
        size_t size;
        const char *hex;
    } rows[] = {
        { 0, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8" },
        { 3, "3d8c3d594928271f44aad7a04b177154806867bcf918e1549c0bc16f9da2b09b" },
        { 128, "c3582f71ebb2be66fa5dd750f80baae97554f3b015663c8be377cfcb2488c1d1" },
        { 129, "f7f3c46ba2564ff4c4c162da1f5b605f9f1c4aa6a20652a9f9a337c1a2f5b9c9" },
        { 1000, "b372d0608f720c8c3dd41e9c8eecb10143b41abe520b616607e754bf79c08331" },
    };
    unsigned char data[1000], digest[32];
    char hex[65];

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i % 251);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t piece = 1; piece < 1001; piece += 333) {
            struct blake2b b;
            blake2b_init(&b);
            for (size_t at = 0; at < rows[i].size; at += piece)
                blake2b_update(&b, data + at,
                               rows[i].size - at < piece ? rows[i].size - at : piece);
            blake2b_final(&b, digest);
            hex_encode(digest, 32, hex);
            assert_string_equal(hex, rows[i].hex);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_are_made_normal, setup, teardown),
        cmocka_unit_test_setup_teardown(versions_are_made_normal, setup, teardown),
        cmocka_unit_test_setup_teardown(versions_are_ordered, setup, teardown),
        cmocka_unit_test_setup_teardown(files_tell_their_version, setup, teardown),
        cmocka_unit_test_setup_teardown(times_are_read, setup, teardown),
        cmocka_unit_test(digest_is_that_of_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
