/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/look.c: what a format says of staged bytes before they get their name: a descriptor is had, a
 * pool thread looks, the loop hears of it.
 *
 *   FD ──→ LOOK ──→ done (freed) */
#include <stdlib.h>
#include <unistd.h>

#include "pantera/limits.h"
#include "src/registry/staging.h"

struct look {
    struct loop *home;
    stage_look_fn *look;
    stage_looked_cb *done;
    void *arg;
    struct work work;
    int fd;
    enum err err;
    struct why why;
};

static void run(struct work *work)
{
    struct look *l = container_of(work, struct look, work);

    l->err = l->look(l->fd, &l->why, l->arg);
    close(l->fd);
}

static void on_run(struct work *work)
{
    struct look *l = container_of(work, struct look, work);

    l->done(l->err, &l->why, l->arg);
    free(l);
}

static void on_fd(enum err e, const struct why *why, int fd, int64_t size, void *arg)
{
    struct look *l = arg;

    (void)size;
    if (e) {
        l->done(e, why, l->arg);
        free(l);
        return;
    }
    l->fd = fd;
    work_submit(&l->work, l->home, run, on_run);
}

void stage_look(struct stage *s, int64_t limit, stage_look_fn *look, stage_looked_cb *done, void *arg)
{
    struct look *l = calloc(1, sizeof *l);

    check(l);
    l->home = &s->worker->loop;
    l->look = look;
    l->done = done;
    l->arg = arg;
    stage_fd(s, limit, on_fd, l);
}

enum err look_read(int fd, struct buf *ret, struct why *why)
{
    char block[KIB(16)];
    int64_t at = 0;
    ssize_t n;

    while ((n = pread(fd, block, sizeof block, at)) > 0) {
        if (buf_add(ret, block, (size_t)n))
            return fail(why, ERR_TOO_BIG, "%zu bytes at most", ret->limit);
        at += n;
    }
    return n < 0 ? ERR_IO : buf_puts(ret, ""); /* there are bytes, though there be none */
}
