/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/docker/names.c: names, tags, digests and paths, by the grammar of the spec. Pure. */
#include <string.h>

#include "pantera/text.h"
#include "src/formats/docker/docker.h"

/* --- digests --- */

static const struct {
    const char *name;
    unsigned kind;
    size_t bytes;
} algorithms[] = { { "sha256", DIGEST_SHA256, 32 }, { "sha512", DIGEST_SHA512, 64 } };

bool oci_digest_parse(const char *text, struct oci_digest *ret)
{
    const char *colon = strchr(text, ':');

    for (size_t i = 0; colon && i < sizeof algorithms / sizeof *algorithms; i++) {
        size_t n = strlen(algorithms[i].name);
        if ((size_t)(colon - text) != n || strncmp(text, algorithms[i].name, n))
            continue;
        /* The specification's encoding: lower case only. */
        if (strspn(colon + 1, "0123456789abcdef") != 2 * algorithms[i].bytes ||
            colon[1 + 2 * algorithms[i].bytes])
            return false;
        ret->algorithm = algorithms[i].name;
        ret->kind = algorithms[i].kind;
        memcpy(ret->hex, colon + 1, 2 * algorithms[i].bytes + 1);
        return true;
    }
    return false;
}

struct oci_digest oci_digest_of(const struct digest_values *d, unsigned kind)
{
    struct oci_digest ret = { 0 };

    for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++)
        if (algorithms[i].kind == kind) {
            ret.algorithm = algorithms[i].name;
            ret.kind = kind;
            hex_encode(kind == DIGEST_SHA512 ? d->sha512 : d->sha256, algorithms[i].bytes, ret.hex);
        }
    return ret;
}

struct digest_values oci_digest_values(const struct oci_digest *d)
{
    struct digest_values ret = { .kinds = d->kind };

    (void)hex_decode(d->hex, strlen(d->hex), d->kind == DIGEST_SHA512 ? ret.sha512 : ret.sha256);
    return ret;
}

bool oci_digest_matches(const struct oci_digest *d, const struct digest_values *got)
{
    struct oci_digest have = oci_digest_of(got, d->kind);

    return got->kinds & d->kind && !strcmp(have.hex, d->hex);
}

const char *oci_digest_text(struct arena *a, const struct oci_digest *d)
{
    return arena_printf(a, "%s:%s", d->algorithm, d->hex);
}

/* --- names and tags --- */

static bool is_alnum_lower(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* spec: [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)* */
static bool component_valid(const char *s, size_t n)
{
    size_t i = 0;

    while (i < n) {
        size_t start = i;
        while (i < n && is_alnum_lower(s[i]))
            i++;
        if (i == start)
            return false;
        if (i == n)
            return true;
        start = i;
        if (s[i] == '-') {
            while (i < n && s[i] == '-')
                i++;
        } else if (s[i] == '_') {
            while (i < n && s[i] == '_')
                i++;
            if (i - start > 2)
                return false;
        } else if (s[i] == '.') {
            i++;
        } else {
            return false;
        }
    }
    return false;
}

bool oci_name_valid(const char *name)
{
    if (!*name || strlen(name) > NAME_LIMIT)
        return false;
    for (const char *at = name;;) {
        size_t n = strcspn(at, "/");
        if (!component_valid(at, n))
            return false;
        if (!at[n])
            return true;
        at += n + 1;
    }
}

/* spec: [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127} */
bool oci_tag_valid(const char *tag)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    static const char rest[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t n = strlen(tag);

    return n > 0 && n <= TAG_LIMIT && strchr(first, tag[0]) && strspn(tag, rest) == n;
}

/* --- paths --- */

/* Segments from the end; the last may be empty (a trailing slash). */
enum { TAIL = 3 };

static unsigned tail_of(struct arena *a, const char *path, const char *ret[TAIL], size_t ret_start[TAIL])
{
    size_t end = strlen(path);
    unsigned n = 0;

    while (n < TAIL) {
        size_t start = end;
        while (start > 0 && path[start - 1] != '/')
            start--;
        ret[n] = arena_strndup(a, path + start, end - start);
        ret_start[n++] = start;
        if (start == 0)
            break;
        end = start - 1;
    }
    return n;
}

static const char *image_before(struct arena *a, const char *path, size_t start)
{
    return start > 1 ? arena_strndup(a, path, start - 1) : "";
}

enum oci_what oci_path_parse(struct arena *a, const char *path, const char **ret_image,
                             const char **ret_reference)
{
    const char *t[TAIL] = { "", "", "" };
    size_t start[TAIL] = { 0 };
    unsigned n = tail_of(a, path, t, start);

    *ret_image = *ret_reference = "";
    if (n == TAIL && !strcmp(t[2], "blobs") && !strcmp(t[1], "uploads")) {
        *ret_image = image_before(a, path, start[2]);
        *ret_reference = t[0];
        return *t[0] ? OCI_UPLOAD : OCI_UPLOADS;
    }
    if (n < 2)
        return OCI_NOTHING;
    *ret_image = image_before(a, path, start[1]);
    *ret_reference = t[0];
    if (!strcmp(t[1], "blobs"))
        return !strcmp(t[0], "uploads") ? OCI_UPLOADS : OCI_BLOB;
    if (!strcmp(t[1], "manifests"))
        return OCI_MANIFEST;
    if (!strcmp(t[1], "referrers"))
        return OCI_REFERRERS;
    if (!strcmp(t[1], "tags") && !strcmp(t[0], "list"))
        return OCI_TAGS;
    return OCI_NOTHING;
}

const char *manifest_path(struct arena *a, const char *image, const struct oci_digest *d)
{
    return arena_printf(a, "%s/_manifests/%s/%s", image, d->algorithm, d->hex);
}

const char *blob_path(struct arena *a, const char *image, const struct oci_digest *d)
{
    return arena_printf(a, "%s/_blobs/%s/%s", image, d->algorithm, d->hex);
}

const char *tag_path(struct arena *a, const char *image, const char *tag)
{
    return arena_printf(a, "%s/_tags/%s", image, tag);
}

const char *referrers_path(struct arena *a, const char *image, const struct oci_digest *subject)
{
    return arena_printf(a, ".docker/%s/_referrers/%s/%s", image, subject->algorithm, subject->hex);
}

/* --- ranges --- */

static const char *number(const char *at, int64_t *ret)
{
    int64_t value = 0;

    if (*at < '0' || *at > '9')
        return NULL;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (value > (INT64_MAX - 9) / 10)
            return NULL;
        value = value * 10 + (*at - '0');
    }
    *ret = value;
    return at;
}

bool oci_range_parse(const char *text, int64_t *ret_first, int64_t *ret_last)
{
    const char *at = !strncmp(text, "bytes ", 6) ? text + 6 : text;

    if (!(at = number(at, ret_first)) || *at != '-' || !(at = number(at + 1, ret_last)))
        return false;
    return (!*at || *at == '/') && *ret_last >= *ret_first;
}
