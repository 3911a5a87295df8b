/* SPDX-License-Identifier: Apache-2.0 */
/* Segments of a reply → the socket. A reply is at any time: interim, head, frame, data or a part of a
 * file, tail, in this order; what the socket took is cut off their fronts. No handler is called here. */
#include <errno.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "conn.h"

enum {
    FILE_PIECE = 1 << 20, /* one sendfile: bounds what a cold disk costs the others */
    TURNS = 8             /* before others get theirs */
};

bool output_pending(const struct exchange *ex)
{
    if (ex->out.file_left)
        return true;
    for (int i = 0; i < SEGMENTS; i++)
        if (ex->out.segments[i].left)
            return true;
    return false;
}

static size_t before_file(const struct output *out)
{
    size_t size = 0;
    for (int i = 0; i < SEG_TAIL; i++)
        size += out->segments[i].left;
    return size;
}

static size_t cut(struct span *span, size_t n)
{
    size_t part = n < span->left ? n : span->left;
    if (part) { /* an unused one points nowhere */
        span->at += part;
        span->left -= part;
    }
    return n - part;
}

static void advance(struct exchange *ex, size_t n)
{
    struct output *out = &ex->out;
    ex->conn->progress = true;
    ex->req.bytes_out += n;
    for (int i = 0; i < SEG_TAIL && n; i++)
        n = cut(&out->segments[i], n);
    if (n && out->file_left) {
        size_t part = (int64_t)n < out->file_left ? n : (size_t)out->file_left;
        out->file_offset += (int64_t)part;
        out->file_left -= (int64_t)part;
        n -= part;
    }
    cut(&out->segments[SEG_TAIL], n);
}

static size_t copy(char *to, size_t room, const struct span *span)
{
    size_t part = span->left < room ? span->left : room;
    if (part)
        memcpy(to, span->at, part);
    return part;
}

/* One buffer of what comes next: always the same bytes for the same state, or more, as SSL_write wants
 * from a retry. 0: the file is shorter than promised, or unreadable. */
static size_t compose(struct exchange *ex, char *ret, size_t room)
{
    struct output *out = &ex->out;
    size_t size = 0;
    for (int i = 0; i < SEG_TAIL; i++)
        size += copy(ret + size, room - size, &out->segments[i]);
    int64_t left = out->file_left, offset = out->file_offset;
    while (left && size < room) {
        size_t part = (int64_t)(room - size) < left ? room - size : (size_t)left;
        ssize_t n = pread(out->file, ret + size, part, offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return 0;
        size += (size_t)n;
        left -= n;
        offset += n;
    }
    if (!left)
        size += copy(ret + size, room - size, &out->segments[SEG_TAIL]);
    return size;
}

/* True: try again for more. */
static bool took(struct exchange *ex, ssize_t n)
{
    if (n > 0) {
        advance(ex, (size_t)n);
        return true;
    }
    if (n < 0 && errno == EINTR)
        return true;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        ex->conn->blocked = true;
    else
        conn_break(ex->conn);
    return false;
}

static bool send_composed(struct exchange *ex)
{
    struct http_conn *c = ex->conn;
    size_t size = compose(ex, c->server->send, SEND_BYTES);
    if (size == 0) {
        conn_break(c);
        return false;
    }
    return took(ex, send(c->fd, c->server->send, size, MSG_NOSIGNAL));
}

/* What is in memory, in one call; `more`: a file follows at once, so the kernel may wait for it. */
static bool send_segments(struct exchange *ex, bool more)
{
    struct output *out = &ex->out;
    struct iovec iov[SEGMENTS];
    struct msghdr message = { .msg_iov = iov };
    for (int i = 0; i < SEGMENTS; i++)
        if (out->segments[i].left && (i != SEG_TAIL || !more))
            iov[message.msg_iovlen++] = (struct iovec){ (void *)(uintptr_t)out->segments[i].at,
                                                        out->segments[i].left };
    if (message.msg_iovlen == 1)
        return took(ex, send(ex->conn->fd, iov[0].iov_base, iov[0].iov_len,
                             MSG_NOSIGNAL | (more ? MSG_MORE : 0)));
    return took(ex, sendmsg(ex->conn->fd, &message, MSG_NOSIGNAL | (more ? MSG_MORE : 0)));
}

static bool send_file(struct exchange *ex)
{
    struct output *out = &ex->out;
    off_t offset = out->file_offset;
    size_t size = out->file_left < FILE_PIECE ? (size_t)out->file_left : FILE_PIECE;
    ssize_t n = sendfile(ex->conn->fd, out->file, &offset, size);
    if (n == 0)
        errno = EIO; /* shorter than promised: the client must see it */
    return took(ex, n);
}

static bool flush_plain(struct exchange *ex)
{
    struct output *out = &ex->out;
    size_t memory = before_file(out);
    if (out->file_left == 0)
        return send_segments(ex, false);
    if (memory && out->file_left <= SMALL_FILE &&
        memory + out->segments[SEG_TAIL].left <= SEND_BYTES - SMALL_FILE)
        return send_composed(ex);
    return memory ? send_segments(ex, true) : send_file(ex);
}

static bool flush_tls(struct exchange *ex)
{
    struct http_conn *c = ex->conn;
    struct output *out = &ex->out;
    ssize_t n;
    size_t memory = before_file(out);
    if (memory == 0 && out->file_left && tls_can_sendfile(c->tls)) {
        size_t size = out->file_left < FILE_PIECE ? (size_t)out->file_left : FILE_PIECE;
        n = tls_sendfile(c->tls, out->file, out->file_offset, size);
    } else if (memory > 16384 && memory == out->segments[SEG_DATA].left) {
        n = tls_write(c->tls, out->segments[SEG_DATA].at, memory);
    } else {
        size_t size = compose(ex, c->server->send, 16384);
        n = size ? tls_write(c->tls, c->server->send, size) : TLS_FAILED;
    }
    if (n > 0) {
        advance(ex, (size_t)n);
        return true;
    }
    if (n == TLS_WANT_READ || n == TLS_WANT_WRITE)
        c->blocked = true;
    else
        conn_break(c);
    return false;
}

void output_flush(struct exchange *ex)
{
    struct http_conn *c = ex->conn;
    int turns = TURNS;
    while (!c->blocked && !c->broken && output_pending(ex) && turns--)
        if (!(c->tls ? flush_tls(ex) : flush_plain(ex)))
            break;
    if (!c->broken)
        reply_advance(ex);
}
