/* SPDX-License-Identifier: Apache-2.0 */
/* A thread with a loop and a mailbox. Posting costs a lock and, when the mailbox was empty, one wake. */
#include "pantera/loop.h"

#include <stdlib.h>
#include <string.h>

#include "pantera/log.h"

static void on_wake(uv_async_t *wake)
{
    struct loop *loop = container_of(wake, struct loop, wake);
    uv_mutex_lock(&loop->lock);
    struct task *task = loop->head;
    loop->head = NULL;
    loop->tail = &loop->head;
    uv_mutex_unlock(&loop->lock);
    while (task) {
        struct task *next = task->next; /* run may free the task */
        task->run(task);
        task = next;
    }
}

void loop_init(struct loop *loop, const char *name, int index)
{
    memset(loop, 0, sizeof *loop);
    loop->name = name;
    loop->index = index;
    loop->tail = &loop->head;
    if (uv_loop_init(&loop->uv) || uv_mutex_init(&loop->lock) ||
        uv_async_init(&loop->uv, &loop->wake, on_wake))
        log_fatal("base", "cannot make the loop '%s'", name);
    loop->uv.data = loop;
}

void loop_post(struct loop *loop, struct task *task)
{
    task->next = NULL;
    uv_mutex_lock(&loop->lock);
    bool was_empty = loop->head == NULL;
    *loop->tail = task;
    loop->tail = &task->next;
    uv_mutex_unlock(&loop->lock);
    if (was_empty)
        uv_async_send(&loop->wake);
}

struct start {
    struct loop *loop;
    void (*setup)(struct loop *loop, void *arg);
    void *arg;
    uv_sem_t ready;
};

static void close_handle(uv_handle_t *handle, void *arg)
{
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void thread_main(void *arg)
{
    struct start *start = arg;
    struct loop *loop = start->loop;
    if (start->setup)
        start->setup(loop, start->arg);
    uv_sem_post(&start->ready); /* start is gone now */
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    uv_walk(&loop->uv, close_handle, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void loop_start(struct loop *loop, void (*setup)(struct loop *loop, void *arg), void *arg)
{
    struct start start = { .loop = loop, .setup = setup, .arg = arg };
    uv_sem_init(&start.ready, 0);
    if (uv_thread_create(&loop->thread, thread_main, &start))
        log_fatal("base", "cannot start the thread '%s'", loop->name);
    uv_sem_wait(&start.ready);
    uv_sem_destroy(&start.ready);
}

struct stop {
    struct task task;
    struct loop *loop;
};

static void on_stop(struct task *task)
{
    struct stop *stop = container_of(task, struct stop, task);
    struct loop *loop = stop->loop;
    free(stop);
    if (loop->on_stop)
        loop->on_stop(loop);
    uv_stop(&loop->uv);
}

void loop_stop(struct loop *loop)
{
    struct stop *stop = calloc(1, sizeof *stop);
    check(stop != NULL);
    stop->task.run = on_stop;
    stop->loop = loop;
    loop_post(loop, &stop->task);
}

void loop_join(struct loop *loop)
{
    uv_thread_join(&loop->thread);
    uv_loop_close(&loop->uv);
    uv_mutex_destroy(&loop->lock);
}

void loop_release(struct loop *loop)
{
    uv_walk(&loop->uv, close_handle, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    uv_loop_close(&loop->uv);
    uv_mutex_destroy(&loop->lock);
}

void loop_run_until(struct loop *loop, const volatile bool *done)
{
    while (!*done)
        uv_run(&loop->uv, UV_RUN_ONCE);
}
