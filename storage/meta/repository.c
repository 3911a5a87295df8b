/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/repository.c: repositories. Whether a type is offered and its keys are known is asked of
 * the format by the API, before; here is what depends on other rows. */
#include "pantera/meta_repository.h"

#include <string.h>

#include "pantera/meta_alias.h"
#include "pantera/meta_secret.h"
#include "pantera/text.h"
#include "storage/meta/objects.h"
#include "storage/meta/ops.h"

#define GROUP_DEPTH 8

const char *repository_aad(struct arena *a, int64_t id)
{
    return arena_printf(a, "repository:%lld", (long long)id);
}

enum err repository_get(struct meta_reader *r, struct arena *a, const char *name,
                        struct repository_row *ret)
{
    struct sql *q = sql_read(r,
        "SELECT r.id, r.name, r.type, r.storage, r.config, r.created_ms, r.updated_ms, "
        "coalesce((SELECT s.repo || '/' || s.name FROM storage_alias s "
        "WHERE s.repo = CAST(r.id AS TEXT) AND s.name = r.storage AND s.deleted_ms IS NULL), "
        "(SELECT s.name FROM storage_alias s "
        "WHERE s.repo = '' AND s.name = r.storage AND s.deleted_ms IS NULL)) "
        "FROM repository r WHERE r.name = ?");
    bool found;

    sql_bind(q, "s", name);
    if ((found = sql_row(q))) {
        ret->id = sql_int(q, 0);
        ret->name = sql_str(q, 1, a);
        ret->type = sql_str(q, 2, a);
        ret->storage = sql_str(q, 3, a);
        ret->config = sql_str(q, 4, a);
        ret->created_ms = sql_int(q, 5);
        ret->updated_ms = sql_int(q, 6);
        ret->store = sql_str(q, 7, a);
    }
    sql_end(q);
    return found ? OK : ERR_NOT_FOUND;
}

void repository_each(struct meta_reader *r, const char *type, const char *q,
                     void (*each)(const char *name, const char *type, void *arg), void *arg)
{
    struct sql *s = sql_read(r, "SELECT name, type FROM repository WHERE "
                                "(?1 IS NULL OR instr(lower(type), lower(?1)) > 0) AND "
                                "(?2 IS NULL OR instr(lower(name), lower(?2)) > 0) ORDER BY name");

    sql_bind(s, "ss", type, q);
    while (sql_row(s))
        each(sql_str(s, 0, NULL), sql_str(s, 1, NULL), arg);
    sql_end(s);
}

/* --- operations --- */

struct current {
    int64_t id;
    const char *type, *config;
};

static bool current_get(struct txn *t, const char *name, struct current *ret)
{
    struct sql *q = sql_txn(t, "SELECT id, type, config FROM repository WHERE name = ?");
    bool found;

    sql_bind(q, "s", name);
    if ((found = sql_row(q))) {
        ret->id = sql_int(q, 0);
        ret->type = sql_str(q, 1, txn_arena(t));
        ret->config = sql_str(q, 2, txn_arena(t));
    }
    sql_end(q);
    return found;
}

static const json_t *members_of(const json_t *config)
{
    return json_object_get(json_object_get(config, "repo"), "members");
}

/* "npm-proxy" → "npm"; maven's and gradle's are one. */
static const char *format_of(struct arena *a, const char *type)
{
    const char *dash = strrchr(type, '-');
    bool kind = dash && (!strcmp(dash, "-proxy") || !strcmp(dash, "-group"));
    const char *format = kind ? arena_strndup(a, type, (size_t)(dash - type)) : type;

    return !strcmp(format, "gradle") ? "maven" : format;
}

/* Every member exists, speaks the group's protocol, and none leads back to `self`. */
static enum err members_check(struct txn *t, const char *self, const char *type, const json_t *config,
                              unsigned depth, struct why *why)
{
    const json_t *members = members_of(config), *member;
    size_t i;

    if (depth > GROUP_DEPTH)
        return fail(why, ERR_BAD_REQUEST, "groups are nested too deeply");
    json_array_foreach (members, i, member) {
        const char *name = json_string_value(member);
        struct current row;
        json_t *inner;
        enum err e;
        if (!name)
            return fail(why, ERR_BAD_REQUEST, "'members' must be an array of repository names");
        if (!strcmp(name, self))
            return fail(why, ERR_BAD_REQUEST, "group '%s' would be a member of itself", self);
        if (!current_get(t, name, &row)) {
            if (depth == 0)
                return fail(why, ERR_BAD_REQUEST, "member repository '%s' does not exist", name);
            continue;
        }
        if (depth == 0 && strcmp(format_of(txn_arena(t), type), format_of(txn_arena(t), row.type)))
            return fail(why, ERR_BAD_REQUEST, "member '%.100s' is of type %s, which a %s can't hold", name,
                        row.type, type);
        inner = json_loads(row.config, 0, NULL);
        e = members_check(t, self, type, inner, depth + 1, why);
        json_decref(inner);
        if (e)
            return e;
    }
    return OK;
}

static enum err storage_check(struct txn *t, int64_t id, const char *storage, struct why *why)
{
    const char *scope = arena_printf(txn_arena(t), "%lld", (long long)id);

    if (!storage ||
        sql_exists(t, "SELECT 1 FROM storage_alias WHERE repo IN ('', ?) AND name = ? "
                      "AND deleted_ms IS NULL", "ss", scope, storage))
        return OK;
    return fail(why, ERR_BAD_REQUEST, "storage alias '%s' does not exist", storage);
}

static bool has_artifacts(struct txn *t, int64_t id)
{
    struct sql *q = sql_txn(t, "SELECT 1 FROM artifact WHERE repo_id = ? LIMIT 1");
    bool found;

    sql_bind(q, "i", id);
    found = sql_row(q);
    sql_end(q);
    return found;
}

static void row_write(struct txn *t, int64_t id, bool exists, const json_t *args, json_t *config)
{
    char *text = json_dumps(config, JSON_COMPACT | JSON_SORT_KEYS);
    const char *by = arg_text(args, "by");

    check(text);
    if (exists)
        check(!sql_do(t, "UPDATE repository SET type = ?, storage = ?, config = ?, updated_ms = ?, "
                         "updated_by = ? WHERE id = ?", "sssisi", arg_text(args, "type"),
                      arg_text(args, "storage"), text, txn_now(t), by, id));
    else
        check(!sql_do(t, "INSERT INTO repository (id, name, type, storage, config, created_ms, "
                         "updated_ms, created_by, updated_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                      "issssiiss", id, arg_text(args, "name"), arg_text(args, "type"),
                      arg_text(args, "storage"), text, txn_now(t), txn_now(t), by, by));
    free(text);
}

/* What a PUT expects of the row, and what it may change. */
static enum err expect_check(struct txn *t, const json_t *args, const struct current *row,
                             bool exists, struct why *why)
{
    const char *expect = arg_text(args, "expect"), *name = arg_text(args, "name");

    if (expect && !strcmp(expect, "create") && exists)
        return fail(why, ERR_CONFLICT, "Repository '%s' already exists", name);
    if (expect && !strcmp(expect, "update") && !exists)
        return fail(why, ERR_NOT_FOUND, "Repository '%s' not found", name);
    if (!exists && prefix_taken(t, name))
        return fail(why, ERR_CONFLICT, "'%s' is a global prefix", name);
    if (exists && strcmp(row->type, arg_text(args, "type")) && has_artifacts(t, row->id))
        return fail(why, ERR_CONFLICT, "Cannot change the type of '%s': it holds artifacts", name);
    return OK;
}

enum err op_repo_put(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *name = arg_text(args, "name"), *type = arg_text(args, "type");
    json_t *config = json_deep_copy(json_object_get(args, "config")), *old = NULL;
    struct current row = { 0 };
    bool exists, more;
    int64_t id;
    enum err e = schema_ready(t, why);

    if (e)
        goto out;
    if (!name || !type || !name_valid(name) || repo_name_reserved(name) ||
        !json_is_object(config)) {
        e = fail(why, ERR_BAD_REQUEST, "repo.put: bad arguments");
        goto out;
    }
    exists = current_get(t, name, &row);
    if ((e = expect_check(t, args, &row, exists, why)))
        goto out;
    id = exists ? row.id : counter_next(t, "repository");
    if ((e = storage_check(t, id, arg_text(args, "storage"), why)) ||
        (e = members_check(t, name, type, config, 0, why)))
        goto out;
    if (exists)
        old = json_loads(row.config, 0, NULL);
    e = secrets_seal(txn_arena(t), txn_seal_key(t), repository_aad(txn_arena(t), id), config, old,
                     why);
    if (e)
        goto out;
    row_write(t, id, exists, args, config);
    more = exists && cooldown_review(t, id, type, config, COOLDOWN_STEP);
    *ret_result = json_pack("{s:I, s:b, s:b}", "id", (json_int_t)id, "created", !exists, "more", more);
out:
    json_decref(config);
    json_decref(old);
    return e;
}

/* In every group: `name` becomes `new_name`, or goes (NULL). */
static void members_rename(struct txn *t, const char *name, const char *new_name)
{
    struct { int64_t id; const char *config; } *groups;
    struct sql *q = sql_txn(t, "SELECT count(*) FROM repository WHERE instr(config, ?) > 0");
    size_t n = 0, capacity, index;
    json_t *member;

    sql_bind(q, "s", "\"members\"");
    capacity = sql_row(q) ? (size_t)sql_int(q, 0) : 0;
    sql_end(q);
    groups = arena_alloc(txn_arena(t), (capacity + 1) * sizeof *groups);
    q = sql_txn(t, "SELECT id, config FROM repository WHERE instr(config, ?) > 0");
    sql_bind(q, "s", "\"members\"");
    while (n < capacity && sql_row(q)) {
        groups[n].id = sql_int(q, 0);
        groups[n++].config = sql_str(q, 1, txn_arena(t));
    }
    sql_end(q);
    while (n-- > 0) {
        json_t *config = json_loads(groups[n].config, 0, NULL);
        json_t *members = json_object_get(json_object_get(config, "repo"), "members");
        bool changed = false;
        for (index = json_array_size(members); index-- > 0;) {
            member = json_array_get(members, index);
            if (!json_is_string(member) || strcmp(json_string_value(member), name))
                continue;
            changed = true;
            if (new_name)
                json_array_set_new(members, index, json_string(new_name));
            else
                json_array_remove(members, index);
        }
        if (changed) {
            char *text = json_dumps(config, JSON_COMPACT | JSON_SORT_KEYS);
            check(text && !sql_do(t, "UPDATE repository SET config = ?, updated_ms = ? "
                                     "WHERE id = ?", "sii", text, txn_now(t), groups[n].id));
            free(text);
        }
        json_decref(config);
    }
}

enum err op_repo_delete(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *name = arg_text(args, "name");
    struct current row;
    enum err e = schema_ready(t, why);

    (void)ret_result;
    if (e)
        return e;
    if (!name || !current_get(t, name, &row))
        return fail(why, ERR_NOT_FOUND, "Repository '%s' not found", name ? name : "");
    check(!sql_do(t, "DELETE FROM repository WHERE id = ?", "i", row.id));
    check(!sql_do(t, "INSERT INTO repo_sweep (repo_id, deleted_ms) VALUES (?, ?)", "ii", row.id,
                  txn_now(t)));
    stats_drop(t, row.id);
    members_rename(t, name, NULL);
    return OK;
}

enum err op_repo_move(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *name = arg_text(args, "name"), *new_name = arg_text(args, "new_name");
    struct current row, other;

    (void)ret_result;
    if (!name || !new_name || !name_valid(new_name))
        return fail(why, ERR_BAD_REQUEST, "'new_name' is not a valid repository name");
    if (repo_name_reserved(new_name))
        return fail(why, ERR_BAD_REQUEST, "'%s' is a reserved name", new_name);
    if (!current_get(t, name, &row))
        return fail(why, ERR_NOT_FOUND, "Repository '%s' not found", name);
    if (!strcmp(name, new_name))
        return OK;
    if (current_get(t, new_name, &other))
        return fail(why, ERR_CONFLICT, "Repository '%s' already exists", new_name);
    if (prefix_taken(t, new_name))
        return fail(why, ERR_CONFLICT, "'%s' is a global prefix", new_name);
    check(!sql_do(t, "UPDATE repository SET name = ?, updated_ms = ?, updated_by = ? WHERE id = ?",
                  "sisi", new_name, txn_now(t), arg_text(args, "by"), row.id));
    members_rename(t, name, new_name);
    return OK;
}

/* Up to `limit` artifacts of one deleted repository; *ret_done: none is left. */
static int64_t sweep_one(struct txn *t, int64_t repo_id, int64_t limit, bool *ret_done)
{
    struct { const char *path; int64_t blob; } *rows;
    struct sql *q = sql_txn(t, "SELECT path, blob_id FROM artifact WHERE repo_id = ? LIMIT ?");
    int64_t n = 0;

    rows = arena_alloc(txn_arena(t), (size_t)limit * sizeof *rows);
    sql_bind(q, "ii", repo_id, limit);
    while (n < limit && sql_row(q)) {
        rows[n].path = sql_str(q, 0, txn_arena(t));
        rows[n++].blob = sql_int(q, 1);
    }
    sql_end(q);
    for (int64_t i = 0; i < n; i++) {
        check(!sql_do(t, "DELETE FROM artifact WHERE repo_id = ? AND path = ?", "is", repo_id,
                      rows[i].path));
        blob_unref(t, rows[i].blob);
    }
    *ret_done = n < limit;
    return n;
}

enum err op_repo_sweep(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    int64_t limit = arg_int(args, "limit", 500), repo_id = 0, swept = 0;
    struct sql *q;
    bool done = false;
    enum err e = schema_ready(t, why);

    if (e)
        return e;
    if (limit < 1 || limit > 500)
        return fail(why, ERR_BAD_REQUEST, "repo.sweep: limit is 1 to 500");
    q = sql_txn(t, "SELECT repo_id FROM repo_sweep LIMIT 1");
    if (sql_row(q))
        repo_id = sql_int(q, 0);
    sql_end(q);
    if (repo_id) {
        swept = sweep_one(t, repo_id, limit, &done);
        if (done && cooldown_forget(t, repo_id, limit - swept) &&
            upstream_forget(t, repo_id, limit - swept)) {
            stats_drop(t, repo_id);
            alias_hide_all(t, repo_id);
            check(!sql_do(t, "DELETE FROM repo_sweep WHERE repo_id = ?", "i", repo_id));
        }
    }
    alias_purge(t);
    q = sql_txn(t, "SELECT 1 FROM repo_sweep LIMIT 1");
    *ret_result = json_pack("{s:I, s:b}", "swept", (json_int_t)swept, "more", sql_row(q));
    sql_end(q);
    return OK;
}
