/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/forward.c: a request is passed on to a proxy's first remote, and its answer back, whatever
 * it is: neither is stored. One piece of the answer is in memory at a time. */
#include <stdlib.h>
#include <string.h>

#include "pantera/limits.h"
#include "pantera/log.h"
#include "pantera/meta_repository.h"
#include "src/registry/members.h"

#define PIECE KIB(128) /* of the client: the most that comes at once */

struct forward {
    struct http_request *req;    /* NULL: gone */
    struct worker *worker;
    registry_fail_cb *failed;
    struct arena arena;
    struct upstream_remote remote;
    const char *path, *method;
    char *body;
    size_t body_size;
    struct upstream_request request;
    char piece[PIECE];
    size_t piece_size, piece_at;
    int64_t received;
    bool asking, begun, writing, paused, over, broken;
};

struct forward_link {            /* the request's memory */
    struct forward *forward;
};

static void forward_free(struct forward *w)
{
    arena_release(&w->arena);
    free(w);
}

static void on_request_end(void *arg)
{
    struct forward_link *link = arg;
    struct forward *w = link->forward;

    if (!w)
        return;
    w->req = NULL;
    if (w->asking)
        upstream_cancel(&w->request);
    else
        forward_free(w);
}

static void forward_end(struct forward *w)
{
    if (!w->over || w->writing || !w->req)
        return;
    if (w->broken)
        http_reply_abort(w->req);
    else
        http_reply_end(w->req);
}

static void on_sent(struct http_request *req, void *arg)
{
    struct forward *w = arg;

    (void)req;
    w->writing = false;
    if (w->paused && w->asking) {
        w->paused = false;
        upstream_resume(&w->request);
    }
    forward_end(w);
}

static bool on_data(struct upstream_request *r, const void *data, size_t size)
{
    struct forward *w = r->arg;

    if (!w->req || !w->begun)
        return true;
    if (w->writing) {
        w->paused = true;
        return false;
    }
    if (size > PIECE) {
        w->broken = true;
        upstream_cancel(r);
        return true;
    }
    memcpy(w->piece, data, size);
    w->received += (int64_t)size;
    w->writing = true;
    http_reply_write(w->req, w->piece, size, on_sent, w);
    return true;
}

static void on_head(struct upstream_request *r)
{
    static const char *const kept[] = { "etag", "last-modified", "cache-control", "vary", "content-encoding",
                                        "retry-after", "npm-notice", "link" };
    struct forward *w = r->arg;

    if (!w->req)
        return;
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        const char *value = upstream_header(r, kept[i]);
        if (value)
            http_set_header(w->req, kept[i], value);
    }
    w->begun = true;
    http_reply_begin(w->req, r->status, upstream_header(r, "content-type"), r->length);
}

static void on_done(struct upstream_request *r)
{
    struct forward *w = r->arg;

    w->asking = false;
    w->over = true;
    if (!w->req) {
        forward_free(w);
        return;
    }
    if (!w->begun) {
        w->failed(w->req, r->err ? r->err : ERR_UPSTREAM, &r->why);
        return;
    }
    if ((r->length >= 0 && w->req->method != HTTP_M_HEAD && w->received < r->length) ||
        (r->status / 100 == 2 && r->outcome != UPSTREAM_OK))
        w->broken = true;
    forward_end(w);
}

static void forward_ask(struct forward *w)
{
    const char *headers[8];
    unsigned n = 0;
    static const char *const passed[] = { "accept", "content-type", "content-encoding", "if-none-match" };
    struct why why = { "" };
    enum err e;

    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++) {
        const char *value = http_header(w->req, passed[i]);
        if (value)
            headers[n++] = arena_printf(&w->arena, "%s: %s", passed[i], value);
    }
    headers[n] = NULL;
    w->request = (struct upstream_request){
        .remote = &w->remote, .path = w->path, .method = w->method, .headers = headers, .body = w->body,
        .body_size = w->body_size, .any_status = true, .on_head = on_head, .on_data = on_data,
        .on_done = on_done, .arg = w,
    };
    e = upstream_submit(w->worker->upstream, &w->request, &why);
    if (e)
        w->failed(w->req, e, &why);
    else
        w->asking = true;
}

static void on_body(struct http_request *req, char *data, size_t size, enum err e, void *arg)
{
    struct forward_link *link = arg;
    struct forward *w = link->forward;

    if (e) {
        w->failed(req, e, NULL);
        return;
    }
    w->body = arena_memdup(&w->arena, data, size + 1); /* it may still be sent when the request is gone */
    w->body_size = size;
    forward_ask(w);
}

/* The remote is copied: a configuration that changes meanwhile does not concern us. */
static bool remote_find(struct forward *w, const struct repo *repo)
{
    struct members members;

    members_of(w->worker->registry, &w->arena, repo, NULL, NULL, &members);
    for (unsigned i = 0; i < members.count; i++) {
        const struct member *m = &members.list[i];
        const struct repo *proxy = m->proxy ? member_repo(w->worker->registry, m) : NULL;
        const struct repo_rules *rules = proxy ? &repo_entry_of(proxy)->rules : NULL;
        if (!rules || !rules->remote_count)
            continue;
        const struct upstream_remote *r = &rules->remotes[0];
        w->remote = (struct upstream_remote){
            .url = arena_strdup(&w->arena, r->url), .priority = r->priority,
            .username = r->username ? arena_strdup(&w->arena, r->username) : NULL,
            .password = r->password ? arena_strdup(&w->arena, r->password) : NULL,
            .token = r->token ? arena_strdup(&w->arena, r->token) : NULL,
        };
        return true;
    }
    return false;
}

void registry_forward(struct http_request *req, const struct repo *repo, const char *url_path, size_t limit,
                      registry_fail_cb *failed)
{
    struct forward *w = calloc(1, sizeof *w);
    struct forward_link *link = arena_alloc(&req->arena, sizeof *link);
    struct why why;

    check(w);
    arena_init(&w->arena);
    w->req = req;
    w->worker = worker_of(req);
    w->failed = failed;
    w->path = arena_strdup(&w->arena, url_path);
    w->method = arena_strdup(&w->arena, req->method_text);
    link->forward = w;
    http_on_end(req, on_request_end, link);
    if (!remote_find(w, repo))
        failed(req, fail(&why, ERR_NOT_FOUND, "'%.200s' has no upstream to ask", repo->name), &why);
    else if (req->has_body)
        http_body_collect(req, limit, on_body, link);
    else
        forward_ask(w);
}
