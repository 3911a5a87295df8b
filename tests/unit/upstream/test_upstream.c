/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to remotes against real sockets: 127.0.0.1 and 127.0.0.2 are two hosts, which answer by the path
 * that they are asked for and write down what they were sent. */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pantera/log.h"
#include "pantera/text.h"
#include "src/upstream/internal.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum { BIG = 4 << 20 };

/* --- the servers --- */

static struct server {
    int fd, port;
    pthread_t thread;
    struct connection *all;
    int connections, requests, tokens, accepted_token;
    bool no_tokens;              /* its token service fails */
    char authorization[300];     /* of the last request */
    char query[500];             /* of the last token request */
} servers[2];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int held, release;        /* requests of /hold that are there; how many may go */

static bool send_text(int fd, const char *text)
{
    size_t size = strlen(text);
    return send(fd, text, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static bool answer_status(int fd, int status, const char *headers, const char *body)
{
    char text[1000];
    snprintf(text, sizeof text, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n%s\r\n%s", status, strlen(body),
             headers, body);
    return send_text(fd, text);
}

static bool answer_redirect(int fd, const char *to)
{
    char header[300];
    snprintf(header, sizeof header, "Location: %s\r\n", to);
    return answer_status(fd, 302, header, "moved");
}

static bool answer_big(int fd)
{
    char block[65536];
    bool good = send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 4194304\r\n\r\n");
    for (size_t at = 0; good && at < BIG; at += sizeof block) {
        for (size_t i = 0; i < sizeof block; i++)
            block[i] = (char)((at + i) / 7);
        good = send(fd, block, sizeof block, MSG_NOSIGNAL) == sizeof block;
    }
    return good;
}

static bool answer_registry(struct server *s, int fd)
{
    char header[400], expected[64];
    snprintf(expected, sizeof expected, "Bearer token-%d", s->accepted_token);
    if (strcmp(s->authorization, expected) == 0)
        return answer_status(fd, 200, "", "layer");
    snprintf(header, sizeof header,
             "WWW-Authenticate: Basic realm=\"x\"\r\n"
             "WWW-Authenticate: Bearer realm=\"http://127.0.0.2:%d/token\",service=\"reg\","
             "scope=\"repo:a:pull\"\r\n",
             servers[1].port);
    return answer_status(fd, 401, header, "{}");
}

static bool answer_token(struct server *s, int fd, const char *query)
{
    char body[100];
    snprintf(s->query, sizeof s->query, "%s", query);
    s->tokens++;
    if (s->no_tokens)
        return answer_status(fd, 500, "", "");
    snprintf(body, sizeof body, "{\"token\": \"token-%d\", \"expires_in\": 300}", servers[0].accepted_token);
    return answer_status(fd, 200, "", body);
}

static bool answer_hold(int fd)
{
    pthread_mutex_lock(&lock);
    held++;
    while (!release) {
        pthread_mutex_unlock(&lock);
        usleep(1000);
        pthread_mutex_lock(&lock);
    }
    release--;
    held--;
    pthread_mutex_unlock(&lock);
    return answer_status(fd, 200, "", "held");
}

static bool answer(struct server *s, int fd, const char *path)
{
    char to[200], c;
    int status;
    if (sscanf(path, "/status/%d", &status) == 1)
        return answer_status(fd, status, status == 429 ? "Retry-After: 2\r\n" : "ETag: \"e\"\r\n", "text");
    if (strcmp(path, "/away") == 0 || strcmp(path, "/private") == 0)
        return snprintf(to, sizeof to, "http://127.0.0.2:%d/status/200", servers[1].port) > 0 &&
               answer_redirect(fd, to);
    if (strcmp(path, "/near") == 0)
        return answer_redirect(fd, "status/200");
    if (strcmp(path, "/loop") == 0)
        return answer_redirect(fd, "/loop");
    if (strcmp(path, "/file") == 0)
        return answer_redirect(fd, "file:///etc/passwd");
    if (strcmp(path, "/big") == 0)
        return answer_big(fd);
    if (strcmp(path, "/cut") == 0)
        return send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhal") && false;
    if (strcmp(path, "/slow") == 0 || strcmp(path, "/hang") == 0) {
        recv(fd, &c, 1, 0);
        return false;
    }
    if (strcmp(path, "/hold") == 0)
        return answer_hold(fd);
    if (strncmp(path, "/v2/", 4) == 0)
        return answer_registry(s, fd);
    if (strncmp(path, "/token", 6) == 0)
        return answer_token(s, fd, path);
    return answer_status(fd, 404, "", "");
}

struct connection {
    struct connection *next;     /* of its server: server_stop waits for all of them */
    struct server *server;
    pthread_t thread;
    int fd;
};

static void note(struct server *s, const char *head)
{
    const char *line = strcasestr(head, "\r\nauthorization: ");
    pthread_mutex_lock(&lock);
    s->requests++;
    snprintf(s->authorization, sizeof s->authorization, "%.*s", line ? (int)strcspn(line + 17, "\r") : 0,
             line ? line + 17 : "");
    pthread_mutex_unlock(&lock);
}

static void *serve_connection(void *arg)
{
    struct connection c = *(struct connection *)arg;
    char head[16384], path[500];
    size_t size = 0;
    for (;;) {
        ssize_t n = recv(c.fd, head + size, sizeof head - 1 - size, 0);
        if (n <= 0)
            break;
        head[size += (size_t)n] = 0;
        if (!strstr(head, "\r\n\r\n"))
            continue;
        note(c.server, head);
        if (sscanf(head, "%*s %499s", path) != 1 || !answer(c.server, c.fd, path))
            break;
        size = 0;
    }
    shutdown(c.fd, SHUT_RDWR);
    return NULL;
}

static void *serve(void *arg)
{
    struct server *s = arg;
    for (int fd; (fd = accept(s->fd, NULL, NULL)) >= 0;) {
        struct connection *c = malloc(sizeof *c);
        *c = (struct connection){ .next = s->all, .server = s, .fd = fd };
        s->all = c;
        __atomic_add_fetch(&s->connections, 1, __ATOMIC_SEQ_CST);
        pthread_create(&c->thread, NULL, serve_connection, c);
    }
    return NULL;
}

static void server_start(struct server *s, uint32_t address)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(address) };
    socklen_t length = sizeof a;
    memset(s, 0, sizeof *s);
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(s->fd, 64), 0);
    getsockname(s->fd, (struct sockaddr *)&a, &length);
    s->port = ntohs(a.sin_port);
    s->accepted_token = 1;
    pthread_create(&s->thread, NULL, serve, s);
}

static void server_stop(struct server *s)
{
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
    while (s->all) {
        struct connection *c = s->all;
        s->all = c->next;
        shutdown(c->fd, SHUT_RDWR);
        pthread_join(c->thread, NULL);
        close(c->fd);
        free(c);
    }
}

/* --- fixture --- */

struct fx {
    struct loop loop;
    struct client *client;
    struct upstream *upstream;
    char url[2][64];
};

struct call {
    struct upstream_request r;
    struct upstream_remote remote;
    bool done, pause;
    int heads, ends;
    size_t size;
    bool wrong;
    char text[64], etag[16], final[200];
    uv_timer_t timer;
};

static const struct upstream_limits usual = { .connect_ms = 2000, .head_ms = 10000, .stall_ms = 10000,
                                              .acquire_ms = 10000, .connections = 8, .queue = 8,
                                              .follow_redirects = true };
static const char *const both[] = { "127.0.0.1", "127.0.0.2", NULL };

static int setup(void **state)
{
    struct fx *f = calloc(1, sizeof *f);
    loop_init(&f->loop, "test", 0);
    f->client = client_new(&f->loop);
    f->upstream = upstream_new(&f->loop, f->client);
    server_start(&servers[0], 0x7f000001);
    server_start(&servers[1], 0x7f000002);
    snprintf(f->url[0], sizeof f->url[0], "http://127.0.0.1:%d", servers[0].port);
    snprintf(f->url[1], sizeof f->url[1], "http://127.0.0.2:%d", servers[1].port);
    upstream_limits_set(&usual);
    assert_int_equal(upstream_allow(both, NULL), OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fx *f = *state;
    client_free(f->client);
    upstream_free(f->upstream);
    server_stop(&servers[0]);
    server_stop(&servers[1]);
    uv_close((uv_handle_t *)&f->loop.wake, NULL);
    uv_run(&f->loop.uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop.uv), 0);
    free(f);
    return 0;
}

static void on_head(struct upstream_request *r)
{
    struct call *c = r->arg;
    const char *etag = upstream_header(r, "etag");
    c->heads++;
    snprintf(c->etag, sizeof c->etag, "%s", etag ? etag : "");
}

static void on_resume(uv_timer_t *timer)
{
    struct call *c = container_of(timer, struct call, timer);
    uv_close((uv_handle_t *)timer, NULL);
    if (!c->done)
        upstream_resume(&c->r);
}

static bool on_data(struct upstream_request *r, const void *data, size_t size)
{
    struct call *c = r->arg;
    if (c->pause) {
        c->pause = false;
        uv_timer_init((uv_loop_t *)c->timer.data, &c->timer);
        uv_timer_start(&c->timer, on_resume, 20, 0);
        return false;
    }
    for (size_t i = 0; c->size >= sizeof c->text && i < size; i++)
        c->wrong = c->wrong || ((const char *)data)[i] != (char)((c->size + i) / 7);
    if (c->size + size < sizeof c->text)
        memcpy(c->text + c->size, data, size);
    c->size += size;
    return true;
}

static void on_done(struct upstream_request *r)
{
    struct call *c = r->arg;
    snprintf(c->final, sizeof c->final, "%s", r->url);
    c->done = true;
    c->ends++;
}

static enum err start(struct fx *f, struct call *c, const char *url, const char *path)
{
    struct why why;
    if (!c->remote.url)
        c->remote.url = url;
    c->r.remote = &c->remote;
    c->r.path = path;
    c->r.on_head = on_head;
    c->r.on_data = on_data;
    c->r.on_done = on_done;
    c->r.arg = c;
    c->timer.data = &f->loop.uv;
    enum err e = upstream_submit(f->upstream, &c->r, &why);
    assert_false(c->done);
    return e;
}

static struct call run(struct fx *f, const struct call *with, const char *url, const char *path)
{
    static struct call c;
    c = with ? *with : (struct call){ .done = false };
    c.remote.url = NULL;
    assert_int_equal(start(f, &c, url, path), OK);
    loop_run_until(&f->loop, &c.done);
    assert_int_equal(c.ends, 1);
    return c;
}

/* --- cases --- */

static void outcomes(void **state)
{
    struct fx *f = *state;
    static const struct {
        const char *path;
        enum upstream_outcome outcome;
        enum err err;
    } table[] = {
        { "status/200", UPSTREAM_OK, OK },
        { "/status/304", UPSTREAM_NOT_MODIFIED, OK },
        { "status/404", UPSTREAM_NOT_FOUND, ERR_NOT_FOUND },
        { "status/410", UPSTREAM_NOT_FOUND, ERR_NOT_FOUND },
        { "status/401", UPSTREAM_REFUSED, ERR_UPSTREAM },
        { "status/403", UPSTREAM_REFUSED, ERR_UPSTREAM },
        { "status/451", UPSTREAM_REFUSED, ERR_UPSTREAM },
        { "status/400", UPSTREAM_FAILED, ERR_UPSTREAM },
        { "status/416", UPSTREAM_FAILED, ERR_UPSTREAM },
        { "status/500", UPSTREAM_FAILED, ERR_UPSTREAM },
        { "status/503", UPSTREAM_FAILED, ERR_UNAVAILABLE },
        { "cut", UPSTREAM_FAILED, ERR_UPSTREAM },
        { "loop", UPSTREAM_FAILED, ERR_UPSTREAM },
        { "file", UPSTREAM_FAILED, ERR_UPSTREAM },
        { "near", UPSTREAM_OK, OK },
        { "away", UPSTREAM_OK, OK },
        { "status/429", UPSTREAM_TOO_MANY, ERR_UNAVAILABLE },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct call c = run(f, NULL, f->url[0], table[i].path);
        if (c.r.outcome != table[i].outcome || c.r.err != table[i].err)
            print_message("%s: %s\n", table[i].path, c.r.why.text);
        assert_int_equal(c.r.outcome, table[i].outcome);
        assert_int_equal(c.r.err, table[i].err);
        assert_int_equal(c.heads, c.r.outcome == UPSTREAM_OK || strcmp(table[i].path, "cut") == 0);
        if (c.r.outcome == UPSTREAM_OK) {
            assert_string_equal(c.text, "text");
            assert_string_equal(c.etag, "\"e\"");
            assert_non_null(strstr(c.final, "/status/200"));
        }
    }
    struct call any = run(f, &(struct call){ .r.any_status = true }, f->url[1], "/status/404");
    assert_int_equal(any.r.outcome, UPSTREAM_NOT_FOUND);
    assert_string_equal(any.text, "text");
}

/* However it is written, by name or by redirect, or over a connection that somebody else may have. */
static void forbidden_addresses_are_not_reached(void **state)
{
    struct fx *f = *state;
    static const char *const forms[] = { "127.0.0.1", "localhost", "LOCALHOST", "[::ffff:127.0.0.1]",
                                         "0.0.0.0", "0", "2130706433", "0x7f.1", "127.1", "0177.0.0.1" };
    const char *const second[] = { "127.0.0.2", NULL };
    char url[100];
    assert_int_equal(upstream_allow(NULL, NULL), OK);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        snprintf(url, sizeof url, "http://%s:%d", forms[i], servers[0].port);
        struct call c = run(f, NULL, url, "status/200");
        if (c.r.outcome != UPSTREAM_BLOCKED)
            print_message("%s: %s\n", url, c.r.why.text);
        assert_int_equal(c.r.outcome, UPSTREAM_BLOCKED);
        assert_int_equal(c.heads, 0);
    }
    assert_int_equal(servers[0].connections, 0);
    assert_int_equal(upstream_allow(both, NULL), OK);
    assert_int_equal(run(f, NULL, f->url[0], "status/200").r.outcome, UPSTREAM_OK); /* a connection stands */
    assert_int_equal(upstream_allow(second, NULL), OK);
    assert_int_equal(run(f, NULL, f->url[0], "status/200").r.outcome, UPSTREAM_BLOCKED);
    assert_int_equal(servers[0].requests, 1);
    const char *const first[] = { "127.0.0.1", NULL };
    assert_int_equal(upstream_allow(first, NULL), OK);
    struct call c = run(f, NULL, f->url[0], "private");
    assert_int_equal(c.r.outcome, UPSTREAM_BLOCKED);
    assert_null(strstr(c.r.why.text, "127.0.0.2"));
    assert_int_equal(servers[1].connections, 0);
}

static void credentials_stay_with_the_remote(void **state)
{
    struct fx *f = *state;
    const struct call with = { .remote = { .username = "joe", .password = "secret" } };
    run(f, &with, f->url[0], "status/200");
    assert_string_equal(servers[0].authorization, "Basic am9lOnNlY3JldA==");
    run(f, &with, f->url[0], "near");
    assert_string_equal(servers[0].authorization, "Basic am9lOnNlY3JldA==");
    assert_int_equal(run(f, &with, f->url[0], "away").r.outcome, UPSTREAM_OK);
    assert_int_equal(servers[1].requests, 1);
    assert_string_equal(servers[1].authorization, "");
    char absolute[100];
    snprintf(absolute, sizeof absolute, "%s/status/200", f->url[1]);
    assert_int_equal(run(f, &with, f->url[0], absolute).r.outcome, UPSTREAM_OK);
    assert_int_equal(servers[1].requests, 2);
    assert_string_equal(servers[1].authorization, "");
    run(f, &(struct call){ .remote.token = "t0k" }, f->url[0], "status/200");
    assert_string_equal(servers[0].authorization, "Bearer t0k");
}

static void redirects_can_be_switched_off(void **state)
{
    struct fx *f = *state;
    struct upstream_limits limits = usual;
    limits.follow_redirects = false;
    upstream_limits_set(&limits);
    struct call c = run(f, NULL, f->url[0], "near");
    assert_int_equal(c.r.outcome, UPSTREAM_FAILED);
    assert_int_equal(c.r.status, 302);
    assert_int_equal(servers[0].requests, 1);
}

static void token_flow(void **state)
{
    struct fx *f = *state;
    const struct call with = { .remote = { .username = "joe", .password = "secret" } };
    struct call c = run(f, &with, f->url[0], "v2/a/blobs/1");
    assert_int_equal(c.r.outcome, UPSTREAM_OK);
    assert_string_equal(c.text, "layer");
    assert_int_equal(servers[0].requests, 2);
    assert_int_equal(servers[1].tokens, 1);
    assert_string_equal(servers[1].authorization, "Basic am9lOnNlY3JldA==");
    assert_string_equal(servers[1].query, "/token?service=reg&scope=repo%3Aa%3Apull&account=joe");
    /* its neighbours know */
    assert_int_equal(run(f, &with, f->url[0], "v2/a/manifests/x").r.outcome, UPSTREAM_OK);
    assert_int_equal(servers[0].requests, 3);
    assert_int_equal(servers[1].tokens, 1);
    /* taken back: another one, once */
    servers[0].accepted_token = 2;
    assert_int_equal(run(f, &with, f->url[0], "v2/a/blobs/2").r.outcome, UPSTREAM_OK);
    assert_int_equal(servers[0].requests, 5);
    assert_int_equal(servers[1].tokens, 2);
    /* other credentials don't find it */
    const struct call other = { .remote = { .username = "jim", .password = "secret" } };
    assert_int_equal(run(f, &other, f->url[0], "v2/a/blobs/1").r.outcome, UPSTREAM_OK);
    assert_int_equal(servers[1].tokens, 3);
    /* nobody's */
    assert_int_equal(run(f, NULL, f->url[0], "v2/a/blobs/1").r.outcome, UPSTREAM_OK);
    assert_string_equal(servers[1].authorization, "");
    assert_string_equal(servers[1].query, "/token?service=reg&scope=repo%3Aa%3Apull");
    /* the scope is known, the path not */
    int before = servers[0].requests;
    const struct call scoped = { .r.scope = "repo:a:pull" };
    assert_int_equal(run(f, &scoped, f->url[0], "v2/b/blobs/1").r.outcome, UPSTREAM_OK);
    assert_int_equal(servers[0].requests, before + 1);
}

/* The remote takes a token back while its token service is out of order: what was refused is not shown
 * again. */
static void refused_token_is_dropped(void **state)
{
    struct fx *f = *state;
    const struct call with = { .remote = { .username = "ann", .password = "secret" } };
    assert_int_equal(run(f, &with, f->url[0], "v2/a/blobs/1").r.outcome, UPSTREAM_OK);
    assert_int_equal(servers[0].requests, 2);
    servers[0].accepted_token = 2;
    servers[1].no_tokens = true;
    assert_int_equal(run(f, &with, f->url[0], "v2/a/blobs/1").r.outcome, UPSTREAM_FAILED);
    assert_int_equal(servers[0].requests, 3);
    assert_int_equal(servers[1].tokens, 2);
    assert_int_equal(run(f, &with, f->url[0], "v2/a/blobs/1").r.outcome, UPSTREAM_FAILED);
    assert_int_equal(servers[0].requests, 3); /* asked for a token at once */
    assert_int_equal(servers[1].tokens, 3);
    servers[1].no_tokens = false;
    assert_int_equal(run(f, &with, f->url[0], "v2/a/blobs/1").r.outcome, UPSTREAM_OK);
    assert_int_equal(servers[0].requests, 4);
    assert_int_equal(servers[1].tokens, 4);
}

static void token_service_is_guarded(void **state)
{
    struct fx *f = *state;
    const char *const first[] = { "127.0.0.1", NULL };
    assert_int_equal(upstream_allow(first, NULL), OK);
    struct call c = run(f, &(struct call){ .remote = { .username = "x" } }, f->url[0], "v2/a/blobs/1");
    assert_int_equal(c.r.outcome, UPSTREAM_BLOCKED);
    assert_int_equal(servers[1].connections, 0);
}

static void breaker_leaves_it_alone(void **state)
{
    struct fx *f = *state;
    for (int i = 0; i < 5; i++)
        assert_int_equal(run(f, NULL, f->url[0], "status/502").r.status, 502);
    struct call c = run(f, NULL, f->url[0], "status/200");
    assert_int_equal(c.r.outcome, UPSTREAM_FAILED);
    assert_int_equal(c.r.err, ERR_UNAVAILABLE);
    assert_int_equal(c.r.status, 0);
    assert_non_null(strstr(c.r.why.text, "502"));
    assert_true(c.r.retry_after_ms > 0);
    assert_int_equal(servers[0].requests, 5);
    while (run(f, NULL, f->url[0], "status/200").r.outcome != UPSTREAM_OK)
        usleep(20000);
    assert_int_equal(servers[0].requests, 6);
    /* and a remote that asks for time gets it */
    c = run(f, NULL, f->url[1], "status/429");
    assert_int_equal(c.r.retry_after_ms, 2000);
    c = run(f, NULL, f->url[1], "status/200");
    assert_int_equal(c.r.outcome, UPSTREAM_TOO_MANY);
    assert_true(c.r.retry_after_ms > 1000 && c.r.retry_after_ms <= 2250);
    assert_int_equal(servers[1].requests, 1);
}

static void no_answer_in_time(void **state)
{
    struct fx *f = *state;
    struct upstream_limits limits = usual;
    limits.head_ms = 300;
    upstream_limits_set(&limits);
    struct call c = run(f, NULL, f->url[0], "hang");
    assert_int_equal(c.r.outcome, UPSTREAM_FAILED);
    assert_int_equal(c.r.err, ERR_UPSTREAM_TIMEOUT);
}

static void bytes_come_whole_through_pauses(void **state)
{
    struct fx *f = *state;
    struct call c = run(f, &(struct call){ .pause = true }, f->url[0], "big");
    assert_int_equal(c.r.outcome, UPSTREAM_OK);
    assert_int_equal(c.r.length, BIG);
    assert_int_equal(c.size, BIG);
    assert_false(c.wrong);
}

static void wait_held(struct fx *f, int n)
{
    for (;;) {
        pthread_mutex_lock(&lock);
        int now = held;
        pthread_mutex_unlock(&lock);
        if (now == n)
            return;
        uv_run(&f->loop.uv, UV_RUN_NOWAIT);
        usleep(1000);
    }
}

static void let_go(int n)
{
    pthread_mutex_lock(&lock);
    release += n;
    pthread_mutex_unlock(&lock);
}

static void places_are_bounded(void **state)
{
    struct fx *f = *state;
    struct upstream_limits limits = usual;
    struct call calls[4] = { { .done = false } };
    limits.connections = 2;
    limits.queue = 1;
    upstream_limits_set(&limits);
    for (int i = 0; i < 4; i++)
        assert_int_equal(start(f, &calls[i], f->url[0], "hold"), OK);
    loop_run_until(&f->loop, &calls[3].done);
    assert_int_equal(calls[3].r.outcome, UPSTREAM_FAILED);
    assert_int_equal(calls[3].r.err, ERR_UNAVAILABLE);
    wait_held(f, 2);
    assert_int_equal(servers[0].requests, 2);
    assert_false(calls[2].done);
    let_go(3);
    for (int i = 0; i < 3; i++) {
        loop_run_until(&f->loop, &calls[i].done);
        assert_int_equal(calls[i].r.outcome, UPSTREAM_OK);
    }
    assert_int_equal(servers[0].requests, 3);
    assert_true(servers[0].connections <= 2);
}

static void waiting_ends(void **state)
{
    struct fx *f = *state;
    struct upstream_limits limits = usual;
    struct call first = { .done = false }, late = first, gone = first, more = first;
    limits.connections = 1;
    limits.acquire_ms = 250;
    upstream_limits_set(&limits);
    assert_int_equal(start(f, &first, f->url[0], "hold"), OK);
    assert_int_equal(start(f, &late, f->url[0], "hold"), OK);
    assert_int_equal(start(f, &gone, f->url[0], "hold"), OK);
    upstream_cancel(&gone.r);
    loop_run_until(&f->loop, &gone.done);
    assert_int_equal(gone.r.err, ERR_CANCELED);
    loop_run_until(&f->loop, &late.done);
    assert_int_equal(late.r.err, ERR_UNAVAILABLE);
    /* more room is taken at once */
    limits.acquire_ms = 60000;
    upstream_limits_set(&limits);
    assert_int_equal(start(f, &more, f->url[0], "hold"), OK);
    limits.connections = 2;
    upstream_limits_set(&limits);
    wait_held(f, 2);
    upstream_cancel(&first.r);
    loop_run_until(&f->loop, &first.done);
    assert_int_equal(first.r.err, ERR_CANCELED);
    let_go(2);
    loop_run_until(&f->loop, &more.done);
    assert_int_equal(more.r.outcome, UPSTREAM_OK);
    wait_held(f, 0);
}

/* A worker that ends: what runs, what waits and what is about to end has on_done, once. */
static void the_end_of_a_worker(void **state)
{
    struct fx *f = *state;
    struct upstream_limits limits = usual;
    struct call calls[3] = { { .done = false } };
    limits.connections = 1;
    limits.queue = 1;
    upstream_limits_set(&limits);
    for (int i = 0; i < 3; i++)
        assert_int_equal(start(f, &calls[i], f->url[0], "slow"), OK);
    client_free(f->client);
    upstream_free(f->upstream);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(calls[i].ends, 1);
        assert_int_equal(calls[i].r.err, ERR_CANCELED);
    }
    f->client = client_new(&f->loop);
    f->upstream = upstream_new(&f->loop, f->client);
    limits.connections = 1;
    assert_int_equal(run(f, NULL, f->url[0], "status/200").r.outcome, UPSTREAM_OK); /* its place is free */
}

static void metrics(void **state)
{
    struct fx *f = *state;
    struct buf b;
    char line[200];
    run(f, NULL, f->url[0], "near");
    run(f, NULL, f->url[0], "status/404");
    buf_init(&b, 1 << 20);
    upstream_metrics(&b);
    assert_int_equal(buf_err(&b), OK);
    snprintf(line, sizeof line, "pantera_upstream_requests_total{remote=\"%s\",result=\"not_found\"} 1\n",
             f->url[0]);
    assert_non_null(strstr(b.data, line));
    snprintf(line, sizeof line, "pantera_upstream_http_requests_total{remote=\"%s\"} 3\n", f->url[0]);
    assert_non_null(strstr(b.data, line));
    snprintf(line, sizeof line, "pantera_upstream_request_duration_seconds_count{remote=\"%s\"} 2\n",
             f->url[0]);
    assert_non_null(strstr(b.data, line));
    snprintf(line, sizeof line, "pantera_upstream_breaker_state{remote=\"%s\"} 0\n", f->url[0]);
    assert_non_null(strstr(b.data, line));
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        CASE(outcomes), CASE(forbidden_addresses_are_not_reached), CASE(credentials_stay_with_the_remote),
        CASE(redirects_can_be_switched_off), CASE(token_flow), CASE(refused_token_is_dropped),
        CASE(token_service_is_guarded),
        CASE(breaker_leaves_it_alone), CASE(no_answer_in_time), CASE(bytes_come_whole_through_pauses),
        CASE(places_are_bounded), CASE(waiting_ends), CASE(the_end_of_a_worker), CASE(metrics),
    };
    signal(SIGPIPE, SIG_IGN);
    log_init(LOG_ERROR, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
