/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/pypi/pypi.c: the paths of a Python package index, who may do what there, a repository's keys.
 *
 *     simple/                          all projects          simple/<project>/   a project's files
 *     <project>/<version>/<file>       the file; with ".metadata" behind it what is in it (PEP 658)
 *     pypi/<project>[/<version>]/json  what a version says of itself
 *     POST / or legacy/                an upload */
#include "src/formats/pypi/pypi.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "pantera/document.h"
#include "pantera/format.h"
#include "src/formats/pypi/names.h"
#include "src/formats/pypi/page.h"
#include "src/formats/verbs.h"

/* --- errors --- */

/* RFC 9112 §4: a reason phrase is one line of text; ours is ASCII. It is what pip and twine show. */
static void reason_of(const char *text, char *ret, size_t room)
{
    size_t n = 0;

    for (; *text && n + 1 < room; text++)
        ret[n++] = *text >= 32 && *text < 127 ? *text : '?';
    ret[n] = 0;
}

void pypi_fail(struct http_request *req, enum err e, const struct why *why)
{
    int status = err_status(e);
    char reason[256];
    const char *head, *body;

    /* What needs a challenge or a Retry-After, and what is ours alone to know. */
    if ((status >= 500 && status != 502 && status != 504) || status == 401 || status == 429 ||
        http_reply_started(req)) {
        api_fail(req, e, why);
        return;
    }
    if (e == ERR_CONFLICT) /* PyPI's own answer, which `twine --skip-existing` looks for */
        status = 400;
    reason_of(why_text(why, e), reason, sizeof reason);
    head =
        arena_printf(&req->arena, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\n",
                     status, reason);
    body = arena_printf(&req->arena, "%s\n", why_text(why, e));
    http_reply_prepared_bytes(req, status, head, strlen(head), body, strlen(body));
}

void pypi_fail_text(struct http_request *req, enum err e, const char *fmt, ...)
{
    struct why why;
    va_list args;

    va_start(args, fmt);
    vsnprintf(why.text, sizeof why.text, fmt, args);
    va_end(args);
    pypi_fail(req, e, &why);
}

void pypi_redirect(struct http_request *req, const char *to)
{
    http_set_header(req, "Location", to);
    http_reply(req, 301, NULL, NULL, 0);
}

/* --- paths --- */

char *pypi_document_path(struct arena *a, const char *project)
{
    return arena_printf(a, ".pypi/%s.json", project);
}

char *pypi_metadata_path(struct arena *a, const char *project, const char *file_name)
{
    return arena_printf(a, ".pypi/metadata/%s/%s", project, file_name);
}

char *pypi_provenance_path(struct arena *a, const char *project, const char *file_name)
{
    return arena_printf(a, ".pypi/provenance/%s/%s", project, file_name);
}

char *pypi_quarantine_path(struct arena *a, const char *project)
{
    return arena_printf(a, ".pypi/quarantine/%s", project);
}

enum { SEGMENTS = 4 };

/* How many segments there are, SEGMENTS at most; more: 0. A slash at the end is told apart. */
static unsigned split(struct arena *a, const char *path, const char *ret[SEGMENTS], bool *ret_slash)
{
    unsigned n = 0;

    *ret_slash = false;
    while (*path) {
        size_t length = strcspn(path, "/");
        if (n == SEGMENTS)
            return 0;
        ret[n++] = arena_strndup(a, path, length);
        path += length;
        *ret_slash = *path == '/';
        path += *path == '/';
    }
    return n;
}

/* The last segment of what was asked for, as it was sent, and a slash: for links relative to it. */
static const char *here(struct http_request *req)
{
    const char *slash = strrchr(req->target, '/');

    return slash && slash[1] ? arena_printf(&req->arena, "%s/", slash + 1) : "";
}

static void not_found(struct http_request *req, const char *path)
{
    pypi_fail_text(req, ERR_NOT_FOUND, "'%.200s' not found", path);
}

/* --- reading --- */

static void get_simple(struct http_request *req, const struct repo *repo, const char *name,
                       bool slash)
{
    const char *project;

    if (!pypi_name_valid(name)) {
        not_found(req, name);
        return;
    }
    project = pypi_name_normal(&req->arena, name);
    if (slash && !strcmp(project, name)) /* PEP 503: others are sent there */
        pypi_page(req, repo, project);
    else
        pypi_redirect(
            req, arena_printf(&req->arena, "%s%s/%s", slash ? "../" : "", project,
                              *req->query ? arena_printf(&req->arena, "?%s", req->query) : ""));
}

static void pypi_get(struct http_request *req, const struct repo *repo, const char *path)
{
    const char *s[SEGMENTS] = { "", "", "", "" };
    bool slash;
    unsigned n = split(&req->arena, path, s, &slash);

    if (!*path) {
        pypi_redirect(req, arena_printf(&req->arena, "%ssimple/", here(req)));
    } else if (n == 1 && !strcmp(s[0], "simple")) {
        if (slash)
            pypi_root(req, repo);
        else
            pypi_redirect(req, "simple/");
    } else if (n == 2 && !strcmp(s[0], "simple")) {
        get_simple(req, repo, s[1], slash);
    } else if (n >= 3 && !slash && !strcmp(s[0], "pypi") && !strcmp(s[n - 1], "json")) {
        pypi_legacy(req, repo, s[1], n == 4 ? s[2] : NULL);
    } else if (n == 3 && !slash && s[0][0] != '.') {
        pypi_file(req, repo, s[0], s[1], s[2]);
    } else if (n == 1 && pypi_name_valid(s[0])) { /* an index URL without "simple/" */
        pypi_redirect(req, arena_printf(&req->arena, "%ssimple/%s/", slash ? "../" : "",
                                        pypi_name_normal(&req->arena, s[0])));
    } else {
        not_found(req, path);
    }
}

/* --- writing --- */

static void pypi_post(struct http_request *req, const struct repo *repo, const char *path)
{
    if (!*path || !strcmp(path, "legacy") || !strcmp(path, "legacy/")) {
        pypi_upload(req, repo);
        return;
    }
    http_set_header(req, "Allow", "GET, HEAD, DELETE, OPTIONS");
    pypi_fail_text(req, ERR_METHOD, "uploads go to '/%.100s/' or '/%.100s/legacy/'", repo->name,
                   repo->name);
}

static void on_removed(struct http_request *req, enum err e, const struct why *why)
{
    if (e)
        pypi_fail(req, e, why);
    else
        http_reply(req, 204, NULL, NULL, 0);
}

static void pypi_delete(struct http_request *req, const struct repo *repo, const char *path)
{
    size_t n = strlen(path);

    if (n && path[n - 1] == '/')
        n--;
    if (!n || path[0] == '.')
        not_found(req, path);
    else
        pypi_remove(req, repo, arena_strndup(&req->arena, path, n), true, on_removed);
}

/* --- the format --- */

static void pypi_handle(struct http_request *req, const struct repo *repo, const char *path)
{
    static const struct format_verb verbs[] = {
        { HTTP_M_GET | HTTP_M_HEAD, REPO_READ, "read", pypi_get },
        { HTTP_M_POST, REPO_WRITE, "upload to", pypi_post },
        { HTTP_M_DELETE, REPO_DELETE, "delete from", pypi_delete },
        { 0 },
    };

    format_dispatch(req, repo, path, verbs, pypi_fail);
}

static enum err pypi_check(const json_t *repo_config, struct why *why)
{
    return repository_check(repo_config, NULL, why);
}

static const char *const pypi_aliases[] = { "pypi", NULL };

const struct format pypi_format = {
    .name = "pypi",
    .aliases = pypi_aliases,
    .caps = FORMAT_LOCAL | FORMAT_PROXY | FORMAT_GROUP,
    .handle = pypi_handle,
    .check = pypi_check,
    .remove = pypi_remove,
    .importable = pypi_importable,
    .import = pypi_import,
    .import_digests = DIGEST_MD5,
    .import_places = true,
};
