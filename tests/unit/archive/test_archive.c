/* SPDX-License-Identifier: Apache-2.0 */
/* Archives as strangers make them: what is found, what is refused, and that bombs end early. */
#include <archive.h>
#include <archive_entry.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pantera/archive.h"
#include "pantera/limits.h"

#include <cmocka.h>

struct made {
    struct archive *a;
    int fd;
};

static struct made begin(const char *format, const char *filter)
{
    struct made m = { archive_write_new(), memfd_create("archive", MFD_CLOEXEC) };

    assert_true(m.fd >= 0);
    assert_int_equal(archive_write_set_format_by_name(m.a, format), ARCHIVE_OK);
    if (filter)
        assert_int_equal(archive_write_add_filter_by_name(m.a, filter), ARCHIVE_OK);
    assert_int_equal(archive_write_open_fd(m.a, m.fd), ARCHIVE_OK);
    return m;
}

static void add(struct made *m, const char *path, const char *text, int64_t zeros)
{
    static const char nothing[65536];
    struct archive_entry *e = archive_entry_new();
    int64_t size = text ? (int64_t)strlen(text) : zeros;

    archive_entry_set_pathname(e, path);
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_perm(e, 0644);
    archive_entry_set_size(e, size);
    assert_int_equal(archive_write_header(m->a, e), ARCHIVE_OK);
    for (int64_t at = 0; at < size; at += text ? size : (int64_t)sizeof nothing)
        assert_true(archive_write_data(m->a, text ? text : nothing,
                                       text ? (size_t)size : sizeof nothing) > 0);
    archive_entry_free(e);
}

static void add_link(struct made *m, const char *path, const char *to)
{
    struct archive_entry *e = archive_entry_new();

    archive_entry_set_pathname(e, path);
    archive_entry_set_filetype(e, AE_IFLNK);
    archive_entry_set_symlink(e, to);
    assert_int_equal(archive_write_header(m->a, e), ARCHIVE_OK);
    archive_entry_free(e);
}

static int finish(struct made *m)
{
    assert_int_equal(archive_write_close(m->a), ARCHIVE_OK);
    archive_write_free(m->a);
    return m->fd;
}

static enum err find(int fd, unsigned kinds, const char *below, char ret[64], struct why *why)
{
    struct buf b;
    enum err e;

    buf_init(&b, 60);
    e = archive_find(fd, kinds, NULL, archive_is_below, (void *)below, &b, why);
    if (!e) {
        memcpy(ret, b.data, b.length);
        ret[b.length] = '\0';
    }
    buf_free(&b);
    return e;
}

static void finds_a_member(void **state)
{
    static const struct { const char *format, *filter; unsigned kind; } forms[] = {
        { "ustar", "gzip", ARCHIVE_TAR }, { "pax", NULL, ARCHIVE_TAR }, { "pax", "xz", ARCHIVE_TAR },
        { "gnutar", "bzip2", ARCHIVE_TAR }, { "zip", NULL, ARCHIVE_ZIP },
    };

    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct made m = begin(forms[i].format, forms[i].filter);
        struct why why = { "" };
        char text[64] = "";
        add_link(&m, "package/package.json", "elsewhere");
        add(&m, "package/deep/package.json", "no", 0);
        add(&m, "./package/big", NULL, 1 << 20);
        add(&m, "./package/package.json", "{\"name\":\"a\"}", 0);
        add(&m, "other/package.json", "late", 0);
        finish(&m);
        assert_int_equal(find(m.fd, forms[i].kind, "package.json", text, &why), OK);
        assert_string_equal(text, "{\"name\":\"a\"}");
        /* Again, and by all kinds: the descriptor's offset is not ours. */
        assert_int_equal(find(m.fd, ARCHIVE_TAR | ARCHIVE_ZIP | ARCHIVE_AR, "package.json", text, &why), OK);
        assert_int_equal(find(m.fd, forms[i].kind, "setup.py", text, &why), ERR_NOT_FOUND);
        close(m.fd);
    }
}

static void refuses_what_is_none(void **state)
{
    int fd = memfd_create("none", MFD_CLOEXEC);
    struct why why = { "" };
    char text[64];

    assert_int_equal(find(fd, ARCHIVE_TAR, "a", text, &why), ERR_BAD_REQUEST);
    assert_int_equal(write(fd, "this is no archive at all, whatever its name says", 48), 48);
    assert_int_equal(find(fd, ARCHIVE_TAR | ARCHIVE_ZIP | ARCHIVE_AR, "a", text, &why), ERR_BAD_REQUEST);
    close(fd);
    assert_int_equal(find(-1, ARCHIVE_TAR, "a", text, &why), ERR_IO);
}

static void refuses_a_cut_one(void **state)
{
    struct made m = begin("ustar", "gzip");
    struct why why = { "" };
    char text[64];

    for (int i = 0; i < 200; i++) {
        char name[32], body[32];
        snprintf(name, sizeof name, "d/%d", i * 7919);
        snprintf(body, sizeof body, "%d", i * 104729);
        add(&m, name, body, 0);
    }
    add(&m, "d/wanted", "here", 0);
    finish(&m);
    assert_int_equal(find(m.fd, ARCHIVE_TAR, "wanted", text, &why), OK);
    assert_int_equal(ftruncate(m.fd, lseek(m.fd, 0, SEEK_END) / 2), 0);
    assert_int_equal(find(m.fd, ARCHIVE_TAR, "wanted", text, &why), ERR_BAD_REQUEST);
    close(m.fd);
}

static void another_kind_is_none(void **state)
{
    struct made m = begin("zip", NULL);
    struct why why = { "" };
    char text[64];

    add(&m, "a/b", "x", 0);
    finish(&m);
    assert_int_equal(find(m.fd, ARCHIVE_TAR, "b", text, &why), ERR_BAD_REQUEST);
    close(m.fd);
}

/* 512 MiB of zeros in half a megabyte, before what is wanted. */
static void a_bomb_ends_early(void **state)
{
    struct made m = begin("pax", "gzip");
    struct why why = { "" };
    char text[64];

    add(&m, "package/zeros", NULL, (int64_t)512 << 20);
    add(&m, "package/package.json", "{}", 0);
    finish(&m);
    assert_int_equal(find(m.fd, ARCHIVE_TAR, "package.json", text, &why), ERR_TOO_BIG);
    assert_non_null(strstr(why.text, "times its size"));
    close(m.fd);
}

static void limits_hold(void **state)
{
    struct made m = begin("zip", NULL);
    struct archive_limits few = { .members = 3 }, small = { .unpacked_bytes = 1000 };
    struct why why = { "" };
    struct buf b;
    char text[64];

    for (int i = 0; i < 4; i++)
        add(&m, i == 3 ? "d/last" : "d/x", i == 3 ? "yes" : "no", 0);
    add(&m, "e/big", NULL, 65536);
    finish(&m);
    buf_init(&b, MIB(1));
    assert_int_equal(archive_find(m.fd, ARCHIVE_ZIP, &few, archive_is_exactly, (void *)"d/last", &b,
                                  &why), ERR_TOO_BIG);
    assert_int_equal(archive_find(m.fd, ARCHIVE_ZIP, NULL, archive_is_exactly, (void *)"d/last", &b, &why),
                     OK);
    assert_string_equal(b.data, "yes");
    buf_clear(&b);
    assert_int_equal(archive_find(m.fd, ARCHIVE_ZIP, &small, archive_is_exactly, (void *)"e/big", &b, &why),
                     ERR_TOO_BIG);
    assert_int_equal(find(m.fd, ARCHIVE_ZIP, "big", text, &why), ERR_TOO_BIG);
    buf_free(&b);
    close(m.fd);
}

struct seen {
    unsigned count, plain, files;
};

static enum archive_step see(const struct archive_member *m, void *arg)
{
    struct seen *s = arg;

    s->count++;
    s->plain += m->plain;
    s->files += m->file;
    return ARCHIVE_SKIP;
}

static void names_are_judged(void **state)
{
    static const char *const names[] = { "a/b", "../a", "/etc/passwd", "a/../b", "a\\b", "a//b",
                                         "ok/\xc3\xa4", "a/.", "a\x01", "a/...", "b" };
    struct made m = begin("ustar", NULL);
    struct seen s = { 0 };
    const struct archive_visit visit = { see, NULL, &s };
    struct why why = { "" };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        add(&m, names[i], "x", 0);
    add_link(&m, "c", "b");
    finish(&m);
    assert_int_equal(archive_walk(m.fd, ARCHIVE_TAR, NULL, &visit, &why), OK);
    assert_int_equal(s.count, 12);
    assert_int_equal(s.files, 11);
    assert_int_equal(s.plain, 5); /* a/b, the one with an umlaut, a/..., b and the link c */
    close(m.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_a_member), cmocka_unit_test(refuses_what_is_none),
        cmocka_unit_test(refuses_a_cut_one), cmocka_unit_test(another_kind_is_none),
        cmocka_unit_test(a_bomb_ends_early), cmocka_unit_test(limits_hold),
        cmocka_unit_test(names_are_judged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
