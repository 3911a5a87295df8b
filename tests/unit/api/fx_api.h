/* SPDX-License-Identifier: Apache-2.0 */
/* fx_api: a cluster of one after its first start, one worker with the management and the repository port on
 * free ports. Requests go over sockets, as anybody's. The admin is admin / Admin-pass-123. */
#ifndef FX_API_H
#define FX_API_H

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

#include "api/internal.h"
#include "pantera/buf.h"
#include "pantera/clock.h"
#include "pantera/registry.h"
#include "pantera/text.h"
#include "pantera/upstream.h"
#include "src/auth/internal.h"

#include <cmocka.h> /* after our headers: its fail() is a macro */
#undef fail

#define FX_PASSWORD "Admin-pass-123"

struct fx_api {
    char dir[64];
    struct config config;
    struct cluster *cluster;
    struct worker worker;
    struct http_listener_options api, repositories;
    int api_port, port;
    struct arena arena; /* the test thread's */
    struct why why;
    enum err err;
    struct task task;
    uv_sem_t done;
    void (*run)(struct fx_api *fx);
};

static struct fx_api fx_api_instance;

static inline void fx_api_setup(struct loop *loop, void *arg)
{
    struct fx_api *fx = arg;
    static const struct http_limits limits = { .max_connections = 200 };
    struct worker *w = &fx->worker;
    w->config = &fx->config;
    w->cluster = fx->cluster;
    w->client = client_new(loop);
    w->upstream = upstream_new(loop, w->client);
    w->reader = meta_reader_open(fx->dir, &fx->why);
    w->auth = auth_new(&(struct auth_options){ loop, fx->cluster, w->reader });
    w->registry = registry_new(w);
    w->http = http_server_new(loop, &limits);
    fx->api = (struct http_listener_options){
        .host = "127.0.0.1", .dialect = DIALECT_PANTERA, .on_request = api_on_request,
        .on_refused = api_on_refused, .on_finished = api_on_finished, .context = w,
    };
    fx->repositories = fx->api;
    fx->repositories.dialect = DIALECT_PLAIN;
    fx->repositories.on_request = api_on_repository_request;
    fx->err = http_listen(w->http, &fx->api, &fx->api_port, &fx->why);
    if (!fx->err)
        fx->err = http_listen(w->http, &fx->repositories, &fx->port, &fx->why);
}

static inline void fx_api_stopped(struct loop *loop)
{
    struct worker *w = container_of(loop, struct worker, loop);
    http_server_free(w->http);
    registry_free(w->registry);
    auth_free(w->auth);
    client_free(w->client);
    upstream_free(w->upstream);
    meta_reader_close(w->reader);
}

static inline void fx_task(struct task *task)
{
    struct fx_api *fx = container_of(task, struct fx_api, task);
    fx->run(fx);
    uv_sem_post(&fx->done);
}

/* `run` on the worker's loop, while the test waits. */
static inline void fx_on_loop(struct fx_api *fx, void (*run)(struct fx_api *fx))
{
    fx->run = run;
    fx->task.run = fx_task;
    loop_post(&fx->worker.loop, &fx->task);
    uv_sem_wait(&fx->done);
}

static inline void fx_bootstrapped(struct worker *w, enum err e, const char *generated)
{
    struct fx_api *fx = container_of(w, struct fx_api, worker);
    fx->err = e;
    check(!generated);
    uv_sem_post(&fx->done);
}

static inline void fx_bootstrap(struct task *task)
{
    auth_bootstrap(&container_of(task, struct fx_api, task)->worker, fx_bootstrapped);
}

static inline int fx_api_start(void **state)
{
    struct fx_api *fx = &fx_api_instance;
    struct cluster_options o = { .id = 1 };
    struct cluster_figures figures;
    static bool initialised;
    memset(fx, 0, sizeof *fx);
    arena_init(&fx->arena);
    snprintf(fx->dir, sizeof fx->dir, "/tmp/fx_api.XXXXXX");
    assert_non_null(mkdtemp(fx->dir));
    fx->config = (struct config){ .home = fx->dir, .user_name = "admin", .user_pass = FX_PASSWORD,
                                  .cache_dir = fx->dir };
    o.data_dir = fx->dir;
    work_pool_start(4);
    if (!initialised)
        api_init();
    initialised = true;
    assert_int_equal(uv_sem_init(&fx->done, 0), 0);
    assert_int_equal(cluster_start(&o, &fx->cluster, &fx->why), OK);
    loop_init(&fx->worker.loop, "worker", 0);
    fx->worker.loop.on_stop = fx_api_stopped;
    loop_start(&fx->worker.loop, fx_api_setup, fx);
    assert_int_equal(fx->err, OK);
    for (uint64_t end = clock_mono_ms() + 10000; clock_mono_ms() < end;) {
        cluster_figures(fx->cluster, &figures);
        if (cluster_is_leader(fx->cluster) && cluster_current(fx->cluster))
            break;
        uv_sleep(2);
    }
    fx->task.run = fx_bootstrap;
    loop_post(&fx->worker.loop, &fx->task);
    uv_sem_wait(&fx->done);
    assert_int_equal(fx->err, OK);
    *state = fx;
    return 0;
}

static inline int fx_unlink(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static inline int fx_api_stop(void **state)
{
    struct fx_api *fx = *state;
    if (fx->cluster)
        cluster_stop(fx->cluster, 1000);
    loop_stop(&fx->worker.loop);
    loop_join(&fx->worker.loop);
    work_pool_stop();
    uv_sem_destroy(&fx->done);
    arena_release(&fx->arena);
    nftw(fx->dir, fx_unlink, 8, FTW_DEPTH | FTW_PHYS);
    return 0;
}

/* --- a client --- */

struct fx_answer {
    int status;
    const char *head, *body; /* the fixture's arena */
};

/* `authorization`: "Bearer x", "Basic x", or NULL. `body` may be NULL. */
static inline struct fx_answer fx_ask(struct fx_api *fx, int port, const char *method,
                                      const char *target, const char *authorization,
                                      const char *body)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct buf b;
    char chunk[8192];
    ssize_t n;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    buf_init(&b, (size_t)1 << 24);
    buf_printf(&b, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", method, target);
    if (authorization)
        buf_printf(&b, "Authorization: %s\r\n", authorization);
    if (body)
        buf_printf(&b, "Content-Length: %zu\r\n", strlen(body));
    buf_puts(&b, "\r\n");
    if (body)
        buf_puts(&b, body);
    for (size_t at = 0; at < b.length; at += (size_t)n)
        if ((n = send(fd, b.data + at, b.length - at, MSG_NOSIGNAL)) <= 0)
            break; /* it was answered before it had all of it */
    buf_clear(&b);
    while ((n = recv(fd, chunk, sizeof chunk, 0)) > 0)
        buf_add(&b, chunk, (size_t)n);
    close(fd);
    assert_true(b.length > 12);
    char *text = arena_strndup(&fx->arena, b.data, b.length), *end = strstr(text, "\r\n\r\n");
    buf_free(&b);
    assert_non_null(end);
    end[2] = '\0';
    return (struct fx_answer){ atoi(text + 9), text, end + 4 };
}

static inline int fx_status(struct fx_api *fx, const char *method, const char *path,
                            const char *authorization, const char *body)
{
    const char *target = arena_printf(&fx->arena, "/api/v1%s", path);
    return fx_ask(fx, fx->api_port, method, target, authorization, body).status;
}

/* The body as JSON; dropped at the test's end by whoever keeps it. Fails if the status is another. */
static inline json_t *fx_json(struct fx_api *fx, int status, const char *method, const char *path,
                              const char *authorization, const char *body)
{
    const char *target = arena_printf(&fx->arena, "/api/v1%s", path);
    struct fx_answer a = fx_ask(fx, fx->api_port, method, target, authorization, body);
    if (a.status != status)
        print_error("%s %s: %d %s\n", method, path, a.status, a.body);
    assert_int_equal(a.status, status);
    json_t *json = json_loads(a.body, JSON_DECODE_ANY, NULL);
    assert_non_null(json);
    return json;
}

static inline const char *fx_text(struct fx_api *fx, const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    assert_non_null(text);
    return arena_strdup(&fx->arena, text);
}

static inline const char *fx_basic(struct fx_api *fx, const char *user, const char *password)
{
    const char *pair = arena_printf(&fx->arena, "%s:%s", user, password);
    return arena_printf(&fx->arena, "Basic %s", base64_encode(&fx->arena, pair, strlen(pair)));
}

static inline const char *fx_bearer(struct fx_api *fx, const char *token)
{
    return arena_printf(&fx->arena, "Bearer %s", token);
}

/* Signs in; gives "Bearer …", and the refresh token if that is not NULL. */
static inline const char *fx_sign_in(struct fx_api *fx, const char *user, const char *password,
                                     const char **ret_refresh)
{
    const char *body = arena_printf(&fx->arena, "{\"name\":\"%s\",\"pass\":\"%s\"}", user, password);
    json_t *json = fx_json(fx, 200, "POST", "/auth/token", NULL, body);
    const char *bearer = fx_bearer(fx, fx_text(fx, json, "token"));
    if (ret_refresh)
        *ret_refresh = fx_text(fx, json, "refresh_token");
    json_decref(json);
    return bearer;
}

/* A user with one role of these permissions (JSON); "joe" has the role "joes". Password joe's below. */
#define FX_USER_PASSWORD "Users-pass-123"
static inline const char *fx_user(struct fx_api *fx, const char *admin, const char *name,
                                  const char *permissions)
{
    const char *role = arena_printf(&fx->arena, "/roles/%ss", name);
    const char *user = arena_printf(&fx->arena, "/users/%s", name);
    const char *body = arena_printf(&fx->arena, "{\"pass\":\"" FX_USER_PASSWORD "\",\"roles\":[\"%ss\"]}",
                                    name);
    assert_int_equal(fx_status(fx, "PUT", role, admin, permissions), 201);
    assert_int_equal(fx_status(fx, "PUT", user, admin, body), 201);
    return fx_sign_in(fx, name, FX_USER_PASSWORD, NULL);
}

#endif
