/* SPDX-License-Identifier: Apache-2.0 */
/* The files that HTML listings lead to, folder by folder: ours (with its pages), nginx's, Apache's and
 * whatever else links to its children. Nothing outside of the address that was given is asked for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pantera/limits.h"
#include "pantera/text.h"
#include "src/cli_import.h"

enum { DEPTH = 64, TRIES = 8 };
#define LISTING_BYTES MIB(16)

struct url_folder {
    struct url_folder *next;
    char *path;                  /* decoded, with a slash at the end, or "" */
};

struct url_source {
    struct import_source source;
    struct cli *cli;
    const char *base, *authorization;
    struct url_folder *folders;  /* to be read */
    char **files;                /* of the last listing, decoded paths; sorted */
    size_t count, capacity, at;
    struct url_folder *reading;
};

/* --- links --- */

/* Of what HTML writes in attributes, what listings use. `text` is changed in place. */
static void unescape(char *text)
{
    static const struct {
        const char *name;
        char is;
    } names[] = { { "&amp;", '&' }, { "&lt;", '<' },   { "&gt;", '>' },
                  { "&quot;", '"' }, { "&#39;", '\'' }, { "&#x27;", '\'' } };
    char *out = text;
    while (*text) {
        size_t i = 0, n = sizeof names / sizeof *names;
        while (i < n && strncasecmp(text, names[i].name, strlen(names[i].name)) != 0)
            i++;
        *out++ = i < n ? names[i].is : *text;
        text += i < n ? strlen(names[i].name) : 1;
    }
    *out = '\0';
}

/* What `link` is below `folder`, still encoded; NULL: it is elsewhere. */
static const char *below(const char *link, const char *folder)
{
    const char *host = strstr(folder, "://"), *path = host ? strchr(host + 3, '/') : NULL;
    size_t whole = strlen(folder), own = path ? strlen(path) : 0;
    if (strncasecmp(link, "http://", 7) == 0 || strncasecmp(link, "https://", 8) == 0)
        return strncmp(link, folder, whole) == 0 ? link + whole : NULL;
    if (*link == '/')
        return path && link[1] != '/' && strncmp(link, path, own) == 0 ? link + own : NULL;
    while (strncmp(link, "./", 2) == 0)
        link += 2;
    size_t segment = strcspn(link, "/:");
    return link[segment] == ':' ? NULL : link; /* "mailto:" */
}

static void link_take(char *link, const char *folder, void *arg,
                      void (*each)(void *arg, const char *name, bool directory))
{
    size_t length;
    unescape(link);
    if (strchr(link, '?')) /* Apache's orders of columns, pages */
        return;
    link[strcspn(link, "#")] = '\0';
    const char *child = below(link, folder);
    size_t n = child ? strcspn(child, "/") : 0;
    bool directory = n && child[n] == '/';
    if (!n || (directory && child[n + 1])) /* only direct children: the rest is found on the way */
        return;
    char *name = malloc(n + 1);
    check(name);
    bool good = percent_decode(child, n, name, &length) && strlen(name) == length &&
                !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
    if (good)
        each(arg, name, directory);
    free(name);
}

void import_links(const char *html, const char *folder, void *arg,
                  void (*each)(void *arg, const char *name, bool directory))
{
    while ((html = strcasestr(html, "href"))) {
        html += 4;
        html += strspn(html, " \t\r\n");
        if (*html != '=')
            continue;
        html++;
        html += strspn(html, " \t\r\n");
        const char *end = *html == '"' || *html == '\'' ? strchr(html + 1, *html) : NULL;
        if (!end)
            continue;
        char *link = strndup(html + 1, (size_t)(end - html - 1));
        check(link);
        link_take(link, folder, arg, each);
        free(link);
        html = end;
    }
}

/* --- a listing --- */

static void on_link(void *arg, const char *name, bool directory)
{
    struct url_source *s = arg;
    char *path = NULL;
    check(asprintf(&path, "%s%s%s", s->reading->path, name, directory ? "/" : "") >= 0);
    if (!directory) {
        if (s->count == s->capacity) {
            s->capacity = s->capacity ? 2 * s->capacity : 256;
            s->files = realloc(s->files, s->capacity * sizeof *s->files);
            check(s->files);
        }
        s->files[s->count++] = path;
        return;
    }
    unsigned depth = 0;
    for (const char *p = path; *p; p++)
        depth += *p == '/';
    bool known = depth > DEPTH; /* a server that links in circles */
    for (struct url_folder *f = s->folders; f && !known; f = f->next)
        known = strcmp(f->path, path) == 0; /* the icon's link and the name's */
    if (known) {
        free(path);
        return;
    }
    struct url_folder *f = calloc(1, sizeof *f);
    check(f);
    f->path = path;
    f->next = s->folders;
    s->folders = f;
}

struct fetch {
    struct client_request request;
    struct buf body;
    char *link;                  /* of the answer's Link header */
    volatile bool done;
};

static bool on_data(struct client_request *r, const void *data, size_t size)
{
    buf_add(&container_of(r, struct fetch, request)->body, data, size);
    return true;
}

static void on_fetched(struct client_request *r)
{
    struct fetch *f = container_of(r, struct fetch, request);
    const char *link = client_header(r, "link");
    f->link = link ? strdup(link) : NULL;
    f->done = true;
}

/* RFC 8288: "<?after=x&limit=1000>; rel="next"". A query only: ours. */
static const char *next_page(struct cli *cli, const struct fetch *f, const char *folder)
{
    const char *link = f->link;
    if (!link || strncmp(link, "<?", 2) != 0 || !strstr(link, "rel=\"next\""))
        return NULL;
    return arena_printf(&cli->arena, "%s%.*s", folder, (int)strcspn(link + 1, ">"), link + 1);
}

/* False: an answer that is no listing, or none after all tries; said. Jobs go on meanwhile. */
static bool fetch(struct url_source *s, const char *url, struct fetch *f)
{
    const char *headers[] = { "Accept: text/html", s->authorization, NULL };
    struct why why = { "" };
    for (unsigned tries = 0; tries < TRIES; tries++) {
        free(f->link);
        buf_free(&f->body);
        *f = (struct fetch){ .done = false };
        buf_init(&f->body, LISTING_BYTES);
        f->request = (struct client_request){ .method = "GET", .url = url, .headers = headers,
                                              .on_data = on_data, .on_done = on_fetched,
                                              .total_timeout_ms = 60000, .follow_redirects = false };
        enum err e = client_submit(s->cli->client, &f->request, &why);
        if (!e)
            loop_run_until(&s->cli->loop, &f->done);
        int status = f->request.status;
        if (!e && !f->request.err && status == 200 && !buf_err(&f->body))
            return true;
        if (!e && !f->request.err && status != 503 && status != 429) {
            cli_say("%s: HTTP %d", url, status);
            return false;
        }
        uv_sleep(200u << tries > 5000 ? 5000 : 200u << tries);
    }
    cli_say("%s: %s", url, why_text(&f->request.why, f->request.err ? f->request.err : ERR_UNAVAILABLE));
    return false;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void files_clear(struct url_source *s)
{
    for (size_t i = s->at; i < s->count; i++)
        free(s->files[i]);
    s->count = s->at = 0;
}

static void folder_read(struct url_source *s)
{
    struct cli *cli = s->cli;
    struct url_folder *folder = s->reading = s->folders;
    s->folders = folder->next;
    const char *url = arena_printf(&cli->arena, "%s%s", s->base,
                                   percent_encode(&cli->arena, folder->path, true));
    struct fetch f = { .done = false };
    buf_init(&f.body, LISTING_BYTES);
    files_clear(s);
    for (const char *page = url; page; page = next_page(cli, &f, url)) {
        if (!fetch(s, page, &f)) {
            s->source.failed++;
            break;
        }
        import_links(f.body.data ? f.body.data : "", url, s, on_link);
    }
    if (s->count)
        qsort(s->files, s->count, sizeof *s->files, by_text);
    free(f.link);
    buf_free(&f.body);
    free(folder->path);
    free(folder);
}

/* --- the source --- */

static bool url_next(struct import_source *source, struct import_item *ret)
{
    struct url_source *s = container_of(source, struct url_source, source);
    for (;;) {
        while (s->at < s->count) {
            char *path = s->files[s->at++];
            if (s->at < s->count && strcmp(path, s->files[s->at]) == 0) {
                free(path);
                continue;
            }
            struct arena a;
            arena_init(&a);
            ret->path = path;
            ret->created_ms = -1;
            check(asprintf(&ret->from, "%s%s", s->base, percent_encode(&a, path, true)) >= 0);
            arena_release(&a);
            return true;
        }
        if (!s->folders)
            return false;
        folder_read(s);
    }
}

static void url_close(struct import_source *source)
{
    struct url_source *s = container_of(source, struct url_source, source);
    files_clear(s);
    free(s->files);
    while (s->folders) {
        struct url_folder *f = s->folders;
        s->folders = f->next;
        free(f->path);
        free(f);
    }
    free(s);
}

struct import_source *import_url_open(struct cli *cli, const char *url, const char *authorization)
{
    struct url_source *s = calloc(1, sizeof *s);
    struct url_folder *root = calloc(1, sizeof *root);
    check(s && root);
    size_t n = strlen(url);
    s->source = (struct import_source){ .remote = true, .files = -1, .bytes = -1, .next = url_next,
                                        .close = url_close };
    s->cli = cli;
    s->base = n && url[n - 1] == '/' ? url : arena_printf(&cli->arena, "%s/", url);
    s->authorization = authorization;
    root->path = strdup("");
    check(root->path);
    s->folders = root;
    return &s->source;
}
