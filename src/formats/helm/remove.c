/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/helm/remove.c: charts go, with what the index says of them, in one operation. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/document.h"
#include "pantera/stage.h"
#include "pantera/tether.h"
#include "src/formats/helm/helm.h"

struct removal {
    struct http_request *req;    /* NULL: the client is gone */
    struct tether *tether;
    registry_done_cb *done;
    struct registry_update update;
    bool tree;
    char path[LIMIT_PATH + 1];
};

static void on_removed(enum err e, const struct why *why, void *arg)
{
    struct removal *r = arg;

    if (r->req) {
        tether_cut(r->tether);
        r->done(r->req, e, why);
    }
    free(r);
}

/* Pool thread. */
static enum err index_apply(void *arg, const char *data, size_t size, struct buf *ret, struct why *why)
{
    struct removal *r = arg;
    json_t *index = NULL;
    enum err e = helm_index_read(data, size, &index, why);

    if (!e)
        e = helm_index_remove(index, r->path, r->tree) ? helm_index_write(index, ret) : ERR_AGAIN;
    json_decref(index);
    return e;
}

static void files_add(void *arg, struct commit *c)
{
    struct removal *r = arg;
    char prov[LIMIT_PATH + 8];
    size_t n = strlen(r->path);

    if (r->tree)
        return;
    commit_delete(c, r->path, NULL, false);
    if (n > 4 && !strcmp(r->path + n - 4, ".tgz")) {
        snprintf(prov, sizeof prov, "%s.prov", r->path);
        commit_delete(c, prov, NULL, true);
    }
}

static void index_remove(struct http_request *req, const struct repo *repo, const char *path, bool tree,
                         registry_done_cb *done)
{
    struct removal *r = calloc(1, sizeof *r);

    check(r);
    r->tether = tether_tie(req, &r->req);
    r->done = done;
    r->tree = tree;
    snprintf(r->path, sizeof r->path, "%s", path);
    r->update = (struct registry_update){ .path = HELM_INDEX, .content_type = "application/json",
                                          .limit = HELM_INDEX_LIMIT, .req = req, .apply = index_apply,
                                          .add = files_add, .done = on_removed, .arg = r };
    registry_update(worker_of(req), repo, &r->update);
}

/* Of a folder: the index first, so that it names nothing that is gone. */
struct folder {                  /* the request's memory */
    const char *repo, *path;
    registry_done_cb *done;
};

static void on_index(struct http_request *req, enum err e, const struct why *why)
{
    struct folder *f = req->context;
    const struct repo *repo = registry_repo(worker_of(req)->registry, f->repo);

    if (e || !repo)
        f->done(req, e ? e : ERR_NOT_FOUND, why);
    else
        registry_delete_tree(req, repo, f->path, f->done);
}

void helm_remove(struct http_request *req, const struct repo *repo, const char *path, bool tree,
                 registry_done_cb *done)
{
    struct registry_stat stat;
    struct folder *f;

    if (repository_kind(repo) != REPO_LOCAL)
        (tree ? registry_delete_tree : registry_delete)(req, repo, path, done);
    else if (!registry_stat(worker_of(req)->registry, &req->arena, repo, path, &stat))
        index_remove(req, repo, path, false, done);
    else if (!tree)
        done(req, ERR_NOT_FOUND, NULL);
    else {
        f = arena_alloc(&req->arena, sizeof *f);
        *f = (struct folder){ arena_strdup(&req->arena, repo->name), arena_strdup(&req->arena, path), done };
        req->context = f;
        index_remove(req, repo, path, true, on_index);
    }
}
