/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/npm/tarball.c: what a tarball holds: its package.json, how much it unpacks to, and the two
 * files that change how it is installed. All of it is looked at, so that what can't be unpacked is refused
 * now. */
#include <string.h>

#include "pantera/archive.h"
#include "pantera/limits.h"
#include "src/formats/npm/npm.h"

#define MANIFEST_LIMIT MIB(4)

struct look {
    struct npm_tarball *t;
    struct buf manifest;
    bool found;                  /* package.json */
};

/* npm strips the first folder, whatever it is called. */
static const char *below_root(const char *path)
{
    const char *slash = strchr(path, '/');

    return slash ? slash + 1 : "";
}

static enum archive_step on_member(const struct archive_member *m, void *arg)
{
    struct look *l = arg;
    const char *path = below_root(m->path);

    if (!m->file)
        return ARCHIVE_SKIP;
    l->t->file_count++;
    l->t->unpacked_bytes += m->size > 0 ? m->size : 0;
    l->t->shrinkwrap = l->t->shrinkwrap || !strcmp(path, "npm-shrinkwrap.json");
    l->t->gyp = l->t->gyp || !strcmp(path, "binding.gyp");
    if (strcmp(path, "package.json"))
        return ARCHIVE_SKIP;
    /* Of several with that name the last is what an installation ends up with. */
    buf_clear(&l->manifest);
    l->found = true;
    return ARCHIVE_READ;
}

static enum err on_data(const struct archive_member *m, const void *data, size_t size, void *arg,
                        struct why *why)
{
    struct look *l = arg;

    if (data && buf_add(&l->manifest, data, size))
        return fail(why, ERR_TOO_BIG, "package.json is larger than %zu bytes", MANIFEST_LIMIT);
    return OK;
}

enum err npm_tarball_read(int fd, struct npm_tarball *ret, struct why *why)
{
    struct look l = { .t = ret };
    const struct archive_visit visit = { on_member, on_data, &l };
    const char *text;
    enum err e;

    *ret = (struct npm_tarball){ 0 };
    buf_init(&l.manifest, MANIFEST_LIMIT);
    e = archive_walk(fd, ARCHIVE_TAR, NULL, &visit, why);
    if (!e && !l.found)
        e = fail(why, ERR_BAD_REQUEST, "the tarball holds no package.json");
    text = l.manifest.data;
    if (!e) {
        size_t mark = l.manifest.length >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0;
        ret->manifest = json_loadb(text ? text + mark : "", l.manifest.length - mark, 0, NULL);
        if (!json_is_object(ret->manifest))
            e = fail(why, ERR_BAD_REQUEST, "the tarball's package.json is not a JSON object");
    }
    buf_free(&l.manifest);
    if (e) {
        json_decref(ret->manifest);
        ret->manifest = NULL;
    }
    return e;
}
