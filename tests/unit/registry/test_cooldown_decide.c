/* SPDX-License-Identifier: Apache-2.0 */
/* The one decision about a version: by hand, by a list, by its age under the configuration of now. */
#include "fx_registry.h"

#include "pantera/meta_cooldown.h"
#include "src/registry/policy_view.h"

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

/* --- views: what they say at another time, and how it is said --- */

static struct {
    const char *package, *version;
    int64_t released, now;
    struct cooldown_verdict verdict;
    struct why why;
} looked;

static void look_on_loop(struct fx_registry *f)
{
    struct policy_view *v = policy_view_get(f->worker.registry, registry_repo(f->worker.registry, "central"),
                                            looked.package);
    looked.verdict = policy_verdict_of(v, looked.version, looked.released, looked.now);
    looked.why.text[0] = 0;
    if (!looked.verdict.allowed)
        assert_int_equal(policy_refuse(&looked.why, v, looked.package, looked.version, &looked.verdict),
                         ERR_FORBIDDEN);
    policy_view_flush(&f->worker, v);
    policy_view_release(v);
}

static struct cooldown_verdict look(const char *package, const char *version, int64_t released, int64_t now)
{
    looked.package = package;
    looked.version = version;
    looked.released = released;
    looked.now = now;
    fx_on_loop(&fx, look_on_loop);
    return looked.verdict;
}

static void an_unknown_age_begins_when_it_is_seen(void **state)
{
    int64_t now = clock_wall_ms();
    configure("{\"enabled\": true, \"minimum_allowed_age\": \"7d\"}");
    struct cooldown_verdict v = look("a:b", "1", 0, now);
    assert_string_equal(v.reason, "UNKNOWN_AGE");
    assert_int_equal(v.until_ms, now + 7 * DAY_MS);
    for (int i = 0; i < 500 && !fx_int(&fx, "SELECT count(*) FROM cooldown_seen WHERE key = 'a.b'"); i++)
        usleep(10000);
    int64_t seen = fx_int(&fx, "SELECT seen_ms FROM cooldown_seen WHERE key = 'a.b' AND version = '1'");
    assert_true(seen >= now && seen < now + 10000);
    assert_int_equal(look("a:b", "1", 0, now + DAY_MS).until_ms, seen + 7 * DAY_MS);
    assert_true(look("a:b", "1", 0, seen + 7 * DAY_MS).allowed);
    assert_false(look("a:b", "2", 0, seen + 7 * DAY_MS).allowed); /* another */
    assert_true(look("a:b", "1", now - 8 * DAY_MS, now).allowed); /* upstream knows better */
    configure("{\"unknown\": \"allow\"}");
    assert_true(look("a:b", "3", 0, now).allowed);
    assert_false(look("a:b", "3", now, now).allowed);
    configure("{\"unknown\": \"block\"}");
    assert_false(look("a:b", "1", 0, now + 900 * DAY_MS).allowed);
    assert_int_equal(looked.verdict.until_ms, 0);
}

static void exempt(const char *package, const char *version, int64_t until)
{
    assert_int_equal(fx_propose(&fx, "cooldown.exempt",
                                json_pack("{s:s, s:s, s:s, s:s, s:I}", "repo", "central", "package", package,
                                          "version", version, "reason", "ours", "until_ms",
                                          (json_int_t)until)), OK);
}

static void exemptions_pass_until_they_end(void **state)
{
    int64_t now = clock_wall_ms();
    configure("{\"enabled\": true, \"minimum_allowed_age\": \"7d\"}");
    assert_false(look("org.ours:lib", "1.0", now, now).allowed);
    exempt("org.ours:*", "1.*", now + DAY_MS);
    assert_true(look("org.ours:lib", "1.0", now, now).allowed);
    assert_true(look("org.ours.lib", "1.0", 0, now).allowed);
    assert_false(look("org.ours:lib", "2.0", now, now).allowed);
    assert_false(look("org.theirs:lib", "1.0", now, now).allowed);
    assert_false(look("org.ours:lib", "1.0", now, now + DAY_MS).allowed); /* it has ended */
    configure("{\"frozen_at\": \"2020-01-01\"}");
    assert_true(look("org.ours:lib", "1.0", now, now).allowed);
    assert_string_equal(look("org.ours:lib", "2.0", now, now).reason, "FROZEN");
    block("1.0", "MALWARE", now, 0);
    exempt("com.example*", "*", 0);
    assert_false(look("com.example:lib", "1.0", 1, now).allowed); /* no pardon for what a list names */
    assert_true(look("com.example:lib", "1.1", now, now).allowed);
}

static struct {
    struct policy_named named;
    int64_t now;
    struct cooldown_verdict verdict;
    char reason[64];
} twice;

static void twice_on_loop(struct fx_registry *f)
{
    struct policy_view *v = policy_view_get(f->worker.registry, registry_repo(f->worker.registry, "central"),
                                            twice.named.package);
    twice.verdict = policy_named_verdict(v, &twice.named, twice.now);
    snprintf(twice.reason, sizeof twice.reason, "%s", twice.verdict.allowed ? "" : twice.verdict.reason);
    policy_view_release(v);
}

static bool passes(const char *alias, const char *version, int64_t released, int64_t now)
{
    twice.named = (struct policy_named){ "com.example:lib", alias, version, released };
    twice.now = now;
    fx_on_loop(&fx, twice_on_loop);
    return twice.verdict.allowed;
}

static void seen(const char *version)
{
    assert_int_equal(fx_propose(&fx, "cooldown.seen",
                                json_pack("{s:I, s:s, s:[s]}", "repo_id", (json_int_t)repo_id, "package",
                                          "com.example:lib", "versions", version)), OK);
}

/* An image's tag and digest; what an index lists. */
static void versions_with_two_names_and_their_parts(void **state)
{
    int64_t now = clock_wall_ms(), old = now - 90 * DAY_MS, later = now + 8 * DAY_MS;
    configure("{\"enabled\": true, \"minimum_allowed_age\": \"7d\"}");
    assert_true(passes("t", "d:1", old, now));
    assert_false(passes("t", "d:1", now, now));
    assert_false(passes("t", "d:1", -1, now)); /* that is for the date to say */
    assert_string_equal(twice.reason, "");
    /* Of unknown age: as old as the digest is known, whatever the tag stood for before. */
    seen("t");
    seen("d:2");
    assert_false(passes("t", "d:2", 0, now));
    assert_string_equal(twice.reason, "UNKNOWN_AGE");
    assert_true(passes("t", "d:2", 0, later) && passes(NULL, "d:2", 0, later));
    assert_false(passes("t", "d:3", 0, later));
    /* Parts of it without a date, and theirs; those that have one are judged by that. */
    seen("d:4 in d:2 of 0");
    seen("d:5 in d:4 of 0");
    assert_true(passes(NULL, "d:4", 0, later) && passes(NULL, "d:5", 0, later));
    assert_false(passes(NULL, "d:4", 0, now) || passes(NULL, "d:4", now + 5 * DAY_MS, later) ||
                 passes(NULL, "d:40", 0, later));
    seen("d:6 in d:60 of 1577836800000");
    assert_true(passes(NULL, "d:6", 0, now));
    assert_false(passes(NULL, "d:6", now, now));
    /* By somebody's word, all of it, whatever its date. */
    seen("d:7 in tag of -1");
    seen("d:8 in d:7 of 1577836800000");
    assert_false(passes("tag", "d:7", now, now) || passes(NULL, "d:8", now, now));
    unblock("tag");
    assert_true(passes("tag", "d:7", now, now) && passes("tag", "d:7", -1, now));
    assert_true(passes(NULL, "d:7", now, now) && passes(NULL, "d:8", now, now));
    /* A list's word on either name is not lifted by the other. */
    block("d:7", "MALWARE", now, 0);
    assert_false(passes("tag", "d:7", now, now));
    assert_string_equal(twice.reason, "MALWARE");
}

static void a_block_says_why_how_long_and_whom_to_ask(void **state)
{
    int64_t now = clock_wall_ms();
    configure("{\"enabled\": true, \"minimum_allowed_age\": \"7d\"}");
    look("left:pad", "1.3.0", now - 2 * DAY_MS, now);
    assert_non_null(strstr(looked.why.text, "left:pad 1.3.0 is blocked (TOO_YOUNG, released 2d"));
    assert_non_null(strstr(looked.why.text, " ago, 5d left, until 20"));
    assert_non_null(strstr(looked.why.text, "to release it ask an administrator"));
    configure("{\"release_contact\": \"#supply-chain, or security@example.com\", "
              "\"frozen_at\": \"2020-02-03\"}");
    look("left:pad", "1.3.0", now - 2 * DAY_MS, now);
    assert_string_equal(looked.why.text, "left:pad 1.3.0 is blocked (FROZEN, released after the freeze of "
                        "2020-02-03); to release it ask #supply-chain, or security@example.com");
    look("left:pad", "9", 0, now);
    assert_non_null(strstr(looked.why.text, "(UNKNOWN_AGE, its release date is not known)"));
    block("1.0", "MALWARE", now, now + 90 * 60000);
    look("com.example:lib", "1.0", 1, now);
    assert_non_null(strstr(looked.why.text, "com.example:lib 1.0 is blocked (MALWARE, 1h 30m left, until 2"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(age_is_judged_by_the_configuration_of_now), TEST(what_has_no_date_is_not_old),
        TEST(an_unblock_wins_and_stays), TEST(a_lists_block_is_not_a_matter_of_age),
        TEST(an_unknown_age_begins_when_it_is_seen), TEST(exemptions_pass_until_they_end),
        TEST(a_block_says_why_how_long_and_whom_to_ask), TEST(versions_with_two_names_and_their_parts),
    };
    log_init(LOG_WARN, 0);
    work_pool_start(2);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    work_pool_stop();
    return failed;
}
