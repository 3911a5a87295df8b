/* SPDX-License-Identifier: Apache-2.0 */
/* What a provider's configuration may say, and what it then means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/auth/oidc.h"

#include <cmocka.h>

static struct arena arena;

static int open_it(void **state)
{
    arena_init(&arena);
    return 0;
}

static int close_it(void **state)
{
    arena_release(&arena);
    return 0;
}

static enum err put(const char *type, const char *text)
{
    struct why why = { "" };
    json_t *config = json_loads(text, 0, NULL);
    enum err e = provider_config_check(type, config, &why);
    assert_int_equal(e != OK, why.text[0] != '\0');
    json_decref(config);
    return e;
}

static struct provider opened(const char *type, const char *text)
{
    struct provider p;
    struct why why = { "" };
    struct provider_row row = { .id = 2, .type = type, .config = text, .enabled = true };
    assert_int_equal(provider_open(&arena, NULL, &row, &p, &why), OK);
    return p;
}

static void addresses_are_https(void **state)
{
    static const char *const good[] = { "https://i.example", "https://i.example/a", "http://127.0.0.1:8",
                                        "http://localhost/x", "http://[::1]:9" };
    static const char *const bad[] = { "http://i.example", "http://127.0.0.1.evil.example", "https://",
                                       "https:///x", "ftp://i", "//i", "https://i.example/?x", "https://i#f",
                                       "http://localhost.evil.example", "https://a b", "javascript:x" };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(put("oidc", arena_printf(&arena, "{\"issuer\":\"%s\",\"client-id\":\"c\"}",
                                                  good[i])), OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(put("oidc", arena_printf(&arena, "{\"issuer\":\"%s\",\"client-id\":\"c\"}", bad[i])),
                         ERR_BAD_REQUEST);
        assert_int_equal(put("okta", arena_printf(&arena, "{\"issuer\":\"https://i\",\"client-id\":\"c\","
                                                          "\"authn-url\":\"%s\"}", bad[i])), ERR_BAD_REQUEST);
    }
    assert_int_equal(put("oidc", "{\"issuer\":\"http://i.example\",\"client-id\":\"c\",\"allow-http\":true}"),
                     OK);
}

static void members_are_known_and_of_a_kind(void **state)
{
    static const char *const bad[] = {
        "{}", "{\"issuer\":\"https://i\"}", "{\"client-id\":\"c\"}", "[]", "null",
        "{\"issuer\":\"https://i\",\"client-id\":7}", "{\"issuer\":\"https://i\",\"client-id\":\"\"}",
        "{\"issuer\":\"https://i\",\"client-id\":\"c\",\"x\":1}",
        "{\"issuer\":\"https://i\",\"client-id\":\"c\",\"realm\":\"r\"}", /* keycloak's */
        "{\"issuer\":\"https://i\",\"client-id\":\"c\",\"callback-urls\":\"u\"}",
        "{\"issuer\":\"https://i\",\"client-id\":\"c\",\"callback-urls\":[7]}",
        "{\"issuer\":\"https://i\",\"client-id\":\"c\",\"group-roles\":{\"g\":7}}",
        "{\"issuer\":\"https://i\",\"client-id\":\"c\",\"group-roles\":[\"g\"]}",
        "{\"issuer\":\"https://i\",\"client-id\":\"c\",\"password-login\":\"yes\"}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(put("okta", bad[i]), ERR_BAD_REQUEST);
    assert_int_equal(put("local", "{}"), ERR_BAD_REQUEST);
    assert_int_equal(put("keycloak", "{\"url\":\"https://k\",\"client-id\":\"c\"}"), ERR_BAD_REQUEST);
    assert_int_equal(put("keycloak", "{\"url\":\"https://k\",\"realm\":\"r\",\"client-id\":\"c\"}"), OK);
}

static void issuers_and_authn(void **state)
{
    struct provider p = opened("keycloak", "{\"url\":\"https://k/auth/\",\"realm\":\"a b\","
                                           "\"client-id\":\"c\"}");
    assert_string_equal(p.issuer, "https://k/auth/realms/a%20b");
    p = opened("okta", "{\"issuer\":\"https://o.example:8443/oauth2/default/\",\"client-id\":\"c\"}");
    assert_string_equal(p.issuer, "https://o.example:8443/oauth2/default");
    assert_string_equal(p.authn_url, "https://o.example:8443/api/v1/authn");
    p = opened("okta", "{\"issuer\":\"https://o.example\",\"client-id\":\"c\"}");
    assert_string_equal(p.authn_url, "https://o.example/api/v1/authn");
    p = opened("okta", "{\"issuer\":\"https://o\",\"client-id\":\"c\",\"authn-url\":\"https://a/b\"}");
    assert_string_equal(p.authn_url, "https://a/b");
}

/* Only the whole text: a prefix, another case or a slash more is another address. */
static void callbacks_are_exact(void **state)
{
    struct provider p = opened("oidc", "{\"issuer\":\"https://i\",\"client-id\":\"c\",\"redirect-uri\":"
                                       "\"https://u/cb\",\"callback-urls\":[\"https://v/cb\"]}");
    assert_true(provider_allows_callback(&p, "https://u/cb"));
    assert_true(provider_allows_callback(&p, "https://v/cb"));
    assert_false(provider_allows_callback(&p, "https://u/cb/"));
    assert_false(provider_allows_callback(&p, "https://u/cb?x"));
    assert_false(provider_allows_callback(&p, "https://U/cb"));
    assert_false(provider_allows_callback(&p, "https://u/c"));
    assert_false(provider_allows_callback(&p, ""));
}

/* Seed 000 asks Okta and Keycloak; Okta can't be without its redirect-uri; no other is asked unless it is
 * said. */
static void passwords_by_type(void **state)
{
#define ISSUER "{\"issuer\":\"https://i\",\"client-id\":\"c\""
#define REALM "{\"url\":\"https://i\",\"realm\":\"r\",\"client-id\":\"c\""
    static const struct {
        const char *type, *config;
        bool takes;
    } cases[] = {
        { "okta", ISSUER "}", false },
        { "okta", ISSUER ",\"redirect-uri\":\"https://u\"}", true },
        { "okta", ISSUER ",\"password-login\":true}", false },
        { "okta", ISSUER ",\"redirect-uri\":\"https://u\",\"password-login\":false}", false },
        { "keycloak", REALM "}", true },
        { "keycloak", REALM ",\"password-login\":false}", false },
        { "oidc", ISSUER "}", false },
        { "oidc", ISSUER ",\"password-login\":true}", true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct provider p = opened(cases[i].type, cases[i].config);
        assert_int_equal(provider_takes_passwords(&p), cases[i].takes);
        p.enabled = false;
        assert_false(provider_takes_passwords(&p));
    }
}

static void names_by_domain(void **state)
{
    struct provider p = opened("oidc", ISSUER ",\"user-domains\":[\"@example.com\",\"local\"]}");
    assert_true(provider_takes_name(&p, "ann@Example.com"));
    assert_true(provider_takes_name(&p, "ann"));
    assert_false(provider_takes_name(&p, "ann@example.com.evil"));
    assert_false(provider_takes_name(&p, "ann@example.com@evil"));
}

/* "role,role" of `groups` (JSON, or NULL for a token without the claim); "-": refused; "=": left as they
 * are. */
static const char *roles(const char *config, const char *groups)
{
    struct provider p = opened("oidc", config);
    json_t *given = groups ? json_loads(groups, 0, NULL) : NULL, *list, *role;
    struct sso_identity who = { "https://i", "s", "ann", NULL, given };
    struct why why = { "" };
    const char *text = "";
    size_t i;
    enum err e = sso_admit(&p, &who, &list, &why);
    json_decref(given);
    if (e || !list)
        return e ? "-" : "=";
    json_array_foreach(list, i, role)
        text = arena_printf(&arena, "%s%s%s", text, *text ? "," : "", json_string_value(role));
    json_decref(list);
    return text;
}

static void groups_are_roles(void **state)
{
    static const char object[] = ISSUER ",\"group-roles\":{\"a\":\"x\",\"b\":[\"y\",\"z\"]}}";
    static const char array[] = ISSUER ",\"group-roles\":[{\"a\":\"x\"},{\"a\":\"w\"}],"
                                       "\"default-role\":\"d\"}";
    static const char gate[] = ISSUER ",\"allowed-groups\":[\"a\"]}";
    assert_string_equal(roles(object, "[\"a\",\"c\"]"), "x");
    assert_string_equal(roles(object, "[\"b\"]"), "y,z");
    assert_string_equal(roles(object, "[]"), "");
    assert_string_equal(roles(object, NULL), "=");
    assert_string_equal(roles(array, "[\"a\"]"), "x,w");
    assert_string_equal(roles(array, "[\"A\"]"), "d"); /* another group: the case counts */
    assert_string_equal(roles(gate, "[\"a\",\"b\"]"), "");
    assert_string_equal(roles(gate, "[\"b\"]"), "-");
    assert_string_equal(roles(gate, NULL), "-");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_it, close_it)
    const struct CMUnitTest tests[] = {
        TEST(addresses_are_https), TEST(members_are_known_and_of_a_kind), TEST(issuers_and_authn),
        TEST(callbacks_are_exact), TEST(passwords_by_type), TEST(names_by_domain), TEST(groups_are_roles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
