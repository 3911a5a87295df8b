/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/pypi/root.c: the list of all projects: of a hosted repository what was uploaded, of a proxy
 * what is cached, of a group its members', each name once. It is whole, as the simple API wants it, and
 * written in pieces: a page of names at a time, the next one when this one has left. */
#include <stdio.h>
#include <string.h>

#include "pantera/buf.h"
#include "pantera/document.h"
#include "src/formats/pypi/names.h"
#include "src/formats/pypi/page.h"
#include "src/formats/pypi/pypi.h"

/* NAMES: read at once, a folder of a repository each. */
enum { NAMES = 250, MEMBERS = 64, DEPTH = 8 };

struct root {
    struct http_request *req;
    const char *members[MEMBERS]; /* repositories with folders of their own */
    int64_t ids[MEMBERS];
    unsigned member_count, member; /* member: whose turn it is */
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

static const struct repo *member_of(const struct root *r, unsigned i)
{
    const struct repo *repo = registry_repo(worker_of(r->req)->registry, r->members[i]);

    return repo && repo->id == r->ids[i] ? repo : NULL;
}

/* A member before has it, too. */
static bool named_before(const struct root *r, struct arena *a, const char *name)
{
    struct registry *registry = worker_of(r->req)->registry;
    struct registry_entry *entries;
    unsigned count;
    bool more;

    for (unsigned i = 0; i < r->member; i++) {
        const struct repo *repo = member_of(r, i);
        if (repo && !registry_list(registry, a, repo, name, NULL, 1, &entries, &count, &more))
            return true;
    }
    return false;
}

static void read_member(struct root *r, struct arena *a, const struct repo *repo)
{
    struct registry_entry *entries;
    unsigned count = 0;

    r->more = false;
    if (registry_list(worker_of(r->req)->registry, a, repo, "", *r->after ? r->after : NULL, NAMES, &entries,
                      &count, &r->more))
        return;
    for (unsigned i = 0; i < count; i++)
        if (entries[i].directory && entries[i].name[0] != '.' && !named_before(r, a, entries[i].name))
            put_name(r, entries[i].name);
    r->more = r->more && count;
    if (r->more)
        (void)snprintf(r->after, sizeof r->after, "%s%s", entries[count - 1].name,
                       entries[count - 1].directory ? "/" : "");
}

/* False: this node can't say any more what is true. */
static bool read_more(struct root *r)
{
    const struct repo *repo = r->member < r->member_count ? member_of(r, r->member) : NULL;
    struct arena a;

    arena_init(&a);
    r->more = false;
    if (repo)
        read_member(r, &a, repo);
    if (!r->more && r->member < r->member_count) {
        r->after[0] = 0;
        r->more = ++r->member < r->member_count;
    }
    arena_release(&a);
    return cluster_current(worker_of(r->req)->cluster);
}

/* Groups in groups lie flat here. */
static void add_members(struct root *r, const struct repo *repo, unsigned depth)
{
    const json_t *list = json_object_get(json_object_get(repo->config, "repo"), "members"), *name;
    struct registry *registry = worker_of(r->req)->registry;
    size_t i;

    if (repository_kind(repo) != REPO_GROUP) {
        for (unsigned k = 0; k < r->member_count; k++)
            if (r->ids[k] == repo->id)
                return;
        if (r->member_count == MEMBERS)
            return;
        r->members[r->member_count] = arena_strdup(&r->req->arena, repo->name);
        r->ids[r->member_count++] = repo->id;
        return;
    }
    json_array_foreach ((json_t *)list, i, name) {
        const struct repo *member = registry_repo(registry, json_string_value(name));
        if (member && depth)
            add_members(r, member, depth - 1);
    }
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
    add_members(r, repo, DEPTH);
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
