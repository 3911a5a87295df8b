/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/docker/push.c: PUT of a manifest.
 *
 *   body → parse (pool) → is all there that it refers to → stage → one commit → 201
 *
 * The commit names the manifest by digest and by tag, adds it to the list of those that refer to its
 * subject, and holds only while all references are there: so a deletion at the same moment comes either
 * before or after it. */
#include <stdlib.h>
#include <string.h>

#include "pantera/stage.h"
#include "pantera/tether.h"
#include "pantera/text.h"
#include "pantera/worker.h"
#include "src/formats/docker/docker.h"

enum { TAGS_LIMIT = 64 };

struct push {
    struct work work;
    struct http_request *req;    /* NULL: the client is gone */
    struct tether *tether;
    struct oci_call *call;       /* while req is there */
    struct worker *worker;
    struct arena arena;
    const char *repo, *image, *content_type;
    const char *data;
    size_t size;
    bool by_digest, may_overwrite;
    struct oci_digest digest;
    const char *tags[TAGS_LIMIT];
    const char *tag_was[TAGS_LIMIT]; /* who may not overwrite: "" new, else the same bytes */
    unsigned tag_count;
    /* parsed */
    struct oci_manifest m;
    struct digest_values got;
    enum err err;
    struct why why;
    json_t *descriptor;          /* for its subject's list */
    struct stage *stage;
};

static struct http_request *push_end(struct push *p)
{
    struct http_request *req = p->req;

    if (req)
        tether_cut(p->tether);
    stage_drop(p->stage);
    json_decref(p->descriptor);
    arena_release(&p->arena);
    free(p);
    return req;
}

/* --- the answer --- */

static void reply_pushed(struct push *p)
{
    struct http_request *req = p->req;
    const char *digest = oci_digest_text(&req->arena, &p->digest);

    oci_location(p->call, "manifests", digest);
    http_set_header(req, "Docker-Content-Digest", digest);
    if (p->m.has_subject)
        http_set_header(req, "OCI-Subject", oci_digest_text(&req->arena, &p->m.subject));
    for (unsigned i = 0; p->by_digest && i < p->tag_count; i++)
        http_set_header(req, "OCI-Tag", p->tags[i]);
    http_reply(req, 201, NULL, NULL, 0);
}

static void on_committed(enum err e, const struct why *why, void *arg)
{
    struct push *p = arg;
    struct http_request *req;

    if (!e)
        p->stage = NULL; /* the commit took it */
    if (!e && p->req)
        reply_pushed(p);
    req = push_end(p);
    if (!e || !req)
        return;
    if (e != ERR_PRECONDITION)
        oci_fail_as(req, e, why, "NAME_UNKNOWN");
    else if (strstr(why->text, "/_tags/"))
        oci_fail(req, 403, "DENIED", "the tag exists, and you may not overwrite it");
    else
        oci_fail(req, 404, "MANIFEST_BLOB_UNKNOWN", "what the manifest refers to is gone: %s", why->text);
}

/* --- COMMIT --- */

static const char *reference_path(struct push *p, struct arena *a, const struct oci_reference *r)
{
    (void)p;
    return r->manifest ? manifest_path(a, p->image, &r->digest) : blob_path(a, p->image, &r->digest);
}

/* For every attempt of registry_update. */
static void add_names(void *arg, struct commit *c)
{
    struct push *p = arg;
    const struct repo *repo = registry_repo(p->worker->registry, p->repo);
    const char *path = manifest_path(&p->arena, p->image, &p->digest);
    struct commit_what what = { .content_type = p->m.media_type, .name = p->image,
                                .version = oci_digest_text(&p->arena, &p->digest) };

    for (unsigned i = 0; i < p->m.reference_count; i++)
        commit_expect(c, reference_path(p, &p->arena, &p->m.references[i]), true, NULL);
    commit_put(c, path, p->stage, &what);
    for (unsigned i = 0; repo && i < p->tag_count; i++) {
        struct commit_what tag = { .content_type = p->m.media_type, .name = p->image, .version = p->tags[i],
                                   .if_sha256 = p->tag_was[i] };
        commit_link(c, tag_path(&p->arena, p->image, p->tags[i]), repo, path, p->got.sha256, &tag);
    }
}

static enum err apply(void *arg, const char *data, size_t size, struct buf *ret, struct why *why)
{
    struct push *p = arg;

    return referrers_add(data, size, p->descriptor, ret, why);
}

static void on_staged(struct stage *stage, enum err e, const struct why *why, void *arg)
{
    struct push *p = arg;
    struct http_request *req;
    const struct repo *repo;
    struct why text = *why;
    struct commit *c;

    (void)stage;
    if (e || !p->req || !(repo = oci_repo(p->call))) {
        req = push_end(p);
        if (req && !http_reply_started(req))
            oci_fail_as(req, e, &text, "NAME_UNKNOWN");
        return;
    }
    if (!p->m.has_subject) {
        c = commit_new(p->worker, repo, p->req);
        add_names(p, c);
        commit_run(c, on_committed, p);
        return;
    }
    registry_update(p->worker, repo, &(struct registry_update){
        .path = referrers_path(&p->arena, p->image, &p->m.subject), .content_type = TYPE_OCI_INDEX,
        .limit = REFERRERS_LIMIT, .req = p->req, .apply = apply, .add = add_names, .done = on_committed,
            .arg = p,
    });
}

/* --- is all there --- */

static bool is_there(struct push *p, const struct repo *repo, struct oci_reference *r)
{
    struct registry_stat stat;
    struct registry *registry = p->worker->registry;

    if (!registry_stat(registry, &p->arena, repo, reference_path(p, &p->arena, r), &stat))
        return true;
    if (!r->either)
        return false;
    r->manifest = !r->manifest;
    return !registry_stat(registry, &p->arena, repo, reference_path(p, &p->arena, r), &stat);
}

/* The repository takes manifests before what they refer to, or without it. */
static bool is_sparse(const struct repo *repo)
{
    return json_is_true(json_object_get(json_object_get(repo->config, "repo"), "sparse-manifests"));
}

/* False: a tag that stands for something else, which this user may not change. */
static bool tags_free(struct push *p, const struct repo *repo)
{
    struct registry_stat stat;
    char hex[65];

    for (unsigned i = 0; !p->may_overwrite && i < p->tag_count; i++) {
        p->tag_was[i] = "";
        if (registry_stat(p->worker->registry, &p->arena, repo, tag_path(&p->arena, p->image, p->tags[i]),
                          &stat))
            continue;
        if (memcmp(stat.digests.sha256, p->got.sha256, 32))
            return false;
        hex_encode(p->got.sha256, 32, hex);
        p->tag_was[i] = arena_strdup(&p->arena, hex);
    }
    return true;
}

/* False: it was refused. */
static bool push_check(struct push *p, const struct repo *repo)
{
    struct http_request *req = p->req;

    if (p->err) {
        oci_fail(req, 400, "MANIFEST_INVALID", "%s", why_text(&p->why, p->err));
        return false;
    }
    if (p->by_digest && !oci_digest_matches(&p->digest, &p->got)) {
        oci_fail(req, 400, "DIGEST_INVALID", "the manifest does not have the digest that it is pushed as");
        return false;
    }
    if (is_sparse(repo))
        p->m.reference_count = 0;
    for (unsigned i = 0; i < p->m.reference_count; i++)
        if (!is_there(p, repo, &p->m.references[i])) {
            oci_fail(req, 404, "MANIFEST_BLOB_UNKNOWN", "%s is not in '%.100s'",
                     oci_digest_text(&req->arena, &p->m.references[i].digest), p->call->name);
            return false;
        }
    if (!tags_free(p, repo)) {
        oci_fail(req, 403, "DENIED", "the tag exists, and you may not overwrite it");
        return false;
    }
    return true;
}

static json_t *descriptor_of(const struct push *p, struct arena *a)
{
    json_t *d = json_pack("{s:s, s:s, s:I}", "mediaType", p->m.media_type, "digest",
                          oci_digest_text(a, &p->digest), "size", (json_int_t)p->size);

    if (p->m.artifact_type)
        json_object_set_new(d, "artifactType", json_string(p->m.artifact_type));
    if (p->m.annotations)
        json_object_set(d, "annotations", p->m.annotations);
    return d;
}

static void on_parsed(struct work *work)
{
    struct push *p = container_of(work, struct push, work);
    const struct repo *repo;

    if (!p->req || !(repo = oci_repo(p->call)) || !push_check(p, repo)) {
        push_end(p);
        return;
    }
    if (!p->by_digest)
        p->digest = oci_digest_of(&p->got, DIGEST_SHA256);
    if (p->m.has_subject)
        p->descriptor = descriptor_of(p, &p->arena);
    p->stage = stage_bytes(p->worker, repo, p->data, p->size, p->digest.kind, on_staged, p);
}

static void parse(struct work *work)
{
    struct push *p = container_of(work, struct push, work);
    struct digester *d = digester_new(DIGEST_SHA256 | (p->by_digest ? p->digest.kind : 0));

    digester_update(d, p->data, p->size);
    digester_final(d, &p->got);
    digester_free(d);
    p->err = oci_manifest_parse(&p->arena, p->data, p->size, p->content_type, &p->m, &p->why);
}

/* --- the beginning --- */

/* spec: "PUT /v2/<name>/manifests/<digest>?tag=1.2.3&tag=1.2": every tag=. False: one is none, or too many.
 * */
static bool read_tags(struct push *p, struct http_request *req)
{
    for (const char *at = req->query; *at; at += strcspn(at, "&"), at += *at == '&') {
        size_t n = strcspn(at, "&");
        char *tag = strncmp(at, "tag=", 4) ? NULL
                                           : query_get(&p->arena, arena_strndup(&p->arena, at, n), "tag");
        if (!tag)
            continue;
        if (p->tag_count == TAGS_LIMIT || !oci_tag_valid(tag))
            return false;
        p->tags[p->tag_count++] = tag;
    }
    return true;
}

/* False: it was refused. */
static bool read_reference(struct push *p, struct oci_call *c)
{
    p->by_digest = strchr(c->reference, ':') != NULL;
    if (p->by_digest && !oci_digest_parse(c->reference, &p->digest)) {
        oci_fail(c->req, 400, "DIGEST_INVALID", "'%.140s' is not a digest", c->reference);
        return false;
    }
    if (p->by_digest && !read_tags(p, c->req)) {
        oci_fail(c->req, 400, "MANIFEST_INVALID", "a tag= is none, or there are more than %d", TAGS_LIMIT);
        return false;
    }
    if (!p->by_digest && !oci_tag_valid(c->reference)) {
        oci_fail(c->req, 400, "MANIFEST_INVALID", "'%.140s' is not a tag", c->reference);
        return false;
    }
    if (!p->by_digest)
        p->tags[p->tag_count++] = arena_strdup(&p->arena, c->reference);
    return true;
}

static void push_begin(struct oci_call *c, const char *data, size_t size)
{
    struct push *p = calloc(1, sizeof *p);
    const char *type = http_header(c->req, "content-type");

    check(p);
    arena_init(&p->arena);
    p->call = c;
    p->worker = worker_of(c->req);
    p->repo = arena_strdup(&p->arena, c->repo);
    p->image = arena_strdup(&p->arena, c->image);
    p->content_type = type ? arena_strdup(&p->arena, type) : NULL;
    p->may_overwrite = oci_may(c->req, c->repo, c->image, OCI_OVERWRITE);
    p->tether = tether_tie(c->req, &p->req);
    if (!read_reference(p, c)) {
        push_end(p);
        return;
    }
    p->data = arena_memdup(&p->arena, data, size); /* the request may end while the pool reads */
    p->size = size;
    work_submit(&p->work, &p->worker->loop, parse, on_parsed);
}

static void on_body(struct http_request *req, char *data, size_t size, enum err e, void *arg)
{
    if (!e)
        push_begin(arg, data, size);
    else if (e == ERR_TOO_BIG)
        oci_fail(req, 413, "SIZE_INVALID", "a manifest has at most %zu bytes", MANIFEST_LIMIT);
    else
        oci_fail_as(req, e, NULL, "NAME_UNKNOWN");
}

void oci_manifest_put(struct oci_call *c, const struct repo *repo)
{
    (void)repo;
    http_body_collect(c->req, MANIFEST_LIMIT, on_body, c);
}
