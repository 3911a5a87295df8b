/* SPDX-License-Identifier: Apache-2.0 */
/* The rules that only libraft's real disk (raft_uv, files in a temporary folder) can show: 1, about
 * lengths, 6, 11, and what a snapshot needs. With the rule the process would have ended; without it the
 * folder no longer holds what was written. */
#include "cluster/guard.h" /* ahead of cmocka.h, whose fail() is a macro */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <ftw.h>
#include <raft/uv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#ifndef RAFT_VERSION_MINOR

/* A truncation that libraft loses, it also leaks, and what it had read of a log that it refuses. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libraft.so";
}

/* ---- a server that is alone, or only its disk ---- */

struct node {
    char dir[64];
    uv_loop_t loop;
    struct raft_uv_transport transport;
    struct raft_io io;
    struct raft raft;
    struct raft_fsm fsm;
    struct guard guard;
    unsigned fatals, applied, pending, closed;
    void (*close)(struct raft_io *io, raft_io_close_cb cb); /* the disk's */
    raft_io_close_cb close_cb;
};

static int transport_init(struct raft_uv_transport *t, raft_id id, const char *address)
{
    return 0;
}
static int transport_listen(struct raft_uv_transport *t, raft_uv_accept_cb cb)
{
    return 0;
}
static int transport_connect(struct raft_uv_transport *t, struct raft_uv_connect *req, raft_id id,
                             const char *address, raft_uv_connect_cb cb)
{
    return RAFT_NOCONNECTION;
}
static void transport_close(struct raft_uv_transport *t, raft_uv_transport_close_cb cb)
{
    cb(t);
}

static int machine_apply(struct raft_fsm *fsm, const struct raft_buffer *buf, void **result)
{
    struct node *n = fsm->data;
    *result = NULL;
    n->applied++;
    return 0;
}

static int machine_restore(struct raft_fsm *fsm, struct raft_buffer *buf)
{
    raft_free(buf->base);
    return 0;
}

static void count_fatal(void *arg, const char *what)
{
    struct node *n = arg;
    n->fatals++;
}

static bool never(void *arg)
{
    return false;
}

static int queue_nothing(void *arg, const struct raft_message *m)
{
    return RAFT_NOCONNECTION;
}

/* Rule 11: what libraft's disk does from time to time, every time. */
static void on_disk_closed(struct raft_io *io)
{
    struct node *n = (struct node *)((char *)io - offsetof(struct node, io));
    n->close_cb(io);
    n->close_cb(io);
}

static void close_twice(struct raft_io *io, raft_io_close_cb cb)
{
    struct node *n = (struct node *)((char *)io - offsetof(struct node, io));
    n->close_cb = cb;
    n->close(io, on_disk_closed);
}

/* Everything up to raft_init, on n->dir. */
static void node_init(struct node *n, unsigned disabled_rules)
{
    struct guard_hooks hooks = {
        .arg = n, .send = queue_nothing, .may_campaign = never, .fatal = count_fatal
    };
    n->transport = (struct raft_uv_transport){ .init = transport_init,
                                               .listen = transport_listen,
                                               .connect = transport_connect,
                                               .close = transport_close };
    n->fsm = (struct raft_fsm){
        .version = 3, .data = n, .apply = machine_apply, .restore = machine_restore
    };
    n->fatals = n->applied = n->pending = 0;
    n->closed = 0;
    assert_int_equal(uv_loop_init(&n->loop), 0);
    assert_int_equal(raft_uv_init(&n->io, &n->loop, n->dir, &n->transport), 0);
    raft_uv_set_auto_recovery(&n->io, false);
    n->close = n->io.close;
    n->io.close = close_twice;
    guard_prepare_io(&n->io);
    assert_int_equal(raft_init(&n->raft, &n->io, &n->fsm, 1, "1"), 0);
    guard_install(&n->guard, &n->raft, &hooks);
    n->guard.disabled_rules = disabled_rules;
}

static void node_new(struct node *n, unsigned disabled_rules)
{
    struct raft_configuration conf;
    memset(n, 0, sizeof *n);
    snprintf(n->dir, sizeof n->dir, "%s/guard-XXXXXX", P_tmpdir);
    assert_non_null(mkdtemp(n->dir));
    node_init(n, disabled_rules);
    raft_configuration_init(&conf);
    assert_int_equal(raft_configuration_add(&conf, 1, "1", RAFT_VOTER), 0);
    assert_int_equal(raft_bootstrap(&n->raft, &conf), 0);
    raft_configuration_close(&conf);
}

static void on_closed(struct raft *r)
{
    struct node *n = (struct node *)((char *)r - offsetof(struct node, raft));
    n->closed++;
}

static void node_close(struct node *n)
{
    raft_close(&n->raft, on_closed);
    uv_run(&n->loop, UV_RUN_DEFAULT);
    assert_int_equal(n->closed, 1);
    assert_int_equal(uv_loop_close(&n->loop), 0);
    raft_uv_close(&n->io);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}

static void node_remove(struct node *n)
{
    nftw(n->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void run_until_idle(struct node *n)
{
    while (n->pending > 0)
        uv_run(&n->loop, UV_RUN_ONCE);
}

/* ---- rule 1: lengths ---- */

static void on_applied(struct raft_apply *req, int status, void *result)
{
    struct node *n = req->data;
    assert_int_equal(status, 0);
    n->pending--;
}

/* Writes ten entries in one batch, starts again, and says how many are there then. */
static unsigned entries_after_restart(unsigned disabled, size_t size, unsigned *ret_fatals)
{
    struct node n;
    struct raft_buffer bufs[10];
    struct raft_apply req = { .data = &n };
    node_new(&n, disabled);
    assert_int_equal(raft_start(&n.raft), 0); /* alone: it leads at once */
    guard_flush(&n.guard);
    for (unsigned i = 0; i < 10; i++) {
        bufs[i] = (struct raft_buffer){ raft_calloc(1, size + 8), size };
        memset(bufs[i].base, 'a' + (int)i, size);
    }
    n.pending = 1;
    guard_before_apply(&n.guard);
    assert_int_equal(raft_apply(&n.raft, &req, bufs, 10, on_applied), 0);
    run_until_idle(&n);
    for (unsigned turns = 0; turns < 100 && n.applied < 10; turns++)
        uv_run(&n.loop, UV_RUN_ONCE);
    assert_int_equal(n.applied, 10); /* acknowledged, all of them */
    *ret_fatals = n.fatals;
    node_close(&n);

    node_init(&n, 0);
    int rv = raft_start(&n.raft);
    unsigned left = rv == 0 ? (unsigned)raft_last_index(&n.raft) : 0;
    node_close(&n);
    node_remove(&n);
    return left;
}

static void unaligned_entry_is_fatal_because_the_disk_loses_it(void **state)
{
    unsigned fatals;
    assert_int_equal(entries_after_restart(0, 16, &fatals), 12); /* configuration, barrier, ten */
    assert_int_equal(fatals, 0);
    assert_true(entries_after_restart(0, 12, &fatals) < 12);
    assert_true(fatals > 0); /* in production there is no after */
    assert_true(entries_after_restart(GUARD_RULE_DISK, 12, &fatals) < 12);
    assert_int_equal(fatals, 0);
}

/* ---- rule 6: a truncation while a snapshot is being stored ---- */

static void on_appended(struct raft_io_append *req, int status)
{
    struct node *n = req->data;
    assert_int_equal(status, 0);
    n->pending--;
}

static void append(struct node *n, raft_term term, unsigned count)
{
    static uint64_t words[16];
    static struct raft_entry entries[16];
    struct raft_io_append req = { .data = n };
    assert_true(count <= 16);
    for (unsigned i = 0; i < count; i++)
        entries[i] = (struct raft_entry){ term, RAFT_COMMAND, { &words[i], 8 }, NULL };
    n->pending++;
    assert_int_equal(n->io.append(&n->io, &req, entries, count, on_appended), 0);
    run_until_idle(n);
}

static void on_stored(struct raft_io_snapshot_put *req, int status)
{
    struct node *n = req->data;
    assert_int_equal(status, 0);
    n->pending--;
}

static void no_tick(struct raft_io *io)
{
}
static void no_recv(struct raft_io *io, struct raft_message *m)
{
}

static void release(struct raft_snapshot *snapshot, struct raft_entry *entries, size_t n)
{
    void *batch = NULL;
    if (snapshot != NULL) {
        raft_configuration_close(&snapshot->configuration);
        raft_free(snapshot->bufs[0].base);
        raft_free(snapshot->bufs);
        raft_free(snapshot);
    }
    for (size_t i = 0; i < n; i++) {
        if (entries[i].batch != batch)
            raft_free(entries[i].batch);
        batch = entries[i].batch;
    }
    raft_free(entries);
}

/* What the folder holds: the term of the entry at `index`, 0 if none, -1 if it can't be loaded. */
static int term_on_disk(struct node *n, raft_index index)
{
    raft_term term;
    raft_id vote;
    raft_index first;
    struct raft_snapshot *snapshot = NULL;
    struct raft_entry *entries = NULL;
    size_t count = 0;
    if (n->io.load(&n->io, &term, &vote, &snapshot, &first, &entries, &count) != 0)
        return -1;
    bool there = index >= first && index < first + count;
    int found = there ? (int)entries[index - first].term : 0;
    release(snapshot, entries, count);
    return found;
}

/* Entries 2..11 of term 1 are on disk; a snapshot at 5 is being stored when, as libraft would on a
 * conflicting message, the log is truncated from 8 on and entry 8 of term 2 is written. */
static int entry_8_after_restart(unsigned disabled, bool put, unsigned *ret_fatals)
{
    struct node n;
    struct raft_configuration conf;
    uint64_t body[2] = { 1, 2 };
    struct raft_buffer data = { body, sizeof body };
    node_new(&n, disabled);
    assert_int_equal(term_on_disk(&n, 1), 1); /* load comes before start, as in raft_start */
    assert_int_equal(n.io.start(&n.io, 1000, no_tick, no_recv), 0);
    n.raft.state = RAFT_FOLLOWER;
    append(&n, 1, 10);
    raft_configuration_init(&conf);
    assert_int_equal(raft_configuration_add(&conf, 1, "1", RAFT_VOTER), 0);
    struct raft_snapshot snapshot = { .index = 5, .term = 1, .configuration = conf,
                                      .configuration_index = 1, .bufs = &data, .n_bufs = 1 };
    n.raft.snapshot.put.data = &n;
    if (put) {
        n.pending++;
        assert_int_equal(
            n.io.snapshot_put(&n.io, 100, &n.raft.snapshot.put, &snapshot, on_stored), 0);
    }
    n.guard.depth++; /* inside of libraft's recv */
    assert_int_equal(n.io.truncate(&n.io, 8), 0);
    n.guard.depth--;
    append(&n, 2, 1);
    run_until_idle(&n);
    *ret_fatals = n.fatals;
    node_close(&n);
    raft_configuration_close(&conf);

    node_init(&n, 0);
    int term = term_on_disk(&n, 8);
    node_close(&n);
    node_remove(&n);
    return term;
}

static void truncation_during_a_snapshot_is_fatal_because_it_gets_lost(void **state)
{
    unsigned fatals;
    assert_int_equal(entry_8_after_restart(0, false, &fatals), 2);
    assert_int_equal(fatals, 0);
    entry_8_after_restart(0, true, &fatals);
    assert_int_equal(fatals, 1);
    assert_int_not_equal(entry_8_after_restart(GUARD_RULE_TRUNCATE, true, &fatals), 2);
    assert_int_equal(fatals, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unaligned_entry_is_fatal_because_the_disk_loses_it),
        cmocka_unit_test(truncation_during_a_snapshot_is_fatal_because_it_gets_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else
int main(void)
{
    printf("libraft is newer than the guard's rules: nothing to test\n");
    return 0;
}
#endif
