/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/blob.c: references to blobs, and what else several families need of objects. */
#include "storage/meta/objects.h"

enum err schema_ready(struct txn *t, struct why *why)
{
    if (sql_exists(t, "SELECT 1 FROM sqlite_master WHERE name = ?", "s", "artifact_by_doc", NULL))
        return OK;
    return fail(why, ERR_UNAVAILABLE, "the cluster is being upgraded; try again");
}

void blob_unref(struct txn *t, int64_t blob_id)
{
    struct sql *q = sql_txn(t, "SELECT refs, key, store FROM blob WHERE id = ?");
    const char *key = NULL, *store = NULL;
    int64_t refs = 0;

    sql_bind(q, "i", blob_id);
    if (sql_row(q)) {
        refs = sql_int(q, 0);
        key = sql_str(q, 1, txn_arena(t));
        store = sql_str(q, 2, txn_arena(t));
    }
    sql_end(q);
    check(key && refs > 0); /* rows that count references are only written here and in artifact.c */
    if (refs > 1) {
        check(!sql_do(t, "UPDATE blob SET refs = refs - 1 WHERE id = ?", "i", blob_id));
        return;
    }
    check(!sql_do(t, "DELETE FROM blob WHERE id = ?", "i", blob_id));
    garbage_add(t, key, store);
}

bool sql_exists(struct txn *t, const char *text, const char *kinds, const char *a, const char *b)
{
    struct sql *q = sql_txn(t, text);
    bool found;

    sql_bind(q, kinds, a, b);
    found = sql_row(q);
    sql_end(q);
    return found;
}

bool store_has_blobs(struct txn *t, const char *store)
{
    return sql_exists(t, "SELECT 1 FROM blob WHERE store = ? LIMIT 1", "s", store, NULL);
}

bool store_in_use(struct txn *t, const char *store)
{
    return store_has_blobs(t, store) ||
           sql_exists(t, "SELECT 1 FROM garbage WHERE store = ? LIMIT 1", "s", store, NULL) ||
           sql_exists(t, "SELECT 1 FROM upload WHERE store = ? LIMIT 1", "s", store, NULL) ||
           session_in_store(t, store);
}

int64_t counter_next(struct txn *t, const char *name)
{
    struct sql *q;
    int64_t value;

    check(!sql_do(t, "INSERT INTO counter (name, value) VALUES (?, 1) "
                     "ON CONFLICT (name) DO UPDATE SET value = value + 1", "s", name));
    q = sql_txn(t, "SELECT value FROM counter WHERE name = ?");
    sql_bind(q, "s", name);
    check(sql_row(q));
    value = sql_int(q, 0);
    sql_end(q);
    return value;
}
