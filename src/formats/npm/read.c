/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/npm/read.c: what is read of a package: its document (whole or short), one version, the tags, a
 * tarball, attestations. Of hosted repositories, proxies and groups alike: document.h knows the difference.
 * */
#include <string.h>

#include "pantera/limits.h"
#include "pantera/text.h"
#include "src/formats/npm/compose.h"
#include "src/formats/npm/doc.h"
#include "src/formats/npm/npm.h"

static const struct document_kind packument = {
    .name = "packument", .limit = NPM_DOCUMENT_LIMIT, .compose = npm_compose,
};
static const struct document_kind keys = { .name = "npm-keys", .limit = MIB(1), .compose = npm_pass };

/* Upstream is always asked for the whole document: the short one has no times, which policy needs. */
static struct document document_of(struct http_request *req, const struct npm_path *path, const char *variant)
{
    struct arena *a = &req->arena;

    return (struct document){
        .kind = &packument, .path = npm_document_path(a, path->package), .package = path->package,
        .url_path = npm_url_name(a, path->package), .accept = "application/json", .variant = variant,
    };
}

static void read_document(struct http_request *req, const struct repo *repo, const struct npm_path *path,
                          const char *variant)
{
    struct document d = document_of(req, path, variant);

    registry_document(req, repo, &d, npm_missing);
}

/* Who sends both types means the short one: npm puts it first, with a higher weight. */
static const char *document_variant(struct http_request *req)
{
    const char *accept = http_header(req, "accept");

    /* Who is going to write asks for all of it (npm unpublish, npm deprecate). */
    return accept && strstr(accept, "application/vnd.npm.install-v1+json") &&
                   !query_get(&req->arena, req->query, "write")
               ? NPM_SHORT : NPM_FULL;
}

static void read_tarball(struct http_request *req, const struct repo *repo, const struct npm_path *path)
{
    const struct document index = document_of(req, path, NULL);
    const struct file_want want = {
        .path = path->file, .package = path->package, .version = path->version,
        .content_type = "application/octet-stream", .digest_kinds = DIGEST_SHA1 | DIGEST_SHA512,
        .index = &index, .locate = npm_locate,
    };

    registry_file(req, repo, &want, npm_missing);
}

/* As upstream gives them, or as they were published: they never change. */
static void read_attestations(struct http_request *req, const struct repo *repo, const struct npm_path *path)
{
    struct arena *a = &req->arena;
    const struct file_want want = {
        .path = npm_attestations_path(a, path->package, path->version), .package = path->package,
        .url_path = arena_printf(a, "-/npm/v1/attestations/%s@%s", npm_url_name(a, path->package),
                                 percent_encode(a, path->version, false)),
        .accept = "application/json", .content_type = "application/json",
    };

    registry_file(req, repo, &want, npm_missing);
}

void npm_keys(struct http_request *req, const struct repo *repo)
{
    const struct document d = { .kind = &keys, .path = ".npm/-/keys.json", .url_path = "-/npm/v1/keys",
                                .accept = "application/json" };

    registry_document(req, repo, &d, npm_missing);
}

void npm_read(struct http_request *req, const struct repo *repo, const struct npm_path *path)
{
    struct arena *a = &req->arena;

    if (path->what == NPM_PACKAGE)
        read_document(req, repo, path, document_variant(req));
    else if (path->what == NPM_MANIFEST)
        read_document(req, repo, path, arena_printf(a, NPM_ONE "%s", path->version));
    else if (path->what == NPM_TAGS && !path->word)
        read_document(req, repo, path, NPM_TAG_LIST);
    else if (path->what == NPM_TARBALL && !path->revision)
        read_tarball(req, repo, path);
    else if (path->what == NPM_ATTESTATIONS)
        read_attestations(req, repo, path);
    else
        npm_fail_text(req, ERR_NOT_FOUND, "'%.200s' not found", path->whole);
}
