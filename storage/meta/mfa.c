/* SPDX-License-Identifier: Apache-2.0 */
/* Second factors. A code is checked on the node that was given it; that its step was not used before is
 * decided here, on the leader, before a token is made: a code passes once in the whole cluster.
 * `created_ms` names the enrolment that was checked against: not another one that replaced it. */
#include "pantera/meta_mfa.h"

#include <string.h>

#include "storage/meta/ops.h"
#include "storage/meta/sql.h"

const char *mfa_aad(struct arena *a, const char *user)
{
    return arena_printf(a, "user_mfa:%s", user);
}

enum err mfa_get(struct meta_reader *r, struct arena *a, const char *user, struct mfa *ret)
{
    sql_snapshot_begin(r);
    struct sql *q = sql_read(r, "SELECT secret, confirmed, last_step, created_ms FROM user_mfa"
                                " WHERE user = ?");
    sql_bind(q, "s", user);
    bool found = sql_row(q);
    if (found)
        *ret = (struct mfa){ .secret = sql_str(q, 0, a), .confirmed = sql_int(q, 1) != 0,
                             .last_step = sql_int(q, 2), .created_ms = sql_int(q, 3) };
    sql_end(q);
    q = sql_read(r, "SELECT count(*) FROM user_mfa_code WHERE user = ?");
    sql_bind(q, "s", user);
    if (sql_row(q) && found)
        ret->codes_left = sql_int(q, 0);
    sql_end(q);
    sql_snapshot_end(r);
    return found ? OK : ERR_NOT_FOUND;
}

bool mfa_required(struct meta_reader *r, const char *user)
{
    struct sql *q = sql_read(r, "SELECT 1 FROM user_mfa WHERE user = ? AND confirmed = 1");
    sql_bind(q, "s", user);
    bool found = sql_row(q);
    sql_end(q);
    return found;
}

/* --- operations --- */

struct enrolment {
    bool found, confirmed;
    int64_t last_step, created_ms;
};

static enum err enrolment_read(struct txn *t, const json_t *args, const char **ret_user,
                               struct enrolment *ret, struct why *why)
{
    *ret = (struct enrolment){ 0 };
    *ret_user = arg_text(args, "user");
    if (!*ret_user)
        return fail(why, ERR_BAD_REQUEST, "user is missing");
    struct sql *q = sql_txn(t, "SELECT confirmed, last_step, created_ms FROM user_mfa WHERE user = ?");
    sql_bind(q, "s", *ret_user);
    if (sql_row(q))
        *ret = (struct enrolment){ true, sql_int(q, 0) != 0, sql_int(q, 1), sql_int(q, 2) };
    sql_end(q);
    return OK;
}

/* The step was checked against this enrolment, and it is newer than all that were used. */
static enum err step_take(struct txn *t, const json_t *args, const char *user,
                          const struct enrolment *e, struct why *why)
{
    int64_t step = arg_int(args, "step", 0);
    if (!e->found || e->created_ms != arg_int(args, "created_ms", -1) || step <= e->last_step)
        return fail(why, ERR_UNAUTHORIZED, "mfa_code is wrong or was used");
    return sql_do(t, "UPDATE user_mfa SET last_step = ? WHERE user = ?", "is", step, user);
}

static enum err codes_replace(struct txn *t, const json_t *args, const char *user, struct why *why)
{
    const json_t *codes = json_object_get(args, "codes"), *code;
    size_t i;
    if (json_array_size(codes) > MFA_CODES)
        return fail(why, ERR_BAD_REQUEST, "too many codes");
    enum err e = sql_do(t, "DELETE FROM user_mfa_code WHERE user = ?", "s", user);
    json_array_foreach(codes, i, code) {
        if (!e && !json_is_string(code))
            e = fail(why, ERR_BAD_REQUEST, "codes must be an array of strings");
        if (!e)
            e = sql_do(t, "INSERT OR IGNORE INTO user_mfa_code (user, hash) VALUES (?, ?)", "ss",
                       user, json_string_value(code));
    }
    return e;
}

enum err op_mfa_enrol(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    struct enrolment old;
    const char *user, *secret = arg_text(args, "secret");
    enum err e = enrolment_read(t, args, &user, &old, why);
    int64_t now = txn_now(t);
    if (e)
        return e;
    if (!secret)
        return fail(why, ERR_BAD_REQUEST, "secret is missing");
    if (old.confirmed)
        return fail(why, ERR_CONFLICT, "a second factor is on already");
    struct sql *q = sql_txn(t, "SELECT 1 FROM user WHERE name = ?");
    sql_bind(q, "s", user);
    bool exists = sql_row(q);
    sql_end(q);
    if (!exists)
        return fail(why, ERR_NOT_FOUND, "User '%s' not found", user);
    return sql_do(t,
                  "INSERT INTO user_mfa (user, secret, confirmed, last_step, created_ms)"
                  " VALUES (?, ?, 0, 0, ?) ON CONFLICT (user) DO UPDATE SET"
                  " secret = excluded.secret, last_step = 0, created_ms = excluded.created_ms",
                  "ssi", user, secret, now > old.created_ms ? now : old.created_ms + 1);
}

enum err op_mfa_confirm(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    struct enrolment old;
    const char *user;
    enum err e = enrolment_read(t, args, &user, &old, why);
    if (!e && old.confirmed)
        e = fail(why, ERR_CONFLICT, "a second factor is on already");
    if (!e)
        e = step_take(t, args, user, &old, why);
    if (!e)
        e = sql_do(t, "UPDATE user_mfa SET confirmed = 1 WHERE user = ?", "s", user);
    return e ? e : codes_replace(t, args, user, why);
}

enum err op_mfa_use(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    struct enrolment old;
    const char *user;
    enum err e = enrolment_read(t, args, &user, &old, why);
    return e ? e : step_take(t, args, user, &old, why);
}

enum err op_mfa_backup(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *user = arg_text(args, "user"), *hash = arg_text(args, "hash");
    if (!user || !hash)
        return fail(why, ERR_BAD_REQUEST, "user or hash is missing");
    enum err e = sql_do(t, "DELETE FROM user_mfa_code WHERE user = ? AND hash = ?", "ss", user, hash);
    if (!e && sql_changes(t) == 0)
        e = fail(why, ERR_UNAUTHORIZED, "mfa_code is wrong or was used");
    return e;
}

enum err op_mfa_codes(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    struct enrolment old;
    const char *user;
    enum err e = enrolment_read(t, args, &user, &old, why);
    if (!e && !old.confirmed)
        e = fail(why, ERR_NOT_FOUND, "no second factor is on for this user");
    return e ? e : codes_replace(t, args, user, why);
}

enum err op_mfa_remove(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    struct enrolment old;
    const char *user;
    enum err e = enrolment_read(t, args, &user, &old, why);
    if (!e && !old.found)
        e = fail(why, ERR_NOT_FOUND, "no second factor is on for this user");
    if (!e)
        e = sql_do(t, "DELETE FROM user_mfa WHERE user = ?", "s", user);
    return e ? e : sql_do(t, "DELETE FROM user_mfa_code WHERE user = ?", "s", user);
}
