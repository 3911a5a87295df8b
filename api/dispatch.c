/* SPDX-License-Identifier: Apache-2.0 */
/* The management port: CORS → route (404, 405) → guard (401, 403, 429, 503) → body limit (413) →
 * handler. Every step before the handler comes from the route's row. */
#include <string.h>

#include "api/internal.h"
#include "api/settings.h"
#include "pantera/limits.h"
#include "pantera/text.h"

static struct http_router *router;

void api_init(void)
{
    check(!router);
    router = http_router_new();
    for (unsigned i = 0; i < api_routes_count; i++)
        http_router_add(router, api_routes[i].method, api_routes[i].pattern, &api_routes[i]);
}

/* Seed 000: whoever must change the password does that, and nothing else. Asked here and not by the
 * console, which anybody can leave out. */
bool must_change_first(const struct http_request *req)
{
    const struct principal *p = req->principal;
    const struct api_route *route = req->route;
    if (!p || !p->must_change_password)
        return false;
    if (!route)
        return true;
    if (route->handler == auth_me_get)
        return false;
    return route->handler != users_password || strcmp(req->params[0], p->name) != 0;
}

static void guarded(struct http_request *req, enum err e, const struct why *why, void *arg)
{
    const struct api_route *route = req->route;
    if (e) {
        api_fail(req, e, why);
        return;
    }
    if (must_change_first(req)) {
        api_fail_text(req, ERR_FORBIDDEN,
                      "the password must be changed first: POST /api/v1/users/%.100s/password",
                      principal_of(req)->name);
        return;
    }
    if (route->body_limit && req->content_length > (int64_t)route->body_limit) {
        api_fail_text(req, ERR_TOO_BIG, "the body may have %zu bytes", route->body_limit);
        return;
    }
    route->handler(req);
}

static void cors_preflight(struct http_request *req)
{
    http_set_header(req, "Access-Control-Allow-Methods", "GET, POST, PUT, DELETE, HEAD, OPTIONS");
    http_set_header(req, "Access-Control-Allow-Headers",
                    "Authorization, Content-Type, Accept, X-Request-Id, traceparent, b3");
    http_set_header(req, "Access-Control-Max-Age", "3600");
    http_reply(req, 204, NULL, "", 0);
}

static void entered(struct http_request *req)
{
    settings_apply(worker_of(req));
    auth_guard(worker_of(req)->auth, req, ((const struct api_route *)req->route)->permission, guarded, NULL);
}

void api_on_request(struct http_request *req)
{
    struct why why = { "" };
    const char *allow = NULL;
    metrics_began(req);
    http_set_header(req, "Access-Control-Allow-Origin", "*");
    if (req->method == HTTP_M_OPTIONS) {
        cors_preflight(req);
        return;
    }
    enum err e = http_route(router, req, &allow, &why);
    if (e == ERR_METHOD)
        http_set_header(req, "Allow", allow);
    if (e == ERR_NOT_FOUND && !*why.text)
        fail(&why, e, "no such endpoint");
    if (!e)
        e = query_check(&req->arena, req->query, &why);
    if (e) {
        req->route = NULL;
        api_fail(req, e, &why);
        return;
    }
    const struct api_route *route = req->route;
    if (route->handler == health_get)
        entered(req);
    else
        gate_enter(req, entered);
}

void api_on_refused(struct http_request *req, enum err e, const char *text)
{
    struct why why = { "" };
    metrics_began(req);
    http_set_header(req, "Access-Control-Allow-Origin", "*");
    if (text)
        fail(&why, e, "%s", text);
    api_fail(req, e, &why);
}

void api_on_finished(struct http_request *req)
{
    metrics_finished(req);
    if (settings_access_log())
        access_log_write(req);
}

enum err may_put(const struct http_request *req, enum permission create, enum permission update)
{
    const struct principal *p = req->principal;
    return may(p, create) || may(p, update) ? OK : ERR_FORBIDDEN;
}
