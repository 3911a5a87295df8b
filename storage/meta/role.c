/* SPDX-License-Identifier: Apache-2.0 */
/* Roles: rows as plain structs, and the operations that change them. Permissions were validated by
 * whoever proposed them; here they are text. */
#include "pantera/meta_role.h"

#include <stdlib.h>
#include <string.h>

#include "pantera/text.h"
#include "storage/meta/admin.h"
#include "storage/meta/ops.h"
#include "storage/meta/sql.h"

static void role_of_row(struct sql *q, struct arena *a, struct role *ret)
{
    *ret = (struct role){ sql_str(q, 0, a), sql_str(q, 1, a), sql_int(q, 2) != 0 };
}

enum err role_get(struct meta_reader *r, struct arena *a, const char *name, struct role *ret,
                  struct why *why)
{
    struct sql *q = sql_read(r, "SELECT name, permissions, enabled FROM role WHERE name = ?");
    sql_bind(q, "s", name);
    bool found = sql_row(q);
    if (found)
        role_of_row(q, a, ret);
    sql_end(q);
    return found ? OK : fail(why, ERR_NOT_FOUND, "Role '%s' not found", name);
}

#define OF_USER " FROM role WHERE enabled AND (name IN (SELECT role FROM user_role WHERE user = ?1)" \
                " OR name = ?2)"

void role_list_of_user(struct meta_reader *r, struct arena *a, const char *user,
                       const char *provider, struct role **ret, unsigned *ret_count)
{
    const char *implied = arena_printf(a, "default/%s", provider);
    sql_snapshot_begin(r);
    struct sql *q = sql_read(r, "SELECT count(*)" OF_USER);
    sql_bind(q, "ss", user, implied);
    unsigned room = sql_row(q) ? (unsigned)sql_int(q, 0) : 0, n = 0;
    sql_end(q);
    struct role *roles = arena_alloc(a, (room + 1) * sizeof *roles);
    q = sql_read(r, "SELECT name, permissions, enabled" OF_USER);
    sql_bind(q, "ss", user, implied);
    while (n < room && sql_row(q))
        role_of_row(q, a, &roles[n++]);
    sql_end(q);
    sql_snapshot_end(r);
    *ret = roles;
    *ret_count = n;
}

/* instr, not LIKE: a name's % and _ are only characters. */
#define LISTED " FROM role WHERE instr(lower(name), lower(?1)) > 0"
#define PAGE(order) "SELECT name, permissions, enabled" LISTED " ORDER BY " order " LIMIT ?2 OFFSET ?3"

static struct sql *list_statement(struct meta_reader *r, const struct role_query *l)
{
    if (l->by_enabled)
        return l->descending ? sql_read(r, PAGE("enabled DESC, name DESC"))
                             : sql_read(r, PAGE("enabled, name"));
    return l->descending ? sql_read(r, PAGE("name DESC")) : sql_read(r, PAGE("name"));
}

void role_list(struct meta_reader *r, struct arena *a, const struct role_query *query,
               struct role **ret, unsigned *ret_count, int64_t *ret_total)
{
    const char *needle = query->q ? query->q : "";
    unsigned n = 0;
    struct role *roles = arena_alloc(a, (size_t)(query->limit + 1) * sizeof *roles);
    sql_snapshot_begin(r);
    struct sql *q = sql_read(r, "SELECT count(*)" LISTED);
    sql_bind(q, "s", needle);
    *ret_total = sql_row(q) ? sql_int(q, 0) : 0;
    sql_end(q);
    q = list_statement(r, query);
    sql_bind(q, "sii", needle, query->limit, query->offset);
    while (n < query->limit && sql_row(q))
        role_of_row(q, a, &roles[n++]);
    sql_end(q);
    sql_snapshot_end(r);
    *ret = roles;
    *ret_count = n;
}

/* --- operations --- */

/* Everything: {"all_permission": …}, or the flat {"*": [… "*" …]}. */
bool admin_remains(struct txn *t)
{
    struct sql *q = sql_txn(t,
        "SELECT 1 FROM role r WHERE r.enabled"
        " AND (json_type(r.permissions, '$.all_permission') IS NOT NULL"
        "  OR EXISTS (SELECT 1 FROM json_each(r.permissions, '$.\"*\"') j WHERE j.value = '*'))"
        " AND EXISTS (SELECT 1 FROM user u WHERE u.enabled AND (r.name = 'default/' || u.provider"
        "  OR EXISTS (SELECT 1 FROM user_role x WHERE x.role = r.name AND x.user = u.name)))"
        " LIMIT 1");
    bool remains = sql_row(q);
    sql_end(q);
    return remains;
}

static enum err name_arg(const json_t *args, const char **ret, struct why *why)
{
    const char *name = *ret = arg_text(args, "name");
    if (!name)
        return fail(why, ERR_BAD_REQUEST, "name is missing");
    if (!name_valid(strncmp(name, "default/", 8) == 0 ? name + 8 : name))
        return fail(why, ERR_BAD_REQUEST, "not a role name");
    return OK;
}

static enum err admin_kept(struct txn *t, bool had_admin, struct why *why)
{
    if (had_admin && !admin_remains(t))
        return fail(why, ERR_CONFLICT, "no enabled administrator would remain");
    return OK;
}

enum err op_role_put(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *name;
    const json_t *permissions = json_object_get(args, "permissions");
    enum err e = name_arg(args, &name, why);
    if (e)
        return e;
    if (!json_is_object(permissions))
        return fail(why, ERR_BAD_REQUEST, "permissions must be an object");
    struct sql *q = sql_txn(t, "SELECT 1 FROM role WHERE name = ?");
    sql_bind(q, "s", name);
    bool found = sql_row(q);
    sql_end(q);
    if (!json_is_true(json_object_get(args, found ? "update" : "create")))
        return fail(why, ERR_FORBIDDEN, "Insufficient permissions to %s roles",
                    found ? "update" : "create");
    bool had_admin = admin_remains(t);
    char *dumped = json_dumps(permissions, JSON_COMPACT);
    check(dumped);
    const char *text = arena_strdup(txn_arena(t), dumped);
    free(dumped);
    int64_t now = txn_now(t);
    e = sql_do(t,
               "INSERT INTO role (name, permissions, enabled, created_ms, updated_ms)"
               " VALUES (?1, ?2, 1, ?3, ?3) ON CONFLICT (name)"
               " DO UPDATE SET permissions = excluded.permissions, updated_ms = excluded.updated_ms",
               "ssi", name, text, now);
    if (!e && !(e = admin_kept(t, had_admin, why)))
        *ret_result = json_pack("{s:b}", "created", !found);
    return e;
}

enum err op_role_delete(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *name;
    enum err e = name_arg(args, &name, why);
    if (e)
        return e;
    bool had_admin = admin_remains(t);
    if ((e = sql_do(t, "DELETE FROM role WHERE name = ?", "s", name)))
        return e;
    if (sql_changes(t) == 0)
        return fail(why, ERR_NOT_FOUND, "Role '%s' not found", name);
    if ((e = sql_do(t, "DELETE FROM user_role WHERE role = ?", "s", name)))
        return e;
    return admin_kept(t, had_admin, why);
}

enum err op_role_enable(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *name;
    enum err e = name_arg(args, &name, why);
    if (e)
        return e;
    bool had_admin = admin_remains(t);
    if ((e = sql_do(t, "UPDATE role SET enabled = ?, updated_ms = ? WHERE name = ?", "iis",
                    (int64_t)json_is_true(json_object_get(args, "enabled")), txn_now(t), name)))
        return e;
    if (sql_changes(t) == 0)
        return fail(why, ERR_NOT_FOUND, "Role '%s' not found", name);
    return admin_kept(t, had_admin, why);
}
