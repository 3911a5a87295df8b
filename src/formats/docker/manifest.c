/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/docker/manifest.c: what a manifest says of itself and of others. Pure: runs on a pool thread.
 * Media types that nobody knows are kept as they are: of them only `subject` and `artifactType` are read. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "pantera/text.h"
#include "src/formats/docker/docker.h"
#include "src/formats/rfc3339.h"

static bool is_index(const char *type)
{
    return !strcmp(type, TYPE_OCI_INDEX) || !strcmp(type, TYPE_DOCKER_LIST);
}

static bool is_image(const char *type)
{
    return !strcmp(type, TYPE_OCI_MANIFEST) || !strcmp(type, TYPE_DOCKER_MANIFEST);
}

/* image-spec: layers that are fetched from elsewhere, by their type or by their URLs. */
static bool is_elsewhere(const json_t *descriptor, const char *type)
{
    return json_array_size(json_object_get(descriptor, "urls")) > 0 ||
           strstr(type, ".nondistributable.") ||
           !strncmp(type, "application/vnd.docker.image.rootfs.foreign.", 44);
}

struct parse {
    struct arena *arena;
    struct oci_manifest *m;
    unsigned room;
    unsigned first;              /* how well dated_by says how old an index is */
    struct why *why;
};

static enum err reference_add(struct parse *p, const struct oci_reference *r)
{
    struct oci_manifest *m = p->m;

    for (unsigned i = 0; i < m->reference_count; i++)
        if (!strcmp(m->references[i].digest.hex, r->digest.hex) && m->references[i].manifest == r->manifest)
            return OK;
    if (m->reference_count == REFERENCES_LIMIT)
        return fail(p->why, ERR_BAD_REQUEST, "more than %d references", REFERENCES_LIMIT);
    if (m->reference_count == p->room) {
        struct oci_reference *more = arena_alloc(p->arena, (p->room ? 2 * p->room : 16) * sizeof *more);
        if (p->room)
            memcpy(more, m->references, p->room * sizeof *more);
        m->references = more;
        p->room = p->room ? 2 * p->room : 16;
    }
    m->references[m->reference_count++] = *r;
    return OK;
}

/* `where` names the descriptor for people. */
static enum err descriptor_digest(struct parse *p, const json_t *descriptor, const char *where,
                                  struct oci_digest *ret)
{
    const char *text = json_string_value(json_object_get(descriptor, "digest"));

    if (!json_is_object(descriptor) || !text)
        return fail(p->why, ERR_BAD_REQUEST, "%s has no digest", where);
    if (!oci_digest_parse(text, ret))
        return fail(p->why, ERR_BAD_REQUEST, "%s: '%.80s' is not a digest", where, text);
    return OK;
}

static enum err add_blob(struct parse *p, const json_t *descriptor, const char *where)
{
    const char *type = json_string_value(json_object_get(descriptor, "mediaType"));
    struct oci_reference r = { .manifest = false };
    enum err e = descriptor_digest(p, descriptor, where, &r.digest);

    if (e || is_elsewhere(descriptor, type ? type : ""))
        return e;
    return reference_add(p, &r);
}

/* The image of an index that says how old the index is: the first for amd64, which most ask for, else the
 * first for anything. What goes with images (attestations) is for no platform. */
static void note_first(struct parse *p, const json_t *descriptor, const char *type,
                       const struct oci_digest *digest)
{
    const char *machine = json_string_value(json_object_get(json_object_get(descriptor, "platform"),
                                                            "architecture"));
    unsigned worth = !type || !is_image(type) ? 0 : !machine ? 2 : !strcmp(machine, "unknown") ? 1
                     : strcmp(machine, "amd64") ? 3 : 4;

    if (worth <= p->first)
        return;
    p->first = worth;
    p->m->dated_by = *digest;
    p->m->dated_by_kind = OCI_DATED_BY_IMAGE;
}

static enum err add_child(struct parse *p, const json_t *descriptor)
{
    const char *type = json_string_value(json_object_get(descriptor, "mediaType"));
    struct oci_reference r = { .manifest = true };
    enum err e = descriptor_digest(p, descriptor, "a manifest of the index", &r.digest);

    /* Some put layers into an index (build caches do). */
    r.either = !type || !(is_index(type) || is_image(type));
    if (!e)
        note_first(p, descriptor, type, &r.digest);
    return e ? e : reference_add(p, &r);
}

static enum err read_list(struct parse *p, const json_t *list, bool children, const char *where)
{
    const json_t *item;
    size_t i;
    enum err e = OK;

    if (list && !json_is_array(list))
        return fail(p->why, ERR_BAD_REQUEST, "%s is not an array", where);
    json_array_foreach (list, i, item)
        if ((e = children ? add_child(p, item) : add_blob(p, item, where)))
            break;
    return e;
}

/* image-spec: of images' configurations, `created` is a member. */
static void note_config(struct parse *p, const json_t *config)
{
    const char *type = json_string_value(json_object_get(config, "mediaType"));

    if (!type || (strcmp(type, TYPE_OCI_CONFIG) && strcmp(type, TYPE_DOCKER_CONFIG)) ||
        json_integer_value(json_object_get(config, "size")) > (json_int_t)CONFIG_LIMIT ||
        descriptor_digest(p, config, "config", &p->m->dated_by))
        return;
    p->m->dated_by_kind = OCI_DATED_BY_CONFIG;
}

static enum err read_references(struct parse *p, const json_t *root)
{
    const char *type = p->m->media_type;
    const json_t *config = json_object_get(root, "config"), *children = json_object_get(root, "manifests");
    enum err e;

    if (is_index(type)) {
        if (!children || config || json_object_get(root, "layers"))
            return fail(p->why, ERR_BAD_REQUEST, "an index has manifests, and neither config nor layers");
        return read_list(p, children, true, "manifests");
    }
    if (is_image(type)) {
        if (!config || children)
            return fail(p->why, ERR_BAD_REQUEST, "an image manifest has a config, and no manifests");
        if ((e = add_blob(p, config, "config")))
            return e;
        note_config(p, config);
        return read_list(p, json_object_get(root, "layers"), false, "layers");
    }
    if (!strcmp(type, TYPE_OCI_ARTIFACT))
        return read_list(p, json_object_get(root, "blobs"), false, "blobs");
    return OK;
}

/* The type that it was sent as; else what it says; else what it looks like. */
static enum err read_type(struct parse *p, const json_t *root, const char *content_type)
{
    const json_t *member = json_object_get(root, "mediaType");
    const char *says = json_string_value(member);
    const char *sent = NULL;

    if (member && !says)
        return fail(p->why, ERR_BAD_REQUEST, "mediaType is not a string");
    if (content_type && *content_type) {
        size_t n = strcspn(content_type, "; \t");
        sent = arena_strndup(p->arena, content_type, n);
        if (!strcasecmp(sent, "application/octet-stream") || !strcasecmp(sent, "application/json") ||
            !strcasecmp(sent, "application/x-www-form-urlencoded") || n > 100)
            sent = NULL;
    }
    if (says && sent && strcmp(says, sent))
        return fail(p->why, ERR_BAD_REQUEST, "sent as '%.60s', but says that it is '%.60s'", sent, says);
    if (says && (!*says || strlen(says) > 100))
        return fail(p->why, ERR_BAD_REQUEST, "mediaType has 1 to 100 characters");
    p->m->media_type = sent ? sent : says ? arena_strdup(p->arena, says) : NULL;
    if (!p->m->media_type && json_object_get(root, "manifests"))
        p->m->media_type = TYPE_OCI_INDEX;
    if (!p->m->media_type && json_object_get(root, "config"))
        p->m->media_type = TYPE_OCI_MANIFEST;
    if (!p->m->media_type)
        return fail(p->why, ERR_BAD_REQUEST, "its media type is not known: send Content-Type");
    if (!strncmp(p->m->media_type, "application/vnd.docker.distribution.manifest.v1", 47))
        return fail(p->why, ERR_BAD_REQUEST, "schema 1 is not taken: push schema 2 or OCI");
    return OK;
}

static void drop(void *arg)
{
    json_decref(arg);
}

/* spec, "Listing Referrers": artifactType, else the config's media type (of an image manifest). */
static void read_artifact(struct parse *p, const json_t *root)
{
    const char *type = json_string_value(json_object_get(root, "artifactType"));
    json_t *annotations = json_object_get(root, "annotations");

    if ((!type || !*type) && is_image(p->m->media_type))
        type = json_string_value(json_object_get(json_object_get(root, "config"), "mediaType"));
    p->m->artifact_type = type && *type ? arena_strdup(p->arena, type) : NULL;
    if (json_is_object(annotations)) {
        p->m->annotations = json_incref(annotations);
        arena_on_release(p->arena, drop, p->m->annotations);
    }
}

/* Before there were images, no image was made: such dates are those of builds that can be repeated. */
#define IMAGES_BEGIN_MS 1356998400000ll /* 2013-01-01 */

int64_t oci_created_ms(const char *text)
{
    int64_t ms = rfc3339_ms(text);

    return ms < IMAGES_BEGIN_MS ? 0 : ms;
}

int64_t oci_manifest_created_ms(const struct oci_manifest *m)
{
    return oci_created_ms(json_string_value(json_object_get(m->annotations,
                                                            "org.opencontainers.image.created")));
}

enum err oci_manifest_parse(struct arena *a, const char *data, size_t size, const char *content_type,
                            struct oci_manifest *ret, struct why *why)
{
    struct parse p = { .arena = a, .m = ret, .why = why };
    const json_t *version, *subject;
    json_error_t error;
    json_t *root;
    enum err e;

    *ret = (struct oci_manifest){ 0 };
    if (!(root = json_loadb(data, size, JSON_REJECT_DUPLICATES, &error)))
        return fail(why, ERR_BAD_REQUEST, "not valid JSON: %.120s", error.text);
    arena_on_release(a, drop, root);
    if (!json_is_object(root))
        return fail(why, ERR_BAD_REQUEST, "not a JSON object");
    if ((e = read_type(&p, root, content_type)))
        return e;
    version = json_object_get(root, "schemaVersion");
    if ((is_index(ret->media_type) || is_image(ret->media_type)) && json_integer_value(version) != 2)
        return fail(why, ERR_BAD_REQUEST, "schemaVersion is not 2");
    if ((e = read_references(&p, root)))
        return e;
    subject = json_object_get(root, "subject");
    if (subject && !json_is_null(subject)) {
        if ((e = descriptor_digest(&p, subject, "subject", &ret->subject)))
            return e;
        ret->has_subject = true;
    }
    read_artifact(&p, root);
    return OK;
}
