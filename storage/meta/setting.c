/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: a JSON value by name. Whoever owns a name validates its value before it is proposed. */
#include "pantera/meta_setting.h"

#include <stdlib.h>

#include "storage/meta/ops.h"
#include "storage/meta/sql.h"

json_t *setting_get(struct meta_reader *r, const char *name)
{
    json_t *value = NULL;
    struct arena a;
    arena_init(&a);
    struct sql *q = sql_read(r, "SELECT value FROM setting WHERE name = ?");
    sql_bind(q, "s", name);
    if (sql_row(q))
        value = json_loads(sql_str(q, 0, &a), JSON_DECODE_ANY, NULL);
    sql_end(q);
    arena_release(&a);
    return value;
}

enum err op_setting_put(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *name = arg_text(args, "name");
    const json_t *value = json_object_get(args, "value");
    if (!name || !value)
        return fail(why, ERR_BAD_REQUEST, "name or value is missing");
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    check(text);
    enum err e = sql_do(t,
                        "INSERT INTO setting (name, value, updated_ms, updated_by)"
                        " VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
                        " value = excluded.value, updated_ms = excluded.updated_ms,"
                        " updated_by = excluded.updated_by",
                        "ssis", name, text, txn_now(t), arg_text(args, "by"));
    free(text);
    return e;
}
