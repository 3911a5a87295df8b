/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/npm/span.c: the grammar of RFC 8259 over bytes, without a tree and without recursion. */
#include "src/formats/npm/span.h"

#include <string.h>

#include "pantera/text.h"

struct reader {
    const char *at, *end;
    unsigned depth;
    bool object[SPAN_DEPTH];     /* what each level is; else an array */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && is_blank(*at))
        at++;
    return at;
}

/* --- judging --- */

static int hex4(const char *s)
{
    unsigned char two[2];

    return hex_decode(s, 4, two) ? two[0] << 8 | two[1] : -1;
}

/* Behind a '\'. */
static bool read_escape(struct reader *r)
{
    int unit, next;

    if (r->at == r->end || !strchr("\"\\/bfnrtu", *r->at) || !*r->at)
        return false;
    if (*r->at++ != 'u')
        return true;
    if (r->end - r->at < 4 || (unit = hex4(r->at)) < 0)
        return false;
    r->at += 4;
    if (unit < 0xd800 || unit >= 0xe000)
        return true;
    if (unit >= 0xdc00 || r->end - r->at < 6 || r->at[0] != '\\' || r->at[1] != 'u')
        return false;
    next = hex4(r->at + 2);
    r->at += 6;
    return next >= 0xdc00 && next < 0xe000;
}

/* At its opening quote. */
static bool read_string(struct reader *r)
{
    for (r->at++; r->at < r->end;) {
        unsigned char c = (unsigned char)*r->at;
        if (c == '"') {
            r->at++;
            return true;
        }
        if (c < 0x20)
            return false;
        if (c == '\\') {
            r->at++;
            if (!read_escape(r))
                return false;
        } else if (c < 0x80) {
            r->at++;
        } else {
            size_t n = utf8_sequence(r->at, (size_t)(r->end - r->at));
            if (!n)
                return false;
            r->at += n;
        }
    }
    return false;
}

static bool read_digits(struct reader *r)
{
    const char *from = r->at;

    while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
        r->at++;
    return r->at > from;
}

/* §6 */
static bool read_number(struct reader *r)
{
    if (*r->at == '-')
        r->at++;
    if (r->at < r->end && *r->at == '0')
        r->at++;
    else if (!read_digits(r))
        return false;
    if (r->at < r->end && *r->at == '.') {
        r->at++;
        if (!read_digits(r))
            return false;
    }
    if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
        r->at++;
        if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
            r->at++;
        return read_digits(r);
    }
    return true;
}

static bool read_word(struct reader *r, const char *word)
{
    size_t n = strlen(word);

    if ((size_t)(r->end - r->at) < n || memcmp(r->at, word, n))
        return false;
    r->at += n;
    return true;
}

/* A key and its colon, up to its value. */
static bool read_key(struct reader *r)
{
    r->at = skip_blanks(r->at, r->end);
    if (r->at == r->end || *r->at != '"' || !read_string(r))
        return false;
    r->at = skip_blanks(r->at, r->end);
    if (r->at == r->end || *r->at++ != ':')
        return false;
    r->at = skip_blanks(r->at, r->end);
    return r->at < r->end;
}

/* '{' or '['. *ret_whole: it is empty, and over. */
static bool read_open(struct reader *r, bool *ret_whole)
{
    bool object = *r->at++ == '{';

    r->at = skip_blanks(r->at, r->end);
    *ret_whole = r->at < r->end && *r->at == (object ? '}' : ']');
    if (*ret_whole) {
        r->at++;
        return true;
    }
    if (r->depth == SPAN_DEPTH)
        return false;
    r->object[r->depth++] = object;
    return object ? read_key(r) : r->at < r->end;
}

/* Whatever follows a value, up to the next one. *ret_over: none does, the outermost one is over. */
static bool read_after(struct reader *r, bool *ret_over)
{
    *ret_over = false;
    while (r->depth) {
        bool object = r->object[r->depth - 1];
        r->at = skip_blanks(r->at, r->end);
        if (r->at == r->end)
            return false;
        char c = *r->at++;
        if (c == ',') {
            if (object)
                return read_key(r);
            r->at = skip_blanks(r->at, r->end);
            return r->at < r->end;
        }
        if (c != (object ? '}' : ']'))
            return false;
        r->depth--;
    }
    *ret_over = true;
    return true;
}

static bool read_value(struct reader *r, bool *ret_whole)
{
    *ret_whole = true;
    switch (*r->at) {
    case '{':
    case '[': return read_open(r, ret_whole);
    case '"': return read_string(r);
    case 't': return read_word(r, "true");
    case 'f': return read_word(r, "false");
    case 'n': return read_word(r, "null");
    default: return read_number(r);
    }
}

bool span_read(const char *data, size_t size, struct span *ret)
{
    struct reader r = { .at = data, .end = data + size };
    const char *from = r.at = skip_blanks(r.at, r.end);
    bool over = false, whole;

    while (!over) {
        if (r.at == r.end || !read_value(&r, &whole) || (whole && !read_after(&r, &over)))
            return false;
    }
    *ret = (struct span){ from, (size_t)(r.at - from) };
    return skip_blanks(r.at, r.end) == r.end;
}

/* --- walking what is known to be good --- */

/* At its opening quote. A quote ends it that has an even number of '\' before it. */
static const char *behind_string(const char *at, const char *end)
{
    for (const char *from = at + 1;; from = at + 1) {
        const char *before;
        at = memchr(from, '"', (size_t)(end - from));
        for (before = at; before > from && before[-1] == '\\'; before--)
            ;
        if ((at - before) % 2 == 0)
            return at + 1;
    }
}

static const char *behind_container(const char *at, const char *end)
{
    unsigned depth = 0;

    for (;;) {
        switch (*at) {
        case '"':
            at = behind_string(at, end);
            continue;
        case '{':
        case '[':
            depth++;
            break;
        case '}':
        case ']':
            if (--depth == 0)
                return at + 1;
            break;
        default:
            break;
        }
        at++;
    }
}

static const char *behind_value(const char *at, const char *end)
{
    if (*at == '"')
        return behind_string(at, end);
    if (*at == '{' || *at == '[')
        return behind_container(at, end);
    while (at < end && !strchr(",]} \n\r\t", *at))
        at++;
    return at;
}

bool span_object(struct span value)
{
    return value.at && value.size && *value.at == '{';
}

struct span_walk span_walk(struct span object)
{
    return span_object(object) ? (struct span_walk){ object.at + 1, object.at + object.size, { 0 } }
                               : (struct span_walk){ 0 };
}

bool span_next(struct span_walk *w, struct span *ret_key, struct span *ret_value)
{
    const char *at = w->at;

    while (at < w->end && (is_blank(*at) || *at == ','))
        at++;
    if (at == w->end || *at != '"')
        return false;
    ret_key->at = at + 1;
    at = behind_string(at, w->end);
    ret_key->size = (size_t)(at - 1 - ret_key->at);
    at = skip_blanks(at, w->end);
    at = skip_blanks(at + 1, w->end);
    ret_value->at = at;
    w->at = at == w->known.at ? at + w->known.size : behind_value(at, w->end);
    ret_value->size = (size_t)(w->at - at);
    return true;
}

bool span_is(struct span key, const char *text)
{
    return key.size == strlen(text) && !memcmp(key.at, text, key.size);
}

struct span span_get(struct span object, const char *key)
{
    struct span_walk w = span_walk(object);
    struct span found = { 0 }, name, value;

    while (span_next(&w, &name, &value))
        if (span_is(name, key))
            found = value;
    return found;
}

json_t *span_json(struct span value)
{
    return value.at ? json_loadb(value.at, value.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL) : NULL;
}
