/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/age.h: when a cached file was released, asked of its index. */
#ifndef REGISTRY_AGE_H
#define REGISTRY_AGE_H

#include "pantera/document.h"
#include "src/registry/internal.h"

/* `done` once, maybe inside the call; 0: the index does not say. `want` has an index and `locate`. */
typedef void age_cb(int64_t released_ms, void *arg);
void age_learn(struct worker *w, const struct repo *repo, const struct file_want *want, age_cb *done,
               void *arg);

#endif
