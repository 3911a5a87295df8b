/* SPDX-License-Identifier: Apache-2.0 */
/* Settings in force: what a worker holds copies of (timeouts, the log's level) follows the settings'
 * generation. Looked at before each request, and twice a second for workers that have none. */
#include "api/internal.h"
#include "api/settings.h"
#include "pantera/gen.h"
#include "pantera/log.h"
#include "pantera/upstream.h"

enum { TICK_MS = 500 };

static __thread const struct worker *applied_to; /* a thread has one worker; tests have several in a row */
static __thread uint64_t applied_stamp;
static __thread bool access_log;

bool settings_access_log(void)
{
    return access_log;
}

static unsigned upstreams(const struct worker *w, const char *key)
{
    return (unsigned)settings_number(w, "http_client", key);
}

/* The whole process's; each worker says the same. */
static void put_upstreams_in_force(const struct worker *w)
{
    upstream_limits_set(&(struct upstream_limits){
        .connect_ms = upstreams(w, "connection_timeout"),
        .head_ms = upstreams(w, "proxy_timeout"),
        .stall_ms = upstreams(w, "idle_timeout"),
        .acquire_ms = upstreams(w, "connection_acquire_timeout"),
        .connections = upstreams(w, "max_connections_per_destination"),
        .queue = upstreams(w, "max_requests_queued_per_destination"),
        .follow_redirects = upstreams(w, "follow_redirects"),
    });
}

static void put_in_force(struct worker *w)
{
    struct arena a;
    enum log_level level;
    arena_init(&a);
    http_server_set_timeouts(w->http, (unsigned)settings_number(w, "http_server", "idle_timeout"),
                             (unsigned)settings_number(w, "http_server", "request_timeout"));
    client_set_timeouts(w->client, (unsigned)settings_number(w, "http_client", "connection_timeout"),
                        (unsigned)settings_number(w, "http_client", "idle_timeout"),
                        (unsigned)settings_number(w, "http_client", "proxy_timeout"));
    put_upstreams_in_force(w);
    const char *text = settings_text(&a, w, "logging", "level");
    if (text && log_level_parse(text, &level))
        log_set_level(level);
    access_log = settings_number(w, "logging", "access");
    arena_release(&a);
}

void settings_apply(struct worker *w)
{
    uint64_t stamp = gen_get(GEN_POLICY, 0) + 1;
    if (stamp == applied_stamp && w == applied_to)
        return;
    put_in_force(w);
    applied_stamp = stamp;
    applied_to = w;
}

/* --- a worker's clock --- */

static void on_tick(uv_timer_t *timer)
{
    struct worker *w = timer->data;
    settings_apply(w);
    if (w->loop.index == 0)
        dashboard_tick(w);
}

void api_worker_start(struct worker *w)
{
    check(uv_timer_init(&w->loop.uv, &w->api_timer) == 0);
    w->api_timer.data = w;
    gate_start(w);
    settings_apply(w);
    check(uv_timer_start(&w->api_timer, on_tick, TICK_MS, TICK_MS) == 0);
}

void api_worker_stop(struct worker *w)
{
    uv_close((uv_handle_t *)&w->api_timer, NULL);
    gate_stop(w);
}
