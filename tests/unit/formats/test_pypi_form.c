/* SPDX-License-Identifier: Apache-2.0 */
/* Uploads: multipart/form-data however it is cut, the fields of a form, core metadata (src/formats/pypi/). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "src/formats/pypi/form.h"
#include "src/formats/multipart.h"

#include <cmocka.h> /* after our headers: its fail() is a macro */
#undef fail

static struct buf seen;

static enum err on_begin(const struct multipart_part *part, void *arg, struct why *why)
{
    return buf_printf(&seen, "<%s%s%s>", part->name, part->has_file_name ? ":" : "",
                      part->file_name);
}

static enum err on_data(const void *data, size_t size, void *arg, struct why *why)
{
    return buf_add(&seen, data, size);
}

static enum err on_end(void *arg, struct why *why)
{
    return buf_puts(&seen, "|");
}

static const struct multipart_calls calls = { on_begin, on_data, on_end };

static enum err parse(const char *type, const char *body, size_t size, size_t piece)
{
    struct multipart m;
    struct why why = { "" };
    enum err e = multipart_init(&m, type, &calls, NULL, &why);

    buf_init(&seen, 1 << 20);
    for (size_t at = 0; !e && at < size; at += piece) {
        char copy[4096]; /* of the right size, for the sanitizers */
        size_t n = size - at < piece ? size - at : piece;
        memcpy(copy, body + at, n);
        e = multipart_feed(&m, copy, n, &why);
    }
    if (!e)
        e = multipart_finish(&m, &why);
    assert_true(!e || why.text[0]);
    multipart_free(&m);
    return e;
}

static void body_is_read_however_it_is_cut(void **state)
{
    static const char body[] =
        "preamble\r\n--x-y\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n"
        "--x-y \r\ncontent-disposition: form-data; filename=\"f \\\"q\\\".txt\"; name=b\r\nX: "
        "y\r\n\r\n"
        "\r\r\n--x-\r\n--x\r\n\r\n--x-y\r\nContent-Disposition: form-data; "
        "name=\"\"\r\n\r\n\r\n--x-y--\r\nmore";

    for (size_t piece = 1; piece < sizeof body; piece++) {
        assert_int_equal(parse("multipart/form-data; charset=utf-8; boundary=\"x-y\"", body,
                               sizeof body - 1, piece),
                         OK);
        assert_string_equal(seen.data, "<a>one|<b:f \"q\".txt>\r\r\n--x-\r\n--x\r\n|<>|");
        buf_free(&seen);
    }
}

static void bad_bodies_are_refused(void **state)
{
    static const struct {
        const char *type, *body;
        enum err e;
    } rows[] = {
        { NULL, "", ERR_MEDIA_TYPE },
        { "application/json", "", ERR_MEDIA_TYPE },
        { "multipart/form-data", "", ERR_BAD_REQUEST },
        { "multipart/form-data; boundary=", "", ERR_BAD_REQUEST },
        { "multipart/form-data; boundary=\"a b\"", "", ERR_BAD_REQUEST },
        { "multipart/form-data; "
          "boundary=aaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaaaaaaab",
          "", ERR_BAD_REQUEST },
        { "multipart/form-data; boundary=x", "", ERR_BAD_REQUEST },
        { "multipart/form-data; boundary=x", "--x\r\n", ERR_BAD_REQUEST },
        { "multipart/form-data; boundary=x", "--xy\r\n", ERR_BAD_REQUEST },
        { "multipart/form-data; boundary=x", "--x\r\n\r\nA\r\n--x--", ERR_BAD_REQUEST },
        { "multipart/form-data; boundary=x", "--x\r\nX: y\r\n\r\nA\r\n--x--", ERR_BAD_REQUEST },
        { "multipart/form-data; boundary=x", "--x\r\nX: y\n\n", ERR_BAD_REQUEST },
        { "multipart/form-data; boundary=x",
          "--x\r\nContent-Disposition: form-data\r\n\r\nA\r\n--x--", ERR_BAD_REQUEST },
        { "multipart/form-data; boundary=x",
          "--x\r\nContent-Disposition: file; name=a\r\n\r\nA\r\n--x--", ERR_BAD_REQUEST },
        { "multipart/form-data; boundary=x",
          "--x\r\nContent-Disposition: form-data; name=a\r\n\r\nA\r\n--x-", ERR_BAD_REQUEST },
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(parse(rows[i].type, rows[i].body, strlen(rows[i].body), 7), rows[i].e);
        buf_free(&seen);
    }
}

static void heads_and_parts_have_limits(void **state)
{
    static char body[1 << 20];
    size_t n = (size_t)sprintf(body, "--x\r\nX: ");

    memset(body + n, 'a', MULTIPART_HEAD);
    assert_int_equal(parse("multipart/form-data; boundary=x", body, n + MULTIPART_HEAD, 4096),
                     ERR_TOO_BIG);
    buf_free(&seen);
    n = 0;
    for (unsigned i = 0; i <= MULTIPART_PARTS; i++)
        n +=
            (size_t)sprintf(body + n, "--x\r\nContent-Disposition: form-data; name=a\r\n\r\nA\r\n");
    assert_int_equal(parse("multipart/form-data; boundary=x", body, n, 4096), ERR_TOO_BIG);
    buf_free(&seen);
}

/* --- fields --- */

static enum err put(struct form *f, const char *name, const char *value)
{
    struct why why = { "" };
    enum err e;

    form_begin(f, name);
    if ((e = form_data(f, value, strlen(value), &why)))
        return e;
    return form_end(f, &why);
}

static void form_of(struct form *f, const char *name, const char *version, const char *type)
{
    form_init(f);
    assert_int_equal(put(f, ":action", "file_upload"), OK);
    assert_int_equal(put(f, "name", name), OK);
    assert_int_equal(put(f, "version", version), OK);
    assert_int_equal(put(f, "filetype", type), OK);
}

static void fields_are_kept_or_counted(void **state)
{
    static char big[KIB(300)];
    struct form f;

    form_of(&f, "a", "1", "sdist");
    assert_int_equal(put(&f, "requires_dist", "x"), OK);
    assert_int_equal(put(&f, "requires_dist", "y"), OK);
    assert_int_equal(json_array_size(json_object_get(f.fields, "requires_dist")), 2);
    assert_int_equal(put(&f, "name", "a"), OK);
    assert_int_equal(put(&f, "name", "b"), ERR_BAD_REQUEST);
    assert_int_equal(put(&f, "summary", "\xff"), ERR_BAD_REQUEST);
    memset(big, 'a', sizeof big - 1);
    assert_int_equal(put(&f, "description", big), OK);
    assert_null(form_text(&f, "description"));
    assert_int_equal(put(&f, "summary", big), ERR_BAD_REQUEST);
    enum err e = OK;
    for (unsigned i = 0; i < 40 && !e; i++)
        e = put(&f, "description", big);
    assert_int_equal(e, ERR_TOO_BIG);
    form_free(&f);
}

static void names_must_agree(void **state)
{
    static const struct {
        const char *name, *version, *type, *file;
        const char *path; /* NULL: refused */
    } rows[] = {
        { "Foo.Bar", "1.0", "bdist_wheel", "foo_bar-1.0-py3-none-any.whl",
          "foo-bar/1.0/foo_bar-1.0-py3-none-any.whl" },
        { "foo-bar", "1.00", "sdist", "foo-bar-1.0.0.tar.gz", "foo-bar/1.0/foo-bar-1.0.0.tar.gz" },
        { "foo", "1.0", "sdist", "foo-1.1.tar.gz", NULL },
        { "foo", "1.0", "sdist", "bar-1.0.tar.gz", NULL },
        { "foo", "1.0", "sdist", "foo-1.0-py3-none-any.whl", NULL },
        { "foo", "1.0", "bdist_wheel", "foo-1.0.tar.gz", NULL },
        { "foo", "1.0", "bdist_egg", "foo-1.0-py3.7.egg", NULL },
        { "foo", "1.0", "sdist", "../foo-1.0.tar.gz", NULL },
        { "foo", "1.0", "sdist", "foo-1.0.tar.gz\n", NULL },
        { "foo", "one", "sdist", "foo-one.tar.gz", NULL },
        { "-foo", "1.0", "sdist", "-foo-1.0.tar.gz", NULL },
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct upload_facts u;
        struct why why = { "" };
        struct arena a;
        struct form f;
        arena_init(&a);
        form_of(&f, rows[i].name, rows[i].version, rows[i].type);
        enum err e = form_facts(&f, &a, rows[i].file, &u, &why);
        assert_int_equal(e, rows[i].path ? OK : ERR_BAD_REQUEST);
        assert_true(!e || why.text[0]);
        if (!e)
            assert_string_equal(u.path, rows[i].path);
        form_free(&f);
        arena_release(&a);
    }
}

static void metadata_is_read(void **state)
{
    static const char text[] =
        "Metadata-Version: 2.1\r\nName: Foo\nVersion: 1.0\nSummary: one\n        two\n"
        "Requires-Dist: a>=1\nrequires-dist: b\nUnknown: x\n  y\n\nName: bar\n";
    struct form f;
    struct why why = { "" };

    form_init(&f);
    assert_int_equal(metadata_read(text, sizeof text - 1, &f, &why), OK);
    assert_string_equal(form_text(&f, "name"), "Foo");
    assert_string_equal(form_text(&f, "summary"), "one\ntwo");
    assert_int_equal(json_array_size(json_object_get(f.fields, "requires_dist")), 2);
    form_free(&f);
    form_init(&f);
    assert_int_equal(metadata_read("Name\n", 5, &f, &why), ERR_BAD_REQUEST);
    form_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(body_is_read_however_it_is_cut),
        cmocka_unit_test(bad_bodies_are_refused),
        cmocka_unit_test(heads_and_parts_have_limits),
        cmocka_unit_test(fields_are_kept_or_counted),
        cmocka_unit_test(names_must_agree),
        cmocka_unit_test(metadata_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
