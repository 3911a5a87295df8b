/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/upstream.h: one request to a remote of a proxy: guarded, authenticated, bounded, streamed.
 * What:      asks the breaker, waits for a place in the destination's queue, signs in (Basic, Bearer, a
 *            registry's token flow), follows redirects hop by hop, judges each address, and says in one
 *            word how it went.
 * Not here:  which remote is asked, caching, single flight, retries, digests, artifacts: registry/.
 * Threads:   one `struct upstream` a worker, all calls on its loop. Breakers, queues, tokens and figures
 *            are the process's, behind mutexes.
 * Ownership: embed `struct upstream_request`; zero it, fill the input fields. The inputs are copied by
 *            upstream_submit, except `body`; the request itself is yours again when on_done begins.
 * Flow:      upstream_submit fails at once (never calls back) or calls on_done exactly once, later, and
 *            before it, if the answer is good: on_head once, on_data as often as it takes. */
#ifndef PANTERA_UPSTREAM_H
#define PANTERA_UPSTREAM_H

#include <jansson.h>
#include <stdint.h>

#include "pantera/arena.h"
#include "pantera/buf.h"
#include "pantera/client.h"
#include "pantera/digest.h"

/* --- remotes --- */

struct upstream_remote {
    const char *url;             /* http or https, no slash at the end, no user info, query or fragment */
    const char *username, *password; /* NULL: none */
    const char *token;           /* sent as Bearer; NULL: none */
    int priority;                /* the greater the earlier; the same: as configured */
};
enum { UPSTREAM_REMOTES = 16 };  /* of a repository */

/* A proxy's "remotes" in `repo`, each {url, username?, password?, token?, priority?}; every other key is
 * refused by name (`cache` {"enabled": true} is taken, it says what is so). BAD_REQUEST. Asked by
 * api/repositories.c for every proxy, so a format's check need not. */
enum err upstream_check(const json_t *repo, struct why *why);
/* The remotes of a stored configuration (repository_row.config: {"repo": {...}}, sealed) in the order in
 * which they are to be asked; all strings are the arena's. `aad`: repository_aad. */
enum err upstream_remotes(struct arena *a, const json_t *config, const struct seal_key *key,
                          const char *aad, struct upstream_remote **ret, unsigned *ret_count,
                          struct why *why);

/* --- requests --- */

struct upstream;
struct upstream_private;

enum upstream_outcome {
    UPSTREAM_OK,                 /* 2xx: on_head and on_data have had it, all of it */
    UPSTREAM_NOT_MODIFIED,       /* 304 */
    UPSTREAM_NOT_FOUND,          /* 404, 410: the remote has no such thing */
    UPSTREAM_REFUSED,            /* 401, 403, 407, 451: it won't give it to us; nothing is known of it */
    UPSTREAM_TOO_MANY,           /* 429, and while it has asked us to wait: retry_after_ms */
    UPSTREAM_FAILED,             /* 5xx, other 4xx, no connection, TLS, time, too many redirects, half an
                                    answer, the breaker, no place in the queue; when canceled (CANCELED) */
    UPSTREAM_BLOCKED,            /* an address that meta.http_client.allow_upstreams does not list */
};

struct upstream_request {
    /* in */
    const struct upstream_remote *remote; /* copied */
    /* Encoded, relative to the remote's url, may hold a query; "" is the url itself. Or absolute: then
     * credentials go along only to the remote's own scheme, host and port. */
    const char *path;
    const char *method;          /* NULL: GET */
    const char *const *headers;  /* "Name: value", NULL-terminated: Accept, If-None-Match; no Authorization */
    const void *body;            /* with a method that has one; yours until on_done */
    size_t body_size;
    const char *scope;           /* of a registry's token, if the caller knows it: saves a 401; else NULL */
    bool any_status;             /* heads and bodies of every final answer go to on_head and on_data, not only
                                    of 2xx: for passing it on. Challenges and redirects are still followed */
    void (*on_head)(struct upstream_request *r); /* status, length, url, upstream_header; may be NULL */
    /* Bytes, borrowed; unpacked if upstream gave them with a Content-Encoding (not with any_status, nor a
     * packed file that says so twice). False: pause; the same bytes come again after upstream_resume. */
    bool (*on_data)(struct upstream_request *r, const void *data, size_t size);
    void (*on_done)(struct upstream_request *r);
    void *arg;
    /* out; at on_head: status, length, url. At on_done: all. */
    enum upstream_outcome outcome;
    int status;                  /* of the last answer; 0: there was none */
    int64_t length;              /* Content-Length, or -1: not said, or the answer is packed */
    const char *url;             /* that gave the answer, after redirects; until on_done returns */
    int64_t retry_after_ms;      /* TOO_MANY, FAILED: not before so long; 0: not known */
    enum err err;                /* OK for OK and NOT_MODIFIED, else what a client may be answered:
                                    NOT_FOUND, UPSTREAM, UPSTREAM_TIMEOUT, UNAVAILABLE (breaker, queue, 429,
                                    503), CANCELED */
    struct why why;              /* no secrets, no addresses of the operator's network */
    struct upstream_private *priv;
};

struct upstream *upstream_new(struct loop *loop, struct client *client);
void upstream_free(struct upstream *u); /* after client_free: ends what still waits, with on_done(CANCELED) */
MUST_USE enum err upstream_submit(struct upstream *u, struct upstream_request *r, struct why *why);
void upstream_resume(struct upstream_request *r);
void upstream_cancel(struct upstream_request *r); /* on_done comes, later, and nothing else */
/* A header of the answer by lower-case name, or NULL; from on_head until on_done returns. */
const char *upstream_header(const struct upstream_request *r, const char *name);
const char *upstream_outcome_name(enum upstream_outcome o); /* "ok", "not_modified", ... */

/* --- for the whole process --- */

/* The settings' section http_client, for requests to come and those that wait. Any thread. */
struct upstream_limits {
    unsigned connect_ms;         /* connection_timeout */
    unsigned head_ms;            /* proxy_timeout: until the answer's head, each hop */
    unsigned stall_ms;           /* idle_timeout: without a byte */
    unsigned acquire_ms;         /* connection_acquire_timeout: in the queue */
    unsigned connections;        /* max_connections_per_destination, of this node */
    unsigned queue;              /* max_requests_queued_per_destination */
    bool follow_redirects;
};
void upstream_limits_set(const struct upstream_limits *limits);
/* meta.http_client.allow_upstreams: networks that are forbidden unless they are here. Once, at the
 * start. */
enum err upstream_allow(const char *const *networks, struct why *why);

/* What is known of the remotes that were asked: a page of Prometheus text. Any thread. */
void upstream_metrics(struct buf *b);

#endif
