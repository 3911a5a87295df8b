/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/blob.h: immutable bytes by key, on this node's view of a store.
 * What:      one `struct blob_store` for a storage alias on a loop; a const vtable has two: fs, s3.
 * Not here:  names, digests as identity, reference counts, permissions (registry.h): a store knows keys.
 * Keys:      "blobs/<2 hex>/<32 hex>", chosen by the caller before the first byte; never reused, so a
 *            put never replaces and a cached copy is never stale.
 * Threads:   the loop's thread. Callbacks run there, never inside the call that caused them.
 * Ownership: embed the op structs; their memory is yours again when on_done begins.
 * Errors:    NO_SPACE, STORE_DOWN (does not answer, 5xx, refused: after retries with jitter), NOT_FOUND,
 *            FORBIDDEN (credentials), IO, CANCELED.
 * Units:     bytes. */
#ifndef PANTERA_BLOB_H
#define PANTERA_BLOB_H

#include <jansson.h>
#include <stdint.h>

#include "pantera/arena.h"
#include "pantera/client.h"
#include "pantera/digest.h"
#include "pantera/err.h"
#include "pantera/loop.h"

struct blob_store;

struct blob_store_options {
    struct loop *loop;
    struct client *client;      /* for s3 */
    const char *cache_dir;      /* node-local folder for the read-through cache (s3) */
    uint64_t cache_bytes;       /* its bound; shared by all workers of the process */
    bool clustered;             /* fs is refused unless its config says "shared": true */
};

/* `config` is the alias's JSON: {"type":"fs","path":…,"shared":bool} or {"type":"s3","bucket":…,
 * "region":…,"endpoint":…,"path-style":true,"prefix":…,"credentials":{"type":"basic","accessKeyId":…,
 * "secretAccessKey":…},"ca-file":…,"multipart":{"part-size":…}}; secrets are already unsealed. Unknown
 * keys and bad values: ERR_BAD_REQUEST, `why` names the key and what was expected. */
enum err blob_store_check(const json_t *config, bool clustered, struct why *why); /* no I/O */
enum err blob_store_open(const struct blob_store_options *o, const json_t *config,
                         struct blob_store **ret, struct why *why);
void blob_store_close(struct blob_store *s); /* when no op runs */

/* --- writing: begin, write…, then finish or abort --- */
struct blob_put {
    /* out, valid in on_finished */
    int64_t size;
    struct digest_values digests;
    /* private */
    struct blob_store *store;
    void *impl;
};
/* `expected` -1: unknown. Never waits. */
MUST_USE enum err blob_put_begin(struct blob_store *s, struct blob_put *p, const char *key,
                                 int64_t expected, unsigned digest_kinds, struct why *why);
/* Borrows `data` until on_written; one at a time. After an error only blob_put_abort is legal. */
void blob_put_write(struct blob_put *p, const void *data, size_t size,
                    void (*on_written)(struct blob_put *p, enum err e, const struct why *why,
                                       void *arg),
                    void *arg);
/* Durable when OK: fsync of file and folder, or the store's own word. */
void blob_put_finish(struct blob_put *p,
                     void (*on_finished)(struct blob_put *p, enum err e, const struct why *why,
                                         void *arg),
                     void *arg);
/* Any time before on_finished, also while a write is under way; no callback comes afterwards. What was
 * stored under the key may stay: it is the caller's garbage. The struct is yours when this returns. */
void blob_put_abort(struct blob_put *p);

/* --- reading --- */
/* A part of an object, as pieces of memory or as a piece of a file. fs and cached s3 objects come as a
 * descriptor at once (for sendfile); others stream. */
struct blob_get {
    struct blob_store *store;
    void *impl;
};
struct blob_sink {
    /* The object is a local file: `fd` is valid until blob_get_close. Then no other callback. */
    void (*on_file)(struct blob_get *g, int fd, void *arg);
    /* A piece, borrowed until blob_get_more is called, which must happen for the next to come. */
    void (*on_data)(struct blob_get *g, const void *data, size_t size, void *arg);
    /* End (OK) or failure, once; not after on_file. */
    void (*on_end)(struct blob_get *g, enum err e, const struct why *why, void *arg);
};
/* `size` is the object's whole size (from its row): the part asked for is offset, length. */
MUST_USE enum err blob_get_open(struct blob_store *s, struct blob_get *g, const char *key,
                                int64_t size, int64_t offset, int64_t length,
                                const struct blob_sink *sink, void *arg, struct why *why);
void blob_get_more(struct blob_get *g);
void blob_get_close(struct blob_get *g); /* always; also to cancel */
/* The warm path: a descriptor of the whole object if it can be had without waiting (fs; s3 when
 * cached), else -1. The caller closes it. */
int blob_open_now(struct blob_store *s, const char *key);

/* --- deleting --- */
struct blob_delete {
    struct work work;
    struct client_request request;
    struct blob_store *store;
    char key[96];
    void (*on_done)(struct blob_delete *d, enum err e, const struct why *why);
    void *arg, *impl;
};
/* OK also when it is not there. */
MUST_USE enum err blob_delete(struct blob_store *s, struct blob_delete *d, const char *key,
                              void (*on_done)(struct blob_delete *d, enum err e,
                                              const struct why *why),
                              struct why *why);

/* A URL that gives the object to whoever holds it, for `seconds`: to redirect a client to the store.
 * ERR_NOT_IMPLEMENTED: fs. ERR_AGAIN: the credentials are being fetched; stream this time. */
MUST_USE enum err blob_presign(struct blob_store *s, const char *key, unsigned seconds,
                               struct arena *arena, char **ret_url);

void blob_key_new(char ret_key[48]); /* "blobs/ab/abcd…" */

#endif
