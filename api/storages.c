/* SPDX-License-Identifier: Apache-2.0 */
/* api/storages.c: storage aliases, global and of one repository (seed 000, "Storage Alias Management").
 * Secrets are masked in answers; a masked value that comes back keeps what is there. */
#include "pantera/meta_alias.h"

#include "api/handlers.h"
#include "api/repositories.h"
#include "pantera/blob.h"
#include "pantera/meta_secret.h"
#include "pantera/text.h"

static void done_empty(struct http_request *req, json_t *result)
{
    (void)result;
    http_reply(req, 200, NULL, NULL, 0);
}

static void list(struct http_request *req, int64_t repo_id)
{
    struct worker *w = worker_of(req);
    struct arena *a = &req->arena;
    json_t *items = json_array();
    struct alias_row *rows;
    unsigned n;

    alias_list(w->reader, a, repo_id, &rows, &n);
    for (unsigned i = 0; i < n; i++) {
        json_t *config = json_loads(rows[i].config, 0, NULL);
        secrets_mask(a, cluster_seal_key(w->cluster),
                     alias_aad(a, alias_store(a, repo_id, rows[i].name)), config);
        json_array_append_new(items, json_pack("{s:s, s:o}", "name", rows[i].name, "config",
                                               config ? config : json_object()));
    }
    api_json(req, 200, items);
}

struct put {
    int64_t repo_id;
    const char *name;
};

static void put_body(struct http_request *req, json_t *body)
{
    const struct put *put = req->context;
    struct why why = { "" };
    enum err e = blob_store_check(body, !cluster_alone(worker_of(req)->cluster), &why);

    if (e) {
        api_fail(req, e, &why);
        return;
    }
    api_propose(req, "alias.put", json_pack("{s:I, s:s, s:O}", "repo_id",
                                            (json_int_t)put->repo_id, "name", put->name, "config",
                                            body), done_empty);
}

static void put(struct http_request *req, int64_t repo_id, const char *name)
{
    struct put *p = arena_alloc(&req->arena, sizeof *p);

    if (!name_valid(name)) {
        api_fail_text(req, ERR_BAD_REQUEST, "not a valid alias name");
        return;
    }
    *p = (struct put){ repo_id, name };
    req->context = p;
    api_body(req, put_body);
}

static void delete(struct http_request *req, int64_t repo_id, const char *name)
{
    api_propose(req, "alias.delete", json_pack("{s:I, s:s}", "repo_id", (json_int_t)repo_id,
                                               "name", name), done_empty);
}

void storages_list(struct http_request *req)
{
    list(req, 0);
}

void storages_put(struct http_request *req)
{
    put(req, 0, req->params[0]);
}

void storages_delete(struct http_request *req)
{
    delete(req, 0, req->params[0]);
}

void repo_storages_list(struct http_request *req)
{
    struct repository_row row;

    if (api_repository(req, req->params[0], &row))
        list(req, row.id);
}

void repo_storages_put(struct http_request *req)
{
    struct repository_row row;

    if (api_repository(req, req->params[0], &row))
        put(req, row.id, req->params[1]);
}

void repo_storages_delete(struct http_request *req)
{
    struct repository_row row;

    if (api_repository(req, req->params[0], &row))
        delete(req, row.id, req->params[1]);
}
