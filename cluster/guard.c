/* SPDX-License-Identifier: Apache-2.0 */
/* cluster/guard.c: the rules of guard.h.
 *
 * Every entry into libraft goes through enter() and leave(), so that "inside of libraft" is known and
 * what must not run there (the own-term barrier, an early heartbeat, the caller's hooks) runs on the
 * way out. The rules proper read and write members of `struct raft`, which is what a size assertion
 * and the check of the library's soname are for; from 0.17 on libraft needs none of them, and they
 * are not compiled. Numbers in comments are those of the canonical/raft issue tracker. */
#include "cluster/guard.h"

#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/wire.h"

#ifndef RAFT_VERSION_MINOR
#define GUARD_RULES 1
/* The rules below are about this very structure. Another size is another libraft. */
_Static_assert(sizeof(struct raft) == 656, "struct raft is not the one of libraft 0.15.0");
_Static_assert(sizeof(struct raft_progress) == 56, "struct raft_progress is not 0.15.0's");
#else
#define GUARD_RULES 0
#endif

static bool rule(const struct guard *g, enum guard_rule r)
{
    return (g->disabled_rules & (unsigned)r) == 0;
}

static struct guard *guard_of(const struct raft_io *io)
{
    const struct raft *r = io->data;
    return r->data;
}

static void fatal(struct guard *g, const char *what)
{
    g->hooks.fatal(g->hooks.arg, what);
}

static void fatal_status(struct guard *g, const char *what, int status)
{
    char text[256];
    snprintf(text, sizeof text, "%s: %s (%d)", what, raft_strerror(status), status);
    fatal(g, text);
}

static bool is_leader(const struct guard *g)
{
    return raft_state(g->raft) == RAFT_LEADER;
}

static raft_term current_term(const struct guard *g)
{
#if GUARD_RULES
    return g->raft->current_term;
#else
    return raft_current_term(g->raft);
#endif
}

/* ---- rules 4, 5 and early heartbeats: the leader's view of its followers ---- */
#if GUARD_RULES

enum { PROBE, PIPELINE }; /* raft_progress.state; src/progress.h */

static struct raft_progress *progress_of(const struct guard *g, raft_id id)
{
    const struct raft *r = g->raft;
    for (unsigned i = 0; i < r->configuration.n; i++) {
        if (r->configuration.servers[i].id == id)
            return &r->leader_state.progress[i];
    }
    return NULL;
}

static bool said_empty(const struct guard *g, raft_id id)
{
    for (unsigned i = 0; i < g->empty_count; i++) {
        if (g->empty[i] == id)
            return true;
    }
    return g->empty_count == GUARD_MAX_PEERS; /* too many to remember: leave libraft alone */
}

/* Rule 5. A send that fails right after an election resets next_index to match_index + 1 = 1, and 1
 * means to libraft "its log is empty: send the snapshot", whatever the log still holds. Nothing was
 * heard of that follower, so ask again at the log's end and let its answer decide; if the answer was
 * that its log *is* empty, 1 is right. */
static void rearm_probes(struct guard *g)
{
    const struct raft *r = g->raft;
    if (r->state != RAFT_LEADER || !rule(g, GUARD_RULE_PROBE))
        return;
    for (unsigned i = 0; i < r->configuration.n; i++) {
        struct raft_progress *p = &r->leader_state.progress[i];
        raft_id id = r->configuration.servers[i].id;
        if (id == r->id || p->state != PROBE || p->next_index != 1 || p->match_index != 0)
            continue;
        if (said_empty(g, id))
            continue;
        p->next_index = raft_last_index(g->raft) + 1;
        g->count.rearmed++;
    }
}

static void note_rejection(struct guard *g, raft_id id)
{
    if (g->raft->state != RAFT_LEADER || g->led != g->raft->current_term)
        return;
    const struct raft_progress *p = progress_of(g, id);
    if (p != NULL && p->state == PROBE && p->next_index == 1 && p->match_index == 0 &&
        !said_empty(g, id))
        g->empty[g->empty_count++] = id;
}

static raft_index match_with(const struct raft *r, unsigned i, raft_id from, raft_index last)
{
    raft_index match = r->leader_state.progress[i].match_index;
    return r->configuration.servers[i].id == from && match < last ? last : match;
}

/* The highest index that a majority of the voters will have once `from` has acknowledged `last`. */
static raft_index majority_index(const struct raft *r, raft_id from, raft_index last)
{
    raft_index best = 0;
    for (unsigned i = 0; i < r->configuration.n; i++) {
        raft_index candidate = match_with(r, i, from, last);
        unsigned voters = 0, have = 0;
        for (unsigned j = 0; j < r->configuration.n; j++) {
            if (r->configuration.servers[j].role != RAFT_VOTER)
                continue;
            voters++;
            have += match_with(r, j, from, last) >= candidate;
        }
        if (have > voters / 2 && candidate > best)
            best = candidate;
    }
    return best;
}

/* Rule 4. libraft only asks whether a majority has *all* that the leader has stored, so under a
 * steady load nothing commits until the load pauses (fixed by #336). For the time of the call, let
 * "all that is stored" end where the majority is. Returns what to restore, or 0. */
static raft_index lower_last_stored(struct guard *g, const struct raft_append_entries_result *res,
                                    raft_id from)
{
    struct raft *r = g->raft;
    if (!rule(g, GUARD_RULE_PIPE) || g->own == 0)
        return 0;
    raft_index index = majority_index(r, from, res->last_log_index);
    if (index < g->own || index <= r->commit_index || index >= r->last_stored)
        return 0;
    raft_index saved = r->last_stored;
    r->last_stored = index;
    g->count.piped++;
    return saved;
}

/* Rules 3 and 4, on an acknowledgement. Rule 3: an old term's entry may lie on a majority and still be
 * overwritten (Raft, figure 8; #220), so until our own term's first entry is on our disk nothing that
 * a follower has counts. */
static raft_index before_result(struct guard *g, struct raft_message *m)
{
    struct raft *r = g->raft;
    struct raft_append_entries_result *res = &m->append_entries_result;
    if (r->state != RAFT_LEADER || res->rejected != 0 || res->term != r->current_term)
        return 0;
    bool own_stored = g->led == r->current_term && g->own != 0 && r->last_stored >= g->own;
    if (own_stored)
        return lower_last_stored(g, res, m->server_id);
    if (rule(g, GUARD_RULE_CLAMP) && res->last_log_index > r->commit_index) {
        res->last_log_index = r->commit_index;
        g->count.clamped++;
        g->held_back = true;
    }
    return 0;
}

/* After rule 4. Nothing that libraft does with an acknowledgement changes it for good. */
static void restore_last_stored(struct guard *g, raft_index saved)
{
    if (saved != 0)
        g->raft->last_stored = saved;
}

/* Rule 10, a follower's. Raft's figure 2: a follower answers for prevLogIndex and the entries that came
 * with the message, and commits no further than that. 0.15.0 (up to 0.18.1) answers with, and commits
 * up to, the end of its log, where entries may be left of a leader that lost; the new leader then
 * believes that they are its own, never repairs them, and commits by them. */
static void before_offer(struct guard *g, struct raft_message *m)
{
    bool entries = m->type == RAFT_IO_APPEND_ENTRIES;
    struct raft_append_entries *ae = &m->append_entries;
    raft_term term = entries ? ae->term : m->install_snapshot.term;
    if (term < g->raft->current_term)
        return;
    if (g->heard_term != term) {
        g->heard_term = term;
        g->heard = 0;
    }
    g->offered = entries ? ae->prev_log_index + ae->n_entries : m->install_snapshot.last_index;
    raft_index known = g->heard > g->offered ? g->heard : g->offered;
    if (entries && ae->leader_commit > known && rule(g, GUARD_RULE_HEARD))
        ae->leader_commit = known;
}

/* libraft took the message: it answers yes, or it begins to write. */
static void offer_taken(struct guard *g)
{
    if (g->offered > g->heard)
        g->heard = g->offered;
}

static void limit_answer(struct guard *g, struct raft_message *m)
{
    struct raft_append_entries_result *res = &m->append_entries_result;
    if (m->type != RAFT_IO_APPEND_ENTRIES_RESULT || res->rejected != 0)
        return;
    offer_taken(g);
    raft_index heard = g->heard_term == res->term ? g->heard : 0;
    if (res->last_log_index > heard && rule(g, GUARD_RULE_HEARD)) {
        res->last_log_index = heard;
        g->count.limited++;
    }
}

/* What rule 3 held back, the followers say again when they are asked again: do it as soon as the
 * own entry is stored, not a heartbeat later. */
static void ask_again(struct guard *g)
{
    if (g->held_back && is_leader(g) && g->own != 0 && g->raft->last_stored >= g->own) {
        g->held_back = false;
        g->beat_due = true;
    }
}

/* A heartbeat is due when last_send is a heartbeat ago. Pipelined followers get the news and what they
 * have not been sent yet; a probe repeats everything from next_index, so it is hurried only if that is
 * nothing. The tick's other duties (check-quorum every election timeout, promotions) go by time and
 * don't mind one more tick. */
static void hurry_heartbeats(struct guard *g)
{
    struct raft *r = g->raft;
    for (unsigned i = 0; i < r->configuration.n; i++) {
        struct raft_progress *p = &r->leader_state.progress[i];
        if (p->state == PIPELINE ||
            (p->state == PROBE && p->next_index == raft_last_index(r) + 1))
            p->last_send = 0;
    }
}

#else /* libraft 0.17 and later */

static void rearm_probes(struct guard *g)
{
}
static void note_rejection(struct guard *g, raft_id id)
{
}
static raft_index before_result(struct guard *g, struct raft_message *m)
{
    return 0;
}
static void restore_last_stored(struct guard *g, raft_index saved)
{
}
static void before_offer(struct guard *g, struct raft_message *m)
{
}
static void limit_answer(struct guard *g, struct raft_message *m)
{
}
static void ask_again(struct guard *g)
{
}
static void hurry_heartbeats(struct guard *g)
{
}

#endif

/* ---- in and out of libraft ---- */

static void on_barrier(struct raft_barrier *req, int status)
{
    struct guard *g = req->data;
    g->barrier_busy = false; /* LEADERSHIPLOST is an answer like any other */
}

/* Rule 2. Without an entry of its own term a leader can't commit anything (and 0.15.0 appends none). */
static void open_term(struct guard *g)
{
    if (!is_leader(g) || g->led == current_term(g))
        return;
    g->own = 0;
    g->held_back = false;
    g->empty_count = 0;
    if (!rule(g, GUARD_RULE_BARRIER)) {
        g->led = current_term(g);
        return;
    }
    check(!g->barrier_busy); /* stepping down answers it */
    rearm_probes(g);
    raft_index index = raft_last_index(g->raft) + 1;
    g->barrier.data = g;
    g->barrier_busy = true;
    int rv = raft_barrier(g->raft, &g->barrier, on_barrier);
    if (rv != 0)
        g->barrier_busy = false;
    if (rv == RAFT_NOTLEADER)
        return; /* a transfer of an earlier term has not expired yet: again at the next tick */
    if (rv != 0) {
        fatal_status(g, "the entry that opens a term can't be appended", rv);
        return;
    }
    g->led = current_term(g);
    g->own = index;
}

static void look_at_state(struct guard *g)
{
    if (g->started && !g->closing && raft_state(g->raft) == RAFT_UNAVAILABLE) {
        char text[RAFT_ERRMSG_BUF_SIZE + 32];
        snprintf(text, sizeof text, "libraft gave up: %s", raft_errmsg(g->raft));
        fatal(g, text);
    }
}

static void enter(struct guard *g)
{
    g->depth++;
}

static void beat(struct guard *g)
{
    g->beat_due = false;
    if (!is_leader(g))
        return;
    hurry_heartbeats(g);
    rearm_probes(g);
    g->tick(g->raft->io);
}

/* On the way out of the outermost call. Depth stays up meanwhile: what the hooks start (raft_apply,
 * a heartbeat) must not come back here. */
static void leave(struct guard *g)
{
    if (g->depth == 1 && g->started && !g->closing) {
        open_term(g);
        ask_again(g);
        if (g->beat_due)
            beat(g);
        look_at_state(g);
        if (g->hooks.after != NULL)
            g->hooks.after(g->hooks.arg);
    }
    g->depth--;
}

static void on_tick(struct raft_io *io)
{
    struct guard *g = guard_of(io);
    guard_flush(g);
    enter(g);
    bool skip = raft_state(g->raft) == RAFT_FOLLOWER && g->hooks.may_campaign != NULL &&
                !g->hooks.may_campaign(g->hooks.arg);
    if (!skip) {
        rearm_probes(g);
        g->tick(io);
    }
    leave(g);
}

static void on_message(struct guard *g, struct raft_message *m)
{
    raft_id from = m->server_id;
    bool is_result = m->type == RAFT_IO_APPEND_ENTRIES_RESULT;
    bool rejected = is_result && m->append_entries_result.rejected != 0;
    enter(g);
    rearm_probes(g);
    raft_index saved = is_result ? before_result(g, m) : 0;
    if (m->type == RAFT_IO_APPEND_ENTRIES || m->type == RAFT_IO_INSTALL_SNAPSHOT)
        before_offer(g, m);
    g->recv(g->raft->io, m);
    g->offered = 0;
    restore_last_stored(g, saved);
    if (rejected)
        note_rejection(g, from);
    leave(g);
}

static void on_recv(struct raft_io *io, struct raft_message *m)
{
    struct guard *g = guard_of(io);
    if (m->type == RAFT_IO_REQUEST_VOTE && g->hooks.may_vote != NULL &&
        !g->hooks.may_vote(g->hooks.arg, &m->request_vote))
        return;
    on_message(g, m);
}

void guard_receive(struct guard *g, struct raft_message *message)
{
    if (!g->started || g->closing) {
        wire_message_release(message);
        return;
    }
    on_recv(g->raft->io, message);
}

/* ---- the methods of raft_io ---- */

static int guarded_start(struct raft_io *io, unsigned msecs, raft_io_tick_cb tick,
                         raft_io_recv_cb recv)
{
    struct guard *g = guard_of(io);
    g->tick = tick;
    g->recv = recv;
    int rv = g->inner.start(io, msecs, on_tick, on_recv);
    if (rv == 0)
        g->started = true;
    return rv;
}

static int guarded_send(struct raft_io *io, struct raft_io_send *req,
                        const struct raft_message *message, raft_io_send_cb cb)
{
    struct guard *g = guard_of(io);
    struct raft_message m = *message;
    if (g->closing)
        return RAFT_CANCELED;
    limit_answer(g, &m);
    if (g->hooks.send == NULL)
        return g->inner.send(io, req, &m, cb);
    int status = g->hooks.send(g->hooks.arg, &m);
    req->cb = cb;
    if (cb == NULL) /* TimeoutNow: nobody waits */
        return 0;
    if (g->sent_count == g->sent_room) {
        size_t room = g->sent_room == 0 ? 64 : 2 * g->sent_room;
        struct guard_sent *more = realloc(g->sent, room * sizeof *more);
        if (more == NULL) {
            fatal(g, "out of memory");
            return RAFT_NOMEM;
        }
        g->sent = more;
        g->sent_room = room;
    }
    g->sent[g->sent_count++] = (struct guard_sent){ req, status };
    return 0;
}

static void complete_sends(struct guard *g, bool canceled)
{
    /* A callback releases what was sent and may start nothing; still, count what is there now. */
    size_t count = g->sent_count;
    for (size_t i = 0; i < count; i++) {
        struct guard_sent s = g->sent[i];
        s.req->cb(s.req, canceled ? RAFT_CANCELED : s.status);
    }
    g->sent_count -= count;
    if (g->sent_count > 0)
        memmove(g->sent, g->sent + count, g->sent_count * sizeof *g->sent);
}

void guard_flush(struct guard *g)
{
    if (g->depth > 0)
        return;
    g->depth++;
    complete_sends(g, false);
    g->depth--;
    /* A lone voter is its own leader before the first tick; a hook may have asked for a heartbeat. */
    if (g->started && !g->closing &&
        (g->beat_due || (is_leader(g) && g->led != current_term(g)))) {
        enter(g);
        leave(g);
    }
}

/* Rule 11. 0.15.0's disk says "closed" again for each of its threads that ends after it has said so, and
 * raft frees its own once more each time. */
static void on_io_closed(struct raft_io *io)
{
    struct guard *g = guard_of(io);
    raft_io_close_cb cb = g->closed;

    g->closed = NULL;
    if (cb)
        cb(io);
}

static void guarded_close(struct raft_io *io, raft_io_close_cb cb)
{
    struct guard *g = guard_of(io);
    g->closing = true;
    g->closed = cb;
    complete_sends(g, true);
    free(g->sent);
    g->sent = NULL;
    g->sent_count = g->sent_room = 0;
    g->inner.close(io, on_io_closed);
}

#if GUARD_RULES

struct guarded_append {
    struct raft_io_append req;
    struct raft_io_append *outer;
    raft_io_append_cb cb;
    struct guard *guard;
};

/* Rule 1. After a failed write 0.15.0 stays leader with a log that its disk does not have, or follows
 * with one (#320). */
static void on_appended(struct raft_io_append *req, int status)
{
    struct guarded_append *a = req->data;
    struct raft_io_append *outer = a->outer;
    raft_io_append_cb cb = a->cb;
    struct guard *g = a->guard;
    free(a);
    if (status != 0 && status != RAFT_CANCELED && rule(g, GUARD_RULE_DISK))
        fatal_status(g, "writing the log failed", status);
    enter(g);
    cb(outer, status);
    leave(g);
}

static int guarded_append(struct raft_io *io, struct raft_io_append *req,
                          const struct raft_entry entries[], unsigned n, raft_io_append_cb cb)
{
    struct guard *g = guard_of(io);
    for (unsigned i = 0; i < n && rule(g, GUARD_RULE_DISK); i++) {
        /* On disk and on its wire libraft pads to 8 but does not count the padding (#180). */
        if (entries[i].buf.len % 8 != 0)
            fatal(g, "an entry's length is not a multiple of 8");
    }
    struct guarded_append *a = malloc(sizeof *a);
    if (a == NULL) {
        fatal(g, "out of memory");
        return RAFT_NOMEM;
    }
    offer_taken(g);
    *a = (struct guarded_append){ .outer = req, .cb = cb, .guard = g };
    a->req.data = a;
    int rv = g->inner.append(io, &a->req, entries, n, on_appended);
    if (rv == 0)
        return 0;
    free(a);
    if (rule(g, GUARD_RULE_DISK))
        fatal_status(g, "writing the log failed", rv);
    return rv;
}

/* Rule 6. The second of two barriers in 0.15.0's disk code is lost, the truncation with it, and the
 * next start finds segments that contradict the snapshot (#372). Only libraft's own truncations come
 * while it handles a message; a disk that clears itself for a snapshot is not meant. */
static int guarded_truncate(struct raft_io *io, raft_index index)
{
    struct guard *g = guard_of(io);
    if (g->putting && g->depth > 0 && rule(g, GUARD_RULE_TRUNCATE))
        fatal(g, "the log must be truncated while a snapshot is being stored");
    return g->inner.truncate(io, index);
}

static void on_put(struct raft_io_snapshot_put *req, int status)
{
    struct raft *r = (struct raft *)((char *)req - offsetof(struct raft, snapshot.put));
    struct guard *g = r->data;
    g->putting = false;
    if (status != 0 && status != RAFT_CANCELED && rule(g, GUARD_RULE_DISK))
        fatal_status(g, "storing a snapshot failed", status);
    enter(g);
    g->put_cb(req, status);
    leave(g);
}

static int guarded_put(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *req,
                       const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb cb)
{
    struct guard *g = guard_of(io);
    if (trailing == 0) /* an install */
        offer_taken(g);
    g->put_cb = cb;
    g->putting = true;
    int rv = g->inner.snapshot_put(io, trailing, req, snapshot, on_put);
    if (rv != 0)
        g->putting = false;
    return rv;
}

static int look_for_libraft(struct dl_phdr_info *info, size_t size, void *arg)
{
    const char *slash = strrchr(info->dlpi_name, '/');
    const char *name = slash != NULL ? slash + 1 : info->dlpi_name;
    if (strncmp(name, "libraft.so", 10) != 0)
        return 0;
    *(bool *)arg = strcmp(name, "libraft.so.2") == 0 || strncmp(name, "libraft.so.2.", 13) == 0;
    return 1;
}

static void interpose_disk(struct guard *g, struct raft_io *io)
{
    bool known = false;
    dl_iterate_phdr(look_for_libraft, &known);
    if (!known)
        fatal(g, "the libraft loaded is not libraft.so.2, which this program was built for");
    io->append = guarded_append;
    io->truncate = guarded_truncate;
    io->snapshot_put = guarded_put;
}

#else

static void interpose_disk(struct guard *g, struct raft_io *io)
{
}

#endif

/* ---- what callers use ---- */

void guard_prepare_io(struct raft_io *io)
{
    if (io->version < 2)
        io->version = 2;
}

void guard_install(struct guard *g, struct raft *r, const struct guard_hooks *hooks)
{
    memset(g, 0, sizeof *g);
    g->raft = r;
    g->hooks = *hooks;
    g->inner = *r->io;
    r->data = g;
    r->io->start = guarded_start;
    r->io->close = guarded_close;
    r->io->send = guarded_send;
    interpose_disk(g, r->io);
}

void guard_before_apply(struct guard *g)
{
    rearm_probes(g);
}

void guard_heartbeat_now(struct guard *g)
{
    if (!g->started || g->closing || !is_leader(g))
        return;
    g->beat_due = true;
    if (g->depth == 0) {
        enter(g);
        leave(g);
    }
}

raft_index guard_match_index(const struct guard *g, unsigned i)
{
#if GUARD_RULES
    const struct raft *r = g->raft;
    return is_leader(g) && i < r->configuration.n ? r->leader_state.progress[i].match_index : 0;
#else
    raft_index index = 0;
    raft_id id = g->raft->configuration.servers[i].id;
    return is_leader(g) && raft_match_index(g->raft, id, &index) == 0 ? index : 0;
#endif
}

raft_index guard_own_index(const struct guard *g)
{
    return is_leader(g) && g->led == current_term(g) ? g->own : 0;
}

bool guard_own_applied(const struct guard *g)
{
    raft_index own = guard_own_index(g);
    return own != 0 && raft_last_applied(g->raft) >= own;
}

bool guard_snapshot_allowed(const struct guard *g)
{
#if GUARD_RULES
    /* The configuration of a snapshot is the current one, committed or not (#250). */
    if (rule(g, GUARD_RULE_CONFIG))
        return g->raft->configuration_uncommitted_index == 0;
#endif
    return true;
}

/* Rule 9. These come before anything was changed; after any other error 0.15.0 holds on to a request
 * or a configuration that it has released. */
static int changed(struct guard *g, const char *what, int rv)
{
    switch (rv) {
    case 0:
    case RAFT_NOTLEADER:
    case RAFT_CANTCHANGE:
    case RAFT_NOTFOUND:
    case RAFT_BADROLE:
    case RAFT_BADID:
    case RAFT_DUPLICATEID:
    case RAFT_DUPLICATEADDRESS:
        return rv;
    default:
        if (rule(g, GUARD_RULE_CHANGE))
            fatal_status(g, what, rv);
        return rv;
    }
}

int guard_add(struct guard *g, struct raft_change *req, raft_id id, const char *address,
              raft_change_cb cb)
{
    rearm_probes(g);
    return changed(g, "adding a member failed", raft_add(g->raft, req, id, address, cb));
}

int guard_remove(struct guard *g, struct raft_change *req, raft_id id, raft_change_cb cb)
{
    rearm_probes(g);
    return changed(g, "removing a member failed", raft_remove(g->raft, req, id, cb));
}

int guard_assign(struct guard *g, struct raft_change *req, raft_id id, int role, raft_change_cb cb)
{
    rearm_probes(g);
    return changed(g, "changing a member's role failed",
                   raft_assign(g->raft, req, id, role, cb));
}

int guard_transfer(struct guard *g, raft_id id, raft_transfer_cb cb)
{
    g->transfer.data = g;
    return raft_transfer(g->raft, &g->transfer, id, cb);
}
