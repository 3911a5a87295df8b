/* SPDX-License-Identifier: Apache-2.0 */
/* An exchange: one request and its reply, from the first byte of the head to the hooks. The struct and
 * its arena's first block are used again by the next exchange of the server. */
#include <string.h>

#include "conn.h"
#include "pantera/clock.h"

/* "prefix-counter": unique in a process and, by the random prefix, across processes. */
static void make_id(struct http_server *s, char ret[33])
{
    static const char digits[] = "0123456789abcdef";
    memcpy(ret, s->id_prefix, 12);
    char *at = ret + 12;
    *at++ = '-';
    uint64_t n = s->id_next++;
    for (int shift = 36; shift >= 0; shift -= 4)
        *at++ = digits[(n >> shift) & 15];
    *at = '\0';
}

struct exchange *exchange_new(struct http_conn *c)
{
    struct exchange *ex = server_take_exchange(c->server);
    struct http_request *req = &ex->req;
    ex->conn = c;
    ex->out.file = -1;
    ex->body_limit = -1;
    ex->extras_tail = &ex->extras;
    req->method = HTTP_M_OTHER;
    req->method_text = req->target = req->query = req->host = "";
    req->tls = c->tls != NULL;
    req->peer = c->peer;
    req->listener = c->listener;
    req->server = c->server;
    req->started_us = clock_mono_us();
    return ex;
}

/* RFC 9110 §9.3.7: "*" asks about the server, and no handler is needed to tell. */
static void reply_options_star(struct http_request *req)
{
    http_set_header(req, "Allow", "GET, HEAD, PUT, POST, DELETE, PATCH, OPTIONS");
    http_reply(req, 204, NULL, NULL, 0);
}

void exchange_dispatch(struct exchange *ex)
{
    struct http_request *req = &ex->req;
    ex->conn->state = CONN_EXCHANGE;
    if (!req->id[0])
        make_id(req->server, req->id);
    if (req->target[0] == '*')
        reply_options_star(req);
    else
        req->listener->on_request(req);
}

void exchange_refuse(struct exchange *ex, enum err e, const char *text)
{
    struct http_request *req = &ex->req;
    struct http_conn *c = ex->conn;
    c->state = CONN_EXCHANGE;
    c->input_dead = true; /* where the next request would begin can't be known */
    ex->refused = true;
    ex->body_done = true;
    req->has_body = false;
    req->content_length = 0;
    if (!req->id[0])
        make_id(req->server, req->id);
    if (!req->headers)
        req->headers = ex->headers; /* header_count is 0 */
    if (req->listener->on_refused)
        req->listener->on_refused(req, e, text);
    else
        http_reply(req, err_status(e), "text/plain", text, strlen(text));
}

void exchange_finish(struct exchange *ex)
{
    struct http_request *req = &ex->req;
    struct http_conn *c = ex->conn;
    /* What followed the head; 100-continue and chunk frames count as body. */
    req->bytes_out -= req->bytes_out < ex->head_size ? req->bytes_out : ex->head_size;
    if (req->id[0] && req->listener->on_finished)
        req->listener->on_finished(req);
    while (ex->hooks) {
        struct hook *hook = ex->hooks;
        ex->hooks = hook->older;
        hook->fn(hook->arg);
    }
    c->ex = NULL;
    server_give_exchange(c->server, ex);
}

const char *http_header(const struct http_request *req, const char *lower_case_name)
{
    for (unsigned i = 0; i < req->header_count; i++)
        if (req->headers[i].name[0] == lower_case_name[0] &&
            strcmp(req->headers[i].name, lower_case_name) == 0)
            return req->headers[i].value;
    return NULL;
}

void http_on_end(struct http_request *req, void (*fn)(void *arg), void *arg)
{
    struct exchange *ex = exchange_of(req);
    struct hook *hook = arena_alloc(&req->arena, sizeof *hook);
    *hook = (struct hook){ ex->hooks, fn, arg };
    ex->hooks = hook;
}

bool http_aborted(const struct http_request *req)
{
    return exchange_of(req)->conn->broken;
}
