/* SPDX-License-Identifier: Apache-2.0 */
/* What client.c (libcurl's multi handle on the loop) and request.c (one easy handle) share. curl.h is
 * included here and nowhere else. */
#ifndef CLIENT_PRIVATE_H
#define CLIENT_PRIVATE_H

#include <curl/curl.h>

#include "pantera/buf.h"
#include "pantera/client.h"

enum {
    CLIENT_HEADER_BYTES = 64 << 10, /* of a response, all together */
    CLIENT_BUFFER_BYTES = 128 << 10,
    CLIENT_SWEEP_MS = 250,          /* how often stalls are looked for */
    CLIENT_IDLE_CONNECTIONS = 64,
    CLIENT_URL_BYTES = 8 << 10,
};

struct client {
    struct loop *loop;
    CURLM *multi;
    uv_timer_t timer, sweep;
    struct client_private *all;     /* submitted, not done */
    struct client_private *todo, **todo_tail;
    uv_idle_t kick;                 /* curl may not be called from its own callbacks: later, from here */
    bool in_curl, closing;
    unsigned connect_ms, stall_ms, total_ms; /* of upstreams */
    int open_handles;               /* the memory goes when the last is closed */
};

struct client_private {
    struct client *client;
    struct client_request *request;
    struct client_private *next, **prev, *todo_next;
    CURL *easy;
    struct curl_slist *headers;
    struct buf head;                /* "name\0value\0" pairs of the current response */
    char error_text[CURL_ERROR_SIZE];
    uint64_t started_ms;
    uint64_t moved_ms;              /* when bytes last moved */
    int64_t moved_bytes;
    bool queued, added, head_done, paused_read, paused_write, resume, canceled, stalled, head_late,
        head_too_big;
    bool guarded, refused, reached; /* by the guard; an address that it refused; one that it let through */
};

/* request.c */
enum err request_prepare(struct client_private *p, struct why *why);
void request_free(struct client_private *p);
enum err request_result(struct client_private *p, CURLcode code);

/* guard.c: sets what judges addresses, and the proxy that holds for this URL. FORBIDDEN, BAD_REQUEST. */
enum err guard_prepare(struct client_private *p, struct why *why);
const char *client_trusted(void);
/* The proxy that the environment names for a URL, as curl would find it; NULL: none. */
const char *guard_proxy(const struct client_url *url, const char *(*env)(const char *name));

#endif
