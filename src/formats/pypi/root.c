/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/pypi/root.c: the list of all projects. It is whole, as the simple API wants it, and written
 * in pieces: a page of names at a time, the next one when this one has left. */
#include <stdio.h>
#include <string.h>

#include "pantera/buf.h"
#include "src/formats/pypi/names.h"
#include "src/formats/pypi/page.h"
#include "src/formats/pypi/pypi.h"

enum { NAMES = 1000 }; /* read at once: a folder of the repository each */

struct root {
    struct http_request *req;
    int64_t repo_id;
    const char *repo_name;
    bool json, first, more;
    char after[PYPI_NAME + 64]; /* the last folder, with its slash */
    struct buf out;
};

static void root_free(void *arg)
{
    buf_free(&((struct root *)arg)->out);
}

static void put_name(struct root *r, const char *name)
{
    struct buf *b = &r->out;

    /* A folder that is no project was not made by an upload. */
    if (!pypi_name_valid(name))
        return;
    if (r->json)
        (void)buf_printf(b, "%s{\"name\":\"%s\"}", r->first ? "" : ",", name);
    else
        (void)buf_printf(b, "<a href=\"%s/\">%s</a><br/>\n", name, name);
    r->first = false;
}

/* False: this node can't say any more what is true. */
static bool read_more(struct root *r)
{
    struct worker *w = worker_of(r->req);
    const struct repo *repo = registry_repo(w->registry, r->repo_name);
    struct registry_entry *entries;
    unsigned count = 0;
    struct arena a;

    arena_init(&a);
    r->more = false;
    if (repo && repo->id == r->repo_id &&
        registry_list(w->registry, &a, repo, "", *r->after ? r->after : NULL, NAMES, &entries,
                      &count, &r->more))
        count = 0;
    for (unsigned i = 0; i < count; i++)
        if (entries[i].directory && entries[i].name[0] != '.')
            put_name(r, entries[i].name);
    r->more = r->more && count;
    if (r->more)
        (void)snprintf(r->after, sizeof r->after, "%s%s", entries[count - 1].name,
                       entries[count - 1].directory ? "/" : "");
    arena_release(&a);
    return cluster_current(w->cluster);
}

static void on_sent(struct http_request *req, void *arg)
{
    struct root *r = arg;

    if (!r) {
        http_reply_end(req);
        return;
    }
    buf_clear(&r->out);
    if (r->more && !read_more(r)) {
        http_reply_abort(req);
        return;
    }
    if (!r->out.length && !r->more) {
        const char *end = r->json ? "]}" : "</body>\n</html>\n";
        http_reply_write(req, end, strlen(end), on_sent, NULL);
        return;
    }
    if (!r->out.length)
        (void)buf_puts(&r->out, r->json ? " " : "\n");
    http_reply_write(req, r->out.data, r->out.length, on_sent, r);
}

void pypi_root(struct http_request *req, const struct repo *repo)
{
    const char *variant =
        pypi_variant(http_header(req, "accept"), query_get(&req->arena, req->query, "format"));
    struct root *r = arena_alloc(&req->arena, sizeof *r);

    if (!variant) {
        pypi_fail_text(req, ERR_NOT_ACCEPTABLE,
                       "the index is HTML or JSON of the simple API, version 1");
        return;
    }
    buf_init(&r->out, NAMES * (PYPI_NAME * 2 + 64));
    http_on_end(req, root_free, r);
    r->req = req;
    r->repo_id = repo->id;
    r->repo_name = arena_strdup(&req->arena, repo->name);
    r->json = !strcmp(variant, "json");
    r->first = true;
    (void)buf_puts(&r->out, r->json ? "{\"meta\":{\"api-version\":\"1.4\"},\"projects\":["
                                    : "<!DOCTYPE html>\n<html>\n<head>\n"
                                      "<meta name=\"pypi:repository-version\" content=\"1.4\">\n"
                                      "<title>Simple index</title>\n</head>\n<body>\n");
    if (!read_more(r)) {
        api_fail(req, ERR_NOT_CURRENT, NULL);
        return;
    }
    http_set_header(req, "Vary", "Accept");
    http_set_header(req, "Cache-Control", "no-cache");
    http_reply_begin(req, 200, page_content_type(variant), -1);
    http_reply_write(req, r->out.data, r->out.length, on_sent, r);
}
