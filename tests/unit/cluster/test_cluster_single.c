/* SPDX-License-Identifier: Apache-2.0 */
/* A cluster of one, whole: raft, batches, the replica, a disk. Two loops propose at once, as two HTTP
 * workers do. With PANTERA_TEST_BENCH=1 it measures instead: acknowledged operations a second. */
#include "pantera/cluster.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pantera/clock.h"
#include "pantera/log.h"
#include "pantera/meta.h"
#include "pantera/meta_setting.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

/* --- fixture --- */

struct fixture {
    char dir[64];
    struct cluster *cluster;
};

static struct cluster *open_cluster(const char *dir)
{
    struct cluster_options o = { .data_dir = dir, .id = 1 };
    struct cluster *c = NULL;
    struct why why = { "" };
    if (cluster_start(&o, &c, &why) != OK)
        fail_msg("cluster_start: %s", why.text);
    return c;
}

static int up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/pantera-single-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    work_pool_start(2);
    f->cluster = open_cluster(f->dir);
    *state = f;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}

static int down(void **state)
{
    struct fixture *f = *state;
    if (f->cluster)
        cluster_stop(f->cluster, 1000);
    work_pool_stop();
    nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

static void restart(struct fixture *f)
{
    cluster_stop(f->cluster, 1000);
    f->cluster = open_cluster(f->dir);
}

/* --- a client: a loop of its own, a window of proposals under way --- */

struct client;

struct one {
    struct proposal proposal;
    struct client *client;
    unsigned number;
    uint64_t started_us;
};

enum { MOST_WINDOW = 256 };

struct client {
    struct loop loop;
    struct cluster *cluster;
    const char *name;
    unsigned total, window, sent, answered;
    unsigned failed, misordered, twice, strange;
    uint64_t last_index, first_index;
    unsigned char *seen;      /* answers by number */
    uint64_t *latency_us;     /* when measuring */
    struct one ones[MOST_WINDOW];
    struct task start;
    uv_sem_t complete;
};

static void client_send(struct client *c, struct one *o);

static void on_answer(struct proposal *p)
{
    struct one *o = container_of(p, struct one, proposal);
    struct client *c = o->client;
    c->failed += p->err != OK;
    c->twice += c->seen[o->number]++ != 0;
    c->misordered += p->index < c->last_index || o->number != c->answered;
    c->strange += p->index == 0 || p->args != NULL;
    c->last_index = p->index;
    if (c->first_index == 0)
        c->first_index = p->index;
    json_decref(p->result);
    if (c->latency_us)
        c->latency_us[o->number] = clock_mono_us() - o->started_us;
    if (++c->answered == c->total)
        uv_sem_post(&c->complete);
    else if (c->sent < c->total)
        client_send(c, o);
}

static json_t *setting_of(const char *client, unsigned number)
{
    char name[64];
    snprintf(name, sizeof name, "%s-%u", client, number);
    return json_pack("{s:s, s:i}", "name", name, "value", (int)number);
}

static void client_send(struct client *c, struct one *o)
{
    *o = (struct one){ .client = c, .number = c->sent++, .started_us = clock_mono_us() };
    o->proposal = (struct proposal){ .op = "setting.put", .args = setting_of(c->name, o->number),
                                     .home = &c->loop, .on_done = on_answer };
    cluster_propose(c->cluster, &o->proposal);
}

static void client_begin(struct task *task)
{
    struct client *c = container_of(task, struct client, start);
    for (unsigned i = 0; i < c->window && c->sent < c->total; i++)
        client_send(c, &c->ones[i]);
}

static struct client *client_new(struct cluster *cluster, const char *name, unsigned total,
                                 unsigned window)
{
    struct client *c = calloc(1, sizeof *c);
    *c = (struct client){ .cluster = cluster, .name = name, .total = total, .window = window,
                          .start.run = client_begin };
    c->seen = calloc(total, 1);
    uv_sem_init(&c->complete, 0);
    loop_init(&c->loop, name, 0);
    loop_start(&c->loop, NULL, NULL);
    return c;
}

static struct client *client_start(struct cluster *cluster, const char *name, unsigned total,
                                   unsigned window)
{
    struct client *c = client_new(cluster, name, total, window);
    loop_post(&c->loop, &c->start);
    return c;
}

static void client_join(struct client *c)
{
    loop_stop(&c->loop);
    loop_join(&c->loop);
    uv_sem_destroy(&c->complete);
}

static void client_free(struct client *c)
{
    free(c->seen);
    free(c->latency_us);
    free(c);
}

/* --- single proposals, one after the other --- */

struct call {
    struct proposal proposal;
    uv_sem_t done;
};

static void on_called(struct proposal *p)
{
    uv_sem_post(&container_of(p, struct call, proposal)->done);
}

static enum err call(struct cluster *c, struct loop *home, const char *op, json_t *args,
                     struct proposal *ret)
{
    struct call call = { .proposal = { .op = op, .args = args, .home = home, .on_done = on_called } };
    uv_sem_init(&call.done, 0);
    cluster_propose(c, &call.proposal);
    uv_sem_wait(&call.done);
    uv_sem_destroy(&call.done);
    if (ret)
        *ret = call.proposal;
    else
        json_decref(call.proposal.result);
    return call.proposal.err;
}

static void loop_up(struct loop *loop)
{
    loop_init(loop, "home", 0);
    loop_start(loop, NULL, NULL);
}

static void loop_down(struct loop *loop)
{
    loop_stop(loop);
    loop_join(loop);
}

/* --- what is there --- */

static bool value_is(struct meta_reader *r, const char *client, unsigned number)
{
    json_t *args = setting_of(client, number);
    json_t *value = setting_get(r, json_string_value(json_object_get(args, "name")));
    bool good = value && json_integer_value(value) == number;
    json_decref(value);
    json_decref(args);
    return good;
}

static unsigned count_values(const char *dir, const char *client, unsigned total)
{
    struct meta_reader *r = meta_reader_open(dir, NULL);
    unsigned n = 0;
    assert_non_null(r);
    for (unsigned i = 0; i < total; i++)
        n += value_is(r, client, i);
    meta_reader_close(r);
    return n;
}

/* --- tests --- */

static void two_loops_are_answered_once_and_in_order(void **state)
{
    enum { EACH = 2500 };
    struct fixture *f = *state;
    struct client *a = client_start(f->cluster, "a", EACH, 64),
                  *b = client_start(f->cluster, "b", EACH, 5);
    struct client *both[] = { a, b };
    for (unsigned i = 0; i < 2; i++) {
        uv_sem_wait(&both[i]->complete);
        client_join(both[i]);
        assert_int_equal(both[i]->answered, EACH);
        assert_int_equal(both[i]->failed, 0);
        assert_int_equal(both[i]->twice, 0);
        assert_int_equal(both[i]->misordered, 0);
        assert_int_equal(both[i]->strange, 0);
        assert_true(both[i]->last_index > both[i]->first_index);
    }
    assert_int_equal(count_values(f->dir, "a", EACH), EACH);
    assert_int_equal(count_values(f->dir, "b", EACH), EACH);

    struct cluster_figures figures;
    uint64_t last = a->last_index > b->last_index ? a->last_index : b->last_index;
    for (uint64_t deadline = clock_mono_ms() + 5000; clock_mono_ms() < deadline; usleep(1000)) {
        cluster_figures(f->cluster, &figures); /* published every 20 ms */
        if (figures.applied_index >= last)
            break;
    }
    assert_true(figures.applied_index >= last);
    assert_int_equal(figures.ops, 2 * EACH);
    assert_true(figures.batches < figures.ops); /* they share log entries */
    assert_int_equal(figures.state, 3);
    assert_int_equal(figures.members, 1);
    client_free(a);
    client_free(b);
}

static void the_node_becomes_current(void **state)
{
    struct fixture *f = *state;
    uint64_t deadline = clock_mono_ms() + 5000;
    while (!cluster_current(f->cluster) && clock_mono_ms() < deadline)
        usleep(1000);
    assert_true(cluster_current(f->cluster));
    assert_true(cluster_is_leader(f->cluster));
    assert_true(cluster_alone(f->cluster));
    assert_int_equal(cluster_node_id(f->cluster), 1);
    assert_string_equal(cluster_data_dir(f->cluster), f->dir);
    assert_int_equal(strlen(cluster_seal_key(f->cluster)->id), 8);
}

static void a_restart_keeps_everything(void **state)
{
    enum { TOTAL = 300 };
    struct fixture *f = *state;
    struct seal_key key = *cluster_seal_key(f->cluster);
    uint64_t index = 0;
    for (int round = 0; round < 4; round++) {
        char name[16];
        snprintf(name, sizeof name, "round%d", round);
        struct client *c = client_start(f->cluster, name, TOTAL, 16);
        uv_sem_wait(&c->complete);
        client_join(c);
        assert_int_equal(c->failed, 0);
        assert_true(c->first_index > index); /* the log goes on where it was */
        index = c->last_index;
        client_free(c);
        restart(f);
        assert_memory_equal(cluster_seal_key(f->cluster)->key, key.key, sizeof key.key);
        for (int i = 0; i <= round; i++) {
            snprintf(name, sizeof name, "round%d", i);
            assert_int_equal(count_values(f->dir, name, TOTAL), TOTAL);
        }
    }
}

static void bad_proposals_fail_alone(void **state)
{
    struct fixture *f = *state;
    struct loop home;
    struct proposal p;
    loop_up(&home);
    assert_int_equal(call(f->cluster, &home, "setting.put", setting_of("x", 1), NULL), OK);
    assert_int_equal(call(f->cluster, &home, "no.such.operation", json_object(), &p),
                     ERR_NOT_IMPLEMENTED);
    assert_non_null(strstr(p.why.text, "no.such.operation"));
    assert_null(p.result);
    assert_int_equal(call(f->cluster, &home, "cluster.nonsense", json_object(), NULL),
                     ERR_BAD_REQUEST);
    assert_int_equal(call(f->cluster, &home, "setting.put", json_object(), &p), ERR_BAD_REQUEST);
    assert_true(p.why.text[0] != 0);
    assert_int_equal(call(f->cluster, &home, "setting.put", json_array(), NULL), ERR_BAD_REQUEST);
    assert_int_equal(call(f->cluster, &home, "setting.put", NULL, NULL), ERR_BAD_REQUEST);
    assert_int_equal(call(f->cluster, &home, "setting.put", setting_of("x", 2), &p), OK);
    uint64_t index = p.index;
    json_decref(p.result);
    /* one that changes nothing needs no entry, and is still answered */
    assert_int_equal(call(f->cluster, &home, "token.sweep", json_pack("{s:i}", "limit", 10), &p), OK);
    assert_true(p.index >= index);
    json_decref(p.result);
    assert_int_equal(call(f->cluster, &home, "cluster.status", json_object(), &p), OK);
    assert_true(json_is_object(p.result));
    json_decref(p.result);
    loop_down(&home);
    struct meta_reader *r = meta_reader_open(f->dir, NULL);
    assert_true(value_is(r, "x", 1) && value_is(r, "x", 2));
    meta_reader_close(r);
}

/* Good and bad ones posted together share batches; each has its own outcome. */
struct mixed {
    struct proposal proposal;
    struct mix *mix;
    unsigned number, answers;
};

struct mix {
    struct mixed all[400];
    unsigned answered, wrong;
    uv_sem_t done;
};

static void on_mixed(struct proposal *p)
{
    struct mixed *m = container_of(p, struct mixed, proposal);
    enum err expected = m->number % 4 == 1 ? ERR_BAD_REQUEST
                        : m->number % 4 == 3 ? ERR_NOT_IMPLEMENTED : OK;
    m->mix->wrong += p->err != expected || m->answers++ != 0;
    json_decref(p->result);
    if (++m->mix->answered == 400)
        uv_sem_post(&m->mix->done);
}

static void each_of_a_batch_has_its_own_outcome(void **state)
{
    struct fixture *f = *state;
    struct mix *mix = calloc(1, sizeof *mix);
    struct loop home;
    loop_up(&home);
    uv_sem_init(&mix->done, 0);
    for (unsigned i = 0; i < 400; i++) {
        mix->all[i] = (struct mixed){ .mix = mix, .number = i };
        mix->all[i].proposal = (struct proposal){
            .op = i % 4 == 3 ? "no.such" : "setting.put", .home = &home, .on_done = on_mixed,
            .args = i % 4 == 1 ? json_pack("{s:i}", "name", (int)i) : setting_of("mix", i),
        };
        cluster_propose(f->cluster, &mix->all[i].proposal);
    }
    uv_sem_wait(&mix->done);
    assert_int_equal(mix->wrong, 0);
    assert_int_equal(count_values(f->dir, "mix", 400), 200);
    uv_sem_destroy(&mix->done);
    loop_down(&home);
    free(mix);
}

struct mark {
    struct task task;
    uv_sem_t reached;
};

static void on_mark(struct task *task)
{
    uv_sem_post(&container_of(task, struct mark, task)->reached);
}

/* A stop in the middle of traffic: every proposal that was posted is answered, once; OK means there. */
static void a_stop_answers_everything(void **state)
{
    struct fixture *f = *state;
    unsigned failed = 0;
    for (int round = 0; round < 12; round++) {
        char name[16];
        snprintf(name, sizeof name, "stop%d", round);
        if (round % 4) { /* else there is no leader yet, nor a schema the first time */
            struct loop home;
            loop_up(&home);
            assert_int_equal(call(f->cluster, &home, "setting.put", setting_of("x", 1), NULL), OK);
            loop_down(&home);
        }
        struct client *c = client_start(f->cluster, name, MOST_WINDOW, MOST_WINDOW);
        struct mark mark = { .task.run = on_mark };
        uv_sem_init(&mark.reached, 0);
        loop_post(&c->loop, &mark.task); /* behind the task that sends them all */
        uv_sem_wait(&mark.reached);
        uv_sem_destroy(&mark.reached);
        cluster_stop(f->cluster, 1000);
        uv_sem_wait(&c->complete);
        client_join(c);
        assert_int_equal(c->answered, MOST_WINDOW);
        assert_int_equal(c->twice, 0);
        if (c->failed < MOST_WINDOW)
            assert_true(count_values(f->dir, name, MOST_WINDOW) >= MOST_WINDOW - c->failed);
        failed += c->failed;
        client_free(c);
        f->cluster = open_cluster(f->dir);
    }
    assert_true(failed > 0); /* or the stop came too late to be one */
}

/* --- kill -9: what was acknowledged is there --- */

enum { CHILD_FD = 100 }; /* pipe: numbers of acknowledged settings */

static void on_survivor(struct proposal *p)
{
    struct one *o = container_of(p, struct one, proposal);
    struct client *c = o->client;
    json_decref(p->result);
    if (p->err == OK && write(CHILD_FD, &o->number, sizeof o->number) != sizeof o->number)
        _exit(1);
    *o = (struct one){ .client = c, .number = c->sent++ };
    o->proposal = (struct proposal){ .op = "setting.put", .args = setting_of(c->name, o->number),
                                     .home = &c->loop, .on_done = on_survivor };
    cluster_propose(c->cluster, &o->proposal);
}

static int write_until_killed(const char *dir)
{
    struct client *c = calloc(1, sizeof *c);
    work_pool_start(2);
    c->cluster = open_cluster(dir);
    c->name = "survivor";
    loop_init(&c->loop, "client", 0);
    for (unsigned i = 0; i < 32; i++) {
        c->ones[i] = (struct one){ .client = c };
        c->ones[i].proposal = (struct proposal){ .err = ERR_AGAIN };
        on_survivor(&c->ones[i].proposal);
    }
    return uv_run(&c->loop.uv, UV_RUN_DEFAULT);
}

static void what_was_acknowledged_survives_a_kill(void **state)
{
    static unsigned char acknowledged[1 << 20];
    char dir[] = "/tmp/pantera-killed-XXXXXX";
    unsigned total = 0, missing = 0;
    assert_non_null(mkdtemp(dir));
    memset(acknowledged, 0, sizeof acknowledged);
    for (int round = 0; round < 3; round++) {
        int ends[2];
        unsigned number, until = 0;
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) { /* a program of its own: a fork has no libuv pool, and no sanitizer likes it */
            dup2(ends[1], CHILD_FD);
            setenv("PANTERA_TEST_CHILD", dir, 1);
            execl("/proc/self/exe", "test_cluster_single", NULL);
            _exit(1);
        }
        close(ends[1]);
        while (read(ends[0], &number, sizeof number) == sizeof number) {
            assert_true(number < sizeof acknowledged);
            total += !acknowledged[number];
            acknowledged[number] = 1;
            if (++until == 500)
                kill(child, SIGKILL); /* what is in the pipe by then counts too */
        }
        close(ends[0]);
        int status;
        waitpid(child, &status, 0);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        work_pool_start(2);
        struct cluster *c = open_cluster(dir);
        struct loop home;
        loop_up(&home); /* the first answer: the log has been replayed */
        assert_int_equal(call(c, &home, "setting.put", setting_of("after", 1), NULL), OK);
        struct meta_reader *r = meta_reader_open(dir, NULL);
        for (unsigned i = 0; i < sizeof acknowledged; i++)
            missing += acknowledged[i] && !value_is(r, "survivor", i);
        meta_reader_close(r);
        loop_down(&home);
        cluster_stop(c, 1000);
        work_pool_stop();
        assert_int_equal(missing, 0);
    }
    assert_true(total >= 500);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* --- figures --- */

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x > y ? 1 : x < y ? -1 : 0;
}

static void bench(struct cluster *cluster, unsigned window, unsigned total)
{
    char name[16];
    struct cluster_figures before, after;
    snprintf(name, sizeof name, "w%u", window);
    cluster_figures(cluster, &before);
    struct client *c = client_start(cluster, name, 1, 1); /* there is a leader now */
    uv_sem_wait(&c->complete);
    client_join(c);
    client_free(c);
    c = client_new(cluster, name, total, window);
    c->latency_us = calloc(total, sizeof *c->latency_us);
    uint64_t began = clock_mono_us();
    loop_post(&c->loop, &c->start);
    uv_sem_wait(&c->complete);
    double seconds = (double)(clock_mono_us() - began) / 1e6;
    client_join(c);
    cluster_figures(cluster, &after);
    qsort(c->latency_us, total, sizeof *c->latency_us, ascending);
    printf("window %3u: %7.0f ops/s, p50 %6.2f ms, p99 %6.2f ms, %.1f ops a batch, %u failed\n", window,
           total / seconds, (double)c->latency_us[total / 2] / 1e3,
           (double)c->latency_us[total - total / 100 - 1] / 1e3,
           (double)(after.ops - before.ops) / (double)(after.batches - before.batches), c->failed);
    client_free(c);
}

static int bench_main(void)
{
    void *state;
    up(&state);
    struct fixture *f = state;
    bench(f->cluster, 1, 3000);
    bench(f->cluster, 16, 30000);
    bench(f->cluster, 256, 200000);
    return down(&state);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_acknowledged_survives_a_kill),
        T(two_loops_are_answered_once_and_in_order),
        T(the_node_becomes_current),
        T(a_restart_keeps_everything),
        T(bad_proposals_fail_alone),
        T(each_of_a_batch_has_its_own_outcome),
        T(a_stop_answers_everything),
    };
    log_set_level(LOG_ERROR);
    if (getenv("PANTERA_TEST_CHILD"))
        return write_until_killed(getenv("PANTERA_TEST_CHILD"));
    if (getenv("PANTERA_TEST_BENCH"))
        return bench_main();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
