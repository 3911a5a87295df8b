/* SPDX-License-Identifier: Apache-2.0 */
/* A project's page: read as HTML and JSON, joined, without what is blocked, written (page.h); the document
 * of ours (project.h); which form a client wants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/formats/pypi/page.h"
#include "src/formats/pypi/project.h"
#include "src/formats/pypi/pypi.h"

#include <cmocka.h> /* after our headers: its fail() is a macro */
#undef fail

static struct arena a;
static struct buf out;
static int64_t until;

static int setup(void **state)
{
    arena_init(&a);
    buf_init(&out, PAGE_BYTES);
    return 0;
}

static int teardown(void **state)
{
    arena_release(&a);
    buf_free(&out);
    return 0;
}

static json_t *compose(const char *variant, const struct page_source *sources, unsigned count)
{
    struct page_request q = { .base = "http://h/r", .project = "lib", .variant = variant, .arena = &a };
    struct why why = { "" };

    until = 0;
    buf_clear(&out);
    assert_int_equal(page_compose(&q, sources, count, &out, &until, &why), OK);
    json_t *page = strcmp(variant, "json") ? NULL : json_loadb(out.data, out.length, 0, NULL);
    assert_true(page || strcmp(variant, "json"));
    return page;
}

static const char html[] =
    "<!DOCTYPE html><html><head><meta name='pypi:repository-version' content='1.1'></head><body>\n"
    "<h1>Links</h1><a class=x>no link</a>\n"
    "<A\n HREF=\"../../files/lib-1.0-py3-none-any.whl#sha256=ab12\" data-requires-python=\"&gt;=3.8,&#60;4\" "
    "data-dist-info-metadata=\"sha256=cd\" > lib-1.0-py3-none-any.whl </a><br>\n"
    "<a href='lib-1.1.tar.gz' data-yanked=\"it&apos;s &quot;bad&quot; &amp; &#x1F600; &bogus;\">"
    "lib-1.1.tar.gz</a>"
    "<a href=lib-1.2.tar.gz#md5=ef data-yanked>lib-1.2.tar.gz</a>"
    "<a href=x>../evil</a><a href=x></a><a href=x>.hidden</a><a href='unclosed";

static void html_is_read(void **state)
{
    json_t *page;
    struct why why;
    const char *reason;

    assert_int_equal(page_read(html, sizeof html - 1, "text/html; charset=utf-8", &page, &why), OK);
    assert_int_equal(json_array_size(json_object_get(page, "files")), 3);
    const json_t *f = page_file(page, "lib-1.0-py3-none-any.whl");
    assert_string_equal(json_string_value(json_object_get(f, "url")), "../../files/lib-1.0-py3-none-any.whl");
    assert_string_equal(json_string_value(json_object_get(json_object_get(f, "hashes"), "sha256")), "ab12");
    assert_string_equal(json_string_value(json_object_get(f, "requires-python")), ">=3.8,<4");
    assert_string_equal(json_string_value(json_object_get(json_object_get(f, "core-metadata"), "sha256")),
                        "cd");
    f = page_file(page, "lib-1.1.tar.gz");
    assert_true(page_yanked(f, &reason));
    assert_string_equal(reason, "it's \"bad\" & \xf0\x9f\x98\x80 &bogus;");
    assert_int_equal(json_object_size(json_object_get(f, "hashes")), 0);
    f = page_file(page, "lib-1.2.tar.gz");
    assert_true(page_yanked(f, &reason) && !reason);
    assert_null(page_file(page, "../evil"));
    json_decref(page);
    for (size_t n = 0; n < sizeof html; n++) { /* however it is cut off */
        char *copy = malloc(n ? n : 1);
        memcpy(copy, html, n);
        assert_int_equal(page_read(copy, n, "text/html", &page, &why), OK);
        json_decref(page);
        free(copy);
    }
}

static void html_comes_out_as_it_went_in(void **state)
{
    struct page_source s = { .data = html, .size = sizeof html - 1, .content_type = "text/html" };
    json_t *first = compose("json", &s, 1), *second;

    assert_string_equal(json_string_value(json_object_get(json_object_get(first, "meta"), "api-version")),
                        "1.0");
    (void)compose("html", &s, 1);
    assert_non_null(strstr(out.data, "data-yanked=\"it&#x27;s &quot;bad&quot; &amp;"));
    assert_non_null(strstr(out.data, "href=\"../../lib/1.0/lib-1.0-py3-none-any.whl#sha256=ab12\""));
    assert_non_null(strstr(out.data, "#md5=ef"));
    char *copy = strdup(out.data);
    s = (struct page_source){ .data = copy, .size = strlen(copy), .content_type = "text/html" };
    second = compose("json", &s, 1);
    assert_true(json_equal(first, second));
    free(copy);
    json_decref(first);
    json_decref(second);
}

#define FILE_OF(name, time) \
    "{\"filename\":\"" name "\",\"url\":\"u\",\"hashes\":{},\"size\":1,\"upload-time\":\"" time "\"}"
static const char young[] = "{\"files\":[" FILE_OF("lib-1.0.tar.gz", "2020-01-01T00:00:00Z") ","
    FILE_OF("lib-2.0.tar.gz", "2024-01-01T00:00:00.5Z") "," FILE_OF("lib-3.0.tar.gz", "soon") ","
    FILE_OF("odd.bin", "2020-01-01T00:00:00Z") "]}";
static const char ours[] = "{\"files\":[" FILE_OF("lib-1.0.tar.gz", "2025-01-01T00:00:00Z") "]}";

/* Blocks what was released after 2021, until its date + 1 s, and what has no date, for good. */
static bool judge(const void *policy, const char *version, int64_t released, int64_t *ret_until)
{
    assert_string_equal(policy, "p");
    *ret_until = released ? released + 1000 : 0;
    return released && released < 1609459200000;
}

static void blocked_versions_are_left_out(void **state)
{
    struct page_source s = { .data = young, .size = strlen(young), .allowed = judge, .policy = "p" };
    json_t *page = compose("json", &s, 1), *versions = json_object_get(page, "versions");

    assert_int_equal(json_array_size(json_object_get(page, "files")), 2);
    assert_int_equal(json_array_size(versions), 1);
    assert_string_equal(json_string_value(json_array_get(versions, 0)), "1.0");
    assert_true(until == 1704067201500);
    assert_string_equal(json_string_value(json_object_get(page_file(page, "odd.bin"), "url")),
                        "../../lib/unknown/odd.bin");
    json_decref(page);
}

static void the_first_source_of_a_file_counts(void **state)
{
    struct page_source s[] = { { .data = "{}", .size = 2 },
                               { .data = ours, .size = strlen(ours) },
                               { .data = young, .size = strlen(young), .allowed = judge, .policy = "p" } };
    json_t *page = compose("json", s, 3);

    assert_int_equal(json_array_size(json_object_get(page, "files")), 2);
    assert_string_equal(json_string_value(json_object_get(page_file(page, "lib-1.0.tar.gz"), "upload-time")),
                        "2025-01-01T00:00:00Z");
    json_decref(page);
    struct page_request q = { .base = "", .project = "lib", .variant = "json", .arena = &a };
    struct why why;
    buf_clear(&out);
    assert_int_equal(page_compose(&q, s, 1, &out, &until, &why), ERR_UPSTREAM);
    assert_int_equal(page_compose(&q, s, 0, &out, &until, &why), ERR_NOT_FOUND);
}

/* --- the document of ours --- */

static void projects_change(void **state)
{
    struct upload_facts u = { .name = "Lib", .project = "lib", .file_name = "lib-1.0.tar.gz" };
    struct digest_values d = { .kinds = DIGEST_SHA256 | DIGEST_MD5, .sha256 = { 1 } };
    unsigned char blake2[32] = { 2 };
    json_t *fields = json_pack("{s:s}", "summary", "x"), *p, *gone;
    struct project_file f = { .facts = &u, .digests = &d, .blake2 = blake2, .size = 5, .fields = fields };
    struct why why;
    bool more;

    assert_true(pypi_version_parse(&a, "1.0", &u.version));
    assert_int_equal(project_read(NULL, 0, "Lib", &p, &why), OK);
    assert_int_equal(project_add(p, &f, &why), OK);
    assert_int_equal(project_add(p, &f, &why), ERR_GONE);
    d.sha256[0] = 9;
    assert_int_equal(project_add(p, &f, &why), ERR_CONFLICT);
    assert_int_equal(project_yank(p, "2.0", true, NULL), ERR_NOT_FOUND);
    assert_int_equal(project_yank(p, "1.0", true, "why"), OK);
    u.file_name = "lib-1.0.zip";
    assert_int_equal(project_add(p, &f, &why), OK);
    assert_string_equal(json_string_value(json_object_get(page_file(p, "lib-1.0.zip"), "yanked")), "why");
    assert_int_equal(project_set_status(p, "gone", NULL, &why), ERR_BAD_REQUEST);
    assert_int_equal(project_set_status(p, "archived", "r", &why), OK);
    u.file_name = "lib-1.0.tar.bz2";
    assert_int_equal(project_add(p, &f, &why), ERR_FORBIDDEN);
    assert_int_equal(project_remove(p, NULL, "none", 9, &gone, &more), ERR_NOT_FOUND);
    assert_int_equal(project_remove(p, "1.0", NULL, 1, &gone, &more), OK);
    assert_true(more && json_array_size(gone) == 1);
    json_decref(gone);
    assert_int_equal(project_remove(p, NULL, NULL, 9, &gone, &more), OK);
    assert_false(more);
    json_decref(gone);
    assert_int_equal(json_object_size(json_object_get(p, "releases")), 0);
    assert_int_equal(project_write(p, &out, &why), OK);
    assert_true(out.length > 0); /* its status is worth keeping */
    buf_clear(&out);
    assert_int_equal(project_set_status(p, "active", NULL, &why), OK);
    assert_int_equal(project_write(p, &out, &why), OK);
    assert_int_equal(out.length, 0);
    json_decref(p);
    json_decref(fields);
    assert_int_equal(project_read("{}", 2, "lib", &p, &why), ERR_INTERNAL);
}

static void clients_get_the_form_they_like(void **state)
{
    static const char *const rows[][3] = {
        { NULL, NULL, "html" }, { "", NULL, NULL }, { "*/*", NULL, "html" }, { "image/png", NULL, NULL },
        { "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, "
          "text/html; q=0.01", NULL, "json" },
        { "application/vnd.pypi.simple.v1+html,text/html;q=0.9", NULL, "html-v1" },
        { "text/html;q=0.4 , APPLICATION/JSON ; q=0.5", NULL, "json" },
        { "*/*;q=0.1,text/html;q=0", NULL, "json" }, { "text/*", NULL, "html" },
        { "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", NULL, "html" },
        { "text/html", "application/vnd.pypi.simple.latest+json", "json" }, { NULL, "x", NULL },
        { NULL, "application/vnd.pypi.simple.v1 json", "json" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *got = pypi_variant(rows[i][0], rows[i][1]);
        assert_string_equal(got ? got : "none", rows[i][2] ? rows[i][2] : "none");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(html_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(html_comes_out_as_it_went_in, setup, teardown),
        cmocka_unit_test_setup_teardown(blocked_versions_are_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(the_first_source_of_a_file_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(projects_change, setup, teardown),
        cmocka_unit_test(clients_get_the_form_they_like),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
