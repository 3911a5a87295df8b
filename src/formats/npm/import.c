/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/npm/import.c: a package from another registry, file by file: tarballs (publish.c), and the
 * document of a package as registries keep it beside them (verdaccio's "package.json", the original's
 * "meta.json"), of which only what the tarballs do not say is taken over (moved.c). It is not kept itself. */
#include <stdlib.h>
#include <string.h>

#include "pantera/limits.h"
#include "src/formats/npm/doc.h"
#include "src/formats/npm/npm.h"

struct move {
    struct npm_change change;    /* first: it frees us */
    json_t *packument;
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

static enum err read_document(int fd, struct why *why, void *arg)
{
    struct move *m = arg;
    struct npm_change *c = &m->change;
    struct buf text;
    const char *name;
    enum err e;

    buf_init(&text, NPM_DOCUMENT_LIMIT);
    e = look_read(fd, &text, why);
    if (!e)
        m->packument = json_loadb(text.data, text.length, JSON_ALLOW_NUL, NULL);
    buf_free(&text);
    name = json_string_value(json_object_get(m->packument, "name"));
    if (!e && (!name || !npm_name_valid(name, false)))
        e = fail(why, ERR_BAD_REQUEST, "'%.200s' is not a package's document", c->imported->path);
    if (!e)
        c->package = arena_strdup(&c->arena, name);
    return e;
}

static void on_read(enum err e, const struct why *why, void *arg)
{
    struct move *m = arg;

    if (e) {
        imported_end(m->change.imported, e, why);
        npm_change_free(&m->change);
        return;
    }
    m->change.edit = edit;
    m->change.add = add;
    m->change.done = on_moved;
    npm_change_run(&m->change);
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
    npm_change_init_import(&m->change, imported);
    m->change.release = move_release;
    stage_look(imported->stage, NPM_DOCUMENT_LIMIT, read_document, on_read, m);
}
