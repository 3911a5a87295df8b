/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/search_match.h: between search.c, which makes an expression of a query, and search_run.c,
 * which asks the index for it. */
#ifndef STORAGE_META_SEARCH_MATCH_H
#define STORAGE_META_SEARCH_MATCH_H

#include "pantera/meta_search.h"

/* FTS5's expression, the caller's repositories included; NULL: nothing matches. *ret_first: the first term
 * that can rank, or "". BAD_REQUEST. */
enum err search_match(struct arena *a, const struct search_query *q, const char **ret_match,
                      const char **ret_first, struct why *why);

#endif
