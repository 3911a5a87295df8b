/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/meta_artifact.h: what a path of a repository names: artifact ⋈ blob.
 * Ops: artifact.put {repo_id, path, store, key, size, sha256, sha1?, md5?, sha512?, content_type?,
 *        owner?, name?, version?, if_absent?: bool, if_sha256?: hex} → {created, size, shared}: counts
 *        references, frees the replaced blob. UNAVAILABLE when the key is not reserved any more; CONFLICT
 *        when the path (or a part of it) is a folder (a file) already; PRECONDITION.
 *      artifact.delete {repo_id, path}. NOT_FOUND.
 *      artifact.commit {repo_id, store, owner?, items[]}: all or none, in order. An item's "do" is "put"
 *        (as artifact.put, and hidden?), "link" {path, from_repo, from_path, sha256, ...: the bytes that
 *        another path names in `store`}, "delete" {path, if_sha256?, may_miss?} or "expect" {path, exists,
 *        if_sha256?}. PRECONDITION names the path; AGAIN instead for an item with again: true. What is
 *        hidden is neither searched nor listed (pantera/stage.h). */
#ifndef PANTERA_META_ARTIFACT_H
#define PANTERA_META_ARTIFACT_H

#include "pantera/arena.h"
#include "pantera/digest.h"
#include "pantera/meta.h"

struct artifact_row {
    int64_t size, created_ms, modified_ms;
    const char *content_type, *owner; /* or NULL */
    const char *name, *version;  /* what it is called: "" for what has no version */
    const char *store, *key;
    struct digest_values digests;
};
/* NOT_FOUND. */
enum err artifact_get(struct meta_reader *r, struct arena *a, int64_t repo_id, const char *path,
                      struct artifact_row *ret);

/* Who names bytes of that digest (SHA-256, else SHA-512) in that store: at most `limit` paths, in no
 * order. */
struct artifact_place {
    const char *repo, *path;
};
unsigned artifact_places(struct meta_reader *r, struct arena *a, const char *store,
                         const struct digest_values *d, unsigned limit, struct artifact_place *ret);

struct artifact_child {
    const char *name;            /* last segment */
    bool directory;
    bool hidden;                 /* a document of ours, or a folder ".x" that begins with one */
    int64_t size, modified_ms;
};
/* Children of a folder ("" is the root) in the order of their paths (a folder's with its slash), after
 * `after`: a name as it was given, with a slash at the end if it was a folder; NULL: from the start. One
 * seek a folder, whatever it holds. NOT_FOUND: there is no such folder. */
enum err artifact_children(struct meta_reader *r, struct arena *a, int64_t repo_id,
                           const char *folder, const char *after, unsigned limit,
                           struct artifact_child **ret, unsigned *ret_count, bool *ret_more);

#endif
