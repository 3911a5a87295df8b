/* SPDX-License-Identifier: Apache-2.0 */
/* Helm's pure parts: strangers' YAML, Chart.yaml, versions, the index, provenance. */
#include <stdlib.h>
#include <string.h>

#include "pantera/yaml.h"
#include "src/formats/helm/chart.h"

#include "support/fx_arena.h" /* after our headers: its fail() is a macro */

/* --- YAML --- */

static const char *yaml(const char *text)
{
    json_t *value = NULL;
    char *dump;
    const char *copy;

    if (yaml_to_json(text, strlen(text), &value, NULL))
        return NULL;
    dump = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    copy = arena_strdup(&arena, dump);
    free(dump);
    json_decref(value);
    return copy;
}

static void yaml_becomes_json(void **state)
{
    (void)state;
    assert_string_equal(yaml("a: 1.10\nb: [x, 'true', true, ~, null]\nc: {d: \"e\"}\nf: |\n  g\n  h\n"),
                        "{\"a\":\"1.10\",\"b\":[\"x\",\"true\",true,null,null],\"c\":{\"d\":\"e\"},"
                        "\"f\":\"g\\nh\\n\"}");
    assert_string_equal(yaml("{\"a\": [1, {\"b\": false}]}"), "{\"a\":[\"1\",{\"b\":false}]}");
    assert_string_equal(yaml("a: &x {b: c}\nd: *x\n"), "{\"a\":{\"b\":\"c\"},\"d\":{\"b\":\"c\"}}");
    assert_string_equal(yaml("--- !!map\na: !x b\n...\n--- c\n"), "{\"a\":\"b\"}");
}

static void yaml_that_is_broken_is_refused(void **state)
{
    static const char *const bad[] = { "", "# x", "a: [", "a: *x", "a: &x [*x]", "? [a]\n: b",
                                       "\"\\xff\": \x80",
                                       "a: \"\\0\"", "a:\n\t- b" };
    char deep[400];

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (yaml(bad[i]))
            fail_msg("taken: %s as %s", bad[i], yaml(bad[i]));
    memset(deep, '[', 200);
    memset(deep + 200, ']', 199);
    deep[399] = 0;
    assert_null(yaml(deep));
    /* Each line is ten of the one before. */
    assert_null(yaml("a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
                     "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
                     "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"));
}

/* --- charts --- */

static void charts_say_what_an_index_holds(void **state)
{
    static const char text[] =
        "apiVersion: v2\nname: lib\nversion: 1.0.0\nappVersion: 1.10\ndeprecated: true\n"
                               "description: true\nkeywords: [a, 1]\nannotations: {b: 2, c: [d]}\n"
                               "dependencies: [{name: e, version: ^1}, f]\nunknown: x\nengine: gotpl\n";
    json_t *entry = NULL;
    char *dump;

    (void)state;
    assert_int_equal(helm_chart_read(text, strlen(text), &entry, NULL), OK);
    dump = json_dumps(entry, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(dump, "{\"annotations\":{\"b\":\"2\"},\"apiVersion\":\"v2\",\"appVersion\":\"1.10\","
                              "\"dependencies\":[{\"name\":\"e\",\"version\":\"^1\"}],\"deprecated\":true,"
                              "\"description\":\"true\",\"keywords\":[\"a\",\"1\"],\"name\":\"lib\","
                              "\"version\":\"1.0.0\"}");
    free(dump);
    json_decref(entry);
}

static void charts_need_a_name_and_a_version(void **state)
{
    static const char *const bad[] = {
        "name: lib\nversion: 1.0.0\n", "apiVersion: v2\nversion: 1.0.0\n", "apiVersion: v2\nname: lib\n",
        "apiVersion: v2\nname: ../lib\nversion: 1.0.0\n", "apiVersion: v2\nname: .lib\nversion: 1.0.0\n",
        "apiVersion: v2\nname: lib\nversion: '1'\n", "apiVersion: v2\nname: lib\nversion: 1.0.0/x\n",
        "[]", "x",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *entry = NULL;
        if (!helm_chart_read(bad[i], strlen(bad[i]), &entry, NULL))
            fail_msg("taken: %s", bad[i]);
    }
}

static void versions_are_in_order(void **state)
{
    static const char *const up[] = { "nonsense", "0.1.0", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta",
                                      "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.0+a",
                                      "v1.0.1",
                                      "1.9.0", "1.10.0" };

    (void)state;
    for (size_t i = 0; i < sizeof up / sizeof *up; i++)
        for (size_t k = 0; k < sizeof up / sizeof *up; k++) {
            int got = helm_version_compare(up[i], up[k]);
            if ((got > 0) - (got < 0) != (i > k) - (i < k))
                fail_msg("'%s' against '%s': %d", up[i], up[k], got);
        }
    assert_true(helm_version_good("1.2.3-a.b+c.d"));
    assert_false(helm_version_good("1.2"));
    assert_false(helm_version_good("01.2.3"));
    assert_false(helm_version_good("1.2.3-"));
    assert_false(helm_version_good("1.2.3+"));
    assert_false(helm_version_good("1.2.3-a..b"));
}

/* --- the index --- */

static json_t *entry_of(const char *name, const char *version)
{
    return json_pack("{s:s, s:s, s:[s]}", "name", name, "version", version, "urls",
                     helm_chart_path(&arena, name, version));
}

static void the_index_is_changed_and_read_again(void **state)
{
    json_t *index = NULL, *again = NULL;
    struct buf b;

    (void)state;
    assert_int_equal(helm_index_read(NULL, 0, &index, NULL), OK);
    helm_index_put(index, entry_of("a", "1.0.0"));
    helm_index_put(index, entry_of("a", "1.10.0"));
    helm_index_put(index, entry_of("a", "1.9.0"));
    helm_index_put(index, entry_of("a", "1.9.0"));
    helm_index_put(index, entry_of("b", "1.0.0"));
    helm_index_sort(index);
    buf_init(&b, 65536);
    assert_int_equal(helm_index_write(index, &b), OK);
    assert_int_equal(helm_index_read(b.data, b.length, &again, NULL), OK);
    assert_true(json_equal(index, again));
    assert_int_equal(json_array_size(json_object_get(json_object_get(again, "entries"), "a")), 3);
    assert_string_equal(json_string_value(json_object_get(
                            json_array_get(json_object_get(json_object_get(again, "entries"), "a"), 0),
                                "version")),
                        "1.10.0");
    assert_int_equal(helm_index_remove(again, "charts/a-1.9.0.tgz", false), 1);
    assert_null(helm_index_find(again, "a", "1.9.0"));
    assert_non_null(helm_index_find(again, "a", "1.0.0"));
    assert_int_equal(helm_index_remove(again, "chart", true), 0);
    assert_int_equal(helm_index_remove(again, "charts", true), 3);
    assert_int_equal(json_object_size(json_object_get(again, "entries")), 0);
    json_decref(index);
    json_decref(again);
    buf_free(&b);
}

static void an_index_of_others_is_yaml(void **state)
{
    static const char text[] =
        "apiVersion: v1\nentries:\n  a:\n  - name: a\n    version: 1.0.0\n    urls: [x]\n";
    json_t *index = NULL;

    (void)state;
    assert_int_equal(helm_index_read(text, strlen(text), &index, NULL), OK);
    assert_non_null(helm_index_find(index, "a", "1.0.0"));
    json_decref(index);
    assert_int_equal(helm_index_read("entries:\n", 9, &index, NULL), OK);
    json_decref(index);
    assert_int_equal(helm_index_read("<html>", 6, &index, NULL), ERR_UPSTREAM);
    assert_int_equal(helm_index_read("[]", 2, &index, NULL), ERR_UPSTREAM);
}

static void charts_are_found_by_places(void **state)
{
    static const char text[] =
        "entries:\n"
        "  b:\n"
        "  - {version: 1.0.0, urls: [b.tgz, c.tgz], created: '1970-01-01T00:00:01Z',"
        " digest: 'sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'}\n"
        "  - {version: 1.0.0, urls: [no.tgz]}\n"
        "  - {version: 1.0.0-rc.1, urls: ['https://x/rc'], digest: odd}\n"
        "  - {version: 10.0.0, urls: [\"a\\tb\"]}\n"
        "  - {version: 11.0.0}\n"
        "  a: [{version: 1.0.0, urls: [a.tgz]}]\n"
        "  a-b: [{version: 1.0.0, urls: [ab.tgz]}]\n";
    static const char *const none[][2] = { { "b", "10.0.0" }, { "b", "11.0.0" }, { "b", "1.0" }, { "c", "1" },
                                           { "", "" } };
    struct helm_place p;
    json_t *index;
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 20);
    assert_int_equal(helm_index_read(text, strlen(text), &index, NULL), OK);
    assert_int_equal(helm_places_write(index, &arena, &b), OK);
    assert_true(helm_places_find(b.data, b.length, &arena, "b", "1.0.0", &p));
    assert_string_equal(p.url, "b.tgz");
    assert_int_equal(strlen(p.sha256), 64);
    assert_int_equal(p.released_ms, 1000);
    assert_true(helm_places_find(b.data, b.length, &arena, "b", "1.0.0-rc.1", &p));
    assert_string_equal(p.url, "https://x/rc");
    assert_string_equal(p.sha256, "");
    assert_int_equal(p.released_ms, 0);
    assert_true(helm_places_find(b.data, b.length, &arena, "a", "1.0.0", &p));
    assert_true(helm_places_find(b.data, b.length, &arena, "a-b", "1.0.0", &p));
    assert_string_equal(p.url, "ab.tgz");
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_false(helm_places_find(b.data, b.length, &arena, none[i][0], none[i][1], &p));
    assert_false(helm_places_find("", 0, &arena, "a", "1.0.0", &p));
    buf_free(&b);
    json_decref(index);
}

static void a_provenance_names_its_file(void **state)
{
#define SUM "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    static const char good[] =
        "x\n...\nfiles:\n  lib-1.0.0.tgz: sha256:" SUM "\n-----BEGIN PGP SIGNATURE-----\n";
    static const char *const bad[] = { "", "files:", "\nfiles:\n", "\nfiles:\n a/b.tgz: sha256:" SUM,
                                       "\nfiles:\n b.tgz: sha256:0", "\nfiles:\n b.tgz: md5:" SUM };
    const char *sum = NULL;

    (void)state;
    assert_string_equal(helm_prov_file(&arena, good, strlen(good), &sum), "lib-1.0.0.tgz");
    assert_string_equal(sum, SUM);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_null(helm_prov_file(&arena, bad[i], strlen(bad[i]), &sum));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(yaml_becomes_json), TEST(yaml_that_is_broken_is_refused), TEST(charts_say_what_an_index_holds),
        TEST(charts_need_a_name_and_a_version), TEST(versions_are_in_order),
        TEST(the_index_is_changed_and_read_again), TEST(an_index_of_others_is_yaml),
        TEST(a_provenance_names_its_file), TEST(charts_are_found_by_places),
    };
    return cmocka_run_group_tests_name("helm", tests, NULL, NULL);
}
