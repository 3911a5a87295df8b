/* SPDX-License-Identifier: Apache-2.0 */
/* Generations: a bump is seen in its bucket and in no other; none is lost between threads. */
#include "pantera/gen.h"

#include <pthread.h>

#include "pantera/text.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static uint64_t before[GEN_KINDS][GEN_BUCKETS];

static void remember(void)
{
    for (unsigned k = 0; k < GEN_KINDS; k++)
        for (unsigned i = 0; i < GEN_BUCKETS; i++)
            before[k][i] = gen_get((enum gen_kind)k, i);
}

static void a_bump_touches_one_bucket(void **state)
{
    uint64_t hash = hash_text("alice");
    remember();
    gen_bump(GEN_USER, hash);
    for (unsigned k = 0; k < GEN_KINDS; k++)
        for (unsigned i = 0; i < GEN_BUCKETS; i++)
            assert_int_equal(gen_get((enum gen_kind)k, i) - before[k][i],
                             k == GEN_USER && i == hash % GEN_BUCKETS);
    assert_int_equal(gen_get(GEN_USER, hash), before[GEN_USER][hash % GEN_BUCKETS] + 1);
}

static void bump_all_touches_every_bucket(void **state)
{
    remember();
    gen_bump_all();
    for (unsigned k = 0; k < GEN_KINDS; k++)
        for (unsigned i = 0; i < GEN_BUCKETS; i++)
            assert_int_equal(gen_get((enum gen_kind)k, i), before[k][i] + 1);
}

static void artifacts_of_repositories_are_apart(void **state)
{
    uint64_t a = gen_artifact_hash(1, "a/b.bin");
    assert_int_equal(a, gen_artifact_hash(1, "a/b.bin"));
    assert_int_not_equal(a, gen_artifact_hash(2, "a/b.bin"));
    assert_int_not_equal(a, gen_artifact_hash(1, "a/c.bin"));
    unsigned same = 0; /* one path in many repositories does not crowd one bucket */
    for (int64_t repo = 2; repo < 1002; repo++)
        same += gen_artifact_hash(repo, "a/b.bin") % GEN_BUCKETS == a % GEN_BUCKETS;
    assert_true(same < 10);
}

enum { THREADS = 4, BUMPS = 50000 };

static void *bump_often(void *arg)
{
    for (int i = 0; i < BUMPS; i++) {
        uint64_t seen = gen_get(GEN_POLICY, 0);
        gen_bump(GEN_POLICY, 0);
        assert_true(gen_get(GEN_POLICY, 0) > seen);
    }
    return NULL;
}

static void no_bump_is_lost(void **state)
{
    pthread_t threads[THREADS];
    uint64_t first = gen_get(GEN_POLICY, 0);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, bump_often, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(gen_get(GEN_POLICY, 0) - first, THREADS * BUMPS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bump_touches_one_bucket),
        cmocka_unit_test(bump_all_touches_every_bucket),
        cmocka_unit_test(artifacts_of_repositories_are_apart),
        cmocka_unit_test(no_bump_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
