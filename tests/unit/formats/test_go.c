/* SPDX-License-Identifier: Apache-2.0 */
/* Go's pure parts: escapes, paths, names of files and modules, the order of versions, go.mod. */
#include <string.h>

#include "src/formats/go/module.h"
#include "src/formats/rfc3339.h"

#include "support/fx_arena.h" /* after our headers: its fail() is a macro */

static void upper_case_is_escaped(void **state)
{
    static const char *const bad[] = { "A", "!", "a!", "!A", "!!a", "!1", "\xc3\xa9" };

    (void)state;
    assert_string_equal(go_unescape(&arena, "github.com/!azure/azure-sdk!g!o"),
                        "github.com/Azure/azure-sdkGO");
    assert_string_equal(go_escape(&arena, "github.com/Azure/x"), "github.com/!azure/x");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (go_unescape(&arena, bad[i]))
            fail_msg("taken: %s", bad[i]);
}

static void paths_say_what_they_name(void **state)
{
    static const struct { const char *path; enum go_kind kind; const char *module, *version; } cases[] = {
        { "example.com/!m/@v/list", GO_LIST, "example.com/M", NULL },
        { "example.com/m/@latest", GO_LATEST, "example.com/m", NULL },
        { "example.com/m/@v/v1.0.0.zip", GO_ZIP, "example.com/m", "v1.0.0" },
        { "example.com/m/@v/v1.0.0-!r!c.1.mod", GO_MOD, "example.com/m", "v1.0.0-RC.1" },
        { "example.com/m/@v/v2.0.0+incompatible.info", GO_INFO, "example.com/m", "v2.0.0+incompatible" },
        { "sumdb/sum.example/supported", GO_SUMDB, NULL, NULL },
        { "example.com/m/@v/", GO_OTHER, NULL, NULL }, { "example.com/m/@v/x", GO_OTHER, NULL, NULL },
        { "example.com/m/@v/a/b.zip", GO_OTHER, NULL, NULL }, { "@v/list", GO_OTHER, NULL, NULL },
        { "example.com/m/@v/.zip", GO_OTHER, NULL, NULL }, { "example.com/m", GO_OTHER, NULL, NULL },
    };
    struct go_path p;
    struct why why;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(go_path_parse(&arena, cases[i].path, &p, &why), OK);
        if (p.kind != cases[i].kind || (p.module && strcmp(p.module, cases[i].module)) ||
            (p.version && strcmp(p.version, cases[i].version)))
            fail_msg("%s: %d %s %s", cases[i].path, (int)p.kind, p.module, p.version);
    }
    assert_int_equal(go_path_parse(&arena, "example.com/M/@v/list", &p, &why), ERR_NOT_FOUND);
}

static void modules_fit_their_versions(void **state)
{
    static const char *const good[][2] = {
        { "example.com/m", "v0.1.0" }, { "example.com/m", "v1.2.3-pre" }, { "example.com/m/v2", "v2.0.0" },
        { "example.com/m", "v3.0.0+incompatible" }, { "gopkg.in/yaml.v2", "v2.4.0" },
        { "gopkg.in/check.v1", "v0.0.0-20161208181325-20d25e280405" }, { "gopkg.in/x.v0", "v0.1.0" },
        { "gopkg.in/x.v2-unstable", "v2.0.0" }, { "example.com/v", "v1.0.0" }, { "example.com/M_x~y",
          "v1.0.0" },
    };
    static const char *const bad[][2] = {
        { "example.com/m", "v2.0.0" }, { "example.com/m/v2", "v1.0.0" }, { "example.com/m/v1", "v1.0.0" },
        { "example.com/m/v02", "v2.0.0" }, { "example.com/m/v2.1", "v2.1.0" }, { "m", "v1.0.0" },
        { "Example.com/m", "v1.0.0" }, { "example.com/m", "1.0.0" }, { "example.com/m", "v1.0" },
        { "example.com/m", "v1.0.0+meta" }, { "example.com/m", "v01.0.0" }, { "gopkg.in/x", "v1.0.0" },
        { "example.com/.m", "v1.0.0" }, { "example.com/m.", "v1.0.0" }, { "example.com//m", "v1.0.0" },
        { "example.com/con", "v1.0.0" }, { "example.com/a b", "v1.0.0" }, { "-a.com/m", "v1.0.0" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (go_module_check(good[i][0], good[i][1], NULL))
            fail_msg("refused: %s@%s", good[i][0], good[i][1]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (!go_module_check(bad[i][0], bad[i][1], NULL))
            fail_msg("taken: %s@%s", bad[i][0], bad[i][1]);
}

static void files_have_names_for_every_system(void **state)
{
    static const char *const good[] = { "a.go", ".gitignore", "a/b c/d", "\xc3\xa9.go", "con1.go",
                                        "a@b#$%", "com" };
    static const char *const bad[] = { "", "/a", "a/", "a//b", ".", "..", "a/../b", "a.", "con",
                                       "CoN.txt", "lpt9.x",
                                       "a:b", "a\\b", "a*", "a\x01", "\xe2\x82\xac", "\xff", "a..b" };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (go_file_check(good[i], NULL))
            fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (!go_file_check(bad[i], NULL))
            fail_msg("taken: %s", bad[i]);
    assert_string_equal(go_fold(&arena, "\xc3\x89" "A"), go_fold(&arena, "\xc3\xa9" "a"));
    assert_string_equal(go_fold(&arena, "\xe2\x84\xaa"), "k"); /* the sign of Kelvin */
    assert_string_equal(go_fold(&arena, "\xc5\xbf"), "s");     /* a long s */
}

static void versions_are_in_order(void **state)
{
    static const char *const up[] = {
        "v0.0.0-20260102030405-abcdefabcdef", "v0.0.1", "v1.0.0-1", "v1.0.0-2", "v1.0.0-10", "v1.0.0-alpha",
        "v1.0.0-alpha.1", "v1.0.0-alpha.beta", "v1.0.0-beta.2", "v1.0.0-beta.11", "v1.0.0-rc.1", "v1.0.0",
        "v1.9.0", "v1.10.0", "v2.0.0+incompatible", "v10.0.0+incompatible",
    };

    (void)state;
    for (size_t i = 0; i < sizeof up / sizeof *up; i++)
        for (size_t k = 0; k < sizeof up / sizeof *up; k++) {
            int got = go_version_compare(up[i], up[k]);
            if ((got > 0) - (got < 0) != (i > k) - (i < k))
                fail_msg("'%s' against '%s': %d", up[i], up[k], got);
        }
    assert_true(go_version_better("v1.0.0", "v1.1.0-pre"));
    assert_true(go_version_better("v0.1.0-pre", "v1.0.0-20260102030405-abcdefabcdef"));
    assert_true(go_version_better("v0.0.0-20260102030405-abcdefabcdef", NULL));
    assert_false(go_version_better("v1.0.0", "v1.0.0"));
}

static void versions_of_commits_are_known(void **state)
{
    (void)state;
    assert_true(go_version_is_pseudo("v0.0.0-20260102030405-abcdefabcdef"));
    assert_true(go_version_is_pseudo("v1.2.4-0.20260102030405-abcdefabcdef"));
    assert_true(go_version_is_pseudo("v1.2.3-pre.0.20260102030405-abcdefabcdef"));
    assert_true(go_version_is_pseudo("v2.0.1-0.20260102030405-abcdefabcdef+incompatible"));
    assert_false(go_version_is_pseudo("v1.2.3-20260102030405-abcdefabcdef"));
    assert_false(go_version_is_pseudo("v1.2.3-x10.20260102030405-abcdefabcdef"));
    assert_false(go_version_is_pseudo("v1.2.3-rc.1"));
    assert_false(go_version_is_pseudo("v1.0.0"));
}

static void times_of_indexes_are_read(void **state)
{
    (void)state;
    assert_int_equal(rfc3339_ms("2026-01-02T03:04:05Z"), 1767323045000);
    assert_int_equal(rfc3339_ms("2026-01-02T03:04:05.123456789Z"), 1767323045000);
    assert_int_equal(rfc3339_ms("2026-01-02 04:04:05+01:00"), 1767323045000);
    assert_int_equal(rfc3339_ms("2026-01-02T02:34:05-00:30"), 1767323045000);
    assert_int_equal(rfc3339_ms(NULL), 0);
    assert_int_equal(rfc3339_ms("2026-01-02"), 0);
    assert_int_equal(rfc3339_ms("2026-01-02T03:04:05x"), 0);
    assert_int_equal(rfc3339_ms("yesterday"), 0);
}

static void paths_for_upstream_are_judged(void **state)
{
    static const char *const bad[] = { "example.com/../x/@v/list", "example.com/a b/@v/list", "a/con/@latest",
                                       "example.com/x/@v/v1?.mod", "example.com/x/@v/v1 .mod" };
    struct go_path p;
    struct why why;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(go_path_parse(&arena, bad[i], &p, &why), OK);
        if (i < 3 && !go_path_judge(&p, NULL))
            fail_msg("taken: %s", bad[i]);
    }
    assert_int_equal(go_path_parse(&arena, "example.com/!x/@v/master.info", &p, &why), OK);
    assert_int_equal(go_path_judge(&p, NULL), OK);
}

static void go_mod_names_its_module(void **state)
{
    static const struct { const char *text, *module; } cases[] = {
        { "module example.com/m\n", "example.com/m" },
        { "// x\n\n  module \"example.com/m\" // y\ngo 1.20\n", "example.com/m" },
        { "go 1.20\nmodule `example.com/m`", "example.com/m" },
        { "module (\n\texample.com/m\n)\n", "example.com/m" },
        { "modules example.com/m\n", NULL }, { "", NULL }, { "// module example.com/m", NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *said = go_mod_module(&arena, cases[i].text);
        if (said && cases[i].module ? strcmp(said, cases[i].module) != 0 : said != cases[i].module)
            fail_msg("'%s': %s", cases[i].text, said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(upper_case_is_escaped), TEST(paths_say_what_they_name), TEST(modules_fit_their_versions),
        TEST(files_have_names_for_every_system), TEST(versions_are_in_order),
        TEST(versions_of_commits_are_known), TEST(times_of_indexes_are_read),
        TEST(paths_for_upstream_are_judged),
        TEST(go_mod_names_its_module),
    };
    return cmocka_run_group_tests_name("go", tests, NULL, NULL);
}
