/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/pypi/change.c: what changes a project besides an upload: yanking, its status, deletions.
 * Each is one operation: the document and the files that it tells of, together. */
#include <stdlib.h>
#include <string.h>

#include "pantera/format_pypi.h"
#include "pantera/stage.h"
#include "pantera/tether.h"
#include "src/formats/pypi/names.h"
#include "src/formats/pypi/project.h"
#include "src/formats/pypi/pypi.h"

enum change_kind { CHANGE_YANK, CHANGE_STATUS, CHANGE_REMOVE };
enum { REMOVE_FILES = COMMIT_ITEMS / 4 };

struct change {
    enum change_kind kind;
    struct http_request *req; /* NULL: the client is gone; it happens all the same */
    struct tether *tether;
    struct worker *worker;
    struct arena arena;
    const char *repo_name, *project;
    int64_t repo_id;
    registry_done_cb *done;
    const char *version, *file_name, *status, *reason, *path; /* path: of a removal */
    bool yanked, tree;
    struct stage *marker; /* that the project is quarantined */
    json_t *removed;      /* of this attempt */
    bool more, some;      /* of a removal: files are left; files went */
};

static void change_end(struct change *c, enum err e, const struct why *why)
{
    struct http_request *req = c->req;
    registry_done_cb *done = c->done;
    struct why text = why ? *why : (struct why){ "" };

    if (req)
        tether_cut(c->tether);
    stage_drop(c->marker);
    json_decref(c->removed);
    arena_release(&c->arena);
    free(c);
    if (req)
        done(req, e, &text);
}

static const struct repo *change_repo(struct change *c)
{
    const struct repo *repo = registry_repo(c->worker->registry, c->repo_name);

    return repo && repo->id == c->repo_id ? repo : NULL;
}

/* --- on the pool --- */

static enum err change_make(struct change *c, json_t *project, struct why *why)
{
    switch (c->kind) {
    case CHANGE_YANK:
        if (project_yank(project, c->version, c->yanked, c->reason))
            return fail(why, ERR_NOT_FOUND, "project '%.100s' has no version '%.60s'", c->project,
                        c->version);
        return OK;
    case CHANGE_STATUS:
        return project_set_status(project, c->status, c->reason, why);
    case CHANGE_REMOVE:
        json_decref(c->removed);
        c->removed = NULL;
        return project_remove(project, c->version, c->file_name, REMOVE_FILES, &c->removed,
                              &c->more);
    }
    return ERR_INTERNAL;
}

static enum err change_apply(void *arg, const char *data, size_t size, struct buf *ret,
                             struct why *why)
{
    struct change *c = arg;
    json_t *project;
    enum err e;

    if (!data)
        return fail(why, ERR_NOT_FOUND, "there is no project '%.100s'", c->project);
    if ((e = project_read(data, size, c->project, &project, why)))
        return e;
    if (!(e = change_make(c, project, why)))
        e = project_write(project, ret, why);
    json_decref(project);
    return e;
}

/* --- with it --- */

static void change_add(void *arg, struct commit *commit)
{
    struct change *c = arg;
    struct commit_what hidden = { .content_type = "text/plain; charset=utf-8", .hidden = true };
    json_t *file;
    size_t i;

    if (c->marker)
        commit_put(commit, pypi_quarantine_path(&c->arena, c->project), c->marker, &hidden);
    else if (c->kind == CHANGE_STATUS)
        commit_delete(commit, pypi_quarantine_path(&c->arena, c->project), NULL, true);
    json_array_foreach(c->removed, i, file)
    {
        const char *version = json_string_value(json_array_get(file, 0));
        const char *name = json_string_value(json_array_get(file, 1));
        commit_delete(commit, arena_printf(&c->arena, "%s/%s/%s", c->project, version, name), NULL,
                      true);
        commit_delete(commit, pypi_metadata_path(&c->arena, c->project, name), NULL, true);
        commit_delete(commit, pypi_provenance_path(&c->arena, c->project, name), NULL, true);
    }
}

static void change_start(struct change *c);

static void on_changed(enum err e, const struct why *why, void *arg)
{
    struct change *c = arg;
    const struct repo *repo = change_repo(c);

    if (!e)
        c->marker = NULL; /* it has its name */
    if (!e && c->kind == CHANGE_REMOVE && c->more) {
        c->some = true;
        change_start(c);
        return;
    }
    if (e == ERR_NOT_FOUND && c->some)
        e = OK;
    /* Files that no document tells of: an import's. */
    if (e == ERR_NOT_FOUND && c->kind == CHANGE_REMOVE && c->req && repo) {
        struct http_request *req = c->req;
        registry_done_cb *done = c->done;
        const char *path = arena_strdup(&req->arena, c->path);
        bool tree = c->tree && !c->file_name;
        tether_cut(c->tether);
        c->req = NULL;
        change_end(c, OK, NULL);
        (tree ? registry_delete_tree : registry_delete)(req, repo, path, done);
        return;
    }
    change_end(c, e, why);
}

static void change_start(struct change *c)
{
    const struct repo *repo = change_repo(c);
    struct registry_update update = { .content_type = "application/json",
                                      .limit = PROJECT_BYTES,
                                      .req = c->req,
                                      .apply = change_apply,
                                      .add = change_add,
                                      .done = on_changed,
                                      .arg = c };

    if (!repo) {
        change_end(c, ERR_NOT_FOUND, &(struct why){ "the repository does not exist any more" });
        return;
    }
    update.path = pypi_document_path(&c->arena, c->project);
    registry_update(c->worker, repo, &update);
}

static struct change *change_new(struct http_request *req, const struct repo *repo,
                                 enum change_kind kind, const char *project, registry_done_cb *done)
{
    struct change *c = calloc(1, sizeof *c);

    check(c);
    arena_init(&c->arena);
    c->kind = kind;
    c->worker = worker_of(req);
    c->repo_name = arena_strdup(&c->arena, repo->name);
    c->repo_id = repo->id;
    c->project = pypi_name_normal(&c->arena, project);
    c->done = done;
    c->tether = tether_tie(req, &c->req);
    return c;
}

static const char *kept(struct change *c, const char *text)
{
    return text ? arena_strdup(&c->arena, text) : NULL;
}

static bool hosted(struct http_request *req, const struct repo *repo, registry_done_cb *done)
{
    if (!strcmp(repo->type, "pypi"))
        return true;
    struct why why;
    done(req,
         fail(&why, ERR_BAD_REQUEST, "repository '%.100s' is of type '%.40s', not 'pypi'",
              repo->name, repo->type),
         &why);
    return false;
}

/* --- the verbs --- */

void pypi_yank(struct http_request *req, const struct repo *repo, const char *project,
               const char *version, bool yanked, const char *reason, registry_done_cb *done)
{
    struct pypi_version v;
    struct change *c;

    if (!hosted(req, repo, done))
        return;
    c = change_new(req, repo, CHANGE_YANK, project, done);
    c->version = pypi_version_parse(&c->arena, version, &v) ? v.text : kept(c, version);
    c->yanked = yanked;
    c->reason = kept(c, reason);
    change_start(c);
}

static void on_marked(struct stage *s, enum err e, const struct why *why, void *arg)
{
    struct change *c = arg;

    (void)s;
    if (e)
        change_end(c, e, why);
    else
        change_start(c);
}

void pypi_set_status(struct http_request *req, const struct repo *repo, const char *project,
                     const char *status, const char *reason, registry_done_cb *done)
{
    struct change *c;

    if (!hosted(req, repo, done))
        return;
    c = change_new(req, repo, CHANGE_STATUS, project, done);
    c->status = kept(c, status);
    c->reason = kept(c, reason);
    if (!strcmp(status, "quarantined"))
        c->marker = stage_bytes(c->worker, repo, "quarantined\n", 12, 0, on_marked, c);
    else
        change_start(c);
}

void pypi_remove(struct http_request *req, const struct repo *repo, const char *path, bool tree,
                 registry_done_cb *done)
{
    const char *slash = strchr(path, '/'), *second = slash ? strchr(slash + 1, '/') : NULL;
    struct change *c;

    if (!*path) { /* all of it, documents included */
        registry_delete_tree(req, repo, path, done);
        return;
    }
    if (*path == '.' || strcmp(repo->type, "pypi")) { /* a cache has no documents of ours */
        struct why why = { "" };
        if (*path == '.')
            done(req, fail(&why, ERR_NOT_FOUND, "'%.200s' not found", path), &why);
        else
            (tree ? registry_delete_tree : registry_delete)(req, repo, path, done);
        return;
    }
    c = change_new(req, repo, CHANGE_REMOVE,
                   slash ? arena_strndup(&req->arena, path, (size_t)(slash - path)) : path, done);
    c->path = kept(c, path);
    c->tree = tree;
    if (slash)
        c->version = arena_strndup(&c->arena, slash + 1,
                                   second ? (size_t)(second - slash - 1) : strlen(slash + 1));
    if (second)
        c->file_name = kept(c, second + 1);
    if (!tree && !second) { /* a file there is not one of ours */
        change_end(c, ERR_NOT_FOUND, &(struct why){ "there is no such file" });
        return;
    }
    change_start(c);
}
