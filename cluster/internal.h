/* SPDX-License-Identifier: Apache-2.0 */
/* cluster/internal.h: the cluster thread's state, and which file owns what of it.
 * Everything here belongs to the cluster thread except what `struct cluster` marks as shared. */
#ifndef CLUSTER_INTERNAL_H
#define CLUSTER_INTERNAL_H

#include <raft.h>
#include <raft/uv.h>
#include <stdatomic.h>

#include "cluster/guard.h"
#include "pantera/buf.h"
#include "pantera/cluster.h"
#include "pantera/loop.h"
#include "pantera/meta.h"
#include "pantera/tls.h"

enum {
    MOST_MEMBERS = 16,
    MOST_BATCH_OPS = 512,
    LINK_QUEUE_BYTES = 128 << 20,
    FRAME_BYTES = 64 << 20,
    FREE_SPACE_FLOOR = 64 << 20, /* below it, writes are refused while reads go on */
};

/* Frames between nodes: u32 length, u8 type, payload. Every message to a peer travels on the connection
 * that the sender dialled; an accepted connection is only read. */
enum frame_type {
    FRAME_HELLO = 1,
    FRAME_RAFT,
    FRAME_PING,    /* leader → member: lease traffic, see lease.c */
    FRAME_PONG,
    FRAME_GRANT,
    FRAME_APPLIED,
    FRAME_FORWARD, /* member → leader: an operation */
    FRAME_RESULT,
    FRAME_JOIN,    /* a node without (fresh) or with a replica asks to be a member */
    FRAME_JOIN_READY,
    FRAME_FETCH,   /* a consistent copy of the replica, please */
    FRAME_FETCH_DATA,
    FRAME_FETCH_END,
    FRAME_BYE,     /* the sender is about to stop on purpose */
    FRAME_RELEASE, /* the leader gives up its right: promises made to it in this term are void */
    FRAME_DONE,    /* the sender has stopped: what it was sent and has not answered, it has never run */
};

/* What a node says about itself when a link comes up; again when it changes. */
struct hello {
    int id;
    bool member;        /* has a replica of `cluster_id` */
    char cluster_id[37];
    int schema_known;
    char address[128];
};

struct link; /* link.c */

struct peer {
    int id;                /* 0: free slot */
    char address[128];
    struct link *out;      /* dialled by us */
    bool up;               /* out has completed its handshake */
    bool greeted;          /* a hello came from it, on a connection that still stands */
    unsigned accepted;     /* connections from it */
    struct hello hello;
    /* as the leader sees it, this term (lease.c) */
    uint64_t lease_until_us;   /* upper bound on our clock of any lease that it may hold */
    uint64_t promise_until_us; /* lower bound on our clock of its promise to vote for nobody */
    bool confirmed;            /* has answered in this term: older leases are gone */
    uint64_t applied;
    uint64_t told_commit;      /* the commit index that it has been sent, having stored that far */
    bool low_disk;
    bool leaving;
};

struct batch; /* batch.c */
struct forward;

struct cluster {
    struct loop loop;
    const struct cluster_options *options;
    struct cluster_options own_options;
    struct why start_why;
    enum err start_err;

    /* shared: any thread */
    _Atomic uint64_t current_until_us; /* reads may be answered until then; 0: not */
    _Atomic bool is_leader;
    struct seal_key seal_key;          /* set before cluster_start returns or the key is known */
    _Atomic bool has_key;
    _Atomic uint64_t f_term, f_last, f_commit, f_applied, f_batches, f_ops, f_snapshots, f_elections,
        f_lease_waits, f_log_bytes;
    _Atomic int f_state, f_leader;
    _Atomic unsigned f_members, f_reachable;

    /* state of this node */
    char cluster_id[37];
    bool alone, running, raft_closed, stopping, seeking;
    char address[128];
    struct meta *meta;
    uint64_t started_us;

    /* raft (node.c) */
    struct raft_uv_transport transport;
    struct raft_io io;
    struct raft_fsm fsm;
    struct raft raft;
    struct guard guard;
    uv_check_t check;
    uv_prepare_t prepare;
    uv_timer_t tick;
    int last_state;
    raft_term last_term;
    bool leader;           /* as of the last look */
    double entry_bytes;    /* average, for the log's bound in memory */

    /* links */
    struct tls_context *tls_server, *tls_client;
    struct peer peers[MOST_MEMBERS];
    int listen_fd;
    uv_poll_t listen_poll;
    struct link *accepted; /* list */

    /* batches (batch.c) */
    struct proposal *queue, **queue_tail;
    unsigned queued;
    struct batch *in_flight, *fencing, **fencing_tail;
    uint64_t next_batch_id;
    bool low_disk;
    uint64_t disk_checked_us;

    /* forwarding (forward.c) */
    struct forward *forwards;
    uint64_t next_forward_id;

    /* leases (lease.c) */
    uint64_t ping_at_us, elected_us, acked_index;
    uint64_t promise_until_us;  /* as follower: we vote for nobody but `promised_to` until then */
    int promised_to;
    raft_term lease_term;
    uint64_t applied_told;

    /* members (members.c) */
    struct raft_change change;
    bool change_busy;
    struct proposal *change_for;
    uint64_t join_at_us, migrate_at_us;
    bool joined;
    bool migrating;
    bool handing;              /* leadership goes as soon as nothing is under way: no batch is begun */
    int handing_to;            /* 0: to anybody */
    bool transferring;

    /* replica copies (resync.c) */
    struct resync *resync;
    struct serve *serves;

    uv_sem_t started, stopped;
    bool stop_posted;
    uint64_t stop_deadline_us;
};

/* node.c */
void node_start_raft(struct cluster *c);
bool node_is_member(struct cluster *c, int id, int *ret_role);
int node_leader(struct cluster *c); /* id, or 0 */
void node_fatal(void *arg, const char *what);
void node_restart(struct cluster *c, const char *reason) __attribute__((noreturn));
void node_stop_step(struct cluster *c);

/* link.c */
enum err link_listen(struct cluster *c, struct why *why);
void link_dial_all(struct cluster *c);   /* keeps a dialled link to every known peer */
struct peer *peer_find(struct cluster *c, int id);
struct peer *peer_add(struct cluster *c, int id, const char *address);
bool peer_send(struct cluster *c, int id, enum frame_type type, const void *data, size_t size);
size_t peer_queued(struct cluster *c, int id); /* bytes not yet taken by the socket */
void link_flush_all(struct cluster *c);
void link_close_all(struct cluster *c);
void link_greet_all(struct cluster *c);  /* our hello has changed */
/* dispatch.c: a frame from a peer whose certificate says `id`. false: malformed, close. */
bool frame_received(struct cluster *c, int id, enum frame_type type, const void *data, size_t size);
void peer_down(struct cluster *c, int id); /* a link to or from it broke */

/* batch.c */
void batch_enqueue(struct cluster *c, struct proposal *p);
void batch_step(struct cluster *c);           /* loop tail: begin the next one if none is in flight */
void batch_applied(struct cluster *c, uint64_t index); /* our entry is committed: commit, then fence */
bool batch_is_ours(struct cluster *c, uint64_t batch_id);
void batch_fence_step(struct cluster *c);
void batch_lost_leadership(struct cluster *c);
void batch_give_up(struct cluster *c); /* at a stop that could not wait */
bool batch_propose_migration(struct cluster *c, int number);
void proposal_finish(struct cluster *c, struct proposal *p, enum err e, const struct why *why,
                     json_t *result, uint64_t index);

/* forward.c */
void forward_queue(struct cluster *c);        /* not leader: sends what is queued to the leader */
bool forward_received(struct cluster *c, int from, const void *data, size_t size);
bool forward_result(struct cluster *c, int from, const void *data, size_t size);
void forward_step(struct cluster *c);         /* deadlines, and results that waited for our replica */
void forward_peer_down(struct cluster *c, int id);
void forward_never_run(struct cluster *c, int id); /* it says so itself */
bool forward_is_remote(const struct proposal *p);
void forward_answer(struct cluster *c, struct proposal *p);

/* lease.c */
void lease_elected(struct cluster *c);
void lease_lost(struct cluster *c);
void lease_step(struct cluster *c);
void lease_refresh(struct cluster *c); /* our own right to answer, while we lead */
bool lease_ping(struct cluster *c, int from, const void *data, size_t size);
bool lease_pong(struct cluster *c, int from, const void *data, size_t size);
bool lease_grant(struct cluster *c, int from, const void *data, size_t size);
bool lease_applied(struct cluster *c, int from, const void *data, size_t size);
void lease_tell_applied(struct cluster *c);
bool lease_leader_valid(struct cluster *c);
bool lease_all_applied(struct cluster *c, uint64_t index, uint64_t *ret_wait_until_us);
bool lease_may_vote(void *arg, const struct raft_request_vote *rv);
bool lease_may_campaign(void *arg);
void lease_release(struct cluster *c); /* before handing leadership over */
bool lease_released(struct cluster *c, int from, const void *data, size_t size);
void lease_started(struct cluster *c); /* before raft_start: what did we promise before we stopped? */

/* members.c */
void members_step(struct cluster *c);
void members_hand_over(struct cluster *c); /* at the tail of every turn: if somebody has asked for it */
bool members_migration_pending(struct cluster *c);
bool members_join(struct cluster *c, int from, const void *data, size_t size);
bool members_join_ready(struct cluster *c, int from, const void *data, size_t size);
void members_command(struct cluster *c, struct proposal *p);
void members_seek(struct cluster *c); /* no replica yet: found a cluster or join one */
json_t *members_status(struct cluster *c);

/* resync.c */
bool resync_fetch(struct cluster *c, int from, const void *data, size_t size);
bool resync_data(struct cluster *c, int from, const void *data, size_t size);
bool resync_end(struct cluster *c, int from, const void *data, size_t size);
void resync_ask(struct cluster *c, int from);
void resync_step(struct cluster *c);
bool resync_marked(struct cluster *c);
void resync_mark(struct cluster *c);

/* identity.c: what this node keeps beside its replica: node.json, cluster.key */
bool identity_load(struct cluster *c);
void identity_save(struct cluster *c);
void identity_new(struct cluster *c);

#endif
