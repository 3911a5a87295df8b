/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/npm/compose.h: what clients read of a package: the whole document, the short one, one version,
 * or the tags; of one repository or of several, without what policy blocks. Pure: for a pool thread. */
#ifndef NPM_COMPOSE_H
#define NPM_COMPOSE_H

#include "pantera/document.h"

#define NPM_FULL "full"          /* variants */
#define NPM_SHORT "short"        /* application/vnd.npm.install-v1+json */
#define NPM_TAG_LIST "tags"
#define NPM_ONE "one "           /* and a version or a tag */

enum err npm_compose(const struct document_request *q, const struct document_source *sources, unsigned count,
                     struct buf *ret, struct document_answer *answer, struct why *why);
/* The first source as it is (signing keys). */
enum err npm_pass(const struct document_request *q, const struct document_source *sources, unsigned count,
                  struct buf *ret, struct document_answer *answer, struct why *why);
/* Of an upstream's document: where a version's tarball is, what it is, and when it came. */
enum err npm_locate(const struct document_source *index, const struct file_want *want, struct arena *a,
                    struct file_facts *ret, struct why *why);

#endif
