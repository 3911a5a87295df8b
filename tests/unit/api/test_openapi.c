/* SPDX-License-Identifier: Apache-2.0 */
/* test_openapi: every row of routes.def is described, every schema that is named is there, and no schema file
 * describes a handler that is not. Prints the rows that have generic schemas only. */
#include "api/openapi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "api/internal.h"

#include <cmocka.h> /* after our headers: its fail() is a macro */
#undef fail

static json_t *document;

static int build(void **state)
{
    const char *bad = NULL;
    document = openapi_build(&bad);
    if (!document)
        printf("api/schemas/%s is not JSON\n", bad);
    return document ? 0 : -1;
}

static int release(void **state)
{
    json_decref(document);
    return 0;
}

/* The operation of a row: its path has braces where the pattern has colons. */
static const json_t *operation_of(const struct api_route *route)
{
    const json_t *paths = json_object_get(document, "paths"), *item;
    const char *path, *method;
    json_t *operation;
    json_object_foreach((json_t *)paths, path, item)
        json_object_foreach((json_t *)item, method, operation) {
            const char *id = json_string_value(json_object_get(operation, "operationId"));
            const char *a = path, *b = route->pattern;
            if (strncmp(id, route->name, strlen(route->name)) != 0 ||
                strcasecmp(method, http_method_name(route->method)) != 0)
                continue;
            for (; *a && *b; a++, b++) {
                if (*a == '{' && (*b == ':' || *b == '*'))
                    continue;
                if (*a == '}')
                    a++;
                if (*a != *b)
                    break;
            }
            if (!*b && (!*a || strcmp(a, "}") == 0))
                return operation;
        }
    return NULL;
}

static void every_row_is_described(void **state)
{
    unsigned undescribed = 0;
    for (unsigned i = 0; i < api_routes_count; i++) {
        const json_t *op = operation_of(&api_routes[i]);
        if (!op)
            printf("missing: %s\n", api_routes[i].pattern);
        assert_non_null(op);
        const json_t *answers = json_object_get(op, "responses");
        bool public = api_routes[i].permission == PERM_PUBLIC;
        assert_true(json_object_size(answers) >= 2);
        assert_int_equal(json_array_size(json_object_get(op, "security")), public ? 0 : 2);
        assert_true(public || json_object_get(answers, "403"));
        assert_int_equal(api_routes[i].body_limit != 0, json_object_get(answers, "413") != NULL);
        assert_non_null(json_string_value(json_object_get(op, "x-permission")));
        if (json_object_get(op, "x-undescribed")) {
            printf("no schema in api/schemas: %s %s (%s)\n", http_method_name(api_routes[i].method),
                   api_routes[i].pattern, api_routes[i].name);
            undescribed++;
        }
    }
    printf("%u rows, %u without a schema of their own\n", api_routes_count, undescribed);
}

/* "#/components/schemas/Name" and deeper. */
static const json_t *resolve(const char *ref)
{
    const json_t *at = document;
    char part[128];
    assert_int_equal(strncmp(ref, "#/", 2), 0);
    for (ref += 2; at && *ref; ref += *ref == '/') {
        size_t n = strcspn(ref, "/");
        assert_true(n < sizeof part);
        memcpy(part, ref, n);
        part[n] = '\0';
        at = json_object_get(at, part);
        ref += n;
    }
    return at;
}

static void refs_check(const json_t *node)
{
    const char *key;
    size_t i;
    json_t *child;
    json_array_foreach((json_t *)node, i, child)
        refs_check(child);
    json_object_foreach((json_t *)node, key, child) {
        if (strcmp(key, "$ref") == 0 && !resolve(json_string_value(child))) {
            printf("dangling: %s\n", json_string_value(child));
            assert_true(false);
        }
        refs_check(child);
    }
}

static void every_reference_leads_somewhere(void **state)
{
    refs_check(document);
}

static void every_description_has_its_handler(void **state)
{
    for (size_t i = 0; i < openapi_sources_count; i++) {
        json_t *source = json_loads(openapi_sources[i].text, 0, NULL), *entry;
        const char *handler;
        json_object_foreach(json_object_get(source, "handlers"), handler, entry) {
            bool known = false;
            for (unsigned r = 0; r < api_routes_count; r++)
                known |= strcmp(api_routes[r].name, handler) == 0;
            if (!known)
                printf("%s: no row of routes.def has the handler %s\n", openapi_sources[i].name, handler);
            assert_true(known);
        }
        json_decref(source);
    }
}

static void what_is_common_is_said_of_every_row(void **state)
{
    const json_t *put = resolve("#/paths");
    put = json_object_get(json_object_get(put, "/api/v1/users/{name}"), "put");
    assert_non_null(put);
    assert_string_equal(json_string_value(json_object_get(put, "operationId")), "users_put");
    const json_t *parameter = json_array_get(json_object_get(put, "parameters"), 0);
    assert_string_equal(json_string_value(json_object_get(parameter, "name")), "name");
    assert_string_equal(json_string_value(json_object_get(parameter, "in")), "path");
    assert_true(json_is_true(json_object_get(parameter, "required")));
    static const char *const statuses[] = { "201", "400", "401", "403", "404", "413", "429", "503" };
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        assert_non_null(json_object_get(json_object_get(put, "responses"), statuses[i]));
    assert_null(json_object_get(json_object_get(json_object_get(put, "responses"), "201"), "content"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_described),
        cmocka_unit_test(every_reference_leads_somewhere),
        cmocka_unit_test(every_description_has_its_handler),
        cmocka_unit_test(what_is_common_is_said_of_every_row),
    };
    return cmocka_run_group_tests(tests, build, release);
}
