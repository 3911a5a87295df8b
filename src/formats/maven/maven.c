/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/maven/maven.c: Maven repositories (Maven 2 layout), which Gradle, sbt, Ivy and others read and
 * write too: methods, permissions, errors, the keys of a repository's configuration. */
#include "src/formats/maven/maven.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "pantera/api.h"
#include "src/formats/listing.h"
#include "src/formats/verbs.h"

/* --- errors --- */

/* RFC 9112 §4: what may stand in a reason phrase, and not too long. */
static const char *reason_of(struct arena *a, const char *text)
{
    char *reason = arena_strndup(a, text, strnlen(text, 300));

    for (char *c = reason; *c; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e)
            *c = '?';
    return reason;
}

void maven_fail(struct http_request *req, enum err e, const struct why *why)
{
    const char *text = why_text(why, e), *body, *head;

    /* These have headers that api_fail knows: challenges, Retry-After. */
    if (err_status(e) == 401 || err_status(e) == 429 || err_status(e) == 500 || err_status(e) == 503) {
        api_fail(req, e, why);
        return;
    }
    body = arena_printf(&req->arena, "%s\n", text);
    head = arena_printf(&req->arena, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\n",
                        err_status(e), reason_of(&req->arena, text));
    http_reply_prepared_bytes(req, err_status(e), head, strlen(head), body, strlen(body));
}

void maven_fail_text(struct http_request *req, enum err e, const char *fmt, ...)
{
    struct why why;
    va_list args;

    va_start(args, fmt);
    vsnprintf(why.text, sizeof why.text, fmt, args);
    va_end(args);
    maven_fail(req, e, &why);
}

/* --- configuration --- */

static const char *const words[][3] = { { "redeploy", "allow", "deny" }, { "checksums", "strict",
                                                                           "lenient" } };
static const char *const switches[] = { "snapshots", "releases" };
static const char *const own_keys[] = { "redeploy", "checksums", "snapshots", "releases", NULL };

static enum err maven_check(const json_t *repo_config, struct why *why)
{
    const char *type = json_string_value(json_object_get(repo_config, "type"));
    bool local = type && !strchr(type, '-'); /* others take no uploads */
    enum err e = repository_check(repo_config, local ? own_keys : NULL, why);

    for (size_t i = 0; !e && i < sizeof words / sizeof *words; i++) {
        const json_t *value = json_object_get(repo_config, words[i][0]);
        const char *word = json_string_value(value);
        if (value && (!word || (strcmp(word, words[i][1]) && strcmp(word, words[i][2]))))
            e = fail(why, ERR_BAD_REQUEST, "'%s' must be \"%s\" or \"%s\"", words[i][0], words[i][1],
                     words[i][2]);
    }
    for (size_t i = 0; !e && i < sizeof switches / sizeof *switches; i++) {
        const json_t *value = json_object_get(repo_config, switches[i]);
        if (value && !json_is_boolean(value))
            e = fail(why, ERR_BAD_REQUEST, "'%s' must be true or false", switches[i]);
    }
    return e;
}

struct maven_rules maven_rules_of(const struct repo *repo)
{
    const json_t *config = json_object_get(repo->config, "repo");
    const char *redeploy = json_string_value(json_object_get(config, "redeploy"));
    const char *checksums = json_string_value(json_object_get(config, "checksums"));

    return (struct maven_rules){
        .redeploy = redeploy && !strcmp(redeploy, "allow"),
        .snapshots = !json_is_false(json_object_get(config, "snapshots")),
        .releases = !json_is_false(json_object_get(config, "releases")),
        .lenient = checksums && !strcmp(checksums, "lenient"),
    };
}

/* --- requests --- */

static void maven_get(struct http_request *req, const struct repo *repo, const char *path)
{
    struct maven_path p;
    size_t n = strlen(path);

    if (n == 0 || path[n - 1] == '/') {
        /* Upstream's folders are its own: of a proxy what is cached is listed, of a group nothing. */
        if (repository_kind(repo) == REPO_GROUP ||
            !format_listing(req, repo, n ? arena_strndup(&req->arena, path, n - 1) : ""))
            maven_fail_text(req, ERR_NOT_FOUND, "'%.200s' not found", path);
        return;
    }
    maven_path_parse(&req->arena, path, &p);
    if (p.kind == MAVEN_METADATA)
        maven_document_get(req, repo, &p);
    else if (p.checksum)
        maven_checksum_get(req, repo, path, &p);
    else if (repository_kind(repo) != REPO_LOCAL)
        maven_elsewhere_get(req, repo, &p);
    else if (!registry_get(req, repo, path, maven_fail) && !format_listing(req, repo, path))
        maven_fail_text(req, ERR_NOT_FOUND, "'%.200s' not found", path);
}

static void on_deleted(struct http_request *req, enum err e, const struct why *why)
{
    if (e)
        maven_fail(req, e, why);
    else
        http_reply(req, 204, NULL, NULL, 0);
}

/* A file, or with a slash at the end a folder and all below it. Metadata follows by itself. */
static void maven_delete(struct http_request *req, const struct repo *repo, const char *path)
{
    struct maven_path p;
    size_t n = strlen(path);

    maven_path_parse(&req->arena, path, &p);
    if (n == 0)
        maven_fail_text(req, ERR_BAD_REQUEST, "the whole repository can't be deleted this way");
    else if (path[n - 1] == '/')
        registry_delete_tree(req, repo, arena_strndup(&req->arena, path, n - 1), on_deleted);
    else if (p.kind == MAVEN_METADATA)
        maven_fail_text(req, ERR_CONFLICT, "maven-metadata.xml is made by the server from what is there");
    else
        registry_delete(req, repo, path, on_deleted);
}

static void maven_handle(struct http_request *req, const struct repo *repo, const char *path)
{
    static const struct format_verb verbs[] = {
        { HTTP_M_GET | HTTP_M_HEAD, REPO_READ, "read", maven_get },
        { HTTP_M_PUT, REPO_WRITE, "write to", maven_put },
        { HTTP_M_DELETE, REPO_DELETE, "delete from", maven_delete },
        { 0 },
    };

    if (*path == '.') /* documents of ours */
        maven_fail_text(req, ERR_NOT_FOUND, "'%.200s' not found", path);
    else
        format_dispatch(req, repo, path, verbs, maven_fail);
}

const struct format maven_format = {
    .name = "maven",
    .caps = FORMAT_LOCAL | FORMAT_PROXY | FORMAT_GROUP,
    .handle = maven_handle,
    .check = maven_check,
    .importable = maven_importable,
    .import = maven_import,
    .import_digests = MAVEN_DIGESTS,
};

/* The same under the name that Gradle's users look for. */
const struct format gradle_format = {
    .name = "gradle",
    .caps = FORMAT_LOCAL | FORMAT_PROXY | FORMAT_GROUP,
    .handle = maven_handle,
    .check = maven_check,
    .importable = maven_importable,
    .import = maven_import,
    .import_digests = MAVEN_DIGESTS,
};
