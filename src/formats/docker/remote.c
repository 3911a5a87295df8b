/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/docker/remote.c: what proxies and groups answer, but for manifests (remote_manifest.c): from
 * the registry's documents and files (document.h), to which this says where things are and how several
 * become one.
 *
 *   tags           a document: the union of all members'
 *   referrers      a document: the union
 *   a blob         a file whose digest is its name */
#include <stdlib.h>
#include <string.h>

#include "pantera/stage.h"
#include "pantera/text.h"
#include "pantera/worker.h"
#include "src/formats/docker/docker.h"

#define TAGS_BYTES MIB(16) /* TAGS_LISTED of the longest, and their punctuation */

bool remote_owns(struct registry *r, struct arena *a, const struct repo *repo, const char *image)
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
        .expected = oci_digest_values(digest), .owns = remote_owns,
    };

    registry_file(c->req, repo, &want, blob_failed);
}

/* --- tags --- */

/* The next of the pages that `data` holds; NULL: there is no other. Advances *at. */
static json_t *page_next(const char *data, size_t size, size_t *at)
{
    json_error_t error;
    json_t *page = *at < size ? json_loadb(data + *at, size - *at, JSON_DISABLE_EOF_CHECK, &error) : NULL;

    *at += page ? (size_t)error.position : 0;
    return page;
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

/* Is it known to be held back? What nobody has asked for yet is judged when somebody does. */
static bool is_held(const struct document_source *s, const char *tag, struct document_answer *answer)
{
    struct policy_verdict_of v = { .allowed = true };

    if (s->policy)
        v = policy_known(s->policy, tag);
    if (!v.allowed && v.until_ms && (!answer->valid_until_ms || v.until_ms < answer->valid_until_ms))
        answer->valid_until_ms = v.until_ms;
    return !v.allowed;
}

static int by_bytes(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static void names_read(struct oci_names *n, const struct document_source *s, struct document_answer *answer)
{
    json_t *page, *item;
    size_t at = 0, i;

    while (n->count < TAGS_LISTED && (page = page_next(s->data, s->size, &at))) {
        json_array_foreach (json_object_get(page, "tags"), i, item) {
            const char *tag = json_string_value(item);
            if (n->count < TAGS_LISTED && tag && oci_tag_valid(tag) && !is_held(s, tag, answer))
                oci_names_add(n, tag);
        }
        json_decref(page);
    }
}

/* spec: "ASCIIbetical" order; each once. */
static enum err compose_tags(const struct document_request *q, const struct document_source *sources,
                             unsigned count, struct buf *ret, struct document_answer *answer, struct why *why)
{
    struct oci_names names = { .arena = q->arena };
    json_t *out = json_array(), *body;
    char *text;
    enum err e;

    for (unsigned i = 0; i < count; i++)
        names_read(&names, &sources[i], answer);
    if (names.count)
        qsort(names.list, names.count, sizeof *names.list, by_bytes);
    for (size_t i = 0; i < names.count; i++)
        if (i == 0 || strcmp(names.list[i - 1], names.list[i]))
            json_array_append_new(out, json_string(names.list[i]));
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
    root = json_loadb(data, size, 0, NULL);
    tags = json_incref(json_object_get(root, "tags"));
    json_decref(root);
    oci_tags_reply(c, tags);
}

void remote_tags(struct oci_call *c, const struct repo *repo)
{
    struct arena *a = &c->req->arena;
    struct document d = {
        .kind = &tags_kind, .package = c->image, .path = arena_printf(a, ".docker/%s/_tags.json", c->image),
        .url_path = arena_printf(a, "v2/%s/tags/list?n=1000", c->image), .owns = remote_owns,
        .paged = true,
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

/* spec, "Unavailable Referrers API": what clients push to a registry that lists no referrers: an index with a
 * tag of the subject's digest. */
static const char *fallback_tag(struct arena *a, const char *digest)
{
    const char *colon = strchr(digest, ':');

    return arena_printf(a, "%.*s-%.64s", (int)(colon - digest), digest, colon + 1);
}

struct referring {               /* the request's memory */
    struct oci_call *call;
    struct document document;
    bool fallback;
};

static void referrers_failed(struct http_request *req, enum err e, const struct why *why)
{
    if (e == ERR_NOT_FOUND)
        referrers_none(req);
    else
        api_fail(req, e, why);
}

static void on_referrers(struct http_request *req, enum err e, const struct why *why, const char *data,
                         size_t size, void *arg)
{
    struct referring *r = arg;
    const struct repo *repo = oci_repo(r->call);
    struct document *d = &r->document;
    const char *tag;

    (void)data, (void)size;
    if (!repo)
        return;
    if (e == ERR_NOT_FOUND && !r->fallback) {
        tag = fallback_tag(&req->arena, r->call->reference);
        d->path = tag_path(&req->arena, r->call->image, tag);
        d->url_path = arena_printf(&req->arena, "v2/%s/manifests/%s", r->call->image, tag);
        d->paged = false;
        r->fallback = true;
        registry_document_read(req, repo, d, on_referrers, r);
    } else if (e) {
        referrers_failed(req, e, why);
    } else {
        registry_document(req, repo, d, referrers_failed);
    }
}

void remote_referrers(struct oci_call *c, const struct repo *repo, const struct oci_digest *subject,
                      const char *artifact_type)
{
    struct referring *r = arena_alloc(&c->req->arena, sizeof *r);

    *r = (struct referring){ .call = c };
    r->document = (struct document){
        .kind = &referrers_kind, .package = c->image, .path = referrers_path(&c->req->arena, c->image,
                                                                             subject),
        .url_path = url_of(c, "referrers"), .accept = TYPE_OCI_INDEX, .owns = remote_owns, .paged = true,
        .variant = artifact_type && *artifact_type ? artifact_type : NULL,
    };
    registry_document_read(c->req, repo, &r->document, on_referrers, r);
}
