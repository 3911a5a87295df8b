/* SPDX-License-Identifier: Apache-2.0 */
/* One JSON line a request, with ECS's names. Written into one buffer on the stack, without allocations:
 * it is on the path of every request. The query is left out but for its presence: it may hold tokens. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api/internal.h"
#include "pantera/clock.h"
#include "pantera/log.h"

enum { LINE = 4096 };

struct line {
    char text[LINE];
    size_t length;
};

static void add(struct line *l, const char *s, size_t n)
{
    if (n > LINE - 64 - l->length)
        n = LINE - 64 - l->length; /* the rest of the line always fits behind */
    memcpy(l->text + l->length, s, n);
    l->length += n;
}

#define ADD(l, literal) add(l, literal, sizeof(literal) - 1)

static void add_number(struct line *l, uint64_t v)
{
    char digits[24];
    char *at = digits + sizeof digits;
    do
        *--at = (char)('0' + v % 10);
    while (v /= 10);
    add(l, at, (size_t)(digits + sizeof digits - at));
}

/* Request text may be anything: what JSON does not take as it is becomes an escape, and bytes that are
 * not ASCII too, so that the line is valid whatever was sent. At most `most` bytes of it. */
static void add_string(struct line *l, const char *s, size_t most)
{
    static const char hex[] = "0123456789abcdef";
    ADD(l, "\"");
    for (const char *end = s + strnlen(s, most); s < end && l->length < LINE - 128;) {
        const char *run = s;
        while (s < end && (unsigned char)*s >= 0x20 && (unsigned char)*s < 0x7f && *s != '"' &&
               *s != '\\')
            s++;
        add(l, run, (size_t)(s - run));
        if (s < end) {
            unsigned char c = (unsigned char)*s++;
            char escape[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
            add(l, escape, sizeof escape);
        }
    }
    ADD(l, "\"");
}

/* To the millisecond; the second's text is made once a second. */
static void add_time(struct line *l)
{
    static __thread int64_t second = -1;
    static __thread char text[32];
    int64_t now = clock_wall_ms();
    char fraction[8];
    if (now / 1000 != second) {
        second = now / 1000;
        clock_rfc3339(now, text);
    }
    unsigned ms = (unsigned)(now % 1000);
    add(l, text, 19);
    fraction[0] = '.';
    fraction[1] = (char)('0' + ms / 100);
    fraction[2] = (char)('0' + ms / 10 % 10);
    fraction[3] = (char)('0' + ms % 10);
    fraction[4] = 'Z';
    add(l, fraction, 5);
}

void access_log_write(struct http_request *req)
{
    struct line l;
    l.length = 0;
    if (!log_enabled(LOG_INFO))
        return;
    ADD(&l, "{\"@timestamp\":\"");
    add_time(&l);
    ADD(&l, "\",\"log.level\":\"info\",\"log.logger\":\"http.access\",\"service.name\":\"pantera\","
            "\"event.action\":\"http_request\",\"event.outcome\":\"");
    if (req->status && req->status < 400)
        ADD(&l, "success");
    else
        ADD(&l, "failure");
    ADD(&l, "\",\"http.request.id\":");
    add_string(&l, req->id, 33);
    ADD(&l, ",\"http.request.method\":");
    add_string(&l, req->method_text ? req->method_text : "", 16);
    ADD(&l, ",\"url.path\":");
    add_string(&l, req->target ? req->target : "", 1024);
    ADD(&l, ",\"http.response.status_code\":");
    add_number(&l, (uint64_t)(req->status > 0 ? req->status : 0));
    ADD(&l, ",\"http.request.body.bytes\":");
    add_number(&l, req->bytes_in);
    ADD(&l, ",\"http.response.body.bytes\":");
    add_number(&l, req->bytes_out);
    ADD(&l, ",\"event.duration_us\":");
    add_number(&l, clock_mono_us() - req->started_us);
    ADD(&l, ",\"client.ip\":");
    add_string(&l, req->peer ? req->peer : "", 64);
    if (req->user) {
        ADD(&l, ",\"user.name\":");
        add_string(&l, req->user, 255);
    }
    memcpy(l.text + l.length, "}\n", 2); /* room was kept */
    log_raw(l.text, l.length + 2);
}
