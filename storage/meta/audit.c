/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/audit.c: the audit log as it is read: by filters, newest first, each query on an index and
 * with an end; and checked row by row against the chain of hashes. */
#include "pantera/meta_audit.h"

#include <string.h>

#include "storage/meta/audit.h"
#include "storage/meta/sql.h"

#define COLUMNS "seq, time_ms, actor, address, request_id, action, resource_type, resource, " \
                "old_value, new_value, hash"

static void row_read(struct sql *q, struct arena *a, struct audit_row *ret)
{
    size_t size;
    const void *hash = sql_blob(q, 10, &size);
    *ret = (struct audit_row){
        .seq = sql_int(q, 0), .time_ms = sql_int(q, 1), .actor = sql_str(q, 2, a),
        .address = sql_str(q, 3, a), .request_id = sql_str(q, 4, a), .action = sql_str(q, 5, a),
        .type = sql_str(q, 6, a), .resource = sql_str(q, 7, a), .before = sql_str(q, 8, a),
        .after = sql_str(q, 9, a),
    };
    if (hash && size == 32)
        memcpy(ret->hash, hash, 32);
}

/* --- lists --- */

/* ?1..?3: the filters that the index does not answer (NULL: any), ?4 type, ?5..?6 seq, ?7 how many to
 * look at. The inner query walks an index backwards; the outer one picks, in
 * that order: ordering it again would sort all that was looked at. */
#define INNER(index, where) \
    "(SELECT * FROM audit " index " WHERE " where " seq BETWEEN ?5 AND ?6 ORDER BY seq DESC LIMIT ?7)"
#define PICK " WHERE (?1 IS NULL OR actor = ?1) AND (?2 IS NULL OR action = ?2)" \
             " AND (?3 IS NULL OR resource = ?3) AND (?4 IS NULL OR resource_type = ?4)"
#define LIST(inner) "SELECT " COLUMNS " FROM " inner PICK " LIMIT ?8 OFFSET ?9"
#define COUNT(inner) "SELECT count(*) FROM " inner PICK
#define BY_RESOURCE INNER("INDEXED BY audit_by_resource", "resource = ?3 AND")
#define BY_ACTOR INNER("INDEXED BY audit_by_actor", "actor = ?1 AND")
#define BY_ACTION INNER("INDEXED BY audit_by_action", "action = ?2 AND")
#define BY_SEQ INNER("NOT INDEXED", "")

static struct sql *list_statement(struct meta_reader *r, const struct audit_query *u)
{
    return u->resource ? sql_read(r, LIST(BY_RESOURCE))
           : u->actor  ? sql_read(r, LIST(BY_ACTOR))
           : u->action ? sql_read(r, LIST(BY_ACTION))
                       : sql_read(r, LIST(BY_SEQ));
}

/* One filter alone is counted in its index, without a look at the rows; several need them. */
#define INDEXED(index, where) \
    "SELECT count(*) FROM (SELECT 1 FROM audit INDEXED BY " index " WHERE " where \
    " AND seq BETWEEN ?5 AND ?6 LIMIT ?7)"

static struct sql *count_statement(struct meta_reader *r, const struct audit_query *u)
{
    bool alone = !u->type && !!u->actor + !!u->action + !!u->resource == 1;
    if (u->resource)
        return alone ? sql_read(r, INDEXED("audit_by_resource", "resource = ?3"))
                     : sql_read(r, COUNT(BY_RESOURCE));
    if (u->actor)
        return alone ? sql_read(r, INDEXED("audit_by_actor", "actor = ?1")) : sql_read(r, COUNT(BY_ACTOR));
    if (u->action)
        return alone ? sql_read(r, INDEXED("audit_by_action", "action = ?2"))
                     : sql_read(r, COUNT(BY_ACTION));
    return sql_read(r, COUNT(BY_SEQ));
}

static int64_t count(struct meta_reader *r, const struct audit_query *u, int64_t from, int64_t to)
{
    int64_t n = to - from + 1; /* no gaps between the rows */
    if (u->actor || u->action || u->resource || u->type) {
        struct sql *q = count_statement(r, u);
        sql_bind(q, "ssssiii", u->actor, u->action, u->resource, u->type, from, to,
                 (int64_t)AUDIT_LOOK_AT);
        n = sql_row(q) ? sql_int(q, 0) : 0;
        sql_end(q);
    }
    return n < 0 ? 0 : n < AUDIT_LOOK_AT ? n : AUDIT_LOOK_AT;
}

static void bounds(struct meta_reader *r, int64_t *ret_first, int64_t *ret_last)
{
    struct sql *q = sql_read(r, "SELECT ifnull((SELECT min(seq) FROM audit), 1),"
                                " ifnull((SELECT max(seq) FROM audit), 0)");
    *ret_first = 1;
    *ret_last = 0;
    if (sql_row(q)) {
        *ret_first = sql_int(q, 0);
        *ret_last = sql_int(q, 1);
    }
    sql_end(q);
}

/* The first seq from `first` on whose time is not before `time_ms`; last + 1: none. Times don't go back. */
static int64_t seq_at(struct meta_reader *r, int64_t first, int64_t last, int64_t time_ms)
{
    int64_t low = first, high = last + 1;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        struct sql *q = sql_read(r, "SELECT time_ms FROM audit WHERE seq >= ? ORDER BY seq LIMIT 1");
        sql_bind(q, "i", middle);
        bool before = sql_row(q) && sql_int(q, 0) < time_ms;
        sql_end(q);
        if (before)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void audit_list(struct meta_reader *r, struct arena *a, const struct audit_query *query,
                struct audit_row **ret, unsigned *ret_count, int64_t *ret_total)
{
    int64_t first, last;
    unsigned n = 0;
    struct audit_row *rows = arena_alloc(a, (size_t)(query->limit + 1) * sizeof *rows);
    sql_snapshot_begin(r);
    bounds(r, &first, &last);
    int64_t from = query->from_ms ? seq_at(r, first, last, query->from_ms) : first;
    int64_t to = query->to_ms ? seq_at(r, first, last, query->to_ms + 1) - 1 : last;
    *ret_total = count(r, query, from, to);
    struct sql *q = list_statement(r, query);
    sql_bind(q, "ssssiiiii", query->actor, query->action, query->resource, query->type, from, to,
             (int64_t)AUDIT_LOOK_AT, query->limit, query->offset);
    while (n < query->limit && sql_row(q))
        row_read(q, a, &rows[n++]);
    sql_end(q);
    sql_snapshot_end(r);
    *ret = rows;
    *ret_count = n;
}

/* --- the chain --- */

static void anchor_read(struct meta_reader *r, struct audit_check *c)
{
    struct sql *q = sql_read(r, "SELECT seq, time_ms, hash FROM audit_anchor WHERE id = 1");
    size_t size;
    c->next_seq = 1;
    c->time_ms = 0;
    memset(c->hash, 0, 32);
    if (sql_row(q)) {
        const void *hash = sql_blob(q, 2, &size);
        c->next_seq = sql_int(q, 0) + 1;
        c->time_ms = sql_int(q, 1);
        if (hash && size == 32)
            memcpy(c->hash, hash, 32);
    }
    sql_end(q);
}

void audit_check_begin(struct meta_reader *r, struct audit_check *c)
{
    *c = (struct audit_check){ .ok = true };
    anchor_read(r, c);
    c->first_seq = c->next_seq;
}

static void bad(struct audit_check *c, int64_t seq, const char *reason)
{
    c->ok = false;
    c->done = true;
    c->bad_seq = seq;
    c->reason = reason;
}

/* One row against what must follow the one before. */
static void row_check(struct audit_check *c, const struct audit_row *row, const void *prev,
                      size_t prev_size)
{
    unsigned char hash[32];
    if (row->seq != c->next_seq) {
        bad(c, c->next_seq, "the row is missing");
        return;
    }
    if (prev_size != 32 || memcmp(prev, c->hash, 32) != 0) {
        bad(c, row->seq, "the row does not follow the one before it");
        return;
    }
    audit_hash(row, c->hash, hash);
    if (memcmp(hash, row->hash, 32) != 0) {
        bad(c, row->seq, "the row is not what was written");
        return;
    }
    if (row->time_ms < c->time_ms) {
        bad(c, row->seq, "its time is before that of the row before");
        return;
    }
    memcpy(c->hash, row->hash, 32);
    c->time_ms = row->time_ms;
    c->next_seq = row->seq + 1;
    c->count++;
}

void audit_check_step(struct meta_reader *r, struct audit_check *c, unsigned limit)
{
    struct audit_check anchor;
    struct arena a;
    unsigned n = 0;
    arena_init(&a);
    sql_snapshot_begin(r);
    anchor_read(r, &anchor);
    if (anchor.next_seq > c->next_seq) { /* a sweep has overtaken us: what it left is judged */
        *c = (struct audit_check){ .ok = true, .next_seq = anchor.next_seq,
                                   .time_ms = anchor.time_ms, .first_seq = anchor.next_seq };
        memcpy(c->hash, anchor.hash, 32);
    }
    /* All that is there: also a row that somebody put before the anchor. */
    struct sql *q = c->count ? sql_read(r, "SELECT " COLUMNS ", prev FROM audit WHERE seq >= ?"
                                           " ORDER BY seq LIMIT ?")
                             : sql_read(r, "SELECT " COLUMNS ", prev FROM audit"
                                           " WHERE seq >= ? - 9223372036854775807"
                                           " ORDER BY seq LIMIT ?");
    sql_bind(q, "ii", c->next_seq, (int64_t)limit);
    while (!c->done && sql_row(q)) {
        struct audit_row row;
        size_t size;
        n++;
        row_read(q, &a, &row);
        const void *prev = sql_blob(q, 11, &size);
        row_check(c, &row, prev, prev ? size : 0);
        arena_reset(&a);
    }
    sql_end(q);
    sql_snapshot_end(r);
    arena_release(&a);
    if (n < limit)
        c->done = true;
}

bool audit_sweep_due(struct meta_reader *r, int64_t before_ms)
{
    struct sql *q = sql_read(r, "SELECT time_ms < ? FROM audit ORDER BY seq LIMIT 1");
    sql_bind(q, "i", before_ms);
    bool due = sql_row(q) && sql_int(q, 0) != 0;
    sql_end(q);
    return due;
}
