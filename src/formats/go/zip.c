/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/go/zip.c: is it a module's zip file? The rules of golang.org/x/mod/zip: every file below
 * "module@version/", each path fit for every system, no two that differ in case only, sizes bounded, a
 * go.mod at the top only and of this module. */
#include "src/formats/go/zip.h"

#include <stdlib.h>
#include <string.h>

#include "pantera/archive.h"
#include "src/formats/go/module.h"

enum { NAMES_MOST = 400000 };

struct name {
    const char *folded, *path;
    bool folder;
};

struct zip {
    struct arena arena;
    const char *prefix, *module;
    struct name *names;
    unsigned count, room;
    const char *last;            /* the path before: its folders are known */
    int64_t bytes;
    struct buf *mod;
    bool has_mod;
    enum err err;
    struct why *why;
};

static void name_add(struct zip *z, const char *path, bool folder)
{
    if (z->count == z->room) {
        z->room = z->room ? z->room * 2 : 256;
        z->names = realloc(z->names, z->room * sizeof *z->names);
        check(z->names);
    }
    z->names[z->count++] = (struct name){ go_fold(&z->arena, path), path, folder };
}

/* It and the folders that it is in, but for those that the path before was in too. */
static enum err names_add(struct zip *z, const char *path, bool folder)
{
    size_t same = 0;

    while (z->last && path[same] && path[same] == z->last[same])
        same++;
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/'))
        if ((size_t)(slash - path) >= same)
            name_add(z, arena_strndup(&z->arena, path, (size_t)(slash - path)), true);
    name_add(z, path, folder);
    z->last = path;
    return z->count > NAMES_MOST ? fail(z->why, ERR_TOO_BIG, "the zip file has too many names") : OK;
}

static enum err member_check(struct zip *z, const struct archive_member *m, const char **ret_name)
{
    size_t n = strlen(z->prefix), length = strlen(m->path);
    bool folder = length && m->path[length - 1] == '/';
    const char *base;
    char *name;
    enum err e;

    if (strncmp(m->path, z->prefix, n))
        return fail(z->why, ERR_BAD_REQUEST, "'%.150s' is not below '%.150s'", m->path, z->prefix);
    *ret_name = name = arena_strdup(&z->arena, m->path + n);
    if (folder && *name)
        name[strlen(name) - 1] = 0;
    if (!*name)
        return OK;
    if (!folder && !m->file)
        return fail(z->why, ERR_BAD_REQUEST, "'%.150s' is no regular file", name);
    if ((e = go_file_check(name, z->why)) || (e = names_add(z, name, folder)))
        return e;
    base = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
    if (!folder && !strcasecmp(base, "go.mod") && strcmp(name, "go.mod"))
        return fail(z->why, ERR_BAD_REQUEST, "'%.150s': go.mod stands at the top only, in lower case", name);
    z->bytes += folder || m->size < 0 ? 0 : m->size;
    if (z->bytes > (int64_t)GO_ZIP_BYTES)
        return fail(z->why, ERR_TOO_BIG, "more than %zu bytes unpacked", GO_ZIP_BYTES);
    if ((!strcmp(name, "go.mod") || !strcmp(name, "LICENSE")) && m->size > (int64_t)GO_MOD_BYTES)
        return fail(z->why, ERR_TOO_BIG, "'%s' has more than %zu bytes", name, GO_MOD_BYTES);
    return OK;
}

static enum archive_step on_member(const struct archive_member *m, void *arg)
{
    struct zip *z = arg;
    const char *name = "";

    z->err = member_check(z, m, &name);
    if (z->err)
        return ARCHIVE_STOP;
    if (strcmp(name, "go.mod") || !m->file)
        return ARCHIVE_SKIP;
    z->has_mod = true;
    buf_clear(z->mod);
    return ARCHIVE_READ;
}

static enum err on_data(const struct archive_member *m, const void *data, size_t size, void *arg,
                        struct why *why)
{
    struct zip *z = arg;

    (void)m;
    return size && buf_add(z->mod, data, size) ? fail(why, ERR_TOO_BIG, "go.mod is too large") : OK;
}

static int by_fold(const void *x, const void *y)
{
    const struct name *a = x, *b = y;
    int order = strcmp(a->folded, b->folded);

    return order ? order : strcmp(a->path, b->path);
}

static enum err collisions_check(struct zip *z)
{
    if (z->count)
        qsort(z->names, z->count, sizeof *z->names, by_fold);
    for (unsigned i = 1; i < z->count; i++) {
        const struct name *a = &z->names[i - 1], *b = &z->names[i];
        if (strcmp(a->folded, b->folded))
            continue;
        if (!strcmp(a->path, b->path) && a->folder != b->folder)
            return fail(z->why, ERR_BAD_REQUEST, "'%.150s' is a file and a folder", a->path);
        if (!a->folder || strcmp(a->path, b->path))
            return fail(z->why, ERR_BAD_REQUEST, "'%.120s' and '%.120s' are the same name on some systems",
                        a->path, b->path);
    }
    return OK;
}

static enum err mod_check(struct zip *z, const char *version)
{
    const char *said;

    if (!z->has_mod) {
        buf_clear(z->mod);
        return buf_printf(z->mod, "module %s\n", z->module);
    }
    if (strstr(version, "+incompatible"))
        return fail(z->why, ERR_BAD_REQUEST, "a module with a go.mod has no +incompatible versions");
    said = strlen(z->mod->data) == z->mod->length ? go_mod_module(&z->arena, z->mod->data) : NULL;
    if (!said || strcmp(said, z->module))
        return fail(z->why, ERR_BAD_REQUEST, "go.mod says 'module %.150s', not '%.150s'", said ? said : "",
                    z->module);
    return OK;
}

enum err go_zip_check(int fd, const char *module, const char *version, struct buf *ret_mod, struct why *why)
{
    struct archive_limits limits = { .unpacked_bytes = (int64_t)GO_ZIP_BYTES };
    struct zip z = { .module = module, .mod = ret_mod, .why = why };
    struct archive_visit visit = { on_member, on_data, &z };
    enum err e;

    arena_init(&z.arena);
    z.prefix = arena_printf(&z.arena, "%s@%s/", module, version);
    e = archive_walk(fd, ARCHIVE_ZIP, &limits, &visit, why);
    if (z.err)
        e = z.err;
    if (!e && !z.count)
        e = fail(why, ERR_BAD_REQUEST, "the zip file is empty");
    if (!e)
        e = collisions_check(&z);
    if (!e)
        e = mod_check(&z, version);
    free(z.names);
    arena_release(&z.arena);
    return e;
}
