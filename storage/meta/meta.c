/* SPDX-License-Identifier: Apache-2.0 */
/* The replica's writing side. The leader runs operations in savepoints of one open transaction and takes
 * their changeset; everyone applies changesets; the applied index is stored in the same transaction.
 * It knows nothing of raft and nothing of what tables mean. */
#include "pantera/meta.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pantera/gen.h"
#include "pantera/log.h"
#include "pantera/migrations.h"
#include "storage/meta/audit.h"
#include "storage/meta/internal.h"

#define OP(suffix, name) meta_op op_##suffix;
#include "storage/meta/ops.def"
#undef OP

static const struct {
    const char *name;
    meta_op *run;
} ops[] = {
#define OP(suffix, name) { name, op_##suffix },
#include "storage/meta/ops.def"
#undef OP
};

static meta_op *op_find(const char *name)
{
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        if (strcmp(ops[i].name, name) == 0)
            return ops[i].run;
    return NULL;
}

static int64_t read_state(sqlite3 *db, const char *name)
{
    sqlite3_stmt *stmt;
    int64_t value = 0;
    if (sqlite3_prepare_v2(db, "SELECT value FROM local_state WHERE name = ?", -1, &stmt, NULL))
        connection_die(db, "local_state");
    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    if (sqlite3_step(stmt) == SQLITE_ROW)
        value = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return value;
}

int connection_schema(sqlite3 *db)
{
    return (int)read_state(db, "schema");
}

static void write_state(struct meta *m, const char *name, int64_t value)
{
    struct txn t = { .connection = &m->connection };
    check(sql_do(&t, "INSERT INTO local_state (name, value) VALUES (?, ?) "
                     "ON CONFLICT (name) DO UPDATE SET value = excluded.value", "si", name, value) == OK);
}

static sqlite3 *open_db(const char *path, int flags)
{
    sqlite3 *db;
    if (sqlite3_open_v2(path, &db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        connection_die(db, path);
    sqlite3_extended_result_codes(db, 1);
    sqlite3_busy_timeout(db, 5000);
    return db;
}

struct meta *meta_open(const char *dir)
{
    struct meta *m = calloc(1, sizeof *m);
    check(m != NULL);
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* else every allocation takes a process-wide lock */
    m->dir = strdup(dir);
    if (mkdir(dir, 0700) && access(dir, W_OK))
        log_fatal("storage", "cannot make the data folder '%s'", dir);
    if (asprintf(&m->path, "%s/" META_FILE, dir) < 0)
        log_fatal("storage", "out of memory");
    m->connection.db = open_db(m->path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    sqlite3 *db = m->connection.db;
    /* NORMAL is enough: the log is synced by a quorum and replayed from the applied index. */
    connection_exec(db, "PRAGMA journal_mode = WAL");
    connection_exec(db, "PRAGMA synchronous = NORMAL");
    connection_exec(db, "PRAGMA wal_autocheckpoint = 0"); /* the checkpointer's, on its own thread */
    connection_exec(db, "PRAGMA cache_size = -8192");
    connection_exec(db, "CREATE TABLE IF NOT EXISTS local_state "
                        "(name TEXT NOT NULL PRIMARY KEY, value) WITHOUT ROWID");
    m->applied = m->stored_applied = (uint64_t)read_state(db, "applied");
    m->schema = connection_schema(db);
    return m;
}

void meta_close(struct meta *m)
{
    if (!m)
        return;
    if (m->batch_open)
        meta_batch_rollback(m);
    else
        meta_store_applied(m);
    connection_close(&m->connection);
    free(m->dir);
    free(m->path);
    free(m);
}

uint64_t meta_applied(const struct meta *m) { return m->applied; }
int meta_schema(const struct meta *m) { return m->schema; }
const char *meta_path(const struct meta *m) { return m->path; }
bool meta_batch_open(const struct meta *m) { return m->batch_open; }

int meta_schema_known(void)
{
    return migrations_count ? migrations[migrations_count - 1].number : 0;
}

/* --- the leader's batch --- */

/* What begins with local_ is each node's own: its state, its full-text index and all that is below it. */
static int is_replicated(void *arg, const char *table)
{
    return strncmp(table, "local_", 6) != 0 && strncmp(table, "sqlite_", 7) != 0;
}

void meta_batch_begin(struct meta *m)
{
    sqlite3 *db = m->connection.db;
    check(!m->batch_open);
    connection_exec(db, "BEGIN IMMEDIATE");
    if (sqlite3session_create(db, "main", &m->session) != SQLITE_OK)
        connection_die(db, "session");
    sqlite3session_table_filter(m->session, is_replicated, NULL);
    if (sqlite3session_attach(m->session, NULL) != SQLITE_OK)
        connection_die(db, "session");
    m->batch_open = true;
}

enum err meta_batch_run(struct meta *m, const char *op, json_t *args, int64_t now_ms,
                        const struct seal_key *key, json_t **ret_result, struct why *why)
{
    struct txn t = { .connection = &m->connection, .now_ms = now_ms, .key = key };
    json_t *result = NULL;
    enum err e;
    meta_op *run = op_find(op);
    check(m->batch_open);
    if (!run) {
        json_decref(args);
        return fail(why, ERR_NOT_IMPLEMENTED, "operation '%s' is not known to this version", op);
    }
    arena_init(&t.arena);
    struct audit_trace trace = { .op = op };
    if (m->schema >= AUDIT_SCHEMA)
        audit_begin(&t, op, args, &trace);
    int64_t changes = sqlite3_total_changes64(m->connection.db);
    sql_do(&t, "SAVEPOINT op", "");
    e = run(&t, args, &result, why);
    audit_end(&t, args, result, !e && sqlite3_total_changes64(m->connection.db) != changes, &trace);
    if (e) {
        sql_do(&t, "ROLLBACK TO op", "");
        json_decref(result);
        result = NULL;
    }
    sql_do(&t, "RELEASE op", "");
    arena_release(&t.arena);
    json_decref(args);
    *ret_result = result;
    return e;
}

void meta_batch_changeset(struct meta *m, const void **ret, size_t *ret_size)
{
    sqlite3_free(m->changeset);
    m->changeset = NULL;
    if (sqlite3session_changeset(m->session, &m->changeset_size, &m->changeset) != SQLITE_OK)
        connection_die(m->connection.db, "changeset");
    *ret = m->changeset;
    *ret_size = (size_t)m->changeset_size;
}

static void batch_end(struct meta *m)
{
    if (m->session)
        sqlite3session_delete(m->session);
    sqlite3_free(m->changeset);
    m->session = NULL;
    m->changeset = NULL;
    m->changeset_size = 0;
    m->batch_open = false;
}

void meta_batch_commit(struct meta *m, uint64_t index)
{
    sqlite3session_enable(m->session, 0);
    write_state(m, "applied", (int64_t)index);
    struct txn t = { .connection = &m->connection };
    check(sql_do(&t, "COMMIT", "") == OK);
    m->applied = m->stored_applied = index;
    if (m->changeset_size)
        change_bump_generations(m->changeset, m->changeset_size);
    batch_end(m);
}

void meta_batch_rollback(struct meta *m)
{
    sqlite3session_delete(m->session); /* before the rollback: it watches the transaction */
    m->session = NULL;
    connection_exec(m->connection.db, "ROLLBACK");
    batch_end(m);
}

/* --- applying --- */

static void commit_at(struct meta *m, uint64_t index)
{
    struct txn t = { .connection = &m->connection };
    write_state(m, "applied", (int64_t)index);
    check(sql_do(&t, "COMMIT", "") == OK);
    m->applied = m->stored_applied = index;
}

void meta_apply_changeset(struct meta *m, uint64_t index, const void *data, size_t size)
{
    struct txn t = { .connection = &m->connection };
    check(!m->batch_open);
    if (index <= m->applied)
        return;
    sql_do(&t, "BEGIN IMMEDIATE", "");
    apply_changeset(&m->connection, data, size);
    commit_at(m, index);
    change_bump_generations(data, (int)size);
}

void meta_apply_migration(struct meta *m, uint64_t index, int number)
{
    check(!m->batch_open);
    if (index <= m->applied)
        return;
    const struct migration *migration = NULL;
    for (size_t i = 0; i < migrations_count; i++)
        if (migrations[i].number == number)
            migration = &migrations[i];
    if (!migration)
        log_fatal("storage", "migration %d is not known to this version: upgrade this node", number);
    connection_exec(m->connection.db, "BEGIN IMMEDIATE");
    if (number > m->schema) {
        apply_forget(&m->connection);
        connection_exec(m->connection.db, migration->sql);
        write_state(m, "schema", number);
        m->schema = number;
        log_info("storage", "migrating to %s", migration->name);
    }
    commit_at(m, index);
    gen_bump_all();
}

void meta_note_applied(struct meta *m, uint64_t index)
{
    if (index > m->applied)
        m->applied = index;
}

bool meta_idle(struct meta *m)
{
    check(!m->batch_open);
    if (m->schema < SEARCH_SCHEMA) /* the first start's migrations are still under way */
        return false;
    return search_build_step(&m->connection);
}

void meta_store_applied(struct meta *m)
{
    check(!m->batch_open);
    if (m->stored_applied == m->applied)
        return;
    connection_exec(m->connection.db, "BEGIN IMMEDIATE");
    commit_at(m, m->applied);
}
