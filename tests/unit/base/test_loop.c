/* SPDX-License-Identifier: Apache-2.0 */
/* Mailboxes lose nothing and keep each sender's order; the pool runs everything once and comes home.
 * Worth running in the build with ThreadSanitizer too. */
#include "pantera/loop.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum { SENDERS = 8, TASKS = 20000 };

struct receiver {
    struct loop loop;
    uv_thread_t self;
    unsigned next[SENDERS], received, misordered, elsewhere; /* the loop's thread's */
    unsigned expected;
    uv_sem_t complete;
};

struct letter {
    struct task task;
    struct receiver *to;
    unsigned sender, number;
};

static void on_letter(struct task *task)
{
    struct letter *l = container_of(task, struct letter, task);
    struct receiver *r = l->to;
    uv_thread_t here = uv_thread_self();
    r->misordered += r->next[l->sender]++ != l->number;
    r->elsewhere += !uv_thread_equal(&here, &r->self);
    free(l); /* the task is ours again when it runs */
    if (++r->received == r->expected)
        uv_sem_post(&r->complete);
}

struct sender {
    pthread_t thread;
    struct receiver *to;
    unsigned id;
};

static void *send_all(void *arg)
{
    struct sender *s = arg;
    for (unsigned i = 0; i < TASKS; i++) {
        struct letter *l = calloc(1, sizeof *l);
        *l = (struct letter){ .task.run = on_letter, .to = s->to, .sender = s->id, .number = i };
        loop_post(&s->to->loop, &l->task);
    }
    return NULL;
}

static void remember_thread(struct loop *loop, void *arg)
{
    container_of(loop, struct receiver, loop)->self = uv_thread_self();
    assert_ptr_equal(arg, loop);
}

static void receiver_start(struct receiver *r, unsigned expected)
{
    *r = (struct receiver){ .expected = expected };
    uv_sem_init(&r->complete, 0);
    loop_init(&r->loop, "receiver", 3);
    loop_start(&r->loop, remember_thread, &r->loop); /* setup has run when it returns */
}

static void receiver_stop(struct receiver *r)
{
    loop_stop(&r->loop);
    loop_join(&r->loop);
    uv_sem_destroy(&r->complete);
}

static void nothing_posted_is_lost_and_order_is_kept(void **state)
{
    struct receiver r;
    struct sender senders[SENDERS];
    receiver_start(&r, SENDERS * TASKS);
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){ .to = &r, .id = i };
        pthread_create(&senders[i].thread, NULL, send_all, &senders[i]);
    }
    for (unsigned i = 0; i < SENDERS; i++)
        pthread_join(senders[i].thread, NULL);
    uv_sem_wait(&r.complete);
    receiver_stop(&r);
    assert_int_equal(r.received, SENDERS * TASKS);
    assert_int_equal(r.misordered, 0);
    assert_int_equal(r.elsewhere, 0);
}

/* A stop is a task like others: what was posted before it has run when the thread has ended. */
static void what_was_posted_before_the_stop_runs(void **state)
{
    for (int round = 0; round < 200; round++) {
        struct receiver r;
        receiver_start(&r, 100);
        for (unsigned i = 0; i < 100; i++) {
            struct letter *l = calloc(1, sizeof *l);
            *l = (struct letter){ .task.run = on_letter, .to = &r, .number = i };
            loop_post(&r.loop, &l->task);
        }
        receiver_stop(&r);
        assert_int_equal(r.received, 100);
        assert_int_equal(r.misordered, 0);
    }
}

/* A task may post to its own loop, itself included, from inside. */
struct chain {
    struct task task;
    struct receiver *on;
    unsigned left;
};

static void on_chain(struct task *task)
{
    struct chain *c = container_of(task, struct chain, task);
    if (c->left-- > 0)
        loop_post(&c->on->loop, &c->task);
    else
        uv_sem_post(&c->on->complete);
}

static void a_task_may_post_itself_again(void **state)
{
    struct receiver r;
    receiver_start(&r, 0);
    struct chain c = { .task.run = on_chain, .on = &r, .left = 1000 };
    loop_post(&r.loop, &c.task);
    uv_sem_wait(&r.complete);
    receiver_stop(&r);
}

static atomic_uint stops;
static void count_stop(struct loop *loop)
{
    atomic_fetch_add(&stops, 1);
}

/* Handles that are still open at the end are closed by the loop, on its thread. */
static void open_timer(struct loop *loop, void *arg)
{
    uv_timer_init(&loop->uv, arg);
    uv_timer_start(arg, (uv_timer_cb)(void (*)(void))abort, 1000000, 0);
}

static void a_stop_closes_what_is_open(void **state)
{
    struct loop loop;
    uv_timer_t timer;
    loop_init(&loop, "timer", 0);
    loop.on_stop = count_stop;
    loop_start(&loop, open_timer, &timer);
    loop_stop(&loop);
    loop_join(&loop);
    assert_int_equal(stops, 1);
    assert_int_equal(loop.index, 0);
}

/* --- the pool --- */

enum { JOBS = 5000 };

struct job {
    struct work work;
    unsigned number;
    unsigned ran, done;
    unsigned result;
    struct jobs *all;
};

struct jobs {
    struct loop loop;
    struct job job[JOBS];
    unsigned finished;
    bool complete;
};

static void run_job(struct work *work)
{
    struct job *j = container_of(work, struct job, work);
    j->ran++;
    for (unsigned i = 0; i < 200; i++)
        j->result = j->result * 31 + j->number + i;
}

static void on_job(struct work *work)
{
    struct job *j = container_of(work, struct job, work);
    j->done++;
    if (j->done < 2 && j->number % 2) /* its memory is ours again: some go twice */
        work_submit(&j->work, &j->all->loop, run_job, on_job);
    else if (++j->all->finished == JOBS)
        j->all->complete = true;
}

static void close_one(uv_handle_t *handle, void *arg)
{
    uv_close(handle, NULL);
}

static void jobs_run(unsigned threads)
{
    struct jobs *all = calloc(1, sizeof *all);
    loop_init(&all->loop, "home", 0);
    work_pool_start(threads);
    for (unsigned i = 0; i < JOBS; i++) {
        all->job[i].number = i;
        all->job[i].all = all;
        work_submit(&all->job[i].work, &all->loop, run_job, on_job);
    }
    loop_run_until(&all->loop, &all->complete);
    work_pool_stop();
    for (unsigned i = 0; i < JOBS; i++) {
        assert_int_equal(all->job[i].ran, 1 + i % 2);
        assert_int_equal(all->job[i].done, 1 + i % 2);
    }
    uv_walk(&all->loop.uv, close_one, NULL);
    uv_run(&all->loop.uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&all->loop.uv), 0);
    uv_mutex_destroy(&all->loop.lock);
    free(all);
}

static void the_pool_runs_everything_once(void **state)
{
    jobs_run(0);
}

static void the_pool_starts_again_with_one_thread(void **state)
{
    jobs_run(1);
    jobs_run(1000); /* more than it takes */
}

/* A stop waits for what was submitted: its run has ended when it returns. */
static atomic_uint slow_runs;
static void run_slowly(struct work *work)
{
    for (volatile int i = 0; i < 100000; i++)
        ;
    atomic_fetch_add(&slow_runs, 1);
}

static void count_home(struct work *work)
{
}

static void a_stop_of_the_pool_waits(void **state)
{
    struct receiver r;
    struct work work[64];
    receiver_start(&r, 0);
    work_pool_start(2);
    for (unsigned i = 0; i < 64; i++)
        work_submit(&work[i], &r.loop, run_slowly, count_home);
    work_pool_stop();
    assert_int_equal(slow_runs, 64);
    receiver_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_posted_is_lost_and_order_is_kept),
        cmocka_unit_test(what_was_posted_before_the_stop_runs),
        cmocka_unit_test(a_task_may_post_itself_again),
        cmocka_unit_test(a_stop_closes_what_is_open),
        cmocka_unit_test(the_pool_runs_everything_once),
        cmocka_unit_test(the_pool_starts_again_with_one_thread),
        cmocka_unit_test(a_stop_of_the_pool_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
