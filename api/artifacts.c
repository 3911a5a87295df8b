/* SPDX-License-Identifier: Apache-2.0 */
/* api/artifacts.c: what is in a repository (seed 000, "Artifact Operations"): tree, detail, instructions,
 * deletion. Bytes are downloads.c's. Whoever may not read a repository gets the same answer whether it
 * exists or not. */
#include "api/artifacts.h"

#include <stdlib.h>
#include <string.h>

#include "api/internal.h"
#include "api/repositories.h"
#include "pantera/clock.h"
#include "pantera/document.h"
#include "pantera/format.h"
#include "pantera/meta_artifact.h"
#include "pantera/text.h"

enum { TREE_LIMIT = 1000 };

/* --- the two questions that every endpoint begins with --- */

const struct repo *artifacts_repo(struct http_request *req, enum repo_action action)
{
    const char *name = req->params[0];
    const struct repo *repo;
    struct why why;

    if (!may_repo(principal_of(req), name, action)) {
        api_refuse(req, fail(&why, ERR_FORBIDDEN, "Insufficient permissions"), &why);
        return NULL;
    }
    repo = registry_repo(worker_of(req)->registry, name);
    if (!repo)
        api_refuse(req, fail(&why, ERR_NOT_FOUND, "Repository '%.200s' not found", name), &why);
    return repo;
}

/* Encoded again, so that it is judged where every path is. */
const char *artifacts_path(struct http_request *req, const char *text, enum artifacts_path_kind kind)
{
    struct arena *a = &req->arena;
    struct why why = { "" };
    char *path;
    size_t n;

    if (!text || (kind != PATH_ROOT_TOO && !*text)) {
        api_fail_text(req, ERR_BAD_REQUEST, "'path' is required");
        return NULL;
    }
    text = percent_encode(a, *text == '/' ? text + 1 : text, true);
    text = arena_printf(a, "/%s", text);
    if (path_normalise(a, text, strlen(text), &path, &why)) {
        api_fail(req, ERR_BAD_REQUEST, &why);
        return NULL;
    }
    n = strlen(path);
    if (n > 1 && path[n - 1] == '/') {
        path[n - 1] = 0;
        if (kind == PATH_FILE)
            n = 0;
    }
    if ((kind != PATH_ROOT_TOO && !path[1]) || !n) {
        api_fail_text(req, ERR_BAD_REQUEST, "'path' must name %s", kind == PATH_FILE ? "a file" : "a folder");
        return NULL;
    }
    return path + 1;
}

const char *artifacts_query_path(struct http_request *req, enum artifacts_path_kind kind)
{
    const char *text = query_get(&req->arena, req->query, "path");

    return artifacts_path(req, !text && kind == PATH_ROOT_TOO ? "" : text, kind);
}

void artifacts_missing(struct http_request *req, const char *path)
{
    struct why why;

    api_refuse(req, fail(&why, ERR_NOT_FOUND, "'%.200s' not found", path), &why);
}

/* --- tree --- */

/* The last name of the page before, with its slash: opaque to clients. NULL: answered. */
static const char *marker_read(struct http_request *req, bool *ret_given)
{
    const char *text = query_get(&req->arena, req->query, "marker");
    char *name, *slash;
    size_t n;

    *ret_given = text && *text;
    if (!*ret_given)
        return "";
    name = base64_decode(&req->arena, text, strlen(text), &n);
    slash = name ? strchr(name, '/') : NULL;
    if (!name || !n || n != strlen(name) || !utf8_valid(name, n) || slash == name || (slash && slash[1])) {
        api_fail_text(req, ERR_BAD_REQUEST, "'marker' is not one of this API's");
        return NULL;
    }
    return name;
}

static unsigned tree_limit(struct http_request *req)
{
    const char *text = query_get(&req->arena, req->query, "limit");
    long n = text ? strtol(text, NULL, 10) : 0;

    return n < 1 || n > TREE_LIMIT ? TREE_LIMIT : (unsigned)n;
}

static json_t *tree_item(struct arena *a, const char *folder, const struct registry_entry *e)
{
    const char *path = *folder ? arena_printf(a, "%s/%s", folder, e->name) : e->name;
    char time[32];
    json_t *item = json_pack("{s:s, s:s, s:s}", "name", e->name, "path", path, "type",
                             e->directory ? "directory" : "file");

    if (!e->directory) {
        json_object_set_new(item, "size", json_integer(e->size));
        json_object_set_new(item, "modified", json_string(clock_rfc3339(e->modified_ms, time)));
    }
    return item;
}

void artifacts_tree(struct http_request *req)
{
    const struct repo *repo = artifacts_repo(req, REPO_READ);
    const char *folder = repo ? artifacts_query_path(req, PATH_ROOT_TOO) : NULL, *after, *marker = NULL;
    struct registry_entry *entries;
    struct arena *a = &req->arena;
    unsigned count;
    bool more, given;
    json_t *items;

    if (!folder || !(after = marker_read(req, &given)))
        return;
    if (registry_list(worker_of(req)->registry, a, repo, folder, given ? after : NULL, tree_limit(req),
                      &entries, &count, &more)) {
        artifacts_missing(req, folder);
        return;
    }
    items = json_array();
    for (unsigned i = 0; i < count; i++)
        if (!entries[i].hidden)
            json_array_append_new(items, tree_item(a, folder, &entries[i]));
    if (more) {
        const struct registry_entry *last = &entries[count - 1];
        marker = arena_printf(a, "%s%s", last->name, last->directory ? "/" : "");
        marker = base64url_encode(a, marker, strlen(marker));
    }
    api_json(req, 200, json_pack("{s:o, s:s?, s:b}", "items", items, "marker", marker, "hasMore", more));
}

/* --- one artifact --- */

static void checksum(json_t *to, const char *name, bool known, const void *digest, size_t size)
{
    char hex[129];

    if (!known)
        return;
    hex_encode(digest, size, hex);
    json_object_set_new(to, name, json_string(hex));
}

static json_t *checksums(const struct digest_values *d)
{
    json_t *all = json_object();

    checksum(all, "md5", d->kinds & DIGEST_MD5, d->md5, sizeof d->md5);
    checksum(all, "sha1", d->kinds & DIGEST_SHA1, d->sha1, sizeof d->sha1);
    checksum(all, "sha256", d->kinds & DIGEST_SHA256, d->sha256, sizeof d->sha256);
    checksum(all, "sha512", d->kinds & DIGEST_SHA512, d->sha512, sizeof d->sha512);
    return all;
}

const char *artifacts_file_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

void artifacts_get(struct http_request *req)
{
    const struct repo *repo = artifacts_repo(req, REPO_READ);
    const char *path = repo ? artifacts_query_path(req, PATH_FILE) : NULL;
    char modified[32], created[32];
    struct artifact_row row;

    if (!path)
        return;
    if (artifact_get(worker_of(req)->reader, &req->arena, repo->id, path, &row)) {
        artifacts_missing(req, path);
        return;
    }
    api_json(req, 200,
             json_pack("{s:s, s:s, s:I, s:s, s:s, s:s?, s:s?, s:o}", "path", path, "name",
                       artifacts_file_name(path), "size", (json_int_t)row.size, "modified",
                       clock_rfc3339(row.modified_ms, modified), "created",
                       clock_rfc3339(row.created_ms, created), "content_type", row.content_type, "owner",
                       row.owner, "checksums", checksums(&row.digests)));
}

/* --- how to get it --- */

static bool is_there(struct http_request *req, const struct repo *repo, const char *path)
{
    struct registry_entry *entries;
    struct artifact_row row;
    unsigned count;
    bool more;

    return !artifact_get(worker_of(req)->reader, &req->arena, repo->id, path, &row) ||
           !registry_list(worker_of(req)->registry, &req->arena, repo, path, NULL, 1, &entries, &count,
                          &more);
}

void artifacts_pull(struct http_request *req)
{
    const struct repo *repo = artifacts_repo(req, REPO_READ);
    const char *path = repo ? artifacts_query_path(req, PATH_ANY) : NULL, *lines[PULL_LINES], *host;
    struct pull_place place;
    json_t *list;
    unsigned n;

    if (!path)
        return;
    if (!is_there(req, repo, path)) {
        artifacts_missing(req, path);
        return;
    }
    place.url = api_repository_url(req);
    host = strstr(place.url, "://");
    host = host ? host + 3 : place.url;
    place.host = arena_strndup(&req->arena, host, strcspn(host, "/"));
    n = format_pull(&req->arena, repo->format, &place, repo->name, path, lines);
    list = json_array();
    for (unsigned i = 0; i < n; i++)
        json_array_append_new(list, json_string(lines[i]));
    api_json(req, 200, json_pack("{s:s, s:o}", "type", repo->type, "instructions", list));
}

/* --- deletion --- */

static void on_removed(struct http_request *req, enum err e, const struct why *why)
{
    if (e)
        api_fail(req, e, why);
    else
        api_done(req, 204, NULL);
}

static void delete_body(struct http_request *req, json_t *body, bool tree)
{
    const struct repo *repo = artifacts_repo(req, REPO_DELETE);
    bool bad = false;
    const char *text = api_string(body, "path", &bad), *path;
    const struct format *format;

    if (!repo || !(path = artifacts_path(req, bad ? NULL : text, tree ? PATH_ANY : PATH_FILE)))
        return;
    format = format_find(repo->format);
    if (format && format->remove)
        (format->remove)(req, repo, path, tree, on_removed);
    else if (tree)
        registry_delete_tree(req, repo, path, on_removed);
    else
        registry_delete(req, repo, path, on_removed);
}

static void file_body(struct http_request *req, json_t *body)
{
    delete_body(req, body, false);
}

static void tree_body(struct http_request *req, json_t *body)
{
    delete_body(req, body, true);
}

/* Of a proxy: what it has cached, and what it remembers as missing. */
void cache_delete(struct http_request *req)
{
    const struct repo *repo = artifacts_repo(req, REPO_DELETE);
    const char *tree = query_get(&req->arena, req->query, "tree"), *path;
    struct why why;

    if (!repo || !(path = artifacts_query_path(req, PATH_ROOT_TOO)))
        return;
    if (repository_kind(repo) != REPO_PROXY)
        api_refuse(req, fail(&why, ERR_BAD_REQUEST, "'%.200s' is not a proxy", repo->name), &why);
    else
        registry_purge(req, repo, path, !*path || (tree && !strcmp(tree, "true")), on_removed);
}

/* Asked before the body is read, and again when it is there: it may take its time. */
void artifacts_delete(struct http_request *req)
{
    if (artifacts_repo(req, REPO_DELETE))
        api_body(req, file_body);
}

void packages_delete(struct http_request *req)
{
    if (artifacts_repo(req, REPO_DELETE))
        api_body(req, tree_body);
}
