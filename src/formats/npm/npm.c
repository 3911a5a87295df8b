/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/npm/npm.c: npm's registry: who may ask for what, and which file of this folder answers. The
 * paths are those of npm's public registry API and of what its clients send besides. */
#include "src/formats/npm/npm.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/api.h"
#include "pantera/document.h"
#include "pantera/format.h"

void npm_reply(struct http_request *req, int status, json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT);

    json_decref(body);
    http_reply(req, status, "application/json", text ? text : "{}", text ? strlen(text) : 2);
    free(text);
}

void npm_fail(struct http_request *req, enum err e, const struct why *why)
{
    json_t *text = json_string(why_text(why, e));
    int status = err_status(e);

    /* Whoever must sign in, or comes again, is told how by the one that knows; a log of ours is its work too.
     * */
    if (status == 401 || status >= 500 || http_reply_started(req)) {
        json_decref(text);
        api_fail(req, e, why);
        return;
    }
    npm_reply(req, status, json_pack("{s:o}", "error", text ? text : json_string(err_text(e))));
}

void npm_fail_text(struct http_request *req, enum err e, const char *fmt, ...)
{
    struct why why;
    va_list args;

    va_start(args, fmt);
    vsnprintf(why.text, sizeof why.text, fmt, args);
    va_end(args);
    npm_fail(req, e, &why);
}

/* What a request carries between its turns of the loop. */
struct asked {
    int64_t repo_id;
    const char *repo;
    const struct npm_path *path;
};

void npm_missing(struct http_request *req, enum err e, const struct why *why)
{
    const struct asked *asked = req->context;

    /* What composes a document knows better; whoever found no document only knows where it would be. */
    if (e == ERR_NOT_FOUND && !(why && !strncmp(why->text, "version", 7)) &&
        (asked->path->what == NPM_PACKAGE || asked->path->what == NPM_MANIFEST))
        npm_fail_text(req, e, "package '%.200s' not found", asked->path->package);
    else
        npm_fail(req, e, why);
}

const struct repo *npm_repo_again(struct http_request *req)
{
    const struct asked *asked = req->context;
    const struct repo *repo = registry_repo(worker_of(req)->registry, asked->repo);

    return repo && repo->id == asked->repo_id ? repo : NULL;
}

static bool forbidden(struct http_request *req, const struct repo *repo, enum repo_action action)
{
    static const char *const words[] = { [REPO_READ] = "read", [REPO_WRITE] = "write to",
                                         [REPO_DELETE] = "delete from" };

    if (may_repo(req->principal, repo->name, action))
        return false;
    npm_fail_text(req, ERR_FORBIDDEN, "no permission to %s repository '%.100s'", words[action], repo->name);
    return true;
}

static void not_allowed(struct http_request *req, const char *allow)
{
    http_set_header(req, "Allow", allow);
    npm_fail(req, ERR_METHOD, NULL);
}

/* Only a hosted repository is changed. */
static bool refused(struct http_request *req, const struct repo *repo)
{
    enum repo_kind kind = repository_kind(repo);

    if (kind == REPO_LOCAL || (req->method & (HTTP_M_GET | HTTP_M_HEAD)))
        return false;
    http_set_header(req, "Allow", "GET, HEAD");
    npm_fail_text(req, ERR_METHOD, "'%.100s' is a %s: publish to a hosted repository", repo->name,
                  kind == REPO_PROXY ? "proxy" : "group");
    return true;
}

static void handle_package(struct http_request *req, const struct repo *repo, const struct npm_path *path)
{
    if (refused(req, repo))
        return;
    switch (req->method) {
    case HTTP_M_GET:
    case HTTP_M_HEAD:
        if (!forbidden(req, repo, REPO_READ))
            npm_read(req, repo, path);
        return;
    case HTTP_M_PUT:
    case HTTP_M_POST:
        if (path->what == NPM_TAGS && !forbidden(req, repo, REPO_WRITE))
            npm_tags(req, repo, path);
        else if (path->what != NPM_TAGS && (path->what == NPM_MANIFEST || req->method == HTTP_M_POST))
            not_allowed(req, "GET, HEAD, PUT, DELETE");
        else if (path->what != NPM_TAGS && !forbidden(req, repo, REPO_WRITE))
            npm_publish(req, repo, path);
        return;
    case HTTP_M_DELETE:
        if (path->what == NPM_TAGS && path->word && !forbidden(req, repo, REPO_WRITE))
            npm_tags(req, repo, path);
        else if (path->what == NPM_MANIFEST || (path->what == NPM_TAGS && !path->word))
            not_allowed(req, "GET, HEAD, PUT");
        else if (path->what != NPM_TAGS && !forbidden(req, repo, REPO_DELETE))
            npm_unpublish(req, repo, path);
        return;
    default:
        not_allowed(req, "GET, HEAD, PUT, DELETE");
    }
}

static void npm_handle(struct http_request *req, const struct repo *repo, const char *path)
{
    struct npm_path *p = arena_alloc(&req->arena, sizeof *p);
    struct asked *asked = arena_alloc(&req->arena, sizeof *asked);

    *asked = (struct asked){ repo->id, arena_strdup(&req->arena, repo->name), p };
    req->context = asked;
    npm_path_read(&req->arena, path, p);
    p->whole = path;
    if (!req->principal && p->what != NPM_USER && p->what != NPM_WEB_LOGIN) {
        npm_fail(req, ERR_UNAUTHORIZED, NULL); /* it only began like them (npm_anonymous) */
        return;
    }
    switch (p->what) {
    case NPM_PACKAGE:
    case NPM_MANIFEST:
    case NPM_REVISION:
    case NPM_TARBALL:
    case NPM_TAGS:
        handle_package(req, repo, p);
        return;
    case NPM_NOTHING:
        if (!forbidden(req, repo, REPO_READ))
            npm_fail_text(req, ERR_NOT_FOUND, "'%.200s' not found", path);
        return;
    case NPM_ATTESTATIONS:
        if (req->method & ~(HTTP_M_GET | HTTP_M_HEAD))
            not_allowed(req, "GET, HEAD");
        else if (!forbidden(req, repo, REPO_READ))
            npm_read(req, repo, p);
        return;
    default:
        npm_account(req, repo, p);
    }
}

/* `url`: what older configurations name; links carry the URL that a client used. */
static enum err npm_check(const json_t *repo_config, struct why *why)
{
    static const char *const more[] = { "url", NULL };
    const json_t *url = json_object_get(repo_config, "url");

    if (url && (!json_is_string(url) || strncmp(json_string_value(url), "http", 4)))
        return fail(why, ERR_BAD_REQUEST, "'url' must be an http or https URL");
    return repository_check(repo_config, more, why);
}

static const char *const npm_aliases[] = { "npm", NULL };

const struct format npm_format = {
    .name = "npm",
    .aliases = npm_aliases,
    .caps = FORMAT_LOCAL | FORMAT_PROXY | FORMAT_GROUP,
    .handle = npm_handle,
    .check = npm_check,
    .remove = npm_remove,
    .importable = npm_importable,
    .import = npm_import,
    .import_digests = DIGEST_SHA1 | DIGEST_SHA512,
    .import_places = true,
    .anonymous = npm_anonymous,
};
