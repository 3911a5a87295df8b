/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/meta_import.h: imports that are done, by idempotency key.
 * Not:     what is under way: an import is there with its artifact, in one transaction, or not at all.
 * Threads: as every reader's. */
#ifndef PANTERA_META_IMPORT_H
#define PANTERA_META_IMPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "pantera/arena.h"
#include "pantera/digest.h"
#include "pantera/meta.h"

#define IMPORT_KEY_MOST 1000
#define IMPORT_KEEP_MS (30ll * 24 * 3600 * 1000)

struct import_session {
    int64_t repo_id, size;
    const char *path;
    struct digest_values digests; /* sha1 and md5 are the client's word if `told` */
    bool told, metadata_only;
    bool present;                 /* the artifact names the bytes that were imported */
    bool replaced;                /* it names others by now */
};

/* NOT_FOUND: the key has not been used, or long ago. */
enum err import_get(struct meta_reader *r, struct arena *a, const char *key,
                    struct import_session *ret);
bool import_sweep_due(struct meta_reader *r, int64_t before_ms);

#endif
