/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/http.h: HTTP/1.1 server (RFC 9110, 9112) on one loop; knows nothing of artifacts.
 * What:      listeners, connections, requests, responses, a router, ranges and conditions.
 * Not here:  who may (auth.h), what it means (formats, api).
 * Threads:   everything on the loop of the worker that owns the server. One server a worker; workers
 *            listen on the same port by SO_REUSEPORT.
 * Ownership: a request and all in its arena live until the exchange is over; then the hooks given to
 *            http_on_end run, once, and the memory is gone. That is also how a handler learns that the
 *            client went away. A reply may be given at any later time on the same loop.
 * Flow:      one exchange at a time on a connection; pipelined requests wait. Bodies stream: nothing
 *            is read while a handler has paused, nothing is buffered beyond one chunk (64 KiB).
 * Errors:    malformed input never reaches a handler: it is answered through `on_refused`, so that the
 *            dialect of the listener gives the body its shape, and the connection closes.
 *
 *     static void get_health(struct http_request *req) {
 *         http_reply(req, 200, "application/json", "{\"status\":\"ok\"}", 15);
 *     } */
#ifndef PANTERA_HTTP_H
#define PANTERA_HTTP_H

#include <stdint.h>
#include <stddef.h>

#include "pantera/arena.h"
#include "pantera/err.h"
#include "pantera/loop.h"

enum http_method {
    HTTP_M_GET = 1, HTTP_M_HEAD = 2, HTTP_M_PUT = 4, HTTP_M_POST = 8, HTTP_M_DELETE = 16,
    HTTP_M_PATCH = 32, HTTP_M_OPTIONS = 64, HTTP_M_OTHER = 128
};
const char *http_method_name(enum http_method m);

struct http_header {
    const char *name, *value; /* name lower case; value trimmed; NUL-terminated */
};

struct http_server;
struct http_conn;
struct http_listener_options;

struct http_request {
    struct arena arena;
    enum http_method method;
    const char *method_text;
    const char *target;        /* as sent, without the query; absolute-form reduced to the path */
    const char *query;         /* after '?', or "" */
    const char *host;          /* Host header (or of the absolute form), "" if none */
    const struct http_header *headers;
    unsigned header_count;
    int64_t content_length;    /* -1: chunked, 0: none */
    bool has_body;
    bool tls;
    char id[33];               /* request id: X-Request-Id if it is sane, else made */
    const char *peer;          /* address text */
    const struct http_listener_options *listener;
    struct http_server *server;
    uint64_t started_us;       /* clock_mono_us */
    /* For the layers above; http does not look at them. */
    const void *route;         /* row that matched */
    const char *params[4];     /* its :parameters, decoded */
    const char *rest;          /* its *rest, decoded and normalised, or NULL */
    const char *base;          /* the part of `target` that names the repository which was asked, or NULL */
    void *principal;
    const char *user;          /* for the access log */
    void *context;
    /* Outcome, for the log and metrics, valid in on_finished. */
    int status;
    uint64_t bytes_in, bytes_out; /* of the bodies; chunk frames count as body on the way out */
};

struct http_listener_options {
    const char *host;          /* "0.0.0.0", "::", a name */
    int port;                  /* 0: any; http_listen tells */
    struct tls_context *tls;   /* NULL: plain */
    int dialect;               /* what on_refused and the router's misses should look like */
    /* Headers are complete. Must lead to one reply, now or later. */
    void (*on_request)(struct http_request *req);
    /* Malformed, too large, too slow, unknown method...: reply with http_reply. */
    void (*on_refused)(struct http_request *req, enum err e, const char *text);
    /* The exchange is over: status, bytes. For the access log and metrics. May be NULL. */
    void (*on_finished)(struct http_request *req);
    void *context;
};

struct http_limits {
    unsigned header_timeout_ms;   /* first byte to end of headers; default 15,000: 408 */
    unsigned idle_timeout_ms;     /* keep-alive without a request; default 60,000 */
    unsigned body_timeout_ms;     /* no byte of a body read or written for so long; default 60,000 */
    unsigned max_connections;     /* of this server; beyond: accept waits */
};

struct http_server *http_server_new(struct loop *loop, const struct http_limits *limits);
/* For what waits already, too; 0: the default. On the server's loop. */
void http_server_set_timeouts(struct http_server *s, unsigned idle_ms, unsigned body_ms);
/* Borrows `options` (and what it points to) until the server is freed. Binds at once. */
enum err http_listen(struct http_server *s, const struct http_listener_options *options,
                     int *ret_port, struct why *why);
/* Stops accepting, lets exchanges end ("Connection: close"), closes idle connections at once and the
 * rest after `grace_ms`; then on_drained, once. */
void http_server_drain(struct http_server *s, unsigned grace_ms, void (*on_drained)(void *arg),
                       void *arg);
void http_server_free(struct http_server *s); /* after drain */
unsigned http_server_connections(const struct http_server *s);

/* --- request --- */
const char *http_header(const struct http_request *req, const char *lower_case_name); /* or NULL */
/* Runs when the exchange is over, however it ends, newest first. */
void http_on_end(struct http_request *req, void (*fn)(void *arg), void *arg);
/* The client is gone: replies go nowhere, no more chunks come. (They stay legal.) */
bool http_aborted(const struct http_request *req);

/* Body, streamed: `on_chunk` for each piece (borrowed until it returns), then once with size 0 and OK.
 * On failure once with size 0 and the error (CLOSED, TIMEOUT, BAD_REQUEST, TOO_BIG beyond `limit`): the
 * exchange can then only be answered. Sends 100-continue when it was asked for. `limit` -1: none.
 * Not called: whatever the client sends is discarded (a little of it) or the connection closed. */
typedef void http_chunk_cb(struct http_request *req, const void *data, size_t size, enum err e,
                           void *arg);
void http_body_read(struct http_request *req, int64_t limit, http_chunk_cb *on_chunk, void *arg);
/* From on_chunk or later: no more chunks until resume. Counted: pause twice, resume twice. */
void http_body_pause(struct http_request *req);
void http_body_resume(struct http_request *req);
/* Body, collected (small ones): calls once; the bytes are the arena's, NUL-terminated. */
typedef void http_body_cb(struct http_request *req, char *data, size_t size, enum err e, void *arg);
void http_body_collect(struct http_request *req, size_t limit, http_body_cb *done, void *arg);

/* --- response --- */
/* Adds a header to the coming reply (copies both). Date, Content-Length, Connection, X-Request-Id and
 * Transfer-Encoding are made here. CR, LF or NUL in a value: the header is left out and logged. */
void http_set_header(struct http_request *req, const char *name, const char *value);
/* Whole reply at once; copies `body`. A HEAD gets the headers only; 204 and 304 get no body. */
void http_reply(struct http_request *req, int status, const char *content_type, const void *body,
                size_t size);
/* Streamed reply. `length` -1: chunked (or close-delimited for HTTP/1.0). */
void http_reply_begin(struct http_request *req, int status, const char *content_type,
                      int64_t length);
/* Borrows `data` until `on_sent` (never inside the call; not called once the exchange is over:
 * http_on_end is the signal then). One at a time. */
void http_reply_write(struct http_request *req, const void *data, size_t size,
                      void (*on_sent)(struct http_request *req, void *arg), void *arg);
/* sendfile(2) (or read and encrypt) of a part of `fd`. Borrows `fd` until `on_sent` or the end. */
void http_reply_file(struct http_request *req, int fd, int64_t offset, int64_t size,
                     void (*on_sent)(struct http_request *req, void *arg), void *arg);
void http_reply_end(struct http_request *req);
/* What was begun can't be finished: closes the connection so that the client sees it. */
void http_reply_abort(struct http_request *req);
bool http_reply_started(const struct http_request *req);
/* A prepared head for the warm path: status line ("HTTP/1.1 200 OK\r\n") and headers that do not change
 * between requests, as bytes ending in CRLF (not the empty line), at most 16 KiB, copied. Content-Length
 * (`size`), Date, X-Request-Id, Connection and those of http_set_header are added. Followed by a part
 * of a file or by bytes; `fd` and `data` are borrowed until the exchange is over. */
void http_reply_prepared(struct http_request *req, int status, const char *head, size_t head_size,
                         int fd, int64_t offset, int64_t size);
void http_reply_prepared_bytes(struct http_request *req, int status, const char *head,
                               size_t head_size, const void *data, size_t size);

/* --- conditions and ranges: pure functions --- */
struct http_range {
    int64_t first, last; /* inclusive */
};
/* RFC 9110 §14. Count of satisfiable ranges (at most LIMIT_RANGES, sorted as asked); 0: no (or not
 * understood, or too many) ranges: send the whole; -1: none satisfiable: 416. */
int http_ranges(const char *range_header, int64_t size, struct http_range ret[16]);
/* RFC 9110 §13.2.2, in its order. 0: go on; 304; 412. If-Range is applied by clearing *range_header.
 * `etag` with its quotes, or NULL; `modified_ms` 0: unknown. */
int http_conditions(const struct http_request *req, const char *etag, int64_t modified_ms,
                    const char **range_header);

/* --- router --- */
/* Patterns: literal segments, ":name" (one segment, decoded, never empty), "*rest" at the end. The most
 * specific row wins, segment by segment: literal, then :name, then *rest. */
struct http_router;
struct http_router *http_router_new(void);
void http_router_free(struct http_router *r);
/* `row` is what a match gives back. Methods may be or-ed. */
void http_router_add(struct http_router *r, unsigned methods, const char *pattern, const void *row);
/* OK: fills req->route, params, rest. NOT_FOUND; METHOD, then *ret_allow is a list for Allow;
 * BAD_REQUEST for a path that path_normalise refuses. HEAD falls back to GET's row. */
enum err http_route(const struct http_router *r, struct http_request *req, const char **ret_allow,
                    struct why *why);

#endif
