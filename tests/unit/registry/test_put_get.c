/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes in, bytes out, through a real listener, cluster of one and fs store. */
#include "fx_registry.h"

#include <dirent.h>

static struct fx_registry fx;

static int start(void **state)
{
    (void)state;
    fx_registry_start(&fx);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fault_clear();
    fx_registry_stop(&fx);
    return 0;
}

static void expect_get(const char *path, const char *headers, int status, const char *body)
{
    struct fx_answer a = fx_http(&fx, "GET", path, headers, NULL, 0);

    if (a.status != status)
        print_error("%s: %s\n", path, a.raw);
    assert_int_equal(a.status, status);
    if (body)
        assert_string_equal(a.body, body);
    free(a.raw);
}

/* What was put is got, with its digests and type; a HEAD says the same without the bytes. */
static void put_then_get_gives_the_same(void **state)
{
    struct fx_answer a;

    (void)state;
    assert_int_equal(fx_status(&fx, "PUT", "a/b.txt", "", "hello"), 201);
    for (int i = 0; i < 4; i++) { /* cold, then warm, then HEADs */
        a = fx_http(&fx, i < 2 ? "GET" : "HEAD", "a/b.txt", "", NULL, 0);
        assert_int_equal(a.status, 200);
        assert_string_equal(a.body, i < 2 ? "hello" : "");
        assert_non_null(strstr(a.head, "Content-Length: 5\r\n"));
        assert_non_null(strstr(a.head, "Content-Type: text/plain; charset=utf-8\r\n"));
        assert_non_null(strstr(a.head, "ETag: \"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043"
                                       "362938b9824\"\r\n"));
        assert_non_null(strstr(a.head, "X-Checksum-Md5: 5d41402abc4b2a76b9719d911017c592\r\n"));
        assert_non_null(strstr(a.head, "Accept-Ranges: bytes\r\n"));
        assert_non_null(strstr(a.head, "Last-Modified: "));
        free(a.raw);
    }
    assert_int_equal(fx_status(&fx, "PUT", "typed", "Content-Type: a/b\r\n", "x"), 201);
    a = fx_http(&fx, "GET", "typed", "", NULL, 0);
    assert_non_null(strstr(a.head, "Content-Type: a/b\r\n"));
    free(a.raw);
    expect_get("none", "", 404, NULL);
    assert_int_equal(fx_status(&fx, "PUT", "empty", "", ""), 201);
    expect_get("empty", "", 200, "");
}

/* A warm answer is never older than the last acknowledged change. */
static void get_follows_every_change(void **state)
{
    char body[16];

    (void)state;
    for (int i = 0; i < 50; i++) {
        snprintf(body, sizeof body, "version %d", i);
        assert_int_equal(fx_status(&fx, "PUT", "moving", "", body), i ? 200 : 201);
        expect_get("moving", "", 200, body);
        expect_get("moving", "", 200, body);
    }
    assert_int_equal(fx_status(&fx, "DELETE", "moving", "", NULL), 204);
    expect_get("moving", "", 404, NULL);
    assert_int_equal(fx_status(&fx, "DELETE", "moving", "", NULL), 404);
}

/* RFC 9110 §14: one range, suffix, several, none satisfiable; cold and warm. */
static void get_ranges_are_exact(void **state)
{
    struct fx_answer a;
    char *boundary, want[1024], mark[40];

    (void)state;
    assert_int_equal(fx_status(&fx, "PUT", "r.bin", "", "0123456789"), 201);
    for (int i = 0; i < 2; i++) {
        expect_get("r.bin", "Range: bytes=2-4\r\n", 206, "234");
        expect_get("r.bin", "Range: bytes=-3\r\n", 206, "789");
        expect_get("r.bin", "Range: bytes=8-\r\n", 206, "89");
        expect_get("r.bin", "Range: bytes=99-\r\n", 416, NULL);
        expect_get("r.bin", "Range: lines=1-2\r\n", 200, "0123456789");
        a = fx_http(&fx, "GET", "r.bin", "Range: bytes=0-1,5-6\r\n", NULL, 0);
        assert_int_equal(a.status, 206);
        boundary = strstr(a.head, "multipart/byteranges; boundary=");
        assert_non_null(boundary);
        snprintf(mark, sizeof mark, "%.32s", boundary + 31);
        snprintf(want, sizeof want,
                 "\r\n--%s\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes 0-1/10"
                 "\r\n\r\n01\r\n--%s\r\nContent-Type: application/octet-stream\r\nContent-Range: "
                 "bytes 5-6/10\r\n\r\n56\r\n--%s--\r\n", mark, mark, mark);
        assert_string_equal(a.body, want);
        snprintf(mark, sizeof mark, "Content-Length: %zu\r\n", strlen(want));
        assert_non_null(strstr(a.head, mark));
        free(a.raw);
    }
}

static void get_conditions_are_honoured(void **state)
{
    static const char tag[] = "\"84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882\"";
    char header[160];

    (void)state;
    assert_int_equal(fx_status(&fx, "PUT", "c", "", "0123456789"), 201);
    for (int i = 0; i < 2; i++) {
        snprintf(header, sizeof header, "If-None-Match: %s\r\n", tag);
        expect_get("c", header, 304, "");
        snprintf(header, sizeof header, "If-Match: %s\r\n", tag);
        expect_get("c", header, 200, "0123456789");
        expect_get("c", "If-Match: \"other\"\r\n", 412, NULL);
        snprintf(header, sizeof header, "Range: bytes=0-0\r\nIf-Range: %s\r\n", tag);
        expect_get("c", header, 206, "0");
        expect_get("c", "Range: bytes=0-0\r\nIf-Range: \"old\"\r\n", 200, "0123456789");
    }
    assert_int_equal(fx_status(&fx, "PUT", "c", "If-None-Match: *\r\n", "x"), 412);
    snprintf(header, sizeof header, "If-Match: %s\r\n", tag);
    assert_int_equal(fx_status(&fx, "PUT", "c", header, "new"), 200);
    assert_int_equal(fx_status(&fx, "PUT", "c", header, "newer"), 412);
    expect_get("c", "", 200, "new");
}

/* An announced digest that the bytes don't have: nothing is stored. */
static void put_digest_headers_are_verified(void **state)
{
    static const struct { const char *header; int status; } cases[] = {
        { "X-Checksum-Md5: 5d41402abc4b2a76b9719d911017c592\r\n", 201 },
        { "X-Checksum-Sha1: AAF4C61DDCC5E8A2DABEDE0F3B482CD9AEA9434D\r\n", 201 },
        { "Content-MD5: XUFAKrxLKna5cZ2REBfFkg==\r\n", 201 },
        { "Digest: md5=x, SHA-256=LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=\r\n", 201 },
        { "Repr-Digest: sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:\r\n", 201 },
        { "X-Checksum-Md5: 5d41402abc4b2a76b9719d911017c593\r\n", 422 },
        { "X-Checksum-Sha256: 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9825\r\n",
          422 },
        { "Content-MD5: XUFAKrxLKna5cZ2REBfFkQ==\r\n", 422 },
        { "Repr-Digest: sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCU=:\r\n", 422 },
        { "X-Checksum-Md5: nonsense\r\n", 400 },
        { "Content-MD5: AAAA\r\n", 400 },
        { "Digest: sha-256=x\r\n", 400 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[16];
        snprintf(path, sizeof path, "d%zu", i);
        assert_int_equal(fx_status(&fx, "PUT", path, cases[i].header, "hello"), cases[i].status);
        expect_get(path, "", cases[i].status == 201 ? 200 : 404, NULL);
    }
    assert_int_equal(fx_int(&fx, "SELECT count(*) FROM blob"), 1);
    assert_int_equal(fx_int(&fx, "SELECT refs FROM blob"), 5);
}

/* 24 MiB of anything come back as they went, though buffers are small. */
static void put_large_body_is_whole(void **state)
{
    size_t size = 24u << 20;
    unsigned char *body = malloc(size);
    struct fx_answer a;

    (void)state;
    for (size_t i = 0; i < size; i++)
        body[i] = (unsigned char)(i * 2654435761u >> 11);
    a = fx_http(&fx, "PUT", "large", "", body, size);
    assert_int_equal(a.status, 201);
    free(a.raw);
    for (int i = 0; i < 2; i++) {
        a = fx_http(&fx, "GET", "large", "", NULL, 0);
        assert_int_equal(a.status, 200);
        assert_int_equal(a.body_size, size);
        assert_memory_equal(a.body, body, size);
        free(a.raw);
    }
    free(body);
}

/* The repository's limit holds for announced and for chunked bodies. */
static void put_beyond_the_limit_is_refused(void **state)
{
    (void)state;
    assert_int_equal(fx_repo_put(&fx, json_pack("{s:s, s:s, s:i}", "type", "file", "storage", "default",
                                                "content-length-max", 4)), OK);
    assert_int_equal(fx_status(&fx, "PUT", "fits", "", "1234"), 201);
    assert_int_equal(fx_status(&fx, "PUT", "big", "", "12345"), 413);
    expect_get("big", "", 404, NULL);
}

static void send_chunked(const char *path, const char *body, int status)
{
    char text[256];
    int fd = fx_connect(&fx), n;
    struct fx_answer a;

    n = snprintf(text, sizeof text, "PUT /%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                 "Transfer-Encoding: chunked\r\n\r\n%zx\r\n%s\r\n0\r\n\r\n", path, strlen(body), body);
    assert_true(fx_send(fd, text, (size_t)n));
    a = fx_receive(fd);
    assert_int_equal(a.status, status);
    free(a.raw);
}

static void put_chunked_is_bounded_too(void **state)
{
    (void)state;
    assert_int_equal(fx_repo_put(&fx, json_pack("{s:s, s:s, s:i}", "type", "file", "storage", "default",
                                                "content-length-max", 4)), OK);
    send_chunked("fits", "1234", 201);
    send_chunked("big", "12345", 413);
    expect_get("big", "", 404, NULL);
}

static void gc_start(struct fx_registry *f)
{
    registry_gc_start(f->worker.registry);
}

static unsigned objects_in(const char *dir)
{
    DIR *d = opendir(dir);
    unsigned n = 0;

    for (struct dirent *e; d && (e = readdir(d));) {
        char path[512];
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        n += e->d_type == DT_DIR ? objects_in(path) : 1;
    }
    if (d)
        closedir(d);
    return n;
}

static void await_objects(unsigned wanted)
{
    uint64_t end = clock_mono_ms() + 10000;

    while (objects_in(fx.store_dir) != wanted && clock_mono_ms() < end)
        usleep(2000);
    assert_int_equal(objects_in(fx.store_dir), wanted);
}

/* A client that vanishes leaves no artifact, and in the end no object and no garbage. */
static void put_of_a_vanished_client_is_undone(void **state)
{
    static const char head[] = "PUT /half HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n";
    char bytes[300000] = { 0 };
    int fd;

    (void)state;
    fx_on_loop(&fx, gc_start);
    fd = fx_connect(&fx);
    assert_true(fx_send(fd, head, sizeof head - 1));
    assert_true(fx_send(fd, bytes, sizeof bytes));
    await_objects(1); /* under way */
    close(fd);
    fx_await(&fx, "SELECT count(*) FROM upload", 63); /* its key is given up, */
    fx_await(&fx, "SELECT count(*) FROM garbage", 0); /* collected */
    assert_int_equal(objects_in(fx.store_dir), 0);
    assert_int_equal(fx_int(&fx, "SELECT count(*) FROM artifact"), 0);
}

/* A store that fails: the client is told, nothing is visible, the next upload works. */
static void put_on_a_failing_disk_is_refused(void **state)
{
    (void)state;
    fx_on_loop(&fx, gc_start);
    fault_set("blob.write", 28 /* ENOSPC */, 1, false);
    assert_int_equal(fx_status(&fx, "PUT", "f", "", "hello"), 507);
    fault_set("blob.fsync", 5 /* EIO */, 1, false);
    assert_int_equal(fx_status(&fx, "PUT", "f", "", "hello"), 500);
    fault_clear();
    expect_get("f", "", 404, NULL);
    assert_int_equal(fx_status(&fx, "PUT", "f", "", "hello"), 201);
    expect_get("f", "", 200, "hello");
    fx_await(&fx, "SELECT count(*) FROM garbage", 0);
    await_objects(1);
}

/* Equal bytes are one object; it goes when the last name is gone, a deleted repository's too. */
static void gc_collects_what_nothing_names(void **state)
{
    (void)state;
    fx_on_loop(&fx, gc_start);
    assert_int_equal(fx_status(&fx, "PUT", "one", "", "same"), 201);
    assert_int_equal(fx_status(&fx, "PUT", "two", "", "same"), 201);
    assert_int_equal(fx_status(&fx, "PUT", "three", "", "other"), 201);
    await_objects(2);
    assert_int_equal(fx_status(&fx, "DELETE", "one", "", NULL), 204);
    expect_get("two", "", 200, "same");
    assert_int_equal(fx_status(&fx, "DELETE", "two", "", NULL), 204);
    await_objects(1);
    assert_int_equal(fx_propose(&fx, "repo.delete", json_pack("{s:s}", "name", "files")), OK);
    expect_get("three", "", 404, NULL);
    await_objects(0);
    fx_await(&fx, "SELECT (SELECT count(*) FROM garbage) + (SELECT count(*) FROM repo_sweep) + "
                  "(SELECT count(*) FROM artifact)", 0);
}

/* Within its grace an unnamed object stays: a reader may still be at it. */
static void gc_waits_for_the_grace(void **state)
{
    (void)state;
    fx.config.gc_grace_ms = 1u << 30;
    fx_on_loop(&fx, gc_start);
    assert_int_equal(fx_status(&fx, "PUT", "one", "", "same"), 201);
    assert_int_equal(fx_status(&fx, "DELETE", "one", "", NULL), 204);
    fx_await(&fx, "SELECT count(*) FROM garbage", 1);
    usleep(200000); /* several rounds */
    assert_int_equal(objects_in(fx.store_dir), 1);
}

/* Files whose names differ in bytes only, and one that is a folder's: 409, and no key is lost. */
static void put_conflict_gives_its_key_up(void **state)
{
    (void)state;
    fx_on_loop(&fx, gc_start);
    assert_int_equal(fx_status(&fx, "PUT", "a/b", "", "x"), 201);
    assert_int_equal(fx_status(&fx, "PUT", "a", "", "y"), 409);
    assert_int_equal(fx_status(&fx, "PUT", "a/b/c", "", "z"), 409);
    await_objects(1);
    fx_await(&fx, "SELECT count(*) FROM garbage", 0);
}

/* More uploads at once than keys are reserved: all get one. */
static void put_many_at_once(void **state)
{
    enum { MANY = 90 };
    int fds[MANY];
    char text[128];

    (void)state;
    for (int i = 0; i < MANY; i++) {
        int n = snprintf(text, sizeof text, "PUT /many/%d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                         "Content-Length: 4\r\n\r\n%04d", i, i);
        fds[i] = fx_connect(&fx);
        assert_true(fx_send(fds[i], text, (size_t)n));
    }
    for (int i = 0; i < MANY; i++) {
        struct fx_answer a = fx_receive(fds[i]);
        assert_int_equal(a.status, 201);
        free(a.raw);
    }
    assert_int_equal(fx_int(&fx, "SELECT count(*) FROM artifact"), MANY);
}

/* An empty store whose alias points elsewhere now: the next upload goes there, at once, though keys had
 * been reserved for the old place. */
static void store_is_reopened_when_its_alias_changes(void **state)
{
    char moved[100];

    (void)state;
    fx_on_loop(&fx, gc_start);
    assert_int_equal(fx_status(&fx, "PUT", "before", "", "x"), 201);
    assert_int_equal(fx_status(&fx, "DELETE", "before", "", NULL), 204);
    fx_await(&fx, "SELECT count(*) FROM garbage", 0);
    snprintf(moved, sizeof moved, "%s.moved", fx.store_dir);
    assert_int_equal(fx_propose(&fx, "alias.put",
                                json_pack("{s:i, s:s, s:{s:s, s:s}}", "repo_id", 0, "name", "default",
                                          "config", "type", "fs", "path", moved)), OK);
    assert_int_equal(fx_status(&fx, "PUT", "after", "", "y"), 201);
    expect_get("after", "", 200, "y");
    assert_int_equal(objects_in(moved), 1);
    assert_int_equal(objects_in(fx.store_dir), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(put_then_get_gives_the_same),
        TEST(get_follows_every_change),
        TEST(get_ranges_are_exact),
        TEST(get_conditions_are_honoured),
        TEST(put_digest_headers_are_verified),
        TEST(put_large_body_is_whole),
        TEST(put_beyond_the_limit_is_refused),
        TEST(put_chunked_is_bounded_too),
        TEST(put_of_a_vanished_client_is_undone),
        TEST(put_on_a_failing_disk_is_refused),
        TEST(gc_collects_what_nothing_names),
        TEST(gc_waits_for_the_grace),
        TEST(put_conflict_gives_its_key_up),
        TEST(put_many_at_once),
        TEST(store_is_reopened_when_its_alias_changes),
    };
    int failed;

    log_init(LOG_WARN, 0);
    work_pool_start(2);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    work_pool_stop();
    return failed;
}
