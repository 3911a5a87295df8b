/* SPDX-License-Identifier: Apache-2.0 */
/* From a changeset to the generations that it touches: every table that a cache may stand on has a row
 * here, with the columns of its primary key that choose the bucket. */
#include <stdio.h>
#include <string.h>

#include "pantera/gen.h"
#include "pantera/text.h"
#include "storage/meta/internal.h"

enum key_shape { WHOLE, FIRST_TEXT, FIRST_INT, INT_AND_TEXT };

static const struct watched {
    const char *table;
    enum gen_kind kind;
    enum key_shape shape;
} watched[] = {
    { "user", GEN_USER, FIRST_TEXT },      { "user_role", GEN_USER, FIRST_TEXT },
    { "token", GEN_USER, FIRST_TEXT },     { "role", GEN_POLICY, WHOLE },
    { "setting", GEN_POLICY, WHOLE },      { "signing_key", GEN_POLICY, WHOLE },
    { "repository", GEN_REPO, WHOLE },     { "storage_alias", GEN_REPO, WHOLE },
    { "cooldown_exemption", GEN_POLICY, WHOLE }, { "cooldown_seen", GEN_COOLDOWN, INT_AND_TEXT },
    { "auth_provider", GEN_POLICY, WHOLE }, { "user_mfa", GEN_USER, FIRST_TEXT },
    { "upstream", GEN_UPSTREAM, INT_AND_TEXT }, { "fetch_claim", GEN_CLAIM, INT_AND_TEXT },
    { "upstream_purge", GEN_PURGE, FIRST_INT }, { "cooldown_block", GEN_COOLDOWN, INT_AND_TEXT },
    { "cooldown_decision", GEN_COOLDOWN, INT_AND_TEXT }, { "blob", GEN_BLOB, FIRST_INT },
    { "artifact", GEN_ARTIFACT, INT_AND_TEXT },
};

static const struct watched *find(const char *table)
{
    for (size_t i = 0; i < sizeof watched / sizeof watched[0]; i++)
        if (strcmp(watched[i].table, table) == 0)
            return &watched[i];
    return NULL;
}

static sqlite3_value *key_value(sqlite3_changeset_iter *change, int op, int column)
{
    sqlite3_value *value = NULL;
    if (op == SQLITE_INSERT)
        sqlite3changeset_new(change, column, &value);
    else
        sqlite3changeset_old(change, column, &value);
    return value;
}

static const char *text_of(sqlite3_value *value)
{
    const char *text = value ? (const char *)sqlite3_value_text(value) : NULL;
    return text ? text : "";
}

static void bump(const struct watched *w, sqlite3_changeset_iter *change, int op)
{
    uint64_t hash = 0;
    sqlite3_value *first = w->shape == WHOLE ? NULL : key_value(change, op, 0);
    if (w->shape == FIRST_TEXT)
        hash = hash_text(text_of(first));
    else if (w->shape == FIRST_INT)
        hash = (uint64_t)sqlite3_value_int64(first);
    else if (w->shape == INT_AND_TEXT)
        hash = gen_artifact_hash(sqlite3_value_int64(first), text_of(key_value(change, op, 1)));
    gen_bump(w->kind, hash);
}

void change_bump_generations(const void *changeset, int size)
{
    sqlite3_changeset_iter *change;
    if (sqlite3changeset_start(&change, size, (void *)(uintptr_t)changeset) != SQLITE_OK) {
        gen_bump_all(); /* never happens; and if it does, no cache may survive it */
        return;
    }
    while (sqlite3changeset_next(change) == SQLITE_ROW) {
        const char *table;
        int columns, op, indirect;
        if (sqlite3changeset_op(change, &table, &columns, &op, &indirect) != SQLITE_OK)
            break;
        const struct watched *w = find(table);
        if (w)
            bump(w, change, op);
    }
    if (sqlite3changeset_finalize(change) != SQLITE_OK)
        gen_bump_all();
}
