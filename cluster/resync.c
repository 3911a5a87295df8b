/* SPDX-License-Identifier: Apache-2.0 */
/* A consistent copy of the replica, from a node that has one to a node that needs it: made in the pool,
 * sent in pieces as the link takes them, written beside the old one, synced, swapped in by rename; then the
 * process starts over on it. Membership and raft's log are not its business. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cluster/internal.h"
#include "pantera/clock.h"
#include "pantera/log.h"

enum { PIECE = 256 << 10, QUEUE_AHEAD = 4 << 20, ASK_AGAIN_MS = 5000 };

struct resync { /* what we fetch */
    int from, fd;
    uint64_t bytes, deadline_us;
};

struct serve { /* what a peer fetches from us */
    struct serve *next;
    struct work work;
    struct cluster *cluster;
    int to, fd;
    bool ready, failed;
    uint64_t applied;
    char path[4096];
};

static void path_of(struct cluster *c, const char *name, char ret[4096])
{
    snprintf(ret, 4096, "%s/%s", c->options->data_dir, name);
}

bool resync_marked(struct cluster *c)
{
    char path[4096];
    path_of(c, "resync", path);
    return access(path, F_OK) == 0;
}

void resync_mark(struct cluster *c)
{
    char path[4096];
    path_of(c, "resync", path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || fsync(fd))
        log_fatal("cluster", "cannot write '%s': %s", path, strerror(errno));
    close(fd);
}

/* --- giving --- */

static void make_copy(struct work *work)
{
    struct serve *s = container_of(work, struct serve, work);
    struct why why = { "" };
    if (meta_copy(s->cluster->options->data_dir, s->path, &s->applied, &why)) {
        log_error("cluster", "copy for node %d: %s", s->to, why.text);
        s->failed = true;
        return;
    }
    s->fd = open(s->path, O_RDONLY | O_CLOEXEC);
    unlink(s->path); /* the descriptor keeps it */
    s->failed = s->fd < 0;
}

static void copy_made(struct work *work)
{
    container_of(work, struct serve, work)->ready = true;
}

bool resync_fetch(struct cluster *c, int from, const void *data, size_t size)
{
    if (!c->running || c->stopping)
        return true;
    for (struct serve *s = c->serves; s; s = s->next)
        if (s->to == from)
            return true; /* under way */
    struct serve *s = calloc(1, sizeof *s);
    check(s != NULL);
    s->cluster = c;
    s->to = from;
    s->fd = -1;
    snprintf(s->path, sizeof s->path, "%s/copy-%d.db", c->options->data_dir, from);
    s->next = c->serves;
    c->serves = s;
    work_submit(&s->work, &c->loop, make_copy, copy_made);
    return true;
}

static void forget(struct cluster *c, struct serve *s)
{
    struct serve **at = &c->serves;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    if (s->fd >= 0)
        close(s->fd);
    free(s);
}

static void send_pieces(struct cluster *c, struct serve *s)
{
    struct peer *p = peer_find(c, s->to);
    char *piece = malloc(PIECE);
    check(piece != NULL);
    ssize_t n = 1;
    while (n > 0 && p && p->up && peer_queued(c, s->to) < QUEUE_AHEAD) {
        n = read(s->fd, piece, PIECE);
        if (n > 0 && !peer_send(c, s->to, FRAME_FETCH_DATA, piece, (size_t)n))
            n = -1;
    }
    free(piece);
    if (n == 0) {
        struct buf b;
        buf_init(&b, 64);
        buf_u64(&b, s->applied);
        peer_send(c, s->to, FRAME_FETCH_END, b.data, b.length);
        buf_free(&b);
        log_info("cluster", "sent a copy of the replica at %llu to node %d",
                 (unsigned long long)s->applied, s->to);
    }
    if (n <= 0 || !p || !p->up)
        forget(c, s);
}

void resync_step(struct cluster *c)
{
    for (struct serve *s = c->serves, *next; s; s = next) {
        next = s->next;
        if (s->ready && s->failed)
            forget(c, s);
        else if (s->ready)
            send_pieces(c, s);
    }
    struct resync *r = c->resync;
    if (r && clock_mono_us() > r->deadline_us) { /* the giver is gone: ask anew */
        close(r->fd);
        free(r);
        c->resync = NULL;
    }
}

/* --- taking --- */

void resync_ask(struct cluster *c, int from)
{
    char path[4096];
    struct resync *r = calloc(1, sizeof *r);
    check(r != NULL);
    path_of(c, META_FILE ".new", path);
    r->from = from;
    r->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (r->fd < 0)
        log_fatal("cluster", "cannot write '%s': %s", path, strerror(errno));
    r->deadline_us = clock_mono_us() + ASK_AGAIN_MS * 1000;
    c->resync = r;
    peer_send(c, from, FRAME_FETCH, NULL, 0);
}

bool resync_data(struct cluster *c, int from, const void *data, size_t size)
{
    struct resync *r = c->resync;
    const char *at = data;
    if (!r || r->from != from)
        return true;
    while (size) {
        ssize_t n = write(r->fd, at, size);
        if (n <= 0)
            log_fatal("cluster", "cannot write the replica's copy: %s", strerror(errno));
        at += n;
        size -= (size_t)n;
        r->bytes += (uint64_t)n;
    }
    r->deadline_us = clock_mono_us() + ASK_AGAIN_MS * 1000;
    return true;
}

static void sync_dir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

bool resync_end(struct cluster *c, int from, const void *data, size_t size)
{
    struct resync *r = c->resync;
    struct cursor at = cursor_of(data, size);
    uint64_t applied = cursor_u64(&at);
    char fresh[4096], path[4096];
    if (at.bad)
        return false;
    if (!r || r->from != from)
        return true;
    if (fsync(r->fd))
        log_fatal("cluster", "cannot sync the replica's copy: %s", strerror(errno));
    identity_save(c);
    path_of(c, META_FILE "-wal", path);
    unlink(path);
    path_of(c, META_FILE "-shm", path);
    unlink(path);
    path_of(c, META_FILE ".new", fresh);
    path_of(c, META_FILE, path);
    if (rename(fresh, path))
        log_fatal("cluster", "cannot put '%s' in place: %s", path, strerror(errno));
    path_of(c, "resync", path);
    unlink(path);
    sync_dir(c->options->data_dir);
    log_info("cluster", "have a copy of the replica at %llu, %llu bytes", (unsigned long long)applied,
             (unsigned long long)r->bytes);
    node_restart(c, "on the copy");
}
