/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/go/go.c: Go modules by the GOPROXY protocol ("Go Modules Reference"): methods,
 * permissions, the keys of a repository's configuration, deletion. Errors are text, which the go command
 * shows. */
#include "src/formats/go/go.h"

#include <string.h>

#include "pantera/api.h"
#include "pantera/stage.h"
#include "pantera/tether.h"
#include "src/formats/listing.h"
#include "src/formats/verbs.h"

static bool is_version_file(const struct go_path *p)
{
    return p->kind == GO_ZIP || p->kind == GO_MOD || p->kind == GO_INFO;
}

/* --- GET --- */

static void go_get(struct http_request *req, const struct repo *repo, const char *path)
{
    size_t n = strlen(path);
    struct why why = { "" };
    struct go_path p;
    enum err e = go_path_parse(&req->arena, path, &p, &why);

    if (!e && p.module)
        e = go_path_judge(&p, &why);
    if (e)
        api_fail(req, e, &why);
    else if (p.kind == GO_SUMDB)
        go_sumdb_get(req, repo, path);
    else if (p.kind == GO_LIST || p.kind == GO_LATEST)
        go_document_get(req, repo, path, &p);
    else if (is_version_file(&p) && repository_kind(repo) != REPO_LOCAL)
        go_elsewhere_get(req, repo, path, &p);
    else if (is_version_file(&p) && registry_get(req, repo, path, api_fail))
        return;
    else if ((n == 0 || path[n - 1] == '/') && repository_kind(repo) != REPO_GROUP &&
             format_listing(req, repo, n ? arena_strndup(&req->arena, path, n - 1) : ""))
        return;
    else
        api_fail_text(req, ERR_NOT_FOUND, "'%.200s' not found", path);
}

/* --- DELETE: a version's three files go together --- */

struct removal {
    struct http_request *req;
    struct tether *tether;
    registry_done_cb *done;
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

static void version_delete(struct http_request *req, const struct repo *repo, const struct go_path *p,
                           registry_done_cb *done)
{
    static const char *const suffixes[] = { ".zip", ".mod", ".info" };
    struct removal *r = calloc(1, sizeof *r);
    struct worker *w = worker_of(req);
    struct commit *c = commit_new(w, repo, req);
    struct registry_stat stat;
    bool some = false;

    check(r);
    r->tether = tether_tie(req, &r->req);
    r->done = done;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        const char *path = arena_printf(&req->arena, "%s%s", p->stem, suffixes[i]);
        some = !registry_stat(w->registry, &req->arena, repo, path, &stat) || some;
        commit_delete(c, path, NULL, true);
    }
    if (some) {
        commit_run(c, on_removed, r);
    } else {
        commit_drop(c);
        on_removed(ERR_NOT_FOUND, NULL, r);
    }
}

static void go_remove(struct http_request *req, const struct repo *repo, const char *path, bool tree,
                      registry_done_cb *done)
{
    struct why why;
    struct go_path p;

    if (repository_kind(repo) == REPO_LOCAL && !go_path_parse(&req->arena, path, &p, &why) &&
        is_version_file(&p))
        version_delete(req, repo, &p, done);
    else
        (tree ? registry_delete_tree : registry_delete)(req, repo, path, done);
}

static void on_deleted(struct http_request *req, enum err e, const struct why *why)
{
    if (e)
        api_fail(req, e, why);
    else
        http_reply(req, 204, NULL, NULL, 0);
}

static void go_delete(struct http_request *req, const struct repo *repo, const char *path)
{
    size_t n = strlen(path);
    bool tree = n && path[n - 1] == '/';

    if (!n)
        api_fail_text(req, ERR_BAD_REQUEST, "the whole repository can't be deleted this way");
    else
        go_remove(req, repo, tree ? arena_strndup(&req->arena, path, n - 1) : path, tree, on_deleted);
}

/* --- PUT --- */

static void go_upload(struct http_request *req, const struct repo *repo, const char *path)
{
    struct why why = { "" };
    struct go_path p;
    enum err e = go_path_parse(&req->arena, path, &p, &why);

    if (!e && !is_version_file(&p))
        e = fail(&why, ERR_BAD_REQUEST, "a version is PUT to MODULE/@v/VERSION.zip");
    if (e)
        api_fail(req, e, &why);
    else
        go_put(req, repo, &p);
}

static void go_handle(struct http_request *req, const struct repo *repo, const char *path)
{
    static const struct format_verb verbs[] = {
        { HTTP_M_GET | HTTP_M_HEAD, REPO_READ, "read", go_get },
        { HTTP_M_PUT, REPO_WRITE, "write to", go_upload },
        { HTTP_M_DELETE, REPO_DELETE, "delete from", go_delete },
        { 0 },
    };

    format_dispatch(req, repo, path, verbs, api_fail);
}

static enum err go_check(const json_t *repo_config, struct why *why)
{
    return repository_check(repo_config, NULL, why);
}

static const char *const go_aliases[] = { "go", NULL };

const struct format go_format = {
    .name = "go",
    .aliases = go_aliases,
    .caps = FORMAT_LOCAL | FORMAT_PROXY | FORMAT_GROUP,
    .handle = go_handle,
    .check = go_check,
    .remove = go_remove,
    .importable = go_importable,
    .import = go_import,
};
