/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/dates.h: release dates that an index does not have. */
#ifndef REGISTRY_DATES_H
#define REGISTRY_DATES_H

#include "src/registry/source.h"

/* Learns what the `undated` of the document's kind wants to know of a source that was read, into
 * s->pub.dates. `done` once, later. */
void dates_learn(struct source *s, void (*done)(struct source *s));

#endif
