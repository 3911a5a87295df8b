/* SPDX-License-Identifier: Apache-2.0 */
/* Authentication providers, and the identities that are linked to users. docs/guide/sso.md. */
#include <stdlib.h>
#include <string.h>

#include "api/internal.h"
#include "api/sign_in.h"
#include "pantera/log.h"
#include "pantera/meta_secret.h"
#include "pantera/sso.h"
#include "pantera/text.h"

/* --- what there is --- */

void auth_providers_get(struct http_request *req)
{
    struct provider_row *rows;
    unsigned count;
    json_t *list = json_array();
    provider_list(worker_of(req)->reader, &req->arena, &rows, &count);
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:s, s:b}", "type", rows[i].type, "enabled",
                                              rows[i].enabled));
    api_json(req, 200, json_pack("{s:o}", "providers", list));
}

json_t *providers_describe(struct http_request *req)
{
    struct worker *w = worker_of(req);
    struct provider_row *rows;
    unsigned count;
    json_t *list = json_array();
    provider_list(w->reader, &req->arena, &rows, &count);
    for (unsigned i = 0; i < count; i++) {
        json_t *config = json_loads(rows[i].config, 0, NULL);
        if (!config)
            config = json_object();
        secrets_mask(&req->arena, cluster_seal_key(w->cluster), provider_aad(&req->arena, rows[i].id),
                     config);
        json_array_append_new(list, json_pack("{s:I, s:s, s:I, s:b, s:o}", "id", (json_int_t)rows[i].id,
                                              "type", rows[i].type, "priority",
                                              (json_int_t)rows[i].priority, "enabled", rows[i].enabled,
                                              "config", config));
    }
    return list;
}

void providers_list(struct http_request *req)
{
    api_json(req, 200, json_pack("{s:o}", "providers", providers_describe(req)));
}

/* --- changing it --- */

static bool id_parse(const char *text, json_int_t *ret)
{
    char *end;
    *ret = strtoll(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end;
}

/* A provider hands out roles: only those that whoever configures it holds. */
static enum err config_covered(struct http_request *req, const char *type, const json_t *config,
                               struct why *why)
{
    enum err e = provider_config_check(type, config, why);
    if (e)
        return e;
    json_t *roles = provider_config_roles(config);
    e = roles_covered(req, roles, why);
    json_decref(roles);
    return e;
}

static void saved(struct http_request *req, json_t *result)
{
    api_done(req, 200, json_pack("{s:s}", "status", "saved"));
}

static void created(struct http_request *req, json_t *result)
{
    api_done(req, 201, json_incref(result));
}

static void post_body(struct http_request *req, json_t *body)
{
    bool bad = false;
    const char *type = api_string(body, "type", &bad);
    json_t *config = json_object_get(body, "config"), *enabled = json_object_get(body, "enabled");
    const json_t *priority = json_object_get(body, "priority");
    struct why why = { "" };
    enum err e = OK;
    if (bad || !type || (enabled && !json_is_boolean(enabled)) || (priority && !json_is_integer(priority)))
        e = fail(&why, ERR_BAD_REQUEST, "expected {\"type\": text, \"priority\": number, \"config\": "
                 "object}");
    else
        e = config_covered(req, type, config, &why);
    if (e) {
        api_refuse(req, e, &why);
        return;
    }
    api_propose(req, "provider.create",
                json_pack("{s:s, s:I, s:b, s:O}", "type", type, "priority",
                          priority ? json_integer_value(priority) : (json_int_t)100, "enabled",
                          !json_is_false(enabled), "config", config), created);
}

void providers_post(struct http_request *req)
{
    api_body(req, post_body);
}

static void config_body(struct http_request *req, json_t *body)
{
    struct provider_row row;
    struct why why = { "" };
    json_int_t id;
    enum err e = id_parse(req->params[0], &id)
                     ? provider_get_id(worker_of(req)->reader, &req->arena, id, &row, &why)
                     : fail(&why, ERR_NOT_FOUND, "Auth provider not found");
    if (!e && strcmp(row.type, PROVIDER_LOCAL) == 0)
        e = fail(&why, ERR_BAD_REQUEST, "the provider 'local' has no configuration");
    if (!e)
        e = config_covered(req, row.type, body, &why);
    if (e)
        api_refuse(req, e, &why);
    else
        api_propose(req, "provider.config", json_pack("{s:I, s:O}", "id", id, "config", body), saved);
}

void providers_config(struct http_request *req)
{
    api_body(req, config_body);
}

static void toggle_body(struct http_request *req, json_t *body)
{
    const json_t *enabled = json_object_get(body, "enabled");
    json_int_t id;
    if (!json_is_boolean(enabled))
        api_fail_text(req, ERR_BAD_REQUEST, "expected {\"enabled\": true or false}");
    else if (!id_parse(req->params[0], &id))
        api_fail_text(req, ERR_NOT_FOUND, "Auth provider not found");
    else
        api_propose(req, "provider.enable",
                    json_pack("{s:I, s:b}", "id", id, "enabled", json_is_true(enabled)), saved);
}

void providers_toggle(struct http_request *req)
{
    api_body(req, toggle_body);
}

static void deleted(struct http_request *req, json_t *result)
{
    api_done(req, 204, NULL);
}

void providers_delete(struct http_request *req)
{
    json_int_t id;
    if (!id_parse(req->params[0], &id))
        api_fail_text(req, ERR_NOT_FOUND, "Auth provider not found");
    else
        api_propose(req, "provider.delete", json_pack("{s:I}", "id", id), deleted);
}

/* --- identities --- */

enum err provider_read(struct http_request *req, const char *type, struct provider *ret, struct why *why)
{
    struct worker *w = worker_of(req);
    struct provider_row row;
    enum err e = provider_get(w->reader, &req->arena, type, &row, why);
    if (!e && strcmp(row.type, PROVIDER_LOCAL) == 0)
        e = fail(why, ERR_NOT_FOUND, "the provider 'local' knows passwords only");
    return e ? e : provider_open(&req->arena, cluster_seal_key(w->cluster), &row, ret, why);
}

static void identity_body(struct http_request *req, json_t *body)
{
    bool bad = false;
    const char *subject = api_string(body, "subject", &bad);
    struct provider p;
    struct why why = { "" };
    enum err e = OK;
    if (bad || !subject || !*subject || strlen(subject) > 255)
        e = fail(&why, ERR_BAD_REQUEST, "expected {\"subject\": the provider's \"sub\" of this person}");
    if (!e)
        e = provider_read(req, req->params[1], &p, &why);
    if (!e)
        e = user_covered(req, req->params[0], &why);
    if (e)
        api_refuse(req, e, &why);
    else
        api_propose(req, "sso.link",
                    json_pack("{s:s, s:s, s:s, s:s}", "name", req->params[0], "provider", p.type,
                              "issuer", p.issuer, "subject", subject), deleted);
}

void identities_put(struct http_request *req)
{
    api_body(req, identity_body);
}

void identities_delete(struct http_request *req)
{
    struct why why = { "" };
    enum err e = user_covered(req, req->params[0], &why);
    if (e)
        api_refuse(req, e, &why);
    else
        api_propose(req, "sso.unlink",
                    json_pack("{s:s, s:s}", "name", req->params[0], "provider", req->params[1]), deleted);
}
