/* SPDX-License-Identifier: Apache-2.0 */
/* The file format through the repository port: statuses, listings, methods, and what its check refuses. */
#include "tests/unit/registry/fx_registry.h"

#include "pantera/format.h"
#include "pantera/log.h"

static struct fx_registry fx;

static int start(void **state)
{
    (void)state;
    fx_registry_start_as(&fx, true);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fx_registry_stop(&fx);
    return 0;
}

static int put(const char *path)
{
    return fx_status(&fx, "PUT", path, FX_BASIC, path);
}

static void expect(const char *path, const char *headers, int status, const char *body)
{
    char all[256];
    struct fx_answer a;

    snprintf(all, sizeof all, FX_BASIC "%s", headers);
    a = fx_http(&fx, "GET", path, all, NULL, 0);
    if (body)
        assert_string_equal(a.body, body);
    assert_int_equal(a.status, status);
    free(a.raw);
}

static void file_statuses_are_those_of_http(void **state)
{
    struct fx_answer a;

    (void)state;
    assert_int_equal(fx_status(&fx, "PUT", "files/x", "", "x"), 401);
    assert_int_equal(put("files/a/x.txt"), 201);
    assert_int_equal(put("files/a/x.txt"), 201);
    expect("files/a/x.txt", "", 200, "files/a/x.txt");
    expect("api/files/a/x.txt", "", 200, NULL);
    expect("api/storage/files/a/x.txt", "", 200, NULL);
    expect("nowhere/a", "", 404, NULL);
    expect("files/none", "", 404, NULL);
    expect("files/a/x.txt/", "", 404, NULL);
    assert_int_equal(put("files/a/"), 400);
    assert_int_equal(put("files"), 400);
    assert_int_equal(put("files/a"), 409);
    assert_int_equal(put("files/a/x.txt/y"), 409);
    assert_int_equal(fx_status(&fx, "PUT", "files/part", FX_BASIC "Content-Range: bytes 0-1/9\r\n", "x"),
                     400);
    a = fx_http(&fx, "POST", "files/a/x.txt", FX_BASIC, "x", 1);
    assert_int_equal(a.status, 405);
    assert_non_null(strstr(a.head, "Allow: GET, HEAD, PUT, DELETE"));
    free(a.raw);
    assert_int_equal(fx_status(&fx, "DELETE", "files/a/x.txt", FX_BASIC, NULL), 204);
    assert_int_equal(fx_status(&fx, "DELETE", "files/a/x.txt", FX_BASIC, NULL), 404);
    expect("files/a/x.txt", "", 404, NULL);
}

/* What curl --data-binary says of anything is not what the file is. */
static void file_form_type_is_not_kept(void **state)
{
    struct fx_answer a;

    (void)state;
    assert_int_equal(fx_status(&fx, "PUT", "files/d.json", FX_BASIC
                               "Content-Type: application/x-www-form-urlencoded\r\n", "{}"), 201);
    a = fx_http(&fx, "HEAD", "files/d.json", FX_BASIC, NULL, 0);
    assert_non_null(strstr(a.head, "Content-Type: application/json\r\n"));
    free(a.raw);
}

static void file_listing_has_three_forms(void **state)
{
    struct fx_answer a;

    (void)state;
    assert_int_equal(put("files/a/b/c"), 201);
    assert_int_equal(put("files/a/%3Cscript%3E%26%22'.txt"), 201);
    assert_int_equal(put("files/a/javascript%3Ax"), 201);
    expect("files", "", 200, "a/\n");
    expect("files/", "", 200, "a/\n");
    expect("files/a", "", 200, "a/<script>&\"'.txt\na/b/\na/javascript:x\n");
    expect("files/a/b/", "Accept: */*\r\n", 200, "a/b/c\n");
    expect("files/b/", "", 404, NULL);
    a = fx_http(&fx, "GET", "files/a/", FX_BASIC "Accept: text/html,*/*;q=0.8\r\n", NULL, 0);
    assert_non_null(strstr(a.head, "Content-Type: text/html; charset=utf-8\r\n"));
    assert_null(strstr(a.body, "<script>"));
    assert_non_null(strstr(a.body, "href=\"./%3Cscript%3E%26%22%27.txt\">&lt;script&gt;&amp;&quot;&#39;.txt"
                                   "</a>"));
    assert_non_null(strstr(a.body, "href=\"./b/\">b/</a>"));
    assert_non_null(strstr(a.body, "href=\"./javascript%3Ax\">"));
    free(a.raw);
    a = fx_http(&fx, "GET", "files/a/b", FX_BASIC "Accept: text/html\r\n", NULL, 0);
    assert_non_null(strstr(a.body, "href=\"./b/c\">c</a>")); /* relative to what was asked for */
    free(a.raw);
    a = fx_http(&fx, "GET", "files/a", FX_BASIC "Accept: application/json\r\n", NULL, 0);
    assert_non_null(strstr(a.head, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(a.body, "{\"name\":\"b\",\"path\":\"a/b\",\"type\":\"directory\"}"));
    assert_non_null(strstr(a.body, "\"path\":\"a/javascript:x\",\"type\":\"file\",\"size\":22,"
                                   "\"modified\":\"20"));
    free(a.raw);
}

/* Pages together are the whole, whatever their size. */
static void file_listing_pages_are_linked(void **state)
{
    static const char *const names[] = { "a-b", "a/x", "a0", "b" };
    char path[128], after[64] = "", all[256] = "";
    struct fx_answer a;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "files/%s", names[i]);
        assert_int_equal(put(path), 201);
    }
    for (int pages = 0;; pages++) {
        char *link;
        assert_true(pages < 5);
        snprintf(path, sizeof path, "files/?limit=1%s%s", *after ? "&after=" : "", after);
        a = fx_http(&fx, "GET", path, FX_BASIC, NULL, 0);
        assert_int_equal(a.status, 200);
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s", a.body);
        link = strstr(a.head, "Link: <?after=");
        if (!link) {
            free(a.raw);
            break;
        }
        snprintf(after, sizeof after, "%.*s", (int)strcspn(link + 14, "&"), link + 14);
        free(a.raw);
    }
    assert_string_equal(all, "a-b\na/\na0\nb\n");
}

static void types_are_found_by_name_and_alias(void **state)
{
    enum format_caps cap = FORMAT_GROUP;

    (void)state;
    assert_ptr_equal(format_of_type("file", &cap), format_find("file"));
    assert_int_equal(cap, FORMAT_LOCAL);
    assert_ptr_equal(format_of_type("file-proxy", &cap), format_find("file"));
    assert_int_equal(cap, FORMAT_PROXY);
    assert_ptr_equal(format_of_type("file-group", &cap), format_find("file"));
    assert_int_equal(cap, FORMAT_GROUP);
    assert_null(format_of_type("file-mirror", &cap));
    assert_null(format_of_type("files", &cap));
    assert_null(format_of_type("", &cap));
    assert_null(format_find("fil"));
    assert_ptr_equal(format_by_alias("storage"), format_find("file"));
    assert_null(format_by_alias("file"));
}

/* Nothing that a user writes is ignored. */
static void file_check_names_unknown_keys(void **state)
{
    const struct format *f = format_find("file");
    json_t *good = json_pack("{s:s, s:s, s:i}", "type", "file", "storage", "s", "content-length-max", 1);
    json_t *bad = json_pack("{s:s, s:[]}", "type", "file", "remotes");
    struct why why = { "" };

    (void)state;
    assert_int_equal((f->check)(good, &why), OK);
    assert_int_equal((f->check)(bad, &why), ERR_BAD_REQUEST);
    assert_non_null(strstr(why.text, "remotes"));
    json_decref(good);
    json_decref(bad);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(file_statuses_are_those_of_http),
        TEST(file_form_type_is_not_kept),
        TEST(file_listing_has_three_forms),
        TEST(file_listing_pages_are_linked),
        cmocka_unit_test(types_are_found_by_name_and_alias),
        cmocka_unit_test(file_check_names_unknown_keys),
    };
    int failed;

    log_init(LOG_ERROR, 0);
    work_pool_start(2);
    api_init();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    work_pool_stop();
    return failed;
}
