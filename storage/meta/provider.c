/* SPDX-License-Identifier: Apache-2.0 */
/* Authentication providers, sign-ins under way, and the identities that sign in as a user. A user is found
 * by issuer and subject, never by a name that the provider gives: names change hands. */
#include "pantera/meta_provider.h"

#include <string.h>

#include "pantera/log.h"
#include "pantera/meta_secret.h"
#include "pantera/text.h"
#include "storage/meta/admin.h"
#include "storage/meta/ops.h"
#include "storage/meta/sql.h"

#define COLUMNS "id, type, priority, config, enabled"

const char *provider_aad(struct arena *a, int64_t id)
{
    return arena_printf(a, "auth_provider:%lld", (long long)id);
}

const char *provider_issuer(struct arena *a, const char *type, const json_t *config)
{
    bool keycloak = strcmp(type, "keycloak") == 0;
    const char *base = json_string_value(json_object_get(config, keycloak ? "url" : "issuer"));
    const char *realm = json_string_value(json_object_get(config, "realm"));
    if (!base || (keycloak && !realm))
        return NULL;
    size_t n = strlen(base);
    while (n && base[n - 1] == '/')
        n--;
    return keycloak ? arena_printf(a, "%.*s/realms/%s", (int)n, base, percent_encode(a, realm, false))
                    : arena_strndup(a, base, n);
}

static void provider_of_row(struct sql *q, struct arena *a, struct provider_row *ret)
{
    *ret = (struct provider_row){
        .id = sql_int(q, 0), .type = sql_str(q, 1, a), .priority = sql_int(q, 2),
        .config = sql_str(q, 3, a), .enabled = sql_int(q, 4) != 0,
    };
}

void provider_list(struct meta_reader *r, struct arena *a, struct provider_row **ret,
                   unsigned *ret_count)
{
    unsigned n = 0;
    struct provider_row *rows = arena_alloc(a, PROVIDERS * sizeof *rows);
    struct sql *q = sql_read(r, "SELECT " COLUMNS " FROM auth_provider"
                                " ORDER BY id <> 1, priority, id LIMIT 16");
    while (n < PROVIDERS && sql_row(q))
        provider_of_row(q, a, &rows[n++]);
    sql_end(q);
    *ret = rows;
    *ret_count = n;
}

static enum err found_one(struct sql *q, struct arena *a, struct provider_row *ret, struct why *why)
{
    bool found = sql_row(q);
    if (found)
        provider_of_row(q, a, ret);
    sql_end(q);
    return found ? OK : fail(why, ERR_NOT_FOUND, "Auth provider not found");
}

enum err provider_get(struct meta_reader *r, struct arena *a, const char *type,
                      struct provider_row *ret, struct why *why)
{
    struct sql *q = sql_read(r, "SELECT " COLUMNS " FROM auth_provider WHERE type = ?");
    sql_bind(q, "s", type);
    return found_one(q, a, ret, why);
}

enum err provider_get_id(struct meta_reader *r, struct arena *a, int64_t id,
                         struct provider_row *ret, struct why *why)
{
    struct sql *q = sql_read(r, "SELECT " COLUMNS " FROM auth_provider WHERE id = ?");
    sql_bind(q, "i", id);
    return found_one(q, a, ret, why);
}

/* --- operations on providers --- */

static enum err row_read(struct txn *t, const json_t *args, struct provider_row *ret, struct why *why)
{
    struct sql *q = sql_txn(t, "SELECT " COLUMNS " FROM auth_provider WHERE id = ?");
    sql_bind(q, "i", arg_int(args, "id", 0));
    enum err e = found_one(q, txn_arena(t), ret, why);
    if (!e && strcmp(ret->type, PROVIDER_LOCAL) == 0)
        e = fail(why, ERR_BAD_REQUEST, "the provider 'local' is always there, and has no configuration");
    return e;
}

/* Seals config's secrets and writes it; takes neither. `old` may be NULL. */
static enum err config_write(struct txn *t, int64_t id, const json_t *given, const json_t *old,
                             struct why *why)
{
    struct arena *a = txn_arena(t);
    json_t *config = json_deep_copy(given);
    enum err e = json_is_object(config) ? OK : fail(why, ERR_BAD_REQUEST, "config must be an object");
    if (!e)
        e = secrets_seal(a, txn_seal_key(t), provider_aad(a, id), config, old, why);
    if (!e) {
        char *text = json_dumps(config, JSON_COMPACT | JSON_SORT_KEYS);
        check(text);
        e = sql_do(t, "UPDATE auth_provider SET config = ?, updated_ms = ? WHERE id = ?", "sii", text,
                   txn_now(t), id);
        free(text);
    }
    json_decref(config);
    return e;
}

enum err op_provider_create(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *type = arg_text(args, "type");
    const json_t *enabled = json_object_get(args, "enabled");
    int64_t now = txn_now(t);
    if (!type)
        return fail(why, ERR_BAD_REQUEST, "type is missing");
    struct sql *q = sql_txn(t, "SELECT count(*) FROM auth_provider");
    bool full = sql_row(q) && sql_int(q, 0) >= PROVIDERS;
    sql_end(q);
    if (full)
        return fail(why, ERR_CONFLICT, "there are %d providers already", PROVIDERS);
    if (sql_do(t, "INSERT INTO auth_provider (type, priority, config, enabled, created_ms, updated_ms)"
                  " VALUES (?, ?, '{}', ?, ?, ?)", "siiii", type, arg_int(args, "priority", 100),
               (int64_t)!json_is_false(enabled), now, now))
        return fail(why, ERR_CONFLICT, "Auth provider '%s' exists already", type);
    int64_t id = sql_last_id(t);
    enum err e = config_write(t, id, json_object_get(args, "config"), NULL, why);
    if (!e)
        *ret_result = json_pack("{s:I}", "id", (json_int_t)id);
    return e;
}

enum err op_provider_config(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    struct provider_row row;
    struct arena *a = txn_arena(t);
    const json_t *config = json_object_get(args, "config");
    enum err e = row_read(t, args, &row, why);
    if (e)
        return e;
    json_t *old = json_loads(row.config, 0, NULL);
    const char *was = provider_issuer(a, row.type, old), *is = provider_issuer(a, row.type, config);
    /* A kept secret goes to the server that it was given for, and to no other. */
    bool same = was && is && strcmp(was, is) == 0;
    e = config_write(t, row.id, config, same ? old : NULL, why);
    json_decref(old);
    return e;
}

enum err op_provider_enable(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    struct provider_row row;
    enum err e = row_read(t, args, &row, why);
    return e ? e : sql_do(t, "UPDATE auth_provider SET enabled = ?, updated_ms = ? WHERE id = ?", "iii",
                          (int64_t)json_is_true(json_object_get(args, "enabled")), txn_now(t), row.id);
}

enum err op_provider_delete(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    struct provider_row row;
    enum err e = row_read(t, args, &row, why);
    if (!e)
        e = sql_do(t, "DELETE FROM auth_provider WHERE id = ?", "i", row.id);
    /* Identities stay linked by issuer: the same provider, made again, finds its users. */
    return e;
}

/* --- sign-ins under way --- */

enum err op_sso_begin(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *state = arg_text(args, "state"), *callback = arg_text(args, "callback");
    const char *nonce = arg_text(args, "nonce"), *verifier = arg_text(args, "verifier");
    int64_t now = txn_now(t);
    if (!state || !callback || !nonce || !verifier)
        return fail(why, ERR_BAD_REQUEST, "sso.begin: bad arguments");
    enum err e = sql_do(t, "DELETE FROM sso_state WHERE state IN (SELECT state FROM sso_state"
                           " WHERE expires_ms <= ? ORDER BY expires_ms LIMIT 100)", "i", now);
    struct sql *q = sql_txn(t, "SELECT 1 FROM sso_state ORDER BY expires_ms LIMIT 1 OFFSET ?");
    sql_bind(q, "i", (int64_t)SSO_STATES - 1);
    bool full = sql_row(q);
    sql_end(q);
    if (full)
        return fail(why, ERR_UNAVAILABLE, "too many sign-ins are under way");
    return e ? e : sql_do(t, "INSERT INTO sso_state (state, provider, callback, nonce, verifier, expires_ms)"
                             " VALUES (?, ?, ?, ?, ?, ?)", "sisssi", state, arg_int(args, "provider", 0),
                          callback, nonce, verifier, now + SSO_STATE_MS);
}

enum err op_sso_take(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *state = arg_text(args, "state");
    struct arena *a = txn_arena(t);
    json_t *result = NULL;
    if (!state)
        return fail(why, ERR_BAD_REQUEST, "state is missing");
    struct sql *q = sql_txn(t, "SELECT p.type, p.id, s.callback, s.nonce, s.verifier FROM sso_state s"
                               " JOIN auth_provider p ON p.id = s.provider"
                               " WHERE s.state = ? AND s.expires_ms > ?");
    sql_bind(q, "si", state, txn_now(t));
    if (sql_row(q))
        result = json_pack("{s:s, s:I, s:s, s:s, s:s}", "provider", sql_str(q, 0, a), "id",
                           (json_int_t)sql_int(q, 1), "callback", sql_str(q, 2, a), "nonce",
                           sql_str(q, 3, a), "verifier", sql_str(q, 4, a));
    sql_end(q);
    if (!result)
        return fail(why, ERR_NOT_FOUND, "no sign-in with this state is under way");
    *ret_result = result;
    return sql_do(t, "DELETE FROM sso_state WHERE state = ?", "s", state);
}

/* --- who that is --- */

static const char *linked_user(struct txn *t, const char *issuer, const char *subject)
{
    struct sql *q = sql_txn(t, "SELECT user FROM user_link WHERE issuer = ? AND subject = ?");
    sql_bind(q, "ss", issuer, subject);
    const char *name = sql_row(q) ? sql_str(q, 0, txn_arena(t)) : NULL;
    sql_end(q);
    return name;
}

static bool user_exists(struct txn *t, const char *name, bool *ret_enabled)
{
    struct sql *q = sql_txn(t, "SELECT enabled FROM user WHERE name = ?");
    sql_bind(q, "s", name);
    bool found = sql_row(q);
    *ret_enabled = found && sql_int(q, 0) != 0;
    sql_end(q);
    return found;
}

static enum err link_add(struct txn *t, const char *issuer, const char *subject, const char *name,
                         const char *provider)
{
    return sql_do(t, "INSERT INTO user_link (issuer, subject, user, provider, created_ms)"
                     " VALUES (?, ?, ?, ?, ?)", "ssssi", issuer, subject, name, provider, txn_now(t));
}

/* A user of that name who is not this identity's stays who he is. */
static enum err provision(struct txn *t, const json_t *args, const char *issuer, const char *subject,
                          const char *name, struct why *why)
{
    bool enabled;
    int64_t now = txn_now(t);
    const char *provider = arg_text(args, "provider");
    if (user_exists(t, name, &enabled))
        return fail(why, ERR_CONFLICT, "there is a user '%.100s' who is not linked to this identity; "
                    "an administrator can link them", name);
    enum err e = sql_do(t, "INSERT INTO user (name, password, email, enabled, provider, must_change,"
                           " epoch_ms, version, created_ms, updated_ms)"
                           " VALUES (?, NULL, ?, 1, ?, 0, ?, 1, ?, ?)", "sssiii", name,
                        arg_text(args, "email"), provider, now, now, now);
    return e ? e : link_add(t, issuer, subject, name, provider);
}

static void roles_set(struct txn *t, const char *name, const json_t *roles, json_t *skipped)
{
    size_t i;
    const json_t *role;
    check(!sql_do(t, "DELETE FROM user_role WHERE user = ?", "s", name));
    json_array_foreach(roles, i, role) {
        const char *text = json_string_value(role);
        struct sql *q = sql_txn(t, "SELECT 1 FROM role WHERE name = ?");
        sql_bind(q, "s", text ? text : "");
        bool exists = sql_row(q);
        sql_end(q);
        if (exists)
            check(!sql_do(t, "INSERT OR IGNORE INTO user_role (user, role) VALUES (?, ?)", "ss", name,
                          text));
        else if (skipped && text)
            json_array_append_new(skipped, json_string(text));
    }
}

/* The roles become those that the provider's groups mean; but a provider can't take the last administrator
 * away: then they stay as they are. */
static void roles_follow(struct txn *t, const char *name, const json_t *roles, json_t *skipped)
{
    bool had_admin = admin_remains(t);
    json_t *old = json_array();
    struct sql *q = sql_txn(t, "SELECT role FROM user_role WHERE user = ?");
    sql_bind(q, "s", name);
    while (sql_row(q))
        json_array_append_new(old, json_string(sql_str(q, 0, txn_arena(t))));
    sql_end(q);
    roles_set(t, name, roles, skipped);
    if (had_admin && !admin_remains(t)) {
        log_warn("storage", "'%s' is the last enabled administrator: the provider's groups are not "
                 "followed", name);
        roles_set(t, name, old, NULL);
    }
    json_decref(old);
}

/* It may have been turned off while it was asked: that was acknowledged, so it holds. */
static bool provider_enabled(struct txn *t, const char *type)
{
    struct sql *q = sql_txn(t, "SELECT 1 FROM auth_provider WHERE type = ? AND enabled = 1");
    sql_bind(q, "s", type);
    bool found = sql_row(q);
    sql_end(q);
    return found;
}

enum err op_sso_sign_in(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *issuer = arg_text(args, "issuer"), *subject = arg_text(args, "subject");
    const char *wanted = arg_text(args, "name"), *email = arg_text(args, "email");
    const json_t *roles = json_object_get(args, "roles");
    bool enabled = true;
    if (!issuer || !subject || !arg_text(args, "provider"))
        return fail(why, ERR_BAD_REQUEST, "sso.sign_in: bad arguments");
    if (!provider_enabled(t, arg_text(args, "provider")))
        return fail(why, ERR_FORBIDDEN, "the provider is not enabled any more");
    const char *name = linked_user(t, issuer, subject);
    bool known = name != NULL;
    enum err e = OK;
    if (known && (!user_exists(t, name, &enabled) || !enabled))
        return fail(why, ERR_FORBIDDEN, "the user '%.100s' is disabled", name);
    if (!known) {
        name = wanted;
        if (!name || !name_valid(name))
            return fail(why, ERR_BAD_REQUEST, "the provider gives no name that a user can have");
        e = provision(t, args, issuer, subject, name, why);
    } else if (email) {
        e = sql_do(t, "UPDATE user SET email = ?1, updated_ms = ?2 WHERE name = ?3 AND email IS NOT ?1",
                   "sis", email, txn_now(t), name);
    }
    if (e)
        return e;
    json_t *skipped = json_array();
    if (json_is_array(roles))
        roles_follow(t, name, roles, skipped);
    *ret_result = json_pack("{s:s, s:b, s:o}", "name", name, "created", !known, "skipped", skipped);
    return OK;
}

enum err op_sso_link(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *name = arg_text(args, "name"), *provider = arg_text(args, "provider");
    const char *issuer = arg_text(args, "issuer"), *subject = arg_text(args, "subject");
    bool enabled;
    if (!name || !provider || !issuer || !subject)
        return fail(why, ERR_BAD_REQUEST, "sso.link: bad arguments");
    if (!user_exists(t, name, &enabled))
        return fail(why, ERR_NOT_FOUND, "User '%s' not found", name);
    const char *other = linked_user(t, issuer, subject);
    if (other)
        return strcmp(other, name) == 0 ? OK : fail(why, ERR_CONFLICT, "that identity is '%.100s' here",
                                                    other);
    enum err e = sql_do(t, "DELETE FROM user_link WHERE user = ? AND provider = ?", "ss", name, provider);
    return e ? e : link_add(t, issuer, subject, name, provider);
}

enum err op_sso_unlink(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *name = arg_text(args, "name"), *provider = arg_text(args, "provider");
    if (!name || !provider)
        return fail(why, ERR_BAD_REQUEST, "sso.unlink: bad arguments");
    enum err e = sql_do(t, "DELETE FROM user_link WHERE user = ? AND provider = ?", "ss", name, provider);
    if (!e && sql_changes(t) == 0)
        e = fail(why, ERR_NOT_FOUND, "no identity of '%.100s' is linked to '%.100s'", provider, name);
    return e;
}
