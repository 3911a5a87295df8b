/* SPDX-License-Identifier: Apache-2.0 */
/* Maven's pure parts: the order of versions, what paths say, XML, metadata read, joined and written. */
#include <stdlib.h>
#include <string.h>

#include "src/formats/maven/metadata.h"
#include "src/formats/maven/path.h"
#include "src/formats/maven/version.h"
#include "src/formats/maven/xml.h"

#include "support/fx_arena.h" /* after our headers: its fail() is a macro */

/* --- versions --- */

static int order(const char *a, const char *b)
{
    return maven_version_compare(maven_version_parse(&arena, a), maven_version_parse(&arena, b));
}

/* Each is below the next. Checked with maven-artifact 3.8.7 and 3.9.9, like the pairs below. */
static void versions_are_in_mavens_order(void **state)
{
    static const char *const up[] = {
        "1-alpha-1", "1-alpha-2", "1-alpha-10", "1-beta-1", "1-milestone-1", "1-rc1", "1-cr2",
        "1-SNAPSHOT", "1",
        "1-sp", "1-a", "1-abc", "1-jre", "1-x", "1-1", "1-2", "1.0.1", "1.1", "1.2-SNAPSHOT", "1.2",
        "1.2.0.1",
        "1.9", "1.10-rc-1", "1.10", "2.0.0.RC1", "2.0.0", "2.0.0.SP1", "20230101", "99999999999999999999",
        "100000000000000000000",
    };
    (void)state;
    for (size_t i = 0; i < sizeof up / sizeof *up; i++)
        for (size_t k = 0; k < sizeof up / sizeof *up; k++) {
            int got = order(up[i], up[k]), want = i < k ? -1 : i > k;
            if (got != want)
                fail_msg("'%s' against '%s': %d, not %d", up[i], up[k], got, want);
        }
}

static void versions_that_look_different_may_be_equal(void **state)
{
    static const char *const same[][2] = {
        { "1", "1.0" }, { "1", "1.0.0" }, { "1-ga", "1" }, { "1.0.FINAL", "1" }, { "1-RELEASE", "1" },
        { "1-a1", "1-alpha-1" }, { "1a1", "1-alpha-1" }, { "1-CR1", "1-rc1" }, { "1.x1", "1-x1" },
        { "01.0002", "1.2" }, { "1-0.ga", "1" }, { "", "0" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        if (order(same[i][0], same[i][1]) != 0)
            fail_msg("'%s' is not '%s'", same[i][0], same[i][1]);
}

/* Whatever it is, it has an order, and the memory for it is bounded. */
static void versions_of_any_length_are_taken(void **state)
{
    char *text = malloc(100001);

    (void)state;
    for (int i = 0; i < 100000; i++)
        text[i] = "-1a."[i % 4];
    text[100000] = 0;
    assert_int_equal(order(text, text), 0);
    memset(text, '-', 100000);
    assert_int_equal(order(text, text), 0);
    for (int i = 0; i < 100000; i++)
        text[i] = "1a"[i % 2];
    assert_int_equal(order(text, text), 0);
    free(text);
}

static void snapshots_are_known_by_their_version(void **state)
{
    (void)state;
    assert_true(maven_version_is_snapshot("1.0-SNAPSHOT"));
    assert_true(maven_version_is_snapshot("1.0-20260102.030405-6"));
    assert_false(maven_version_is_snapshot("1.0"));
    assert_false(maven_version_is_snapshot("1.0-20260102"));
    assert_false(maven_version_is_snapshot("1.0SNAPSHOT"));
    assert_false(maven_version_is_snapshot("20260102.030405-6"));
}

/* --- paths --- */

struct path_case {
    const char *path;
    enum maven_kind kind;
    unsigned checksum;           /* of digest_kind; 0: none */
    const char *package, *version, *file_version, *classifier, *extension;
};

static bool same(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static void paths_say_what_they_name(void **state)
{
    static const struct path_case cases[] = {
        { "org/example/lib/1.0/lib-1.0.jar", MAVEN_ARTIFACT, 0, "org.example.lib", "1.0", "1.0", NULL,
          "jar" },
        { "org/lib/1.0/lib-1.0-sources.jar", MAVEN_ARTIFACT, 0, "org.lib", "1.0", "1.0", "sources", "jar" },
        { "g/lib/1.0/lib-1.0.tar.gz", MAVEN_ARTIFACT, 0, "g.lib", "1.0", "1.0", NULL, "tar.gz" },
        { "g/lib/1.0/lib-1.0-bin.tar.gz", MAVEN_ARTIFACT, 0, "g.lib", "1.0", "1.0", "bin", "tar.gz" },
        { "g/lib/1.0/lib-1.0-jdk1.5.jar", MAVEN_ARTIFACT, 0, "g.lib", "1.0", "1.0", "jdk1.5", "jar" },
        { "g/lib/1.0/lib-1.0-bin.jar.asc", MAVEN_ARTIFACT, 0, "g.lib", "1.0", "1.0", "bin", "jar.asc" },
        { "g/lib/1.0/lib-1.0.jar.sha1", MAVEN_ARTIFACT, DIGEST_SHA1, "g.lib", "1.0", "1.0", NULL, "jar" },
        { "g/lib/1.0/lib-1.0.pom.asc.md5", MAVEN_ARTIFACT, DIGEST_MD5, "g.lib", "1.0", "1.0", NULL,
          "pom.asc" },
        { "g/a-b/1.0-rc-1/a-b-1.0-rc-1-x.jar", MAVEN_ARTIFACT, 0, "g.a-b", "1.0-rc-1", "1.0-rc-1", "x",
          "jar" },
        { "g/lib/1-SNAPSHOT/lib-1-20260102.030405-6-tests.jar", MAVEN_ARTIFACT, 0, "g.lib", "1-SNAPSHOT",
          "1-20260102.030405-6", "tests", "jar" },
        { "g/lib/1-SNAPSHOT/lib-1-SNAPSHOT.jar", MAVEN_ARTIFACT, 0, "g.lib", "1-SNAPSHOT", "1-SNAPSHOT", NULL,
          "jar" },
        { "g/lib/1-SNAPSHOT/lib-1-20260102.jar", MAVEN_OTHER, 0, NULL, NULL, NULL, NULL, NULL },
        { "g/lib/1.0/other-1.0.jar", MAVEN_OTHER, 0, NULL, NULL, NULL, NULL, NULL },
        { "g/lib/1.0/lib-1.0", MAVEN_OTHER, 0, NULL, NULL, NULL, NULL, NULL },
        { "g/lib/1.0/lib-1.0.", MAVEN_OTHER, 0, NULL, NULL, NULL, NULL, NULL },
        { "g/lib/1.0/lib-1.0-.jar", MAVEN_OTHER, 0, NULL, NULL, NULL, NULL, NULL },
        { "g/lib/1.0/lib-1.01.jar", MAVEN_OTHER, 0, NULL, NULL, NULL, NULL, NULL },
        { "lib/1.0/lib-1.0.jar", MAVEN_OTHER, 0, NULL, NULL, NULL, NULL, NULL },
        { "readme.txt", MAVEN_OTHER, 0, NULL, NULL, NULL, NULL, NULL },
        { "x/.sha1", MAVEN_OTHER, 0, NULL, NULL, NULL, NULL, NULL },
        { "g/lib/maven-metadata.xml", MAVEN_METADATA, 0, NULL, NULL, NULL, NULL, NULL },
        { "g/lib/maven-metadata.xml.sha512", MAVEN_METADATA, DIGEST_SHA512, NULL, NULL, NULL, NULL, NULL },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct path_case *c = &cases[i];
        struct maven_path p;
        maven_path_parse(&arena, c->path, &p);
        if (p.kind != c->kind || p.checksum != c->checksum || !same(maven_package(&arena, &p), c->package) ||
            !same(p.version, c->version) || !same(p.file_version, c->file_version) ||
            !same(p.classifier, c->classifier) || !same(p.extension, c->extension))
            fail_msg("%s: %d %d %s %s %s %s %s", c->path, (int)p.kind, (int)p.checksum,
                     maven_package(&arena, &p), p.version, p.file_version, p.classifier, p.extension);
    }
}

static void paths_of_snapshots_have_a_build(void **state)
{
    struct maven_path p;

    (void)state;
    maven_path_parse(&arena, "g/lib/1-SNAPSHOT/lib-1-20260102.030405-61.pom.sha256", &p);
    assert_string_equal(p.timestamp, "20260102.030405");
    assert_int_equal(p.build, 61);
    assert_true(p.snapshot);
    assert_string_equal(p.file, "g/lib/1-SNAPSHOT/lib-1-20260102.030405-61.pom");
    assert_string_equal(p.folder, "g/lib/1-SNAPSHOT");
}

/* --- XML --- */

static void note(void *arg, const char *path, const char *text)
{
    (void)buf_printf(arg, "%s=%s;", path, text);
}

static const char *xml(const char *text)
{
    struct buf b;
    struct xml_reader r = { .on_close = note, .arg = &b };
    struct why why;
    const char *said;

    buf_init(&b, 4096);
    said = xml_read(text, strlen(text), &r, &why) ? NULL : arena_strndup(&arena, b.data, b.length);
    buf_free(&b);
    return said;
}

static void xml_gives_elements_and_text(void **state)
{
    (void)state;
    assert_string_equal(xml("<?xml version='1.0'?>\n<!-- x --><a>\n"
                            " <b c=\"<&>\" d='/'> t &lt;&#65;&#x42; </b>"
                            "<n:e/><f><![CDATA[<x>]]></f>\n</a>\n"),
                        "a/b=t <AB;a/e=;a/f=<x>;a=;");
    assert_string_equal(xml("\xef\xbb\xbf<a/>"), "a=;");
    assert_string_equal(xml("<a>&#xe9;&#x20ac;&#x1f600;</a>"), "a=\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80;");
}

static void xml_that_is_broken_is_refused(void **state)
{
    static const char *const broken[] = {
        "", " ", "x", "<a>", "<a></b>", "</a>", "<a/><b/>", "<a/>x", "<a", "<a b=\"", "<a b='></a>",
        "<a>&x;</a>",
        "<a>&#0;</a>", "<a>&#xd800;</a>", "<a>&#x110000;</a>", "<a>&", "<!DOCTYPE a><a/>", "<a><!-- </a>",
        "<a><![CDATA[",
        "<>x</>", "<a>\xff</a>", "<a><b></a></b>", "<?x", "<a/ >", "<a><</a>",
        "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>",
    };
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        if (xml(broken[i]))
            fail_msg("taken: %s", broken[i]);
}

/* --- metadata --- */

static const char *joined(const char *const *documents, size_t count)
{
    struct maven_metadata m;
    struct buf b;
    const char *text;

    maven_metadata_init(&m, &arena);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(maven_metadata_read(&m, documents[i], strlen(documents[i]), NULL), OK);
    maven_metadata_finish(&m);
    buf_init(&b, 65536);
    maven_metadata_render(&m, &b);
    assert_int_equal(buf_err(&b), OK);
    text = arena_strdup(&arena, b.data);
    buf_free(&b);
    return text;
}

#define HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<metadata modelVersion=\"1.1.0\">\n"
#define GA "  <groupId>g</groupId>\n  <artifactId>a</artifactId>\n"
#define V(v) "      <version>" v "</version>\n"

static void metadata_is_joined_by_union(void **state)
{
    static const char *const two[] = {
        HEAD GA "<versioning><latest>1.10</latest><release>1.10</release><versions>" V("1.10") V("1.9")
        "</versions><lastUpdated>20260101000000</lastUpdated></versioning></metadata>",
        HEAD GA "<versioning><latest>2.0-SNAPSHOT</latest><release>1.9</release><versions>" V("1.9")
        V("2.0-SNAPSHOT") "</versions><lastUpdated>20250101000000</lastUpdated></versioning></metadata>",
    };
    const char *want = HEAD GA
        "  <versioning>\n    <latest>2.0-SNAPSHOT</latest>\n    <release>1.10</release>\n    <versions>\n"
        V("1.9") V("1.10") V("2.0-SNAPSHOT") "    </versions>\n"
        "    <lastUpdated>20260101000000</lastUpdated>\n  </versioning>\n</metadata>\n";

    (void)state;
    assert_string_equal(joined(two, 2), want);
    assert_string_equal(joined(&want, 1), want); /* what we write we read */
}

static void metadata_of_snapshots_takes_the_newest(void **state)
{
#define S(ext, value, updated) "<snapshotVersion><extension>" ext "</extension><value>" value \
    "</value><updated>" updated "</updated></snapshotVersion>"
    static const char *const two[] = {
        "<metadata><version>1-SNAPSHOT</version><versioning><snapshot><timestamp>20260101.000000</timestamp>"
        "<buildNumber>9</buildNumber></snapshot><snapshotVersions>" S("jar", "1-9", "20260101000000")
        S("pom", "1-8", "20251231000000") "</snapshotVersions></versioning></metadata>",
        "<metadata><versioning><snapshot><timestamp>20260102.000000</timestamp><buildNumber>1</buildNumber>"
        "</snapshot><snapshotVersions>" S("jar", "1-1", "20260102000000")
        "</snapshotVersions></versioning></metadata>",
    };
    const char *text = joined(two, 2);

    (void)state;
    assert_non_null(strstr(text,
                           "<timestamp>20260102.000000</timestamp>\n      <buildNumber>1</buildNumber>"));
    assert_non_null(strstr(text, "<value>1-1</value>"));
    assert_non_null(strstr(text, "<value>1-8</value>"));
    assert_null(strstr(text, "<value>1-9</value>"));
}

/* latest and release follow what is left when versions go. */
static void metadata_names_nothing_that_is_not_there(void **state)
{
    struct maven_metadata m;

    (void)state;
    maven_metadata_init(&m, &arena);
    maven_metadata_add_version(&m, "1.0");
    maven_metadata_add_version(&m, "1.1-SNAPSHOT");
    m.latest = m.release = "3.0";
    maven_metadata_finish(&m);
    assert_string_equal(m.latest, "1.1-SNAPSHOT");
    assert_string_equal(m.release, "1.0");
}

static void metadata_has_times(void **state)
{
    struct maven_metadata m;

    (void)state;
    maven_metadata_init(&m, &arena);
    maven_metadata_updated_ms(&m, 1767323045000);
    assert_string_equal(m.last_updated, "20260102030405");
    assert_int_equal(maven_time_ms("20260102030405"), 1767323045000);
    maven_metadata_updated(&m, "2025");
    maven_metadata_updated(&m, "2027010203040x");
    assert_string_equal(m.last_updated, "20260102030405");
    assert_int_equal(maven_time_ms("x"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(versions_are_in_mavens_order), TEST(versions_that_look_different_may_be_equal),
        TEST(versions_of_any_length_are_taken), TEST(snapshots_are_known_by_their_version),
        TEST(paths_say_what_they_name), TEST(paths_of_snapshots_have_a_build),
        TEST(xml_gives_elements_and_text),
        TEST(xml_that_is_broken_is_refused), TEST(metadata_is_joined_by_union),
        TEST(metadata_of_snapshots_takes_the_newest), TEST(metadata_names_nothing_that_is_not_there),
        TEST(metadata_has_times),
    };
    return cmocka_run_group_tests_name("maven", tests, NULL, NULL);
}
