/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/audit_state.c: what the audit log shows of a resource before and after a change, one family
 * of operations each. Nothing here may show a secret: password hashes are not read at all, configurations
 * go through audit_redact. */
#include <string.h>

#include "pantera/digest.h"
#include "pantera/meta_secret.h"
#include "pantera/text.h"
#include "storage/meta/audit.h"
#include "storage/meta/ops.h"
#include "storage/meta/sql.h"

/* --- secrets --- */

static void redact_one(json_t *value)
{
    unsigned char digest[32];
    char text[16] = "***#";
    sha256(json_string_value(value), json_string_length(value), digest);
    hex_encode(digest, 4, text + 4);
    json_string_set(value, text);
}

/* Sealed, as configurations are: random bytes to whoever lacks the key. Clear text must not even be
 * digested: short secrets could be guessed from that. */
static bool is_sealed(const json_t *value)
{
    return strncmp(json_string_value(value), "s1.", 3) == 0;
}

static void redact(json_t *value, bool secret, unsigned depth)
{
    const char *name;
    json_t *member;
    size_t i;
    if (depth > 32) {
        json_object_clear(value);
        json_array_clear(value);
    } else if (json_is_object(value)) {
        json_object_foreach (value, name, member) {
            bool hidden = secret || secret_key(name);
            if (hidden && json_is_string(member) && is_sealed(member))
                redact_one(member);
            else if (hidden && json_is_string(member))
                json_string_set(member, "***");
            else
                redact(member, hidden, depth + 1);
        }
    } else if (json_is_array(value)) {
        json_array_foreach (value, i, member) {
            if (secret && json_is_string(member))
                json_string_set(member, "***");
            else
                redact(member, secret, depth + 1);
        }
    }
}

void audit_redact(json_t *value)
{
    redact(value, false, 0);
}

json_t *audit_parsed(struct sql *q, int column)
{
    json_t *value = sql_null(q, column) ? NULL
                                        : json_loads(sql_str(q, column, NULL), JSON_DECODE_ANY, NULL);
    if (value)
        audit_redact(value);
    return value ? value : json_null();
}

/* --- what is common --- */

static const char *named(struct txn *t, const json_t *args)
{
    const char *name = arg_text(args, "name");
    return name ? arena_strdup(txn_arena(t), name) : "";
}

/* --- system --- */

static json_t *bootstrap_read(struct txn *t, const json_t *args, bool after)
{
    return after ? json_pack("{s:s?}", "admin", arg_text(args, "admin")) : NULL;
}
const struct audit_family audit_family_bootstrap = { named, bootstrap_read };

/* --- users and roles --- */

json_t *audit_user(struct txn *t, const char *name)
{
    json_t *user = NULL, *roles;
    struct sql *q = sql_txn(t, "SELECT email, enabled, provider, must_change, epoch_ms, version"
                               " FROM user WHERE name = ?");
    sql_bind(q, "s", name);
    if (sql_row(q))
        user = json_pack("{s:s?, s:b, s:s, s:b, s:I, s:I, s:o}", "email", sql_str(q, 0, NULL),
                         "enabled", (int)sql_int(q, 1), "provider", sql_str(q, 2, NULL),
                         "must_change_password", (int)sql_int(q, 3), "tokens_valid_from_ms",
                         (json_int_t)sql_int(q, 4), "password_version", (json_int_t)sql_int(q, 5),
                         "roles", roles = json_array());
    sql_end(q);
    if (!user)
        return NULL;
    q = sql_txn(t, "SELECT role FROM user_role WHERE user = ? ORDER BY role");
    sql_bind(q, "s", name);
    while (sql_row(q))
        json_array_append_new(roles, json_string(sql_str(q, 0, NULL)));
    sql_end(q);
    return user;
}

static json_t *user_read(struct txn *t, const json_t *args, bool after)
{
    return audit_user(t, arg_text(args, "name"));
}
const struct audit_family audit_family_user = { named, user_read };

static json_t *role_read(struct txn *t, const json_t *args, bool after)
{
    json_t *role = NULL;
    struct sql *q = sql_txn(t, "SELECT enabled, permissions FROM role WHERE name = ?");
    sql_bind(q, "s", arg_text(args, "name"));
    if (sql_row(q)) /* permissions hold no secrets, and names of ours that would look like some */
        role = json_pack("{s:b, s:o}", "enabled", (int)sql_int(q, 0), "permissions",
                         json_loads(sql_str(q, 1, NULL), 0, NULL));
    sql_end(q);
    return role;
}
const struct audit_family audit_family_role = { named, role_read };

/* --- tokens --- */

/* A refresh is shown by the token that it makes. */
static const char *token_id(const json_t *args)
{
    const char *made = arg_text(args, "new_id"), *id = arg_text(args, "id");
    return made ? made : id ? id : "";
}

static const char *token_name(struct txn *t, const json_t *args)
{
    const char *user = arg_text(args, "user"), *type = arg_text(args, "type");
    if (type && strcmp(type, "refresh") == 0) /* a login is about the user */
        return arena_strdup(txn_arena(t), user ? user : "");
    return arena_printf(txn_arena(t), "%s/%s", user ? user : "", token_id(args));
}

static json_t *token_read(struct txn *t, const json_t *args, bool after)
{
    json_t *token = NULL;
    struct sql *q = sql_txn(t, "SELECT id, type, label, expires_ms, revoked_ms FROM token"
                               " WHERE user = ? AND id = ?");
    sql_bind(q, "ss", arg_text(args, "user"), token_id(args));
    if (sql_row(q))
        token = json_pack("{s:s, s:s, s:s?, s:o, s:b}", "id", sql_str(q, 0, NULL), "type",
                          sql_str(q, 1, NULL), "label", sql_str(q, 2, NULL), "expires_ms",
                          sql_null(q, 3) ? json_null() : json_integer(sql_int(q, 3)), "revoked",
                          !sql_null(q, 4));
    sql_end(q);
    if (token && after && arg_text(args, "context")) /* of a login: who vouched */
        json_object_set(token, "provider", json_object_get(args, "context"));
    return token;
}
const struct audit_family audit_family_token = { token_name, token_read };

/* --- configuration --- */

json_t *audit_setting(struct txn *t, const char *name)
{
    json_t *value = NULL;
    struct sql *q = sql_txn(t, "SELECT value FROM setting WHERE name = ?");
    sql_bind(q, "s", name);
    if (sql_row(q))
        value = audit_parsed(q, 0);
    sql_end(q);
    if (json_is_string(value) && name && secret_key(name))
        json_string_set(value, "***");
    return value;
}

static json_t *setting_read(struct txn *t, const json_t *args, bool after)
{
    return audit_setting(t, arg_text(args, "name"));
}
const struct audit_family audit_family_setting = { named, setting_read };

static const char *alias_name(struct txn *t, const json_t *args)
{
    int64_t repo_id = arg_int(args, "repo_id", 0);
    const char *name = named(t, args), *repo = NULL;
    if (!repo_id)
        return name;
    struct sql *q = sql_txn(t, "SELECT name FROM repository WHERE id = ?");
    sql_bind(q, "i", repo_id);
    if (sql_row(q))
        repo = sql_str(q, 0, txn_arena(t));
    sql_end(q);
    return arena_printf(txn_arena(t), "%s/%s", repo ? repo : "?", name);
}

static json_t *alias_read(struct txn *t, const json_t *args, bool after)
{
    int64_t repo_id = arg_int(args, "repo_id", 0);
    const char *scope = repo_id ? arena_printf(txn_arena(t), "%lld", (long long)repo_id) : "";
    json_t *config = NULL;
    struct sql *q = sql_txn(t, "SELECT config FROM storage_alias"
                               " WHERE repo = ? AND name = ? AND deleted_ms IS NULL");
    sql_bind(q, "ss", scope, arg_text(args, "name"));
    if (sql_row(q))
        config = audit_parsed(q, 0);
    sql_end(q);
    return config;
}
const struct audit_family audit_family_alias = { alias_name, alias_read };

static json_t *repository_read(struct txn *t, const json_t *args, bool after)
{
    const char *name = arg_text(args, "name"), *moved = arg_text(args, "new_name");
    json_t *repository = NULL;
    struct sql *q = sql_txn(t, "SELECT name, type, storage, config FROM repository WHERE name = ?");
    sql_bind(q, "s", after && moved ? moved : name);
    if (sql_row(q))
        repository = json_pack("{s:s, s:s, s:s?, s:o}", "name", sql_str(q, 0, NULL), "type",
                               sql_str(q, 1, NULL), "storage", sql_str(q, 2, NULL), "config",
                               audit_parsed(q, 3));
    sql_end(q);
    return repository;
}
const struct audit_family audit_family_repository = { named, repository_read };

/* --- artifacts: the busiest by far, so one look before, and what the arguments say after --- */

static const char *artifact_name(struct txn *t, const json_t *args)
{
    const char *path = arg_text(args, "path"), *repo = NULL;
    struct sql *q = sql_txn(t, "SELECT name FROM repository WHERE id = ?");
    sql_bind(q, "i", arg_int(args, "repo_id", 0));
    if (sql_row(q))
        repo = arena_printf(txn_arena(t), "%s/%s", sql_str(q, 0, NULL), path ? path : "");
    sql_end(q);
    return repo ? repo : path ? path : "";
}

static json_t *artifact_read(struct txn *t, const json_t *args, bool after)
{
    const char *sha = arg_text(args, "sha256");
    json_t *artifact = NULL;
    char hex[65];
    size_t size;
    if (after)
        return sha ? json_pack("{s:s, s:I}", "sha256", sha, "size",
                               (json_int_t)arg_int(args, "size", 0)) : NULL;
    struct sql *q = sql_txn(t, "SELECT b.sha256, a.size FROM artifact a JOIN blob b"
                               " ON b.id = a.blob_id WHERE a.repo_id = ? AND a.path = ?");
    sql_bind(q, "is", arg_int(args, "repo_id", 0), arg_text(args, "path"));
    if (sql_row(q)) {
        const void *digest = sql_blob(q, 0, &size);
        hex_encode(digest, size == 32 ? 32 : 0, hex);
        artifact = json_pack("{s:s, s:I}", "sha256", hex, "size", (json_int_t)sql_int(q, 1));
    }
    sql_end(q);
    return artifact;
}
const struct audit_family audit_family_artifact = { artifact_name, artifact_read };

/* Several at once: named after the first that people see. */
static const json_t *first_seen(const json_t *args)
{
    const json_t *items = json_object_get(args, "items"), *item;
    size_t i;
    json_array_foreach ((json_t *)items, i, item)
        if (!json_is_true(json_object_get(item, "hidden")) && arg_text(item, "path"))
            return item;
    return json_array_get(items, 0);
}

static const char *commit_name(struct txn *t, const json_t *args)
{
    json_t *one = json_pack("{s:O?, s:O?}", "repo_id", json_object_get(args, "repo_id"), "path",
                            json_object_get(first_seen(args), "path"));
    const char *name = artifact_name(t, one);
    const char *kept = arena_strdup(txn_arena(t), name);
    json_decref(one);
    return kept;
}

/* What the names that people see stood for, of as many as a row holds. */
static json_t *commit_read(struct txn *t, const json_t *args, bool after)
{
    const json_t *items = json_object_get(args, "items"), *item;
    json_t *names = json_object();
    size_t i;
    json_array_foreach ((json_t *)items, i, item) {
        const char *path = arg_text(item, "path");
        if (!path || json_is_true(json_object_get(item, "hidden")) || json_object_size(names) >= 100)
            continue;
        json_t *one = json_pack("{s:O?, s:s}", "repo_id", json_object_get(args, "repo_id"), "path", path);
        json_t *was = artifact_read(t, one, false);
        if (was)
            json_object_set_new(names, path, was);
        json_decref(one);
    }
    return names;
}
const struct audit_family audit_family_commit = { commit_name, commit_read };
