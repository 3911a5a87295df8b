/* SPDX-License-Identifier: Apache-2.0 */
/* Roles as clients put them, and what they grant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "src/auth/internal.h"

#include <cmocka.h> /* after our headers: its fail() is a macro */
#undef fail

static enum err put(const char *text, char **ret_canonical, struct why *why)
{
    json_t *in = json_loads(text, 0, NULL), *out = NULL;
    assert_non_null(in);
    enum err e = role_permissions_parse(in, &out, why);
    if (e)
        assert_null(out);
    else if (ret_canonical)
        *ret_canonical = json_dumps(out, JSON_COMPACT);
    json_decref(out);
    json_decref(in);
    return e;
}

static void accepts(const char *text, const char *canonical)
{
    struct why why = { "" };
    char *got = NULL;
    if (put(text, &got, &why))
        print_error("%s: %s\n", text, why.text);
    assert_non_null(got);
    assert_string_equal(got, canonical);
    free(got);
}

static void refuses(const char *text, const char *named)
{
    struct why why = { "" };
    assert_int_equal(put(text, NULL, &why), ERR_BAD_REQUEST);
    assert_non_null(strstr(why.text, named));
}

static struct grants *grants_of(const char *first, const char *second)
{
    struct grants *g = grants_new();
    grants_add(g, first);
    if (second)
        grants_add(g, second);
    grants_seal(g);
    return g;
}

/* Both shapes, with and without the wrapper, are stored as they were put. */
static void role_put_keeps_both_shapes(void **state)
{
    accepts("{\"permissions\":{\"maven\":[\"read\",\"download\"]}}",
            "{\"maven\":[\"read\",\"download\"]}");
    accepts("{\"maven\":[\"read\",\"read\"]}", "{\"maven\":[\"read\"]}");
    accepts("{\"*\":[\"*\"]}", "{\"*\":[\"*\"]}");
    accepts("{\"all_permission\":{}}", "{\"all_permission\":{}}");
    accepts("{\"adapter_basic_permissions\":{\"a\":[\"w\"],\"*\":[\"r\"]}}",
            "{\"adapter_basic_permissions\":{\"a\":[\"w\"],\"*\":[\"r\"]}}");
    accepts("{\"docker_repository_permissions\":{\"reg\":{\"team/app\":[\"pull\",\"overwrite\"]}},"
            "\"docker_registry_permissions\":{\"reg\":[\"base\"]}}",
            "{\"docker_repository_permissions\":{\"reg\":{\"team/app\":[\"pull\",\"overwrite\"]}},"
            "\"docker_registry_permissions\":{\"reg\":[\"base\"]}}");
    accepts("{}", "{}");
}

/* The two names of the alias domain are one. */
static void role_put_joins_alias_names(void **state)
{
    accepts("{\"api_storage_alias_permissions\":[\"read\"],\"api_alias_permissions\":[\"create\"]}",
            "{\"api_alias_permissions\":[\"read\",\"create\"]}");
}

/* What is unknown is refused, and named: in the original it silently granted nothing. */
static void role_put_refuses_unknown_words(void **state)
{
    refuses("{\"api_foo_permissions\":[\"read\"]}", "api_foo_permissions");
    refuses("{\"repo\":[\"raed\"]}", "raed");
    refuses("{\"api_user_permissions\":[\"move\"]}", "move");
    refuses("{\"adapter_basic_permissions\":{\"r\":[\"admin\"]}}", "admin");
    refuses("{\"docker_repository_permissions\":{\"r\":[\"pull\"]}}", "expected an object");
    refuses("{\"docker_registry_permissions\":{\"r\":[\"push\"]}}", "push");
    refuses("{\"repo\":\"read\"}", "array");
    refuses("{\"repo\":[1]}", "strings");
    refuses("{\"a/b\":[\"read\"]}", "a/b");
    refuses("{\"all_permission\":[]}", "all_permission");
    json_t *out = NULL, *array = json_array();
    struct why why;
    assert_int_equal(role_permissions_parse(array, &out, &why), ERR_BAD_REQUEST);
    assert_int_equal(role_permissions_parse(NULL, &out, &why), ERR_BAD_REQUEST);
    json_decref(array);
}

/* Grants are the union of roles; synonyms mean the same; names match whole. */
static void grants_answer_for_repositories(void **state)
{
    struct grants *g = grants_of("{\"maven\":[\"download\"],\"npm\":[\"upload\"]}",
                                 "{\"adapter_basic_permissions\":{\"maven\":[\"delete\"]}}");
    struct principal p = { .name = "joe", .grants = g };
    assert_true(may_repo(&p, "maven", REPO_READ));
    assert_true(may_repo(&p, "maven", REPO_DELETE));
    assert_false(may_repo(&p, "maven", REPO_WRITE));
    assert_true(may_repo(&p, "npm", REPO_WRITE));
    assert_false(may_repo(&p, "npm", REPO_READ));
    assert_false(may_repo(&p, "mave", REPO_READ));
    assert_false(may_repo(&p, "", REPO_READ));
    assert_false(may_repo_any(&p, REPO_READ));
    assert_false(may(&p, PERM_USER_READ));
    assert_true(may(&p, PERM_ANYONE));
    assert_false(may(NULL, PERM_ANYONE));
    assert_true(may(NULL, PERM_PUBLIC));
    grants_unref(g);
}

/* "*" as a repository is all of them, as an action all of them, but only the flat form is everything. */
static void grants_tell_star_from_everything(void **state)
{
    struct grants *repos = grants_of("{\"adapter_basic_permissions\":{\"*\":[\"*\"]}}", NULL);
    struct grants *reader = grants_of("{\"*\":[\"read\",\"download\"]}", NULL);
    struct grants *all = grants_of("{\"*\":[\"*\"]}", NULL);
    struct grants *typed = grants_of("{\"all_permission\":{}}", NULL);
    struct grants *users = grants_of("{\"api_user_permissions\":[\"*\"]}", NULL);
    struct principal p = { .name = "joe", .grants = repos };
    assert_true(may_repo(&p, "x", REPO_DELETE));
    assert_true(may_repo_any(&p, REPO_DELETE));
    assert_false(may(&p, PERM_ADMIN));
    assert_false(may_everything(&p));
    p.grants = reader;
    assert_true(may_repo(&p, "x", REPO_READ));
    assert_false(may_repo(&p, "x", REPO_WRITE));
    p.grants = users;
    assert_true(may(&p, PERM_USER_PASSWORD));
    assert_false(may(&p, PERM_ROLE_READ));
    for (int i = 0; i < 2; i++) {
        p.grants = i ? all : typed;
        assert_true(may(&p, PERM_ADMIN));
        assert_true(may_everything(&p));
        assert_true(may_repo(&p, "x", REPO_DELETE));
    }
    grants_unref(repos);
    grants_unref(reader);
    grants_unref(all);
    grants_unref(typed);
    grants_unref(users);
}

/* Nobody hands out what he does not hold. */
static void grants_cover_only_what_is_held(void **state)
{
    struct grants *g = grants_of("{\"a\":[\"read\",\"write\"],\"api_user_permissions\":[\"read\"],"
                                 "\"docker_repository_permissions\":{\"d\":{\"*\":[\"pull\"]}}}", NULL);
    struct principal p = { .name = "joe", .grants = g };
    struct why why = { "" };
    assert_int_equal(grants_cover(&p, "{\"a\":[\"read\"]}", &why), OK);
    assert_int_equal(grants_cover(&p, "{\"api_user_permissions\":[\"read\"]}", &why), OK);
    assert_int_equal(grants_cover(&p, "{\"docker_repository_permissions\":{\"d\":{\"x/y\":[\"pull\"]}}}",
                                  &why), OK);
    assert_int_equal(grants_cover(&p, "{}", &why), OK);
    static const char *const more[] = {
        "{\"a\":[\"delete\"]}", "{\"b\":[\"read\"]}", "{\"*\":[\"read\"]}", "{\"*\":[\"*\"]}",
        "{\"all_permission\":{}}", "{\"api_user_permissions\":[\"*\"]}",
        "{\"docker_repository_permissions\":{\"d\":{\"x\":[\"push\"]}}}",
        "{\"docker_repository_permissions\":{\"*\":{\"x\":[\"pull\"]}}}",
        "{\"docker_registry_permissions\":{\"d\":[\"base\"]}}",
    };
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        assert_int_equal(grants_cover(&p, more[i], &why), ERR_FORBIDDEN);
    grants_unref(g);
}

/* /auth/me lists every domain, with what is held. */
static void grants_describe_every_domain(void **state)
{
    struct grants *g = grants_of("{\"api_alias_permissions\":[\"create\"],\"*\":[\"delete\"]}", NULL);
    struct principal p = { .name = "joe", .grants = g };
    json_t *all = grants_describe(&p);
    char *text = json_dumps(json_object_get(all, "api_alias_permissions"), JSON_COMPACT);
    assert_string_equal(text, "[\"create\"]");
    assert_int_equal(json_array_size(json_object_get(all, "api_user_permissions")), 0);
    assert_true(json_is_array(json_object_get(all, "api_cooldown_permissions")));
    assert_true(json_is_true(json_object_get(all, "can_delete_artifacts")));
    free(text);
    json_decref(all);
    grants_unref(g);
}

static void scopes_cover_what_they_name(void **state)
{
    const char *scope = "repository:images/a:pull,push registry:catalog:* repository:host:5/b:*";
    (void)state;
    assert_true(scope_covers(scope, "repository", "images/a", "pull"));
    assert_true(scope_covers(scope, "repository", "images/a", "push"));
    assert_true(scope_covers(scope, "repository", "host:5/b", "delete"));
    assert_true(scope_covers(scope, "registry", "catalog", "*"));
    assert_false(scope_covers(scope, "repository", "images/a", "delete"));
    assert_false(scope_covers(scope, "repository", "images/a", "pul"));
    assert_false(scope_covers(scope, "repository", "images", "pull"));
    assert_false(scope_covers(scope, "repository", "images/a:pull", "push"));
    assert_false(scope_covers(scope, "repository", "images/ab", "pull"));
    assert_false(scope_covers(scope, "repo", "images/a", "pull"));
    assert_false(scope_covers("", "repository", "images/a", "pull"));
    assert_false(scope_covers("repository:a: repository:a", "repository", "a", ""));
}

static void a_narrowed_token_is_good_for_images_only(void **state)
{
    struct grants *g = grants_of("{\"all_permission\":{}}", NULL);
    struct principal p = { .name = "x", .grants = g, .scope = "repository:images/a:pull" };
    (void)state;
    assert_true(may(&p, PERM_SCOPED) && may_see(&p, "any") && may_image(&p, "images", "a", IMAGE_PULL));
    assert_false(may(&p, PERM_ANYONE) || may(&p, PERM_REPO_GET) || may_everything(&p));
    assert_false(may_repo(&p, "images", REPO_READ) || may_repo_any(&p, REPO_READ));
    assert_false(may_image(&p, "images", "a", IMAGE_PUSH) || may_image(&p, "images", "b", IMAGE_PULL) ||
                 may_image(&p, "images", "a", IMAGE_DELETE) || may_catalog(&p, "images"));
    p.scope = NULL;
    assert_true(may(&p, PERM_SCOPED) && may(&p, PERM_ANYONE) && may_image(&p, "i", "b", IMAGE_DELETE));
    grants_unref(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(role_put_keeps_both_shapes),
        cmocka_unit_test(scopes_cover_what_they_name),
        cmocka_unit_test(a_narrowed_token_is_good_for_images_only),
        cmocka_unit_test(role_put_joins_alias_names),
        cmocka_unit_test(role_put_refuses_unknown_words),
        cmocka_unit_test(grants_answer_for_repositories),
        cmocka_unit_test(grants_tell_star_from_everything),
        cmocka_unit_test(grants_cover_only_what_is_held),
        cmocka_unit_test(grants_describe_every_domain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
