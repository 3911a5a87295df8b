/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/alias.c: storage aliases. What their configuration may say is blob_store_check's business
 * (the API asks it first); here is what depends on other rows. */
#include "pantera/meta_alias.h"

#include <string.h>

#include "pantera/buf.h"
#include "pantera/limits.h"
#include "pantera/meta_secret.h"
#include "pantera/text.h"
#include "storage/meta/objects.h"
#include "storage/meta/ops.h"

#define COLUMNS "repo, name, config, created_ms, updated_ms"

const char *alias_store(struct arena *a, int64_t repo_id, const char *name)
{
    return repo_id ? arena_printf(a, "%lld/%s", (long long)repo_id, name) : arena_strdup(a, name);
}

const char *alias_aad(struct arena *a, const char *store)
{
    return arena_printf(a, "storage_alias:%s", store);
}

static const char *scope_of(struct arena *a, int64_t repo_id)
{
    return repo_id ? arena_printf(a, "%lld", (long long)repo_id) : "";
}

static void row_read(struct sql *q, struct arena *a, struct alias_row *ret)
{
    ret->repo = sql_str(q, 0, a);
    ret->name = sql_str(q, 1, a);
    ret->config = sql_str(q, 2, a);
    ret->created_ms = sql_int(q, 3);
    ret->updated_ms = sql_int(q, 4);
}

enum err alias_get(struct meta_reader *r, struct arena *a, int64_t repo_id, const char *name,
                   struct alias_row *ret)
{
    struct sql *q = sql_read(r, "SELECT " COLUMNS " FROM storage_alias "
                                "WHERE repo = ? AND name = ? AND deleted_ms IS NULL");
    bool found;

    sql_bind(q, "ss", scope_of(a, repo_id), name);
    if ((found = sql_row(q)))
        row_read(q, a, ret);
    sql_end(q);
    return found ? OK : ERR_NOT_FOUND;
}

enum err alias_of_store(struct meta_reader *r, struct arena *a, const char *store,
                        struct alias_row *ret)
{
    struct sql *q = sql_read(r, "SELECT " COLUMNS " FROM storage_alias WHERE repo = ? AND name = ?");
    const char *slash = strchr(store, '/'); /* never in a name */
    bool found;

    sql_bind(q, "ss", slash ? arena_strndup(a, store, (size_t)(slash - store)) : "",
             slash ? slash + 1 : store);
    if ((found = sql_row(q)))
        row_read(q, a, ret);
    sql_end(q);
    return found ? OK : ERR_NOT_FOUND;
}

void alias_list(struct meta_reader *r, struct arena *a, int64_t repo_id, struct alias_row **ret,
                unsigned *ret_count)
{
    struct sql *q;
    unsigned n = 0, capacity;

    sql_snapshot_begin(r);
    q = sql_read(r, "SELECT count(*) FROM storage_alias WHERE repo = ?");
    sql_bind(q, "s", scope_of(a, repo_id));
    capacity = sql_row(q) ? (unsigned)sql_int(q, 0) : 0;
    sql_end(q);
    *ret = arena_alloc(a, (capacity + 1) * sizeof **ret);
    q = sql_read(r, "SELECT " COLUMNS " FROM storage_alias "
                    "WHERE repo = ? AND deleted_ms IS NULL ORDER BY name");
    sql_bind(q, "s", scope_of(a, repo_id));
    while (n < capacity && sql_row(q))
        row_read(q, a, &(*ret)[n++]);
    sql_end(q);
    sql_snapshot_end(r);
    *ret_count = n;
}

/* --- operations --- */

/* The configuration of before, parsed; NULL: none. *ret_hidden: the alias has been deleted. */
static json_t *config_before(struct txn *t, const char *scope, const char *name, bool *ret_hidden)
{
    struct sql *q = sql_txn(t, "SELECT config, deleted_ms FROM storage_alias "
                               "WHERE repo = ? AND name = ?");
    json_t *config = NULL;

    *ret_hidden = false;
    sql_bind(q, "ss", scope, name);
    if (sql_row(q)) {
        config = json_loads(sql_str(q, 0, txn_arena(t)), 0, NULL);
        *ret_hidden = !sql_null(q, 1);
    }
    sql_end(q);
    return config;
}

/* Same place, so what was stored there is still found. */
static bool same_location(const json_t *a, const json_t *b)
{
    static const char *const keys[] = { "type", "path", "bucket", "prefix", "endpoint" };

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *left = json_object_get(a, keys[i]), *right = json_object_get(b, keys[i]);
        if (left != right && !json_equal(left, right))
            return false;
    }
    return true;
}

/* The alias may point elsewhere only while nothing is stored in it. Keys that are reserved there go:
 * whoever holds them is refused and begins anew. */
static enum err relocate(struct txn *t, const char *store, struct why *why)
{
    if (store_has_blobs(t, store))
        return fail(why, ERR_CONFLICT, "Cannot move alias '%s': artifacts are stored in it", store);
    if (sql_exists(t, "SELECT 1 FROM garbage WHERE store = ? LIMIT 1", "s", store, NULL))
        return fail(why, ERR_CONFLICT, "Cannot move alias '%s': deleted artifacts in it are still "
                    "being collected; try again later", store);
    check(!sql_do(t, "DELETE FROM upload WHERE store = ?", "s", store));
    return OK;
}

enum err op_alias_put(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    struct arena *a = txn_arena(t);
    int64_t repo_id = arg_int(args, "repo_id", 0);
    const char *name = arg_text(args, "name"), *scope = scope_of(a, repo_id), *store;
    json_t *config = json_deep_copy(json_object_get(args, "config")), *old = NULL;
    char *text = NULL;
    bool hidden;
    enum err e = schema_ready(t, why);

    if (e)
        goto out;
    if (!name || !name_valid(name) || !json_is_object(config)) {
        e = fail(why, ERR_BAD_REQUEST, "alias.put: bad arguments");
        goto out;
    }
    store = alias_store(a, repo_id, name);
    if (repo_id) {
        struct sql *q = sql_txn(t, "SELECT 1 FROM repository WHERE id = ?");
        sql_bind(q, "i", repo_id);
        e = sql_row(q) ? OK : fail(why, ERR_NOT_FOUND, "Repository not found");
        sql_end(q);
        if (e)
            goto out;
    }
    old = config_before(t, scope, name, &hidden);
    if (old && !same_location(old, config) && (e = relocate(t, store, why)))
        goto out;
    e = secrets_seal(a, txn_seal_key(t), alias_aad(a, store), config, old, why);
    if (e)
        goto out;
    text = json_dumps(config, JSON_COMPACT | JSON_SORT_KEYS);
    check(text);
    check(!sql_do(t, "INSERT INTO storage_alias (repo, name, config, created_ms, updated_ms) "
                     "VALUES (?, ?, ?, ?, ?) ON CONFLICT (repo, name) DO UPDATE SET "
                     "config = excluded.config, updated_ms = excluded.updated_ms, "
                     "deleted_ms = NULL",
                  "sssii", scope, name, text, txn_now(t), txn_now(t)));
    *ret_result = json_pack("{s:b}", "created", !old || hidden);
out:
    free(text);
    json_decref(config);
    json_decref(old);
    return e;
}

/* "maven-central, npm-local": repositories that name the alias. A global one is not named by those
 * that have their own of that name. */
static const char *users_of(struct txn *t, int64_t repo_id, const char *name)
{
    struct arena *a = txn_arena(t);
    struct buf list;
    const char *text = NULL;
    struct sql *q = sql_txn(t,
        "SELECT r.name FROM repository r WHERE r.storage = ?1 AND CASE ?2 WHEN 0 THEN NOT EXISTS "
        "(SELECT 1 FROM storage_alias s WHERE s.repo = CAST(r.id AS TEXT) AND s.name = ?1 "
        "AND s.deleted_ms IS NULL) ELSE r.id = ?2 END ORDER BY r.name LIMIT 20");

    buf_init(&list, KIB(8));
    sql_bind(q, "si", name, repo_id);
    while (sql_row(q)) {
        if (list.length)
            (void)buf_puts(&list, ", ");
        (void)buf_puts(&list, sql_str(q, 0, a));
    }
    sql_end(q);
    if (list.length)
        text = arena_strdup(a, list.data);
    buf_free(&list);
    return text;
}

enum err op_alias_delete(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    struct arena *a = txn_arena(t);
    int64_t repo_id = arg_int(args, "repo_id", 0);
    const char *name = arg_text(args, "name"), *scope = scope_of(a, repo_id), *users;

    enum err e = schema_ready(t, why);

    (void)ret_result;
    if (e)
        return e;
    if (!name)
        return fail(why, ERR_BAD_REQUEST, "alias.delete: no name");
    if (!sql_exists(t, "SELECT 1 FROM storage_alias WHERE repo = ? AND name = ? "
                       "AND deleted_ms IS NULL", "ss", scope, name))
        return fail(why, ERR_NOT_FOUND, "Storage alias '%s' not found", name);
    users = users_of(t, repo_id, name);
    if (users)
        return fail(why, ERR_CONFLICT, "Cannot delete alias '%s': used by repositories: %s", name,
                    users);
    if (store_in_use(t, alias_store(a, repo_id, name)))
        check(!sql_do(t, "UPDATE storage_alias SET deleted_ms = ? WHERE repo = ? AND name = ?",
                      "iss", txn_now(t), scope, name));
    else
        check(!sql_do(t, "DELETE FROM storage_alias WHERE repo = ? AND name = ?", "ss", scope,
                      name));
    return OK;
}

void alias_hide_all(struct txn *t, int64_t repo_id)
{
    check(!sql_do(t, "UPDATE storage_alias SET deleted_ms = ? WHERE repo = ? "
                     "AND deleted_ms IS NULL", "is", txn_now(t), scope_of(txn_arena(t), repo_id)));
}

void alias_purge(struct txn *t)
{
    check(!sql_do(t,
        "DELETE FROM storage_alias WHERE deleted_ms IS NOT NULL "
        "AND NOT EXISTS (SELECT 1 FROM blob b WHERE b.store = "
        "CASE repo WHEN '' THEN storage_alias.name ELSE repo || '/' || storage_alias.name END) "
        "AND NOT EXISTS (SELECT 1 FROM garbage g WHERE g.store = "
        "CASE repo WHEN '' THEN storage_alias.name ELSE repo || '/' || storage_alias.name END) "
        "AND NOT EXISTS (SELECT 1 FROM upload u WHERE u.store = "
        "CASE repo WHEN '' THEN storage_alias.name ELSE repo || '/' || storage_alias.name END)",
        ""));
}
