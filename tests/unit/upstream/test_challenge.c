/* SPDX-License-Identifier: Apache-2.0 */
/* What servers write into WWW-Authenticate and Retry-After, and what token services answer. */
#include <string.h>

#include "pantera/clock.h"
#include "src/upstream/internal.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static struct arena a;

static void check_one(const char *text, const char *realm, const char *service, const char *scope)
{
    struct challenge c;
    arena_init(&a);
    bool found = challenge_parse(&a, text, &c);
    assert_int_equal(found, realm != NULL);
    if (realm) {
        assert_string_equal(c.realm, realm);
        assert_string_equal(c.service, service);
        assert_string_equal(c.scope, scope);
    }
    arena_release(&a);
}

static void challenge_forms(void **state)
{
    check_one("Bearer realm=\"https://auth.example/token\",service=\"registry.example\","
              "scope=\"repository:library/alpine:pull\"",
              "https://auth.example/token", "registry.example", "repository:library/alpine:pull");
    check_one("bearer REALM=\"http://a/t\"", "http://a/t", "", "");
    check_one("Bearer realm = \"http://a/t\" , scope = \"a b\"", "http://a/t", "", "a b");
    check_one("Bearer realm=http://a/t,service=x", "http://a/t", "x", "");
    check_one("Bearer realm=\"http://a/t\",error=\"invalid_token\",scope=\"repo:\\\"q\\\":pull\"",
              "http://a/t", "", "repo:\"q\":pull");
    /* among others, in either order */
    check_one("Basic realm=\"x\", Bearer realm=\"http://a/t\",service=\"s\"", "http://a/t", "s", "");
    check_one("Bearer realm=\"http://a/t\",service=\"s\", Basic realm=\"x\"", "http://a/t", "s", "");
    check_one("Negotiate YWJj==, Bearer realm=\"http://a/t\"", "http://a/t", "", "");
    check_one("Negotiate, Bearer realm=\"http://a/t\"", "http://a/t", "", "");
    check_one("Digest realm=\"d\", nonce=\"n,Bearer realm=z\"", NULL, NULL, NULL);
    /* not one */
    check_one("", NULL, NULL, NULL);
    check_one("Basic realm=\"http://a/t\"", NULL, NULL, NULL);
    check_one("Bearer", NULL, NULL, NULL);
    check_one("Bearer service=\"s\"", NULL, NULL, NULL);
    check_one("Bearer realm=\"\"", NULL, NULL, NULL);
    check_one("Bearer realm=\"a b\"", NULL, NULL, NULL);
    check_one("Bearer realm=\"http://a/t", "http://a/t", "", "");
    check_one("\"\"\",,,;;Bearer realm=\"http://a/t\\", "http://a/t\\", "", "");
}

static void token_answers(void **state)
{
    static const struct {
        const char *json, *token;
        int64_t life_ms;
    } table[] = {
        { "{\"token\": \"abc\", \"expires_in\": 300}", "abc", 300000 },
        { "{\"access_token\": \"def\"}", "def", 60000 },
        { "{\"token\": \"\", \"access_token\": \"def\", \"expires_in\": 0}", "def", 60000 },
        { "{\"token\": \"abc\", \"expires_in\": 9000000000000000000}", "abc", 86400000 },
        { "{\"token\": \"a\\r\\nX: y\"}", NULL, 0 },
        { "{\"token\": \"a b\"}", NULL, 0 },
        { "{\"token\": 7}", NULL, 0 },
        { "[]", NULL, 0 },
        { "nonsense", NULL, 0 },
        { "", NULL, 0 },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const char *token = NULL;
        int64_t life = 0;
        arena_init(&a);
        bool good = token_answer_parse(&a, table[i].json, strlen(table[i].json), &token, &life);
        assert_int_equal(good, table[i].token != NULL);
        if (good) {
            assert_string_equal(token, table[i].token);
            assert_int_equal(life, table[i].life_ms);
        }
        arena_release(&a);
    }
}

static void retry_after_is_bounded(void **state)
{
    char date[32];
    int64_t now = 1700000000000;
    assert_int_equal(retry_after_parse(NULL, now), 0);
    assert_int_equal(retry_after_parse("", now), 0);
    assert_int_equal(retry_after_parse("soon", now), 0);
    assert_int_equal(retry_after_parse("-5", now), 0);
    assert_int_equal(retry_after_parse("0", now), 1000);
    assert_int_equal(retry_after_parse("7", now), 7000);
    assert_int_equal(retry_after_parse("86400", now), 600000);
    assert_int_equal(retry_after_parse("99999999999999999999999", now), 600000);
    assert_int_equal(retry_after_parse(clock_http_date(now + 30000, date), now), 30000);
    assert_int_equal(retry_after_parse(clock_http_date(now - 30000, date), now), 1000);
}

/* --- the breaker: a clock that we turn --- */

static void breaker_opens_grows_and_probes(void **state)
{
    struct breaker b = { 0 };
    bool probe;
    int64_t left;
    uint64_t now = 1000, open_ms[8];
    for (int i = 0; i < 4; i++) {
        assert_true(breaker_ask(&b, now, &probe, &left));
        breaker_bad(&b, now, 0, false, 0, "no");
    }
    breaker_good(&b); /* not one after the other */
    for (int i = 0; i < 5; i++) {
        assert_true(breaker_ask(&b, now, &probe, &left));
        assert_false(probe);
        breaker_bad(&b, now, 0, false, 500, "no");
    }
    for (int i = 0; i < 8; i++) {
        assert_int_equal(b.state, BREAKER_OPEN);
        assert_false(breaker_ask(&b, now, &probe, &left));
        assert_true(left > 0);
        open_ms[i] = b.until_ms - now;
        assert_false(breaker_ask(&b, b.until_ms - 1, &probe, &left));
        now = b.until_ms;
        assert_true(breaker_ask(&b, now, &probe, &left));
        assert_true(probe);
        assert_false(breaker_ask(&b, now, &probe, &left)); /* one at a time */
        breaker_bad(&b, now, 0, false, 500, "still no");
    }
    for (int i = 1; i < 5; i++)
        assert_true(open_ms[i] > open_ms[i - 1]);
    assert_true(open_ms[7] <= 45000);
    assert_string_equal(b.why, "still no");
    now = b.until_ms;
    assert_true(breaker_ask(&b, now, &probe, &left));
    breaker_good(&b);
    assert_true(breaker_ask(&b, now, &probe, &left) && !probe);
}

static void breaker_obeys_what_it_is_told(void **state)
{
    struct breaker b = { 0 };
    bool probe;
    int64_t left;
    breaker_bad(&b, 1000, 7000, true, 249, "429");
    assert_false(breaker_ask(&b, 7999, &probe, &left));
    assert_true(b.told);
    assert_true(breaker_ask(&b, 8250, &probe, &left) && probe);
    breaker_gave_up(&b); /* canceled: the next one may */
    assert_true(breaker_ask(&b, 8250, &probe, &left) && probe);
    breaker_bad(&b, 8250, 0, false, 0, "dead");
    assert_false(b.told);
    assert_false(breaker_ask(&b, 8260, &probe, &left));
    breaker_bad(&b, 8260, 60000, true, 0, "late"); /* one that was under way knows better */
    assert_false(breaker_ask(&b, 60000, &probe, &left));
}

/* --- configurations --- */

static enum err check_text(const char *text, struct why *why)
{
    json_t *repo = json_loads(text, 0, NULL);
    assert_non_null(repo);
    enum err e = upstream_check(repo, why);
    json_decref(repo);
    return e;
}

static void remotes_checked(void **state)
{
    static const char *const good[] = {
        "{\"remotes\": [{\"url\": \"https://a.example/x/\"}]}",
        "{\"remotes\": [{\"url\": \"http://a.example\", \"username\": \"u\", \"password\": \"p:q\","
        " \"priority\": 5, \"cache\": {\"enabled\": true}},"
        " {\"url\": \"https://b.example\", \"token\": \"t\"}]}",
    };
    static const char *const bad[][2] = {
        { "{}", "remotes" },
        { "{\"remotes\": []}", "remotes" },
        { "{\"remotes\": [\"https://a\"]}", "remotes" },
        { "{\"remotes\": [{}]}", "url" },
        { "{\"remotes\": [{\"url\": \"ftp://a\"}]}", "url" },
        { "{\"remotes\": [{\"url\": \"file:///etc/passwd\"}]}", "url" },
        { "{\"remotes\": [{\"url\": \"https://u:p@a\"}]}", "url" },
        { "{\"remotes\": [{\"url\": \"https://a/?q\"}]}", "query" },
        { "{\"remotes\": [{\"url\": \"https://a\", \"username\": \"a:b\"}]}", "colon" },
        { "{\"remotes\": [{\"url\": \"https://a\", \"password\": \"a\"}]}", "username" },
        { "{\"remotes\": [{\"url\": \"https://a\", \"username\": \"a\", \"token\": \"t\"}]}", "token" },
        { "{\"remotes\": [{\"url\": \"https://a\", \"token\": \"t\\r\\nX: y\"}]}", "token" },
        { "{\"remotes\": [{\"url\": \"https://a\", \"priority\": \"x\"}]}", "priority" },
        { "{\"remotes\": [{\"url\": \"https://a\", \"cache\": {\"enabled\": false}}]}", "cache" },
        { "{\"remotes\": [{\"url\": \"https://a\", \"proxy\": 1}]}", "proxy" },
        { "{\"remotes\": [{\"url\": \"https://a\"}, {\"url\": \"https://a\"}]}", "twice" },
    };
    struct why why;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(check_text(good[i], &why), OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(check_text(bad[i][0], &why), ERR_BAD_REQUEST);
        assert_non_null(strstr(why.text, bad[i][1]));
    }
}

static void remotes_read_in_order(void **state)
{
    struct seal_key key;
    struct upstream_remote *list;
    unsigned count;
    arena_init(&a);
    seal_key_new(&key);
    json_t *config = json_pack(
        "{s:{s:[{s:s}, {s:s, s:i, s:s, s:s}, {s:s, s:i}, {s:s}]}}", "repo", "remotes", "url",
        "https://A.example/x//", "url", "https://b.example", "priority", 5, "username", "u", "password",
        seal(&a, &key, "place", "secret", 6), "url", "https://c.example:443/", "priority", 9, "url",
        "http://d");
    struct why why;
    assert_int_equal(upstream_remotes(&a, config, &key, "place", &list, &count, &why), OK);
    assert_int_equal(count, 4);
    assert_string_equal(list[0].url, "https://c.example:443");
    assert_string_equal(list[1].url, "https://b.example");
    assert_string_equal(list[1].password, "secret");
    assert_string_equal(list[2].url, "https://a.example/x");
    assert_null(list[2].username);
    assert_string_equal(list[3].url, "http://d");
    assert_int_not_equal(upstream_remotes(&a, config, &key, "another place", &list, &count, &why), OK);
    json_decref(config);
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(challenge_forms),
        cmocka_unit_test(token_answers),
        cmocka_unit_test(retry_after_is_bounded),
        cmocka_unit_test(breaker_opens_grows_and_probes),
        cmocka_unit_test(breaker_obeys_what_it_is_told),
        cmocka_unit_test(remotes_checked),
        cmocka_unit_test(remotes_read_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
