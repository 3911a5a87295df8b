/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/sql.h: statements, prepared once a connection and found again by the address of their
 * text. For the families in this folder only.
 *
 *     struct sql *q = sql_read(reader, "SELECT email FROM user WHERE name = ?");
 *     sql_bind(q, "s", name);
 *     while (sql_row(q)) email = sql_str(q, 0, arena);
 *     sql_end(q);   // always; rows end by themselves when sql_row gave false, sql_end is still fine
 *
 * Inside an operation use sql_txn(t, "…") in the same way; sql_do runs a statement without rows.
 * Text must be a literal (its address is the key). Errors of SQLite that are not a client's doing end
 * the process; constraint violations come back from sql_do as ERR_CONFLICT. */
#ifndef STORAGE_META_SQL_H
#define STORAGE_META_SQL_H

#include <sqlite3.h>

#include "pantera/arena.h"
#include "pantera/meta.h"

struct sql;

struct sql *sql_read(struct meta_reader *r, const char *text);
struct sql *sql_txn(struct txn *t, const char *text);
/* kinds: s text (NULL: null), i int64_t, d double, b blob (pointer, size_t), n null. Borrowed to the end. */
void sql_bind(struct sql *q, const char *kinds, ...);
bool sql_row(struct sql *q);
void sql_end(struct sql *q);
/* bind, run, end: for statements without rows. OK or CONFLICT. */
enum err sql_do(struct txn *t, const char *text, const char *kinds, ...);
int64_t sql_changes(struct txn *t);  /* rows of the last sql_do */
int64_t sql_last_id(struct txn *t);

int64_t sql_int(struct sql *q, int column);
bool sql_null(struct sql *q, int column);
const char *sql_str(struct sql *q, int column, struct arena *a); /* NULL stays NULL; a NULL: until sql_row */
const void *sql_blob(struct sql *q, int column, size_t *ret_size); /* valid until sql_row, sql_end */
bool sql_digest(struct sql *q, int column, void *ret, size_t size); /* copied; false: none of that size */

/* An operation's surroundings. */
int64_t txn_now(const struct txn *t); /* wall ms: the leader's, for this batch */
const struct seal_key *txn_seal_key(const struct txn *t);
struct arena *txn_arena(struct txn *t); /* until the operation ends */
/* Runs "SELECT count(*)"-like reads that must see one snapshot: BEGIN … END on a reader. */
void sql_snapshot_begin(struct meta_reader *r);
void sql_snapshot_end(struct meta_reader *r);

#endif
