/* SPDX-License-Identifier: Apache-2.0 */
/* Roles. "default/<provider>" has rows of its own in routes.def: the one name with a slash. */
#include <stdlib.h>
#include <string.h>

#include "api/internal.h"
#include "pantera/meta_role.h"
#include "pantera/text.h"

static const char *role_name(struct http_request *req)
{
    const struct api_route *route = req->route;
    if (strncmp(route->pattern, "/api/v1/roles/default/", 22) == 0)
        return arena_printf(&req->arena, "default/%s", req->params[0]);
    return req->params[0];
}

static json_t *permissions_of(const struct role *role)
{
    json_t *permissions = json_loads(role->permissions, 0, NULL);
    return permissions ? permissions : json_object();
}

void roles_list(struct http_request *req)
{
    struct page page;
    struct role *roles;
    unsigned count;
    int64_t total;
    api_page(req, 20, &page);
    struct role_query query = {
        .q = page.q, .by_enabled = page.sort && strcmp(page.sort, "enabled") == 0,
        .descending = page.descending, .offset = page.page * page.size, .limit = page.size,
    };
    role_list(worker_of(req)->reader, &req->arena, &query, &roles, &count, &total);
    json_t *items = json_array();
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(items, json_pack("{s:s, s:o}", "name", roles[i].name,
                                               "permissions", permissions_of(&roles[i])));
    api_json(req, 200, api_page_json(&page, items, total));
}

void roles_get(struct http_request *req)
{
    struct role role;
    struct why why = { "" };
    enum err e = role_get(worker_of(req)->reader, &req->arena, role_name(req), &role, &why);
    if (e)
        api_refuse(req, e, &why);
    else
        api_json(req, 200, json_pack("{s:o, s:b}", "permissions", permissions_of(&role), "enabled",
                                     role.enabled));
}

static void put_done(struct http_request *req, json_t *result)
{
    api_done(req, 201, NULL);
}

/* Text of a canonical form, for grants_cover; the arena's. */
static const char *text_of(struct http_request *req, const json_t *json)
{
    char *dumped = json_dumps(json, JSON_COMPACT);
    check(dumped);
    const char *text = arena_strdup(&req->arena, dumped);
    free(dumped);
    return text;
}

static void put_body(struct http_request *req, json_t *body)
{
    const char *name = role_name(req);
    struct why why = { "" };
    struct role old;
    json_t *permissions = NULL;
    enum err e = name_valid(req->params[0]) ? role_permissions_parse(body, &permissions, &why)
                                            : fail(&why, ERR_BAD_REQUEST, "not a role name");
    if (!e)
        e = grants_cover(req->principal, text_of(req, permissions), &why);
    /* Taking away is a power too: a role that grants more than the caller has is not the caller's. */
    if (!e && role_get(worker_of(req)->reader, &req->arena, name, &old, NULL) == OK)
        e = grants_cover(req->principal, old.permissions, &why);
    if (e) {
        json_decref(permissions);
        api_refuse(req, e, &why);
        return;
    }
    api_propose(req, "role.put",
                json_pack("{s:s, s:o, s:b, s:b}", "name", name, "permissions", permissions, "create",
                          may(req->principal, PERM_ROLE_CREATE), "update",
                          may(req->principal, PERM_ROLE_UPDATE)),
                put_done);
}

void roles_put(struct http_request *req)
{
    if (may_put(req, PERM_ROLE_CREATE, PERM_ROLE_UPDATE))
        api_fail_text(req, ERR_FORBIDDEN, "Insufficient permissions");
    else
        api_body(req, put_body);
}

static void done_empty(struct http_request *req, json_t *result)
{
    api_done(req, 200, NULL);
}

/* Switching a role on, which hands out what it grants, and taking it away from whoever holds it are for those
 * who hold as much. True: he does; else it is answered. */
static bool power_over(struct http_request *req, const char *name)
{
    struct role role;
    struct why why = { "" };
    if (role_get(worker_of(req)->reader, &req->arena, name, &role, NULL) ||
        !grants_cover(req->principal, role.permissions, &why))
        return true;
    api_refuse(req, ERR_FORBIDDEN, &why);
    return false;
}

void roles_delete(struct http_request *req)
{
    if (!power_over(req, role_name(req)))
        return;
    api_propose(req, "role.delete", json_pack("{s:s}", "name", role_name(req)), done_empty);
}

static void enable(struct http_request *req, bool enabled)
{
    const char *name = role_name(req);
    if (!power_over(req, name))
        return;
    api_propose(req, "role.enable", json_pack("{s:s, s:b}", "name", name, "enabled", enabled),
                done_empty);
}

void roles_enable(struct http_request *req)
{
    enable(req, true);
}

void roles_disable(struct http_request *req)
{
    enable(req, false);
}
