/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/docker/blobs.c: GET, HEAD and DELETE of a blob. What is served never changes under its name. */
#include <string.h>

#include "pantera/worker.h"
#include "src/formats/docker/docker.h"

static void failed(struct http_request *req, enum err e, const struct why *why)
{
    oci_fail_as(req, e, why, "BLOB_UNKNOWN");
}

static void on_deleted(struct http_request *req, enum err e, const struct why *why)
{
    if (e)
        oci_fail_as(req, e, why, "BLOB_UNKNOWN");
    else
        http_reply(req, 202, NULL, NULL, 0);
}

void oci_blob(struct oci_call *c, const struct repo *repo)
{
    struct http_request *req = c->req;
    struct oci_digest digest;
    const char *path;

    if (!(req->method & (HTTP_M_GET | HTTP_M_HEAD | HTTP_M_DELETE))) {
        oci_not_allowed(req, "GET, HEAD, DELETE");
        return;
    }
    if (!oci_digest_parse(c->reference, &digest)) {
        oci_fail(req, 400, "DIGEST_INVALID", "'%.140s' is not a digest", c->reference);
        return;
    }
    http_set_header(req, "Docker-Content-Digest", c->reference);
    if (repository_kind(repo) != REPO_LOCAL) {
        remote_blob(c, repo, &digest);
        return;
    }
    path = blob_path(&req->arena, c->image, &digest);
    if (req->method == HTTP_M_DELETE) {
        registry_delete(req, repo, path, on_deleted);
        return;
    }
    if (!registry_get(req, repo, path, failed))
        oci_fail(req, 404, "BLOB_UNKNOWN", "blob %.140s is not in '%.100s'", c->reference, c->name);
}
