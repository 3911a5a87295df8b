/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/compose.c: sources → a document, on the pool, once for the same sources; the results of
 * this worker, the least used first to go. */
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/limits.h"
#include "pantera/log.h"
#include "pantera/text.h"
#include "src/registry/compose.h"

enum { BUCKETS = 1024, ENTRIES = 8192 };
#define CACHE_BYTES MIB(32)
#define DOCUMENT_MOST MIB(256)

struct compose_cache {
    struct composed *buckets[BUCKETS], *newest, *oldest;
    unsigned count;
    size_t bytes;
};

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

void composed_release(struct composed *c)
{
    if (--c->refs > 0)
        return;
    free(c->data);
    arena_release(&c->arena);
    free(c);
}

static void order_remove(struct compose_cache *k, struct composed *c)
{
    *(c->newer ? &c->newer->older : &k->newest) = c->older;
    *(c->older ? &c->older->newer : &k->oldest) = c->newer;
    c->newer = c->older = NULL;
}

static void order_front(struct compose_cache *k, struct composed *c)
{
    c->older = k->newest;
    c->newer = NULL;
    *(k->newest ? &k->newest->newer : &k->oldest) = c;
    k->newest = c;
}

static void evict(struct compose_cache *k, struct composed *c)
{
    struct composed **at = &k->buckets[bucket_of(c->key)];

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    order_remove(k, c);
    k->count--;
    k->bytes -= c->size;
    c->kept = false;
    composed_release(c);
}

static struct composed *cache_get(struct compose_cache *k, const unsigned char key[32])
{
    struct composed *c = k->buckets[bucket_of(key)];

    while (c && memcmp(c->key, key, 32))
        c = c->next;
    if (c && c->ready && c->answer.valid_until_ms && clock_wall_ms() >= c->answer.valid_until_ms) {
        evict(k, c);
        return NULL;
    }
    return c;
}

static void cache_trim(struct compose_cache *k)
{
    for (struct composed *c = k->oldest, *newer; c && (k->bytes > CACHE_BYTES || k->count > ENTRIES);
         c = newer) {
        newer = c->newer;
        if (c->ready)
            evict(k, c);
    }
}

struct compose_cache *composed_new(void)
{
    struct compose_cache *k = calloc(1, sizeof *k);

    check(k);
    return k;
}

void composed_cache_free(struct compose_cache *k)
{
    while (k->oldest)
        evict(k, k->oldest);
    free(k);
}

struct composed *composed_find(struct registry *r, const unsigned char key[32])
{
    struct compose_cache *k = r->documents;
    struct composed *c = cache_get(k, key);

    if (!c || !c->ready)
        return NULL;
    order_remove(k, c);
    order_front(k, c);
    c->refs++;
    return c;
}

/* --- making --- */

static void compose_run(struct work *work)
{
    struct composing *m = container_of(work, struct composing, work);

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
    c->ready = true;
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
    struct compose_cache *k = m->worker->registry->documents;
    struct composed *c = m->composed;
    struct compose_wait *wait = c->waiting, *next;

    take_answer(c, m);
    if (c->kept) {
        k->bytes += c->size;
        if (c->err && c->err != ERR_NOT_FOUND) /* some of these pass */
            evict(k, c);
        else
            cache_trim(k);
    }
    c->waiting = NULL;
    for (; wait; wait = next) {
        next = wait->next;
        c->refs++;
        wait->done(wait, c);
    }
    composing_free(m);
    composed_release(c);
}

static void copy_names(struct composing *m, const struct document *d, const char *repo, const char *base)
{
    struct arena *a = &m->arena;

    m->document.kind = d->kind;
    m->request = (struct document_request){
        .repo = arena_strdup(a, repo), .base = arena_strdup(a, base), .path = arena_strdup(a, d->path),
        .package = d->package ? arena_strdup(a, d->package) : NULL,
        .variant = d->variant ? arena_strdup(a, d->variant) : NULL, .arena = a,
    };
}

static struct composed *composed_begin(struct compose_cache *k, const unsigned char key[32])
{
    struct composed *c = calloc(1, sizeof *c);
    struct composed **bucket = &k->buckets[bucket_of(key)];

    check(c);
    arena_init(&c->arena);
    memcpy(c->key, key, 32);
    c->refs = 2; /* the cache's, and of who makes it */
    c->kept = true;
    c->next = *bucket;
    *bucket = c;
    order_front(k, c);
    k->count++;
    return c;
}

void composed_make(struct worker *w, const unsigned char key[32], const struct document *d, const char *repo,
                   const char *base, struct source **sources, unsigned count, struct compose_wait *wait)
{
    struct compose_cache *k = w->registry->documents;
    struct composed *c = cache_get(k, key);
    struct composing *m;

    if (c && !c->ready) {
        for (unsigned i = 0; i < count; i++)
            source_free(sources[i]);
        wait->next = c->waiting;
        c->waiting = wait;
        return;
    }
    if (c)
        evict(k, c); /* made meanwhile; rare, and the simplest */
    m = calloc(1, sizeof *m);
    check(m);
    arena_init(&m->arena);
    buf_init(&m->out, DOCUMENT_MOST);
    m->worker = w;
    m->composed = composed_begin(k, key);
    wait->next = NULL;
    m->composed->waiting = wait;
    copy_names(m, d, repo, base);
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
