/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/cooldown_exemption.c: what cooldown does not hold back, by patterns of names; and since when
 * versions are known whose release date upstream does not say. Who is blocked is cooldown.c's. */
#include <string.h>

#include "pantera/limits.h"
#include "pantera/meta_cooldown.h"
#include "storage/meta/objects.h"
#include "storage/meta/ops.h"

enum { VERSIONS_MOST = 1000, VERSION_MOST = 255, REASON_MOST = 500, STARS_MOST = 8 };

/* --- reading --- */

/* Greedy, with one way back: the last star is the only one that has to be tried again. */
bool cooldown_pattern_fits(const char *pattern, const char *text)
{
    const char *star = NULL, *again = NULL;

    while (*text) {
        if (*pattern == '*') {
            star = pattern++;
            again = text;
        } else if (*pattern && (*pattern == '?' || *pattern == *text)) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star + 1;
            text = ++again;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

/* A replica that is still on the older schema knows of none. */
static bool there(struct meta_reader *r)
{
    struct sql *q = sql_read(r, "SELECT 1 FROM sqlite_master WHERE name = 'cooldown_exemption'");
    bool yes = sql_row(q);

    sql_end(q);
    return yes;
}

#define COLUMNS "SELECT e.id, e.repo_id, r.name, e.package, e.version, e.reason, e.created_by, " \
    "e.created_ms, e.until_ms FROM cooldown_exemption e LEFT JOIN repository r ON r.id = e.repo_id "

void cooldown_exemptions(struct meta_reader *r, struct arena *a, int64_t repo_id,
                         struct cooldown_exemption **ret, unsigned *ret_count)
{
    unsigned n = 0;
    struct sql *q;

    *ret_count = 0;
    *ret = NULL;
    if (!there(r))
        return;
    *ret = arena_alloc(a, COOLDOWN_EXEMPTIONS * sizeof **ret);
    q = sql_read(r, repo_id ? COLUMNS "WHERE e.repo_id IN (0, ?) ORDER BY e.id" : COLUMNS "ORDER BY e.id");
    if (repo_id)
        sql_bind(q, "i", repo_id);
    while (n < COOLDOWN_EXEMPTIONS && sql_row(q))
        (*ret)[n++] = (struct cooldown_exemption){
            .id = sql_int(q, 0), .repo_id = sql_int(q, 1), .repo = sql_str(q, 2, a),
            .package = sql_str(q, 3, a), .version = sql_str(q, 4, a), .reason = sql_str(q, 5, a),
            .by = sql_str(q, 6, a), .created_ms = sql_int(q, 7), .until_ms = sql_int(q, 8),
        };
    sql_end(q);
    *ret_count = n;
}

void cooldown_seen(struct meta_reader *r, int64_t repo_id, const char *key,
                   void (*each)(const char *version, int64_t seen_ms, void *arg), void *arg)
{
    struct sql *q;

    if (!there(r))
        return;
    q = sql_read(r, "SELECT version, seen_ms FROM cooldown_seen WHERE repo_id = ? AND key = ?");
    sql_bind(q, "is", repo_id, key);
    while (sql_row(q))
        each(sql_str(q, 0, NULL), sql_int(q, 1), arg);
    sql_end(q);
}

/* --- operations --- */

static enum err ready(struct txn *t, struct why *why)
{
    if (sql_exists(t, "SELECT 1 FROM sqlite_master WHERE name = ?", "s", "cooldown_exemption", NULL))
        return OK;
    return fail(why, ERR_UNAVAILABLE, "the cluster is being upgraded; try again");
}

static bool pattern_good(const char *pattern, size_t most)
{
    size_t n = pattern ? strlen(pattern) : 0;
    unsigned stars = 0;

    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)pattern[i] < ' ' || pattern[i] == 0x7f)
            return false;
        stars += pattern[i] == '*';
    }
    return n >= 1 && n <= most && stars <= STARS_MOST;
}

static enum err exemption_check(const json_t *args, struct why *why)
{
    const char *reason = arg_text(args, "reason");

    if (!pattern_good(arg_text(args, "package"), LIMIT_PATH))
        return fail(why, ERR_BAD_REQUEST, "'package' is required: a name, or a pattern with * and ?");
    if (!pattern_good(arg_text(args, "version"), VERSION_MOST))
        return fail(why, ERR_BAD_REQUEST, "'version' must be a version, or a pattern with * and ?");
    if (!reason || !*reason || strlen(reason) > REASON_MOST)
        return fail(why, ERR_BAD_REQUEST, "'reason' is required: why this may pass, at most %d bytes",
                    REASON_MOST);
    return OK;
}

static int64_t count_of(struct txn *t)
{
    struct sql *q = sql_txn(t, "SELECT count(*) FROM cooldown_exemption");
    int64_t n = sql_row(q) ? sql_int(q, 0) : 0;

    sql_end(q);
    return n;
}

enum err op_cooldown_exempt(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *repo = arg_text(args, "repo");
    int64_t repo_id = 0, until = arg_int(args, "until_ms", 0), id;
    struct sql *q;
    enum err e = ready(t, why);

    if (e || (e = exemption_check(args, why)))
        return e;
    if (until && until <= txn_now(t))
        return fail(why, ERR_BAD_REQUEST, "'expires' is in the past");
    if (repo) {
        q = sql_txn(t, "SELECT id FROM repository WHERE name = ?");
        sql_bind(q, "s", repo);
        repo_id = sql_row(q) ? sql_int(q, 0) : 0;
        sql_end(q);
        if (!repo_id)
            return fail(why, ERR_NOT_FOUND, "Repository '%.200s' not found", repo);
    }
    /* What has ended makes room. */
    check(!sql_do(t, "DELETE FROM cooldown_exemption WHERE until_ms > 0 AND until_ms <= ?", "i",
                  txn_now(t) - 30ll * 24 * 3600 * 1000));
    if (count_of(t) >= COOLDOWN_EXEMPTIONS)
        return fail(why, ERR_CONFLICT, "there are %d exemptions already", COOLDOWN_EXEMPTIONS);
    id = counter_next(t, "cooldown_exemption");
    check(!sql_do(t, "INSERT INTO cooldown_exemption (id, repo_id, package, version, reason, until_ms, "
                     "created_ms, created_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", "iisssiis", id, repo_id,
                  arg_text(args, "package"), arg_text(args, "version"), arg_text(args, "reason"), until,
                  txn_now(t), arg_text(args, "by")));
    *ret_result = json_pack("{s:I}", "id", (json_int_t)id);
    return OK;
}

enum err op_cooldown_unexempt(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    int64_t id = arg_int(args, "id", 0);
    enum err e = ready(t, why);

    (void)ret_result;
    if (e)
        return e;
    check(!sql_do(t, "DELETE FROM cooldown_exemption WHERE id = ?", "i", id));
    return sql_changes(t) ? OK : fail(why, ERR_NOT_FOUND, "there is no exemption %lld", (long long)id);
}

enum err op_cooldown_seen(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const json_t *versions = json_object_get(args, "versions"), *version;
    const char *package = arg_text(args, "package"), *type = NULL, *key;
    int64_t repo_id = arg_int(args, "repo_id", 0);
    struct sql *q;
    size_t i;
    enum err e = ready(t, why);

    (void)ret_result;
    if (e)
        return e;
    if (!package || !*package || strlen(package) > LIMIT_PATH || json_array_size(versions) > VERSIONS_MOST)
        return fail(why, ERR_BAD_REQUEST, "cooldown.seen: bad arguments");
    q = sql_txn(t, "SELECT type FROM repository WHERE id = ?");
    sql_bind(q, "i", repo_id);
    if (sql_row(q))
        type = sql_str(q, 0, txn_arena(t));
    sql_end(q);
    if (!type)
        return fail(why, ERR_NOT_FOUND, "the repository does not exist any more");
    key = cooldown_key(txn_arena(t), type, package);
    json_array_foreach ((json_t *)versions, i, version) {
        const char *text = json_string_value(version);
        if (text && *text && strlen(text) <= VERSION_MOST)
            check(!sql_do(t, "INSERT INTO cooldown_seen (repo_id, key, version, seen_ms) VALUES (?, ?, ?, ?) "
                             "ON CONFLICT DO NOTHING", "issi", repo_id, key, text, txn_now(t)));
    }
    return OK;
}

int64_t cooldown_exemptions_forget(struct txn *t, int64_t repo_id, int64_t limit)
{
    int64_t gone;
    struct why why;

    if (ready(t, &why))
        return 0;
    check(!sql_do(t, "DELETE FROM cooldown_exemption WHERE id IN (SELECT id FROM cooldown_exemption WHERE "
                     "repo_id = ? LIMIT ?)", "ii", repo_id, limit));
    gone = sql_changes(t);
    check(!sql_do(t, "DELETE FROM cooldown_seen WHERE (repo_id, key, version) IN (SELECT repo_id, key, "
                     "version FROM cooldown_seen WHERE repo_id = ? LIMIT ?)", "ii", repo_id, limit - gone));
    return gone + sql_changes(t);
}
