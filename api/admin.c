/* SPDX-License-Identifier: Apache-2.0 */
/* Revoking a user's tokens; the token policy. */
#include <string.h>

#include "api/internal.h"
#include "pantera/meta_setting.h"

static void revoked(struct http_request *req, json_t *result)
{
    api_done(req, 200,
             json_pack("{s:s, s:s, s:I}", "status", "revoked", "username", req->params[0],
                       "tokens_revoked",
                       json_integer_value(json_object_get(result, "tokens_revoked"))));
}

void admin_revoke_user(struct http_request *req)
{
    api_propose(req, "user.revoke", json_pack("{s:s}", "name", req->params[0]), revoked);
}

void admin_auth_settings_get(struct http_request *req)
{
    struct token_policy p;
    struct worker *w = worker_of(req);
    token_policy_read(w->reader, w->config, &p);
    api_json(req, 200,
             json_pack("{s:I, s:I, s:I, s:b}", "access_token_expiry_seconds",
                       (json_int_t)p.access_s, "refresh_token_expiry_seconds",
                       (json_int_t)p.refresh_s, "api_token_max_expiry_days",
                       (json_int_t)p.api_max_days, "allow_permanent_tokens", p.permanent));
}

static void saved(struct http_request *req, json_t *result)
{
    api_done(req, 200, json_pack("{s:s}", "status", "saved"));
}

static const struct {
    const char *key;
    int64_t least, most;
} numbers[] = {
    { "access_token_expiry_seconds", 60, 7 * 24 * 3600 },
    { "refresh_token_expiry_seconds", 300, 365ll * 24 * 3600 },
    { "api_token_max_expiry_days", 1, 3650 },
};

static enum err settings_check(const json_t *body, struct why *why)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)body, key, value) {
        bool known = strcmp(key, "allow_permanent_tokens") == 0;
        if (known && !json_is_boolean(value))
            return fail(why, ERR_BAD_REQUEST, "%s must be true or false", key);
        for (size_t i = 0; !known && i < sizeof numbers / sizeof *numbers; i++) {
            if (strcmp(key, numbers[i].key) != 0)
                continue;
            known = true;
            if (!json_is_integer(value) || json_integer_value(value) < numbers[i].least ||
                json_integer_value(value) > numbers[i].most)
                return fail(why, ERR_BAD_REQUEST, "%s must be a number from %lld to %lld", key,
                            (long long)numbers[i].least, (long long)numbers[i].most);
        }
        if (!known)
            return fail(why, ERR_BAD_REQUEST, "unknown setting '%.100s'", key);
    }
    return OK;
}

static void settings_put(struct http_request *req, json_t *body)
{
    struct why why = { "" };
    enum err e = settings_check(body, &why);
    if (e) {
        api_fail(req, e, &why);
        return;
    }
    /* What is left out keeps its value. */
    json_t *value = setting_get(worker_of(req)->reader, "auth_settings");
    if (!json_is_object(value)) {
        json_decref(value);
        value = json_object();
    }
    json_object_update(value, body);
    api_propose(req, "setting.put",
                json_pack("{s:s, s:o, s:s}", "name", "auth_settings", "value", value, "by",
                          principal_of(req)->name),
                saved);
}

void admin_auth_settings_put(struct http_request *req)
{
    api_body(req, settings_put);
}
