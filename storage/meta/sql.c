/* SPDX-License-Identifier: Apache-2.0 */
/* Prepared statements, found again by the address of their text. A statement that is in use (a query
 * inside a query with the same text) gets a twin. */
#include "storage/meta/sql.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/log.h"
#include "storage/meta/internal.h"

struct sql {
    struct sql *next; /* in its bucket */
    const char *text;
    sqlite3_stmt *stmt; /* NULL: does not fit this schema (a newer binary on an older one): no rows */
    sqlite3 *db;
    bool in_use;
};

void connection_die(sqlite3 *db, const char *what)
{
    log_fatal("storage", "%s: %s (%d)", what, sqlite3_errmsg(db), sqlite3_extended_errcode(db));
}

void connection_exec(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        connection_die(db, sql);
}

void connection_close(struct connection *c)
{
    for (unsigned i = 0; i < STATEMENT_BUCKETS; i++)
        while (c->statements[i]) {
            struct sql *q = c->statements[i];
            c->statements[i] = q->next;
            sqlite3_finalize(q->stmt);
            free(q);
        }
    apply_forget(c);
    sqlite3_close(c->db);
    c->db = NULL;
}

static struct sql *prepare(struct connection *c, const char *text)
{
    struct sql *q = calloc(1, sizeof *q);
    if (!q)
        log_fatal("storage", "out of memory: statement");
    q->text = text;
    q->db = c->db;
    int status = sqlite3_prepare_v3(c->db, text, -1, SQLITE_PREPARE_PERSISTENT, &q->stmt, NULL);
    /* Before the first migration, and while a cluster is being upgraded: nothing is amiss. */
    if (status == SQLITE_ERROR && connection_schema(c->db) < meta_schema_known())
        log_debug("storage", "not in this schema yet: %s", text);
    else if (status == SQLITE_ERROR)
        log_error("storage", "statement does not fit the schema: %s: %s", sqlite3_errmsg(c->db), text);
    else if (status != SQLITE_OK)
        connection_die(c->db, text);
    return q;
}

static struct sql *find(struct connection *c, const char *text)
{
    struct sql **bucket = &c->statements[((uintptr_t)text >> 3) % STATEMENT_BUCKETS];
    struct sql *q = *bucket;
    while (q && (q->text != text || q->in_use))
        q = q->next;
    if (!q || !q->stmt) {
        struct sql *fresh = q ? NULL : prepare(c, text);
        if (fresh) {
            fresh->next = *bucket;
            *bucket = q = fresh;
        } else { /* the schema may fit by now */
            sqlite3_prepare_v3(c->db, text, -1, SQLITE_PREPARE_PERSISTENT, &q->stmt, NULL);
        }
    }
    q->in_use = true;
    return q;
}

struct sql *sql_read(struct meta_reader *r, const char *text)
{
    return find(&r->connection, text);
}

struct sql *sql_txn(struct txn *t, const char *text)
{
    return find(t->connection, text);
}

static void bind_all(struct sql *q, const char *kinds, va_list args)
{
    for (int i = 1; *kinds; kinds++, i++) {
        int status = SQLITE_OK;
        if (*kinds == 's') {
            status = sqlite3_bind_text(q->stmt, i, va_arg(args, const char *), -1, SQLITE_STATIC);
        } else if (*kinds == 'i') {
            status = sqlite3_bind_int64(q->stmt, i, va_arg(args, int64_t));
        } else if (*kinds == 'd') {
            status = sqlite3_bind_double(q->stmt, i, va_arg(args, double));
        } else if (*kinds == 'b') {
            const void *data = va_arg(args, const void *);
            size_t size = va_arg(args, size_t);
            status = data ? sqlite3_bind_blob64(q->stmt, i, data, size, SQLITE_STATIC)
                          : sqlite3_bind_null(q->stmt, i);
        } else {
            check(*kinds == 'n');
            status = sqlite3_bind_null(q->stmt, i);
        }
        if (status != SQLITE_OK)
            connection_die(q->db, q->text);
    }
}

void sql_bind(struct sql *q, const char *kinds, ...)
{
    if (!q->stmt)
        return;
    va_list args;
    va_start(args, kinds);
    bind_all(q, kinds, args);
    va_end(args);
}

void sql_end(struct sql *q)
{
    if (!q->in_use)
        return;
    if (q->stmt) {
        sqlite3_reset(q->stmt);
        sqlite3_clear_bindings(q->stmt);
    }
    q->in_use = false;
}

bool sql_row(struct sql *q)
{
    if (!q->stmt)
        return false;
    int status = sqlite3_step(q->stmt);
    if (status == SQLITE_ROW)
        return true;
    if (status != SQLITE_DONE)
        connection_die(q->db, q->text);
    return false;
}

enum err sql_do(struct txn *t, const char *text, const char *kinds, ...)
{
    struct sql *q = sql_txn(t, text);
    if (!q->stmt) {
        sql_end(q);
        return ERR_NOT_IMPLEMENTED;
    }
    va_list args;
    va_start(args, kinds);
    bind_all(q, kinds, args);
    va_end(args);
    int status = sqlite3_step(q->stmt);
    enum err e = OK;
    if ((status & 0xff) == SQLITE_CONSTRAINT)
        e = ERR_CONFLICT;
    else if (status != SQLITE_DONE && status != SQLITE_ROW)
        connection_die(q->db, text);
    sql_end(q);
    return e;
}

int64_t sql_changes(struct txn *t)
{
    return sqlite3_changes64(t->connection->db);
}

int64_t sql_last_id(struct txn *t)
{
    return sqlite3_last_insert_rowid(t->connection->db);
}

int64_t sql_int(struct sql *q, int column)
{
    return sqlite3_column_int64(q->stmt, column);
}

bool sql_null(struct sql *q, int column)
{
    return sqlite3_column_type(q->stmt, column) == SQLITE_NULL;
}

const char *sql_str(struct sql *q, int column, struct arena *a)
{
    const char *text = (const char *)sqlite3_column_text(q->stmt, column);
    return text && a ? arena_strndup(a, text, (size_t)sqlite3_column_bytes(q->stmt, column)) : text;
}

const void *sql_blob(struct sql *q, int column, size_t *ret_size)
{
    const void *data = sqlite3_column_blob(q->stmt, column);
    *ret_size = (size_t)sqlite3_column_bytes(q->stmt, column);
    return data;
}

bool sql_digest(struct sql *q, int column, void *ret, size_t size)
{
    size_t n;
    const void *data = sql_blob(q, column, &n);
    if (!data || n != size)
        return false;
    memcpy(ret, data, size);
    return true;
}

int64_t txn_now(const struct txn *t)
{
    return t->now_ms;
}

const struct seal_key *txn_seal_key(const struct txn *t)
{
    return t->key;
}

struct arena *txn_arena(struct txn *t)
{
    return &t->arena;
}

void sql_snapshot_begin(struct meta_reader *r)
{
    struct sql *q = sql_read(r, "BEGIN");
    sql_row(q);
    sql_end(q);
}

void sql_snapshot_end(struct meta_reader *r)
{
    struct sql *q = sql_read(r, "COMMIT");
    sql_row(q);
    sql_end(q);
}
