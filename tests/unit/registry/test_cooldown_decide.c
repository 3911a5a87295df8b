/* SPDX-License-Identifier: Apache-2.0 */
/* The one decision about a version: by hand, by a list, by its age under the configuration of now. */
#include "fx_registry.h"

#include "pantera/meta_cooldown.h"

#define DAY_MS (24ll * 3600 * 1000)

static struct fx_registry fx;
static int64_t repo_id; /* "central", a maven-proxy */

static int start(void **state)
{
    fx_registry_start(&fx);
    json_t *args = json_pack("{s:s, s:s, s:s, s:{s:{s:s, s:s}}}", "name", "central", "type", "maven-proxy",
                             "storage", "default", "config", "repo", "type", "maven-proxy", "storage",
                             "default");
    assert_int_equal(fx_propose(&fx, "repo.put", args), OK);
    repo_id = fx_int(&fx, "SELECT id FROM repository WHERE name = 'central'");
    return 0;
}

static int stop(void **state)
{
    fx_registry_stop(&fx);
    return 0;
}

static void configure(const char *text)
{
    json_t *args = json_pack("{s:o}", "patch", json_loads(text, 0, NULL));
    assert_int_equal(fx_propose(&fx, "cooldown.config", args), OK);
}

static void block(const char *version, const char *reason, int64_t released, int64_t until)
{
    json_t *args = json_pack("{s:I, s:s, s:s, s:s, s:I, s:I}", "repo_id", (json_int_t)repo_id, "package",
                             "com.example:lib", "version", version, "reason", reason, "released_ms",
                             (json_int_t)released, "until_ms", (json_int_t)until);
    assert_int_equal(fx_propose(&fx, "cooldown.block", args), OK);
}

static void unblock(const char *version)
{
    assert_int_equal(fx_propose(&fx, "cooldown.unblock",
                                json_pack("{s:s, s:s, s:s, s:s}", "repo", "central", "package",
                                          "com.example.lib", "version", version, "by", "admin")), OK);
}

static struct {
    const char *version;
    int64_t released;
    struct cooldown_verdict verdict;
    char reason[64];
} asked;

static void decide_on_loop(struct fx_registry *f)
{
    struct arena a;
    arena_init(&a);
    cooldown_decide(f->worker.registry, &a, registry_repo(f->worker.registry, "central"), "com.example:lib",
                    asked.version, asked.released, &asked.verdict);
    snprintf(asked.reason, sizeof asked.reason, "%s", asked.verdict.reason ? asked.verdict.reason : "");
    arena_release(&a);
}

static struct cooldown_verdict decide(const char *version, int64_t released)
{
    asked.version = version;
    asked.released = released;
    fx_on_loop(&fx, decide_on_loop);
    return asked.verdict;
}

static void age_is_judged_by_the_configuration_of_now(void **state)
{
    int64_t now = clock_wall_ms(), young = now - 2 * DAY_MS;
    assert_true(decide("1", young).allowed); /* nothing is configured */
    configure("{\"enabled\": true, \"minimum_allowed_age\": \"7d\"}");
    struct cooldown_verdict v = decide("1", young);
    assert_false(v.allowed);
    assert_true(v.record);
    assert_string_equal(asked.reason, "TOO_YOUNG");
    assert_int_equal(v.until_ms, young + 7 * DAY_MS);
    assert_true(decide("1", now - 8 * DAY_MS).allowed);
    block("1", "TOO_YOUNG", young, v.until_ms);
    assert_false(decide("1", young).record);
    assert_false(decide("1", 0).allowed); /* the row knows its date */
    configure("{\"minimum_allowed_age\": \"1d\"}");
    assert_true(decide("1", young).allowed);
    configure("{\"minimum_allowed_age\": \"30d\"}");
    assert_int_equal(decide("1", young).until_ms, young + 30 * DAY_MS);
    configure("{\"repo_types\": {\"maven-proxy\": {\"enabled\": false}}}");
    assert_true(decide("1", young).allowed);
}

/* The original let through whatever had no date, or a lookup that failed. */
static void what_has_no_date_is_not_old(void **state)
{
    configure("{\"enabled\": true, \"minimum_allowed_age\": \"7d\"}");
    assert_false(decide("2", 0).allowed);
    assert_string_equal(asked.reason, "UNKNOWN_AGE");
    assert_false(decide("2", INT64_MAX).allowed); /* no overflow into the past */
    assert_true(decide("2", INT64_MAX).until_ms > clock_wall_ms());
    unblock("2");
    assert_true(decide("2", 0).allowed);
}

static void an_unblock_wins_and_stays(void **state)
{
    int64_t young = clock_wall_ms() - DAY_MS;
    configure("{\"enabled\": true, \"minimum_allowed_age\": \"7d\"}");
    block("3", "TOO_YOUNG", young, young + 7 * DAY_MS);
    unblock("3"); /* by the other spelling of the name */
    assert_true(decide("3", young).allowed);
    block("3", "TOO_YOUNG", young, young + 7 * DAY_MS); /* a proxy that had not heard of it */
    configure("{\"minimum_allowed_age\": \"90d\"}");
    assert_true(decide("3", young).allowed);
    assert_false(decide("4", young).allowed); /* of that version only */
}

static void a_lists_block_is_not_a_matter_of_age(void **state)
{
    int64_t old = clock_wall_ms() - 900 * DAY_MS;
    block("5", "MALWARE", old, clock_wall_ms() + DAY_MS);
    assert_false(decide("5", old).allowed); /* cooldown is off */
    assert_string_equal(asked.reason, "MALWARE");
    block("6", "MALWARE", old, 5); /* it has ended */
    assert_true(decide("6", old).allowed);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(age_is_judged_by_the_configuration_of_now), TEST(what_has_no_date_is_not_old),
        TEST(an_unblock_wins_and_stays), TEST(a_lists_block_is_not_a_matter_of_age),
    };
    log_init(LOG_WARN, 0);
    work_pool_start(2);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    work_pool_stop();
    return failed;
}
