/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/npm/import.c: a package from another registry, file by file: tarballs (publish.c), and the
 * document of a package as registries keep it beside them (verdaccio's "package.json", the original's
 * "meta.json"), of which only what the tarballs do not say is taken over (moved.c). It is not kept itself. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pantera/limits.h"
#include "src/formats/npm/doc.h"
#include "src/formats/npm/npm.h"

struct move {
    struct npm_change change;    /* first: it frees us */
    struct work work;
    int fd;
    int64_t size;
    json_t *packument;
    enum err err;
    struct why why;
};

static const char *last_segment(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static bool is_document(const char *path)
{
    const char *name = last_segment(path);

    return !strcmp(name, "meta.json") || !strcmp(name, "package.json");
}

enum err npm_importable(const struct repo *repo, const char *path, struct why *why)
{
    size_t n = strlen(path);

    (void)repo;
    if (*path != '.' && ((n > 4 && !strcmp(path + n - 4, ".tgz")) || is_document(path)))
        return OK;
    return fail(why, ERR_BAD_REQUEST, "'%.200s' is neither a package (.tgz) nor a package's document "
                "(meta.json or package.json)", path);
}

static void move_release(struct npm_change *c)
{
    struct move *m = container_of(c, struct move, change);

    json_decref(m->packument);
    if (m->fd >= 0)
        close(m->fd);
    free(m);
}

static enum err edit(struct npm_change *c, json_t *doc, struct why *why)
{
    struct move *m = container_of(c, struct move, change);
    json_t *before = json_deep_copy(doc);
    enum err e = npm_doc_move(doc, m->packument, why);

    if (!e && json_equal(before, doc)) {
        c->imported->already = true;
        e = ERR_GONE;
    }
    json_decref(before);
    return e;
}

static void add(struct npm_change *c, struct commit *commit)
{
    commit_imported(commit, c->imported, NULL, NULL, NULL);
}

static void on_moved(struct npm_change *c, enum err e, const struct why *why)
{
    imported_end(c->imported, c->imported->already ? OK : e, why);
}

static void read_document(struct work *work)
{
    struct move *m = container_of(work, struct move, work);
    char *text = malloc((size_t)m->size + 1);
    int64_t at = 0;
    ssize_t n = 1;
    const char *name;

    check(text);
    while (at < m->size && (n = pread(m->fd, text + at, (size_t)(m->size - at), at)) > 0)
        at += n;
    m->packument = json_loadb(text, (size_t)at, JSON_ALLOW_NUL, NULL);
    free(text);
    name = json_string_value(json_object_get(m->packument, "name"));
    if (n <= 0)
        m->err = ERR_IO;
    else if (!name || !npm_name_valid(name, false))
        m->err = fail(&m->why, ERR_BAD_REQUEST, "'%.200s' is not a package's document",
                      m->change.imported->path);
    else
        m->change.package = arena_strdup(&m->change.arena, name);
}

static void on_read(struct work *work)
{
    struct move *m = container_of(work, struct move, work);

    if (m->err) {
        imported_end(m->change.imported, m->err, &m->why);
        npm_change_free(&m->change);
        return;
    }
    m->change.edit = edit;
    m->change.add = add;
    m->change.done = on_moved;
    npm_change_run(&m->change);
}

static void on_fd(enum err e, const struct why *why, int fd, int64_t size, void *arg)
{
    struct move *m = arg;

    if (e) {
        imported_end(m->change.imported, e, why);
        npm_change_free(&m->change);
        return;
    }
    m->fd = fd;
    m->size = size;
    work_submit(&m->work, &m->change.worker->loop, read_document, on_read);
}

void npm_import(struct imported *imported)
{
    struct move *m;

    if (!is_document(imported->path)) {
        npm_import_tarball(imported);
        return;
    }
    m = calloc(1, sizeof *m);
    check(m);
    m->fd = -1;
    npm_change_init_import(&m->change, imported);
    m->change.release = move_release;
    stage_fd(imported->stage, NPM_DOCUMENT_LIMIT, on_fd, m);
}
