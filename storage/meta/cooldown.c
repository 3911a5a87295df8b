/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/cooldown.c: what is blocked and what somebody decided. What the configuration means is
 * cooldown_rule.c's; whether a version may be served, the registry's (cooldown_decide). */
#include "pantera/meta_cooldown.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/limits.h"
#include "storage/meta/objects.h"
#include "storage/meta/ops.h"

#define TOO_YOUNG "TOO_YOUNG"
#define UNKNOWN_AGE "UNKNOWN_AGE"
#define FROZEN "FROZEN"
#define STEP_ROWS COOLDOWN_STEP
#define EXPIRED_ROWS 100 /* swept with each new block */
#define VERSION_MOST 255

/* --- reading --- */

const char *cooldown_key(struct arena *a, const char *type, const char *package)
{
    char *key, *to;

    if (strncmp(type, "pypi", 4) == 0) { /* PEP 503: of any spelling */
        key = to = arena_strdup(a, package);
        for (const char *c = package; *c; c++) {
            bool sign = strchr("-_.", *c) != NULL;
            if (!sign || to == key || to[-1] != '-')
                *to++ = sign ? '-' : *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
        }
        *to = 0;
        return key;
    }
    if (strncmp(type, "maven", 5) != 0 && strncmp(type, "gradle", 6) != 0)
        return package;
    key = arena_strdup(a, package);
    for (char *at = key; (at = strchr(at, ':'));)
        *at = '.';
    return key;
}

/* Not a list's word. */
static bool is_age(const char *reason)
{
    return !strcmp(reason, TOO_YOUNG) || !strcmp(reason, FROZEN) || !strcmp(reason, UNKNOWN_AGE);
}

void cooldown_state(struct meta_reader *r, int64_t repo_id, const char *key, const char *version,
                    int64_t now_ms, struct cooldown_state *ret)
{
    struct sql *q = sql_read(r, "SELECT 1 FROM cooldown_decision WHERE repo_id = ? AND key = ? AND "
                                "version = ? AND decision = 'allow'");

    *ret = (struct cooldown_state){ 0 };
    sql_bind(q, "iss", repo_id, key, version);
    ret->allowed = sql_row(q);
    sql_end(q);
    q = sql_read(r, "SELECT reason, released_ms, until_ms FROM cooldown_block "
                    "WHERE repo_id = ? AND key = ? AND version = ?");
    sql_bind(q, "iss", repo_id, key, version);
    if (sql_row(q)) {
        snprintf(ret->reason, sizeof ret->reason, "%s", sql_str(q, 0, NULL));
        ret->by_age = is_age(ret->reason);
        ret->released_ms = sql_int(q, 1);
        ret->until_ms = sql_int(q, 2);
        ret->blocked = ret->until_ms > now_ms;
    }
    sql_end(q);
}

void cooldown_rows(struct meta_reader *r, int64_t repo_id, const char *key,
                   void (*each)(const struct cooldown_row_of *row, void *arg), void *arg)
{
    struct sql *q = sql_read(r, "SELECT version, NULL, 0, 0 FROM cooldown_decision WHERE repo_id = ?1 AND "
                                "key = ?2 AND decision = 'allow' UNION ALL SELECT version, reason, "
                                "released_ms, until_ms FROM cooldown_block WHERE repo_id = ?1 AND key = ?2");

    sql_bind(q, "is", repo_id, key);
    while (sql_row(q)) {
        struct cooldown_row_of row = { .version = sql_str(q, 0, NULL), .reason = sql_str(q, 1, NULL),
                                       .released_ms = sql_int(q, 2), .until_ms = sql_int(q, 3) };
        row.allowed = !row.reason;
        row.by_age = row.reason && is_age(row.reason);
        each(&row, arg);
    }
    sql_end(q);
}

static const char *like_pattern(struct arena *a, const char *q)
{
    char *out, *at;

    if (!q || !*q)
        return NULL;
    out = at = arena_alloc(a, 2 * strlen(q) + 3);
    *at++ = '%';
    for (; *q; q++) {
        if (strchr("%_\\", *q))
            *at++ = '\\';
        *at++ = *q;
    }
    *at = '%';
    return out;
}

/* A '+' keeps the planner on the index of the order: a page is then read, not sorted. */
#define WHERE " WHERE b.until_ms > ?1 AND (?2 IS NULL OR " \
    "b.repo_id IN (SELECT value FROM json_each(?2))) AND (?3 IS NULL OR b.package LIKE ?3 ESCAPE '\\' " \
    "OR b.version LIKE ?3 ESCAPE '\\' OR r.name LIKE ?3 ESCAPE '\\')"
#define ORDERED " WHERE +b.until_ms > ?1 AND (?2 IS NULL OR " \
    "+b.repo_id IN (SELECT value FROM json_each(?2))) AND (?3 IS NULL OR b.package LIKE ?3 ESCAPE '\\' " \
    "OR b.version LIKE ?3 ESCAPE '\\' OR r.name LIKE ?3 ESCAPE '\\')"
#define BLOCKS " FROM cooldown_block b CROSS JOIN repository r ON r.id = b.repo_id"
#define REPOS " FROM repository r CROSS JOIN cooldown_block b ON b.repo_id = r.id"
#define PAGE(from, order) "SELECT b.package, b.version, r.name, r.type, b.reason, b.blocked_ms, " \
    "b.until_ms" from ORDERED " ORDER BY " order " LIMIT ?4 OFFSET ?5"
#define BOTH(q, from, up, down) ((q)->descending ? PAGE(from, down) : PAGE(from, up))

const char *cooldown_list_sql(const struct cooldown_query *q)
{
    switch (q->sort) {
    case COOLDOWN_BY_UNTIL:
        return BOTH(q, BLOCKS, "b.until_ms", "b.until_ms DESC");
    case COOLDOWN_BY_PACKAGE:
        return BOTH(q, BLOCKS, "b.package, b.version", "b.package DESC, b.version DESC");
    case COOLDOWN_BY_VERSION:
        return BOTH(q, BLOCKS, "b.version", "b.version DESC");
    case COOLDOWN_BY_REPO:
        return BOTH(q, REPOS, "r.name, b.key, b.version", "r.name DESC, b.key DESC, b.version DESC");
    case COOLDOWN_BY_DATE:
        break;
    }
    return BOTH(q, BLOCKS, "b.blocked_ms", "b.blocked_ms DESC");
}

void cooldown_list(struct meta_reader *r, struct arena *a, const struct cooldown_query *query,
                   struct cooldown_row **ret, unsigned *ret_count, int64_t *ret_total)
{
    const char *like = like_pattern(a, query->search);
    char *ids = query->repo_ids ? json_dumps(query->repo_ids, JSON_COMPACT) : NULL;
    struct cooldown_row *rows = arena_alloc(a, (size_t)(query->limit + 1) * sizeof *rows);
    unsigned n = 0;
    struct sql *q;

    sql_snapshot_begin(r);
    q = sql_read(r, "SELECT count(*)" BLOCKS WHERE);
    sql_bind(q, "iss", query->now_ms, ids, like);
    *ret_total = sql_row(q) ? sql_int(q, 0) : 0;
    sql_end(q);
    q = sql_read(r, cooldown_list_sql(query));
    sql_bind(q, "issii", query->now_ms, ids, like, query->limit, query->offset);
    while (n < query->limit && sql_row(q)) {
        struct cooldown_row *row = &rows[n++];
        row->package = sql_str(q, 0, a);
        row->version = sql_str(q, 1, a);
        row->repo = sql_str(q, 2, a);
        row->type = sql_str(q, 3, a);
        row->reason = sql_str(q, 4, a);
        row->blocked_ms = sql_int(q, 5);
        row->until_ms = sql_int(q, 6);
    }
    sql_end(q);
    sql_snapshot_end(r);
    free(ids);
    *ret = rows;
    *ret_count = n;
}

/* --- operations --- */

static enum err ready(struct txn *t, struct why *why)
{
    if (sql_exists(t, "SELECT 1 FROM sqlite_master WHERE name = ?", "s", "cooldown_decision", NULL))
        return OK;
    return fail(why, ERR_UNAVAILABLE, "the cluster is being upgraded; try again");
}

static enum err names_check(const char *package, const char *version, struct why *why)
{
    if (!package || !*package || strlen(package) > LIMIT_PATH || !version || !*version ||
        strlen(version) > VERSION_MOST)
        return fail(why, ERR_BAD_REQUEST, "'artifact' and 'version' are required and must be strings");
    return OK;
}

static bool repo_by_name(struct txn *t, const char *name, int64_t *ret_id, const char **ret_type)
{
    struct sql *q = sql_txn(t, "SELECT id, type FROM repository WHERE name = ?");
    bool found;

    sql_bind(q, "s", name);
    if ((found = sql_row(q))) {
        *ret_id = sql_int(q, 0);
        *ret_type = sql_str(q, 1, txn_arena(t));
    }
    sql_end(q);
    return found;
}

static int64_t limit_of(const json_t *args)
{
    int64_t limit = arg_int(args, "limit", STEP_ROWS);
    return limit < 1 || limit > STEP_ROWS ? STEP_ROWS : limit;
}

/* Up to `limit` blocks of one repository that its rule doesn't want go; how many that were. */
static int64_t blocks_drop(struct txn *t, int64_t repo_id, struct cooldown_rule rule, int64_t limit)
{
    if (rule.enabled && rule.unknown != COOLDOWN_ALLOW)
        return 0;
    check(!sql_do(t, "DELETE FROM cooldown_block WHERE (repo_id, key, version) IN (SELECT repo_id, key, "
                     "version FROM cooldown_block WHERE repo_id = ?1 AND (reason = '" UNKNOWN_AGE "' OR "
                     "(NOT ?2 AND reason IN ('" TOO_YOUNG "', '" FROZEN "'))) LIMIT ?3)", "iii", repo_id,
                  (int64_t)rule.enabled, limit));
    return sql_changes(t);
}

/* The others get the end, and the reason, that cooldown_rule_judge would give them now. In released_ms stands
 * what their age is counted from. */
#define REVIEW(set, reasons, differ) "UPDATE cooldown_block SET " set " WHERE (repo_id, key, version) IN " \
    "(SELECT repo_id, key, version FROM cooldown_block WHERE repo_id = ?1 AND reason IN (" reasons ") AND " \
    differ " LIMIT ?2)"
#define ENDS "CASE WHEN ?4 AND released_ms > ?4 THEN ?5 ELSE released_ms + ?3 END"

static int64_t blocks_review(struct txn *t, int64_t repo_id, struct cooldown_rule rule, int64_t limit)
{
    int64_t changed = blocks_drop(t, repo_id, rule, limit), all = COOLDOWN_FOREVER_MS;
    /* Of what is blocked until somebody decides, all is after the freeze. */
    int64_t unknown_frozen = rule.unknown == COOLDOWN_BLOCK ? 1 : rule.frozen_ms;

    if (!rule.enabled || changed >= limit)
        return changed;
    check(!sql_do(t, REVIEW("until_ms = " ENDS ", reason = CASE WHEN ?4 AND released_ms > ?4 THEN '" FROZEN
                            "' ELSE '" TOO_YOUNG "' END", "'" TOO_YOUNG "', '" FROZEN "'",
                            "released_ms > 0 AND (until_ms <> " ENDS " OR (reason = '" FROZEN "') <> "
                            "(?4 AND released_ms > ?4))"),
                  "iiiii", repo_id, limit - changed, rule.age_ms, rule.frozen_ms, all));
    changed += sql_changes(t);
    check(!sql_do(t, REVIEW("until_ms = " ENDS, "'" UNKNOWN_AGE "'", "until_ms <> " ENDS), "iiiii", repo_id,
                  limit - changed, rule.age_ms, unknown_frozen, all));
    return changed + sql_changes(t);
}

struct reviewed {
    int64_t id;
    const char *type, *config;
};

/* Only repositories that have blocks matter. */
static struct reviewed *reviewed_read(struct txn *t, size_t *ret_count)
{
    struct reviewed *list;
    size_t n = 0, room = 0;
    struct sql *q = sql_txn(t, "SELECT count(*) FROM repository");

    if (sql_row(q))
        room = (size_t)sql_int(q, 0);
    sql_end(q);
    list = arena_alloc(txn_arena(t), (room + 1) * sizeof *list);
    q = sql_txn(t, "SELECT r.id, r.type, r.config FROM repository r WHERE EXISTS "
                   "(SELECT 1 FROM cooldown_block b WHERE b.repo_id = r.id)");
    while (n < room && sql_row(q)) {
        list[n].id = sql_int(q, 0);
        list[n].type = sql_str(q, 1, txn_arena(t));
        list[n++].config = sql_str(q, 2, txn_arena(t));
    }
    sql_end(q);
    *ret_count = n;
    return list;
}

enum err op_cooldown_config(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    json_t *patch = json_object_get(args, "patch"), *config, *put;
    int64_t limit = limit_of(args), left = limit;
    struct reviewed *repos;
    size_t count;
    enum err e = ready(t, why);

    if (e || (e = cooldown_config_check(patch, why)))
        return e;
    config = setting_of(t, COOLDOWN_SETTING);
    if (!json_is_object(config)) {
        json_decref(config);
        config = json_object();
    }
    check(!json_object_update(config, patch));
    put = json_pack("{s:s, s:O, s:s?}", "name", COOLDOWN_SETTING, "value", config, "by",
                    arg_text(args, "by"));
    e = op_setting_put(t, put, ret_result, why);
    json_decref(put);
    repos = reviewed_read(t, &count);
    for (size_t i = 0; i < count && !e && left > 0; i++) {
        json_t *own = json_loads(repos[i].config, 0, NULL);
        left -= blocks_review(t, repos[i].id, cooldown_rule(config, repos[i].type, own), left);
        json_decref(own);
    }
    json_decref(config);
    if (!e)
        *ret_result = json_pack("{s:b}", "more", left <= 0);
    return e;
}

bool cooldown_review(struct txn *t, int64_t repo_id, const char *type, const json_t *config, int64_t limit)
{
    struct why why;
    int64_t changed;
    json_t *all;

    if (ready(t, &why))
        return false;
    all = setting_of(t, COOLDOWN_SETTING);
    changed = blocks_review(t, repo_id, cooldown_rule(all, type, config), limit);
    json_decref(all);
    return changed >= limit;
}

enum err op_cooldown_review(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    int64_t repo_id = arg_int(args, "repo_id", 0);
    const char *type = NULL;
    json_t *config = NULL;
    bool more = false;
    struct sql *q;
    enum err e = ready(t, why);

    if (e)
        return e;
    q = sql_txn(t, "SELECT type, config FROM repository WHERE id = ?");
    sql_bind(q, "i", repo_id);
    if (sql_row(q)) {
        type = sql_str(q, 0, txn_arena(t));
        config = json_loads(sql_str(q, 1, txn_arena(t)), 0, NULL);
    }
    sql_end(q);
    if (type) /* else there is nothing left to say */
        more = cooldown_review(t, repo_id, type, config, limit_of(args));
    json_decref(config);
    *ret_result = json_pack("{s:b}", "more", more);
    return OK;
}

enum err op_cooldown_block(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *package = arg_text(args, "package"), *version = arg_text(args, "version"), *key;
    const char *reason = arg_text(args, "reason"), *type = NULL;
    int64_t repo_id = arg_int(args, "repo_id", 0), until = arg_int(args, "until_ms", 0);
    int64_t released = arg_int(args, "released_ms", 0);
    struct sql *q;
    bool allowed;
    enum err e = ready(t, why);

    if (e || (e = names_check(package, version, why)))
        return e;
    if (!reason || until < 0)
        return fail(why, ERR_BAD_REQUEST, "cooldown.block: bad arguments");
    if (!until)
        until = COOLDOWN_FOREVER_MS;
    if (released <= 0 && strcmp(reason, UNKNOWN_AGE) == 0)
        released = txn_now(t);
    q = sql_txn(t, "SELECT type FROM repository WHERE id = ?");
    sql_bind(q, "i", repo_id);
    if (sql_row(q))
        type = sql_str(q, 0, txn_arena(t));
    sql_end(q);
    if (!type)
        return fail(why, ERR_NOT_FOUND, "the repository does not exist any more");
    key = cooldown_key(txn_arena(t), type, package);
    q = sql_txn(t, "SELECT 1 FROM cooldown_decision WHERE repo_id = ? AND key = ? AND version = ?");
    sql_bind(q, "iss", repo_id, key, version);
    allowed = sql_row(q);
    sql_end(q);
    if (!allowed)
        check(!sql_do(t, "INSERT INTO cooldown_block (repo_id, key, version, package, reason, "
                         "released_ms, blocked_ms, until_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
                         "ON CONFLICT (repo_id, key, version) DO UPDATE SET reason = excluded.reason, "
                         "released_ms = excluded.released_ms, until_ms = excluded.until_ms",
                      "issssiii", repo_id, key, version, package, reason,
                      released, txn_now(t), until));
    check(!sql_do(t, "DELETE FROM cooldown_block WHERE (repo_id, key, version) IN (SELECT repo_id, key, "
                     "version FROM cooldown_block WHERE until_ms <= ? LIMIT ?)", "ii", txn_now(t),
                  (int64_t)EXPIRED_ROWS));
    *ret_result = json_pack("{s:b}", "blocked", !allowed);
    return OK;
}

static void allow(struct txn *t, int64_t repo_id, const char *key, const char *version, const char *by)
{
    check(!sql_do(t, "INSERT INTO cooldown_decision (repo_id, key, version, decision, decided_ms, "
                     "decided_by) VALUES (?, ?, ?, 'allow', ?, ?) ON CONFLICT (repo_id, key, version) "
                     "DO NOTHING", "issis", repo_id, key, version, txn_now(t), by));
    check(!sql_do(t, "DELETE FROM cooldown_block WHERE repo_id = ? AND key = ? AND version = ?", "iss",
                  repo_id, key, version));
}

enum err op_cooldown_unblock(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *repo = arg_text(args, "repo"), *package = arg_text(args, "package");
    const char *version = arg_text(args, "version"), *type;
    int64_t id;
    enum err e = ready(t, why);

    (void)ret_result;
    if (e || (e = names_check(package, version, why)))
        return e;
    if (!repo || !repo_by_name(t, repo, &id, &type))
        return fail(why, ERR_NOT_FOUND, "Repository '%.200s' not found", repo ? repo : "");
    allow(t, id, cooldown_key(txn_arena(t), type, package), version, arg_text(args, "by"));
    return OK;
}

enum err op_cooldown_unblock_all(struct txn *t, const json_t *args, json_t **ret_result,
                                 struct why *why)
{
    const char *repo = arg_text(args, "repo"), *type;
    int64_t id, limit = limit_of(args), before = arg_int(args, "before_ms", txn_now(t)), n = 0;
    struct { const char *key, *version; } *rows;
    struct sql *q;
    enum err e = ready(t, why);

    if (e)
        return e;
    if (!repo || !repo_by_name(t, repo, &id, &type))
        return fail(why, ERR_NOT_FOUND, "Repository '%.200s' not found", repo ? repo : "");
    rows = arena_alloc(txn_arena(t), (size_t)limit * sizeof *rows);
    /* What is blocked while the steps run is not meant: the caller has not seen it. */
    q = sql_txn(t, "SELECT key, version FROM cooldown_block WHERE repo_id = ? AND blocked_ms <= ? LIMIT ?");
    sql_bind(q, "iii", id, before, limit);
    while (n < limit && sql_row(q)) {
        rows[n].key = sql_str(q, 0, txn_arena(t));
        rows[n++].version = sql_str(q, 1, txn_arena(t));
    }
    sql_end(q);
    for (int64_t i = 0; i < n; i++)
        allow(t, id, rows[i].key, rows[i].version, arg_text(args, "by"));
    *ret_result = json_pack("{s:I, s:b, s:I}", "unblocked", (json_int_t)n, "more", n == limit,
                            "before_ms", (json_int_t)before);
    return OK;
}

bool cooldown_forget(struct txn *t, int64_t repo_id, int64_t limit)
{
    int64_t gone;
    struct why why;

    if (ready(t, &why))
        return true;
    check(!sql_do(t, "DELETE FROM cooldown_block WHERE (repo_id, key, version) IN (SELECT repo_id, key, "
                     "version FROM cooldown_block WHERE repo_id = ? LIMIT ?)", "ii", repo_id, limit));
    gone = sql_changes(t);
    if (gone >= limit)
        return false;
    gone += cooldown_exemptions_forget(t, repo_id, limit - gone);
    if (gone >= limit)
        return false;
    check(!sql_do(t, "DELETE FROM cooldown_decision WHERE (repo_id, key, version) IN (SELECT repo_id, "
                     "key, version FROM cooldown_decision WHERE repo_id = ? LIMIT ?)", "ii", repo_id,
                  limit - gone));
    return gone + sql_changes(t) < limit;
}
