/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/compose.h: documents made from sources: made once for the same sources, kept while there is
 * room. Of one worker. What a document was made from is its key: a source that changed makes another key,
 * so nothing is ever invalidated; a block that ends by itself is the one thing that time changes. */
#ifndef REGISTRY_COMPOSE_H
#define REGISTRY_COMPOSE_H

#include "src/registry/source.h"

struct composed {
    struct composed *next;       /* in its bucket */
    struct composed *newer, *older;
    unsigned refs;
    unsigned char key[32];
    bool ready, kept;
    enum err err;
    struct why why;
    char *data;
    size_t size;
    char etag[67];
    struct arena arena;
    struct document_answer answer; /* strings are the arena's */
    int64_t made_ms;
    struct compose_wait *waiting;
};
struct compose_wait {
    struct compose_wait *next;
    void (*done)(struct compose_wait *wait, struct composed *c); /* c: with a reference */
};

struct composing;
struct compose_cache *composed_new(void);
void composed_cache_free(struct compose_cache *cache);
/* The current result of that key, with a reference; NULL: make it. */
struct composed *composed_find(struct registry *r, const unsigned char key[32]);
/* Makes it on the pool, or waits for who does already. Takes the sources (all were read). `done` later. */
void composed_make(struct worker *w, const unsigned char key[32], const struct document *d, const char *repo,
                   const char *base, struct source **sources, unsigned count, struct compose_wait *wait);
void composed_release(struct composed *c);

#endif
