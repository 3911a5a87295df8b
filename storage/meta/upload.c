/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/upload.c: keys that may hold bytes which no blob names yet. They are reserved ahead, in
 * batches, by a node's current start (node.c), so that every object in a store has a row somewhere. */
#include <string.h>

#include "storage/meta/objects.h"
#include "storage/meta/ops.h"

#define RESERVE_MAX 1024

static enum err reserve_one(struct txn *t, const char *key, const char *store, int64_t node,
                            const char *incarnation, struct why *why)
{
    /* A key is never reserved twice; that the row is there already means: this is a retry. */
    if (sql_exists(t, "SELECT 1 FROM upload WHERE key = ? AND store = ?", "ss", key, store))
        return OK;
    if (sql_exists(t, "SELECT 1 FROM garbage WHERE key = ?", "s", key, NULL) ||
        sql_do(t, "INSERT INTO upload (key, store, node, incarnation, created_ms) "
                  "VALUES (?, ?, ?, ?, ?)", "ssisi", key, store, node, incarnation, txn_now(t)))
        return fail(why, ERR_CONFLICT, "key %s was given before", key);
    return OK;
}

enum err op_upload_reserve(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *incarnation = arg_text(args, "incarnation"), *store = arg_text(args, "store");
    const json_t *keys = json_object_get(args, "keys"), *key;
    int64_t node = arg_int(args, "node", 0);
    struct sql *q;
    bool current;
    size_t i;
    enum err e = schema_ready(t, why);

    (void)ret_result;
    if (e)
        return e;
    if (!incarnation || !store || json_array_size(keys) == 0 ||
        json_array_size(keys) > RESERVE_MAX)
        return fail(why, ERR_BAD_REQUEST, "upload.reserve: bad arguments");
    q = sql_txn(t, "SELECT incarnation = ? FROM node WHERE id = ?");
    sql_bind(q, "si", incarnation, node);
    current = sql_row(q) && sql_int(q, 0);
    sql_end(q);
    if (!current)
        return fail(why, ERR_CONFLICT, "node %lld has been started anew", (long long)node);
    if (!sql_exists(t, "SELECT 1 FROM storage_alias WHERE deleted_ms IS NULL AND "
                       "CASE repo WHEN '' THEN name ELSE repo || '/' || name END = ?",
                    "s", store, NULL))
        return fail(why, ERR_NOT_FOUND, "storage '%s' not found", store);
    json_array_foreach (keys, i, key) {
        if (!json_is_string(key))
            return fail(why, ERR_BAD_REQUEST, "upload.reserve: a key is not a string");
        e = reserve_one(t, json_string_value(key), store, node, incarnation, why);
        if (e)
            return e;
    }
    return OK;
}

static void abandon_one(struct txn *t, const char *key)
{
    struct sql *q = sql_txn(t, "SELECT store FROM upload WHERE key = ?");
    const char *store = NULL;

    sql_bind(q, "s", key);
    if (sql_row(q))
        store = sql_str(q, 0, txn_arena(t));
    sql_end(q);
    if (!store)
        return; /* a blob by now, or abandoned before: both are fine */
    check(!sql_do(t, "DELETE FROM upload WHERE key = ?", "s", key));
    garbage_add(t, key, store);
}

enum err op_upload_abandon(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const json_t *keys = json_object_get(args, "keys"), *key;
    size_t i;

    (void)ret_result;
    if (!json_is_array(keys) || json_array_size(keys) > RESERVE_MAX)
        return fail(why, ERR_BAD_REQUEST, "upload.abandon: bad keys");
    json_array_foreach (keys, i, key)
        if (json_is_string(key))
            abandon_one(t, json_string_value(key));
    return OK;
}
