/* SPDX-License-Identifier: Apache-2.0 */
/* fx_replicas.h: two replicas in folders of their own, a leader's and a follower's, migrated;
 * the real operations
 * on them with short arguments; and what a replica holds as text. For one test program each: all static.
 * "Indexes" of the log are given by hand. */
#ifndef FX_REPLICAS_H
#define FX_REPLICAS_H

#include "pantera/meta.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pantera/buf.h"
#include "pantera/migrations.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* --- fixture: a leader and a follower, migrated --- */

struct node {
    char dir[64];
    struct meta *meta;
};

struct pair {
    struct node leader, follower;
    uint64_t index;
    struct seal_key key;
};

static inline void node_up(struct node *n)
{
    snprintf(n->dir, sizeof n->dir, "/tmp/pantera-meta-XXXXXX");
    assert_non_null(mkdtemp(n->dir));
    n->meta = meta_open(n->dir);
}

static inline void node_reopen(struct node *n)
{
    meta_close(n->meta);
    n->meta = meta_open(n->dir);
}

static inline void node_down(struct node *n)
{
    static const char *const suffixes[] = { "", "-wal", "-shm", "-journal" };
    char path[128];
    meta_close(n->meta);
    for (size_t i = 0; i < COUNT(suffixes); i++) {
        snprintf(path, sizeof path, "%s/" META_FILE "%s", n->dir, suffixes[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(n->dir), 0); /* and nothing else was left there */
}

static inline void migrate(struct meta *m, uint64_t *index)
{
    for (size_t i = 0; i < migrations_count; i++)
        meta_apply_migration(m, ++*index, migrations[i].number);
}

static inline int pair_up(void **state)
{
    struct pair *p = calloc(1, sizeof *p);
    uint64_t same = 0;
    node_up(&p->leader);
    node_up(&p->follower);
    migrate(p->leader.meta, &p->index);
    migrate(p->follower.meta, &same);
    seal_key_new(&p->key);
    *state = p;
    return 0;
}

static inline int pair_down(void **state)
{
    struct pair *p = *state;
    node_down(&p->leader);
    node_down(&p->follower);
    free(p);
    return 0;
}

/* --- operations --- */

static inline enum err run_at(struct pair *p, int64_t now, const char *op, json_t *args)
{
    json_t *result = NULL;
    struct why why = { "" };
    assert_non_null(args);
    enum err e = meta_batch_run(p->leader.meta, op, args, now, &p->key, &result, &why);
    json_decref(result);
    return e;
}

static inline enum err run(struct pair *p, const char *op, json_t *args)
{
    return run_at(p, 1000000 + (int64_t)p->index, op, args);
}

static inline json_t *setting(const char *name, int value)
{
    return json_pack("{s:s, s:{s:i}}", "name", name, "value", "n", value);
}

static inline json_t *role(const char *name, const char *action)
{
    return json_pack("{s:s, s:{s:[s]}, s:b, s:b}", "name", name, "permissions", "*", action, "create", 1,
                     "update", 1);
}

static inline json_t *user(const char *name, const char *in_role)
{
    json_t *args = json_pack("{s:s, s:s, s:b, s:b}", "name", name, "password", "$argon2id$x", "create", 1,
                             "update", 1);
    if (in_role)
        json_object_set_new(args, "roles", json_pack("[s]", in_role));
    return args;
}

static inline json_t *named(const char *name)
{
    return json_pack("{s:s}", "name", name);
}

/* Commits the leader's batch; the changeset is the caller's. */
static inline void *commit(struct pair *p, size_t *ret_size)
{
    const void *data;
    meta_batch_changeset(p->leader.meta, &data, ret_size);
    void *copy = malloc(*ret_size ? *ret_size : 1);
    if (*ret_size)
        memcpy(copy, data, *ret_size);
    meta_batch_commit(p->leader.meta, ++p->index);
    return copy;
}

static inline void commit_both(struct pair *p)
{
    size_t size;
    void *changes = commit(p, &size);
    meta_apply_changeset(p->follower.meta, p->index, changes, size);
    free(changes);
}

/* --- what a replica holds, as text: every replicated table, every row, in the order of keys --- */

static inline void dump_table(sqlite3 *db, const char *table, struct buf *b)
{
    sqlite3_stmt *q;
    char sql[256];
    snprintf(sql, sizeof sql, "SELECT * FROM \"%s\" ORDER BY 1, 2", table);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
    while (sqlite3_step(q) == SQLITE_ROW) {
        (void)buf_printf(b, "%s", table);
        for (int i = 0; i < sqlite3_column_count(q); i++) {
            const char *text = (const char *)sqlite3_column_text(q, i);
            (void)buf_printf(b, "|%d:%s", sqlite3_column_type(q, i), text ? text : "");
        }
        (void)buf_puts(b, "\n");
    }
    sqlite3_finalize(q);
}

static inline char *dump(const char *dir)
{
    sqlite3 *db;
    sqlite3_stmt *q;
    struct buf b;
    char path[128];
    unsigned tables = 0;
    snprintf(path, sizeof path, "%s/" META_FILE, dir);
    buf_init(&b, 16 << 20);
    (void)buf_puts(&b, "");
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT name FROM sqlite_schema WHERE type = 'table' AND "
                                            "name <> 'local_state' ORDER BY name", -1, &q, NULL),
                     SQLITE_OK);
    for (; sqlite3_step(q) == SQLITE_ROW; tables++)
        dump_table(db, (const char *)sqlite3_column_text(q, 0), &b);
    sqlite3_finalize(q);
    sqlite3_close(db);
    assert_int_equal(buf_err(&b), OK);
    assert_true(tables > 10 || tables == 0);
    return buf_detach(&b, NULL);
}

static inline void assert_same(struct pair *p)
{
    char *ours = dump(p->leader.dir), *theirs = dump(p->follower.dir);
    assert_string_equal(ours, theirs);
    free(ours);
    free(theirs);
}

static inline bool holds(const struct node *n, const char *text)
{
    char *all = dump(n->dir);
    bool found = strstr(all, text) != NULL;
    free(all);
    return found;
}

#endif
