/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/meta_upstream.h: what proxies know of what they hold, and who fetches what, as rows.
 * Ops: artifact.cache {artifact.put's, upstream: {remote, url?, etag?, last_modified?, released_ms},
 *        token?}: artifact.put, the row beside it, and the end of the claim, in one.
 *      upstream.seen {repo_id, path, upstream: {…}, token?}: the row alone: nothing has changed upstream.
 *      upstream.purge {repo_id, path, tree, limit?} → {deleted, more}: artifacts and rows of `path` (with
 *        `tree`: and below it; "": all of them), and all that is remembered as missing. Again while there is
 *        more.
 *      fetch.claim {repo_id, path, node, incarnation, token, ttl_ms} → {granted}: also prolongs one's own.
 *      fetch.release {repo_id, path, token}.
 * Threads: the reader's. */
#ifndef PANTERA_META_UPSTREAM_H
#define PANTERA_META_UPSTREAM_H

#include "pantera/arena.h"
#include "pantera/meta.h"

struct upstream_row {
    const char *remote, *url, *etag, *last_modified; /* all but the first may be NULL */
    int64_t released_ms, checked_ms;
};
/* NOT_FOUND. */
enum err upstream_row_get(struct meta_reader *r, struct arena *a, int64_t repo_id, const char *path,
                          struct upstream_row *ret);
/* The replica has these tables: not while a cluster of an older version is being upgraded. */
bool upstream_rows_ready(struct meta_reader *r);

#endif
