/* SPDX-License-Identifier: Apache-2.0 */
/* Every rule of cluster/guard.h twice: with it the property holds, without it the bug of libraft 0.15.0
 * is there to be seen. Rules that the simulated disk can't show are in test_guard_disk.c. */
#include "support/fx_raft.h" /* ahead of cmocka.h, whose fail() is a macro */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#ifndef RAFT_VERSION_MINOR

enum { S1, S2, S3 };

static void start(struct fx_raft *fx, unsigned disabled)
{
    fx_raft_start(fx, &(struct fx_options){ .disabled_rules = disabled });
}

/* ---- rules 2 and 3: Raft's figure 8 ---- */

static bool stored_on_s3(struct fx_raft *fx, void *index)
{
    return fx_raft_get(fx, S3)->last_stored >= *(raft_index *)index;
}

/* S3's acknowledgement of A has reached S1. */
static bool s1_heard(struct fx_raft *fx, void *index)
{
    return fx_raft_get(fx, S1)->commit_index >= *(raft_index *)index ||
           fx->s[S1].guard.count.clamped > 0;
}

/* A (term 2) lies on S1 only, B (term 3) on S2 only. S1 leads again and copies A to S3, then is cut off;
 * S2 leads again. If S1 took "A is on S1 and S3" for "A is committed", S1 and S2 now contradict.
 * `split`: A and S1's new entry travel in two messages and S1's disk is slow, so that S3 has A alone. */
static void figure_8(struct fx_raft *fx, unsigned disabled, bool split)
{
    start(fx, disabled);
    fx_raft_elect(fx, S1);
    fx_raft_isolate(fx, S1, true);
    raft_index a = raft_last_index(fx_raft_get(fx, S1)) + 1;
    assert_int_equal(fx_raft_propose(fx, S1, 111), 0);
    fx_raft_run(fx, 100);
    fx_raft_prefer(fx, S2);
    assert_true(fx_raft_run_until_leader(fx, S2, 30000));
    fx_raft_link(fx, S2, S3, false);
    assert_int_equal(fx_raft_propose(fx, S2, 222), 0);
    fx_raft_run(fx, 100);
    assert_true(fx_raft_run_until_no_leader(fx, S2, 30000));
    assert_true(fx_raft_run_until_no_leader(fx, S1, 30000));

    fx_raft_link(fx, S1, S3, true);
    if (split) {
        fx->s[S1].one_entry = true;
        raft_fixture_set_disk_latency(&fx->f, S1, 5000);
    }
    fx_raft_prefer(fx, S1);
    assert_true(fx_raft_run_until_leader(fx, S1, 60000));
    assert_true(fx_raft_run_until(fx, stored_on_s3, &a, 2000));
    if (split)
        assert_true(fx_raft_run_until(fx, s1_heard, &a, 100));
    else
        fx_raft_run(fx, 350);
    fx_raft_isolate(fx, S1, true);
    fx->s[S1].one_entry = false;

    fx_raft_link(fx, S2, S3, true);
    fx_raft_prefer(fx, S2);
    fx_raft_run(fx, 8000);
    fx_raft_isolate(fx, S1, false);
    raft_fixture_set_disk_latency(&fx->f, S1, 10);
    fx_raft_run(fx, 8000);
    unsigned leader = fx_raft_leader(fx);
    if (leader < 3)
        fx_raft_propose(fx, leader, 333);
    fx_raft_run(fx, 3000);
}

static bool broken(struct fx_raft *fx)
{
    return fx->diverged > 0 || fx_raft_any_unavailable(fx) || !fx_raft_equal(fx);
}

static void old_term_entry_commits_by_counting_without_rules_2_and_3(void **state)
{
    struct fx_raft fx;
    figure_8(&fx, GUARD_RULE_BARRIER | GUARD_RULE_CLAMP, false);
    assert_true(broken(&fx));
    fx_raft_stop(&fx);
    figure_8(&fx, GUARD_RULE_CLAMP, true); /* the barrier alone is not enough */
    assert_true(broken(&fx));
    fx_raft_stop(&fx);
}

static void old_term_entry_never_commits_by_counting(void **state)
{
    struct fx_raft fx;
    for (int split = 0; split < 2; split++) {
        figure_8(&fx, 0, split);
        assert_int_equal(fx.s[S1].guard.count.clamped > 0, split);
        assert_false(broken(&fx));
        assert_int_equal(fx.s[S1].machine.last_value, 333);
        fx_raft_stop(&fx);
    }
}

/* Rule 2 by itself: what the last leader left behind commits though nobody proposes anything. */
static uint64_t applied_after_failover(unsigned disabled)
{
    struct fx_raft fx;
    start(&fx, disabled);
    fx_raft_elect(&fx, S1);
    fx_raft_link(&fx, S1, S3, false); /* S2's entry is not known to be committed by anyone but S1 */
    raft_index index = raft_last_index(fx_raft_get(&fx, S1)) + 1;
    assert_int_equal(fx_raft_propose(&fx, S1, 7), 0);
    while (fx_raft_get(&fx, S2)->last_stored < index)
        raft_fixture_step(&fx.f);
    raft_fixture_kill(&fx.f, S1);
    fx_raft_prefer(&fx, S2);
    assert_true(fx_raft_run_until_leader(&fx, S2, 30000));
    fx_raft_run(&fx, 2000);
    assert_int_equal(raft_state(fx_raft_get(&fx, S2)), RAFT_LEADER);
    uint64_t value = fx.s[S3].machine.last_value;
    assert_int_equal(guard_own_applied(&fx.s[S2].guard), value != 0);
    assert_false(guard_own_applied(&fx.s[S3].guard));
    fx_raft_stop(&fx);
    return value;
}

static void new_leader_commits_what_it_inherited(void **state)
{
    assert_int_equal(applied_after_failover(0), 7);
    assert_int_equal(applied_after_failover(GUARD_RULE_BARRIER), 0);
}

/* The first commit of a term comes a round trip after the own entry is on disk, although the followers'
 * acknowledgements were faster than our disk: not a heartbeat later. */
static void slow_disk_costs_no_heartbeat_after_an_election(void **state)
{
    struct fx_raft fx;
    fx_raft_start(&fx, &(struct fx_options){ .heartbeat_ms = 500 });
    raft_fixture_set_disk_latency(&fx.f, S1, 80);
    fx_raft_set_latency(&fx, 5);
    assert_true(fx_raft_run_until_leader(&fx, S1, 20000));
    fx_raft_run(&fx, 80 + 2 * 5 + 10 + 5);
    assert_true(fx.s[S1].guard.count.clamped > 0);
    assert_true(guard_own_applied(&fx.s[S1].guard));
    fx_raft_stop(&fx);
}

/* ---- rule 4 ---- */

static double committed_under_load(unsigned disabled, unsigned servers)
{
    struct fx_raft fx;
    fx_raft_start(&fx, &(struct fx_options){ .disabled_rules = disabled, .servers = servers });
    fx_raft_elect(&fx, S1);
    fx_raft_set_latency(&fx, 20);
    for (unsigned i = 0; i < 500; i++) {
        assert_int_equal(fx_raft_propose(&fx, S1, i + 1), 0);
        fx_raft_run(&fx, 5);
    }
    double share = (double)fx.committed / (double)fx.proposed;
    fx_raft_run(&fx, 1000);
    assert_int_equal(fx.committed, fx.proposed); /* once the load pauses */
    assert_true(fx_raft_equal(&fx));
    fx_raft_stop(&fx);
    return share;
}

static void steady_load_commits_at_a_real_round_trip(void **state)
{
    assert_true(committed_under_load(0, 3) > 0.95);
    assert_true(committed_under_load(0, 4) > 0.95);
    assert_true(committed_under_load(GUARD_RULE_PIPE, 3) < 0.05);
}

/* ---- rule 1 ---- */

/* The leader's disk is full when it writes entry `111`, which the followers have. Returns whether the
 * cluster ended up with one history. The supervisor restarts what died. */
static void full_disk(struct fx_raft *fx, unsigned disabled)
{
    start(fx, disabled);
    fx_raft_elect(fx, S1);
    fx->s[S1].append_fails = RAFT_NOSPACE;
    assert_int_equal(fx_raft_propose(fx, S1, 111), 0);
    fx_raft_run(fx, 200);
    fx_raft_fail_append(fx, S1);
}

static void failed_write_ends_the_leader(void **state)
{
    struct fx_raft fx;
    full_disk(&fx, 0);
    assert_int_equal(fx.s[S1].fatals, 1);
    assert_non_null(strstr(fx.s[S1].fatal_text, "writing the log failed"));
    fx_raft_restart(&fx, S1, false);
    fx_raft_run(&fx, 5000);
    unsigned leader = fx_raft_leader(&fx);
    assert_true(leader < 3);
    assert_int_equal(fx_raft_propose(&fx, leader, 222), 0);
    fx_raft_run(&fx, 2000);
    assert_false(broken(&fx));
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(fx.s[i].machine.count, 2); /* unknown outcome: here it happened */
    fx_raft_stop(&fx);
}

static void failed_write_leaves_two_histories_without_rule_1(void **state)
{
    struct fx_raft fx;
    full_disk(&fx, GUARD_RULE_DISK);
    assert_int_equal(fx.s[S1].fatals, 0);
    assert_int_equal(raft_state(fx_raft_get(&fx, S1)), RAFT_LEADER); /* as if nothing were */
    assert_int_equal(fx.failed, 1);
    assert_int_equal(fx_raft_propose(&fx, S1, 222), 0); /* takes the index of 111, same term */
    fx_raft_run(&fx, 2000);
    assert_true(broken(&fx));
    fx_raft_stop(&fx);
}

/* A failure inside the call, and one of a follower. */
static void failed_write_is_fatal_wherever_it_happens(void **state)
{
    struct fx_raft fx;
    start(&fx, 0);
    fx_raft_elect(&fx, S1);
    raft_fixture_io_fault(&fx.f, S1, 0, 1);
    assert_int_not_equal(fx_raft_propose(&fx, S1, 1), 0);
    assert_int_equal(fx.s[S1].fatals, 1);
    fx_raft_stop(&fx);

    start(&fx, 0);
    fx_raft_elect(&fx, S1);
    fx.s[S2].append_fails = RAFT_IOERR;
    assert_int_equal(fx_raft_propose(&fx, S1, 1), 0);
    fx_raft_run(&fx, 100);
    fx_raft_fail_append(&fx, S2);
    assert_int_equal(fx.s[S2].fatals, 1);
    fx_raft_run(&fx, 500);
    assert_int_equal(fx.committed, 1); /* the other two go on */
    fx_raft_stop(&fx);
}

/* libraft says nothing when it gives up (here: the term can't be stored); the guard does. */
static void giving_up_is_fatal(void **state)
{
    struct fx_raft fx;
    start(&fx, 0);
    fx_raft_elect(&fx, S1);
    fx_raft_isolate(&fx, S2, true);
    assert_int_equal(guard_transfer(&fx.s[S1].guard, S3 + 1, NULL), 0);
    assert_true(fx_raft_run_until_leader(&fx, S3, 900));
    raft_fixture_io_fault(&fx.f, S2, 0, -1);
    fx_raft_isolate(&fx, S2, false);
    fx_raft_run(&fx, 500); /* hears of a new term */
    assert_true(fx.s[S2].fatals > 0);
    assert_non_null(strstr(fx.s[S2].fatal_text, "libraft gave up"));
    fx_raft_stop(&fx);
}

/* ---- rule 5 ---- */

static unsigned snapshots_sent_after_a_failed_send(unsigned disabled)
{
    struct fx_raft fx;
    fx_raft_start(&fx, &(struct fx_options){
                           .disabled_rules = disabled, .threshold = 20, .trailing = 1000 });
    fx_raft_elect(&fx, S1);
    for (unsigned i = 0; i < 40; i++) {
        fx_raft_propose(&fx, S1, i + 1);
        fx_raft_run(&fx, 20);
    }
    fx_raft_run(&fx, 1000);
    assert_true(fx.s[S2].puts > 0);
    fx.s[S2].guard.empty[0] = S3 + 1; /* it was, in some earlier term that S2 led */
    fx.s[S2].guard.empty_count = 1;
    raft_fixture_kill(&fx.f, S1);
    fx_raft_prefer(&fx, S2);
    while (raft_state(fx_raft_get(&fx, S2)) != RAFT_LEADER)
        raft_fixture_step(&fx.f);
    raft_fixture_disconnect(&fx.f, S2, S3); /* the new leader's first sends fail */
    fx_raft_run(&fx, 150);
    raft_fixture_reconnect(&fx.f, S2, S3);
    fx_raft_run(&fx, 1000);
    unsigned sent = raft_fixture_n_send(&fx.f, S2, RAFT_IO_INSTALL_SNAPSHOT);
    if (disabled == 0) {
        assert_true(fx.s[S2].guard.count.rearmed > 0);
        assert_int_equal(fx.s[S3].machine.restores, 0);
        assert_true(guard_own_applied(&fx.s[S2].guard));
    }
    fx_raft_stop(&fx);
    return sent;
}

static void failed_send_makes_no_snapshot_necessary(void **state)
{
    assert_int_equal(snapshots_sent_after_a_failed_send(0), 0);
    assert_true(snapshots_sent_after_a_failed_send(GUARD_RULE_PROBE) > 0);
}

/* Rule 5 must not keep a log that *is* empty from being filled: with a snapshot, and without. */
static void empty_follower_is_brought_up(void **state)
{
    for (unsigned threshold = 0; threshold <= 20; threshold += 20) {
        struct fx_raft fx;
        struct raft_change change;
        fx_raft_start(&fx, &(struct fx_options){ .threshold = threshold, .trailing = 5 });
        fx_raft_elect(&fx, S1);
        for (unsigned i = 0; i < 40; i++) {
            fx_raft_propose(&fx, S1, i + 1);
            fx_raft_run(&fx, 20);
        }
        unsigned fourth = fx_raft_grow(&fx);
        memset(&change, 0, sizeof change);
        assert_int_equal(guard_add(&fx.s[S1].guard, &change, fourth + 1, "4", NULL), 0);
        fx_raft_run(&fx, 500);
        memset(&change, 0, sizeof change);
        assert_int_equal(guard_assign(&fx.s[S1].guard, &change, fourth + 1, RAFT_STANDBY, NULL), 0);
        fx_raft_run(&fx, 3000);
        assert_int_equal(fx.s[fourth].machine.applied, fx.s[S1].machine.applied);
        assert_int_equal(fx.s[fourth].machine.digest, fx.s[S1].machine.digest);
        assert_int_equal(fx.s[fourth].machine.restores, threshold ? 1 : 0);
        fx_raft_stop(&fx);
    }
}

/* ---- rule 7 ---- */

/* A snapshot falls due when an entry before an uncommitted membership change is applied. */
static unsigned members_in_the_snapshot(unsigned disabled, raft_index *ret_conf_index)
{
    struct fx_raft fx;
    struct raft_change change;
    memset(&change, 0, sizeof change);
    fx_raft_start(&fx, &(struct fx_options){
                           .disabled_rules = disabled, .threshold = 3, .trailing = 1000 });
    fx_raft_elect(&fx, S1); /* applied: 2 */
    fx.s[S1].one_entry = true;
    assert_int_equal(fx_raft_propose(&fx, S1, 1), 0); /* 3: makes the snapshot due */
    assert_int_equal(guard_add(&fx.s[S1].guard, &change, 4, "4", NULL), 0); /* 4 */
    while (fx.s[S1].machine.applied < 3)
        raft_fixture_step(&fx.f);
    fx_raft_isolate(&fx, S1, true); /* 4 is never committed by S1 */
    fx_raft_run(&fx, 100);
    unsigned members = fx.s[S1].puts > 0 ? fx.s[S1].put_servers : 0;
    *ret_conf_index = fx.s[S1].put_conf_index;
    fx_raft_stop(&fx);
    return members;
}

static void snapshot_waits_for_the_configuration_to_commit(void **state)
{
    raft_index conf_index;
    assert_int_equal(members_in_the_snapshot(0, &conf_index), 0);
    /* Four members, under the index of the configuration that has three. */
    assert_int_equal(members_in_the_snapshot(GUARD_RULE_CONFIG, &conf_index), 4);
    assert_int_equal(conf_index, 1);
}

/* ---- rule 10 ---- */

/* S3 leads, is cut off, and takes five entries that nobody else will have (3 to 7). */
static void leave_leftovers_on_s3(struct fx_raft *fx, unsigned disabled)
{
    start(fx, disabled);
    fx_raft_elect(fx, S3);
    fx_raft_isolate(fx, S3, true);
    fx->s[S1].deny_campaign = fx->s[S2].deny_campaign = fx->s[S3].deny_campaign = true;
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(fx_raft_propose(fx, S3, 900 + i), 0);
    assert_true(fx_raft_run_until_no_leader(fx, S3, 5000));
    assert_int_equal(fx_raft_get(fx, S3)->last_stored, 7);
}

/* A heartbeat compares up to its prevLogIndex: that is what the answer and the commit may cover. */
static void follower_vouches_only_for_what_was_compared(void **state)
{
    for (unsigned off = 0; off < 2; off++) {
        struct fx_raft fx;
        leave_leftovers_on_s3(&fx, off ? GUARD_RULE_HEARD : 0);
        struct raft_message m = { .type = RAFT_IO_APPEND_ENTRIES, .server_id = S1 + 1,
                                  .server_address = "1" };
        m.append_entries = (struct raft_append_entries){
            .term = 9, .prev_log_index = 2, .prev_log_term = 2, .leader_commit = 6
        };
        guard_receive(&fx.s[S3].guard, &m);
        assert_int_equal(fx.s[S3].answered, off ? 7 : 2);
        assert_int_equal(fx_raft_get(&fx, S3)->commit_index, off ? 6 : 2);
        assert_int_equal(fx.s[S3].machine.last_value, off ? 903 : 0);
        fx_raft_stop(&fx);
    }
}

static bool s1_committed(struct fx_raft *fx, void *index)
{
    return fx_raft_get(fx, S1)->commit_index >= *(raft_index *)index;
}

/* S1 is elected by S2 and says so to S3, whose log matches S1's up to there and has five entries more.
 * S1 must not take these for copies of its own two, which nobody but S1 has; else it acknowledges one
 * (*ret_alone), and after a cut there are two histories. */
static void leftovers(struct fx_raft *fx, unsigned disabled, bool *ret_alone)
{
    leave_leftovers_on_s3(fx, disabled);
    fx_raft_isolate(fx, S3, false);
    fx->s[S2].deny_campaign = false; /* asks in vain, and forgets S3 */
    fx_raft_run(fx, 200);
    fx->s[S1].deny_campaign = false;
    raft_fixture_set_disk_latency(&fx->f, S1, 1);
    assert_true(fx_raft_run_until_leader(fx, S1, 20000));
    fx_raft_link(fx, S1, S2, false);
    assert_int_equal(fx_raft_propose(fx, S1, 1), 0);
    raft_index index = guard_own_index(&fx->s[S1].guard) + 1;
    assert_true(fx_raft_run_until(fx, s1_committed, &index, 1000));
    *ret_alone = fx->s[S3].guard.heard < index;
    fx_raft_isolate(fx, S1, true);
    for (unsigned i = 0; i < 3; i++)
        fx->s[i].deny_campaign = false;
    fx_raft_run(fx, 10000);
    fx_raft_isolate(fx, S1, false);
    fx_raft_run(fx, 5000);
    if (fx_raft_leader(fx) < 3)
        fx_raft_propose(fx, fx_raft_leader(fx), 333);
    fx_raft_run(fx, 3000);
}

static void leftovers_of_a_lost_leader_commit_nothing(void **state)
{
    struct fx_raft fx;
    bool alone;
    leftovers(&fx, 0, &alone);
    assert_false(alone);
    assert_true(fx.s[S3].guard.count.limited > 0);
    assert_false(broken(&fx));
    assert_int_equal(fx.s[S2].machine.last_value, 333);
    fx_raft_stop(&fx);
    leftovers(&fx, GUARD_RULE_HEARD, &alone);
    assert_true(alone);
    assert_true(broken(&fx));
    fx_raft_stop(&fx);
}

/* ---- rules 8 and 9 ---- */

static unsigned transfers_done;

static void on_transfer(struct raft_transfer *req)
{
    transfers_done++;
}

static void transfer_request_belongs_to_the_guard(void **state)
{
    struct fx_raft fx;
    start(&fx, 0);
    fx_raft_elect(&fx, S1);
    transfers_done = 0;
    assert_int_equal(guard_transfer(&fx.s[S1].guard, S3 + 1, on_transfer), 0);
    assert_int_equal(guard_transfer(&fx.s[S1].guard, S2 + 1, on_transfer), RAFT_NOTLEADER);
    assert_true(fx_raft_run_until_leader(&fx, S3, 900)); /* sooner than any election timeout */
    fx_raft_run(&fx, 2000);
    assert_int_equal(transfers_done, 1);
    assert_int_equal(guard_transfer(&fx.s[S3].guard, S1 + 1, on_transfer), 0);
    assert_true(fx_raft_run_until_leader(&fx, S1, 900));
    fx_raft_run(&fx, 2000);
    assert_int_equal(transfers_done, 2);
    assert_true(guard_own_applied(&fx.s[S1].guard));
    fx_raft_stop(&fx);
}

static void half_made_change_is_fatal(void **state)
{
    struct fx_raft fx;
    struct raft_change change;
    for (unsigned off = 0; off < 2; off++) {
        memset(&change, 0, sizeof change);
        start(&fx, GUARD_RULE_DISK | (off ? GUARD_RULE_CHANGE : 0));
        fx_raft_elect(&fx, S1);
        raft_fixture_io_fault(&fx.f, S1, 0, 1);
        int rv = guard_assign(&fx.s[S1].guard, &change, S3 + 1, RAFT_STANDBY, NULL);
        assert_int_equal(rv, RAFT_IOERR);
        /* libraft still points to a request that it has just refused */
        assert_ptr_equal(fx_raft_get(&fx, S1)->leader_state.change, &change);
        assert_int_equal(fx.s[S1].fatals, off ? 0 : 1);
        fx_raft_stop(&fx);
    }
}

static void refused_change_is_an_answer(void **state)
{
    struct fx_raft fx;
    struct raft_change change;
    memset(&change, 0, sizeof change);
    start(&fx, 0);
    fx_raft_elect(&fx, S1);
    struct guard *leader = &fx.s[S1].guard;
    assert_int_equal(guard_assign(leader, &change, 9, RAFT_VOTER, NULL), RAFT_NOTFOUND);
    assert_int_equal(guard_assign(leader, &change, S2 + 1, RAFT_VOTER, NULL), RAFT_BADROLE);
    assert_int_equal(guard_add(leader, &change, S2 + 1, "9", NULL), RAFT_DUPLICATEID);
    assert_int_equal(guard_add(leader, &change, 9, "2", NULL), RAFT_DUPLICATEADDRESS);
    assert_int_equal(guard_remove(leader, &change, 9, NULL), RAFT_BADID);
    assert_int_equal(guard_remove(&fx.s[S2].guard, &change, 1, NULL), RAFT_NOTLEADER);
    assert_int_equal(guard_remove(leader, &change, S3 + 1, NULL), 0);
    struct raft_change second;
    assert_int_equal(guard_remove(leader, &second, S2 + 1, NULL), RAFT_CANTCHANGE);
    fx_raft_run(&fx, 1000);
    assert_int_equal(fx.s[S1].fatals, 0);
    fx_raft_stop(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_term_entry_commits_by_counting_without_rules_2_and_3),
        cmocka_unit_test(old_term_entry_never_commits_by_counting),
        cmocka_unit_test(new_leader_commits_what_it_inherited),
        cmocka_unit_test(slow_disk_costs_no_heartbeat_after_an_election),
        cmocka_unit_test(steady_load_commits_at_a_real_round_trip),
        cmocka_unit_test(failed_write_ends_the_leader),
        cmocka_unit_test(failed_write_leaves_two_histories_without_rule_1),
        cmocka_unit_test(failed_write_is_fatal_wherever_it_happens),
        cmocka_unit_test(giving_up_is_fatal),
        cmocka_unit_test(failed_send_makes_no_snapshot_necessary),
        cmocka_unit_test(empty_follower_is_brought_up),
        cmocka_unit_test(snapshot_waits_for_the_configuration_to_commit),
        cmocka_unit_test(follower_vouches_only_for_what_was_compared),
        cmocka_unit_test(leftovers_of_a_lost_leader_commit_nothing),
        cmocka_unit_test(transfer_request_belongs_to_the_guard),
        cmocka_unit_test(half_made_change_is_fatal),
        cmocka_unit_test(refused_change_is_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else
int main(void)
{
    printf("libraft is newer than the guard's rules: nothing to test\n");
    return 0;
}
#endif
