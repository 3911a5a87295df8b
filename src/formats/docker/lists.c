/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/docker/lists.c: tags of an image, and images of all repositories that somebody may pull from;
 * in pages (?n=, ?last=, Link). In the byte order of their paths, with a slash at the end of each. */
#include <stdlib.h>
#include <string.h>

#include "pantera/text.h"
#include "pantera/worker.h"
#include "src/formats/docker/docker.h"

/* ?n=: how many at most. */
static unsigned page_size(struct http_request *req)
{
    const char *text = query_get(&req->arena, req->query, "n");
    char *end;
    long n = text && *text ? strtol(text, &end, 10) : PAGE_LIMIT;

    if (text && *text && (*end || n < 0))
        n = PAGE_LIMIT;
    return n < PAGE_LIMIT ? (unsigned)n : PAGE_LIMIT;
}

/* spec: "A Link header MAY be included in the response when additional tags are available". */
static void set_link(struct http_request *req, const char *url, const char *last, unsigned n)
{
    http_set_header(req, "Link", arena_printf(&req->arena, "<%s?last=%s&n=%u>; rel=\"next\"", url,
                                              percent_encode(&req->arena, last, false), n));
}

void oci_tags(struct oci_call *c, const struct repo *repo)
{
    struct http_request *req = c->req;
    struct registry *registry = worker_of(req)->registry;
    const char *last = query_get(&req->arena, req->query, "last");
    unsigned limit = page_size(req), count = 0;
    struct registry_entry *entries;
    json_t *tags = json_array();
    bool more = false;
    enum err e;

    if (!(req->method & (HTTP_M_GET | HTTP_M_HEAD))) {
        json_decref(tags);
        oci_not_allowed(req, "GET");
        return;
    }
    if (repository_kind(repo) != REPO_LOCAL) {
        json_decref(tags);
        remote_tags(c, repo);
        return;
    }
    if (last && (!*last || strlen(last) > TAG_LIMIT))
        last = NULL;
    e = registry_list(registry, &req->arena, repo, arena_printf(&req->arena, "%s/_tags", c->image), last,
                      limit ? limit : 1, &entries, &count, &more);
    if (e && registry_list(registry, &req->arena, repo, c->image, NULL, 1, &entries, &count, &more)) {
        json_decref(tags);
        oci_fail(req, 404, "NAME_UNKNOWN", "'%.100s' is not known", c->name);
        return;
    }
    for (unsigned i = 0; !e && i < count && i < limit; i++)
        json_array_append_new(tags, json_string(entries[i].name));
    if (!e && more && limit && count)
        set_link(req, arena_printf(&req->arena, "%s/%s/tags/list", c->base, c->name), entries[count - 1].name,
                 limit);
    oci_json(req, "application/json", json_pack("{s:s, s:o}", "name", c->name, "tags", tags));
}

void oci_tags_reply(struct oci_call *c, json_t *all)
{
    struct http_request *req = c->req;
    const char *last = query_get(&req->arena, req->query, "last");
    unsigned limit = page_size(req);
    size_t n = json_array_size(all), i = 0;
    json_t *tags = json_array();

    while (last && i < n && strcmp(json_string_value(json_array_get(all, i)), last) <= 0)
        i++;
    for (; i < n && json_array_size(tags) < limit; i++)
        json_array_append(tags, json_array_get(all, i));
    if (i < n && json_array_size(tags))
        set_link(req, arena_printf(&req->arena, "%s/%s/tags/list", c->base, c->name),
                 json_string_value(json_array_get(all, i - 1)), limit);
    json_decref(all);
    oci_json(req, "application/json", json_pack("{s:s, s:o}", "name", c->name, "tags", tags));
}

/* --- _catalog --- */

/* Folders that hold no images can't make a page cost more than this. */
enum { LOOKS_LIMIT = 20000, NAMES_AT_ONCE = 200, DEPTH_LIMIT = 130 };

struct catalog {
    struct http_request *req;
    struct registry *registry;
    const char *last;            /* "repository/image"; or NULL */
    unsigned limit, looks, depth;
    json_t *names;
    bool full;                   /* there are more */
    struct principal user;
    bool all;                    /* of the repository that is walked: also what may not be pulled */
};

/* Is `name` (a repository, or with an image) behind ?last=, in the order of names with a slash at the end? */
static int behind(const struct catalog *k, const char *name)
{
    const char *a = name, *b = k->last;

    if (!b)
        return 1;
    while (*a && *a == *b)
        a++, b++;
    int left = *a ? (unsigned char)*a : '/', right = *b ? (unsigned char)*b : '/';
    return left != right ? left - right : *a ? 1 : *b ? -1 : 0;
}

static void catalog_add(struct catalog *k, const struct repo *repo, const char *image)
{
    const char *name = arena_printf(&k->req->arena, "%s/%s", repo->name, image);

    if (behind(k, name) <= 0 || (!k->all && !may_image(&k->user, repo->name, image, IMAGE_PULL)))
        return;
    if (json_array_size(k->names) >= k->limit)
        k->full = true;
    else
        json_array_append_new(k->names, json_string(name));
}

static void catalog_walk(struct catalog *k, const struct repo *repo, const char *folder);

static void catalog_child(struct catalog *k, const struct repo *repo, const char *folder,
                          const struct registry_entry *e)
{
    const char *child = *folder ? arena_printf(&k->req->arena, "%s/%s", folder, e->name) : e->name;

    if (!e->directory || *e->name == '_' || *e->name == '.')
        return;
    k->depth++;
    if (k->depth < DEPTH_LIMIT)
        catalog_walk(k, repo, child);
    k->depth--;
}

/* Is there a manifest of that image? */
static bool is_image(struct catalog *k, const struct repo *repo, const char *folder)
{
    struct registry_entry *entries;
    unsigned count;
    bool more;

    return !registry_list(k->registry, &k->req->arena, repo,
                          arena_printf(&k->req->arena, "%s/_manifests", folder), NULL, 1, &entries, &count,
                              &more);
}

static void catalog_walk(struct catalog *k, const struct repo *repo, const char *folder)
{
    struct registry_entry *entries;
    const char *after = NULL;
    unsigned count;
    bool more = true;

    if (*folder && is_image(k, repo, folder))
        catalog_add(k, repo, folder);
    while (more && !k->full && k->looks++ < LOOKS_LIMIT) {
        if (registry_list(k->registry, &k->req->arena, repo, folder, after, NAMES_AT_ONCE, &entries, &count,
                          &more))
            return;
        for (unsigned i = 0; i < count && !k->full; i++)
            catalog_child(k, repo, folder, &entries[i]);
        if (count)
            after = entries[count - 1].directory
                        ? arena_printf(&k->req->arena, "%s/", entries[count - 1].name)
                        : entries[count - 1].name;
    }
}

void oci_names_add(struct oci_names *n, const char *name)
{
    if (n->count == n->room) {
        const char **more = arena_alloc(n->arena, (n->room ? 2 * n->room : 64) * sizeof *more);
        if (n->room)
            memcpy(more, n->list, n->room * sizeof *more);
        n->list = more;
        n->room = n->room ? 2 * n->room : 64;
    }
    n->list[n->count++] = arena_strdup(n->arena, name);
}

static void on_repo(const char *name, const char *type, void *arg)
{
    if (!strncmp(type, "docker", 6))
        oci_names_add(arg, name);
}

static int by_path(const void *left, const void *right)
{
    struct catalog k = { .last = *(const char *const *)right };

    return behind(&k, *(const char *const *)left);
}

void oci_catalog(struct http_request *req, const char *base)
{
    struct catalog k = { .req = req, .registry = worker_of(req)->registry };
    struct oci_names names = { .arena = &req->arena };

    if (!(req->method & (HTTP_M_GET | HTTP_M_HEAD))) {
        oci_not_allowed(req, "GET");
        return;
    }
    if (((const struct principal *)req->principal)->scope && !may_catalog(req->principal, NULL)) {
        oci_narrow(req, NULL, OCI_PULL);
        return;
    }
    k.user = oci_user(req);
    k.last = query_get(&req->arena, req->query, "last");
    k.last = k.last && *k.last ? k.last : NULL;
    k.limit = page_size(req);
    k.names = json_array();
    registry_each(k.registry, on_repo, &names);
    if (names.count)
        qsort(names.list, names.count, sizeof *names.list, by_path);
    for (unsigned i = 0; i < names.count && !k.full; i++) {
        const struct repo *repo = registry_repo(k.registry, names.list[i]);
        size_t n = strlen(names.list[i]);
        /* All of a repository that ?last= has left behind. */
        if (k.last && behind(&k, names.list[i]) < 0 && (strncmp(k.last, names.list[i], n) ||
                                                        k.last[n] != '/'))
            continue;
        k.all = repo && may_catalog(&k.user, repo->name);
        if (repo && may_see(&k.user, repo->name))
            catalog_walk(&k, repo, "");
    }
    size_t count = json_array_size(k.names);
    if (k.full && k.limit && count)
        set_link(req, arena_printf(&req->arena, "%s/_catalog", base),
                 json_string_value(json_array_get(k.names, count - 1)), k.limit);
    oci_json(req, "application/json", json_pack("{s:o}", "repositories", k.names));
}
