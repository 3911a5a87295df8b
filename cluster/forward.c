/* SPDX-License-Identifier: Apache-2.0 */
/* Operations that arrive at a node that does not lead: sent to the leader by name and arguments, answered
 * with result and index; our client hears of it when our own replica has got there. What was never sent
 * waits for a leader; what was sent and not answered is of unknown outcome. */
#include <stdlib.h>
#include <string.h>

#include "cluster/internal.h"
#include "pantera/clock.h"
#include "pantera/limits.h"
#include "pantera/log.h"

struct forward { /* ours, at the leader */
    struct forward *next;
    struct proposal *proposal;
    uint64_t id;
    int to;
    bool answered;
    enum err err;
    struct why why;
    json_t *result;
    uint64_t index;
};

struct remote { /* a peer's, here */
    struct proposal proposal;
    int from;
    uint64_t id;
    char op[64];
};

bool forward_is_remote(const struct proposal *p)
{
    return p->home == NULL;
}

static void send_one(struct cluster *c, struct proposal *p, int leader)
{
    struct forward *f = calloc(1, sizeof *f);
    check(f != NULL);
    char *args = json_dumps(p->args, JSON_COMPACT);
    uint64_t now = clock_mono_ms();
    struct buf b;
    buf_init(&b, LIMIT_OP_ARGS + 1024);
    f->proposal = p;
    f->id = ++c->next_forward_id;
    f->to = leader;
    buf_u64(&b, f->id);
    buf_u32(&b, p->deadline_ms > now ? (uint32_t)(p->deadline_ms - now) : 1);
    buf_blob(&b, p->op, strlen(p->op));
    buf_blob(&b, args ? args : "", args ? strlen(args) : 0);
    free(args);
    if (buf_err(&b)) {
        free(f);
        proposal_finish(c, p, ERR_TOO_BIG, NULL, NULL, 0);
    } else if (peer_send(c, leader, FRAME_FORWARD, b.data, b.length)) {
        f->next = c->forwards;
        c->forwards = f;
    } else {
        free(f);
        batch_enqueue(c, p);
    }
    buf_free(&b);
}

/* Only with a way back: a leader that was killed and is started again is reachable before it has reached us,
 * and what it would answer then ("not I") is lost, until the deadline. */
void forward_queue(struct cluster *c)
{
    int leader = node_leader(c);
    struct peer *p = leader && leader != c->options->id ? peer_find(c, leader) : NULL;
    while (c->queue && p && p->up && p->accepted > 0) {
        struct proposal *proposal = c->queue;
        c->queue = proposal->next;
        if (!c->queue)
            c->queue_tail = &c->queue;
        c->queued--;
        send_one(c, proposal, leader);
    }
}

/* --- at the leader --- */

static void refuse(struct cluster *c, int from, uint64_t id)
{
    struct remote *r = calloc(1, sizeof *r);
    check(r != NULL);
    r->from = from;
    r->id = id;
    proposal_finish(c, &r->proposal, ERR_NOT_LEADER, NULL, NULL, 0);
}

bool forward_received(struct cluster *c, int from, const void *data, size_t size)
{
    struct cursor at = cursor_of(data, size);
    size_t op_size, args_size;
    uint64_t id = cursor_u64(&at);
    uint32_t timeout_ms = cursor_u32(&at);
    const char *op = cursor_blob(&at, &op_size), *args = cursor_blob(&at, &args_size);
    struct remote *r;
    if (at.bad || op_size >= sizeof r->op || args_size > LIMIT_OP_ARGS)
        return false;
    if (!c->running || !c->leader || c->stopping) {
        refuse(c, from, id);
        return true;
    }
    r = calloc(1, sizeof *r);
    check(r != NULL);
    memcpy(r->op, op, op_size);
    r->from = from;
    r->id = id;
    r->proposal.op = r->op;
    r->proposal.cluster = c;
    r->proposal.args = json_loadb(args, args_size, 0, NULL);
    r->proposal.deadline_ms = clock_mono_ms() + timeout_ms;
    if (strncmp(r->op, "cluster.", 8) == 0)
        members_command(c, &r->proposal);
    else
        batch_enqueue(c, &r->proposal);
    return true;
}

void forward_answer(struct cluster *c, struct proposal *p)
{
    struct remote *r = container_of(p, struct remote, proposal);
    char *result = p->result ? json_dumps(p->result, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    const char *name = err_name(p->err);
    struct buf b;
    buf_init(&b, FRAME_BYTES);
    buf_u64(&b, r->id);
    buf_u64(&b, p->index);
    buf_blob(&b, name, strlen(name)); /* names, not numbers: versions may differ */
    buf_blob(&b, p->why.text, strlen(p->why.text));
    buf_blob(&b, result ? result : "", result ? strlen(result) : 0);
    if (!buf_err(&b))
        peer_send(c, r->from, FRAME_RESULT, b.data, b.length);
    buf_free(&b);
    free(result);
    json_decref(p->result);
    free(r);
}

/* --- back home --- */

static enum err err_by_name(const char *name, size_t size)
{
    if (size == 2 && memcmp(name, "OK", 2) == 0)
        return OK;
    for (int e = (int)ERR_FIRST_MINUS_ONE + 1; e < (int)ERR_END; e++)
        if (strlen(err_name((enum err)e)) == size && memcmp(err_name((enum err)e), name, size) == 0)
            return (enum err)e;
    return ERR_INTERNAL;
}

static void unlink_forward(struct cluster *c, const struct forward *f)
{
    struct forward **at = &c->forwards;
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
}

/* Never run: ours again, until its deadline. */
static void take_back(struct cluster *c, struct forward *f)
{
    unlink_forward(c, f);
    batch_enqueue(c, f->proposal);
    free(f);
}

static void finish(struct cluster *c, struct forward *f)
{
    unlink_forward(c, f);
    proposal_finish(c, f->proposal, f->err, &f->why, f->result, f->index);
    free(f);
}

bool forward_result(struct cluster *c, int from, const void *data, size_t size)
{
    struct cursor at = cursor_of(data, size);
    size_t name_size, why_size, result_size;
    uint64_t id = cursor_u64(&at), index = cursor_u64(&at);
    const char *name = cursor_blob(&at, &name_size), *why = cursor_blob(&at, &why_size),
               *result = cursor_blob(&at, &result_size);
    if (at.bad)
        return false;
    struct forward *f = c->forwards;
    while (f && (f->id != id || f->to != from))
        f = f->next;
    if (!f || f->answered)
        return true; /* it was given up */
    f->err = err_by_name(name, name_size);
    if (f->err == ERR_NOT_LEADER) {
        take_back(c, f);
        return true;
    }
    if (why_size >= sizeof f->why.text)
        why_size = sizeof f->why.text - 1;
    memcpy(f->why.text, why, why_size);
    f->result = result_size ? json_loadb(result, result_size, JSON_DECODE_ANY, NULL) : NULL;
    f->index = index;
    f->answered = true;
    return true;
}

void forward_step(struct cluster *c)
{
    uint64_t now = 0, applied = raft_last_applied(&c->raft);
    for (struct forward *f = c->forwards, *next; f; f = next) {
        next = f->next;
        if (f->answered && applied >= f->index) {
            finish(c, f);
            continue;
        }
        now = now ? now : clock_mono_ms();
        if (now < f->proposal->deadline_ms)
            continue;
        if (!f->answered) /* an answered one happened, though our replica lags: say so */
            f->err = ERR_OUTCOME_UNKNOWN;
        finish(c, f);
    }
}

void forward_never_run(struct cluster *c, int id)
{
    for (struct forward *f = c->forwards, *next; f; f = next) {
        next = f->next;
        if (f->to == id && !f->answered)
            take_back(c, f);
    }
}

void forward_peer_down(struct cluster *c, int id)
{
    for (struct forward *f = c->forwards, *next; f; f = next) {
        next = f->next;
        if (f->to != id || f->answered)
            continue;
        f->err = ERR_OUTCOME_UNKNOWN;
        finish(c, f);
    }
}
