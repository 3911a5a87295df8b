/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/npm/doc.h: the document that says all of a package ("packument"), as it is stored: what may
 * change in it, and how. Pure: for a pool thread.
 * Stored:  npm's own shape, but "dist.tarball" is a path within the repository: whoever reads it knows by
 *          which URL. "_rev" counts the changes, so that who changes what he read is told when others did
 *          meanwhile. */
#ifndef NPM_DOC_H
#define NPM_DOC_H

#include <jansson.h>
#include <stdint.h>

#include "pantera/buf.h"
#include "pantera/digest.h"

#define NPM_DOCUMENT_LIMIT ((size_t)64 << 20)
enum { NPM_VERSIONS = 20000 };   /* of one package */

/* NULL `data`: an empty one. ERR_IO: it is no document (only we wrote it). */
enum err npm_doc_load(const char *package, const char *data, size_t size, json_t **ret, struct why *why);
/* Counts the change, notes its time, writes. Nothing is written when no version is left, and none is to come
 * (npm_doc_move). */
enum err npm_doc_store(json_t *doc, int64_t now_ms, struct buf *ret, struct why *why);

/* What is known of a tarball besides what its publisher said. */
struct npm_facts {
    struct digest_values digests;/* SHA-1, SHA-512 */
    unsigned file_count;
    int64_t unpacked_bytes;
    bool shrinkwrap, gyp;        /* it holds npm-shrinkwrap.json; binding.gyp */
    const char *predicate;       /* of its attestations; NULL: it has none */
};
struct npm_release {
    const char *package, *version, *user;
    json_t *manifest;            /* borrowed: package.json as it was sent */
    json_t *tags;                /* borrowed: {tag: version}; only those that name this version count */
    const char *readme;          /* or NULL */
    int64_t now_ms;
    struct npm_facts facts;
    bool moved;                  /* from another registry: it has no tags, but it may be the newest */
};
/* CONFLICT: there is such a version. GONE: it is there with these bytes, and is `moved`. */
enum err npm_doc_publish(json_t *doc, const struct npm_release *r, struct why *why);
/* moved.c: a version has come from another registry: what was waiting for it is said of it. It is the latest
 * if the other registry's document said so, or said nothing of it and none that is there is newer (the newest
 * that is no prerelease, as npm_doc_newest). */
void npm_doc_moved(json_t *doc, const char *version);
/* Takes over what the other registry's document says of versions, those that are to come included.
 * BAD_REQUEST. */
enum err npm_doc_move(json_t *doc, const json_t *packument, struct why *why);
/* The client's own words about a tarball, compared: BAD_REQUEST, DIGEST_MISMATCH. */
enum err npm_dist_check(const json_t *manifest, const struct digest_values *got, struct why *why);

/* NOT_FOUND: no such version; BAD_REQUEST. `version` NULL: the tag goes. */
enum err npm_doc_tag(json_t *doc, const char *tag, const char *version, struct why *why);
/* A document as somebody wants it to be, who has read ours: versions that are missing go (their numbers are
 * added to `removed`, an array), deprecations and maintainers are taken over; nothing else is: tags have
 * verbs of their own, and npm would make a prerelease the latest version when it takes another away.
 * `revision` NULL: nothing goes. CONFLICT: ours is another by now. FORBIDDEN: something goes and `may_remove`
 * is not. */
enum err npm_doc_replace(json_t *doc, const json_t *wanted, const char *revision, bool may_remove,
                         json_t *removed, struct why *why);
/* NOT_FOUND. Tags that named it go; `latest` to the newest of the rest. */
enum err npm_doc_remove(json_t *doc, const char *version, struct why *why);
/* CONFLICT unless `revision` is NULL or the document's. */
enum err npm_doc_revision(const json_t *doc, const char *revision, struct why *why);
/* The newest that is no prerelease, and not newer than `limit` (or NULL); else the newest of all. NULL: none.
 * */
const char *npm_doc_newest(const json_t *doc, const char *limit);

char *npm_time_text(int64_t ms, char ret[32]);      /* "2026-03-22T10:00:00.123Z" */
int64_t npm_time_read(const char *text);            /* RFC 3339; 0: not understood */

#endif
