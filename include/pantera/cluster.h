/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/cluster.h: agreement between nodes, and whether this one may answer.
 * What:    proposals (an operation goes in, the result comes out when every lease holder has applied
 *          it), the read lease, membership. The only folder that includes raft.h is cluster/.
 * Threads: one cluster thread inside. The functions here are for any thread; callbacks run on the
 *          proposal's home loop.
 * Errors:  what the operation said, or NOT_LEADER (never sent: safe to retry), OUTCOME_UNKNOWN (may or
 *          may not have happened), NOT_CURRENT.  Times in ms. */
#ifndef PANTERA_CLUSTER_H
#define PANTERA_CLUSTER_H

#include <jansson.h>
#include <stdint.h>

#include "pantera/digest.h"
#include "pantera/err.h"
#include "pantera/loop.h"

struct cluster;

struct cluster_peer {
    int id;
    const char *address; /* host:port, a name or a number */
};

struct cluster_options {
    const char *data_dir;
    int id;                      /* 1.. */
    const char *listen;          /* host:port for peers; NULL: alone, no network */
    const char *advertise;       /* what others dial; default: our own row in peers */
    const struct cluster_peer *peers; /* the members to begin with, us included */
    unsigned peer_count;
    const char *cert_file, *key_file, *ca_file;
    unsigned election_ms, heartbeat_ms, lease_ms, lease_renew_ms; /* 0: 500, 40, 500, 100 */
};

/* Opens the replica, joins or founds the cluster, starts the cluster thread. Blocks until the replica
 * on disk is usable (a copy is fetched first if it is too far behind), not until there is a leader. */
enum err cluster_start(const struct cluster_options *o, struct cluster **ret, struct why *why);
/* Hands leadership over, stops taking proposals, ends the thread. Blocks, at most `grace_ms`. */
void cluster_stop(struct cluster *c, unsigned grace_ms);

/* --- proposals --- */
struct proposal {
    /* in */
    const char *op;              /* static text: a name of ops.def */
    json_t *args;                /* taken */
    struct loop *home;
    void (*on_done)(struct proposal *p);
    void *arg;
    unsigned timeout_ms;         /* 0: 10,000; then NOT_LEADER if never sent, else OUTCOME_UNKNOWN */
    /* out */
    enum err err;
    struct why why;
    json_t *result;              /* yours; may be NULL */
    uint64_t index;              /* of the log entry; 0 if none was needed */
    /* private */
    struct task task;
    struct proposal *next;
    struct cluster *cluster;
    uint64_t deadline_ms;
};
/* Calls on_done exactly once, later. The memory is yours again then. */
void cluster_propose(struct cluster *c, struct proposal *p);

/* --- reads --- */
/* This node can prove that what it read from its replica before the call is current. Ask after reading.
 * A load of an atomic and a clock. */
bool cluster_current(const struct cluster *c);
bool cluster_is_leader(const struct cluster *c);
const struct seal_key *cluster_seal_key(const struct cluster *c);
const char *cluster_data_dir(const struct cluster *c);
int cluster_node_id(const struct cluster *c);
bool cluster_alone(const struct cluster *c); /* a cluster of one without a peer listener */
/* For /metrics: figures without a trip to the cluster thread. */
struct cluster_figures {
    uint64_t term, last_index, commit_index, applied_index, batches, ops, snapshots, elections,
        lease_waits, log_bytes;
    int state; /* 1 follower, 2 candidate, 3 leader, 0 unavailable */
    int leader_id;
    unsigned members, reachable;
};
void cluster_figures(const struct cluster *c, struct cluster_figures *ret);

/* --- operator's calls: answered by the leader, forwarded to it if need be --- */
/* command: "status", "add" {id, address}, "remove" {id}, "transfer" {id: 0 for any}. Uses the same
 * struct as a proposal: op is "cluster.<command>". */

#endif
