/* SPDX-License-Identifier: Apache-2.0 */
/* Places: how many requests may run to one destination at a time, and how many may wait for that, in the
 * whole process. Who leaves gives his place to the longest waiting, on whatever loop that one lives. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pantera/log.h"
#include "pantera/loop.h"
#include "pantera/text.h"

enum { BUCKETS = 256 };

struct destination {             /* lives while somebody is there */
    struct destination *next;
    unsigned active, waiting;
    struct place *first, **last;
    char name[];
};

struct place {
    struct task task;
    struct place *next;
    struct destination *at;
    struct loop *home;
    void (*granted)(void *arg);
    void *arg;
    bool queued, posted, left;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct destination *buckets[BUCKETS];

static struct destination *find(const char *name)
{
    struct destination **bucket = &buckets[hash_text(name) % BUCKETS], *d;
    for (d = *bucket; d; d = d->next)
        if (strcmp(d->name, name) == 0)
            return d;
    size_t n = strlen(name) + 1;
    d = calloc(1, sizeof *d + n);
    if (!d)
        log_fatal("upstream", "out of memory");
    memcpy(d->name, name, n);
    d->last = &d->first;
    d->next = *bucket;
    *bucket = d;
    return d;
}

static void free_if_empty(struct destination *d)
{
    if (d->active || d->waiting)
        return;
    struct destination **at = &buckets[hash_text(d->name) % BUCKETS];
    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
    free(d);
}

static void on_granted(struct task *task)
{
    struct place *p = container_of(task, struct place, task);
    pthread_mutex_lock(&lock);
    bool left = p->left;
    p->posted = false;
    pthread_mutex_unlock(&lock);
    if (left) {
        p->left = false;
        place_leave(p);
    } else {
        p->granted(p->arg);
    }
}

static void grant(struct destination *d, unsigned most)
{
    while (d->first && d->active < most) {
        struct place *p = d->first;
        if (!(d->first = p->next))
            d->last = &d->first;
        d->waiting--;
        d->active++;
        p->queued = false;
        p->posted = true;
        p->task.run = on_granted;
        loop_post(p->home, &p->task);
    }
}

static void unqueue(struct place *p)
{
    struct destination *d = p->at;
    struct place **at = &d->first;
    while (*at != p)
        at = &(*at)->next;
    if (!(*at = p->next))
        d->last = at;
    d->waiting--;
}

enum place_answer place_take(const char *destination, struct loop *home, void (*granted)(void *arg),
                             void *arg, struct place **ret)
{
    struct upstream_limits limits = limits_now();
    enum place_answer answer = PLACE_NOW;
    struct place *p = calloc(1, sizeof *p);
    if (!p)
        return PLACE_FULL;
    pthread_mutex_lock(&lock);
    struct destination *d = find(destination);
    *p = (struct place){ .at = d, .home = home, .granted = granted, .arg = arg };
    if (d->active < limits.connections && !d->first) {
        d->active++;
    } else if (d->waiting < limits.queue) {
        answer = PLACE_LATER;
        p->queued = true;
        *d->last = p;
        d->last = &p->next;
        d->waiting++;
    } else {
        answer = PLACE_FULL;
        free(p);
        p = NULL;
    }
    pthread_mutex_unlock(&lock);
    *ret = p;
    return answer;
}

void place_leave(struct place *p)
{
    if (!p)
        return;
    unsigned most = limits_now().connections;
    pthread_mutex_lock(&lock);
    struct destination *d = p->at;
    if (p->posted) { /* on_granted is on its way, and does it */
        p->left = true;
    } else {
        if (p->queued)
            unqueue(p);
        else
            d->active--;
        grant(d, most);
        free_if_empty(d);
        free(p);
    }
    pthread_mutex_unlock(&lock);
}

void places_retry(void)
{
    unsigned most = limits_now().connections;
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < BUCKETS; i++)
        for (struct destination *d = buckets[i]; d; d = d->next)
            grant(d, most);
    pthread_mutex_unlock(&lock);
}
