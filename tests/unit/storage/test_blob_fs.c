/* SPDX-License-Identifier: Apache-2.0 */
/* The fs store on a real folder: what was acknowledged is there, what failed or was aborted is not, and
 * every callback comes later and once. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pantera/blob.h"
#include "pantera/fault.h"

/* after ours: cmocka has a macro fail() */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

struct fx {
    struct loop loop;
    struct blob_store *store;
    char folder[64];
    bool mounted;
    /* what the last callback said */
    bool done;
    enum err err;
    struct why why;
    int fd;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    return remove(path);
}

static void fx_open_store(struct fx *f)
{
    struct blob_store_options o = { .loop = &f->loop };
    json_t *config = json_pack("{ss ss++}", "type", "fs", "path", f->folder, "/objects", "");
    assert_int_equal(blob_store_open(&o, config, &f->store, &f->why), OK);
    json_decref(config);
}

static int fx_setup(void **state)
{
    struct fx *f = calloc(1, sizeof *f);
    strcpy(f->folder, "/tmp/test_blob_fs.XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    work_pool_start(2);
    loop_init(&f->loop, "test", 0);
    fx_open_store(f);
    *state = f;
    return 0;
}

static void nothing(struct task *task)
{
    *(bool *)(task + 1) = true;
}

/* Lets whatever was posted run. */
static void fx_settle(struct fx *f)
{
    struct { struct task task; bool done; } last = { .task.run = nothing };
    for (int i = 0; i < 3; i++) {
        last.done = false;
        loop_post(&f->loop, &last.task);
        loop_run_until(&f->loop, &last.done);
    }
}

static int fx_teardown(void **state)
{
    struct fx *f = *state;
    fault_clear();
    work_pool_stop(); /* jobs of aborted puts have run; their ends are in the mailbox */
    fx_settle(f);
    blob_store_close(f->store);
    uv_close((uv_handle_t *)&f->loop.wake, NULL);
    uv_run(&f->loop.uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop.uv), 0);
    if (f->mounted)
        umount2(f->folder, MNT_DETACH);
    nftw(f->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

static void on_put(struct blob_put *p, enum err e, const struct why *why, void *arg)
{
    struct fx *f = arg;
    assert_false(f->done);
    f->done = true;
    f->err = e;
    f->why = *why;
}

static enum err fx_write(struct fx *f, struct blob_put *p, const void *data, size_t size)
{
    f->done = false;
    blob_put_write(p, data, size, on_put, f);
    assert_false(f->done); /* never inside the call */
    loop_run_until(&f->loop, &f->done);
    return f->err;
}

static enum err fx_finish(struct fx *f, struct blob_put *p)
{
    f->done = false;
    blob_put_finish(p, on_put, f);
    assert_false(f->done);
    loop_run_until(&f->loop, &f->done);
    return f->err;
}

static char *fx_bytes(size_t size)
{
    char *data = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * 2654435761u >> 13);
    return data;
}

static void on_file(struct blob_get *g, int fd, void *arg)
{
    struct fx *f = arg;
    f->fd = fd;
    f->done = true;
}

static const struct blob_sink sink = { .on_file = on_file };

static void fx_expect_object(struct fx *f, const char *key, const char *data, size_t size)
{
    struct blob_get g;
    char *back = malloc(size + 1);
    f->done = false;
    assert_int_equal(blob_get_open(f->store, &g, key, (int64_t)size, 0, (int64_t)size, &sink, f,
                                   &f->why), OK);
    assert_false(f->done);
    loop_run_until(&f->loop, &f->done);
    assert_int_equal(pread(f->fd, back, size + 1, 0), size);
    assert_memory_equal(back, data, size);
    blob_get_close(&g);
    free(back);
}

/* Put in pieces of every awkward size; what comes back is the same, with the right digests. */
static void blob_put_stores_what_was_written(void **state)
{
    static const size_t sizes[] = { 0, 1, 1000, 65536, 65537, 262144, 262145, 5000000, 20000000 };
    static const size_t pieces[] = { 65536, 1, 333, 65536, 65536, 100000, 16384, 262145, 1 << 20 };
    struct fx *f = *state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int known = 0; known < 2; known++) {
            struct blob_put p;
            unsigned char digest[32];
            char key[48], *data = fx_bytes(sizes[i]);
            blob_key_new(key);
            assert_int_equal(blob_put_begin(f->store, &p, key, known ? (int64_t)sizes[i] : -1,
                                            DIGEST_SHA256 | DIGEST_MD5, &f->why), OK);
            for (size_t at = 0, n; at < sizes[i]; at += n) {
                n = sizes[i] - at < pieces[i] ? sizes[i] - at : pieces[i];
                assert_int_equal(fx_write(f, &p, data + at, n), OK);
            }
            assert_int_equal(fx_finish(f, &p), OK);
            assert_int_equal(p.size, sizes[i]);
            assert_int_equal(p.digests.kinds, DIGEST_SHA256 | DIGEST_MD5);
            sha256(data, sizes[i], digest);
            assert_memory_equal(digest, p.digests.sha256, 32);
            fx_expect_object(f, key, data, sizes[i]);
            free(data);
        }
}

/* A key is never replaced. */
static void blob_put_refuses_a_key_that_exists(void **state)
{
    struct fx *f = *state;
    struct blob_put p;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(blob_put_begin(f->store, &p, "blobs/aa/one", -1, DIGEST_SHA256, &f->why), OK);
        assert_int_equal(fx_write(f, &p, i ? "new" : "old", 3), OK);
        assert_int_equal(fx_finish(f, &p), i ? ERR_CONFLICT : OK);
        blob_put_abort(&p);
    }
    fx_expect_object(f, "blobs/aa/one", "old", 3);
}

/* Every place that can fail gives a typed error, and the object is not there afterwards. */
static void blob_put_reports_faults(void **state)
{
    static const struct { const char *point; int value; enum err err; } cases[] = {
        { "blob.open", EIO, ERR_IO }, { "blob.open", ENOSPC, ERR_NO_SPACE },
        { "blob.write", ENOSPC, ERR_NO_SPACE }, { "blob.write", EIO, ERR_IO },
        { "blob.fsync", EIO, ERR_IO }, { "blob.fsync_folder", EIO, ERR_IO },
    };
    struct fx *f = *state;
    char *data = fx_bytes(1 << 20), path[200];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int big = 0; big < 2; big++) {
            struct blob_put p;
            char key[48];
            blob_key_new(key);
            fault_set(cases[i].point, cases[i].value, 1, true);
            assert_int_equal(blob_put_begin(f->store, &p, key, -1, DIGEST_SHA256, &f->why), OK);
            enum err e = fx_write(f, &p, data, big ? 1 << 20 : 100);
            if (e == OK)
                e = fx_finish(f, &p);
            assert_int_equal(e, cases[i].err);
            assert_true(strlen(f->why.text) > 0);
            blob_put_abort(&p);
            fault_clear();
            work_pool_stop();
            fx_settle(f);
            work_pool_start(2);
            snprintf(path, sizeof path, "%s/objects/%s", f->folder, key);
            if (access(path, F_OK) == 0) { /* the discard job may have been queued just now */
                work_pool_stop();
                fx_settle(f);
                work_pool_start(2);
            }
            assert_int_equal(access(path, F_OK), -1);
        }
    free(data);
}

/* A disk that is really full. */
static void blob_put_fails_when_disk_full(void **state)
{
    struct fx *f = *state;
    struct blob_put p;
    char *data = fx_bytes(1 << 20);
    if (geteuid() != 0 || mount("tmpfs", f->folder, "tmpfs", 0, "size=512k") != 0) {
        free(data);
        skip();
    }
    f->mounted = true;
    assert_int_equal(blob_put_begin(f->store, &p, "blobs/aa/big", -1, DIGEST_SHA256, &f->why), OK);
    enum err e = fx_write(f, &p, data, 1 << 20);
    if (e == OK)
        e = fx_finish(f, &p);
    assert_int_equal(e, ERR_NO_SPACE);
    blob_put_abort(&p);
    work_pool_stop();
    fx_settle(f);
    work_pool_start(2);
    work_pool_stop();
    fx_settle(f);
    work_pool_start(2);
    /* and it works again once there is room */
    assert_int_equal(blob_put_begin(f->store, &p, "blobs/aa/small", -1, DIGEST_SHA256, &f->why), OK);
    assert_int_equal(fx_write(f, &p, data, 1000), OK);
    assert_int_equal(fx_finish(f, &p), OK);
    fx_expect_object(f, "blobs/aa/small", data, 1000);
    free(data);
}

/* Abort at any moment: no callback, the caller's bytes are not touched again, nothing leaks. */
static void blob_put_abort_is_silent(void **state)
{
    struct fx *f = *state;
    for (int moment = 0; moment < 4; moment++) {
        struct blob_put *p = malloc(sizeof *p);
        char key[48], *data = fx_bytes(3 << 20);
        blob_key_new(key);
        assert_int_equal(blob_put_begin(f->store, p, key, -1, DIGEST_SHA256, &f->why), OK);
        f->done = false;
        if (moment >= 1)
            blob_put_write(p, data, 3 << 20, on_put, f);
        if (moment == 2)
            fx_settle(f); /* jobs are under way */
        if (moment == 3) {
            loop_run_until(&f->loop, &f->done);
            blob_put_finish(p, on_put, f);
        }
        f->done = false;
        blob_put_abort(p);
        memset(data, 0, 3 << 20);
        free(data);
        free(p);
        fx_settle(f);
        assert_false(f->done);
    }
}

static void blob_get_reports_what_is_missing(void **state)
{
    struct fx *f = *state;
    struct blob_get g;
    struct blob_put p;
    assert_int_equal(blob_get_open(f->store, &g, "blobs/aa/none", 3, 0, 3, &sink, f, &f->why),
                     ERR_NOT_FOUND);
    assert_int_equal(blob_open_now(f->store, "blobs/aa/none"), -1);
    assert_int_equal(blob_get_open(f->store, &g, "../etc/passwd", 3, 0, 3, &sink, f, &f->why),
                     ERR_BAD_REQUEST);
    assert_int_equal(blob_get_open(f->store, &g, "a", 3, 2, 2, &sink, f, &f->why), ERR_RANGE);
    assert_int_equal(blob_put_begin(f->store, &p, "blobs/aa/x", -1, DIGEST_SHA256, &f->why), OK);
    assert_int_equal(fx_write(f, &p, "four", 4), OK);
    assert_int_equal(fx_finish(f, &p), OK);
    assert_int_equal(blob_get_open(f->store, &g, "blobs/aa/x", 5, 0, 5, &sink, f, &f->why), ERR_IO);
    fault_set("blob.read", EIO, 1, false);
    assert_int_equal(blob_get_open(f->store, &g, "blobs/aa/x", 4, 0, 4, &sink, f, &f->why), ERR_IO);
    fault_clear();
    /* closed before on_file: no callback */
    f->done = false;
    assert_int_equal(blob_get_open(f->store, &g, "blobs/aa/x", 4, 0, 4, &sink, f, &f->why), OK);
    blob_get_close(&g);
    fx_settle(f);
    assert_false(f->done);
}

static void on_delete(struct blob_delete *d, enum err e, const struct why *why)
{
    struct fx *f = d->arg;
    f->done = true;
    f->err = e;
}

static void blob_delete_removes_and_forgives(void **state)
{
    struct fx *f = *state;
    struct blob_put p;
    struct blob_delete d = { .arg = f };
    assert_int_equal(blob_put_begin(f->store, &p, "blobs/aa/x", -1, DIGEST_SHA256, &f->why), OK);
    assert_int_equal(fx_write(f, &p, "four", 4), OK);
    assert_int_equal(fx_finish(f, &p), OK);
    int fd = blob_open_now(f->store, "blobs/aa/x");
    assert_true(fd >= 0);
    for (int i = 0; i < 2; i++) {
        f->done = false;
        assert_int_equal(blob_delete(f->store, &d, "blobs/aa/x", on_delete, &f->why), OK);
        loop_run_until(&f->loop, &f->done);
        assert_int_equal(f->err, OK);
        assert_int_equal(blob_open_now(f->store, "blobs/aa/x"), -1);
    }
    char back[8];
    assert_int_equal(read(fd, back, 8), 4); /* an open descriptor stays good */
    close(fd);
}

/* The alias's JSON is judged: unknown keys, wrong types, and fs in a cluster. */
static void blob_store_check_names_the_key(void **state)
{
    static const struct { const char *text; bool clustered; enum err err; const char *says; } cases[] = {
        { "{\"type\":\"fs\",\"path\":\"/x\"}", false, OK, "" },
        { "{\"type\":\"fs\",\"path\":\"/x\"}", true, ERR_BAD_REQUEST, "shared" },
        { "{\"type\":\"fs\",\"path\":\"/x\",\"shared\":true}", true, OK, "" },
        { "{\"type\":\"fs\",\"path\":\"/x\",\"shared\":\"yes\"}", true, ERR_BAD_REQUEST, "shared" },
        { "{\"type\":\"fs\"}", false, ERR_BAD_REQUEST, "path" },
        { "{\"type\":\"fs\",\"path\":7}", false, ERR_BAD_REQUEST, "path: expected a text" },
        { "{\"type\":\"fs\",\"path\":\"\"}", false, ERR_BAD_REQUEST, "path" },
        { "{\"type\":\"fs\",\"path\":\"/x\",\"colour\":1}", false, ERR_BAD_REQUEST, "colour" },
        { "{\"type\":\"ftp\"}", false, ERR_BAD_REQUEST, "type" },
        { "[]", false, ERR_BAD_REQUEST, "object" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct why why = { "" };
        json_t *config = json_loads(cases[i].text, 0, NULL);
        assert_int_equal(blob_store_check(config, cases[i].clustered, &why), cases[i].err);
        assert_non_null(strstr(why.text, cases[i].says));
        json_decref(config);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)
    const struct CMUnitTest tests[] = {
        CASE(blob_put_stores_what_was_written),
        CASE(blob_put_refuses_a_key_that_exists),
        CASE(blob_put_reports_faults),
        CASE(blob_put_fails_when_disk_full),
        CASE(blob_put_abort_is_silent),
        CASE(blob_get_reports_what_is_missing),
        CASE(blob_delete_removes_and_forgives),
        cmocka_unit_test(blob_store_check_names_the_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
