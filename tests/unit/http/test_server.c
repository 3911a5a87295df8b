/* SPDX-License-Identifier: Apache-2.0 */
/* The server over real sockets: what a well-behaved, a slow, a broken and a vanishing client see. */
#include "fixture.h"

static const struct http_limits usual = { .header_timeout_ms = 10000, .idle_timeout_ms = 10000,
                                          .body_timeout_ms = 10000, .max_connections = 100 };
static struct peer p;
static struct answer a;

static int start(void **state)
{
    fx_start(usual, NULL);
    return 0;
}

static int stop(void **state)
{
    fx_stop();
    return 0;
}

static void ask(const char *text)
{
    peer_say(&p, text);
    assert_true(peer_answer(&p, &a, false));
}

/* A connection stays, and every reply has what a reply needs. */
static void reply_is_complete_and_connection_stays(void **state)
{
    peer_open(&p);
    for (int i = 0; i < 3; i++) {
        ask("GET /hello HTTP/1.1\r\nHost: a\r\nX-Request-Id: my.id-1\r\n\r\n");
        assert_int_equal(a.status, 200);
        assert_string_equal(a.body, "hello");
        assert_int_equal(a.declared, 5);
        assert_non_null(answer_header(&a, "Date"));
        assert_null(answer_header(&a, "Connection"));
        assert_string_equal(answer_header(&a, "X-Request-Id"), "my.id-1");
    }
    ask("GET /hello HTTP/1.1\r\nHost: a\r\nX-Request-Id: not sane\r\n\r\n");
    assert_string_not_equal(answer_header(&a, "X-Request-Id"), "not sane");
    assert_int_equal(strlen(answer_header(&a, "X-Request-Id")), 23);
    ask("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_string_equal(answer_header(&a, "Connection"), "close");
    peer_expect_end(&p);
    peer_close(&p);
    wait_for(&fx.finished, 5);
}

/* Pipelined requests are answered in order, also when some answers come late, and many at once don't
 * deepen the stack. */
static void pipelined_requests_are_answered_in_order(void **state)
{
    enum { COUNT = 2000 };
    char *text = malloc(COUNT * 80), *at = text;
    for (int i = 0; i < COUNT; i++)
        at += snprintf(at, 80, i % 100 == 50 ? "GET /later?1 HTTP/1.1\r\nHost: a\r\n\r\n"
                                        : "GET /show?%d HTTP/1.1\r\nHost: a\r\n\r\n", i);
    peer_open(&p);
    peer_send(&p, text, (size_t)(at - text));
    for (int i = 0; i < COUNT; i++) {
        char expected[64];
        snprintf(expected, sizeof expected, i % 100 == 50 ? "later" : "GET|/show|%d|a|0", i);
        assert_true(peer_answer(&p, &a, false));
        assert_string_equal(a.body, expected);
    }
    free(text);
    peer_close(&p);
}

/* What one connection has sent ahead is not touched by what others send meanwhile. */
static void waiting_input_is_each_connections_own(void **state)
{
    peer_open(&p);
    peer_say(&p, "GET /later?100 HTTP/1.1\r\nHost: a\r\n\r\nGET /show?mine HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for(&fx.begun, 1);
    struct peer first = p;
    peer_open(&p);
    for (int i = 0; i < 3; i++) {
        ask("GET /show?other-and-longer-than-the-first HTTP/1.1\r\nHost: other\r\nX: yyyyyyyyyyyy\r\n\r\n");
        assert_string_equal(a.body, "GET|/show|other-and-longer-than-the-first|other|0");
    }
    peer_close(&p);
    assert_true(peer_answer(&first, &a, false));
    assert_string_equal(a.body, "later");
    assert_true(peer_answer(&first, &a, false));
    assert_string_equal(a.body, "GET|/show|mine|a|0");
    peer_close(&first);
}

/* It does not matter where the network cuts a request. */
static void bytes_one_by_one_make_the_same_request(void **state)
{
    static const char text[] = "\r\nPOST /echo?q=1 HTTP/1.1\r\nHost: a\r\nX-Long:  v v \t\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n5;ext;b=\"c\"\r\nhello\r\n"
                               "7\r\n, world\r\n0\r\nTrailer: ignored\r\n\r\n"
                               "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
    peer_open(&p);
    int one = 1;
    setsockopt(p.fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof one);
    for (const char *c = text; *c; c++) {
        peer_send(&p, c, 1);
        usleep(200);
    }
    assert_true(peer_answer(&p, &a, false));
    assert_int_equal(a.status, 200);
    assert_true(a.chunked);
    assert_string_equal(a.body, "hello, world");
    assert_true(peer_answer(&p, &a, false));
    assert_string_equal(a.body, "hello");
    peer_close(&p);
}

/* 100-continue is sent when the handler reads, never before a refusal. */
static void expectation_is_answered_when_the_body_is_wanted(void **state)
{
    peer_open(&p);
    ask("PUT /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_int_equal(a.status, 100);
    ask("hello");
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    ask("PUT /sink-10 HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n");
    assert_int_equal(a.status, 413);
    assert_string_equal(answer_header(&a, "Connection"), "close");
    peer_expect_end(&p);
    peer_close(&p);
    peer_open(&p);
    ask("PUT /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_int_equal(a.status, 200);
    assert_string_equal(answer_header(&a, "Connection"), "close");
    peer_close(&p);
    peer_open(&p);
    ask("PUT /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: miracle\r\n\r\n");
    assert_int_equal(a.status, 417);
    peer_close(&p);
}

/* HEAD, 204 and 304 have no body; the next reply begins where it should. */
static void replies_without_body_have_none(void **state)
{
    static const char *const heads[] = { "/hello", "/gen?100", "/gen-chunked?100", "/file",
                                         "/prepared-file?500", "/prepared-bytes" };
    static const long long lengths[] = { 5, 100, -1, 3000000, 500, 8 };
    char text[200];
    peer_open(&p);
    for (int i = 0; i < 6; i++) {
        snprintf(text, sizeof text, "HEAD %s HTTP/1.1\r\nHost: a\r\n\r\n", heads[i]);
        peer_say(&p, text);
        assert_true(peer_answer(&p, &a, true));
        assert_int_equal(a.status, 200);
        assert_int_equal(a.declared, lengths[i]);
    }
    ask("GET /status?204 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(a.declared, -1);
    ask("GET /status?304 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(a.declared, -1);
    ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(a.body, "hello");
    peer_close(&p);
}

/* HTTP/1.0 closes unless asked not to, and never sees chunks. */
static void http_1_0_is_spoken(void **state)
{
    peer_open(&p);
    ask("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_string_equal(answer_header(&a, "Connection"), "keep-alive");
    ask("GET /hello HTTP/1.0\r\n\r\n");
    assert_string_equal(answer_header(&a, "Connection"), "close");
    peer_expect_end(&p);
    peer_close(&p);
    peer_open(&p);
    ask("GET /gen-chunked?100000 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_false(a.chunked);
    assert_int_equal(a.length, 100000);
    peer_close(&p);
}

static void target_forms(void **state)
{
    peer_open(&p);
    ask("GET http://example.org:81/show?x=1 HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_string_equal(a.body, "GET|/show|x=1|example.org:81|0");
    ask("GET http://example.org?x HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_string_equal(a.body, "GET|/|x|example.org|0");
    ask("GET HTTPS://example.org HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_string_equal(a.body, "GET|/||example.org|0");
    ask("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(a.status, 204);
    assert_non_null(answer_header(&a, "Allow"));
    ask("PROPFIND /show HTTP/1.1\r\nHost:\r\n\r\n");
    assert_string_equal(a.body, "PROPFIND|/show|||0");
    ask("GET /show HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n");
    assert_string_equal(a.body, "GET|/show||a|0");
    peer_close(&p);
}

/* Malformed input is refused with the right status in the listener's own words, then the end. */
static void malformed_requests_are_refused(void **state)
{
    static const struct {
        int status;
        const char *text;
    } cases[] = {
        { 400, "GET /hello HTTP/1.1\r\n\r\n" },
        { 400, "GET /hello HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n" },
        { 400, "GET /hello HTTP/1.1\r\nHost: a/b\r\n\r\n" },
        { 400, "GET /hello HTTP/1.1\r\nHost : a\r\n\r\n" },
        { 400, "GET /hello HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n" },
        { 400, "GET /hello HTTP/1.1\r\nHost: a\r\nX: a\rY: b\r\n\r\n" },
        { 400, "GET /hello HTTP/1.1\r\nHost: a\r\nX: a\001\r\n\r\n" },
        { 400, "GET /hello HTTP/1.1\r\nHost: a\r\nX(y): a\r\n\r\n" },
        { 400, "GET /hello HTTP/1.1\r\nHost: a\r\n: a\r\n\r\n" },
        { 400, "GET /hello HTTP/1.1\r\n Host: a\r\n\r\n" },
        { 400, "GET /he\001llo HTTP/1.1\r\nHost: a\r\n\r\n" },
        { 400, "GET /he#llo HTTP/1.1\r\nHost: a\r\n\r\n" },
        { 400, "GET hello HTTP/1.1\r\nHost: a\r\n\r\n" },
        { 400, "GET * HTTP/1.1\r\nHost: a\r\n\r\n" },
        { 400, "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n" },
        { 400, "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n" },
        { 400, "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n" },
        { 400, "POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
               "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
        { 400, "POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n" },
        { 400, "POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello" },
        { 400, "POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello" },
        { 400, "POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n" },
        { 400, "POST /sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n" },
        { 400, "POST /sink HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
        { 400, "POST /sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
               "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
        { 501, "POST /sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" },
        { 400, "POST /sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n" },
        { 400, "POST /sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n" },
        { 400, "POST /sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
               "11111111111111111\r\n" },
        { 501, "FROB /hello HTTP/1.1\r\nHost: a\r\n\r\n" },
        { 501, "GETT /hello HTTP/1.1\r\nHost: a\r\n\r\n" },
        { 501, "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n" },
        { 400, "GET\001/hello HTTP/1.1\r\nHost: a\r\n\r\n" },
        { 400, "{\"json\":1}\r\n\r\n" },
        { 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" },
        { 505, "GET /hello HTTP/2.0\r\nHost: a\r\n\r\n" },
        { 505, "GET /hello HTTP/3.7\r\nHost: a\r\n\r\n" },
        { 505, "GET /hello\r\n\r\n" },
        { 400, "GET /hello HTTP/1.1 x\r\nHost: a\r\n\r\n" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        peer_open(&p);
        ask(cases[i].text);
        if (a.status != cases[i].status && !(a.status == 505 && cases[i].status == 400))
            fail_msg("%d instead of %d for %s", a.status, cases[i].status, cases[i].text);
        assert_string_equal(answer_header(&a, "Connection"), "close");
        peer_expect_end(&p);
        peer_close(&p);
    }
    peer_open(&p); /* and the server is alive */
    ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(a.status, 200);
    peer_close(&p);
}

static char *repeat(char *at, const char *text, int count)
{
    while (count--)
        at = stpcpy(at, text);
    return at;
}

/* Size limits: exactly at the limit is fine, beyond is 414 or 431. */
static void oversized_heads_are_refused(void **state)
{
    static char text[200000];
    static const struct {
        int status, query, fields, field_size;
    } cases[] = {
        { 200, 8192 - 6, 0, 10 }, { 414, 8192 - 5, 0, 10 }, /* "/show?" counts */
        { 200, 0, 99, 10 },       { 431, 0, 100, 10 },      { 200, 0, 1, 30000 },
        { 431, 0, 1, 33000 },     { 431, 0, 1, 150000 },    { 414, 150000, 0, 10 },
        { 200, 8000, 20, 1000 },  { 431, 8000, 26, 1000 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *at = repeat(stpcpy(text, "GET /show?"), "x", cases[i].query);
        at = stpcpy(at, " HTTP/1.1\r\nHost: a\r\n");
        for (int f = 0; f < cases[i].fields; f++)
            at = stpcpy(repeat(stpcpy(at, "X-Field: "), "v", cases[i].field_size), "\r\n");
        stpcpy(at, "\r\n");
        peer_open(&p);
        ask(text);
        if (a.status != cases[i].status)
            fail_msg("case %zu: %d instead of %d", i, a.status, cases[i].status);
        peer_close(&p);
    }
    /* trailers and chunk extensions without end */
    char *at = stpcpy(text, "POST /sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
    for (int i = 0; i < 4000; i++)
        at = stpcpy(at, "Trailer: 0123456789\r\n");
    stpcpy(at, "\r\n");
    peer_open(&p);
    ask(text);
    assert_int_equal(a.status, 431);
    peer_close(&p);
    at = stpcpy(text, "POST /sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1");
    stpcpy(repeat(at, ";abc", 20000), "\r\nx\r\n0\r\n\r\n");
    peer_open(&p);
    ask(text);
    assert_int_equal(a.status, 431);
    peer_close(&p);
}

/* Headers of a reply can't be split, nor ours replaced. */
static void response_headers_cannot_be_injected(void **state)
{
    peer_open(&p);
    ask("GET /evil HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(answer_header(&a, "X-Good"), "fine");
    assert_null(answer_header(&a, "X-Injected"));
    assert_null(answer_header(&a, "X-Bad"));
    assert_int_equal(a.declared, 1);
    assert_string_equal(answer_header(&a, "Content-Type"), "application/octet-stream");
    ask("GET /twice HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(a.body, "first");
    ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(a.body, "hello");
    peer_close(&p);
}

static void collected_bodies(void **state)
{
    char text[4000];
    peer_open(&p);
    ask("POST /collect HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_string_equal(a.body, "abc");
    ask("POST /collect HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(a.status, 200);
    assert_int_equal(a.length, 0);
    stpcpy(repeat(stpcpy(text, "POST /collect HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
                  "2\r\nxy\r\n", 100), "0\r\n\r\n");
    ask(text);
    assert_int_equal(a.length, 200);
    ask("POST /collect HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n");
    assert_int_equal(a.status, 413);
    peer_close(&p);
    peer_open(&p);
    stpcpy(repeat(stpcpy(text, "POST /collect HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
                  "64\r\n" "0123456789012345678901234567890123456789012345678901234567890123456789"
                  "012345678901234567890123456789\r\n", 11), "");
    ask(text);
    assert_int_equal(a.status, 413);
    peer_expect_end(&p);
    peer_close(&p);
}

static void send_gen(uint64_t size, bool chunked)
{
    static char data[PIECE];
    char frame[32];
    for (uint64_t at = 0; at < size; at += PIECE) {
        size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;
        gen_fill(data, n, at);
        if (chunked)
            peer_send(&p, frame, (size_t)snprintf(frame, sizeof frame, "%zx\r\n", n));
        peer_send(&p, data, n);
        if (chunked)
            peer_send(&p, "\r\n", 2);
    }
    if (chunked)
        peer_send(&p, "0\r\n\r\n", 5);
}

/* A little of an unread body is swallowed and the connection stays; of a large one it is not. */
static void unread_bodies(void **state)
{
    char *text = malloc(400000);
    peer_open(&p);
    ask("PUT /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /show HTTP/1.1\r\n"
        "Host: a\r\n\r\n");
    assert_string_equal(a.body, "hello");
    assert_null(answer_header(&a, "Connection"));
    assert_true(peer_answer(&p, &a, false));
    assert_string_equal(a.body, "GET|/show||a|0");
    repeat(stpcpy(text, "PUT /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n"), "x", 200000);
    ask(text);
    assert_null(answer_header(&a, "Connection"));
    ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(a.body, "hello");
    repeat(stpcpy(text, "PUT /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n"), "x", 300000);
    ask(text);
    assert_string_equal(a.body, "hello");
    assert_string_equal(answer_header(&a, "Connection"), "close");
    peer_expect_orderly_end(&p);
    peer_close(&p);
    peer_open(&p); /* of unknown length: the connection stays at first, until it is too much */
    peer_say(&p, "PUT /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_true(peer_answer(&p, &a, false));
    assert_null(answer_header(&a, "Connection"));
    send_gen(10 * PIECE, true);
    peer_say(&p, "GET /show HTTP/1.1\r\nHost: a\r\n\r\n"); /* not answered any more */
    peer_expect_orderly_end(&p);
    peer_close(&p);
    peer_open(&p); /* and is good for another request if it was not */
    peer_say(&p, "PUT /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    send_gen(2 * PIECE, true);
    assert_true(peer_answer(&p, &a, false));
    ask("GET /show HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(a.body, "GET|/show||a|0");
    peer_close(&p);
    free(text);
}

static long resident_kib(void)
{
    char line[256];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "VmRSS: %ld", &kib) == 1)
            break;
    fclose(f);
    return kib;
}

/* 100 MiB up and down, framed both ways: equal, and memory stays bounded. */
static void large_bodies_stream(void **state)
{
    enum { SIZE = 100 << 20 };
    char sha[65], text[200];
    gen_sha(SIZE, sha);
    peer_open(&p);
    ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    long before = resident_kib();
    snprintf(text, sizeof text, "PUT /sink HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", SIZE);
    peer_say(&p, text);
    send_gen(SIZE, false);
    assert_true(peer_answer(&p, &a, false));
    assert_string_equal(a.body, sha);
    peer_say(&p, "PUT /sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    send_gen(SIZE, true);
    assert_true(peer_answer(&p, &a, false));
    assert_string_equal(a.body, sha);
    snprintf(text, sizeof text, "GET /gen?%d HTTP/1.1\r\nHost: a\r\n\r\n", SIZE);
    ask(text);
    assert_int_equal(a.length, SIZE);
    assert_string_equal(a.sha, sha);
    snprintf(text, sizeof text, "GET /gen-chunked?%d HTTP/1.1\r\nHost: a\r\n\r\n", SIZE);
    ask(text);
    assert_true(a.chunked);
    assert_string_equal(a.sha, sha);
    long grown = resident_kib() - before;
    print_message("resident memory grew by %ld KiB over 400 MiB\n", grown);
#ifdef __SANITIZE_ADDRESS__
    assert_true(grown < 64 << 10); /* the quarantine's */
#else
    assert_true(grown < 4 << 10);
#endif
    peer_close(&p);
}

static void files_are_sent(void **state)
{
    char sha[65], text[200];
    static const int sizes[] = { 1, 1024, 32768, 32769, 3000000 };
    peer_open(&p);
    gen_sha(3000000, sha);
    ask("GET /file HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(a.sha, sha);
    ask("GET /file-chunked HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(a.chunked);
    assert_string_equal(a.sha, sha);
    for (size_t i = 0; i < 5; i++) {
        gen_sha((uint64_t)sizes[i], sha);
        snprintf(text, sizeof text, "GET /prepared-file?%d HTTP/1.1\r\nHost: a\r\n\r\n", sizes[i]);
        ask(text);
        assert_int_equal(a.declared, sizes[i]);
        assert_string_equal(a.sha, sha);
        assert_string_equal(answer_header(&a, "ETag"), "\"x\"");
    }
    ask("GET /prepared-bytes HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(a.body, "prepared");
    /* more than the file has: the client sees that it is not whole */
    ask("GET /prepared-file?3000001 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(a.cut);
    peer_close(&p);
    peer_open(&p);
    ask("GET /abort HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(a.cut);
    assert_int_equal(a.length, 10);
    peer_close(&p);
}

/* The handler is asked for no more than a slow client takes, and takes no more than it wants. */
static void slow_sides_pause_the_other(void **state)
{
    peer_open(&p);
    int small = 65536;
    setsockopt(p.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    peer_say(&p, "GET /gen?104857600 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_not_equal(peer_byte(&p), -1);
    long long last = -1;
    for (int same = 0; same < 20; same++) { /* until it stands still */
        if (atomic_load(&fx.given) != last)
            same = 0;
        last = atomic_load(&fx.given);
        usleep(5000);
    }
    print_message("given while nobody reads: %lld KiB\n", last >> 10);
    assert_true(last < 20 << 20);
    peer_close(&p);
    wait_for(&fx.ended, 1);
}

/* A client that vanishes: the reader hears it, the hooks run once, replies go nowhere. */
static void vanishing_clients(void **state)
{
    peer_open(&p);
    peer_say(&p, "PUT /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome");
    wait_for(&fx.begun, 1);
    peer_close(&p);
    wait_for(&fx.ended, 1);
    assert_int_equal(fx.reader_errors, 1);
    assert_int_equal(fx.last_error, ERR_CLOSED);

    struct linger hard = { .l_onoff = 1 };
    peer_open(&p); /* in the middle of a reply */
    peer_say(&p, "GET /gen?104857600 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_not_equal(peer_byte(&p), -1);
    setsockopt(p.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    peer_close(&p);
    wait_for(&fx.ended, 2);

    peer_open(&p); /* in the middle of both */
    peer_say(&p, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    assert_int_not_equal(peer_byte(&p), -1);
    setsockopt(p.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    peer_close(&p);
    wait_for(&fx.ended, 3);
    assert_int_equal(fx.reader_errors, 2);

    peer_open(&p); /* while the handler thinks: a reset is heard at once */
    peer_say(&p, "GET /hang HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for(&fx.begun, 4);
    setsockopt(p.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    peer_close(&p);
    wait_for(&fx.ended, 4);

    peer_open(&p); /* while the handler has paused, and nothing is read */
    peer_say(&p, "PUT /pause HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nsome");
    wait_for(&fx.begun, 5);
    setsockopt(p.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    peer_close(&p);
    wait_for(&fx.ended, 5);
    assert_int_equal(fx.last_error, ERR_CLOSED);

    peer_open(&p); /* a reply to one who is gone */
    peer_say(&p, "GET /later?50 HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for(&fx.begun, 6);
    peer_close(&p);
    wait_for(&fx.ended, 6);

    peer_open(&p); /* one who only says that it has said all, still gets the reply */
    peer_say(&p, "GET /later?50 HTTP/1.1\r\nHost: a\r\n\r\n");
    shutdown(p.fd, SHUT_WR);
    assert_true(peer_answer(&p, &a, false));
    assert_string_equal(a.body, "later");
    peer_close(&p);

    peer_open(&p); /* in the middle of a head: nothing had begun */
    peer_say(&p, "GET /hel");
    peer_close(&p);
}

static void handshakes_on_a_plain_port_are_closed(void **state)
{
    peer_open(&p);
    peer_send(&p, "\x16\x03\x01\x02\x00\x01", 6);
    peer_expect_end(&p);
    peer_close(&p);
    assert_int_equal(fx.refused, 0);
}

/* --- with limits of their own --- */
static int start_hasty(void **state)
{
    fx_start((struct http_limits){ .header_timeout_ms = 400, .idle_timeout_ms = 600,
                                   .body_timeout_ms = 600, .max_connections = 2 }, NULL);
    return 0;
}

static void slow_clients_are_timed_out(void **state)
{
    peer_open(&p);
    ask("GET /hello HTTP/1.1\r\nHo");
    assert_int_equal(a.status, 408);
    peer_expect_end(&p);
    peer_close(&p);

    peer_open(&p); /* a byte now and then does not help */
    peer_say(&p, "GET /hello HTTP/1.1\r\nX: ");
    for (int i = 0; i < 60; i++) {
        peer_say(&p, "x");
        usleep(10000);
    }
    assert_true(peer_answer(&p, &a, false));
    assert_int_equal(a.status, 408);
    peer_close(&p);

    peer_open(&p); /* idle: without a word */
    ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    peer_expect_end(&p);
    peer_close(&p);

    peer_open(&p);
    ask("PUT /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    assert_int_equal(a.status, 408);
    assert_int_equal(fx.last_error, ERR_TIMEOUT);
    peer_expect_end(&p);
    peer_close(&p);

    peer_open(&p); /* slow, but not still: the time begins again with every piece */
    peer_say(&p, "PUT /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
    for (int i = 0; i < 10; i++) {
        peer_say(&p, "x");
        usleep(80000);
    }
    assert_true(peer_answer(&p, &a, false));
    assert_int_equal(a.status, 200);
    peer_close(&p);

    int begun = fx.begun;
    peer_open(&p); /* takes nothing of what it asked for */
    peer_say(&p, "GET /gen?104857600 HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for(&fx.begun, begun + 1);
    wait_for(&fx.ended, begun + 1);
    peer_close(&p);

    peer_open(&p); /* a handler may take its time */
    ask("GET /later?900 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_string_equal(a.body, "later");
    peer_close(&p);
}

static int start_narrow(void **state)
{
    fx_start((struct http_limits){ .max_connections = 2 }, NULL);
    return 0;
}

/* Beyond max_connections one waits in the kernel's queue, and is served when another leaves. */
static void connections_beyond_the_limit_wait(void **state)
{
    struct peer first;
    peer_open(&p);
    ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    first = p;
    peer_open(&p);
    ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    struct peer second = p;
    peer_open(&p);
    peer_say(&p, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    struct timeval brief = { .tv_usec = 100000 };
    char byte;
    setsockopt(p.fd, SOL_SOCKET, SO_RCVTIMEO, &brief, sizeof brief);
    assert_int_equal(recv(p.fd, &byte, 1, 0), -1);
    brief = (struct timeval){ .tv_sec = WAIT_S };
    setsockopt(p.fd, SOL_SOCKET, SO_RCVTIMEO, &brief, sizeof brief);
    peer_close(&first);
    assert_true(peer_answer(&p, &a, false));
    assert_string_equal(a.body, "hello");
    peer_close(&second);
    peer_close(&p);
}

/* Draining: idle ones end at once, running ones end well, new ones find nobody. */
static void drain_lets_exchanges_end(void **state)
{
    struct peer idle;
    peer_open(&p);
    ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    idle = p;
    peer_open(&p);
    peer_say(&p, "GET /later?300 HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for(&fx.begun, 2);
    fx_drain(10000);
    peer_expect_end(&idle);
    assert_int_equal(dial(), -1);
    assert_true(peer_answer(&p, &a, false));
    assert_string_equal(a.body, "later");
    assert_string_equal(answer_header(&a, "Connection"), "close");
    peer_expect_end(&p);
    peer_close(&p);
    peer_close(&idle);
    fx_join();
}

static void drain_cuts_off_after_the_grace(void **state)
{
    peer_open(&p);
    peer_say(&p, "GET /hang HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for(&fx.begun, 1);
    uint64_t before = clock_mono_ms();
    fx_drain(100);
    peer_expect_end(&p);
    assert_true(clock_mono_ms() - before >= 90);
    peer_close(&p);
    fx_join();
}

/* Without a drain: what is open is cut off, and nothing leaks. */
static void free_now(struct task *task)
{
    http_server_free(fx.server);
    uv_sem_post(&fx.drained);
}

static void free_without_drain_cuts_off(void **state)
{
    peer_open(&p);
    peer_say(&p, "GET /hang HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for(&fx.begun, 1);
    fx_drain_task.run = free_now;
    loop_post(&fx.loop, &fx_drain_task);
    peer_expect_end(&p);
    peer_close(&p);
    fx_join();
}

int main(void)
{
    log_set_level(LOG_ERROR);
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(reply_is_complete_and_connection_stays),
        TEST(pipelined_requests_are_answered_in_order),
        TEST(waiting_input_is_each_connections_own),
        TEST(bytes_one_by_one_make_the_same_request),
        TEST(expectation_is_answered_when_the_body_is_wanted),
        TEST(replies_without_body_have_none),
        TEST(http_1_0_is_spoken),
        TEST(target_forms),
        TEST(malformed_requests_are_refused),
        TEST(oversized_heads_are_refused),
        TEST(response_headers_cannot_be_injected),
        TEST(collected_bodies),
        TEST(unread_bodies),
        TEST(large_bodies_stream),
        TEST(files_are_sent),
        TEST(slow_sides_pause_the_other),
        TEST(vanishing_clients),
        TEST(handshakes_on_a_plain_port_are_closed),
        cmocka_unit_test_setup_teardown(slow_clients_are_timed_out, start_hasty, stop),
        cmocka_unit_test_setup_teardown(connections_beyond_the_limit_wait, start_narrow, stop),
        cmocka_unit_test_setup(drain_lets_exchanges_end, start),
        cmocka_unit_test_setup(drain_cuts_off_after_the_grace, start),
        cmocka_unit_test_setup(free_without_drain_cuts_off, start),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
