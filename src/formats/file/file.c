/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/file/file.c: generic files: PUT, GET, HEAD, DELETE of a path, and listings of folders. A path
 * is what the client calls it; nothing is derived from it. */
#include <string.h>

#include "pantera/api.h"
#include "src/formats/listing.h"

static void forbid(struct http_request *req, const struct repo *repo, const char *what)
{
    api_fail_text(req, ERR_FORBIDDEN, "no permission to %s repository '%s'", what, repo->name);
}

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

static void file_get(struct http_request *req, const struct repo *repo, const char *path)
{
    size_t n = strlen(path);

    if (n == 0 || path[n - 1] == '/') {
        if (format_listing(req, repo, n ? arena_strndup(&req->arena, path, n - 1) : ""))
            return;
    } else if (registry_get(req, repo, path, api_fail) || format_listing(req, repo, path)) {
        return;
    }
    api_fail_text(req, ERR_NOT_FOUND, "'%.200s' not found", path);
}

static void file_handle(struct http_request *req, const struct repo *repo, const char *path)
{
    switch (req->method) {
    case HTTP_M_GET:
    case HTTP_M_HEAD:
        if (may_repo(req->principal, repo->name, REPO_READ))
            file_get(req, repo, path);
        else
            forbid(req, repo, "read");
        return;
    case HTTP_M_PUT:
        if (may_repo(req->principal, repo->name, REPO_WRITE))
            file_put(req, repo, path);
        else
            forbid(req, repo, "write to");
        return;
    case HTTP_M_DELETE:
        if (may_repo(req->principal, repo->name, REPO_DELETE))
            registry_delete(req, repo, path, on_deleted);
        else
            forbid(req, repo, "delete from");
        return;
    default:
        http_set_header(req, "Allow", "GET, HEAD, PUT, DELETE, OPTIONS");
        api_fail(req, ERR_METHOD, NULL);
    }
}

static enum err file_check(const json_t *repo_config, struct why *why)
{
    static const char *const keys[] = { "type", "storage", "content-length-max", "description" };
    const char *name;
    json_t *value;

    json_object_foreach ((json_t *)repo_config, name, value) {
        size_t i = 0;
        while (i < sizeof keys / sizeof *keys && strcmp(keys[i], name))
            i++;
        if (i == sizeof keys / sizeof *keys)
            return fail(why, ERR_BAD_REQUEST, "'%.100s' is not a key of a file repository", name);
    }
    return OK;
}

static const char *const file_aliases[] = { "storage", NULL };

const struct format file_format = {
    .name = "file",
    .aliases = file_aliases,
    .caps = FORMAT_LOCAL,
    .handle = file_handle,
    .check = file_check,
};
