/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/npm/moved.c: a package that comes from another registry, one file at a time and in any order. A
 * tarball says what its version is; what only the other registry's document says (tags, times, deprecations)
 * waits in ours, below "_moved", until the version that it is about has come:
 *     {"dist-tags": {tag: version}, "versions": {version: {"time"?, "deprecated"?}}}
 * Pure: for a pool thread. */
#include <string.h>

#include "src/formats/npm/doc.h"
#include "src/formats/npm/names.h"

static json_t *object_in(json_t *o, const char *key)
{
    json_t *value = json_object_get(o, key);

    if (!json_is_object(value))
        json_object_set_new(o, key, value = json_object());
    return value;
}

static bool is_there(const json_t *doc, const char *version)
{
    return json_object_get(json_object_get(doc, "versions"), version) != NULL;
}

/* What waited for a version, now that it is there. */
static void settle(json_t *doc, const char *version)
{
    json_t *moved = json_object_get(doc, "_moved"), *tags = json_object_get(moved, "dist-tags"), *value;
    json_t *said = json_object_get(json_object_get(moved, "versions"), version);
    const char *tag;
    void *next;

    if (json_object_get(said, "deprecated"))
        json_object_set(json_object_get(json_object_get(doc, "versions"), version), "deprecated",
                        json_object_get(said, "deprecated"));
    if (json_object_get(said, "time"))
        json_object_set(object_in(doc, "time"), version, json_object_get(said, "time"));
    json_object_foreach_safe (tags, next, tag, value)
        if (!strcmp(json_string_value(value), version)) {
            json_object_set(object_in(doc, "dist-tags"), tag, value);
            json_object_del(tags, tag);
        }
    json_object_del(json_object_get(moved, "versions"), version);
    if (moved && !json_object_size(tags) && !json_object_size(json_object_get(moved, "versions")))
        json_object_del(doc, "_moved");
}

void npm_doc_moved(json_t *doc, const char *version)
{
    bool told = json_object_get(json_object_get(json_object_get(doc, "_moved"), "versions"), version) != NULL;
    const json_t *latest;
    const char *newest;
    bool waits;

    settle(doc, version);
    latest = json_object_get(json_object_get(doc, "dist-tags"), "latest");
    waits = json_object_get(json_object_get(json_object_get(doc, "_moved"), "dist-tags"), "latest") != NULL;
    newest = npm_doc_newest(doc, NULL);
    if (latest && ((told && !waits) || strcmp(newest, version)))
        return;
    json_object_set_new(object_in(doc, "dist-tags"), "latest", json_string(newest));
}

/* --- the other registry's document --- */

static void keep_version(json_t *moved, const json_t *packument, const char *version)
{
    json_t *time = json_object_get(json_object_get(packument, "time"), version);
    json_t *said = json_object_get(json_object_get(json_object_get(packument, "versions"), version),
                                   "deprecated");
    json_t *kept = json_object();

    if (json_is_string(time) && npm_time_read(json_string_value(time)))
        json_object_set(kept, "time", time);
    if (json_is_string(said) && json_string_length(said))
        json_object_set(kept, "deprecated", said);
    json_object_set_new(object_in(moved, "versions"), version, kept);
}

enum err npm_doc_move(json_t *doc, const json_t *packument, struct why *why)
{
    json_t *moved = object_in(doc, "_moved"), *tags = object_in(moved, "dist-tags"), *value;
    json_t *versions = json_object_get(packument, "versions");
    const char *version, *tag, *newest = npm_doc_newest(packument, NULL);

    if (!json_is_object(versions) || !newest)
        return fail(why, ERR_BAD_REQUEST, "the package's document has no versions");
    if (json_object_size(versions) > NPM_VERSIONS)
        return fail(why, ERR_TOO_BIG, "more than %d versions", NPM_VERSIONS);
    json_object_foreach (versions, version, value)
        if (npm_version_valid(version))
            keep_version(moved, packument, version);
    json_object_foreach (json_object_get(packument, "dist-tags"), tag, value)
        if (npm_tag_valid(tag) && json_is_string(value) &&
            json_object_get(versions, json_string_value(value)))
            json_object_set(tags, tag, value);
    if (!json_object_get(tags, "latest"))
        json_object_set_new(tags, "latest", json_string(newest));
    json_object_foreach (versions, version, value)
        if (is_there(doc, version))
            settle(doc, version);
    return OK;
}
