/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded folder of whole objects on this node's disk, so that an object that was read once comes as a
 * descriptor. Objects are immutable and keys never reused, so an entry can't be stale.
 * Not here:  fetching. A reader tees what it streams into a `cache_fill`.
 * Threads:   one cache a folder and process; all functions from any thread. Those marked "blocks" do
 *            file I/O and belong on the work pool.
 * Errors:    none: a cache that can't (full disk, ...) does not cache, and a read never notices. */
#ifndef BLOB_CACHE_H
#define BLOB_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blob_cache;
struct cache_fill;

/* Makes or shares the cache of `folder`; the bound of the first one counts. blob_cache_scan loads what is
 * there already; until it has run, those entries are not found. */
struct blob_cache *blob_cache_open(const char *folder, uint64_t most_bytes);
void blob_cache_scan(struct blob_cache *c); /* blocks; the first call does it */
void blob_cache_close(struct blob_cache *c);

/* A descriptor that stays good after eviction, or -1. */
int blob_cache_get(struct blob_cache *c, const char *key);
void blob_cache_drop(struct blob_cache *c, const char *key); /* blocks */
uint64_t blob_cache_bytes(struct blob_cache *c); /* cached and being filled */

/* NULL: not to be cached (too large, there already, or another reader fills it). Then write and end with
 * commit or discard; one thread at a time. */
struct cache_fill *blob_cache_fill(struct blob_cache *c, const char *key, uint64_t size);
void cache_fill_write(struct cache_fill *f, const void *data, size_t size); /* blocks */
void cache_fill_commit(struct cache_fill *f);  /* blocks; only if every byte arrived */
void cache_fill_discard(struct cache_fill *f); /* blocks */

#endif
