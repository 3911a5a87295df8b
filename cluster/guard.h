/* SPDX-License-Identifier: Apache-2.0 */
/* cluster/guard.h: what stands between Debian's libraft 0.15.0 and its disk and network.
 * What:      an interposer of `struct raft_io`. libraft 0.15.0 commits entries of old terms by
 *            counting copies, starves commits at any real round trip, goes on after a failed disk
 *            write, and sends snapshots that nobody needs. Each numbered rule below takes one of
 *            these away, from outside, and has a test that fails without it (docs/adr/0002).
 * Not here:  sockets (link), bytes on the wire (wire.h), leases, what an entry means.
 * Threads:   the thread of raft's loop, for all of it.
 * Ownership: `struct guard` is the caller's, zeroed by guard_install, and must outlive raft's close
 *            callback. It takes `raft->data` for itself.
 * Errors:    crash-only. Whatever should not happen goes to hooks.fatal, which must not return (a
 *            test's may: then the guard behaves as libraft alone would have).
 *
 *     raft_uv_init(&io, ...);
 *     guard_prepare_io(&io);
 *     raft_init(&raft, &io, &fsm, id, address);
 *     guard_install(&guard, &raft, &hooks);
 *     raft_start(&raft);
 *     ... every turn of the loop, in a uv_check: guard_flush(&guard); */
#ifndef CLUSTER_GUARD_H
#define CLUSTER_GUARD_H

#include <raft.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pantera/err.h"

/* Bits of guard.disabled_rules, which only tests set: they show that a test can fail. */
enum guard_rule {
    GUARD_RULE_DISK = 1 << 1,     /* 1: a failed or unaligned append ends the process */
    GUARD_RULE_BARRIER = 1 << 2,  /* 2: a new leader appends an entry of its own term at once */
    GUARD_RULE_CLAMP = 1 << 3,    /* 3: until that is on disk, no acknowledgement commits anything */
    GUARD_RULE_PIPE = 1 << 4,     /* 4: what a majority stored commits, though the leader's log is longer */
    GUARD_RULE_PROBE = 1 << 5,    /* 5: a failed send alone does not make a follower "empty" */
    GUARD_RULE_TRUNCATE = 1 << 6, /* 6: no truncation of the log while a snapshot is being stored */
    GUARD_RULE_CONFIG = 1 << 7,   /* 7: no snapshot while a configuration is uncommitted */
    GUARD_RULE_CHANGE = 1 << 9,   /* 9: a half-made membership change ends the process */
    GUARD_RULE_HEARD = 1 << 10,   /* 10: a follower vouches only for what its leader compared */
};

/* Every member but `arg` may be NULL where it says so. None may call raft_close. */
struct guard_hooks {
    void *arg;
    /* Instead of raft_io's own send: encode and queue the message now; it is borrowed for the call.
     * 0, or a RAFT_ error, which raft learns at the next flush, like success (raft 0.15 frees twice
     * if a send fails inside the call). RAFT_NOCONNECTION puts the follower back to probing, where
     * every heartbeat offers it the whole backlog again: look at the connection before encoding.
     * NULL: raft_io's own send stays. */
    int (*send)(void *arg, const struct raft_message *message);
    /* A RequestVote or pre-vote came: may this server take part? false: dropped silently. NULL: yes. */
    bool (*may_vote)(void *arg, const struct raft_request_vote *rv);
    /* May the election timer run? Asked at every tick of a follower; false: the tick is skipped.
     * The timer is not reset: once allowed, an expired one campaigns at the next tick. NULL: yes. */
    bool (*may_campaign)(void *arg);
    /* After every tick, message, and completed append, outside of libraft: the place to look for a
     * change of state, term or commit index. NULL: nobody looks. */
    void (*after)(void *arg);
    /* The process can't go on. Must not return (log_fatal). */
    void (*fatal)(void *arg, const char *what);
};

#define GUARD_MAX_PEERS 64

struct guard {
    struct raft *raft;
    struct guard_hooks hooks;
    unsigned disabled_rules; /* tests only */
    struct {
        uint64_t clamped; /* acknowledgements that rule 3 held back */
        uint64_t piped;   /* acknowledgements that rule 4 let commit */
        uint64_t rearmed; /* probes that rule 5 set right */
        uint64_t limited; /* answers that rule 10 cut */
    } count;

    /* private */
    struct raft_io inner; /* raft_io's own methods */
    raft_io_tick_cb tick; /* libraft's callbacks, once started */
    raft_io_recv_cb recv;
    raft_io_snapshot_put_cb put_cb;
    bool started, closing, putting;
    raft_io_close_cb closed;     /* raft's, until it was told */
    bool beat_due;  /* guard_heartbeat_now was asked inside of libraft */
    bool held_back; /* rule 3 held something back in this term */
    unsigned depth; /* we are inside of libraft or of a hook */

    raft_term led;  /* the term that `own` is of */
    raft_index own; /* our first entry in it; 0: none yet */
    struct raft_barrier barrier;
    bool barrier_busy;
    struct raft_transfer transfer; /* rule 8: libraft keeps pointers into it, so it is never freed */

    raft_term heard_term; /* rule 10: in this term, ... */
    raft_index heard;     /* ... our log is the leader's up to here */
    raft_index offered;   /* the message being handled would make it this; 0: none is */

    raft_id empty[GUARD_MAX_PEERS]; /* peers that said in this term that their log is empty */
    unsigned empty_count;

    struct guard_sent { /* sends whose completion raft has not been told yet */
        struct raft_io_send *req;
        int status;
    } *sent;
    size_t sent_count, sent_room;
};

/* Before raft_init: raft_uv_init of 0.15.0 forgets to say that it can do async work (rule 8). */
void guard_prepare_io(struct raft_io *io);

/* After raft_init, before raft_start. Refuses a libraft that it was not written for (fatal). */
void guard_install(struct guard *g, struct raft *r, const struct guard_hooks *hooks);

/* A message from a peer, through the rules into libraft. Takes what the message points to (entries,
 * snapshot, configuration: raft_malloc'ed), except server_address, which is borrowed. */
void guard_receive(struct guard *g, struct raft_message *message);

/* Tells raft of finished sends. Once a turn of the loop, from its tail. */
void guard_flush(struct guard *g);

/* Rule 5. Before raft_apply and raft_barrier. */
void guard_before_apply(struct guard *g);

/* Leader: sends AppendEntries to the followers now, so that they learn of a commit without waiting
 * for the heartbeat. Followers that are behind are left to the ordinary heartbeat: a probe carries
 * the whole backlog. Never sends inside of libraft: asked there, it happens on the way out. */
void guard_heartbeat_now(struct guard *g);

/* Leader: the last entry that server `i` of the configuration is known to have stored. */
raft_index guard_match_index(const struct guard *g, unsigned i);

/* Leader: index of the entry that opened its term (all before it commits with it); 0: not leader, or
 * not appended yet. */
raft_index guard_own_index(const struct guard *g);
/* Leader, and that entry is applied: what the replica holds is all that was ever acknowledged. */
bool guard_own_applied(const struct guard *g);

/* Rule 7: fsm.snapshot() answers RAFT_BUSY if this says no. */
bool guard_snapshot_allowed(const struct guard *g);

/* Rule 9: as raft_add, raft_remove, raft_assign. Returns only errors after which nothing has changed:
 * NOTLEADER, CANTCHANGE, NOTFOUND, BADROLE, BADID, DUPLICATEID, DUPLICATEADDRESS. */
MUST_USE int guard_add(struct guard *g, struct raft_change *req, raft_id id, const char *address,
                       raft_change_cb cb);
MUST_USE int guard_remove(struct guard *g, struct raft_change *req, raft_id id, raft_change_cb cb);
MUST_USE int guard_assign(struct guard *g, struct raft_change *req, raft_id id, int role,
                          raft_change_cb cb);
/* Rule 8: as raft_transfer, with the guard's own request. One at a time: RAFT_NOTLEADER otherwise. */
MUST_USE int guard_transfer(struct guard *g, raft_id id, raft_transfer_cb cb);

#endif
