/* SPDX-License-Identifier: Apache-2.0 */
/* See fx_raft.h. Everything that knows raft_fixture of 0.15.0 is in this file. */
#include "support/fx_raft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/wire.h"
#include "pantera/err.h"

#ifndef RAFT_VERSION_MINOR

static struct fx_raft *current;

static unsigned index_of(const struct raft_io *io)
{
    for (unsigned i = 0; i < current->f.n; i++) {
        if (&current->f.servers[i].io == io)
            return i;
    }
    abort();
}

/* ---- the state machine ---- */

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return (h ^ (h >> 29)) | 1; /* never 0, which means "not yet" */
}

static void note_history(uint64_t index, uint64_t digest)
{
    while (index >= current->history_room) {
        size_t room = current->history_room ? 2 * current->history_room : 4096;
        current->history = realloc(current->history, room * sizeof(uint64_t));
        check(current->history != NULL);
        memset(current->history + current->history_room, 0,
               (room - current->history_room) * sizeof(uint64_t));
        current->history_room = room;
    }
    if (current->history[index] == 0)
        current->history[index] = digest;
    else if (current->history[index] != digest)
        current->diverged++;
}

static int machine_apply(struct raft_fsm *fsm, const struct raft_buffer *buf, void **result)
{
    struct fx_fsm *m = fsm->data;
    uint64_t index = raft_last_applied(m->raft) + 1;
    *result = NULL;
    if (index <= m->applied)
        return 0;
    uint64_t value = 0;
    memcpy(&value, buf->base, sizeof value);
    m->digest = mix(mix(m->digest, index), value);
    m->applied = index;
    m->last_value = value;
    m->count++;
    note_history(index, m->digest);
    return 0;
}

static int machine_snapshot(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *n)
{
    struct fx_fsm *m = fsm->data;
    struct guard *g = m->raft->data;
    if (!guard_snapshot_allowed(g))
        return RAFT_BUSY;
    struct raft_buffer *b = raft_malloc(sizeof *b);
    uint64_t *words = raft_malloc(3 * sizeof *words);
    check(b != NULL && words != NULL);
    words[0] = m->applied;
    words[1] = m->count;
    words[2] = m->digest;
    *b = (struct raft_buffer){ words, 3 * sizeof *words };
    *bufs = b;
    *n = 1;
    return 0;
}

static int machine_restore(struct raft_fsm *fsm, struct raft_buffer *buf)
{
    struct fx_fsm *m = fsm->data;
    uint64_t words[3];
    check(buf->len == sizeof words);
    memcpy(words, buf->base, sizeof words);
    raft_free(buf->base);
    if (words[0] > m->applied) {
        m->applied = words[0];
        m->count = words[1];
        m->digest = words[2];
    }
    m->restores++;
    return 0;
}

/* ---- a disk and a network with more faults than the fixture's ---- */

/* The fixture truncates at once, behind the back of writes that are under way, and lets a write with a
 * shorter latency overtake. A disk does neither. */
struct fx_disk_op {
    struct fx_disk_op *next;
    struct raft_io_append inner;
    struct raft_io_append *req; /* NULL: a truncation */
    raft_io_append_cb cb;
    const struct raft_entry *entries;
    unsigned n;
    raft_index index;
    struct raft_io *io;
};

static void disk_run(struct fx_server *s);

static void on_written(struct raft_io_append *inner, int status)
{
    struct fx_disk_op *op = inner->data;
    struct fx_server *s = &current->s[index_of(op->io)];
    struct raft_io_append *req = op->req;
    raft_io_append_cb cb = op->cb;
    free(op);
    s->writing = false;
    disk_run(s);
    cb(req, status);
}

static int disk_start(struct fx_server *s, struct fx_disk_op *op)
{
    op->inner.data = op;
    s->writing = true;
    int rv = s->pristine.append(op->io, &op->inner, op->entries, op->n, on_written);
    if (rv != 0) {
        s->writing = false;
        free(op);
    }
    return rv;
}

static void disk_run(struct fx_server *s)
{
    while (s->disk != NULL && !s->writing) {
        struct fx_disk_op *op = s->disk;
        s->disk = op->next;
        if (op->req == NULL) {
            check(s->pristine.truncate(op->io, op->index) == 0);
            free(op);
        } else {
            check(disk_start(s, op) == 0); /* io_fault is for a disk at rest */
        }
    }
}

static int disk_add(struct fx_server *s, const struct fx_disk_op *op)
{
    struct fx_disk_op *copy = malloc(sizeof *copy);
    check(copy != NULL);
    *copy = *op;
    if (s->disk == NULL && !s->writing && op->req != NULL)
        return disk_start(s, copy);
    struct fx_disk_op **at = &s->disk;
    while (*at != NULL)
        at = &(*at)->next;
    *at = copy;
    disk_run(s);
    return 0;
}

static int ordered_truncate(struct raft_io *io, raft_index index)
{
    struct fx_disk_op op = { .index = index, .io = io };
    return disk_add(&current->s[index_of(io)], &op);
}

static int faulty_append(struct raft_io *io, struct raft_io_append *req,
                         const struct raft_entry entries[], unsigned n, raft_io_append_cb cb)
{
    struct fx_server *s = &current->s[index_of(io)];
    struct fx_disk_op op = { .req = req, .cb = cb, .entries = entries, .n = n, .io = io };
    if (s->append_fails == 0)
        return disk_add(s, &op);
    check(s->kept == NULL);
    req->cb = cb;
    s->kept = req;
    return 0;
}

void fx_raft_fail_append(struct fx_raft *fx, unsigned i)
{
    struct fx_server *s = &fx->s[i];
    struct raft_io_append *req = s->kept;
    int status = s->append_fails;
    check(req != NULL);
    s->kept = NULL;
    s->append_fails = 0;
    req->cb(req, status);
}

static int watched_put(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *req,
                       const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb cb)
{
    struct fx_server *s = &current->s[index_of(io)];
    s->puts++;
    s->put_servers = snapshot->configuration.n;
    s->put_conf_index = snapshot->configuration_index;
    return s->pristine.snapshot_put(io, trailing, req, snapshot, cb);
}

static void note_answer(struct fx_server *s, const struct raft_message *m)
{
    if (m->type == RAFT_IO_APPEND_ENTRIES_RESULT && m->append_entries_result.rejected == 0)
        s->answered = m->append_entries_result.last_log_index;
}

static int splitting_send(struct raft_io *io, struct raft_io_send *req,
                          const struct raft_message *message, raft_io_send_cb cb)
{
    struct fx_server *s = &current->s[index_of(io)];
    struct raft_message m = *message;
    note_answer(s, message);
    if (s->one_entry && m.type == RAFT_IO_APPEND_ENTRIES && m.append_entries.n_entries > 1)
        m.append_entries.n_entries = 1;
    return s->pristine.send(io, req, &m, cb);
}

/* ---- messages as bytes ---- */

static int wire_send(void *arg, const struct raft_message *m)
{
    struct fx_server *s = arg;
    unsigned from = (unsigned)(s - current->s);
    note_answer(s, m);
    if (s->unreachable)
        return RAFT_NOCONNECTION;
    struct raft_message one = *m;
    struct buf b;
    if (s->one_entry && m->type == RAFT_IO_APPEND_ENTRIES && m->append_entries.n_entries > 1)
        one.append_entries.n_entries = 1;
    buf_init(&b, WIRE_MESSAGE_MAX);
    check(wire_encode_message(&b, &one));
    struct fx_message *w = malloc(sizeof *w + b.length);
    check(w != NULL);
    *w = (struct fx_message){ .due = raft_fixture_time(&current->f) + current->wire_latency_ms,
                              .from = from,
                              .to = (unsigned)m->server_id - 1,
                              .size = b.length };
    memcpy(w->data, b.data, b.length);
    buf_free(&b);
    struct fx_message **at = &current->wire; /* in order, like a connection */
    while (*at != NULL)
        at = &(*at)->next;
    *at = w;
    current->sent++;
    return 0;
}

static void wire_deliver(struct fx_raft *fx, struct fx_message *w)
{
    struct raft_message m;
    char address[16];
    if (!fx->f.servers[w->from].alive || !fx->f.servers[w->to].alive ||
        raft_fixture_saturated(&fx->f, w->from, w->to))
        return;
    snprintf(address, sizeof address, "%u", w->from + 1);
    check(wire_decode_message(w->data, w->size, w->from + 1, address, &m));
    guard_receive(&fx->s[w->to].guard, &m);
}

static void on_step(struct raft_fixture *f, struct raft_fixture_event *event)
{
    struct fx_raft *fx = current;
    struct fx_message *w, *later = NULL, **tail = &later;
    w = fx->wire;
    fx->wire = NULL; /* what is sent meanwhile is due later anyway */
    while (w != NULL) {
        struct fx_message *next = w->next;
        if (w->due <= raft_fixture_time(f)) {
            wire_deliver(fx, w);
            free(w);
        } else {
            w->next = NULL;
            *tail = w;
            tail = &w->next;
        }
        w = next;
    }
    *tail = fx->wire;
    fx->wire = later;
    for (unsigned i = 0; i < f->n; i++) {
        if (f->servers[i].alive)
            guard_flush(&fx->s[i].guard);
    }
}

/* ---- hooks ---- */

static bool hook_may_vote(void *arg, const struct raft_request_vote *rv)
{
    struct fx_server *s = arg;
    s->votes_asked++;
    return !s->deny_vote;
}

static bool hook_may_campaign(void *arg)
{
    struct fx_server *s = arg;
    return !s->deny_campaign;
}

static void hook_after(void *arg)
{
    struct fx_server *s = arg;
    s->afters++;
}

/* What log_fatal does to a process: nothing of what it does from here on leaves it. */
static void hook_fatal(void *arg, const char *what)
{
    struct fx_server *s = arg;
    unsigned i = (unsigned)(s - current->s);
    if (s->fatals++ == 0)
        snprintf(s->fatal_text, sizeof s->fatal_text, "%s", what);
    raft_fixture_kill(&current->f, i);
}

/* ---- life ---- */

static void prepare(struct fx_raft *fx, unsigned i)
{
    struct fx_server *s = &fx->s[i];
    struct raft *r = raft_fixture_get(&fx->f, i);
    unsigned never = 1u << 30;
    raft_set_pre_vote(r, true);
    raft_set_heartbeat_timeout(r, fx->options.heartbeat_ms ? fx->options.heartbeat_ms : 100);
    raft_set_snapshot_threshold(r, fx->options.threshold ? fx->options.threshold : never);
    raft_set_snapshot_trailing(r, fx->options.trailing);
    r->io->append = faulty_append;
    r->io->truncate = ordered_truncate;
    r->io->snapshot_put = watched_put;
    r->io->send = splitting_send;
    struct guard_hooks hooks = { .arg = s,
                                 .send = fx->options.wire ? wire_send : NULL,
                                 .may_vote = hook_may_vote,
                                 .may_campaign = hook_may_campaign,
                                 .after = hook_after,
                                 .fatal = hook_fatal };
    guard_install(&s->guard, r, &hooks);
    s->guard.disabled_rules = fx->options.disabled_rules;
}

static void add_server(struct fx_raft *fx)
{
    unsigned i = fx->f.n;
    struct fx_server *s = &fx->s[i];
    s->machine.fsm = (struct raft_fsm){ .version = 1,
                                        .data = &s->machine,
                                        .apply = machine_apply,
                                        .snapshot = machine_snapshot,
                                        .restore = machine_restore };
    check(raft_fixture_grow(&fx->f, &s->machine.fsm) == 0);
    s->machine.raft = raft_fixture_get(&fx->f, i);
    s->pristine = fx->f.servers[i].io;
    prepare(fx, i);
}

void fx_raft_start(struct fx_raft *fx, const struct fx_options *o)
{
    struct raft_configuration conf;
    memset(fx, 0, sizeof *fx);
    current = fx;
    fx->options = *o;
    fx->wire_latency_ms = 15;
    unsigned n = o->servers ? o->servers : 3;
    check(raft_fixture_initialize(&fx->f) == 0);
    for (unsigned i = 0; i < n; i++)
        add_server(fx);
    check(raft_fixture_configuration(&fx->f, n, &conf) == 0);
    check(raft_fixture_bootstrap(&fx->f, &conf) == 0);
    raft_configuration_close(&conf);
    check(raft_fixture_start(&fx->f) == 0);
    raft_fixture_hook(&fx->f, on_step);
}

void fx_raft_stop(struct fx_raft *fx)
{
    for (unsigned i = 0; i < fx->f.n; i++) {
        if (fx->s[i].kept != NULL)
            fx_raft_fail_append(fx, i);
        guard_flush(&fx->s[i].guard); /* raft_fixture_close runs what is left on its disks first */
    }
    raft_fixture_close(&fx->f);
    while (fx->wire != NULL) {
        struct fx_message *w = fx->wire;
        fx->wire = w->next;
        free(w);
    }
    free(fx->history);
    current = NULL;
}

struct raft *fx_raft_get(struct fx_raft *fx, unsigned i)
{
    return raft_fixture_get(&fx->f, i);
}

void fx_raft_restart(struct fx_raft *fx, unsigned i, bool lose)
{
    struct raft *r = raft_fixture_get(&fx->f, i);
    struct raft_io *io = r->io;
    char address[16];
    if (raft_fixture_alive(&fx->f, i))
        raft_fixture_kill(&fx->f, i);
    do
        fx_raft_run(fx, 300); /* what its disk had begun ends; nothing of it is heard */
    while (fx->s[i].writing);
    raft_close(r, NULL);
    *io = fx->s[i].pristine;
    if (lose)
        fx->s[i].machine.applied = fx->s[i].machine.count = fx->s[i].machine.digest = 0;
    snprintf(address, sizeof address, "%u", i + 1);
    check(raft_init(r, io, &fx->s[i].machine.fsm, i + 1, address) == 0);
    prepare(fx, i);
    check(raft_start(r) == 0);
    raft_fixture_revive(&fx->f, i);
}

unsigned fx_raft_grow(struct fx_raft *fx)
{
    unsigned i = fx->f.n;
    check(i < FX_RAFT_MAX);
    add_server(fx);
    check(raft_start(raft_fixture_get(&fx->f, i)) == 0);
    return i;
}

/* ---- time ---- */

void fx_raft_run(struct fx_raft *fx, unsigned ms)
{
    raft_fixture_step_until_elapsed(&fx->f, ms);
}

bool fx_raft_run_until(struct fx_raft *fx, bool (*stop)(struct fx_raft *fx, void *arg), void *arg,
                       unsigned max_ms)
{
    raft_time start = raft_fixture_time(&fx->f);
    while (!stop(fx, arg)) {
        if (raft_fixture_time(&fx->f) - start >= max_ms)
            return false;
        raft_fixture_step(&fx->f);
    }
    return true;
}

unsigned fx_raft_leader(const struct fx_raft *fx)
{
    return fx->f.leader_id != 0 ? (unsigned)fx->f.leader_id - 1 : fx->f.n;
}

static bool leads(struct fx_raft *fx, void *arg)
{
    return raft_state(raft_fixture_get(&fx->f, *(unsigned *)arg)) == RAFT_LEADER;
}

static bool leads_not(struct fx_raft *fx, void *arg)
{
    return !leads(fx, arg);
}

bool fx_raft_run_until_leader(struct fx_raft *fx, unsigned i, unsigned max_ms)
{
    return fx_raft_run_until(fx, leads, &i, max_ms);
}

bool fx_raft_run_until_no_leader(struct fx_raft *fx, unsigned i, unsigned max_ms)
{
    return fx_raft_run_until(fx, leads_not, &i, max_ms);
}

static void set_timeout(struct fx_raft *fx, unsigned i, unsigned ms)
{
    struct raft *r = raft_fixture_get(&fx->f, i);
    raft_fixture_set_randomized_election_timeout(&fx->f, i, ms);
    if (r->state == RAFT_FOLLOWER)
        r->follower_state.randomized_election_timeout = ms;
    if (r->state == RAFT_CANDIDATE)
        r->candidate_state.randomized_election_timeout = ms;
}

/* A server votes for nobody while it remembers a leader, however old: the others must have lost
 * patience, asked in vain, and forgotten, before the one that is to win asks. */
void fx_raft_prefer(struct fx_raft *fx, unsigned i)
{
    for (unsigned j = 0; j < fx->f.n; j++)
        set_timeout(fx, j, j == i ? 1300 : 1000 + 90 * j);
}

void fx_raft_elect(struct fx_raft *fx, unsigned i)
{
    for (unsigned j = 0; j < fx->f.n; j++)
        set_timeout(fx, j, j == i ? 1000 : 1700 + 90 * j);
    check(fx_raft_run_until_leader(fx, i, 20000));
    fx_raft_run(fx, 500);
    check(fx_raft_leader(fx) == i);
}

/* ---- faults and load ---- */

void fx_raft_link(struct fx_raft *fx, unsigned a, unsigned b, bool up)
{
    if (up) {
        raft_fixture_desaturate(&fx->f, a, b);
        raft_fixture_desaturate(&fx->f, b, a);
    } else {
        raft_fixture_saturate(&fx->f, a, b);
        raft_fixture_saturate(&fx->f, b, a);
    }
}

void fx_raft_isolate(struct fx_raft *fx, unsigned i, bool cut)
{
    for (unsigned j = 0; j < fx->f.n; j++) {
        if (j != i)
            fx_raft_link(fx, i, j, !cut);
    }
}

void fx_raft_set_latency(struct fx_raft *fx, unsigned ms)
{
    fx->wire_latency_ms = ms;
    for (unsigned i = 0; i < fx->f.n; i++)
        raft_fixture_set_network_latency(&fx->f, i, ms);
}

static void on_applied(struct raft_apply *req, int status, void *result)
{
    if (status == 0)
        current->committed++;
    else
        current->failed++;
    free(req);
}

int fx_raft_propose(struct fx_raft *fx, unsigned i, uint64_t value)
{
    struct raft_apply *req = calloc(1, sizeof *req);
    struct raft_buffer b = { raft_malloc(sizeof value), sizeof value };
    check(req != NULL && b.base != NULL);
    memcpy(b.base, &value, sizeof value);
    fx->proposed++;
    guard_before_apply(&fx->s[i].guard);
    int rv = raft_apply(raft_fixture_get(&fx->f, i), req, &b, 1, on_applied);
    if (rv != 0) {
        fx->refused++;
        raft_free(b.base);
        free(req);
    }
    return rv;
}

bool fx_raft_equal(const struct fx_raft *fx)
{
    const struct fx_fsm *first = NULL;
    for (unsigned i = 0; i < fx->f.n; i++) {
        const struct fx_fsm *m = &fx->s[i].machine;
        if (!fx->f.servers[i].alive)
            continue;
        if (first == NULL)
            first = m;
        if (m->applied != first->applied || m->digest != first->digest ||
            m->count != first->count)
            return false;
    }
    return first != NULL;
}

bool fx_raft_any_unavailable(struct fx_raft *fx)
{
    for (unsigned i = 0; i < fx->f.n; i++) {
        if (raft_state(raft_fixture_get(&fx->f, i)) == RAFT_UNAVAILABLE)
            return true;
    }
    return false;
}

#endif
