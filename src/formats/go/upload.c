/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/go/upload.c: a version of a module goes up, as one zip file.
 *
 *   BODY ──→ LOOK ──→ MOD ──→ INFO ──→ COMMIT ──→ (freed)      any state → (freed) on failure
 *                      ↑                  │ somebody else was there in between: again, three times at most
 *                      └──────────────────┘
 *
 *   BODY     the zip file streams into a stage
 *   LOOK     waits on the pool: zip.c
 *   MOD      .mod, unless it is there: then it must be the zip file's
 *   INFO     .info, unless it is there
 *   COMMIT   all of them or none
 *
 * .mod and .info may come on their own, before. A version never changes: the same bytes again are fine,
 * others are refused, for clients have their sums in go.sum. An import has its bytes in a stage already: of a
 * .mod or an .info they are read from there (TEXT). */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pantera/api.h"
#include "pantera/clock.h"
#include "pantera/stage.h"
#include "pantera/tether.h"
#include "src/formats/go/go.h"
#include "src/formats/go/zip.h"

enum { TRIES = 3, MOD_BODY = MIB(1) };

struct upload {
    struct http_request *req;    /* NULL: the client is gone; it goes on without */
    struct tether *tether;
    struct worker *worker;
    struct arena arena;
    const char *repo;
    struct go_path path;
    struct imported *imported;   /* or NULL. It answers; `req` is none then */
    struct stage *zip, *mod, *info; /* what is to be committed; NULL: not that one */
    bool info_again;             /* .info alone: it may be replaced */
    struct buf text;             /* go.mod */
    unsigned tries;
};

static void upload_end(struct upload *u, enum err e, const struct why *why)
{
    struct http_request *req = u->req;
    struct imported *m = u->imported;
    struct why text = why ? *why : (struct why){ "" };

    if (req)
        tether_cut(u->tether);
    if (u->zip)
        stage_drop(u->zip);
    if (u->mod)
        stage_drop(u->mod);
    if (u->info)
        stage_drop(u->info);
    buf_free(&u->text);
    arena_release(&u->arena);
    free(u);
    if (m)
        imported_end(m, e, &text);
    if (!req)
        return;
    if (e)
        api_fail(req, e, &text);
    else
        http_reply(req, 201, NULL, NULL, 0);
}

static const char *file(struct upload *u, const char *suffix)
{
    return arena_printf(&u->arena, "%s%s", u->path.stem, suffix);
}

static const struct repo *repo_now(struct upload *u)
{
    return registry_repo(u->worker->registry, u->repo);
}

/* Is it there, and what? */
static bool is_there(struct upload *u, const char *suffix, struct registry_stat *ret)
{
    const struct repo *repo = repo_now(u);

    return repo && !registry_stat(u->worker->registry, &u->arena, repo, file(u, suffix), ret);
}

static bool is_same(const struct registry_stat *stat, const struct stage *s)
{
    return !memcmp(stat->digests.sha256, stage_digests(s)->sha256, sizeof stat->digests.sha256);
}

/* --- COMMIT --- */

static void upload_check(struct upload *u);

static void on_committed(enum err e, const struct why *why, void *arg)
{
    struct upload *u = arg;

    if (!e)
        u->zip = u->mod = u->info = NULL; /* taken */
    if (e == ERR_PRECONDITION && ++u->tries < TRIES) {
        upload_check(u);
        return;
    }
    upload_end(u, e == ERR_PRECONDITION ? ERR_CONFLICT : e, why);
}

static void upload_commit(struct upload *u)
{
    const struct repo *repo = repo_now(u);
    struct commit_what what = { .name = u->path.module, .version = u->path.version, .if_absent = true };
    struct commit *c;

    if (!repo) {
        upload_end(u, ERR_NOT_FOUND, NULL);
        return;
    }
    c = commit_new(u->worker, repo, u->imported ? u->imported->req : u->req);
    if (u->imported)
        commit_imported(c, u->imported, NULL, NULL, NULL);
    what.content_type = "application/zip";
    if (u->zip)
        commit_put(c, file(u, ".zip"), u->zip, &what);
    what.content_type = "text/plain; charset=utf-8";
    if (u->mod)
        commit_put(c, file(u, ".mod"), u->mod, &what);
    what.content_type = "application/json";
    what.if_absent = !u->info_again;
    if (u->info)
        commit_put(c, file(u, ".info"), u->info, &what);
    commit_run(c, on_committed, u);
}

/* --- MOD and INFO --- */

static enum err conflict(struct upload *u, const char *suffix, struct why *why)
{
    return fail(why, ERR_CONFLICT, "%.150s@%.60s%s exists with other contents, and a version never changes",
                u->path.module, u->path.version, suffix);
}

static void on_info(struct stage *s, enum err e, const struct why *why, void *arg)
{
    struct upload *u = arg;

    (void)s;
    if (e)
        upload_end(u, e, why);
    else
        upload_commit(u);
}

static void upload_info(struct upload *u)
{
    const struct repo *repo = repo_now(u);
    struct registry_stat stat;
    char time[32];
    const char *text;

    if (u->info && is_there(u, ".info", &stat) && !u->info_again) {
        stage_drop(u->info);
        u->info = NULL;
    }
    if (u->info || !u->zip || is_there(u, ".info", &stat)) {
        upload_commit(u);
        return;
    }
    text = arena_printf(&u->arena, "{\"Version\":\"%s\",\"Time\":\"%s\"}", u->path.version,
                        clock_rfc3339(u->imported ? u->imported->made_ms : clock_wall_ms(), time));
    if (repo)
        u->info = stage_bytes(u->worker, repo, text, strlen(text), 0, on_info, u);
    else
        upload_end(u, ERR_NOT_FOUND, NULL);
}

static void upload_already(struct upload *u)
{
    if (u->imported)
        u->imported->already = true;
}

static void mod_decide(struct upload *u)
{
    struct registry_stat stat;
    struct why why;

    if (u->mod && is_there(u, ".mod", &stat)) {
        if (!is_same(&stat, u->mod)) {
            upload_end(u, conflict(u, ".mod", &why), &why);
            return;
        }
        stage_drop(u->mod);
        u->mod = NULL;
    }
    if (!u->zip && !u->mod && !u->info) {
        upload_already(u);
        upload_end(u, OK, NULL);
    }
    else
        upload_info(u);
}

static void on_mod(struct stage *s, enum err e, const struct why *why, void *arg)
{
    struct upload *u = arg;

    (void)s;
    if (e)
        upload_end(u, e, why);
    else
        mod_decide(u);
}

/* What is there already? Asked again when somebody was faster. */
static void upload_check(struct upload *u)
{
    const struct repo *repo = repo_now(u);
    struct registry_stat stat;
    struct why why;

    if (!repo) {
        upload_end(u, ERR_NOT_FOUND, NULL);
    } else if (!cluster_current(u->worker->cluster)) {
        upload_end(u, ERR_NOT_CURRENT, NULL);
    } else if (u->zip && is_there(u, ".zip", &stat)) {
        upload_already(u);
        upload_end(u, is_same(&stat, u->zip) ? OK : conflict(u, ".zip", &why), &why);
    } else if (u->mod || !u->text.length) {
        mod_decide(u);
    } else {
        u->mod = stage_bytes(u->worker, repo, u->text.data, u->text.length, 0, on_mod, u);
    }
}

/* --- LOOK --- */

static enum err look(int fd, struct why *why, void *arg)
{
    struct upload *u = arg;

    return go_zip_check(fd, u->path.module, u->path.version, &u->text, why);
}

static void on_looked(enum err e, const struct why *why, void *arg)
{
    if (e)
        upload_end(arg, e, why);
    else
        upload_check(arg);
}

/* --- BODY --- */

static struct upload *upload_new(struct worker *w, const char *repo, const struct go_path *p)
{
    struct upload *u = calloc(1, sizeof *u);

    check(u);
    arena_init(&u->arena);
    buf_init(&u->text, GO_MOD_BYTES);
    u->worker = w;
    u->repo = arena_strdup(&u->arena, repo);
    u->path.module = arena_strdup(&u->arena, p->module);
    u->path.version = arena_strdup(&u->arena, p->version);
    u->path.stem = arena_strdup(&u->arena, p->stem);
    return u;
}

struct incoming {                /* the request's memory */
    struct go_path path;
    const char *repo;
};

static struct upload *upload_for(struct http_request *req, const struct incoming *in)
{
    struct upload *u = upload_new(worker_of(req), in->repo, &in->path);

    u->tether = tether_tie(req, &u->req);
    return u;
}

static void on_zip(struct http_request *req, struct stage *s, enum err e, const struct why *why, void *arg)
{
    struct incoming *in = arg;
    struct upload *u;

    if (e) {
        api_fail(req, e, why);
        return;
    }
    u = upload_for(req, in);
    u->zip = s;
    stage_look(s, (int64_t)GO_ZIP_BYTES, look, on_looked, u);
}

static void on_mod_body(struct http_request *req, char *data, size_t size, enum err e, void *arg)
{
    struct incoming *in = arg;
    const char *said = !e && strlen(data) == size ? go_mod_module(&req->arena, data) : NULL;
    struct upload *u;

    if (e) {
        api_fail(req, e, NULL);
    } else if (!said || strcmp(said, in->path.module)) {
        api_fail_text(req, ERR_BAD_REQUEST, "go.mod says 'module %.150s', not '%.150s'", said ? said : "",
                      in->path.module);
    } else {
        u = upload_for(req, in);
        (void)buf_add(&u->text, data, size);
        upload_check(u);
    }
}

/* {"Version": "v1.0.0", "Time": "2026-01-02T03:04:05Z", …} */
static bool info_good(const char *data, size_t size, const char *version)
{
    json_t *info = json_loadb(data, size, JSON_REJECT_DUPLICATES, NULL);
    const json_t *time = json_object_get(info, "Time");
    const char *said = json_string_value(json_object_get(info, "Version"));
    const char *text = json_string_value(time);
    bool good = said && !strcmp(said, version) &&
                (!time || (text && strlen(text) >= 20 && text[4] == '-' && text[10] == 'T'));

    json_decref(info);
    return good;
}

static void on_info_body(struct http_request *req, char *data, size_t size, enum err e, void *arg)
{
    struct incoming *in = arg;
    const struct repo *repo = registry_repo(worker_of(req)->registry, in->repo);
    struct upload *u;

    if (e || !repo) {
        api_fail(req, e ? e : ERR_NOT_FOUND, NULL);
    } else if (!info_good(data, size, in->path.version)) {
        api_fail_text(req, ERR_BAD_REQUEST, "not JSON with the Version %.100s (and a Time)",
                      in->path.version);
    } else {
        u = upload_for(req, in);
        u->info_again = true;
        u->info = stage_bytes(u->worker, repo, data, size, 0, on_info, u);
    }
}

/* --- an import --- */

enum err go_importable(const struct repo *repo, const char *path, struct why *why)
{
    struct arena a;
    struct go_path p;
    enum err e;

    (void)repo;
    arena_init(&a);
    e = go_path_parse(&a, path, &p, why);
    if (!e && p.kind == GO_LIST)
        e = fail(why, ERR_BAD_REQUEST, "'%.200s': lists are made here from the zip files", path);
    else if (e || (p.kind != GO_ZIP && p.kind != GO_MOD && p.kind != GO_INFO))
        e = fail(why, ERR_BAD_REQUEST, "'%.200s' is not MODULE/@v/VERSION.zip, .mod or .info", path);
    else
        e = go_module_check(p.module, p.version, why);
    arena_release(&a);
    return e;
}

static enum err read_text(int fd, struct why *why, void *arg)
{
    struct upload *u = arg;
    const struct go_path *p = &u->path;
    enum err e = look_read(fd, &u->text, why);
    const char *said;

    if (e)
        return e;
    if (u->info)
        return info_good(u->text.data, u->text.length, p->version)
                   ? OK
                   : fail(why, ERR_BAD_REQUEST, "not JSON with the Version %.100s (and a Time)", p->version);
    said = strlen(u->text.data) == u->text.length ? go_mod_module(&u->arena, u->text.data) : NULL;
    return said && !strcmp(said, p->module)
               ? OK
               : fail(why, ERR_BAD_REQUEST, "go.mod says 'module %.150s', not '%.150s'", said ? said : "",
                      p->module);
}

static void on_text(enum err e, const struct why *why, void *arg)
{
    struct upload *u = arg;

    if (e)
        upload_end(u, e == ERR_TOO_BIG ? ERR_BAD_REQUEST : e, why);
    else if (u->info)
        upload_commit(u);
    else
        upload_check(u);
}

void go_import(struct imported *m)
{
    struct go_path p;
    struct why why;
    struct upload *u;
    struct stage *s = m->stage;

    check(!go_path_parse(&m->arena, m->path, &p, &why)); /* go_importable has seen it */
    u = upload_new(m->worker, m->repo, &p);
    u->imported = m;
    m->stage = NULL;
    u->info_again = p.kind == GO_INFO;
    *(p.kind == GO_ZIP ? &u->zip : p.kind == GO_MOD ? &u->mod : &u->info) = s;
    if (p.kind == GO_ZIP)
        stage_look(s, (int64_t)GO_ZIP_BYTES, look, on_looked, u);
    else
        stage_look(s, (int64_t)(p.kind == GO_MOD ? MOD_BODY : GO_INFO_LIMIT), read_text, on_text, u);
}

void go_put(struct http_request *req, const struct repo *repo, const struct go_path *p)
{
    struct incoming *in = arena_alloc(&req->arena, sizeof *in);
    struct why why = { "" };
    enum err e = go_module_check(p->module, p->version, &why);

    *in = (struct incoming){ *p, arena_strdup(&req->arena, repo->name) };
    if (e)
        api_fail(req, e, &why);
    else if (http_header(req, "content-range")) /* RFC 9110 §14.4 */
        api_fail_text(req, ERR_BAD_REQUEST, "Content-Range is not understood");
    else if (p->kind == GO_ZIP)
        stage_body(req, repo, (int64_t)GO_ZIP_BYTES, 0, NULL, on_zip, in);
    else if (p->kind == GO_MOD)
        http_body_collect(req, MOD_BODY, on_mod_body, in);
    else
        http_body_collect(req, GO_INFO_LIMIT, on_info_body, in);
}
