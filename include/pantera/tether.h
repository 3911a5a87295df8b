/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/tether.h: a job (a proposal, a password hash) that must outlive the request it is for.
 * What:      the job holds a `struct http_request *` through a tether; when the exchange ends first (the
 *            client went away), the pointer becomes NULL and the job just cleans up.
 * Ownership: the tether itself is the request's memory: valid exactly while `*slot` is not NULL.
 * Threads:   the request's loop.
 *
 *     job->tether = tether_tie(req, &job->req);
 *     ... later, on the loop: if (job->req) { tether_cut(job->tether); reply(job->req); } free(job); */
#ifndef PANTERA_TETHER_H
#define PANTERA_TETHER_H

#include "pantera/http.h"

struct tether {
    struct http_request **slot;
};

static inline void tether_on_end(void *arg)
{
    struct tether *t = arg;
    if (t->slot)
        *t->slot = NULL;
}

static inline struct tether *tether_tie(struct http_request *req, struct http_request **slot)
{
    struct tether *t = arena_alloc(&req->arena, sizeof *t);
    t->slot = slot;
    *slot = req;
    http_on_end(req, tether_on_end, t);
    return t;
}

/* The job is done with the request, whose end no longer concerns it. */
static inline void tether_cut(struct tether *t)
{
    t->slot = NULL;
}

#endif
