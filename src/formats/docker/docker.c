/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/docker/docker.c: container images and other OCI artifacts. Here: whose a request under /v2/
 * is, may it, and the shapes of refusals. The verbs are in the other files (docker.h). */
#include "src/formats/docker/docker.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "pantera/format.h"
#include "pantera/text.h"
#include "pantera/worker.h"

/* --- answers --- */

static void oci_reply_error(struct http_request *req, int status, const char *code, const char *text)
{
    json_t *message = json_string(text);
    json_t *body = json_pack("{s:[{s:s, s:o}]}", "errors", "code", code, "message",
                             message ? message : json_string("refused"));
    api_done(req, status, body);
}

void oci_fail(struct http_request *req, int status, const char *code, const char *fmt, ...)
{
    struct why why;
    va_list args;

    va_start(args, fmt);
    vsnprintf(why.text, sizeof why.text, fmt, args);
    va_end(args);
    if (cluster_current(worker_of(req)->cluster))
        oci_reply_error(req, status, code, why.text);
    else
        api_fail(req, ERR_NOT_CURRENT, NULL);
}

void oci_fail_as(struct http_request *req, enum err e, const struct why *why, const char *missing)
{
    if (http_reply_started(req))
        api_fail(req, e, why);
    else if (e == ERR_NOT_FOUND)
        oci_fail(req, 404, missing, "%s", why_text(why, e));
    else if (e == ERR_DIGEST_MISMATCH)
        oci_fail(req, 400, "DIGEST_INVALID", "%s", why_text(why, e));
    else
        api_fail(req, e, why); /* in OCI's shape too (dialect.c) */
}

void oci_not_allowed(struct http_request *req, const char *allow)
{
    http_set_header(req, "Allow", allow);
    api_fail(req, ERR_METHOD, NULL);
}

void oci_location(struct oci_call *c, const char *kind, const char *reference)
{
    http_set_header(c->req, "Location", arena_printf(&c->req->arena, "%s/%s/%s/%s", c->base, c->name, kind,
                                                     reference));
}

void oci_json(struct http_request *req, const char *type, json_t *body)
{
    char *text;

    if (!cluster_current(worker_of(req)->cluster)) {
        json_decref(body);
        api_fail(req, ERR_NOT_CURRENT, NULL);
        return;
    }
    text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    if (!text) {
        api_fail(req, ERR_INTERNAL, NULL);
        return;
    }
    http_reply(req, 200, type, text, strlen(text));
    free(text);
}

/* --- whose, and may it --- */

static enum image_action image_action(enum oci_action action)
{
    switch (action) {
    case OCI_PULL: return IMAGE_PULL;
    case OCI_PUSH: return IMAGE_PUSH;
    case OCI_OVERWRITE: return IMAGE_OVERWRITE;
    case OCI_DELETE: break;
    }
    return IMAGE_DELETE;
}

bool oci_may(const struct http_request *req, const char *repo, const char *image, enum oci_action action)
{
    return may_image(req->principal, repo, image, image_action(action));
}

struct principal oci_user(const struct http_request *req)
{
    struct principal user = *(const struct principal *)req->principal;

    user.scope = NULL;
    return user;
}

/* A user who may not is told so; one who may, but not with this token, how to get another. */
static void refuse(struct http_request *req, const struct repo *repo, const char *image,
                   enum oci_action action)
{
    struct principal user = oci_user(req);

    if (may_image(&user, repo->name, image, image_action(action)))
        oci_narrow(req, arena_printf(&req->arena, "%s/%s", repo->name, image), action);
    else
        oci_fail(req, 403, "DENIED", "no permission to do that with '%.100s/%.100s'", repo->name, image);
}

const struct repo *oci_repo(struct oci_call *c)
{
    const struct repo *repo = registry_repo(worker_of(c->req)->registry, c->repo);

    if (repo && repo->id == c->repo_id)
        return repo;
    oci_fail(c->req, 404, "NAME_UNKNOWN", "repository '%.100s' not found", c->repo);
    return NULL;
}

static enum oci_action action_of(const struct http_request *req, enum oci_what what)
{
    if (req->method & (HTTP_M_GET | HTTP_M_HEAD) && what != OCI_UPLOAD)
        return OCI_PULL;
    return req->method == HTTP_M_DELETE && what != OCI_UPLOAD ? OCI_DELETE : OCI_PUSH;
}

/* `path`: "<image>/manifests/latest". */
static void call(struct http_request *req, const struct repo *repo, const char *base, const char *path)
{
    static void (*const verbs[])(struct oci_call *, const struct repo *) = {
        [OCI_MANIFEST] = oci_manifest, [OCI_BLOB] = oci_blob, [OCI_UPLOADS] = oci_uploads,
        [OCI_UPLOAD] = oci_upload, [OCI_TAGS] = oci_tags, [OCI_REFERRERS] = oci_referrers,
    };
    struct oci_call *c = arena_alloc(&req->arena, sizeof *c);
    enum oci_what what = oci_path_parse(&req->arena, path, &c->image, &c->reference);

    if (what == OCI_NOTHING) {
        oci_fail(req, 404, "NAME_UNKNOWN", "'%.100s' is nothing that a registry has", path);
        return;
    }
    if (!oci_name_valid(c->image)) {
        oci_fail(req, what == OCI_UPLOADS || req->method & (HTTP_M_PUT | HTTP_M_POST) ? 400 : 404,
                 "NAME_INVALID",
                 "'%.100s' is not an image's name: lower case letters, digits, '.', '_', '-' between them",
                 c->image);
        return;
    }
    if (!oci_may(req, repo->name, c->image, action_of(req, what))) {
        refuse(req, repo, c->image, action_of(req, what));
        return;
    }
    if (repository_kind(repo) != REPO_LOCAL && !(req->method & (HTTP_M_GET | HTTP_M_HEAD))) {
        http_set_header(req, "Allow", "GET, HEAD");
        oci_fail(req, 405, "UNSUPPORTED", "'%.100s' is a %s: push to a hosted repository", repo->name,
                 repository_kind(repo) == REPO_PROXY ? "proxy" : "group");
        return;
    }
    c->req = req;
    c->base = base;
    c->repo = arena_strdup(&req->arena, repo->name);
    c->repo_id = repo->id;
    c->name = arena_printf(&req->arena, "%s/%s", repo->name, c->image);
    verbs[what](c, repo);
}

/* --- entrances --- */

/* What is asked for below /v2/, of which the first segment is a repository. */
static void docker_root(struct http_request *req, const char *base, const char *path)
{
    size_t n = strcspn(path, "/");
    const char *name = arena_strndup(&req->arena, path, n);
    const struct repo *repo;

    http_set_header(req, "Docker-Distribution-API-Version", "registry/2.0");
    if (!strcmp(path, "token")) {
        oci_token(req);
    } else if ((!*path || !strcmp(path, "_catalog")) && !may_see(req->principal, NULL)) {
        oci_fail(req, 403, "DENIED", "no permission on any registry here");
    } else if (!*path) {
        oci_ping(req);
    } else if (!strcmp(path, "_catalog")) {
        oci_catalog(req, base);
    } else if (!(repo = registry_repo(worker_of(req)->registry, name)) || strcmp(repo->format, "docker") ||
               !may_see(req->principal, name)) { /* as if there were none */
        oci_fail(req, 404, "NAME_UNKNOWN", "there is no docker repository '%.100s'", name);
    } else {
        call(req, repo, base, path[n] ? path + n + 1 : "");
    }
}

/* /<repository>/v2/…: the same, for who keeps repositories apart by path. Below it there is nothing else. */
static void docker_handle(struct http_request *req, const struct repo *repo, const char *path)
{
    (void)repo;
    oci_fail(req, 404, "NAME_UNKNOWN", "'%.100s': images are served below /v2/", path);
}

static enum err docker_check(const json_t *repo_config, struct why *why)
{
    static const char *const keys[] = { "sparse-manifests", NULL };
    const json_t *sparse = json_object_get(repo_config, "sparse-manifests");

    if (sparse && !json_is_boolean(sparse))
        return fail(why, ERR_BAD_REQUEST, "sparse-manifests is true or false");
    return repository_check(repo_config, keys, why);
}

static const char *const docker_aliases[] = { "docker", NULL };

/* How another registry lays out its files is not what an image is: pushing it is what checks that all of its
 * parts are there. */
static enum err oci_importable(const struct repo *repo, const char *path, struct why *why)
{
    (void)path;
    return fail(why, ERR_BAD_REQUEST,
                "'%.100s' is a docker repository: images are not imported file by file; copy them with "
                "skopeo, crane or oras (docs/formats/docker.md)", repo->name);
}

const struct format docker_format = {
    .name = "docker",
    .aliases = docker_aliases,
    .caps = FORMAT_LOCAL | FORMAT_PROXY | FORMAT_GROUP,
    .handle = docker_handle,
    .check = docker_check,
    .remove = oci_remove,
    .importable = oci_importable,
    .root = "v2",
    .root_dialect = DIALECT_OCI,
    .handle_root = docker_root,
    .challenge = oci_challenge,
};
