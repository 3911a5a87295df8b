/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/helm/helm.c: repositories of Helm charts: index.yaml and files for helm, ChartMuseum's API
 * for what pushes; methods, permissions, errors, configuration. */
#include "src/formats/helm/helm.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/api.h"
#include "pantera/document.h"
#include "src/formats/listing.h"
#include "src/formats/verbs.h"

/* --- errors --- */

void helm_reply(struct http_request *req, int status, json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT);

    http_reply(req, status, "application/json", text ? text : "{}", text ? strlen(text) : 2);
    free(text);
    json_decref(body);
}

void helm_fail(struct http_request *req, enum err e, const struct why *why)
{
    const char *text = why_text(why, e);
    json_t *body;

    /* These have headers that api_fail knows: challenges, Retry-After. */
    if (err_status(e) == 401 || err_status(e) == 429 || err_status(e) == 500 || err_status(e) == 503) {
        api_fail(req, e, why);
        return;
    }
    body = json_pack("{s:s}", "error", text);
    helm_reply(req, err_status(e), body ? body : json_pack("{s:s}", "error", err_text(e)));
}

void helm_fail_text(struct http_request *req, enum err e, const char *fmt, ...)
{
    struct why why;
    va_list args;

    va_start(args, fmt);
    vsnprintf(why.text, sizeof why.text, fmt, args);
    va_end(args);
    helm_fail(req, e, &why);
}

/* --- GET --- */

static bool ends_in(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);

    return n > m && !strcmp(text + n - m, suffix);
}

static void index_get(struct http_request *req, const struct repo *repo)
{
    static const char empty[] = "apiVersion: v1\nentries: {}\n";
    struct registry_as as = { .content_type = "application/x-yaml" };

    http_set_header(req, "Cache-Control", "no-cache");
    if (!registry_get_as(req, repo, HELM_INDEX, &as, helm_fail))
        http_reply(req, 200, "application/x-yaml", empty, sizeof empty - 1);
}

static void helm_get(struct http_request *req, const struct repo *repo, const char *path)
{
    const char *base = strrchr(path, '/');
    size_t n = strlen(path);

    if (repository_kind(repo) != REPO_LOCAL) {
        if (!strcmp(path, "index.yaml"))
            helm_elsewhere_index(req, repo);
        else
            helm_elsewhere_get(req, repo, path);
    } else if (!strcmp(path, "index.yaml")) {
        index_get(req, repo);
    } else if (!strcmp(path, "api/charts") || !strncmp(path, "api/charts/", 11)) {
        helm_charts_get(req, repo, path[10] ? path + 11 : "");
    } else if (n == 0 || path[n - 1] == '/') {
        if (!format_listing(req, repo, n ? arena_strndup(&req->arena, path, n - 1) : ""))
            helm_fail_text(req, ERR_NOT_FOUND, "'%.200s' not found", path);
    } else if (*path == '.' || !registry_get(req, repo, path, helm_fail)) {
        /* A chart is found wherever it was put: there is one of each name and version. */
        base = arena_printf(&req->arena, "charts/%s", base ? base + 1 : path);
        if ((!ends_in(path, ".tgz") && !ends_in(path, ".prov")) || !strcmp(base, path) ||
            !registry_get(req, repo, base, helm_fail))
            helm_fail_text(req, ERR_NOT_FOUND, "'%.200s' not found", path);
    }
}

/* --- PUT, POST --- */

static void helm_put(struct http_request *req, const struct repo *repo, const char *path)
{
    bool post = req->method == HTTP_M_POST;

    if (http_header(req, "content-range")) /* RFC 9110 §14.4 */
        helm_fail_text(req, ERR_BAD_REQUEST, "Content-Range is not understood");
    else if ((post && (!strcmp(path, "api/charts") || !*path)) || ends_in(path, ".tgz") ||
             ends_in(path, ".tar.gz"))
        helm_upload(req, repo, HELM_CHART);
    else if ((post && !strcmp(path, "api/prov")) || ends_in(path, ".prov"))
        helm_upload(req, repo, HELM_PROV);
    else
        helm_fail_text(req, ERR_BAD_REQUEST, "a chart is put to NAME-VERSION.tgz or posted to api/charts");
}

/* --- DELETE --- */

static void on_deleted(struct http_request *req, enum err e, const struct why *why)
{
    if (e)
        helm_fail(req, e, why);
    else
        http_reply(req, 204, NULL, NULL, 0);
}

static void helm_delete(struct http_request *req, const struct repo *repo, const char *path)
{
    size_t n = strlen(path);
    const char *chart = !strncmp(path, "api/charts/", 11)                       ? path + 11
                        : !strncmp(path, "charts/", 7) && !ends_in(path, ".tgz") &&
                                  !ends_in(path, ".prov")                       ? path + 7
                                                                                : NULL;

    if (repository_kind(repo) != REPO_LOCAL) /* of a proxy: what it has cached */
        registry_delete(req, repo, path, on_deleted);
    else if (chart && *chart && *chart != '/')
        helm_charts_delete(req, repo, chart);
    else if (*path == '.' || n == 0 || path[n - 1] == '/')
        helm_fail_text(req, ERR_BAD_REQUEST, "what is deleted is charts/NAME/VERSION or charts/NAME");
    else
        helm_remove(req, repo, path, false, on_deleted);
}

/* --- all --- */

static void helm_handle(struct http_request *req, const struct repo *repo, const char *path)
{
    static const struct format_verb verbs[] = {
        { HTTP_M_GET | HTTP_M_HEAD, REPO_READ, "read", helm_get },
        { HTTP_M_PUT | HTTP_M_POST, REPO_WRITE, "write to", helm_put },
        { HTTP_M_DELETE, REPO_DELETE, "delete from", helm_delete },
        { 0 },
    };

    format_dispatch(req, repo, path, verbs, helm_fail);
}

static enum err helm_check(const json_t *repo_config, struct why *why)
{
    static const char *const own_keys[] = { "redeploy", NULL };
    const char *type = json_string_value(json_object_get(repo_config, "type"));
    const json_t *redeploy = json_object_get(repo_config, "redeploy");
    const char *word = json_string_value(redeploy);
    enum err e = repository_check(repo_config, type && !strchr(type, '-') ? own_keys : NULL, why);

    if (!e && redeploy && (!word || (strcmp(word, "allow") && strcmp(word, "deny"))))
        e = fail(why, ERR_BAD_REQUEST, "'redeploy' must be \"allow\" or \"deny\"");
    return e;
}

static const char *const helm_aliases[] = { "helm", NULL };

const struct format helm_format = {
    .name = "helm",
    .aliases = helm_aliases,
    .caps = FORMAT_LOCAL | FORMAT_PROXY | FORMAT_GROUP,
    .handle = helm_handle,
    .check = helm_check,
    .remove = helm_remove,
    .importable = helm_importable,
    .import = helm_import,
    .import_places = true,
};
