/* SPDX-License-Identifier: Apache-2.0 */
/* Replies: what handlers say → segments. A head is built in the server's buffer, sent together with the
 * first bytes if the socket takes them, and moved to the request's arena if it does not. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "conn.h"
#include "pantera/log.h"

/* --- headers --- */
static bool made_here(const char *name)
{
    static const char *const names[] = { "date", "content-length", "connection", "x-request-id",
                                         "transfer-encoding" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

void http_set_header(struct http_request *req, const char *name, const char *value)
{
    struct exchange *ex = exchange_of(req);
    size_t name_size = strlen(name), value_size = strlen(value);
    size_t length = name_size + value_size + 4;
    if (!is_token(name) || !is_field_value(value) || made_here(name) ||
        ex->extras_size + length > EXTRA_BYTES) {
        log_warn("http", "a reply's header was left out: its name or value is not allowed, request %s",
                 req->id);
        return;
    }
    struct extra *extra = arena_alloc(&req->arena, sizeof *extra + length);
    char *at = mempcpy(extra->line, name, name_size);
    at = mempcpy(at, ": ", 2);
    at = mempcpy(at, value, value_size);
    memcpy(at, "\r\n", 2);
    extra->length = length;
    ex->extras_size += length;
    *ex->extras_tail = extra;
    ex->extras_tail = &extra->next;
}

static char *put(char *at, const char *text)
{
    return mempcpy(at, text, strlen(text));
}

static char *put_number(char *at, uint64_t n)
{
    char digits[20];
    int count = 0;
    do
        digits[count++] = (char)('0' + n % 10);
    while (n /= 10);
    while (count)
        *at++ = digits[--count];
    return at;
}

/* A body that is still coming: is it short enough to be swallowed, so that the connection can stay? */
static bool rest_is_small(const struct exchange *ex)
{
    const struct http_request *req = &ex->req;
    if (ex->body_done)
        return true;
    if (ex->expects_continue)
        return false; /* it may come or not: RFC 9110 §10.1.1 */
    if (ex->reader && !ex->body_told)
        return true; /* the handler is at it */
    return req->content_length < 0 ||
           req->content_length - (int64_t)req->bytes_in <= DISCARD_BYTES;
}

static void decide_closing(struct exchange *ex)
{
    struct http_conn *c = ex->conn;
    ex->closes = !ex->client_keeps || c->input_dead || c->server->draining ||
                 ex->framing == FRAMING_CLOSE || ex->limit_hit || !rest_is_small(ex);
}

static bool bodyless(const struct http_request *req, int status)
{
    return req->method == HTTP_M_HEAD || status == 204 || status == 304;
}

/* The headers that are ours, then the empty line. `length` -1: not known. */
static char *put_common(struct exchange *ex, char *at, int64_t length)
{
    struct http_request *req = &ex->req;
    at = put(at, server_date(req->server));
    at = put(put(put(at, "X-Request-Id: "), req->id), "\r\n");
    if (ex->framing == FRAMING_CHUNKED)
        at = put(at, "Transfer-Encoding: chunked\r\n");
    else if (length >= 0 && req->status != 204 && req->status != 304)
        at = put(put_number(put(at, "Content-Length: "), (uint64_t)length), "\r\n");
    if (ex->closes)
        at = put(at, "Connection: close\r\n");
    else if (ex->http10)
        at = put(at, "Connection: keep-alive\r\n");
    for (const struct extra *extra = ex->extras; extra; extra = extra->next)
        at = mempcpy(at, extra->line, extra->length);
    return put(at, "\r\n");
}

static char *put_status_line(char *at, int status, const char *content_type)
{
    at = put(at, "HTTP/1.1 ");
    at = put_number(at, (uint64_t)status);
    *at++ = ' ';
    at = put(put(at, status_reason(status)), "\r\n");
    if (!content_type)
        return at;
    /* It may be a client's own word, stored with an artifact. */
    bool legal = strlen(content_type) <= 1024 && is_field_value(content_type);
    at = put(put(at, "Content-Type: "), legal ? content_type : "application/octet-stream");
    return put(at, "\r\n");
}

/* False: nobody is there to hear it, or it is a second reply, which would be our bug. */
static bool begin(struct exchange *ex, int status, int64_t length)
{
    struct http_request *req = &ex->req;
    if (ex->begun) {
        log_error("http", "request %s was answered twice; the second reply (%d) is dropped", req->id,
                  status);
        return false;
    }
    check(status >= 200 && status <= 599);
    ex->begun = true;
    req->status = status;
    ex->length = length;
    if (bodyless(req, status))
        ex->framing = FRAMING_NONE;
    else if (length >= 0)
        ex->framing = FRAMING_LENGTH;
    else
        ex->framing = ex->http10 ? FRAMING_CLOSE : FRAMING_CHUNKED;
    decide_closing(ex);
    return !ex->conn->broken;
}

static void take_head(struct exchange *ex, const char *end)
{
    const char *head = ex->req.server->head;
    ex->head_size = (uint64_t)(end - head);
    ex->out.segments[SEG_HEAD] = (struct span){ head, ex->head_size };
}

/* What points into memory that is ours only during this call moves to the arena. */
static void keep(struct exchange *ex, enum segment segment)
{
    struct span *span = &ex->out.segments[segment];
    if (span->left)
        span->at = arena_memdup(&ex->req.arena, span->at, span->left);
}

/* After every flush: has what was given been sent, and is that all? */
void reply_advance(struct exchange *ex)
{
    if (!ex->begun || output_pending(ex))
        return;
    if (ex->writing) {
        ex->writing = false;
        ex->sent_due = ex->on_sent != NULL;
    }
    if (!ex->ended || ex->replied)
        return;
    if (ex->framing == FRAMING_CHUNKED && !ex->final_chunk) {
        ex->final_chunk = true;
        ex->out.segments[SEG_TAIL] = (struct span){ "0\r\n\r\n", 5 };
        output_flush(ex);
        return;
    }
    ex->replied = true;
}

static void end(struct exchange *ex)
{
    ex->ended = true;
    output_flush(ex);
    conn_kick(ex->conn);
}

void http_reply(struct http_request *req, int status, const char *content_type, const void *body,
                size_t size)
{
    struct exchange *ex = exchange_of(req);
    if (!begin(ex, status, (int64_t)size))
        return;
    char *at = put_status_line(req->server->head, status, content_type);
    take_head(ex, put_common(ex, at, (int64_t)size));
    if (ex->framing == FRAMING_LENGTH)
        ex->out.segments[SEG_DATA] = (struct span){ body, size };
    ex->given = (int64_t)size;
    end(ex);
    keep(ex, SEG_HEAD);
    keep(ex, SEG_DATA);
}

static void reply_prepared(struct http_request *req, int status, const char *head, size_t head_size,
                           int fd, int64_t offset, const void *data, int64_t size)
{
    struct exchange *ex = exchange_of(req);
    if (!begin(ex, status, size))
        return;
    check(head_size <= PREPARED_BYTES);
    char *at = mempcpy(req->server->head, head, head_size);
    take_head(ex, put_common(ex, at, size));
    if (ex->framing == FRAMING_LENGTH && data) {
        ex->out.segments[SEG_DATA] = (struct span){ data, (size_t)size };
    } else if (ex->framing == FRAMING_LENGTH) {
        ex->out.file = fd;
        ex->out.file_offset = offset;
        ex->out.file_left = size;
    }
    ex->given = size;
    end(ex);
    keep(ex, SEG_HEAD);
}

void http_reply_prepared(struct http_request *req, int status, const char *head, size_t head_size,
                         int fd, int64_t offset, int64_t size)
{
    reply_prepared(req, status, head, head_size, fd, offset, NULL, size);
}

void http_reply_prepared_bytes(struct http_request *req, int status, const char *head,
                               size_t head_size, const void *data, size_t size)
{
    reply_prepared(req, status, head, head_size, -1, 0, size ? data : "", (int64_t)size);
}

/* --- streamed --- */
void http_reply_begin(struct http_request *req, int status, const char *content_type,
                      int64_t length)
{
    struct exchange *ex = exchange_of(req);
    if (!begin(ex, status, length))
        return;
    char *at = put_status_line(req->server->head, status, content_type);
    take_head(ex, put_common(ex, at, length));
    keep(ex, SEG_HEAD); /* it leaves with the first bytes, or when the handler has returned */
    conn_kick(ex->conn);
}

/* Registers a piece of the body of `size` bytes; false: it goes nowhere (and on_sent says that it did). */
static bool begin_piece(struct exchange *ex, int64_t size,
                        void (*on_sent)(struct http_request *req, void *arg), void *arg)
{
    if (ex->conn->broken || ex->ended)
        return false;
    check(ex->begun && !ex->writing && size >= 0);
    ex->writing = true;
    ex->on_sent = on_sent;
    ex->on_sent_arg = arg;
    if (ex->framing == FRAMING_NONE || size == 0)
        return false;
    ex->given += size;
    if (ex->framing == FRAMING_LENGTH && ex->given > ex->length) {
        log_error("http", "request %s: more body than its Content-Length", ex->req.id);
        http_reply_abort(&ex->req);
        return false;
    }
    if (ex->framing == FRAMING_CHUNKED) {
        int n = snprintf(ex->out.frame, sizeof ex->out.frame, "%llx\r\n", (unsigned long long)size);
        ex->out.segments[SEG_FRAME] = (struct span){ ex->out.frame, (size_t)n };
        ex->out.segments[SEG_TAIL] = (struct span){ "\r\n", 2 };
    }
    return true;
}

void http_reply_write(struct http_request *req, const void *data, size_t size,
                      void (*on_sent)(struct http_request *req, void *arg), void *arg)
{
    struct exchange *ex = exchange_of(req);
    if (begin_piece(ex, (int64_t)size, on_sent, arg))
        ex->out.segments[SEG_DATA] = (struct span){ data, size };
    output_flush(ex);
    conn_kick(ex->conn);
}

void http_reply_file(struct http_request *req, int fd, int64_t offset, int64_t size,
                     void (*on_sent)(struct http_request *req, void *arg), void *arg)
{
    struct exchange *ex = exchange_of(req);
    if (begin_piece(ex, size, on_sent, arg)) {
        ex->out.file = fd;
        ex->out.file_offset = offset;
        ex->out.file_left = size;
    }
    output_flush(ex);
    conn_kick(ex->conn);
}

void http_reply_end(struct http_request *req)
{
    struct exchange *ex = exchange_of(req);
    if (ex->conn->broken || ex->ended)
        return;
    check(ex->begun);
    if (ex->framing == FRAMING_LENGTH && ex->given < ex->length) {
        log_error("http", "request %s: less body than its Content-Length", req->id);
        http_reply_abort(req);
        return;
    }
    end(ex);
}

void http_reply_abort(struct http_request *req)
{
    struct exchange *ex = exchange_of(req);
    ex->gave_up = true;
    ex->conn->reset = ex->framing == FRAMING_CLOSE; /* a plain end would look like success */
    conn_break(ex->conn);
}

bool http_reply_started(const struct http_request *req)
{
    return exchange_of(req)->begun;
}
