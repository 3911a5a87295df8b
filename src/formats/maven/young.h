/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/maven/young.h: what policy leaves of upstream's metadata. Pool threads. */
#ifndef FORMATS_MAVEN_YOUNG_H
#define FORMATS_MAVEN_YOUNG_H

#include "pantera/document.h"
#include "src/formats/maven/metadata.h"

/* Versions that `s->policy` blocks go; *until_ms becomes the end of the first block that ends before it. */
void maven_leave_out(struct maven_metadata *m, const struct document_source *s, int64_t *until_ms);
/* struct document_kind's undated. */
unsigned maven_undated(const struct document_source *s, const char *path, struct arena *a,
                       struct document_date *ret, unsigned room);

#endif
