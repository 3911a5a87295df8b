/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/dashboard.c: what repositories hold, and requests by minute: rows that are kept as things
 * happen, so that nobody has to count. */
#include "pantera/meta_dashboard.h"

#include <string.h>

#include "storage/meta/objects.h"
#include "storage/meta/ops.h"

#define KEEP_MINUTES (8 * 24 * 60)
#define SWEEP_ROWS 500 /* an operation; a node adds two a minute */
#define MOST_MINUTES 256

/* A binary that is newer than the schema runs until the migration comes, which counts what is there. */
static bool has_table(struct txn *t, const char *name)
{
    return sql_exists(t, "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", "s", name,
                      NULL);
}

void stats_add(struct txn *t, int64_t repo_id, int64_t artifacts, int64_t bytes)
{
    if ((!artifacts && !bytes) || !has_table(t, "repository_stats"))
        return;
    check(!sql_do(t, "INSERT INTO repository_stats (repo_id, artifact_count, bytes) VALUES (?, ?, ?) "
                     "ON CONFLICT (repo_id) DO UPDATE SET "
                     "artifact_count = artifact_count + excluded.artifact_count, "
                     "bytes = bytes + excluded.bytes", "iii", repo_id, artifacts, bytes));
}

void stats_drop(struct txn *t, int64_t repo_id)
{
    if (has_table(t, "repository_stats"))
        check(!sql_do(t, "DELETE FROM repository_stats WHERE repo_id = ?", "i", repo_id));
}

const char dashboard_repositories_sql[] =
    "SELECT r.id, r.name, r.type, r.config, ifnull(s.artifact_count, 0), ifnull(s.bytes, 0), "
        "(SELECT count(*) FROM cooldown_block b WHERE b.repo_id = r.id AND b.until_ms > ?1) "
        "FROM repository r LEFT JOIN repository_stats s ON s.repo_id = r.id ORDER BY r.name";

void dashboard_repositories(struct meta_reader *r, int64_t now_ms,
                            void (*each)(const struct repository_figures *f, void *arg), void *arg)
{
    struct sql *q = sql_read(r, dashboard_repositories_sql);

    sql_bind(q, "i", now_ms);
    while (sql_row(q)) {
        struct repository_figures f = {
            .id = sql_int(q, 0), .name = sql_str(q, 1, NULL), .type = sql_str(q, 2, NULL),
            .config = sql_str(q, 3, NULL), .artifact_count = sql_int(q, 4), .bytes = sql_int(q, 5),
            .blocked = sql_int(q, 6),
        };
        each(&f, arg);
    }
    sql_end(q);
}

const char dashboard_requests_sql[] =
        "SELECT (minute - ?1) / ?2, sum(requests), sum(errors), sum(bytes_in), sum(bytes_out) "
        "FROM request_minute WHERE minute >= ?1 AND minute < ?1 + ?2 * ?3 GROUP BY 1";

void dashboard_requests(struct meta_reader *r, int64_t first_minute, int64_t width, unsigned count,
                        struct request_figures *ret)
{
    struct sql *q = sql_read(r, dashboard_requests_sql);

    memset(ret, 0, count * sizeof *ret);
    sql_bind(q, "iii", first_minute, width, (int64_t)count);
    while (sql_row(q)) {
        int64_t bucket = sql_int(q, 0);
        if (bucket >= 0 && bucket < (int64_t)count)
            ret[bucket] = (struct request_figures){ sql_int(q, 1), sql_int(q, 2), sql_int(q, 3),
                                                    sql_int(q, 4) };
    }
    sql_end(q);
}

/* --- dashboard.flush --- */

static bool minute_read(const json_t *row, int64_t now_minute, int64_t ret[5])
{
    for (size_t i = 0; i < 5; i++) {
        const json_t *v = json_array_get(row, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0)
            return false;
        ret[i] = json_integer_value(v);
    }
    return json_array_size(row) == 5 && ret[0] <= now_minute + KEEP_MINUTES;
}

enum err op_dashboard_flush(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const json_t *minutes = json_object_get(args, "minutes"), *row;
    const char *start = arg_text(args, "start");
    int64_t node = arg_int(args, "node", 0), now = txn_now(t) / 60000, v[5];
    size_t i;

    (void)ret_result;
    if (!has_table(t, "request_minute"))
        return fail(why, ERR_UNAVAILABLE, "the cluster is being upgraded; try again");
    if (node < 1 || !start || strlen(start) > 64 || !json_is_array(minutes) ||
        json_array_size(minutes) > MOST_MINUTES)
        return fail(why, ERR_BAD_REQUEST, "dashboard.flush: bad arguments");
    json_array_foreach (minutes, i, row) {
        if (!minute_read(row, now, v))
            return fail(why, ERR_BAD_REQUEST, "dashboard.flush: bad minute");
        check(!sql_do(t, "INSERT OR REPLACE INTO request_minute (minute, node, start, requests, errors, "
                         "bytes_in, bytes_out) VALUES (?, ?, ?, ?, ?, ?, ?)", "iisiiii", v[0], node,
                      start, v[1], v[2], v[3], v[4]));
    }
    check(!sql_do(t, "DELETE FROM request_minute WHERE (minute, node, start) IN (SELECT minute, node, "
                     "start FROM request_minute WHERE minute < ? LIMIT ?)", "ii", now - KEEP_MINUTES,
                  (int64_t)SWEEP_ROWS));
    return OK;
}
