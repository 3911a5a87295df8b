/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/pypi/page_html.c: pages of PEP 503, as indexes write them: anchors with a link, a few
 * attributes, a file's name inside; what else is there is passed over. No attempt at all of HTML. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "src/formats/pypi/page.h"

struct scan {
    const char *at, *end;
};

struct text { /* a piece of the page */
    const char *from;
    size_t length;
};

enum { ATTRIBUTES = 12 };
struct tag {
    struct text name, names[ATTRIBUTES], values[ATTRIBUTES];
    unsigned count;
};

static bool is(struct text t, const char *word)
{
    return t.from && strlen(word) == t.length && !strncasecmp(t.from, word, t.length);
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static struct text until(struct scan *s, const char *stops)
{
    struct text t = { s->at, 0 };

    while (s->at < s->end && !blank(*s->at) && (!*s->at || !strchr(stops, *s->at)))
        s->at++;
    t.length = (size_t)(s->at - t.from);
    return t;
}

static void skip_blanks(struct scan *s)
{
    while (s->at < s->end && blank(*s->at))
        s->at++;
}

static struct text attribute_value(struct scan *s)
{
    struct text t = { "", 0 };
    const char *close;

    skip_blanks(s);
    if (s->at >= s->end || *s->at != '=')
        return t;
    s->at++;
    skip_blanks(s);
    if (s->at >= s->end || (*s->at != '"' && *s->at != '\''))
        return until(s, ">");
    close = memchr(s->at + 1, *s->at, (size_t)(s->end - s->at - 1));
    if (!close)
        close = s->end;
    t = (struct text){ s->at + 1, (size_t)(close - s->at - 1) };
    s->at = close < s->end ? close + 1 : close;
    return t;
}

/* The next tag, past its '>'. False: there is none. */
static bool next_tag(struct scan *s, struct tag *ret)
{
    const char *open = memchr(s->at, '<', (size_t)(s->end - s->at));

    if (!open)
        return false;
    *ret = (struct tag){ 0 };
    s->at = open + 1;
    ret->name = until(s, ">");
    for (;;) {
        struct text name, value;
        skip_blanks(s);
        if (s->at >= s->end)
            return true;
        if (*s->at == '>') {
            s->at++;
            return true;
        }
        if (*s->at == '/' || *s->at == '=') {
            s->at++;
            continue;
        }
        name = until(s, "=/>");
        value = attribute_value(s);
        if (ret->count < ATTRIBUTES) {
            ret->names[ret->count] = name;
            ret->values[ret->count++] = value;
        }
    }
}

static void put_code_point(struct buf *b, unsigned long c)
{
    char utf8[4];
    size_t n = 1;

    if (c < 32 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        c = 0xfffd;
    if (c < 0x80) {
        utf8[0] = (char)c;
    } else if (c < 0x800) {
        utf8[0] = (char)(0xc0 | c >> 6), utf8[1] = (char)(0x80 | (c & 63)), n = 2;
    } else if (c < 0x10000) {
        utf8[0] = (char)(0xe0 | c >> 12), utf8[1] = (char)(0x80 | (c >> 6 & 63));
        utf8[2] = (char)(0x80 | (c & 63)), n = 3;
    } else {
        utf8[0] = (char)(0xf0 | c >> 18), utf8[1] = (char)(0x80 | (c >> 12 & 63));
        utf8[2] = (char)(0x80 | (c >> 6 & 63)), utf8[3] = (char)(0x80 | (c & 63)), n = 4;
    }
    (void)buf_add(b, utf8, n);
}

/* How many bytes of `text` are a reference to a character, which is appended; 0: none. */
static size_t reference(const char *text, size_t length, struct buf *b)
{
    static const struct {
        const char *name;
        char c;
    } known[] = {
        { "&amp;", '&' }, { "&lt;", '<' }, { "&gt;", '>' }, { "&quot;", '"' }, { "&apos;", '\'' },
    };
    char digits[12] = "";
    size_t n = 2;
    bool hex;

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (length >= strlen(known[i].name) &&
            !strncasecmp(text, known[i].name, strlen(known[i].name))) {
            (void)buf_add(b, &known[i].c, 1);
            return strlen(known[i].name);
        }
    if (length < 4 || text[1] != '#')
        return 0;
    hex = text[2] == 'x' || text[2] == 'X';
    n += hex;
    for (size_t i = 0; n < length && i + 1 < sizeof digits && text[n] && text[n] != ';'; i++)
        digits[i] = text[n++];
    if (n >= length || text[n] != ';' || !*digits ||
        strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789") != strlen(digits))
        return 0;
    put_code_point(b, strtoul(digits, NULL, hex ? 16 : 10));
    return n + 1;
}

/* With its references resolved, and no blanks around. NULL if it is not text. */
static json_t *plain(struct text t)
{
    struct buf b;
    json_t *ret;
    size_t i = 0, n;

    buf_init(&b, 65536);
    while (t.length && blank(*t.from))
        t.from++, t.length--;
    while (t.length && blank(t.from[t.length - 1]))
        t.length--;
    while (i < t.length) {
        n = t.from[i] == '&' ? reference(t.from + i, t.length - i, &b) : 0;
        if (!n) {
            (void)buf_add(&b, t.from + i, 1);
            n = 1;
        }
        i += n;
    }
    ret = buf_err(&b) || (b.length && memchr(b.data, 0, b.length))
              ? NULL
              : json_stringn(b.data ? b.data : "", b.length);
    buf_free(&b);
    return ret;
}

/* "sha256=ab" as {"sha256": "ab"}; "true" as true. */
static json_t *hashes_of(const char *text)
{
    const char *equals = strchr(text, '=');
    char kind[32] = "";

    if (!equals)
        return strcmp(text, "true") ? NULL : json_true();
    if ((size_t)(equals - text) >= sizeof kind)
        return NULL;
    memcpy(kind, text, (size_t)(equals - text));
    return json_pack("{s:s}", kind, equals + 1);
}

static void anchor_attribute(json_t *file, struct text name, json_t *value)
{
    const char *text = json_string_value(value), *hash;

    if (is(name, "href")) {
        hash = strchr(text, '#');
        json_object_set_new(file, "url",
                            json_stringn(text, hash ? (size_t)(hash - text) : strlen(text)));
        if (hash)
            json_object_set_new(file, "hashes", hashes_of(hash + 1));
    } else if (is(name, "data-requires-python")) {
        json_object_set(file, "requires-python", value);
    } else if (is(name, "data-yanked")) {
        json_object_set_new(file, "yanked", *text ? json_incref(value) : json_true());
    } else if (is(name, "data-core-metadata") ||
               (is(name, "data-dist-info-metadata") && !json_object_get(file, "core-metadata"))) {
        json_object_set_new(file, "core-metadata", hashes_of(text));
    }
}

static void put_anchor(const struct tag *tag, struct text inside, json_t *files)
{
    json_t *file = json_object(), *name = plain(inside);

    for (unsigned i = 0; i < tag->count; i++) {
        json_t *value = plain(tag->values[i]);
        if (value)
            anchor_attribute(file, tag->names[i], value);
        json_decref(value);
    }
    if (name && json_object_get(file, "url")) {
        json_object_set(file, "filename", name);
        json_array_append(files, file);
    }
    json_decref(name);
    json_decref(file);
}

static json_t *attribute_of(const struct tag *tag, const char *name)
{
    for (unsigned i = 0; i < tag->count; i++)
        if (is(tag->names[i], name))
            return plain(tag->values[i]);
    return NULL;
}

static void put_meta(const struct tag *tag, json_t *page)
{
    json_t *name = attribute_of(tag, "name"), *content = attribute_of(tag, "content");

    if (name && content && !strcmp(json_string_value(name), "pypi:project-status"))
        json_object_set_new(page, "project-status", json_pack("{s:O}", "status", content));
    json_decref(name);
    json_decref(content);
}

enum err page_read_html(const char *data, size_t size, json_t **ret, struct why *why)
{
    struct scan s = { data, data + size };
    json_t *files = json_array();
    struct tag tag;

    *ret = json_pack("{s:o}", "files", files);
    while (next_tag(&s, &tag)) {
        if (is(tag.name, "meta"))
            put_meta(&tag, *ret);
        if (!is(tag.name, "a"))
            continue;
        const char *close = memchr(s.at, '<', (size_t)(s.end - s.at));
        struct text inside = { s.at, (size_t)((close ? close : s.end) - s.at) };
        if (json_array_size(files) >= PAGE_FILES)
            return fail(why, ERR_UPSTREAM, "the index's page has more than %d files", PAGE_FILES);
        put_anchor(&tag, inside, files);
    }
    return OK;
}
