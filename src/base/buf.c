/* SPDX-License-Identifier: Apache-2.0 */
/* A growing byte buffer with a cap, and the cursor that reads what it wrote. Wire formats of our own are
 * little-endian through these functions only. */
#include "pantera/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/log.h"

void buf_init(struct buf *b, size_t limit_bytes)
{
    *b = (struct buf){ .limit = limit_bytes };
}

void buf_free(struct buf *b)
{
    free(b->data);
    *b = (struct buf){ .limit = b->limit };
}

void buf_clear(struct buf *b)
{
    b->length = 0;
    b->failed = false;
    if (b->data)
        b->data[0] = 0;
}

enum err buf_reserve(struct buf *b, size_t more, char **ret_at)
{
    if (b->failed || more > b->limit || b->length > b->limit - more) {
        b->failed = true;
        return ERR_TOO_BIG;
    }
    size_t need = b->length + more + 1;
    if (need > b->capacity) {
        size_t capacity = b->capacity ? b->capacity * 2 : 256;
        if (capacity < need)
            capacity = need;
        char *data = realloc(b->data, capacity);
        if (!data)
            log_fatal("base", "out of memory: %zu bytes for a buffer", capacity);
        b->data = data;
        b->capacity = capacity;
    }
    *ret_at = b->data + b->length;
    return OK;
}

void buf_advance(struct buf *b, size_t size)
{
    check(b->length + size < b->capacity);
    b->length += size;
    b->data[b->length] = 0;
}

enum err buf_add(struct buf *b, const void *data, size_t size)
{
    char *at;
    enum err e = buf_reserve(b, size, &at);
    if (e)
        return e;
    if (size)
        memcpy(at, data, size);
    buf_advance(b, size);
    return OK;
}

enum err buf_puts(struct buf *b, const char *s)
{
    return buf_add(b, s, strlen(s));
}

enum err buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    check(length >= 0);
    char *at;
    enum err e = buf_reserve(b, (size_t)length, &at);
    if (!e) {
        vsnprintf(at, (size_t)length + 1, fmt, again);
        buf_advance(b, (size_t)length);
    }
    va_end(again);
    return e;
}

void buf_drop_front(struct buf *b, size_t size)
{
    check(size <= b->length);
    if (size == 0)
        return;
    memmove(b->data, b->data + size, b->length - size);
    b->length -= size;
    b->data[b->length] = 0;
}

char *buf_detach(struct buf *b, size_t *ret_length)
{
    char *data = b->data;
    if (ret_length)
        *ret_length = b->length;
    *b = (struct buf){ .limit = b->limit };
    return data;
}

enum err buf_err(const struct buf *b)
{
    return b->failed ? ERR_TOO_BIG : OK;
}

static void put_le(struct buf *b, uint64_t v, unsigned bytes)
{
    unsigned char raw[8];
    for (unsigned i = 0; i < bytes; i++)
        raw[i] = (unsigned char)(v >> (8 * i));
    buf_add(b, raw, bytes);
}

void buf_u8(struct buf *b, uint8_t v) { put_le(b, v, 1); }
void buf_u16(struct buf *b, uint16_t v) { put_le(b, v, 2); }
void buf_u32(struct buf *b, uint32_t v) { put_le(b, v, 4); }
void buf_u64(struct buf *b, uint64_t v) { put_le(b, v, 8); }

void buf_blob(struct buf *b, const void *data, size_t size)
{
    buf_u32(b, (uint32_t)size);
    buf_add(b, data, size);
}

struct cursor cursor_of(const void *data, size_t size)
{
    const unsigned char *at = data;
    return (struct cursor){ at, at ? at + size : at, false };
}

size_t cursor_left(const struct cursor *c)
{
    return (size_t)(c->end - c->at);
}

const void *cursor_bytes(struct cursor *c, size_t size)
{
    if (c->bad || cursor_left(c) < size) {
        c->bad = true;
        return NULL;
    }
    const void *at = c->at;
    c->at += size;
    return at;
}

static uint64_t get_le(struct cursor *c, unsigned bytes)
{
    const unsigned char *raw = cursor_bytes(c, bytes);
    uint64_t v = 0;
    for (unsigned i = 0; raw && i < bytes; i++)
        v |= (uint64_t)raw[i] << (8 * i);
    return v;
}

uint8_t cursor_u8(struct cursor *c) { return (uint8_t)get_le(c, 1); }
uint16_t cursor_u16(struct cursor *c) { return (uint16_t)get_le(c, 2); }
uint32_t cursor_u32(struct cursor *c) { return (uint32_t)get_le(c, 4); }
uint64_t cursor_u64(struct cursor *c) { return get_le(c, 8); }

const void *cursor_blob(struct cursor *c, size_t *ret_size)
{
    size_t size = cursor_u32(c);
    const void *at = cursor_bytes(c, size);
    *ret_size = at ? size : 0;
    return at;
}
