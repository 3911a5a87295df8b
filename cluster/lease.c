/* SPDX-License-Identifier: Apache-2.0 */
/* Read leases, and the leader's own right to answer. Three messages every renewal:
 *
 *   leader → member  PING   leader's time L
 *   member → leader  PONG   L again, the member's time M, what it has applied; from M on it votes for
 *                           nobody else for a while (the promise)
 *   leader → member  GRANT  M again: read until M + lease
 *
 * Each side counts from a time of its own that lies before the other side's act: the leader's right rests
 * on L + promise for a quorum (a successor needs one vote of it), the member's on M + lease, while the
 * leader waits until grant time + lease. No clock is compared with another; only their rates matter
 * (within 1 %). A grant needs the leader's own right, and a member that has applied all that was
 * acknowledged. A new leader takes every lease of its predecessor as running until the member has
 * answered in its term (a PING of a new term ends older leases) or a lease has passed. */
#include <stdlib.h>
#include <string.h>

#include "cluster/internal.h"
#include "pantera/clock.h"
#include "pantera/log.h"

enum { NEARLY_THERE = 256 }; /* entries behind, at which acknowledgements start to wait for a member */

static uint64_t promise_us(const struct cluster *c) { return (uint64_t)c->options->election_ms * 1000; }
static uint64_t lease_us(const struct cluster *c) { return (uint64_t)c->options->lease_ms * 1000; }
static uint64_t shorter(uint64_t us) { return us - us / 100; } /* for clocks that run unevenly */
static uint64_t longer(uint64_t us) { return us + us / 100; }

/* --- leader --- */

static int newest_first(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Until when no other leader can be elected: promises of as many voters as make a quorum with us. */
static uint64_t right_until(struct cluster *c)
{
    const struct raft_configuration *conf = &c->raft.configuration;
    uint64_t promises[MOST_MEMBERS];
    unsigned voters = 0, count = 0;
    for (unsigned i = 0; i < conf->n && count < MOST_MEMBERS; i++) {
        if (conf->servers[i].role != RAFT_VOTER)
            continue;
        voters++;
        struct peer *p = peer_find(c, (int)conf->servers[i].id);
        if (conf->servers[i].id != c->raft.id)
            promises[count++] = p ? p->promise_until_us : 0;
    }
    unsigned needed = voters / 2; /* besides us */
    if (needed == 0) /* the only voter: any other needs our vote, and we look again every step */
        return clock_mono_us() + 3600u * 1000000u;
    qsort(promises, count, sizeof promises[0], newest_first);
    return promises[needed - 1];
}

bool lease_leader_valid(struct cluster *c)
{
    return c->leader && !c->transferring && clock_mono_us() < right_until(c);
}

/* Also at the tail of every turn: who hears that its write is done may read it here at once. */
void lease_refresh(struct cluster *c)
{
    bool good = c->leader && !c->transferring && !c->stop_posted && guard_own_applied(&c->guard) &&
                meta_schema(c->meta) > 0 && !members_migration_pending(c);
    atomic_store(&c->current_until_us, good ? right_until(c) : 0);
}

static void ping(struct cluster *c, struct peer *p)
{
    struct buf b;
    buf_init(&b, 64);
    buf_u64(&b, c->raft.current_term);
    buf_u64(&b, clock_mono_us());
    peer_send(c, p->id, FRAME_PING, b.data, b.length);
    buf_free(&b);
}

void lease_elected(struct cluster *c)
{
    uint64_t now = clock_mono_us();
    c->elected_us = now;
    c->acked_index = raft_last_index(&c->raft);
    c->ping_at_us = 0;
    atomic_store(&c->current_until_us, 0);
    for (unsigned i = 0; i < MOST_MEMBERS; i++) {
        struct peer *p = &c->peers[i];
        if (p->id == 0 || p->id == c->options->id)
            continue;
        p->confirmed = false;
        p->lease_until_us = now + longer(lease_us(c));
        p->promise_until_us = 0;
        p->applied = 0;
        p->told_commit = 0;
    }
    lease_step(c);
}

void lease_lost(struct cluster *c)
{
    atomic_store(&c->current_until_us, 0);
    c->transferring = false;
}

/* Before leadership is given away: no right, no grants, and nobody is bound any more. */
void lease_release(struct cluster *c)
{
    struct buf b;
    c->transferring = true;
    atomic_store(&c->current_until_us, 0);
    buf_init(&b, 64);
    buf_u64(&b, c->raft.current_term);
    for (unsigned i = 0; i < MOST_MEMBERS; i++)
        if (c->peers[i].id && c->peers[i].id != c->options->id)
            peer_send(c, c->peers[i].id, FRAME_RELEASE, b.data, b.length);
    buf_free(&b);
}

void lease_step(struct cluster *c)
{
    uint64_t now = clock_mono_us();
    if (!c->leader)
        return;
    bool all = now >= c->ping_at_us;
    if (all)
        c->ping_at_us = now + (uint64_t)c->options->lease_renew_ms * 1000;
    for (unsigned i = 0; i < MOST_MEMBERS && !c->transferring; i++) {
        struct peer *p = &c->peers[i];
        if (p->id && p->id != c->options->id && p->up && node_is_member(c, p->id, NULL) &&
            (all || !p->confirmed))
            ping(c, p);
    }
    lease_refresh(c);
}

static void grant(struct cluster *c, struct peer *p, uint64_t member_time)
{
    struct buf b;
    buf_init(&b, 64);
    buf_u64(&b, c->raft.current_term);
    buf_u64(&b, member_time);
    buf_u32(&b, c->options->lease_ms);
    p->lease_until_us = clock_mono_us() + longer(lease_us(c));
    peer_send(c, p->id, FRAME_GRANT, b.data, b.length);
    buf_free(&b);
}

bool lease_pong(struct cluster *c, int from, const void *data, size_t size)
{
    struct cursor at = cursor_of(data, size);
    uint64_t term = cursor_u64(&at), our_time = cursor_u64(&at), member_time = cursor_u64(&at),
             applied = cursor_u64(&at);
    uint8_t low_disk = cursor_u8(&at);
    struct peer *p = peer_find(c, from);
    if (at.bad)
        return false;
    if (!c->running || !c->leader || term != c->raft.current_term || !p || c->stop_posted)
        return true;
    if (!p->confirmed) {
        p->confirmed = true;
        p->lease_until_us = 0; /* it has dropped what our predecessor gave */
    }
    p->leaving = false;
    p->promise_until_us = our_time + shorter(promise_us(c));
    p->low_disk = low_disk;
    if (applied > p->applied)
        p->applied = applied;
    lease_refresh(c);
    if (!lease_leader_valid(c) || !guard_own_applied(&c->guard) || !node_is_member(c, from, NULL) ||
        members_migration_pending(c))
        return true;
    if (p->applied >= c->acked_index)
        grant(c, p, member_time);
    else if (c->acked_index - p->applied < NEARLY_THERE)
        /* Under steady load it would always be a little behind: let the next acknowledgements wait for
         * it, as if it had the lease, and it will have caught up by its next PONG. */
        p->lease_until_us = clock_mono_us() + longer(lease_us(c));
    return true;
}

bool lease_applied(struct cluster *c, int from, const void *data, size_t size)
{
    struct cursor at = cursor_of(data, size);
    uint64_t term = cursor_u64(&at), index = cursor_u64(&at);
    struct peer *p = peer_find(c, from);
    if (at.bad)
        return false;
    if (c->running && p && term == c->raft.current_term && index > p->applied)
        p->applied = index;
    return true;
}

/* Nobody holds a lease without having applied `index`; else *ret_wait_until_us is when that is over. */
bool lease_all_applied(struct cluster *c, uint64_t index, uint64_t *ret_wait_until_us)
{
    uint64_t now = clock_mono_us();
    for (unsigned i = 0; i < MOST_MEMBERS; i++) {
        struct peer *p = &c->peers[i];
        if (p->id && p->id != c->options->id && p->applied < index && p->lease_until_us > now) {
            *ret_wait_until_us = p->lease_until_us;
            return false;
        }
    }
    return true;
}

/* --- member --- */

bool lease_ping(struct cluster *c, int from, const void *data, size_t size)
{
    struct cursor at = cursor_of(data, size);
    uint64_t term = cursor_u64(&at), leader_time = cursor_u64(&at);
    if (at.bad)
        return false;
    if (!c->running || c->stopping || term != c->raft.current_term || node_leader(c) != from)
        return true;
    if (c->lease_term != term) { /* whatever an older leader gave is over */
        atomic_store(&c->current_until_us, 0);
        c->lease_term = term;
    }
    uint64_t now = clock_mono_us();
    c->promise_until_us = now + promise_us(c);
    c->promised_to = from;
    struct buf b;
    buf_init(&b, 64);
    buf_u64(&b, term);
    buf_u64(&b, leader_time);
    buf_u64(&b, now);
    buf_u64(&b, raft_last_applied(&c->raft));
    buf_u8(&b, c->low_disk);
    peer_send(c, from, FRAME_PONG, b.data, b.length);
    buf_free(&b);
    return true;
}

bool lease_grant(struct cluster *c, int from, const void *data, size_t size)
{
    struct cursor at = cursor_of(data, size);
    uint64_t term = cursor_u64(&at), our_time = cursor_u64(&at);
    uint32_t lease_ms = cursor_u32(&at);
    if (at.bad || lease_ms > 60000)
        return false;
    if (!c->running || c->leader || c->stopping || term != c->raft.current_term ||
        term != c->lease_term || node_leader(c) != from || meta_schema(c->meta) == 0)
        return true;
    uint64_t until = our_time + shorter((uint64_t)lease_ms * 1000);
    if (until > atomic_load(&c->current_until_us))
        atomic_store(&c->current_until_us, until);
    return true;
}

void lease_tell_applied(struct cluster *c)
{
    uint64_t applied = raft_last_applied(&c->raft);
    int leader = node_leader(c);
    if (c->leader || leader == 0 || applied == c->applied_told)
        return;
    struct buf b;
    buf_init(&b, 64);
    buf_u64(&b, c->raft.current_term);
    buf_u64(&b, applied);
    if (peer_send(c, leader, FRAME_APPLIED, b.data, b.length))
        c->applied_told = applied;
    buf_free(&b);
}

/* Only of the term that the promise was made in: a late word of an earlier leader frees nobody. */
bool lease_released(struct cluster *c, int from, const void *data, size_t size)
{
    struct cursor at = cursor_of(data, size);
    uint64_t term = cursor_u64(&at);
    if (at.bad)
        return false;
    if (c->promised_to == from && c->lease_term == term)
        c->promise_until_us = 0;
    return true;
}

/* A promise is not on disk. Who starts may have made one just before it stopped: it keeps it unseen. */
void lease_started(struct cluster *c)
{
    c->promised_to = 0;
    c->promise_until_us = clock_mono_us() + promise_us(c);
}

/* The promise, kept: no vote for anybody else, and no candidacy of our own. libraft's disrupt_leader is no
 * reason: a candidate repeats it for ever, long after the leader that asked for it has been followed by
 * another. A leader that hands over says so itself (lease_release). */
bool lease_may_vote(void *arg, const struct raft_request_vote *rv)
{
    struct cluster *c = arg;
    return (c->promised_to != 0 && (int)rv->candidate_id == c->promised_to) ||
           clock_mono_us() >= c->promise_until_us;
}

bool lease_may_campaign(void *arg)
{
    struct cluster *c = arg;
    return !c->stopping && clock_mono_us() >= c->promise_until_us;
}
