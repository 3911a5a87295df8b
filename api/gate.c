/* SPDX-License-Identifier: Apache-2.0 */
/* Before anything is read for a request: a node that can't prove at the moment that it is current lets it
 * wait a little (meta.cluster.wait_ms) instead of answering 503 at once. An election and a stalled process
 * end within that; a cut-off node still says 503, only later (ADR 0007).
 *
 * Each worker has a list of its own, oldest first, and looks at it every few milliseconds while it has
 * anybody: an entry is the request's memory and leaves the list with it. */
#include "api/internal.h"
#include "pantera/clock.h"

enum { LOOK_MS = 5 };

struct gate_waiter {
    struct gate_waiter *next, **at;
    struct http_request *req;
    void (*enter)(struct http_request *req);
    uint64_t until_ms;
};

static void leave(void *arg)
{
    struct gate_waiter *w = arg;
    struct gate *gate = &worker_of(w->req)->gate;

    if (!w->at)
        return;
    *w->at = w->next;
    if (w->next)
        w->next->at = w->at;
    else
        gate->tail = w->at;
    w->at = NULL;
    if (!gate->first)
        uv_timer_stop(&gate->timer);
}

/* Whoever has waited long enough goes in too: what it meets there answers 503, in its own words. */
static void look(uv_timer_t *timer)
{
    struct worker *worker = timer->data;
    struct gate *gate = &worker->gate;
    bool current = cluster_current(worker->cluster);
    uint64_t now = clock_mono_ms();

    while (gate->first && (current || gate->first->until_ms <= now)) {
        struct gate_waiter *w = gate->first;
        leave(w);
        metrics_waited(w->req, current);
        w->enter(w->req);
        current = cluster_current(worker->cluster);
    }
}

void gate_enter(struct http_request *req, void (*enter)(struct http_request *req))
{
    struct worker *worker = worker_of(req);
    struct gate *gate = &worker->gate;
    struct gate_waiter *w;

    if (!worker->config->wait_ms || cluster_current(worker->cluster)) {
        enter(req);
        return;
    }
    w = arena_alloc(&req->arena, sizeof *w);
    *w = (struct gate_waiter){ .at = gate->tail, .req = req, .enter = enter,
                               .until_ms = clock_mono_ms() + worker->config->wait_ms };
    *gate->tail = w;
    gate->tail = &w->next;
    http_on_end(req, leave, w);
    if (!uv_is_active((uv_handle_t *)&gate->timer))
        check(uv_timer_start(&gate->timer, look, LOOK_MS, LOOK_MS) == 0);
}

void gate_start(struct worker *w)
{
    w->gate.first = NULL;
    w->gate.tail = &w->gate.first;
    check(uv_timer_init(&w->loop.uv, &w->gate.timer) == 0);
    w->gate.timer.data = w;
}

void gate_stop(struct worker *w)
{
    uv_close((uv_handle_t *)&w->gate.timer, NULL);
}
