/* SPDX-License-Identifier: Apache-2.0 */
/* Revoking a user's tokens; the token policy. */
#include <stdlib.h>
#include <string.h>

#include "api/internal.h"
#include "api/settings.h"

#define DAY_S (24 * 3600)

static void revoked(struct http_request *req, json_t *result)
{
    api_done(req, 200,
             json_pack("{s:s, s:s, s:I}", "status", "revoked", "username", req->params[0],
                       "tokens_revoked",
                       json_integer_value(json_object_get(result, "tokens_revoked"))));
}

void admin_revoke_user(struct http_request *req)
{
    struct why why = { "" };
    enum err e = user_covered(req, req->params[0], &why);
    if (e) {
        api_refuse(req, e, &why);
        return;
    }
    api_propose(req, "user.revoke", json_pack("{s:s}", "name", req->params[0]), revoked);
}

void admin_auth_settings_get(struct http_request *req)
{
    struct token_policy p;
    if (!token_policy_now(req, &p))
        return;
    api_json(req, 200,
             json_pack("{s:I, s:I, s:I, s:b}", "access_token_expiry_seconds",
                       (json_int_t)p.access_s, "refresh_token_expiry_seconds",
                       (json_int_t)p.refresh_s, "api_token_max_expiry_days",
                       (json_int_t)p.api_max_days, "allow_permanent_tokens", p.permanent));
}

/* The seed's names, and the original's, which come as texts or numbers. */
static const struct policy_key {
    const char *key, *kept; /* kept: the name in the setting */
    int64_t least, most;    /* both 0: true or false */
    int64_t unit;           /* of the value in units of what is kept */
} keys[] = {
    { "access_token_expiry_seconds", "access_token_expiry_seconds", 60, 7 * 24 * 3600, 1 },
    { "refresh_token_expiry_seconds", "refresh_token_expiry_seconds", 300, 365ll * 24 * 3600, 1 },
    { "api_token_max_expiry_days", "api_token_max_expiry_days", 1, 3650, 1 },
    { "allow_permanent_tokens", "allow_permanent_tokens", 0, 0, 1 },
    { "access_token_ttl_seconds", "access_token_expiry_seconds", 60, 7 * 24 * 3600, 1 },
    { "refresh_token_ttl_seconds", "refresh_token_expiry_seconds", 300, 365ll * 24 * 3600, 1 },
    { "api_token_max_ttl_seconds", "api_token_max_expiry_days", 1, 3650, DAY_S },
    { "api_token_allow_permanent", "allow_permanent_tokens", 0, 0, 1 },
};

static bool number_of(const json_t *value, bool text_too, int64_t *ret)
{
    const char *text = json_string_value(value);
    char *end;
    if (json_is_integer(value)) {
        *ret = json_integer_value(value);
        return true;
    }
    if (!text || !text_too || *text < '0' || *text > '9' || strlen(text) > 15)
        return false;
    *ret = strtoll(text, &end, 10);
    return !*end;
}

static enum err key_check(const struct policy_key *k, json_t *value, json_t *patch, struct why *why)
{
    bool original = strcmp(k->key, k->kept) != 0;
    const char *text = original ? json_string_value(value) : NULL;
    json_t *kept = NULL;
    int64_t n;
    if (!k->most) {
        if (json_is_boolean(value))
            kept = json_incref(value);
        else if (text && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0))
            kept = json_boolean(*text == 't');
        else
            return fail(why, ERR_BAD_REQUEST, "%s must be true or false", k->key);
    } else {
        if (!number_of(value, original, &n) || n % k->unit || n / k->unit < k->least ||
            n / k->unit > k->most)
            return fail(why, ERR_BAD_REQUEST, "%s must be a number from %lld to %lld%s", k->key,
                        (long long)(k->least * k->unit), (long long)(k->most * k->unit),
                        k->unit > 1 ? ", of whole days" : "");
        kept = json_integer(n / k->unit);
    }
    json_t *other = json_object_get(patch, k->kept);
    if (other && !json_equal(other, kept)) {
        json_decref(kept);
        return fail(why, ERR_BAD_REQUEST, "%s and its other name disagree", k->key);
    }
    json_object_set_new(patch, k->kept, kept);
    return OK;
}

static enum err policy_check(const json_t *body, json_t *patch, struct why *why)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)body, key, value) {
        size_t i = 0;
        while (i < sizeof keys / sizeof *keys && strcmp(key, keys[i].key) != 0)
            i++;
        if (i == sizeof keys / sizeof *keys)
            return fail(why, ERR_BAD_REQUEST, "unknown setting '%.100s'", key);
        enum err e = key_check(&keys[i], value, patch, why);
        if (e)
            return e;
    }
    return OK;
}

static void settings_put(struct http_request *req, json_t *body)
{
    struct why why = { "" };
    json_t *patch = json_object();
    enum err e = policy_check(body, patch, &why);
    if (e) {
        json_decref(patch);
        api_fail(req, e, &why);
        return;
    }
    api_propose(req, "setting.merge",
                json_pack("{s:s, s:o, s:s}", "name", "auth_settings", "patch", patch, "by",
                          principal_of(req)->name),
                settings_saved);
}

void admin_auth_settings_put(struct http_request *req)
{
    api_body(req, settings_put);
}
