/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/npm/change.c: tags, deprecation, unpublishing: a package's document is changed in one operation
 * with the tarballs that go (registry_update), so that no node ever shows one without the other. */
#include <stdlib.h>
#include <string.h>

#include "pantera/api.h"
#include "pantera/clock.h"
#include "pantera/document.h"
#include "pantera/limits.h"
#include "src/formats/npm/doc.h"
#include "src/formats/npm/npm.h"

enum { REMOVE_AT_ONCE = COMMIT_ITEMS / 2 - 8 }; /* a version is a tarball and perhaps attestations */

static void change_init(struct npm_change *c, struct worker *w, const char *repo, int64_t repo_id,
                        const char *package)
{
    arena_init(&c->arena);
    c->worker = w;
    c->repo_name = arena_strdup(&c->arena, repo);
    c->repo_id = repo_id;
    c->package = arena_strdup(&c->arena, package);
    c->now_ms = clock_wall_ms();
    c->removed = json_array();
}

void npm_change_init(struct npm_change *c, struct http_request *req, const struct repo *repo,
                     const char *package)
{
    change_init(c, worker_of(req), repo->name, repo->id, package);
    c->tether = tether_tie(req, &c->req);
}

void npm_change_init_import(struct npm_change *c, struct imported *m)
{
    change_init(c, m->worker, m->repo, m->repo_id, "");
    c->imported = m;
    c->create = true;
}

void npm_change_free(struct npm_change *c)
{
    if (c->req)
        tether_cut(c->tether);
    json_decref(c->body);
    json_decref(c->removed);
    arena_release(&c->arena);
    if (c->release)
        c->release(c);
    else
        free(c);
}

const struct repo *npm_change_repo(struct npm_change *c)
{
    const struct repo *repo = registry_repo(c->worker->registry, c->repo_name);

    return repo && repo->id == c->repo_id ? repo : NULL;
}

static enum err change_apply(void *arg, const char *data, size_t size, struct buf *ret, struct why *why)
{
    struct npm_change *c = arg;
    json_t *doc;
    enum err e;

    if (!data && !c->create)
        return fail(why, ERR_NOT_FOUND, "package '%.200s' not found", c->package);
    json_array_clear(c->removed);
    c->more = false;
    e = npm_doc_load(c->package, data, size, &doc, why);
    if (e)
        return e;
    e = c->edit(c, doc, why);
    if (!e)
        e = npm_doc_store(doc, c->now_ms, ret, why);
    json_decref(doc);
    return e;
}

static void change_add(void *arg, struct commit *commit)
{
    struct npm_change *c = arg;
    const json_t *version;
    size_t i;

    json_array_foreach (c->removed, i, version) {
        const char *v = json_string_value(version);
        commit_delete(commit, npm_tarball_path(&c->arena, c->package, v), NULL, true);
        commit_delete(commit, npm_attestations_path(&c->arena, c->package, v), NULL, true);
    }
    if (c->add)
        c->add(c, commit);
}

static void change_done(enum err e, const struct why *why, void *arg)
{
    struct npm_change *c = arg;

    if (!e && c->more) {
        npm_change_run(c);
        return;
    }
    c->done(c, e, why);
    npm_change_free(c);
}

void npm_change_run(struct npm_change *c)
{
    const struct repo *repo = npm_change_repo(c);
    struct registry_update u = {
        .path = npm_document_path(&c->arena, c->package), .content_type = "application/json",
        .limit = NPM_DOCUMENT_LIMIT, .req = c->imported ? c->imported->req : c->req, .apply = change_apply,
        .add = change_add, .done = change_done, .arg = c,
    };

    if (repo)
        registry_update(c->worker, repo, &u);
    else
        change_done(ERR_NOT_FOUND, &(struct why){ "the repository does not exist any more" }, c);
}

/* {"ok": true}, or what went wrong. */
static void answer_ok(struct npm_change *c, enum err e, const struct why *why)
{
    if (!c->req)
        return;
    if (e)
        npm_fail(c->req, e, why);
    else
        npm_reply(c->req, 200, json_pack("{s:b, s:s}", "ok", 1, "id", c->package));
}

static struct npm_change *change_new(struct http_request *req, const struct repo *repo, const char *package)
{
    struct npm_change *c = calloc(1, sizeof *c);

    check(c);
    npm_change_init(c, req, repo, package);
    c->done = answer_ok;
    return c;
}

/* --- tags --- */

static enum err edit_tags(struct npm_change *c, json_t *doc, struct why *why)
{
    const char *tag;
    json_t *version;
    enum err e = OK;

    if (!json_is_object(c->body))
        return npm_doc_tag(doc, c->tag, c->version, why);
    json_object_foreach (c->body, tag, version)
        if (!e)
            e = json_is_string(version) ? npm_doc_tag(doc, tag, json_string_value(version), why)
                                        : fail(why, ERR_BAD_REQUEST, "'%.70s' is no version", tag);
    return e;
}

static void tags_run(struct http_request *req, const struct repo *repo, const struct npm_path *path,
                     json_t *body)
{
    struct npm_change *c = change_new(req, repo, path->package);

    c->edit = edit_tags;
    c->tag = path->word ? arena_strdup(&c->arena, path->word) : NULL;
    c->version = json_is_string(body) ? arena_strdup(&c->arena, json_string_value(body)) : NULL;
    c->body = body;
    npm_change_run(c);
}

/* PUT …/dist-tags/<tag> "version"; PUT or POST …/dist-tags {tag: version} */
static void on_tags(struct http_request *req, char *data, size_t size, enum err e, void *arg)
{
    const struct npm_path *path = arg;
    json_t *body = e ? NULL : json_loadb(data, size, JSON_DECODE_ANY, NULL);
    const struct repo *repo = npm_repo_again(req);

    if (e) {
        npm_fail(req, e, NULL);
    } else if (!repo) {
        npm_fail_text(req, ERR_NOT_FOUND, "the repository does not exist any more");
    } else if (path->word ? !json_is_string(body) : !json_is_object(body)) {
        npm_fail_text(req, ERR_BAD_REQUEST,
                      path->word ? "expected a version, as JSON text" : "expected {tag: version}");
    } else {
        tags_run(req, repo, path, body);
        return;
    }
    json_decref(body);
}

void npm_tags(struct http_request *req, const struct repo *repo, const struct npm_path *path)
{
    if (req->method == HTTP_M_DELETE)
        tags_run(req, repo, path, NULL);
    else
        http_body_collect(req, KIB(64), on_tags, (void *)(uintptr_t)path);
}

/* --- a document as its reader wants it --- */

static enum err edit_replace(struct npm_change *c, json_t *doc, struct why *why)
{
    enum err e = npm_doc_replace(doc, c->body, c->revision, c->may_delete, c->removed, why);

    if (!e && json_array_size(c->removed) > REMOVE_AT_ONCE)
        e = fail(why, ERR_TOO_BIG, "more than %d versions at once", REMOVE_AT_ONCE);
    return e;
}

void npm_replace(struct http_request *req, const struct repo *repo, const struct npm_path *path, json_t *body)
{
    struct npm_change *c = change_new(req, repo, path->package);

    c->edit = edit_replace;
    c->body = body;
    c->revision = path->revision ? arena_strdup(&c->arena, path->revision) : NULL;
    c->may_delete = may_repo(req->principal, repo->name, REPO_DELETE);
    npm_change_run(c);
}

/* --- unpublishing --- */

static enum err edit_remove(struct npm_change *c, json_t *doc, struct why *why)
{
    json_t *versions = json_object_get(doc, "versions"), *ignored;
    const char *version;
    enum err e = npm_doc_revision(doc, c->revision, why);
    size_t i;

    if (!e && c->version && !json_object_get(versions, c->version))
        return fail(why, ERR_NOT_FOUND, "version not found: %.100s", c->version);
    json_object_foreach (versions, version, ignored)
        if ((!c->version || !strcmp(c->version, version)) && json_array_size(c->removed) < REMOVE_AT_ONCE)
            json_array_append_new(c->removed, json_string(version));
    json_array_foreach (c->removed, i, ignored)
        if (!e)
            e = npm_doc_remove(doc, json_string_value(ignored), why);
    c->more = !c->version && json_object_size(versions);
    if (c->more)
        c->revision = NULL;      /* this change makes another of it */
    return e;
}

/* npm deletes the tarball of a version after it has put a document without it: that is done by then. */
static void answer_unpublished(struct npm_change *c, enum err e, const struct why *why)
{
    answer_ok(c, e == ERR_NOT_FOUND && c->version && c->revision ? OK : e, why);
}

/* DELETE /<package>/-rev/<revision> and /<package>/-/<file>[/-rev/<revision>] */
void npm_unpublish(struct http_request *req, const struct repo *repo, const struct npm_path *path)
{
    struct npm_change *c = change_new(req, repo, path->package);

    c->edit = edit_remove;
    c->done = answer_unpublished;
    c->version = path->version ? arena_strdup(&c->arena, path->version) : NULL;
    c->revision = path->revision ? arena_strdup(&c->arena, path->revision) : NULL;
    npm_change_run(c);
}

/* --- what the management API deletes --- */

/* What is left of a package's folder (a file that no version names) goes with it. */
static void answer_removed(struct npm_change *c, enum err e, const struct why *why)
{
    const struct repo *repo = npm_change_repo(c);

    if (!c->req)
        return;
    if ((e && e != ERR_NOT_FOUND) || !repo) {
        c->removed_cb(c->req, e ? e : ERR_NOT_FOUND, why);
    } else if (c->version) {
        const char *path = npm_tarball_path(&c->req->arena, c->package, c->version);
        struct registry_stat stat;
        if (!e && registry_stat(c->worker->registry, &c->req->arena, repo, path, &stat)) /* it went with it */
            c->removed_cb(c->req, OK, NULL);
        else
            registry_delete(c->req, repo, path, c->removed_cb);
    } else {
        struct registry_entry *entries;
        unsigned count;
        bool more;
        if (!e && registry_list(c->worker->registry, &c->req->arena, repo, c->package, NULL, 1, &entries,
                                &count, &more))
            c->removed_cb(c->req, OK, NULL);
        else
            registry_delete_tree(c->req, repo, c->package, c->removed_cb);
    }
}

static void remove_package(struct http_request *req, const struct repo *repo, const char *package,
                           const char *version, registry_done_cb *done)
{
    struct npm_change *c = change_new(req, repo, package);

    c->edit = edit_remove;
    c->done = answer_removed;
    c->removed_cb = done;
    c->version = version ? arena_strdup(&c->arena, version) : NULL;
    npm_change_run(c);
}

/* A scope: its packages one after the other, then what is left. */
struct scope {
    const char *repo, *name;
    int64_t repo_id;
    registry_done_cb *done;
};

static void scope_next(struct http_request *req, enum err e, const struct why *why)
{
    struct scope *s = req->context;
    struct registry *registry = worker_of(req)->registry;
    const struct repo *repo = registry_repo(registry, s->repo);
    struct registry_entry *entries;
    unsigned count = 0;
    bool more;
    const char *package;

    if (e || !repo || repo->id != s->repo_id) {
        s->done(req, e ? e : ERR_NOT_FOUND, why);
        return;
    }
    if (registry_list(registry, &req->arena, repo, s->name, NULL, 1, &entries, &count, &more))
        count = 0;
    package = count ? arena_printf(&req->arena, "%s/%s", s->name, entries[0].name) : NULL;
    if (package && entries[0].directory && npm_name_valid(package, false))
        remove_package(req, repo, package, NULL, scope_next);
    else if (package)
        registry_delete_tree(req, repo, s->name, s->done);
    else
        s->done(req, OK, NULL);
}

void npm_remove(struct http_request *req, const struct repo *repo, const char *path, bool tree,
                registry_done_cb *done)
{
    struct arena *a = &req->arena;
    struct npm_path p;
    struct why why;

    npm_path_read(a, path, &p);
    if (repository_kind(repo) != REPO_LOCAL) { /* what is cached is in no document of ours */
        (tree ? registry_delete_tree : registry_delete)(req, repo, path, done);
    } else if (*path == '.') {
        done(req, fail(&why, ERR_FORBIDDEN, "'%.200s' is the registry's own", path), &why);
    } else if (!tree && p.what == NPM_TARBALL) {
        remove_package(req, repo, p.package, p.version, done);
    } else if (!tree) {
        registry_delete(req, repo, path, done);
    } else if (p.what == NPM_PACKAGE) {
        remove_package(req, repo, p.package, NULL, done);
    } else if (*path == '@' && !strchr(path, '/')) {
        struct scope *s = arena_alloc(a, sizeof *s);
        *s = (struct scope){ arena_strdup(a, repo->name), arena_strdup(a, path), repo->id, done };
        req->context = s;
        scope_next(req, OK, NULL);
    } else {
        size_t n = strlen(path);
        const char *package = n > 2 && !strcmp(path + n - 2, "/-") ? arena_strndup(a, path, n - 2) : NULL;
        if (package && npm_name_valid(package, false))
            remove_package(req, repo, package, NULL, done);
        else
            registry_delete_tree(req, repo, path, done);
    }
}
