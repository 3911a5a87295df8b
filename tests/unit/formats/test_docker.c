/* SPDX-License-Identifier: Apache-2.0 */
/* test_docker: the pure parts of the format docker: names, paths, digests, ranges; manifests; referrers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "src/formats/docker/docker.h"

#include <cmocka.h> /* after our headers: its fail() is a macro */
#undef fail

#define HEX "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void names_follow_the_grammar(void **state)
{
    static const char *const good[] = { "a", "a/b", "team/app", "a.b", "a_b", "a__b", "a---b", "0/1/2",
                                        "a-b_c.d" };
    static const char *const bad[] = { "", "/", "a/", "/a", "A", "a//b", "_a", "a_", "a___b", "a..b", ".a",
                                       "a.-b", "a b", "-a", "a/_manifests", "\xc3\xa4", "a:b" };
    char text[300];

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(oci_name_valid(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(oci_name_valid(bad[i]));
    memset(text, 'a', sizeof text);
    text[256] = 0;
    assert_false(oci_name_valid(text));
    text[255] = 0;
    assert_true(oci_name_valid(text));
    assert_true(oci_tag_valid("latest") && oci_tag_valid("_1") && oci_tag_valid("V1.0-rc_2"));
    assert_false(oci_tag_valid("") || oci_tag_valid(".a") || oci_tag_valid("-a") || oci_tag_valid("a/b") ||
                 oci_tag_valid("a:b") || oci_tag_valid("\xc3\xa4"));
    text[129] = 0;
    assert_false(oci_tag_valid(text));
    text[128] = 0;
    assert_true(oci_tag_valid(text));
}

static void digests_are_of_two_kinds(void **state)
{
    struct oci_digest d;
    char text[200];

    (void)state;
    assert_true(oci_digest_parse("sha256:" HEX, &d));
    assert_string_equal(d.algorithm, "sha256");
    assert_string_equal(d.hex, HEX);
    snprintf(text, sizeof text, "sha512:%s%s", HEX, HEX);
    assert_true(oci_digest_parse(text, &d));
    assert_int_equal(d.kind, DIGEST_SHA512);
    assert_false(oci_digest_parse("sha256:", &d) || oci_digest_parse(HEX, &d) ||
                 oci_digest_parse("sha256:" HEX "0", &d) || oci_digest_parse("sha512:" HEX, &d) ||
                 oci_digest_parse("md5:d41d8cd98f00b204e9800998ecf8427e", &d) ||
                 oci_digest_parse("SHA256:" HEX, &d) || oci_digest_parse(":" HEX, &d));
    memcpy(text, "sha256:" HEX, sizeof "sha256:" HEX);
    text[10] = 'A';
    assert_false(oci_digest_parse(text, &d));
}

static void paths_are_read_from_their_end(void **state)
{
    static const struct {
        const char *path;
        enum oci_what what;
        const char *image, *reference;
    } rows[] = {
        { "a/manifests/latest", OCI_MANIFEST, "a", "latest" },
        { "a/manifests/manifests/x", OCI_MANIFEST, "a/manifests", "x" },
        { "a/b/blobs/sha256:1", OCI_BLOB, "a/b", "sha256:1" },
        { "a/blobs/uploads/", OCI_UPLOADS, "a", "" },
        { "a/blobs/uploads", OCI_UPLOADS, "a", "uploads" },
        { "a/blobs/uploads/id", OCI_UPLOAD, "a", "id" },
        { "a/tags/list", OCI_TAGS, "a", "list" },
        { "a/referrers/sha256:1", OCI_REFERRERS, "a", "sha256:1" },
        { "manifests/latest", OCI_MANIFEST, "", "latest" },
        { "a/tags/other", OCI_NOTHING, NULL, NULL },
        { "a", OCI_NOTHING, NULL, NULL },
        { "", OCI_NOTHING, NULL, NULL },
    };
    const char *image, *reference;
    struct arena a;

    (void)state;
    arena_init(&a);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(oci_path_parse(&a, rows[i].path, &image, &reference), rows[i].what);
        if (rows[i].image)
            assert_string_equal(image, rows[i].image);
        if (rows[i].reference)
            assert_string_equal(reference, rows[i].reference);
    }
    arena_release(&a);
}

static void ranges_name_first_and_last(void **state)
{
    int64_t first, last;

    (void)state;
    assert_true(oci_range_parse("0-9", &first, &last) && first == 0 && last == 9);
    assert_true(oci_range_parse("bytes 10-10/20", &first, &last) && first == 10 && last == 10);
    assert_false(oci_range_parse("", &first, &last) || oci_range_parse("1", &first, &last) ||
                 oci_range_parse("9-1", &first, &last) || oci_range_parse("-1-2", &first, &last) ||
                 oci_range_parse("0-9x", &first, &last) ||
                 oci_range_parse("0-99999999999999999999", &first, &last));
}

static enum err parse(struct arena *a, const char *text, const char *type, struct oci_manifest *ret)
{
    return oci_manifest_parse(a, text, strlen(text), type, ret, NULL);
}

#define BLOB(type) "{\"mediaType\":\"" type "\",\"size\":0,\"digest\":\"sha256:" HEX "\"}"

static void manifests_say_what_they_need(void **state)
{
    struct oci_manifest m;
    struct arena a;

    (void)state;
    arena_init(&a);
    assert_int_equal(parse(&a,
                           "{\"schemaVersion\":2,\"config\":" BLOB("c/d") ",\"layers\":[" BLOB("a/b") "]}",
                           TYPE_OCI_MANIFEST "; charset=utf-8", &m), OK);
    assert_string_equal(m.media_type, TYPE_OCI_MANIFEST);
    assert_string_equal(m.artifact_type, "c/d");
    assert_int_equal(m.reference_count, 1); /* the same twice */
    assert_false(m.references[0].manifest || m.has_subject);
    assert_int_equal(parse(&a, "{\"schemaVersion\":2,\"config\":" BLOB("c/d") ",\"layers\":["
                               BLOB("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip") "]"
                               ",\"artifactType\":\"x/y\",\"subject\":" BLOB("e/f") "}", NULL, &m), OK);
    assert_true(m.has_subject && !strcmp(m.artifact_type, "x/y") && m.reference_count == 1);
    assert_int_equal(parse(&a, "{\"schemaVersion\":2,\"manifests\":[" BLOB("a/b") "]}", TYPE_OCI_INDEX, &m),
                     OK);
    assert_true(m.references[0].manifest && m.references[0].either);
    assert_int_equal(parse(&a, "{\"anything\":[]}", "application/vnd.own+json", &m), OK);
    assert_int_equal(m.reference_count, 0);
    arena_release(&a);
}

static int64_t made_at(struct arena *a, const char *time)
{
    struct oci_manifest m;

    assert_int_equal(parse(a, arena_printf(a,
                                           "{\"annotations\":{\"org.opencontainers.image.created\":\"%s\"}}",
                                           time), "application/vnd.own+json", &m), OK);
    return oci_manifest_created_ms(&m);
}

static void manifests_say_when_they_were_made(void **state)
{
    static const char *const none[] = { "", "yesterday", "2020-01-01", "2020-13-01T00:00:00Z",
                                        "2020-01-01T00:00:00+", "1969-12-31T23:59:59Z",
                                        "1970-01-01T00:00:00Z", "1980-01-01T00:00:01Z" };
    struct arena a;

    (void)state;
    arena_init(&a);
    assert_int_equal(made_at(&a, "2020-01-01T00:00:00Z"), 1577836800000);
    assert_int_equal(made_at(&a, "2020-01-01T02:00:00.123456+02:00"), 1577836800000);
    assert_int_equal(made_at(&a, "2019-12-31 18:30:00-05:30"), 1577836800000);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(made_at(&a, none[i]), 0);
    assert_int_equal(oci_created_ms(NULL), 0);
    arena_release(&a);
}

#define MOST_OF_IT "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a488"
#define IMAGE(last, machine) "{\"mediaType\":\"" TYPE_OCI_MANIFEST "\",\"digest\":\"sha256:" MOST_OF_IT last \
    "\",\"size\":1,\"platform\":{\"architecture\":\"" machine "\"}}"

static char dated_by(const char *text, enum oci_dated kind)
{
    struct oci_manifest m;
    struct arena a;
    char last;

    arena_init(&a);
    assert_int_equal(parse(&a, text, NULL, &m), OK);
    assert_int_equal(m.dated_by_kind, kind);
    last = kind ? m.dated_by.hex[63] : 0;
    arena_release(&a);
    return last;
}

/* What says how old it is: its configuration, or its image for amd64, else the first for something. */
static void what_dates_a_manifest(void **state)
{
    (void)state;
#define INDEX "{\"schemaVersion\":2,\"manifests\":[" IMAGE("0", "unknown") "," IMAGE("1", "arm64")
    assert_int_equal(dated_by(INDEX "," IMAGE("2", "s390x") "," IMAGE("3", "amd64") "]}", OCI_DATED_BY_IMAGE),
                     '3');
    assert_int_equal(dated_by(INDEX "," IMAGE("2", "s390x") "]}", OCI_DATED_BY_IMAGE), '1');
    assert_int_equal(dated_by("{\"schemaVersion\":2,\"manifests\":[]}", OCI_DATED_BY_NOTHING), 0);
    assert_int_equal(dated_by("{\"schemaVersion\":2,\"layers\":[],\"config\":" BLOB(TYPE_OCI_CONFIG) "}",
                              OCI_DATED_BY_CONFIG), dated_by("{\"schemaVersion\":2,\"layers\":[],\"config\":"
                                                             BLOB(TYPE_DOCKER_CONFIG) "}",
                                                             OCI_DATED_BY_CONFIG));
    dated_by("{\"schemaVersion\":2,\"layers\":[],\"config\":" BLOB("application/vnd.other+json") "}",
             OCI_DATED_BY_NOTHING);
}

static void bad_manifests_are_refused(void **state)
{
    static const char *const bad[] = {
        "", "{", "[]", "null", "{}", "{\"schemaVersion\":1,\"config\":" BLOB("c/d") "}",
        "{\"schemaVersion\":2}", "{\"schemaVersion\":2,\"config\":{}}",
        "{\"schemaVersion\":2,\"config\":{\"digest\":\"sha256:x\"}}",
        "{\"schemaVersion\":2,\"config\":" BLOB("c/d") ",\"layers\":{}}",
        "{\"schemaVersion\":2,\"config\":" BLOB("c/d") ",\"layers\":[1]}",
        "{\"schemaVersion\":2,\"config\":" BLOB("c/d") ",\"manifests\":[]}",
        "{\"schemaVersion\":2,\"config\":" BLOB("c/d") ",\"subject\":{}}",
        "{\"schemaVersion\":2,\"mediaType\":7,\"config\":" BLOB("c/d") "}",
        "{\"schemaVersion\":2,\"mediaType\":\"" TYPE_OCI_INDEX "\",\"config\":" BLOB("c/d") "}",
        "{\"schemaVersion\":2,\"schemaVersion\":2,\"config\":" BLOB("c/d") "}",
    };
    struct oci_manifest m;
    struct arena a;

    (void)state;
    arena_init(&a);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(parse(&a, bad[i], TYPE_OCI_MANIFEST, &m), ERR_BAD_REQUEST);
    assert_int_equal(parse(&a, "{\"a\":1}", NULL, &m), ERR_BAD_REQUEST);
    assert_int_equal(parse(&a, "{}", "application/vnd.docker.distribution.manifest.v1+prettyjws", &m),
                     ERR_BAD_REQUEST);
    arena_release(&a);
}

static void referrers_come_and_go(void **state)
{
    json_t *one = json_pack("{s:s, s:s}", "digest", "sha256:1", "artifactType", "a/b");
    json_t *two = json_pack("{s:s}", "digest", "sha256:2");
    struct buf b, c;

    (void)state;
    buf_init(&b, KIB(4));
    buf_init(&c, KIB(4));
    assert_int_equal(referrers_add(NULL, 0, one, &b, NULL), OK);
    assert_int_equal(referrers_add(b.data, b.length, two, &c, NULL), OK);
    buf_clear(&b);
    assert_int_equal(referrers_add(c.data, c.length, one, &b, NULL), OK); /* again: once */
    assert_null(strstr(strstr(b.data, "sha256:1") + 1, "sha256:1"));
    buf_clear(&c);
    assert_int_equal(referrers_filter(b.data, b.length, "a/b", &c, NULL), OK);
    assert_true(strstr(c.data, "sha256:1") && !strstr(c.data, "sha256:2"));
    buf_clear(&c);
    assert_int_equal(referrers_remove(b.data, b.length, "sha256:3", &c, NULL), ERR_AGAIN);
    assert_int_equal(referrers_remove(NULL, 0, "sha256:3", &c, NULL), ERR_AGAIN);
    assert_int_equal(referrers_remove(b.data, b.length, "sha256:1", &c, NULL), OK);
    buf_clear(&b);
    assert_int_equal(referrers_remove(c.data, c.length, "sha256:2", &b, NULL), OK);
    assert_int_equal(b.length, 0); /* nobody is left: no document */
    buf_free(&b);
    buf_free(&c);
    json_decref(one);
    json_decref(two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_follow_the_grammar), cmocka_unit_test(digests_are_of_two_kinds),
        cmocka_unit_test(paths_are_read_from_their_end), cmocka_unit_test(ranges_name_first_and_last),
        cmocka_unit_test(manifests_say_what_they_need), cmocka_unit_test(bad_manifests_are_refused),
        cmocka_unit_test(what_dates_a_manifest),
        cmocka_unit_test(what_dates_a_manifest),
        cmocka_unit_test(referrers_come_and_go), cmocka_unit_test(manifests_say_when_they_were_made),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
