/* SPDX-License-Identifier: Apache-2.0 */
/* Two programs in one. Without arguments: what of the s3 store can be tested without a server. With
 * arguments: the driver that tests/integration/test_s3.py runs against real and misbehaving servers:
 *
 *     S3_CONFIG=<alias JSON> [S3_CACHE=<folder> S3_CACHE_BYTES=<n>] test_s3 COMMAND... [, COMMAND...]
 *     put KEY SIZE KNOWN(0|1) · putfile KEY FILE · get KEY SIZE OFFSET LENGTH FILE · abort KEY SIZE
 *     now KEY · delete KEY · presign KEY
 *
 * Each prints one line: "OK name=value..." or "ERR <name> ms=<n> <text>". */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pantera/blob.h"
#include "pantera/clock.h"
#include "pantera/fault.h"
#include "pantera/log.h"
#include "pantera/text.h"

/* after ours: cmocka has a macro fail() */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum { BLOCK = 1 << 20 };

struct driver {
    struct loop loop;
    struct client *client;
    struct blob_store *store;
    uint64_t started_ms;
    bool done, by_file;
    enum err err;
    struct why why;
    /* a get */
    FILE *out;
    int fd;
    struct digester *digester;
    int64_t got;
};

static long high_water_kib(void)
{
    char line[200];
    long value = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof line, f))
        sscanf(line, "VmHWM: %ld", &value);
    if (f)
        fclose(f);
    return value;
}

static void driver_open(struct driver *d)
{
    const char *bytes = getenv("S3_CACHE_BYTES");
    json_t *config = json_loads(getenv("S3_CONFIG"), 0, NULL);
    log_init(LOG_WARN, 1);
    fault_init();
    work_pool_start(2);
    loop_init(&d->loop, "driver", 0);
    d->client = client_new(&d->loop);
    struct blob_store_options o = { .loop = &d->loop, .client = d->client,
                                    .cache_dir = getenv("S3_CACHE"),
                                    .cache_bytes = bytes ? strtoull(bytes, NULL, 10) : 0 };
    if (blob_store_open(&o, config, &d->store, &d->why) != OK) {
        printf("ERR CONFIG ms=0 %s\n", d->why.text);
        exit(1);
    }
    json_decref(config);
}

static void count_handle(uv_handle_t *handle, void *arg)
{
    ++*(int *)arg;
}

/* What was aborted ends in the background, and the store with it: then the wake handle and the client's
 * three are left. */
static void driver_settle(struct driver *d)
{
    uint64_t end = clock_mono_ms() + 10000;
    for (int handles = 5; handles > 4 && clock_mono_ms() < end;) {
        uv_run(&d->loop.uv, UV_RUN_NOWAIT);
        usleep(1000);
        handles = 0;
        uv_walk(&d->loop.uv, count_handle, &handles);
    }
}

static void driver_close(struct driver *d)
{
    bool never = false;
    blob_store_close(d->store);
    driver_settle(d);
    client_free(d->client);
    work_pool_stop();
    for (int i = 0; i < 10; i++)
        uv_run(&d->loop.uv, UV_RUN_NOWAIT);
    uv_close((uv_handle_t *)&d->loop.wake, NULL);
    uv_run(&d->loop.uv, UV_RUN_DEFAULT);
    never = uv_loop_close(&d->loop.uv) != 0;
    if (never)
        printf("ERR HANDLES ms=0 the loop does not close\n");
}

static void driver_wait(struct driver *d)
{
    loop_run_until(&d->loop, &d->done);
}

static void report(struct driver *d, enum err e)
{
    unsigned long long ms = clock_mono_ms() - d->started_ms;
    if (e == OK)
        printf("ms=%llu hwm_kib=%ld\n", ms, high_water_kib());
    else
        printf("ERR %s ms=%llu %s\n", err_name(e), ms, d->why.text);
    fflush(stdout);
}

static void on_put(struct blob_put *p, enum err e, const struct why *why, void *arg)
{
    struct driver *d = arg;
    d->done = true;
    d->err = e;
    d->why = *why;
}

static void print_digest(const struct digest_values *v)
{
    char hex[65];
    hex_encode(v->sha256, 32, hex);
    printf("OK sha256=%s ", hex);
}

static enum err write_one(struct driver *d, struct blob_put *p, const void *data, size_t size)
{
    d->done = false;
    blob_put_write(p, data, size, on_put, d);
    check(!d->done);
    driver_wait(d);
    return d->err;
}

/* Bytes that do not repeat from block to block, without the cost of a generator. */
static void make_block(char *block, int64_t at)
{
    uint64_t *words = (uint64_t *)block, x = (uint64_t)at + 88172645463325252ull;
    for (size_t i = 0; i < BLOCK / 8; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        words[i] = x;
    }
}

static size_t next_block(FILE *in, char *block, int64_t at, int64_t size)
{
    if (in)
        return fread(block, 1, BLOCK, in);
    make_block(block, at);
    return size - at < BLOCK ? (size_t)(size - at) : BLOCK;
}

static void do_put(struct driver *d, const char *key, FILE *in, int64_t size, bool known,
                   bool abort_at_end)
{
    struct blob_put p;
    char *block = malloc(BLOCK);
    enum err e = blob_put_begin(d->store, &p, key, known ? size : -1, DIGEST_SHA256, &d->why);
    for (int64_t at = 0, n; e == OK && at < size; at += n) {
        n = (int64_t)next_block(in, block, at, size);
        e = write_one(d, &p, block, (size_t)n);
    }
    if (e == OK && abort_at_end) {
        blob_put_abort(&p);
        printf("OK ");
    } else if (e == OK) {
        d->done = false;
        blob_put_finish(&p, on_put, d);
        driver_wait(d);
        e = d->err;
    }
    if (e == OK && !abort_at_end)
        print_digest(&p.digests);
    report(d, e);
    blob_put_abort(&p);
    free(block);
}

static void on_data(struct blob_get *g, const void *data, size_t size, void *arg)
{
    struct driver *d = arg;
    digester_update(d->digester, data, size);
    check(fwrite(data, 1, size, d->out) == size);
    d->got += (int64_t)size;
    blob_get_more(g);
}

static void on_file(struct blob_get *g, int fd, void *arg)
{
    struct driver *d = arg;
    d->by_file = d->done = true;
    d->fd = fd;
}

static void on_end(struct blob_get *g, enum err e, const struct why *why, void *arg)
{
    struct driver *d = arg;
    d->done = true;
    d->err = e;
    d->why = *why;
}

static const struct blob_sink sink = { on_file, on_data, on_end };

static void copy_file(struct driver *d, int64_t offset, int64_t length)
{
    char *block = malloc(BLOCK);
    while (length > 0) {
        ssize_t n = pread(d->fd, block, length < BLOCK ? (size_t)length : BLOCK, offset);
        check(n > 0);
        digester_update(d->digester, block, (size_t)n);
        check(fwrite(block, 1, (size_t)n, d->out) == (size_t)n);
        offset += n;
        length -= n;
    }
    free(block);
}

static void do_get(struct driver *d, const char *key, int64_t size, int64_t offset, int64_t length,
                   const char *file)
{
    struct blob_get g;
    struct digest_values values;
    d->out = fopen(file, "we");
    d->digester = digester_new(DIGEST_SHA256);
    d->done = d->by_file = false;
    d->err = blob_get_open(d->store, &g, key, size, offset, length, &sink, d, &d->why);
    if (d->err == OK)
        driver_wait(d);
    if (d->by_file)
        copy_file(d, offset, length);
    blob_get_close(&g);
    fclose(d->out);
    digester_final(d->digester, &values);
    digester_free(d->digester);
    if (d->err == OK) {
        print_digest(&values);
        printf("by=%s ", d->by_file ? "file" : "stream");
    }
    report(d, d->err);
}

static void on_deleted(struct blob_delete *x, enum err e, const struct why *why)
{
    struct driver *d = x->arg;
    d->done = true;
    d->err = e;
    d->why = *why;
}

static void do_delete(struct driver *d, const char *key)
{
    struct blob_delete x = { .arg = d };
    d->done = false;
    d->err = blob_delete(d->store, &x, key, on_deleted, &d->why);
    if (d->err == OK)
        driver_wait(d);
    if (d->err == OK)
        printf("OK ");
    report(d, d->err);
}

static void do_now(struct driver *d, const char *key)
{
    int fd = blob_open_now(d->store, key);
    struct stat st = { .st_size = -1 };
    if (fd >= 0)
        fstat(fd, &st);
    printf("OK size=%lld ", (long long)st.st_size);
    report(d, OK);
    if (fd >= 0)
        close(fd);
}

static void do_presign(struct driver *d, const char *key)
{
    struct arena a;
    char *url = NULL;
    arena_init(&a);
    enum err e = blob_presign(d->store, key, 60, &a, &url);
    printf("%s %s ", e == OK ? "OK" : "", e == OK ? url : "");
    report(d, e);
    arena_release(&a);
}

static int64_t number(const char *text)
{
    return strtoll(text, NULL, 10);
}

static void do_putfile(struct driver *d, const char *key, const char *path)
{
    FILE *in = fopen(path, "re");
    struct stat st;
    check(in && fstat(fileno(in), &st) == 0);
    do_put(d, key, in, st.st_size, true, false);
    fclose(in);
}

static int run_driver(int argc, char **argv)
{
    struct driver d = { .fd = -1 };
    driver_open(&d);
    for (int i = 1; i < argc; i++) {
        char **a = argv + i;
        int left = argc - i;
        d.started_ms = clock_mono_ms();
        if (strcmp(a[0], "put") == 0 && left > 3)
            do_put(&d, a[1], NULL, number(a[2]), a[3][0] == '1', false);
        else if (strcmp(a[0], "abort") == 0 && left > 2)
            do_put(&d, a[1], NULL, number(a[2]), false, true);
        else if (strcmp(a[0], "putfile") == 0 && left > 2)
            do_putfile(&d, a[1], a[2]);
        else if (strcmp(a[0], "get") == 0 && left > 5)
            do_get(&d, a[1], number(a[2]), number(a[3]), number(a[4]), a[5]);
        else if (strcmp(a[0], "delete") == 0 && left > 1)
            do_delete(&d, a[1]);
        else if (strcmp(a[0], "now") == 0 && left > 1)
            do_now(&d, a[1]);
        else if (strcmp(a[0], "presign") == 0 && left > 1)
            do_presign(&d, a[1]);
        while (i < argc && strcmp(argv[i], ",") != 0)
            i++;
    }
    driver_close(&d);
    return 0;
}

/* --- without a server --- */

static void s3_check_names_the_key(void **state)
{
    static const struct { const char *text; const char *says; } cases[] = {
        { "{\"type\":\"s3\",\"bucket\":\"abc\"}", NULL },
        { "{\"type\":\"s3\",\"bucket\":\"abc\",\"region\":\"eu-central-1\",\"prefix\":\"a/b\","
          "\"endpoint\":\"http://127.0.0.1:9000\",\"path-style\":true,\"ca-file\":\"/x\","
          "\"credentials\":{\"type\":\"basic\",\"accessKeyId\":\"a\",\"secretAccessKey\":\"b\"},"
          "\"multipart\":{\"part-size\":8388608},\"http\":{\"stall-timeout\":500}}", NULL },
        { "{\"type\":\"s3\"}", "bucket: missing" },
        { "{\"type\":\"s3\",\"bucket\":\"a/b\"}", "bucket" },
        { "{\"type\":\"s3\",\"bucket\":\"abc\",\"endpoint\":\"ftp://x\"}", "endpoint" },
        { "{\"type\":\"s3\",\"bucket\":\"abc\",\"endpoint\":\"http://a/b\"}", "endpoint" },
        { "{\"type\":\"s3\",\"bucket\":\"abc\",\"prefix\":\"/a\"}", "prefix" },
        { "{\"type\":\"s3\",\"bucket\":\"abc\",\"prefix\":\"a/../b\"}", "prefix" },
        { "{\"type\":\"s3\",\"bucket\":\"abc\",\"path-style\":1}", "path-style: expected true or" },
        { "{\"type\":\"s3\",\"bucket\":\"abc\",\"credentials\":{\"type\":\"sts\"}}",
          "credentials.type" },
        { "{\"type\":\"s3\",\"bucket\":\"abc\",\"credentials\":{\"type\":\"basic\"}}",
          "credentials.accessKeyId: missing" },
        { "{\"type\":\"s3\",\"bucket\":\"abc\",\"multipart\":{\"part-size\":1}}",
          "multipart.part-size" },
        { "{\"type\":\"s3\",\"bucket\":\"abc\",\"http\":{\"stall-timeout\":1}}",
          "http.stall-timeout" },
        { "{\"type\":\"s3\",\"bucket\":\"abc\",\"bukket\":\"abc\"}", "bukket: unknown key" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct why why = { "" };
        json_t *config = json_loads(cases[i].text, 0, NULL);
        assert_non_null(config);
        assert_int_equal(blob_store_check(config, true, &why),
                         cases[i].says ? ERR_BAD_REQUEST : OK);
        if (cases[i].says)
            assert_non_null(strstr(why.text, cases[i].says));
        json_decref(config);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s3_check_names_the_key),
    };
    signal(SIGPIPE, SIG_IGN);
    if (argc > 1)
        return run_driver(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
