/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/compose.c: sources → a document, on the pool, once for the same sources; the results of
 * this process, the least used first to go. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/limits.h"
#include "pantera/log.h"
#include "pantera/text.h"
#include "src/registry/compose.h"

enum { BUCKETS = 1024, ENTRIES = 8192 };
#define CACHE_BYTES MIB(64)
#define DOCUMENT_MOST MIB(256)
#define TRIM_FROM MIB(2)  /* from so many bytes on, what parsing them took is given back to the system */

/* All of it, and of each entry what is not yet or no longer immutable: with the lock held. */
static uv_once_t once = UV_ONCE_INIT;
static uv_mutex_t lock;
static struct compose_cache {
    struct composed *buckets[BUCKETS], *newest, *oldest;
    unsigned count, users;
    size_t bytes;
    uint64_t made;
} cache;

struct composing {
    struct work work;
    struct worker *worker;
    struct composed *composed;
    struct document document;    /* strings are the arena's */
    struct document_request request;
    struct source **sources;
    struct document_source *parts;
    unsigned count;
    struct arena arena;          /* of the request */
    struct buf out;
    struct document_answer answer;
    enum err err;
    struct why why;
};

/* --- the cache --- */

static unsigned bucket_of(const unsigned char key[32])
{
    return (key[0] | (unsigned)key[1] << 8) % BUCKETS;
}

static void init(void)
{
    check(uv_mutex_init(&lock) == 0);
}

void composed_release(struct composed *c)
{
    if (atomic_fetch_sub(&c->refs, 1) > 1)
        return;
    free(c->data);
    arena_release(&c->arena);
    free(c);
}

static void order_remove(struct composed *c)
{
    *(c->newer ? &c->newer->older : &cache.newest) = c->older;
    *(c->older ? &c->older->newer : &cache.oldest) = c->newer;
    c->newer = c->older = NULL;
}

static void order_front(struct composed *c)
{
    c->older = cache.newest;
    c->newer = NULL;
    *(cache.newest ? &cache.newest->newer : &cache.oldest) = c;
    cache.newest = c;
}

static void evict(struct composed *c)
{
    struct composed **at = &cache.buckets[bucket_of(c->key)];

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    order_remove(c);
    cache.count--;
    cache.bytes -= c->ready ? c->size : 0;
    c->kept = false;
    composed_release(c);
}

static struct composed *cache_get(const unsigned char key[32])
{
    struct composed *c = cache.buckets[bucket_of(key)];

    while (c && memcmp(c->key, key, 32))
        c = c->next;
    if (c && c->ready && c->answer.valid_until_ms && clock_wall_ms() >= c->answer.valid_until_ms) {
        evict(c);
        return NULL;
    }
    return c;
}

static void cache_trim(void)
{
    for (struct composed *c = cache.oldest, *newer;
         c && (cache.bytes > CACHE_BYTES || cache.count > ENTRIES); c = newer) {
        newer = c->newer;
        if (c->ready)
            evict(c);
    }
}

void composed_open(void)
{
    uv_once(&once, init);
    uv_mutex_lock(&lock);
    cache.users++;
    uv_mutex_unlock(&lock);
}

void composed_close(void)
{
    uv_mutex_lock(&lock);
    if (--cache.users == 0)
        while (cache.oldest)
            evict(cache.oldest);
    uv_mutex_unlock(&lock);
}

void composed_figures(uint64_t *ret_made, size_t *ret_bytes)
{
    uv_once(&once, init);
    uv_mutex_lock(&lock);
    *ret_made = cache.made;
    *ret_bytes = cache.bytes;
    uv_mutex_unlock(&lock);
}

/* --- who makes it, who waits --- */

static struct composed *begin(const unsigned char key[32])
{
    struct composed *c = calloc(1, sizeof *c);
    struct composed **bucket = &cache.buckets[bucket_of(key)];

    check(c);
    arena_init(&c->arena);
    memcpy(c->key, key, 32);
    c->refs = 2; /* the cache's, and of who makes it */
    c->kept = true;
    c->next = *bucket;
    *bucket = c;
    order_front(c);
    cache.count++;
    return c;
}

struct composed *composed_join(const unsigned char key[32], struct compose_wait *wait, struct loop *home,
                               struct composed **ret_make)
{
    struct composed *c;

    *ret_make = NULL;
    uv_mutex_lock(&lock);
    c = cache_get(key);
    if (c && c->ready) {
        order_remove(c);
        order_front(c);
        atomic_fetch_add(&c->refs, 1);
    } else {
        if (!c)
            c = *ret_make = begin(key);
        wait->home = home;
        wait->next = c->waiting;
        c->waiting = wait;
        c = NULL;
    }
    uv_mutex_unlock(&lock);
    return c;
}

static void on_told(struct task *task)
{
    struct compose_wait *wait = container_of(task, struct compose_wait, task);

    wait->done(wait, wait->composed);
}

/* It is what it will be. Releases the reference of who made it. */
static void finish(struct composed *c)
{
    uv_mutex_lock(&lock);
    c->ready = true;
    if (c->kept) {
        cache.bytes += c->size;
        if (c->err && c->err != ERR_NOT_FOUND) /* some of these pass */
            evict(c);
        else
            cache_trim();
    }
    for (struct compose_wait *wait = c->waiting, *next; wait; wait = next) {
        next = wait->next;
        atomic_fetch_add(&c->refs, 1);
        wait->composed = c;
        wait->task.run = on_told;
        loop_post(wait->home, &wait->task);
    }
    c->waiting = NULL;
    uv_mutex_unlock(&lock);
    composed_release(c);
}

void composed_fail(struct composed *c, enum err e, const struct why *why)
{
    c->err = e;
    c->why = *why;
    uv_mutex_lock(&lock);
    if (c->kept) /* it was read, not made: the next one may find more */
        evict(c);
    uv_mutex_unlock(&lock);
    finish(c);
}

/* --- making --- */

static void compose_run(struct work *work)
{
    struct composing *m = container_of(work, struct composing, work);
    size_t read = 0;

    m->err = m->document.kind->compose(&m->request, m->parts, m->count, &m->out, &m->answer, &m->why);
    if (!m->err && buf_err(&m->out))
        m->err = fail(&m->why, ERR_TOO_BIG, "the document would be larger than %zu MiB", DOCUMENT_MOST >> 20);
    if (!m->err) {
        unsigned char digest[32];
        sha256(m->out.data ? m->out.data : "", m->out.length, digest);
        m->composed->etag[0] = '"';
        hex_encode(digest, 32, m->composed->etag + 1);
        m->composed->etag[65] = '"';
    }
    for (unsigned i = 0; i < m->count; i++)
        read += m->parts[i].size;
    if (read >= TRIM_FROM)
        malloc_trim(0);
}

static const char *kept(struct composed *c, const char *s)
{
    return s ? arena_strdup(&c->arena, s) : NULL;
}

static void take_answer(struct composed *c, struct composing *m)
{
    c->err = m->err;
    c->why = m->why;
    c->answer.valid_until_ms = m->answer.valid_until_ms;
    for (unsigned i = 0; i < m->count; i++) {
        const struct policy_view *v = m->sources[i]->policy;
        int64_t ends[] = { v ? policy_view_until(v, clock_wall_ms()) : 0, m->sources[i]->until_ms };
        for (unsigned j = 0; j < 2; j++)
            if (ends[j] && (!c->answer.valid_until_ms || ends[j] < c->answer.valid_until_ms))
                c->answer.valid_until_ms = ends[j];
    }
    c->answer.content_type = kept(c, m->answer.content_type);
    for (unsigned i = 0; i < sizeof m->answer.headers / sizeof *m->answer.headers; i++)
        for (unsigned j = 0; j < 2; j++)
            c->answer.headers[i][j] = kept(c, m->answer.headers[i][j]);
    if (!m->err)
        c->data = buf_detach(&m->out, &c->size);
}

static void composing_free(struct composing *m)
{
    for (unsigned i = 0; i < m->count; i++)
        source_free(m->sources[i]);
    buf_free(&m->out);
    free(m->sources);
    free(m->parts);
    arena_release(&m->arena);
    free(m);
}

static void on_composed(struct work *work)
{
    struct composing *m = container_of(work, struct composing, work);

    take_answer(m->composed, m);
    uv_mutex_lock(&lock);
    cache.made++;
    uv_mutex_unlock(&lock);
    finish(m->composed);
    composing_free(m);
}

static void copy_names(struct composing *m, const struct document *d, const char *repo, const char *base,
                       bool whole)
{
    struct arena *a = &m->arena;

    m->document.kind = d->kind;
    m->request = (struct document_request){
        .repo = arena_strdup(a, repo), .base = arena_strdup(a, base), .path = arena_strdup(a, d->path),
        .package = d->package ? arena_strdup(a, d->package) : NULL,
        .variant = d->variant ? arena_strdup(a, d->variant) : NULL, .whole = whole, .arena = a,
    };
}

void composed_make(struct composed *c, struct worker *w, const unsigned char key[32],
                   const struct document *d, const char *repo, const char *base, bool whole,
                   struct source **sources, unsigned count)
{
    struct composing *m = calloc(1, sizeof *m);

    check(m);
    uv_mutex_lock(&lock);
    if (c->kept && memcmp(c->key, key, 32))
        evict(c);
    uv_mutex_unlock(&lock);
    arena_init(&m->arena);
    buf_init(&m->out, DOCUMENT_MOST);
    m->worker = w;
    m->composed = c;
    copy_names(m, d, repo, base, whole);
    m->count = count;
    m->sources = calloc(count + 1, sizeof *m->sources);
    m->parts = calloc(count + 1, sizeof *m->parts);
    check(m->sources && m->parts);
    for (unsigned i = 0; i < count; i++) {
        m->sources[i] = sources[i];
        m->parts[i] = sources[i]->pub;
    }
    work_submit(&m->work, &w->loop, compose_run, on_composed);
}
