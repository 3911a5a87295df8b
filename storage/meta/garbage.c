/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/garbage.c: objects that nothing names and that wait for their grace to end. */
#include "pantera/meta_blob.h"
#include "storage/meta/objects.h"
#include "storage/meta/ops.h"

void garbage_add(struct txn *t, const char *key, const char *store)
{
    check(!sql_do(t, "INSERT INTO garbage (key, store, since_ms) VALUES (?, ?, ?)", "ssi", key,
                  store, txn_now(t)));
}

enum err op_garbage_done(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const json_t *keys = json_object_get(args, "keys"), *key;
    size_t i;

    (void)ret_result;
    if (!json_is_array(keys))
        return fail(why, ERR_BAD_REQUEST, "garbage.done: no keys");
    json_array_foreach (keys, i, key)
        if (json_is_string(key))
            check(!sql_do(t, "DELETE FROM garbage WHERE key = ?", "s", json_string_value(key)));
    return OK;
}

void garbage_list(struct meta_reader *r, struct arena *a, int64_t before_ms, unsigned skip,
                  unsigned limit, struct garbage_row **ret, unsigned *ret_count)
{
    struct sql *q = sql_read(r, "SELECT key, store FROM garbage WHERE since_ms < ? "
                                "ORDER BY since_ms LIMIT ? OFFSET ?");
    struct garbage_row *rows = arena_alloc(a, (limit + 1) * sizeof *rows);
    unsigned n = 0;

    sql_bind(q, "iii", before_ms, (int64_t)limit, (int64_t)skip);
    while (n < limit && sql_row(q)) {
        rows[n].key = sql_str(q, 0, a);
        rows[n++].store = sql_str(q, 1, a);
    }
    sql_end(q);
    *ret = rows;
    *ret_count = n;
}

bool sweep_pending(struct meta_reader *r)
{
    struct sql *q = sql_read(r, "SELECT 1 FROM repo_sweep UNION ALL "
                                "SELECT 1 FROM storage_alias WHERE deleted_ms IS NOT NULL LIMIT 1");
    bool found = sql_row(q);

    sql_end(q);
    return found;
}
