/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/docker/remote.c: what proxies and groups answer: from the registry's documents and files
 * (document.h), to which this says where things are and how several become one.
 *
 *   a manifest     a document: by digest for ever, by tag until upstream says otherwise; the first member's
 *   tags           a document: the union of all members'
 *   referrers      a document: the union
 *   a blob         a file whose digest is its name */
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/stage.h"
#include "pantera/text.h"
#include "pantera/worker.h"
#include "src/formats/docker/docker.h"

#define ACCEPT \
    TYPE_OCI_INDEX ", " TYPE_OCI_MANIFEST ", " TYPE_DOCKER_LIST ", " TYPE_DOCKER_MANIFEST ", */*;q=0.1"
#define TAGS_BYTES MIB(8)

/* A hosted repository has an image once it has a manifest of it. */
static bool owns(struct registry *r, struct arena *a, const struct repo *repo, const char *image)
{
    struct registry_entry *entries;
    unsigned count;
    bool more;

    return !registry_list(r, a, repo, arena_printf(a, "%s/_manifests", image), NULL, 1, &entries, &count,
                          &more);
}

/* Names, tags and digests need no escaping: their grammar was checked. */
static const char *url_of(struct oci_call *c, const char *kind)
{
    return arena_printf(&c->req->arena, "v2/%s/%s/%s", c->image, kind, c->reference);
}

/* --- manifests --- */

/* May it be had? Manifests by digest are asked for because a tag or an index that may be had named them,
 * and most
 * say nothing of their age: that alone is no reason to hold one back. */
static enum err judge(const struct document_request *q, const struct document_source *s,
                      const struct oci_manifest *m, struct document_answer *answer, struct why *why)
{
    struct policy_verdict_of verdict;
    char until[32] = "it is released";

    if (!s->policy)
        return OK;
    verdict = policy_judge(s->policy, q->variant, oci_manifest_created_ms(m));
    if (verdict.allowed || (strchr(q->variant, ':') && !strcmp(verdict.reason, "UNKNOWN_AGE")))
        return OK;
    answer->valid_until_ms = verdict.until_ms;
    if (verdict.until_ms)
        clock_rfc3339(verdict.until_ms, until);
    return fail(why, ERR_FORBIDDEN,
                "%.100s %.80s is held back (%s) until %s: ask an administrator for its release",
                q->package, q->variant, verdict.reason, until);
}

/* The first that is one and may be had. */
static enum err compose_manifest(const struct document_request *q, const struct document_source *sources,
                                 unsigned count, struct buf *ret, struct document_answer *answer,
                                 struct why *why)
{
    enum err worst = OK, e;
    struct why text;

    for (unsigned i = 0; i < count; i++) {
        const struct document_source *s = &sources[i];
        struct digest_values digests = { .kinds = DIGEST_SHA256 };
        struct oci_digest digest;
        struct oci_manifest m;
        if (oci_manifest_parse(q->arena, s->data, s->size, s->content_type, &m, &text))
            e = fail(&text, ERR_UPSTREAM, "'%.100s' gave something that is no manifest", s->repo);
        else
            e = judge(q, s, &m, answer, &text);
        if (e) {
            if (!worst || e == ERR_FORBIDDEN)
                *why = text;
            worst = e == ERR_FORBIDDEN || !worst ? e : worst;
            continue;
        }
        sha256(s->data, s->size, digests.sha256);
        digest = oci_digest_of(&digests, DIGEST_SHA256);
        answer->content_type = m.media_type;
        answer->headers[0][0] = "Docker-Content-Digest";
        answer->headers[0][1] = strchr(q->variant, ':') ? arena_strdup(q->arena, q->variant)
                                                        : oci_digest_text(q->arena, &digest);
        return buf_add(ret, s->data, s->size);
    }
    return worst;
}

static const struct document_kind manifest_kind = {
    .name = "oci-manifest", .limit = MANIFEST_LIMIT, .compose = compose_manifest,
};

static void manifest_failed(struct http_request *req, enum err e, const struct why *why)
{
    oci_fail_as(req, e, why, "MANIFEST_UNKNOWN");
}

void remote_manifest(struct oci_call *c, const struct repo *repo)
{
    struct arena *a = &c->req->arena;
    struct oci_digest digest;
    struct digest_values expected;
    struct document d = {
        .kind = &manifest_kind, .package = c->image, .accept = ACCEPT, .variant = c->reference,
        .url_path = url_of(c, "manifests"), .owns = owns,
    };

    if (oci_digest_parse(c->reference, &digest)) {
        d.path = manifest_path(a, c->image, &digest);
        d.forever = true;
        expected = oci_digest_values(&digest);
        d.expected = &expected;
    } else if (oci_tag_valid(c->reference)) {
        d.path = tag_path(a, c->image, c->reference);
    } else {
        oci_fail(c->req, 404, "MANIFEST_UNKNOWN", "'%.140s' is neither a tag nor a digest", c->reference);
        return;
    }
    registry_document(c->req, repo, &d, manifest_failed);
}

/* --- blobs --- */

static void blob_failed(struct http_request *req, enum err e, const struct why *why)
{
    oci_fail_as(req, e, why, "BLOB_UNKNOWN");
}

void remote_blob(struct oci_call *c, const struct repo *repo, const struct oci_digest *digest)
{
    struct file_want want = {
        .path = blob_path(&c->req->arena, c->image, digest), .package = c->image, .url_path = url_of(c,
                                                                                                     "blobs"),
        .content_type = "application/octet-stream", .digest_kinds = digest->kind,
        .expected = oci_digest_values(digest), .owns = owns,
    };

    registry_file(c->req, repo, &want, blob_failed);
}

/* --- tags --- */

static json_t *names_of(const char *data, size_t size, json_t **ret_root)
{
    *ret_root = json_loadb(data, size, 0, NULL);
    return json_object_get(*ret_root, "tags");
}

/* Ours: all of them. */
static void tags_source(struct worker *w, const struct repo *repo, const char *path, const char *package,
                        void (*give)(enum err e, const struct why *why, const char *data, size_t size,
                                     void *arg),
                        void *arg)
{
    struct registry_entry *entries;
    json_t *tags = json_array(), *body;
    const char *after = NULL;
    struct arena a;
    unsigned count;
    bool more = true;
    char *text;

    arena_init(&a);
    const char *folder = arena_printf(&a, "%s/_tags", package);
    while (more && !registry_list(w->registry, &a, repo, folder, after, PAGE_LIMIT, &entries, &count,
                                  &more)) {
        for (unsigned i = 0; i < count; i++)
            json_array_append_new(tags, json_string(entries[i].name));
        after = count ? entries[count - 1].name : after;
        more = more && count && json_array_size(tags) < TAGS_LISTED;
    }
    body = json_pack("{s:s, s:o}", "name", package, "tags", tags);
    text = json_dumps(body, JSON_COMPACT);
    if (json_array_size(tags) && text)
        give(OK, &(struct why){ "" }, text, strlen(text), arg);
    else
        give(ERR_NOT_FOUND, &(struct why){ "" }, NULL, 0, arg);
    free(text);
    json_decref(body);
    arena_release(&a);
}

static int by_bytes(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* spec: "ASCIIbetical" order; each once. */
static enum err compose_tags(const struct document_request *q, const struct document_source *sources,
                             unsigned count, struct buf *ret, struct document_answer *answer, struct why *why)
{
    const char **names = NULL;
    size_t n = 0, j;
    const json_t *item;
    json_t *out = json_array(), *body;
    char *text;
    enum err e;

    for (unsigned i = 0; i < count; i++) {
        json_t *root, *list = names_of(sources[i].data, sources[i].size, &root);
        const char **all = arena_alloc(q->arena, (n + json_array_size(list) + 1) * sizeof *all);
        if (n)
            memcpy(all, names, n * sizeof *all);
        names = all;
        json_array_foreach (list, j, item)
            if (json_is_string(item) && oci_tag_valid(json_string_value(item)))
                names[n++] = arena_strdup(q->arena, json_string_value(item));
        json_decref(root);
    }
    if (n)
        qsort(names, n, sizeof *names, by_bytes);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(names[i - 1], names[i]))
            json_array_append_new(out, json_string(names[i]));
    body = json_pack("{s:s, s:o}", "name", q->package, "tags", out);
    text = json_dumps(body, JSON_COMPACT);
    e = text ? buf_puts(ret, text) : fail(why, ERR_INTERNAL, "tags can't be written");
    free(text);
    json_decref(body);
    answer->content_type = "application/json";
    return e;
}

static const struct document_kind tags_kind = {
    .name = "oci-tags", .limit = TAGS_BYTES, .source = tags_source, .compose = compose_tags,
};

static void on_tags(struct http_request *req, enum err e, const struct why *why, const char *data,
                    size_t size,
                    void *arg)
{
    struct oci_call *c = arg;
    json_t *root, *tags;

    if (e) {
        oci_fail_as(req, e, why, "NAME_UNKNOWN");
        return;
    }
    tags = json_incref(names_of(data, size, &root));
    json_decref(root);
    oci_tags_reply(c, tags);
}

void remote_tags(struct oci_call *c, const struct repo *repo)
{
    struct arena *a = &c->req->arena;
    struct document d = {
        .kind = &tags_kind, .package = c->image, .path = arena_printf(a, ".docker/%s/_tags.json", c->image),
        .url_path = arena_printf(a, "v2/%s/tags/list?n=1000", c->image), .owns = owns,
    };

    registry_document_read(c->req, repo, &d, on_tags, c);
}

/* --- referrers --- */

static enum err compose_referrers(const struct document_request *q, const struct document_source *sources,
                                  unsigned count, struct buf *ret, struct document_answer *answer,
                                  struct why *why)
{
    answer->content_type = TYPE_OCI_INDEX;
    if (q->variant)
        answer->headers[0][0] = "OCI-Filters-Applied", answer->headers[0][1] = "artifactType";
    return referrers_join(sources, count, q->variant, ret, why);
}

static const struct document_kind referrers_kind = {
    .name = "oci-referrers", .limit = REFERRERS_LIMIT, .compose = compose_referrers,
};

static void referrers_failed(struct http_request *req, enum err e, const struct why *why)
{
    if (e == ERR_NOT_FOUND)
        referrers_none(req);
    else
        api_fail(req, e, why);
}

void remote_referrers(struct oci_call *c, const struct repo *repo, const struct oci_digest *subject,
                      const char *artifact_type)
{
    struct document d = {
        .kind = &referrers_kind, .package = c->image, .path = referrers_path(&c->req->arena, c->image,
                                                                             subject),
        .url_path = url_of(c, "referrers"), .accept = TYPE_OCI_INDEX, .owns = owns,
        .variant = artifact_type && *artifact_type ? artifact_type : NULL,
    };

    registry_document(c->req, repo, &d, referrers_failed);
}
