/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/npm/scan.c: a state machine over bytes. It follows strings, braces and the keys of the first
 * three levels, which is enough to know where a tarball is; it never looks back and holds no part of one. */
#include "src/formats/npm/scan.h"

#include <string.h>

#include "pantera/text.h"

enum { PIECE = 49152 };          /* decoded at a time: what 64 KiB of text hold */

struct piece {
    struct npm_scan *s;
    unsigned char bytes[PIECE + 3];
    size_t length;
};

void npm_scan_init(struct npm_scan *s, size_t limit,
                   enum err (*data)(const void *data, size_t size, void *arg), void *arg)
{
    memset(s, 0, sizeof *s);
    s->data = data;
    s->arg = arg;
    buf_init(&s->kept, limit);
}

void npm_scan_release(struct npm_scan *s)
{
    buf_free(&s->kept);
}

/* --- base64: RFC 4648 §4, padding optional --- */

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static enum err piece_flush(struct piece *p)
{
    size_t n = p->length;

    p->length = 0;
    p->s->decoded += (int64_t)n;
    return n ? p->s->data(p->bytes, n, p->s->arg) : OK;
}

static enum err data_char(struct piece *p, char c, struct why *why)
{
    struct npm_scan *s = p->s;
    int v = base64_value(c);

    if (c == '=' && s->bit_count >= 2 && s->bit_count <= 4 && s->padding < 2) {
        s->padding++;
        return OK;
    }
    if (v < 0 || s->padding)
        return fail(why, ERR_BAD_REQUEST, "the data of _attachments is not base64");
    s->bits = s->bits << 6 | (uint32_t)v;
    s->bit_count += 6;
    if (s->bit_count >= 8) {
        s->bit_count -= 8;
        p->bytes[p->length++] = (unsigned char)(s->bits >> s->bit_count);
        s->bits &= (1u << s->bit_count) - 1;
    }
    return p->length >= PIECE ? piece_flush(p) : OK;
}

/* Six bits alone are half a byte; what is left over must be nothing; padding fills up to four characters. */
static enum err data_end(struct npm_scan *s, struct why *why)
{
    unsigned wanted = s->bit_count == 4 ? 2 : s->bit_count == 2 ? 1 : 0;

    if (s->bit_count == 6 || s->bits || (s->padding && s->padding != wanted))
        return fail(why, ERR_BAD_REQUEST, "the data of _attachments ends in the middle of a byte");
    return OK;
}

/* JSON may write any character as an escape: "\/", "\u002b" (RFC 8259 §7). */
static enum err data_escape(struct piece *p, char c, struct why *why)
{
    struct npm_scan *s = p->s;
    unsigned char unit[2];
    bool plain;

    if (s->escape == 1 && c != 'u') {
        s->escape = 0;
        return c == '/' ? data_char(p, c, why) : data_char(p, '\\', why);
    }
    s->escaped[s->escape++ - 1] = c;
    if (s->escape < 6)
        return OK;
    s->escape = 0;
    plain = hex_decode(s->escaped + 1, 4, unit) && unit[0] == 0 && unit[1] < 0x80;
    return data_char(p, plain ? (char)unit[1] : '\\', why);
}

/* --- structure --- */

static bool key_is(const struct npm_scan *s, unsigned level, const char *text)
{
    return s->key_length[level] == strlen(text) && !memcmp(s->key[level], text, s->key_length[level]);
}

/* The string that begins now is a tarball's data. */
static bool data_begins(const struct npm_scan *s)
{
    size_t n = s->key_length[2];

    return s->depth == 3 && s->object[1] && s->object[2] && s->object[3] && s->value &&
           key_is(s, 1, "_attachments") && key_is(s, 3, "data") && n > 4 && n <= SCAN_KEY &&
           !memcmp(s->key[2] + n - 4, ".tgz", 4);
}

static enum err string_begins(struct npm_scan *s, struct why *why)
{
    bool shallow = s->depth >= 1 && s->depth <= SCAN_LEVELS;

    if (data_begins(s)) {
        if (s->found)
            return fail(why, ERR_BAD_REQUEST, "more than one tarball in _attachments");
        s->found = true;
        s->in = SCAN_DATA;
    } else if (shallow && s->object[s->depth] && !s->value) {
        s->key_length[s->depth] = 0;
        s->in = SCAN_KEY_TEXT;
    } else {
        s->in = SCAN_TEXT;
    }
    return OK;
}

static enum err between(struct npm_scan *s, char c, struct why *why)
{
    switch (c) {
    case '"':
        return string_begins(s, why);
    case '{':
    case '[':
        s->depth++;
        if (s->depth <= SCAN_LEVELS) {
            s->object[s->depth] = c == '{';
            s->key_length[s->depth] = 0;
        }
        s->value = false;
        break;
    case '}':
    case ']':
        if (s->depth == 0)
            return fail(why, ERR_BAD_REQUEST, "the body is not JSON");
        s->depth--;
        s->value = true;         /* what ended was one */
        break;
    case ',':
        s->value = false;
        break;
    case ':':
        s->value = true;
        break;
    default:
        break;
    }
    return OK;
}

static void in_string(struct npm_scan *s, char c)
{
    if (s->escape) {
        s->escape = 0;
    } else if (c == '\\') {
        s->escape = 1;
    } else if (c == '"') {
        s->in = SCAN_BETWEEN;
        return;
    }
    if (s->in == SCAN_KEY_TEXT) {
        size_t *n = &s->key_length[s->depth];
        if (*n < SCAN_KEY)
            s->key[s->depth][*n] = c;
        if (*n <= SCAN_KEY)      /* one more than there is room for: too long to be anything */
            (*n)++;
    }
}

/* One character of the tarball's string. *ret_end: it is its end. */
static enum err in_data(struct piece *p, char c, bool *ret_end, struct why *why)
{
    struct npm_scan *s = p->s;

    if (s->escape)
        return data_escape(p, c, why);
    if (c == '\\') {
        s->escape = 1;
        return OK;
    }
    if (c != '"')
        return data_char(p, c, why);
    *ret_end = true;
    s->in = SCAN_BETWEEN;
    return data_end(s, why);
}

/* Plain characters by fours, while there is room: nearly all of a tarball. How many were taken. */
static size_t data_run(struct piece *p, const char *text, size_t size)
{
    struct npm_scan *s = p->s;
    size_t i = 0;

    if (s->escape || s->bit_count || s->padding)
        return 0;
    for (; size - i >= 4 && p->length < PIECE; i += 4) {
        int a = base64_value(text[i]), b = base64_value(text[i + 1]), c = base64_value(text[i + 2]),
            d = base64_value(text[i + 3]);
        if ((a | b | c | d) < 0)
            break;
        p->bytes[p->length++] = (unsigned char)(a << 2 | b >> 4);
        p->bytes[p->length++] = (unsigned char)(b << 4 | c >> 2);
        p->bytes[p->length++] = (unsigned char)(c << 6 | d);
    }
    return i;
}

/* Takes what is the tarball's from the front; keeps the quote that ends it. How many were taken. */
static size_t feed_data(struct piece *p, const char *text, size_t size, enum err *ret, struct why *why)
{
    struct npm_scan *s = p->s;
    size_t i = 0;
    bool ends = false;

    while (i < size && !*ret) {
        size_t run = data_run(p, text + i, size - i);
        i += run;
        if (run && p->length >= PIECE)
            *ret = piece_flush(p);
        if (i == size || *ret)
            break;
        *ret = in_data(p, text[i], &ends, why);
        i++;
        if (ends) {
            (void)buf_add(&s->kept, "\"", 1);
            break;
        }
    }
    return i;
}

enum err npm_scan_feed(struct npm_scan *s, const char *text, size_t size, struct why *why)
{
    struct piece p = { .s = s };
    enum err e = OK;
    size_t i = 0;

    while (i < size && !e) {
        size_t from = i;
        if (s->in == SCAN_DATA) {
            i += feed_data(&p, text + i, size - i, &e, why);
            continue;
        }
        for (; i < size && !e && s->in != SCAN_DATA; i++) {
            if (s->in == SCAN_BETWEEN)
                e = between(s, text[i], why);
            else
                in_string(s, text[i]);
        }
        (void)buf_add(&s->kept, text + from, i - from);
    }
    if (!e)
        e = piece_flush(&p);
    if (!e && buf_err(&s->kept))
        e = fail(why, ERR_TOO_BIG, "the package's description is larger than %zu bytes", s->kept.limit);
    return e;
}

enum err npm_scan_end(struct npm_scan *s, struct why *why)
{
    if (s->depth || s->in != SCAN_BETWEEN || !s->kept.length)
        return fail(why, ERR_BAD_REQUEST, "the body is not JSON, or ends too early");
    return OK;
}
