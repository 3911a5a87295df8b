/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/npm/read.c: what is read of a package: its document (whole or short), one version, the tags, a
 * tarball, attestations. */
#include <stdlib.h>
#include <string.h>

#include "pantera/api.h"
#include "pantera/text.h"
#include "src/formats/npm/compose.h"
#include "src/formats/npm/doc.h"
#include "src/formats/npm/npm.h"

/* The URL of the repository as this client sees it: what stands before `path` in what it asked for. */
static const char *base_url(struct http_request *req, const char *path)
{
    const char *end = req->target + strlen(req->target);
    unsigned slashes = 1;

    for (const char *c = path; *c; c++)
        slashes += *c == '/';
    while (end > req->target && slashes) {
        end--;
        slashes -= *end == '/' || !strncasecmp(end, "%2f", 3);
    }
    return arena_printf(&req->arena, "%s://%s%.*s", req->tls ? "https" : "http", req->host,
                        (int)(end - req->target), req->target);
}

struct reading {
    struct work work;
    struct http_request *req;
    struct tether *tether;
    struct arena arena;
    struct document_request q;
    char *data;
    size_t size;
    struct buf out;
    struct document_answer answer;
    enum err err;
    struct why why;
    char etag[67];
};

static void reading_free(struct reading *r)
{
    if (r->req)
        tether_cut(r->tether);
    free(r->data);
    buf_free(&r->out);
    arena_release(&r->arena);
    free(r);
}

static void reading_run(struct work *work)
{
    struct reading *r = container_of(work, struct reading, work);
    struct document_source source = { .repo = r->q.repo, .data = r->data, .size = r->size };
    unsigned char digest[32];

    r->err = npm_compose(&r->q, &source, 1, &r->out, &r->answer, &r->why);
    if (r->err)
        return;
    sha256(r->out.data, r->out.length, digest);
    r->etag[0] = '"';
    hex_encode(digest, sizeof digest, r->etag + 1);
    r->etag[65] = '"';
}

static void reading_done(struct work *work)
{
    struct reading *r = container_of(work, struct reading, work);
    struct http_request *req = r->req;
    const char *range = NULL;
    int status;

    if (req && r->err) {
        npm_fail(req, r->err, &r->why);
    } else if (req) {
        http_set_header(req, "ETag", r->etag);
        http_set_header(req, "Vary", "Accept");
        http_set_header(req, "Cache-Control", "no-cache");
        status = http_conditions(req, r->etag, 0, &range);
        http_reply(req, status ? status : 200, r->answer.content_type, r->out.data,
                   status ? 0 : r->out.length);
    }
    reading_free(r);
}

static void on_loaded(enum err e, const struct why *why, const char *data, size_t size,
                      const struct digest_values *digests, void *arg)
{
    struct reading *r = arg;

    if (e || !r->req) {
        if (r->req)
            npm_fail(r->req, e, e == ERR_NOT_FOUND ? &r->why : why);
        reading_free(r);
        return;
    }
    r->data = malloc(size + 1);
    check(r->data);
    memcpy(r->data, data, size);
    r->size = size;
    work_submit(&r->work, &worker_of(r->req)->loop, reading_run, reading_done);
}

static void read_document(struct http_request *req, const struct repo *repo, const struct npm_path *path,
                          const char *whole, const char *variant)
{
    struct reading *r = calloc(1, sizeof *r);

    check(r);
    arena_init(&r->arena);
    buf_init(&r->out, NPM_DOCUMENT_LIMIT * 2);
    r->tether = tether_tie(req, &r->req);
    (void)fail(&r->why, ERR_NOT_FOUND, "package '%.200s' not found", path->package);
    r->q = (struct document_request){
        .repo = arena_strdup(&r->arena, repo->name), .base = arena_strdup(&r->arena, base_url(req, whole)),
        .package = arena_strdup(&r->arena, path->package), .variant = arena_strdup(&r->arena, variant),
        .arena = &r->arena,
    };
    registry_load(worker_of(req), repo, npm_document_path(&req->arena, path->package), NPM_DOCUMENT_LIMIT,
                  on_loaded, r);
}

/* Who sends both types means the short one: npm puts it first, with a higher weight. */
static const char *document_variant(struct http_request *req)
{
    const char *accept = http_header(req, "accept");

    /* Who is going to write asks for all of it (npm unpublish, npm deprecate). */
    return accept && strstr(accept, "application/vnd.npm.install-v1+json") &&
           !query_get(&req->arena, req->query, "write") ? NPM_SHORT : NPM_FULL;
}

static void read_file(struct http_request *req, const struct repo *repo, const char *path)
{
    if (!registry_get(req, repo, path, npm_fail))
        npm_fail_text(req, ERR_NOT_FOUND, "'%.200s' not found", path);
}

void npm_read(struct http_request *req, const struct repo *repo, const struct npm_path *path)
{
    struct arena *a = &req->arena;

    switch (path->what) {
    case NPM_PACKAGE:
        read_document(req, repo, path, path->whole, document_variant(req));
        return;
    case NPM_MANIFEST:
        read_document(req, repo, path, path->whole, arena_printf(a, NPM_ONE "%s", path->version));
        return;
    case NPM_TAGS:
        if (!path->word) {
            read_document(req, repo, path, path->whole, NPM_TAG_LIST);
            return;
        }
        break;
    case NPM_TARBALL:
        if (!path->revision) {
            read_file(req, repo, path->file);
            return;
        }
        break;
    case NPM_ATTESTATIONS:
        read_file(req, repo, npm_attestations_path(a, path->package, path->version));
        return;
    default:
        break;
    }
    npm_fail_text(req, ERR_NOT_FOUND, "'%.200s' not found", path->whole);
}
