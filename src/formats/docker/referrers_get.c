/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/docker/referrers_get.c: who refers to a digest: the list that push.c keeps, whole or of one
 * type. */
#include <stdlib.h>
#include <string.h>

#include "pantera/stage.h"
#include "pantera/tether.h"
#include "pantera/text.h"
#include "pantera/worker.h"
#include "src/formats/docker/docker.h"

struct look {
    struct work work;
    struct http_request *req;    /* NULL: gone */
    struct tether *tether;
    char *type, *data;
    size_t size;
    struct buf out;
    enum err err;
    struct why why;
};

static const char empty[] = "{\"schemaVersion\":2,\"mediaType\":\"" TYPE_OCI_INDEX "\",\"manifests\":[]}";

static void reply(struct http_request *req, const char *data, size_t size)
{
    if (cluster_current(worker_of(req)->cluster))
        http_reply(req, 200, TYPE_OCI_INDEX, data, size);
    else
        api_fail(req, ERR_NOT_CURRENT, NULL);
}

void referrers_none(struct http_request *req)
{
    reply(req, empty, sizeof empty - 1);
}

static void look_end(struct look *l)
{
    if (l->req)
        tether_cut(l->tether);
    buf_free(&l->out);
    free(l->type);
    free(l->data);
    free(l);
}

static void on_filtered(struct work *work)
{
    struct look *l = container_of(work, struct look, work);

    if (l->req && l->err)
        api_fail(l->req, l->err, &l->why);
    else if (l->req)
        reply(l->req, l->out.data, l->out.length);
    look_end(l);
}

static void filter(struct work *work)
{
    struct look *l = container_of(work, struct look, work);

    l->err = referrers_filter(l->data, l->size, l->type, &l->out, &l->why);
}

static void on_loaded(enum err e, const struct why *why, const char *data, size_t size,
                      const struct digest_values *digests, void *arg)
{
    struct look *l = arg;

    (void)digests;
    if (e || !l->req) {
        if (l->req && e == ERR_NOT_FOUND)
            referrers_none(l->req);
        else if (l->req)
            api_fail(l->req, e, why);
        look_end(l);
        return;
    }
    l->data = malloc(size + 1);
    check(l->data);
    memcpy(l->data, data, size);
    l->size = size;
    work_submit(&l->work, &worker_of(l->req)->loop, filter, on_filtered);
}

static void failed(struct http_request *req, enum err e, const struct why *why)
{
    oci_fail_as(req, e, why, "MANIFEST_UNKNOWN");
}

/* spec, "Listing Referrers": an empty list for whatever nobody refers to, be it there or not. */
void oci_referrers(struct oci_call *c, const struct repo *repo)
{
    struct http_request *req = c->req;
    const char *type = query_get(&req->arena, req->query, "artifactType"), *path;
    struct oci_digest digest;
    struct look *l;

    if (!(req->method & (HTTP_M_GET | HTTP_M_HEAD))) {
        oci_not_allowed(req, "GET");
        return;
    }
    if (!oci_digest_parse(c->reference, &digest)) {
        oci_fail(req, 400, "DIGEST_INVALID", "'%.140s' is not a digest", c->reference);
        return;
    }
    if (repository_kind(repo) != REPO_LOCAL) {
        remote_referrers(c, repo, &digest, type);
        return;
    }
    path = referrers_path(&req->arena, c->image, &digest);
    if (!type || !*type) {
        if (!registry_get(req, repo, path, failed)) /* stored as TYPE_OCI_INDEX */
            referrers_none(req);
        return;
    }
    http_set_header(req, "OCI-Filters-Applied", "artifactType");
    l = calloc(1, sizeof *l);
    check(l);
    buf_init(&l->out, REFERRERS_LIMIT);
    l->type = strdup(type);
    check(l->type);
    l->tether = tether_tie(req, &l->req);
    registry_load(worker_of(req), repo, path, REFERRERS_LIMIT, on_loaded, l);
}
