/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/loop.h: a thread with a libuv loop and one mailbox, and a pool for what blocks.
 * What:    every long-lived thread (the cluster thread, each HTTP worker) is one `struct loop`.
 *          Others reach it only by posting a task.
 * Threads: loop_post, work_submit from any thread; the rest from the loop's own.
 * Ownership: a task or work item is the caller's memory, embedded in what it is for; it is free again
 *          when its callback begins. */
#ifndef PANTERA_LOOP_H
#define PANTERA_LOOP_H

#include <stddef.h>
#include <uv.h>

#include "pantera/err.h"

#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

struct task {
    struct task *next;
    void (*run)(struct task *task); /* on the loop's thread */
};

struct loop {
    uv_loop_t uv;
    uv_async_t wake;
    uv_mutex_t lock;
    struct task *head, **tail;
    uv_thread_t thread;
    int index; /* of the worker; -1 for the cluster thread */
    const char *name;
    void (*on_stop)(struct loop *loop);
};

void loop_init(struct loop *loop, const char *name, int index);
void loop_post(struct loop *loop, struct task *task); /* any thread; never lost, in order */
/* Starts the thread: `setup(loop, arg)` on it, then the loop runs until loop_stop. */
void loop_start(struct loop *loop, void (*setup)(struct loop *loop, void *arg), void *arg);
void loop_stop(struct loop *loop);  /* any thread: posts a stop; handles still open are closed */
void loop_join(struct loop *loop);
/* For a loop that has no thread of its own: closes what is still open. */
void loop_release(struct loop *loop);
/* Runs queued tasks and the loop on this thread until `*done`: for tests. */
void loop_run_until(struct loop *loop, const volatile bool *done);

/* The pool for what blocks: password hashing, fsync, archives, long queries. Not libuv's pool, which
 * raft needs for its segments. */
struct work {
    struct work *next;
    struct loop *home;
    void (*run)(struct work *work);  /* on a pool thread: touches only what `work` is embedded in */
    void (*done)(struct work *work); /* on home's thread */
    struct task task;
};
void work_pool_start(unsigned threads); /* once a process; 0: default of 4 */
void work_pool_stop(void);              /* waits for what runs */
void work_submit(struct work *work, struct loop *home, void (*run)(struct work *),
                 void (*done)(struct work *));

#endif
