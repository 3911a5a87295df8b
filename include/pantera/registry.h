/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/registry.h: format-neutral verbs over repositories: put, get, delete, list; gc; aliases.
 * What:    a format maps its requests to these; a registry verb knows no format, no SQL, no raft.
 * Threads: the worker's loop; one `struct registry` a worker.
 * Paths:   within a repository, normalised, without a leading slash ("a/b.bin"). */
#ifndef PANTERA_REGISTRY_H
#define PANTERA_REGISTRY_H

#include <jansson.h>
#include <stdint.h>

#include "pantera/blob.h"
#include "pantera/http.h"
#include "pantera/worker.h"

struct imported;

struct repo {                    /* a row of `repository`, parsed; immutable; valid while referenced */
    int64_t id;
    const char *name, *type;     /* "file", "file-proxy", ... */
    const char *format;          /* "file": the type without -proxy, -group */
    const char *storage;         /* alias name */
    const json_t *config;        /* {"repo": {...}} */
    int64_t content_length_max;  /* 0: none */
};

struct registry *registry_new(struct worker *w);
void registry_free(struct registry *r);

/* The repository of that name, from this worker's cache while its generation stands; NULL: none.
 * Valid until control returns to the loop; copy what is to live longer. */
const struct repo *registry_repo(struct registry *r, const char *name);

/* Every repository, in the order of names; strings live until `each` returns. */
void registry_each(struct registry *r, void (*each)(const char *name, const char *type, void *arg),
                   void *arg);

/* PUT: streams the request's body into the repository's store, then one operation makes it visible, then
 * `done` (the reply is the caller's). Decides nothing about permissions. TOO_BIG, NO_SPACE, ... */
struct registry_put_result {
    int64_t size;
    struct digest_values digests;
    bool created;                /* false: replaced */
    bool already;                /* import.put: done before under this key; nothing was written */
    char etag[72];
};
typedef void registry_put_cb(struct http_request *req, enum err e, const struct why *why,
                             const struct registry_put_result *result);
void registry_put(struct http_request *req, const struct repo *repo, const char *path,
                  const char *content_type, unsigned digest_kinds, registry_put_cb *done);

/* The same, and what else an importer says. Of a DIGEST_MISMATCH (also of the size) `done` gets a result as
 * well: what the bytes were. */
struct registry_put_order {
    const char *op;              /* "artifact.put", or one that takes its arguments and more */
    json_t *session;             /* more: args.session; taken; NULL: none */
    const char *owner;           /* NULL: who asks */
    struct digest_values expected;
    int64_t size;                /* expected; -1: any */
    /* Instead of `op`, when the bytes are there and compared: stage.h. `made_ms`: what it is told; -1. */
    void (*take)(struct imported *m);
    int64_t made_ms;
};
void registry_put_as(struct http_request *req, const struct repo *repo, const char *path,
                     const char *content_type, unsigned digest_kinds,
                     const struct registry_put_order *order, registry_put_cb *done);

/* GET and HEAD: row → policy → lease check → bytes, with conditions, ranges, ETag, sendfile. Replies
 * itself; `failed` shapes what can't be answered with bytes (mostly api_fail). False, without a reply:
 * there is no such artifact, and this node was current after it had looked. */
typedef void registry_fail_cb(struct http_request *req, enum err e, const struct why *why);
MUST_USE bool registry_get(struct http_request *req, const struct repo *repo, const char *path,
                           registry_fail_cb *failed);
/* The same as something to save: what it says it is, and Content-Disposition (or NULL). */
struct registry_as {
    const char *content_type, *disposition;
};
MUST_USE bool registry_get_as(struct http_request *req, const struct repo *repo, const char *path,
                              const struct registry_as *as, registry_fail_cb *failed);

/* For bytes that are asked for by their path alone, not through their format: may they be had? What a proxy
 * keeps of a version that is blocked: FORBIDDEN, and why. Ask for the lease after it (registry_get does). */
enum err registry_allowed(struct registry *r, const struct repo *repo, const char *path, struct why *why);

/* `done` with OK or NOT_FOUND. */
typedef void registry_done_cb(struct http_request *req, enum err e, const struct why *why);
void registry_delete(struct http_request *req, const struct repo *repo, const char *path,
                     registry_done_cb *done);
/* `path` and all that is below it, in bounded operations: readers may see a part of it gone. Goes on without
 * its client. What comes while it runs may stay. */
void registry_delete_tree(struct http_request *req, const struct repo *repo, const char *path,
                          registry_done_cb *done);

struct registry_entry {
    const char *name;            /* last segment */
    bool directory;
    bool hidden;                 /* documents of ours (stage.h): not for people */
    int64_t size, modified_ms;   /* of a file */
};
/* Children of a folder ("" is the root) after `after` (a name, with a slash at the end if it was a
 * directory; NULL: from the start), at most `limit`; entries in `a`, in the byte order of their paths.
 * *ret_more: there are others. NOT_FOUND if there is no such folder. */
enum err registry_list(struct registry *r, struct arena *a, const struct repo *repo,
                       const char *folder, const char *after, unsigned limit,
                       struct registry_entry **ret, unsigned *ret_count, bool *ret_more);

/* All of them, in steps between which the loop goes on: a folder of ten thousand holds up nobody. `each` gets
 * a step's entries, which live until it returns; `done` comes once, later: NOT_FOUND if there is no such
 * folder, or no such repository any more (then `repo` is NULL). What changes meanwhile may be missed. */
typedef void registry_each_cb(const struct repo *repo, const struct registry_entry *entries, unsigned count,
                              struct arena *a, void *arg);
typedef void registry_listed_cb(const struct repo *repo, enum err e, void *arg);
void registry_list_all(struct worker *w, const struct repo *repo, const char *folder, registry_each_cb *each,
                       registry_listed_cb *done, void *arg);

/* Where bytes of that digest (SHA-256, else SHA-512) have a name, in the store that new ones of this
 * repository go to: at most `limit` places, of any repository. Permissions are the caller's to ask. */
struct registry_place {
    const char *repo, *path;
};
unsigned registry_places(struct registry *r, struct arena *a, const struct repo *repo,
                         const struct digest_values *d, unsigned limit, struct registry_place *ret);

/* May this version be served to clients of this repository? Decided by hand, else by a list's block, else by
 * an exemption, else by its age under the configuration of now. The one place: asked at the index and at the
 * bytes. `released_ms`: when upstream published it; 0: not known (the setting of "unknown" decides). Ask for
 * the lease after it. */
struct cooldown_verdict {
    bool allowed;
    bool record;                 /* blocked, and no row says so yet: cooldown.block */
    const char *reason;          /* of a block: TOO_YOUNG, FROZEN, UNKNOWN_AGE, a list's word */
    int64_t until_ms;            /* of a block; 0: until somebody decides */
    int64_t since_ms;            /* of a block by age: what its age is counted from; 0: by a list */
};
void cooldown_decide(struct registry *r, struct arena *a, const struct repo *repo, const char *package,
                     const char *version, int64_t released_ms, struct cooldown_verdict *ret);

/* Collects garbage while this node leads; one a process, on a worker's loop. */
void registry_gc_start(struct registry *r);
void registry_gc_stop(struct registry *r);

#endif
