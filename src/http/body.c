/* SPDX-License-Identifier: Apache-2.0 */
/* Request bodies: from the connection to the handler that asked, no faster than it wants them. */
#include <string.h>

#include "conn.h"
#include "pantera/buf.h"

bool body_wanted(const struct exchange *ex)
{
    return ex->reader && ex->paused == 0 && !ex->body_done && !ex->body_err && !ex->replied;
}

void http_body_read(struct http_request *req, int64_t limit, http_chunk_cb *on_chunk, void *arg)
{
    struct exchange *ex = exchange_of(req);
    ex->reader = on_chunk;
    ex->reader_arg = arg;
    ex->body_limit = limit;
    if (limit >= 0 && req->content_length > limit) {
        ex->body_err = ERR_TOO_BIG;
    } else if (ex->expects_continue && !ex->begun) {
        static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
        ex->expects_continue = false;
        ex->out.segments[SEG_INTERIM] = (struct span){ interim, sizeof interim - 1 };
        output_flush(ex);
    }
    conn_kick(ex->conn);
}

void http_body_pause(struct http_request *req)
{
    exchange_of(req)->paused++;
}

void http_body_resume(struct http_request *req)
{
    struct exchange *ex = exchange_of(req);
    check(ex->paused > 0);
    if (--ex->paused == 0)
        conn_kick(ex->conn);
}

void body_give(struct exchange *ex, const char *data, size_t size)
{
    struct http_request *req = &ex->req;
    req->bytes_in += size;
    if (ex->body_limit >= 0 && req->bytes_in > (uint64_t)ex->body_limit)
        ex->body_err = ERR_TOO_BIG; /* body_tell says so */
    else
        ex->reader(req, data, size, OK, ex->reader_arg);
}

bool body_tell(struct exchange *ex)
{
    bool broken = ex->conn->broken;
    if (!ex->reader || ex->body_told)
        return false;
    if (!broken && (ex->paused || (!ex->body_done && !ex->body_err)))
        return false;
    enum err e = ex->body_err ? ex->body_err : ex->body_done ? OK : ERR_CLOSED;
    if (broken && e == OK)
        return false; /* the end of the exchange says enough */
    if (e == ERR_TOO_BIG)
        ex->limit_hit = true;
    ex->body_told = true;
    ex->reader(&ex->req, NULL, 0, e, ex->reader_arg);
    return true;
}

/* --- collected --- */
struct collect {
    struct buf data;
    http_body_cb *done;
    void *arg;
};

static void free_collected(void *arg)
{
    struct collect *collect = arg;
    buf_free(&collect->data);
}

static void on_collected(struct http_request *req, const void *data, size_t size, enum err e,
                         void *arg)
{
    struct collect *collect = arg;
    if (size) {
        /* It can't be past the limit: http_body_read was given the same one. */
        (void)buf_add(&collect->data, data, size);
        return;
    }
    if (!e)
        e = buf_err(&collect->data);
    if (e)
        collect->done(req, NULL, 0, e, collect->arg);
    else
        collect->done(req, collect->data.length ? collect->data.data : arena_strdup(&req->arena, ""),
                      collect->data.length, OK, collect->arg);
}

void http_body_collect(struct http_request *req, size_t limit, http_body_cb *done, void *arg)
{
    struct collect *collect = arena_alloc(&req->arena, sizeof *collect);
    buf_init(&collect->data, limit ? limit : 1);
    collect->done = done;
    collect->arg = arg;
    arena_on_release(&req->arena, free_collected, collect);
    http_body_read(req, (int64_t)limit, on_collected, collect);
}
