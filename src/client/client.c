/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl's multi interface on a loop: sockets by uv_poll, time by uv_timer. What a single request is
 * made of is request.c. curl must not be called from inside its callbacks, so whatever a callback asks
 * for (submit, resume, cancel) is noted and done when the loop is idle, before it polls again. */
#include "pantera/client.h"

#include <pthread.h>
#include <stdlib.h>

#include "pantera/clock.h"
#include "pantera/log.h"
#include "private.h"

struct watch {
    uv_poll_t poll;
    struct client *client;
    curl_socket_t fd;
};

/* --- closing --- */

static void client_unref(struct client *c)
{
    if (--c->open_handles == 0)
        free(c);
}

static void on_own_closed(uv_handle_t *handle)
{
    client_unref(handle->data);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *w = container_of((uv_poll_t *)handle, struct watch, poll);
    client_unref(w->client);
    free(w);
}

/* --- what has to wait until curl is not on the stack --- */

static void on_kick(uv_idle_t *idle);

static void todo_add(struct client_private *p)
{
    struct client *c = p->client;
    if (c->closing)
        return;
    if (!p->queued) {
        p->queued = true;
        p->todo_next = NULL;
        *c->todo_tail = p;
        c->todo_tail = &p->todo_next;
    }
    uv_idle_start(&c->kick, on_kick);
}

static void todo_remove(struct client_private *p)
{
    struct client *c = p->client;
    struct client_private **at = &c->todo;
    if (!p->queued)
        return;
    while (*at != p)
        at = &(*at)->todo_next;
    *at = p->todo_next;
    if (!*at)
        c->todo_tail = at;
    p->queued = false;
}

/* --- a request's end --- */

static void request_unlink(struct client_private *p)
{
    *p->prev = p->next;
    if (p->next)
        p->next->prev = p->prev;
}

static void request_finish(struct client_private *p, CURLcode code)
{
    struct client_request *r = p->request;
    if (p->added)
        curl_multi_remove_handle(p->client->multi, p->easy);
    request_unlink(p);
    todo_remove(p);
    r->err = request_result(p, code);
    r->on_done(r); /* may submit `r` again, or free it */
    request_free(p);
}

static void collect(struct client *c)
{
    CURLMsg *message;
    int left;
    while (!c->closing && (message = curl_multi_info_read(c->multi, &left))) {
        struct client_private *p = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&p);
        request_finish(p, message->data.result);
    }
}

/* --- curl asks, the loop answers --- */

static void act(struct client *c, curl_socket_t fd, int events)
{
    int running;
    c->in_curl = true;
    curl_multi_socket_action(c->multi, fd, events, &running);
    c->in_curl = false;
    collect(c);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct watch *w = container_of(poll, struct watch, poll);
    int what = (events & UV_READABLE ? CURL_CSELECT_IN : 0) |
               (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0);
    act(w->client, w->fd, status < 0 ? CURL_CSELECT_ERR : what);
}

static struct watch *watch_new(struct client *c, curl_socket_t fd)
{
    struct watch *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->client = c;
    w->fd = fd;
    if (uv_poll_init(&c->loop->uv, &w->poll, fd) != 0) {
        free(w);
        return NULL;
    }
    c->open_handles++;
    curl_multi_assign(c->multi, fd, w);
    return w;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct client *c = arg;
    struct watch *w = socket_arg;
    if (what == CURL_POLL_REMOVE) {
        if (w) {
            curl_multi_assign(c->multi, fd, NULL);
            uv_poll_stop(&w->poll);
            uv_close((uv_handle_t *)&w->poll, on_watch_closed);
        }
        return 0;
    }
    if (!w && !(w = watch_new(c, fd)))
        return -1; /* curl fails the transfer */
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    return uv_poll_start(&w->poll, events, on_poll) == 0 ? 0 : -1;
}

static void on_timer(uv_timer_t *timer)
{
    act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timeout(CURLM *multi, long timeout_ms, void *arg)
{
    struct client *c = arg;
    if (c->closing)
        return 0;
    if (timeout_ms < 0)
        uv_timer_stop(&c->timer);
    else
        uv_timer_start(&c->timer, on_timer, (uint64_t)timeout_ms, 0);
    return 0;
}

/* --- what was asked for from inside a callback --- */

static void serve(struct client *c, struct client_private *p)
{
    if (p->canceled || p->stalled) {
        request_finish(p, CURLE_OK);
    } else if (!p->added) {
        p->added = curl_multi_add_handle(c->multi, p->easy) == CURLM_OK;
        if (!p->added)
            request_finish(p, CURLE_OUT_OF_MEMORY);
    } else if (p->resume) {
        p->resume = p->paused_read = p->paused_write = false;
        p->moved_ms = clock_mono_ms();
        c->in_curl = true; /* curl_easy_pause calls on_data at once */
        curl_easy_pause(p->easy, CURLPAUSE_CONT);
        c->in_curl = false;
    }
}

static void on_kick(uv_idle_t *idle)
{
    struct client *c = idle->data;
    uv_idle_stop(idle);
    while (!c->closing && c->todo) {
        struct client_private *p = c->todo;
        todo_remove(p);
        serve(c, p);
    }
    if (!c->closing)
        act(c, CURL_SOCKET_TIMEOUT, 0);
}

static void on_sweep(uv_timer_t *timer)
{
    struct client *c = timer->data;
    uint64_t now = clock_mono_ms();
    for (struct client_private *p = c->all; p; p = p->next) {
        unsigned limit = p->request->stall_timeout_ms ? p->request->stall_timeout_ms : 30000;
        unsigned head_limit = p->request->head_timeout_ms;
        if (head_limit && !p->head_done && now - p->started_ms >= head_limit) {
            p->stalled = p->head_late = true;
            todo_add(p);
        } else if (p->paused_read || p->paused_write)
            p->moved_ms = now; /* it is we who wait */
        else if (now - p->moved_ms >= limit) {
            p->stalled = true;
            todo_add(p);
        }
    }
    if (!c->all)
        uv_timer_stop(&c->sweep);
}

/* --- the public functions --- */

static void curl_start(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        log_fatal("client", "libcurl does not start");
}

struct client *client_new(struct loop *loop)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, curl_start);
    struct client *c = calloc(1, sizeof *c);
    if (!c || !(c->multi = curl_multi_init()))
        log_fatal("client", "out of memory");
    c->loop = loop;
    c->todo_tail = &c->todo;
    c->open_handles = 3;
    uv_timer_init(&loop->uv, &c->timer);
    uv_timer_init(&loop->uv, &c->sweep);
    uv_idle_init(&loop->uv, &c->kick);
    c->timer.data = c->sweep.data = c->kick.data = c;
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)CLIENT_IDLE_CONNECTIONS);
    curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    return c;
}

void client_free(struct client *c)
{
    if (!c)
        return;
    check(!c->in_curl);
    c->closing = true;
    while (c->all) {
        c->all->canceled = true;
        request_finish(c->all, CURLE_OK);
    }
    curl_multi_cleanup(c->multi);
    uv_close((uv_handle_t *)&c->kick, on_own_closed);
    uv_close((uv_handle_t *)&c->timer, on_own_closed);
    uv_close((uv_handle_t *)&c->sweep, on_own_closed);
}

void client_set_timeouts(struct client *c, unsigned connect_ms, unsigned stall_ms, unsigned total_ms)
{
    c->connect_ms = connect_ms;
    c->stall_ms = stall_ms;
    c->total_ms = total_ms;
}

static void upstream_times(const struct client *c, struct client_request *r)
{
    if (!r->connect_timeout_ms)
        r->connect_timeout_ms = c->connect_ms;
    if (!r->stall_timeout_ms)
        r->stall_timeout_ms = c->stall_ms;
    if (!r->total_timeout_ms)
        r->total_timeout_ms = c->total_ms;
}

enum err client_submit(struct client *c, struct client_request *r, struct why *why)
{
    if (c->closing)
        return fail(why, ERR_CANCELED, "the client is closing");
    struct client_private *p = calloc(1, sizeof *p);
    if (!p)
        return fail(why, ERR_UNAVAILABLE, "out of memory for a request");
    if (r->upstream)
        upstream_times(c, r);
    p->client = c;
    p->request = r;
    r->priv = p;
    enum err e = request_prepare(p, why);
    if (e != OK) {
        r->priv = NULL;
        request_free(p);
        return e;
    }
    p->next = c->all;
    p->prev = &c->all;
    if (c->all)
        c->all->prev = &p->next;
    c->all = p;
    if (!uv_is_active((uv_handle_t *)&c->sweep))
        uv_timer_start(&c->sweep, on_sweep, CLIENT_SWEEP_MS, CLIENT_SWEEP_MS);
    todo_add(p);
    return OK;
}

void client_resume(struct client_request *r)
{
    r->priv->resume = true;
    todo_add(r->priv);
}

void client_cancel(struct client_request *r)
{
    r->priv->canceled = true;
    todo_add(r->priv);
}
