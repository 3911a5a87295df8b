/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/cooldown_rule.c: what the cooldown's configuration says: checked, read, written. No rows. */
#include <stdio.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/meta_cooldown.h"

#define MINUTE_MS 60000ll
#define AGE "minimum_allowed_age"
#define CONTACT_MOST 80 /* it stands in errors, which have little room */
#define DEFAULT_AGE_MS (7ll * 24 * 60 * MINUTE_MS)

/* The types that fetch from elsewhere; others have nothing to wait for. */
static const char *const types[] = { "maven-proxy", "gradle-proxy", "docker-proxy", "npm-proxy",
                                     "pypi-proxy", "go-proxy", "helm-proxy", "file-proxy", "php-proxy" };

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

static const char *const unknowns[] = { [COOLDOWN_FIRST_SEEN] = "first_seen", [COOLDOWN_ALLOW] = "allow",
                                        [COOLDOWN_BLOCK] = "block" };

static bool unknown_parse(const char *text, enum cooldown_unknown *ret)
{
    for (unsigned i = 0; text && i < sizeof unknowns / sizeof *unknowns; i++)
        if (strcmp(text, unknowns[i]) == 0) {
            *ret = (enum cooldown_unknown)i;
            return true;
        }
    return false;
}

static bool contact_good(const char *text)
{
    size_t n = text ? strlen(text) : 0;

    if (n < 1 || n > CONTACT_MOST)
        return false;
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return false;
    return true;
}

/* A key that rules of all sorts have; *ret_known: it is one. */
static enum err key_check(const char *key, const json_t *value, const char *where, bool *ret_known,
                          struct why *why)
{
    const char *text = json_string_value(value);
    enum cooldown_unknown unknown;
    int64_t ms;

    *ret_known = true;
    if (strcmp(key, "enabled") == 0) {
        if (!json_is_boolean(value))
            return fail(why, ERR_BAD_REQUEST, "'%senabled' must be true or false", where);
    } else if (strcmp(key, "unknown") == 0) {
        if (!unknown_parse(text, &unknown))
            return fail(why, ERR_BAD_REQUEST, "'%sunknown' must be first_seen, allow or block", where);
    } else if (strcmp(key, "frozen_at") == 0) {
        if (!json_is_null(value) && (!text || !clock_parse_rfc3339(text, &ms) || ms <= 0))
            return fail(why, ERR_BAD_REQUEST, "'%sfrozen_at' must be null, a date like \"2026-03-22\" or a "
                        "time like \"2026-03-22T10:00:00Z\"", where);
    } else if (strcmp(key, "minimum_allowed_age") == 0 || strcmp(key, "duration") == 0) {
        if (!cooldown_parse_age(text, &ms))
            return fail(why, ERR_BAD_REQUEST, "'%s%s' must be a duration like \"7d\", \"3h\", \"30m\" or "
                        "\"P7D\", from a minute to ten years", where, key);
    } else {
        *ret_known = false;
    }
    return OK;
}

/* Of all, of a type, or of a repository: where the age is called `age`. */
static enum err rule_check(const json_t *rule, const char *where, const char *age, bool global,
                           struct why *why)
{
    const char *key, *not_here = strcmp(age, "duration") ? "duration" : "minimum_allowed_age";
    json_t *value;
    bool known;
    enum err e;

    json_object_foreach ((json_t *)rule, key, value) {
        if ((e = key_check(key, value, where, &known, why)))
            return e;
        if (global && strcmp(key, "release_contact") == 0) {
            if (!json_is_null(value) && !contact_good(json_string_value(value)))
                return fail(why, ERR_BAD_REQUEST, "'release_contact' must be null or a line of at most %d "
                            "bytes", CONTACT_MOST);
        } else if ((!known && (!global || strcmp(key, "repo_types"))) || !strcmp(key, not_here)) {
            return fail(why, ERR_BAD_REQUEST, "unknown key '%s%.60s'", where, key);
        }
    }
    return OK;
}

enum err cooldown_own_check(const json_t *own, struct why *why)
{
    if (!own)
        return OK;
    if (!json_is_object(own))
        return fail(why, ERR_BAD_REQUEST, "'cooldown' must be an object");
    return rule_check(own, "cooldown.", "duration", false, why);
}

const char *cooldown_contact(const json_t *config)
{
    return json_string_value(json_object_get(config, "release_contact"));
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
    if ((e = rule_check(body, "", AGE, true, why)))
        return e;
    if (by_type && !json_is_object(by_type))
        return fail(why, ERR_BAD_REQUEST, "'repo_types' must be an object");
    json_object_foreach ((json_t *)by_type, type, rule) {
        if (!type_known(type))
            return fail(why, ERR_BAD_REQUEST, "'%.60s' is not a proxy repository type", type);
        if (!json_is_object(rule))
            return fail(why, ERR_BAD_REQUEST, "'repo_types.%s' must be an object", type);
        snprintf(where, sizeof where, "repo_types.%s.", type);
        if ((e = rule_check(rule, where, AGE, false, why)))
            return e;
    }
    return OK;
}

/* What `rule` leaves out is as in `otherwise`. */
static struct cooldown_rule rule_read(const json_t *rule, struct cooldown_rule otherwise)
{
    const json_t *enabled = json_object_get(rule, "enabled"), *frozen = json_object_get(rule, "frozen_at");
    const char *date = json_string_value(frozen);

    if (json_is_boolean(enabled))
        otherwise.enabled = json_is_true(enabled);
    cooldown_parse_age(json_string_value(json_object_get(rule, AGE)), &otherwise.age_ms);
    unknown_parse(json_string_value(json_object_get(rule, "unknown")), &otherwise.unknown);
    if (json_is_null(frozen)) /* a type without the freeze of all */
        otherwise.frozen_ms = 0;
    if (date)
        clock_parse_rfc3339(date, &otherwise.frozen_ms);
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
    /* A repository's own duration or freeze says that it wants one. */
    if (cooldown_parse_age(json_string_value(json_object_get(own, "duration")), &rule.age_ms) ||
        json_is_string(json_object_get(own, "frozen_at")))
        rule.enabled = true;
    return rule_read(own, rule);
}

struct cooldown_ruling cooldown_rule_judge(const struct cooldown_rule *rule, int64_t released_ms,
                                           int64_t seen_ms, int64_t now_ms)
{
    struct cooldown_ruling ruling = { .reason = "TOO_YOUNG" };

    if (!rule->enabled || (released_ms <= 0 && rule->unknown == COOLDOWN_ALLOW))
        return (struct cooldown_ruling){ .allowed = true };
    if (released_ms <= 0) {
        ruling.reason = "UNKNOWN_AGE";
        if (rule->unknown == COOLDOWN_BLOCK)
            return ruling;
        ruling.unseen = seen_ms <= 0;
        released_ms = seen_ms > 0 ? seen_ms : now_ms;
    }
    if (released_ms > now_ms + COOLDOWN_AGE_MOST_MS) /* upstream says what it likes: no overflow */
        released_ms = now_ms + COOLDOWN_AGE_MOST_MS;
    if (rule->frozen_ms && released_ms > rule->frozen_ms) {
        if (strcmp(ruling.reason, "UNKNOWN_AGE") != 0)
            ruling.reason = "FROZEN";
        return ruling;
    }
    ruling.allowed = released_ms + rule->age_ms <= now_ms;
    if (ruling.allowed)
        return (struct cooldown_ruling){ .allowed = true };
    ruling.until_ms = released_ms + rule->age_ms;
    return ruling;
}

static json_t *rule_describe(struct cooldown_rule rule)
{
    char text[32];

    return json_pack("{s:b, s:s}", "enabled", rule.enabled, "minimum_allowed_age",
                     cooldown_format_age(rule.age_ms, text));
}

json_t *cooldown_config_describe(const json_t *config)
{
    struct cooldown_rule global = global_rule(config);
    const char *contact = cooldown_contact(config), *type;
    json_t *all = rule_describe(global), *by_type = json_object(), *rule;
    char text[32];

    json_object_set_new(all, "unknown", json_string(unknowns[global.unknown]));
    json_object_set_new(all, "frozen_at", global.frozen_ms
                                              ? json_string(clock_rfc3339(global.frozen_ms, text))
                                              : json_null());
    json_object_set_new(all, "release_contact", contact ? json_string(contact) : json_null());
    json_object_foreach (json_object_get(config, "repo_types"), type, rule) {
        json_t *shown = rule_describe(type_rule(config, type));
        static const char *const own[] = { "unknown", "frozen_at" };
        for (unsigned i = 0; i < 2; i++) /* only what is its own: what is put back must not pin the rest */
            if (json_object_get(rule, own[i]))
                json_object_set(shown, own[i], json_object_get(rule, own[i]));
        json_object_set_new(by_type, type, shown);
    }
    json_object_set_new(all, "repo_types", by_type);
    return all;
}
