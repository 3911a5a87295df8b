/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/source.h: one repository's part of a document: made current, then, if need be, read.
 * Threads: the worker's loop; the bytes may be read on a pool thread while the source lives. */
#ifndef REGISTRY_SOURCE_H
#define REGISTRY_SOURCE_H

#include "src/registry/flight.h"
#include "src/registry/policy_view.h"

struct source;
typedef void source_cb(struct source *s, void *arg);

struct source {
    struct document_source pub;  /* data: once it was read */
    struct policy_view *policy;  /* or NULL */
    unsigned char sha256[32];    /* of the bytes */
    bool read;
    bool stale;                  /* upstream may have another by now, and can't be asked */
    int64_t until_ms;            /* a remote is to be asked again then; 0: never */
    enum err err;                /* NOT_FOUND: it has none */
    struct why why;
    /* private */
    struct arena arena;
    struct worker *worker;
    int64_t repo_id;
    const struct document *document; /* outlives the source */
    char *data;
    struct source_chase *chase;
    source_cb *done;
    void *arg;
};

/* Of a local repository or a proxy. `done` comes once, maybe inside the call: err, and of what is there its
 * digest. */
struct source *source_open(struct worker *w, const struct repo *repo, const struct document *d,
                           source_cb *done, void *arg);
/* Reads the bytes of an open one. `done` once, maybe inside the call. */
void source_read(struct source *s, source_cb *done, void *arg);
void source_free(struct source *s); /* not while a `done` is due */

/* An URL as a document at `base` means it (RFC 3986 §5.2, without a fragment). */
const char *url_resolve(struct arena *a, const char *base, const char *url);
/* What a header `link` (or NULL) of the answer of `base` names as the next page; NULL: nothing. */
const char *url_next(struct arena *a, const char *base, const char *link);

#endif
