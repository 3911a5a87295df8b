/* SPDX-License-Identifier: Apache-2.0 */
/* The pool for what blocks: a queue and some threads. Not libuv's, which is raft's disk. */
#include <pthread.h>
#include <stdlib.h>

#include "pantera/log.h"
#include "pantera/loop.h"

enum { DEFAULT_THREADS = 4, MOST_THREADS = 64 };

static struct {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct work *head, **tail;
    pthread_t threads[MOST_THREADS];
    unsigned thread_count;
    bool stopping;
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER };

static void on_ran(struct task *task)
{
    struct work *work = container_of(task, struct work, task);
    work->done(work);
}

static void *pool_main(void *arg)
{
    pthread_mutex_lock(&pool.lock);
    for (;;) {
        while (!pool.head && !pool.stopping)
            pthread_cond_wait(&pool.more, &pool.lock);
        if (!pool.head)
            break;
        struct work *work = pool.head;
        pool.head = work->next;
        if (!pool.head)
            pool.tail = &pool.head;
        pthread_mutex_unlock(&pool.lock);
        work->run(work);
        work->task.run = on_ran;
        loop_post(work->home, &work->task);
        pthread_mutex_lock(&pool.lock);
    }
    pthread_mutex_unlock(&pool.lock);
    return NULL;
}

void work_pool_start(unsigned threads)
{
    pthread_attr_t attributes;
    pthread_mutex_lock(&pool.lock);
    check(pool.thread_count == 0);
    pool.tail = &pool.head;
    pool.stopping = false;
    pool.thread_count = threads == 0 ? DEFAULT_THREADS
                        : threads > MOST_THREADS ? MOST_THREADS : threads;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 512 << 10);
    for (unsigned i = 0; i < pool.thread_count; i++)
        if (pthread_create(&pool.threads[i], &attributes, pool_main, NULL))
            log_fatal("base", "cannot start the work pool");
    pthread_attr_destroy(&attributes);
    pthread_mutex_unlock(&pool.lock);
}

void work_pool_stop(void)
{
    pthread_mutex_lock(&pool.lock);
    unsigned count = pool.thread_count;
    pool.stopping = true;
    pthread_cond_broadcast(&pool.more);
    pthread_mutex_unlock(&pool.lock);
    for (unsigned i = 0; i < count; i++)
        pthread_join(pool.threads[i], NULL);
    pthread_mutex_lock(&pool.lock);
    pool.thread_count = 0;
    pthread_mutex_unlock(&pool.lock);
}

void work_submit(struct work *work, struct loop *home, void (*run)(struct work *),
                 void (*done)(struct work *))
{
    work->home = home;
    work->run = run;
    work->done = done;
    work->next = NULL;
    pthread_mutex_lock(&pool.lock);
    if (pool.thread_count == 0) { /* on the way down: what is left is cleaning up */
        pthread_mutex_unlock(&pool.lock);
        work->run(work);
        work->task.run = on_ran;
        loop_post(home, &work->task);
        return;
    }
    *pool.tail = work;
    pool.tail = &work->next;
    pthread_cond_signal(&pool.more);
    pthread_mutex_unlock(&pool.lock);
}
