/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/delete.c: an artifact goes, or a folder; the bytes follow when nothing names them (gc.c). */
#include <stdlib.h>

#include "pantera/tether.h"
#include "src/registry/internal.h"

struct remove {
    struct http_request *req;    /* NULL: gone */
    struct tether *tether;
    struct worker *worker;
    json_t *args;                /* of a tree: asked for again while there is more */
    bool some;                   /* a step has deleted something */
    registry_done_cb *done;
    struct proposal proposal;
};

static void remove_step(struct remove *d);

static void on_removed(struct proposal *proposal)
{
    struct remove *d = container_of(proposal, struct remove, proposal);
    bool more = !proposal->err && json_is_true(json_object_get(proposal->result, "more"));

    json_decref(proposal->result);
    if (more) {
        d->some = true;
        remove_step(d);
        return;
    }
    /* Nothing is left after a step that ended on the last row: that is what was asked for. */
    if (proposal->err == ERR_NOT_FOUND && d->some)
        proposal->err = OK;
    if (d->req) {
        tether_cut(d->tether);
        d->done(d->req, proposal->err, &proposal->why);
    }
    json_decref(d->args);
    free(d);
}

static void remove_step(struct remove *d)
{
    const char *op = d->proposal.op;

    d->proposal = (struct proposal){ .op = op, .args = json_deep_copy(d->args),
                                     .home = &d->worker->loop, .on_done = on_removed };
    cluster_propose(d->worker->cluster, &d->proposal);
}

static struct remove *remove_new(struct http_request *req, const struct repo *repo, const char *path,
                                 const char *op, registry_done_cb *done)
{
    struct remove *d = calloc(1, sizeof *d);

    check(d);
    d->worker = worker_of(req);
    d->args = json_pack("{s:I, s:s}", "repo_id", (json_int_t)repo->id, "path", path);
    check(d->args); /* paths are valid UTF-8 (path_normalise) */
    json_object_set_new(d->args, "_audit", audit_envelope(req));
    d->tether = tether_tie(req, &d->req);
    d->done = done;
    d->proposal.op = op;
    return d;
}

void registry_delete(struct http_request *req, const struct repo *repo, const char *path,
                     registry_done_cb *done)
{
    remove_step(remove_new(req, repo, path, "artifact.delete", done));
}

void registry_purge(struct http_request *req, const struct repo *repo, const char *path, bool tree,
                    registry_done_cb *done)
{
    struct remove *d = remove_new(req, repo, path, "upstream.purge", done);

    json_object_set_new(d->args, "tree", json_boolean(tree));
    remove_step(d);
}

void registry_delete_tree(struct http_request *req, const struct repo *repo, const char *path,
                          registry_done_cb *done)
{
    remove_step(remove_new(req, repo, path, "artifact.delete_tree", done));
}
