/* SPDX-License-Identifier: Apache-2.0 */
/* Exemptions from cooldown: what may pass by the pattern of its name, why, and until when. Ours; the seed has
 * only decisions about single versions (cooldown.c). */
#include <stdlib.h>
#include <string.h>

#include "api/internal.h"
#include "api/repositories.h"
#include "pantera/clock.h"
#include "pantera/meta_cooldown.h"
#include "pantera/text.h"

/* An exemption of every proxy concerns whoever reads any of them; to make one takes the right to read all. */
static bool concerns(const struct principal *p, const struct cooldown_exemption *e)
{
    return !e->repo_id || (e->repo && may_repo(p, e->repo, REPO_READ));
}

static json_t *time_json(int64_t ms)
{
    char text[32];
    return ms ? json_string(clock_rfc3339(ms, text)) : json_null();
}

static json_t *exemption_json(const struct cooldown_exemption *e, int64_t now)
{
    return json_pack("{s:I, s:s?, s:s, s:s, s:s, s:o, s:b, s:o, s:s?}", "id", (json_int_t)e->id, "repo",
                     e->repo, "package", e->package, "version", e->version, "reason", e->reason, "expires",
                     time_json(e->until_ms), "active", !e->until_ms || e->until_ms > now, "created_date",
                     time_json(e->created_ms), "created_by", e->by);
}

void cooldown_exemptions_get(struct http_request *req)
{
    struct page page;
    struct cooldown_exemption *list;
    unsigned count;
    int64_t total = 0, first, now = clock_wall_ms();
    json_t *items = json_array();
    api_page(req, 20, &page);
    first = page.page > INT64_MAX / page.size ? INT64_MAX : page.page * page.size;
    cooldown_exemptions(worker_of(req)->reader, &req->arena, 0, &list, &count);
    for (unsigned i = 0; i < count; i++)
        if (concerns(req->principal, &list[i]) && total++ >= first &&
            (int64_t)json_array_size(items) < page.size)
            json_array_append_new(items, exemption_json(&list[i], now));
    api_json(req, 200, api_page_json(&page, items, total));
}

/* --- making one --- */

static bool expiry_read(const json_t *expires, int64_t *ret_ms)
{
    const char *text = json_string_value(expires);
    uint64_t ms;
    *ret_ms = 0;
    if (!expires || json_is_null(expires))
        return true;
    if (text && clock_parse_rfc3339(text, ret_ms))
        return true;
    if (!text || !clock_parse_duration(text, &ms) || !ms || ms > (uint64_t)COOLDOWN_AGE_MOST_MS)
        return false;
    *ret_ms = clock_wall_ms() + (int64_t)ms;
    return true;
}

static const char *key_unknown(const json_t *body)
{
    static const char *const known[] = { "repo", "package", "version", "reason", "expires" };
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)body, key, value) {
        bool found = false;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            found = found || strcmp(key, known[i]) == 0;
        if (!found)
            return key;
    }
    return NULL;
}

/* True: may be made for it. Else it has been answered. */
static bool repo_granted(struct http_request *req, const char *repo)
{
    struct repository_row row;
    bool granted = repo ? api_repository(req, repo, &row) : true;
    if (!granted)
        return false;
    if (repo ? may_repo(req->principal, row.name, REPO_READ) : may_repo_any(req->principal, REPO_READ))
        return true;
    api_refuse(req, ERR_FORBIDDEN, NULL);
    return false;
}

static void created(struct http_request *req, json_t *result)
{
    api_done(req, 201, json_incref(result));
}

static void post_body(struct http_request *req, json_t *body)
{
    bool bad = false;
    int64_t until;
    const char *unknown = key_unknown(body), *repo = api_string(body, "repo", &bad);
    const char *package = api_string(body, "package", &bad), *version = api_string(body, "version", &bad);
    const char *reason = api_string(body, "reason", &bad);
    if (unknown) {
        api_fail_text(req, ERR_BAD_REQUEST, "'%.60s' is not a key of an exemption", unknown);
    } else if (bad || !package || !reason) {
        api_fail_text(req, ERR_BAD_REQUEST, "'package' and 'reason' are required; 'repo' and 'version' must "
                      "be strings");
    } else if (!expiry_read(json_object_get(body, "expires"), &until)) {
        api_fail_text(req, ERR_BAD_REQUEST, "'expires' must be null, a time like \"2026-12-31T00:00:00Z\" or "
                      "a duration like \"30d\"");
    } else if (repo_granted(req, repo)) {
        api_propose(req, "cooldown.exempt",
                    json_pack("{s:s*, s:s, s:s, s:s, s:I, s:s}", "repo", repo, "package", package, "version",
                              version ? version : "*", "reason", reason, "until_ms", (json_int_t)until, "by",
                              principal_of(req)->name),
                    created);
    }
}

void cooldown_exemptions_post(struct http_request *req)
{
    api_body(req, post_body);
}

/* --- taking it back --- */

static void done_204(struct http_request *req, json_t *result)
{
    api_done(req, 204, NULL);
}

void cooldown_exemptions_delete(struct http_request *req)
{
    struct cooldown_exemption *list;
    unsigned count, i = 0;
    char *end;
    const char *text = req->params[0];
    json_int_t id = strtoll(text, &end, 10);
    cooldown_exemptions(worker_of(req)->reader, &req->arena, 0, &list, &count);
    while (i < count && list[i].id != id)
        i++;
    if (!cluster_current(worker_of(req)->cluster))
        api_fail(req, ERR_NOT_CURRENT, NULL);
    else if (*text < '0' || *text > '9' || *end || i == count || !concerns(req->principal, &list[i]))
        api_fail_text(req, ERR_NOT_FOUND, "there is no exemption '%.40s'", text);
    else if (repo_granted(req, list[i].repo))
        api_propose(req, "cooldown.unexempt",
                    json_pack("{s:I, s:s}", "id", id, "by", principal_of(req)->name), done_204);
}
