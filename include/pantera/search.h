/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/search.h: what people type into a search box, as a tree.
 *
 *     query  := and { "OR" and }
 *     and    := not { ["AND"] not }
 *     not    := "NOT" not | "(" query ")" | [field ":"] value
 *     value  := word | "quoted phrase"          field := name | version | repo | type
 *
 * AND binds tighter than OR, NOT tighter than AND. Operators are upper-case: "and" is a word. An unknown
 * field is part of a word ("http://x" too). Quotes in a field's value hold blanks; a quoted whole is a
 * phrase, whatever it looks like.
 * Not: what matches (meta_search.h). Threads: any. Errors: BAD_REQUEST, and `why` says where. */
#ifndef PANTERA_SEARCH_H
#define PANTERA_SEARCH_H

#include "pantera/arena.h"
#include "pantera/err.h"

enum { SEARCH_TERMS = 32, SEARCH_QUERY_BYTES = 1024, SEARCH_DEPTH = 12 };

enum search_kind { SEARCH_TERM, SEARCH_AND, SEARCH_OR, SEARCH_NOT };
enum search_field { SEARCH_ANY, SEARCH_NAME, SEARCH_VERSION, SEARCH_REPO, SEARCH_TYPE };

struct search_node {
    enum search_kind kind;
    enum search_field field;           /* of a term */
    const char *text;                  /* of a term: never empty */
    const struct search_node *a, *b;   /* of AND, OR; NOT has a */
};

enum err search_parse(struct arena *a, const char *query, const struct search_node **ret,
                      struct why *why);

#endif
