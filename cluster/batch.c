/* SPDX-License-Identifier: Apache-2.0 */
/* Group commit on the leader: what has arrived runs in one open transaction, becomes one changeset, one log
 * entry, one in flight. When the entry commits so does the transaction; the answers go out when every
 * lease holder has applied it (the fence). One in flight is also what keeps libraft from starving. */
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "cluster/internal.h"
#include "cluster/wire.h"
#include "pantera/clock.h"
#include "pantera/ids.h"
#include "pantera/limits.h"
#include "pantera/log.h"

struct outcome {
    struct proposal *proposal;
    enum err err;
    struct why why;
    json_t *result;
};

struct batch {
    struct batch *next;
    struct raft_apply apply;
    struct cluster *cluster;
    uint64_t id, index;
    int migration;
    bool waited;
    unsigned count;
    struct outcome outcomes[];
};

void batch_enqueue(struct cluster *c, struct proposal *p)
{
    if (c->stopping || c->queued >= LIMIT_PENDING_OPS) {
        proposal_finish(c, p, ERR_NOT_LEADER, NULL, NULL, 0);
        return;
    }
    p->next = NULL;
    *c->queue_tail = p;
    c->queue_tail = &p->next;
    c->queued++;
}

bool batch_is_ours(struct cluster *c, uint64_t batch_id)
{
    return c->in_flight && c->in_flight->id == batch_id;
}

/* Every answer of a batch, with its own outcome or with one for all. */
static void answer(struct cluster *c, struct batch *b, enum err all)
{
    for (unsigned i = 0; i < b->count; i++) {
        struct outcome *o = &b->outcomes[i];
        if (all) {
            json_decref(o->result);
            proposal_finish(c, o->proposal, all, NULL, NULL, 0);
        } else {
            proposal_finish(c, o->proposal, o->err, &o->why, o->result, b->index);
        }
    }
    free(b);
}

static void to_fence(struct cluster *c, struct batch *b)
{
    b->next = NULL;
    *c->fencing_tail = b;
    c->fencing_tail = &b->next;
}

/* In log order: a batch is answered when all that hold a lease have applied it. */
void batch_fence_step(struct cluster *c)
{
    while (c->fencing) {
        struct batch *b = c->fencing;
        uint64_t until;
        if (!lease_all_applied(c, b->index, &until)) {
            if (!b->waited)
                atomic_fetch_add(&c->f_lease_waits, 1);
            b->waited = true;
            return;
        }
        c->fencing = b->next;
        if (!c->fencing)
            c->fencing_tail = &c->fencing;
        if (b->index > c->acked_index)
            c->acked_index = b->index;
        answer(c, b, OK);
    }
}

/* The in-flight entry came back through the log. */
void batch_applied(struct cluster *c, uint64_t index)
{
    struct batch *b = c->in_flight;
    b->index = index;
    if (b->migration)
        meta_apply_migration(c->meta, index, b->migration);
    else
        meta_batch_commit(c->meta, index);
}

static void on_applied(struct raft_apply *req, int status, void *result)
{
    struct batch *b = req->data;
    struct cluster *c = b->cluster;
    c->in_flight = NULL;
    if (b->migration)
        c->migrating = false;
    if (status == 0) {
        to_fence(c, b);
        return;
    }
    log_warn("cluster", "batch of %u operations: %s; its outcome is unknown", b->count,
             raft_strerror(status));
    if (!b->migration && meta_batch_open(c->meta))
        meta_batch_rollback(c->meta);
    answer(c, b, ERR_OUTCOME_UNKNOWN);
}

static bool propose(struct cluster *c, struct batch *b, enum entry_kind kind, const void *data,
                    size_t size)
{
    struct raft_buffer buf;
    struct entry e = { .kind = kind, .batch_id = b->id, .payload = data, .payload_size = size };
    if (!entry_encode(&e, &buf))
        return false;
    b->apply.data = b;
    guard_before_apply(&c->guard);
    c->in_flight = b;
    atomic_fetch_add(&c->f_batches, 1);
    atomic_fetch_add(&c->f_log_bytes, buf.len);
    int status = raft_apply(&c->raft, &b->apply, &buf, 1, on_applied);
    if (status == 0)
        return true;
    c->in_flight = NULL;
    raft_free(buf.base);
    if (status != RAFT_NOTLEADER)
        node_fatal(c, "raft_apply refused an entry");
    return false;
}

/* Writes are refused while there is still room for what is under way. */
static bool disk_is_low(struct cluster *c)
{
    uint64_t now = clock_mono_us();
    if (now - c->disk_checked_us > 100000) {
        struct statvfs fs;
        c->disk_checked_us = now;
        c->low_disk = statvfs(c->options->data_dir, &fs) == 0 &&
                      (uint64_t)fs.f_bavail * fs.f_frsize < FREE_SPACE_FLOOR;
    }
    return c->low_disk;
}

/* Deleting is how an operator gets room: those go on. */
static bool frees_space(const char *op)
{
    size_t n = strlen(op);
    return (n > 7 && strcmp(op + n - 7, ".delete") == 0) || strcmp(op, "garbage.done") == 0 ||
           strcmp(op, "repo.sweep") == 0 || strcmp(op, "token.sweep") == 0;
}

static struct proposal *take(struct cluster *c)
{
    struct proposal *p = c->queue;
    c->queue = p->next;
    if (!c->queue)
        c->queue_tail = &c->queue;
    c->queued--;
    return p;
}

static void run_one(struct cluster *c, struct outcome *o, struct proposal *p, int64_t now)
{
    o->proposal = p;
    json_t *args = p->args;
    p->args = NULL;
    if (disk_is_low(c) && !frees_space(p->op)) {
        json_decref(args);
        o->err = fail(&o->why, ERR_NO_SPACE, "the data folder has less than 64 MiB left");
        return;
    }
    o->err = meta_batch_run(c->meta, p->op, args, now, &c->seal_key, &o->result, &o->why);
    if (o->err && o->err != ERR_NOT_FOUND && o->err != ERR_CONFLICT)
        log_debug("cluster", "%s: %s", p->op, why_text(&o->why, o->err));
}

/* Nothing in flight, and something to do: the next batch. */
void batch_step(struct cluster *c)
{
    if (!c->queue || c->in_flight || c->handing || c->transferring || c->stopping ||
        !guard_own_applied(&c->guard) || members_migration_pending(c) || !lease_leader_valid(c))
        return; /* who stops leaves what is not begun to the next leader */
    unsigned most = c->queued < MOST_BATCH_OPS ? c->queued : MOST_BATCH_OPS;
    struct batch *b = calloc(1, sizeof *b + most * sizeof b->outcomes[0]);
    check(b != NULL);
    b->cluster = c;
    b->id = random_u64();
    int64_t now = clock_wall_ms();
    const void *changes;
    size_t size;
    meta_batch_begin(c->meta);
    while (b->count < most && c->queue) {
        struct proposal *p = take(c);
        if (strncmp(p->op, "cluster.", 8) == 0)
            members_command(c, p); /* queued for a leader, and now that is us */
        else
            run_one(c, &b->outcomes[b->count++], p, now);
    }
    atomic_fetch_add(&c->f_ops, b->count);
    meta_batch_changeset(c->meta, &changes, &size);
    if (size > LIMIT_ENTRY - 64) {
        meta_batch_rollback(c->meta);
        answer(c, b, ERR_TOO_BIG);
    } else if (size == 0) { /* all refused, or nothing to change: as good as a read, and fenced like one */
        meta_batch_rollback(c->meta);
        b->index = raft_last_applied(&c->raft);
        to_fence(c, b);
        batch_fence_step(c);
    } else if (!propose(c, b, ENTRY_CHANGESET, changes, size)) {
        meta_batch_rollback(c->meta);
        answer(c, b, ERR_NOT_LEADER);
    }
}

bool batch_propose_migration(struct cluster *c, int number)
{
    if (c->in_flight || !guard_own_applied(&c->guard))
        return false;
    struct batch *b = calloc(1, sizeof *b);
    check(b != NULL);
    b->cluster = c;
    b->id = random_u64();
    b->migration = number;
    unsigned char payload[4] = { (unsigned char)number, (unsigned char)(number >> 8),
                                 (unsigned char)(number >> 16), (unsigned char)(number >> 24) };
    if (propose(c, b, ENTRY_MIGRATE, payload, sizeof payload))
        return true;
    free(b);
    return false;
}

/* What was never run may be sent to the new leader; what peers sent goes back to them. What is in flight
 * is answered by raft's own callback. */
void batch_lost_leadership(struct cluster *c)
{
    for (struct proposal **at = &c->queue, *p; (p = *at);) {
        if (!forward_is_remote(p)) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        c->queued--;
        proposal_finish(c, p, ERR_NOT_LEADER, NULL, NULL, 0);
    }
    c->queue_tail = &c->queue;
    while (*c->queue_tail)
        c->queue_tail = &(*c->queue_tail)->next;
}

void batch_give_up(struct cluster *c)
{
    if (c->in_flight) {
        struct batch *b = c->in_flight;
        c->in_flight = NULL;
        answer(c, b, ERR_OUTCOME_UNKNOWN);
    }
    while (c->fencing) {
        struct batch *b = c->fencing;
        c->fencing = b->next;
        answer(c, b, ERR_OUTCOME_UNKNOWN);
    }
    c->fencing_tail = &c->fencing;
}
