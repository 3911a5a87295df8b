/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/helm/chart.c: what a chart says of itself, and names that are made from it. */
#include "src/formats/helm/chart.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/limits.h"
#include "pantera/yaml.h"
#include "src/formats/semver.h"

/* --- versions: semver.org 2.0 --- */

struct version {
    unsigned long number[3];
    const char *pre;             /* NULL: none */
};

static const char *number_read(const char *at, unsigned long *ret)
{
    char *end;

    if (!isdigit((unsigned char)*at) || (*at == '0' && isdigit((unsigned char)at[1])))
        return NULL;
    *ret = strtoul(at, &end, 10);
    return end - at > 18 ? NULL : end;
}

static bool identifiers_good(const char *at, const char *end)
{
    for (;;) {
        size_t n = 0;
        while (at + n < end && (isalnum((unsigned char)at[n]) || at[n] == '-'))
            n++;
        if (!n)
            return false;
        at += n;
        if (at == end)
            return true;
        if (*at++ != '.')
            return false;
    }
}

static bool version_read(const char *text, struct version *ret)
{
    const char *at = text + (*text == 'v'), *plus;

    for (int i = 0; i < 3; i++) {
        at = number_read(at, &ret->number[i]);
        if (!at || (i < 2 && *at++ != '.'))
            return false;
    }
    plus = strchr(at, '+');
    ret->pre = NULL;
    if (*at == '-') {
        ret->pre = at + 1;
        at = plus ? plus : at + strlen(at);
        if (!identifiers_good(ret->pre, at))
            return false;
    }
    return !*at || (*at == '+' && identifiers_good(at + 1, at + strlen(at)));
}

bool helm_version_good(const char *version)
{
    struct version v;

    return strlen(version) <= 128 && version_read(version, &v);
}

int helm_version_compare(const char *a, const char *b)
{
    struct version x, y;
    int order;
    bool left = version_read(a, &x), right = version_read(b, &y);

    if (!left || !right)
        return left != right ? left - right : strcmp(a, b);
    for (int i = 0; i < 3; i++)
        if (x.number[i] != y.number[i])
            return x.number[i] < y.number[i] ? -1 : 1;
    order = semver_prerelease_compare(x.pre, y.pre);
    return order ? order : strcmp(a, b);
}

/* --- Chart.yaml --- */

bool helm_name_good(const char *name)
{
    size_t n = strlen(name);

    return n && n <= 100 && isalnum((unsigned char)*name) &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == n;
}

const char *helm_chart_path(struct arena *a, const char *name, const char *version)
{
    return arena_printf(a, "charts/%s-%s.tgz", name, version);
}

/* Where Helm reads a text, a plain true or null is one too. */
static json_t *as_text(json_t *value)
{
    if (json_is_boolean(value))
        return json_string(json_is_true(value) ? "true" : "false");
    return json_is_string(value) ? json_incref(value) : NULL;
}

/* The fields of chart.Metadata that an index holds, and what they are: s a text, l a list of texts, o
 * objects, m texts by name, b a truth. */
static const struct { const char *name; char kind; } fields[] = {
    { "name", 's' }, { "home", 's' }, { "sources", 'l' }, { "version", 's' }, { "description", 's' },
    { "keywords", 'l' }, { "maintainers", 'o' }, { "icon", 's' }, { "apiVersion", 's' }, { "condition", 's' },
    { "tags", 's' }, { "appVersion", 's' }, { "deprecated", 'b' }, { "annotations", 'm' },
    { "kubeVersion", 's' }, { "dependencies", 'o' }, { "type", 's' },
};

static json_t *texts_of_list(json_t *value)
{
    json_t *list = json_array(), *item;
    size_t i;

    json_array_foreach (value, i, item) {
        json_t *text = as_text(item);
        if (text)
            json_array_append_new(list, text);
    }
    return list;
}

static json_t *texts_of_map(json_t *value)
{
    json_t *map = json_object(), *item;
    const char *name;

    json_object_foreach (value, name, item) {
        json_t *text = as_text(item);
        if (text)
            json_object_set_new(map, name, text);
    }
    return map;
}

static json_t *objects_of(json_t *value)
{
    json_t *list = json_array(), *item;
    size_t i;

    json_array_foreach (value, i, item)
        if (json_is_object(item))
            json_array_append(list, item);
    return list;
}

static json_t *field_of(json_t *value, char kind)
{
    switch (kind) {
    case 's': return as_text(value);
    case 'b': return json_is_true(value) ? json_true() : NULL;
    case 'l': return json_is_array(value) ? texts_of_list(value) : NULL;
    case 'm': return json_is_object(value) ? texts_of_map(value) : NULL;
    default: return json_is_array(value) ? objects_of(value) : NULL;
    }
}

static enum err chart_check(const json_t *entry, struct why *why)
{
    const char *name = json_string_value(json_object_get(entry, "name"));
    const char *version = json_string_value(json_object_get(entry, "version"));

    if (!name || !helm_name_good(name))
        return fail(why, ERR_BAD_REQUEST, "Chart.yaml: '%.100s' can't be a chart's name", name ? name : "");
    if (!version || !helm_version_good(version))
        return fail(why, ERR_BAD_REQUEST, "Chart.yaml: '%.100s' is not a semantic version",
                    version ? version : "");
    if (!json_object_get(entry, "apiVersion"))
        return fail(why, ERR_BAD_REQUEST, "Chart.yaml: no apiVersion");
    return OK;
}

enum err helm_chart_read(const char *text, size_t size, json_t **ret, struct why *why)
{
    json_t *all = NULL, *entry;
    enum err e = yaml_to_json(text, size, &all, why);

    if (e)
        return e;
    entry = json_object();
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        json_t *field = field_of(json_object_get(all, fields[i].name), fields[i].kind);
        if (field)
            json_object_set_new(entry, fields[i].name, field);
    }
    json_decref(all);
    if ((e = chart_check(entry, why)))
        json_decref(entry);
    else
        *ret = entry;
    return e;
}

/* --- provenance: "files:" and then "  lib-1.0.0.tgz: sha256:…" in a clear-signed text --- */

const char *helm_prov_file(struct arena *a, const char *text, size_t size, const char **ret_sha256)
{
    const char *copy = arena_strndup(a, text, size), *at = strstr(copy, "\nfiles:"), *colon;
    size_t n;

    if (!at)
        return NULL;
    at += strlen("\nfiles:");
    at += strspn(at, " \r\n\t");
    n = strcspn(at, ":\r\n");
    colon = at + n;
    if (*colon != ':' || !n || memchr(at, '/', n))
        return NULL;
    colon += 1 + strspn(colon + 1, " ");
    if (strncmp(colon, "sha256:", 7) || strspn(colon + 7, "0123456789abcdef") != 64)
        return NULL;
    *ret_sha256 = arena_strndup(a, colon + 7, 64);
    return arena_strndup(a, at, n);
}
