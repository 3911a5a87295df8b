/* SPDX-License-Identifier: Apache-2.0 */
/* The disk cache: a hash table and an LRU list in memory, one flat folder on disk. A file appears under
 * its name by rename when it is complete, so what a crash leaves is a "tmp-" file that the next scan
 * removes. The mutex covers memory only: file I/O happens outside of it, and therefore each file has a
 * random suffix: an eviction's unlink can't hit the same key's next file. */
#include "cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pantera/err.h"
#include "pantera/fault.h"
#include "pantera/ids.h"
#include "pantera/text.h"

enum { NAME_BYTES = 104, SUFFIX_BYTES = 10, PATH_BYTES = 1200, FIRST_BUCKETS = 256 };

struct entry {
    struct entry *chain;         /* of the bucket */
    struct entry *newer, *older; /* of the LRU list */
    uint64_t size;
    char name[NAME_BYTES], suffix[SUFFIX_BYTES]; /* the file is both; the suffix ".0123abcd" */
};

struct cache_fill {
    struct cache_fill *next;
    struct blob_cache *cache;
    uint64_t size, written;
    int fd;
    bool begun, failed, reserved;
    char name[NAME_BYTES], suffix[SUFFIX_BYTES], temporary[NAME_BYTES];
};

struct blob_cache {
    struct blob_cache *next;
    pthread_mutex_t lock;
    char *folder, own[17]; /* own: marks this process's temporary files */
    uint64_t most, bytes;
    unsigned refs;
    bool scanned;
    struct entry **buckets, *newest, *oldest;
    size_t bucket_count, entry_count;
    struct cache_fill *fills;
};

static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct blob_cache *all;

/* --- table and list; the lock is held --- */

static struct entry **find(struct blob_cache *c, const char *name)
{
    struct entry **at = &c->buckets[hash_text(name) & (c->bucket_count - 1)];
    while (*at && strcmp((*at)->name, name) != 0)
        at = &(*at)->chain;
    return at;
}

static void list_remove(struct blob_cache *c, struct entry *e)
{
    *(e->newer ? &e->newer->older : &c->newest) = e->older;
    *(e->older ? &e->older->newer : &c->oldest) = e->newer;
}

static void list_add_newest(struct blob_cache *c, struct entry *e)
{
    e->newer = NULL;
    e->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = e;
    c->newest = e;
}

static void table_grow(struct blob_cache *c)
{
    struct entry **old = c->buckets;
    size_t count = c->bucket_count;
    struct entry **more = calloc(count * 2, sizeof *more);
    if (!more)
        return; /* longer chains, nothing worse */
    c->buckets = more;
    c->bucket_count = count * 2;
    for (size_t i = 0; i < count; i++)
        for (struct entry *e = old[i], *next; e; e = next) {
            next = e->chain;
            struct entry **at = find(c, e->name);
            e->chain = NULL;
            *at = e;
        }
    free(old);
}

/* False when it is there already. */
static bool entry_add(struct blob_cache *c, const char *name, const char *suffix, uint64_t size)
{
    struct entry **at = find(c, name);
    struct entry *e = *at ? NULL : calloc(1, sizeof *e);
    if (!e)
        return false;
    snprintf(e->name, sizeof e->name, "%s", name);
    snprintf(e->suffix, sizeof e->suffix, "%s", suffix);
    e->size = size;
    *at = e;
    list_add_newest(c, e);
    if (++c->entry_count > c->bucket_count)
        table_grow(c);
    return true;
}

static void entry_unlink(struct blob_cache *c, struct entry *e)
{
    struct entry **at = find(c, e->name);
    *at = e->chain;
    list_remove(c, e);
    c->bytes -= e->size;
    c->entry_count--;
}

/* Takes the oldest entries out until `size` more fits; gives them as a chain. */
static struct entry *make_room(struct blob_cache *c, uint64_t size)
{
    struct entry *victims = NULL;
    while (c->oldest && c->bytes + size > c->most) {
        struct entry *e = c->oldest;
        entry_unlink(c, e);
        e->chain = victims;
        victims = e;
    }
    return victims;
}

/* --- files; the lock is not held --- */

static void path_of(const struct blob_cache *c, const char *name, const char *suffix,
                    char ret[PATH_BYTES])
{
    snprintf(ret, PATH_BYTES, "%s/%s%s", c->folder, name, suffix);
}

static void remove_file(struct blob_cache *c, const char *name, const char *suffix)
{
    char path[PATH_BYTES];
    path_of(c, name, suffix, path);
    unlink(path);
}

static void remove_victims(struct blob_cache *c, struct entry *victims)
{
    while (victims) {
        struct entry *e = victims;
        victims = e->chain;
        remove_file(c, e->name, e->suffix);
        free(e);
    }
}

/* "blobs/ab/cd" → "blobs_ab_cd": '_' is not in the keys that blob_key_new makes. */
static void name_of(const char *key, char ret[NAME_BYTES])
{
    snprintf(ret, NAME_BYTES, "%s", key);
    for (char *c = ret; *c; c++)
        if (*c == '/')
            *c = '_';
}

struct found {
    char name[NAME_BYTES], suffix[SUFFIX_BYTES];
    uint64_t size;
    struct timespec used;
};

static int by_use(const void *a, const void *b)
{
    const struct timespec *x = &((const struct found *)a)->used;
    const struct timespec *y = &((const struct found *)b)->used;
    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? -1 : 1;
    return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

static size_t read_folder(struct blob_cache *c, struct found **ret)
{
    size_t count = 0, capacity = 0;
    DIR *d = opendir(c->folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        if (strncmp(e->d_name, "tmp-", 4) == 0 && strncmp(e->d_name + 4, c->own, 16) != 0)
            unlinkat(dirfd(d), e->d_name, 0);
        size_t length = strlen(e->d_name), name = length > 9 ? length - 9 : 0;
        if (name == 0 || name >= NAME_BYTES || e->d_name[name] != '.' ||
            fstatat(dirfd(d), e->d_name, &st, 0) != 0 || !S_ISREG(st.st_mode))
            continue; /* not ours */
        if (count == capacity) {
            capacity = capacity ? capacity * 2 : 256;
            struct found *more = realloc(*ret, capacity * sizeof **ret);
            if (!more)
                break;
            *ret = more;
        }
        memcpy((*ret)[count].name, e->d_name, name);
        (*ret)[count].name[name] = 0;
        snprintf((*ret)[count].suffix, sizeof (*ret)[count].suffix, "%s", e->d_name + name);
        (*ret)[count].size = (uint64_t)st.st_size;
        (*ret)[count++].used = st.st_atim;
    }
    if (d)
        closedir(d);
    return count;
}

void blob_cache_scan(struct blob_cache *c)
{
    struct found *list = NULL;
    pthread_mutex_lock(&c->lock);
    bool first = !c->scanned;
    c->scanned = true;
    pthread_mutex_unlock(&c->lock);
    if (!first)
        return;
    size_t count = read_folder(c, &list);
    if (count)
        qsort(list, count, sizeof *list, by_use);
    for (size_t i = 0; i < count; i++) {
        pthread_mutex_lock(&c->lock);
        bool fits = list[i].size <= c->most;
        fits = fits && !*find(c, list[i].name);
        struct entry *victims = fits ? make_room(c, list[i].size) : NULL;
        fits = fits && entry_add(c, list[i].name, list[i].suffix, list[i].size);
        c->bytes += fits ? list[i].size : 0;
        pthread_mutex_unlock(&c->lock);
        remove_victims(c, victims);
        if (!fits)
            remove_file(c, list[i].name, list[i].suffix);
    }
    free(list);
}

/* --- opening and closing --- */

static void make_folders(const char *folder)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s", folder);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0755);
        *slash = '/';
    }
    mkdir(path, 0700);
}

struct blob_cache *blob_cache_open(const char *folder, uint64_t most_bytes)
{
    pthread_mutex_lock(&all_lock);
    struct blob_cache *c = all;
    while (c && strcmp(c->folder, folder) != 0)
        c = c->next;
    if (!c) {
        c = calloc(1, sizeof *c);
        check(c != NULL);
        pthread_mutex_init(&c->lock, NULL);
        c->folder = strdup(folder);
        c->bucket_count = FIRST_BUCKETS;
        c->buckets = calloc(c->bucket_count, sizeof *c->buckets);
        check(c->folder && c->buckets);
        c->most = most_bytes;
        random_hex(c->own, 8);
        make_folders(folder);
        c->next = all;
        all = c;
    }
    c->refs++;
    pthread_mutex_unlock(&all_lock);
    return c;
}

void blob_cache_close(struct blob_cache *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&all_lock);
    bool last = --c->refs == 0;
    for (struct blob_cache **at = &all; last && *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            break;
        }
    pthread_mutex_unlock(&all_lock);
    if (!last)
        return;
    check(c->fills == NULL);
    for (struct entry *e = c->newest, *next; e; e = next) {
        next = e->older;
        free(e);
    }
    pthread_mutex_destroy(&c->lock);
    free(c->buckets);
    free(c->folder);
    free(c);
}

/* --- reading --- */

int blob_cache_get(struct blob_cache *c, const char *key)
{
    char name[NAME_BYTES], path[PATH_BYTES] = "";
    name_of(key, name);
    pthread_mutex_lock(&c->lock);
    struct entry *e = *find(c, name);
    if (e) {
        list_remove(c, e);
        list_add_newest(c, e);
        path_of(c, name, e->suffix, path);
    }
    pthread_mutex_unlock(&c->lock);
    if (!path[0])
        return -1;
    return open(path, O_RDONLY | O_CLOEXEC); /* evicted in between: -1, a miss */
}

void blob_cache_drop(struct blob_cache *c, const char *key)
{
    char name[NAME_BYTES];
    name_of(key, name);
    pthread_mutex_lock(&c->lock);
    struct entry *e = *find(c, name);
    if (e) {
        entry_unlink(c, e);
        e->chain = NULL;
    }
    pthread_mutex_unlock(&c->lock);
    remove_victims(c, e);
}

uint64_t blob_cache_bytes(struct blob_cache *c)
{
    pthread_mutex_lock(&c->lock);
    uint64_t bytes = c->bytes;
    pthread_mutex_unlock(&c->lock);
    return bytes;
}

/* --- filling --- */

struct cache_fill *blob_cache_fill(struct blob_cache *c, const char *key, uint64_t size)
{
    char name[NAME_BYTES];
    name_of(key, name);
    pthread_mutex_lock(&c->lock);
    bool busy = size > c->most || *find(c, name);
    for (struct cache_fill *f = c->fills; f && !busy; f = f->next)
        busy = strcmp(f->name, name) == 0;
    struct cache_fill *f = busy ? NULL : calloc(1, sizeof *f);
    if (f) {
        f->suffix[0] = '.';
        random_hex(f->suffix + 1, 4);
        snprintf(f->temporary, sizeof f->temporary, "tmp-%s-%s", c->own, f->suffix + 1);
        snprintf(f->name, sizeof f->name, "%s", name);
        f->cache = c;
        f->size = size;
        f->fd = -1;
        f->next = c->fills;
        c->fills = f;
    }
    pthread_mutex_unlock(&c->lock);
    return f;
}

/* Reserves the whole size before the first byte, so that the bound holds at any moment. */
static void fill_begin(struct cache_fill *f)
{
    struct blob_cache *c = f->cache;
    char path[PATH_BYTES];
    f->begun = true;
    pthread_mutex_lock(&c->lock);
    struct entry *victims = make_room(c, f->size);
    f->reserved = c->bytes + f->size <= c->most;
    if (f->reserved)
        c->bytes += f->size;
    pthread_mutex_unlock(&c->lock);
    remove_victims(c, victims);
    path_of(c, f->temporary, "", path);
    if (f->reserved)
        f->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    f->failed = f->fd < 0;
}

void cache_fill_write(struct cache_fill *f, const void *data, size_t size)
{
    const char *at = data;
    if (!f->begun)
        fill_begin(f);
    while (size > 0 && !f->failed) {
        errno = fault("cache.write");
        ssize_t n = errno ? -1 : write(f->fd, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        f->failed = n < 0 || f->written + (uint64_t)n > f->size;
        at += n < 0 ? 0 : n;
        size -= n < 0 ? 0 : (size_t)n;
        f->written += n < 0 ? 0 : (uint64_t)n;
    }
}

static void fill_end(struct cache_fill *f, bool good)
{
    struct blob_cache *c = f->cache;
    char from[PATH_BYTES], to[PATH_BYTES];
    path_of(c, f->temporary, "", from);
    path_of(c, f->name, f->suffix, to);
    if (f->fd >= 0)
        close(f->fd);
    good = good && !f->failed && f->fd >= 0 && f->written == f->size && rename(from, to) == 0;
    if (!good && f->fd >= 0)
        unlink(from);
    pthread_mutex_lock(&c->lock);
    if (f->reserved && !(good && entry_add(c, f->name, f->suffix, f->size)))
        c->bytes -= f->size;
    struct cache_fill **at = &c->fills;
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    pthread_mutex_unlock(&c->lock);
    free(f);
}

void cache_fill_commit(struct cache_fill *f)
{
    if (!f->begun)
        fill_begin(f); /* an empty object */
    fill_end(f, true);
}

void cache_fill_discard(struct cache_fill *f)
{
    fill_end(f, false);
}
