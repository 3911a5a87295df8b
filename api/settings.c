/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of the whole cluster: GET /settings, PUT /settings/prefixes, PUT /settings/:section (seed 000).
 * settings.def says what there is; a key without effect is refused, never just stored. What takes effect by
 * being put into force (timeouts, the log) is settings_live.c's. */
#include <stdio.h>
#include <string.h>

#include "api/internal.h"
#include "api/settings.h"
#include "pantera/clock.h"
#include "pantera/meta_cooldown.h"
#include "pantera/meta_setting.h"
#include "pantera/text.h"

enum kind { FIXED, MS, DURATION, SECONDS, COUNT, BOOL, PATH, LEVEL };
enum { MOST_PREFIXES = 32 };

/* --- the table --- */

static const char *level_name(enum log_level level)
{
    static const char *const names[] = { "debug", "info", "warn", "error" };
    return names[level];
}

static json_t *networks_json(const struct config *c)
{
    json_t *list = json_array();
    for (const char *const *n = (const char *const *)c->allow_upstreams; n && *n; n++)
        json_array_append_new(list, json_string(*n));
    return list;
}

#define JSON_MS(v) json_integer((json_int_t)(v))
#define JSON_DURATION(v) json_integer((json_int_t)(v))
#define JSON_SECONDS(v) json_integer((json_int_t)(v))
#define JSON_COUNT(v) json_integer((json_int_t)(v))
#define JSON_BOOL(v) json_boolean(v)
#define JSON_PATH(v) json_string(v)
#define JSON_LEVEL(v) json_string(v)

#define SETTING(section, key, kind, least, most, standard) \
    static json_t *section##_##key(const struct config *c) { (void)c; return JSON_##kind(standard); }
#define FIXED(section, key, json, why) \
    static json_t *section##_##key(const struct config *c) { (void)c; return json; }
#include "api/settings.def"
#undef SETTING
#undef FIXED

static const struct row {
    const char *section, *key;
    enum kind kind;
    int64_t least, most;
    json_t *(*standard)(const struct config *c);
    const char *why;
} rows[] = {
#define SETTING(section, key, kind, least, most, standard) \
    { #section, #key, kind, least, most, section##_##key, NULL },
#define FIXED(section, key, json, why) { #section, #key, FIXED, 0, 0, section##_##key, why },
#include "api/settings.def"
#undef SETTING
#undef FIXED
};
#define ROWS (sizeof rows / sizeof *rows)

/* The token policy has one home, whatever way it was put. */
static const char *store_of(const char *section)
{
    return strcmp(section, "jwt") == 0 ? "auth_settings" : section;
}

static const struct row *row_find(const char *section, const char *key)
{
    for (size_t i = 0; i < ROWS; i++)
        if (strcmp(rows[i].section, section) == 0 && (!key || strcmp(rows[i].key, key) == 0))
            return &rows[i];
    return NULL;
}

/* What holds now; a new reference. */
static json_t *value_of(const struct worker *w, const struct row *row)
{
    json_t *kept = NULL, *standard;
    if (row->kind != FIXED)
        kept = json_object_get(setting_now(w->reader, store_of(row->section)), row->key);
    if (kept && !json_is_null(kept))
        return json_incref(kept);
    standard = row->standard(w->config);
    return standard ? standard : json_null();
}

int64_t settings_number(const struct worker *w, const char *section, const char *key)
{
    const struct row *row = row_find(section, key);
    check(row);
    json_t *value = value_of(w, row);
    int64_t n = json_is_boolean(value) ? json_is_true(value) : json_integer_value(value);
    json_decref(value);
    return n;
}

const char *settings_text(struct arena *a, const struct worker *w, const char *section, const char *key)
{
    const struct row *row = row_find(section, key);
    check(row);
    json_t *value = value_of(w, row);
    const char *text = json_is_string(value) ? arena_strdup(a, json_string_value(value)) : NULL;
    json_decref(value);
    return text;
}

/* --- GET --- */

static json_t *shown(const struct worker *w, const struct row *row)
{
    json_t *value = value_of(w, row);
    char text[48];
    if (row->kind != DURATION)
        return value;
    long long ms = json_integer_value(value);
    json_decref(value);
    if (ms % 1000)
        snprintf(text, sizeof text, "PT%lld.%03lldS", ms / 1000, ms % 1000);
    else
        snprintf(text, sizeof text, "PT%lldS", ms / 1000);
    return json_string(text);
}

void settings_get(struct http_request *req)
{
    const struct worker *w = worker_of(req);
    json_t *prefixes = json_deep_copy(setting_now(w->reader, "prefixes")), *all;
    all = json_pack("{s:i, s:s, s:o}", "port", w->config->port, "version", PANTERA_VERSION, "prefixes",
                    json_is_array(prefixes) ? prefixes : json_array());
    for (size_t i = 0; i < ROWS; i++) {
        if (!json_object_get(all, rows[i].section))
            json_object_set_new(all, rows[i].section, json_object());
        json_object_set_new(json_object_get(all, rows[i].section), rows[i].key, shown(w, &rows[i]));
    }
    json_object_set_new(all, "cooldown",
                        cooldown_config_describe(setting_now(w->reader, COOLDOWN_SETTING)));
    json_object_set_new(all, "credentials", providers_describe(req));
    json_object_set_new(all, "database", json_pack("{s:b}", "configured", true));
    json_object_set_new(all, "caches", json_pack("{s:b}", "valkey_configured", false));
    api_json(req, 200, all);
}

/* --- PUT: one section --- */

static enum err number_check(const struct row *row, json_t *value, int64_t *ret, struct why *why)
{
    uint64_t ms;
    bool good = json_is_integer(value);
    *ret = json_integer_value(value);
    if (row->kind < SECONDS && json_is_string(value) &&
        (good = clock_parse_duration(json_string_value(value), &ms)))
        *ret = (int64_t)ms;
    if (!good || *ret < row->least || *ret > row->most)
        return fail(why, ERR_BAD_REQUEST, "'%s.%s' must be %s from %lld to %lld", row->section, row->key,
                    row->kind == COUNT     ? "a number"
                    : row->kind == SECONDS ? "a number of seconds"
                                           : "a number of milliseconds, or a duration like \"PT60S\",",
                    (long long)row->least, (long long)row->most);
    return OK;
}

static bool path_good(const struct row *row, const char *text)
{
    size_t n = text ? strlen(text) : 0;
    if (n < (size_t)row->least || n > (size_t)row->most || *text != '/')
        return false;
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 0x7f || strchr("?#%\"\\", *text))
            return false;
    return true;
}

/* *ret: as it is kept; a new reference. Null takes the setting back: the node's configuration holds. */
static enum err value_check(const struct worker *w, const struct row *row, json_t *value, json_t **ret,
                            struct why *why)
{
    enum log_level level;
    const char *text = json_string_value(value);
    int64_t n;
    enum err e = OK;
    if (row->kind == FIXED) {
        json_t *now = value_of(w, row);
        bool same = json_equal(now, value);
        json_decref(now);
        return same ? OK : fail(why, ERR_BAD_REQUEST, "'%s.%s' can't be changed here: %s", row->section,
                                row->key, row->why);
    }
    *ret = json_incref(value);
    if (json_is_null(value))
        return OK;
    if (row->kind == BOOL && !json_is_boolean(value))
        e = fail(why, ERR_BAD_REQUEST, "'%s.%s' must be true or false", row->section, row->key);
    else if (row->kind == LEVEL && (!text || !log_level_parse(text, &level)))
        e = fail(why, ERR_BAD_REQUEST, "'%s.%s' must be debug, info, warn or error", row->section, row->key);
    else if (row->kind == PATH && !path_good(row, text))
        e = fail(why, ERR_BAD_REQUEST, "'%s.%s' must be a path like /metrics", row->section, row->key);
    else if (row->kind <= COUNT && !(e = number_check(row, value, &n, why))) {
        json_decref(value);
        *ret = json_integer(n);
    }
    if (e)
        json_decref(*ret);
    return e;
}

static enum err section_check(const struct worker *w, const char *section, const json_t *body,
                              json_t *patch, struct why *why)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)body, key, value) {
        const struct row *row = row_find(section, key);
        json_t *kept = NULL;
        if (!row)
            return fail(why, ERR_BAD_REQUEST, "'%s.%.60s' has no effect here", section, key);
        enum err e = value_check(w, row, value, &kept, why);
        if (e)
            return e;
        if (kept)
            json_object_set_new(patch, key, kept);
    }
    return OK;
}

void settings_saved(struct http_request *req, json_t *result)
{
    api_done(req, 200, json_pack("{s:s}", "status", "saved"));
}

static void section_unknown(struct http_request *req, const char *section)
{
    static const char *const elsewhere[][2] = {
        { "port", "the port is each node's: meta.port" },
        { "version", "the version is the program's" },
        { "credentials", "see PUT /api/v1/auth-providers/ID/config" },
        { "database", "there is no database to configure" },
        { "caches", "there are no caches to configure" },
    };
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
        if (strcmp(section, elsewhere[i][0]) == 0) {
            api_fail_text(req, ERR_BAD_REQUEST, "'%s' can't be changed here: %s", section, elsewhere[i][1]);
            return;
        }
    api_fail_text(req, ERR_BAD_REQUEST, "'%.100s' is not a section of the settings", section);
}

static void section_put(struct http_request *req, json_t *body)
{
    const char *section = req->params[0];
    struct why why = { "" };
    if (strcmp(section, "cooldown") == 0) {
        cooldown_save(req, body);
        return;
    }
    if (!row_find(section, NULL)) {
        section_unknown(req, section);
        return;
    }
    json_t *patch = json_object();
    enum err e = section_check(worker_of(req), section, body, patch, &why);
    if (e) {
        json_decref(patch);
        api_refuse(req, e, &why);
        return;
    }
    api_propose(req, "setting.merge",
                json_pack("{s:s, s:o, s:s}", "name", store_of(section), "patch", patch, "by",
                          principal_of(req)->name),
                settings_saved);
}

void settings_section_put(struct http_request *req)
{
    api_body(req, section_put);
}

/* --- PUT: prefixes --- */

static enum err prefixes_check(const json_t *prefixes, struct why *why)
{
    const json_t *item;
    size_t i;
    if (!json_is_array(prefixes))
        return fail(why, ERR_BAD_REQUEST, "expected {\"prefixes\": [text, ...]}");
    if (json_array_size(prefixes) > MOST_PREFIXES)
        return fail(why, ERR_BAD_REQUEST, "there may be at most %d prefixes", MOST_PREFIXES);
    json_array_foreach((json_t *)prefixes, i, item) {
        const char *name = json_string_value(item);
        if (!name || !name_valid(name))
            return fail(why, ERR_BAD_REQUEST, "a prefix is one segment of a path, without / \\ %% ? # :");
        /* "api" is part of the forms of a path itself, dots begin what is ours. */
        if (*name == '.' || strcmp(name, "api") == 0)
            return fail(why, ERR_BAD_REQUEST, "'%.100s' can't be a prefix", name);
        for (size_t k = 0; k < i; k++)
            if (strcmp(name, json_string_value(json_array_get(prefixes, k))) == 0)
                return fail(why, ERR_BAD_REQUEST, "'%.100s' is there twice", name);
    }
    return OK;
}

static void prefixes_done(struct http_request *req, json_t *result)
{
    api_done(req, 200, NULL);
}

static void prefixes_put(struct http_request *req, json_t *body)
{
    json_t *prefixes = json_object_get(body, "prefixes");
    struct why why = { "" };
    enum err e = prefixes_check(prefixes, &why);
    if (!e && json_object_size(body) > 1)
        e = fail(&why, ERR_BAD_REQUEST, "only 'prefixes' is expected");
    if (e)
        api_fail(req, e, &why);
    else
        api_propose(req, "prefixes.put",
                    json_pack("{s:s, s:O, s:s}", "name", "prefixes", "prefixes", prefixes, "by",
                              principal_of(req)->name),
                    prefixes_done);
}

void settings_prefixes_put(struct http_request *req)
{
    api_body(req, prefixes_put);
}
