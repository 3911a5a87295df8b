/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/npm/span.h: a JSON text, looked through without a tree made of it: a package's document can
 * have tens of megabytes, of which a few places are changed and the rest is passed on as it is.
 * What:    span_read judges a whole text once; what it found good is walked, object by object.
 * Not:     a value's meaning (span_json makes a tree of a small one).
 * Owns:    nothing: spans point into the text. Pure; any thread. */
#ifndef NPM_SPAN_H
#define NPM_SPAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { SPAN_DEPTH = 1024 };

struct span {
    const char *at;              /* NULL: there is none */
    size_t size;
};
/* RFC 8259: one value and blanks around it, in UTF-8, no half of a surrogate pair (§8.2), at most SPAN_DEPTH
 * deep. *ret: the value. */
bool span_read(const char *data, size_t size, struct span *ret);

/* Members of an object that span_read has seen, in their order; of anything else, none. A key is given as it
 * is written, without its quotes. */
struct span_walk {
    const char *at, *end;
    struct span known;           /* the caller's: a value that was walked before is passed at once */
};
struct span_walk span_walk(struct span object);
bool span_next(struct span_walk *w, struct span *ret_key, struct span *ret_value);

bool span_is(struct span key, const char *text);
bool span_object(struct span value);
struct span span_get(struct span object, const char *key); /* the last of that name */
json_t *span_json(struct span value);                      /* a new reference, or NULL */

#endif
