/* SPDX-License-Identifier: Apache-2.0 */
/* The public face: proposals in from any thread, and the questions that are answered without a trip to
 * the cluster thread. */
#include <string.h>

#include "cluster/internal.h"
#include "pantera/clock.h"
#include "pantera/limits.h"

static void on_propose(struct task *task)
{
    struct proposal *p = container_of(task, struct proposal, task);
    struct cluster *c = p->cluster;
    if (strncmp(p->op, "cluster.", 8) == 0)
        members_command(c, p);
    else
        batch_enqueue(c, p);
}

void cluster_propose(struct cluster *c, struct proposal *p)
{
    p->cluster = c;
    p->next = NULL;
    p->err = OK;
    p->why.text[0] = 0;
    p->result = NULL;
    p->index = 0;
    p->deadline_ms = clock_mono_ms() + (p->timeout_ms ? p->timeout_ms : 10000);
    p->task.run = on_propose;
    loop_post(&c->loop, &p->task);
}

static void on_finished(struct task *task)
{
    struct proposal *p = container_of(task, struct proposal, task);
    p->on_done(p);
}

/* Once for every proposal, wherever it came from. Takes `result`. */
void proposal_finish(struct cluster *c, struct proposal *p, enum err e, const struct why *why,
                     json_t *result, uint64_t index)
{
    p->err = e;
    if (why)
        p->why = *why;
    p->result = result;
    p->index = index;
    json_decref(p->args);
    p->args = NULL;
    if (forward_is_remote(p)) {
        forward_answer(c, p);
        return;
    }
    p->task.run = on_finished;
    loop_post(p->home, &p->task);
}

bool cluster_current(const struct cluster *c)
{
    /* acquire: what was read from the replica before must not move behind this load */
    atomic_thread_fence(memory_order_acquire);
    return clock_mono_us() < atomic_load(&((struct cluster *)(uintptr_t)c)->current_until_us);
}

bool cluster_is_leader(const struct cluster *c)
{
    return atomic_load(&((struct cluster *)(uintptr_t)c)->is_leader);
}

const struct seal_key *cluster_seal_key(const struct cluster *c) { return &c->seal_key; }
const char *cluster_data_dir(const struct cluster *c) { return c->options->data_dir; }
int cluster_node_id(const struct cluster *c) { return c->options->id; }
bool cluster_alone(const struct cluster *c) { return c->alone; }

void cluster_figures(const struct cluster *shared, struct cluster_figures *ret)
{
    struct cluster *c = (struct cluster *)(uintptr_t)shared;
    *ret = (struct cluster_figures){
        .term = atomic_load(&c->f_term), .last_index = atomic_load(&c->f_last),
        .commit_index = atomic_load(&c->f_commit), .applied_index = atomic_load(&c->f_applied),
        .batches = atomic_load(&c->f_batches), .ops = atomic_load(&c->f_ops),
        .snapshots = atomic_load(&c->f_snapshots), .elections = atomic_load(&c->f_elections),
        .lease_waits = atomic_load(&c->f_lease_waits), .log_bytes = atomic_load(&c->f_log_bytes),
        .state = atomic_load(&c->f_state), .leader_id = atomic_load(&c->f_leader),
        .members = atomic_load(&c->f_members), .reachable = atomic_load(&c->f_reachable),
    };
}
