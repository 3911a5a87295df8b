/* SPDX-License-Identifier: Apache-2.0 */
/* Links between nodes: mTLS on raw descriptors, frames in both kinds of connection. It dials names again
 * at every try (a StatefulSet's addresses change), knows a peer by its certificate, and understands no
 * frame but HELLO. */
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cluster/internal.h"
#include "pantera/clock.h"
#include "pantera/ids.h"
#include "pantera/log.h"

enum { REDIAL_MS = 150, HANDSHAKE_MS = 2000, READ_PIECE = 64 << 10, MOST_ACCEPTED = 64 };

enum link_state { LINK_RESOLVING, LINK_CONNECTING, LINK_HANDSHAKE, LINK_OPEN, LINK_CLOSED };

struct link {
    struct cluster *cluster;
    struct link *next; /* among the accepted */
    struct peer *peer; /* dialled: whom; accepted: after the handshake */
    enum link_state state;
    bool dialled, polling, poll_made, resolving;
    int fd;
    uv_poll_t poll;
    uv_getaddrinfo_t resolve;
    struct tls *tls;
    struct buf in, out;
    size_t out_sent;
    uint64_t deadline_us, redial_us;
    bool wants_write;
};

static void link_io(struct link *l, int events);

struct peer *peer_find(struct cluster *c, int id)
{
    for (unsigned i = 0; i < MOST_MEMBERS; i++)
        if (c->peers[i].id == id && id != 0)
            return &c->peers[i];
    return NULL;
}

struct peer *peer_add(struct cluster *c, int id, const char *address)
{
    struct peer *p = peer_find(c, id);
    for (unsigned i = 0; !p && i < MOST_MEMBERS; i++)
        if (c->peers[i].id == 0) {
            p = &c->peers[i];
            memset(p, 0, sizeof *p);
            p->id = id;
        }
    if (p && address && !p->address[0])
        snprintf(p->address, sizeof p->address, "%s", address);
    return p;
}

/* --- closing --- */

static void on_poll_closed(uv_handle_t *handle)
{
    struct link *l = container_of((uv_poll_t *)handle, struct link, poll);
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
    l->poll_made = false;
    if (!l->dialled)
        free(l);
}

static void reset_buffers(struct link *l)
{
    buf_free(&l->in);
    buf_free(&l->out);
    l->out_sent = 0;
}

static void unlist(struct link *l)
{
    struct link **at = &l->cluster->accepted;
    while (*at && *at != l)
        at = &(*at)->next;
    if (*at)
        *at = l->next;
}

static void link_close(struct link *l, const char *reason)
{
    struct cluster *c = l->cluster;
    if (l->state == LINK_CLOSED)
        return;
    bool was_open = l->state == LINK_OPEN;
    if (was_open || l->state == LINK_HANDSHAKE)
        log_debug("cluster", "link %s %d closed: %s", l->dialled ? "to" : "from",
                  l->peer ? l->peer->id : 0, reason);
    l->state = LINK_CLOSED;
    l->redial_us = clock_mono_us() + (REDIAL_MS / 2 + random_below(REDIAL_MS)) * 1000;
    tls_free(l->tls);
    l->tls = NULL;
    reset_buffers(l);
    struct peer *peer = l->peer;
    if (!l->dialled) {
        unlist(l);
        if (was_open && peer && --peer->accepted == 0)
            peer->greeted = false;
    } else if (was_open) {
        peer->up = false;
    }
    if (l->poll_made)
        uv_close((uv_handle_t *)&l->poll, on_poll_closed);
    else if (l->fd >= 0) {
        close(l->fd);
        l->fd = -1;
    }
    if (was_open && peer)
        peer_down(c, peer->id);
}

/* --- frames out --- */

static void add_frame(struct link *l, enum frame_type type, const void *data, size_t size)
{
    buf_u32(&l->out, (uint32_t)size + 1);
    buf_u8(&l->out, (uint8_t)type);
    buf_add(&l->out, data, size);
}

static void greet(struct link *l)
{
    struct cluster *c = l->cluster;
    struct buf b;
    buf_init(&b, 1024);
    buf_u32(&b, 1); /* version of this protocol */
    buf_u32(&b, (uint32_t)c->options->id);
    buf_u8(&b, c->running);
    buf_blob(&b, c->cluster_id, strlen(c->cluster_id));
    buf_u32(&b, (uint32_t)meta_schema_known());
    buf_blob(&b, c->address, strlen(c->address));
    add_frame(l, FRAME_HELLO, b.data, b.length);
    buf_free(&b);
}

void link_greet_all(struct cluster *c)
{
    for (unsigned i = 0; i < MOST_MEMBERS; i++)
        if (c->peers[i].id && c->peers[i].up)
            greet(c->peers[i].out);
}

bool peer_send(struct cluster *c, int id, enum frame_type type, const void *data, size_t size)
{
    struct peer *p = peer_find(c, id);
    if (!p || !p->up)
        return false;
    struct link *l = p->out;
    if (l->out.length - l->out_sent + size > LINK_QUEUE_BYTES) {
        link_close(l, "the peer does not read");
        return false;
    }
    add_frame(l, type, data, size);
    return true;
}

size_t peer_queued(struct cluster *c, int id)
{
    struct peer *p = peer_find(c, id);
    return p && p->up ? p->out->out.length - p->out->out_sent : 0;
}

static void watch(struct link *l);

static void flush(struct link *l)
{
    while (l->state == LINK_OPEN && l->out_sent < l->out.length) {
        ssize_t n = tls_write(l->tls, l->out.data + l->out_sent, l->out.length - l->out_sent);
        if (n == TLS_WANT_READ || n == TLS_WANT_WRITE)
            break;
        if (n <= 0) {
            link_close(l, tls_error(l->tls));
            return;
        }
        l->out_sent += (size_t)n;
    }
    if (l->out_sent == l->out.length) {
        l->out_sent = 0;
        if (l->out.capacity > 1 << 20)
            buf_free(&l->out);
        else
            buf_clear(&l->out);
    }
    bool wants = l->out_sent < l->out.length;
    if (l->state == LINK_OPEN && wants != l->wants_write) {
        l->wants_write = wants;
        watch(l);
    }
}

void link_flush_all(struct cluster *c)
{
    for (unsigned i = 0; i < MOST_MEMBERS; i++)
        if (c->peers[i].id && c->peers[i].up)
            flush(c->peers[i].out);
}

/* --- frames in --- */

static bool hello_received(struct link *l, const void *data, size_t size)
{
    struct cursor at = cursor_of(data, size);
    struct hello h = { 0 };
    size_t id_size, address_size;
    cursor_u32(&at); /* version: one so far */
    h.id = (int)cursor_u32(&at);
    h.member = cursor_u8(&at);
    const char *cluster_id = cursor_blob(&at, &id_size);
    h.schema_known = (int)cursor_u32(&at);
    const char *address = cursor_blob(&at, &address_size);
    if (at.bad || h.id != l->peer->id || id_size >= sizeof h.cluster_id ||
        address_size >= sizeof h.address)
        return false;
    memcpy(h.cluster_id, cluster_id, id_size);
    memcpy(h.address, address, address_size);
    struct cluster *c = l->cluster;
    if (c->running && h.member && strcmp(h.cluster_id, c->cluster_id) != 0) {
        log_error("cluster", "node %d belongs to another cluster (%s, ours is %s): refused", h.id,
                  h.cluster_id, c->cluster_id);
        return false;
    }
    l->peer->hello = h;
    l->peer->greeted = true;
    if (!l->peer->address[0])
        snprintf(l->peer->address, sizeof l->peer->address, "%s", h.address);
    return true;
}

/* Takes whole frames off the front; false: malformed. */
static bool parse_frames(struct link *l)
{
    size_t at = 0;
    while (l->state == LINK_OPEN && l->in.length - at >= 5) {
        struct cursor head = cursor_of(l->in.data + at, 5);
        size_t size = cursor_u32(&head);
        enum frame_type type = (enum frame_type)cursor_u8(&head);
        if (size < 1 || size > FRAME_BYTES)
            return false;
        if (l->in.length - at < 4 + size)
            break;
        const char *payload = l->in.data + at + 5;
        bool good = type == FRAME_HELLO
                        ? hello_received(l, payload, size - 1)
                        : frame_received(l->cluster, l->peer->id, type, payload, size - 1);
        if (!good)
            return false;
        at += 4 + size;
    }
    if (l->state != LINK_OPEN)
        return true; /* closed meanwhile: the buffer is gone */
    buf_drop_front(&l->in, at);
    if (l->in.length == 0 && l->in.capacity > 1 << 20)
        buf_free(&l->in);
    return true;
}

static void read_some(struct link *l)
{
    while (l->state == LINK_OPEN) { /* to the end: TLS may hold bytes that poll does not show */
        char *at;
        if (buf_reserve(&l->in, READ_PIECE, &at)) {
            link_close(l, "a frame is too large");
            return;
        }
        ssize_t n = tls_read(l->tls, at, READ_PIECE);
        if (n == TLS_WANT_READ || n == TLS_WANT_WRITE)
            return;
        if (n <= 0) {
            link_close(l, n == 0 ? "closed by the peer" : tls_error(l->tls));
            return;
        }
        buf_advance(&l->in, (size_t)n);
        if (!parse_frames(l)) {
            log_warn("cluster", "malformed frame from node %d", l->peer->id);
            link_close(l, "malformed frame");
        }
    }
}

/* --- states --- */

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct link *l = container_of(poll, struct link, poll);
    if (status < 0)
        link_close(l, uv_strerror(status));
    else
        link_io(l, events);
}

static void watch(struct link *l)
{
    int events = UV_READABLE | (l->wants_write ? UV_WRITABLE : 0);
    if (l->poll_made && uv_poll_start(&l->poll, events, on_poll))
        link_close(l, "poll");
}

static int peer_id_of(const char *common_name)
{
    static const char prefix[] = "pantera-node-";
    if (strncmp(common_name, prefix, sizeof prefix - 1) != 0)
        return 0;
    long id = strtol(common_name + sizeof prefix - 1, NULL, 10);
    return id > 0 && id < 1 << 30 ? (int)id : 0;
}

static void open_link(struct link *l)
{
    int id = peer_id_of(tls_peer_name(l->tls));
    struct cluster *c = l->cluster;
    if (l->dialled ? id != l->peer->id : (id == 0 || id == c->options->id)) {
        log_warn("cluster", "certificate of '%s' is not the one expected here", tls_peer_name(l->tls));
        link_close(l, "wrong certificate");
        return;
    }
    if (!l->dialled) {
        l->peer = peer_add(c, id, NULL);
        if (!l->peer) {
            link_close(l, "too many peers");
            return;
        }
        l->peer->accepted++;
    }
    l->state = LINK_OPEN;
    buf_init(&l->in, FRAME_BYTES + READ_PIECE + 16);
    buf_init(&l->out, LINK_QUEUE_BYTES + FRAME_BYTES);
    l->wants_write = false;
    if (l->dialled) {
        l->peer->up = true;
        greet(l);
    }
    watch(l);
    read_some(l); /* bytes may have come with the handshake's last flight */
}

static void handshake(struct link *l)
{
    int n = tls_handshake(l->tls);
    if (n == 1) {
        open_link(l);
    } else if (n == TLS_FAILED) {
        log_debug("cluster", "handshake: %s", tls_error(l->tls));
        link_close(l, "handshake failed");
    } else {
        l->wants_write = n == TLS_WANT_WRITE;
        watch(l);
    }
}

static void begin_handshake(struct link *l)
{
    int one = 1;
    setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(l->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    unsigned user_timeout = 2000; /* unacknowledged bytes for so long: the peer is gone */
    setsockopt(l->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout, sizeof user_timeout);
    struct cluster *c = l->cluster;
    l->tls = tls_new(l->dialled ? c->tls_client : c->tls_server, l->fd, NULL);
    l->state = LINK_HANDSHAKE;
    l->deadline_us = clock_mono_us() + HANDSHAKE_MS * 1000;
    handshake(l);
}

static void link_io(struct link *l, int events)
{
    if (l->state == LINK_CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error)
            link_close(l, strerror(error));
        else
            begin_handshake(l);
    } else if (l->state == LINK_HANDSHAKE) {
        handshake(l);
    } else if (l->state == LINK_OPEN) {
        if (events & UV_READABLE)
            read_some(l);
        if (l->state == LINK_OPEN)
            flush(l);
    }
}

static bool make_poll(struct link *l)
{
    if (uv_poll_init(&l->cluster->loop.uv, &l->poll, l->fd))
        return false;
    l->poll_made = true;
    return true;
}

/* --- dialling --- */

static void connect_to(struct link *l, const struct addrinfo *to)
{
    l->fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd < 0 || (connect(l->fd, to->ai_addr, to->ai_addrlen) && errno != EINPROGRESS) ||
        !make_poll(l)) {
        l->state = LINK_CONNECTING; /* so that close counts as one */
        link_close(l, strerror(errno));
        return;
    }
    l->state = LINK_CONNECTING;
    l->deadline_us = clock_mono_us() + HANDSHAKE_MS * 1000;
    uv_poll_start(&l->poll, UV_WRITABLE, on_poll);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct link *l = container_of(request, struct link, resolve);
    l->resolving = false;
    if (l->cluster->stopping || status || !found)
        link_close(l, status ? uv_strerror(status) : "no address");
    else
        connect_to(l, found);
    uv_freeaddrinfo(found);
}

static void dial(struct link *l)
{
    char host[128];
    snprintf(host, sizeof host, "%s", l->peer->address);
    char *colon = strrchr(host, ':');
    if (!colon || l->poll_made || l->resolving)
        return;
    *colon = 0;
    char *name = host;
    if (host[0] == '[' && colon > host && colon[-1] == ']') { /* [::1]:7071 */
        colon[-1] = 0;
        name++;
    }
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    l->state = LINK_RESOLVING;
    if (uv_getaddrinfo(&l->cluster->loop.uv, &l->resolve, on_resolved, name, colon + 1, &hints))
        link_close(l, "resolver");
    else
        l->resolving = true;
}

static void check_deadline(struct link *l, uint64_t now)
{
    if ((l->state == LINK_CONNECTING || l->state == LINK_HANDSHAKE) && now > l->deadline_us)
        link_close(l, "timed out");
}

void link_dial_all(struct cluster *c)
{
    uint64_t now = clock_mono_us();
    for (unsigned i = 0; i < MOST_MEMBERS; i++) {
        struct peer *p = &c->peers[i];
        if (p->id == 0 || p->id == c->options->id || !p->address[0])
            continue;
        if (!p->out) {
            p->out = calloc(1, sizeof *p->out);
            check(p->out != NULL);
            *p->out = (struct link){ .cluster = c, .peer = p, .dialled = true, .fd = -1,
                                     .state = LINK_CLOSED };
        }
        check_deadline(p->out, now);
        if (p->out->state == LINK_CLOSED && now >= p->out->redial_us)
            dial(p->out);
    }
    for (struct link *l = c->accepted, *next; l; l = next) {
        next = l->next;
        check_deadline(l, now);
    }
}

/* --- listening --- */

static void on_accept(uv_poll_t *poll, int status, int events)
{
    struct cluster *c = container_of(poll, struct cluster, listen_poll);
    unsigned count = 0;
    for (struct link *l = c->accepted; l; l = l->next)
        count++;
    for (;;) {
        int fd = accept4(c->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        struct link *l = count++ < MOST_ACCEPTED ? calloc(1, sizeof *l) : NULL;
        if (!l) {
            close(fd);
            continue;
        }
        *l = (struct link){ .cluster = c, .fd = fd, .next = c->accepted };
        c->accepted = l;
        if (make_poll(l)) {
            begin_handshake(l);
        } else {
            unlist(l);
            close(fd);
            free(l);
        }
    }
}

enum err link_listen(struct cluster *c, struct why *why)
{
    char host[128];
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *found;
    snprintf(host, sizeof host, "%s", c->options->listen);
    char *colon = strrchr(host, ':');
    if (!colon)
        return fail(why, ERR_BAD_REQUEST, "cluster.listen '%s' is not host:port", c->options->listen);
    *colon = 0;
    int status = getaddrinfo(host[0] ? host : NULL, colon + 1, &hints, &found);
    if (status)
        return fail(why, ERR_BAD_REQUEST, "cluster.listen '%s': %s", c->options->listen,
                    gai_strerror(status));
    int one = 1;
    c->listen_fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(c->listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    bool good = c->listen_fd >= 0 && bind(c->listen_fd, found->ai_addr, found->ai_addrlen) == 0 &&
                listen(c->listen_fd, 64) == 0;
    freeaddrinfo(found);
    if (!good)
        return fail(why, ERR_IO, "cannot listen on %s: %s", c->options->listen, strerror(errno));
    if (uv_poll_init(&c->loop.uv, &c->listen_poll, c->listen_fd) ||
        uv_poll_start(&c->listen_poll, UV_READABLE, on_accept))
        return fail(why, ERR_IO, "cannot watch %s", c->options->listen);
    return OK;
}

void link_close_all(struct cluster *c)
{
    for (unsigned i = 0; i < MOST_MEMBERS; i++)
        if (c->peers[i].id && c->peers[i].out)
            link_close(c->peers[i].out, "stopping");
    while (c->accepted)
        link_close(c->accepted, "stopping");
    if (c->listen_fd >= 0 && !uv_is_closing((uv_handle_t *)&c->listen_poll))
        uv_close((uv_handle_t *)&c->listen_poll, NULL);
}
