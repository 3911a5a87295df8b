/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/keys.c: object keys, reserved ahead of the uploads that will use them, so that a PUT costs one
 * metadata commit. One pool a process, shared by the workers under a mutex.
 *
 *   this start: NEW → ASKED (node.started on its way) → KNOWN; back to NEW if the leader knows a newer.
 *   a store's keys: taken from the front; fewer than half a batch left: the next batch is asked for.
 *
 * What was written under a key that no artifact.put will name is abandoned: its row becomes garbage. A
 * crash needs nothing of that: the next start's node.started does it. */
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/ids.h"
#include "pantera/log.h"
#include "src/registry/internal.h"

enum { BATCH_LEAST = 64, BATCH_MOST = 512, POOL_MOST = 2 * BATCH_MOST, ABANDON_BATCH = 128,
       ABANDON_MOST = 65536 };
enum start_state { START_NEW, START_ASKED, START_KNOWN };

struct pool {
    struct pool *next;
    char *store;
    char (*keys)[KEY_SIZE];
    unsigned count, batch;
    bool asked;
    struct key_wait *first, **last;
};

static uv_once_t once = UV_ONCE_INIT;
static uv_mutex_t lock;
static struct {
    unsigned refs;
    struct cluster *cluster;
    enum start_state state;
    char incarnation[33];
    struct pool *pools;
    char (*abandoned)[KEY_SIZE];
    unsigned abandoned_count, abandoned_capacity;
    bool abandoning;
} all;

static void init(void)
{
    check(uv_mutex_init(&lock) == 0);
}

void keys_ref(struct cluster *c)
{
    uv_once(&once, init);
    uv_mutex_lock(&lock);
    if (all.refs++ == 0) {
        all.cluster = c;
        all.state = START_NEW;
        random_hex(all.incarnation, 16);
    }
    uv_mutex_unlock(&lock);
}

void keys_unref(void)
{
    uv_mutex_lock(&lock);
    if (--all.refs == 0) {
        while (all.pools) {
            struct pool *p = all.pools;
            all.pools = p->next;
            free(p->keys);
            free(p->store);
            free(p);
        }
        free(all.abandoned);
        memset(&all, 0, sizeof all);
    }
    uv_mutex_unlock(&lock);
}

void keys_incarnation(char ret[33])
{
    uv_mutex_lock(&lock);
    memcpy(ret, all.incarnation, 33);
    uv_mutex_unlock(&lock);
}

static struct pool *pool_of(const char *store)
{
    struct pool *p = all.pools;

    while (p && strcmp(p->store, store))
        p = p->next;
    if (p)
        return p;
    p = calloc(1, sizeof *p);
    check(p);
    p->store = strdup(store);
    p->keys = calloc(POOL_MOST, KEY_SIZE);
    check(p->store && p->keys);
    p->batch = BATCH_LEAST;
    p->last = &p->first;
    p->next = all.pools;
    all.pools = p;
    return p;
}

static void on_wait_task(struct task *task)
{
    struct key_wait *w = container_of(task, struct key_wait, task);
    w->done(w);
}

static void wait_end(struct key_wait *w, enum err e, const struct why *why)
{
    w->err = e;
    if (e)
        w->why = *why;
    w->task.run = on_wait_task;
    loop_post(w->home, &w->task);
}

static struct key_wait *wait_pop(struct pool *p)
{
    struct key_wait *w = p->first;

    p->first = w->next;
    if (!p->first)
        p->last = &p->first;
    return w;
}

/* --- asking: with the lock held; answers come on the asker's loop --- */

struct ask {
    struct proposal proposal;
    char *store;
    char (*keys)[KEY_SIZE];
    unsigned count;
};

static void ask_reserve(struct pool *p, struct loop *home);
static void ask_start(struct loop *home);

static void ask_free(struct ask *ask)
{
    json_decref(ask->proposal.result);
    free(ask->store);
    free(ask->keys);
    free(ask);
}

static json_t *keys_json(char (*keys)[KEY_SIZE], unsigned count)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < count; i++)
        json_array_append_new(list, json_string(keys[i]));
    return list;
}

static void ask_send(struct ask *ask, const char *op, json_t *args, struct loop *home,
                     void (*on_done)(struct proposal *))
{
    check(args);
    ask->proposal = (struct proposal){ .op = op, .args = args, .home = home, .on_done = on_done };
    cluster_propose(all.cluster, &ask->proposal);
}

static struct ask *ask_new(void)
{
    struct ask *ask = calloc(1, sizeof *ask);
    check(ask);
    return ask;
}

static void waits_fail(struct pool *p, enum err e, const struct why *why)
{
    while (p->first)
        wait_end(wait_pop(p), e, why);
}

static void keys_give_out(struct pool *p, struct ask *ask)
{
    for (unsigned i = 0; i < ask->count; i++) {
        if (p->first) {
            memcpy(p->first->key, ask->keys[i], KEY_SIZE);
            wait_end(wait_pop(p), OK, NULL);
        } else if (p->count < POOL_MOST) {
            memcpy(p->keys[p->count++], ask->keys[i], KEY_SIZE);
        }
    }
}

static void on_reserved(struct proposal *proposal)
{
    struct ask *ask = container_of(proposal, struct ask, proposal);
    enum err e = proposal->err;
    struct pool *p;

    uv_mutex_lock(&lock);
    p = pool_of(ask->store);
    p->asked = false;
    if (!e) {
        keys_give_out(p, ask);
        if (p->first) {
            p->batch = p->batch * 2 > BATCH_MOST ? BATCH_MOST : p->batch * 2;
            ask_reserve(p, proposal->home);
        }
    } else if (e == ERR_CONFLICT) {
        /* The leader knows another start of this node: only an old message can have done that. */
        log_warn("registry", "this start is not known any more: %s", proposal->why.text);
        if (all.state == START_KNOWN)
            all.state = START_NEW;
        ask_start(proposal->home);
    } else {
        waits_fail(p, e, &proposal->why);
    }
    uv_mutex_unlock(&lock);
    ask_free(ask);
}

static void ask_reserve(struct pool *p, struct loop *home)
{
    struct ask *ask;

    if (p->asked)
        return;
    p->asked = true;
    ask = ask_new();
    ask->store = strdup(p->store);
    ask->count = p->batch;
    ask->keys = calloc(ask->count, KEY_SIZE);
    check(ask->store && ask->keys);
    for (unsigned i = 0; i < ask->count; i++)
        blob_key_new(ask->keys[i]);
    ask_send(ask, "upload.reserve",
             json_pack("{s:i, s:s, s:s, s:o}", "node", cluster_node_id(all.cluster), "incarnation",
                       all.incarnation, "store", p->store, "keys", keys_json(ask->keys, ask->count)),
             home, on_reserved);
}

static void on_started(struct proposal *proposal)
{
    struct ask *ask = container_of(proposal, struct ask, proposal);
    enum err e = proposal->err;

    uv_mutex_lock(&lock);
    all.state = e ? START_NEW : START_KNOWN; /* keys_tick or the next taker asks again */
    for (struct pool *p = all.pools; p; p = p->next) {
        if (e)
            waits_fail(p, e, &proposal->why);
        else if (p->first)
            ask_reserve(p, proposal->home);
    }
    uv_mutex_unlock(&lock);
    ask_free(ask);
}

static void ask_start(struct loop *home)
{
    if (all.state != START_NEW)
        return;
    all.state = START_ASKED;
    ask_send(ask_new(), "node.started",
             json_pack("{s:i, s:s, s:s}", "node", cluster_node_id(all.cluster), "incarnation",
                       all.incarnation, "version", PANTERA_VERSION), home, on_started);
}

static void ask_more(struct pool *p, struct loop *home)
{
    if (all.state == START_KNOWN)
        ask_reserve(p, home);
    else
        ask_start(home);
}

/* --- the pool --- */

bool keys_take(const char *store, struct key_wait *w)
{
    struct pool *p;
    bool got;

    uv_mutex_lock(&lock);
    p = pool_of(store);
    got = p->count > 0;
    if (got) {
        memcpy(w->key, p->keys[--p->count], KEY_SIZE);
    } else {
        w->next = NULL;
        *p->last = w;
        p->last = &w->next;
    }
    if (p->count < p->batch / 2)
        ask_more(p, w->home);
    uv_mutex_unlock(&lock);
    return got;
}

void keys_give_back(const char *store, const char *key)
{
    struct pool *p;

    uv_mutex_lock(&lock);
    p = pool_of(store);
    if (p->count < POOL_MOST)
        memcpy(p->keys[p->count++], key, KEY_SIZE);
    uv_mutex_unlock(&lock);
}

void keys_forget(const char *store)
{
    uv_mutex_lock(&lock);
    pool_of(store)->count = 0; /* their rows go with this start of the node */
    uv_mutex_unlock(&lock);
}

/* --- giving up --- */

static void abandon_add(const char *key)
{
    if (all.abandoned_count == ABANDON_MOST)
        return; /* no leader for long: the next start frees them */
    if (all.abandoned_count == all.abandoned_capacity) {
        all.abandoned_capacity = all.abandoned_capacity ? all.abandoned_capacity * 2 : 64;
        all.abandoned = realloc(all.abandoned, all.abandoned_capacity * sizeof *all.abandoned);
        check(all.abandoned);
    }
    memcpy(all.abandoned[all.abandoned_count++], key, KEY_SIZE);
}

static void on_abandoned(struct proposal *proposal)
{
    struct ask *ask = container_of(proposal, struct ask, proposal);

    uv_mutex_lock(&lock);
    all.abandoning = false;
    if (proposal->err) /* safe to say again, whatever became of it */
        for (unsigned i = 0; i < ask->count; i++)
            abandon_add(ask->keys[i]);
    uv_mutex_unlock(&lock);
    ask_free(ask);
}

static void abandon_send(struct loop *home)
{
    struct ask *ask;

    if (all.abandoning || all.abandoned_count == 0)
        return;
    all.abandoning = true;
    ask = ask_new();
    ask->count = all.abandoned_count < ABANDON_BATCH ? all.abandoned_count : ABANDON_BATCH;
    ask->keys = calloc(ask->count, KEY_SIZE);
    check(ask->keys);
    all.abandoned_count -= ask->count;
    memcpy(ask->keys, all.abandoned + all.abandoned_count, ask->count * KEY_SIZE);
    ask_send(ask, "upload.abandon", json_pack("{s:o}", "keys", keys_json(ask->keys, ask->count)),
             home, on_abandoned);
}

void keys_abandon(const char *key, struct loop *home)
{
    uv_mutex_lock(&lock);
    abandon_add(key);
    if (all.abandoned_count >= ABANDON_BATCH)
        abandon_send(home);
    uv_mutex_unlock(&lock);
}

void keys_tick(struct loop *home)
{
    uv_mutex_lock(&lock);
    ask_start(home);
    abandon_send(home);
    uv_mutex_unlock(&lock);
}
