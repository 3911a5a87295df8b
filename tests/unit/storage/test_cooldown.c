/* SPDX-License-Identifier: Apache-2.0 */
/* Cooldown: what the configuration means, blocks in line with it, decisions that stand, lists by index. */
#include "fx_meta.h"

#include "pantera/clock.h"
#include "pantera/meta_cooldown.h"

#define DAY_MS (24ll * 3600 * 1000)
#define FAR ((int64_t)1 << 50)

static struct fx_meta fx;

static int setup(void **state)
{
    fx_meta_open(&fx);
    fx_meta_basics(&fx); /* repository 1: "files", no proxy */
    assert_int_equal(fx_repo(&fx, "central", json_pack("{s:{s:s, s:s}}", "repo", "type", "maven-proxy",
                                                       "storage", "default")), OK); /* 2 */
    assert_int_equal(fx_repo(&fx, "npmjs", json_pack("{s:{s:s, s:s}}", "repo", "type", "npm-proxy",
                                                     "storage", "default")), OK); /* 3 */
    return 0;
}

static int teardown(void **state)
{
    fx_meta_close(&fx);
    return 0;
}

static enum err block(int64_t repo, const char *package, const char *version, const char *reason,
                      int64_t released, int64_t until)
{
    return fx_run(&fx, "cooldown.block",
                  json_pack("{s:I, s:s, s:s, s:s, s:I, s:I}", "repo_id", (json_int_t)repo, "package",
                            package, "version", version, "reason", reason, "released_ms",
                            (json_int_t)released, "until_ms", (json_int_t)until), NULL);
}

static bool more(const char *op, json_t *args)
{
    json_t *result = NULL;
    assert_int_equal(fx_run(&fx, op, args, &result), OK);
    bool yes = json_is_true(json_object_get(result, "more"));
    json_decref(result);
    return yes;
}

static json_t *patch(const char *text)
{
    json_t *value = json_loads(text, 0, NULL);
    return json_pack("{s:o, s:i}", "patch", value, "limit", 2);
}

static struct cooldown_state state_of(int64_t repo, const char *key, const char *version, int64_t now)
{
    struct cooldown_state s;
    cooldown_state(fx.reader, repo, key, version, now, &s);
    return s;
}

static void a_rule_is_the_repositorys_then_the_types_then_the_global(void **state)
{
    json_t *config = json_loads("{\"enabled\": true, \"minimum_allowed_age\": \"7d\", \"repo_types\": "
                                "{\"npm-proxy\": {\"enabled\": false}, \"maven-proxy\": "
                                "{\"minimum_allowed_age\": \"P3D\"}}}", 0, NULL);
    json_t *own = json_loads("{\"repo\": {\"cooldown\": {\"duration\": \"P30D\"}}}", 0, NULL);
    struct cooldown_rule r = cooldown_rule(config, "go-proxy", NULL);
    assert_true(r.enabled && r.age_ms == 7 * DAY_MS);
    r = cooldown_rule(config, "maven-proxy", NULL);
    assert_true(r.enabled && r.age_ms == 3 * DAY_MS);
    assert_false(cooldown_rule(config, "npm-proxy", NULL).enabled);
    r = cooldown_rule(config, "npm-proxy", own);
    assert_true(r.enabled && r.age_ms == 30 * DAY_MS);
    assert_false(cooldown_rule(config, "maven", NULL).enabled);
    assert_false(cooldown_rule(NULL, "maven-proxy", NULL).enabled);
    json_t *text = cooldown_config_describe(config);
    assert_string_equal(json_string_value(json_object_get(json_object_get(json_object_get(text,
        "repo_types"), "maven-proxy"), "minimum_allowed_age")), "3d");
    json_decref(text);
    json_decref(config);
    json_decref(own);
}

static void what_is_wrong_is_named(void **state)
{
    static const char *const bad[][2] = {
        { "{\"enabled\": 1}", "enabled" },
        { "{\"minimum_allowed_age\": 7}", "minimum_allowed_age" },
        { "{\"minimum_allowed_age\": \"soon\"}", "minimum_allowed_age" },
        { "{\"minimum_allowed_age\": \"30s\"}", "minimum_allowed_age" },
        { "{\"minimum_allowed_age\": \"9999d\"}", "minimum_allowed_age" },
        { "{\"colour\": \"red\"}", "colour" },
        { "{\"repo_types\": []}", "repo_types" },
        { "{\"repo_types\": {\"rpm-proxy\": {}}}", "rpm-proxy" },
        { "{\"repo_types\": {\"npm-proxy\": true}}", "npm-proxy" },
        { "{\"repo_types\": {\"npm-proxy\": {\"minimum_allowed_age\": \"x\"}}}", "npm-proxy" },
        { "{\"unknown\": \"maybe\"}", "unknown" }, { "{\"unknown\": true}", "unknown" },
        { "{\"frozen_at\": \"yesterday\"}", "frozen_at" }, { "{\"frozen_at\": 7}", "frozen_at" },
        { "{\"release_contact\": \"\"}", "release_contact" },
        { "{\"release_contact\": \"a\\nb\"}", "release_contact" },
        { "{\"duration\": \"7d\"}", "duration" },
        { "{\"repo_types\": {\"npm-proxy\": {\"release_contact\": \"x\"}}}", "release_contact" },
        { "{\"repo_types\": {\"npm-proxy\": {\"unknown\": \"x\"}}}", "npm-proxy.unknown" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(fx_run(&fx, "cooldown.config", patch(bad[i][0]), NULL), ERR_BAD_REQUEST);
        assert_non_null(strstr(fx.why.text, bad[i][1]));
    }
    assert_int_equal(fx_int(&fx, "SELECT count(*) FROM setting"), 0);
}

static void a_change_moves_and_releases_blocks_in_steps(void **state)
{
    char version[16];
    for (int i = 0; i < 5; i++) {
        snprintf(version, sizeof version, "1.%d", i);
        assert_int_equal(block(2, "a:b", version, "TOO_YOUNG", 1000 + i, FAR), OK);
    }
    assert_int_equal(block(2, "a:b", "9", "MALICIOUS", 1000, FAR), OK);
    assert_int_equal(block(3, "left-pad", "1", "TOO_YOUNG", 1000, FAR), OK);
    int steps = 1;
    while (more("cooldown.config", patch("{\"enabled\": true, \"minimum_allowed_age\": \"1d\"}")))
        steps++;
    assert_int_equal(steps, 4); /* two rows a step, six to move, and one look that finds none */
    assert_int_equal(state_of(2, "a.b", "1.3", 0).until_ms, 1003 + DAY_MS);
    assert_true(state_of(2, "a.b", "9", 0).until_ms == FAR);
    while (more("cooldown.config", patch("{\"repo_types\": {\"maven-proxy\": {\"enabled\": false}}}")))
        ;
    while (more("cooldown.config", patch("{\"repo_types\": {\"helm-proxy\": {\"enabled\": false}}}")))
        ; /* every type that fetches from elsewhere can be told apart */
    assert_int_equal(fx_int(&fx, "SELECT count(*) FROM cooldown_block WHERE repo_id = 2"), 1); /* its */
    assert_int_equal(fx_int(&fx, "SELECT count(*) FROM cooldown_block WHERE repo_id = 3"), 1);
}

/* A repository's own words, by its repo.put and by what that leaves to do; of others nothing moves. */
static void a_repository_that_changes_brings_its_blocks_in_line(void **state)
{
    char version[16];
    int steps = 1;
    for (int i = 0; i < 5; i++) {
        snprintf(version, sizeof version, "1.%d", i);
        assert_int_equal(block(2, "a:b", version, "TOO_YOUNG", 1000 + i, FAR), OK);
    }
    assert_int_equal(block(3, "left-pad", "1", "TOO_YOUNG", 1000, FAR), OK);
    assert_int_equal(fx_run(&fx, "repo.put", json_pack("{s:s, s:s, s:s, s:{s:{s:s, s:s, s:{s:s}}}}", "name",
        "central", "type", "maven-proxy", "storage", "default", "config", "repo", "type", "maven-proxy",
        "storage", "default", "cooldown", "duration", "1d"), NULL), OK);
    assert_int_equal(state_of(2, "a.b", "1.3", 0).until_ms, 1003 + DAY_MS);
    assert_true(state_of(3, "left-pad", "1", 0).until_ms == FAR);
    /* the same in steps: what is not in line is found anew each time */
    assert_int_equal(fx_run(&fx, "repo.put", json_pack("{s:s, s:s, s:s, s:{s:{s:s, s:s, s:{s:b}}}}", "name",
        "central", "type", "maven-proxy", "storage", "default", "config", "repo", "type", "maven-proxy",
        "storage", "default", "cooldown", "enabled", 0), NULL), OK);
    assert_int_equal(fx_int(&fx, "SELECT count(*) FROM cooldown_block WHERE repo_id = 2"), 0);
    for (int i = 0; i < 5; i++) {
        snprintf(version, sizeof version, "1.%d", i);
        assert_int_equal(block(2, "a:b", version, "TOO_YOUNG", 1000 + i, FAR), OK);
    }
    while (more("cooldown.review", json_pack("{s:i, s:i}", "repo_id", 2, "limit", 2)))
        steps++;
    assert_int_equal(steps, 3);
    assert_int_equal(fx_int(&fx, "SELECT count(*) FROM cooldown_block"), 1);
    assert_false(more("cooldown.review", json_pack("{s:i}", "repo_id", 99)));
}

/* --- the age's part of the decision --- */

#define NOW (1000 * DAY_MS)

static struct cooldown_rule rule_of(const char *config, const char *own)
{
    json_t *c = json_loads(config, 0, NULL), *o = own ? json_loads(own, 0, NULL) : NULL;
    struct cooldown_rule rule = cooldown_rule(c, "npm-proxy", o);
    assert_non_null(c);
    json_decref(c);
    json_decref(o);
    return rule;
}

static void says(const char *config, int64_t released, int64_t seen, const char *expected, int64_t until)
{
    struct cooldown_rule rule = rule_of(config, NULL);
    struct cooldown_ruling r = cooldown_rule_judge(&rule, released, seen, NOW);
    assert_string_equal(r.allowed ? "allowed" : r.reason, expected);
    assert_int_equal(r.until_ms, until);
}

static void an_age_is_judged(void **state)
{
#define ON "\"enabled\": true, \"minimum_allowed_age\": \"7d\""
    says("{}", NOW, 0, "allowed", 0);
    says("{" ON "}", NOW - 8 * DAY_MS, 0, "allowed", 0);
    says("{" ON "}", NOW - 7 * DAY_MS, 0, "allowed", 0);
    says("{" ON "}", NOW - 2 * DAY_MS, 0, "TOO_YOUNG", NOW + 5 * DAY_MS);
    says("{" ON "}", INT64_MAX, 0, "TOO_YOUNG", NOW + COOLDOWN_AGE_MOST_MS + 7 * DAY_MS);
    /* without a date: as old as we know it, unless it is said otherwise */
    says("{" ON "}", 0, 0, "UNKNOWN_AGE", NOW + 7 * DAY_MS);
    says("{" ON "}", 0, NOW - 3 * DAY_MS, "UNKNOWN_AGE", NOW + 4 * DAY_MS);
    says("{" ON "}", 0, NOW - 7 * DAY_MS, "allowed", 0);
    says("{" ON ", \"unknown\": \"allow\"}", 0, 0, "allowed", 0);
    says("{" ON ", \"unknown\": \"block\"}", 0, NOW - 900 * DAY_MS, "UNKNOWN_AGE", 0);
    says("{" ON ", \"unknown\": \"block\"}", NOW - 8 * DAY_MS, 0, "allowed", 0);
    struct cooldown_rule rule = rule_of("{" ON "}", NULL);
    assert_true(cooldown_rule_judge(&rule, 0, 0, NOW).unseen);
    assert_false(cooldown_rule_judge(&rule, 0, 1, NOW).unseen);
    assert_false(cooldown_rule_judge(&rule, 1, 0, NOW).unseen);
}

static void a_freeze_holds_what_came_after_it(void **state)
{
#define FREEZE ", \"frozen_at\": \"1972-08-29\"" /* day 971 */
    says("{" ON FREEZE "}", 970 * DAY_MS, 0, "allowed", 0);
    says("{" ON FREEZE "}", 971 * DAY_MS, 0, "allowed", 0);
    says("{" ON FREEZE "}", 971 * DAY_MS + 1, 0, "FROZEN", 0);
    says("{" ON FREEZE "}", NOW, 0, "FROZEN", 0);
    says("{" ON FREEZE "}", 0, 970 * DAY_MS, "allowed", 0);
    says("{" ON FREEZE "}", 0, 980 * DAY_MS, "UNKNOWN_AGE", 0);
    /* a repository's own words win, piece by piece */
#define OWN(text) "{\"repo\": {\"cooldown\": {" text "}}}"
    struct cooldown_rule rule = rule_of("{" ON FREEZE "}", OWN("\"frozen_at\": null"));
    assert_true(rule.enabled && !rule.frozen_ms && rule.age_ms == 7 * DAY_MS);
    rule = rule_of("{}", OWN("\"frozen_at\": \"2000-01-01\", \"unknown\": \"allow\""));
    assert_true(rule.enabled && rule.frozen_ms == 946684800000 && rule.unknown == COOLDOWN_ALLOW);
    rule = rule_of("{" ON "}", OWN("\"enabled\": false, \"duration\": \"3d\""));
    assert_false(rule.enabled);
    rule = rule_of("{" ON FREEZE ", \"repo_types\": {\"npm-proxy\": {\"frozen_at\": null}}}", NULL);
    assert_int_equal(rule.frozen_ms, 0);
}

static void settle(const char *config)
{
    while (more("cooldown.config", patch(config)))
        ;
}

/* What the rows say is what the rule would say. */
static void blocks_follow_freezes_and_unknowns(void **state)
{
    fx.now_ms = NOW;
    int64_t day = fx.now_ms / DAY_MS, young = (day - 1) * DAY_MS, old = (day - 5) * DAY_MS;
    char config[200], date[32];
    settle("{" ON "}");
    assert_int_equal(block(3, "p", "1", "TOO_YOUNG", young, young + 7 * DAY_MS), OK);
    assert_int_equal(block(3, "p", "2", "TOO_YOUNG", old, old + 7 * DAY_MS), OK);
    assert_int_equal(block(3, "p", "3", "UNKNOWN_AGE", young, young + 7 * DAY_MS), OK);
    assert_int_equal(block(3, "p", "4", "UNKNOWN_AGE", 0, 0), OK);
    assert_int_equal(block(3, "p", "5", "MALWARE", 0, 0), OK);
    assert_true(state_of(3, "p", "4", NOW).by_age && !state_of(3, "p", "5", NOW).by_age);
    assert_int_equal(state_of(3, "p", "4", NOW).released_ms / DAY_MS, day);
    assert_int_equal(state_of(3, "p", "5", NOW).until_ms, COOLDOWN_FOREVER_MS);
    snprintf(config, sizeof config, "{\"frozen_at\": \"%.10s\"}", clock_rfc3339((day - 3) * DAY_MS, date));
    settle(config);
    assert_string_equal(state_of(3, "p", "1", NOW).reason, "FROZEN");
    assert_int_equal(state_of(3, "p", "1", NOW).until_ms, COOLDOWN_FOREVER_MS);
    assert_int_equal(state_of(3, "p", "2", NOW).until_ms, old + 7 * DAY_MS);
    assert_int_equal(state_of(3, "p", "3", NOW).until_ms, COOLDOWN_FOREVER_MS);
    settle("{\"frozen_at\": null}");
    assert_string_equal(state_of(3, "p", "1", NOW).reason, "TOO_YOUNG");
    assert_int_equal(state_of(3, "p", "1", NOW).until_ms, young + 7 * DAY_MS);
    assert_int_equal(state_of(3, "p", "3", NOW).until_ms, young + 7 * DAY_MS);
    settle("{\"unknown\": \"block\"}");
    assert_int_equal(state_of(3, "p", "3", NOW).until_ms, COOLDOWN_FOREVER_MS);
    assert_int_equal(state_of(3, "p", "1", NOW).until_ms, young + 7 * DAY_MS);
    settle("{\"unknown\": \"allow\"}");
    assert_int_equal(fx_int(&fx, "SELECT count(*) FROM cooldown_block"), 3);
    settle("{\"enabled\": false}");
    assert_int_equal(fx_int(&fx, "SELECT count(*) FROM cooldown_block"), 1); /* the list's */
}

/* --- exemptions, and what is known since when --- */

static enum err exempt(const char *repo, const char *package, const char *version, int64_t until)
{
    return fx_run(&fx, "cooldown.exempt",
                  json_pack("{s:s*, s:s*, s:s*, s:s, s:I}", "repo", repo, "package", package, "version",
                            version, "reason", "ours", "until_ms", (json_int_t)until), NULL);
}

static void patterns(void **state)
{
    static const char *const fits[][2] = {
        { "a", "a" }, { "*", "" }, { "*", "abc" }, { "a*", "a" }, { "@ours/*", "@ours/x/y" },
        { "*b*d", "abcbd" }, { "a?c", "abc" }, { "**a**", "xax" }, { "org.ours.*", "org.ours.lib" },
        { "a*a*a", "aaaa" },
    };
    static const char *const differs[][2] = {
        { "a", "b" }, { "a", "" }, { "", "a" }, { "a*", "ba" }, { "@ours/*", "@ours" }, { "a?c", "ac" },
        { "*b", "abc" }, { "A", "a" }, { "a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
    };
    for (size_t i = 0; i < sizeof fits / sizeof *fits; i++)
        assert_true(cooldown_pattern_fits(fits[i][0], fits[i][1]));
    for (size_t i = 0; i < sizeof differs / sizeof *differs; i++)
        assert_false(cooldown_pattern_fits(differs[i][0], differs[i][1]));
}

static void exemptions_are_kept(void **state)
{
    struct cooldown_exemption *list;
    unsigned count;
    assert_int_equal(exempt(NULL, "@ours/*", "*", 0), OK);
    assert_int_equal(exempt("npmjs", "left-pad", "1.*", FAR), OK);
    assert_int_equal(exempt("central", "org.ours:*", "*", FAR), OK);
    assert_int_equal(exempt("none", "x", "*", FAR), ERR_NOT_FOUND);
    assert_int_equal(exempt(NULL, "x", "*", 1), ERR_BAD_REQUEST); /* over */
    assert_int_equal(exempt(NULL, "", "*", 0), ERR_BAD_REQUEST);
    assert_int_equal(exempt(NULL, "x", NULL, 0), ERR_BAD_REQUEST);
    assert_int_equal(exempt(NULL, "*********", "*", 0), ERR_BAD_REQUEST);
    cooldown_exemptions(fx.reader, &fx.arena, 0, &list, &count);
    assert_int_equal(count, 3);
    assert_null(list[0].repo);
    assert_string_equal(list[1].repo, "npmjs");
    assert_string_equal(list[1].version, "1.*");
    cooldown_exemptions(fx.reader, &fx.arena, 3, &list, &count);
    assert_int_equal(count, 2);
    json_t *gone = json_pack("{s:I}", "id", (json_int_t)list[0].id);
    assert_int_equal(fx_run(&fx, "cooldown.unexempt", json_incref(gone), NULL), OK);
    assert_int_equal(fx_run(&fx, "cooldown.unexempt", gone, NULL), ERR_NOT_FOUND);
    assert_int_equal(exempt(NULL, "x", "*", 0), OK);
    cooldown_exemptions(fx.reader, &fx.arena, 0, &list, &count);
    assert_int_equal(list[count - 1].id, 4); /* a number is never another's */
}

static int64_t seen_ms;

static void on_seen(const char *version, int64_t ms, void *arg)
{
    if (strcmp(version, arg) == 0)
        seen_ms = ms;
}

static void what_is_seen_stays_seen(void **state)
{
    int64_t first = fx.now_ms;
    json_t *args = json_pack("{s:i, s:s, s:[s, s]}", "repo_id", 2, "package", "a:b", "versions", "1", "2");
    assert_int_equal(fx_run(&fx, "cooldown.seen", json_incref(args), NULL), OK);
    fx.now_ms += DAY_MS;
    assert_int_equal(fx_run(&fx, "cooldown.seen", args, NULL), OK);
    cooldown_seen(fx.reader, 2, "a.b", on_seen, (void *)(uintptr_t)"2");
    assert_in_range(seen_ms, first, first + 1000);
    assert_int_equal(fx_int(&fx, "SELECT count(*) FROM cooldown_seen"), 2);
    assert_int_equal(fx_run(&fx, "cooldown.seen", json_pack("{s:i, s:s, s:[s]}", "repo_id", 77, "package",
                                                            "p", "versions", "1"), NULL), ERR_NOT_FOUND);
    assert_int_equal(exempt("central", "x", "*", 0), OK);
    assert_int_equal(fx_run(&fx, "repo.delete", json_pack("{s:s}", "name", "central"), NULL), OK);
    while (more("repo.sweep", json_pack("{s:i}", "limit", 1)))
        ;
    assert_int_equal(fx_int(&fx, "SELECT count(*) FROM cooldown_seen"), 0);
    assert_int_equal(fx_int(&fx, "SELECT count(*) FROM cooldown_exemption"), 0);
}

static void an_unblock_stays_in_both_spellings(void **state)
{
    assert_int_equal(block(2, "com.example:lib", "1.0", "TOO_YOUNG", 1000, FAR), OK);
    assert_true(state_of(2, "com.example.lib", "1.0", 5000).blocked);
    assert_int_equal(fx_run(&fx, "cooldown.unblock",
                            json_pack("{s:s, s:s, s:s}", "repo", "central", "package", "com.example.lib",
                                      "version", "1.0"), NULL), OK);
    struct cooldown_state s = state_of(2, cooldown_key(&fx.arena, "maven-proxy", "com.example:lib"), "1.0",
                                       5000);
    assert_true(s.allowed && !s.blocked);
    assert_int_equal(block(2, "com.example:lib", "1.0", "TOO_YOUNG", 1000, FAR), OK);
    assert_false(state_of(2, "com.example.lib", "1.0", 5000).blocked);
    assert_int_equal(fx_run(&fx, "cooldown.unblock", json_pack("{s:s, s:s, s:s}", "repo", "none",
                                                               "package", "p", "version", "1"), NULL),
                     ERR_NOT_FOUND);
    assert_int_equal(fx_run(&fx, "cooldown.unblock", json_pack("{s:s, s:s}", "repo", "central",
                                                               "package", "p"), NULL), ERR_BAD_REQUEST);
    assert_string_equal(cooldown_key(&fx.arena, "npm-proxy", "@a:b/c"), "@a:b/c");
    assert_string_equal(cooldown_key(&fx.arena, "pypi-proxy", "Some_.Lib-9"), "some-lib-9");
}

static void unblock_all_allows_what_was_there(void **state)
{
    char version[16];
    json_t *result = NULL;
    for (int i = 0; i < 5; i++) {
        snprintf(version, sizeof version, "1.%d", i);
        assert_int_equal(block(3, "left-pad", version, "TOO_YOUNG", 1000, FAR), OK);
    }
    assert_int_equal(block(2, "a:b", "1", "TOO_YOUNG", 1000, FAR), OK);
    assert_int_equal(fx_run(&fx, "cooldown.unblock_all", json_pack("{s:s, s:i}", "repo", "npmjs", "limit",
                                                                   3), &result), OK);
    json_int_t before = json_integer_value(json_object_get(result, "before_ms"));
    assert_true(json_is_true(json_object_get(result, "more")));
    json_decref(result);
    assert_int_equal(block(3, "late", "1", "TOO_YOUNG", 1000, FAR), OK);
    assert_false(more("cooldown.unblock_all", json_pack("{s:s, s:i, s:I}", "repo", "npmjs", "limit", 3,
                                                        "before_ms", before)));
    assert_true(state_of(3, "left-pad", "1.4", 5000).allowed);
    assert_true(state_of(3, "late", "1", 5000).blocked);
    assert_true(state_of(2, "a.b", "1", 5000).blocked);
    assert_int_equal(fx_int(&fx, "SELECT count(*) FROM cooldown_decision"), 5);
}

static struct cooldown_row *list(struct cooldown_query q, unsigned expected, int64_t total)
{
    struct cooldown_row *rows;
    unsigned count;
    int64_t all;
    q.limit = q.limit ? q.limit : 50;
    q.now_ms = q.now_ms ? q.now_ms : 5000;
    cooldown_list(fx.reader, &fx.arena, &q, &rows, &count, &all);
    assert_int_equal(count, expected);
    assert_int_equal(all, total);
    return rows;
}

static void the_list_is_filtered_sorted_and_paged(void **state)
{
    json_t *only = json_pack("[i]", 3);
    assert_int_equal(block(2, "org.x:guava", "2", "TOO_YOUNG", 1, 90000), OK);
    assert_int_equal(block(3, "chalk", "3", "TOO_YOUNG", 1, 80000), OK);
    assert_int_equal(block(3, "a_b", "1", "TOO_YOUNG", 1, 70000), OK);
    assert_string_equal(list((struct cooldown_query){ .descending = true }, 3, 3)[0].package, "a_b");
    assert_string_equal(list((struct cooldown_query){ .sort = COOLDOWN_BY_PACKAGE }, 3, 3)[1].package,
                        "chalk");
    assert_string_equal(list((struct cooldown_query){ .sort = COOLDOWN_BY_UNTIL }, 3, 3)[0].package, "a_b");
    assert_string_equal(list((struct cooldown_query){ .sort = COOLDOWN_BY_VERSION }, 3, 3)[0].version, "1");
    assert_string_equal(list((struct cooldown_query){ .sort = COOLDOWN_BY_REPO, .descending = true }, 3,
                             3)[0].repo, "npmjs");
    assert_string_equal(list((struct cooldown_query){ .search = "GUAVA" }, 1, 1)[0].repo, "central");
    list((struct cooldown_query){ .search = "npmj" }, 2, 2);
    list((struct cooldown_query){ .search = "_" }, 1, 1); /* not LIKE's sign */
    list((struct cooldown_query){ .repo_ids = only }, 2, 2);
    list((struct cooldown_query){ .limit = 2, .offset = 2 }, 1, 3);
    list((struct cooldown_query){ .now_ms = 75000 }, 2, 2); /* one has ended */
    json_decref(only);
}

static void ended_blocks_and_deleted_repositories_go(void **state)
{
    assert_int_equal(block(2, "a:b", "1", "TOO_YOUNG", 1, fx.now_ms + 2), OK);
    fx.now_ms += 100;
    assert_int_equal(block(2, "a:b", "2", "TOO_YOUNG", 1, FAR), OK);
    assert_int_equal(fx_int(&fx, "SELECT count(*) FROM cooldown_block"), 1);
    assert_int_equal(fx_run(&fx, "cooldown.unblock", json_pack("{s:s, s:s, s:s}", "repo", "central",
                                                               "package", "p", "version", "1"), NULL), OK);
    assert_int_equal(fx_run(&fx, "repo.delete", json_pack("{s:s}", "name", "central"), NULL), OK);
    list((struct cooldown_query){ 0 }, 0, 0);
    while (more("repo.sweep", json_pack("{s:i}", "limit", 2)))
        ;
    assert_int_equal(fx_int(&fx, "SELECT count(*) FROM cooldown_block"), 0);
    assert_int_equal(fx_int(&fx, "SELECT count(*) FROM cooldown_decision"), 0);
    assert_int_equal(block(2, "a:b", "2", "TOO_YOUNG", 1, FAR), ERR_NOT_FOUND);
}

/* Each order of the list reads an index in that order. */
static void no_list_sorts_or_scans(void **state)
{
    static const struct { enum cooldown_sort sort; const char *index; } orders[] = {
        { COOLDOWN_BY_DATE, "cooldown_block_by_date" }, { COOLDOWN_BY_UNTIL, "cooldown_block_by_until" },
        { COOLDOWN_BY_PACKAGE, "cooldown_block_by_package" },
        { COOLDOWN_BY_VERSION, "cooldown_block_by_version" },
        { COOLDOWN_BY_REPO, "SEARCH b USING PRIMARY KEY (repo_id=?)" },
    };
    for (size_t i = 0; i < 2 * sizeof orders / sizeof *orders; i++) {
        char path[96], *plan = arena_alloc(&fx.arena, 4096);
        sqlite3 *db;
        sqlite3_stmt *stmt;
        struct cooldown_query q = { .sort = orders[i / 2].sort, .descending = i & 1 };
        snprintf(path, sizeof path, "%s/" META_FILE, fx.dir);
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        char *sql = arena_printf(&fx.arena, "EXPLAIN QUERY PLAN %s", cooldown_list_sql(&q));
        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
        while (sqlite3_step(stmt) == SQLITE_ROW) {
            strncat(plan, (const char *)sqlite3_column_text(stmt, 3), 1000);
            strncat(plan, "\n", 2);
        }
        sqlite3_finalize(stmt);
        sqlite3_close(db);
        if (!strstr(plan, orders[i / 2].index) || strstr(plan, "TEMP B-TREE FOR ORDER"))
            print_message("order %zu: %s", i, plan);
        assert_non_null(strstr(plan, orders[i / 2].index));
        assert_null(strstr(plan, "TEMP B-TREE FOR ORDER"));
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_rule_is_the_repositorys_then_the_types_then_the_global), TEST(what_is_wrong_is_named),
        TEST(a_change_moves_and_releases_blocks_in_steps),
        TEST(a_repository_that_changes_brings_its_blocks_in_line), TEST(an_unblock_stays_in_both_spellings),
        TEST(unblock_all_allows_what_was_there), TEST(the_list_is_filtered_sorted_and_paged),
        TEST(an_age_is_judged), TEST(a_freeze_holds_what_came_after_it),
        TEST(blocks_follow_freezes_and_unknowns), TEST(patterns), TEST(exemptions_are_kept),
        TEST(what_is_seen_stays_seen), TEST(ended_blocks_and_deleted_repositories_go),
        TEST(no_list_sorts_or_scans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
