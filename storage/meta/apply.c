/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/apply.c: an entry's changeset goes into the replica, by statements that are prepared once.
 * sqlite3changeset_apply would do, but it prepares everything anew for each entry, which is most of what a
 * small entry costs, and gives up on rows that swap a unique value. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/buf.h"
#include "pantera/log.h"
#include "storage/meta/internal.h"

enum { COLUMNS_MOST = 63, UPDATES_MOST = 32, STATEMENT_MOST = 16384 };

struct update {                  /* of a set of columns */
    uint64_t columns;
    sqlite3_stmt *stmt;
};

struct table_plan {
    struct table_plan *next;
    char *name;
    int columns;
    uint64_t key;                /* which of them */
    char *column[COLUMNS_MOST];
    sqlite3_stmt *insert, *remove;
    struct update updates[UPDATES_MOST];
    unsigned update_count;
};

void apply_forget(struct connection *c)
{
    while (c->plans) {
        struct table_plan *p = c->plans;
        c->plans = p->next;
        sqlite3_finalize(p->insert);
        sqlite3_finalize(p->remove);
        for (unsigned i = 0; i < p->update_count; i++)
            sqlite3_finalize(p->updates[i].stmt);
        for (int i = 0; i < p->columns; i++)
            free(p->column[i]);
        free(p->name);
        free(p);
    }
}

/* --- what a table looks like --- */

static struct table_plan *plan_load(struct connection *c, const char *table)
{
    struct table_plan *p = calloc(1, sizeof *p);
    sqlite3_stmt *stmt;

    check(p && (p->name = strdup(table)));
    if (sqlite3_prepare_v2(c->db, "SELECT name, pk > 0 FROM pragma_table_info(?)", -1, &stmt, NULL) !=
        SQLITE_OK)
        connection_die(c->db, "table_info");
    sqlite3_bind_text(stmt, 1, table, -1, SQLITE_STATIC);
    while (p->columns < COLUMNS_MOST && sqlite3_step(stmt) == SQLITE_ROW) {
        check(p->column[p->columns] = strdup((const char *)sqlite3_column_text(stmt, 0)));
        p->key |= (uint64_t)(sqlite3_column_int(stmt, 1) != 0) << p->columns;
        p->columns++;
    }
    sqlite3_finalize(stmt);
    p->next = c->plans;
    c->plans = p;
    return p;
}

static struct table_plan *plan_of(struct connection *c, const char *table)
{
    for (struct table_plan *p = c->plans; p; p = p->next)
        if (strcmp(p->name, table) == 0)
            return p;
    return plan_load(c, table);
}

/* The changeset has this table's columns, and the same key. */
static bool plan_fits(const struct table_plan *p, sqlite3_changeset_iter *change, int columns)
{
    unsigned char *key;
    int n;

    if (p->columns != columns || sqlite3changeset_pk(change, &key, &n) != SQLITE_OK || n != columns)
        return false;
    for (int i = 0; i < n; i++)
        if ((key[i] != 0) != (p->key >> i & 1))
            return false;
    return true;
}

/* --- statements --- */

static sqlite3_stmt *compile(struct connection *c, struct buf *text)
{
    sqlite3_stmt *stmt;

    check(!buf_err(text));
    if (sqlite3_prepare_v3(c->db, text->data, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL) != SQLITE_OK)
        connection_die(c->db, text->data);
    buf_free(text);
    return stmt;
}

static sqlite3_stmt *insert_of(struct connection *c, struct table_plan *p)
{
    struct buf text;

    if (p->insert)
        return p->insert;
    buf_init(&text, STATEMENT_MOST);
    (void)buf_printf(&text, "INSERT INTO \"%s\" (", p->name);
    for (int i = 0; i < p->columns; i++)
        (void)buf_printf(&text, "%s\"%s\"", i ? ", " : "", p->column[i]);
    (void)buf_puts(&text, ") VALUES (");
    for (int i = 0; i < p->columns; i++)
        (void)buf_printf(&text, "%s?%d", i ? ", " : "", i + 1);
    (void)buf_puts(&text, ")");
    return p->insert = compile(c, &text);
}

/* A key is never NULL, and "=" may use its index; other values are as they were. */
static void put_where(struct buf *text, const struct table_plan *p, uint64_t columns, int base)
{
    const char *word = " WHERE ";

    for (int i = 0; i < p->columns; i++)
        if (columns >> i & 1) {
            (void)buf_printf(text, "%s\"%s\" %s ?%d", word, p->column[i], p->key >> i & 1 ? "=" : "IS",
                             base + i + 1);
            word = " AND ";
        }
}

static sqlite3_stmt *remove_of(struct connection *c, struct table_plan *p)
{
    struct buf text;

    if (p->remove)
        return p->remove;
    buf_init(&text, STATEMENT_MOST);
    (void)buf_printf(&text, "DELETE FROM \"%s\"", p->name);
    put_where(&text, p, UINT64_MAX, 0);
    return p->remove = compile(c, &text);
}

/* ?1.. are new values, ?(columns + 1).. old ones. */
static sqlite3_stmt *update_of(struct connection *c, struct table_plan *p, uint64_t changed)
{
    const char *word = " SET ";
    struct update *u;
    struct buf text;

    for (unsigned i = 0; i < p->update_count; i++)
        if (p->updates[i].columns == changed)
            return p->updates[i].stmt;
    if (p->update_count == UPDATES_MOST)
        return NULL;
    buf_init(&text, STATEMENT_MOST);
    (void)buf_printf(&text, "UPDATE \"%s\"", p->name);
    for (int i = 0; i < p->columns; i++)
        if (changed >> i & 1) {
            (void)buf_printf(&text, "%s\"%s\" = ?%d", word, p->column[i], i + 1);
            word = ", ";
        }
    put_where(&text, p, p->key | changed, p->columns);
    u = &p->updates[p->update_count++];
    *u = (struct update){ changed, compile(c, &text) };
    return u->stmt;
}

/* --- changes --- */

static void bind(struct connection *c, sqlite3_stmt *stmt, int at, sqlite3_value *value)
{
    if (sqlite3_bind_value(stmt, at, value) != SQLITE_OK)
        connection_die(c->db, "binding a change");
}

/* The statement for the change, with its values. NULL: none of ours. */
static sqlite3_stmt *prepare(struct connection *c, struct table_plan *p, sqlite3_changeset_iter *change,
                             int op)
{
    sqlite3_value *olds[COLUMNS_MOST] = { 0 }, *news[COLUMNS_MOST] = { 0 };
    sqlite3_stmt *stmt;
    uint64_t changed = 0;

    for (int i = 0; i < p->columns; i++) {
        if (op != SQLITE_INSERT)
            sqlite3changeset_old(change, i, &olds[i]);
        if (op != SQLITE_DELETE)
            sqlite3changeset_new(change, i, &news[i]);
        changed |= (uint64_t)(news[i] != NULL && !(p->key >> i & 1)) << i;
    }
    stmt = op == SQLITE_INSERT   ? insert_of(c, p)
           : op == SQLITE_DELETE ? remove_of(c, p)
           : changed             ? update_of(c, p, changed)
                                 : NULL;
    for (int i = 0; stmt && i < p->columns; i++) {
        if (op == SQLITE_INSERT || (op == SQLITE_UPDATE && changed >> i & 1))
            bind(c, stmt, i + 1, news[i]);
        if (op == SQLITE_DELETE)
            bind(c, stmt, i + 1, olds[i]);
        else if (op == SQLITE_UPDATE && (p->key | changed) >> i & 1)
            bind(c, stmt, p->columns + i + 1, olds[i]);
    }
    return stmt;
}

enum applied { APPLIED, NOT_OURS, DIVERGED };

static enum applied apply_one(struct connection *c, sqlite3_changeset_iter *change)
{
    struct table_plan *p;
    sqlite3_stmt *stmt;
    const char *table;
    int columns, op, indirect, status;

    if (sqlite3changeset_op(change, &table, &columns, &op, &indirect) != SQLITE_OK)
        return DIVERGED;
    p = plan_of(c, table);
    if (!plan_fits(p, change, columns) || !(stmt = prepare(c, p, change, op)))
        return NOT_OURS;
    status = sqlite3_step(stmt);
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    if ((status & 0xff) == SQLITE_CONSTRAINT)
        return NOT_OURS;
    if (status != SQLITE_DONE)
        connection_die(c->db, "applying a change");
    if (sqlite3_changes(c->db) == 1)
        return APPLIED;
    log_error("storage", "changeset does not fit the replica: table %s, operation %d", table, op);
    return DIVERGED;
}

static enum applied apply_all(struct connection *c, const void *data, size_t size)
{
    sqlite3_changeset_iter *change;
    enum applied result = APPLIED;

    if (sqlite3changeset_start(&change, (int)size, (void *)(uintptr_t)data) != SQLITE_OK)
        return DIVERGED;
    while (result == APPLIED && sqlite3changeset_next(change) == SQLITE_ROW)
        result = apply_one(c, change);
    return sqlite3changeset_finalize(change) == SQLITE_OK ? result : DIVERGED;
}

/* --- row by row it does not fit (rows swap a unique value): all old rows go, then all new ones come --- */

struct late {                    /* a changed row on its way back */
    struct late *next;
    struct table_plan *plan;
    sqlite3_value *values[COLUMNS_MOST];
};

static void diverged(struct connection *c)
{
    connection_die(c->db, "the replica has diverged; remove it, and this node fetches a copy");
}

static void run(struct connection *c, sqlite3_stmt *stmt)
{
    int status = sqlite3_step(stmt);

    if (status != SQLITE_DONE || sqlite3_changes(c->db) != 1)
        diverged(c);
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
}

/* The row as it is, with what the change makes of it. */
static struct late *late_new(struct connection *c, struct table_plan *p, sqlite3_changeset_iter *change)
{
    struct late *late = calloc(1, sizeof *late);
    sqlite3_value *value;
    sqlite3_stmt *stmt;
    struct buf text;

    check(late);
    late->plan = p;
    buf_init(&text, STATEMENT_MOST);
    (void)buf_printf(&text, "SELECT * FROM \"%s\"", p->name);
    put_where(&text, p, p->key, 0);
    stmt = compile(c, &text);
    for (int i = 0; i < p->columns; i++)
        if (p->key >> i & 1 && sqlite3changeset_old(change, i, &value) == SQLITE_OK)
            bind(c, stmt, i + 1, value);
    if (sqlite3_step(stmt) != SQLITE_ROW)
        diverged(c);
    for (int i = 0; i < p->columns; i++) {
        bind(c, remove_of(c, p), i + 1, sqlite3_column_value(stmt, i));
        if (sqlite3changeset_new(change, i, &value) != SQLITE_OK || !value)
            value = sqlite3_column_value(stmt, i);
        check((late->values[i] = sqlite3_value_dup(value)));
    }
    sqlite3_finalize(stmt);
    run(c, remove_of(c, p));
    return late;
}

static void late_insert(struct connection *c, struct late *late)
{
    sqlite3_stmt *stmt = insert_of(c, late->plan);

    for (int i = 0; i < late->plan->columns; i++) {
        bind(c, stmt, i + 1, late->values[i]);
        sqlite3_value_free(late->values[i]);
    }
    run(c, stmt);
    free(late);
}

/* One of two passes over all changes. */
static void pass(struct connection *c, const void *data, size_t size, bool inserts, struct late **late)
{
    sqlite3_changeset_iter *change;
    const char *table;
    int columns, op, indirect;

    if (sqlite3changeset_start(&change, (int)size, (void *)(uintptr_t)data) != SQLITE_OK)
        diverged(c);
    while (sqlite3changeset_next(change) == SQLITE_ROW) {
        sqlite3changeset_op(change, &table, &columns, &op, &indirect);
        struct table_plan *p = plan_of(c, table);
        if (!plan_fits(p, change, columns))
            log_fatal("storage", "an entry has changes for table %s that do not fit this replica", table);
        if (op == SQLITE_UPDATE && !inserts) {
            struct late *one = late_new(c, p, change);
            one->next = *late;
            *late = one;
        } else if (op != SQLITE_UPDATE && (op == SQLITE_INSERT) == inserts) {
            run(c, prepare(c, p, change, op));
        }
    }
    if (sqlite3changeset_finalize(change) != SQLITE_OK)
        diverged(c);
}

static void apply_apart(struct connection *c, const void *data, size_t size)
{
    struct late *late = NULL;

    pass(c, data, size, false, &late);
    while (late) {
        struct late *one = late;
        late = one->next;
        late_insert(c, one);
    }
    pass(c, data, size, true, NULL);
}

void apply_changeset(struct connection *c, const void *data, size_t size)
{
    enum applied result = size ? apply_all(c, data, size) : APPLIED;

    if (result == DIVERGED)
        diverged(c);
    if (result == APPLIED)
        return;
    connection_exec(c->db, "ROLLBACK; BEGIN IMMEDIATE");
    apply_apart(c, data, size);
}
