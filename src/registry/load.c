/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/load.c: an artifact's bytes for ourselves: into memory, or as a descriptor. No policy, no
 * client. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <unistd.h>

#include "pantera/limits.h"
#include "src/registry/staging.h"

enum err registry_stat(struct registry *r, struct arena *a, const struct repo *repo, const char *path,
                       struct registry_stat *ret)
{
    struct artifact_row row;

    if (artifact_get(r->worker->reader, a, repo->id, path, &row))
        return ERR_NOT_FOUND;
    *ret = (struct registry_stat){ row.size, row.created_ms, row.modified_ms, row.content_type, row.owner,
                                   row.digests };
    return OK;
}

/* One object, read to its end. Pieces go to memory, or to a nameless file for a descriptor. */
struct load {
    struct worker *worker;
    struct store *store;
    struct blob_get get;
    char key[96];
    bool open, want_fd, keep;    /* keep: the bytes become the caller's */
    struct digest_values digests;
    int64_t size;
    struct buf data;
    int fd;                      /* the nameless file's, or the object's, or -1 */
    const void *piece;
    size_t piece_size;
    bool failed_write;
    struct work work;
    enum err err;
    struct why why;
    struct task task;
    registry_load_cb *done;
    registry_fd_cb *done_fd;
    void *arg;
};

static void load_give(struct load *l, enum err e, const struct why *why)
{
    size_t size = e ? 0 : l->data.length;
    char *data = e ? NULL : l->keep ? buf_detach(&l->data, &size) : l->data.data;

    l->done(e, why, data, size, &l->digests, l->arg);
}

static void load_end(struct load *l, enum err e, const struct why *why)
{
    struct why text = why ? *why : (struct why){ "" };

    if (l->open)
        blob_get_close(&l->get);
    if (l->store)
        store_unref(l->worker->registry, l->store);
    if (e && l->fd >= 0) {
        close(l->fd);
        l->fd = -1;
    }
    if (l->want_fd)
        l->done_fd(e, &text, l->fd, l->size, l->arg);
    else
        load_give(l, e, &text);
    buf_free(&l->data);
    free(l);
}

static void on_later(struct task *task)
{
    struct load *l = container_of(task, struct load, task);

    load_end(l, l->err, &l->why);
}

static void load_end_later(struct load *l, enum err e)
{
    l->err = e;
    l->task.run = on_later;
    loop_post(&l->worker->loop, &l->task);
}

/* --- on the pool: what may wait for the disk --- */

static void read_file(struct work *work)
{
    struct load *l = container_of(work, struct load, work);
    char *at;

    if (buf_reserve(&l->data, (size_t)l->size + 1, &at)) {
        l->err = fail(&l->why, ERR_TOO_BIG, "larger than expected");
        return;
    }
    for (int64_t got = 0; got < l->size;) {
        ssize_t n = pread(l->fd, at + got, (size_t)(l->size - got), got);
        if (n <= 0) {
            l->err = fail(&l->why, ERR_IO, "the object is shorter than its row says");
            return;
        }
        got += n;
    }
    buf_advance(&l->data, (size_t)l->size);
}

static void on_read(struct work *work)
{
    struct load *l = container_of(work, struct load, work);

    close(l->fd);
    l->fd = -1;
    load_end(l, l->err, &l->why);
}

static void write_piece(struct work *work)
{
    struct load *l = container_of(work, struct load, work);
    const char *at = l->piece;

    for (size_t left = l->piece_size; left;) {
        ssize_t n = write(l->fd, at, left);
        if (n <= 0) {
            l->failed_write = true;
            return;
        }
        at += n;
        left -= (size_t)n;
    }
}

static void on_piece_written(struct work *work)
{
    struct load *l = container_of(work, struct load, work);

    if (l->failed_write)
        load_end(l, ERR_NO_SPACE, &(struct why){ "no room for a copy to look into" });
    else
        blob_get_more(&l->get);
}

/* --- the object --- */

static void on_file(struct blob_get *get, int fd, void *arg)
{
    struct load *l = arg;

    (void)get;
    if (l->fd >= 0)
        close(l->fd); /* the copy is not needed */
    l->fd = dup(fd);
    if (l->fd < 0)
        load_end(l, ERR_UNAVAILABLE, &(struct why){ "too many open files" });
    else if (l->want_fd)
        load_end(l, OK, NULL);
    else
        work_submit(&l->work, &l->worker->loop, read_file, on_read);
}

static void on_data(struct blob_get *get, const void *data, size_t size, void *arg)
{
    struct load *l = arg;

    l->piece = data;
    l->piece_size = size;
    if (l->want_fd)
        work_submit(&l->work, &l->worker->loop, write_piece, on_piece_written);
    else if (buf_add(&l->data, data, size))
        load_end(l, ERR_TOO_BIG, &(struct why){ "larger than expected" });
    else
        blob_get_more(get);
}

static void on_end(struct blob_get *get, enum err e, const struct why *why, void *arg)
{
    struct load *l = arg;

    (void)get;
    if (e == ERR_NOT_FOUND)
        e = ERR_IO; /* a row without its object */
    load_end(l, e, why);
}

/* A file that has no name, for a copy. */
static int nameless(const struct worker *w)
{
    char path[512];
    int n = snprintf(path, sizeof path, "%s/look-XXXXXX", cluster_data_dir(w->cluster)), fd;

    if (n < 0 || (size_t)n >= sizeof path || (fd = mkostemp(path, O_CLOEXEC)) < 0)
        return -1;
    unlink(path);
    return fd;
}

static void load_begin(struct load *l, const char *store, const char *key, int64_t limit)
{
    static const struct blob_sink sink = { on_file, on_data, on_end };
    enum err e = OK;

    snprintf(l->key, sizeof l->key, "%s", key);
    buf_init(&l->data, (size_t)l->size + 1);
    if (l->size > limit)
        e = fail(&l->why, ERR_TOO_BIG, "%lld bytes, %lld at most", (long long)l->size, (long long)limit);
    if (!e && l->size == 0 && !l->want_fd) {
        (void)buf_puts(&l->data, "");
        load_end_later(l, OK);
        return;
    }
    if (!e)
        e = store_ref(l->worker->registry, store, &l->store, &l->why);
    if (!e && l->want_fd && (l->fd = blob_open_now(l->store->blobs, l->key)) >= 0) {
        load_end_later(l, OK);
        return;
    }
    if (!e && l->want_fd && (l->fd = nameless(l->worker)) < 0)
        e = fail(&l->why, ERR_NO_SPACE, "no copy to look into can be made");
    if (!e)
        e = blob_get_open(l->store->blobs, &l->get, l->key, l->size, 0, l->size, &sink, l, &l->why);
    if (e)
        load_end_later(l, e);
    else
        l->open = true;
}

static struct load *load_new(struct worker *w, void *arg)
{
    struct load *l = calloc(1, sizeof *l);

    check(l);
    l->worker = w;
    l->fd = -1;
    l->arg = arg;
    return l;
}

static void load_path(struct load *l, const struct repo *repo, const char *path, int64_t limit)
{
    struct artifact_row row;
    struct arena a;

    arena_init(&a);
    if (artifact_get(l->worker->reader, &a, repo->id, path, &row)) {
        load_end_later(l, fail(&l->why, ERR_NOT_FOUND, "'%.200s' not found", path));
    } else {
        l->size = row.size;
        l->digests = row.digests;
        load_begin(l, row.store, row.key, limit);
    }
    arena_release(&a);
}

void registry_load(struct worker *w, const struct repo *repo, const char *path, size_t limit,
                   registry_load_cb *done, void *arg)
{
    struct load *l = load_new(w, arg);

    l->done = done;
    load_path(l, repo, path, (int64_t)limit);
}

void registry_load_keep(struct worker *w, const struct repo *repo, const char *path, size_t limit,
                        registry_load_cb *done, void *arg)
{
    struct load *l = load_new(w, arg);

    l->keep = true;
    l->done = done;
    load_path(l, repo, path, (int64_t)limit);
}

void registry_fd(struct worker *w, const struct repo *repo, const char *path, int64_t limit,
                 registry_fd_cb *done, void *arg)
{
    struct load *l = load_new(w, arg);

    l->want_fd = true;
    l->done_fd = done;
    load_path(l, repo, path, limit);
}

void stage_fd(struct stage *s, int64_t limit, registry_fd_cb *done, void *arg)
{
    struct load *l = load_new(s->worker, arg);

    check(s->state == STAGE_READY);
    l->want_fd = true;
    l->done_fd = done;
    l->size = stage_size(s);
    l->digests = *stage_digests(s);
    load_begin(l, s->store_name, s->wait.key, limit);
}
