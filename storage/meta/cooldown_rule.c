/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/cooldown_rule.c: what the cooldown's configuration says: checked, read, written. No rows. */
#include <stdio.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/meta_cooldown.h"

#define MINUTE_MS 60000ll
#define DEFAULT_AGE_MS (7ll * 24 * 60 * MINUTE_MS)

/* The types that fetch from elsewhere; others have nothing to wait for. */
static const char *const types[] = { "maven-proxy", "gradle-proxy", "docker-proxy", "npm-proxy",
                                     "pypi-proxy", "go-proxy", "file-proxy", "php-proxy" };

static bool type_known(const char *type)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(type, types[i]) == 0)
            return true;
    return false;
}

bool cooldown_parse_age(const char *text, int64_t *ret_ms)
{
    uint64_t ms;

    if (!text || !clock_parse_duration(text, &ms) || ms < (uint64_t)MINUTE_MS ||
        ms > (uint64_t)COOLDOWN_AGE_MOST_MS || ms % (uint64_t)MINUTE_MS)
        return false;
    *ret_ms = (int64_t)ms;
    return true;
}

char *cooldown_format_age(int64_t age_ms, char ret_text[32])
{
    long long minutes = (long long)(age_ms / MINUTE_MS);

    if (minutes % (24 * 60) == 0)
        snprintf(ret_text, 32, "%lldd", minutes / (24 * 60));
    else if (minutes % 60 == 0)
        snprintf(ret_text, 32, "%lldh", minutes / 60);
    else
        snprintf(ret_text, 32, "%lldm", minutes);
    return ret_text;
}

/* {"enabled": bool, "minimum_allowed_age": duration}: of all, or of a type. */
static enum err rule_check(const json_t *rule, const char *where, bool global, struct why *why)
{
    const char *key;
    json_t *value;
    int64_t age;

    json_object_foreach ((json_t *)rule, key, value) {
        if (strcmp(key, "enabled") == 0) {
            if (!json_is_boolean(value))
                return fail(why, ERR_BAD_REQUEST, "'%senabled' must be true or false", where);
        } else if (strcmp(key, "minimum_allowed_age") == 0) {
            if (!cooldown_parse_age(json_string_value(value), &age))
                return fail(why, ERR_BAD_REQUEST, "'%sminimum_allowed_age' must be a duration like "
                            "\"7d\", \"3h\", \"30m\" or \"P7D\", from a minute to ten years", where);
        } else if (!global || strcmp(key, "repo_types") != 0) {
            return fail(why, ERR_BAD_REQUEST, "unknown key '%s%.60s'", where, key);
        }
    }
    return OK;
}

enum err cooldown_config_check(const json_t *body, struct why *why)
{
    const json_t *by_type = json_object_get(body, "repo_types");
    const char *type;
    char where[96];
    json_t *rule;
    enum err e;

    if (!json_is_object(body))
        return fail(why, ERR_BAD_REQUEST, "expected a JSON object");
    if ((e = rule_check(body, "", true, why)))
        return e;
    if (by_type && !json_is_object(by_type))
        return fail(why, ERR_BAD_REQUEST, "'repo_types' must be an object");
    json_object_foreach ((json_t *)by_type, type, rule) {
        if (!type_known(type))
            return fail(why, ERR_BAD_REQUEST, "'%.60s' is not a proxy repository type", type);
        if (!json_is_object(rule))
            return fail(why, ERR_BAD_REQUEST, "'repo_types.%s' must be an object", type);
        snprintf(where, sizeof where, "repo_types.%s.", type);
        if ((e = rule_check(rule, where, false, why)))
            return e;
    }
    return OK;
}

/* What `rule` leaves out is as in `otherwise`. */
static struct cooldown_rule rule_read(const json_t *rule, struct cooldown_rule otherwise)
{
    const json_t *enabled = json_object_get(rule, "enabled");

    if (json_is_boolean(enabled))
        otherwise.enabled = json_is_true(enabled);
    cooldown_parse_age(json_string_value(json_object_get(rule, "minimum_allowed_age")),
                       &otherwise.age_ms);
    return otherwise;
}

static struct cooldown_rule global_rule(const json_t *config)
{
    return rule_read(config, (struct cooldown_rule){ .enabled = false, .age_ms = DEFAULT_AGE_MS });
}

static struct cooldown_rule type_rule(const json_t *config, const char *type)
{
    return rule_read(json_object_get(json_object_get(config, "repo_types"), type),
                     global_rule(config));
}

struct cooldown_rule cooldown_rule(const json_t *config, const char *type, const json_t *repo_config)
{
    size_t n = strlen(type);
    struct cooldown_rule rule = type_rule(config, type);
    const json_t *own = json_object_get(json_object_get(repo_config, "repo"), "cooldown");

    if (n < 6 || strcmp(type + n - 6, "-proxy") != 0)
        return (struct cooldown_rule){ .enabled = false, .age_ms = rule.age_ms };
    /* A repository's own duration says that it wants one. */
    if (cooldown_parse_age(json_string_value(json_object_get(own, "duration")), &rule.age_ms))
        rule.enabled = true;
    return rule;
}

static json_t *rule_describe(struct cooldown_rule rule)
{
    char text[32];

    return json_pack("{s:b, s:s}", "enabled", rule.enabled, "minimum_allowed_age",
                     cooldown_format_age(rule.age_ms, text));
}

json_t *cooldown_config_describe(const json_t *config)
{
    json_t *all = rule_describe(global_rule(config)), *by_type = json_object(), *rule;
    const char *type;

    json_object_foreach (json_object_get(config, "repo_types"), type, rule)
        json_object_set_new(by_type, type, rule_describe(type_rule(config, type)));
    json_object_set_new(all, "repo_types", by_type);
    return all;
}
