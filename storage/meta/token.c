/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens: rows of what was issued (refresh, API) and of access tokens that were revoked. The tokens
 * themselves are signed by auth and kept by nobody. */
#include "pantera/meta_token.h"

#include <string.h>

#include "pantera/ids.h"
#include "storage/meta/ops.h"
#include "storage/meta/sql.h"

/* What one user can make grow. */
enum { API_TOKENS = 1000, SESSIONS = 1000 };
/* A revoked permanent token is kept so long, for whoever looks why a job fails. */
#define KEEP_REVOKED_MS (30ll * 24 * 3600 * 1000)

static void token_of_row(struct sql *q, struct arena *a, struct token *ret)
{
    *ret = (struct token){
        .id = sql_str(q, 0, a), .type = sql_str(q, 1, a), .label = sql_str(q, 2, a),
        .family = sql_str(q, 3, a), .created_ms = sql_int(q, 4),
        .expires_ms = sql_null(q, 5) ? 0 : sql_int(q, 5), .revoked = !sql_null(q, 6),
    };
}

#define COLUMNS "id, type, label, family, created_ms, expires_ms, revoked_ms"

enum err token_get(struct meta_reader *r, struct arena *a, const char *user, const char *id,
                   struct token *ret, struct why *why)
{
    struct sql *q = sql_read(r, "SELECT " COLUMNS " FROM token WHERE user = ? AND id = ?");
    sql_bind(q, "ss", user, id);
    bool found = sql_row(q);
    if (found)
        token_of_row(q, a, ret);
    sql_end(q);
    return found ? OK : fail(why, ERR_NOT_FOUND, "Token not found");
}

void token_list(struct meta_reader *r, struct arena *a, const char *user, struct token **ret,
                unsigned *ret_count)
{
    unsigned n = 0;
    struct token *tokens = arena_alloc(a, API_TOKENS * sizeof *tokens);
    struct sql *q = sql_read(r, "SELECT " COLUMNS " FROM token WHERE user = ? AND type = 'api'"
                                " AND revoked_ms IS NULL ORDER BY created_ms DESC, id");
    sql_bind(q, "s", user);
    while (n < API_TOKENS && sql_row(q))
        token_of_row(q, a, &tokens[n++]);
    sql_end(q);
    *ret = tokens;
    *ret_count = n;
}

bool token_sweep_due(struct meta_reader *r, int64_t now_ms)
{
    struct sql *q = sql_read(r, "SELECT 1 WHERE EXISTS (SELECT 1 FROM token WHERE expires_ms < ?1)"
                                " OR EXISTS (SELECT 1 FROM token WHERE expires_ms IS NULL"
                                "  AND revoked_ms < ?2)");
    sql_bind(q, "ii", now_ms, now_ms - KEEP_REVOKED_MS);
    bool due = sql_row(q);
    sql_end(q);
    return due;
}

/* --- operations --- */

static enum err ids_arg(const json_t *args, const char **ret_user, const char **ret_id,
                        struct why *why)
{
    *ret_user = arg_text(args, "user");
    *ret_id = arg_text(args, "id");
    if (!*ret_user || !*ret_id || strlen(*ret_id) > 64)
        return fail(why, ERR_BAD_REQUEST, "user or id is missing");
    return OK;
}

/* A token was signed for a user as some node saw it. Is that user still there, enabled, and of the same
 * epoch? If not, what was signed is void already, and must not get a row. */
static enum err user_stands(struct txn *t, const json_t *args, const char *user, struct why *why)
{
    struct sql *q = sql_txn(t, "SELECT 1 FROM user WHERE name = ? AND enabled AND epoch_ms = ?");
    sql_bind(q, "si", user, arg_int(args, "epoch_ms", -1));
    bool stands = sql_row(q);
    sql_end(q);
    return stands ? OK : fail(why, ERR_UNAUTHORIZED, "the user was changed meanwhile; sign in again");
}

static bool token_exists(struct txn *t, const char *user, const char *id)
{
    struct sql *q = sql_txn(t, "SELECT 1 FROM token WHERE user = ? AND id = ?");
    sql_bind(q, "ss", user, id);
    bool exists = sql_row(q);
    sql_end(q);
    return exists;
}

static enum err token_insert(struct txn *t, const char *user, const char *id, const char *type,
                             const char *label, const char *family, int64_t expires_ms)
{
    if (expires_ms)
        return sql_do(t,
                      "INSERT INTO token (user, id, type, label, family, created_ms, expires_ms)"
                      " VALUES (?, ?, ?, ?, ?, ?, ?)",
                      "sssssii", user, id, type, label, family, txn_now(t), expires_ms);
    return sql_do(t,
                  "INSERT INTO token (user, id, type, label, family, created_ms)"
                  " VALUES (?, ?, ?, ?, ?, ?)",
                  "sssssi", user, id, type, label, family, txn_now(t));
}

/* Too many API tokens are refused; of too many sessions the oldest ends. */
static enum err room_for(struct txn *t, const char *user, bool api, struct why *why)
{
    struct sql *q = sql_txn(t, "SELECT count(*) FROM token WHERE user = ? AND type = ?"
                               " AND revoked_ms IS NULL");
    sql_bind(q, "ss", user, api ? "api" : "refresh");
    int64_t count = sql_row(q) ? sql_int(q, 0) : 0;
    sql_end(q);
    if (api && count >= API_TOKENS)
        return fail(why, ERR_CONFLICT, "there are %d API tokens already; revoke some", API_TOKENS);
    if (!api && count >= SESSIONS)
        return sql_do(t,
                      "DELETE FROM token WHERE user = ?1 AND id IN (SELECT id FROM token"
                      " WHERE user = ?1 AND type = 'refresh' AND revoked_ms IS NULL"
                      " ORDER BY created_ms LIMIT ?2)",
                      "si", user, count - SESSIONS + 1);
    return OK;
}

enum err op_token_add(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *user, *id, *type = arg_text(args, "type");
    enum err e = ids_arg(args, &user, &id, why);
    if (e)
        return e;
    bool api = type && strcmp(type, "api") == 0;
    if (!api && (!type || strcmp(type, "refresh") != 0))
        return fail(why, ERR_BAD_REQUEST, "only refresh and API tokens have rows");
    if ((e = user_stands(t, args, user, why)))
        return e;
    if (token_exists(t, user, id))
        return OK; /* a retry */
    if ((e = room_for(t, user, api, why)))
        return e;
    return token_insert(t, user, id, type, arg_text(args, "label"), arg_text(args, "family"),
                        arg_int(args, "expires_ms", 0));
}

static enum err family_end(struct txn *t, const char *user, const char *id, const char *family)
{
    if (!family)
        return sql_do(t, "UPDATE token SET revoked_ms = ?1 WHERE user = ?2 AND id = ?3"
                         " AND revoked_ms IS NULL", "iss", txn_now(t), user, id);
    return sql_do(t, "UPDATE token SET revoked_ms = ?1 WHERE user = ?2 AND family = ?3"
                     " AND revoked_ms IS NULL", "iss", txn_now(t), user, family);
}

enum err op_token_refresh(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *user, *id, *new_id = arg_text(args, "new_id"), *family;
    enum err e = ids_arg(args, &user, &id, why);
    if (e)
        return e;
    if (!new_id || strlen(new_id) > 64)
        return fail(why, ERR_BAD_REQUEST, "new_id is missing");
    if ((e = user_stands(t, args, user, why)))
        return e;
    struct sql *q = sql_txn(t, "SELECT family, revoked_ms IS NOT NULL, ifnull(expires_ms, ?3)"
                               " FROM token WHERE user = ?1 AND id = ?2 AND type = 'refresh'");
    sql_bind(q, "ssi", user, id, (int64_t)INT64_MAX);
    if (!sql_row(q)) {
        sql_end(q);
        return fail(why, ERR_UNAUTHORIZED, "Refresh token expired or revoked");
    }
    family = sql_str(q, 0, txn_arena(t));
    bool spent = sql_int(q, 1) != 0, expired = sql_int(q, 2) <= txn_now(t);
    sql_end(q);
    if (spent && token_exists(t, user, new_id)) {
        *ret_result = json_pack("{s:b}", "reused", false); /* our own retry */
        return OK;
    }
    if (expired)
        return fail(why, ERR_UNAUTHORIZED, "Refresh token expired or revoked");
    if (spent) {
        /* Somebody has a copy. Not an error of the operation: the revocation must be kept. */
        *ret_result = json_pack("{s:b}", "reused", true);
        return family_end(t, user, id, family);
    }
    e = sql_do(t, "UPDATE token SET revoked_ms = ? WHERE user = ? AND id = ?", "iss", txn_now(t),
               user, id);
    if (!e)
        e = token_insert(t, user, new_id, "refresh", "Refresh Token", family,
                         arg_int(args, "expires_ms", 0));
    if (!e)
        *ret_result = json_pack("{s:b}", "reused", false);
    return e;
}

enum err op_token_revoke(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *user, *id, *type = arg_text(args, "type");
    enum err e = ids_arg(args, &user, &id, why);
    if (e)
        return e;
    if (type && strcmp(type, "access") == 0) {
        /* Its row is its revocation; it goes when the token would have expired by itself. */
        if (!arg_int(args, "expires_ms", 0))
            return fail(why, ERR_BAD_REQUEST, "expires_ms is missing");
        return sql_do(t,
                      "INSERT INTO token (user, id, type, created_ms, expires_ms, revoked_ms)"
                      " VALUES (?1, ?2, 'access', ?3, ?4, ?3) ON CONFLICT DO NOTHING",
                      "ssii", user, id, txn_now(t), arg_int(args, "expires_ms", 0));
    }
    struct sql *q = sql_txn(t, "SELECT revoked_ms IS NOT NULL FROM token WHERE user = ? AND id = ?"
                               " AND type = ?");
    sql_bind(q, "sss", user, id, type ? type : "api");
    bool found = sql_row(q), already = found && sql_int(q, 0) != 0;
    sql_end(q);
    if (!found || already)
        return fail(why, ERR_NOT_FOUND, "Token not found");
    return sql_do(t, "UPDATE token SET revoked_ms = ? WHERE user = ? AND id = ?", "iss", txn_now(t),
                  user, id);
}

enum err op_token_sweep(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    int64_t now = txn_now(t), limit = arg_int(args, "limit", 1000);
    enum err e = sql_do(t,
                        "DELETE FROM token WHERE (user, id) IN (SELECT user, id FROM token"
                        " WHERE expires_ms < ?1 OR (expires_ms IS NULL AND revoked_ms < ?2)"
                        " LIMIT ?3)",
                        "iii", now, now - KEEP_REVOKED_MS, limit);
    if (!e)
        *ret_result = json_pack("{s:I}", "deleted", (json_int_t)sql_changes(t));
    return e;
}
