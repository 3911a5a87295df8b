/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/meta.h: this node's replica of the metadata: one SQLite file, WAL.
 * What:    the replica's writing side (the cluster thread's: transactions, changesets, migrations) and
 *          the reading side (one read-only connection a worker, statements prepared once).
 * Not:     agreement (cluster.h); what tables mean (storage/meta/<family>.c and their headers).
 * Threads: `struct meta` belongs to the cluster thread. A `struct meta_reader` to one worker.
 * Errors:  a failing disk or a replica that does not fit its changeset ends the process (crash-only):
 *          only what a request can cause is returned.
 *
 * Only storage/ includes sqlite3.h; the families' functions take a reader and give plain structs. */
#ifndef PANTERA_META_H
#define PANTERA_META_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "pantera/arena.h"
#include "pantera/digest.h"
#include "pantera/err.h"

struct meta;
struct meta_reader;
struct txn; /* an operation's view of the open transaction */

/* --- writing side: cluster thread --- */
struct meta *meta_open(const char *dir); /* makes replica.db; dies if it can't */
void meta_close(struct meta *m);
uint64_t meta_applied(const struct meta *m); /* log index that the replica holds */
int meta_schema(const struct meta *m);       /* highest migration that it has */
int meta_schema_known(void);                 /* highest that this binary knows */
const char *meta_path(const struct meta *m);

/* Leader: one open transaction, operations in savepoints, one changeset. */
void meta_batch_begin(struct meta *m);
/* Runs an operation by name. Takes `args`; gives *ret_result (may be NULL). On error its savepoint is
 * rolled back; earlier operations of the batch stay. Unknown name: ERR_NOT_IMPLEMENTED. */
enum err meta_batch_run(struct meta *m, const char *op, json_t *args, int64_t now_ms,
                        const struct seal_key *key, json_t **ret_result, struct why *why);
/* The changeset so far; borrowed until commit or rollback; size 0: nothing changed. */
void meta_batch_changeset(struct meta *m, const void **ret, size_t *ret_size);
void meta_batch_commit(struct meta *m, uint64_t index); /* and bumps the generations it touched */
void meta_batch_rollback(struct meta *m);
bool meta_batch_open(const struct meta *m);

/* Every node: an entry that is not our own open batch. Skips what the replica already has. */
void meta_apply_changeset(struct meta *m, uint64_t index, const void *data, size_t size);
void meta_apply_migration(struct meta *m, uint64_t index, int number);
/* An entry without content (barriers, configurations): notes the index; stored with the next change. */
void meta_note_applied(struct meta *m, uint64_t index);
void meta_store_applied(struct meta *m); /* now, in a transaction of its own; no batch may be open */

/* Work of this node's own, a few milliseconds of it, while no batch is open: building the full-text index.
 * True: there is more. */
bool meta_idle(struct meta *m);

/* For the log's truncation: all up to meta_applied is durable when it returns. Blocks: pool thread. */
void meta_make_durable(const char *dir);
/* A consistent copy, for a node that is too far behind. Blocks: pool thread. Its applied index. */
enum err meta_copy(const char *dir, const char *to_path, uint64_t *ret_applied, struct why *why);
/* Keeps the WAL short, from a thread of its own, until stopped. */
void meta_checkpointer_start(const char *dir);
void meta_checkpointer_stop(void);
/* The name of the replica's file in a data folder. */
#define META_FILE "replica.db"

/* --- reading side --- */
struct meta_reader *meta_reader_open(const char *dir, struct why *why);
void meta_reader_close(struct meta_reader *r);
uint64_t meta_reader_applied(struct meta_reader *r);

/* --- operations: storage/meta/ops.def; `OP(user_put, "user.put")` --- */
/* An operation runs on the leader inside a savepoint: it reads and writes through `t`, may use any
 * time, random ids and secrets that its arguments or `t` give, and must be safe to run again with the
 * same arguments (a retry after an unknown outcome). Borrows `args`. */
typedef enum err meta_op(struct txn *t, const json_t *args, json_t **ret_result, struct why *why);

#endif
