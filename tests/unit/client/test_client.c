/* SPDX-License-Identifier: Apache-2.0 */
/* The client against a real socket: a thread that answers by the path it is asked for. */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pantera/client.h"
#include "pantera/clock.h"
#include "pantera/log.h"

/* after ours: cmocka has a macro fail() */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum { BIG = 20 << 20 };

/* --- the server: one thread a connection --- */

struct server {
    int fd, port;
    pthread_t thread;
    int connections; /* accepted so far */
};

static bool send_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        data += n;
        size -= (size_t)n;
    }
    return true;
}

static bool send_text(int fd, const char *text)
{
    return send_all(fd, text, strlen(text));
}

static bool send_big(int fd)
{
    char block[65536];
    bool good = send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 20971520\r\n\r\n");
    for (size_t at = 0; good && at < BIG; at += sizeof block) {
        for (size_t i = 0; i < sizeof block; i++)
            block[i] = (char)((at + i) / 7);
        good = send_all(fd, block, sizeof block);
    }
    return good;
}

static bool send_many_headers(int fd)
{
    char line[1100];
    bool good = send_text(fd, "HTTP/1.1 200 OK\r\n");
    memset(line, 'x', sizeof line);
    memcpy(line, "X-Long: ", 8);
    memcpy(line + 1000, "\r\n", 3);
    for (int i = 0; good && i < 100; i++)
        good = send_text(fd, line);
    return good && send_text(fd, "Content-Length: 0\r\n\r\n");
}

/* Reads a body of `size` bytes and answers with its length and the sum of its bytes. */
static bool answer_echo(int fd, const char *head, const char *extra, size_t extra_size)
{
    const char *length = strcasestr(head, "\r\ncontent-length:");
    size_t size = length ? strtoul(length + 17, NULL, 10) : 0, got = 0, sum = 0;
    char block[65536], answer[200];
    for (; got < extra_size; got++)
        sum += (unsigned char)extra[got];
    while (got < size) {
        ssize_t n = recv(fd, block, sizeof block, 0);
        if (n <= 0)
            return false;
        for (ssize_t i = 0; i < n; i++)
            sum += (unsigned char)block[i];
        got += (size_t)n;
    }
    snprintf(block, sizeof block, "%.4s %zu %zu", head, size, sum);
    snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nX-Answer:   %.60s \r\nContent-Length: 0\r\n\r\n",
             block);
    return send_text(fd, answer);
}

static bool answer(int fd, const char *head, const char *extra, size_t extra_size)
{
    char path[100] = "", c;
    sscanf(head, "%*s %99s", path);
    if (strcmp(path, "/hello") == 0)
        return send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-MiXed: yes\r\n\r\nhello");
    if (strcmp(path, "/404") == 0)
        return send_text(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    if (strcmp(path, "/move") == 0)
        return send_text(fd, "HTTP/1.1 302 Found\r\nLocation: /hello\r\nContent-Length: 3\r\n\r\nsee");
    if (strcmp(path, "/file") == 0)
        return send_text(fd, "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n"
                             "Content-Length: 0\r\n\r\n");
    if (strcmp(path, "/big") == 0)
        return send_big(fd);
    if (strcmp(path, "/headers") == 0)
        return send_many_headers(fd);
    if (strcmp(path, "/cut") == 0)
        return send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhal") && false;
    if (strcmp(path, "/have") == 0) /* needs no body, and says so before it comes */
        return send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n") && false;
    if (strcmp(path, "/hang") == 0) {
        recv(fd, &c, 1, 0); /* until the client gives up */
        return false;
    }
    if (strcmp(path, "/half") == 0) {
        send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        recv(fd, &c, 1, 0);
        return false;
    }
    return answer_echo(fd, head, extra, extra_size);
}

static void *serve_connection(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char head[16384];
    size_t size = 0;
    for (;;) {
        char *end = size ? memmem(head, size, "\r\n\r\n", 4) : NULL;
        if (!end) {
            ssize_t n = recv(fd, head + size, sizeof head - 1 - size, 0);
            if (n <= 0)
                break;
            size += (size_t)n;
            head[size] = 0;
            continue;
        }
        if (!answer(fd, head, end + 4, size - (size_t)(end + 4 - head)))
            break;
        size = 0; /* no pipelining */
    }
    close(fd);
    return NULL;
}

static void *serve(void *arg)
{
    struct server *s = arg;
    for (int fd; (fd = accept(s->fd, NULL, NULL)) >= 0;) {
        pthread_t t;
        __atomic_add_fetch(&s->connections, 1, __ATOMIC_SEQ_CST);
        pthread_create(&t, NULL, serve_connection, (void *)(intptr_t)fd);
        pthread_detach(t);
    }
    return NULL;
}

static void server_start(struct server *s)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof a;
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(s->fd, 16), 0);
    getsockname(s->fd, (struct sockaddr *)&a, &length);
    s->port = ntohs(a.sin_port);
    pthread_create(&s->thread, NULL, serve, s);
}

static void server_stop(struct server *s)
{
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
}

/* --- fixture --- */

struct fx {
    struct loop loop;
    struct client *client;
    struct server server;
};

struct call {
    struct client_request r;
    bool done, head, pause_each, resumed_inside, pulled_later;
    int done_count, data_after_cancel;
    size_t size, pull_left;
    bool wrong;
    char url[100], text[200];
    uv_timer_t timer;
    struct fx *fx;
};

static int setup(void **state)
{
    struct fx *f = calloc(1, sizeof *f);
    loop_init(&f->loop, "test", 0);
    f->client = client_new(&f->loop);
    server_start(&f->server);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fx *f = *state;
    client_free(f->client);
    server_stop(&f->server);
    uv_close((uv_handle_t *)&f->loop.wake, NULL);
    uv_run(&f->loop.uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop.uv), 0);
    free(f);
    return 0;
}

static void on_head(struct client_request *r)
{
    struct call *c = r->arg;
    assert_false(c->head);
    c->head = true;
}

static void on_resume_timer(uv_timer_t *timer)
{
    struct call *c = container_of(timer, struct call, timer);
    if (!c->done)
        client_resume(&c->r);
}

static bool on_data(struct client_request *r, const void *data, size_t size)
{
    struct call *c = r->arg;
    assert_true(c->head);
    if (r->err == ERR_CANCELED)
        c->data_after_cancel++;
    if (c->pause_each && !c->resumed_inside) {
        c->resumed_inside = true;
        if (c->size % 5 == 0)
            client_resume(r); /* asked for before the pause is even known */
        else
            uv_timer_start(&c->timer, on_resume_timer, 0, 0);
        return false;
    }
    c->resumed_inside = false;
    for (size_t i = 0; c->pause_each && i < size; i++)
        if (((const char *)data)[i] != (char)((c->size + i) / 7))
            c->wrong = true;
    if (c->size + size < sizeof c->text)
        memcpy(c->text + c->size, data, size);
    c->size += size;
    return true;
}

static void on_done(struct client_request *r)
{
    struct call *c = r->arg;
    c->done = true;
    c->done_count++;
    if (client_header(r, "x-answer"))
        snprintf(c->text, sizeof c->text, "%s", client_header(r, "x-answer"));
}

static void call_start(struct fx *f, struct call *c, const char *method, const char *path)
{
    struct why why;
    snprintf(c->url, sizeof c->url, "http://127.0.0.1:%d%s", f->server.port, path);
    c->fx = f;
    c->r.method = method;
    c->r.url = c->url;
    c->r.on_head = on_head;
    c->r.on_data = on_data;
    c->r.on_done = on_done;
    c->r.arg = c;
    assert_int_equal(client_submit(f->client, &c->r, &why), OK);
    assert_false(c->done);
}

static void call_run(struct fx *f, struct call *c, const char *method, const char *path)
{
    call_start(f, c, method, path);
    loop_run_until(&f->loop, &c->done);
}

/* --- cases --- */

static void client_get_gives_head_and_body(void **state)
{
    struct fx *f = *state;
    for (int i = 0; i < 3; i++) {
        struct call c = { .size = 0 };
        call_run(f, &c, "GET", "/hello");
        assert_int_equal(c.r.err, OK);
        assert_int_equal(c.r.status, 200);
        assert_int_equal(c.r.length, 5);
        assert_string_equal(c.text, "hello");
    }
    assert_int_equal(f->server.connections, 1); /* kept alive */
    struct call missing = { .size = 0 };
    call_run(f, &missing, "GET", "/404");
    assert_int_equal(missing.r.err, OK);
    assert_int_equal(missing.r.status, 404);
}

static void client_follows_redirects_only_when_asked(void **state)
{
    struct fx *f = *state;
    struct call plain = { .size = 0 }, follow = { .r.follow_redirects = true },
                evil = { .r.follow_redirects = true };
    call_run(f, &plain, "GET", "/move");
    assert_int_equal(plain.r.status, 302);
    call_run(f, &follow, "GET", "/move");
    assert_int_equal(follow.r.status, 200);
    assert_string_equal(follow.text, "hello");
    call_run(f, &evil, "GET", "/file");
    assert_int_not_equal(evil.r.err, OK);
    assert_int_equal(evil.size, 0);
}

/* Pausing at every piece, resumed from inside and from outside: nothing lost, nothing twice. */
static void client_pause_keeps_every_byte(void **state)
{
    struct fx *f = *state;
    struct call c = { .pause_each = true };
    uv_timer_init(&f->loop.uv, &c.timer);
    call_run(f, &c, "GET", "/big");
    assert_int_equal(c.r.err, OK);
    assert_int_equal(c.size, BIG);
    assert_false(c.wrong);
    uv_close((uv_handle_t *)&c.timer, NULL);
    uv_run(&f->loop.uv, UV_RUN_NOWAIT);
}

static void client_sends_a_whole_body(void **state)
{
    struct fx *f = *state;
    char *body = malloc(3 << 20), expected[64];
    memset(body, 2, 3 << 20);
    struct call c = { .r.body = body, .r.body_size = 3 << 20 }, none = { .size = 0 };
    call_run(f, &c, "PUT", "/echo");
    snprintf(expected, sizeof expected, "PUT  %d %d", 3 << 20, 6 << 20);
    assert_string_equal(c.text, expected);
    call_run(f, &none, "POST", "/echo");
    assert_string_equal(none.text, "POST 0 0");
    free(body);
}

static size_t pull(struct client_request *r, void *ret, size_t size, bool *ret_later)
{
    struct call *c = r->arg;
    c->pulled_later = !c->pulled_later;
    if (c->pulled_later && c->pull_left) { /* every other time: not now */
        *ret_later = true;
        uv_timer_start(&c->timer, on_resume_timer, 0, 0);
        return 0;
    }
    size_t n = size < c->pull_left ? size : c->pull_left;
    memset(ret, 1, n);
    c->pull_left -= n;
    return n;
}

static void client_sends_a_pulled_body(void **state)
{
    struct fx *f = *state;
    struct call c = { .pull_left = 5 << 20, .r.read_body = pull, .r.body_length = 5 << 20 };
    char expected[64];
    uv_timer_init(&f->loop.uv, &c.timer);
    call_run(f, &c, "PUT", "/echo");
    snprintf(expected, sizeof expected, "PUT  %d %d", 5 << 20, 5 << 20);
    assert_string_equal(c.text, expected);
    uv_close((uv_handle_t *)&c.timer, NULL);
    uv_run(&f->loop.uv, UV_RUN_NOWAIT);
}

/* RFC 9110 §10.1.1: who asks first sends no byte of a body that is not wanted. */
static void client_asks_before_a_body_when_told(void **state)
{
    struct fx *f = *state;
    const char *headers[] = { "Expect: 100-continue", NULL };
    struct call c = { .pull_left = 5 << 20, .r.read_body = pull, .r.body_length = 5 << 20,
                      .r.headers = headers };
    uv_timer_init(&f->loop.uv, &c.timer);
    call_run(f, &c, "PUT", "/have");
    assert_int_equal(c.r.status, 200);
    assert_int_equal(c.pull_left, 5 << 20);
    uv_close((uv_handle_t *)&c.timer, NULL);
    uv_run(&f->loop.uv, UV_RUN_NOWAIT);
}

/* A server that accepts and says nothing, or stops half-way, ends in bounded time. */
static void client_stall_times_out(void **state)
{
    struct fx *f = *state;
    static const char *const paths[] = { "/hang", "/half" };
    for (int i = 0; i < 2; i++) {
        struct call c = { .r.stall_timeout_ms = 300 };
        uint64_t start = clock_mono_ms();
        call_run(f, &c, "GET", paths[i]);
        assert_int_equal(c.r.err, ERR_UPSTREAM_TIMEOUT);
        assert_in_range(clock_mono_ms() - start, 250, 3000);
    }
    struct call total = { .r.total_timeout_ms = 200 };
    call_run(f, &total, "GET", "/hang");
    assert_int_equal(total.r.err, ERR_UPSTREAM_TIMEOUT);
}

/* What the cluster's settings say holds for upstreams only, and only where the request says nothing. */
static void client_upstreams_have_times_of_their_own(void **state)
{
    struct fx *f = *state;
    struct call upstream = { .r.upstream = true }, other = { .r.total_timeout_ms = 600 },
                own = { .r = { .upstream = true, .total_timeout_ms = 600 } };
    client_set_timeouts(f->client, 0, 0, 200);
    uint64_t start = clock_mono_ms();
    call_run(f, &upstream, "GET", "/hang");
    assert_int_equal(upstream.r.err, ERR_UPSTREAM_TIMEOUT);
    assert_in_range(clock_mono_ms() - start, 150, 500);
    start = clock_mono_ms();
    call_run(f, &other, "GET", "/hang");
    call_run(f, &own, "GET", "/hang");
    assert_in_range(clock_mono_ms() - start, 1100, 4000);
    client_set_timeouts(f->client, 0, 0, 0);
}

static void client_reports_a_cut_answer_and_no_server(void **state)
{
    struct fx *f = *state;
    struct call cut = { .size = 0 }, refused = { .size = 0 };
    call_run(f, &cut, "GET", "/cut");
    assert_int_equal(cut.r.err, ERR_UPSTREAM);
    assert_int_equal(cut.r.status, 200);
    int port = f->server.port;
    f->server.port = 1;
    call_run(f, &refused, "GET", "/hello");
    f->server.port = port;
    assert_int_equal(refused.r.err, ERR_UPSTREAM);
    assert_true(strlen(refused.r.why.text) > 0);
}

static void client_caps_response_headers(void **state)
{
    struct fx *f = *state;
    struct call c = { .size = 0 };
    call_run(f, &c, "GET", "/headers");
    assert_int_equal(c.r.err, ERR_UPSTREAM);
    assert_non_null(strstr(c.r.why.text, "headers"));
}

static void on_data_cancel_done(struct client_request *r)
{
    on_done(r);
}

static bool on_data_cancel(struct client_request *r, const void *data, size_t size)
{
    struct call *c = r->arg;
    c->data_after_cancel++;
    client_cancel(r);
    assert_false(c->done); /* later */
    return true;
}

/* Cancel before it began, while it hangs, and from inside on_data: on_done once, later, CANCELED. */
static void client_cancel_ends_once(void **state)
{
    struct fx *f = *state;
    struct call early = { .size = 0 }, hang = { .size = 0 }, inside = { .size = 0 },
                other = { .size = 0 };
    call_start(f, &early, "GET", "/hello");
    client_cancel(&early.r);
    assert_false(early.done);
    loop_run_until(&f->loop, &early.done);
    assert_int_equal(early.r.err, ERR_CANCELED);
    call_start(f, &hang, "GET", "/hang");
    call_run(f, &other, "GET", "/hello");
    client_cancel(&hang.r);
    loop_run_until(&f->loop, &hang.done);
    assert_int_equal(hang.r.err, ERR_CANCELED);
    call_start(f, &inside, "GET", "/big");
    inside.r.on_data = on_data_cancel;
    inside.r.on_done = on_data_cancel_done;
    loop_run_until(&f->loop, &inside.done);
    assert_int_equal(inside.r.err, ERR_CANCELED);
    assert_int_equal(inside.data_after_cancel, 1);
    assert_int_equal(early.done_count + hang.done_count + inside.done_count, 3);
}

static struct call again;

static void on_done_again(struct client_request *r)
{
    struct call *c = r->arg;
    struct why why;
    if (++c->done_count == 3) {
        c->done = true;
        return;
    }
    c->head = false;
    assert_int_equal(client_submit(c->fx->client, r, &why), OK);
}

/* The same struct may be submitted again from on_done: that is how retries are made. */
static void client_request_is_free_in_on_done(void **state)
{
    struct fx *f = *state;
    call_start(f, &again, "GET", "/hello");
    again.r.on_done = on_done_again;
    loop_run_until(&f->loop, &again.done);
    assert_int_equal(again.done_count, 3);
    assert_int_equal(again.size, 15);
}

static void client_refuses_other_protocols(void **state)
{
    struct fx *f = *state;
    struct call c = { .size = 0 };
    struct why why;
    c.r = (struct client_request){ .method = "GET", .url = "file:///etc/passwd", .arg = &c,
                                   .on_done = on_done, .on_data = on_data };
    assert_int_equal(client_submit(f->client, &c.r, &why), OK);
    loop_run_until(&f->loop, &c.done);
    assert_int_equal(c.r.err, ERR_BAD_REQUEST);
    assert_int_equal(c.size, 0);
}

/* 200 at once, half of them canceled. */
static void client_runs_many_at_once(void **state)
{
    enum { MANY = 200 };
    struct fx *f = *state;
    struct call *calls = calloc(MANY, sizeof *calls);
    for (int i = 0; i < MANY; i++)
        call_start(f, &calls[i], "GET", i % 2 ? "/hang" : "/hello");
    for (int i = 0; i < MANY; i += 2)
        loop_run_until(&f->loop, &calls[i].done);
    for (int i = 1; i < MANY; i += 2)
        client_cancel(&calls[i].r);
    for (int i = 1; i < MANY; i += 2)
        loop_run_until(&f->loop, &calls[i].done);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(calls[i].done_count, 1);
        assert_int_equal(calls[i].r.err, i % 2 ? ERR_CANCELED : OK);
    }
    free(calls);
}

/* Freed while a request hangs: on_done is told. */
static void client_free_cancels(void **state)
{
    struct fx *f = *state;
    struct call c = { .size = 0 };
    call_start(f, &c, "GET", "/hang");
    struct call other = { .size = 0 };
    call_run(f, &other, "GET", "/hello");
    client_free(f->client);
    f->client = NULL;
    assert_true(c.done);
    assert_int_equal(c.r.err, ERR_CANCELED);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(client_get_gives_head_and_body),
        CASE(client_follows_redirects_only_when_asked),
        CASE(client_pause_keeps_every_byte),
        CASE(client_sends_a_whole_body),
        CASE(client_sends_a_pulled_body),
        CASE(client_asks_before_a_body_when_told),
        CASE(client_stall_times_out),
        CASE(client_upstreams_have_times_of_their_own),
        CASE(client_reports_a_cut_answer_and_no_server),
        CASE(client_caps_response_headers),
        CASE(client_cancel_ends_once),
        CASE(client_request_is_free_in_on_done),
        CASE(client_refuses_other_protocols),
        CASE(client_runs_many_at_once),
        CASE(client_free_cancels),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
