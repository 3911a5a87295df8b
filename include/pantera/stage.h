/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/stage.h: bytes first, names after: for verbs of more than one step.
 * What:      a stage streams bytes into a repository's store under a reserved key: an object that nothing
 *            names yet. A commit makes names for stages, names for bytes that are there, and deletions, all
 *            of them or none, in one operation. A document is a file that the server makes; registry_update
 *            changes one.
 * Not here:  permissions, paging, anyone's protocol.
 * Threads:   the worker's loop. Callbacks never run inside the call that caused them.
 * Lifetimes: none of these belongs to a request: a client that goes away ends nothing here. Tie what must end
 *            with it to http_on_end (or tether.h), and drop it there.
 * Crashes:   what was staged and never named is collected (gc.c).
 *
 *     body → stage_body → [look at it] → commit_new, commit_put, commit_delete … → commit_run → reply */
#ifndef PANTERA_STAGE_H
#define PANTERA_STAGE_H

#include "pantera/buf.h"
#include "pantera/registry.h"

/* --- staging --- */

struct stage;
typedef void stage_cb(struct stage *s, enum err e, const struct why *why, void *arg);

/* `expected` bytes, -1: unknown; over `limit` (-1: none; the repository's own content-length-max holds
 * besides) it fails with TOO_BIG. Digests of `kinds` and SHA-256 are computed. Never fails: what is wrong
 * comes at the end. */
struct stage *stage_new(struct worker *w, const struct repo *repo, int64_t expected, int64_t limit,
                        unsigned kinds);
/* Copies `data`. False: enough for now (KIB(256) wait): write the next after on_room. */
MUST_USE bool stage_write(struct stage *s, const void *data, size_t size,
                          void (*on_room)(struct stage *s, void *arg), void *arg);
/* What went wrong so far, for a producer that would rather stop; OK: nothing. */
enum err stage_err(const struct stage *s);
/* No more bytes: `done` once, when they are durable (OK), or what went wrong; then only stage_drop. */
void stage_finish(struct stage *s, stage_cb *done, void *arg);
/* Any time unless a commit has it: gives it up; no callback comes afterwards. The object is collected. */
void stage_drop(struct stage *s);
/* After a good stage_finish. */
int64_t stage_size(const struct stage *s);
const struct digest_values *stage_digests(const struct stage *s);
const char *stage_etag(const struct stage *s); /* "\"<sha256>\"" */

/* A request's body, whole, streamed; digests that its headers announce are compared (DIGEST_MISMATCH).
 * `tap` (or NULL) sees each piece as it passes; what it returns other than OK ends the transfer with that
 * error. `done` gets the stage, which is then the caller's, or an error and NULL. Not called when the
 * client goes first: then all is undone. */
typedef enum err stage_tap(struct http_request *req, const void *data, size_t size, struct why *why,
                           void *arg);
typedef void stage_body_cb(struct http_request *req, struct stage *s, enum err e, const struct why *why,
                           void *arg);
void stage_body(struct http_request *req, const struct repo *repo, int64_t limit, unsigned kinds,
                stage_tap *tap, stage_body_cb *done, void *arg);

/* Bytes in memory; copies them. */
struct stage *stage_bytes(struct worker *w, const struct repo *repo, const void *data, size_t size,
                          unsigned kinds, stage_cb *done, void *arg);

/* --- committing --- */

struct commit;
struct commit_what {             /* of one name; all may be 0 */
    const char *content_type;
    const char *name, *version;  /* for search; NULL: read from the path */
    bool hidden;                 /* a document of ours: neither searched nor listed by the management API */
    bool if_absent;              /* else PRECONDITION */
    const char *if_sha256;       /* 64 hex digits: only if it names these bytes now; "": only if absent */
};
/* For who asks: owner and audit are taken from `req`; NULL: the server itself (proxied, generated). */
struct commit *commit_new(struct worker *w, const struct repo *repo, const struct http_request *req);
/* Names a finished stage; takes it, when commit_run succeeds. After a failure it is yours again: run another
 * commit with it, or drop it. */
void commit_put(struct commit *c, const char *path, struct stage *s, const struct commit_what *what);
/* Names the bytes that `from_path` of repository `from` names now (mount, tag, copy), if their digest is
 * still `sha256`; same store only: else PRECONDITION. */
void commit_link(struct commit *c, const char *path, const struct repo *from, const char *from_path,
                 const unsigned char sha256[32], const struct commit_what *what);
/* `if_sha256` NULL: whatever it names. `may_miss`: not an error if it is not there (else NOT_FOUND). */
void commit_delete(struct commit *c, const char *path, const char *if_sha256, bool may_miss);
/* The path must (not) exist, unchanged by this: for rules that look at other names. PRECONDITION. */
void commit_expect(struct commit *c, const char *path, bool exists, const char *if_sha256);
/* All or none. `done` once: OK; PRECONDITION (`why` names the path), CONFLICT, NOT_FOUND, NO_SPACE,
 * OUTCOME_UNKNOWN, ... The commit is gone then. At most COMMIT_ITEMS names. */
enum { COMMIT_ITEMS = 4096 };
typedef void commit_cb(enum err e, const struct why *why, void *arg);
void commit_run(struct commit *c, commit_cb *done, void *arg);
void commit_drop(struct commit *c); /* instead of running it; its stages are the caller's again */

/* --- imports --- */

/* Bytes that come from elsewhere under a key that makes repeating safe (/.import/, registry_put_order.take):
 * staged, and what they were announced to be. The format that takes them looks at them as it looks at an
 * upload, and runs one commit of what it makes of them, with commit_imported; then imported_end, which it
 * calls in any case, once. Where they belong is the format's to say: `path` is only what was asked for. */
struct imported {
    struct http_request *req;    /* NULL: the client is gone; it goes on without */
    struct worker *worker;
    struct arena arena;          /* for strings */
    const char *repo, *path, *content_type, *by; /* by: its owner */
    int64_t repo_id, made_ms;    /* made_ms: when it was made, by the importer's word; else now */
    struct stage *stage;         /* NULL it when it is named; else it is dropped */
    bool already;                /* it was there: nothing was written. Set by the format or by the commit */
    /* the registry's */
    struct tether *tether;
    json_t *record;
    struct registry_put_result result;
    registry_put_cb *done;
};
/* As it is now; NULL: gone. */
const struct repo *imported_repo(struct imported *m);
/* The key is used, and the owner and the times of what was made elsewhere are set, if and only if the rest of
 * this commit is done. If the key turns out to be used, the commit does nothing, and all is well.
 * `s` is about to get the name `path`, which must be new, or name the same bytes: those of an import before
 * this format had a look at them, that no index tells of. Says so in `what`. All three NULL: nothing that
 * came gets a name. */
void commit_imported(struct commit *c, struct imported *m, const char *path, const struct stage *s,
                     struct commit_what *what);
void imported_end(struct imported *m, enum err e, const struct why *why);

/* --- documents --- */

/* What a path of this repository names, by the replica; strings are the arena's. NOT_FOUND. The lease is the
 * caller's to check. */
struct registry_stat {
    int64_t size, created_ms, modified_ms;
    const char *content_type, *owner;
    struct digest_values digests;
};
enum err registry_stat(struct registry *r, struct arena *a, const struct repo *repo, const char *path,
                       struct registry_stat *ret);

/* All of its bytes, into memory; no policy is asked. `data` NULL and NOT_FOUND: there is none; TOO_BIG over
 * `limit`. Bytes are borrowed until `done` returns (NUL-terminated). */
typedef void registry_load_cb(enum err e, const struct why *why, const char *data, size_t size,
                              const struct digest_values *digests, void *arg);
void registry_load(struct worker *w, const struct repo *repo, const char *path, size_t limit,
                   registry_load_cb *done, void *arg);

/* Changes a document: loads it, calls `apply` on a pool thread with its bytes (NULL: there is none yet),
 * stages what that wrote, and commits both it and what `add` adds (stages, deletions) in one operation. If
 * somebody else changed it meanwhile, all of that again, from loading on. Updates of one document wait for
 * each other in this process, so that only other nodes can be in the way.
 * `apply` gives OK (and *ret, empty: delete the document), ERR_AGAIN: leave the document as it is and commit
 * only what `add` adds; anything else ends it with that error. It touches only `data` and what `arg` owns. */
struct registry_update {
    const char *path, *content_type;
    size_t limit;                /* of the document: TOO_BIG */
    const struct http_request *req; /* as for commit_new; used while it lasts only: a copy is made */
    enum err (*apply)(void *arg, const char *data, size_t size, struct buf *ret, struct why *why);
    void (*add)(void *arg, struct commit *c); /* or NULL; on the loop, once an attempt */
    commit_cb *done;
    void *arg;
};
void registry_update(struct worker *w, const struct repo *repo, const struct registry_update *u);

/* --- looking into archives --- */

/* A look at a finished stage's bytes: `look` on a pool thread, which borrows a local descriptor of them
 * (pread, libarchive: the object itself, fs and cached s3, or a copy without a name) and touches only what
 * `arg` owns; then `done` on the loop, once, with what it gave, or with why it was not called. Over `limit`:
 * TOO_BIG. */
typedef enum err stage_look_fn(int fd, struct why *why, void *arg);
typedef void stage_looked_cb(enum err e, const struct why *why, void *arg);
void stage_look(struct stage *s, int64_t limit, stage_look_fn *look, stage_looked_cb *done, void *arg);
/* For such a look: all of them, with a NUL behind. TOO_BIG: over the buffer's limit; IO. */
enum err look_read(int fd, struct buf *ret, struct why *why);

/* The bytes of a path as such a descriptor. -1 in `fd` with an error. The callback's receiver closes it. */
typedef void registry_fd_cb(enum err e, const struct why *why, int fd, int64_t size, void *arg);
void registry_fd(struct worker *w, const struct repo *repo, const char *path, int64_t limit,
                 registry_fd_cb *done, void *arg);

#endif
