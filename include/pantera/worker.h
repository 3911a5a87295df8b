/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/worker.h: what one HTTP worker owns. Handlers find theirs with worker_of(req). */
#ifndef PANTERA_WORKER_H
#define PANTERA_WORKER_H

#include "pantera/auth.h"
#include "pantera/client.h"
#include "pantera/cluster.h"
#include "pantera/config.h"
#include "pantera/http.h"
#include "pantera/loop.h"
#include "pantera/meta.h"

struct registry;
struct upstream;

/* Requests that wait until this node is current: api/gate.c. */
struct gate {
    struct gate_waiter *first, **tail;
    uv_timer_t timer;
};

struct worker {
    struct loop loop;
    const struct config *config;
    struct cluster *cluster;
    struct http_server *http;
    struct client *client;
    struct upstream *upstream;   /* upstream.h */
    struct meta_reader *reader;
    struct auth *auth;
    struct registry *registry;
    uv_timer_t api_timer;        /* api_worker_start */
    struct gate gate;
};

/* Every listener's options.context is its worker. */
static inline struct worker *worker_of(const struct http_request *req)
{
    return req->listener->context;
}

#endif
