/* SPDX-License-Identifier: Apache-2.0 */
/* The files below a folder, in the order of their names. Links are not followed: they may lead anywhere. */
#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>

#include "src/cli_import.h"

struct dir_source {
    struct import_source source;
    FTS *walk;
    size_t root;                 /* length of the folder's path with its slash */
};

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static FTS *walk_open(char *path)
{
    return fts_open((char *const[]){ path, NULL }, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
}

static bool dir_next(struct import_source *source, struct import_item *ret)
{
    struct dir_source *s = container_of(source, struct dir_source, source);
    for (FTSENT *e; (e = fts_read(s->walk));) {
        if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR || e->fts_info == FTS_NS) {
            cli_say("%s: %s", e->fts_path, strerror(e->fts_errno));
            source->failed++;
        } else if (e->fts_info == FTS_SL || e->fts_info == FTS_SLNONE) {
            cli_say("%s: a link, left out", e->fts_path);
        } else if (e->fts_info == FTS_F) {
            ret->from = strdup(e->fts_path);
            ret->path = strdup(e->fts_path + s->root);
            ret->created_ms = (int64_t)e->fts_statp->st_mtim.tv_sec * 1000;
            check(ret->from && ret->path);
            return true;
        }
    }
    return false;
}

static void dir_close(struct import_source *source)
{
    struct dir_source *s = container_of(source, struct dir_source, source);
    fts_close(s->walk);
    free(s);
}

/* A first walk, so that the bar knows its end. */
static void count(struct import_source *s, char *path)
{
    FTS *walk = walk_open(path);
    for (FTSENT *e; walk && (e = fts_read(walk));)
        if (e->fts_info == FTS_F) {
            s->files++;
            s->bytes += e->fts_statp->st_size;
        }
    if (walk)
        fts_close(walk);
}

struct import_source *import_dir_open(const char *path)
{
    char *copy = strdup(path);
    check(copy);
    size_t n = strlen(copy);
    while (n > 1 && copy[n - 1] == '/')
        copy[--n] = '\0';
    struct dir_source *s = calloc(1, sizeof *s);
    check(s);
    s->source = (struct import_source){ .next = dir_next, .close = dir_close };
    s->root = n + (copy[n - 1] != '/');
    s->walk = walk_open(copy);
    FTSENT *top = s->walk ? fts_read(s->walk) : NULL;
    if (!top || top->fts_info != FTS_D) {
        cli_say("%s: %s", path, top && top->fts_errno ? strerror(top->fts_errno) : "not a folder");
        if (s->walk)
            fts_close(s->walk);
        free(s);
        free(copy);
        return NULL;
    }
    count(&s->source, copy);
    free(copy);
    return &s->source;
}
