/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/update.c: a document that the server makes is read, changed and written, with what belongs
 * to the change, in one operation.
 *
 *   QUEUE → LOAD → APPLY → STAGE → COMMIT → (freed)
 *             ↑______________________|  another node was first
 *
 *   QUEUE   waits on the update of the same document that this process runs
 *   LOAD    waits on the bytes of now          APPLY   waits on the pool
 *   STAGE   waits on the store                 COMMIT  waits on artifact.commit */
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/ids.h"
#include "pantera/text.h"
#include "src/registry/staging.h"

/* The replica here may be behind what the leader compared with: it catches up in milliseconds. */
enum { AGAIN_MS = 5, PATIENCE_MS = 15000 };

struct update {
    struct update *next;         /* in its document's queue */
    struct worker *worker;
    struct registry_update order; /* its strings are the arena's */
    struct arena arena;
    const char *repo_name, *owner;
    int64_t repo_id;
    json_t *audit;
    uint64_t deadline_ms;
    unsigned attempts;
    /* of this attempt */
    char *data;                  /* NULL: there is none */
    size_t size;
    char sha256[65];             /* of it; "": absent */
    struct buf out;
    bool out_open;
    enum err applied;
    struct why why;
    struct stage *stage;
    struct work work;
    struct task task;
    uv_timer_t timer;
};

struct queue {                   /* of one document; its head runs */
    struct queue *next;
    struct update *head, **tail;
};

static uv_once_t once = UV_ONCE_INIT;
static uv_mutex_t lock;
static struct queue *queues;     /* few: as many as documents are being changed */

static void update_start(struct task *task);

static void init(void)
{
    check(uv_mutex_init(&lock) == 0);
}

static bool same_document(const struct update *a, const struct update *b)
{
    return a->repo_id == b->repo_id && !strcmp(a->order.path, b->order.path);
}

/* True: it is the first. */
static bool queue_join(struct update *u)
{
    struct queue *q;
    bool first;

    uv_once(&once, init);
    uv_mutex_lock(&lock);
    for (q = queues; q && !same_document(q->head, u); q = q->next)
        ;
    first = q == NULL;
    if (first) {
        q = calloc(1, sizeof *q);
        check(q);
        q->tail = &q->head;
        q->next = queues;
        queues = q;
    }
    *q->tail = u;
    q->tail = &u->next;
    uv_mutex_unlock(&lock);
    return first;
}

static void queue_leave(struct update *u)
{
    struct queue **at = &queues, *q;

    uv_mutex_lock(&lock);
    while ((*at)->head != u)
        at = &(*at)->next;
    q = *at;
    q->head = u->next;
    if (q->head) {
        q->head->task.run = update_start;
        loop_post(&q->head->worker->loop, &q->head->task);
    } else {
        *at = q->next;
        free(q);
    }
    uv_mutex_unlock(&lock);
}

/* --- the end --- */

static void attempt_clear(struct update *u)
{
    free(u->data);
    u->data = NULL;
    u->sha256[0] = 0;
    if (u->out_open)
        buf_free(&u->out);
    u->out_open = false;
    stage_drop(u->stage);
    u->stage = NULL;
}

static void on_closed(uv_handle_t *handle)
{
    struct update *u = container_of((uv_timer_t *)handle, struct update, timer);

    arena_release(&u->arena);
    free(u);
}

static void update_end(struct update *u, enum err e, const struct why *why)
{
    struct why text = why ? *why : (struct why){ "" };

    if (e == ERR_AGAIN)
        e = fail(&text, ERR_UNAVAILABLE, "too many change this at once; try again");
    attempt_clear(u);
    json_decref(u->audit);
    queue_leave(u);
    u->order.done(e, &text, u->order.arg);
    uv_close((uv_handle_t *)&u->timer, on_closed);
}

/* --- COMMIT --- */

static void update_load(struct update *u);

static void on_timer(uv_timer_t *timer)
{
    update_load(container_of(timer, struct update, timer));
}

static void on_committed(enum err e, const struct why *why, void *arg)
{
    struct update *u = arg;
    unsigned spread = u->attempts < 6 ? 1u << u->attempts : 64;

    if (!e)
        u->stage = NULL; /* it has its name */
    if (e != ERR_AGAIN || clock_mono_ms() > u->deadline_ms) {
        update_end(u, e, why);
        return;
    }
    attempt_clear(u);
    u->attempts++;
    uv_timer_start(&u->timer, on_timer, AGAIN_MS + clock_mono_us() % (AGAIN_MS * spread), 0);
}

static const struct repo *update_repo(struct update *u)
{
    const struct repo *repo = registry_repo(u->worker->registry, u->repo_name);

    if (repo && repo->id == u->repo_id)
        return repo;
    update_end(u, ERR_NOT_FOUND, &(struct why){ "the repository does not exist any more" });
    return NULL;
}

static void update_commit(struct update *u)
{
    const struct repo *repo = update_repo(u);
    struct commit_what what = { .content_type = u->order.content_type, .hidden = true,
                                .if_sha256 = u->sha256 };
    struct commit *c;

    if (!repo)
        return;
    c = commit_new_as(u->worker, repo, u->owner, u->audit ? json_incref(u->audit) : NULL);
    if (u->stage) {
        commit_put(c, u->order.path, u->stage, &what);
        commit_or_again(c);
    } else if (!u->applied && u->sha256[0]) {
        commit_delete(c, u->order.path, u->sha256, false);
        commit_or_again(c);
    }
    if (u->order.add)
        u->order.add(u->order.arg, c);
    commit_run(c, on_committed, u);
}

/* --- STAGE --- */

static void on_staged(struct stage *s, enum err e, const struct why *why, void *arg)
{
    struct update *u = arg;

    (void)s;
    if (e)
        update_end(u, e, why);
    else
        update_commit(u);
}

static void on_applied(struct work *work)
{
    struct update *u = container_of(work, struct update, work);
    const struct repo *repo;

    if (!u->applied && buf_err(&u->out))
        u->applied = fail(&u->why, ERR_TOO_BIG, "'%.200s' would be larger than %zu bytes", u->order.path,
                          u->order.limit);
    if (u->applied && u->applied != ERR_AGAIN) {
        update_end(u, u->applied, &u->why);
    } else if (u->applied || u->out.length == 0) {
        update_commit(u);
    } else if ((repo = update_repo(u))) {
        u->stage = stage_bytes(u->worker, repo, u->out.data, u->out.length, 0, on_staged, u);
        buf_free(&u->out);
        u->out_open = false;
    }
}

/* --- APPLY, LOAD --- */

static void apply(struct work *work)
{
    struct update *u = container_of(work, struct update, work);

    u->applied = u->order.apply(u->order.arg, u->data, u->size, &u->out, &u->why);
}

static void on_loaded(enum err e, const struct why *why, const char *data, size_t size,
                      const struct digest_values *digests, void *arg)
{
    struct update *u = arg;

    if (e && e != ERR_NOT_FOUND) {
        update_end(u, e, why);
        return;
    }
    if (!e) {
        u->data = malloc(size + 1);
        check(u->data);
        memcpy(u->data, data, size);
        u->data[size] = 0;
        u->size = size;
        hex_encode(digests->sha256, 32, u->sha256);
    }
    u->why.text[0] = 0;
    buf_init(&u->out, u->order.limit);
    u->out_open = true;
    work_submit(&u->work, &u->worker->loop, apply, on_applied);
}

static void update_load(struct update *u)
{
    const struct repo *repo = update_repo(u);

    if (repo)
        registry_load(u->worker, repo, u->order.path, u->order.limit, on_loaded, u);
}

static void update_start(struct task *task)
{
    struct update *u = container_of(task, struct update, task);

    u->deadline_ms = clock_mono_ms() + PATIENCE_MS;
    update_load(u);
}

void registry_update(struct worker *w, const struct repo *repo, const struct registry_update *order)
{
    struct update *u = calloc(1, sizeof *u);

    check(u);
    arena_init(&u->arena);
    check(uv_timer_init(&w->loop.uv, &u->timer) == 0);
    u->worker = w;
    u->order = *order;
    u->order.path = arena_strdup(&u->arena, order->path);
    u->order.content_type = order->content_type ? arena_strdup(&u->arena, order->content_type) : NULL;
    u->order.req = NULL;
    u->repo_id = repo->id;
    u->repo_name = arena_strdup(&u->arena, repo->name);
    if (order->req) {
        u->audit = audit_envelope(order->req);
        u->owner = order->req->user ? arena_strdup(&u->arena, order->req->user) : NULL;
    }
    u->task.run = update_start;
    if (queue_join(u))
        loop_post(&w->loop, &u->task);
}
