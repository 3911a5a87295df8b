/* SPDX-License-Identifier: Apache-2.0 */
/* The `fs` store: objects are files under a folder, by key. Reading gives the descriptor itself, so that
 * whoever serves it can use sendfile. Writing is fs_put.c. One node, or a mount that all nodes share. */
#include "fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pantera/fault.h"

enum { PATH_BYTES = 1024 };

static const struct blob_config_key fs_keys[] = {
    { "type", JSON_STRING, true }, { "path", JSON_STRING, true }, { "shared", JSON_TRUE, false },
    { NULL, JSON_NULL, false },
};

static enum err fs_check(const json_t *config, bool clustered, struct why *why)
{
    enum err e = blob_config_check(config, "", fs_keys, why);
    if (e != OK)
        return e;
    if (json_string_length(json_object_get(config, "path")) > PATH_BYTES - 128)
        return fail(why, ERR_BAD_REQUEST, "storage: path: too long");
    if (clustered && !json_is_true(json_object_get(config, "shared")))
        return fail(why, ERR_BAD_REQUEST,
                    "storage: type fs in a cluster needs a folder that every node mounts, and "
                    "\"shared\": true to say so");
    return OK;
}

static enum err fs_open(const struct blob_store_options *o, const json_t *config,
                        struct blob_store **ret, struct why *why)
{
    struct fs_store *s = calloc(1, sizeof *s);
    char *root = strdup(json_string_value(json_object_get(config, "path")));
    if (!s || !root) {
        free(s);
        free(root);
        return fail(why, ERR_UNAVAILABLE, "out of memory for a store");
    }
    for (size_t n = strlen(root); n > 1 && root[n - 1] == '/'; n--)
        root[n - 1] = 0;
    s->base.ops = &blob_fs_ops;
    s->base.loop = o->loop;
    s->root = root;
    s->refs = 1;
    *ret = &s->base;
    return OK;
}

void fs_store_unref(struct fs_store *s)
{
    if (--s->refs > 0)
        return;
    free(s->root);
    free(s);
}

static void fs_close(struct blob_store *s)
{
    fs_store_unref((struct fs_store *)s);
}

char *fs_path(const struct fs_store *s, const char *key)
{
    char *path;
    return asprintf(&path, "%s/%s", s->root, key) < 0 ? NULL : path;
}

enum err fs_fail(struct why *why, int errno_value, const char *what, const char *key)
{
    char text[64];
    enum err e = err_from_errno(errno_value);
    /* A missing folder or a forbidden one is the store's fault, not the caller's. */
    if (e != ERR_NO_SPACE && e != ERR_UNAVAILABLE && e != ERR_CONFLICT &&
        !(e == ERR_NOT_FOUND && strcmp(what, "read") == 0))
        e = ERR_IO;
    return fail(why, e, "cannot %s '%s': %s", what, key,
                strerror_r(errno_value, text, sizeof text));
}

/* --- reading --- */

struct fs_get {
    struct task task;
    struct blob_get *get; /* NULL: closed before on_file */
    const struct blob_sink *sink;
    void *arg;
    int fd;
    bool posted;
};

static int open_object(struct fs_store *s, const char *key)
{
    char path[PATH_BYTES];
    int e = fault("blob.read");
    if (e) {
        errno = e;
        return -1;
    }
    snprintf(path, sizeof path, "%s/%s", s->root, key);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static void get_free(struct fs_get *f)
{
    close(f->fd);
    free(f);
}

static void on_opened(struct task *task)
{
    struct fs_get *f = container_of(task, struct fs_get, task);
    f->posted = false;
    if (f->get)
        f->sink->on_file(f->get, f->fd, f->arg);
    else
        get_free(f);
}

static enum err fs_get_open(struct blob_store *s, struct blob_get *g, const char *key, int64_t size,
                            int64_t offset, int64_t length, const struct blob_sink *sink,
                            void *arg, struct why *why)
{
    struct stat st;
    int fd = open_object((struct fs_store *)s, key);
    if (fd < 0)
        return fs_fail(why, errno, "read", key);
    struct fs_get *f = fstat(fd, &st) == 0 && st.st_size == size ? calloc(1, sizeof *f) : NULL;
    if (!f) {
        close(fd);
        return fail(why, ERR_IO, "'%s' is not of the size that its row says", key);
    }
    f->get = g;
    f->sink = sink;
    f->arg = arg;
    f->fd = fd;
    f->posted = true;
    f->task.run = on_opened;
    g->impl = f;
    loop_post(s->loop, &f->task);
    return OK;
}

static void fs_get_more(struct blob_get *g)
{
}

static void fs_get_close(struct blob_get *g)
{
    struct fs_get *f = g->impl;
    f->get = NULL;
    if (!f->posted)
        get_free(f);
}

static int fs_open_now(struct blob_store *s, const char *key)
{
    return open_object((struct fs_store *)s, key);
}

/* --- deleting --- */

static void delete_run(struct work *work)
{
    struct blob_delete *d = container_of(work, struct blob_delete, work);
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", ((struct fs_store *)d->store)->root, d->key);
    int e = fault("blob.delete");
    if (!e && unlink(path) < 0 && errno != ENOENT)
        e = errno;
    d->impl = (void *)(intptr_t)e;
}

static void on_deleted(struct work *work)
{
    struct blob_delete *d = container_of(work, struct blob_delete, work);
    struct why why = { "" };
    int errno_value = (int)(intptr_t)d->impl;
    enum err e = errno_value ? fs_fail(&why, errno_value, "delete", d->key) : OK;
    d->on_done(d, e, &why);
}

static enum err fs_delete(struct blob_store *s, struct blob_delete *d, struct why *why)
{
    work_submit(&d->work, s->loop, delete_run, on_deleted);
    return OK;
}

static enum err fs_presign(struct blob_store *s, const char *key, unsigned seconds,
                           struct arena *arena, char **ret_url)
{
    return ERR_NOT_IMPLEMENTED;
}

const struct blob_ops blob_fs_ops = {
    .type = "fs",
    .judge = fs_check,
    .open = fs_open,
    .close = fs_close,
    .put_begin = fs_put_begin,
    .put_write = fs_put_write,
    .put_finish = fs_put_finish,
    .put_abort = fs_put_abort,
    .get_open = fs_get_open,
    .get_more = fs_get_more,
    .get_close = fs_get_close,
    .open_now = fs_open_now,
    .delete = fs_delete,
    .presign = fs_presign,
};
