/* SPDX-License-Identifier: Apache-2.0 */
/* system.bootstrap: what every cluster begins with: an administrator, two roles, the key that signs
 * tokens, the storage alias `default`, and a hosted repository `files` for the first curl. Does nothing
 * in a cluster that has a signing key. */
#include <stdlib.h>

#include "pantera/meta_alias.h"
#include "pantera/meta_secret.h"
#include "pantera/text.h"
#include "storage/meta/ops.h"
#include "storage/meta/sql.h"

static enum err roles_found(struct txn *t)
{
    int64_t now = txn_now(t);
    return sql_do(t,
                  "INSERT OR IGNORE INTO role (name, permissions, enabled, created_ms, updated_ms)"
                  " VALUES ('admin', '{\"*\":[\"*\"]}', 1, ?1, ?1),"
                  " ('reader', '{\"*\":[\"read\",\"download\"]}', 1, ?1, ?1)",
                  "i", now);
}

static enum err admin_found(struct txn *t, const char *name, const char *password)
{
    int64_t now = txn_now(t);
    enum err e = sql_do(t,
                        "INSERT INTO user (name, password, enabled, provider, must_change, epoch_ms,"
                        " version, created_ms, updated_ms)"
                        " VALUES (?1, ?2, 1, 'local', 0, ?3, 1, ?3, ?3)",
                        "ssi", name, password, now);
    return e ? e : sql_do(t, "INSERT INTO user_role (user, role) VALUES (?, 'admin')", "s", name);
}

static enum err key_found(struct txn *t, const json_t *key, struct why *why)
{
    const char *kid = arg_text(key, "kid"), *private = arg_text(key, "private");
    const char *public = arg_text(key, "public");
    if (!kid || !private || !public)
        return fail(why, ERR_BAD_REQUEST, "signing_key is incomplete");
    return sql_do(t,
                  "INSERT INTO signing_key (kid, private, public, active, created_ms)"
                  " VALUES (?, ?, ?, 1, ?)",
                  "sssi", kid, private, public, txn_now(t));
}

static enum err alias_found(struct txn *t, const json_t *storage, struct why *why)
{
    struct arena *a = txn_arena(t);
    const char *store = alias_store(a, 0, "default");
    json_t *config = json_deep_copy(storage);
    check(config);
    enum err e = secrets_seal(a, txn_seal_key(t), alias_aad(a, store), config, NULL, why);
    if (!e) {
        char *text = json_dumps(config, JSON_COMPACT);
        int64_t now = txn_now(t);
        check(text);
        e = sql_do(t,
                   "INSERT INTO storage_alias (repo, name, config, created_ms, updated_ms)"
                   " VALUES ('', 'default', ?1, ?2, ?2) ON CONFLICT DO NOTHING",
                   "si", text, now);
        free(text);
    }
    json_decref(config);
    return e;
}

static enum err files_found(struct txn *t, const char *admin, struct why *why)
{
    json_t *result = NULL;
    json_t *put = json_pack("{s:s, s:s, s:s, s:{s:{s:s, s:s}}, s:s, s:s}", "name", "files", "type", "file",
                            "storage", "default", "config", "repo", "type", "file", "storage", "default",
                            "by", admin, "expect", "create");
    check(put);
    enum err e = op_repo_put(t, put, &result, why);
    json_decref(result);
    json_decref(put);
    return e;
}

enum err op_bootstrap(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *admin = arg_text(args, "admin"), *password = arg_text(args, "password");
    const json_t *storage = json_object_get(args, "storage");
    const json_t *prefixes = json_object_get(args, "prefixes");
    struct sql *q = sql_txn(t, "SELECT 1 FROM signing_key LIMIT 1");
    bool founded = sql_row(q);
    sql_end(q);
    if (founded) {
        *ret_result = json_pack("{s:b}", "founded", false);
        return OK;
    }
    if (!admin || !name_valid(admin) || !password || !json_is_object(storage))
        return fail(why, ERR_BAD_REQUEST, "admin, password or storage is missing");
    enum err e = roles_found(t);
    if (!e)
        e = admin_found(t, admin, password);
    if (!e)
        e = key_found(t, json_object_get(args, "signing_key"), why);
    if (!e)
        e = alias_found(t, storage, why);
    if (!e)
        e = files_found(t, admin, why);
    if (!e && json_is_array(prefixes)) {
        json_t *put = json_pack("{s:s, s:O}", "name", "prefixes", "value", prefixes);
        e = op_setting_put(t, put, ret_result, why);
        json_decref(put);
    }
    if (!e)
        *ret_result = json_pack("{s:b}", "founded", true);
    return e;
}
