/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/pypi/index.c: a project's page, and where its files are: what document.h wants to know, so that
 * hosted, proxy and group repositories come from the registry. A remote's url is that of an index, as clients
 * are given it: ".../simple/". */
#include <string.h>

#include "pantera/document.h"
#include "pantera/stage.h"
#include "src/formats/pypi/names.h"
#include "src/formats/pypi/page.h"
#include "src/formats/pypi/project.h"
#include "src/formats/pypi/pypi.h"

#define ACCEPT \
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"

/* --- the page --- */

static bool judged(const void *policy, const char *version, int64_t released_ms, int64_t *ret_until_ms)
{
    struct policy_verdict_of v = policy_judge(policy, version, released_ms);

    *ret_until_ms = v.until_ms;
    return v.allowed;
}

static enum err compose(const struct document_request *q, const struct document_source *sources,
                        unsigned count, struct buf *ret, struct document_answer *answer, struct why *why)
{
    struct page_request request = { .base = q->base, .project = q->package, .variant = q->variant,
                                    .arena = q->arena, .whole = q->whole };
    struct page_source *pages = arena_alloc(q->arena, (count + 1) * sizeof *pages);

    for (unsigned i = 0; i < count; i++)
        pages[i] = (struct page_source){ .data = sources[i].data, .size = sources[i].size,
                                         .content_type = sources[i].content_type, .ours = !sources[i].proxied,
                                         .allowed = sources[i].policy ? judged : NULL,
                                         .policy = sources[i].policy };
    answer->content_type = page_content_type(q->variant);
    answer->headers[0][0] = "Vary";
    answer->headers[0][1] = "Accept";
    return page_compose(&request, pages, count, ret, &answer->valid_until_ms, why);
}

static const struct document_kind page_kind = { .name = "pypi", .limit = PROJECT_BYTES, .compose = compose };

static void document_of(struct arena *a, const char *project, const char *variant, struct document *ret)
{
    *ret = (struct document){ .kind = &page_kind, .path = pypi_document_path(a, project), .package = project,
                              .url_path = arena_printf(a, "%s/", project), .accept = ACCEPT,
                              .variant = variant };
}

void pypi_page(struct http_request *req, const struct repo *repo, const char *project)
{
    const char *format = query_get(&req->arena, req->query, "format");
    const char *variant = pypi_variant(http_header(req, "accept"), format);
    struct document d;

    if (!variant) {
        pypi_fail_text(req, ERR_NOT_ACCEPTABLE, "the index is HTML or JSON of the simple API, version 1");
        return;
    }
    document_of(&req->arena, project, variant, &d);
    registry_document(req, repo, &d, pypi_fail);
}

void pypi_legacy(struct http_request *req, const struct repo *repo, const char *project, const char *version)
{
    struct arena *a = &req->arena;
    struct pypi_version v;
    struct document d;

    if (!pypi_name_valid(project) || (version && !pypi_version_parse(a, version, &v))) {
        pypi_fail_text(req, ERR_NOT_FOUND, "there is no project '%.100s'", project);
        return;
    }
    document_of(a, pypi_name_normal(a, project),
                version ? arena_printf(a, "legacy %s", v.text) : "legacy", &d);
    registry_document(req, repo, &d, pypi_fail);
}

/* --- files --- */

/* The best of the digests that a page tells. */
static void digests_of(const json_t *hashes, struct digest_values *ret)
{
    static const struct {
        const char *name;
        enum digest_kind kind;
        size_t offset, size;
    } known[] = {
        { "sha256", DIGEST_SHA256, offsetof(struct digest_values, sha256), 32 },
        { "sha512", DIGEST_SHA512, offsetof(struct digest_values, sha512), 64 },
        { "sha1", DIGEST_SHA1, offsetof(struct digest_values, sha1), 20 },
        { "md5", DIGEST_MD5, offsetof(struct digest_values, md5), 16 },
    };

    ret->kinds = 0;
    for (size_t i = 0; i < sizeof known / sizeof *known && !ret->kinds; i++) {
        const char *hex = json_string_value(json_object_get(hashes, known[i].name));
        if (hex && strlen(hex) == 2 * known[i].size &&
            hex_decode(hex, 2 * known[i].size, (char *)ret + known[i].offset))
            ret->kinds = known[i].kind;
    }
}

/* PEP 658: the metadata is where the file is, with ".metadata" behind its path. */
static const char *metadata_url(struct arena *a, const char *url)
{
    size_t n = strcspn(url, "?#");

    return arena_printf(a, "%.*s.metadata%s", (int)n, url, url + n);
}

static enum err locate(const struct document_source *index, const struct file_want *want, struct arena *a,
                       struct file_facts *ret, struct why *why)
{
    const char *name = strrchr(want->path, '/'), *url, *time;
    bool metadata = want->path[0] == '.';
    const json_t *file, *hashes;
    json_t *page;
    enum err e = page_read(index->data, index->size, index->content_type, &page, why);

    if (e)
        return e;
    name = name ? name + 1 : want->path;
    file = page_file(page, name);
    url = json_string_value(json_object_get(file, "url"));
    hashes = json_object_get(file, "hashes");
    if (metadata && !(hashes = json_object_get(file, "core-metadata")))
        hashes = json_object_get(file, "dist-info-metadata");
    if (!url || !hashes || json_is_false(hashes)) {
        e = fail(why, ERR_NOT_FOUND, "the index knows no '%.150s'", name);
    } else {
        time = json_string_value(json_object_get(file, "upload-time"));
        ret->url = metadata ? metadata_url(a, url) : arena_strdup(a, url);
        if (!time || !pypi_time_parse(time, &ret->released_ms))
            ret->released_ms = 0;
        digests_of(hashes, &ret->digests);
    }
    json_decref(page);
    return e;
}

/* A project that is quarantined here gives out no files, of a group neither. */
static bool quarantined(struct http_request *req, const struct repo *repo, const char *project,
                        unsigned depth)
{
    const json_t *members = json_object_get(json_object_get(repo->config, "repo"), "members"), *name;
    struct registry *r = worker_of(req)->registry;
    struct registry_stat stat;
    size_t i;

    if (repository_kind(repo) == REPO_LOCAL)
        return !registry_stat(r, &req->arena, repo, pypi_quarantine_path(&req->arena, project), &stat);
    json_array_foreach ((json_t *)members, i, name) {
        const struct repo *member = registry_repo(r, json_string_value(name));
        if (member && depth && quarantined(req, member, project, depth - 1))
            return true;
    }
    return false;
}

static const char *without(struct arena *a, const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);

    return n > m && !strcmp(name + n - m, suffix) ? arena_strndup(a, name, n - m) : NULL;
}

/* The version that the file's name says is what policy is asked about: the one in the path must be it. */
static const char *version_of(struct arena *a, const char *project, const char *version,
                              const char *file_name)
{
    struct pypi_version said;
    struct pypi_file file;

    if (!pypi_file_parse(a, project, file_name, &file))
        return strcmp(version, "unknown") ? NULL : version;
    return pypi_version_parse(a, version, &said) && !pypi_version_compare(&said, &file.version)
               ? file.version.text
               : NULL;
}

enum { DEPTH = 8 };

void pypi_file(struct http_request *req, const struct repo *repo, const char *project, const char *version,
               const char *name)
{
    struct arena *a = &req->arena;
    struct file_want want = { .package = project, .digest_kinds = DIGEST_SHA256 | DIGEST_MD5,
                              .locate = locate };
    const char *of;
    struct document d;

    if (quarantined(req, repo, project, DEPTH)) {
        pypi_fail_text(req, ERR_FORBIDDEN, "Project '%.100s' is quarantined", project);
        return;
    }
    if ((of = without(a, name, ".metadata")))
        want.path = pypi_metadata_path(a, project, of);
    else if ((of = without(a, name, ".provenance")))
        want.path = pypi_provenance_path(a, project, of);
    else
        want.path = arena_printf(a, "%s/%s/%s", project, version, name);
    want.version = version_of(a, project, version, of ? of : name);
    if (!want.version || strcmp(pypi_name_normal(a, project), project)) {
        pypi_fail_text(req, ERR_NOT_FOUND, "'%.200s' not found", name);
        return;
    }
    if (of)
        want.version = NULL; /* what a file would need is told of blocked ones too */
    document_of(a, project, NULL, &d);
    want.index = &d;
    if (of && strcmp(want.path, pypi_metadata_path(a, project, of))) /* of hosted files only */
        want.index = NULL, want.locate = NULL;
    registry_file(req, repo, &want, pypi_fail);
}
