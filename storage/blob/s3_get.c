/* SPDX-License-Identifier: Apache-2.0 */
/* Reading from the `s3` store: from the disk cache as a descriptor, else streamed from the server, where
 * an interrupted answer goes on at the byte where it stopped (s3_call.c). Two pieces of memory: the sink
 * holds one while the other fills; when both are full the server is paused. The first reader of a whole
 * object tees it into the cache: a piece is free again when the sink and the cache are both done with it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "s3.h"

enum { PIECE_BYTES = 128 << 10 };

struct piece {
    char *data;
    size_t size;
};

struct s3_get {
    struct s3_call call;
    struct task later;
    struct work work;
    struct s3_store *store;
    struct blob_get *get; /* NULL: closed */
    const struct blob_sink *sink;
    void *arg;
    int fd;               /* of a cached object, else -1 */
    struct piece fill, out;
    bool sink_has, cache_has; /* who still needs `out` */
    bool calling, called, paused, in_sink, later_posted, ended;
    struct cache_fill *tee;
    enum { TEE_WRITE, TEE_COMMIT, TEE_DISCARD } tee_job;
    enum err err;
    struct why why;
};

static void pump(struct s3_get *g);

static void get_free(struct s3_get *g)
{
    struct s3_store *s = g->store;
    if (g->fd >= 0)
        close(g->fd);
    free(g->fill.data);
    free(g->out.data);
    free(g);
    s3_unref(s);
}

/* --- the cache's side, on the pool --- */

static void tee_run(struct work *work)
{
    struct s3_get *g = container_of(work, struct s3_get, work);
    if (g->tee_job == TEE_WRITE)
        cache_fill_write(g->tee, g->out.data, g->out.size);
    else if (g->tee_job == TEE_COMMIT)
        cache_fill_commit(g->tee);
    else
        cache_fill_discard(g->tee);
}

static void on_teed(struct work *work)
{
    struct s3_get *g = container_of(work, struct s3_get, work);
    g->cache_has = false;
    if (g->tee_job != TEE_WRITE)
        g->tee = NULL;
    pump(g);
}

static void tee_submit(struct s3_get *g, int job)
{
    g->tee_job = job;
    g->cache_has = true;
    work_submit(&g->work, g->store->base.loop, tee_run, on_teed);
}

/* --- the sink's side --- */

static void on_later(struct task *task)
{
    struct s3_get *g = container_of(task, struct s3_get, later);
    g->later_posted = false;
    pump(g);
}

static void post_pump(struct s3_get *g)
{
    if (g->later_posted)
        return;
    g->later_posted = true;
    g->later.run = on_later;
    loop_post(g->store->base.loop, &g->later);
}

static void deliver(struct s3_get *g)
{
    struct piece full = g->fill;
    g->fill = g->out;
    g->fill.size = 0;
    g->out = full;
    g->sink_has = true;
    if (g->tee)
        tee_submit(g, TEE_WRITE);
    if (g->paused) {
        g->paused = false;
        s3_call_resume(&g->call);
    }
    g->in_sink = true; /* a close inside the callback leaves the freeing to us */
    g->sink->on_data(g->get, g->out.data, g->out.size, g->arg);
    g->in_sink = false;
}

/* Closed: what still runs is let end, the cache's temporary file removed, then the memory freed. */
static void wind_down(struct s3_get *g)
{
    if (g->calling || g->later_posted || g->in_sink || g->cache_has)
        return;
    if (g->tee)
        tee_submit(g, TEE_DISCARD);
    else
        get_free(g);
}

static void pump(struct s3_get *g)
{
    while (g->get && g->fd < 0 && !g->sink_has && !g->cache_has && g->fill.size > 0)
        deliver(g);
    if (!g->get) {
        wind_down(g);
        return;
    }
    if (g->fd >= 0) {
        bool first = !g->called;
        g->called = true;
        if (first)
            g->sink->on_file(g->get, g->fd, g->arg); /* may close, and so free */
    } else if (g->calling || g->sink_has || g->cache_has || g->fill.size > 0 || g->ended) {
        return;
    } else if (g->tee) {
        tee_submit(g, g->err == OK ? TEE_COMMIT : TEE_DISCARD);
    } else {
        g->ended = true;
        g->sink->on_end(g->get, g->err, &g->why, g->arg);
    }
}

/* --- the server's side --- */

static bool on_data(struct s3_call *c, const void *data, size_t size)
{
    struct s3_get *g = container_of(c, struct s3_get, call);
    if (g->fill.size + size > PIECE_BYTES && g->fill.size > 0) {
        g->paused = true; /* these bytes come again */
        return false;
    }
    if (!g->fill.data)
        g->fill.data = malloc(PIECE_BYTES);
    if (!g->fill.data) {
        s3_call_cancel(c);
        return true;
    }
    memcpy(g->fill.data + g->fill.size, data, size);
    g->fill.size += size;
    if (g->get)
        post_pump(g);
    return true;
}

static void on_done(struct s3_call *c, enum err e, const struct why *why)
{
    struct s3_get *g = container_of(c, struct s3_get, call);
    g->calling = false;
    g->err = e;
    g->why = *why;
    if (g->get)
        post_pump(g);
    else
        wind_down(g);
}

/* --- the public side --- */

static void start_call(struct s3_get *g, const char *key, int64_t size, int64_t offset,
                       int64_t length)
{
    bool whole = offset == 0 && length == size;
    g->call.store = g->store;
    g->call.method = "GET";
    snprintf(g->call.key, sizeof g->call.key, "%s", key);
    g->call.ranged = !whole;
    g->call.offset = offset;
    g->call.length = length;
    g->call.on_data = on_data;
    g->call.on_done = on_done;
    if (whole && g->store->cache)
        g->tee = blob_cache_fill(g->store->cache, key, (uint64_t)size);
    g->calling = true;
    s3_call_start(&g->call);
}

enum err s3_get_open(struct blob_store *s, struct blob_get *get, const char *key, int64_t size,
                     int64_t offset, int64_t length, const struct blob_sink *sink, void *arg,
                     struct why *why)
{
    struct s3_get *g = calloc(1, sizeof *g);
    if (!g)
        return fail(why, ERR_UNAVAILABLE, "out of memory for a download");
    g->store = s3_of(s);
    s3_ref(g->store);
    g->get = get;
    g->sink = sink;
    g->arg = arg;
    g->fd = g->store->cache ? blob_cache_get(g->store->cache, key) : -1;
    get->impl = g;
    if (g->fd >= 0 || (length == 0 && size > 0)) /* nothing to ask for */
        post_pump(g);
    else
        start_call(g, key, size, offset, length);
    return OK;
}

void s3_get_more(struct blob_get *get)
{
    struct s3_get *g = get->impl;
    g->sink_has = false;
    post_pump(g);
}

void s3_get_close(struct blob_get *get)
{
    struct s3_get *g = get->impl;
    g->get = NULL;
    g->sink_has = false;
    if (g->calling)
        s3_call_cancel(&g->call);
    wind_down(g);
}
