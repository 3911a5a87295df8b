/* SPDX-License-Identifier: Apache-2.0 */
/* A committed change bumps the generations of exactly the users, artifacts and tables that it touched, on the
 * leader and on every follower: caches stand on nothing else. */
#include "pantera/gen.h"
#include "pantera/log.h"
#include "pantera/text.h"
#include "unit/storage/fx_replicas.h" /* last: cmocka.h has a macro fail() */

static uint64_t gens[GEN_KINDS][GEN_BUCKETS];

static void gens_remember(void)
{
    for (unsigned k = 0; k < GEN_KINDS; k++)
        for (unsigned i = 0; i < GEN_BUCKETS; i++)
            gens[k][i] = gen_get((enum gen_kind)k, i);
}

struct touched {
    enum gen_kind kind;
    uint64_t hash;
};

static void assert_touched(const struct touched *expected, size_t count)
{
    for (unsigned k = 0; k < GEN_KINDS; k++)
        for (unsigned i = 0; i < GEN_BUCKETS; i++) {
            bool should = false;
            for (size_t n = 0; n < count; n++)
                should |= expected[n].kind == k && expected[n].hash % GEN_BUCKETS == i;
            if ((gen_get((enum gen_kind)k, i) != gens[k][i]) != should)
                fail_msg("generation %u, bucket %u: %s bumped", k, i, should ? "not" : "wrongly");
        }
    gens_remember();
}

/* On the leader at the commit, on the follower when applied, and not before. */
static void step(struct pair *p, const char *op, json_t *args, const struct touched *t, size_t count)
{
    size_t size;
    gens_remember();
    meta_batch_begin(p->leader.meta);
    assert_int_equal(run(p, op, args), OK);
    assert_touched(NULL, 0);
    void *changes = commit(p, &size);
    assert_touched(t, count);
    meta_apply_changeset(p->follower.meta, p->index, changes, size);
    assert_touched(t, count);
    meta_apply_changeset(p->follower.meta, p->index, changes, size); /* skipped */
    assert_touched(NULL, 0);
    free(changes);
}

#define STEP(p, op, args, ...) \
    step(p, op, args, (struct touched[]){ __VA_ARGS__ }, COUNT(((struct touched[]){ __VA_ARGS__ })))

static void generations_follow_users_and_policy(void **state)
{
    struct pair *p = *state;
    struct touched alice = { GEN_USER, hash_text("alice") }, bob = { GEN_USER, hash_text("bob") };
    struct touched policy = { GEN_POLICY, 0 };
    STEP(p, "role.put", role("r", "read"), policy);
    STEP(p, "setting.put", setting("s", 1), policy);
    STEP(p, "user.put", user("alice", "r"), alice);
    STEP(p, "user.put", user("bob", NULL), bob);
    STEP(p, "user.enable", json_pack("{s:s, s:b}", "name", "alice", "enabled", 0), alice);
    STEP(p, "user.revoke", named("bob"), bob);
    STEP(p, "token.add", json_pack("{s:s, s:s, s:s, s:I}", "user", "bob", "id", "t1", "type", "api",
                                   "epoch_ms", (json_int_t)(1000000 + p->index - 1)), bob);
    STEP(p, "role.delete", named("r"), policy, alice); /* its members lose it */
    STEP(p, "user.delete", named("alice"), alice);
    gens_remember();
    meta_batch_begin(p->leader.meta); /* a rollback bumps nothing */
    assert_int_equal(run(p, "user.put", user("carol", NULL)), OK);
    meta_batch_rollback(p->leader.meta);
    assert_touched(NULL, 0);
}

static json_t *artifact(const char *path, const char *key, char digit)
{
    char sha[65];
    memset(sha, digit, 64);
    sha[64] = 0;
    return json_pack("{s:I, s:s, s:s, s:s, s:I, s:s}", "repo_id", (json_int_t)1, "path", path, "store",
                     "default", "key", key, "size", (json_int_t)10, "sha256", sha);
}

static void generations_follow_artifacts(void **state)
{
    struct pair *p = *state;
    struct touched repo = { GEN_REPO, 0 }, x = { GEN_ARTIFACT, gen_artifact_hash(1, "x") },
                   y = { GEN_ARTIFACT, gen_artifact_hash(1, "d/y") }, blob1 = { GEN_BLOB, 1 },
                   blob2 = { GEN_BLOB, 2 };
    step(p, "node.started", json_pack("{s:i, s:s, s:s}", "node", 1, "incarnation", "i", "version", "v"),
         NULL, 0);
    STEP(p, "alias.put", json_pack("{s:s, s:{s:s, s:s}}", "name", "default", "config", "type", "fs",
                                   "path", "/tmp"), repo);
    STEP(p, "repo.put", json_pack("{s:s, s:s, s:s, s:{s:{s:s, s:s}}, s:s}", "name", "files", "type",
                                  "file", "storage", "default", "config", "repo", "type", "file",
                                  "storage", "default", "expect", "create"), repo);
    step(p, "upload.reserve", json_pack("{s:i, s:s, s:s, s:[s,s,s]}", "node", 1, "incarnation", "i",
                                        "store", "default", "keys", "k1", "k2", "k3"), NULL, 0);
    STEP(p, "artifact.put", artifact("x", "k1", 'a'), x, blob1);
    STEP(p, "artifact.put", artifact("d/y", "k2", 'a'), y, blob1); /* equal bytes: one more reference */
    STEP(p, "artifact.put", artifact("x", "k3", 'b'), x, blob1, blob2);
    STEP(p, "artifact.delete", json_pack("{s:i, s:s}", "repo_id", 1, "path", "d/y"), y, blob1);
    assert_same(p);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, pair_up, pair_down)
    const struct CMUnitTest tests[] = {
        T(generations_follow_users_and_policy),
        T(generations_follow_artifacts),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
