/* SPDX-License-Identifier: Apache-2.0 */
/* How long tokens live: setting "auth_settings", else the configuration, else the seed's defaults. */
#include "api/internal.h"
#include "pantera/meta_setting.h"

static void policy_int(const json_t *o, const char *key, int64_t *value)
{
    const json_t *v = json_object_get(o, key);
    if (json_is_integer(v) && json_integer_value(v) > 0)
        *value = json_integer_value(v);
}

bool token_policy_now(struct http_request *req, struct token_policy *ret)
{
    struct worker *w = worker_of(req);
    const struct config *c = w->config;
    const json_t *setting = setting_now(w->reader, "auth_settings");
    *ret = (struct token_policy){
        .access_s = c->access_token_expiry_s > 0 ? c->access_token_expiry_s : 3600,
        .refresh_s = c->refresh_token_expiry_s > 0 ? c->refresh_token_expiry_s : 604800,
        .api_max_days = 90,
        .permanent = false,
    };
    policy_int(setting, "access_token_expiry_seconds", &ret->access_s);
    policy_int(setting, "refresh_token_expiry_seconds", &ret->refresh_s);
    policy_int(setting, "api_token_max_expiry_days", &ret->api_max_days);
    const json_t *permanent = json_object_get(setting, "allow_permanent_tokens");
    if (json_is_boolean(permanent))
        ret->permanent = json_is_true(permanent);
    /* The guard looked at the lease before a password was hashed; a node that was cut off since then must not
     * sign by a policy that the others have replaced. */
    if (cluster_current(w->cluster))
        return true;
    api_fail(req, ERR_NOT_CURRENT, NULL);
    return false;
}
