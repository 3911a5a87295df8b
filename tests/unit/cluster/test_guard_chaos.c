/* SPDX-License-Identifier: Apache-2.0 */
/* Random partitions, latencies, crashes, lost state machines and transfers, on simulated time: whatever
 * happens, all servers apply the same history, libraft never gives up, and in the end what was
 * acknowledged is there. Deterministic: a failing seed is printed and fails again (argument: the seed).
 * What the single rules are for, rarer schedules show: test_guard_rules.c. */
#include "support/fx_raft.h" /* ahead of cmocka.h, whose fail() is a macro */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef RAFT_VERSION_MINOR

enum { SEEDS = 20, CHAOS_MS = 25000, SERVERS = 3 };
enum { PARTITION, CRASH, LATENCY, SENDS, PROPOSE, HURRY, TRANSFER, TIMERS };

static unsigned only_seed;
static struct {
    unsigned long long terms, committed, proposed;
} total;

static unsigned draw(uint64_t *s, unsigned below)
{
    *s = *s * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(*s >> 33) % below;
}

struct chaos {
    struct fx_raft fx;
    uint64_t random;
    raft_time due_ms[TIMERS];
    unsigned cut, restarts, transfers, last_leader;
};

static void heal(struct chaos *c)
{
    for (unsigned i = 0; i < SERVERS; i++)
        fx_raft_isolate(&c->fx, i, false);
    c->cut = SERVERS;
}

/* True once in `every_ms` of simulated time. */
static bool due(struct chaos *c, unsigned timer, unsigned every_ms)
{
    raft_time now = raft_fixture_time(&c->fx.f);
    if (now < c->due_ms[timer])
        return false;
    c->due_ms[timer] = now + every_ms;
    return true;
}

static void partition(struct chaos *c)
{
    struct fx_raft *fx = &c->fx;
    if (c->cut < SERVERS) {
        heal(c);
        return;
    }
    c->cut = draw(&c->random, SERVERS);
    if (c->last_leader < SERVERS && draw(&c->random, 2))
        c->cut = c->last_leader;
    if (draw(&c->random, 3))
        fx_raft_isolate(fx, c->cut, true);
    else /* one direction of one link: heard but not answered */
        raft_fixture_saturate(&fx->f, c->cut, (c->cut + 1) % SERVERS);
}

static void disturb(struct chaos *c)
{
    struct fx_raft *fx = &c->fx;
    if (due(c, PARTITION, 2600))
        partition(c);
    if (due(c, CRASH, 7000) && raft_fixture_time(&fx->f) > 1000) {
        heal(c);
        unsigned i = draw(&c->random, SERVERS);
        fx_raft_restart(fx, i, draw(&c->random, 2));
        c->restarts++;
    }
    if (due(c, LATENCY, 150)) {
        unsigned ms = 1 + draw(&c->random, 60);
        if (fx->options.wire) /* keeps the order, as TCP does */
            fx->wire_latency_ms = ms;
        else
            raft_fixture_set_network_latency(&fx->f, draw(&c->random, SERVERS), ms);
        unsigned i = draw(&c->random, SERVERS);
        fx->s[i].one_entry = draw(&c->random, 4) == 0; /* as wire.h splits a backlog */
        raft_fixture_set_disk_latency(&fx->f, i, 1 + draw(&c->random, 120));
    }
    if (fx->options.wire && due(c, SENDS, 500)) { /* sends that fail, at one server or none */
        unsigned i = draw(&c->random, 2 * SERVERS);
        for (unsigned j = 0; j < SERVERS; j++)
            fx->s[j].unreachable = i == j;
    }
}

static void load(struct chaos *c)
{
    struct fx_raft *fx = &c->fx;
    bool propose = due(c, PROPOSE, 100), hurry = due(c, HURRY, 300);
    bool transfer = due(c, TRANSFER, 3300);
    for (unsigned i = 0; i < SERVERS; i++) {
        if (!fx->f.servers[i].alive || raft_state(fx_raft_get(fx, i)) != RAFT_LEADER)
            continue;
        c->last_leader = i;
        if (propose) /* also to one that only believes to lead */
            fx_raft_propose(fx, i, fx->proposed + 1);
        if (hurry)
            guard_heartbeat_now(&fx->s[i].guard);
        if (transfer && guard_transfer(&fx->s[i].guard, 0, NULL) == 0)
            c->transfers++;
    }
}

static void run(unsigned seed)
{
    struct chaos *c = calloc(1, sizeof *c);
    struct fx_raft *fx = &c->fx;
    assert_non_null(c);
    c->random = seed * UINT64_C(0x9e3779b97f4a7c15);
    c->cut = c->last_leader = SERVERS;
    fx_raft_start(fx, &(struct fx_options){ .wire = seed % 2, .heartbeat_ms = seed % 2 ? 25 : 100 });
    for (unsigned i = 0; i < SERVERS; i++)
        raft_fixture_set_randomized_election_timeout(&fx->f, i, 1000 + draw(&c->random, 1000));
    while (raft_fixture_time(&fx->f) < CHAOS_MS) {
        raft_fixture_step(&fx->f);
        load(c);
        disturb(c);
    }
    heal(c);
    for (unsigned i = 0; i < SERVERS; i++) {
        fx->s[i].unreachable = fx->s[i].one_entry = false;
        raft_fixture_set_disk_latency(&fx->f, i, 10);
        raft_fixture_set_randomized_election_timeout(&fx->f, i, 1000 + 150 * i);
    }
    fx_raft_set_latency(fx, 10);
    fx_raft_run(fx, 20000);
    unsigned leader = fx_raft_leader(fx);
    if (leader < SERVERS)
        fx_raft_propose(fx, leader, 1);
    fx_raft_run(fx, 2000);

    unsigned fatals = 0;
    for (unsigned i = 0; i < SERVERS; i++)
        fatals += fx->s[i].fatals;
    bool good = leader < SERVERS && fx->diverged == 0 && fatals == 0 && fx_raft_equal(fx) &&
                !fx_raft_any_unavailable(fx) && fx->s[0].machine.count >= fx->committed;
    unsigned long long term = fx_raft_get(fx, 0)->current_term, applied = fx->s[0].machine.count;
    if (!good || only_seed)
        print_message("seed %u: %llu of %llu acknowledged, %llu applied, term %llu, %u restarts, "
                      "%u transfers, %u diverged, %u fatal\n",
                      seed, (unsigned long long)fx->committed, (unsigned long long)fx->proposed,
                      applied, term, c->restarts, c->transfers, fx->diverged, fatals);
    assert_true(good);
    total.terms += term;
    total.committed += fx->committed;
    total.proposed += fx->proposed;
    fx_raft_stop(fx);
    free(c);
}

static void servers_agree_whatever_happens(void **state)
{
    for (unsigned seed = 1; seed <= SEEDS && !only_seed; seed++)
        run(seed);
    if (only_seed) {
        run(only_seed);
        return;
    }
    print_message("%u seeds: %llu terms, %llu of %llu acknowledged\n", SEEDS, total.terms,
                  total.committed, total.proposed);
    assert_true(total.terms > 4 * SEEDS); /* leaders did change */
    assert_true(total.committed > total.proposed / 2);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        only_seed = (unsigned)strtoul(argv[1], NULL, 10);
    const struct CMUnitTest tests[] = { cmocka_unit_test(servers_agree_whatever_happens) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else
int main(void)
{
    printf("libraft is newer than the guard's rules: nothing to test\n");
    return 0;
}
#endif
