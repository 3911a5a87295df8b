/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/go/rows.c: which versions a hosted module has, from the rows of its folder, at each
 * request: nothing is kept that two uploads could lose. A version is there when its zip file is;
 * pseudo-versions are not listed ("GOPROXY protocol": clients ask for them by name). */
#include <stdlib.h>
#include <string.h>

#include "pantera/stage.h"
#include "src/formats/go/go.h"

struct rows {
    struct worker *worker;
    struct arena arena;
    struct go_path path;
    const char **versions;
    unsigned count, room;
    const char *best;            /* for @latest, pseudo-versions too */
    go_give *give;
    void *arg;
};

static void rows_end(struct rows *r, enum err e, const struct why *why, const char *data, size_t size)
{
    r->give(e, why, data, size, r->arg);
    free(r->versions);
    arena_release(&r->arena);
    free(r);
}

static void on_info(enum err e, const struct why *why, const char *data, size_t size,
                    const struct digest_values *digests, void *arg)
{
    (void)digests;
    rows_end(arg, e, why, data, size);
}

static int by_version(const void *x, const void *y)
{
    return go_version_compare(*(const char *const *)x, *(const char *const *)y);
}

static void give_list(struct rows *r)
{
    struct buf b;
    enum err e;

    buf_init(&b, GO_LIST_LIMIT);
    (void)buf_puts(&b, "");
    if (r->count)
        qsort(r->versions, r->count, sizeof *r->versions, by_version);
    for (unsigned i = 0; i < r->count; i++)
        (void)buf_printf(&b, "%s\n", r->versions[i]);
    e = buf_err(&b);
    rows_end(r, e, NULL, e ? NULL : b.data, e ? 0 : b.length);
    buf_free(&b);
}

static void rows_found(struct rows *r, const struct repo *repo)
{
    struct why why = { "" };

    if (!r->best)
        rows_end(r, fail(&why, ERR_NOT_FOUND, "no versions of '%.200s' here", r->path.module), &why, NULL, 0);
    else if (r->path.kind == GO_LIST)
        give_list(r);
    else
        registry_load(r->worker, repo,
                      arena_printf(&r->arena, "%s/%s.info", r->path.folder, go_escape(&r->arena, r->best)),
                      GO_INFO_LIMIT, on_info, r);
}

static void add(struct rows *r, const char *name)
{
    size_t n = strlen(name);
    const char *version;

    if (n <= 4 || strcmp(name + n - 4, ".zip") ||
        !(version = go_unescape(&r->arena, arena_strndup(&r->arena, name, n - 4))))
        return;
    if (go_version_better(version, r->best))
        r->best = version;
    if (go_version_is_pseudo(version))
        return;
    if (r->count == r->room) {
        r->room = r->room ? r->room * 2 : 64;
        r->versions = realloc(r->versions, r->room * sizeof *r->versions);
        check(r->versions);
    }
    r->versions[r->count++] = version;
}

bool go_owns(struct registry *r, struct arena *a, const struct repo *repo, const char *package)
{
    struct registry_entry *entries;
    unsigned count;
    bool more;

    if (registry_list(r, a, repo, arena_printf(a, "%s/@v", go_escape(a, package)), NULL, 100, &entries,
                      &count,
                      &more))
        return false;
    for (unsigned i = 0; i < count; i++) {
        size_t n = strlen(entries[i].name);
        if (n > 4 && !strcmp(entries[i].name + n - 4, ".zip"))
            return true;
    }
    return false;
}

static void on_each(const struct repo *repo, const struct registry_entry *entries, unsigned count,
                    struct arena *a, void *arg)
{
    (void)repo, (void)a;
    for (unsigned i = 0; i < count; i++)
        if (!entries[i].directory)
            add(arg, entries[i].name);
}

static void on_listed(const struct repo *repo, enum err e, void *arg)
{
    (void)e; /* no folder, no versions */
    if (repo)
        rows_found(arg, repo);
    else
        rows_end(arg, ERR_NOT_FOUND, NULL, NULL, 0);
}

void go_rows(struct worker *w, const struct repo *repo, const char *path, const char *package, go_give *give,
             void *arg)
{
    struct rows *r = calloc(1, sizeof *r);
    struct why why;

    (void)package;
    check(r);
    arena_init(&r->arena);
    r->worker = w;
    r->give = give;
    r->arg = arg;
    if (go_path_parse(&r->arena, arena_strdup(&r->arena, path), &r->path, &why))
        r->path.folder = "@"; /* where nothing is */
    registry_list_all(w, repo, r->path.folder, on_each, on_listed, r);
}
