/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/helm/upload.c: a chart becomes a file and an entry of the index.
 *
 *   RECV ──→ SEAL ──→ LOOK ──→ PROV ──→ COMMIT ──→ (freed)       any state → (freed) on failure
 *
 *   RECV    waits on the body: a chart, a provenance, or a form with both
 *   SEAL    waits on the store's word that the chart is durable
 *   LOOK    waits on the pool: Chart.yaml
 *   PROV    waits on the provenance's stage
 *   COMMIT  waits on registry_update: the index and the files, in one operation
 *
 * The client may go at any time: in RECV all is undone, later it ends by itself. An import begins at LOOK,
 * with a chart, or at PROV: its chart may still be to come. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pantera/archive.h"
#include "pantera/clock.h"
#include "pantera/stage.h"
#include "pantera/tether.h"
#include "pantera/text.h"
#include "src/formats/helm/helm.h"
#include "src/formats/multipart.h"

#define PROV_BYTES MIB(1)
#define CHART_BYTES MIB(512)
#define CHART_YAML_BYTES MIB(1)

struct upload {
    struct http_request *req;    /* NULL: the client is gone */
    struct tether *tether;
    struct worker *worker;
    struct arena arena;
    const char *repo;
    struct imported *imported;   /* or NULL. It answers; `req` is none then */
    bool redeploy, museum;       /* museum: answered as ChartMuseum does */
    enum helm_upload what;       /* what a body is that is no form */
    /* RECV */
    bool receiving, form, paused;
    struct multipart multipart;
    const char *part;            /* the form's part that comes: "chart", "prov", or NULL */
    enum err err;
    struct why why;
    struct buf prov;
    struct stage *chart, *prov_stage;
    /* LOOK */
    json_t *entry;
    const char *path;            /* "charts/lib-1.0.0.tgz" */
    struct registry_update update;
};

struct link {                    /* the request's memory: how it finds an upload that may be gone */
    struct upload *upload;
};

static void upload_free(struct upload *u)
{
    stage_drop(u->chart);
    stage_drop(u->prov_stage);
    if (u->form)
        multipart_free(&u->multipart);
    buf_free(&u->prov);
    json_decref(u->entry);
    arena_release(&u->arena);
    free(u);
}

static void upload_end(struct upload *u, enum err e, const struct why *why)
{
    struct http_request *req = u->req;
    struct imported *m = u->imported;
    struct why text = why ? *why : (struct why){ "" };

    if (m && e == ERR_PRECONDITION)
        e = ERR_CONFLICT;
    if (req) {
        tether_cut(u->tether);
        if (!e && u->path)
            http_set_header(req, "Location", arena_printf(&req->arena, "/%s/%s", u->repo, u->path));
    }
    upload_free(u);
    if (m)
        imported_end(m, e, &text);
    if (!req)
        return;
    if (e)
        helm_fail(req, e, &text);
    else
        helm_reply(req, 201, json_pack("{s:b}", "saved", 1));
}

/* NULL: it is gone, and so is the upload. */
static const struct repo *upload_repo(struct upload *u)
{
    const struct repo *repo = registry_repo(u->worker->registry, u->repo);

    if (!repo)
        upload_end(u, ERR_NOT_FOUND, NULL);
    return repo;
}

/* --- COMMIT --- */

static const char *text_of(const struct upload *u, const char *name)
{
    return json_string_value(json_object_get(u->entry, name));
}

/* Pool thread. */
static enum err index_apply(void *arg, const char *data, size_t size, struct buf *ret, struct why *why)
{
    struct upload *u = arg;
    const json_t *known;
    json_t *index = NULL;
    enum err e = helm_index_read(data, size, &index, why);

    if (e)
        return e;
    known = helm_index_find(index, text_of(u, "name"), text_of(u, "version"));
    if (known && !strcmp(json_string_value(json_object_get(known, "digest")), text_of(u, "digest"))) {
        e = ERR_AGAIN;
        if (u->imported)
            u->imported->already = true;
    } else if (known && !u->redeploy) {
        e = fail(why, ERR_CONFLICT, "%s-%s.tgz already exists", text_of(u, "name"), text_of(u, "version"));
    } else {
        helm_index_put(index, json_deep_copy(u->entry)); /* the entry is asked for again at another try */
        helm_index_sort(index);
        e = helm_index_write(index, ret);
    }
    json_decref(index);
    return e;
}

static void files_add(void *arg, struct commit *c)
{
    struct upload *u = arg;
    struct commit_what what = { .content_type = "application/gzip" };

    if (u->entry) {
        what.name = text_of(u, "name");
        what.version = text_of(u, "version");
    }
    if (u->chart && u->imported)
        commit_imported(c, u->imported, u->path, u->chart, u->redeploy ? NULL : &what);
    if (u->chart)
        commit_put(c, u->path, u->chart, &what);
    what = (struct commit_what){ .content_type = "application/pgp-signature", .name = what.name,
                                 .version = what.version };
    if (u->imported && !u->chart)
        commit_imported(c, u->imported, NULL, NULL, NULL);
    if (u->prov_stage)
        commit_put(c, arena_printf(&u->arena, "%s.prov", u->path), u->prov_stage, &what);
}

static void on_committed(enum err e, const struct why *why, void *arg)
{
    struct upload *u = arg;

    if (!e)
        u->chart = u->prov_stage = NULL; /* taken */
    upload_end(u, e, why);
}

static void upload_commit(struct upload *u)
{
    const struct repo *repo = upload_repo(u);
    struct commit *c;

    if (!repo)
        return;
    if (u->chart) {
        u->update = (struct registry_update){ .path = HELM_INDEX, .content_type = "application/json",
                                              .limit = HELM_INDEX_LIMIT,
                                              .req = u->imported ? u->imported->req : u->req,
                                              .apply = index_apply, .add = files_add,
                                              .done = on_committed, .arg = u };
        registry_update(u->worker, repo, &u->update);
        return;
    }
    c = commit_new(u->worker, repo, u->imported ? u->imported->req : u->req);
    files_add(u, c);
    commit_run(c, on_committed, u);
}

/* --- PROV --- */

static void on_prov(struct stage *s, enum err e, const struct why *why, void *arg)
{
    (void)s;
    if (e)
        upload_end(arg, e, why);
    else
        upload_commit(arg);
}

/* A provenance is of a file with these bytes, and none other. */
static enum err prov_check(struct upload *u, const struct repo *repo, struct why *why)
{
    struct registry_stat stat;
    const char *sum, *file = helm_prov_file(&u->arena, u->prov.data, u->prov.length, &sum);
    const unsigned char *digest;
    char hex[65];

    if (!file)
        return fail(why, ERR_BAD_REQUEST, "the provenance names no file");
    if (u->path && strcmp(u->path + strlen("charts/"), file))
        return fail(why, ERR_BAD_REQUEST, "the provenance is of '%.100s'", file);
    u->path = arena_printf(&u->arena, "charts/%s", file);
    if (u->chart) {
        digest = stage_digests(u->chart)->sha256;
    } else {
        bool there = !registry_stat(u->worker->registry, &u->arena, repo, u->path, &stat);
        if (!there && u->imported)
            return OK;
        if (!there)
            return fail(why, ERR_NOT_FOUND, "a provenance of '%.100s', which is not there", file);
        digest = stat.digests.sha256;
    }
    hex_encode(digest, 32, hex);
    return strcmp(hex, sum) ? fail(why, ERR_BAD_REQUEST, "the provenance is of other bytes of '%.100s'", file)
                            : OK;
}

static void upload_prov(struct upload *u)
{
    const struct repo *repo = upload_repo(u);
    struct why why = { "" };
    enum err e;

    if (!repo)
        return;
    if (!u->prov.length)
        upload_commit(u);
    else if ((e = prov_check(u, repo, &why)))
        upload_end(u, e, &why);
    else
        u->prov_stage = stage_bytes(u->worker, repo, u->prov.data, u->prov.length, 0, on_prov, u);
}

/* --- LOOK --- */

static enum err look(int fd, struct why *why, void *arg)
{
    struct upload *u = arg;
    struct archive_limits limits = { .members = 20000, .unpacked_bytes = (int64_t)CHART_BYTES };
    struct buf text;
    enum err e;

    buf_init(&text, CHART_YAML_BYTES);
    e = archive_find(fd, ARCHIVE_TAR, &limits, archive_is_below, (void *)"Chart.yaml", &text, why);
    if (e == ERR_NOT_FOUND)
        e = fail(why, ERR_BAD_REQUEST, "no Chart.yaml in it");
    if (!e)
        e = helm_chart_read(text.data, text.length, &u->entry, why);
    buf_free(&text);
    return e;
}

static void entry_complete(struct upload *u)
{
    char hex[65], time[32];

    hex_encode(stage_digests(u->chart)->sha256, 32, hex);
    u->path = helm_chart_path(&u->arena, text_of(u, "name"), text_of(u, "version"));
    json_object_set_new(u->entry, "digest", json_string(hex));
    clock_rfc3339(u->imported ? u->imported->made_ms : clock_wall_ms(), time);
    json_object_set_new(u->entry, "created", json_string(time));
    json_object_set_new(u->entry, "urls", json_pack("[s]", u->path));
}

static void on_looked(enum err e, const struct why *why, void *arg)
{
    struct upload *u = arg;

    if (e) {
        upload_end(u, e, why);
        return;
    }
    entry_complete(u);
    upload_prov(u);
}

/* --- RECV --- */

static void on_sealed(struct stage *s, enum err e, const struct why *why, void *arg)
{
    if (e)
        upload_end(arg, e, why);
    else
        stage_look(s, (int64_t)CHART_BYTES, look, on_looked, arg);
}

static void upload_received(struct upload *u)
{
    struct why why = { "" };
    enum err e = u->err;

    u->receiving = false;
    if (!e && u->form)
        e = multipart_finish(&u->multipart, &u->why);
    if (!e && !u->chart && !u->prov.length)
        e = fail(&u->why, ERR_BAD_REQUEST, "neither a chart nor a provenance came");
    why = u->why;
    if (e)
        upload_end(u, e, &why);
    else if (u->chart)
        stage_finish(u->chart, on_sealed, u);
    else
        upload_prov(u);
}

static void on_room(struct stage *s, void *arg)
{
    struct upload *u = arg;

    (void)s;
    u->paused = false;
    if (u->req)
        http_body_resume(u->req);
}

static enum err chart_data(struct upload *u, const void *data, size_t size, struct why *why)
{
    const struct repo *repo = u->chart ? NULL : registry_repo(u->worker->registry, u->repo);

    if (!u->chart && !repo)
        return fail(why, ERR_NOT_FOUND, "the repository does not exist any more");
    if (!u->chart)
        u->chart = stage_new(u->worker, repo, -1, (int64_t)CHART_BYTES, 0);
    if (!stage_write(u->chart, data, size, on_room, u) && !u->paused) {
        u->paused = true;
        http_body_pause(u->req);
    }
    return OK;
}

static enum err prov_data(struct upload *u, const void *data, size_t size, struct why *why)
{
    return buf_add(&u->prov, data, size) ? fail(why, ERR_TOO_BIG, "the provenance is too large") : OK;
}

static enum err on_part(const struct multipart_part *part, void *arg, struct why *why)
{
    struct upload *u = arg;
    bool chart = !strcmp(part->name, "chart"), prov = !strcmp(part->name, "prov");

    if ((chart && u->chart) || (prov && u->prov.length))
        return fail(why, ERR_BAD_REQUEST, "two parts of the same name");
    u->part = chart ? "chart" : prov ? "prov" : NULL;
    return OK;
}

static enum err on_part_data(const void *data, size_t size, void *arg, struct why *why)
{
    struct upload *u = arg;

    if (!u->part)
        return OK;
    return u->part[0] == 'c' ? chart_data(u, data, size, why) : prov_data(u, data, size, why);
}

static enum err on_part_end(void *arg, struct why *why)
{
    (void)arg, (void)why;
    return OK;
}

static void on_chunk(struct http_request *req, const void *data, size_t size, enum err e, void *arg)
{
    struct link *link = arg;
    struct upload *u = link->upload;

    (void)req;
    if (!u || !u->receiving)
        return;
    if (e) {
        link->upload = NULL;
        upload_end(u, e == ERR_CLOSED ? ERR_BAD_REQUEST : e, NULL);
    } else if (!size) {
        link->upload = NULL;
        upload_received(u);
    } else if (u->err) {
        return; /* what is wrong is said when all has come: a client that sends would not read it */
    } else if (u->form) {
        u->err = multipart_feed(&u->multipart, data, size, &u->why);
    } else {
        u->err = (u->what == HELM_CHART ? chart_data : prov_data)(u, data, size, &u->why);
    }
}

static void on_gone(void *arg)
{
    struct link *link = arg;

    if (link->upload) /* still in RECV */
        upload_free(link->upload);
    link->upload = NULL;
}

static const struct multipart_calls calls = { on_part, on_part_data, on_part_end };

static struct upload *upload_new(struct worker *w, const struct repo *repo, enum helm_upload what)
{
    const char *redeploy = json_string_value(
        json_object_get(json_object_get(repo->config, "repo"), "redeploy"));
    struct upload *u = calloc(1, sizeof *u);

    check(u);
    arena_init(&u->arena);
    buf_init(&u->prov, PROV_BYTES);
    u->worker = w;
    u->repo = arena_strdup(&u->arena, repo->name);
    u->redeploy = redeploy && !strcmp(redeploy, "allow");
    u->what = what;
    return u;
}

/* --- an import --- */

static bool ends(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);

    return n > m && !strcmp(text + n - m, suffix);
}

enum err helm_importable(const struct repo *repo, const char *path, struct why *why)
{
    (void)repo;
    if (*path != '.' && (ends(path, ".tgz") || ends(path, ".tgz.prov")))
        return OK;
    return fail(why, ERR_BAD_REQUEST,
                "'%.200s' is neither a chart (.tgz) nor a chart's provenance (.tgz.prov); "
                "index.yaml is made here from the charts", path);
}

static enum err prov_read(int fd, struct why *why, void *arg)
{
    struct upload *u = arg;
    enum err e = look_read(fd, &u->prov, why);

    return !e && !u->prov.length ? fail(why, ERR_BAD_REQUEST, "the provenance is empty") : e;
}

static void on_prov_read(enum err e, const struct why *why, void *arg)
{
    if (e)
        upload_end(arg, e, why);
    else
        upload_prov(arg);
}

void helm_import(struct imported *m)
{
    const struct repo *repo = imported_repo(m);
    struct upload *u;

    if (!repo) {
        imported_end(m, ERR_NOT_FOUND, NULL);
        return;
    }
    u = upload_new(m->worker, repo, HELM_CHART);
    u->imported = m;
    if (ends(m->path, ".prov")) {
        stage_look(m->stage, (int64_t)PROV_BYTES, prov_read, on_prov_read, u);
        return;
    }
    u->chart = m->stage;
    m->stage = NULL;
    on_sealed(u->chart, OK, NULL, u);
}

/* --- the beginning --- */

void helm_upload(struct http_request *req, const struct repo *repo, enum helm_upload what)
{
    const char *type = http_header(req, "content-type");
    struct upload *u = upload_new(worker_of(req), repo, what);
    struct link *link = arena_alloc(&req->arena, sizeof *link);
    int64_t limit = (int64_t)(CHART_BYTES + PROV_BYTES);
    enum err e = OK;

    u->receiving = true;
    u->form = type && !strncasecmp(type, "multipart/", 10);
    u->tether = tether_tie(req, &u->req);
    if (u->form)
        e = multipart_init(&u->multipart, type, &calls, u, &u->why);
    if (e) {
        struct why why = u->why;
        upload_end(u, e, &why);
        return;
    }
    link->upload = u;
    http_on_end(req, on_gone, link);
    http_body_read(req, limit, on_chunk, link);
}
