/* SPDX-License-Identifier: Apache-2.0 */
/* Conditional requests against RFC 9110 §13. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>

#include "pantera/http.h"

#include <cmocka.h>

/* 2026-03-22T10:00:00.500Z: dates have no fractions. */
#define MODIFIED 1774173600500
#define SAME "Sun, 22 Mar 2026 10:00:00 GMT"
#define EARLIER "Sun, 22 Mar 2026 09:59:59 GMT"
#define LATER "Sun, 22 Mar 2026 10:00:01 GMT"

struct a_case {
    int expected;
    enum http_method method;
    const char *etag;
    int64_t modified;
    struct http_header headers[3];
};

static const struct a_case cases[] = {
    { 0, HTTP_M_GET, "\"a\"", MODIFIED, { { 0 } } },
    /* If-Match: strong */
    { 0, HTTP_M_PUT, "\"a\"", MODIFIED, { { "if-match", "\"a\"" } } },
    { 0, HTTP_M_PUT, "\"a\"", MODIFIED, { { "if-match", "\"b\", \"a\"" } } },
    { 412, HTTP_M_PUT, "\"a\"", MODIFIED, { { "if-match", "\"b\"" } } },
    { 412, HTTP_M_PUT, "\"a\"", MODIFIED, { { "if-match", "W/\"a\"" } } },
    { 412, HTTP_M_PUT, "W/\"a\"", MODIFIED, { { "if-match", "W/\"a\"" } } },
    { 412, HTTP_M_PUT, NULL, 0, { { "if-match", "*" } } },
    { 0, HTTP_M_PUT, "\"a\"", 0, { { "if-match", "*" } } },
    { 412, HTTP_M_PUT, "\"a\"", 0, { { "if-match", "nonsense" } } },
    /* If-Unmodified-Since, only without If-Match */
    { 0, HTTP_M_GET, NULL, MODIFIED, { { "if-unmodified-since", SAME } } },
    { 0, HTTP_M_GET, NULL, MODIFIED, { { "if-unmodified-since", LATER } } },
    { 412, HTTP_M_GET, NULL, MODIFIED, { { "if-unmodified-since", EARLIER } } },
    { 0, HTTP_M_GET, NULL, MODIFIED, { { "if-unmodified-since", "yesterday" } } },
    { 0, HTTP_M_GET, NULL, 0, { { "if-unmodified-since", EARLIER } } },
    { 0, HTTP_M_GET, "\"a\"", MODIFIED, { { "if-match", "\"a\"" }, { "if-unmodified-since", EARLIER } } },
    /* If-None-Match: weak; 304 to GET and HEAD, 412 to others */
    { 304, HTTP_M_GET, "\"a\"", MODIFIED, { { "if-none-match", "\"a\"" } } },
    { 304, HTTP_M_HEAD, "\"a\"", MODIFIED, { { "if-none-match", "\"x\", W/\"a\"" } } },
    { 304, HTTP_M_GET, "W/\"a\"", MODIFIED, { { "if-none-match", "\"a\"" } } },
    { 304, HTTP_M_GET, "\"a\"", MODIFIED, { { "if-none-match", "*" } } },
    { 412, HTTP_M_PUT, "\"a\"", MODIFIED, { { "if-none-match", "*" } } },
    { 0, HTTP_M_PUT, NULL, 0, { { "if-none-match", "*" } } },
    { 412, HTTP_M_DELETE, "\"a\"", MODIFIED, { { "if-none-match", "\"a\"" } } },
    { 0, HTTP_M_GET, "\"a\"", MODIFIED, { { "if-none-match", "\"b\"" } } },
    { 0, HTTP_M_GET, "\"a\"", MODIFIED, { { "if-none-match", "\"a" } } },
    /* If-Modified-Since: GET and HEAD, only without If-None-Match */
    { 304, HTTP_M_GET, NULL, MODIFIED, { { "if-modified-since", SAME } } },
    { 304, HTTP_M_HEAD, NULL, MODIFIED, { { "if-modified-since", LATER } } },
    { 0, HTTP_M_GET, NULL, MODIFIED, { { "if-modified-since", EARLIER } } },
    { 0, HTTP_M_PUT, NULL, MODIFIED, { { "if-modified-since", LATER } } },
    { 0, HTTP_M_GET, NULL, MODIFIED, { { "if-modified-since", "soon" } } },
    { 0, HTTP_M_GET, "\"a\"", MODIFIED, { { "if-none-match", "\"b\"" }, { "if-modified-since", LATER } } },
    /* the order: If-Match is judged first */
    { 412, HTTP_M_GET, "\"a\"", MODIFIED, { { "if-none-match", "\"a\"" }, { "if-match", "\"b\"" } } },
};

static struct http_request request_of(const struct a_case *c)
{
    struct http_request req = { .method = c->method, .headers = c->headers };
    while (req.header_count < 3 && c->headers[req.header_count].name)
        req.header_count++;
    return req;
}

static void conditions_are_judged(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_request req = request_of(&cases[i]);
        const char *range = "bytes=0-1";
        int status = http_conditions(&req, cases[i].etag, cases[i].modified, &range);
        if (status != cases[i].expected)
            fail_msg("case %zu: %d instead of %d", i, status, cases[i].expected);
    }
}

/* A range counts only if the condition holds, and only for GET. */
static void if_range_decides_about_the_range(void **state)
{
    static const struct {
        bool stays;
        struct a_case c;
    } ranges[] = {
        { true, { 0, HTTP_M_GET, "\"a\"", MODIFIED, { { 0 } } } },
        { false, { 0, HTTP_M_HEAD, "\"a\"", MODIFIED, { { 0 } } } },
        { true, { 0, HTTP_M_GET, "\"a\"", MODIFIED, { { "if-range", "\"a\"" } } } },
        { false, { 0, HTTP_M_GET, "\"a\"", MODIFIED, { { "if-range", "\"b\"" } } } },
        { false, { 0, HTTP_M_GET, "W/\"a\"", MODIFIED, { { "if-range", "W/\"a\"" } } } },
        { true, { 0, HTTP_M_GET, "\"a\"", MODIFIED, { { "if-range", SAME } } } },
        { false, { 0, HTTP_M_GET, "\"a\"", MODIFIED, { { "if-range", LATER } } } },
        { false, { 0, HTTP_M_GET, "\"a\"", MODIFIED, { { "if-range", EARLIER } } } },
        { false, { 0, HTTP_M_GET, "\"a\"", 0, { { "if-range", SAME } } } },
        { false, { 0, HTTP_M_GET, NULL, MODIFIED, { { "if-range", "\"a\"" } } } },
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        struct http_request req = request_of(&ranges[i].c);
        const char *range = "bytes=0-1";
        assert_int_equal(http_conditions(&req, ranges[i].c.etag, ranges[i].c.modified, &range), 0);
        if ((range != NULL) != ranges[i].stays)
            fail_msg("case %zu", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditions_are_judged),
        cmocka_unit_test(if_range_decides_about_the_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
