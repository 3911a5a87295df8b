/* SPDX-License-Identifier: Apache-2.0 */
/* Prometheus text (exposition format 0.0.4), by hand. Every worker counts in an array of its own, which
 * only it writes; a scrape adds them up. Relaxed atomics: a figure may be one request old, never torn. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/internal.h"
#include "api/settings.h"
#include "pantera/buf.h"
#include "pantera/clock.h"
#include "pantera/document.h"
#include "pantera/limits.h"
#include "pantera/upstream.h"

enum { WORKERS = 256, METHODS = 8, STATUSES = 600, ROUTES = 256 };

/* Seconds; the last bucket is +Inf. */
static const struct {
    uint64_t us;
    const char *text;
} bounds[] = {
    { 100, "0.0001" }, { 250, "0.00025" }, { 500, "0.0005" }, { 1000, "0.001" },
    { 2500, "0.0025" }, { 5000, "0.005" }, { 10000, "0.01" }, { 25000, "0.025" },
    { 50000, "0.05" }, { 100000, "0.1" }, { 250000, "0.25" }, { 500000, "0.5" },
    { 1000000, "1" }, { 2500000, "2.5" }, { 5000000, "5" }, { 10000000, "10" },
};
enum { BOUNDS = sizeof bounds / sizeof *bounds };

struct counters {
    uint64_t requests[METHODS][STATUSES];
    uint64_t durations[BOUNDS + 1], duration_us, began, finished, bytes_in, bytes_out;
    uint64_t connections, waited[2];
    uint64_t routes[ROUTES];
    struct traffic traffic;
} __attribute__((aligned(64)));

static struct counters *workers[WORKERS]; /* each set once, by its worker */
static int workers_top;                   /* no worker has a higher index */

static void bump(uint64_t *counter, uint64_t by)
{
    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + by, __ATOMIC_RELAXED);
}

static struct counters *mine(const struct http_request *req)
{
    int index = worker_of(req)->loop.index;
    check(index >= 0 && index < WORKERS);
    struct counters *c = __atomic_load_n(&workers[index], __ATOMIC_RELAXED);
    if (!c) {
        c = aligned_alloc(64, sizeof *c);
        check(c);
        memset(c, 0, sizeof *c);
        __atomic_store_n(&workers[index], c, __ATOMIC_RELEASE);
        int top = __atomic_load_n(&workers_top, __ATOMIC_RELAXED);
        while (top < index && !__atomic_compare_exchange_n(&workers_top, &top, index, false,
                                                           __ATOMIC_RELEASE, __ATOMIC_RELAXED))
            ;
    }
    return c;
}

void metrics_began(struct http_request *req)
{
    bump(&mine(req)->began, 1);
}

void metrics_waited(struct http_request *req, bool current)
{
    bump(&mine(req)->waited[current], 1);
}

static uint64_t sum(size_t offset)
{
    uint64_t total = 0;
    for (int w = 0; w <= __atomic_load_n(&workers_top, __ATOMIC_ACQUIRE); w++) {
        struct counters *c = __atomic_load_n(&workers[w], __ATOMIC_ACQUIRE);
        if (c)
            total += __atomic_load_n((uint64_t *)((char *)c + offset), __ATOMIC_RELAXED);
    }
    return total;
}

#define SUM(member) sum(offsetof(struct counters, member))

static bool is_traffic(const struct http_request *req)
{
    if (req->listener->on_request == api_on_metrics_request)
        return false;
    const char *t = req->target;
    const struct api_route *route = req->route;
    return !(t && t[0] == '/' && t[1] == '.' &&
             (strcmp(t, "/.health") == 0 || strcmp(t, "/.ready") == 0)) &&
           !(route && route->handler == health_get);
}

void metrics_traffic(struct traffic *ret)
{
    *ret = (struct traffic){
        .requests = SUM(traffic.requests), .errors = SUM(traffic.errors),
        .bytes_in = SUM(traffic.bytes_in), .bytes_out = SUM(traffic.bytes_out),
    };
}

void metrics_finished(struct http_request *req)
{
    struct counters *c = mine(req);
    uint64_t us = clock_mono_us() - req->started_us;
    unsigned method = (unsigned)__builtin_ctz((unsigned)req->method | HTTP_M_OTHER);
    unsigned bucket = 0;
    bump(&c->requests[method][req->status > 0 && req->status < STATUSES ? req->status : 0], 1);
    while (bucket < BOUNDS && us > bounds[bucket].us)
        bucket++;
    bump(&c->durations[bucket], 1);
    bump(&c->duration_us, us);
    bump(&c->bytes_in, req->bytes_in);
    bump(&c->bytes_out, req->bytes_out);
    bump(&c->finished, 1);
    if (is_traffic(req)) {
        bump(&c->traffic.requests, 1);
        bump(&c->traffic.errors, req->status >= 500);
        bump(&c->traffic.bytes_in, req->bytes_in);
        bump(&c->traffic.bytes_out, req->bytes_out);
    }
    if (req->server)
        __atomic_store_n(&c->connections, http_server_connections(req->server), __ATOMIC_RELAXED);
    const struct api_route *route = req->route;
    if (route >= api_routes && route < api_routes + api_routes_count && route - api_routes < ROUTES)
        bump(&c->routes[route - api_routes], 1);
}

/* --- a scrape --- */

static void head(struct buf *b, const char *name, const char *type, const char *help)
{
    buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(struct buf *b, const char *name, const char *type, const char *help, uint64_t value)
{
    head(b, name, type, help);
    buf_printf(b, "%s %llu\n", name, (unsigned long long)value);
}

static void render_requests(struct buf *b)
{
    head(b, "pantera_http_requests_total", "counter", "Requests answered.");
    for (unsigned m = 0; m < METHODS; m++)
        for (unsigned s = 0; s < STATUSES; s++) {
            uint64_t n =
                         sum(offsetof(struct counters, requests) +
                             (m * STATUSES + s) * sizeof(uint64_t));
            if (n)
                buf_printf(b,
                           "pantera_http_requests_total{method=\"%s\",status_code=\"%u\"} %llu\n",
                           http_method_name((enum http_method)(1u << m)), s, (unsigned long long)n);
        }
    head(b, "pantera_api_requests_total", "counter", "Requests of the management API by endpoint.");
    for (unsigned r = 0; r < api_routes_count && r < ROUTES; r++) {
        uint64_t n = sum(offsetof(struct counters, routes) + r * sizeof(uint64_t));
        if (n)
            buf_printf(b, "pantera_api_requests_total{method=\"%s\",route=\"%s\"} %llu\n",
                       http_method_name((enum http_method)api_routes[r].method),
                       api_routes[r].pattern, (unsigned long long)n);
    }
}

static void render_durations(struct buf *b)
{
    uint64_t below = 0;
    head(b, "pantera_http_request_duration_seconds", "histogram",
         "From the first byte of a request to the last of its answer.");
    for (unsigned i = 0; i <= BOUNDS; i++) {
        below += sum(offsetof(struct counters, durations) + i * sizeof(uint64_t));
        buf_printf(b, "pantera_http_request_duration_seconds_bucket{le=\"%s\"} %llu\n",
                   i < BOUNDS ? bounds[i].text : "+Inf", (unsigned long long)below);
    }
    buf_printf(b, "pantera_http_request_duration_seconds_sum %.6f\n", (double)SUM(duration_us) / 1e6);
    buf_printf(b, "pantera_http_request_duration_seconds_count %llu\n", (unsigned long long)below);
}

static void render_cluster(struct buf *b, const struct cluster *cluster)
{
    struct cluster_figures f;
    cluster_figures(cluster, &f);
    one(b, "pantera_cluster_state", "gauge", "0 unavailable, 1 follower, 2 candidate, 3 leader.",
        (uint64_t)f.state);
    one(b, "pantera_cluster_current", "gauge", "1: this node can prove that it is current.",
        cluster_current(cluster));
    one(b, "pantera_cluster_leader_id", "gauge", "Id of the leader, 0 if unknown.",
        f.leader_id > 0 ? (uint64_t)f.leader_id : 0);
    one(b, "pantera_cluster_term", "gauge", "Term of the log.", f.term);
    one(b, "pantera_cluster_last_index", "gauge", "Last index of the log.", f.last_index);
    one(b, "pantera_cluster_commit_index", "gauge", "Committed index of the log.", f.commit_index);
    one(b, "pantera_cluster_applied_index", "gauge", "Index that the replica holds.",
        f.applied_index);
    one(b, "pantera_cluster_members", "gauge", "Members of the cluster.", f.members);
    one(b, "pantera_cluster_reachable", "gauge", "Members that this node reaches.", f.reachable);
    one(b, "pantera_cluster_batches_total", "counter", "Batches committed.", f.batches);
    one(b, "pantera_cluster_operations_total", "counter", "Operations run here.", f.ops);
    one(b, "pantera_cluster_snapshots_total", "counter", "Snapshots taken.", f.snapshots);
    one(b, "pantera_cluster_elections_total", "counter", "Elections begun here.", f.elections);
    one(b, "pantera_cluster_lease_waits_total", "counter",
        "Acknowledgements that waited for a lease to end.", f.lease_waits);
    head(b, "pantera_cluster_requests_waited_total", "counter",
         "Requests that waited until this node was current, or in vain.");
    for (unsigned i = 0; i < 2; i++)
        buf_printf(b, "pantera_cluster_requests_waited_total{outcome=\"%s\"} %llu\n",
                   i ? "current" : "refused",
                   (unsigned long long)sum(offsetof(struct counters, waited) + i * sizeof(uint64_t)));
    one(b, "pantera_cluster_log_bytes", "gauge", "Size of the log on disk.", f.log_bytes);
}

static uint64_t resident_bytes(void)
{
    /* /proc is memory, not a disk: nothing waits here. */
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%*u %lu", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t started_ms;

static void __attribute__((constructor)) note_start(void)
{
    started_ms = clock_mono_ms();
}

void metrics_render(struct http_request *req)
{
    struct buf b;
    buf_init(&b, MIB(8)); /* there may be hundreds of remotes */
    render_requests(&b);
    render_durations(&b);
    uint64_t finished = SUM(finished), began = SUM(began);
    one(&b, "pantera_http_active_requests", "gauge", "Requests being answered.",
        began > finished ? began - finished : 0);
    one(&b, "pantera_http_connections", "gauge", "Open connections when the last request ended.",
        SUM(connections));
    one(&b, "pantera_http_request_bytes_total", "counter", "Bytes of request bodies.",
        SUM(bytes_in));
    one(&b, "pantera_http_response_bytes_total", "counter", "Bytes of responses.", SUM(bytes_out));
    render_cluster(&b, worker_of(req)->cluster);
    upstream_metrics(&b);
    registry_metrics(&b);
    one(&b, "process_resident_memory_bytes", "gauge", "Resident memory.", resident_bytes());
    one(&b, "pantera_uptime_seconds", "gauge", "Since the process started.",
        (clock_mono_ms() - started_ms) / 1000);
    head(&b, "pantera_build_info", "gauge", "Version.");
    buf_printf(&b, "pantera_build_info{version=\"%s\"} 1\n", PANTERA_VERSION);
    if (buf_err(&b))
        api_fail(req, ERR_INTERNAL, NULL);
    else
        http_reply(req, 200, "text/plain; version=0.0.4; charset=utf-8", b.data, b.length);
    buf_free(&b);
}

void api_on_metrics_request(struct http_request *req)
{
    struct worker *w = worker_of(req);
    const char *other = settings_text(&req->arena, w, "metrics", "endpoint");
    metrics_began(req);
    if (strcmp(req->target, "/metrics") != 0 && (!other || strcmp(req->target, other) != 0)) {
        api_fail(req, ERR_NOT_FOUND, NULL);
    } else if (!settings_number(w, "metrics", "enabled")) {
        api_fail_text(req, ERR_NOT_FOUND, "metrics are switched off");
    } else if (!(req->method & (HTTP_M_GET | HTTP_M_HEAD))) {
        http_set_header(req, "Allow", "GET, HEAD");
        api_fail(req, ERR_METHOD, NULL);
    } else {
        metrics_render(req);
    }
}
