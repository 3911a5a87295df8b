/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/warm.c: what this worker answered last: repository and path → row, prepared head, open
 * descriptor. An entry is the current answer while its two stamps match (gen.h); nothing expires.
 * Bounded by entries and by descriptors; an entry in use outlives its eviction until it is released.
 * A clock closes what has become stale: the room of a deleted object is free once nobody has it open. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pantera/gen.h"
#include "src/registry/internal.h"

enum { WARM_BUCKETS = 4096, WARM_ENTRIES = 4096, WARM_DESCRIPTORS = 1024, WARM_SWEEP_MS = 1000 };

struct warm {
    struct warm_entry *buckets[WARM_BUCKETS];
    struct warm_entry *newest, *oldest;
    unsigned count, descriptors;
    uv_timer_t sweep;
};

struct warm_entry *warm_entry_new(int64_t repo_id, const char *path)
{
    struct warm_entry *e = calloc(1, sizeof *e);

    check(e);
    arena_init(&e->arena);
    e->repo_id = repo_id;
    e->path = arena_strdup(&e->arena, path);
    e->hash = gen_artifact_hash(repo_id, path);
    e->fd = -1;
    e->refs = 1;
    /* Stamps first, then the row: a change in between makes the entry stale, never wrong. */
    e->stamp = gen_get(GEN_ARTIFACT, e->hash);
    e->repo_stamp = gen_get(GEN_REPO, 0);
    return e;
}

void warm_release(struct warm_entry *e)
{
    check(e->refs > 0);
    if (--e->refs > 0)
        return;
    if (e->fd >= 0)
        close(e->fd);
    arena_release(&e->arena);
    free(e);
}

static void order_remove(struct warm *w, struct warm_entry *e)
{
    *(e->newer ? &e->newer->older : &w->newest) = e->older;
    *(e->older ? &e->older->newer : &w->oldest) = e->newer;
    e->newer = e->older = NULL;
}

static void order_front(struct warm *w, struct warm_entry *e)
{
    e->older = w->newest;
    e->newer = NULL;
    *(w->newest ? &w->newest->newer : &w->oldest) = e;
    w->newest = e;
}

static void evict(struct warm *w, struct warm_entry *e)
{
    struct warm_entry **at = &w->buckets[e->hash % WARM_BUCKETS];

    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    order_remove(w, e);
    w->count--;
    if (e->fd >= 0)
        w->descriptors--;
    warm_release(e);
}

static bool is_current(const struct warm_entry *e)
{
    return e->stamp == gen_get(GEN_ARTIFACT, e->hash) && e->repo_stamp == gen_get(GEN_REPO, 0);
}

static void on_sweep(uv_timer_t *timer)
{
    struct warm *w = container_of(timer, struct warm, sweep);

    for (struct warm_entry *e = w->oldest, *newer; e && w->descriptors; e = newer) {
        newer = e->newer;
        if (e->fd >= 0 && !is_current(e))
            evict(w, e);
    }
}

struct warm *warm_new(struct loop *loop)
{
    struct warm *w = calloc(1, sizeof *w);

    check(w);
    check(uv_timer_init(&loop->uv, &w->sweep) == 0);
    check(uv_timer_start(&w->sweep, on_sweep, WARM_SWEEP_MS, WARM_SWEEP_MS) == 0);
    return w;
}

static void on_closed(uv_handle_t *handle)
{
    free(container_of(handle, struct warm, sweep));
}

void warm_free(struct warm *w)
{
    while (w->oldest)
        evict(w, w->oldest);
    uv_close((uv_handle_t *)&w->sweep, on_closed);
}

struct warm_entry *warm_find(struct warm *w, int64_t repo_id, const char *path)
{
    uint64_t hash = gen_artifact_hash(repo_id, path);
    struct warm_entry *e = w->buckets[hash % WARM_BUCKETS];

    while (e && (e->hash != hash || e->repo_id != repo_id || strcmp(e->path, path)))
        e = e->next;
    if (!e)
        return NULL;
    if (!is_current(e)) {
        evict(w, e);
        return NULL;
    }
    if (w->newest != e) {
        order_remove(w, e);
        order_front(w, e);
    }
    e->refs++;
    return e;
}

void warm_add(struct warm *w, struct warm_entry *e)
{
    struct warm_entry **bucket = &w->buckets[e->hash % WARM_BUCKETS];

    /* The path's entry of before, if any, was evicted when it was looked for. */
    e->refs++;
    e->next = *bucket;
    *bucket = e;
    order_front(w, e);
    w->count++;
    if (e->fd >= 0)
        w->descriptors++;
    while (w->count > WARM_ENTRIES)
        evict(w, w->oldest);
    for (struct warm_entry *old = w->oldest, *newer; old && w->descriptors > WARM_DESCRIPTORS;
         old = newer) {
        newer = old->newer;
        if (old->fd >= 0 && old != e)
            evict(w, old);
    }
}

void warm_set_fd(struct warm *w, struct warm_entry *e, int fd)
{
    check(e->fd < 0);
    e->fd = fd;
    if (w->newest == e || e->newer) /* still in the cache */
        w->descriptors++;
}
