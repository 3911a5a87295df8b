/* SPDX-License-Identifier: Apache-2.0 */
/* api/repositories.c: /api/v1/repositories (seed 000, "Repository Management"). What a type's configuration
 * may hold is the format's to say; what depends on other rows is the operation's. */
#include <string.h>

#include "pantera/api.h"
#include "pantera/format.h"
#include "pantera/limits.h"
#include "pantera/meta_repository.h"
#include "pantera/meta_secret.h"
#include "pantera/text.h"
#include "pantera/upstream.h"
#include "api/handlers.h"
#include "api/repositories.h"

bool api_repository(struct http_request *req, const char *name, struct repository_row *ret)
{
    struct worker *w = worker_of(req);

    if (name_valid(name) && !repository_get(w->reader, &req->arena, name, ret))
        return true;
    if (!cluster_current(w->cluster))
        api_fail(req, ERR_NOT_CURRENT, NULL);
    else
        api_fail_text(req, ERR_NOT_FOUND, "Repository '%.200s' not found", name);
    return false;
}

/* A write is acknowledged by its operation: no lease is needed to say so. */
static void done_empty(struct http_request *req, json_t *result)
{
    (void)result;
    http_reply(req, 200, NULL, NULL, 0);
}

/* --- list --- */

struct list {
    const struct principal *principal;
    int64_t first, size, total;
    json_t *items;
};

static void list_each(const char *name, const char *type, void *arg)
{
    struct list *l = arg;

    if (!may_repo(l->principal, name, REPO_READ))
        return;
    if (l->total >= l->first && (int64_t)json_array_size(l->items) < l->size)
        json_array_append_new(l->items, json_pack("{s:s, s:s}", "name", name, "type", type));
    l->total++;
}

void repositories_list(struct http_request *req)
{
    struct page page;
    struct list l = { .principal = req->principal, .items = json_array() };

    api_page(req, 20, &page);
    /* A page so far out that its first item has no number is empty too. */
    l.first = page.page > INT64_MAX / page.size ? INT64_MAX : page.page * page.size;
    l.size = page.size;
    repository_each(worker_of(req)->reader, query_get(&req->arena, req->query, "type"), page.q,
                    list_each, &l);
    api_json(req, 200, api_page_json(&page, l.items, l.total));
}

/* --- one --- */

void repositories_get(struct http_request *req)
{
    struct repository_row row;
    json_t *config;

    if (!api_repository(req, req->params[0], &row))
        return;
    config = json_loads(row.config, 0, NULL);
    secrets_mask(&req->arena, cluster_seal_key(worker_of(req)->cluster),
                 repository_aad(&req->arena, row.id), config);
    api_json(req, 200, config ? config : json_object());
}

/* Keys that mean the same for every type. */
static enum err common_check(const json_t *repo, bool group, struct why *why)
{
    const json_t *max = json_object_get(repo, "content-length-max");
    const json_t *members = json_object_get(repo, "members");
    const char *storage = json_string_value(json_object_get(repo, "storage"));
    const json_t *description = json_object_get(repo, "description");

    if (max && (!json_is_integer(max) || json_integer_value(max) < 1))
        return fail(why, ERR_BAD_REQUEST, "'content-length-max' must be a number of bytes");
    if (description && !json_is_string(description))
        return fail(why, ERR_BAD_REQUEST, "'description' must be a string");
    if (group && json_array_size(members) == 0)
        return fail(why, ERR_BAD_REQUEST, "'members' is required and must not be empty");
    if (!group && members)
        return fail(why, ERR_BAD_REQUEST, "'members' is for groups only");
    if (json_object_get(repo, "storage") && !storage)
        return fail(why, ERR_BAD_REQUEST, "'storage' must be the name of a storage alias");
    if (!group && !storage)
        return fail(why, ERR_BAD_REQUEST, "'storage' is required");
    return OK;
}

static enum err config_check(const json_t *body, const char **ret_type, struct why *why)
{
    const json_t *repo = json_object_get(body, "repo");
    const char *type = json_string_value(json_object_get(repo, "type")), *key;
    const struct format *format;
    enum format_caps cap;
    json_t *value;
    enum err e;

    json_object_foreach ((json_t *)body, key, value)
        if (strcmp(key, "repo"))
            return fail(why, ERR_BAD_REQUEST, "'%.100s' is not a key of a repository's "
                        "configuration", key);
    if (!json_is_object(repo))
        return fail(why, ERR_BAD_REQUEST, "'repo' is required and must be an object");
    if (!type)
        return fail(why, ERR_BAD_REQUEST, "'type' is required and must be a string");
    format = format_of_type(type, &cap);
    if (!format)
        return fail(why, ERR_BAD_REQUEST, "repository type '%.100s' is not supported", type);
    if ((e = common_check(repo, cap == FORMAT_GROUP, why)))
        return e;
    *ret_type = type;
    if (cap == FORMAT_PROXY && (e = upstream_check(repo, why)))
        return e;
    return (format->check)(repo, why);
}

struct put {
    const char *expect;
    int64_t id;
};

/* What its own cooldown means for what is blocked comes in steps, so that no entry of the log grows. */
static void reviewed(struct http_request *req, json_t *result)
{
    struct put *put = req->context;
    const json_t *id = json_object_get(result, "id");

    if (json_is_integer(id))
        put->id = json_integer_value(id);
    if (json_is_true(json_object_get(result, "more")))
        api_propose(req, "cooldown.review", json_pack("{s:I}", "repo_id", (json_int_t)put->id), reviewed);
    else
        http_reply(req, 200, NULL, NULL, 0);
}

static void put_body(struct http_request *req, json_t *body)
{
    const struct put *put = req->context;
    const struct principal *p = req->principal;
    struct why why = { "" };
    const char *type = NULL;
    enum err e = config_check(body, &type, &why);
    json_t *args;

    if (e) {
        api_fail(req, e, &why);
        return;
    }
    args = json_pack("{s:s, s:s, s:O?, s:O, s:s, s:s}", "name", req->params[0], "type", type,
                     "storage", json_object_get(json_object_get(body, "repo"), "storage"),
                     "config", body, "by", p->name, "expect", put->expect);
    api_propose(req, "repo.put", args, reviewed);
}

/* Who may depends on whether it exists; the operation is told what was found here, so that nothing is
 * created on the right to update. */
void repositories_put(struct http_request *req)
{
    struct worker *w = worker_of(req);
    const char *name = req->params[0];
    struct put *put = arena_alloc(&req->arena, sizeof *put);
    struct repository_row row;
    bool exists, create = may(req->principal, PERM_REPO_CREATE),
         update = may(req->principal, PERM_REPO_UPDATE);

    exists = name_valid(name) && !repository_get(w->reader, &req->arena, name, &row);
    if (!cluster_current(w->cluster)) {
        api_fail(req, ERR_NOT_CURRENT, NULL);
    } else if (exists ? !update : !create) {
        api_fail(req, ERR_FORBIDDEN, NULL);
    } else if (!name_valid(name)) {
        api_fail_text(req, ERR_BAD_REQUEST, "not a valid repository name");
    } else if (repo_name_reserved(name)) {
        api_fail_text(req, ERR_BAD_REQUEST, "'%s' is a reserved name", name);
    } else {
        put->expect = create && update ? "any" : exists ? "update" : "create";
        req->context = put;
        api_body(req, put_body);
    }
}

void repositories_delete(struct http_request *req)
{
    json_t *args = json_pack("{s:s}", "name", req->params[0]);

    api_propose(req, "repo.delete", args, done_empty);
}

static void move_body(struct http_request *req, json_t *body)
{
    const struct principal *p = req->principal;
    bool bad = false;
    const char *new_name = api_string(body, "new_name", &bad);

    if (bad || !new_name) {
        api_fail_text(req, ERR_BAD_REQUEST, "'new_name' is required and must be a string");
        return;
    }
    api_propose(req, "repo.move", json_pack("{s:s, s:s, s:s}", "name", req->params[0], "new_name",
                                            new_name, "by", p->name), done_empty);
}

void repositories_move(struct http_request *req)
{
    api_body(req, move_body);
}

/* --- members --- */

const char *api_repository_url(struct http_request *req)
{
    const struct config *c = worker_of(req)->config;
    struct arena *a = &req->arena;
    const char *host = req->host, *colon;
    size_t n;

    if (c->base_url) {
        n = strlen(c->base_url);
        return arena_strndup(a, c->base_url, n && c->base_url[n - 1] == '/' ? n - 1 : n);
    }
    colon = strrchr(host, ':'); /* a ']' behind it: the colon is inside of an IPv6 address */
    n = colon && !strchr(colon, ']') ? (size_t)(colon - host) : strlen(host);
    return arena_printf(a, "%s://%.*s:%d", req->tls ? "https" : "http", (int)n, host, c->port);
}

void repositories_members(struct http_request *req)
{
    struct repository_row row;
    json_t *config, *list = json_array();
    const json_t *members, *member;
    enum format_caps cap = FORMAT_LOCAL;
    size_t i, n;
    bool group;

    if (!api_repository(req, req->params[0], &row)) {
        json_decref(list);
        return;
    }
    n = strlen(row.type);
    group = (format_of_type(row.type, &cap) && cap == FORMAT_GROUP) ||
            (n > 6 && !strcmp(row.type + n - 6, "-group"));
    config = json_loads(row.config, 0, NULL);
    members = json_object_get(json_object_get(config, "repo"), "members");
    json_array_foreach (members, i, member)
        if (group && json_is_string(member))
            json_array_append_new(list, json_sprintf(
                "%s/%s", api_repository_url(req),
                percent_encode(&req->arena, json_string_value(member), false)));
    api_json(req, 200, json_pack("{s:s, s:o}", "type", group ? row.type : "not-a-group", "members",
                                 list));
    json_decref(config);
}
