/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/gc.c: deletes objects that nothing names, after their grace, while this node leads; sweeps
 * deleted repositories and expired tokens. One a process, on a worker's loop.
 *
 *   IDLE ─timer→ SWEEP ─(nothing left)→ TOKENS → DELETE ─(batch full)→ DELETE … → IDLE
 *
 *   SWEEP   waits on repo.sweep, again while there is more
 *   TOKENS  waits on token.sweep
 *   DELETE  waits on the deletions of one batch, then on garbage.done
 *
 * A lost leadership makes a proposal fail: the round ends, and the new leader's next one goes on. That two
 * nodes delete the same object for a moment does no harm: keys are never used again. */
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/log.h"
#include "pantera/meta_token.h"
#include "pantera/meta_blob.h"
#include "src/registry/internal.h"

enum { GC_BATCH = 100, GC_PARALLEL = 8, SWEEP_LIMIT = 500, HOUSEKEEPING_MS = 1000,
       STUCK_MOST = 500 };

struct gc_delete {
    struct gc *gc;
    struct blob_delete op;
    struct store *store;
    unsigned index;
};

struct gc {
    struct registry *registry;
    uv_timer_t timer;
    uint64_t due_ms;
    bool running, stopped;
    unsigned handles;            /* timer */
    struct proposal proposal;
    bool proposing;
    /* the batch */
    struct arena arena;
    struct garbage_row *rows;
    unsigned count, next, busy;
    bool gone[GC_BATCH];
    struct gc_delete deletes[GC_PARALLEL];
    uint64_t collected;          /* in this round */
    unsigned stuck;              /* rows of this round that stay: their store does not answer */
};

static void gc_batch(struct gc *gc);

static bool leads(const struct gc *gc)
{
    struct cluster *c = gc->registry->worker->cluster;
    return !gc->stopped && cluster_is_leader(c) && cluster_current(c);
}

static void gc_free(struct gc *gc)
{
    if (!gc->stopped || gc->proposing || gc->busy || gc->handles)
        return;
    arena_release(&gc->arena);
    free(gc);
}

static void round_end(struct gc *gc)
{
    gc->running = false;
    if (gc->stopped) {
        gc_free(gc);
        return;
    }
    gc->due_ms = clock_mono_ms() + gc->registry->worker->config->gc_interval_ms;
    if (gc->collected)
        log_info("registry", "collected %llu objects", (unsigned long long)gc->collected);
    gc->collected = gc->stuck = 0;
}

static void propose(struct gc *gc, const char *op, json_t *args, void (*on_done)(struct proposal *))
{
    check(args);
    gc->proposing = true;
    gc->proposal = (struct proposal){ .op = op, .args = args, .home = &gc->registry->worker->loop,
                                      .on_done = on_done, .arg = gc };
    cluster_propose(gc->registry->worker->cluster, &gc->proposal);
}

/* True: go on. Takes the result. */
static bool answered(struct gc *gc, const char *what)
{
    gc->proposing = false;
    json_decref(gc->proposal.result);
    gc->proposal.result = NULL;
    if (gc->proposal.err && leads(gc))
        log_warn("registry", "%s: %s", what, why_text(&gc->proposal.why, gc->proposal.err));
    return gc->proposal.err == OK && leads(gc);
}

/* --- DELETE --- */

static void on_done_answered(struct proposal *proposal)
{
    struct gc *gc = proposal->arg;

    if (answered(gc, "garbage.done") && gc->count == GC_BATCH)
        gc_batch(gc);
    else
        round_end(gc);
}

static void batch_end(struct gc *gc)
{
    json_t *keys = json_array();

    for (unsigned i = 0; i < gc->count; i++) {
        if (gc->gone[i])
            json_array_append_new(keys, json_string(gc->rows[i].key));
        else
            gc->stuck++;
    }
    gc->collected += json_array_size(keys);
    if (json_array_size(keys) && leads(gc)) {
        propose(gc, "garbage.done", json_pack("{s:o}", "keys", keys), on_done_answered);
        return;
    }
    json_decref(keys);
    if (gc->count == GC_BATCH && gc->stuck < STUCK_MOST && leads(gc))
        gc_batch(gc);
    else
        round_end(gc);
}

static void delete_next(struct gc *gc);

static void on_deleted(struct blob_delete *op, enum err e, const struct why *why)
{
    struct gc_delete *d = op->arg;
    struct gc *gc = d->gc;

    if (e)
        log_warn("registry", "object %s of store '%s' can't be deleted: %s",
                 gc->rows[d->index].key, gc->rows[d->index].store, why_text(why, e));
    gc->gone[d->index] = e == OK;
    store_unref(gc->registry, d->store);
    d->store = NULL;
    gc->busy--;
    delete_next(gc); /* starts none when stopped */
}

static void delete_start(struct gc *gc, struct gc_delete *d, unsigned index)
{
    const struct garbage_row *row = &gc->rows[index];
    struct why why = { "" };
    enum err e = store_ref(gc->registry, row->store, &d->store, &why);

    d->gc = gc;
    d->index = index;
    d->op.arg = d;
    if (!e) {
        e = blob_delete(d->store->blobs, &d->op, row->key, on_deleted, &why);
        if (e) {
            store_unref(gc->registry, d->store);
            d->store = NULL;
        }
    }
    if (e)
        log_warn("registry", "object %s can't be deleted: %s", row->key, why_text(&why, e));
    else
        gc->busy++;
}

static void delete_next(struct gc *gc)
{
    for (unsigned i = 0; i < GC_PARALLEL && gc->next < gc->count && leads(gc); i++)
        while (!gc->deletes[i].store && gc->next < gc->count)
            delete_start(gc, &gc->deletes[i], gc->next++);
    if (gc->busy == 0)
        batch_end(gc);
}

static void gc_batch(struct gc *gc)
{
    const struct worker *w = gc->registry->worker;
    int64_t before = clock_wall_ms() - (int64_t)w->config->gc_grace_ms;

    arena_reset(&gc->arena);
    garbage_list(w->reader, &gc->arena, before, gc->stuck, GC_BATCH, &gc->rows, &gc->count);
    memset(gc->gone, 0, sizeof gc->gone);
    gc->next = 0;
    if (gc->count && leads(gc))
        delete_next(gc);
    else
        round_end(gc);
}

/* --- TOKENS, SWEEP --- */

static void on_tokens_swept(struct proposal *proposal)
{
    struct gc *gc = proposal->arg;

    if (answered(gc, "token.sweep"))
        gc_batch(gc);
    else
        round_end(gc);
}

static void gc_tokens(struct gc *gc)
{
    if (token_sweep_due(gc->registry->worker->reader, clock_wall_ms()))
        propose(gc, "token.sweep", json_object(), on_tokens_swept);
    else
        gc_batch(gc);
}

static void on_swept(struct proposal *proposal);

static void gc_sweep(struct gc *gc)
{
    if (sweep_pending(gc->registry->worker->reader))
        propose(gc, "repo.sweep", json_pack("{s:i}", "limit", SWEEP_LIMIT), on_swept);
    else
        gc_tokens(gc);
}

static void on_swept(struct proposal *proposal)
{
    struct gc *gc = proposal->arg;
    bool more = json_is_true(json_object_get(proposal->result, "more"));

    if (!answered(gc, "repo.sweep")) {
        round_end(gc);
    } else if (more) {
        gc_sweep(gc);
    } else {
        gc_tokens(gc);
    }
}

/* --- the clockwork --- */

static void on_timer(uv_timer_t *timer)
{
    struct gc *gc = timer->data;

    if (!cluster_current(gc->registry->worker->cluster))
        return;
    keys_tick(&gc->registry->worker->loop); /* on every node */
    audit_tick(gc->registry->worker->cluster, &gc->registry->worker->loop);
    if (leads(gc))
        housekeeping(gc->registry->worker);
    if (gc->running || clock_mono_ms() < gc->due_ms || !leads(gc))
        return;
    gc->running = true;
    gc_sweep(gc);
}

void registry_gc_start(struct registry *r)
{
    struct gc *gc = calloc(1, sizeof *gc);
    uint64_t tick = r->worker->config->gc_interval_ms;

    check(gc);
    gc->registry = r;
    r->gc = gc;
    arena_init(&gc->arena);
    check(uv_timer_init(&r->worker->loop.uv, &gc->timer) == 0);
    gc->timer.data = gc;
    gc->handles = 1;
    if (tick > HOUSEKEEPING_MS || tick == 0)
        tick = HOUSEKEEPING_MS;
    check(uv_timer_start(&gc->timer, on_timer, 0, tick) == 0);
}

static void on_closed(uv_handle_t *handle)
{
    struct gc *gc = handle->data;

    gc->handles--;
    gc_free(gc);
}

void registry_gc_stop(struct registry *r)
{
    struct gc *gc = r->gc;

    if (!gc)
        return;
    r->gc = NULL;
    gc->stopped = true;
    uv_close((uv_handle_t *)&gc->timer, on_closed);
}
