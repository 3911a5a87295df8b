/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/helm/chart.h: charts and the repository's index ("The Chart Repository Guide"), as JSON,
 * which YAML readers read too. Pure; any thread.
 *
 *     {"apiVersion": "v1", "generated": "…", "entries": {"lib": [{"name": "lib", "version": "1.0.0",
 *       "urls": ["charts/lib-1.0.0.tgz"], "digest": "…", "created": "…", …Chart.yaml's…}, …older]}} */
#ifndef FORMATS_HELM_CHART_H
#define FORMATS_HELM_CHART_H

#include <jansson.h>

#include "pantera/arena.h"
#include "pantera/buf.h"

/* What Chart.yaml says, and nothing that an index does not hold. BAD_REQUEST: no such file, or without a name
 * and a version that can be used. */
MUST_USE enum err helm_chart_read(const char *text, size_t size, json_t **ret, struct why *why);
/* "charts/lib-1.0.0.tgz" */
const char *helm_chart_path(struct arena *a, const char *name, const char *version);
bool helm_name_good(const char *name);
bool helm_version_good(const char *version); /* semver.org, a 'v' before it allowed */
int helm_version_compare(const char *a, const char *b);
/* The file that a provenance names, and its SHA-256 in hex. NULL: it names none. */
const char *helm_prov_file(struct arena *a, const char *text, size_t size, const char **ret_sha256);

/* --- the index --- */
/* From its bytes (JSON, else YAML); NULL: an empty one. UPSTREAM: no index. */
MUST_USE enum err helm_index_read(const char *data, size_t size, json_t **ret, struct why *why);
json_t *helm_index_find(const json_t *index, const char *name, const char *version); /* borrowed; or NULL */
/* Takes `entry`. One of the same name and version goes. */
void helm_index_put(json_t *index, json_t *entry);
/* Whatever is at `path`, or with `tree` below it. How many. */
unsigned helm_index_remove(json_t *index, const char *path, bool tree);
/* Versions of each chart from the highest down. */
void helm_index_sort(json_t *index);
enum err helm_index_write(json_t *index, struct buf *ret);
#define HELM_INDEX_LIMIT MIB(64)

/* --- where an index says that charts are: places.c --- */
struct helm_place {
    const char *url, *sha256;    /* hex; "": not said */
    int64_t released_ms;         /* 0: not said */
};
/* As text that helm_places_find looks through without reading all of it. */
enum err helm_places_write(const json_t *index, struct arena *a, struct buf *ret);
/* Strings are the arena's. False: there is no such chart. */
bool helm_places_find(const char *data, size_t size, struct arena *a, const char *name, const char *version,
                      struct helm_place *ret);

#endif
