/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/objects.h: what the families of this folder share about objects and their keys.
 * Not for other folders (meta_blob.h is). */
#ifndef STORAGE_META_OBJECTS_H
#define STORAGE_META_OBJECTS_H

#include "storage/meta/sql.h"

/* UNAVAILABLE while the schema is older than migration 0003: at the birth of a cluster, and while one that
 * is older is being upgraded. For operations that need its tables, as their first step. */
enum err schema_ready(struct txn *t, struct why *why);
/* Puts a key into the garbage. The caller has taken it out of `upload` or `blob`. */
void garbage_add(struct txn *t, const char *key, const char *store);
/* One reference less; the last one turns the blob into garbage. */
void blob_unref(struct txn *t, int64_t blob_id);
/* An object of any state lives in that store. */
bool store_in_use(struct txn *t, const char *store);
bool store_has_blobs(struct txn *t, const char *store);
/* A statement that gives at least one row. */
bool sql_exists(struct txn *t, const char *text, const char *kinds, const char *a, const char *b);
/* The next number of a counter: 1, 2, ... */
int64_t counter_next(struct txn *t, const char *name);
/* Whoever inserts into, changes a size in or deletes from `artifact` tells what that adds (repository_stats;
 * dashboard.c). Also the last of a repository is gone. */
void stats_add(struct txn *t, int64_t repo_id, int64_t artifacts, int64_t bytes);
void stats_drop(struct txn *t, int64_t repo_id);
/* Of a deleted repository: up to `limit` rows that cooldown has of it go. True: none is left. */
bool cooldown_forget(struct txn *t, int64_t repo_id, int64_t limit);
/* A repository's configuration is another: up to `limit` of its blocks are brought in line. True: there may
 * be more (cooldown.review). */
bool cooldown_review(struct txn *t, int64_t repo_id, const char *type, const json_t *config, int64_t limit);
enum { COOLDOWN_STEP = 1000 };   /* rows of one operation: entries stay small */
int64_t cooldown_exemptions_forget(struct txn *t, int64_t repo_id, int64_t limit); /* how many rows went */
/* For an operation that ends an upload session (session.c): first its keys count as reserved; last, those
 * that are still there become garbage. */
enum err session_begin_end(struct txn *t, const char *id, struct why *why);
void session_finish_end(struct txn *t, const char *id);
bool session_in_store(struct txn *t, const char *store);
/* Of a deleted repository: up to `limit` rows of what is known of upstream go. True: none is left. */
bool upstream_forget(struct txn *t, int64_t repo_id, int64_t limit);
/* A node has started anew: what its earlier start was fetching, nobody fetches. */
void claims_drop(struct txn *t, int64_t node, const char *incarnation);
/* For an operation that names what was imported; `args` as import.put has them. First: *ret_done: it was done
 * before, under this key, and nothing is to be written. Last: that it is done. In between, of each path. */
enum err import_begin(struct txn *t, const json_t *args, bool *ret_done, struct why *why);
enum err import_end(struct txn *t, const json_t *args, struct why *why);
void import_created(struct txn *t, const json_t *args, const char *path);
/* A setting as the leader has it: a new reference, or NULL. setting.c. */
json_t *setting_of(struct txn *t, const char *name);
/* A global prefix of that name would hide a repository. setting.c. */
bool prefix_taken(struct txn *t, const char *name);
/* Drops hidden aliases whose stores are empty. */
void alias_purge(struct txn *t);
/* Of a deleted repository: its own aliases become hidden. */
void alias_hide_all(struct txn *t, int64_t repo_id);

#endif
