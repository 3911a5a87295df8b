/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/url.c: links of an index, made absolute (RFC 3986 §5.2). Pure. */
#include <string.h>

#include "src/registry/source.h"

static size_t scheme_length(const char *url)
{
    size_t n = strspn(url, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");

    return n && url[n] == ':' ? n : 0;
}

/* §5.2.4, of a path that begins with '/'; works on `path`. */
static void remove_dots(char *path)
{
    char *in = path, *out = path;

    while (*in) {
        size_t n = 1 + strcspn(in + 1, "/");
        bool last = !in[n];
        if (n == 2 && in[1] == '.') {
            if (last)
                *out++ = '/';
        } else if (n == 3 && in[1] == '.' && in[2] == '.') {
            while (out > path && *--out != '/')
                ;
            if (last)
                *out++ = '/';
        } else {
            memmove(out, in, n);
            out += n;
        }
        in += n;
    }
    *out = 0;
}

const char *url_resolve(struct arena *a, const char *base, const char *url)
{
    size_t n = scheme_length(base), path;
    char *link = arena_strndup(a, url, strcspn(url, "#")), *whole;
    const char *query;

    if (scheme_length(link) || !n)
        return link;
    if (link[0] == '/' && link[1] == '/')
        return arena_printf(a, "%.*s:%s", (int)n, base, link);
    path = strncmp(base + n, "://", 3) ? n + 1 : n + 3 + strcspn(base + n + 3, "/?#"); /* authority's end */
    base = arena_strndup(a, base, path + strcspn(base + path, "?#"));
    if (!*link)
        return base;
    query = strchr(link, '?');
    query = query ? arena_strdup(a, query) : "";
    link[strcspn(link, "?")] = 0;
    if (*link == '/') {
        whole = arena_strdup(a, link);
    } else if (*link) {
        const char *slash = strrchr(base + path, '/');
        if (slash && slash > base + path)
            whole = arena_printf(a, "%.*s/%s", (int)(slash - (base + path)), base + path, link);
        else
            whole = arena_printf(a, "/%s", link);
    } else {
        whole = arena_strdup(a, base[path] ? base + path : "/");
    }
    remove_dots(whole);
    return arena_printf(a, "%.*s%s%s", (int)path, base, whole, query);
}

/* RFC 8288 §3, as much of it as registries send: <target>; rel="next" */
const char *url_next(struct arena *a, const char *base, const char *link)
{
    const char *at = link, *end, *stop, *rel;

    while (at && (at = strchr(at, '<')) && (end = strchr(at, '>'))) {
        stop = end + strcspn(end, ",");
        rel = strstr(end, "rel=");
        if (rel && rel < stop && !strncmp(rel + 4 + (rel[4] == '"'), "next", 4))
            return url_resolve(a, base, arena_strndup(a, at + 1, (size_t)(end - at - 1)));
        at = stop;
    }
    return NULL;
}
