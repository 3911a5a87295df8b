/* SPDX-License-Identifier: Apache-2.0 */
/* The disk cache: its bound holds at every moment, the least recently used goes first, and whatever goes
 * wrong on its disk is nobody's trouble. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pantera/fault.h"
#include "storage/blob/cache.h"

/* after ours: cmocka has a macro fail() */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

struct fx {
    char folder[64];
    struct blob_cache *cache;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    return remove(path);
}

static int setup(void **state)
{
    struct fx *f = calloc(1, sizeof *f);
    strcpy(f->folder, "/tmp/test_blob_cache.XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    f->cache = blob_cache_open(f->folder, 1000);
    blob_cache_scan(f->cache);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fx *f = *state;
    fault_clear();
    blob_cache_close(f->cache);
    nftw(f->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

static void fill(struct fx *f, const char *key, size_t size)
{
    char data[2000];
    struct cache_fill *c = blob_cache_fill(f->cache, key, size);
    assert_non_null(c);
    memset(data, key[strlen(key) - 1], sizeof data);
    cache_fill_write(c, data, size / 2);
    cache_fill_write(c, data, size - size / 2);
    cache_fill_commit(c);
}

static bool has(struct fx *f, const char *key, size_t size)
{
    char data[2000];
    int fd = blob_cache_get(f->cache, key);
    if (fd < 0)
        return false;
    assert_int_equal(read(fd, data, sizeof data), size);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(data[i], key[strlen(key) - 1]);
    close(fd);
    return true;
}

static long files_in(const char *folder, const char *prefix)
{
    char command[200];
    long count = -1;
    snprintf(command, sizeof command, "ls -A %s | grep -c '^%s'", folder, prefix);
    FILE *p = popen(command, "re");
    assert_int_equal(fscanf(p, "%ld", &count), 1);
    pclose(p);
    return count;
}

static void cache_gives_what_was_filled(void **state)
{
    struct fx *f = *state;
    assert_false(has(f, "blobs/aa/1", 0));
    fill(f, "blobs/aa/1", 300);
    fill(f, "blobs/aa/0", 0);
    assert_true(has(f, "blobs/aa/1", 300));
    assert_true(has(f, "blobs/aa/0", 0));
    assert_int_equal(blob_cache_bytes(f->cache), 300);
    assert_null(blob_cache_fill(f->cache, "blobs/aa/1", 300)); /* there already */
    assert_null(blob_cache_fill(f->cache, "blobs/aa/2", 1001)); /* larger than the cache */
    blob_cache_drop(f->cache, "blobs/aa/1");
    assert_false(has(f, "blobs/aa/1", 300));
    assert_int_equal(blob_cache_bytes(f->cache), 0);
}

static void cache_evicts_the_least_recently_used(void **state)
{
    struct fx *f = *state;
    fill(f, "blobs/aa/1", 400);
    fill(f, "blobs/aa/2", 400);
    int fd = blob_cache_get(f->cache, "blobs/aa/2");
    assert_true(has(f, "blobs/aa/1", 400)); /* used after 2 */
    fill(f, "blobs/aa/3", 400);
    assert_true(has(f, "blobs/aa/1", 400));
    assert_false(has(f, "blobs/aa/2", 400));
    assert_true(has(f, "blobs/aa/3", 400));
    assert_int_equal(blob_cache_bytes(f->cache), 800);
    assert_int_equal(files_in(f->folder, "blobs"), 2);
    char data[500];
    assert_int_equal(read(fd, data, sizeof data), 400); /* the open descriptor outlives eviction */
    close(fd);
}

static void cache_fills_a_key_once_at_a_time(void **state)
{
    struct fx *f = *state;
    struct cache_fill *one = blob_cache_fill(f->cache, "blobs/aa/1", 100);
    assert_non_null(one);
    assert_null(blob_cache_fill(f->cache, "blobs/aa/1", 100));
    cache_fill_discard(one);
    fill(f, "blobs/aa/1", 100);
}

/* Too short, too long, discarded, a write that fails: nothing appears, nothing stays reserved. */
static void cache_keeps_only_whole_objects(void **state)
{
    struct fx *f = *state;
    char data[200] = "";
    for (int i = 0; i < 4; i++) {
        struct cache_fill *c = blob_cache_fill(f->cache, "blobs/aa/1", 100);
        if (i == 3)
            fault_set("cache.write", ENOSPC, 1, false);
        cache_fill_write(c, data, i == 0 ? 99 : i == 1 ? 101 : 100);
        if (i == 2)
            cache_fill_discard(c);
        else
            cache_fill_commit(c);
        fault_clear();
        assert_int_equal(blob_cache_get(f->cache, "blobs/aa/1"), -1);
        assert_int_equal(blob_cache_bytes(f->cache), 0);
        assert_int_equal(files_in(f->folder, "."), 0);
    }
}

/* Objects that are being filled count: two large ones at once do not both fit. */
static void cache_bound_covers_fills(void **state)
{
    struct fx *f = *state;
    char data[600] = "";
    struct cache_fill *one = blob_cache_fill(f->cache, "blobs/aa/1", 600);
    struct cache_fill *two = blob_cache_fill(f->cache, "blobs/aa/2", 600);
    cache_fill_write(one, data, 600);
    cache_fill_write(two, data, 600);
    assert_int_equal(blob_cache_bytes(f->cache), 600);
    cache_fill_commit(one);
    cache_fill_commit(two);
    assert_true(blob_cache_get(f->cache, "blobs/aa/2") == -1);
    assert_int_equal(blob_cache_bytes(f->cache), 600);
}

/* A restart finds what is there, oldest use first, and removes what a crash left half-written. */
static void cache_scan_restores_and_cleans(void **state)
{
    struct fx *f = *state;
    char path[200];
    fill(f, "blobs/aa/1", 400);
    fill(f, "blobs/aa/2", 400);
    struct timespec old[2] = { { 1000, 0 }, { 1000, 0 } };
    glob_t found;
    snprintf(path, sizeof path, "%s/blobs_aa_2.*", f->folder);
    assert_int_equal(glob(path, 0, NULL, &found), 0);
    assert_int_equal(utimensat(AT_FDCWD, found.gl_pathv[0], old, 0), 0);
    globfree(&found);
    snprintf(path, sizeof path, "%s/tmp-0123456789abcdef-1", f->folder);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    blob_cache_close(f->cache);
    f->cache = blob_cache_open(f->folder, 1000);
    assert_false(has(f, "blobs/aa/1", 400));
    blob_cache_scan(f->cache);
    assert_int_equal(blob_cache_bytes(f->cache), 800);
    assert_int_equal(files_in(f->folder, "tmp"), 0);
    fill(f, "blobs/aa/3", 400);
    assert_true(has(f, "blobs/aa/1", 400));
    assert_false(has(f, "blobs/aa/2", 400)); /* its last use was the oldest */
    /* with a smaller bound, the scan evicts */
    blob_cache_close(f->cache);
    f->cache = blob_cache_open(f->folder, 500);
    blob_cache_scan(f->cache);
    assert_int_equal(blob_cache_bytes(f->cache), 400);
    assert_int_equal(files_in(f->folder, "blobs"), 1);
}

static void cache_of_a_folder_is_shared(void **state)
{
    struct fx *f = *state;
    struct blob_cache *other = blob_cache_open(f->folder, 5);
    assert_ptr_equal(other, f->cache);
    blob_cache_close(other);
}

static void *hammer(void *arg)
{
    struct fx *f = arg;
    unsigned seed = (unsigned)(uintptr_t)&seed;
    for (int i = 0; i < 3000; i++) {
        char key[32], data[100] = "";
        snprintf(key, sizeof key, "blobs/aa/%d", rand_r(&seed) % 40);
        int fd = blob_cache_get(f->cache, key);
        if (fd >= 0)
            close(fd);
        struct cache_fill *c = fd < 0 ? blob_cache_fill(f->cache, key, 100) : NULL;
        if (c) {
            cache_fill_write(c, data, 100);
            cache_fill_commit(c);
        }
        if (i % 50 == 0)
            blob_cache_drop(f->cache, key);
        if (blob_cache_bytes(f->cache) > 1000)
            return (void *)1;
    }
    return NULL;
}

/* Four threads, forty keys, room for ten: the bound holds and the count of bytes stays true. */
static void cache_survives_many_threads(void **state)
{
    struct fx *f = *state;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, hammer, f);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_null(result);
    }
    assert_int_equal(blob_cache_bytes(f->cache), files_in(f->folder, "blobs") * 100);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(cache_gives_what_was_filled),
        CASE(cache_evicts_the_least_recently_used),
        CASE(cache_fills_a_key_once_at_a_time),
        CASE(cache_keeps_only_whole_objects),
        CASE(cache_bound_covers_fills),
        CASE(cache_scan_restores_and_cleans),
        CASE(cache_of_a_folder_is_shared),
        CASE(cache_survives_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
