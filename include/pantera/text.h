/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/text.h: strings, encodings, and the one way in which paths are judged. Any thread. */
#ifndef PANTERA_TEXT_H
#define PANTERA_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "pantera/arena.h"
#include "pantera/err.h"

void hex_encode(const void *data, size_t size, char *ret); /* lower case, NUL-terminated */
bool hex_decode(const char *text, size_t length, void *ret); /* length / 2 bytes */
/* Standard alphabet with padding; url: RFC 4648 §5 without padding. Given memory is the arena's. */
char *base64_encode(struct arena *a, const void *data, size_t size);
char *base64url_encode(struct arena *a, const void *data, size_t size);
/* Both alphabets; padding optional, but right if there is any; unused bits are zero. NULL if it is not so.
 * The result is NUL-terminated besides. */
void *base64_decode(struct arena *a, const char *text, size_t length, size_t *ret_size);
/* Equal in a time that depends on `size` only. */
bool equal_constant_time(const void *a, const void *b, size_t size);
bool utf8_valid(const char *s, size_t length); /* no overlong forms, no surrogates */
size_t utf8_sequence(const char *s, size_t left); /* bytes of the character at `s`; 0: not well-formed */

/* Percent-decodes once. False on a broken escape. `ret` has room for `length` + 1. */
bool percent_decode(const char *s, size_t length, char *ret, size_t *ret_length);
char *percent_encode(struct arena *a, const char *s, bool keep_slash); /* RFC 3986 unreserved */

/* A request path, judged once for everyone: percent-decoded once, then refused (ERR_BAD_REQUEST, and
 * `why` says which) if it holds a NUL or another control byte, a backslash, invalid or overlong UTF-8,
 * an encoded slash, an empty, "." or ".." segment, or is too long. One trailing slash is kept.
 * Gives the decoded path, beginning with '/'. */
enum err path_normalise(struct arena *a, const char *raw, size_t length, char **ret_path,
                        struct why *why);
/* Query string value of `name`, decoded; NULL if absent (or undecodable). Borrows nothing. */
char *query_get(struct arena *a, const char *query, const char *name);
/* ERR_BAD_REQUEST where query_get would find a value and could not give it: a filter that was meant must not
 * be taken for none. */
enum err query_check(struct arena *a, const char *query, struct why *why);
/* A name of a user, role, repository or alias: 1 to LIMIT_NAME bytes of valid UTF-8, no control
 * bytes, none of / \ % ? # : and not "." or "..". */
bool name_valid(const char *name);
/* The reserved repository names of design.md, and whatever begins with a dot. */
bool repo_name_reserved(const char *name);
/* FNV-1a, for buckets; not for adversaries. */
uint64_t hash_bytes(const void *data, size_t size);
uint64_t hash_text(const char *s);

#endif
