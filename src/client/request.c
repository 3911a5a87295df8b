/* SPDX-License-Identifier: Apache-2.0 */
/* One request: its easy handle, what curl calls back, and how a curl result becomes ours. The multi
 * handle and the sockets are client.c's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pantera/clock.h"
#include "private.h"

/* --- response head --- */

static void head_reset(struct client_private *p)
{
    buf_clear(&p->head);
    p->request->status = 0;
    p->request->length = -1;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool head_add(struct client_private *p, const char *line, size_t size)
{
    const char *colon = memchr(line, ':', size);
    if (!colon)
        return true; /* obsolete folding and the like: not ours to judge */
    const char *value = colon + 1, *end = line + size;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' ' || end[-1] == '\t'))
        end--;
    for (const char *c = line; c < colon; c++) {
        char l = lower(*c);
        buf_add(&p->head, &l, 1);
    }
    buf_add(&p->head, "", 1);
    buf_add(&p->head, value, (size_t)(end - value));
    buf_add(&p->head, "", 1);
    return buf_err(&p->head) == OK;
}

/* The blank line: is this the head that counts, or one of a 1xx or a followed redirect? */
static bool head_end(struct client_private *p)
{
    struct client_request *r = p->request;
    long status = 0;
    curl_easy_getinfo(p->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200)
        return true;
    r->status = (int)status;
    if (r->follow_redirects && status / 100 == 3 && client_header(r, "location"))
        return true;
    const char *length = client_header(r, "content-length");
    if (length && !client_header(r, "transfer-encoding")) {
        char *end;
        long long value = strtoll(length, &end, 10);
        r->length = *length && !*end && value >= 0 ? value : -1;
    }
    p->head_done = true;
    if (r->on_head)
        r->on_head(r);
    return !p->canceled;
}

static size_t on_header(char *data, size_t one, size_t size, void *arg)
{
    struct client_private *p = arg;
    bool good;
    if (p->canceled)
        return 0;
    if (p->head_done)
        return size; /* trailers */
    if (size >= 5 && memcmp(data, "HTTP/", 5) == 0) {
        head_reset(p);
        return size;
    }
    good = size <= 2 && (data[0] == '\r' || data[0] == '\n') ? head_end(p) : head_add(p, data, size);
    if (!good && buf_err(&p->head) != OK)
        p->head_too_big = true;
    return good ? size : 0;
}

const char *client_header_next(const struct client_request *r, const char *name, size_t *at)
{
    if (!r->priv || !r->priv->head.data)
        return NULL;
    const char *head = r->priv->head.data;
    while (*at < r->priv->head.length) {
        const char *key = head + *at, *value = key + strlen(key) + 1;
        *at = (size_t)(value + strlen(value) + 1 - head);
        if (strcmp(key, name) == 0)
            return value;
    }
    return NULL;
}

const char *client_header(const struct client_request *r, const char *name)
{
    size_t at = 0;
    return client_header_next(r, name, &at);
}

/* --- bodies --- */

static size_t on_write(char *data, size_t one, size_t size, void *arg)
{
    struct client_private *p = arg;
    struct client_request *r = p->request;
    if (p->canceled)
        return 0;
    if (!p->head_done || !r->on_data)
        return size; /* the body of a redirect that is followed, or nobody wants it */
    bool taken = r->on_data(r, data, size);
    if (p->canceled)
        return 0;
    if (taken)
        return size;
    p->paused_write = true;
    return CURL_WRITEFUNC_PAUSE;
}

static size_t on_read(char *ret, size_t one, size_t size, void *arg)
{
    struct client_private *p = arg;
    bool later = false;
    if (p->canceled)
        return CURL_READFUNC_ABORT;
    size_t n = p->request->read_body(p->request, ret, size, &later);
    if (p->canceled)
        return CURL_READFUNC_ABORT;
    if (n == 0 && later) {
        p->paused_read = true;
        return CURL_READFUNC_PAUSE;
    }
    return n;
}

/* Called by curl whenever something moved: this is where a stall is measured, because curl's own
 * low-speed check counts whole seconds and goes on while we are the ones who pause an upload. */
static int on_progress(void *arg, curl_off_t dltotal, curl_off_t dlnow, curl_off_t ultotal,
                       curl_off_t ulnow)
{
    struct client_private *p = arg;
    if (dlnow + ulnow != p->moved_bytes) {
        p->moved_bytes = dlnow + ulnow;
        p->moved_ms = clock_mono_ms();
    }
    return p->canceled ? 1 : 0;
}

/* --- setting up --- */

static bool add_header(struct client_private *p, const char *line)
{
    struct curl_slist *more = curl_slist_append(p->headers, line);
    if (more)
        p->headers = more;
    return more != NULL;
}

/* "Name:" takes a header away that curl would add by itself. */
static bool set_headers(struct client_private *p)
{
    const struct client_request *r = p->request;
    bool good = true, has_type = false, has_expect = false;
    for (const char *const *h = r->headers; good && h && *h; h++) {
        has_type = has_type || strncasecmp(*h, "content-type:", 13) == 0;
        has_expect = has_expect || strncasecmp(*h, "expect:", 7) == 0;
        good = add_header(p, *h);
    }
    if (!has_type)
        good = good && add_header(p, "Content-Type:");
    if (!has_expect)
        good = good && add_header(p, "Expect:");
    curl_easy_setopt(p->easy, CURLOPT_HTTPHEADER, p->headers);
    return good;
}

static void set_body(struct client_private *p)
{
    const struct client_request *r = p->request;
    CURL *e = p->easy;
    if (r->read_body) {
        curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
        curl_easy_setopt(e, CURLOPT_READDATA, p);
        curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE,
                         (curl_off_t)(r->body_length >= 0 ? r->body_length : -1));
    } else if (r->body || strcmp(r->method, "POST") == 0 || strcmp(r->method, "PUT") == 0 ||
               strcmp(r->method, "PATCH") == 0) {
        curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(r->body ? r->body_size : 0));
        curl_easy_setopt(e, CURLOPT_POSTFIELDS, r->body ? r->body : "");
    }
    if (strcmp(r->method, "HEAD") == 0)
        curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
    else
        curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, r->method);
}

static void set_transport(struct client_private *p)
{
    const struct client_request *r = p->request;
    CURL *e = p->easy;
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L); /* signatures cover the path as it was given */
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(e, CURLOPT_BUFFERSIZE, (long)CLIENT_BUFFER_BYTES);
    curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, (long)CLIENT_BUFFER_BYTES);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)(r->connect_timeout_ms ? r->connect_timeout_ms : 10000));
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)r->total_timeout_ms);
    if (r->follow_redirects) {
        curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 1L);
        curl_easy_setopt(e, CURLOPT_MAXREDIRS, 5L);
    }
    /* libcurl's folder of the system's authorities (CURLOPT_CAPATH) stays what it is. */
    if (r->ca_file || client_trusted())
        curl_easy_setopt(e, CURLOPT_CAINFO, r->ca_file ? r->ca_file : client_trusted());
    if (r->unix_socket)
        curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, r->unix_socket);
}

enum err request_prepare(struct client_private *p, struct why *why)
{
    struct client_request *r = p->request;
    buf_init(&p->head, CLIENT_HEADER_BYTES);
    p->easy = curl_easy_init();
    if (!p->easy)
        return fail(why, ERR_UNAVAILABLE, "out of memory for a request");
    head_reset(p);
    r->err = OK;
    r->near = NEAR_NONE;
    r->why.text[0] = 0;
    p->started_ms = p->moved_ms = clock_mono_ms();
    set_transport(p);
    set_body(p);
    curl_easy_setopt(p->easy, CURLOPT_PRIVATE, p);
    curl_easy_setopt(p->easy, CURLOPT_ERRORBUFFER, p->error_text);
    curl_easy_setopt(p->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(p->easy, CURLOPT_HEADERDATA, p);
    curl_easy_setopt(p->easy, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(p->easy, CURLOPT_WRITEDATA, p);
    curl_easy_setopt(p->easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(p->easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(p->easy, CURLOPT_XFERINFODATA, p);
    if (!set_headers(p) || curl_easy_setopt(p->easy, CURLOPT_URL, r->url) != CURLE_OK)
        return fail(why, ERR_UNAVAILABLE, "out of memory for a request");
    return r->guard ? guard_prepare(p, why) : OK;
}

void request_free(struct client_private *p)
{
    if (!p)
        return;
    if (p->easy)
        curl_easy_cleanup(p->easy);
    curl_slist_free_all(p->headers);
    buf_free(&p->head);
    free(p);
}

/* curl's codes end here. */
static enum err err_from_curl(CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return OK;
    case CURLE_OPERATION_TIMEDOUT:
        return ERR_UPSTREAM_TIMEOUT;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
        return ERR_BAD_REQUEST;
    default:
        return ERR_UPSTREAM;
    }
}

enum err request_result(struct client_private *p, CURLcode code)
{
    struct why *why = &p->request->why;
    if (p->canceled)
        return fail(why, ERR_CANCELED, "the request was canceled");
    if (p->head_late)
        return fail(why, ERR_UPSTREAM_TIMEOUT, "no answer in time");
    if (p->stalled)
        return fail(why, ERR_UPSTREAM_TIMEOUT, "no byte moved for too long");
    if (p->head_too_big)
        return fail(why, ERR_UPSTREAM, "the response's headers are too large");
    if (code == CURLE_OK)
        return OK;
    if (p->refused && !p->reached)
        return fail(why, ERR_FORBIDDEN, "the server's address is in a network that is not allowed");
    return fail(why, err_from_curl(code), "%.200s",
                p->error_text[0] ? p->error_text : curl_easy_strerror(code));
}
