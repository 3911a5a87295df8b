/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/flight.c: who flies, who follows, and which node may fetch.
 *
 *   CLAIM ──granted──→ LOCATE ──→ FETCH ──→ SEAL ──→ COMMIT ──→ OVER      any → OVER
 *     │ ↑
 *     ↓ │ the claim changed, or time passed            alone in the cluster: LOCATE at once
 *   WAIT ──the artifact is there──→ OVER
 *     └──it takes too long──→ LOCATE, without a claim
 *
 * A claim is a row with an end (fetch.claim). It is prolonged while the fetch lasts, ends in the operation
 * that names the bytes, and is dropped when its node starts anew. Waiting costs nothing: generations are
 * looked at by a clock. */
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/gen.h"
#include "pantera/ids.h"
#include "pantera/log.h"
#include "pantera/meta_upstream.h"
#include "pantera/text.h"
#include "src/registry/flying.h"

enum { BUCKETS = 1024, TICK_MS = 20, CLAIM_TTL_MS = 6000, CLAIM_RENEW_MS = 2000, CLAIM_RETRY_MS = 1000,
       SLOW_MS = 200, PATIENCE_MS = 8000 };

static uv_once_t once = UV_ONCE_INIT;
static uv_mutex_t lock;
static struct flight *buckets[BUCKETS];
static unsigned flying;

static void init(void)
{
    check(uv_mutex_init(&lock) == 0);
}

/* --- following --- */

static struct flight **place_of(int64_t repo_id, const char *path)
{
    return &buckets[gen_artifact_hash(repo_id, path) % BUCKETS];
}

void flight_ref(struct flight *f)
{
    uv_mutex_lock(&lock);
    f->refs++;
    uv_mutex_unlock(&lock);
}

void flight_unref(struct flight *f)
{
    uv_mutex_lock(&lock);
    bool last = --f->refs == 0;
    uv_mutex_unlock(&lock);
    if (!last)
        return;
    scratch_unref(f->scratch);
    arena_release(&f->arena);
    free(f);
}

static void on_wake(struct task *task)
{
    struct follower *f = container_of(task, struct follower, task);

    uv_mutex_lock(&lock);
    f->posted = false;
    bool gone = f->gone;
    uv_mutex_unlock(&lock);
    if (gone)
        free(f);
    else
        f->wake(f);
}

/* With the lock held. */
static void wake_all(struct flight *f)
{
    for (struct follower *o = f->followers; o; o = o->next) {
        if (o->posted)
            continue;
        o->posted = true;
        o->task.run = on_wake;
        loop_post(o->home, &o->task);
    }
}

void flight_changed(struct flight *f, void (*change)(struct flight *f, void *arg), void *arg)
{
    uv_mutex_lock(&lock);
    change(f, arg);
    wake_all(f);
    uv_mutex_unlock(&lock);
}

void flight_look(struct follower *f, struct flight_view *ret)
{
    uv_mutex_lock(&lock);
    *ret = f->flight->view;
    uv_mutex_unlock(&lock);
}

bool flight_commits(struct follower *f, struct flight_view *ret)
{
    struct flight *flight = f->flight;

    uv_mutex_lock(&lock);
    bool good = flight->view.fd >= 0 && (!flight->view.over || flight->view.good);
    if (good)
        flight->begun = true;
    *ret = flight->view;
    uv_mutex_unlock(&lock);
    return good;
}

void flight_leave(struct follower *f)
{
    struct flight *flight = f->flight;
    struct follower **at = &flight->followers;

    uv_mutex_lock(&lock);
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    bool posted = f->posted;
    f->gone = true;
    uv_mutex_unlock(&lock);
    flight_unref(flight);
    if (!posted)
        free(f);
}

/* --- its end --- */

struct ending {
    enum err err;
    const struct why *why;
};

/* With the lock held: whoever comes now begins anew, or finds the artifact. */
static void change_over(struct flight *f, void *arg)
{
    const struct ending *end = arg;
    struct flight **at = place_of(f->repo_id, f->order.path);

    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    flying--;
    f->view.over = true;
    f->view.err = end->err;
    if (end->why)
        f->view.why = *end->why;
}

static void on_released(struct proposal *p)
{
    json_decref(p->result);
    free(p);
}

static void release_claim(struct flight *f)
{
    struct proposal *p;

    if (!f->claimed || f->worker->registry->closing)
        return;
    f->claimed = false;
    p = calloc(1, sizeof *p);
    check(p);
    *p = (struct proposal){
        .op = "fetch.release", .home = &f->worker->loop, .on_done = on_released,
        .args = json_pack("{s:I, s:s, s:s}", "repo_id", (json_int_t)f->repo_id, "path", f->order.path,
                          "token", f->token),
    };
    cluster_propose(f->worker->cluster, p);
}

void flight_end(struct flight *f, enum err e, const struct why *why)
{
    check(f->state != FLIGHT_OVER);
    f->state = FLIGHT_OVER;
    flight_stop(f);
    release_claim(f);
    flight_changed(f, change_over, &(struct ending){ e, why });
    *f->mine_prev = f->mine_next;
    if (f->mine_next)
        f->mine_next->mine_prev = f->mine_prev;
    flight_unref(f);
}

const struct repo *flight_repo(struct flight *f)
{
    const struct repo *repo = registry_repo(f->worker->registry, f->repo_name);

    return repo && repo->id == f->repo_id ? repo : NULL;
}

/* --- claims --- */

static bool is_there(struct flight *f)
{
    struct artifact_row row;
    struct upstream_row date;
    struct arena a;

    arena_init(&a);
    bool there = f->order.date
                     ? !upstream_row_get(f->worker->reader, &a, f->repo_id, f->order.path, &date)
                     : !artifact_get(f->worker->reader, &a, f->repo_id, f->order.path, &row);
    arena_release(&a);
    return there;
}

static void on_claim(struct proposal *p)
{
    struct flight *f = container_of(p, struct flight, claim);
    bool granted = json_is_true(json_object_get(p->result, "granted"));

    json_decref(p->result);
    f->claiming = false;
    if (f->state == FLIGHT_OVER) {
        f->claimed = granted;
        release_claim(f);
    } else if (f->state != FLIGHT_CLAIM) {
        /* prolonged, or not: the fetch goes on either way */
    } else if (p->err) {
        flight_end(f, p->err, &p->why);
    } else if (!granted) {
        f->state = FLIGHT_WAIT;
    } else {
        f->claimed = true;
        /* What the claim waited for may be what was wanted. */
        if (is_there(f))
            flight_end(f, OK, NULL);
        else
            flight_locate(f);
    }
    flight_unref(f);
}

static void claim_ask(struct flight *f)
{
    char incarnation[33];

    keys_incarnation(incarnation);
    f->tried_ms = clock_mono_ms();
    f->claiming = true;
    flight_ref(f);
    /* Stamps before the question: what changes after it is seen. */
    f->artifact_stamp = gen_get(GEN_ARTIFACT, gen_artifact_hash(f->repo_id, f->order.path));
    f->claim_stamp = gen_get(GEN_CLAIM, gen_artifact_hash(f->repo_id, f->order.path));
    f->claim = (struct proposal){
        .op = "fetch.claim", .home = &f->worker->loop, .on_done = on_claim,
        .args = json_pack("{s:I, s:s, s:i, s:s, s:s, s:i}", "repo_id", (json_int_t)f->repo_id, "path",
                          f->order.path, "node", cluster_node_id(f->worker->cluster), "incarnation",
                          incarnation, "token", f->token, "ttl_ms", CLAIM_TTL_MS),
    };
    cluster_propose(f->worker->cluster, &f->claim);
}

static void wait_look(struct flight *f, uint64_t now)
{
    uint64_t hash = gen_artifact_hash(f->repo_id, f->order.path);

    if (gen_get(GEN_ARTIFACT, hash) != f->artifact_stamp && is_there(f)) {
        flight_end(f, OK, NULL);
    } else if (now - f->begun_ms >= PATIENCE_MS) { /* clients give up after so long without a byte */
        flight_locate(f);
    } else if (gen_get(GEN_CLAIM, hash) != f->claim_stamp || now - f->tried_ms >= CLAIM_RETRY_MS) {
        f->state = FLIGHT_CLAIM;
        claim_ask(f);
    }
}

static void change_slow(struct flight *f, void *arg)
{
    (void)arg;
    f->view.slow = true;
}

static void on_tick(uv_timer_t *timer)
{
    struct registry *r = timer->data;
    uint64_t now = clock_mono_ms();

    for (struct flight *f = r->flights, *next; f; f = next) {
        next = f->mine_next;
        if (!f->view.slow && now - f->begun_ms >= SLOW_MS) /* only its worker writes it */
            flight_changed(f, change_slow, NULL);
        if (f->state == FLIGHT_WAIT)
            wait_look(f, now);
        else if (f->claimed && !f->claiming && now - f->tried_ms >= CLAIM_RENEW_MS)
            claim_ask(f);
    }
    if (!r->flights)
        uv_timer_stop(timer);
}

/* --- the beginning --- */

static const char *copied(struct arena *a, const char *s)
{
    return s ? arena_strdup(a, s) : NULL;
}

static void order_copy(struct flight *f, const struct flight_order *o)
{
    struct arena *a = &f->arena;

    f->order = *o;
    f->order.path = arena_strdup(a, o->path);
    f->order.url_path = o->url_path ? arena_strdup(a, o->url_path) : percent_encode(a, o->path, true);
    f->order.accept = copied(a, o->accept);
    f->order.content_type = copied(a, o->content_type);
    f->order.package = copied(a, o->package);
    f->order.version = copied(a, o->version);
    if (!o->index)
        return;
    f->index = *o->index;
    f->index.path = arena_strdup(a, o->index->path);
    f->index.package = copied(a, o->index->package);
    f->index.url_path = copied(a, o->index->url_path);
    f->index.accept = copied(a, o->index->accept);
    f->index.variant = copied(a, o->index->variant);
    f->order.index = &f->index;
}

static struct flight *flight_new(struct worker *w, const struct repo *repo, const struct flight_order *o)
{
    struct flight *f = calloc(1, sizeof *f);
    struct registry *r = w->registry;

    check(f);
    arena_init(&f->arena);
    f->worker = w;
    f->repo_id = repo->id;
    f->repo_name = arena_strdup(&f->arena, repo->name);
    f->ttl_ms = repo_entry_of(repo)->rules.missing_ttl_ms;
    order_copy(f, o);
    f->view.fd = -1;
    f->view.length = -1;
    f->refs = 2; /* its worker's, and of the task that begins it */
    f->begun_ms = clock_mono_ms();
    f->missing_stamp = missing_stamp(f->repo_id);
    random_hex(f->token, 16);
    figure_add(repo, FIGURE_MISS, 1);
    f->mine_next = r->flights;
    f->mine_prev = &r->flights;
    if (r->flights)
        r->flights->mine_prev = &f->mine_next;
    r->flights = f;
    return f;
}

static void on_begin(struct task *task)
{
    struct flight *f = container_of(task, struct flight, begin);

    /* A claim is for nodes: alone there is none to agree with. What is there already is asked for without
     * one: a question, "has it changed", is cheaper than an agreement on who asks it. */
    if (f->state != FLIGHT_OVER) {
        f->known = f->order.document && is_there(f);
        if (cluster_alone(f->worker->cluster) || f->known)
            flight_locate(f);
        else
            claim_ask(f);
    }
    flight_unref(f);
}

void flight_join(struct worker *w, const struct repo *repo, const struct flight_order *o, struct follower *f)
{
    struct flight *flight, **place = place_of(repo->id, o->path);
    bool fresh = false;

    f->home = &w->loop;
    uv_mutex_lock(&lock);
    for (flight = *place; flight; flight = flight->next)
        if (flight->repo_id == repo->id && !strcmp(flight->order.path, o->path))
            break;
    if (!flight) {
        fresh = true;
        flight = flight_new(w, repo, o);
        flight->next = *place;
        *place = flight;
        flying++;
    }
    flight->refs++;
    f->flight = flight;
    f->next = flight->followers;
    flight->followers = f;
    if (!fresh)
        wake_all(flight);
    uv_mutex_unlock(&lock);
    if (!fresh)
        return;
    flight->begin.run = on_begin;
    loop_post(&w->loop, &flight->begin);
    if (!uv_is_active((uv_handle_t *)w->registry->flight_timer))
        uv_timer_start(w->registry->flight_timer, on_tick, TICK_MS, TICK_MS);
}

void flights_start(struct registry *r)
{
    uv_once(&once, init);
    r->flight_timer = calloc(1, sizeof *r->flight_timer);
    check(r->flight_timer);
    check(uv_timer_init(&r->worker->loop.uv, r->flight_timer) == 0);
    r->flight_timer->data = r;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

void flights_stop(struct registry *r)
{
    struct why why;

    fail(&why, ERR_UNAVAILABLE, "this node is stopping");
    while (r->flights)
        flight_end(r->flights, ERR_UNAVAILABLE, &why);
    uv_close((uv_handle_t *)r->flight_timer, on_closed);
}

unsigned flights_count(void)
{
    uv_once(&once, init);
    uv_mutex_lock(&lock);
    unsigned n = flying;
    uv_mutex_unlock(&lock);
    return n;
}
