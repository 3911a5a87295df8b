/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/maven/xml.c: as much of XML 1.0 as metadata is written in. What comes from clients and
 * upstreams is hostile: depth and text are bounded, entities are the five that XML names and characters
 * by number. */
#include "src/formats/maven/xml.h"

#include <ctype.h>
#include <string.h>

#include "pantera/text.h"

enum { XML_DEPTH = 16, XML_PATH = 512, XML_TEXT = 4096 };

struct xml {
    const char *at, *end;
    const struct xml_reader *reader;
    struct why *why;
    char path[XML_PATH];
    size_t path_length[XML_DEPTH + 1]; /* before the element of that depth */
    unsigned depth;
    bool rooted;                 /* the one root has begun */
    char text[XML_TEXT];
    size_t text_length;
};

static enum err bad(struct xml *x, const char *what)
{
    return fail(x->why, ERR_BAD_REQUEST, "not valid XML: %s", what);
}

static bool looking_at(const struct xml *x, const char *word)
{
    size_t n = strlen(word);

    return (size_t)(x->end - x->at) >= n && !memcmp(x->at, word, n);
}

/* Past the next `word`. */
static enum err skip_past(struct xml *x, const char *word)
{
    const char *found = memmem(x->at, (size_t)(x->end - x->at), word, strlen(word));

    if (!found)
        return bad(x, "it ends early");
    x->at = found + strlen(word);
    return OK;
}

/* --- text --- */

static enum err text_add(struct xml *x, const char *data, size_t size)
{
    if (x->text_length + size >= sizeof x->text)
        return bad(x, "an element's text is too long");
    memcpy(x->text + x->text_length, data, size);
    x->text_length += size;
    return OK;
}

static size_t utf8_put(unsigned long c, char ret[4])
{
    if (c < 0x80) {
        ret[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        ret[0] = (char)(0xc0 | c >> 6);
        ret[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        ret[0] = (char)(0xe0 | c >> 12);
        ret[1] = (char)(0x80 | (c >> 6 & 0x3f));
        ret[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    ret[0] = (char)(0xf0 | c >> 18);
    ret[1] = (char)(0x80 | (c >> 12 & 0x3f));
    ret[2] = (char)(0x80 | (c >> 6 & 0x3f));
    ret[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* "#60" or "#x3C" */
static bool number_of(const char *name, size_t length, unsigned long *ret)
{
    bool hex = length > 1 && name[1] == 'x';
    size_t i = hex ? 2 : 1;

    *ret = 0;
    if (i == length || length > 10)
        return false;
    for (; i < length; i++) {
        unsigned char c = (unsigned char)name[i];
        if (hex ? !isxdigit(c) : !isdigit(c))
            return false;
        *ret = *ret * (hex ? 16 : 10) + (unsigned long)(isdigit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    /* XML 1.0 §2.2: no control characters but blanks, no surrogates */
    return *ret <= 0x10ffff && (*ret >= 0x20 || *ret == 9 || *ret == 10 || *ret == 13) &&
           (*ret < 0xd800 || *ret > 0xdfff);
}

/* §4.1, §4.6: at '&'. */
static enum err entity(struct xml *x)
{
    static const struct { const char *name, *text; } known[] = {
        { "amp", "&" }, { "lt", "<" }, { "gt", ">" }, { "quot", "\"" }, { "apos", "'" },
    };
    const char *name = x->at + 1, *semicolon = memchr(name, ';', (size_t)(x->end - name));
    size_t n = semicolon ? (size_t)(semicolon - name) : 0;
    unsigned long c;
    char utf8[4];

    if (!n || n > 10)
        return bad(x, "'&' without an entity");
    x->at = semicolon + 1;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].name) == n && !memcmp(known[i].name, name, n))
            return text_add(x, known[i].text, 1);
    if (*name != '#' || !number_of(name, n, &c))
        return bad(x, "an unknown entity");
    return text_add(x, utf8, utf8_put(c, utf8));
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static enum err characters(struct xml *x)
{
    enum err e = OK;

    while (!e && x->at < x->end && *x->at != '<') {
        const char *stop = x->at;
        if (*x->at == '&') {
            e = x->depth ? entity(x) : bad(x, "text outside of its element");
            continue;
        }
        while (stop < x->end && *stop != '<' && *stop != '&') {
            if ((!x->depth && !blank(*stop)) || !*stop)
                return bad(x, "text outside of its element");
            stop++;
        }
        e = x->depth ? text_add(x, x->at, (size_t)(stop - x->at)) : OK;
        x->at = stop;
    }
    return e;
}

static enum err cdata(struct xml *x)
{
    const char *from = x->at += strlen("<![CDATA[");
    enum err e = x->depth ? skip_past(x, "]]>") : bad(x, "text outside of its element");

    return e ? e : text_add(x, from, (size_t)(x->at - 3 - from));
}

/* --- elements --- */

static size_t name_length(const struct xml *x)
{
    const char *at = x->at;

    while (at < x->end && !blank(*at) && *at != '>' && *at != '/' && *at != '=' && *at != '<' && *at)
        at++;
    return (size_t)(at - x->at);
}

static enum err element_push(struct xml *x)
{
    size_t n = name_length(x), at = strlen(x->path);
    const char *colon = memchr(x->at, ':', n), *name = colon ? colon + 1 : x->at;
    size_t length = n - (size_t)(name - x->at);

    if (!length || (!x->depth && x->rooted))
        return bad(x, "an element without a name, or a second root");
    if (x->depth == XML_DEPTH || at + length + 2 > sizeof x->path)
        return bad(x, "elements nest too deep");
    x->rooted = true;
    x->path_length[x->depth++] = at;
    if (at)
        x->path[at++] = '/';
    memcpy(x->path + at, name, length);
    x->path[at + length] = 0;
    if (!utf8_valid(x->path + at, length))
        return bad(x, "a name is not UTF-8");
    x->at += n;
    x->text_length = 0;
    if (x->reader->on_open)
        x->reader->on_open(x->reader->arg, x->path);
    return OK;
}

static enum err element_pop(struct xml *x)
{
    char *from = x->text, *to = x->text + x->text_length;

    while (from < to && blank(*from))
        from++;
    while (to > from && blank(to[-1]))
        to--;
    *to = 0;
    if (!utf8_valid(from, (size_t)(to - from)))
        return bad(x, "text that is not UTF-8");
    x->reader->on_close(x->reader->arg, x->path, from);
    x->path[x->path_length[--x->depth]] = 0;
    x->text_length = 0;
    return OK;
}

/* Attributes: passed over, values in quotes. */
static enum err element_open(struct xml *x)
{
    enum err e;

    x->at++;
    if ((e = element_push(x)))
        return e;
    while (x->at < x->end && *x->at != '>' && *x->at != '/') {
        if (*x->at == '"' || *x->at == '\'') {
            const char *close = memchr(x->at + 1, *x->at, (size_t)(x->end - x->at - 1));
            if (!close)
                return bad(x, "it ends early");
            x->at = close;
        } else if (*x->at == '<') {
            return bad(x, "'<' within an element's head");
        }
        x->at++;
    }
    if (x->at == x->end)
        return bad(x, "it ends early");
    if (*x->at++ == '>')
        return OK;
    if (x->at == x->end || *x->at++ != '>')
        return bad(x, "'/' within an element's head");
    return element_pop(x);
}

static enum err element_close(struct xml *x)
{
    size_t at, n;
    const char *colon, *name;

    x->at += 2;
    n = name_length(x);
    colon = memchr(x->at, ':', n);
    name = colon ? colon + 1 : x->at;
    if (!x->depth)
        return bad(x, "an end without a beginning");
    at = x->path_length[x->depth - 1];
    at += x->path[at] == '/';
    if (strlen(x->path + at) != n - (size_t)(name - x->at) || memcmp(x->path + at, name,
                                                                     strlen(x->path + at)))
        return bad(x, "an element is closed that is not open");
    x->at += n;
    while (x->at < x->end && blank(*x->at))
        x->at++;
    if (x->at == x->end || *x->at++ != '>')
        return bad(x, "it ends early");
    return element_pop(x);
}

static enum err markup(struct xml *x)
{
    if (looking_at(x, "<!--"))
        return skip_past(x, "-->");
    if (looking_at(x, "<![CDATA["))
        return cdata(x);
    if (looking_at(x, "<?"))
        return skip_past(x, "?>");
    if (looking_at(x, "<!"))
        return bad(x, "a document type is not taken");
    return looking_at(x, "</") ? element_close(x) : element_open(x);
}

enum err xml_read(const char *data, size_t size, const struct xml_reader *r, struct why *why)
{
    struct xml x = { .at = data, .end = data + size, .reader = r, .why = why };
    enum err e = OK;

    if (looking_at(&x, "\xef\xbb\xbf"))
        x.at += 3;
    while (!e && x.at < x.end)
        e = *x.at == '<' ? markup(&x) : characters(&x);
    if (e)
        return e;
    return x.depth || !x.rooted ? bad(&x, "it ends early") : OK;
}

void xml_puts(struct buf *b, const char *text)
{
    for (const char *c = text; *c; c++) {
        switch (*c) {
        case '&': (void)buf_puts(b, "&amp;"); break;
        case '<': (void)buf_puts(b, "&lt;"); break;
        case '>': (void)buf_puts(b, "&gt;"); break;
        case '"': (void)buf_puts(b, "&quot;"); break;
        case '\'': (void)buf_puts(b, "&apos;"); break;
        default: (void)buf_add(b, c, 1);
        }
    }
}
