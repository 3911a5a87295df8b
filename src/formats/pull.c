/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/pull.c: instructions to get an artifact, from the lines of pull.def. People paste them into
 * shells, and paths are whatever somebody uploaded: a word that is not plain is quoted. */
#include <ctype.h>
#include <string.h>

#include "pantera/buf.h"
#include "pantera/format.h"
#include "pantera/limits.h"
#include "pantera/text.h"

struct coordinates {
    const char *group, *name, *version;  /* or NULL */
};

typedef void reader(struct arena *a, const char *path, struct coordinates *ret);

/* --- what a path says --- */

/* Segments from the end: [0] is the file. */
enum { SEGMENTS = 3 };
static unsigned segments(struct arena *a, const char *path, const char *ret[SEGMENTS], const char **ret_rest)
{
    const char *end = path + strlen(path), *at = end;
    unsigned n = 0;

    while (n < SEGMENTS && end > path) {
        for (at = end; at > path && at[-1] != '/';)
            at--;
        ret[n++] = arena_strndup(a, at, (size_t)(end - at));
        end = at > path ? at - 1 : path;
    }
    *ret_rest = at > path ? arena_strndup(a, path, (size_t)(at - 1 - path)) : "";
    return n;
}

static const char *without(struct arena *a, const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);

    return n > m && !strcmp(text + n - m, suffix) ? arena_strndup(a, text, n - m) : NULL;
}

static void read_none(struct arena *a, const char *path, struct coordinates *ret)
{
    (void)a, (void)path, (void)ret;
}

/* group/as/folders/name/version/name-version.ext */
static void read_maven(struct arena *a, const char *path, struct coordinates *ret)
{
    const char *s[SEGMENTS], *rest;
    char *group;

    if (segments(a, path, s, &rest) < 3 || !*rest)
        return;
    if (strncmp(s[0], s[2], strlen(s[2])) || s[0][strlen(s[2])] != '-')
        return;
    group = arena_strdup(a, rest);
    for (char *c = group; *c; c++)
        if (*c == '/')
            *c = '.';
    *ret = (struct coordinates){ group, s[2], s[1] };
}

/* name/-/file-1.0.tgz, @scope/name/-/name-1.0.tgz */
static void read_npm(struct arena *a, const char *path, struct coordinates *ret)
{
    const char *dash = strstr(path, "/-/"), *name, *slash, *file, *stem;
    size_t n;

    if (!dash || dash == path)
        return;
    name = arena_strndup(a, path, (size_t)(dash - path));
    file = strrchr(dash, '/') + 1;
    slash = strrchr(name, '/');
    n = strlen(slash ? slash + 1 : name);
    stem = without(a, file, ".tgz");
    if (stem && !strncmp(stem, slash ? slash + 1 : name, n) && stem[n] == '-' && stem[n + 1])
        *ret = (struct coordinates){ NULL, name, stem + n + 1 };
}

/* image/manifests/tag, image/manifests/sha256:..., as these are stored (_tags/tag, _manifests/sha256/...), or
 * just the image */
static void read_docker(struct arena *a, const char *path, struct coordinates *ret)
{
    const char *tag = strstr(path, "/_tags/"), *digest = strstr(path, "/_manifests/");
    const char *hex = digest ? strchr(digest + strlen("/_manifests/"), '/') : NULL;

    if (tag || hex) {
        ret->name = arena_strndup(a, path, (size_t)((tag ? tag : digest) - path));
        ret->version = tag ? arena_printf(a, ":%s", tag + strlen("/_tags/"))
                           : arena_printf(a, "@%.*s:%s", (int)(hex - digest - 12), digest + 12, hex + 1);
        return;
    }
    const char *at = strstr(path, "/manifests/"), *reference = at ? at + strlen("/manifests/") : NULL;

    ret->name = at ? arena_strndup(a, path, (size_t)(at - path)) : path;
    ret->version = !at ? ":latest" : arena_printf(a, "%s%s", strchr(reference, ':') ? "@" : ":", reference);
}

/* name/version/file... */
static void read_folders(struct arena *a, const char *path, struct coordinates *ret)
{
    const char *first = strchr(path, '/'), *second = first ? strchr(first + 1, '/') : NULL;

    if (!second)
        return;
    ret->name = arena_strndup(a, path, (size_t)(first - path));
    ret->version = arena_strndup(a, first + 1, (size_t)(second - first - 1));
}

/* any/folder/name-1.2.3.suffix */
static void read_stem(struct arena *a, const char *path, struct coordinates *ret)
{
    static const char *const suffixes[] = { ".tgz", ".tar.gz", ".tar.bz2", ".conda", ".tar", ".gem", ".rpm",
                                            NULL };
    const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path, *stem = NULL, *dash, *end;

    for (unsigned i = 0; !stem && suffixes[i]; i++)
        stem = without(a, file, suffixes[i]);
    if (!stem)
        return;
    dash = strchr(stem, '-');
    while (dash && (dash == stem || !isdigit((unsigned char)dash[1 + (dash[1] == 'v')])))
        dash = strchr(dash + 1, '-');
    if (!dash)
        return;
    ret->name = arena_strndup(a, stem, (size_t)(dash - stem));
    ret->version = dash + 1;
    if (without(a, file, ".conda") || without(a, file, ".tar.bz2")) {
        end = strrchr(dash + 1, '-'); /* the build */
        if (end)
            ret->version = arena_strndup(a, dash + 1, (size_t)(end - dash - 1));
    } else if (without(a, file, ".rpm") && (end = strrchr(dash + 1, '.'))) {
        ret->version = arena_strndup(a, dash + 1, (size_t)(end - dash - 1)); /* the architecture goes */
    }
}

/* "!a" is 'A' (GOPROXY protocol). */
static const char *go_decoded(struct arena *a, const char *from, size_t length)
{
    char *text = arena_strndup(a, from, length), *to = text;

    for (const char *c = text; *c; c++)
        *to++ = *c == '!' && c[1] ? (char)toupper((unsigned char)*++c) : *c;
    *to = 0;
    return text;
}

/* module/path/@v/v1.2.3.zip */
static void read_go(struct arena *a, const char *path, struct coordinates *ret)
{
    const char *at = strstr(path, "/@v/"), *dot = at ? strrchr(at, '.') : NULL;

    if (!at || at == path || !dot || dot <= at + 4)
        return;
    ret->name = go_decoded(a, path, (size_t)(at - path));
    ret->version = go_decoded(a, at + 4, (size_t)(dot - at - 4));
}

/* [artifacts/]vendor/package/.../package-1.2.3.zip */
static void read_composer(struct arena *a, const char *path, struct coordinates *ret)
{
    const char *first, *second, *file, *stem;
    struct coordinates found = { 0 };

    path += !strncmp(path, "artifacts/", 10) ? 10 : 0;
    first = strchr(path, '/');
    second = first ? strchr(first + 1, '/') : NULL;
    if (!second)
        return;
    file = strrchr(path, '/') + 1;
    stem = without(a, file, ".zip");
    read_stem(a, stem ? arena_printf(a, "%s.tgz", stem) : file, &found);
    if (!found.version)
        return;
    ret->name = arena_strndup(a, path, (size_t)(second - path));
    ret->version = found.version;
}

/* any/folder/name_version_arch.deb */
static void read_deb(struct arena *a, const char *path, struct coordinates *ret)
{
    const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
    const char *first = strchr(file, '_'), *second = first ? strchr(first + 1, '_') : NULL;

    if (!second)
        return;
    ret->name = arena_strndup(a, file, (size_t)(first - file));
    ret->version = arena_strndup(a, first + 1, (size_t)(second - first - 1));
}

/* --- lines --- */

static const struct {
    const char *format;
    reader *read;
    const char *lines;
} rows[] = {
#define PULL(format, reader, lines) { #format, read_##reader, lines },
#include "src/formats/pull.def"
#undef PULL
};
enum { ROWS = sizeof rows / sizeof *rows };

struct pull {
    struct arena *arena;
    const struct pull_place *place;
    const char *repo, *path;
    struct coordinates at;
};

/* What stands for {name}; NULL: this path has none. */
static const char *value_of(const struct pull *p, const char *name, size_t length)
{
    struct arena *a = p->arena;
    const char *repo = percent_encode(a, p->repo, false);
    const struct { const char *name, *value; } values[] = {
        { "url", arena_printf(a, "%s/%s/%s", p->place->url, repo, percent_encode(a, p->path, true)) },
        { "repo_url", arena_printf(a, "%s/%s", p->place->url, repo) },
        { "host", p->place->host }, { "repo", p->repo }, { "group", p->at.group },
        { "name", p->at.name }, { "version", p->at.version },
    };

    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (strlen(values[i].name) == length && !strncmp(values[i].name, name, length))
            return values[i].value && *values[i].value ? values[i].value : NULL;
    return NULL;
}

/* In single quotes, unless a shell takes it as it is. */
static void quote(struct buf *line, const char *word)
{
    bool plain = true;

    for (const char *c = word; *c; c++)
        plain = plain && (isalnum((unsigned char)*c) || strchr("@%+=:,./_-", *c));
    if (plain) {
        (void)buf_puts(line, word);
        return;
    }
    (void)buf_puts(line, "'");
    for (const char *c = word; *c; c++)
        (void)(*c == '\'' ? buf_puts(line, "'\\''") : buf_add(line, c, 1));
    (void)buf_puts(line, "'");
}

/* One word of a line, filled in. False: the path lacks what it names. */
static bool word_fill(const struct pull *p, const char *from, size_t length, struct buf *word)
{
    for (size_t i = 0; i < length; i++) {
        const char *close = from[i] == '{' ? memchr(from + i, '}', length - i) : NULL;
        const char *value = close ? value_of(p, from + i + 1, (size_t)(close - from) - i - 1) : NULL;
        if (!close) {
            (void)buf_add(word, from + i, 1);
            continue;
        }
        /* What begins like an option would be taken for one. */
        if (!value || (i == 0 && *value == '-'))
            return false;
        (void)buf_puts(word, value);
        i = (size_t)(close - from);
    }
    return true;
}

/* NULL: it is left out. */
static const char *line_fill(const struct pull *p, const char *from, size_t length)
{
    const char *text = NULL;
    struct buf line, word;
    bool good = true;

    buf_init(&line, KIB(64));
    buf_init(&word, KIB(32));
    while (good && length) {
        const char *blank = memchr(from, ' ', length);
        size_t n = blank ? (size_t)(blank - from) : length, step = blank ? n + 1 : n;
        buf_clear(&word);
        good = word_fill(p, from, n, &word) && !buf_err(&word);
        if (good && line.length)
            (void)buf_puts(&line, " ");
        if (good)
            quote(&line, word.data);
        from += step;
        length -= step;
    }
    if (good && !buf_err(&line))
        text = arena_strndup(p->arena, line.data, line.length);
    buf_free(&word);
    buf_free(&line);
    return text;
}

unsigned format_pull(struct arena *a, const char *format, const struct pull_place *place,
                     const char *repo, const char *path, const char *ret[PULL_LINES])
{
    struct pull p = { .arena = a, .place = place, .repo = repo, .path = path };
    unsigned n = 0, row = 0;

    while (row < ROWS && strcmp(rows[row].format, format))
        row++;
    row = row == ROWS ? 0 : row;
    rows[row].read(a, path, &p.at);
    for (const char *line = rows[row].lines; *line;) {
        size_t length = strcspn(line, "\n");
        const char *text = n < PULL_LINES ? line_fill(&p, line, length) : NULL;
        if (text)
            ret[n++] = text;
        line += length + (line[length] == '\n');
    }
    return n || row == 0 ? n : format_pull(a, rows[0].format, place, repo, path, ret);
}
