/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/staging.h: a stage from inside: for stage.c and what builds on it in this folder. */
#ifndef REGISTRY_STAGING_H
#define REGISTRY_STAGING_H

#include "pantera/stage.h"
#include "pantera/tether.h"
#include "src/registry/internal.h"

enum stage_state { STAGE_KEY, STAGE_RECV, STAGE_SEAL, STAGE_READY, STAGE_BROKEN };

struct stage_buffer {
    char *data;
    size_t size, capacity;
};

struct stage {
    enum stage_state state;
    struct worker *worker;
    char *store_name;
    int64_t expected, limit, taken;
    unsigned kinds;
    struct key_wait wait;        /* key "": none, or it has a name by now */
    bool waiting;                /* on_key comes */
    struct store *store;
    struct blob_put blob;
    bool blob_open, touched;     /* touched: something may be stored under the key */
    struct stage_buffer buffers[2];
    unsigned writing;            /* index of the buffer that the store has, if `busy` */
    bool busy, ended, dropped, adopted; /* adopted: the key is somebody else's */
    enum err err;
    struct why why;
    void (*on_room)(struct stage *s, void *arg);
    void *room_arg;
    stage_cb *done;
    void *done_arg;
    struct task task;
    bool told;                   /* the task is posted */
    char etag[67];
};

/* A finished one of an object that others keep (a session's chunk): dropping it touches nothing. */
struct stage *stage_adopt(struct worker *w, const char *store, const char *key, int64_t size,
                          const struct digest_values *digests);
/* Its key has a name now: only the memory goes. */
void stage_named(struct stage *s);
/* The leader knows nothing of its key: nor of its siblings. */
void stage_worthless(struct stage *s);

/* stage_body without a look at what was announced, into a stage that the caller holds from the beginning. */
void stage_receive(struct http_request *req, const struct repo *repo, int64_t limit, unsigned kinds,
                   stage_tap *tap, stage_body_cb *done, void *arg);

/* {"path", "store", "key", "size", digests, "content_type"}: what an operation is told of a stage. NULL: text
 * that is not UTF-8. */
json_t *stage_args(const struct stage *s, const char *path, const char *content_type);

/* The bytes have come (put.c): from here on it is the format's (import.c). Strings are copied. */
struct imported_order {
    const char *repo, *path, *content_type, *owner;
    int64_t repo_id, made_ms;    /* made_ms -1: not known */
    json_t *session;
    void (*take)(struct imported *m);
    registry_put_cb *done;
};
void imported_begin(struct http_request *req, const struct imported_order *o, struct stage *s);

/* As registry_fd. */
void stage_fd(struct stage *s, int64_t limit, registry_fd_cb *done, void *arg);

/* For whoever asked some time ago. Takes `audit`. */
struct commit *commit_new_as(struct worker *w, const struct repo *repo, const char *owner, json_t *audit);
/* The last item: a condition that does not hold means AGAIN, not PRECONDITION. */
void commit_or_again(struct commit *c);

/* As registry_load, but the bytes become the caller's: free() them. Not an error's (NULL). */
void registry_load_keep(struct worker *w, const struct repo *repo, const char *path, size_t limit,
                        registry_load_cb *done, void *arg);

#endif
