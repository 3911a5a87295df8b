/* SPDX-License-Identifier: Apache-2.0 */
/* The router: which row a path gets, and what is left of it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "pantera/http.h"

#include <cmocka.h>

static const struct {
    unsigned methods;
    const char *pattern, *row;
} routes[] = {
    { HTTP_M_GET, "/", "root" },
    { HTTP_M_GET, "/users", "users" },
    { HTTP_M_GET | HTTP_M_PUT, "/users/:name", "user" },
    { HTTP_M_DELETE, "/users/:name", "user delete" },
    { HTTP_M_GET, "/users/me", "me" },
    { HTTP_M_GET, "/users/:name/roles/:role", "role" },
    { HTTP_M_GET, "/users/me/tokens", "my tokens" },
    { HTTP_M_GET, "/:repo/*path", "repo" },
    { HTTP_M_PUT, "/:repo/*path", "repo put" },
    { HTTP_M_GET, "/:repo/index/:a/:b/:c", "deep" },
    { HTTP_M_GET, "/v2/", "slash" },
};

static struct http_router *router;

static int build(void **state)
{
    router = http_router_new();
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        http_router_add(router, routes[i].methods, routes[i].pattern, routes[i].row);
    return 0;
}

static int drop(void **state)
{
    http_router_free(router);
    return 0;
}

static const struct {
    enum http_method method;
    const char *target, *expected; /* error or Allow; or row, params, rest */
} cases[] = {
    { HTTP_M_GET, "/", "root" },
    { HTTP_M_GET, "/users", "users" },
    { HTTP_M_HEAD, "/users", "users" },
    { HTTP_M_GET, "/users/me", "me" },
    { HTTP_M_GET, "/users/%6de", "me" },               /* decoded once, then compared */
    { HTTP_M_GET, "/users/%256de", "user [%6de]" },
    { HTTP_M_PUT, "/users/me", "user [me]" },          /* the literal row knows no PUT */
    { HTTP_M_GET, "/users/a%20b", "user [a b]" },
    { HTTP_M_DELETE, "/users/x", "user delete [x]" },
    { HTTP_M_POST, "/users/x", "allow GET, HEAD, PUT, DELETE, OPTIONS" },
    { HTTP_M_GET, "/users/me/roles/r", "role [me] [r]" }, /* back from the literal "me" */
    { HTTP_M_GET, "/users/me/tokens", "my tokens" },
    { HTTP_M_GET, "/users/me/other", "repo [users] *me/other" },
    { HTTP_M_GET, "/users/", "repo [users] *" },       /* :name is never empty */
    { HTTP_M_GET, "/r/a/b.bin", "repo [r] *a/b.bin" },
    { HTTP_M_GET, "/r/a/b/", "repo [r] *a/b/" },
    { HTTP_M_GET, "/r/", "repo [r] *" },
    { HTTP_M_PUT, "/r/x", "repo put [r] *x" },
    { HTTP_M_GET, "/r/index/1/2/3", "deep [r] [1] [2] [3]" },
    { HTTP_M_GET, "/r/index/1/2/3/4", "repo [r] *index/1/2/3/4" },
    { HTTP_M_GET, "/r", "NOT_FOUND" },
    { HTTP_M_GET, "/v2/", "slash" },
    { HTTP_M_GET, "/v2", "NOT_FOUND" },
    { HTTP_M_POST, "/users", "allow GET, HEAD, OPTIONS" },
    { HTTP_M_GET, "/r/../x", "BAD_REQUEST" },
    { HTTP_M_GET, "/r/%2e%2e/x", "BAD_REQUEST" },
    { HTTP_M_GET, "/r/a%2fb", "BAD_REQUEST" },
    { HTTP_M_GET, "/r//x", "BAD_REQUEST" },
    { HTTP_M_GET, "/r/%00", "BAD_REQUEST" },
    { HTTP_M_GET, "/r/%c0%af", "BAD_REQUEST" },
    { HTTP_M_GET, "/r/%zz", "BAD_REQUEST" },
};

static void paths_find_their_rows(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_request req = { .method = cases[i].method, .target = cases[i].target };
        const char *allow = "";
        char text[300], *end = text + sizeof text, *at = text;
        struct why why = { "" };
        arena_init(&req.arena);
        enum err e = http_route(router, &req, &allow, &why);
        if (e == ERR_METHOD)
            snprintf(text, sizeof text, "allow %s", allow);
        else
            at += snprintf(text, sizeof text, "%s", e ? err_name(e) : (const char *)req.route);
        for (int p = 0; !e && p < 4 && req.params[p]; p++)
            at += snprintf(at, (size_t)(end - at), " [%s]", req.params[p]);
        if (!e && req.rest)
            snprintf(at, (size_t)(end - at), " *%s", req.rest);
        if (strcmp(text, cases[i].expected) != 0)
            fail_msg("%s: '%s' instead of '%s'", cases[i].target, text, cases[i].expected);
        arena_release(&req.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(paths_find_their_rows) };
    return cmocka_run_group_tests(tests, build, drop);
}
