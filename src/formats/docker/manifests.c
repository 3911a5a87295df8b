/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/docker/manifests.c: GET and HEAD of a manifest, by tag or digest. A tag is looked up once,
 * and then it is the digest that is served: the header and the bytes are of one manifest, whatever happens
 * meanwhile. */
#include <string.h>
#include <strings.h>

#include "pantera/stage.h"
#include "pantera/worker.h"
#include "src/formats/docker/docker.h"

static void failed(struct http_request *req, enum err e, const struct why *why)
{
    oci_fail_as(req, e, why, "MANIFEST_UNKNOWN");
}

static void unknown(struct oci_call *c)
{
    oci_fail(c->req, 404, "MANIFEST_UNKNOWN", "manifest %.140s is not in '%.100s'", c->reference, c->name);
}

static bool digest_stat(struct oci_call *c, const struct repo *repo, const struct oci_digest *d,
                        struct registry_stat *ret)
{
    return !registry_stat(worker_of(c->req)->registry, &c->req->arena, repo,
                          manifest_path(&c->req->arena, c->image, d), ret);
}

/* What a tag stands for: the name by which its manifest was pushed. */
static bool tag_resolve(struct oci_call *c, const struct repo *repo, struct oci_digest *ret_digest,
                        struct registry_stat *ret)
{
    struct registry_stat tag;

    if (registry_stat(worker_of(c->req)->registry, &c->req->arena, repo,
                      tag_path(&c->req->arena, c->image, c->reference), &tag))
        return false;
    *ret_digest = oci_digest_of(&tag.digests, DIGEST_SHA256);
    if (digest_stat(c, repo, ret_digest, ret))
        return true;
    *ret_digest = oci_digest_of(&tag.digests, DIGEST_SHA512);
    return tag.digests.kinds & DIGEST_SHA512 && digest_stat(c, repo, ret_digest, ret);
}

/* As current registries do: who names types, and none of them, nor a wildcard, is what this is, is told
 * that it is not there. Of types that only their makers know nobody can be expected to name one. */
static bool acceptable(struct http_request *req, const char *type)
{
    static const char *const known[] = { TYPE_OCI_MANIFEST, TYPE_OCI_INDEX, TYPE_DOCKER_MANIFEST,
                                         TYPE_DOCKER_LIST };
    bool any = false, is_known = false;

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        is_known = is_known || !strcmp(type, known[i]);
    for (unsigned i = 0; is_known && i < req->header_count; i++) {
        const char *value = req->headers[i].value;
        if (strcmp(req->headers[i].name, "accept"))
            continue;
        any = any || *value;
        if (strstr(value, type) || strstr(value, "*/*") || strstr(value, "application/*"))
            return true;
    }
    return !any;
}

static void manifest_get(struct oci_call *c, const struct repo *repo)
{
    struct http_request *req = c->req;
    struct oci_digest digest;
    struct registry_stat stat;
    bool by_digest = strchr(c->reference, ':') != NULL, found;

    if (by_digest && !oci_digest_parse(c->reference, &digest)) {
        oci_fail(req, 400, "DIGEST_INVALID", "'%.140s' is not a digest", c->reference);
        return;
    }
    if (!by_digest && !oci_tag_valid(c->reference)) {
        unknown(c);
        return;
    }
    found = by_digest ? digest_stat(c, repo, &digest, &stat) : tag_resolve(c, repo, &digest, &stat);
    if (!found) {
        unknown(c);
    } else if (!acceptable(req, stat.content_type ? stat.content_type : "")) {
        oci_fail(req, 404, "MANIFEST_UNKNOWN",
                 "manifest %.140s is of type %.100s, which Accept does not name",
                 c->reference, stat.content_type);
    } else {
        http_set_header(req, "Docker-Content-Digest", oci_digest_text(&req->arena, &digest));
        http_set_header(req, "Vary", "Accept");
        if (!by_digest)
            http_set_header(req, "Cache-Control", "no-cache");
        if (!registry_get(req, repo, manifest_path(&req->arena, c->image, &digest), failed))
            unknown(c);
    }
}

void oci_manifest(struct oci_call *c, const struct repo *repo)
{
    switch (c->req->method) {
    case HTTP_M_GET:
    case HTTP_M_HEAD:
        if (repository_kind(repo) == REPO_LOCAL)
            manifest_get(c, repo);
        else
            remote_manifest(c, repo);
        return;
    case HTTP_M_PUT:
        oci_manifest_put(c, repo);
        return;
    case HTTP_M_DELETE:
        oci_manifest_delete(c, repo);
        return;
    default:
        oci_not_allowed(c->req, "GET, HEAD, PUT, DELETE");
    }
}
