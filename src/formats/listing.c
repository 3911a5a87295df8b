/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/listing.c: what is in a folder: HTML for people, JSON for programs, else one path a line.
 * Paged with ?limit= (1000 by default and at most) and ?after=, the last name of the page before, with its
 * slash if it is a folder; a Link header (RFC 8288) leads to the next page. */
#include <stdlib.h>
#include <string.h>

#include "pantera/api.h"
#include "pantera/buf.h"
#include "pantera/clock.h"
#include "pantera/limits.h"
#include "pantera/text.h"
#include "src/formats/listing.h"

enum { LISTING_LIMIT = 1000 };
#define LISTING_BYTES MIB(8) /* 1000 names at their longest, escaped and doubled, stay below */

struct listing {
    struct http_request *req;
    const struct repo *repo;
    const char *folder;
    struct registry_entry *entries;
    unsigned count;
    bool more;
    const char *after;           /* of the next page; NULL: none */
};

static const char *child_path(const struct listing *l, const struct registry_entry *e)
{
    return *l->folder ? arena_printf(&l->req->arena, "%s/%s", l->folder, e->name) : e->name;
}

static void put_escaped(struct buf *b, const char *s)
{
    for (; *s; s++) {
        switch (*s) {
        case '&': (void)buf_puts(b, "&amp;"); break;
        case '<': (void)buf_puts(b, "&lt;"); break;
        case '>': (void)buf_puts(b, "&gt;"); break;
        case '"': (void)buf_puts(b, "&quot;"); break;
        case '\'': (void)buf_puts(b, "&#39;"); break;
        default: (void)buf_add(b, s, 1);
        }
    }
}

/* Links are relative to the folder's path with its slash; "./" keeps a name with ':' from being a scheme.
 * Without the slash they begin at the last segment of what was asked for. */
static const char *link_base(const struct listing *l)
{
    const char *target = l->req->target, *slash = strrchr(target, '/');

    return slash && slash[1] ? arena_printf(&l->req->arena, "./%s/", slash + 1) : "./";
}

static void put_html(const struct listing *l, struct buf *b)
{
    const char *base = link_base(l);
    char time[32];

    (void)buf_puts(b, "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>");
    put_escaped(b, l->repo->name);
    (void)buf_puts(b, "/");
    put_escaped(b, l->folder);
    (void)buf_puts(b, "</title></head><body>\n<h1>");
    put_escaped(b, l->repo->name);
    (void)buf_puts(b, "/");
    put_escaped(b, l->folder);
    (void)buf_puts(b, "</h1>\n<table>\n");
    if (*l->folder)
        (void)buf_printf(b, "<tr><td><a href=\"%s\">../</a></td></tr>\n",
                         strcmp(base, "./") ? "./" : "../");
    for (unsigned i = 0; i < l->count; i++) {
        const struct registry_entry *e = &l->entries[i];
        (void)buf_puts(b, "<tr><td><a href=\"");
        put_escaped(b, base);
        (void)buf_puts(b, percent_encode(&l->req->arena, e->name, false));
        (void)buf_printf(b, "%s\">", e->directory ? "/" : "");
        put_escaped(b, e->name);
        (void)buf_printf(b, "%s</a></td>", e->directory ? "/" : "");
        if (!e->directory)
            (void)buf_printf(b, "<td align=\"right\">%lld</td><td>%s</td>", (long long)e->size,
                             clock_rfc3339(e->modified_ms, time));
        (void)buf_puts(b, "</tr>\n");
    }
    (void)buf_puts(b, "</table>\n");
    if (l->after) {
        (void)buf_puts(b, "<p><a href=\"?after=");
        (void)buf_puts(b, percent_encode(&l->req->arena, l->after, false));
        (void)buf_puts(b, "\">more</a></p>\n");
    }
    (void)buf_puts(b, "</body></html>\n");
}

static void put_json(const struct listing *l, struct buf *b)
{
    json_t *list = json_array();
    char time[32], *text;

    for (unsigned i = 0; i < l->count; i++) {
        const struct registry_entry *e = &l->entries[i];
        json_t *item = json_pack("{s:s, s:s, s:s}", "name", e->name, "path", child_path(l, e),
                                 "type", e->directory ? "directory" : "file");
        if (item && !e->directory) {
            json_object_set_new(item, "size", json_integer(e->size));
            json_object_set_new(item, "modified", json_string(clock_rfc3339(e->modified_ms, time)));
        }
        json_array_append_new(list, item);
    }
    text = json_dumps(list, JSON_COMPACT);
    (void)buf_puts(b, text ? text : "[]");
    free(text);
    json_decref(list);
}

static void put_text(const struct listing *l, struct buf *b)
{
    for (unsigned i = 0; i < l->count; i++) {
        (void)buf_puts(b, child_path(l, &l->entries[i]));
        (void)buf_puts(b, l->entries[i].directory ? "/\n" : "\n");
    }
}

/* RFC 9110 §12.5.1, as far as three types go: the first one that is named wins; wildcards say nothing that
 * the default would not. */
static const char *choose(const char *accept)
{
    const char *html = accept ? strstr(accept, "text/html") : NULL;
    const char *json = accept ? strstr(accept, "application/json") : NULL;
    const char *text = accept ? strstr(accept, "text/plain") : NULL;

    if (html && (!json || html < json) && (!text || html < text))
        return "text/html; charset=utf-8";
    if (json && (!text || json < text))
        return "application/json";
    return "text/plain; charset=utf-8";
}

static void listing_reply(const struct listing *l)
{
    const char *type = choose(http_header(l->req, "accept"));
    struct buf b;

    buf_init(&b, LISTING_BYTES);
    if (type[5] == 'h')
        put_html(l, &b);
    else if (type[0] == 'a')
        put_json(l, &b);
    else
        put_text(l, &b);
    http_set_header(l->req, "Vary", "Accept");
    http_set_header(l->req, "X-Content-Type-Options", "nosniff");
    if (l->after)
        http_set_header(l->req, "Link",
                        arena_printf(&l->req->arena, "<?after=%s&limit=%u>; rel=\"next\"",
                                     percent_encode(&l->req->arena, l->after, false), l->count));
    if (buf_err(&b))
        api_fail(l->req, ERR_TOO_BIG, NULL);
    else
        http_reply(l->req, 200, type, b.data, b.length);
    buf_free(&b);
}

/* Generated documents live below names that begin with a dot. Of a file repository such names are its
 * users'. */
static void hide(struct listing *l)
{
    unsigned kept = 0;

    if (*l->folder || !strcmp(l->repo->format, "file"))
        return;
    for (unsigned i = 0; i < l->count; i++)
        if (l->entries[i].name[0] != '.')
            l->entries[kept++] = l->entries[i];
    l->count = kept;
}

bool format_listing(struct http_request *req, const struct repo *repo, const char *folder)
{
    struct listing l = { .req = req, .repo = repo, .folder = folder };
    struct worker *w = worker_of(req);
    const char *after = query_get(&req->arena, req->query, "after");
    const char *limit_text = query_get(&req->arena, req->query, "limit");
    long limit = limit_text ? strtol(limit_text, NULL, 10) : LISTING_LIMIT;
    enum err e;

    if (limit < 1 || limit > LISTING_LIMIT)
        limit = LISTING_LIMIT;
    if (after && (!*after || strlen(after) > LIMIT_PATH))
        after = NULL;
    e = registry_list(w->registry, &req->arena, repo, folder, after, (unsigned)limit, &l.entries,
                      &l.count, &l.more);
    if (!cluster_current(w->cluster)) {
        api_fail(req, ERR_NOT_CURRENT, NULL);
        return true;
    }
    if (e)
        return false;
    if (l.more && l.count) {
        const struct registry_entry *last = &l.entries[l.count - 1];
        l.after = last->directory ? arena_printf(&req->arena, "%s/", last->name) : last->name;
    }
    hide(&l);
    listing_reply(&l);
    return true;
}
