/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/fx_raft.h: servers of libraft's own fixture (one thread, simulated time, disk and
 * network), each behind the guard and with a hash chain for a state machine.
 * The wrapper isolates the tests from the fixture, whose interface changes with 0.17, and adds what it
 * lacks: a crash, a disk that fails later, messages that go through our wire format, and a history
 * that every applied entry of every server is held against.
 * One fixture at a time. */
#ifndef FX_RAFT_H
#define FX_RAFT_H

#include <raft.h>
#include <raft/fixture.h>
#include <stdbool.h>
#include <stdint.h>

#include "cluster/guard.h"

#define FX_RAFT_MAX 4

struct fx_fsm {
    struct raft_fsm fsm;
    struct raft *raft;
    uint64_t applied, count, digest; /* the chain; what a snapshot holds */
    uint64_t last_value;
    unsigned restores;
};

struct fx_server {
    struct fx_fsm machine;
    struct guard guard;
    struct raft_io pristine; /* the fixture's methods */
    unsigned fatals;
    char fatal_text[256];
    bool deny_vote, deny_campaign;
    unsigned votes_asked, afters;
    bool one_entry;   /* its AppendEntries carry at most one entry, as a wire that splits would */
    bool unreachable; /* wire: its sends fail with RAFT_NOCONNECTION */
    int append_fails; /* a RAFT_ error: the next append is kept back for fx_raft_fail_append */
    struct raft_io_append *kept;
    struct fx_disk_op *disk; /* the disk keeps the order of appends and truncations */
    bool writing;
    raft_index answered; /* what its last accepting answer to a leader said */
    unsigned puts, put_servers; /* snapshots stored; members in the last one's configuration */
    raft_index put_conf_index;
};

struct fx_message {
    struct fx_message *next;
    raft_time due;
    unsigned from, to;
    size_t size;
    unsigned char data[];
};

struct fx_options {
    unsigned servers;        /* 0: 3 */
    unsigned disabled_rules; /* enum guard_rule */
    bool wire;               /* messages as bytes, through hooks.send and guard_receive */
    unsigned heartbeat_ms;   /* 0: 100 */
    unsigned threshold, trailing; /* of snapshots; 0: never */
};

struct fx_raft {
    struct raft_fixture f;
    struct fx_options options;
    struct fx_server s[FX_RAFT_MAX];
    struct fx_message *wire;
    unsigned wire_latency_ms;
    uint64_t proposed, committed, failed, sent, refused;
    uint64_t *history; /* by index: digest after it, as its first applier had it; 0: not yet */
    size_t history_room;
    unsigned diverged; /* appliers that had another */
};

void fx_raft_start(struct fx_raft *fx, const struct fx_options *o);
void fx_raft_stop(struct fx_raft *fx);
struct raft *fx_raft_get(struct fx_raft *fx, unsigned i);

/* Simulated time. */
void fx_raft_run(struct fx_raft *fx, unsigned ms);
bool fx_raft_run_until(struct fx_raft *fx, bool (*stop)(struct fx_raft *fx, void *arg), void *arg,
                       unsigned max_ms);
unsigned fx_raft_leader(const struct fx_raft *fx); /* the fixture's stable leader, or its count */
bool fx_raft_run_until_leader(struct fx_raft *fx, unsigned i, unsigned max_ms); /* i itself thinks so */
bool fx_raft_run_until_no_leader(struct fx_raft *fx, unsigned i, unsigned max_ms);
/* From now on timers are such that `i` wins the next election, if its log allows. */
void fx_raft_prefer(struct fx_raft *fx, unsigned i);
void fx_raft_elect(struct fx_raft *fx, unsigned i); /* a fresh cluster's first leader */

/* A link, both ways: silent loss. */
void fx_raft_link(struct fx_raft *fx, unsigned a, unsigned b, bool up);
void fx_raft_isolate(struct fx_raft *fx, unsigned i, bool cut);
void fx_raft_set_latency(struct fx_raft *fx, unsigned ms);

/* Proposes a number; 0 or a RAFT_ error. */
int fx_raft_propose(struct fx_raft *fx, unsigned i, uint64_t value);
/* The kept-back append fails now. */
void fx_raft_fail_append(struct fx_raft *fx, unsigned i);
/* A crash and a start from the simulated disk; `lose` empties the state machine too. */
void fx_raft_restart(struct fx_raft *fx, unsigned i, bool lose);
/* One more server, empty, started, not a member yet. Its index. */
unsigned fx_raft_grow(struct fx_raft *fx);

/* All servers that are alive have applied the same. */
bool fx_raft_equal(const struct fx_raft *fx);
bool fx_raft_any_unavailable(struct fx_raft *fx);

#endif
