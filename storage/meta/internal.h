/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/internal.h: what meta.c, sql.c and change.c share; nobody else includes it. */
#ifndef STORAGE_META_INTERNAL_H
#define STORAGE_META_INTERNAL_H

#define SQLITE_ENABLE_SESSION 1
#define SQLITE_ENABLE_PREUPDATE_HOOK 1
#include <sqlite3.h>

#include "pantera/arena.h"
#include "pantera/meta.h"
#include "storage/meta/sql.h"

enum { STATEMENT_BUCKETS = 256 };

/* One connection and its prepared statements. */
struct connection {
    sqlite3 *db;
    struct sql *statements[STATEMENT_BUCKETS];
    struct table_plan *plans;    /* apply.c */
};

struct txn {
    struct connection *connection;
    int64_t now_ms;
    const struct seal_key *key;
    struct arena arena;
};

struct meta {
    struct connection connection;
    char *dir, *path;
    uint64_t applied, stored_applied;
    int schema;
    bool batch_open;
    sqlite3_session *session;
    void *changeset;
    int changeset_size;
};

struct meta_reader {
    struct connection connection;
    json_t *settings;        /* setting_now: all of them by name, as read under the stamp */
    uint64_t settings_stamp; /* GEN_POLICY + 1; 0: never read */
};

/* Ends the process: the disk or the replica is not what it must be. */
void connection_die(sqlite3 *db, const char *what) __attribute__((noreturn));
void connection_exec(sqlite3 *db, const char *sql); /* or dies */
void connection_close(struct connection *c);
int connection_schema(sqlite3 *db); /* highest migration that the replica has */

/* change.c: bumps the generations of every row that the changeset touches. */
void change_bump_generations(const void *changeset, int size);

/* apply.c: in the open transaction; ends the process if it does not fit. */
void apply_changeset(struct connection *c, const void *data, size_t size);
void apply_forget(struct connection *c); /* the schema has changed, or the connection ends */

/* search_build.c: see meta_idle. Its tables are there from this migration on. */
enum { SEARCH_SCHEMA = 3 };
bool search_build_step(struct connection *c);
bool search_build_once(struct connection *c); /* one transaction of it */

#endif
