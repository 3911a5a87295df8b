/* SPDX-License-Identifier: Apache-2.0 */
/* A server on a loop: listeners, accepting, the one timer, draining, and what its connections share. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "conn.h"
#include "pantera/clock.h"
#include "pantera/ids.h"
#include "pantera/log.h"

/* Finished exchanges kept for the next ones. None under a sanitizer: it shall see a use after the end. */
#if defined(__SANITIZE_ADDRESS__)
enum { SPARE_EXCHANGES = 0 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
enum { SPARE_EXCHANGES = 0 };
#else
enum { SPARE_EXCHANGES = 64 };
#endif
#else
enum { SPARE_EXCHANGES = 64 };
#endif

static void on_timer(uv_timer_t *timer);

/* --- shared by connections --- */
struct exchange *server_take_exchange(struct http_server *s)
{
    struct exchange *ex = s->spare;
    if (ex) {
        struct arena arena = ex->req.arena;
        s->spare = ex->next_spare;
        s->spare_count--;
        memset(ex, 0, offsetof(struct exchange, headers));
        ex->req.arena = arena;
        return ex;
    }
    ex = malloc(sizeof *ex); /* not cleared as a whole: most of `text` is never touched */
    if (!ex)
        log_fatal("http", "out of memory: a request");
    memset(ex, 0, offsetof(struct exchange, headers));
    arena_init(&ex->req.arena);
    return ex;
}

void server_give_exchange(struct http_server *s, struct exchange *ex)
{
    if (s->spare_count == SPARE_EXCHANGES) {
        arena_release(&ex->req.arena);
        free(ex);
        return;
    }
    arena_reset(&ex->req.arena);
    ex->next_spare = s->spare;
    s->spare = ex;
    s->spare_count++;
}

const char *server_date(struct http_server *s)
{
    int64_t second = (int64_t)time(NULL);
    if (second != s->date_second) {
        char text[32];
        s->date_second = second;
        snprintf(s->date, sizeof s->date, "Date: %s\r\n", clock_http_date(second * 1000, text));
    }
    return s->date;
}

/* --- kicks: connections that are to run, but not inside the call that caused it --- */
static void tell_drained(struct http_server *s)
{
    if (!s->draining || s->connection_count || s->drained_told)
        return;
    s->drained_told = true;
    s->drain_deadline = 0;
    if (s->on_drained)
        s->on_drained(s->drained_arg);
}

static void on_idle(uv_idle_t *idle)
{
    struct http_server *s = container_of(idle, struct http_server, idle);
    uv_idle_stop(idle);
    struct link batch;
    list_init(&batch);
    while (!list_empty(&s->kicked)) { /* those kicked meanwhile wait for the next turn */
        struct link *l = s->kicked.next;
        list_remove(l);
        list_append(&batch, l);
    }
    while (!list_empty(&batch)) {
        struct link *l = batch.next;
        list_remove(l);
        conn_run(container_of(l, struct http_conn, kick));
    }
    tell_drained(s);
}

void server_kick(struct http_server *s, struct http_conn *c)
{
    if (link_used(&c->kick))
        return;
    list_append(&s->kicked, &c->kick);
    uv_idle_start(&s->idle, on_idle);
}

/* --- deadlines --- */
static uint64_t duration(const struct http_server *s, enum deadline kind)
{
    switch (kind) {
    case DEADLINE_IDLE:
        return s->limits.idle_timeout_ms;
    case DEADLINE_HEAD:
        return s->limits.header_timeout_ms;
    case DEADLINE_BODY:
        return s->limits.body_timeout_ms;
    default:
        return LINGER_MS;
    }
}

/* Arms the timer if it would come too late. It is not put off when deadlines are: it then finds nothing
 * due, and arms itself again for the earliest. */
static void wake_by(struct http_server *s, uint64_t due)
{
    if (s->timer_due && s->timer_due <= due)
        return;
    uint64_t now = uv_now(&s->loop->uv);
    s->timer_due = due;
    uv_timer_start(&s->timer, on_timer, due > now ? due - now : 0, 0);
}

void server_deadline(struct http_server *s, struct http_conn *c, enum deadline kind)
{
    list_remove(&c->due_link);
    c->deadline = kind;
    if (kind == DEADLINE_NONE)
        return;
    c->due = uv_now(&s->loop->uv) + duration(s, kind);
    list_append(&s->deadlines[kind], &c->due_link);
    wake_by(s, c->due);
}

static void listen_again(struct http_server *s);

static void expire(struct http_server *s, uint64_t now)
{
    for (int kind = 0; kind < DEADLINES; kind++) {
        struct link *list = &s->deadlines[kind];
        while (!list_empty(list)) {
            struct http_conn *c = container_of(list->next, struct http_conn, due_link);
            if (c->due > now)
                break;
            list_remove(&c->due_link);
            c->deadline = DEADLINE_NONE;
            conn_on_timeout(c);
        }
    }
}

static void cut_off_all(struct http_server *s)
{
    for (struct link *l = s->connections.next; l != &s->connections; l = l->next)
        conn_break(container_of(l, struct http_conn, all)); /* only notes and kicks */
}

static void on_timer(uv_timer_t *timer)
{
    struct http_server *s = container_of(timer, struct http_server, timer);
    uint64_t now = uv_now(&s->loop->uv);
    s->timer_due = 0;
    expire(s, now);
    if (s->accept_retry && s->accept_retry <= now)
        listen_again(s);
    if (s->drain_deadline && s->drain_deadline <= now) {
        s->drain_deadline = 0;
        cut_off_all(s);
    }
    for (int kind = 0; kind < DEADLINES; kind++)
        if (!list_empty(&s->deadlines[kind]))
            wake_by(s, container_of(s->deadlines[kind].next, struct http_conn, due_link)->due);
    if (s->accept_retry)
        wake_by(s, s->accept_retry);
    if (s->drain_deadline)
        wake_by(s, s->drain_deadline);
}

/* --- accepting --- */
static void name_peer(struct http_conn *c, const struct sockaddr_storage *address)
{
    const void *bytes = &((const struct sockaddr_in *)address)->sin_addr;
    int family = address->ss_family;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;
    if (family == AF_INET6) {
        bytes = &six->sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
            bytes = &six->sin6_addr.s6_addr[12];
            family = AF_INET;
        }
    }
    if (family != AF_INET && family != AF_INET6)
        return;
    if (!inet_ntop(family, bytes, c->peer, sizeof c->peer))
        c->peer[0] = '\0';
}

static void stop_listening(struct listener *l)
{
    l->waiting = true;
    uv_poll_stop(&l->poll);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
    struct listener *l = container_of(poll, struct listener, poll);
    struct http_server *s = l->server;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        if (s->connection_count >= s->limits.max_connections) {
            stop_listening(l); /* until one closes */
            return;
        }
        struct sockaddr_storage address = { 0 };
        socklen_t size = sizeof address;
        int fd = accept4(l->fd, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
            log_warn("http", "cannot accept: %s", strerror(errno));
            stop_listening(l);
            s->accept_retry = uv_now(&s->loop->uv) + ACCEPT_RETRY_MS;
            wake_by(s, s->accept_retry);
            return;
        }
        if (fd < 0)
            continue; /* that one is gone already: ECONNABORTED, EINTR, ... */
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct http_conn *c = http_conn_adopt(s, l->options, fd);
        if (c)
            name_peer(c, &address);
    }
}

static void listen_again(struct http_server *s)
{
    s->accept_retry = 0;
    for (struct listener *l = s->listeners; l; l = l->next)
        if (l->waiting) {
            l->waiting = false;
            uv_poll_start(&l->poll, UV_READABLE, on_connection);
        }
}

void server_on_conn_closing(struct http_server *s)
{
    s->connection_count--;
    if (!s->draining)
        listen_again(s);
    else if (s->connection_count == 0)
        uv_idle_start(&s->idle, on_idle); /* which tells */
}

static int bind_one(const struct addrinfo *address)
{
    int one = 1, fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) == 0 &&
        bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, 4096) == 0)
        return fd;
    int e = errno;
    close(fd);
    errno = e;
    return -1;
}

static enum err bind_any(const struct http_listener_options *o, int *ret_fd, struct why *why)
{
    char port[16];
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
    struct addrinfo *found = NULL;
    snprintf(port, sizeof port, "%d", o->port);
    int status = getaddrinfo(o->host, port, &hints, &found);
    if (status)
        return fail(why, ERR_BAD_REQUEST, "cannot listen on '%s': %s", o->host,
                    gai_strerror(status));
    int fd = -1;
    for (struct addrinfo *a = found; a && fd < 0; a = a->ai_next)
        fd = bind_one(a);
    int e = errno;
    freeaddrinfo(found);
    if (fd < 0)
        return fail(why, err_from_errno(e), "cannot listen on %s:%d: %s", o->host, o->port,
                    strerror(e));
    *ret_fd = fd;
    return OK;
}

static int bound_port(int fd)
{
    struct sockaddr_storage address = { 0 };
    socklen_t size = sizeof address;
    getsockname(fd, (struct sockaddr *)&address, &size);
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}

enum err http_listen(struct http_server *s, const struct http_listener_options *options,
                     int *ret_port, struct why *why)
{
    int fd = -1;
    enum err e = bind_any(options, &fd, why);
    if (e)
        return e;
    struct listener *l = calloc(1, sizeof *l);
    int status = l ? uv_poll_init(&s->loop->uv, &l->poll, fd) : UV_ENOMEM;
    if (status) {
        free(l);
        close(fd);
        return fail(why, err_from_uv(status), "cannot watch %s:%d: %s", options->host,
                    options->port, uv_strerror(status));
    }
    l->next = s->listeners;
    l->server = s;
    l->options = options;
    l->fd = fd;
    s->listeners = l;
    s->handles++;
    uv_poll_start(&l->poll, UV_READABLE, on_connection);
    if (ret_port)
        *ret_port = bound_port(fd);
    return OK;
}

/* --- life --- */
/* sendfile(2) and OpenSSL's own writes know no MSG_NOSIGNAL. */
static void ignore_sigpipe(void)
{
    struct sigaction now;
    if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
}

static unsigned or_default(unsigned value, unsigned fallback)
{
    return value ? value : fallback;
}

struct http_server *http_server_new(struct loop *loop, const struct http_limits *limits)
{
    static const struct http_limits none = { 0 };
    const struct http_limits *given = limits ? limits : &none;
    struct http_server *s = calloc(1, sizeof *s);
    if (!s)
        log_fatal("http", "out of memory: a server");
    ignore_sigpipe();
    s->loop = loop;
    s->limits = (struct http_limits){ .header_timeout_ms = or_default(given->header_timeout_ms, 15000),
                                      .idle_timeout_ms = or_default(given->idle_timeout_ms, 60000),
                                      .body_timeout_ms = or_default(given->body_timeout_ms, 60000),
                                      .max_connections = or_default(given->max_connections,
                                                                    LIMIT_CONNECTIONS) };
    for (int i = 0; i < DEADLINES; i++)
        list_init(&s->deadlines[i]);
    list_init(&s->connections);
    list_init(&s->kicked);
    random_hex(s->id_prefix, 8);
    if (uv_timer_init(&loop->uv, &s->timer) || uv_idle_init(&loop->uv, &s->idle))
        log_fatal("http", "cannot make a timer");
    s->handles = 2;
    return s;
}

/* Who waits already waits by the new measure: all of a list by the same, so that its order stands. */
static void redate(struct http_server *s, enum deadline kind, unsigned old_ms)
{
    struct link *list = &s->deadlines[kind];
    for (struct link *l = list->next; l != list; l = l->next) {
        struct http_conn *c = container_of(l, struct http_conn, due_link);
        c->due = c->due - old_ms + duration(s, kind);
    }
    if (!list_empty(list))
        wake_by(s, container_of(list->next, struct http_conn, due_link)->due);
}

void http_server_set_timeouts(struct http_server *s, unsigned idle_ms, unsigned body_ms)
{
    struct http_limits old = s->limits;
    if (old.idle_timeout_ms == or_default(idle_ms, 60000) &&
        old.body_timeout_ms == or_default(body_ms, 60000))
        return;
    s->limits.idle_timeout_ms = or_default(idle_ms, 60000);
    s->limits.body_timeout_ms = or_default(body_ms, 60000);
    redate(s, DEADLINE_IDLE, old.idle_timeout_ms);
    redate(s, DEADLINE_BODY, old.body_timeout_ms);
}

unsigned http_server_connections(const struct http_server *s)
{
    return s->connection_count;
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct listener *l = container_of(handle, struct listener, poll);
    struct http_server *s = l->server;
    free(l);
    server_unref(s);
}

static void close_listeners(struct http_server *s)
{
    while (s->listeners) {
        struct listener *l = s->listeners;
        s->listeners = l->next;
        uv_close((uv_handle_t *)&l->poll, on_listener_closed);
        close(l->fd);
    }
}

void http_server_drain(struct http_server *s, unsigned grace_ms, void (*on_drained)(void *arg),
                       void *arg)
{
    check(!s->draining);
    s->draining = true;
    s->on_drained = on_drained;
    s->drained_arg = arg;
    close_listeners(s);
    for (struct link *l = s->connections.next; l != &s->connections; l = l->next) {
        struct http_conn *c = container_of(l, struct http_conn, all);
        if (conn_is_idle(c))
            conn_kick(c); /* conn_run closes it */
    }
    s->drain_deadline = uv_now(&s->loop->uv) + grace_ms;
    wake_by(s, s->drain_deadline);
    if (s->connection_count == 0)
        uv_idle_start(&s->idle, on_idle);
}

void server_unref(struct http_server *s)
{
    if (--s->handles || !s->freed)
        return;
    while (s->spare) {
        struct exchange *ex = s->spare;
        s->spare = ex->next_spare;
        arena_release(&ex->req.arena);
        free(ex);
    }
    free(s);
}

static void on_timer_closed(uv_handle_t *handle)
{
    server_unref(container_of((uv_timer_t *)handle, struct http_server, timer));
}

static void on_idle_closed(uv_handle_t *handle)
{
    server_unref(container_of((uv_idle_t *)handle, struct http_server, idle));
}

/* The memory goes when libuv has let go of the last handle. */
void http_server_free(struct http_server *s)
{
    if (!s)
        return;
    s->draining = s->drained_told = s->freed = true;
    close_listeners(s);
    while (!list_empty(&s->connections)) { /* none, after a drain */
        struct http_conn *c = container_of(s->connections.next, struct http_conn, all);
        check(!c->running);
        c->broken = true;
        conn_run(c);
    }
    uv_close((uv_handle_t *)&s->timer, on_timer_closed);
    uv_close((uv_handle_t *)&s->idle, on_idle_closed);
}
