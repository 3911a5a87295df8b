/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/compose.h: documents made from sources: read and made once for the same sources, whoever asks
 * on whatever worker, kept while there is room. What a document was made from is its key: a source that
 * changed makes another key, so nothing is ever invalidated; a block that ends by itself is the one thing
 * that time changes.
 * Threads: any worker's loop; a result is immutable once it is `ready`. */
#ifndef REGISTRY_COMPOSE_H
#define REGISTRY_COMPOSE_H

#include <stdatomic.h>

#include "src/registry/source.h"

struct composed {
    struct composed *next;       /* in its bucket */
    struct composed *newer, *older;
    atomic_uint refs;
    unsigned char key[32];
    bool ready, kept;
    enum err err;
    struct why why;
    char *data;
    size_t size;
    char etag[67];
    struct arena arena;
    struct document_answer answer; /* strings are the arena's */
    const char *partial;         /* names of members that could not be read, or NULL: set by who makes it */
    int64_t made_ms;
    struct compose_wait *waiting;
};
struct compose_wait {
    struct compose_wait *next;
    struct task task;
    struct loop *home;
    struct composed *composed;
    void (*done)(struct compose_wait *wait, struct composed *c); /* on home; c: with a reference */
};

/* One a registry: the last one that closes frees what is kept. */
void composed_open(void);
void composed_close(void);
/* The result of that key, with a reference. NULL: `wait` is told, later, on `home`; and if *ret_make is not
 * NULL nobody makes it yet: whoever called must, by one call of composed_make or composed_fail. */
struct composed *composed_join(const unsigned char key[32], struct compose_wait *wait, struct loop *home,
                               struct composed **ret_make);
/* Makes it on the pool. Takes the sources (all were read). `key`: what they are by now; if that is not what
 * it was begun for, those who wait get it all the same (it is newer), and nobody else. */
void composed_make(struct composed *c, struct worker *w, const unsigned char key[32],
                   const struct document *d, const char *repo, const char *base, bool whole,
                   struct source **sources, unsigned count);
void composed_fail(struct composed *c, enum err e, const struct why *why);
void composed_release(struct composed *c);
void composed_figures(uint64_t *ret_made, size_t *ret_bytes);

#endif
