/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/audit_access.c: what the audit log shows of who gets in and what is held back: providers,
 * linked identities, second factors, cooldown. As audit_state.c: no secrets. */
#include <string.h>

#include "pantera/meta_cooldown.h"
#include "pantera/text.h"
#include "storage/meta/audit.h"
#include "storage/meta/ops.h"
#include "storage/meta/sql.h"

/* During an upgrade the schema may be older than the binary: what is not there has no state. */
static bool table_there(struct txn *t, const char *name)
{
    struct sql *q = sql_txn(t, "SELECT 1 FROM sqlite_master WHERE name = ?");
    sql_bind(q, "s", name);
    bool there = sql_row(q);
    sql_end(q);
    return there;
}

static const char *text_of(struct txn *t, const json_t *args, const char *key)
{
    const char *text = arg_text(args, key);
    return text ? arena_strdup(txn_arena(t), text) : "";
}

/* --- settings that have an operation of their own --- */

static const char *prefixes_name(struct txn *t, const json_t *args)
{
    return "prefixes";
}

static json_t *prefixes_read(struct txn *t, const json_t *args, bool after)
{
    return audit_setting(t, "prefixes");
}
const struct audit_family audit_family_prefixes = { prefixes_name, prefixes_read };

static const char *cooldown_name(struct txn *t, const json_t *args)
{
    return COOLDOWN_SETTING;
}

static json_t *cooldown_read(struct txn *t, const json_t *args, bool after)
{
    return audit_setting(t, COOLDOWN_SETTING);
}
const struct audit_family audit_family_cooldown = { cooldown_name, cooldown_read };

/* --- what has no state worth showing --- */

static json_t *plain_read(struct txn *t, const json_t *args, bool after)
{
    return NULL;
}

static const char *plain_name(struct txn *t, const json_t *args)
{
    return "";
}
const struct audit_family audit_family_plain = { plain_name, plain_read };

/* --- a held back version, or with unblock_all those of a repository --- */

static const char *block_name(struct txn *t, const json_t *args)
{
    const char *repo = arg_text(args, "repo"), *package = arg_text(args, "package");
    const char *version = arg_text(args, "version");
    struct sql *q = sql_txn(t, "SELECT name FROM repository WHERE id = ?");
    sql_bind(q, "i", arg_int(args, "repo_id", 0));
    if (!repo && sql_row(q))
        repo = sql_str(q, 0, txn_arena(t));
    sql_end(q);
    return arena_printf(txn_arena(t), "%s%s%s%s%s", repo ? repo : "?", package ? "/" : "",
                        package ? package : "", version ? "@" : "", version ? version : "");
}

/* The arguments are the state that is wanted. */
static json_t *block_read(struct txn *t, const json_t *args, bool after)
{
    const char *reason = arg_text(args, "reason");
    return after && reason ? json_pack("{s:s, s:I}", "reason", reason, "until_ms",
                                       (json_int_t)arg_int(args, "until_ms", 0))
                           : NULL;
}
const struct audit_family audit_family_block = { block_name, block_read };

/* An exemption is named by what it exempts when it is made, and by its number when it is taken back. */
static const char *exemption_name(struct txn *t, const json_t *args)
{
    if (!arg_text(args, "package"))
        return arena_printf(txn_arena(t), "exemption %lld", (long long)arg_int(args, "id", 0));
    if (!arg_text(args, "repo"))
        return arena_printf(txn_arena(t), "%s@%s", arg_text(args, "package"), text_of(t, args, "version"));
    return block_name(t, args);
}

static json_t *exemption_read(struct txn *t, const json_t *args, bool after)
{
    json_t *row = NULL;
    if (arg_text(args, "package")) /* the arguments are the state that is wanted */
        return after ? json_pack("{s:s*, s:s*, s:s*, s:s*, s:I}", "repo", arg_text(args, "repo"), "package",
                                 arg_text(args, "package"), "version", arg_text(args, "version"), "reason",
                                 arg_text(args, "reason"), "until_ms",
                                 (json_int_t)arg_int(args, "until_ms", 0))
                     : NULL;
    if (!table_there(t, "cooldown_exemption"))
        return NULL;
    struct sql *q = sql_txn(t, "SELECT r.name, e.package, e.version, e.reason, e.until_ms FROM "
                               "cooldown_exemption e LEFT JOIN repository r ON r.id = e.repo_id "
                               "WHERE e.id = ?");
    sql_bind(q, "i", arg_int(args, "id", 0));
    if (sql_row(q))
        row = json_pack("{s:s*, s:s, s:s, s:s, s:I}", "repo", sql_str(q, 0, NULL), "package",
                        sql_str(q, 1, NULL), "version", sql_str(q, 2, NULL), "reason", sql_str(q, 3, NULL),
                        "until_ms", (json_int_t)sql_int(q, 4));
    sql_end(q);
    return row;
}
const struct audit_family audit_family_exemption = { exemption_name, exemption_read };

/* --- providers: by type when they are made, by number afterwards --- */

static const char *provider_name(struct txn *t, const json_t *args)
{
    const char *type = arg_text(args, "type"), *found = NULL;
    if (type || !table_there(t, "auth_provider"))
        return text_of(t, args, "type");
    struct sql *q = sql_txn(t, "SELECT type FROM auth_provider WHERE id = ?");
    sql_bind(q, "i", arg_int(args, "id", 0));
    if (sql_row(q))
        found = sql_str(q, 0, txn_arena(t));
    sql_end(q);
    return found ? found : "";
}

static json_t *provider_read(struct txn *t, const json_t *args, bool after)
{
    json_t *provider = NULL;
    const char *type = provider_name(t, args);
    if (!*type || !table_there(t, "auth_provider"))
        return NULL;
    struct sql *q = sql_txn(t, "SELECT priority, enabled, config FROM auth_provider WHERE type = ?");
    sql_bind(q, "s", type);
    if (sql_row(q))
        provider = json_pack("{s:I, s:b, s:o}", "priority", (json_int_t)sql_int(q, 0), "enabled",
                             (int)sql_int(q, 1), "config", audit_parsed(q, 2));
    sql_end(q);
    return provider;
}
const struct audit_family audit_family_provider = { provider_name, provider_read };

/* --- identities: a sign-in names the identity, and the user follows from it --- */

static const char *identity_user(struct txn *t, const json_t *args)
{
    const char *issuer = arg_text(args, "issuer"), *subject = arg_text(args, "subject"), *user = NULL;
    if (issuer && subject && table_there(t, "user_link")) {
        struct sql *q = sql_txn(t, "SELECT user FROM user_link WHERE issuer = ? AND subject = ?");
        sql_bind(q, "ss", issuer, subject);
        if (sql_row(q))
            user = sql_str(q, 0, txn_arena(t));
        sql_end(q);
    }
    return user ? user : text_of(t, args, "name");
}

static json_t *sign_in_read(struct txn *t, const json_t *args, bool after)
{
    json_t *user = audit_user(t, identity_user(t, args));
    if (user)
        json_object_set_new(user, "identity", json_pack("{s:s*, s:s*}", "issuer",
                                                        arg_text(args, "issuer"), "subject",
                                                        arg_text(args, "subject")));
    return user;
}
const struct audit_family audit_family_sign_in = { identity_user, sign_in_read };

static const char *link_name(struct txn *t, const json_t *args)
{
    return text_of(t, args, "name");
}

/* The user's identities at that provider. */
static json_t *link_read(struct txn *t, const json_t *args, bool after)
{
    json_t *links = json_array();
    if (!table_there(t, "user_link"))
        return links;
    struct sql *q = sql_txn(t, "SELECT provider, issuer, subject FROM user_link"
                               " WHERE user = ? AND provider = ?");
    sql_bind(q, "ss", arg_text(args, "name"), arg_text(args, "provider"));
    while (sql_row(q))
        json_array_append_new(links, json_pack("{s:s, s:s, s:s}", "provider", sql_str(q, 0, NULL),
                                               "issuer", sql_str(q, 1, NULL), "subject",
                                               sql_str(q, 2, NULL)));
    sql_end(q);
    return links;
}
const struct audit_family audit_family_link = { link_name, link_read };

/* --- second factors: whether there is one, and how many backup codes are left --- */

static const char *factor_name(struct txn *t, const json_t *args)
{
    return text_of(t, args, "user");
}

static json_t *factor_read(struct txn *t, const json_t *args, bool after)
{
    json_t *factor = NULL;
    if (!table_there(t, "user_mfa"))
        return NULL;
    struct sql *q = sql_txn(t, "SELECT confirmed, (SELECT count(*) FROM user_mfa_code c"
                               " WHERE c.user = m.user) FROM user_mfa m WHERE user = ?");
    sql_bind(q, "s", arg_text(args, "user"));
    if (sql_row(q))
        factor = json_pack("{s:b, s:I}", "confirmed", (int)sql_int(q, 0), "backup_codes_left",
                           (json_int_t)sql_int(q, 1));
    sql_end(q);
    return factor;
}
const struct audit_family audit_family_factor = { factor_name, factor_read };
