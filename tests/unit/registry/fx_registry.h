/* SPDX-License-Identifier: Apache-2.0 */
/* fx_registry: a cluster of one, one worker with a real listener on a free port, one repository "files" in
 * an fs store. Requests go over sockets; every method maps to its verb, nobody is asked who he is. */
#ifndef FX_REGISTRY_H
#define FX_REGISTRY_H

#include <arpa/inet.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pantera/api.h"
#include "pantera/clock.h"
#include "pantera/fault.h"
#include "pantera/registry.h"
#include "pantera/upstream.h"
#include "pantera/worker.h"
#include "storage/meta/sql.h"

#include <cmocka.h> /* after our headers: its fail() is a macro */
#undef fail

#define FX_PASSWORD "Some-Long-Passw0rd"
#define FX_BASIC "Authorization: Basic YWRtaW46U29tZS1Mb25nLVBhc3N3MHJk\r\n"

struct fx_registry {
    char dir[64], store_dir[80];
    struct config config;
    struct cluster *cluster;
    struct worker worker;
    struct http_listener_options listener;
    struct meta_reader *reader;  /* the test thread's */
    int port;
    bool with_api;               /* requests go through api_on_repository_request */
    uv_sem_t bootstrapped;
    struct why why;
    enum err err;
};

static inline void fx_failed(struct http_request *req, enum err e, const struct why *why)
{
    const char *text = why_text(why, e);
    http_reply(req, err_status(e), "text/plain", text, strlen(text));
}

static inline void fx_put_done(struct http_request *req, enum err e, const struct why *why,
                               const struct registry_put_result *result)
{
    if (e)
        fx_failed(req, e, why);
    else
        http_reply(req, result->created ? 201 : 200, NULL, NULL, 0);
}

static inline void fx_delete_done(struct http_request *req, enum err e, const struct why *why)
{
    if (e)
        fx_failed(req, e, why);
    else
        http_reply(req, 204, NULL, NULL, 0);
}

static inline void fx_on_request(struct http_request *req)
{
    const struct repo *repo = registry_repo(worker_of(req)->registry, "files");
    const char *path = req->target + 1;

    if (!repo)
        fx_failed(req, ERR_NOT_FOUND, NULL);
    else if (req->method == HTTP_M_PUT)
        registry_put(req, repo, path, http_header(req, "content-type"),
                     DIGEST_SHA256 | DIGEST_MD5, fx_put_done);
    else if (req->method == HTTP_M_DELETE)
        registry_delete(req, repo, path, fx_delete_done);
    else if (!registry_get(req, repo, path, fx_failed))
        fx_failed(req, ERR_NOT_FOUND, NULL);
}

static inline void fx_on_refused(struct http_request *req, enum err e, const char *text)
{
    http_reply(req, err_status(e), "text/plain", text, strlen(text));
}

static inline void fx_worker_setup(struct loop *loop, void *arg)
{
    struct fx_registry *fx = arg;
    static const struct http_limits limits = { .max_connections = 100 };
    struct worker *w = &fx->worker;

    w->config = &fx->config;
    w->cluster = fx->cluster;
    w->client = client_new(loop);
    w->upstream = upstream_new(loop, w->client);
    w->reader = meta_reader_open(fx->dir, &fx->why);
    w->registry = registry_new(w);
    w->http = http_server_new(loop, &limits);
    fx->listener = (struct http_listener_options){ .host = "127.0.0.1",
                                                   .on_request = fx_on_request,
                                                   .on_refused = fx_on_refused,
                                                   .context = w };
    if (fx->with_api) {
        w->auth = auth_new(&(struct auth_options){ .loop = loop, .cluster = w->cluster,
                                                   .reader = w->reader });
        fx->listener.on_request = api_on_repository_request;
        fx->listener.on_refused = api_on_refused;
        fx->listener.dialect = DIALECT_PLAIN;
    }
    fx->err = http_listen(w->http, &fx->listener, &fx->port, &fx->why);
}

static inline void fx_worker_stop(struct loop *loop)
{
    struct worker *w = container_of(loop, struct worker, loop);

    registry_gc_stop(w->registry);
    http_server_free(w->http);
    registry_free(w->registry);
    if (w->auth)
        auth_free(w->auth);
    client_free(w->client);
    upstream_free(w->upstream);
    meta_reader_close(w->reader);
}

/* --- what runs on the worker's loop while the test waits --- */

struct fx_call {
    struct task task;
    struct proposal proposal;
    struct fx_registry *fx;
    uv_sem_t done;
    void (*run)(struct fx_registry *fx);
};

static inline void fx_on_proposed(struct proposal *p)
{
    uv_sem_post(&container_of(p, struct fx_call, proposal)->done);
}

static inline void fx_call_run(struct task *task)
{
    struct fx_call *c = container_of(task, struct fx_call, task);

    if (c->run) {
        c->run(c->fx);
        uv_sem_post(&c->done);
    } else {
        c->proposal.home = &c->fx->worker.loop;
        c->proposal.on_done = fx_on_proposed;
        cluster_propose(c->fx->cluster, &c->proposal);
    }
}

static inline void fx_call(struct fx_registry *fx, struct fx_call *c)
{
    c->fx = fx;
    c->task.run = fx_call_run;
    assert_int_equal(uv_sem_init(&c->done, 0), 0);
    loop_post(&fx->worker.loop, &c->task);
    uv_sem_wait(&c->done);
    uv_sem_destroy(&c->done);
}

static inline enum err fx_propose(struct fx_registry *fx, const char *op, json_t *args)
{
    struct fx_call c = { .proposal = { .op = op, .args = args } };

    assert_non_null(args);
    fx_call(fx, &c);
    json_decref(c.proposal.result);
    return c.proposal.err;
}

static inline void fx_on_loop(struct fx_registry *fx, void (*run)(struct fx_registry *fx))
{
    struct fx_call c = { .run = run };
    fx_call(fx, &c);
}

static inline enum err fx_repo_put(struct fx_registry *fx, json_t *repo)
{
    return fx_propose(fx, "repo.put", json_pack("{s:s, s:s, s:s, s:{s:o}}", "name", "files", "type",
                                                "file", "storage", "default", "config", "repo",
                                                repo));
}

static inline int64_t fx_int(struct fx_registry *fx, const char *literal)
{
    struct sql *q = sql_read(fx->reader, literal);
    int64_t n;

    assert_true(sql_row(q));
    n = sql_int(q, 0);
    sql_end(q);
    return n;
}

/* Polls until the query gives `wanted`; fails after ten seconds. */
static inline void fx_await(struct fx_registry *fx, const char *literal, int64_t wanted)
{
    uint64_t end = clock_mono_ms() + 10000;

    while (fx_int(fx, literal) != wanted && clock_mono_ms() < end)
        usleep(2000);
    assert_int_equal(fx_int(fx, literal), wanted);
}

/* --- begin, end --- */

static struct fx_registry *the_fx __attribute__((unused));

static inline void fx_bootstrapped(struct worker *w, enum err e, const char *password)
{
    (void)w, (void)password;
    the_fx->err = e;
    uv_sem_post(&the_fx->bootstrapped);
}

static inline void fx_bootstrap(struct fx_registry *fx)
{
    auth_bootstrap(&fx->worker, fx_bootstrapped);
}

/* `with_api`: the user "admin", FX_PASSWORD, may everything. */
static inline void fx_registry_start_as(struct fx_registry *fx, bool with_api)
{
    struct cluster_options o = { .id = 1 };

    memset(fx, 0, sizeof *fx);
    fx->with_api = with_api;
    fx->config.user_name = "admin";
    fx->config.user_pass = FX_PASSWORD;
    snprintf(fx->dir, sizeof fx->dir, "/tmp/fx_registry.XXXXXX");
    assert_non_null(mkdtemp(fx->dir));
    snprintf(fx->store_dir, sizeof fx->store_dir, "%s/store", fx->dir);
    fx->config.gc_interval_ms = 20;
    fx->config.cache_dir = fx->dir;
    o.data_dir = fx->dir;
    assert_int_equal(cluster_start(&o, &fx->cluster, &fx->why), OK);
    loop_init(&fx->worker.loop, "worker", 0);
    fx->worker.loop.on_stop = fx_worker_stop;
    loop_start(&fx->worker.loop, fx_worker_setup, fx);
    assert_int_equal(fx->err, OK);
    fx->reader = meta_reader_open(fx->dir, &fx->why);
    assert_non_null(fx->reader);
    fx_await(fx, "SELECT count(*) FROM sqlite_master WHERE name = 'upload_by_store'", 1);
    fx->config.storage = json_pack("{s:s, s:s}", "type", "fs", "path", fx->store_dir);
    if (with_api) {
        assert_int_equal(uv_sem_init(&fx->bootstrapped, 0), 0);
        the_fx = fx;
        fx_on_loop(fx, fx_bootstrap);
        uv_sem_wait(&fx->bootstrapped);
        uv_sem_destroy(&fx->bootstrapped);
        assert_int_equal(fx->err, OK);
    } else {
        assert_int_equal(fx_propose(fx, "alias.put",
                                    json_pack("{s:i, s:s, s:O}", "repo_id", 0, "name", "default",
                                              "config", fx->config.storage)), OK);
    }
    assert_int_equal(fx_repo_put(fx, json_pack("{s:s, s:s}", "type", "file", "storage", "default")),
                     OK);
}

static inline void fx_registry_start(struct fx_registry *fx)
{
    fx_registry_start_as(fx, false);
}

static inline int fx_unlink(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static inline void fx_gc_stop(struct fx_registry *fx)
{
    registry_gc_stop(fx->worker.registry);
}

static inline void fx_registry_stop(struct fx_registry *fx)
{
    /* What was proposed so far is over when this one is. */
    fx_on_loop(fx, fx_gc_stop);
    (void)fx_propose(fx, "garbage.done", json_pack("{s:[]}", "keys"));
    meta_reader_close(fx->reader);
    cluster_stop(fx->cluster, 1000);
    loop_stop(&fx->worker.loop);
    loop_join(&fx->worker.loop);
    json_decref(fx->config.storage);
    nftw(fx->dir, fx_unlink, 8, FTW_DEPTH | FTW_PHYS);
}

/* --- a client --- */

struct fx_answer {
    int status;
    char *raw, *head, *body;     /* head and body point into raw; head ends before the empty line */
    size_t body_size;
};

static inline int fx_connect(struct fx_registry *fx)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)fx->port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* False when the other side does not want more. */
static inline bool fx_send(int fd, const void *data, size_t size)
{
    const char *at = data;

    while (size) {
        ssize_t n = send(fd, at, size, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

static inline struct fx_answer fx_receive(int fd)
{
    struct fx_answer a = { 0 };
    size_t size = 0, capacity = 65536;
    char *end;

    a.raw = malloc(capacity + 1);
    for (ssize_t n; (n = recv(fd, a.raw + size, capacity - size, 0)) > 0;) {
        size += (size_t)n;
        if (size == capacity)
            a.raw = realloc(a.raw, (capacity *= 2) + 1);
    }
    close(fd);
    a.raw[size] = 0;
    end = strstr(a.raw, "\r\n\r\n");
    assert_non_null(end);
    end[2] = 0;
    a.head = a.raw;
    a.body = end + 4;
    a.body_size = size - (size_t)(a.body - a.raw);
    a.status = (int)strtol(a.raw + 9, NULL, 10);
    return a;
}

/* One exchange. `headers`: lines with CRLF, or "". The answer's `raw` is the caller's to free. */
static inline struct fx_answer fx_http(struct fx_registry *fx, const char *method, const char *path,
                                       const char *headers, const void *body, size_t size)
{
    char head[2048];
    int fd = fx_connect(fx);
    int n = snprintf(head, sizeof head, "%s /%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s",
                     method, path, headers);

    if (body)
        n += snprintf(head + n, sizeof head - (size_t)n, "Content-Length: %zu\r\n", size);
    n += snprintf(head + n, sizeof head - (size_t)n, "\r\n");
    if (fx_send(fd, head, (size_t)n) && body)
        (void)fx_send(fd, body, size);
    return fx_receive(fd);
}

static inline int fx_status(struct fx_registry *fx, const char *method, const char *path,
                            const char *headers, const char *body)
{
    struct fx_answer a = fx_http(fx, method, path, headers, body, body ? strlen(body) : 0);
    int status = a.status;

    free(a.raw);
    return status;
}

#endif
