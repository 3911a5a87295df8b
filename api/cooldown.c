/* SPDX-License-Identifier: Apache-2.0 */
/* Cooldown: its configuration, what is blocked, and unblocking (seed 000, "Cooldown Management"). Whether
 * something is blocked is decided in one place: cooldown_decide (registry.h). */
#include <string.h>

#include "api/internal.h"
#include "api/repositories.h"
#include "api/settings.h"
#include "pantera/clock.h"
#include "pantera/meta_cooldown.h"
#include "pantera/meta_dashboard.h"
#include "pantera/meta_setting.h"
#include "pantera/text.h"

#define HOUR_MS (3600ll * 1000)

/* --- configuration --- */

void cooldown_config_get(struct http_request *req)
{
    api_json(req, 200, cooldown_config_describe(setting_now(worker_of(req)->reader, COOLDOWN_SETTING)));
}

/* The operation works in steps, so that no entry of the log grows with the number of blocks; what they mean
 * is asked of the configuration, which the first step has put, so nobody sees a step. */
static void config_step(struct http_request *req, json_t *result)
{
    if (result && !json_is_true(json_object_get(result, "more")))
        settings_saved(req, NULL);
    else
        api_propose(req, "cooldown.config", json_copy(req->context), config_step);
}

static void args_release(void *args)
{
    json_decref(args);
}

void cooldown_save(struct http_request *req, json_t *body)
{
    struct why why = { "" };
    enum err e = cooldown_config_check(body, &why);
    if (e) {
        api_fail(req, e, &why);
        return;
    }
    req->context = json_pack("{s:s, s:O, s:s}", "name", COOLDOWN_SETTING, "patch", body, "by",
                             principal_of(req)->name);
    http_on_end(req, args_release, req->context);
    config_step(req, NULL);
}

void cooldown_config_put(struct http_request *req)
{
    api_body(req, cooldown_save);
}

/* --- what is blocked --- */

struct overview {
    const struct principal *principal;
    const json_t *config;
    json_t *repos;
};

static void overview_each(const struct repository_figures *f, void *arg)
{
    struct overview *o = arg;
    char age[32], frozen[32];
    if (!may_repo(o->principal, f->name, REPO_READ))
        return;
    json_t *own = json_loads(f->config, 0, NULL);
    struct cooldown_rule rule = cooldown_rule(o->config, f->type, own);
    json_decref(own);
    if (rule.enabled)
        json_array_append_new(o->repos,
                              json_pack("{s:s, s:s, s:s, s:I, s:s*}", "name", f->name, "type", f->type,
                                        "cooldown", cooldown_format_age(rule.age_ms, age), "active_blocks",
                                        (json_int_t)f->blocked, "frozen_at",
                                        rule.frozen_ms ? clock_rfc3339(rule.frozen_ms, frozen) : NULL));
}

void cooldown_overview_get(struct http_request *req)
{
    struct meta_reader *r = worker_of(req)->reader;
    struct overview o = { req->principal, setting_now(r, COOLDOWN_SETTING), json_array() };
    dashboard_repositories(r, clock_wall_ms(), overview_each, &o);
    api_json(req, 200, json_pack("{s:o}", "repos", o.repos));
}

struct visible {
    const struct principal *principal;
    json_t *ids;
};

static void visible_each(const struct repository_figures *f, void *arg)
{
    struct visible *v = arg;
    if (f->blocked && may_repo(v->principal, f->name, REPO_READ))
        json_array_append_new(v->ids, json_integer((json_int_t)f->id));
}

static enum cooldown_sort sort_of(const char *text)
{
    static const struct {
        const char *text;
        enum cooldown_sort sort;
    } words[] = {
        { "package_name", COOLDOWN_BY_PACKAGE }, { "version", COOLDOWN_BY_VERSION },
        { "repo", COOLDOWN_BY_REPO },            { "blocked_until", COOLDOWN_BY_UNTIL },
        { "remaining_hours", COOLDOWN_BY_UNTIL },
    };
    for (size_t i = 0; text && i < sizeof words / sizeof *words; i++)
        if (strcmp(text, words[i].text) == 0)
            return words[i].sort;
    return COOLDOWN_BY_DATE;
}

static json_t *row_json(const struct cooldown_row *row, int64_t now)
{
    char from[32], until[32];
    /* What is left of an hour is an hour: 0 would say that it is over. */
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I}", "package_name", row->package, "version",
                     row->version, "repo", row->repo, "repo_type", row->type, "reason", row->reason,
                     "blocked_date", clock_rfc3339(row->blocked_ms, from), "blocked_until",
                     clock_rfc3339(row->until_ms, until), "remaining_hours",
                     (json_int_t)((row->until_ms - now + HOUR_MS - 1) / HOUR_MS));
}

void cooldown_blocked_get(struct http_request *req)
{
    struct meta_reader *r = worker_of(req)->reader;
    struct page page;
    struct cooldown_row *rows;
    struct visible visible = { .principal = req->principal };
    unsigned count;
    int64_t total, now = clock_wall_ms();
    api_page(req, 50, &page);
    const char *by = query_get(&req->arena, req->query, "sort_by");
    if (!may_repo_any(req->principal, REPO_READ)) {
        visible.ids = json_array();
        dashboard_repositories(r, now, visible_each, &visible);
    }
    struct cooldown_query query = {
        .search = query_get(&req->arena, req->query, "search"), .repo_ids = visible.ids,
        .sort = sort_of(by ? by : page.sort), .descending = page.descending, .now_ms = now,
        .offset = page.page * page.size, .limit = page.size,
    };
    cooldown_list(r, &req->arena, &query, &rows, &count, &total);
    json_decref(visible.ids);
    json_t *items = json_array();
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(items, row_json(&rows[i], now));
    api_json(req, 200, api_page_json(&page, items, total));
}

/* --- unblocking --- */

static void done_204(struct http_request *req, json_t *result)
{
    api_done(req, 204, NULL);
}

static bool repository_seen(struct http_request *req)
{
    struct repository_row row;
    if (!api_repository(req, req->params[0], &row))
        return false;
    if (may_repo(req->principal, row.name, REPO_READ))
        return true;
    api_refuse(req, ERR_FORBIDDEN, NULL);
    return false;
}

static void unblock_body(struct http_request *req, json_t *body)
{
    bool bad = false;
    const char *artifact = api_string(body, "artifact", &bad), *version = api_string(body, "version", &bad);
    if (bad || !artifact || !version) {
        api_fail_text(req, ERR_BAD_REQUEST, "'artifact' and 'version' are required and must be strings");
        return;
    }
    if (repository_seen(req))
        api_propose(req, "cooldown.unblock",
                    json_pack("{s:s, s:s, s:s, s:s}", "repo", req->params[0], "package", artifact, "version",
                              version, "by", principal_of(req)->name),
                    done_204);
}

void cooldown_unblock_post(struct http_request *req)
{
    api_body(req, unblock_body);
}

static void unblock_step(struct http_request *req, json_t *result)
{
    json_t *args = req->context;
    if (result && !json_is_true(json_object_get(result, "more"))) {
        api_done(req, 204, NULL);
        return;
    }
    if (result)
        json_object_set(args, "before_ms", json_object_get(result, "before_ms"));
    api_propose(req, "cooldown.unblock_all", json_copy(args), unblock_step);
}

void cooldown_unblock_all_post(struct http_request *req)
{
    if (!repository_seen(req))
        return;
    req->context = json_pack("{s:s, s:s}", "repo", req->params[0], "by", principal_of(req)->name);
    http_on_end(req, args_release, req->context);
    unblock_step(req, NULL);
}
