/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: YAML of strangers, as a chart's Chart.yaml and as an upstream's index. What is understood
 * can be written and read again. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "src/formats/helm/chart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each line that is written is found. */
static void places_found(const json_t *index)
{
    struct helm_place place;
    struct arena a;
    struct buf b;

    arena_init(&a);
    buf_init(&b, 64 << 20);
    check(!helm_places_write(index, &a, &b));
    for (const char *at = b.data; at && *at; at = strchr(at, '\n') + 1) {
        size_t name = strcspn(at, " "), key = strcspn(at, "\t");
        check(helm_places_find(b.data, b.length, &a, arena_strndup(&a, at, name),
                               arena_strndup(&a, at + name + 1, key - name - 1), &place));
    }
    buf_free(&b);
    arena_release(&a);
}

static void index_again(const char *data, size_t size)
{
    json_t *index = NULL, *again = NULL;
    struct buf b;

    if (helm_index_read(data, size, &index, NULL))
        return;
    buf_init(&b, 64 << 20);
    helm_index_sort(index);
    check(!helm_index_write(index, &b));
    check(!helm_index_read(b.data, b.length, &again, NULL));
    check(json_equal(index, again));
    places_found(index);
    buf_free(&b);
    json_decref(again);
    json_decref(index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *chart = NULL;
    const char *sum;
    struct arena a;

    arena_init(&a);
    if (!helm_chart_read((const char *)data, size, &chart, NULL)) {
        check(helm_name_good(json_string_value(json_object_get(chart, "name"))));
        check(helm_version_good(json_string_value(json_object_get(chart, "version"))));
        json_decref(chart);
    }
    index_again((const char *)data, size);
    (void)helm_prov_file(&a, (const char *)data, size, &sum);
    arena_release(&a);
    return 0;
}
