/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/maven/path.c: what a path of a Maven 2 repository says. Whatever does not fit the layout is a
 * file like any other; nothing is refused here. */
#include "src/formats/maven/path.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "src/formats/maven/version.h"

static const struct {
    const char *suffix;
    enum digest_kind kind;
} suffixes[] = {
    { ".md5", DIGEST_MD5 }, { ".sha1", DIGEST_SHA1 }, { ".sha256", DIGEST_SHA256 }, { ".sha512",
      DIGEST_SHA512 },
};
enum { SUFFIXES = sizeof suffixes / sizeof *suffixes };

const char *maven_suffix(enum digest_kind kind)
{
    for (unsigned i = 0; i < SUFFIXES; i++)
        if (suffixes[i].kind == kind)
            return suffixes[i].suffix;
    return "";
}

const void *maven_digest(const struct digest_values *d, enum digest_kind kind, size_t *ret_size)
{
    switch (kind) {
    case DIGEST_MD5: *ret_size = sizeof d->md5; return d->md5;
    case DIGEST_SHA1: *ret_size = sizeof d->sha1; return d->sha1;
    case DIGEST_SHA512: *ret_size = sizeof d->sha512; return d->sha512;
    default: *ret_size = sizeof d->sha256; return d->sha256;
    }
}

const char *maven_base(const char *folder)
{
    const char *slash = strrchr(folder, '/');

    return slash ? slash + 1 : folder;
}

const char *maven_parent(struct arena *a, const char *folder)
{
    const char *slash = strrchr(folder, '/');

    return slash ? arena_strndup(a, folder, (size_t)(slash - folder)) : "";
}

static const char *exchange(struct arena *a, const char *text, char from, char to)
{
    char *copy = arena_strdup(a, text);

    for (char *c = copy; *c; c++)
        if (*c == from)
            *c = to;
    return copy;
}

const char *maven_slashes(struct arena *a, const char *group)
{
    return exchange(a, group, '.', '/');
}

const char *maven_dots(struct arena *a, const char *folder)
{
    return exchange(a, folder, '/', '.');
}

const char *maven_package(struct arena *a, const struct maven_path *p)
{
    return p->artifact ? arena_printf(a, "%s.%s", p->group, p->artifact) : NULL;
}

static bool is_snapshot_folder(const char *folder)
{
    const char *base = maven_base(folder);

    return maven_version_is_snapshot(base) && strlen(base) > strlen("SNAPSHOT");
}

/* Of what is no artifact, its place tells: GROUP/ARTIFACT/VERSION/FILE, GROUP/ARTIFACT/maven-metadata.xml. */
const char *maven_coordinates(struct arena *a, const struct maven_path *p)
{
    const char *folder = p->folder, *group;

    if (p->artifact)
        return arena_printf(a, "%s:%s", p->group, p->artifact);
    if (p->kind != MAVEN_METADATA || is_snapshot_folder(folder))
        folder = maven_parent(a, folder);
    group = maven_parent(a, folder);
    return *group ? arena_printf(a, "%s:%s", maven_dots(a, group), maven_base(folder)) : NULL;
}

/* --- coordinates --- */

/* "20260102.030405-6" at the beginning of `text`: how long it is; 0: it is not there. */
static size_t stamp_length(const char *text)
{
    size_t digits;

    if (strspn(text, "0123456789") != 8 || text[8] != '.' || strspn(text + 9, "0123456789") != 6 ||
        text[15] != '-')
        return 0;
    digits = strspn(text + 16, "0123456789");
    return digits && digits < 10 ? 16 + digits : 0;
}

/* What follows the version: "-classifier.ext" or ".ext". Of an extension only its last part is sure, for a
 * classifier may hold dots ("linux-x86_64-2.12"): but a signature has the extension of what it signs, and a
 * few archives have two. */
static bool read_tail(struct arena *a, const char *tail, struct maven_path *p)
{
    static const char *const doubles[] = { ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tar.Z" };
    const char *end = tail + strlen(tail), *dot;

    if (*tail == '.') {
        p->extension = tail + 1;
        return tail[1] != 0;
    }
    if (*tail != '-')
        return false;
    if (end - tail > 4 && !strcmp(end - 4, ".asc"))
        end -= 4;
    for (dot = end - 1; dot > tail && *dot != '.';)
        dot--;
    for (size_t i = 0; i < sizeof doubles / sizeof *doubles; i++) {
        size_t n = strlen(doubles[i]);
        if ((size_t)(end - tail) > n && !strncmp(end - n, doubles[i], n))
            dot = end - n;
    }
    if (dot <= tail + 1 || !dot[1])
        return false;
    p->classifier = arena_strndup(a, tail + 1, (size_t)(dot - tail - 1));
    p->extension = dot + 1;
    return true;
}

/* `file` begins with "artifact-": the version in it, which a snapshot's folder does not say. */
static bool read_version(struct arena *a, const char *text, struct maven_path *p)
{
    size_t n = strlen(p->version), base = n - strlen("SNAPSHOT"), stamp;

    if (!strncmp(text, p->version, n) && (text[n] == '.' || text[n] == '-')) {
        p->file_version = p->version;
        return read_tail(a, text + n, p);
    }
    if (!p->snapshot || strncmp(text, p->version, base) || !(stamp = stamp_length(text + base)))
        return false;
    p->timestamp = arena_strndup(a, text + base, 15);
    p->build = (unsigned)strtoul(text + base + 16, NULL, 10);
    p->file_version = arena_strndup(a, text, base + stamp);
    return read_tail(a, text + base + stamp, p);
}

static bool read_coordinates(struct arena *a, struct maven_path *p)
{
    const char *outer = maven_parent(a, p->folder), *group = maven_parent(a, outer);
    size_t n;

    p->version = maven_base(p->folder);
    p->artifact = maven_base(outer);
    p->group = maven_dots(a, group);
    n = strlen(p->artifact);
    if (!*p->group || !n || strncmp(p->name, p->artifact, n) || p->name[n] != '-')
        return false;
    p->snapshot = maven_version_is_snapshot(p->version) && strlen(p->version) > strlen("SNAPSHOT");
    return read_version(a, p->name + n + 1, p);
}

void maven_path_parse(struct arena *a, const char *path, struct maven_path *ret)
{
    size_t n = strlen(path);
    struct maven_path found;

    *ret = (struct maven_path){ .file = path };
    for (unsigned i = 0; i < SUFFIXES; i++) {
        size_t m = strlen(suffixes[i].suffix);
        if (n > m && !strcmp(path + n - m, suffixes[i].suffix) && path[n - m - 1] != '/') {
            ret->checksum = suffixes[i].kind;
            ret->file = arena_strndup(a, path, n - m);
        }
    }
    ret->folder = maven_parent(a, ret->file);
    ret->name = maven_base(ret->file);
    if (!strcmp(ret->name, "maven-metadata.xml")) {
        ret->kind = MAVEN_METADATA;
        return;
    }
    found = *ret;
    if (!read_coordinates(a, &found))
        return;
    *ret = found;
    ret->kind = MAVEN_ARTIFACT;
}
