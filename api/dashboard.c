/* SPDX-License-Identifier: Apache-2.0 */
/* The dashboard: figures that are kept as things happen (meta_dashboard.h). Requests are counted by each
 * worker in memory (metrics.c); each node adds them to the replicated minutes with one small operation an
 * interval, and none while nothing happens. */
#include <stdlib.h>
#include <string.h>

#include "api/internal.h"
#include "pantera/clock.h"
#include "pantera/ids.h"
#include "pantera/log.h"
#include "pantera/meta_dashboard.h"
#include "pantera/text.h"

enum { TOP = 5, UNSENT = 60 };

/* --- stats --- */

struct top {
    char *name, *type;
    int64_t artifact_count, bytes;
};

struct stats {
    struct http_request *req;
    int64_t repositories, artifacts, bytes, blocked;
    struct top top[TOP];
    unsigned count;
};

/* By number of artifacts; those of the same number by name, as they come. */
static void top_add(struct stats *s, const struct repository_figures *f)
{
    unsigned at = s->count;
    while (at > 0 && s->top[at - 1].artifact_count < f->artifact_count)
        at--;
    if (at == TOP)
        return;
    if (s->count < TOP)
        s->count++;
    memmove(&s->top[at + 1], &s->top[at], (s->count - 1 - at) * sizeof *s->top);
    s->top[at] = (struct top){ arena_strdup(&s->req->arena, f->name), arena_strdup(&s->req->arena, f->type),
                               f->artifact_count, f->bytes };
}

static void stats_each(const struct repository_figures *f, void *arg)
{
    struct stats *s = arg;
    s->repositories++;
    s->artifacts += f->artifact_count;
    s->bytes += f->bytes;
    s->blocked += f->blocked;
    /* Sums are everybody's; names only of what may be read. */
    if (may_repo(s->req->principal, f->name, REPO_READ))
        top_add(s, f);
}

void dashboard_stats_get(struct http_request *req)
{
    struct stats s = { .req = req };
    json_t *top = json_array();
    dashboard_repositories(worker_of(req)->reader, clock_wall_ms(), stats_each, &s);
    for (unsigned i = 0; i < s.count; i++)
        json_array_append_new(top, json_pack("{s:s, s:s, s:I, s:I}", "name", s.top[i].name, "type",
                                             s.top[i].type, "artifact_count",
                                             (json_int_t)s.top[i].artifact_count, "size",
                                             (json_int_t)s.top[i].bytes));
    api_json(req, 200,
             json_pack("{s:I, s:I, s:I, s:I, s:o}", "repo_count", (json_int_t)s.repositories,
                       "artifact_count", (json_int_t)s.artifacts, "total_storage", (json_int_t)s.bytes,
                       "blocked_count", (json_int_t)s.blocked, "top_repos", top));
}

static void type_each(const struct repository_figures *f, void *arg)
{
    json_t *types = arg;
    json_int_t n = json_integer_value(json_object_get(types, f->type));
    json_object_set_new(types, f->type, json_integer(n + 1));
}

void dashboard_types_get(struct http_request *req)
{
    json_t *types = json_object();
    dashboard_repositories(worker_of(req)->reader, clock_wall_ms(), type_each, types);
    api_json(req, 200, json_pack("{s:o}", "types", types));
}

/* --- requests --- */

/* From an hour to a week, in buckets of which there are some dozens. */
static int64_t width_of(int64_t minutes)
{
    return minutes <= 120 ? 1 : minutes <= 24 * 60 ? 15 : 120;
}

void dashboard_requests_get(struct http_request *req)
{
    const char *period = query_get(&req->arena, req->query, "period");
    uint64_t ms = 0;
    char time[32];
    if (!period || !*period)
        period = "24h";
    if (!clock_parse_duration(period, &ms) || ms < 3600000 || ms > 7ull * 24 * 3600000) {
        api_fail_text(req, ERR_BAD_REQUEST, "period must be a duration from 1h to 7d");
        return;
    }
    int64_t minutes = (int64_t)(ms / 60000), width = width_of(minutes), now = clock_wall_ms() / 60000;
    unsigned count = (unsigned)((minutes + width - 1) / width);
    int64_t first = now / width * width - (int64_t)(count - 1) * width; /* the last one is under way */
    struct request_figures *f = arena_alloc(&req->arena, count * sizeof *f);
    dashboard_requests(worker_of(req)->reader, first, width, count, f);
    json_t *data = json_array();
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(data, json_pack("{s:s, s:I, s:I, s:I, s:I}", "time",
                                              clock_rfc3339((first + i * width) * 60000, time), "requests",
                                              (json_int_t)f[i].requests, "errors", (json_int_t)f[i].errors,
                                              "bytes_in", (json_int_t)f[i].bytes_in, "bytes_out",
                                              (json_int_t)f[i].bytes_out));
    api_json(req, 200, json_pack("{s:s, s:I, s:o}", "period", period, "interval_seconds",
                                 (json_int_t)width * 60, "data", data));
}

/* --- this node's minutes: worker 0's --- */

struct minute {
    int64_t minute;
    struct traffic figures; /* of this start, so far */
};

static struct {
    char start[37];            /* which start of this node */
    struct traffic seen;       /* the counters when they were last looked at */
    struct minute unsent[UNSENT]; /* oldest first: not yet known to be everywhere */
    unsigned count;
    bool dirty;                /* something of it was not in a flush yet */
    uint64_t due_ms;
} node;

struct flush {
    struct proposal proposal;
    int64_t last; /* minutes before it are complete */
};
static bool flushing;

static struct minute *minute_now(void)
{
    int64_t now = clock_wall_ms() / 60000;
    if (node.count && node.unsent[node.count - 1].minute >= now)
        return &node.unsent[node.count - 1];
    if (node.count == UNSENT) { /* an hour without a leader: the oldest is lost */
        memmove(node.unsent, node.unsent + 1, (UNSENT - 1) * sizeof *node.unsent);
        node.count--;
    }
    node.unsent[node.count] = (struct minute){ .minute = now };
    return &node.unsent[node.count++];
}

static void count_traffic(void)
{
    struct traffic now, *to;
    metrics_traffic(&now);
    if (now.requests == node.seen.requests && now.bytes_in == node.seen.bytes_in &&
        now.bytes_out == node.seen.bytes_out)
        return;
    to = &minute_now()->figures;
    to->requests += now.requests - node.seen.requests;
    to->errors += now.errors - node.seen.errors;
    to->bytes_in += now.bytes_in - node.seen.bytes_in;
    to->bytes_out += now.bytes_out - node.seen.bytes_out;
    node.seen = now;
    node.dirty = true;
}

static void flushed(struct proposal *p)
{
    struct flush *f = container_of(p, struct flush, proposal);
    unsigned gone = 0;
    flushing = false;
    if (p->err) {
        log_debug("dashboard", "flush: %s", why_text(&p->why, p->err));
        node.dirty = true;
    } else {
        /* The minute under way is sent again, with more in it: figures are absolute. */
        while (gone < node.count && node.unsent[gone].minute < f->last)
            gone++;
        memmove(node.unsent, node.unsent + gone, (node.count - gone) * sizeof *node.unsent);
        node.count -= gone;
    }
    json_decref(p->result);
    free(f);
}

static void flush(struct worker *w)
{
    struct flush *f = calloc(1, sizeof *f);
    json_t *minutes = json_array();
    check(f);
    for (unsigned i = 0; i < node.count; i++) {
        const struct traffic *t = &node.unsent[i].figures;
        json_array_append_new(minutes, json_pack("[I, I, I, I, I]", (json_int_t)node.unsent[i].minute,
                                                 (json_int_t)t->requests, (json_int_t)t->errors,
                                                 (json_int_t)t->bytes_in, (json_int_t)t->bytes_out));
    }
    f->last = node.unsent[node.count - 1].minute;
    f->proposal = (struct proposal){
        .op = "dashboard.flush", .home = &w->loop, .on_done = flushed,
        .args = json_pack("{s:i, s:s, s:o}", "node", cluster_node_id(w->cluster), "start", node.start,
                          "minutes", minutes),
    };
    flushing = true;
    node.dirty = false;
    cluster_propose(w->cluster, &f->proposal);
}

void dashboard_tick(struct worker *w)
{
    count_traffic();
    if (!node.dirty || flushing || clock_mono_ms() < node.due_ms || !cluster_current(w->cluster))
        return;
    if (!*node.start)
        random_uuid(node.start);
    node.due_ms = clock_mono_ms() + w->config->dashboard_interval_ms;
    flush(w);
}
