/* SPDX-License-Identifier: Apache-2.0 */
/* The promise behind the leader's right to answer, without a network: who may be voted for, and when.
 * The lease protocol as a whole is tested from outside (tests/integration). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <setjmp.h>

#include "cluster/internal.h"
#include "pantera/clock.h"

#include <cmocka.h>

static struct cluster *cluster_made(unsigned election_ms)
{
    struct cluster *c = calloc(1, sizeof *c);
    check(c != NULL);
    c->own_options.election_ms = election_ms;
    c->own_options.lease_ms = 500;
    c->own_options.id = 2;
    c->options = &c->own_options;
    return c;
}

static bool may_vote(struct cluster *c, int candidate, bool disrupt)
{
    struct raft_request_vote rv = { .candidate_id = (raft_id)candidate, .disrupt_leader = disrupt };
    return lease_may_vote(c, &rv);
}

static bool release(struct cluster *c, int from, uint64_t term)
{
    struct buf b;
    buf_init(&b, 64);
    buf_u64(&b, term);
    bool good = lease_released(c, from, b.data, b.length);
    buf_free(&b);
    return good;
}

/* Who has promised votes for nobody else, whatever the candidate says about the leader. */
static void promise_binds_until_it_ends(void **state)
{
    struct cluster *c = cluster_made(500);
    c->promised_to = 1;
    c->promise_until_us = clock_mono_us() + 10000000;
    assert_false(may_vote(c, 3, false));
    assert_false(may_vote(c, 3, true));
    assert_true(may_vote(c, 1, false));
    assert_false(lease_may_campaign(c));
    c->promise_until_us = clock_mono_us();
    assert_true(may_vote(c, 3, false));
    assert_true(lease_may_campaign(c));
    free(c);
}

/* A promise made just before a crash is kept after it, though nothing on disk tells of it. */
static void start_keeps_a_promise_unseen(void **state)
{
    struct cluster *c = cluster_made(10000);
    lease_started(c);
    assert_false(may_vote(c, 1, false));
    assert_false(may_vote(c, 0, false));
    assert_false(lease_may_campaign(c));
    free(c);
}

/* Only the leader that was promised frees, and only in the term of the promise. */
static void release_frees_in_its_own_term_only(void **state)
{
    struct cluster *c = cluster_made(500);
    c->promised_to = 1;
    c->lease_term = 7;
    c->promise_until_us = clock_mono_us() + 10000000;
    assert_true(release(c, 1, 6));
    assert_true(release(c, 3, 7));
    assert_false(may_vote(c, 3, true));
    assert_true(release(c, 1, 7));
    assert_true(may_vote(c, 3, false));
    assert_false(lease_released(c, 1, "short", 5));
    free(c);
}

/* An acknowledgement waits for who may still read, and for nobody else. */
static void fence_waits_for_lease_holders(void **state)
{
    struct cluster *c = cluster_made(500);
    uint64_t until = 0, now = clock_mono_us();
    c->peers[0] = (struct peer){ .id = 1, .lease_until_us = now + 10000000, .applied = 9 };
    c->peers[1] = (struct peer){ .id = 2, .lease_until_us = now + 10000000, .applied = 0 }; /* ourselves */
    c->peers[2] = (struct peer){ .id = 3, .lease_until_us = now, .applied = 0 };
    assert_true(lease_all_applied(c, 9, &until));
    assert_false(lease_all_applied(c, 10, &until));
    assert_true(until == now + 10000000);
    c->peers[0].applied = 10;
    assert_true(lease_all_applied(c, 10, &until));
    free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(promise_binds_until_it_ends),
        cmocka_unit_test(start_keeps_a_promise_unseen),
        cmocka_unit_test(release_frees_in_its_own_term_only),
        cmocka_unit_test(fence_waits_for_lease_holders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
