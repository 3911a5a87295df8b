/* SPDX-License-Identifier: Apache-2.0 */
/* Is this head a legal request (RFC 9112 §3, §6; RFC 9110 §7, §10.1.1)? What llhttp lets pass and the
 * RFC does not ends here; what passes here fills struct http_request. */
#include <string.h>
#include <strings.h>

#include "conn.h"

static enum err refuse(const char **ret_text, enum err e, const char *text)
{
    *ret_text = text;
    return e;
}

static void set_method(struct http_request *req, unsigned method)
{
    switch (method) {
    case HTTP_GET:
        req->method = HTTP_M_GET;
        break;
    case HTTP_HEAD:
        req->method = HTTP_M_HEAD;
        break;
    case HTTP_PUT:
        req->method = HTTP_M_PUT;
        break;
    case HTTP_POST:
        req->method = HTTP_M_POST;
        break;
    case HTTP_DELETE:
        req->method = HTTP_M_DELETE;
        break;
    case HTTP_PATCH:
        req->method = HTTP_M_PATCH;
        break;
    case HTTP_OPTIONS:
        req->method = HTTP_M_OPTIONS;
        break;
    default:
        req->method = HTTP_M_OTHER;
    }
    req->method_text = llhttp_method_name((llhttp_method_t)method);
}

/* uri-host [":" port], as bytes: enough that it can be put into a URL or a header again. */
static bool authority_legal(const char *s, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)s[i];
        bool alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
        if (!alnum && (c == 0 || !strchr("-._~%!$&'()*+,;=:[]", c)))
            return false;
    }
    return true;
}

/* "http://host/path?query" → host, "/path?query" (RFC 9112 §3.2.2). */
static enum err reduce_absolute(struct http_request *req, char **target, const char **ret_text)
{
    char *at = *target;
    if (strncasecmp(at, "http://", 7) == 0)
        at += 7;
    else if (strncasecmp(at, "https://", 8) == 0)
        at += 8;
    else
        return refuse(ret_text, ERR_BAD_REQUEST, "malformed request target");
    size_t size = strcspn(at, "/?");
    if (size == 0 || !authority_legal(at, size))
        return refuse(ret_text, ERR_BAD_REQUEST, "malformed authority in the request target");
    req->host = arena_strndup(&req->arena, at, size);
    at += size;
    *target = *at == '/' ? at : arena_printf(&req->arena, "/%s", at);
    return OK;
}

static enum err accept_target(struct exchange *ex, unsigned method, const char **ret_text)
{
    struct http_request *req = &ex->req;
    char *target = ex->text;
    if (strchr(target, '#'))
        return refuse(ret_text, ERR_BAD_REQUEST, "fragment in the request target");
    if (method == HTTP_CONNECT)
        return refuse(ret_text, ERR_NOT_IMPLEMENTED, "CONNECT is not supported");
    if (target[0] == '*') {
        if (target[1] || method != HTTP_OPTIONS)
            return refuse(ret_text, ERR_BAD_REQUEST, "malformed request target");
    } else if (target[0] != '/') {
        enum err e = reduce_absolute(req, &target, ret_text);
        if (e)
            return e;
    }
    char *query = strchr(target, '?');
    if (query)
        *query++ = '\0';
    req->target = target;
    req->query = query ? query : "";
    return OK;
}

/* Exactly one Host in HTTP/1.1, at most one before (RFC 9112 §3.2). An absolute target overrides it. */
static enum err accept_host(struct exchange *ex, const char *host, unsigned count,
                            const char **ret_text)
{
    if (count > 1)
        return refuse(ret_text, ERR_BAD_REQUEST, "more than one Host header");
    if (count == 0 && !ex->http10)
        return refuse(ret_text, ERR_BAD_REQUEST, "Host header is missing");
    if (host && !authority_legal(host, strlen(host)))
        return refuse(ret_text, ERR_BAD_REQUEST, "malformed Host header");
    if (!*ex->req.host && host)
        ex->req.host = host;
    return OK;
}

/* RFC 9112 §6: only "chunked", once, and never in HTTP/1.0. llhttp has refused Content-Length with it. */
static enum err accept_coding(struct exchange *ex, const struct parser *p, const char *coding,
                              const char **ret_text)
{
    struct http_request *req = &ex->req;
    if (coding) {
        if (ex->http10)
            return refuse(ret_text, ERR_BAD_REQUEST, "Transfer-Encoding in an HTTP/1.0 request");
        if (!(p->http.flags & F_CHUNKED))
            return refuse(ret_text, ERR_BAD_REQUEST, "the last transfer coding is not chunked");
        if (strcasecmp(coding, "chunked") != 0)
            return refuse(ret_text, ERR_NOT_IMPLEMENTED, "unknown transfer coding");
        req->content_length = -1;
        req->has_body = true;
        return OK;
    }
    if (p->http.content_length > INT64_MAX)
        return refuse(ret_text, ERR_BAD_REQUEST, "malformed Content-Length");
    req->content_length = (int64_t)p->http.content_length;
    req->has_body = req->content_length > 0;
    return OK;
}

static bool id_is_sane(const char *id)
{
    size_t n = 0;
    for (; id[n]; n++) {
        unsigned char c = (unsigned char)id[n];
        bool alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
        if (n == 32 || (!alnum && c != '.' && c != '_' && c != '-'))
            return false;
    }
    return n > 0;
}

/* The headers that http itself acts on, found in one pass. */
struct known {
    const char *host, *coding, *expect, *id;
    unsigned hosts, codings;
};

static void find_known(const struct exchange *ex, struct known *k)
{
    for (unsigned i = 0; i < ex->field_count; i++) {
        const struct http_header *h = &ex->headers[i];
        switch (h->name[0]) {
        case 'h':
            if (strcmp(h->name, "host") == 0) {
                k->host = h->value;
                k->hosts++;
            }
            break;
        case 't':
            if (strcmp(h->name, "transfer-encoding") == 0) {
                k->coding = h->value;
                k->codings++;
            }
            break;
        case 'e':
            if (strcmp(h->name, "expect") == 0)
                k->expect = h->value;
            break;
        case 'x':
            if (strcmp(h->name, "x-request-id") == 0)
                k->id = h->value;
            break;
        default:
            break;
        }
    }
}

enum err head_accept(struct exchange *ex, const struct parser *p, const char **ret_text)
{
    struct http_request *req = &ex->req;
    struct known k = { 0 };
    req->headers = ex->headers;
    req->header_count = ex->field_count;
    set_method(req, p->http.method);
    find_known(ex, &k);
    if (k.id && id_is_sane(k.id))
        memcpy(req->id, k.id, strlen(k.id) + 1);
    if (p->http.http_major != 1)
        return refuse(ret_text, ERR_VERSION, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    ex->http10 = p->http.http_minor == 0;
    ex->client_keeps = llhttp_should_keep_alive(&p->http);
    enum err e = accept_target(ex, p->http.method, ret_text);
    if (!e)
        e = accept_host(ex, k.host, k.hosts, ret_text);
    if (!e && k.codings > 1)
        return refuse(ret_text, ERR_BAD_REQUEST, "more than one Transfer-Encoding header");
    if (!e)
        e = accept_coding(ex, p, k.coding, ret_text);
    if (e || !k.expect || ex->http10)
        return e; /* RFC 9110 §10.1.1: an HTTP/1.0 client's Expect is ignored */
    if (strcasecmp(k.expect, "100-continue") != 0)
        return refuse(ret_text, ERR_EXPECTATION, "unknown expectation");
    ex->expects_continue = req->has_body;
    return OK;
}
