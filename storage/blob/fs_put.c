/* SPDX-License-Identifier: Apache-2.0 */
/* Writing to the `fs` store. The final name is opened at once (O_EXCL): the key is ours and nobody knows
 * it until a row names it, so there is no temporary name, no rename and no copy of the file.
 *
 * Two buffers: callers fill one on the loop while the pool digests and writes the other, so network and
 * disk work at the same time, the loop never hashes, and an abort never has to wait for the pool. A
 * body that fits one buffer costs a single job: open, digest, write, fsync, fsync of the folder.
 *
 *     filling ──full, pool idle──> job (open?, digest, pwrite) ──> filling …
 *        └──finish──> last job (… + fdatasync + folders) ──> on_finished */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs.h"
#include "pantera/fault.h"
#include "pantera/log.h"

enum {
    BUFFER_FIRST = 64 << 10,
    BUFFER_FULL = 256 << 10,
    WRITEBACK_BYTES = 8 << 20, /* pages are sent to the disk in such windows, two at most dirty */
};

struct fs_put {
    struct work work;
    struct task later; /* callbacks never come inside the call that caused them */
    struct fs_store *store;
    struct blob_put *put; /* NULL: aborted, or on_finished has been called */
    char *path, key[96];
    /* the pool's while `running` */
    int fd;
    char *busy;
    size_t busy_size, busy_capacity;
    int64_t written, hinted;
    struct digester *digester;
    struct digest_values digests;
    enum err job_err;
    struct why job_why;
    bool last;
    /* the loop's */
    char *fill;
    size_t fill_size, fill_capacity;
    const char *pending; /* the caller's bytes that did not fit yet */
    size_t pending_size;
    int64_t expected;
    enum err err;
    struct why why;
    bool running, later_posted, finishing, finished, opened;
    void (*on_written)(struct blob_put *p, enum err e, const struct why *why, void *arg);
    void (*on_finished)(struct blob_put *p, enum err e, const struct why *why, void *arg);
    void *arg;
};

/* --- on the pool --- */

static int make_folder(const char *path)
{
    if (mkdir(path, 0755) == 0 || errno == EEXIST)
        return 0;
    return errno;
}

/* Makes the folders above `path` that are missing. */
static int make_folders(const char *path)
{
    char *copy = strdup(path);
    int e = copy ? 0 : ENOMEM;
    for (char *slash = copy ? strchr(copy + 1, '/') : NULL; slash && e == 0;
         slash = strchr(slash + 1, '/')) {
        *slash = 0;
        e = make_folder(copy);
        *slash = '/';
    }
    free(copy);
    return e;
}

static int open_file(struct fs_put *f)
{
    int e = fault("blob.open");
    if (e)
        return e;
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
    f->fd = open(f->path, flags, 0644);
    if (f->fd < 0 && errno == ENOENT) {
        e = make_folders(f->path);
        if (e)
            return e;
        f->fd = open(f->path, flags, 0644);
    }
    return f->fd < 0 ? errno : 0;
}

static int write_all(struct fs_put *f)
{
    size_t done = 0;
    while (done < f->busy_size) {
        int e = fault("blob.write");
        if (e)
            return e;
        ssize_t n = pwrite(f->fd, f->busy + done, f->busy_size - done, f->written);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        done += (size_t)n;
        f->written += n;
    }
    return 0;
}

/* A 4 GiB upload must not pile up 4 GiB of dirty pages whose fsync then takes a minute: start the
 * write-back of each window when it is full, and wait for the one before. */
static void write_back(struct fs_put *f)
{
    while (f->written - f->hinted >= WRITEBACK_BYTES) {
        sync_file_range(f->fd, f->hinted, WRITEBACK_BYTES, SYNC_FILE_RANGE_WRITE);
        if (f->hinted > 0)
            sync_file_range(f->fd, f->hinted - WRITEBACK_BYTES, WRITEBACK_BYTES,
                            SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                                SYNC_FILE_RANGE_WAIT_AFTER);
        f->hinted += WRITEBACK_BYTES;
    }
}

static int sync_folder(const char *path)
{
    int e = fault("blob.fsync_folder");
    if (e)
        return e;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    if (fsync(fd) < 0)
        e = errno;
    close(fd);
    return e;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The flag of "blobs/<2 hex>", or NULL for a key of another shape. */
static atomic_bool *synced_flag(struct fs_put *f)
{
    if (strncmp(f->key, "blobs/", 6) != 0 || hex_value(f->key[6]) < 0 || hex_value(f->key[7]) < 0 ||
        f->key[8] != '/' || strchr(f->key + 9, '/'))
        return NULL;
    return &f->store->folder_synced[hex_value(f->key[6]) * 16 + hex_value(f->key[7])];
}

/* The file's own entry, and the entries of all the folders above it unless this process has already
 * seen them durable: another put may have made one a moment ago and not yet have synced it. */
static int sync_folders(struct fs_put *f)
{
    atomic_bool *flag = synced_flag(f);
    bool known = flag && atomic_load(flag), more = true;
    size_t root = strlen(f->store->root);
    char *path = strdup(f->path);
    int e = path ? 0 : ENOMEM;
    while (e == 0 && more) {
        char *slash = strrchr(path, '/');
        if (slash)
            *slash = 0;
        more = slash && slash != path && !known;
        bool ours = slash && strlen(path) >= root;
        e = sync_folder(!slash ? "." : slash == path ? "/" : path);
        if (!ours)
            e = 0; /* above the root: what can't be synced there was not made by us */
    }
    if (e == 0 && flag)
        atomic_store(flag, true);
    free(path);
    return e;
}

static int finish_file(struct fs_put *f)
{
    int e = fault("blob.fsync");
    if (!e && fdatasync(f->fd) < 0)
        e = errno;
    if (!e)
        e = sync_folders(f);
    digester_final(f->digester, &f->digests);
    return e;
}

static void put_run(struct work *work)
{
    struct fs_put *f = container_of(work, struct fs_put, work);
    const char *what = "open";
    int e = f->fd < 0 ? open_file(f) : 0;
    if (!e) {
        what = "write";
        digester_update(f->digester, f->busy, f->busy_size);
        e = write_all(f);
    }
    if (!e)
        write_back(f);
    if (!e && f->last) {
        what = "sync";
        e = finish_file(f);
    }
    if (e)
        f->job_err = fs_fail(&f->job_why, e, what, f->key);
}

/* An aborted put's file is removed at once; the caller's garbage row covers what a crash leaves. */
static void discard_run(struct work *work)
{
    struct fs_put *f = container_of(work, struct fs_put, work);
    close(f->fd);
    unlink(f->path);
    f->fd = -1;
}

/* --- on the loop --- */

static void put_free(struct fs_put *f)
{
    if (f->fd >= 0)
        close(f->fd);
    digester_free(f->digester);
    fs_store_unref(f->store);
    free(f->fill);
    free(f->busy);
    free(f->path);
    free(f);
}

static void put_step(struct fs_put *f);

static void on_discarded(struct work *work)
{
    put_free(container_of(work, struct fs_put, work));
}

static void put_let_go(struct fs_put *f)
{
    if (f->put || f->running || f->later_posted)
        return;
    if (f->fd >= 0 && !f->finished) {
        f->running = true;
        work_submit(&f->work, f->store->base.loop, discard_run, on_discarded);
    } else {
        put_free(f);
    }
}

static void on_later(struct task *task)
{
    struct fs_put *f = container_of(task, struct fs_put, later);
    struct blob_put *p = f->put;
    f->later_posted = false;
    if (p && f->on_written) {
        void (*cb)(struct blob_put *, enum err, const struct why *, void *) = f->on_written;
        f->on_written = NULL;
        f->later_posted = true; /* an abort inside the callback leaves the freeing to us */
        cb(p, f->err, &f->why, f->arg);
        f->later_posted = false;
    } else if (p && f->on_finished) {
        p->size = f->written;
        p->digests = f->digests;
        f->finished = f->err == OK;
        f->put = NULL;
        p->impl = NULL;
        f->on_finished(p, f->err, &f->why, f->arg);
    }
    if (f->put)
        put_step(f);
    else
        put_let_go(f);
}

static void post_later(struct fs_put *f)
{
    if (f->later_posted)
        return;
    f->later_posted = true;
    f->later.run = on_later;
    loop_post(f->store->base.loop, &f->later);
}

static void on_ran(struct work *work)
{
    struct fs_put *f = container_of(work, struct fs_put, work);
    f->running = false;
    f->busy_size = 0;
    if (f->err == OK && f->job_err != OK) {
        f->err = f->job_err;
        f->why = f->job_why;
    }
    if (!f->put)
        put_let_go(f);
    else
        put_step(f);
}

static void submit_job(struct fs_put *f)
{
    char *data = f->fill;
    size_t capacity = f->fill_capacity;
    f->fill = f->busy;
    f->fill_capacity = f->busy_capacity;
    f->busy = data;
    f->busy_capacity = capacity;
    f->busy_size = f->fill_size;
    f->fill_size = 0;
    f->last = f->finishing && f->pending_size == 0;
    f->running = f->opened = true;
    work_submit(&f->work, f->store->base.loop, put_run, on_ran);
}

/* Room for `more` bytes, up to a full buffer. */
static bool reserve(struct fs_put *f, size_t more)
{
    size_t want = f->fill_size + more, size = BUFFER_FIRST;
    if (want <= f->fill_capacity || f->fill_capacity == BUFFER_FULL)
        return true;
    if (f->opened || want > BUFFER_FIRST)
        size = BUFFER_FULL;
    if (f->expected >= 0 && f->expected < (int64_t)size && (int64_t)want <= f->expected)
        size = (size_t)f->expected;
    char *grown = realloc(f->fill, size);
    if (grown) {
        f->fill = grown;
        f->fill_capacity = size;
    }
    return grown != NULL;
}

static void take_pending(struct fs_put *f)
{
    if (!f->pending_size)
        return;
    if (!reserve(f, f->pending_size)) {
        f->err = fail(&f->why, ERR_UNAVAILABLE, "out of memory for an upload");
        return;
    }
    size_t room = f->fill_capacity - f->fill_size;
    size_t n = room < f->pending_size ? room : f->pending_size;
    memcpy(f->fill + f->fill_size, f->pending, n);
    f->fill_size += n;
    f->pending += n;
    f->pending_size -= n;
}

static void put_step(struct fs_put *f)
{
    for (;;) {
        if (f->err == OK)
            take_pending(f);
        if (f->err != OK || f->running)
            break;
        bool full = f->fill_size > 0 && f->fill_size == f->fill_capacity &&
                    (f->pending_size > 0 || f->fill_capacity == BUFFER_FULL);
        if (!full && !(f->finishing && !f->last))
            break;
        submit_job(f);
    }
    bool answered = f->err != OK && !f->running;
    if (f->on_written && (answered || f->pending_size == 0))
        post_later(f);
    else if (f->on_finished && (answered || (f->last && !f->running)))
        post_later(f);
}

enum err fs_put_begin(struct blob_store *s, struct blob_put *p, const char *key, int64_t expected,
                      unsigned digest_kinds, struct why *why)
{
    struct fs_store *store = (struct fs_store *)s;
    struct fs_put *f = calloc(1, sizeof *f);
    if (!f || !(f->path = fs_path(store, key))) {
        free(f);
        return fail(why, ERR_UNAVAILABLE, "out of memory for an upload");
    }
    snprintf(f->key, sizeof f->key, "%s", key);
    f->store = store;
    store->refs++;
    f->put = p;
    f->fd = -1;
    f->expected = expected;
    f->digester = digester_new(digest_kinds);
    p->impl = f;
    return OK;
}

void fs_put_write(struct blob_put *p, const void *data, size_t size,
                  void (*on_written)(struct blob_put *p, enum err e, const struct why *why,
                                     void *arg),
                  void *arg)
{
    struct fs_put *f = p->impl;
    check(!f->on_written && !f->on_finished);
    f->pending = data;
    f->pending_size = size;
    f->on_written = on_written;
    f->arg = arg;
    put_step(f);
}

void fs_put_finish(struct blob_put *p,
                   void (*on_finished)(struct blob_put *p, enum err e, const struct why *why,
                                       void *arg),
                   void *arg)
{
    struct fs_put *f = p->impl;
    check(!f->on_written && !f->on_finished);
    f->finishing = true;
    f->on_finished = on_finished;
    f->arg = arg;
    put_step(f);
}

void fs_put_abort(struct blob_put *p)
{
    struct fs_put *f = p->impl;
    f->put = NULL;
    f->pending = NULL;
    f->pending_size = 0;
    put_let_go(f);
}
