/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log: lists with filters, newest first, and the check of the whole chain, which runs on the pool
 * with a connection of its own, in steps, so that neither a loop nor a checkpoint waits for it. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/internal.h"
#include "pantera/clock.h"
#include "pantera/meta_audit.h"
#include "pantera/tether.h"
#include "pantera/text.h"

/* --- lists --- */

/* Milliseconds since 1970, or RFC 3339 in UTC. 0: absent. */
static bool time_arg(struct http_request *req, const char *name, int64_t *ret)
{
    const char *text = query_get(&req->arena, req->query, name);
    struct tm tm = { 0 };
    char *end;
    int n = 0;
    *ret = 0;
    if (!text || !*text)
        return true;
    errno = 0;
    long long ms = strtoll(text, &end, 10);
    if (!*end && !errno && ms >= 0 && ms < 1ll << 50) {
        *ret = ms;
        return true;
    }
    if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2dZ%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
               &tm.tm_min, &tm.tm_sec, &n) != 6 || text[n] || !n)
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *ret = (int64_t)timegm(&tm) * 1000;
    return *ret >= 0;
}

static json_t *value_json(const char *text)
{
    json_t *value = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    return value ? value : json_null();
}

static json_t *row_json(const struct audit_row *row)
{
    char time[32], hash[65];
    hex_encode(row->hash, 32, hash);
    return json_pack("{s:I, s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:s}", "seq",
                     (json_int_t)row->seq, "time", clock_rfc3339(row->time_ms, time), "time_ms",
                     (json_int_t)row->time_ms, "actor", row->actor, "address", row->address,
                     "request_id", row->request_id, "action", row->action, "resource_type", row->type,
                     "resource", row->resource, "before", value_json(row->before), "after",
                     value_json(row->after), "hash", hash);
}

static const char *text_arg(struct http_request *req, const char *name)
{
    const char *text = query_get(&req->arena, req->query, name);
    return text && *text ? text : NULL;
}

void audit_get(struct http_request *req)
{
    struct page page;
    struct audit_row *rows;
    unsigned count;
    int64_t total;
    struct audit_query query = {
        .actor = text_arg(req, "actor"), .action = text_arg(req, "action"),
        .resource = text_arg(req, "resource"), .type = text_arg(req, "resource_type"),
    };
    api_page(req, 20, &page);
    if (!time_arg(req, "from", &query.from_ms) || !time_arg(req, "to", &query.to_ms)) {
        api_fail_text(req, ERR_BAD_REQUEST, "from and to are milliseconds since 1970 or times like "
                                            "2026-01-31T12:00:00Z");
        return;
    }
    query.offset = page.page * page.size;
    query.limit = page.size;
    audit_list(worker_of(req)->reader, &req->arena, &query, &rows, &count, &total);
    json_t *items = json_array();
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(items, row_json(&rows[i]));
    api_json(req, 200, api_page_json(&page, items, total));
}

/* --- verify --- */

struct verify {
    struct work work;
    struct http_request *req; /* NULL: gone */
    struct tether *tether;
    const char *dir;
    enum err err;
    struct audit_check check;
};

static atomic_bool verifying; /* one at a time: it reads the whole log */

static void verify_run(struct work *work)
{
    enum { STEP = 1000 };
    struct verify *v = container_of(work, struct verify, work);
    struct why why = { "" };
    struct meta_reader *r = meta_reader_open(v->dir, &why);
    if (!r) {
        v->err = ERR_UNAVAILABLE;
        return;
    }
    audit_check_begin(r, &v->check);
    while (!v->check.done)
        audit_check_step(r, &v->check, STEP);
    meta_reader_close(r);
}

static void verify_done(struct work *work)
{
    struct verify *v = container_of(work, struct verify, work);
    const struct audit_check *c = &v->check;
    char head[65];
    atomic_store(&verifying, false);
    if (v->req) {
        tether_cut(v->tether);
        hex_encode(c->hash, 32, head);
        if (v->err)
            api_fail_text(v->req, v->err, "the replica could not be opened for reading");
        else
            api_json(v->req, 200,
                     json_pack("{s:b, s:I, s:I, s:I, s:s, s:o}", "ok", c->ok, "count",
                               (json_int_t)c->count, "first_seq", (json_int_t)c->first_seq,
                               "last_seq", (json_int_t)c->next_seq - 1, "head", head, "first_bad",
                               c->ok ? json_null()
                                     : json_pack("{s:I, s:s}", "seq", (json_int_t)c->bad_seq,
                                                 "reason", c->reason)));
    }
    free(v);
}

void audit_verify_get(struct http_request *req)
{
    if (atomic_exchange(&verifying, true)) {
        http_set_header(req, "Retry-After", "5");
        api_fail_text(req, ERR_TOO_MANY, "the log is being verified already; try again later");
        return;
    }
    struct verify *v = calloc(1, sizeof *v);
    check(v);
    v->dir = cluster_data_dir(worker_of(req)->cluster);
    v->tether = tether_tie(req, &v->req);
    work_submit(&v->work, &worker_of(req)->loop, verify_run, verify_done);
}
