/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/session.c: uploads of several requests. The rows are storage/meta/session.c's; here a chunk
 * goes into them, and all of them become one object:
 *
 *   one piece        its object is the blob, nothing is copied
 *   several pieces   each is read in turn and written to a new object, digests on the way */
#include "pantera/session.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pantera/limits.h"
#include "pantera/meta_session.h"
#include "pantera/text.h"
#include "src/registry/staging.h"

enum err session_find(struct registry *r, struct arena *a, const struct repo *repo, const char *id,
                      struct session *ret)
{
    struct session_row row;
    enum err e = session_get(r->worker->reader, a, repo->id, id, &row);

    if (!e)
        *ret = (struct session){ .scope = row.scope, .size = row.size };
    return e;
}

/* --- what one operation does --- */

struct step {
    struct proposal proposal;
    struct stage *stage;         /* of an append */
    session_cb *done;
    void *arg;
};

static void on_step(struct proposal *p)
{
    struct step *s = container_of(p, struct step, proposal);

    json_decref(p->result);
    if (s->stage && !p->err)
        stage_named(s->stage);
    else if (s->stage && p->err == ERR_UNAVAILABLE)
        stage_worthless(s->stage);
    s->done(p->err, &p->why, s->arg);
    free(s);
}

static void step(struct worker *w, const char *op, json_t *args, struct stage *stage, session_cb *done,
                 void *arg)
{
    struct step *s = calloc(1, sizeof *s);

    check(s && args); /* names of repositories and ids are valid text */
    s->stage = stage;
    s->done = done;
    s->arg = arg;
    s->proposal = (struct proposal){ .op = op, .args = args, .home = &w->loop, .on_done = on_step };
    cluster_propose(w->cluster, &s->proposal);
}

void session_open(struct worker *w, const struct repo *repo, const char *id, const char *scope,
                  const char *owner, session_cb *done, void *arg)
{
    step(w, "session.open", json_pack("{s:s, s:I, s:s, s:s?}", "id", id, "repo_id",
                                      (json_int_t)repo->id, "scope", scope, "owner", owner), NULL, done, arg);
}

void session_append(struct worker *w, const struct repo *repo, const char *id, int64_t offset,
                    struct stage *s, session_cb *done, void *arg)
{
    json_t *args = stage_args(s, "", NULL); /* store, key, size, sha256 */

    check(args && s->state == STAGE_READY);
    json_object_set_new(args, "id", json_string(id));
    json_object_set_new(args, "repo_id", json_integer(repo->id));
    json_object_set_new(args, "offset", json_integer(offset));
    step(w, "session.append", args, s, done, arg);
}

void session_cancel(struct worker *w, const struct repo *repo, const char *id, session_cb *done, void *arg)
{
    step(w, "session.cancel", json_pack("{s:s, s:I}", "id", id, "repo_id", (json_int_t)repo->id), NULL,
         done, arg);
}

/* --- joining --- */

struct join {
    struct worker *worker;
    struct arena arena;
    struct session_chunk *pieces;
    unsigned count, at;
    struct stage *last, *out;
    struct store *store;         /* of the piece that is read */
    struct blob_get blob;
    bool blob_open, ended;       /* ended: of the piece */
    int fd;                      /* of the piece, or -1: bytes come by themselves */
    int64_t done_bytes;
    char *buffer;
    ssize_t got;
    struct work work;
    struct task task;
    enum err err;
    struct why why;
    stage_cb *done;
    void *arg;
};

enum { JOIN_BYTES = 1 << 18 };

static void join_next(struct join *j);

static void join_free(struct join *j)
{
    if (j->last)
        stage_drop(j->last);
    arena_release(&j->arena);
    free(j->buffer);
    free(j);
}

static void piece_close(struct join *j)
{
    if (j->blob_open)
        blob_get_close(&j->blob);
    j->blob_open = false;
    if (j->store)
        store_unref(j->worker->registry, j->store);
    j->store = NULL;
}

static void join_fail(struct join *j, enum err e, const struct why *why)
{
    stage_cb *done = j->done;
    void *arg = j->arg;
    struct why text = why ? *why : (struct why){ "" };

    piece_close(j);
    stage_drop(j->out);
    join_free(j);
    done(NULL, e == ERR_NOT_FOUND ? ERR_IO : e, &text, arg);
}

static void on_joined(struct stage *s, enum err e, const struct why *why, void *arg)
{
    struct join *j = arg;
    struct why text = *why;
    stage_cb *done = j->done;
    void *done_arg = j->arg;

    if (e) {
        join_fail(j, e, &text);
        return;
    }
    join_free(j); /* and `last`: its bytes are in the new one */
    done(s, OK, &text, done_arg);
}

static void piece_end(struct join *j)
{
    piece_close(j);
    j->at++;
    join_next(j);
}

/* --- a piece that is a local file: read on the pool, which may block --- */

static void read_some(struct work *work)
{
    struct join *j = container_of(work, struct join, work);

    j->got = pread(j->fd, j->buffer, JOIN_BYTES, j->done_bytes);
}

static void on_read(struct work *work);

static void read_more(struct join *j)
{
    if (j->done_bytes >= j->pieces[j->at].size)
        piece_end(j);
    else
        work_submit(&j->work, &j->worker->loop, read_some, on_read);
}

static void on_room_for_file(struct stage *s, void *arg)
{
    (void)s;
    read_more(arg);
}

static void on_read(struct work *work)
{
    struct join *j = container_of(work, struct join, work);
    struct why why = { "" };

    if (j->got <= 0) {
        join_fail(j, fail(&why, ERR_IO, "a chunk of the upload can't be read"), &why);
        return;
    }
    j->done_bytes += j->got;
    if (stage_write(j->out, j->buffer, (size_t)j->got, on_room_for_file, j))
        read_more(j);
}

static void on_file(struct blob_get *g, int fd, void *arg)
{
    struct join *j = arg;

    (void)g;
    j->fd = fd;
    j->done_bytes = 0;
    read_more(j);
}

/* --- a piece that comes over the network --- */

static void on_room_for_data(struct stage *s, void *arg)
{
    struct join *j = arg;

    (void)s;
    blob_get_more(&j->blob);
}

static void on_data(struct blob_get *g, const void *data, size_t size, void *arg)
{
    struct join *j = arg;

    if (stage_write(j->out, data, size, on_room_for_data, j))
        blob_get_more(g);
}

static void on_end(struct blob_get *g, enum err e, const struct why *why, void *arg)
{
    (void)g;
    if (e)
        join_fail(arg, e, why);
    else
        piece_end(arg);
}

static void join_next(struct join *j)
{
    static const struct blob_sink sink = { on_file, on_data, on_end };
    const struct session_chunk *p = &j->pieces[j->at];
    struct why why = { "" };
    enum err e = stage_err(j->out);

    if (j->at == j->count || e) { /* what went wrong in the stage is told at its end */
        stage_finish(j->out, on_joined, j);
        return;
    }
    if (!(e = store_ref(j->worker->registry, p->store, &j->store, &why)) &&
        !(e = blob_get_open(j->store->blobs, &j->blob, p->key, p->size, 0, p->size, &sink, j, &why)))
        j->blob_open = true;
    if (e)
        join_fail(j, e, &why);
}

/* --- which way --- */

static void on_start(struct task *task)
{
    join_next(container_of(task, struct join, task));
}

static void on_single(struct task *task)
{
    struct join *j = container_of(task, struct join, task);
    struct stage *s = j->out;
    stage_cb *done = j->done;
    void *arg = j->arg;

    j->out = NULL;
    join_free(j);
    done(s, OK, &(struct why){ "" }, arg);
}

/* A chunk without bytes has an object too; it is not read, and goes with the session. */
static void pieces_add(struct join *j, const struct session_chunk *chunks, unsigned count)
{
    j->pieces = arena_alloc(&j->arena, (count + 1) * sizeof *j->pieces);
    for (unsigned i = 0; i < count; i++)
        if (chunks[i].size > 0)
            j->pieces[j->count++] = chunks[i];
}

static void piece_of_stage(struct join *j, const struct stage *s)
{
    struct session_chunk *p = &j->pieces[j->count++];

    *p = (struct session_chunk){ .size = stage_size(s), .key = s->wait.key, .store = s->store_name };
}

/* True: *ret is all of it already. */
static bool join_single(struct join *j, unsigned kinds)
{
    const struct session_chunk *p = &j->pieces[0];
    struct digest_values digests = { .kinds = DIGEST_SHA256 };

    if (j->last && j->count == 0 && !(kinds & ~stage_digests(j->last)->kinds)) {
        j->out = j->last;
        j->last = NULL;
        return true;
    }
    if (j->count != 1 || j->last || kinds & ~(unsigned)DIGEST_SHA256)
        return false;
    memcpy(digests.sha256, p->sha256, sizeof digests.sha256);
    j->out = stage_adopt(j->worker, p->store, p->key, p->size, &digests);
    return true;
}

void session_join(struct worker *w, const struct repo *repo, const char *id, struct stage *last,
                  unsigned kinds, stage_cb *done, void *arg)
{
    struct join *j = calloc(1, sizeof *j);
    struct session_chunk *chunks;
    int64_t size = 0;
    unsigned n;

    check(j);
    arena_init(&j->arena);
    j->worker = w;
    j->fd = -1;
    j->last = last;
    j->done = done;
    j->arg = arg;
    if (last && stage_size(last) == 0) {
        stage_drop(last);
        j->last = NULL;
    }
    session_chunks(w->reader, &j->arena, id, &chunks, &n);
    pieces_add(j, chunks, n);
    if (join_single(j, kinds)) {
        j->task.run = on_single;
        loop_post(&w->loop, &j->task);
        return;
    }
    if (j->last)
        piece_of_stage(j, j->last);
    for (unsigned i = 0; i < j->count; i++)
        size += j->pieces[i].size;
    j->buffer = malloc(JOIN_BYTES);
    check(j->buffer);
    j->out = stage_new(w, repo, size, -1, kinds);
    j->task.run = on_start;
    loop_post(&w->loop, &j->task);
}
