/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/delete.c: an artifact goes; its bytes follow when nothing names them (gc.c). */
#include <stdlib.h>

#include "pantera/tether.h"
#include "src/registry/internal.h"

struct remove {
    struct http_request *req;
    struct tether *tether;
    void (*done)(struct http_request *req, enum err e, const struct why *why);
    struct proposal proposal;
};

static void on_removed(struct proposal *proposal)
{
    struct remove *d = container_of(proposal, struct remove, proposal);

    if (d->req) {
        tether_cut(d->tether);
        d->done(d->req, proposal->err, &proposal->why);
    }
    json_decref(proposal->result);
    free(d);
}

void registry_delete(struct http_request *req, const struct repo *repo, const char *path,
                     void (*done)(struct http_request *req, enum err e, const struct why *why))
{
    struct worker *w = worker_of(req);
    struct remove *d = calloc(1, sizeof *d);
    json_t *args = json_pack("{s:I, s:s}", "repo_id", (json_int_t)repo->id, "path", path);

    check(d && args); /* paths are valid UTF-8 (path_normalise) */
    json_object_set_new(args, "_audit", audit_envelope(req));
    d->tether = tether_tie(req, &d->req);
    d->done = done;
    d->proposal = (struct proposal){ .op = "artifact.delete", .args = args, .home = &w->loop,
                                     .on_done = on_removed };
    cluster_propose(w->cluster, &d->proposal);
}
