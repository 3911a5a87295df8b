/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/pypi/legacy.c: /pypi/<project>/json and /pypi/<project>/<version>/json: what a version says
 * of itself, and its files, for tools that read PyPI's own JSON API. */
#include <stdlib.h>
#include <string.h>

#include "pantera/stage.h"
#include "pantera/tether.h"
#include "src/formats/pypi/names.h"
#include "src/formats/pypi/page.h"
#include "src/formats/pypi/project.h"
#include "src/formats/pypi/pypi.h"

struct legacy {
    struct http_request *req; /* NULL: the client is gone */
    struct tether *tether;
    struct worker *worker;
    struct arena arena;
    const char *project, *version, *base;
    char *data;
    size_t size;
    struct buf out;
    struct work work;
    enum err err;
    struct why why;
};

static void legacy_end(struct legacy *l, enum err e, const struct why *why)
{
    if (l->req)
        tether_cut(l->tether);
    if (l->req && e)
        pypi_fail(l->req, e, why);
    free(l->data);
    buf_free(&l->out);
    arena_release(&l->arena);
    free(l);
}

/* --- on the pool --- */

/* The newest that is neither a pre-release nor yanked; else the newest. */
static const char *newest(struct legacy *l, const json_t *project)
{
    struct pypi_version best = { 0 }, v;
    bool best_good = false;
    const char *reason;
    json_t *file;
    size_t i;

    json_array_foreach(json_object_get(project, "files"), i, file)
    {
        const char *text = json_string_value(json_object_get(file, "version"));
        if (!text || !pypi_version_parse(&l->arena, text, &v))
            continue;
        bool good = !v.pre && !v.dev && !page_yanked(file, &reason);
        if (!best.text || good > best_good ||
            (good == best_good && pypi_version_compare(&v, &best) > 0)) {
            best = v;
            best_good = good;
        }
    }
    return best.text;
}

static json_t *url_of(struct legacy *l, const json_t *file)
{
    const char *name = json_string_value(json_object_get(file, "filename")), *reason;
    const char *version = json_string_value(json_object_get(file, "version"));
    size_t n = strlen(name);
    bool yanked = page_yanked(file, &reason), wheel = n > 4 && !strcmp(name + n - 4, ".whl");
    json_t *hashes = json_object_get(file, "hashes"), *url = json_object();

    json_object_set_new(url, "filename", json_string(name));
    json_object_set_new(url, "packagetype", json_string(wheel ? "bdist_wheel" : "sdist"));
    json_object_set(url, "digests", hashes);
    json_object_set(url, "md5_digest", json_object_get(hashes, "md5"));
    json_object_set(url, "size", json_object_get(file, "size"));
    json_object_set(url, "upload_time_iso_8601", json_object_get(file, "upload-time"));
    json_object_set(url, "requires_python",
                    json_object_get(file, "requires-python")
                        ? json_object_get(file, "requires-python")
                        : json_null());
    json_object_set_new(url, "yanked", json_boolean(yanked));
    json_object_set_new(url, "yanked_reason", reason ? json_string(reason) : json_null());
    json_object_set_new(url, "url",
                        json_string(arena_printf(&l->arena, "%s/%s/%s/%s", l->base, l->project,
                                                 percent_encode(&l->arena, version, false),
                                                 percent_encode(&l->arena, name, false))));
    return url;
}

static json_t *answer(struct legacy *l, const json_t *project)
{
    json_t *releases = json_object(), *info = json_object(), *file, *urls, *said;
    size_t i;

    json_array_foreach(json_object_get(project, "files"), i, file)
    {
        const char *version = json_string_value(json_object_get(file, "version"));
        if (!json_object_get(releases, version))
            json_object_set_new(releases, version, json_array());
        json_array_append_new(json_object_get(releases, version), url_of(l, file));
    }
    said = json_object_get(json_object_get(project, "releases"), l->version);
    if (said)
        json_object_update(info, said);
    json_object_set(info, "name", json_object_get(project, "name"));
    json_object_set_new(info, "version", json_string(l->version));
    urls = json_object_get(releases, l->version);
    return json_pack("{s:o, s:O, s:o}", "info", info, "urls", urls, "releases", releases);
}

static int append(const char *data, size_t size, void *arg)
{
    return buf_add(arg, data, size) ? -1 : 0;
}

static void compose(struct work *work)
{
    struct legacy *l = container_of(work, struct legacy, work);
    json_t *project, *out;
    json_t *file;
    size_t i;
    bool found = false;

    if ((l->err = project_read(l->data, l->size, l->project, &project, &l->why)))
        return;
    if (!l->version)
        l->version = newest(l, project);
    json_array_foreach(json_object_get(project, "files"), i, file) found |=
        l->version && !strcmp(l->version, json_string_value(json_object_get(file, "version")));
    if (!found) {
        l->err = fail(&l->why, ERR_NOT_FOUND, "project '%.100s' has no such version", l->project);
    } else {
        out = answer(l, project);
        (void)json_dump_callback(out, append, &l->out, JSON_COMPACT);
        json_decref(out);
        l->err = buf_err(&l->out);
    }
    json_decref(project);
}

/* --- on the loop --- */

static void on_composed(struct work *work)
{
    struct legacy *l = container_of(work, struct legacy, work);

    if (!cluster_current(l->worker->cluster))
        l->err = ERR_NOT_CURRENT;
    if (l->req && !l->err)
        http_reply(l->req, 200, "application/json", l->out.data, l->out.length);
    legacy_end(l, l->err, &l->why);
}

static void on_loaded(enum err e, const struct why *why, const char *data, size_t size,
                      const struct digest_values *digests, void *arg)
{
    struct legacy *l = arg;

    (void)digests;
    if (e == ERR_NOT_FOUND && !cluster_current(l->worker->cluster))
        e = ERR_NOT_CURRENT;
    if (e || !l->req) {
        legacy_end(l, e ? e : ERR_CLOSED, why);
        return;
    }
    l->data = malloc(size + 1);
    check(l->data);
    memcpy(l->data, data, size);
    l->size = size;
    work_submit(&l->work, &l->worker->loop, compose, on_composed);
}

void pypi_legacy(struct http_request *req, const struct repo *repo, const char *project,
                 const char *version)
{
    struct pypi_version v;
    struct legacy *l;

    if (!pypi_name_valid(project) || (version && !pypi_version_parse(&req->arena, version, &v))) {
        pypi_fail_text(req, ERR_NOT_FOUND, "there is no project '%.100s'", project);
        return;
    }
    l = calloc(1, sizeof *l);
    check(l);
    arena_init(&l->arena);
    buf_init(&l->out, PAGE_BYTES);
    l->worker = worker_of(req);
    l->project = pypi_name_normal(&l->arena, project);
    l->version = version ? arena_strdup(&l->arena, v.text) : NULL;
    l->base = arena_strdup(&l->arena, pypi_base(req, repo));
    l->tether = tether_tie(req, &l->req);
    registry_load(l->worker, repo, pypi_document_path(&l->arena, l->project), PROJECT_BYTES,
                  on_loaded, l);
}
