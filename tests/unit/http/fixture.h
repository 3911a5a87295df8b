/* SPDX-License-Identifier: Apache-2.0 */
/* A real server on a loop in a thread, with handlers that do one thing each, and a client of raw blocking
 * sockets. Included by the loopback tests of this folder. */
#ifndef PANTERA_TESTS_HTTP_FIXTURE_H
#define PANTERA_TESTS_HTTP_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pantera/clock.h"
#include "pantera/digest.h"
#include "pantera/http.h"
#include "pantera/log.h"
#include "pantera/text.h"
#include "pantera/tls.h"

#include <cmocka.h> /* last: its macro `fail` is not our function */

enum { PIECE = 65536, WAIT_S = 20 };

struct fx {
    struct loop loop;
    struct http_server *server;
    struct http_limits limits;
    struct http_listener_options options;
    int port, file;
    int64_t file_size;
    uv_sem_t drained;
    /* what the server thread saw */
    atomic_int begun, ended, finished, refused, reader_errors, last_error, last_status;
    atomic_llong given, taken;
};

static struct fx fx;

static void count_end(void *arg)
{
    atomic_fetch_add(&fx.ended, 1);
}

/* --- handlers --- */
struct gen {
    struct http_request *req;
    uint64_t left, at;
    char data[PIECE];
};

static void gen_fill(char *data, size_t size, uint64_t at)
{
    for (size_t i = 0; i < size; i++)
        data[i] = (char)((at + i) * 2654435761u >> 11);
}

static void gen_more(struct http_request *req, void *arg)
{
    struct gen *gen = arg;
    if (gen->left == 0) {
        http_reply_end(req);
        return;
    }
    size_t n = gen->left < PIECE ? (size_t)gen->left : PIECE;
    gen_fill(gen->data, n, gen->at);
    gen->left -= n;
    gen->at += n;
    atomic_fetch_add(&fx.given, (long long)n);
    http_reply_write(req, gen->data, n, gen_more, gen);
}

static void do_gen(struct http_request *req, bool chunked)
{
    struct gen *gen = arena_alloc(&req->arena, sizeof *gen);
    gen->left = strtoull(req->query, NULL, 10);
    http_reply_begin(req, 200, "application/octet-stream", chunked ? -1 : (int64_t)gen->left);
    gen_more(req, gen);
}

static void on_sunk(struct http_request *req, const void *data, size_t n, enum err e, void *arg)
{
    struct digester *d = arg;
    if (n) {
        assert_true(n <= PIECE);
        digester_update(d, data, n);
        atomic_fetch_add(&fx.taken, (long long)n);
        return;
    }
    struct digest_values values;
    char hex[65];
    digester_final(d, &values);
    hex_encode(values.sha256, 32, hex);
    if (e) {
        atomic_fetch_add(&fx.reader_errors, 1);
        atomic_store(&fx.last_error, (int)e);
        http_reply(req, err_status(e), "text/plain", err_name(e), strlen(err_name(e)));
    } else {
        http_reply(req, 200, "text/plain", hex, 64);
    }
}

static void free_digester(void *arg)
{
    digester_free(arg);
}

static void do_sink(struct http_request *req, int64_t limit)
{
    struct digester *d = digester_new(DIGEST_SHA256);
    http_on_end(req, free_digester, d);
    http_body_read(req, limit, on_sunk, d);
}

static void on_echoed(struct http_request *req, void *arg)
{
    http_body_resume(req);
}

static void on_echo(struct http_request *req, const void *data, size_t n, enum err e, void *arg)
{
    struct gen *piece = arg;
    if (n) {
        memcpy(piece->data, data, n);
        http_body_pause(req);
        http_reply_write(req, piece->data, n, on_echoed, NULL);
    } else if (e) {
        atomic_fetch_add(&fx.reader_errors, 1);
        atomic_store(&fx.last_error, (int)e);
        http_reply_abort(req);
    } else {
        http_reply_end(req);
    }
}

static void on_paused(struct http_request *req, const void *data, size_t n, enum err e, void *arg)
{
    if (n)
        http_body_pause(req);
    else
        atomic_store(&fx.last_error, (int)e);
}

static void on_collected(struct http_request *req, char *data, size_t size, enum err e, void *arg)
{
    if (e)
        http_reply(req, err_status(e), "text/plain", err_name(e), strlen(err_name(e)));
    else
        http_reply(req, 200, "text/plain", data, size);
}

/* A reply from a timer: on the loop, but long after the handler. */
struct later {
    uv_timer_t timer;
    struct http_request *req; /* NULL: the exchange is over */
};

static void later_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void later_fire(uv_timer_t *timer)
{
    struct later *later = timer->data;
    if (later->req)
        http_reply(later->req, 200, "text/plain", "later", 5);
    uv_close((uv_handle_t *)timer, later_closed);
}

static void later_over(void *arg)
{
    ((struct later *)arg)->req = NULL;
}

static void do_later(struct http_request *req)
{
    struct later *later = calloc(1, sizeof *later);
    later->req = req;
    uv_timer_init(&fx.loop.uv, &later->timer);
    later->timer.data = later;
    http_on_end(req, later_over, later);
    uv_timer_start(&later->timer, later_fire, strtoull(req->query, NULL, 10), 0);
}

static void do_show(struct http_request *req)
{
    char *text = arena_printf(&req->arena, "%s|%s|%s|%s|%lld", req->method_text, req->target,
                              req->query, req->host, (long long)req->content_length);
    http_reply(req, 200, "text/plain", text, strlen(text));
}

static void do_evil_headers(struct http_request *req)
{
    http_set_header(req, "X-Good", "fine");
    http_set_header(req, "X-Bad", "a\r\nX-Injected: 1");
    http_set_header(req, "X-Bad\r\nX-Injected", "1");
    http_set_header(req, "Content-Length", "9999");
    http_reply(req, 200, "text/plain\r\nX-Injected: 1", "x", 1);
}

static void do_abort(struct http_request *req)
{
    http_reply_begin(req, 200, "text/plain", 100);
    http_reply_write(req, "0123456789", 10, NULL, NULL);
    http_reply_abort(req);
}

static void file_done(struct http_request *req, void *arg)
{
    http_reply_end(req);
}

static void do_file(struct http_request *req, bool chunked)
{
    http_reply_begin(req, 200, "application/octet-stream", chunked ? -1 : fx.file_size);
    http_reply_file(req, fx.file, 0, fx.file_size, file_done, NULL);
}

static void do_prepared(struct http_request *req, const char *what)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nETag: \"x\"\r\n";
    int64_t size = strtoll(req->query, NULL, 10);
    if (strcmp(what, "file") == 0)
        http_reply_prepared(req, 200, head, sizeof head - 1, fx.file, 0, size);
    else
        http_reply_prepared_bytes(req, 200, head, sizeof head - 1, "prepared", 8);
}

static void fx_on_request(struct http_request *req)
{
    const char *t = req->target;
    atomic_fetch_add(&fx.begun, 1);
    http_on_end(req, count_end, NULL);
    if (strcmp(t, "/hello") == 0)
        http_reply(req, 200, "text/plain", "hello", 5);
    else if (strcmp(t, "/gen") == 0 || strcmp(t, "/gen-chunked") == 0)
        do_gen(req, t[4]);
    else if (strcmp(t, "/sink") == 0)
        do_sink(req, -1);
    else if (strcmp(t, "/sink-10") == 0)
        do_sink(req, 10);
    else if (strcmp(t, "/echo") == 0) {
        http_reply_begin(req, 200, "text/plain", -1);
        http_body_read(req, -1, on_echo, arena_alloc(&req->arena, sizeof(struct gen)));
    } else if (strcmp(t, "/collect") == 0)
        http_body_collect(req, 1000, on_collected, NULL);
    else if (strcmp(t, "/pause") == 0)
        http_body_read(req, -1, on_paused, NULL);
    else if (strcmp(t, "/later") == 0)
        do_later(req);
    else if (strcmp(t, "/show") == 0 || strcmp(t, "/") == 0)
        do_show(req);
    else if (strcmp(t, "/evil") == 0)
        do_evil_headers(req);
    else if (strcmp(t, "/abort") == 0)
        do_abort(req);
    else if (strcmp(t, "/file") == 0 || strcmp(t, "/file-chunked") == 0)
        do_file(req, t[5]);
    else if (strcmp(t, "/prepared-file") == 0)
        do_prepared(req, "file");
    else if (strcmp(t, "/prepared-bytes") == 0)
        do_prepared(req, "bytes");
    else if (strcmp(t, "/status") == 0)
        http_reply(req, (int)strtol(req->query, NULL, 10), "text/plain", "body", 4);
    else if (strcmp(t, "/twice") == 0) {
        http_reply(req, 200, "text/plain", "first", 5);
        http_reply(req, 500, "text/plain", "second", 6);
    } else if (strcmp(t, "/hang") != 0)
        http_reply(req, 404, "text/plain", "no", 2);
}

static void fx_on_refused(struct http_request *req, enum err e, const char *text)
{
    atomic_fetch_add(&fx.refused, 1);
    assert_true(text[0]);
    http_reply(req, err_status(e), "text/plain", err_name(e), strlen(err_name(e)));
}

static void fx_on_finished(struct http_request *req)
{
    atomic_store(&fx.last_status, req->status);
    atomic_fetch_add(&fx.finished, 1);
}

/* --- start and stop --- */
static void fx_setup(struct loop *loop, void *arg)
{
    struct why why = { "" };
    fx.server = http_server_new(loop, &fx.limits);
    if (http_listen(fx.server, &fx.options, &fx.port, &why))
        fail_msg("%s", why.text);
}

static void fx_make_file(int64_t size)
{
    char data[PIECE];
    fx.file = memfd_create("fixture", MFD_CLOEXEC);
    fx.file_size = size;
    for (int64_t at = 0; at < size; at += PIECE) {
        size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;
        gen_fill(data, n, (uint64_t)at);
        assert_int_equal(write(fx.file, data, n), n);
    }
}

static void fx_start(struct http_limits limits, struct tls_context *tls)
{
    memset(&fx, 0, sizeof fx);
    fx.limits = limits;
    fx.options = (struct http_listener_options){ .host = "127.0.0.1",
                                                 .tls = tls,
                                                 .on_request = fx_on_request,
                                                 .on_refused = fx_on_refused,
                                                 .on_finished = fx_on_finished };
    uv_sem_init(&fx.drained, 0);
    fx_make_file(3000000);
    loop_init(&fx.loop, "http-test", 0);
    loop_start(&fx.loop, fx_setup, NULL);
}

static void fx_on_drained(void *arg)
{
    http_server_free(fx.server);
    uv_sem_post(&fx.drained);
}

static unsigned fx_grace;
static struct task fx_drain_task;

static void fx_run_drain(struct task *task)
{
    http_server_drain(fx.server, fx_grace, fx_on_drained, NULL);
}

static void fx_drain(unsigned grace_ms)
{
    fx_grace = grace_ms;
    fx_drain_task.run = fx_run_drain;
    loop_post(&fx.loop, &fx_drain_task);
}

static void fx_join(void)
{
    uv_sem_wait(&fx.drained);
    loop_stop(&fx.loop);
    loop_join(&fx.loop);
    uv_sem_destroy(&fx.drained);
    close(fx.file);
    assert_int_equal(fx.begun, fx.ended); /* whatever happened: every hook, once */
}

static void fx_stop(void)
{
    fx_drain(0);
    fx_join();
}

/* Waits, for what another thread does; the test fails by the time limit. */
static inline void wait_for(const atomic_int *counter, int value)
{
    for (uint64_t end = clock_mono_ms() + WAIT_S * 1000; atomic_load(counter) < value;) {
        if (clock_mono_ms() > end)
            fail_msg("a counter stays at %d instead of %d", atomic_load(counter), value);
        usleep(500);
    }
}

/* --- client --- */
static int dial(void)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)fx.port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct timeval limit = { .tv_sec = WAIT_S };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* A client: plain, or on TLS when `tls` is set by the test. */
struct peer {
    int fd;
    void *tls;
    size_t size, at;
    char data[1 << 16];
};

static ssize_t (*peer_recv)(struct peer *p, void *data, size_t size);
static void (*peer_send)(struct peer *p, const void *data, size_t size);

static ssize_t plain_recv(struct peer *p, void *data, size_t size)
{
    return recv(p->fd, data, size, 0);
}

static void plain_send(struct peer *p, const void *data, size_t size)
{
    const char *at = data;
    while (size) {
        ssize_t n = send(p->fd, at, size, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* the server may have closed: what it said is judged */
        at += n;
        size -= (size_t)n;
    }
}

static void peer_open(struct peer *p)
{
    p->fd = dial();
    assert_true(p->fd >= 0);
    p->tls = NULL;
    p->size = p->at = 0;
    peer_recv = plain_recv;
    peer_send = plain_send;
}

static void peer_say(struct peer *p, const char *text)
{
    peer_send(p, text, strlen(text));
}

/* -1: the end, or a reset. */
static int peer_byte(struct peer *p)
{
    if (p->at == p->size) {
        ssize_t n = peer_recv(p, p->data, sizeof p->data);
        if (n < 0 && errno == EAGAIN)
            fail_msg("the server says nothing");
        if (n <= 0)
            return -1;
        p->size = (size_t)n;
        p->at = 0;
    }
    return (unsigned char)p->data[p->at++];
}

static bool peer_line(struct peer *p, char *ret, size_t room)
{
    size_t n = 0;
    for (int c; (c = peer_byte(p)) != '\n';) {
        if (c < 0)
            return false;
        assert_true(n + 1 < room);
        ret[n++] = (char)c;
    }
    assert_true(n > 0 && ret[n - 1] == '\r');
    ret[n - 1] = '\0';
    return true;
}

struct answer {
    int status;
    char head[8192];
    long long length; /* of the body as received */
    char body[4096];  /* its beginning */
    char sha[65];
    bool chunked, cut;
    long long declared;
};

static const char *answer_header(const struct answer *a, const char *name)
{
    static char value[1024];
    size_t n = strlen(name);
    for (const char *at = a->head; *at; at = strchr(at, '\n') + 1)
        if (strncasecmp(at, name, n) == 0 && at[n] == ':') {
            snprintf(value, sizeof value, "%.*s", (int)strcspn(at + n + 2, "\n"), at + n + 2);
            return value;
        }
    return NULL;
}

static bool take_bytes(struct peer *p, struct answer *a, struct digester *d, long long count)
{
    while (count != 0) {
        int c = peer_byte(p);
        if (c < 0)
            return count < 0;
        p->at--;
        size_t n = p->size - p->at;
        if (count > 0 && (long long)n > count)
            n = (size_t)count;
        digester_update(d, p->data + p->at, n);
        for (size_t i = 0; i < n && a->length + (long long)i < (long long)sizeof a->body - 1; i++)
            a->body[a->length + (long long)i] = p->data[p->at + i];
        a->length += (long long)n;
        p->at += n;
        if (count > 0)
            count -= (long long)n;
    }
    return true;
}

static bool take_chunks(struct peer *p, struct answer *a, struct digester *d)
{
    char line[256];
    for (;;) {
        if (!peer_line(p, line, sizeof line))
            return false;
        long long n = strtoll(line, NULL, 16);
        if (n == 0)
            return peer_line(p, line, sizeof line) && !line[0];
        if (!take_bytes(p, a, d, n) || !peer_line(p, line, sizeof line) || line[0])
            return false;
    }
}

/* One answer. False: the connection ended before one began. */
static bool peer_answer(struct peer *p, struct answer *a, bool head_only)
{
    char line[2048];
    memset(a, 0, sizeof *a);
    if (!peer_line(p, line, sizeof line))
        return false;
    assert_memory_equal(line, "HTTP/1.1 ", 9);
    a->status = (int)strtol(line + 9, NULL, 10);
    char *at = a->head;
    for (;;) {
        assert_true(peer_line(p, line, sizeof line));
        if (!line[0])
            break;
        assert_true(at + strlen(line) + 2 < a->head + sizeof a->head);
        at = stpcpy(stpcpy(at, line), "\n");
    }
    const char *length = answer_header(a, "Content-Length");
    a->declared = length ? strtoll(length, NULL, 10) : -1;
    a->chunked = answer_header(a, "Transfer-Encoding") != NULL;
    assert_false(a->chunked && length);
    struct digester *d = digester_new(DIGEST_SHA256);
    struct digest_values values;
    if (head_only || a->status == 204 || a->status == 304 || a->status < 200)
        a->cut = false;
    else
        a->cut = !(a->chunked ? take_chunks(p, a, d) : take_bytes(p, a, d, a->declared));
    digester_final(d, &values);
    digester_free(d);
    hex_encode(values.sha256, 32, a->sha);
    return true;
}

static void peer_expect_end(struct peer *p)
{
    int c = peer_byte(p);
    if (c >= 0)
        fail_msg("a byte %d instead of the end", c);
}

/* An orderly end: the server has read what was sent to it, so that no reset eats its answer. */
static inline void peer_expect_orderly_end(struct peer *p)
{
    char byte;
    assert_int_equal(p->at, p->size);
    assert_int_equal(recv(p->fd, &byte, 1, 0), 0);
}

static void peer_close(struct peer *p)
{
    close(p->fd);
    p->fd = -1;
}

/* The digest of what /gen gives. */
static void gen_sha(uint64_t size, char ret[65])
{
    struct digester *d = digester_new(DIGEST_SHA256);
    char data[PIECE];
    for (uint64_t at = 0; at < size; at += PIECE) {
        size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;
        gen_fill(data, n, at);
        digester_update(d, data, n);
    }
    struct digest_values values;
    digester_final(d, &values);
    digester_free(d);
    hex_encode(values.sha256, 32, ret);
}

#endif
