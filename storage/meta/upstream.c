/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/upstream.c: what proxies know of what they hold, and who fetches what. When something is
 * stale, and what a claim is good for, is the registry's to know. */
#include "pantera/meta_upstream.h"

#include <string.h>

#include "pantera/meta_artifact.h"
#include "storage/meta/objects.h"
#include "storage/meta/ops.h"

enum { PURGE_STEP = 500 };

enum err upstream_row_get(struct meta_reader *r, struct arena *a, int64_t repo_id, const char *path,
                          struct upstream_row *ret)
{
    struct sql *q = sql_read(r, "SELECT remote, url, etag, last_modified, released_ms, checked_ms "
                                "FROM upstream WHERE repo_id = ? AND path = ?");
    bool found;

    sql_bind(q, "is", repo_id, path);
    if ((found = sql_row(q))) {
        ret->remote = sql_str(q, 0, a);
        ret->url = sql_str(q, 1, a);
        ret->etag = sql_str(q, 2, a);
        ret->last_modified = sql_str(q, 3, a);
        ret->released_ms = sql_int(q, 4);
        ret->checked_ms = sql_int(q, 5);
    }
    sql_end(q);
    return found ? OK : ERR_NOT_FOUND;
}

#define TABLE_THERE "SELECT 1 FROM sqlite_master WHERE name = 'upstream_purge'"

bool upstream_rows_ready(struct meta_reader *r)
{
    struct sql *q = sql_read(r, TABLE_THERE);
    bool found = sql_row(q);

    sql_end(q);
    return found;
}

/* --- operations --- */

static enum err ready(struct txn *t, struct why *why)
{
    if (sql_exists(t, TABLE_THERE, "", NULL, NULL))
        return OK;
    return fail(why, ERR_UNAVAILABLE, "the cluster is being upgraded; try again");
}

static void claim_end(struct txn *t, const json_t *args)
{
    const char *token = arg_text(args, "token");

    if (token)
        check(!sql_do(t, "DELETE FROM fetch_claim WHERE repo_id = ? AND path = ? AND token = ?", "iss",
                      arg_int(args, "repo_id", 0), arg_text(args, "path"), token));
}

static enum err row_put(struct txn *t, const json_t *args, struct why *why)
{
    const json_t *u = json_object_get(args, "upstream");
    const char *remote = arg_text(u, "remote"), *path = arg_text(args, "path");

    if (!remote || !path)
        return fail(why, ERR_BAD_REQUEST, "upstream: bad arguments");
    check(!sql_do(t, "INSERT INTO upstream (repo_id, path, remote, url, etag, last_modified, released_ms, "
                     "checked_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (repo_id, path) DO UPDATE SET "
                     "remote = excluded.remote, url = excluded.url, etag = excluded.etag, "
                     "last_modified = excluded.last_modified, released_ms = excluded.released_ms, "
                     "checked_ms = excluded.checked_ms",
                  "isssssii", arg_int(args, "repo_id", 0), path, remote, arg_text(u, "url"),
                  arg_text(u, "etag"), arg_text(u, "last_modified"), arg_int(u, "released_ms", 0),
                  txn_now(t)));
    return OK;
}

enum err op_artifact_cache(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    enum err e = ready(t, why);

    if (e || (e = op_artifact_put(t, args, ret_result, why)))
        return e;
    claim_end(t, args);
    return row_put(t, args, why);
}

enum err op_upstream_seen(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    enum err e = ready(t, why);

    (void)ret_result;
    if (e)
        return e;
    claim_end(t, args);
    if (!sql_exists(t, "SELECT 1 FROM repository WHERE id = ?", "s",
                    arena_printf(txn_arena(t), "%lld", (long long)arg_int(args, "repo_id", 0)), NULL))
        return fail(why, ERR_NOT_FOUND, "the repository does not exist any more");
    return row_put(t, args, why);
}

enum err op_fetch_claim(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *path = arg_text(args, "path"), *token = arg_text(args, "token");
    const char *incarnation = arg_text(args, "incarnation");
    int64_t repo_id = arg_int(args, "repo_id", 0), ttl = arg_int(args, "ttl_ms", 0);
    bool taken = false;
    struct sql *q;
    enum err e = ready(t, why);

    if (e)
        return e;
    if (!path || !token || !incarnation || ttl < 1)
        return fail(why, ERR_BAD_REQUEST, "fetch.claim: bad arguments");
    q = sql_txn(t, "SELECT token <> ? AND until_ms > ? FROM fetch_claim WHERE repo_id = ? AND path = ?");
    sql_bind(q, "siis", token, txn_now(t), repo_id, path);
    taken = sql_row(q) && sql_int(q, 0);
    sql_end(q);
    if (!taken)
        check(!sql_do(t, "INSERT INTO fetch_claim (repo_id, path, node, incarnation, token, until_ms) "
                         "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (repo_id, path) DO UPDATE SET "
                         "node = excluded.node, incarnation = excluded.incarnation, "
                         "token = excluded.token, until_ms = excluded.until_ms",
                      "isissi", repo_id, path, arg_int(args, "node", 0), incarnation, token,
                      txn_now(t) + ttl));
    *ret_result = json_pack("{s:b}", "granted", !taken);
    return OK;
}

enum err op_fetch_release(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    enum err e = ready(t, why);

    (void)ret_result;
    if (!e)
        claim_end(t, args);
    return e;
}

void claims_drop(struct txn *t, int64_t node, const char *incarnation)
{
    if (!ready(t, NULL))
        check(!sql_do(t, "DELETE FROM fetch_claim WHERE node = ? AND incarnation <> ?", "is", node,
                      incarnation));
}

bool upstream_forget(struct txn *t, int64_t repo_id, int64_t limit)
{
    if (ready(t, NULL))
        return true;
    check(!sql_do(t, "DELETE FROM fetch_claim WHERE repo_id = ?", "i", repo_id));
    check(!sql_do(t, "DELETE FROM upstream_purge WHERE repo_id = ?", "i", repo_id));
    if (limit < 1)
        return false;
    check(!sql_do(t, "DELETE FROM upstream WHERE repo_id = ?1 AND path IN "
                     "(SELECT path FROM upstream WHERE repo_id = ?1 LIMIT ?2)", "ii", repo_id, limit));
    return sql_changes(t) < limit;
}

/* Up to `limit` paths from `first` to before `end` (NULL: to the last). How many. */
static unsigned purge_some(struct txn *t, int64_t repo_id, const char *first, const char *end,
                           int64_t limit)
{
    const char **paths = arena_alloc(txn_arena(t), (size_t)(limit + 1) * sizeof *paths);
    unsigned n = 0;
    struct sql *q = sql_txn(t, "SELECT path FROM artifact WHERE repo_id = ?1 AND path >= ?2 AND "
                               "(?3 IS NULL OR path < ?3) LIMIT ?4");

    sql_bind(q, "issi", repo_id, first, end, limit);
    while (n < (unsigned)limit && sql_row(q))
        paths[n++] = sql_str(q, 0, txn_arena(t));
    sql_end(q);
    for (unsigned i = 0; i < n; i++) {
        json_t *args = json_pack("{s:I, s:s}", "repo_id", (json_int_t)repo_id, "path", paths[i]);
        json_t *result = NULL;
        check(!op_artifact_delete(t, args, &result, NULL));
        json_decref(result);
        json_decref(args);
    }
    if (n < (unsigned)limit)
        check(!sql_do(t, "DELETE FROM upstream WHERE repo_id = ?1 AND path >= ?2 AND "
                         "(?3 IS NULL OR path < ?3)", "iss", repo_id, first, end));
    return n;
}

enum err op_upstream_purge(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *path = arg_text(args, "path"), *first, *end;
    int64_t repo_id = arg_int(args, "repo_id", 0), limit = arg_int(args, "limit", PURGE_STEP);
    unsigned n = 0;
    enum err e = ready(t, why);

    if (e)
        return e;
    if (!path || limit < 1 || limit > PURGE_STEP)
        return fail(why, ERR_BAD_REQUEST, "upstream.purge: bad arguments");
    if (*path) /* the path itself: up to its first successor */
        n = purge_some(t, repo_id, path, arena_printf(txn_arena(t), "%s\x01", path), limit);
    if (n < limit && json_is_true(json_object_get(args, "tree"))) {
        first = *path ? arena_printf(txn_arena(t), "%s/", path) : "";
        end = *path ? arena_printf(txn_arena(t), "%s0", path) : NULL; /* '0' is the byte after '/' */
        n += purge_some(t, repo_id, first, end, limit - n);
    }
    check(!sql_do(t, "INSERT INTO upstream_purge (repo_id, serial) VALUES (?, 1) "
                     "ON CONFLICT (repo_id) DO UPDATE SET serial = serial + 1", "i", repo_id));
    *ret_result = json_pack("{s:i, s:b}", "deleted", (int)n, "more", n == (unsigned)limit);
    return OK;
}
