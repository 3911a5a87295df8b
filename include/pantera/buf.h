/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/buf.h: a growing byte buffer with a cap, declared where it is made.
 * Errors:  past the cap every append fails with ERR_TOO_BIG and `failed` stays set, so a writer may
 *          append much and look once at the end (buf_err).
 * Strings: always NUL-terminated one past `length`.
 *
 *     struct buf b; buf_init(&b, LIMIT_API_BODY);
 *     buf_printf(&b, "%d", n); ... buf_free(&b); */
#ifndef PANTERA_BUF_H
#define PANTERA_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "pantera/err.h"

struct buf {
    char *data;
    size_t length, capacity, limit;
    bool failed;
};

void buf_init(struct buf *b, size_t limit_bytes);
void buf_free(struct buf *b);
void buf_clear(struct buf *b); /* keeps the memory */
enum err buf_add(struct buf *b, const void *data, size_t size);
enum err buf_puts(struct buf *b, const char *s);
enum err buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
enum err buf_reserve(struct buf *b, size_t more, char **ret_at); /* then buf_advance */
void buf_advance(struct buf *b, size_t size);
void buf_drop_front(struct buf *b, size_t size);
char *buf_detach(struct buf *b, size_t *ret_length); /* gives the memory: free() it */
enum err buf_err(const struct buf *b);
/* Little-endian integers, for wire formats. */
void buf_u8(struct buf *b, uint8_t v);
void buf_u16(struct buf *b, uint16_t v);
void buf_u32(struct buf *b, uint32_t v);
void buf_u64(struct buf *b, uint64_t v);
void buf_blob(struct buf *b, const void *data, size_t size); /* u32 length, bytes */

/* Reading: every get fails softly; look at `bad` once at the end. Borrows the bytes. */
struct cursor {
    const unsigned char *at, *end;
    bool bad;
};
struct cursor cursor_of(const void *data, size_t size);
uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c);
uint32_t cursor_u32(struct cursor *c);
uint64_t cursor_u64(struct cursor *c);
const void *cursor_bytes(struct cursor *c, size_t size);
const void *cursor_blob(struct cursor *c, size_t *ret_size);
size_t cursor_left(const struct cursor *c);

#endif
