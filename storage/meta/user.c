/* SPDX-License-Identifier: Apache-2.0 */
/* Users: rows as plain structs, and the operations that change them. What a user may is not known here,
 * except for one thing that only the leader can see: that an administrator remains (admin.h). */
#include "pantera/meta_user.h"

#include <string.h>

#include "pantera/limits.h"
#include "pantera/text.h"
#include "storage/meta/admin.h"
#include "storage/meta/ops.h"
#include "storage/meta/sql.h"

#define COLUMNS "name, password, email, enabled, provider, must_change, epoch_ms, version, " \
                "created_ms, updated_ms"

static void user_of_row(struct sql *q, struct arena *a, struct user *ret)
{
    *ret = (struct user){
        .name = sql_str(q, 0, a), .password = sql_str(q, 1, a), .email = sql_str(q, 2, a),
        .enabled = sql_int(q, 3) != 0, .provider = sql_str(q, 4, a),
        .must_change = sql_int(q, 5) != 0, .epoch_ms = sql_int(q, 6), .version = sql_int(q, 7),
        .created_ms = sql_int(q, 8), .updated_ms = sql_int(q, 9),
    };
}

enum err user_get(struct meta_reader *r, struct arena *a, const char *name, struct user *ret,
                  struct why *why)
{
    struct sql *q = sql_read(r, "SELECT " COLUMNS " FROM user WHERE name = ?");
    sql_bind(q, "s", name);
    bool found = sql_row(q);
    if (found)
        user_of_row(q, a, ret);
    sql_end(q);
    return found ? OK : fail(why, ERR_NOT_FOUND, "User '%s' not found", name);
}

const char **user_roles(struct meta_reader *r, struct arena *a, const char *name,
                        unsigned *ret_count)
{
    struct sql *q = sql_read(r, "SELECT count(*) FROM user_role WHERE user = ?");
    sql_snapshot_begin(r);
    sql_bind(q, "s", name);
    unsigned room = sql_row(q) ? (unsigned)sql_int(q, 0) : 0, n = 0;
    sql_end(q);
    const char **names = arena_alloc(a, (room + 1) * sizeof *names);
    q = sql_read(r, "SELECT role FROM user_role WHERE user = ? ORDER BY role");
    sql_bind(q, "s", name);
    while (n < room && sql_row(q))
        names[n++] = sql_str(q, 0, a);
    sql_end(q);
    sql_snapshot_end(r);
    *ret_count = n;
    return names;
}

/* LIKE's own signs in what a client looks for are only characters. */
static const char *like_pattern(struct arena *a, const char *q)
{
    if (!q || !*q)
        return "%";
    char *out = arena_alloc(a, 2 * strlen(q) + 3), *at = out;
    *at++ = '%';
    for (; *q; q++) {
        if (strchr("%_\\", *q))
            *at++ = '\\';
        *at++ = *q;
    }
    *at++ = '%';
    return out;
}

#define LISTED " FROM user WHERE name LIKE ?1 ESCAPE '\\' OR ifnull(email, '') LIKE ?1 ESCAPE '\\'"
#define PAGE(order) "SELECT " COLUMNS LISTED " ORDER BY " order " LIMIT ?2 OFFSET ?3"

static struct sql *list_statement(struct meta_reader *r, const struct user_query *u)
{
    switch (u->sort) {
    case USER_BY_EMAIL:
        return u->descending ? sql_read(r, PAGE("ifnull(email, '') DESC, name DESC"))
                             : sql_read(r, PAGE("ifnull(email, ''), name"));
    case USER_BY_ENABLED:
        return u->descending ? sql_read(r, PAGE("enabled DESC, name DESC"))
                             : sql_read(r, PAGE("enabled, name"));
    case USER_BY_PROVIDER:
        return u->descending ? sql_read(r, PAGE("provider DESC, name DESC"))
                             : sql_read(r, PAGE("provider, name"));
    case USER_BY_NAME:
        break;
    }
    return u->descending ? sql_read(r, PAGE("name DESC")) : sql_read(r, PAGE("name"));
}

void user_list(struct meta_reader *r, struct arena *a, const struct user_query *query,
               struct user **ret, unsigned *ret_count, int64_t *ret_total)
{
    const char *like = like_pattern(a, query->q);
    unsigned n = 0;
    struct user *users = arena_alloc(a, (size_t)(query->limit + 1) * sizeof *users);
    sql_snapshot_begin(r);
    struct sql *q = sql_read(r, "SELECT count(*)" LISTED);
    sql_bind(q, "s", like);
    *ret_total = sql_row(q) ? sql_int(q, 0) : 0;
    sql_end(q);
    q = list_statement(r, query);
    sql_bind(q, "sii", like, query->limit, query->offset);
    while (n < query->limit && sql_row(q))
        user_of_row(q, a, &users[n++]);
    sql_end(q);
    sql_snapshot_end(r);
    *ret = users;
    *ret_count = n;
}

/* --- operations --- */

struct current {
    bool found, enabled;
    int64_t epoch_ms;
    const char *password;
};

static void current_read(struct txn *t, const char *name, struct current *ret)
{
    struct sql *q = sql_txn(t, "SELECT enabled, epoch_ms, password FROM user WHERE name = ?");
    *ret = (struct current){ 0 };
    sql_bind(q, "s", name);
    if (sql_row(q))
        *ret = (struct current){ true, sql_int(q, 0) != 0, sql_int(q, 1),
                                 sql_str(q, 2, txn_arena(t)) };
    sql_end(q);
}

static enum err name_arg(const json_t *args, const char **ret, struct why *why)
{
    *ret = arg_text(args, "name");
    if (!*ret || !name_valid(*ret))
        return fail(why, ERR_BAD_REQUEST, "not a user name");
    return OK;
}

/* The roles become exactly these; each must exist. */
static enum err roles_replace(struct txn *t, const char *user, const json_t *roles, struct why *why)
{
    size_t i;
    const json_t *role;
    enum err e = sql_do(t, "DELETE FROM user_role WHERE user = ?", "s", user);
    if (e)
        return e;
    json_array_foreach(roles, i, role) {
        const char *name = json_string_value(role);
        if (!name)
            return fail(why, ERR_BAD_REQUEST, "roles must be an array of strings");
        struct sql *q = sql_txn(t, "SELECT 1 FROM role WHERE name = ?");
        sql_bind(q, "s", name);
        bool exists = sql_row(q);
        sql_end(q);
        if (!exists)
            return fail(why, ERR_BAD_REQUEST, "Role '%s' not found", name);
        if ((e = sql_do(t, "INSERT OR IGNORE INTO user_role (user, role) VALUES (?, ?)", "ss",
                        user, name)))
            return e;
    }
    return OK;
}

/* A new epoch is later than the one before, whatever the clock says: tokens carry the epoch that they
 * were issued in, and hold only while it is the user's. */
static int64_t epoch_after(struct txn *t, int64_t old)
{
    int64_t now = txn_now(t);
    return now > old ? now : old + 1;
}

static enum err user_insert(struct txn *t, const json_t *args, const char *name)
{
    const json_t *must = json_object_get(args, "must_change");
    const char *provider = arg_text(args, "provider");
    int64_t now = txn_now(t);
    return sql_do(t,
                  "INSERT INTO user (name, password, email, enabled, provider, must_change,"
                  " epoch_ms, version, created_ms, updated_ms)"
                  " VALUES (?, ?, ?, 1, ?, ?, ?, 1, ?, ?)",
                  "ssssiiii", name, arg_text(args, "password"), arg_text(args, "email"),
                  provider ? provider : "local", (int64_t)json_is_true(must), now, now, now);
}

static enum err user_update(struct txn *t, const json_t *args, const char *name)
{
    const json_t *email = json_object_get(args, "email"), *must = json_object_get(args, "must_change");
    const char *password = arg_text(args, "password"), *provider = arg_text(args, "provider");
    int64_t now = txn_now(t);
    enum err e = sql_do(t, "UPDATE user SET updated_ms = ? WHERE name = ?", "is", now, name);
    if (!e && password)
        e = sql_do(t, "UPDATE user SET password = ?, version = version + 1 WHERE name = ?", "ss",
                   password, name);
    if (!e && email)
        e = sql_do(t, "UPDATE user SET email = ? WHERE name = ?", "ss", json_string_value(email),
                   name);
    if (!e && provider)
        e = sql_do(t, "UPDATE user SET provider = ? WHERE name = ?", "ss", provider, name);
    if (!e && json_is_boolean(must))
        e = sql_do(t, "UPDATE user SET must_change = ? WHERE name = ?", "is",
                   (int64_t)json_is_true(must), name);
    return e;
}

enum err op_user_put(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *name;
    struct current old;
    enum err e = name_arg(args, &name, why);
    if (e)
        return e;
    current_read(t, name, &old);
    /* What the caller may was decided on its node, not knowing whether the user exists here and now. */
    if (!json_is_true(json_object_get(args, old.found ? "update" : "create")))
        return fail(why, ERR_FORBIDDEN, "Insufficient permissions to %s users",
                    old.found ? "update" : "create");
    bool had_admin = admin_remains(t);
    e = old.found ? user_update(t, args, name) : user_insert(t, args, name);
    const json_t *roles = json_object_get(args, "roles");
    if (!e && roles)
        e = roles_replace(t, name, roles, why);
    if (!e && had_admin && !admin_remains(t))
        e = fail(why, ERR_CONFLICT, "'%s' is the last enabled administrator", name);
    if (!e)
        *ret_result = json_pack("{s:b}", "created", !old.found);
    return e;
}

enum err op_user_delete(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *name;
    enum err e = name_arg(args, &name, why);
    if (e)
        return e;
    bool had_admin = admin_remains(t);
    if ((e = sql_do(t, "DELETE FROM user WHERE name = ?", "s", name)))
        return e;
    if (sql_changes(t) == 0)
        return fail(why, ERR_NOT_FOUND, "User '%s' not found", name);
    if (!(e = sql_do(t, "DELETE FROM user_role WHERE user = ?", "s", name)))
        e = sql_do(t, "DELETE FROM token WHERE user = ?", "s", name);
    /* Who is given the name later is somebody else. */
    if (!e && !(e = sql_do(t, "DELETE FROM user_mfa WHERE user = ?", "s", name)) &&
        !(e = sql_do(t, "DELETE FROM user_mfa_code WHERE user = ?", "s", name)))
        e = sql_do(t, "DELETE FROM user_link WHERE user = ?", "s", name);
    if (!e && had_admin && !admin_remains(t))
        e = fail(why, ERR_CONFLICT, "'%s' is the last enabled administrator", name);
    return e;
}

/* All that was issued so far ends. Gives the number of refresh and API tokens that were alive. */
static enum err tokens_end(struct txn *t, const char *name, int64_t epoch_ms, int64_t *ret_count)
{
    int64_t now = txn_now(t);
    enum err e = sql_do(t,
                        "UPDATE token SET revoked_ms = ?1 WHERE user = ?2 AND revoked_ms IS NULL"
                        " AND (expires_ms IS NULL OR expires_ms > ?1)",
                        "is", now, name);
    *ret_count = sql_changes(t);
    return e ? e : sql_do(t, "UPDATE user SET epoch_ms = ?, updated_ms = ? WHERE name = ?", "iis",
                          epoch_ms, now, name);
}

enum err op_user_enable(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *name;
    struct current old;
    int64_t ended;
    bool enabled = json_is_true(json_object_get(args, "enabled"));
    enum err e = name_arg(args, &name, why);
    if (e)
        return e;
    current_read(t, name, &old);
    if (!old.found)
        return fail(why, ERR_NOT_FOUND, "User '%s' not found", name);
    if (old.enabled == enabled)
        return OK;
    bool had_admin = admin_remains(t);
    e = sql_do(t, "UPDATE user SET enabled = ?, updated_ms = ? WHERE name = ?", "iis",
               (int64_t)enabled, txn_now(t), name);
    /* Enabling again does not revive what was issued before. */
    if (!e && !enabled)
        e = tokens_end(t, name, epoch_after(t, old.epoch_ms), &ended);
    if (!e && had_admin && !admin_remains(t))
        e = fail(why, ERR_CONFLICT, "'%s' is the last enabled administrator", name);
    return e;
}

enum err op_user_password(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *name, *password = arg_text(args, "password"), *verified = arg_text(args, "old");
    struct current old;
    enum err e = name_arg(args, &name, why);
    if (e)
        return e;
    if (!password)
        return fail(why, ERR_BAD_REQUEST, "password is missing");
    current_read(t, name, &old);
    if (!old.found)
        return fail(why, ERR_NOT_FOUND, "User '%s' not found", name);
    if (old.password && strcmp(old.password, password) == 0)
        return OK; /* a retry */
    /* The old password was verified on another node against what it had: still the one? */
    if (verified && (!old.password || strcmp(old.password, verified) != 0))
        return fail(why, ERR_UNAUTHORIZED, "Invalid old password");
    return sql_do(t,
                  "UPDATE user SET password = ?, version = version + 1, must_change = 0,"
                  " updated_ms = ? WHERE name = ?",
                  "sis", password, txn_now(t), name);
}

enum err op_user_revoke(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *name;
    struct current old;
    int64_t ended;
    enum err e = name_arg(args, &name, why);
    if (e)
        return e;
    current_read(t, name, &old);
    if (!old.found)
        return fail(why, ERR_NOT_FOUND, "User '%s' not found", name);
    e = tokens_end(t, name, epoch_after(t, old.epoch_ms), &ended);
    if (!e)
        *ret_result = json_pack("{s:I}", "tokens_revoked", (json_int_t)ended);
    return e;
}
