/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/stage.c: bytes go into a repository's store under a reserved key that nothing names yet.
 *
 *   KEY ──→ RECV ──→ SEAL ──→ READY          any → BROKEN, which is told at the end
 *
 *   KEY     waits on a reserved key (keys.c); mostly there at once. Bytes are taken already.
 *   RECV    two buffers: one is the store's, the other fills
 *   SEAL    waits on the store's word that the bytes are durable
 *   READY   until a commit names it (commit.c) or it is dropped
 *
 * Memory: two buffers of at most 256 KiB and a chunk, however much comes. */
#include <stdlib.h>
#include <string.h>

#include "pantera/limits.h"
#include "pantera/text.h"
#include "src/registry/internal.h"
#include "src/registry/staging.h"

#define STAGE_FULL KIB(256)

static void stage_free(struct stage *s)
{
    if (s->store)
        store_unref(s->worker->registry, s->store);
    free(s->buffers[0].data);
    free(s->buffers[1].data);
    free(s->store_name);
    free(s);
}

/* What may be under the key is given up; READY stages that were named have no key any more. */
static void stage_end(struct stage *s)
{
    if (s->blob_open)
        blob_put_abort(&s->blob);
    if (s->adopted)
        s->wait.key[0] = 0;
    if (s->wait.key[0] && s->touched)
        keys_abandon(s->wait.key, &s->worker->loop);
    else if (s->wait.key[0])
        keys_give_back(s->store_name, s->wait.key);
    stage_free(s);
}

/* --- telling, never inside the caller's call --- */

static void stage_tell(struct stage *s)
{
    void (*on_room)(struct stage *, void *) = s->on_room;
    stage_cb *done = s->done;

    if (on_room) {
        s->on_room = NULL;
        on_room(s, s->room_arg);
        return; /* `s` may be gone */
    }
    if (done && (s->state == STAGE_READY || s->state == STAGE_BROKEN)) {
        s->done = NULL;
        done(s, s->err, &s->why, s->done_arg);
    }
}

static void on_told(struct task *task)
{
    struct stage *s = container_of(task, struct stage, task);

    s->told = false;
    if (s->dropped)
        stage_end(s);
    else
        stage_tell(s);
}

static void stage_tell_later(struct stage *s)
{
    if (s->told)
        return;
    s->told = true;
    s->task.run = on_told;
    loop_post(&s->worker->loop, &s->task);
}

static void stage_break(struct stage *s, enum err e, const struct why *why)
{
    if (s->state == STAGE_BROKEN)
        return;
    s->state = STAGE_BROKEN;
    s->err = e;
    if (why)
        s->why = *why;
    if (s->blob_open) {
        s->blob_open = false;
        blob_put_abort(&s->blob);
    }
    s->busy = false;
    stage_tell_later(s);
}

/* --- SEAL --- */

static void stage_ready(struct stage *s)
{
    s->state = STAGE_READY;
    s->etag[0] = '"';
    hex_encode(s->blob.digests.sha256, 32, s->etag + 1);
    s->etag[65] = '"';
}

static void on_finished(struct blob_put *blob, enum err e, const struct why *why, void *arg)
{
    struct stage *s = arg;

    (void)blob;
    s->blob_open = false;
    if (e) {
        stage_break(s, e, why);
        return;
    }
    stage_ready(s);
    stage_tell(s);
}

/* --- RECV --- */

static void on_written(struct blob_put *blob, enum err e, const struct why *why, void *arg);

static void stage_pump(struct stage *s)
{
    struct stage_buffer *fill = &s->buffers[!s->writing];

    if (s->busy || s->state != STAGE_RECV)
        return;
    if (fill->size) {
        s->writing = !s->writing;
        s->busy = true;
        blob_put_write(&s->blob, fill->data, fill->size, on_written, s);
    } else if (s->ended) {
        s->state = STAGE_SEAL;
        blob_put_finish(&s->blob, on_finished, s);
    }
}

static void on_written(struct blob_put *blob, enum err e, const struct why *why, void *arg)
{
    struct stage *s = arg;

    (void)blob;
    s->busy = false;
    s->buffers[s->writing].size = 0;
    if (e) {
        stage_break(s, e, why);
        return;
    }
    stage_pump(s);
    if (s->on_room)
        stage_tell(s);
}

static void stage_recv(struct stage *s)
{
    struct why why = { "" };
    enum err e = blob_put_begin(s->store->blobs, &s->blob, s->wait.key, s->expected, s->kinds, &why);

    if (e) {
        stage_break(s, e, &why);
        return;
    }
    s->blob_open = s->touched = true;
    s->state = STAGE_RECV;
    stage_pump(s);
}

/* --- KEY --- */

static void on_key(struct key_wait *w)
{
    struct stage *s = container_of(w, struct stage, wait);

    s->waiting = false;
    if (w->err)
        w->key[0] = 0;
    if (s->dropped)
        stage_end(s);
    else if (w->err)
        stage_break(s, w->err, &w->why);
    else if (s->state == STAGE_KEY)
        stage_recv(s);
}

static void stage_open(struct stage *s, const struct repo *repo)
{
    const char *store = repo_entry_of(repo)->store;
    struct why why = { "" };
    enum err e;

    s->store_name = strdup(store ? store : "");
    check(s->store_name);
    if (!store) {
        e = fail(&why, ERR_STORE_DOWN, "storage '%s' of the repository does not exist",
                 repo->storage ? repo->storage : "");
    } else if (s->limit >= 0 && s->expected > s->limit) {
        e = fail(&why, ERR_TOO_BIG, "%lld bytes at most", (long long)s->limit);
    } else {
        /* The store before the key: that its alias points elsewhere now makes keys worthless. */
        e = store_ref(s->worker->registry, store, &s->store, &why);
    }
    if (e) {
        stage_break(s, e, &why);
    } else if (keys_take(s->store_name, &s->wait)) {
        stage_recv(s);
    } else {
        s->waiting = true;
    }
}

struct stage *stage_new(struct worker *w, const struct repo *repo, int64_t expected, int64_t limit,
                        unsigned kinds)
{
    struct stage *s = calloc(1, sizeof *s);
    int64_t max = repo->content_length_max;

    check(s);
    s->worker = w;
    s->expected = expected;
    s->limit = max > 0 && (limit < 0 || max < limit) ? max : limit;
    s->kinds = kinds | DIGEST_SHA256;
    s->wait.home = &w->loop;
    s->wait.done = on_key;
    stage_open(s, repo);
    return s;
}

struct stage *stage_adopt(struct worker *w, const char *store, const char *key, int64_t size,
                          const struct digest_values *digests)
{
    struct stage *s = calloc(1, sizeof *s);

    check(s && strlen(key) < KEY_SIZE);
    s->worker = w;
    s->adopted = s->ended = true;
    s->store_name = strdup(store);
    check(s->store_name);
    memcpy(s->wait.key, key, strlen(key) + 1);
    s->blob.size = size;
    s->blob.digests = *digests;
    stage_ready(s);
    return s;
}

/* --- the producer's side --- */

static void buffer_append(struct stage_buffer *b, const void *data, size_t size)
{
    if (b->size + size > b->capacity) {
        size_t capacity = b->capacity ? b->capacity : KIB(4);
        while (capacity < b->size + size)
            capacity *= 2;
        b->data = realloc(b->data, capacity);
        check(b->data);
        b->capacity = capacity;
    }
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

bool stage_write(struct stage *s, const void *data, size_t size,
                 void (*on_room)(struct stage *s, void *arg), void *arg)
{
    struct why why = { "" };
    struct stage_buffer *fill = &s->buffers[!s->writing];

    check(!s->ended);
    if (s->state == STAGE_BROKEN)
        return true; /* told at the end */
    s->taken += (int64_t)size;
    if (s->limit >= 0 && s->taken > s->limit) {
        stage_break(s, fail(&why, ERR_TOO_BIG, "%lld bytes at most", (long long)s->limit), &why);
        return true;
    }
    if (size)
        buffer_append(fill, data, size);
    stage_pump(s);
    if (s->buffers[!s->writing].size < STAGE_FULL || s->state == STAGE_BROKEN)
        return true;
    s->on_room = on_room;
    s->room_arg = arg;
    return false;
}

enum err stage_err(const struct stage *s)
{
    return s->err;
}

void stage_finish(struct stage *s, stage_cb *done, void *arg)
{
    check(!s->ended);
    s->ended = true;
    s->on_room = NULL;
    s->done = done;
    s->done_arg = arg;
    if (s->state == STAGE_BROKEN)
        stage_tell_later(s);
    else
        stage_pump(s);
}

void stage_drop(struct stage *s)
{
    if (!s)
        return;
    s->dropped = true;
    s->on_room = NULL;
    s->done = NULL;
    if (s->blob_open) {
        s->blob_open = false;
        blob_put_abort(&s->blob);
    }
    if (!s->told && !s->waiting)
        stage_end(s);
}

void stage_named(struct stage *s)
{
    s->wait.key[0] = 0;
    stage_drop(s);
}

void stage_worthless(struct stage *s)
{
    keys_forget(s->store_name);
}

int64_t stage_size(const struct stage *s)
{
    return s->blob.size;
}

const struct digest_values *stage_digests(const struct stage *s)
{
    return &s->blob.digests;
}

const char *stage_etag(const struct stage *s)
{
    return s->etag;
}

struct stage *stage_bytes(struct worker *w, const struct repo *repo, const void *data, size_t size,
                          unsigned kinds, stage_cb *done, void *arg)
{
    struct stage *s = stage_new(w, repo, (int64_t)size, -1, kinds);

    if (!stage_write(s, data, size, NULL, NULL))
        s->on_room = NULL; /* it was all */
    stage_finish(s, done, arg);
    return s;
}

static void set_digest(json_t *args, const char *name, const void *data, size_t size)
{
    char hex[129];

    hex_encode(data, size, hex);
    json_object_set_new(args, name, json_string(hex));
}

json_t *stage_args(const struct stage *s, const char *path, const char *content_type)
{
    const struct digest_values *d = &s->blob.digests;
    json_t *args = json_pack("{s:s, s:s, s:s, s:I, s:s?}", "path", path, "store", s->store_name, "key",
                             s->wait.key, "size", (json_int_t)s->blob.size, "content_type",
                             content_type);

    if (!args)
        return NULL;
    set_digest(args, "sha256", d->sha256, 32);
    if (d->kinds & DIGEST_SHA1)
        set_digest(args, "sha1", d->sha1, 20);
    if (d->kinds & DIGEST_MD5)
        set_digest(args, "md5", d->md5, 16);
    if (d->kinds & DIGEST_SHA512)
        set_digest(args, "sha512", d->sha512, 64);
    return args;
}
