/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/multipart.c: a delimiter is CRLF, two dashes and the boundary. As CR comes in it only
 * in front, what was matched before a mismatch can't hold the beginning of another match. */
#include "src/formats/multipart.h"

#include <string.h>
#include <strings.h>

/* RFC 2046 §5.1.1: bcharsnospace, and no blank at all, which nobody uses. */
static bool boundary_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("'()+_,-./:=?", c));
}

/* A parameter's value (RFC 9110 §5.6.6), quoted or not: at `text`, which begins at ';' or at the end.
 * False: there is none of that name; an escape is '\' and a byte, or, as browsers and curl write it, %22. */
static bool parameter(const char *text, const char *name, char *ret, size_t room, bool *ret_bad)
{
    size_t length = strlen(name), n;

    *ret_bad = false;
    while (*text == ';') {
        bool wanted, quoted;
        text++;
        text += strspn(text, " \t");
        wanted = !strncasecmp(text, name, length) && text[length] == '=';
        text += strcspn(text, "=;");
        if (*text != '=')
            continue;
        text++;
        quoted = *text == '"';
        text += quoted;
        for (n = 0;
             *text && (quoted ? *text != '"' : *text != ';' && *text != ' ' && *text != '\t');
             text++) {
            if (quoted && *text == '\\' && (text[1] == '"' || text[1] == '\\'))
                text++;
            if (!wanted)
                continue;
            if (n + 1 >= room) {
                *ret_bad = true;
                return false;
            }
            ret[n++] = *text;
        }
        if (wanted) {
            ret[n] = 0;
            return true;
        }
        text += strcspn(text, ";");
    }
    return false;
}

enum err multipart_init(struct multipart *m, const char *content_type,
                        const struct multipart_calls *calls, void *arg, struct why *why)
{
    static const char type[] = "multipart/form-data";
    char boundary[MULTIPART_BOUNDARY + 1] = "";
    bool bad = false;

    memset(m, 0, sizeof *m);
    m->calls = calls;
    m->arg = arg;
    buf_init(&m->head, MULTIPART_HEAD);
    if (!content_type || strncasecmp(content_type, type, sizeof type - 1))
        return fail(why, ERR_MEDIA_TYPE, "an upload is multipart/form-data");
    content_type += strcspn(content_type, ";");
    if (!parameter(content_type, "boundary", boundary, sizeof boundary, &bad) || !*boundary)
        return fail(why, ERR_BAD_REQUEST, "multipart/form-data without a good boundary");
    for (const char *c = boundary; *c; c++)
        if (!boundary_byte(*c))
            return fail(why, ERR_BAD_REQUEST, "multipart/form-data without a good boundary");
    memcpy(m->delimiter, "\r\n--", 4);
    memcpy(m->delimiter + 4, boundary, strlen(boundary));
    m->length = 4 + strlen(boundary);
    m->matched = 2; /* the first delimiter may stand at the very beginning, without its CRLF */
    return OK;
}

void multipart_free(struct multipart *m)
{
    buf_free(&m->head);
}

/* --- a part's head --- */

static enum err disposition(struct multipart *m, const char *value, struct why *why)
{
    bool bad = false, bad_file = false;

    if (strncasecmp(value, "form-data", 9))
        return fail(why, ERR_BAD_REQUEST, "a part of the form is no form-data");
    value += strcspn(value, ";");
    if (!parameter(value, "name", m->part.name, sizeof m->part.name, &bad))
        return fail(why, ERR_BAD_REQUEST, "a part of the form has no name, or a long one");
    m->part.has_file_name =
        parameter(value, "filename", m->part.file_name, sizeof m->part.file_name, &bad_file);
    if (bad_file)
        return fail(why, ERR_BAD_REQUEST, "a file's name is longer than %d bytes", MULTIPART_NAME);
    return OK;
}

/* `head` is whole: lines that end in CRLF, the last one empty. */
static enum err head_read(struct multipart *m, struct why *why)
{
    static const char name[] = "content-disposition:";
    char *line = m->head.data, *end;
    bool found = false;
    enum err e;

    memset(&m->part, 0, sizeof m->part);
    if (memchr(line, 0, m->head.length))
        return fail(why, ERR_BAD_REQUEST, "a NUL among the headers of a part");
    for (; (end = strstr(line, "\r\n")) && end != line; line = end + 2) {
        *end = 0;
        if (strncasecmp(line, name, sizeof name - 1))
            continue;
        if (found)
            return fail(why, ERR_BAD_REQUEST, "two dispositions of one part");
        found = true;
        line += sizeof name - 1;
        if ((e = disposition(m, line + strspn(line, " \t"), why)))
            return e;
    }
    if (!found)
        return fail(why, ERR_BAD_REQUEST, "a part of the form has no name");
    if (++m->parts > MULTIPART_PARTS)
        return fail(why, ERR_TOO_BIG, "the form has more than %d parts", MULTIPART_PARTS);
    return m->calls->begin(&m->part, m->arg, why);
}

static enum err head_byte(struct multipart *m, char c, struct why *why)
{
    struct buf *h = &m->head;

    if (buf_add(h, &c, 1))
        return fail(why, ERR_TOO_BIG, "the headers of a part are longer than %d bytes",
                    MULTIPART_HEAD);
    if (c != '\n')
        return OK;
    if (h->length < 2 || h->data[h->length - 2] != '\r')
        return fail(why, ERR_BAD_REQUEST, "a line of a part's headers does not end in CRLF");
    if (h->length > 2 && h->data[h->length - 3] != '\n')
        return OK;
    m->state = MULTIPART_BODY;
    m->matched = 0;
    return head_read(m, why);
}

/* What follows a delimiter on its line: "--" ends it all, blanks are allowed. */
static enum err tail_byte(struct multipart *m, char c, struct why *why)
{
    struct buf *t = &m->head;

    if (t->length == 0 && (c == ' ' || c == '\t'))
        return OK;
    if (buf_add(t, &c, 1))
        return ERR_TOO_BIG;
    if (t->length < 2)
        return OK;
    if (!memcmp(t->data, "--", 2)) {
        m->state = MULTIPART_OVER;
    } else if (!memcmp(t->data, "\r\n", 2)) {
        m->state = MULTIPART_HEADERS;
        buf_clear(t);
    } else {
        return fail(why, ERR_BAD_REQUEST, "a delimiter of the form is followed by something else");
    }
    return OK;
}

/* --- a part's body --- */

static enum err emit(struct multipart *m, const void *data, size_t size, struct why *why)
{
    if (m->state == MULTIPART_PREAMBLE || size == 0)
        return OK;
    return m->calls->data(data, size, m->arg, why);
}

static enum err delimiter_met(struct multipart *m, struct why *why)
{
    bool body = m->state == MULTIPART_BODY;

    m->matched = 0;
    m->state = MULTIPART_TAIL;
    buf_clear(&m->head);
    return body ? m->calls->end(m->arg, why) : OK;
}

/* Takes bytes up to the end of `data`, or to that of a delimiter; *ret_used of them. */
static enum err body_feed(struct multipart *m, const char *data, size_t size, size_t *ret_used,
                          struct why *why)
{
    size_t i = 0;
    enum err e;

    while (i < size) {
        if (m->matched == 0) {
            const char *cr = memchr(data + i, '\r', size - i);
            size_t n = cr ? (size_t)(cr - data) - i : size - i;
            if ((e = emit(m, data + i, n, why)))
                return e;
            i += n;
            if (!cr)
                break;
        }
        if (data[i] != m->delimiter[m->matched]) {
            size_t n = m->matched;
            m->matched = 0;
            if ((e = emit(m, m->delimiter, n, why)))
                return e;
            continue; /* this byte again: it may be a CR */
        }
        i++;
        if (++m->matched == m->length) {
            *ret_used = i;
            return delimiter_met(m, why);
        }
    }
    *ret_used = i;
    return OK;
}

enum err multipart_feed(struct multipart *m, const void *data, size_t size, struct why *why)
{
    const char *at = data;
    enum err e = OK;

    while (size && !e) {
        size_t used = 1;
        switch (m->state) {
        case MULTIPART_PREAMBLE:
        case MULTIPART_BODY:
            e = body_feed(m, at, size, &used, why);
            break;
        case MULTIPART_TAIL:
            e = tail_byte(m, *at, why);
            break;
        case MULTIPART_HEADERS:
            e = head_byte(m, *at, why);
            break;
        case MULTIPART_OVER: /* an epilogue is ignored */
            return OK;
        }
        at += used;
        size -= used;
    }
    return e;
}

enum err multipart_finish(const struct multipart *m, struct why *why)
{
    return m->state == MULTIPART_OVER ? OK : fail(why, ERR_BAD_REQUEST, "the form ends early");
}
