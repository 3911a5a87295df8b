/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes → one event at a time, by llhttp in its strict mode. llhttp is paused at every event, so that
 * handlers never run inside it. What it accepts is not yet legal: head.c judges. */
#include <string.h>

#include "conn.h"

static struct parser *parser_of(llhttp_t *http)
{
    return container_of(http, struct parser, http);
}

/* The text never overflows: parser_feed gives llhttp no more than LIMIT_HEADERS bytes of a head, and
 * each of them becomes at most one byte of text. */
static void add_text(struct exchange *ex, const char *at, size_t size)
{
    memcpy(ex->text + ex->text_size, at, size);
    ex->text_size += size;
}

static int on_url(llhttp_t *http, const char *at, size_t size)
{
    struct exchange *ex = http->data;
    if (ex->text_size + size > LIMIT_TARGET)
        return HPE_CB_URL_COMPLETE;
    add_text(ex, at, size);
    ex->target_size = ex->text_size;
    return 0;
}

static void end_value(struct exchange *ex)
{
    struct http_header *header = &ex->headers[ex->field_count - 1];
    size_t start = (size_t)(header->value - ex->text);
    while (ex->text_size > start &&
           (ex->text[ex->text_size - 1] == ' ' || ex->text[ex->text_size - 1] == '\t'))
        ex->text_size--;
    ex->text[ex->text_size++] = '\0';
    ex->in_value = false;
}

static int on_field(llhttp_t *http, const char *at, size_t size)
{
    struct parser *p = parser_of(http);
    if (p->in_body) {
        p->trailer_bytes += size;
        return p->trailer_bytes > LIMIT_HEADERS ? HPE_CB_HEADER_FIELD_COMPLETE : 0;
    }
    struct exchange *ex = http->data;
    if (ex->in_value)
        end_value(ex);
    if (ex->field_count == 0 || ex->headers[ex->field_count - 1].value) {
        if (ex->field_count == LIMIT_HEADER_COUNT)
            return HPE_CB_HEADER_FIELD_COMPLETE;
        if (ex->field_count == 0)
            ex->text[ex->text_size++] = '\0'; /* ends the target */
        ex->headers[ex->field_count++] = (struct http_header){ ex->text + ex->text_size, NULL };
    }
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)at[i];
        if (!is_token_char(c))
            return HPE_INVALID_HEADER_TOKEN;
        ex->text[ex->text_size++] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    return 0;
}

static int on_value(llhttp_t *http, const char *at, size_t size)
{
    struct parser *p = parser_of(http);
    if (p->in_body) {
        p->trailer_bytes += size;
        return p->trailer_bytes > LIMIT_HEADERS ? HPE_CB_HEADER_FIELD_COMPLETE : 0;
    }
    struct exchange *ex = http->data;
    struct http_header *header = &ex->headers[ex->field_count - 1];
    if (!ex->in_value) {
        if (ex->text + ex->text_size == header->name)
            return HPE_INVALID_HEADER_TOKEN; /* a nameless header */
        ex->text[ex->text_size++] = '\0';
        header->value = ex->text + ex->text_size;
        ex->in_value = true;
    } else if (!ex->value_open) {
        return HPE_INVALID_HEADER_TOKEN; /* obs-fold, RFC 9112 §5.2 */
    }
    ex->value_open = at + size == p->input_end; /* may run on into the next read */
    add_text(ex, at, size);
    return 0;
}

static int on_extension(llhttp_t *http, const char *at, size_t size)
{
    struct parser *p = parser_of(http);
    p->trailer_bytes += size + 1;
    return p->trailer_bytes > LIMIT_HEADERS ? HPE_CB_HEADER_FIELD_COMPLETE : 0;
}

static int on_headers_complete(llhttp_t *http)
{
    struct parser *p = parser_of(http);
    struct exchange *ex = http->data;
    if (ex->in_value)
        end_value(ex);
    else if (ex->field_count == 0)
        ex->text[ex->text_size++] = '\0';
    if (ex->field_count && !ex->headers[ex->field_count - 1].value)
        return HPE_INVALID_HEADER_TOKEN;
    http->upgrade = 0; /* never: HTTP/1.1 goes on (RFC 9110 §7.8 lets us ignore Upgrade) */
    p->in_body = true;
    p->event = PARSE_HEAD;
    return HPE_PAUSED;
}

static int on_body(llhttp_t *http, const char *at, size_t size)
{
    if (size == 0)
        return 0;
    struct parser *p = parser_of(http);
    p->body = at;
    p->body_size = size;
    p->event = PARSE_BODY;
    return HPE_PAUSED;
}

static int on_message_complete(llhttp_t *http)
{
    parser_of(http)->event = PARSE_END;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
    .on_chunk_extension_name = on_extension,
    .on_chunk_extension_value = on_extension,
};

void parser_start(struct parser *p)
{
    *p = (struct parser){ .event = PARSE_MORE };
    llhttp_init(&p->http, HTTP_REQUEST, &settings);
}

/* llhttp's codes end here (err.h: one border function a library). */
static enum err judge(const struct parser *p, const char *at, const char *end, const char **ret_text)
{
    const char *where = llhttp_get_error_pos(&p->http);
    switch (llhttp_get_errno(&p->http)) {
    case HPE_CB_URL_COMPLETE:
        *ret_text = "request target is too long";
        return ERR_URI_TOO_LONG;
    case HPE_CB_HEADER_FIELD_COMPLETE:
        *ret_text = p->in_body ? "trailers or chunk extensions are too large"
                               : "too many header fields";
        return ERR_HEADERS_TOO_BIG;
    case HPE_INVALID_METHOD:
        /* A token that we don't know is a method (501); anything else is not HTTP (400). */
        if (where >= at && where < end && is_token_char((unsigned char)*where)) {
            *ret_text = "unknown method";
            return ERR_NOT_IMPLEMENTED;
        }
        *ret_text = "malformed request line";
        return ERR_BAD_REQUEST;
    case HPE_INVALID_VERSION:
    case HPE_PAUSED_H2_UPGRADE:
        *ret_text = "only HTTP/1.0 and HTTP/1.1 are spoken here";
        return ERR_VERSION;
    case HPE_INVALID_URL:
        *ret_text = "malformed request target";
        return ERR_BAD_REQUEST;
    case HPE_UNEXPECTED_CONTENT_LENGTH:
    case HPE_INVALID_CONTENT_LENGTH:
        *ret_text = "malformed or contradicting Content-Length";
        return ERR_BAD_REQUEST;
    case HPE_INVALID_TRANSFER_ENCODING:
        *ret_text = "malformed Transfer-Encoding";
        return ERR_BAD_REQUEST;
    default:
        *ret_text = p->in_body ? "malformed chunk" : "malformed request";
        return ERR_BAD_REQUEST;
    }
}

enum parse_event parser_feed(struct parser *p, struct exchange *ex, const char **at, const char *end,
                             enum err *ret_err, const char **ret_text)
{
    const char *stop = end;
    if (!p->in_body && (size_t)(end - *at) > LIMIT_HEADERS - p->head_bytes)
        stop = *at + (LIMIT_HEADERS - p->head_bytes);
    p->http.data = ex;
    p->event = PARSE_MORE;
    p->input_end = stop;
    bool head = !p->in_body;
    const char *from = *at;
    llhttp_errno_t result = llhttp_execute(&p->http, from, (size_t)(stop - from));
    if (result == HPE_PAUSED) {
        *at = llhttp_get_error_pos(&p->http);
        llhttp_resume(&p->http);
        if (head)
            p->head_bytes += (uint32_t)(*at - from);
        return p->event;
    }
    if (result != HPE_OK) {
        *ret_err = judge(p, from, stop, ret_text);
        return PARSE_BAD;
    }
    *at = stop;
    if (!head)
        return PARSE_MORE;
    p->head_bytes += (uint32_t)(stop - from);
    if (p->head_bytes < LIMIT_HEADERS)
        return PARSE_MORE;
    *ret_err = ERR_HEADERS_TOO_BIG;
    *ret_text = "request header is too large";
    return PARSE_BAD;
}
