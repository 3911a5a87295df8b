/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/helm/index.c: a repository's index as JSON. */
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/limits.h"
#include "pantera/yaml.h"
#include "src/formats/helm/chart.h"

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

enum err helm_index_read(const char *data, size_t size, json_t **ret, struct why *why)
{
    json_t *index = NULL;
    enum err e = OK;

    if (!data) {
        *ret = json_pack("{s:s, s:{}}", "apiVersion", "v1", "entries");
        return OK;
    }
    if (size && *data == '{')
        index = json_loadb(data, size, 0, NULL);
    if (!index)
        e = yaml_to_json(data, size, &index, why);
    if (!e && !json_is_object(json_object_get(index, "entries"))) {
        /* "entries:" alone, as an empty repository may say */
        if (json_is_object(index) && json_is_null(json_object_get(index, "entries")))
            json_object_set_new(index, "entries", json_object());
        else
            e = fail(why, ERR_UPSTREAM, "not an index of charts");
    }
    if (e) {
        json_decref(index);
        return ERR_UPSTREAM;
    }
    *ret = index;
    return OK;
}

static size_t find_in(const json_t *list, const char *version)
{
    size_t i = 0;

    while (i < json_array_size(list) && strcmp(text_of(json_array_get(list, i), "version"), version))
        i++;
    return i;
}

json_t *helm_index_find(const json_t *index, const char *name, const char *version)
{
    const json_t *list = json_object_get(json_object_get(index, "entries"), name);

    return json_array_get(list, find_in(list, version));
}

void helm_index_put(json_t *index, json_t *entry)
{
    json_t *entries = json_object_get(index, "entries"), *list;
    const char *name = text_of(entry, "name");
    size_t at;

    list = json_object_get(entries, name);
    if (!json_is_array(list)) {
        list = json_array();
        json_object_set_new(entries, name, list);
    }
    at = find_in(list, text_of(entry, "version"));
    if (at < json_array_size(list))
        json_array_set_new(list, at, entry);
    else
        json_array_append_new(list, entry);
}

static bool is_at(const json_t *entry, const char *path, bool tree)
{
    const char *url = json_string_value(json_array_get(json_object_get(entry, "urls"), 0));
    size_t n = strlen(path);

    if (!url)
        return false;
    return !strcmp(url, path) || (tree && (!n || (!strncmp(url, path, n) && url[n] == '/')));
}

unsigned helm_index_remove(json_t *index, const char *path, bool tree)
{
    json_t *entries = json_object_get(index, "entries"), *list;
    const char *name;
    unsigned gone = 0;
    void *next;

    json_object_foreach_safe (entries, next, name, list) {
        for (size_t i = json_array_size(list); i-- > 0;)
            if (is_at(json_array_get(list, i), path, tree)) {
                json_array_remove(list, i);
                gone++;
            }
        if (!json_array_size(list))
            json_object_del(entries, name);
    }
    return gone;
}

static int by_version(const void *x, const void *y)
{
    return helm_version_compare(text_of(*(json_t *const *)y, "version"),
                                text_of(*(json_t *const *)x, "version"));
}

static void list_sort(json_t *list)
{
    size_t n = json_array_size(list);
    json_t **items = calloc(n + 1, sizeof *items);

    check(items);
    for (size_t i = 0; i < n; i++)
        items[i] = json_incref(json_array_get(list, i));
    qsort(items, n, sizeof *items, by_version);
    for (size_t i = 0; i < n; i++)
        json_array_set_new(list, i, items[i]);
    free(items);
}

void helm_index_sort(json_t *index)
{
    const char *name;
    json_t *list;

    json_object_foreach (json_object_get(index, "entries"), name, list)
        list_sort(list);
}

static int append(const char *data, size_t size, void *arg)
{
    return buf_add(arg, data, size) ? -1 : 0;
}

enum err helm_index_write(json_t *index, struct buf *ret)
{
    char time[32];

    json_object_set_new(index, "generated", json_string(clock_rfc3339(clock_wall_ms(), time)));
    (void)json_dump_callback(index, append, ret, JSON_COMPACT | JSON_SORT_KEYS);
    (void)buf_puts(ret, "\n");
    return buf_err(ret);
}
