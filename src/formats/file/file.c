/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/file/file.c: generic files: PUT, GET, HEAD, DELETE of a path, and listings of folders. A path
 * is what the client calls it; nothing is derived from it. */
#include <string.h>

#include "pantera/api.h"
#include "pantera/document.h"
#include "src/formats/listing.h"
#include "src/formats/verbs.h"

static void on_put(struct http_request *req, enum err e, const struct why *why,
                   const struct registry_put_result *result)
{
    if (e) {
        api_fail(req, e, why);
        return;
    }
    http_set_header(req, "ETag", result->etag);
    http_reply(req, 201, NULL, NULL, 0);
}

static void file_put(struct http_request *req, const struct repo *repo, const char *path)
{
    const char *type = http_header(req, "content-type");
    size_t n = strlen(path);

    if (n == 0 || path[n - 1] == '/') {
        api_fail_text(req, ERR_BAD_REQUEST, "a file's path can't be empty or end in '/'");
        return;
    }
    /* RFC 9110 §14.4: a part of a file would be taken for the whole. */
    if (http_header(req, "content-range")) {
        api_fail_text(req, ERR_BAD_REQUEST, "Content-Range is not understood");
        return;
    }
    /* What curl --data-binary says of anything. */
    if (type && !strcmp(type, "application/x-www-form-urlencoded"))
        type = NULL;
    registry_put(req, repo, path, type, DIGEST_SHA256 | DIGEST_SHA1 | DIGEST_MD5, on_put);
}

static void on_deleted(struct http_request *req, enum err e, const struct why *why)
{
    if (e)
        api_fail(req, e, why);
    else
        http_reply(req, 204, NULL, NULL, 0);
}

/* A generic file's package is its folder: a group asks no upstream about a folder that a hosted member
 * has. */
static const char *package_of(struct http_request *req, const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? arena_strndup(&req->arena, path, (size_t)(slash - path)) : path;
}

/* Upstream's folders are its own: of a proxy only what is cached is listed. */
static void file_get_elsewhere(struct http_request *req, const struct repo *repo, const char *path)
{
    struct file_want want = { .path = path, .digest_kinds = DIGEST_SHA256 | DIGEST_SHA1 | DIGEST_MD5,
                              .package = package_of(req, path) };
    size_t n = strlen(path);

    if (n && path[n - 1] != '/')
        registry_file(req, repo, &want, api_fail);
    else if (!format_listing(req, repo, n ? arena_strndup(&req->arena, path, n - 1) : ""))
        api_fail_text(req, ERR_NOT_FOUND, "'%.200s' not found", path);
}

static void file_get(struct http_request *req, const struct repo *repo, const char *path)
{
    size_t n = strlen(path);

    if (repository_kind(repo) != REPO_LOCAL) {
        file_get_elsewhere(req, repo, path);
        return;
    }
    if (n == 0 || path[n - 1] == '/') {
        if (format_listing(req, repo, n ? arena_strndup(&req->arena, path, n - 1) : ""))
            return;
    } else if (registry_get(req, repo, path, api_fail) || format_listing(req, repo, path)) {
        return;
    }
    api_fail_text(req, ERR_NOT_FOUND, "'%.200s' not found", path);
}

static void file_delete(struct http_request *req, const struct repo *repo, const char *path)
{
    registry_delete(req, repo, path, on_deleted);
}

static void file_handle(struct http_request *req, const struct repo *repo, const char *path)
{
    static const struct format_verb verbs[] = {
        { HTTP_M_GET | HTTP_M_HEAD, REPO_READ, "read", file_get },
        { HTTP_M_PUT, REPO_WRITE, "write to", file_put },
        { HTTP_M_DELETE, REPO_DELETE, "delete from", file_delete },
        { 0 },
    };

    format_dispatch(req, repo, path, verbs, api_fail);
}

static enum err file_check(const json_t *repo_config, struct why *why)
{
    return repository_check(repo_config, NULL, why);
}

static const char *const file_aliases[] = { "storage", NULL };

const struct format file_format = {
    .name = "file",
    .aliases = file_aliases,
    .caps = FORMAT_LOCAL | FORMAT_PROXY | FORMAT_GROUP,
    .handle = file_handle,
    .check = file_check,
};
