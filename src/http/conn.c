/* SPDX-License-Identifier: Apache-2.0 */
/* A connection: its states, its input, and the one loop from which handlers are called.
 *
 *     HANDSHAKE → HEAD ⇄ EXCHANGE → DISCARD → HEAD        any → CLOSED
 *                                 ↘  LINGER → CLOSED
 *
 * An event (poll, timer, kick) notes what is possible now and enters conn_run, which takes one step after
 * the other until none is possible; then conn_settle says what to wait for. On the warm path that is one
 * read, one send and nothing else: what libuv watches does not change. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conn.h"
#include "pantera/log.h"

/* --- closing --- */
static void on_closed(uv_handle_t *handle)
{
    struct http_conn *c = container_of(handle, struct http_conn, poll);
    struct http_server *s = c->server;
    free(c);
    server_unref(s);
}

static void conn_close(struct http_conn *c)
{
    c->state = CONN_CLOSED;
    if (c->ex)
        exchange_finish(c->ex);
    if (c->tls && !c->broken)
        tls_shutdown(c->tls);
    tls_free(c->tls);
    c->tls = NULL;
    if (c->reset) {
        struct linger hard = { .l_onoff = 1, .l_linger = 0 };
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    }
    uv_close((uv_handle_t *)&c->poll, on_closed);
    close(c->fd);
    c->fd = -1;
    free(c->pending);
    c->pending = NULL;
    list_remove(&c->all);
    list_remove(&c->kick);
    list_remove(&c->due_link);
    server_on_conn_closing(c->server);
}

void conn_break(struct http_conn *c)
{
    c->broken = true;
    conn_kick(c);
}

void conn_kick(struct http_conn *c)
{
    if (!c->running && c->state != CONN_CLOSED)
        server_kick(c->server, c);
}

bool conn_is_idle(const struct http_conn *c)
{
    return c->state == CONN_HANDSHAKE || (c->state == CONN_HEAD && !c->ex);
}

/* --- input --- */
static ssize_t receive_tls(struct http_conn *c)
{
    ssize_t n = tls_read(c->tls, c->server->recv, RECV_BYTES);
    if (n >= 0)
        return n;
    c->readable = false;
    if (n == TLS_WANT_WRITE)
        c->want_write = true;
    errno = n == TLS_FAILED ? EIO : EAGAIN;
    return -1;
}

static ssize_t receive_plain(struct http_conn *c)
{
    ssize_t n;
    do
        n = recv(c->fd, c->server->recv, RECV_BYTES, 0);
    while (n < 0 && errno == EINTR);
    if (n < RECV_BYTES)
        c->readable = false; /* drained, as far as we know: poll tells when there is more */
    return n;
}

/* Reads once into the server's buffer. True: there are bytes, or the end or a failure was noted. */
static bool fill(struct http_conn *c)
{
    if (!c->readable || c->eof)
        return false;
    ssize_t n = c->tls && c->state != CONN_LINGER ? receive_tls(c) : receive_plain(c);
    if (n > 0) {
        c->in = c->server->recv;
        c->in_end = c->in + n;
        return true;
    }
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return false;
    c->readable = false;
    c->eof = true;
    if (n < 0)
        c->broken = true;
    return true;
}

static bool has_input(const struct http_conn *c)
{
    return c->in != c->in_end;
}

static void drop_consumed(struct http_conn *c)
{
    if (has_input(c))
        return;
    c->in = c->in_end = "";
    free(c->pending);
    c->pending = NULL;
}

/* The server's buffer is for all: what is left in it moves to memory of this connection. */
static void stash(struct http_conn *c)
{
    const char *shared = c->server->recv;
    if (c->in < shared || c->in >= shared + RECV_BYTES)
        return;
    size_t left = (size_t)(c->in_end - c->in);
    c->pending = malloc(left);
    if (!c->pending)
        log_fatal("http", "out of memory: %zu bytes of input", left);
    memcpy(c->pending, c->in, left);
    c->in = c->pending;
    c->in_end = c->pending + left;
}

/* --- steps: true if something was done --- */
static bool step_handshake(struct http_conn *c)
{
    if (c->broken) {
        conn_close(c);
        return true;
    }
    if (!c->readable)
        return false;
    switch (tls_handshake(c->tls)) {
    case 1:
        c->state = CONN_HEAD;
        c->progress = true;
        return true;
    case TLS_WANT_WRITE:
        c->want_write = true;
        /* fall through */
    case TLS_WANT_READ:
        c->readable = false;
        return false;
    default:
        log_debug("http", "TLS handshake with %s failed: %s", c->peer, tls_error(c->tls));
        c->broken = true;
        return true;
    }
}

static void got_head(struct http_conn *c)
{
    const char *text = "";
    struct exchange *ex = c->ex;
    enum err e = head_accept(ex, &c->parser, &text);
    if (e) {
        exchange_refuse(ex, e, text);
        return;
    }
    if (!ex->req.has_body) {
        ex->body_done = true;
        parser_start(&c->parser);
    }
    exchange_dispatch(ex);
}

/* RFC 9112 §2.2: empty lines before a request line are ignored. A TLS hello is not HTTP at all. */
static bool begins_tls(const struct http_conn *c)
{
    return !c->tls && c->parser.head_bytes == 0 && *c->in == 0x16;
}

static bool step_head(struct http_conn *c)
{
    if (c->broken || (c->eof && !has_input(c))) {
        conn_close(c);
        return true;
    }
    if (!has_input(c))
        return fill(c);
    if (begins_tls(c)) {
        conn_close(c);
        return true;
    }
    if (!c->ex) {
        c->ex = exchange_new(c);
        c->progress = true;
    }
    enum err e = OK;
    const char *text = "";
    enum parse_event event = parser_feed(&c->parser, c->ex, &c->in, c->in_end, &e, &text);
    if (event == PARSE_HEAD)
        got_head(c);
    else if (event == PARSE_BAD)
        exchange_refuse(c->ex, e, text);
    return true;
}

/* One event of a body. In CONN_DISCARD there is no exchange any more. */
static void parse_body(struct http_conn *c)
{
    struct exchange *ex = c->ex;
    enum err e = OK;
    const char *text = "";
    c->progress = true;
    switch (parser_feed(&c->parser, ex, &c->in, c->in_end, &e, &text)) {
    case PARSE_BODY:
        if (ex)
            body_give(ex, c->parser.body, c->parser.body_size);
        else
            c->swallowed += (uint32_t)c->parser.body_size;
        break;
    case PARSE_END:
        parser_start(&c->parser);
        if (ex)
            ex->body_done = true;
        else
            c->state = CONN_HEAD;
        break;
    case PARSE_BAD:
        c->input_dead = true;
        if (ex)
            ex->body_err = e;
        break;
    default:
        break;
    }
}

static void linger(struct http_conn *c)
{
    if (c->eof || c->broken) {
        conn_close(c);
        return;
    }
    if (c->tls)
        tls_shutdown(c->tls);
    shutdown(c->fd, SHUT_WR);
    c->in = c->in_end;
    c->swallowed = 0;
    c->readable = true;
    c->blocked = c->want_write = false;
    c->state = CONN_LINGER;
}

/* The reply is out (or nobody is left to hear it): what becomes of the connection? */
static void after_exchange(struct http_conn *c)
{
    struct exchange *ex = c->ex;
    bool keeps = !ex->closes && !c->input_dead && !c->server->draining;
    bool body_done = ex->body_done, refused = ex->refused;
    exchange_finish(ex);
    c->progress = true;
    c->swallowed = 0;
    if (c->broken)
        conn_close(c);
    else if (keeps)
        c->state = body_done ? CONN_HEAD : CONN_DISCARD;
    else if (body_done && !refused && !has_input(c))
        conn_close(c);
    else
        linger(c);
}

static bool step_exchange(struct http_conn *c)
{
    struct exchange *ex = c->ex;
    if (c->broken) {
        if (ex->gave_up || !body_tell(ex))
            after_exchange(c);
        return true;
    }
    if (ex->sent_due) {
        ex->sent_due = false;
        ex->on_sent(&ex->req, ex->on_sent_arg);
        return true;
    }
    if (ex->replied) {
        after_exchange(c);
        return true;
    }
    if (!c->blocked && output_pending(ex)) {
        output_flush(ex);
        return true;
    }
    if (body_tell(ex))
        return true;
    if (body_wanted(ex)) {
        if (has_input(c) || c->parser.event == PARSE_BODY) {
            parse_body(c); /* after a piece once more, also without input: it may have been the last */
            return true;
        }
        if (c->eof) { /* in the middle of the body: the client gave up */
            c->broken = true;
            return true;
        }
        return fill(c);
    }
    /* Only so far as to see that the client is gone, or what it pipelined. */
    return ex->body_done && !has_input(c) && !c->input_dead && fill(c);
}

static bool step_discard(struct http_conn *c)
{
    if (c->broken || c->input_dead || c->swallowed > DISCARD_BYTES) {
        linger(c);
        return true;
    }
    if (has_input(c) || c->parser.event == PARSE_BODY) {
        parse_body(c);
        return true;
    }
    if (c->eof) {
        conn_close(c);
        return true;
    }
    return fill(c);
}

static bool step_linger(struct http_conn *c)
{
    c->swallowed += (uint32_t)(c->in_end - c->in);
    c->in = c->in_end;
    if (c->eof || c->broken || c->swallowed > LINGER_BYTES) {
        conn_close(c);
        return true;
    }
    return fill(c);
}

static bool step(struct http_conn *c)
{
    switch (c->state) {
    case CONN_HANDSHAKE:
        return step_handshake(c);
    case CONN_HEAD:
        return step_head(c);
    case CONN_EXCHANGE:
        return step_exchange(c);
    case CONN_DISCARD:
        return step_discard(c);
    case CONN_LINGER:
        return step_linger(c);
    case CONN_CLOSED:
        break;
    }
    return false;
}

/* --- what to wait for --- */
static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct http_conn *c = container_of(poll, struct http_conn, poll);
    if (status < 0) { /* libuv has stopped watching */
        c->armed = 0;
        c->broken = true;
    }
    if (c->armed == UV_PRIORITIZED && events)
        c->broken = true; /* reset while we were not listening (or urgent data: not HTTP) */
    if (events & UV_READABLE)
        c->readable = true;
    if (events & UV_WRITABLE)
        c->blocked = c->want_write = false;
    if (c->tls && events) { /* either direction may have waited for the other */
        c->readable = true;
        c->blocked = c->want_write = false;
    }
    conn_run(c);
}

static bool wants_read(const struct http_conn *c)
{
    if (c->eof || has_input(c))
        return false;
    if (c->state != CONN_EXCHANGE)
        return true;
    return body_wanted(c->ex) || (c->ex->body_done && !c->input_dead) || (c->tls && c->blocked);
}

static void arm(struct http_conn *c)
{
    int events = 0;
    if (wants_read(c))
        events |= UV_READABLE;
    if (c->blocked || c->want_write)
        events |= UV_WRITABLE;
    if (!events)
        events = UV_PRIORITIZED; /* nothing but errors: a reset peer is noticed all the same */
    if (events == c->armed)
        return;
    c->armed = events;
    uv_poll_start(&c->poll, events, on_poll);
}

static enum deadline deadline_of(const struct http_conn *c)
{
    switch (c->state) {
    case CONN_HANDSHAKE:
        return DEADLINE_HEAD;
    case CONN_HEAD:
        return c->ex ? DEADLINE_HEAD : DEADLINE_IDLE;
    case CONN_EXCHANGE:
        return c->blocked || body_wanted(c->ex) ? DEADLINE_BODY : DEADLINE_NONE;
    case CONN_DISCARD:
        return DEADLINE_BODY;
    default:
        return DEADLINE_LINGER;
    }
}

static void settle(struct http_conn *c)
{
    stash(c);
    arm(c);
    enum deadline kind = deadline_of(c);
    /* Bodies begin again with every sign of life; bytes of a head are none, so its time is fixed. */
    if (kind != c->deadline || c->progress)
        server_deadline(c->server, c, kind);
    c->progress = false;
}

void conn_run(struct http_conn *c)
{
    check(!c->running);
    if (c->state == CONN_CLOSED)
        return;
    int budget = RUN_BUDGET;
    c->running = true;
    do
        drop_consumed(c);
    while (step(c) && c->state != CONN_CLOSED && --budget);
    c->running = false;
    if (c->state == CONN_CLOSED)
        return;
    drop_consumed(c);
    if (c->server->draining && conn_is_idle(c)) {
        conn_close(c);
        return;
    }
    if (!budget)
        conn_kick(c);
    settle(c);
}

void conn_on_timeout(struct http_conn *c)
{
    struct exchange *ex = c->ex;
    if (c->state == CONN_HEAD && ex) {
        c->running = true;
        exchange_refuse(ex, ERR_TIMEOUT, "the request header took too long");
        c->running = false;
        conn_run(c);
    } else if (c->state == CONN_EXCHANGE && !c->blocked) {
        ex->body_err = ERR_TIMEOUT;
        c->input_dead = true;
        conn_run(c);
    } else {
        c->broken |= c->state == CONN_EXCHANGE;
        if (c->state == CONN_EXCHANGE)
            conn_run(c);
        else
            conn_close(c);
    }
}

struct http_conn *http_conn_adopt(struct http_server *s, const struct http_listener_options *options,
                                  int fd)
{
    struct http_conn *c = calloc(1, sizeof *c);
    if (!c)
        log_fatal("http", "out of memory: a connection");
    c->server = s;
    c->listener = options;
    c->fd = fd;
    c->in = c->in_end = "";
    c->deadline = DEADLINE_NONE;
    c->state = options->tls ? CONN_HANDSHAKE : CONN_HEAD;
    c->tls = options->tls ? tls_new(options->tls, fd, NULL) : NULL;
    parser_start(&c->parser);
    if ((options->tls && !c->tls) || uv_poll_init(&s->loop->uv, &c->poll, fd)) {
        tls_free(c->tls);
        close(fd);
        free(c);
        return NULL;
    }
    s->handles++;
    s->connection_count++;
    list_append(&s->connections, &c->all);
    settle(c);
    return c;
}
