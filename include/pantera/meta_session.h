/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/meta_session.h: uploads of several requests, as rows: a session and its chunks, each an object.
 * Rule:  a chunk's key is in `upload_chunk` from session.append on, until the session ends: then it is a
 *        blob's, or garbage. artifact.commit with {session} ends it: keys that its items name become blobs.
 * Ops:   session.open {id, repo_id, scope, owner?}: TOO_MANY.
 *        session.append {id, repo_id, offset, key, store, size, sha256} → {size}: RANGE if the session's
 *          size is not `offset` (any more); NOT_FOUND; UNAVAILABLE when the key is not reserved any more.
 *        session.cancel {id, repo_id}: NOT_FOUND.
 *        session.sweep {before_ms, limit} → {deleted}: those that nobody touched since. */
#ifndef PANTERA_META_SESSION_H
#define PANTERA_META_SESSION_H

#include "pantera/arena.h"
#include "pantera/meta.h"

enum { SESSION_CHUNKS = 5000, SESSIONS_OF_REPOSITORY = 10000 };
#define SESSION_KEEP_MS (24ll * 3600 * 1000)

struct session_row {
    const char *scope, *owner;   /* owner: or NULL */
    int64_t size, chunks, created_ms;
};
/* NOT_FOUND: also if it is another repository's. */
enum err session_get(struct meta_reader *r, struct arena *a, int64_t repo_id, const char *id,
                     struct session_row *ret);

struct session_chunk {
    int64_t start, size;
    const char *key, *store;
    unsigned char sha256[32];
};
/* In order. */
void session_chunks(struct meta_reader *r, struct arena *a, const char *id, struct session_chunk **ret,
                    unsigned *ret_count);
bool session_sweep_due(struct meta_reader *r, int64_t before_ms);

#endif
