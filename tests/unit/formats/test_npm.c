/* SPDX-License-Identifier: Apache-2.0 */
/* The pure parts of npm: names, versions, paths; the scanner of a publish; the document and what is read of
 * it. */
#include "src/formats/npm/compose.h"
#include "src/formats/npm/doc.h"
#include "src/formats/npm/names.h"
#include "src/formats/npm/scan.h"

#include "pantera/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> /* after our headers: its fail() is a macro */

/* --- names, versions, paths --- */

static void names_are_judged(void **state)
{
    static const char *const good[] = { "a", "a-b.c_d", "@s/n", "@s-1/n.x", "1", "lodash.merge" };
    static const char *const old[] = { "JSONStream", "a~b", "@Scope/x" };
    static const char *const bad[] = { "",     ".a",    "_a",           "-",           "a/b",
                                       "@s",   "@s/",   "@/a",          "@s/a/b",      "a b",
                                       "a%b",  "@s/.x", "node_modules", "favicon.ico", "\xc3\xa4",
                                       "@s/_x" };

    for (unsigned i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(npm_name_valid(good[i], true) && npm_name_valid(good[i], false));
    for (unsigned i = 0; i < sizeof old / sizeof *old; i++)
        assert_true(!npm_name_valid(old[i], true) && npm_name_valid(old[i], false));
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_true(!npm_name_valid(bad[i], true) && !npm_name_valid(bad[i], false));
}

static void versions_are_ordered(void **state)
{
    /* semver.org §11, and build metadata, which only settles a draw. */
    static const char *const order[] = { "0.0.1",      "1.0.0-alpha",  "1.0.0-alpha.1", "1.0.0-alpha.beta",
                                         "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",
                                         "1.0.0",      "1.0.0+a",      "1.0.0+b",       "1.0.1",
                                         "1.9.0",      "1.10.0",       "2.0.0-0",       "2.0.0" };
    static const char *const bad[] = { "", "1", "1.2", "v1.2.3", "1.2.3.4", "01.2.3", "1.2.3-", "1.2.3-01",
                                       "1.2.3+", "1.2.3 ", "1.2.x", "1.2.3-a..b", "1.2.3+a_b", "latest",
                                       "1.2.33333333333333333" };
    enum { N = sizeof order / sizeof *order };

    for (int i = 0; i < N; i++) {
        assert_true(npm_version_valid(order[i]));
        for (int j = 0; j < N; j++) {
            int c = npm_version_compare(order[i], order[j]);
            assert_int_equal((c > 0) - (c < 0), (i > j) - (i < j));
        }
    }
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(npm_version_valid(bad[i]));
    assert_true(npm_version_prerelease("1.0.0-a") && !npm_version_prerelease("1.0.0+a-b"));
    assert_true(npm_tag_valid("latest") && npm_tag_valid("next-7") && npm_tag_valid("v-next"));
    assert_false(npm_tag_valid("1.0") || npm_tag_valid("v1") || npm_tag_valid("x") || npm_tag_valid("") ||
                 npm_tag_valid("a b") || npm_tag_valid("*") || npm_tag_valid("a/b"));
}

static void paths_are_read(void **state)
{
    static const struct {
        const char *path;
        enum npm_what what;
        const char *package, *version, *word, *revision;
    } rows[] = {
        { "", NPM_ROOT, 0, 0, 0, 0 },
        { "a", NPM_PACKAGE, "a", 0, 0, 0 },
        { "a/", NPM_PACKAGE, "a", 0, 0, 0 },
        { "@s/n", NPM_PACKAGE, "@s/n", 0, 0, 0 },
        { "a/1.0.0", NPM_MANIFEST, "a", "1.0.0", 0, 0 },
        { "@s/n/latest", NPM_MANIFEST, "@s/n", "latest", 0, 0 },
        { "a/-/a-1.0.0-rc.1.tgz", NPM_TARBALL, "a", "1.0.0-rc.1", 0, 0 },
        { "@s/n/-/n-1.0.0.tgz", NPM_TARBALL, "@s/n", "1.0.0", 0, 0 },
        { "@s/n/-/@s/n-1.0.0.tgz", NPM_TARBALL, "@s/n", "1.0.0", 0, 0 },
        { "a/-/a-1.0.0.tgz/-rev/7-ab", NPM_TARBALL, "a", "1.0.0", 0, "7-ab" },
        { "a/-rev/7-ab", NPM_REVISION, "a", 0, 0, "7-ab" },
        { "-/package/@s/n/dist-tags/next", NPM_TAGS, "@s/n", 0, "next", 0 },
        { "-/package/a/dist-tags", NPM_TAGS, "a", 0, 0, 0 },
        { "-/user/org.couchdb.user:joe", NPM_USER, 0, 0, "joe", 0 },
        { "-/user/org.couchdb.user:joe/-rev/1", NPM_USER, 0, 0, "joe", "1" },
        { "-/user/token/abc", NPM_TOKEN, 0, 0, "abc", 0 },
        { "-/npm/v1/tokens", NPM_TOKENS, 0, 0, 0, 0 },
        { "-/npm/v1/tokens/token/abc", NPM_TOKENS, 0, 0, "abc", 0 },
        { "-/npm/v1/tokens/token/abc/d", NPM_NOTHING, 0, 0, "abc", 0 },
        { "-/npm/v1/user", NPM_PROFILE, 0, 0, 0, 0 },
        { "-/whoami", NPM_WHOAMI, 0, 0, 0, 0 },
        { "-/v1/search", NPM_SEARCH, 0, 0, 0, 0 },
        { "-/npm/v1/security/advisories/bulk", NPM_BULK, 0, 0, 0, 0 },
        { "-/npm/v1/attestations/@s/n@1.0.0", NPM_ATTESTATIONS, "@s/n", "1.0.0", 0, 0 },
        { ".npm/a/packument.json", NPM_NOTHING, 0, 0, 0, 0 },
        { "a/-/b-1.0.0.tgz", NPM_NOTHING, "a", 0, 0, 0 },
        { "a/-/a-1.0.tgz", NPM_NOTHING, "a", 0, 0, 0 },
        { "a/-/a-1.0.0.tgz/x", NPM_NOTHING, "a", "1.0.0", 0, 0 },
        { "a/b/c", NPM_NOTHING, "a", "b", 0, 0 },
        { "@s", NPM_NOTHING, 0, 0, 0, 0 },
        { "-/nothing", NPM_NOTHING, 0, 0, 0, 0 },
        { "-", NPM_NOTHING, 0, 0, 0, 0 },
    };
    struct arena a;

    arena_init(&a);
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct npm_path p;
        npm_path_read(&a, rows[i].path, &p);
        if (p.what != rows[i].what)
            fail_msg("'%s' is read as %d", rows[i].path, (int)p.what);
        assert_string_equal(p.package ? p.package : "", rows[i].package ? rows[i].package : "");
        assert_string_equal(p.version ? p.version : "", rows[i].version ? rows[i].version : "");
        assert_string_equal(p.word ? p.word : "", rows[i].word ? rows[i].word : "");
        assert_string_equal(p.revision ? p.revision : "", rows[i].revision ? rows[i].revision : "");
    }
    arena_release(&a);
}

/* --- the scanner --- */

static enum err collect(const void *data, size_t size, void *arg)
{
    return buf_add(arg, data, size);
}

/* In pieces of `step` bytes. */
static enum err scan(const char *text, size_t step, size_t limit, struct buf *bytes, char *ret_kept)
{
    struct npm_scan s;
    struct why why = { "" };
    enum err e = OK;

    npm_scan_init(&s, limit, collect, bytes);
    for (size_t i = 0, n = strlen(text); i < n && !e; i += step)
        e = npm_scan_feed(&s, text + i, step < n - i ? step : n - i, &why);
    if (!e)
        e = npm_scan_end(&s, &why);
    if (!e && ret_kept)
        memcpy(ret_kept, s.kept.data, s.kept.length + 1);
    if (!e)
        assert_int_equal(s.decoded, bytes->length);
    npm_scan_release(&s);
    return e;
}

static void tarballs_are_taken_out(void **state)
{
    static const struct { const char *text, *kept, *bytes;
    } rows[] = {
        { "{\"_attachments\":{\"a-1.tgz\":{\"type\":\"x\",\"data\":\"aGVsbG8=\",\"length\":5}}}",
          "{\"_attachments\":{\"a-1.tgz\":{\"type\":\"x\",\"data\":\"\",\"length\":5}}}", "hello" },
        { "{\"versions\":{\"1\":{\"data\":\"aGVsbG8=\"}},\"_attachments\" : { \"a.tgz\" : { \"data\" : "
          "\"aGk\" } } }",
          "{\"versions\":{\"1\":{\"data\":\"aGVsbG8=\"}},\"_attachments\" : { \"a.tgz\" : { \"data\" : \"\" "
          "} } }",
          "hi" },
        { "{\"_attachments\":{\"a.sigstore\":{\"data\":\"{\\\"a\\\":1}\"},\"a.tgz\":{\"data\":\"\\u002b\\/"
          "8=\"}}}",
          "{\"_attachments\":{\"a.sigstore\":{\"data\":\"{\\\"a\\\":1}\"},\"a.tgz\":{\"data\":\"\"}}}",
          "\xfb\xff" },
        /* The same keys elsewhere are none of ours. */
        { "{\"x\":{\"_attachments\":{\"a.tgz\":{\"data\":\"!\"}}},\"s\":\"\\\"_attachments\\\\\"}", NULL,
          "" },
        { "[{\"_attachments\":{\"a.tgz\":{\"data\":\"!\"}}}]", NULL, "" },
        { "{\"_attachments\":{\"a.tgz\":[{\"data\":\"!\"}],\"b.tgz\":{\"c\":{\"data\":\"!\"}}}}", NULL, "" },
        { "{\"_attachments\":{\"a.tgz\":{\"data\":\"\"}}}", NULL, "" },
    };

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t step = 1; step < 300; step += step < 9 ? 1 : 97) {
            struct buf bytes;
            char kept[512];
            buf_init(&bytes, 1024);
            assert_int_equal(scan(rows[i].text, step, 400, &bytes, kept), OK);
            assert_string_equal(kept, rows[i].kept ? rows[i].kept : rows[i].text);
            assert_int_equal(bytes.length, strlen(rows[i].bytes));
            assert_memory_equal(bytes.length ? bytes.data : "", rows[i].bytes, bytes.length);
            buf_free(&bytes);
        }
}

static void bad_bodies_are_refused(void **state)
{
#define DATA(text) "{\"_attachments\":{\"a.tgz\":{\"data\":\"" text "\"}}}"
    static const char *const rows[] = {
        DATA("aGVsb G8="),
        DATA("aGVsbG8=="),
        DATA("aGVsbG8=a"),
        DATA("a"),
        DATA("aG=="
             "aG=="),
        DATA("aGVsbG9"),
        DATA("a\\nGk"),
        DATA("\\u00e4"),
        DATA("===="),
        "{",
        "{\"a\":\"",
        "}",
        "",
        "{\"_attachments\":{\"a.tgz\":{\"data\":\"aGk=\"},\"b.tgz\":{\"data\":\"aGk=\"}}}",
    };

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t step = 1; step < 100; step += 33) {
            struct buf bytes;
            buf_init(&bytes, 1024);
            if (scan(rows[i], step, 400, &bytes, NULL) != ERR_BAD_REQUEST)
                fail_msg("accepted: %s", rows[i]);
            buf_free(&bytes);
        }
}

static void what_is_kept_is_bounded(void **state)
{
    char text[700] = "{\"readme\":\"";
    struct buf bytes;

    memset(text + 11, 'x', 600);
    memcpy(text + 611, "\"}", 3);
    buf_init(&bytes, 10);
    assert_int_equal(scan(text, 100, 400, &bytes, NULL), ERR_TOO_BIG);
    assert_int_equal(scan(text, 100, 700, &bytes, NULL), OK);
    buf_free(&bytes);
}

/* A megabyte, in pieces of odd sizes. */
static void large_ones_pass(void **state)
{
    enum { SIZE = 1 << 20 };
    unsigned char *bytes = malloc(SIZE);
    struct arena a;
    struct buf got;
    char *text;

    arena_init(&a);
    for (int i = 0; i < SIZE; i++)
        bytes[i] = (unsigned char)(i * 2654435761u >> 13);
    text = arena_printf(&a, DATA("%s"), base64_encode(&a, bytes, SIZE));
    for (size_t step = 4093; step < 200000; step = step * 3 + 1) {
        buf_init(&got, SIZE);
        assert_int_equal(scan(text, step, 400, &got, NULL), OK);
        assert_int_equal(got.length, SIZE);
        assert_memory_equal(got.data, bytes, SIZE);
        buf_free(&got);
    }
    arena_release(&a);
    free(bytes);
}

/* --- the document --- */

static void publish(json_t *doc, const char *version, const char *tag)
{
    struct why why = { "" };
    struct npm_release r = {
        .package = "@s/n",
        .version = version,
        .user = "joe",
        .now_ms = 1700000000123,
        .manifest = json_pack("{s:s, s:{s:s}, s:s, s:{s:s}}", "description", version, "dependencies", "a",
                              "^1.0.0", "readme", "long", "scripts", "postinstall", "x"),
        .tags = json_pack("{s:s}", tag, version),
        .facts = { .file_count = 2, .unpacked_bytes = 100 },
    };

    assert_int_equal(npm_doc_publish(doc, &r, &why), OK);
    assert_int_equal(npm_doc_publish(doc, &r, &why), ERR_CONFLICT);
    json_decref(r.manifest);
    json_decref(r.tags);
}

static const char *tag_of(const json_t *doc, const char *tag)
{
    const char *v = json_string_value(json_object_get(json_object_get(doc, "dist-tags"), tag));

    return v ? v : "";
}

static json_t *document(void)
{
    struct why why = { "" };
    json_t *doc;

    assert_int_equal(npm_doc_load("@s/n", NULL, 0, &doc, &why), OK);
    publish(doc, "1.0.0-rc.1", "next");
    publish(doc, "1.0.0", "latest");
    publish(doc, "1.1.0", "latest");
    publish(doc, "2.0.0", "beta");
    return doc;
}

static void documents_change(void **state)
{
    json_t *doc = document(), *wanted, *removed = json_array();
    struct why why = { "" };
    struct buf b;
    char *revision;

    assert_string_equal(tag_of(doc, "latest"), "1.1.0");
    assert_string_equal(json_string_value(json_object_get(doc, "description")), "1.1.0");
    assert_int_equal(npm_doc_tag(doc, "old", "1.0.0", &why), OK);
    assert_int_equal(npm_doc_tag(doc, "old", "9.0.0", &why), ERR_NOT_FOUND);
    assert_int_equal(npm_doc_tag(doc, "1.x", "1.0.0", &why), ERR_BAD_REQUEST);
    assert_int_equal(npm_doc_tag(doc, "latest", NULL, &why), ERR_BAD_REQUEST);
    assert_int_equal(npm_doc_tag(doc, "old", NULL, &why), OK);
    buf_init(&b, 1 << 20);
    assert_int_equal(npm_doc_store(doc, 1700000000123, &b, &why), OK);
    buf_free(&b);
    revision = strdup(json_string_value(json_object_get(doc, "_rev")));

    /* A deprecation, and nothing goes without a revision. */
    wanted = json_pack("{s:{s:{s:s}}}", "versions", "1.0.0", "deprecated", "use another");
    assert_int_equal(npm_doc_replace(doc, wanted, NULL, false, removed, &why), OK);
    assert_int_equal(json_object_size(json_object_get(doc, "versions")), 4);
    assert_int_equal(npm_doc_replace(doc, wanted, "1-x", true, removed, &why), ERR_CONFLICT);
    assert_int_equal(npm_doc_replace(doc, wanted, revision, false, removed, &why), ERR_FORBIDDEN);
    json_array_clear(removed);
    assert_int_equal(npm_doc_replace(doc, wanted, revision, true, removed, &why), OK);
    assert_int_equal(json_array_size(removed), 3);
    assert_int_equal(json_object_size(json_object_get(doc, "versions")), 1);
    assert_string_equal(tag_of(doc, "latest"), "1.0.0");
    assert_int_equal(npm_doc_remove(doc, "1.0.0", &why), OK);
    buf_init(&b, 1 << 20);
    assert_int_equal(npm_doc_store(doc, 1700000000123, &b, &why), OK);
    assert_int_equal(b.length, 0);
    buf_free(&b);
    free(revision);
    json_decref(wanted);
    json_decref(removed);
    json_decref(doc);
}

static void digests_are_compared(void **state)
{
    static const char text[] = "hello";
    struct digester *d = digester_new(DIGEST_SHA1 | DIGEST_SHA512);
    struct digest_values got;
    struct why why = { "" };
    static const struct { const char *key, *value; enum err e;
    } rows[] = {
        { "shasum", "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d", OK },
        { "shasum", "AAF4C61DDCC5E8A2DABEDE0F3B482CD9AEA9434D", OK },
        { "shasum", "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434e", ERR_DIGEST_MISMATCH },
        { "integrity",
          "sha512-m3HSJL1i83hdltRq0+o9czGb+8KJDKra4t/3JRlnPKcjI8PZm6XBHXx6zG4UuMXaDEZjR1wuXDre9G9zvN7AQw==",
          OK },
        { "integrity", "sha1-qvTGHdzF6KLavt4PO0gs2a6pQ00=", OK },
        { "integrity", "sha1-qvTGHdzF6KLavt4PO0gs2a6pQ00= sha256-x", OK },
        { "integrity", "sha1-qvTGHdzF6KLavt4PO0gs2a6pQ04=", ERR_DIGEST_MISMATCH },
        { "integrity", "sha512-AAAA", ERR_BAD_REQUEST },
        { "integrity",
          "sha512-m3HSJL1i83hdltRq0+o9czGb+8KJDKra4t/3JRlnPKcjI8PZm6XBHXx6zG4UuMXaDEZjR1wuXDre9G9zvN7ARw==",
          ERR_DIGEST_MISMATCH },
    };

    digester_update(d, text, 5);
    digester_final(d, &got);
    digester_free(d);
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *m = json_pack("{s:{s:s}}", "dist", rows[i].key, rows[i].value);
        assert_int_equal(npm_dist_check(m, &got, &why), rows[i].e);
        json_decref(m);
    }
}

static void times_are_read(void **state)
{
    char text[32];

    assert_string_equal(npm_time_text(1700000000123, text), "2023-11-14T22:13:20.123Z");
    assert_int_equal(npm_time_read(text), 1700000000123);
    assert_int_equal(npm_time_read("2023-11-14T22:13:20Z"), 1700000000000);
    assert_int_equal(npm_time_read("2023-11-14T23:13:20.5+01:00"), 1700000000500);
    assert_int_equal(npm_time_read("2023-11-14T21:43:20-00:30"), 1700000000000);
    assert_int_equal(npm_time_read("yesterday"), 0);
    assert_int_equal(npm_time_read("2023-11-14T22:13:20"), 0);
}

/* --- what is read of it --- */

static json_t *compose_of(const char *const *documents, unsigned count, const char *variant,
                          enum err expected)
{
    struct document_source sources[4] = { 0 };
    struct document_answer answer = { 0 };
    struct why why = { "" };
    struct arena a;
    struct document_request q = {
        .repo = "npm", .base = "http://h/npm", .package = "@s/n", .variant = variant, .arena = &a
    };
    struct buf b;
    json_t *got = NULL;

    arena_init(&a);
    buf_init(&b, 1 << 20);
    for (unsigned i = 0; i < count; i++)
        sources[i] =
            (struct document_source){ .repo = "m", .data = documents[i], .size = strlen(documents[i]) };
    assert_int_equal(npm_compose(&q, sources, count, &b, &answer, &why), expected);
    if (!expected) {
        got = json_loadb(b.data, b.length, 0, NULL);
        assert_non_null(got);
        assert_non_null(answer.content_type);
    }
    buf_free(&b);
    arena_release(&a);
    return got;
}

static const char *at(const json_t *o, const char *a, const char *b, const char *c, const char *d)
{
    const json_t *v = json_object_get(json_object_get(o, a), b);

    v = c ? json_object_get(v, c) : v;
    v = d ? json_object_get(v, d) : v;
    return json_is_string(v) ? json_string_value(v) : "";
}

static void answers_are_composed(void **state)
{
    json_t *doc = document(), *got;
    char *text = json_dumps(doc, 0);
    const char *one[] = { text };

    got = compose_of(one, 1, NPM_FULL, OK);
    assert_string_equal(at(got, "versions", "1.1.0", "dist", "tarball"), "http://h/npm/@s/n/-/n-1.1.0.tgz");
    assert_string_equal(at(got, "versions", "1.1.0", "description", NULL), "1.1.0");
    assert_string_equal(at(got, "time", "1.1.0", NULL, NULL), "2023-11-14T22:13:20.123Z");
    json_decref(got);
    got = compose_of(one, 1, NPM_SHORT, OK);
    assert_string_equal(at(got, "versions", "1.1.0", "description", NULL), "");
    assert_string_equal(at(got, "versions", "1.1.0", "dependencies", "a"), "^1.0.0");
    assert_true(json_is_true(json_object_get(json_object_get(json_object_get(got, "versions"), "1.1.0"),
                                             "hasInstallScript")));
    assert_string_equal(at(got, "time", "1.1.0", NULL, NULL), "2023-11-14T22:13:20.123Z");
    json_decref(got);
    got = compose_of(one, 1, NPM_ONE "next", OK);
    assert_string_equal(json_string_value(json_object_get(got, "version")), "1.0.0-rc.1");
    json_decref(got);
    got = compose_of(one, 1, NPM_TAG_LIST, OK);
    assert_string_equal(json_string_value(json_object_get(got, "beta")), "2.0.0");
    json_decref(got);
    assert_null(compose_of(one, 1, NPM_ONE "7.0.0", ERR_NOT_FOUND));
    free(text);
    json_decref(doc);
}

static void several_are_joined(void **state)
{
    static const char *const docs[] = {
        "{\"versions\":{\"1.0.0\":{\"from\":\"a\",\"dist\":{\"tarball\":\"x\"}}},\"time\":{\"1.0.0\":\"2020-"
        "01-01T00:00:00Z\"},"
        "\"dist-tags\":{\"latest\":\"1.0.0\"}}",
        "no JSON",
        "{\"versions\":{\"1.0.0\":{\"from\":\"b\",\"dist\":{}},\"2.0.0\":{\"from\":\"b\",\"dist\":{},"
        "\"description\":\"half \\ud83d, whole \\ud83d\\ude00, not \\\\ud83d\"},\"3.0.0\":{\"from\":\"no "
        "dist\"}},"
        "\"time\":{\"2.0.0\":\"2021-01-01T00:00:00Z\"},\"dist-tags\":{\"latest\":\"2.0.0\",\"next\":\"2.0."
        "0\"}}",
    };
    json_t *got = compose_of(docs, 3, NPM_FULL, OK);

    assert_string_equal(at(got, "versions", "1.0.0", "from", NULL), "a");
    assert_string_equal(at(got, "versions", "2.0.0", "from", NULL), "b");
    assert_string_equal(at(got, "versions", "2.0.0", "dist", "tarball"), "http://h/npm/@s/n/-/n-2.0.0.tgz");
    assert_string_equal(at(got, "versions", "2.0.0", "description", NULL),
                        "half \xef\xbf\xbd, whole \xf0\x9f\x98\x80, not \\ud83d");
    assert_int_equal(json_object_size(json_object_get(got, "versions")), 2);
    assert_string_equal(at(got, "dist-tags", "latest", NULL, NULL), "1.0.0");
    assert_string_equal(at(got, "dist-tags", "next", NULL, NULL), "2.0.0");
    json_decref(got);
    assert_null(compose_of(docs + 1, 1, NPM_FULL, ERR_UPSTREAM));
}

static void move_in(json_t *doc, const char *version)
{
    struct why why = { "" };
    struct npm_release r = { .package = "n", .version = version, .user = "joe", .now_ms = 1700000000123,
                             .manifest = json_object(), .facts.digests.sha1[0] = 7, .moved = true };

    assert_int_equal(npm_doc_publish(doc, &r, &why), OK);
    assert_int_equal(npm_doc_publish(doc, &r, &why), ERR_GONE);
    r.facts.digests.sha1[0] = 8;
    assert_int_equal(npm_doc_publish(doc, &r, &why), ERR_CONFLICT);
    json_decref(r.manifest);
}

static const char *latest(const json_t *doc)
{
    return json_string_value(json_object_get(json_object_get(doc, "dist-tags"), "latest"));
}

/* The highest that is no prerelease, whatever comes first; else what the other registry says, as soon as it
 * is there. */
static void versions_move_in(void **state)
{
    static const char *const orders[][4] = { { "1.9.0", "1.10.0", "2.0.0-rc.1", "0.1.0" },
                                             { "2.0.0-rc.1", "1.10.0", "0.1.0", "1.9.0" } };
    struct why why = { "" };
    json_t *doc, *said;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(npm_doc_load("n", NULL, 0, &doc, &why), OK);
        for (unsigned k = 0; k < 4; k++)
            move_in(doc, orders[i][k]);
        assert_string_equal(latest(doc), "1.10.0");
        json_decref(doc);
    }
    assert_int_equal(npm_doc_load("n", NULL, 0, &doc, &why), OK);
    said = json_pack("{s:{s:s, s:s, s:s}, s:{s:{}, s:{s:s}, s:{}}, s:{s:s}}", "dist-tags", "latest", "1.9.0",
                     "beta", "3.0.0", "none", "9.9.9", "versions", "1.9.0", "2.0.0", "deprecated", "no",
                     "3.0.0", "time", "2.0.0", "2020-01-01T00:00:00.000Z");
    assert_int_equal(npm_doc_move(doc, said, &why), OK);
    move_in(doc, "2.0.0");
    assert_string_equal(latest(doc), "2.0.0"); /* there must be one */
    move_in(doc, "1.9.0");
    assert_string_equal(latest(doc), "1.9.0");
    assert_non_null(json_object_get(doc, "_moved"));
    move_in(doc, "3.0.0");
    assert_string_equal(latest(doc), "1.9.0"); /* the other registry knew of it */
    assert_null(json_object_get(doc, "_moved"));
    assert_int_equal(json_object_size(json_object_get(doc, "dist-tags")), 2);
    assert_string_equal(json_string_value(json_object_get(
                            json_object_get(json_object_get(doc, "versions"), "2.0.0"), "deprecated")), "no");
    assert_string_equal(json_string_value(json_object_get(json_object_get(doc, "time"), "2.0.0")),
                        "2020-01-01T00:00:00.000Z");
    move_in(doc, "4.0.0");
    assert_string_equal(latest(doc), "4.0.0");
    assert_int_equal(npm_doc_move(doc, json_null(), &why), ERR_BAD_REQUEST);
    json_decref(said);
    json_decref(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_judged), cmocka_unit_test(versions_are_ordered),
        cmocka_unit_test(paths_are_read), cmocka_unit_test(tarballs_are_taken_out),
        cmocka_unit_test(bad_bodies_are_refused), cmocka_unit_test(what_is_kept_is_bounded),
        cmocka_unit_test(large_ones_pass), cmocka_unit_test(documents_change),
        cmocka_unit_test(digests_are_compared), cmocka_unit_test(times_are_read),
        cmocka_unit_test(answers_are_composed), cmocka_unit_test(several_are_joined),
        cmocka_unit_test(versions_move_in),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
