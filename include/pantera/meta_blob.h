/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/meta_blob.h: the life of an object's key: upload → blob → garbage → gone.
 * Rule: a key is in exactly one of these tables at any time, or nowhere (before and after).
 * Ops:  node.started {node, incarnation, version}: what earlier starts of the node had reserved becomes
 *         garbage.
 *       upload.reserve {node, incarnation, store, keys[]}: CONFLICT if that start is not the newest.
 *       upload.abandon {keys[]}: those still reserved become garbage; others are left alone.
 *       garbage.done {keys[]}: their objects are gone. */
#ifndef PANTERA_META_BLOB_H
#define PANTERA_META_BLOB_H

#include "pantera/arena.h"
#include "pantera/meta.h"

struct garbage_row {
    const char *key, *store;
};
/* Oldest first, from before `before_ms`, after the first `skip`. */
void garbage_list(struct meta_reader *r, struct arena *a, int64_t before_ms, unsigned skip,
                  unsigned limit, struct garbage_row **ret, unsigned *ret_count);
/* A deleted repository or alias has work left for repo.sweep. */
bool sweep_pending(struct meta_reader *r);

#endif
