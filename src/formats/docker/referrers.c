/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/docker/referrers.c: the list of those that refer to a digest, as it is kept and answered: an
 * image index. Pure: pool threads. */
#include <stdlib.h>
#include <string.h>

#include "src/formats/docker/docker.h"

static json_t *list_load(const char *data, size_t size, json_t **ret_manifests)
{
    json_t *root = data && size ? json_loadb(data, size, 0, NULL) : NULL;

    *ret_manifests = json_object_get(root, "manifests");
    if (json_is_array(*ret_manifests))
        return root;
    json_decref(root);
    *ret_manifests = json_array();
    return json_pack("{s:i, s:s, s:o}", "schemaVersion", 2, "mediaType", TYPE_OCI_INDEX, "manifests",
                     *ret_manifests);
}

static enum err list_write(json_t *root, struct buf *ret, struct why *why)
{
    char *text = json_dumps(root, JSON_COMPACT);
    enum err e = text ? buf_puts(ret, text) : ERR_INTERNAL;

    free(text);
    json_decref(root);
    return e ? fail(why, ERR_TOO_BIG, "too many refer to that digest") : OK;
}

/* True: it was there. */
static bool list_remove(json_t *manifests, const char *digest)
{
    bool found = false;

    for (size_t i = json_array_size(manifests); i-- > 0;) {
        const char *has = json_string_value(json_object_get(json_array_get(manifests, i), "digest"));
        if (has && !strcmp(has, digest)) {
            json_array_remove(manifests, i);
            found = true;
        }
    }
    return found;
}

enum err referrers_add(const char *data, size_t size, json_t *descriptor, struct buf *ret, struct why *why)
{
    json_t *manifests, *root = list_load(data, size, &manifests);

    list_remove(manifests, json_string_value(json_object_get(descriptor, "digest")));
    json_array_append(manifests, descriptor);
    return list_write(root, ret, why);
}

enum err referrers_remove(const char *data, size_t size, const char *digest, struct buf *ret, struct why *why)
{
    json_t *manifests, *root = list_load(data, size, &manifests);

    if (list_remove(manifests, digest) && json_array_size(manifests))
        return list_write(root, ret, why);
    bool was_last = data && json_array_size(manifests) == 0;
    json_decref(root);
    return was_last ? OK : ERR_AGAIN;
}

struct join {
    json_t *all, *seen;          /* seen: digests, as members */
    const char *type;
};

static void join_add(struct join *j, const json_t *list)
{
    json_t *d;
    size_t i;

    json_array_foreach (list, i, d) {
        const char *digest = json_string_value(json_object_get(d, "digest"));
        const char *type = json_string_value(json_object_get(d, "artifactType"));
        if (!digest || (j->type && (!type || strcmp(type, j->type))) || json_object_get(j->seen, digest))
            continue;
        json_object_set_new(j->seen, digest, json_true());
        json_array_append(j->all, d);
    }
}

enum err referrers_join(const struct document_source *sources, unsigned count, const char *artifact_type,
                        struct buf *ret, struct why *why)
{
    json_t *all, *root = list_load(NULL, 0, &all), *page;
    struct join j = { all, json_object(), artifact_type };
    json_error_t error;

    for (unsigned i = 0; i < count; i++) {
        const struct document_source *s = &sources[i];
        size_t at = 0;
        while (at < s->size && (page = json_loadb(s->data + at, s->size - at, JSON_DISABLE_EOF_CHECK,
                                                  &error))) {
            at += (size_t)error.position;
            join_add(&j, json_object_get(page, "manifests"));
            json_decref(page);
        }
    }
    json_decref(j.seen);
    return list_write(root, ret, why);
}

enum err referrers_filter(const char *data, size_t size, const char *artifact_type, struct buf *ret,
                          struct why *why)
{
    json_t *manifests, *root = list_load(data, size, &manifests);

    for (size_t i = json_array_size(manifests); i-- > 0;) {
        const json_t *d = json_array_get(manifests, i);
        const char *type = json_string_value(json_object_get(d, "artifactType"));
        if (!type || strcmp(type, artifact_type))
            json_array_remove(manifests, i);
    }
    return list_write(root, ret, why);
}
