/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: a JSON value by name. Whoever owns a name validates its value before it is proposed; what
 * depends on other rows is looked at here. */
#include "pantera/meta_setting.h"

#include <stdlib.h>
#include <string.h>

#include "pantera/gen.h"
#include "pantera/text.h"
#include "storage/meta/internal.h"
#include "storage/meta/objects.h"
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

const json_t *setting_now(struct meta_reader *r, const char *name)
{
    /* The stamp first: what is read is then at least as new as it says. */
    uint64_t stamp = gen_get(GEN_POLICY, 0) + 1;
    if (r->settings_stamp != stamp) {
        json_decref(r->settings);
        r->settings = json_object();
        struct sql *q = sql_read(r, "SELECT name, value FROM setting");
        while (sql_row(q))
            json_object_set_new(r->settings, sql_str(q, 0, NULL),
                                json_loads(sql_str(q, 1, NULL), JSON_DECODE_ANY, NULL));
        sql_end(q);
        r->settings_stamp = stamp;
    }
    return json_object_get(r->settings, name);
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

json_t *setting_of(struct txn *t, const char *name)
{
    struct sql *q = sql_txn(t, "SELECT value FROM setting WHERE name = ?");
    json_t *value = NULL;

    sql_bind(q, "s", name);
    if (sql_row(q))
        value = json_loads(sql_str(q, 0, NULL), JSON_DECODE_ANY, NULL);
    sql_end(q);
    return value;
}

/* What the patch leaves out keeps its value, null takes it away: merged here, where nobody else writes
 * meanwhile. */
enum err op_setting_merge(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *name = arg_text(args, "name");
    json_t *patch = json_object_get(args, "patch"), *value, *put, *item;
    const char *key;
    enum err e;

    if (!name || !json_is_object(patch))
        return fail(why, ERR_BAD_REQUEST, "setting.merge: bad arguments");
    value = setting_of(t, name);
    if (!json_is_object(value)) {
        json_decref(value);
        value = json_object();
    }
    json_object_foreach (patch, key, item) {
        if (json_is_null(item))
            (void)json_object_del(value, key);
        else
            json_object_set(value, key, item);
    }
    put = json_pack("{s:s, s:o, s:s?}", "name", name, "value", value, "by", arg_text(args, "by"));
    e = op_setting_put(t, put, ret_result, why);
    json_decref(put);
    return e;
}

bool prefix_taken(struct txn *t, const char *name)
{
    json_t *prefixes = setting_of(t, "prefixes");
    const json_t *prefix;
    size_t i;
    bool found = false;

    json_array_foreach (prefixes, i, prefix)
        if (json_is_string(prefix))
            found = found || strcmp(json_string_value(prefix), name) == 0;
    json_decref(prefixes);
    return found;
}

/* A prefix would hide the repository of that name. */
enum err op_prefixes_put(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    json_t *prefixes = json_object_get(args, "prefixes"), *put;
    const json_t *prefix;
    enum err e;
    size_t i;

    if (!json_is_array(prefixes))
        return fail(why, ERR_BAD_REQUEST, "prefixes.put: bad arguments");
    json_array_foreach (prefixes, i, prefix) {
        const char *name = json_string_value(prefix);
        if (!name || !name_valid(name))
            return fail(why, ERR_BAD_REQUEST, "prefixes.put: bad arguments");
        if (sql_exists(t, "SELECT 1 FROM repository WHERE name = ?", "s", name, NULL))
            return fail(why, ERR_CONFLICT, "'%s' is a repository's name", name);
    }
    put = json_pack("{s:s, s:O, s:s?}", "name", "prefixes", "value", prefixes, "by",
                    arg_text(args, "by"));
    e = op_setting_put(t, put, ret_result, why);
    json_decref(put);
    return e;
}
