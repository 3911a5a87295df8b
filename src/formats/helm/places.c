/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/helm/places.c: where an index says that charts are, as lines in order: what is asked of an
 * index of ten thousands of charts for each one that is fetched. Pure; any thread.
 *
 *     lib 1.0.0\thttps://charts.example/lib-1.0.0.tgz\t<sha256 in hex, or nothing>\t<released, in ms>\n */
#include <stdlib.h>
#include <string.h>

#include "pantera/text.h"
#include "src/formats/helm/chart.h"
#include "src/formats/rfc3339.h"

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

struct line {
    const char *text;
    size_t at;                   /* in the index: of two of the same version the first counts */
};

static size_t key_of(const char *text)
{
    return strcspn(text, "\t") + 1;
}

static bool same_key(const char *a, const char *b)
{
    return key_of(a) == key_of(b) && !memcmp(a, b, key_of(a));
}

static int by_key(const void *x, const void *y)
{
    const struct line *a = x, *b = y;

    if (same_key(a->text, b->text))
        return a->at < b->at ? -1 : 1;
    return strcmp(a->text, b->text);
}

/* NULL: nothing can be fetched by it. */
static const char *line_of(struct arena *a, const char *name, const json_t *entry)
{
    const char *version = text_of(entry, "version"), *sha256 = text_of(entry, "digest");
    const char *url = json_string_value(json_array_get(json_object_get(entry, "urls"), 0));
    unsigned char digest[32];

    sha256 += !strncmp(sha256, "sha256:", 7) ? 7 : 0;
    if (!url || !*url || strpbrk(url, "\t\r\n") || !helm_name_good(name) || !helm_version_good(version))
        return NULL;
    return arena_printf(a, "%s %s\t%s\t%s\t%lld\n", name, version, url,
                        strlen(sha256) == 64 && hex_decode(sha256, 64, digest) ? sha256 : "",
                        (long long)rfc3339_ms(text_of(entry, "created")));
}

enum err helm_places_write(const json_t *index, struct arena *a, struct buf *ret)
{
    json_t *entries = json_object_get(index, "entries"), *list, *entry;
    size_t count = 0, most = 0, i;
    struct line *lines;
    const char *name;

    json_object_foreach (entries, name, list)
        most += json_array_size(list);
    lines = arena_alloc(a, (most + 1) * sizeof *lines);
    json_object_foreach (entries, name, list)
        json_array_foreach (list, i, entry) {
            lines[count] = (struct line){ line_of(a, name, entry), count };
            count += lines[count].text != NULL;
        }
    if (count)
        qsort(lines, count, sizeof *lines, by_key);
    (void)buf_puts(ret, "");
    for (i = 0; i < count; i++)
        if (!i || !same_key(lines[i - 1].text, lines[i].text))
            (void)buf_puts(ret, lines[i].text);
    return buf_err(ret);
}

/* The line in which `at` is. */
static size_t begin_of(const char *data, size_t at)
{
    while (at > 0 && data[at - 1] != '\n')
        at--;
    return at;
}

bool helm_places_find(const char *data, size_t size, struct arena *a, const char *name, const char *version,
                      struct helm_place *ret)
{
    const char *key = arena_printf(a, "%s %s\t", name, version);
    size_t low = 0, high = size, n = strlen(key);

    while (low < high) {
        size_t at = begin_of(data, low + (high - low) / 2), length = strcspn(data + at, "\n");
        int order = strncmp(data + at, key, n);
        char *line, *url, *sha256;
        if (order < 0) {
            low = at + length + 1;
        } else if (order > 0) {
            high = at;
        } else {
            line = arena_strndup(a, data + at + n, length - n);
            url = strsep(&line, "\t");
            sha256 = strsep(&line, "\t");
            *ret = (struct helm_place){ url, sha256 ? sha256 : "", line ? strtoll(line, NULL, 10) : 0 };
            return true;
        }
    }
    return false;
}
