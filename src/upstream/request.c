/* SPDX-License-Identifier: Apache-2.0 */
/* One request to a remote, from the breaker's word to the last byte:
 *
 *   submit → (the breaker says no → end) → a place → hop → answer
 *     answer: 401 with a Bearer challenge → a token from its realm → hop, once
 *             3xx → hop to where it points → …
 *             else final: head and bytes to who asked, or the end
 *
 * The client tries each hop once and follows nothing; all that decides is here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "private.h"
#include "pantera/clock.h"
#include "pantera/log.h"

enum { HOPS = 6, DRAIN_MOST = 64 << 10, HEADERS_MOST = 24, SWEEP_MS = 100 };

const char *upstream_outcome_name(enum upstream_outcome o)
{
    static const char *const names[] = { "ok", "not_modified", "not_found", "refused", "too_many", "failed",
                                         "blocked" };
    return names[o];
}

/* --- the end --- */

static void request_free(struct upstream_private *p)
{
    buf_free(&p->answer);
    decoder_free(p->decoder);
    arena_release(&p->arena);
    free(p);
}

static enum result result_of(const struct upstream_private *p)
{
    return p->canceled                                    ? RESULT_CANCELED
           : p->asked || p->outcome == UPSTREAM_BLOCKED ? (enum result)p->outcome
                                                          : RESULT_NOT_ASKED;
}

static void settle(struct upstream_private *p)
{
    struct upstream_request *r = p->request;
    if (p->canceled) {
        p->outcome = UPSTREAM_FAILED;
        p->err = fail(&p->why, ERR_CANCELED, "the request was canceled");
    }
    if (p->probe && !p->judged)
        standing_gave_up(p->standing); /* it learnt nothing: the next one may try */
    place_leave(p->place);
    standing_count(p->standing, result_of(p), p->started_us ? clock_mono_us() - p->started_us : 0);
    standing_put(p->standing);
    *p->prev = p->next;
    if (p->next)
        p->next->prev = p->prev;
    r->outcome = p->outcome;
    r->err = p->err;
    r->why = p->why;
    r->retry_after_ms = p->retry_after_ms;
    r->on_done(r); /* may submit `r` again, or free it */
}

static void on_later(struct task *task)
{
    struct upstream_private *p = container_of(task, struct upstream_private, task);
    if (p->owner)
        settle(p);
    request_free(p);
}

/* Never inside upstream_submit. */
static void finish(struct upstream_private *p, bool later)
{
    if (!later && !p->in_submit) {
        settle(p);
        request_free(p);
    } else if (!p->posted) {
        p->posted = true;
        p->task.run = on_later;
        loop_post(p->owner->loop, &p->task);
    }
}

void request_end(struct upstream_private *p, enum upstream_outcome outcome, enum err e, const char *what)
{
    p->outcome = outcome;
    p->err = fail(&p->why, e, "upstream %s: %s", p->host, what);
    finish(p, false);
}

bool request_canceled(struct upstream_private *p)
{
    if (p->call.err == ERR_CANCELED && !p->enough)
        p->canceled = true; /* the client closes */
    if (!p->canceled)
        return false;
    finish(p, false);
    return true;
}

/* --- what an answer means --- */

static void judge(struct upstream_private *p, bool good, const char *why)
{
    p->judged = true;
    if (good)
        standing_good(p->standing);
    else
        standing_bad(p->standing, p->retry_after_ms, p->call.status == 429, why);
}

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static void classify(struct upstream_private *p, int status)
{
    static const struct {
        int from, to;
        enum upstream_outcome outcome;
        enum err err;
    } classes[] = {
        { 200, 299, UPSTREAM_OK, OK },
        { 304, 304, UPSTREAM_NOT_MODIFIED, OK },
        { 404, 404, UPSTREAM_NOT_FOUND, ERR_NOT_FOUND },
        { 410, 410, UPSTREAM_NOT_FOUND, ERR_NOT_FOUND },
        { 401, 401, UPSTREAM_REFUSED, ERR_UPSTREAM },
        { 403, 403, UPSTREAM_REFUSED, ERR_UPSTREAM },
        { 407, 407, UPSTREAM_REFUSED, ERR_UPSTREAM },
        { 451, 451, UPSTREAM_REFUSED, ERR_UPSTREAM },
        { 429, 429, UPSTREAM_TOO_MANY, ERR_UNAVAILABLE },
        { 503, 503, UPSTREAM_FAILED, ERR_UNAVAILABLE },
    };
    p->outcome = UPSTREAM_FAILED;
    p->err = ERR_UPSTREAM;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (status >= classes[i].from && status <= classes[i].to) {
            p->outcome = classes[i].outcome;
            p->err = classes[i].err;
        }
    if (p->err)
        fail(&p->why, p->err, "upstream %s answered %d", p->host, status);
}

/* We ask for the bytes as they are; an answer that is packed all the same is unpacked, or refused. */
static void encoding_read(struct upstream_private *p)
{
    enum coding coding = CODING_NONE;
    const char *value, *type = client_header(&p->call, "content-type");
    char all[100] = "";
    size_t at = 0;
    while ((value = client_header_next(&p->call, "content-encoding", &at)))
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%.40s", *all ? ", " : "", value);
    coding = coding_parse(all);
    if (coding == CODING_GZIP && coding_is_the_files(p->asked_url, type))
        coding = CODING_NONE;
    if (coding == CODING_UNKNOWN) {
        p->outcome = UPSTREAM_FAILED;
        p->err = fail(&p->why, ERR_UPSTREAM, "upstream %s: its answer has the encoding '%s', which was not "
                      "asked for", p->host, header_text(all) ? all : "?");
    } else if (coding) {
        p->decoder = decoder_new(coding);
    }
}

/* The head that counts. A good one tells at once that the remote is alive, if somebody waits for that:
 * the bytes may take minutes. */
static void answer_begins(struct upstream_private *p)
{
    struct upstream_request *r = p->request;
    int status = p->call.status;
    if (status == 429 || status == 503)
        p->retry_after_ms = retry_after_parse(client_header(&p->call, "retry-after"), clock_wall_ms());
    classify(p, status);
    if (p->outcome == UPSTREAM_OK && !r->any_status)
        encoding_read(p);
    if (status >= 500 || status == 429)
        judge(p, false, p->why.text);
    else if (p->probe)
        judge(p, true, NULL);
    r->status = status;
    r->length = p->decoder ? -1 : p->call.length;
    r->url = p->url.text;
    p->body = p->outcome == UPSTREAM_OK || r->any_status;
    if (p->body && r->on_head)
        r->on_head(r);
}

static void on_head(struct client_request *call)
{
    struct upstream_private *p = call->arg;
    const char *location = client_header(call, "location");
    if (signin_challenged(p)) {
        p->next_step = STEP_TOKEN;
    } else if (is_redirect(call->status) && location && p->limits.follow_redirects) {
        p->next_step = STEP_HOP;
        p->location = arena_strdup(&p->arena, location);
    } else {
        p->next_step = STEP_END;
        answer_begins(p);
    }
    if (!p->body && !p->canceled && call->length > DRAIN_MOST) {
        p->enough = true;
        client_cancel(call);
    }
}

static bool give(void *arg, const void *data, size_t size)
{
    struct upstream_private *p = arg;
    struct upstream_request *r = p->request;
    return (r->on_data ? r->on_data(r, data, size) : true) && !p->canceled;
}

static bool unpack(struct upstream_private *p, const void *data, size_t size)
{
    switch (decoder_push(p->decoder, data, size, give, p)) {
    case DECODED_ALL:
        return true;
    case DECODED_PAUSED:
        return p->canceled;
    case DECODED_BAD:
        break;
    }
    p->damaged = p->enough = true;
    client_cancel(&p->call);
    return true;
}

static bool on_data(struct client_request *call, const void *data, size_t size)
{
    struct upstream_private *p = call->arg;
    if (p->body && p->decoder)
        return unpack(p, data, size);
    if (p->body)
        return p->request->on_data ? p->request->on_data(p->request, data, size) : true;
    p->drained += size;
    if (p->drained > DRAIN_MOST && !p->enough) {
        p->enough = true;
        client_cancel(call);
    }
    return true;
}

/* --- hops --- */

static void follow(struct upstream_private *p)
{
    struct client_url to;
    if (++p->hops >= HOPS) {
        request_end(p, UPSTREAM_FAILED, ERR_UPSTREAM, "too many redirects");
    } else if (client_url(&p->arena, p->url.text, p->location, &to, NULL)) {
        request_end(p, UPSTREAM_FAILED, ERR_UPSTREAM, "a redirect to what can't be asked");
    } else if (p->url.secure && !to.secure) {
        request_end(p, UPSTREAM_FAILED, ERR_UPSTREAM, "a redirect from https to http");
    } else {
        if (p->call.status == 303 && strcmp(p->method, "HEAD") != 0)
            p->method = "GET"; /* RFC 9110 §15.4.4 */
        p->url = to;
        request_hop(p);
    }
}

void request_failed(struct upstream_private *p)
{
    const struct client_request *call = &p->call;
    if (call->err == ERR_FORBIDDEN) {
        log_event(LOG_WARN, "upstream", "not in meta.http_client.allow_upstreams", "url", "s", call->url,
                  NULL);
        request_end(p, UPSTREAM_BLOCKED, ERR_UPSTREAM,
                    "its address is in a network that meta.http_client.allow_upstreams does not list");
        return;
    }
    p->outcome = UPSTREAM_FAILED;
    p->err = fail(&p->why, call->err == ERR_UPSTREAM_TIMEOUT ? ERR_UPSTREAM_TIMEOUT : ERR_UPSTREAM,
                  "upstream %s: %s", p->host, why_text(&call->why, call->err));
    p->retry_after_ms = 0;
    judge(p, false, p->why.text);
    finish(p, false);
}

/* A packed answer that has no end, or is none. An empty one needs no packing. */
static bool is_damaged(const struct upstream_private *p)
{
    bool empty = p->call.length == 0 || strcmp(p->method, "HEAD") == 0;
    return p->decoder && p->body &&
           (p->damaged || !(decoder_whole(p->decoder) || (empty && !decoder_begun(p->decoder))));
}

static void on_hop_done(struct client_request *call)
{
    struct upstream_private *p = call->arg;
    p->calling = false;
    if (request_canceled(p))
        return;
    if (call->err && !p->enough) {
        request_failed(p);
    } else if (p->next_step == STEP_TOKEN) {
        signin_answer(p);
    } else if (p->next_step == STEP_HOP) {
        follow(p);
    } else if (is_redirect(call->status) && !p->body) {
        request_end(p, UPSTREAM_FAILED, ERR_UPSTREAM, "a redirect, and redirects are not followed");
    } else {
        if (call->status < 500 && call->status != 429)
            judge(p, true, NULL);
        if (is_damaged(p))
            request_end(p, UPSTREAM_FAILED, ERR_UPSTREAM,
                        "its answer is not packed as it says, or broke off");
        else
            finish(p, false);
    }
}

void request_send(struct upstream_private *p, const char *method, const char *url, const char *const *headers,
                  bool token)
{
    const struct upstream_request *r = p->request;
    struct why why = { "" };
    p->call = (struct client_request){
        .method = method, .url = url, .headers = headers, .guard = guard_now(),
        .connect_timeout_ms = p->limits.connect_ms, .stall_timeout_ms = p->limits.stall_ms,
        .head_timeout_ms = p->limits.head_ms,
        .on_head = token ? NULL : on_head, .on_data = token ? signin_on_data : on_data,
        .on_done = token ? signin_on_done : on_hop_done, .arg = p,
    };
    if (!token && strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        p->call.body = r->body;
        p->call.body_size = r->body_size;
    }
    p->drained = 0;
    p->enough = false;
    p->call.err = client_submit(p->owner->client, &p->call, &why);
    if (p->call.err) {
        p->call.why = why;
        request_failed(p);
        return;
    }
    p->calling = p->asked = true;
    standing_sent(p->standing);
}

void request_hop(struct upstream_private *p)
{
    const char **list = arena_alloc(&p->arena, (HEADERS_MOST + 3) * sizeof *list);
    unsigned n = 0;
    for (const char *const *h = p->headers; h && *h && n < HEADERS_MOST; h++)
        list[n++] = *h;
    list[n++] = "User-Agent: pantera/" PANTERA_VERSION;
    if (strcmp(p->url.origin, p->origin) == 0) { /* nobody else sees what proves who we are */
        if (p->token || p->bearer)
            list[n] = arena_printf(&p->arena, "Authorization: Bearer %s", p->token ? p->token : p->bearer);
        else
            list[n] = p->basic;
    }
    request_send(p, p->method, p->url.text, list, false);
}

/* --- the start --- */

static void go(struct upstream_private *p)
{
    p->started_us = clock_mono_us();
    p->limits = limits_now();
    if (signin_begin(p))
        request_hop(p);
}

static void on_place(void *arg)
{
    struct upstream_private *p = arg;
    p->waiting = false;
    if (!p->posted) /* else the end is on its way */
        go(p);
}

static void on_sweep(uv_timer_t *timer)
{
    struct upstream *u = timer->data;
    uint64_t now = clock_mono_ms(), most = limits_now().acquire_ms;
    bool any = false;
    for (struct upstream_private *p = u->all; p; p = p->next) {
        if (p->waiting && !p->posted && now - p->waiting_since_ms >= most) {
            p->outcome = UPSTREAM_FAILED;
            p->err = fail(&p->why, ERR_UNAVAILABLE, "no connection to upstream %s was free in time", p->host);
            finish(p, true);
        }
        any = any || p->waiting;
    }
    if (!any)
        uv_timer_stop(timer);
}

/* Asks the breaker, and for a place. */
static void enter(struct upstream_private *p)
{
    struct why why = { "" };
    bool told;
    if (!standing_ask(p->standing, &p->probe, &p->retry_after_ms, &told, &why)) {
        p->outcome = told ? UPSTREAM_TOO_MANY : UPSTREAM_FAILED;
        p->err = ERR_UNAVAILABLE;
        p->why = why;
        finish(p, true);
        return;
    }
    switch (place_take(p->url.origin, p->owner->loop, on_place, p, &p->place)) {
    case PLACE_NOW:
        go(p);
        break;
    case PLACE_LATER:
        p->waiting = true;
        p->waiting_since_ms = clock_mono_ms();
        uv_timer_start(&p->owner->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
        break;
    case PLACE_FULL:
        p->outcome = UPSTREAM_FAILED;
        p->err = fail(&p->why, ERR_UNAVAILABLE, "too many requests wait for upstream %s", p->host);
        finish(p, true);
        break;
    }
}

static enum err urls_read(struct upstream_private *p, struct why *why)
{
    const struct upstream_request *r = p->request;
    const char *path = r->path ? r->path : "";
    struct client_url remote;
    enum err e = client_url(&p->arena, NULL, r->remote->url, &remote, why);
    if (e)
        return e;
    p->origin = remote.origin;
    if (strncmp(path, "http://", 7) != 0 && strncmp(path, "https://", 8) != 0)
        path = arena_printf(&p->arena, "%s%s%s", r->remote->url,
                            *path && *path != '/' && *path != '?' ? "/" : "", path);
    if ((e = client_url(&p->arena, NULL, path, &p->url, why)))
        return e;
    if (remote.secure && !p->url.secure)
        return fail(why, ERR_UPSTREAM, "a file at an http: URL of a remote at an https: one");
    p->host = p->url.host;
    p->asked_url = p->url.text;
    return OK;
}

static void copy_inputs(struct upstream_private *p)
{
    const struct upstream_request *r = p->request;
    const char **headers = arena_alloc(&p->arena, (HEADERS_MOST + 1) * sizeof *headers);
    for (unsigned n = 0; r->headers && r->headers[n] && n < HEADERS_MOST; n++)
        headers[n] = arena_strdup(&p->arena, r->headers[n]);
    p->headers = headers;
    p->method = arena_strdup(&p->arena, r->method ? r->method : "GET");
    signin_prepare(p);
}

enum err upstream_submit(struct upstream *u, struct upstream_request *r, struct why *why)
{
    if (u->closed)
        return fail(why, ERR_CANCELED, "this worker ends");
    struct upstream_private *p = calloc(1, sizeof *p);
    if (!p)
        return fail(why, ERR_UNAVAILABLE, "out of memory for a request");
    arena_init(&p->arena);
    buf_init(&p->answer, TOKEN_TEXT_MOST);
    p->request = r;
    p->owner = u;
    enum err e = urls_read(p, why);
    if (e) {
        request_free(p);
        return e;
    }
    copy_inputs(p);
    r->priv = p;
    r->status = 0;
    r->length = -1;
    r->url = p->url.text;
    r->retry_after_ms = 0;
    r->why.text[0] = 0;
    p->standing = standing_get(strcmp(p->url.origin, p->origin) == 0 ? r->remote->url : p->url.origin);
    p->next = u->all;
    p->prev = &u->all;
    if (u->all)
        u->all->prev = &p->next;
    u->all = p;
    p->in_submit = true;
    enter(p);
    p->in_submit = false;
    return OK;
}

void upstream_resume(struct upstream_request *r)
{
    if (r->priv->calling)
        client_resume(&r->priv->call);
}

void upstream_cancel(struct upstream_request *r)
{
    struct upstream_private *p = r->priv;
    p->canceled = true;
    if (p->calling)
        client_cancel(&p->call);
    else
        finish(p, true);
}

const char *upstream_header(const struct upstream_request *r, const char *name)
{
    return r->priv->asked ? client_header(&r->priv->call, name) : NULL;
}

/* --- a worker's --- */

struct upstream *upstream_new(struct loop *loop, struct client *client)
{
    struct upstream *u = calloc(1, sizeof *u);
    if (!u || uv_timer_init(&loop->uv, &u->sweep))
        log_fatal("upstream", "out of memory");
    u->loop = loop;
    u->client = client;
    u->sweep.data = u;
    return u;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void upstream_free(struct upstream *u)
{
    if (!u)
        return;
    u->closed = true;
    while (u->all) {
        struct upstream_private *p = u->all;
        p->canceled = true;
        settle(p);
        p->owner = NULL;
        if (!p->posted)
            request_free(p);
    }
    uv_close((uv_handle_t *)&u->sweep, on_closed);
}
