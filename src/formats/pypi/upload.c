/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/pypi/upload.c: an upload as twine, uv, poetry and the like send it: a form, one part of
 * which is the file. An import begins at LOOK: its file says what a form would.
 *
 *   RECV ──→ SEAL ──→ LOOK ──→ SIDE ──→ COMMIT ──→ (freed)       any state → (freed) on failure
 *
 *   RECV    waits on the body: fields are kept, the file goes on into a stage (stage.h) piece by piece
 *   SEAL    waits on the stage; then digests and names are compared
 *   LOOK    waits on the pool, which reads the metadata in the file
 *   SIDE    waits on the stages of what is served beside the file: metadata (PEP 658), provenance (PEP 740)
 *   COMMIT  waits on registry_update: the project's document and the files, in one operation
 *
 * The client may go at any time: before COMMIT all is undone, from COMMIT on it ends by itself. What is
 * wrong with a form is said when all of it has come: a client that is still sending would not read it. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pantera/archive.h"
#include "pantera/clock.h"
#include "pantera/stage.h"
#include "src/formats/pypi/blake2b.h"
#include "src/formats/multipart.h"
#include "src/formats/pypi/project.h"
#include "src/formats/pypi/pypi.h"

#define METADATA_BYTES MIB(8)

enum upload_state { UPLOAD_RECV, UPLOAD_SEAL, UPLOAD_LOOK, UPLOAD_SIDE, UPLOAD_COMMIT };

struct upload_link { /* the request's memory: how it finds an upload that may be gone */
    struct upload *upload;
};

struct upload {
    enum upload_state state;
    struct http_request *req; /* NULL: the client is gone */
    struct upload_link *link;
    struct worker *worker;
    struct arena arena;
    const char *repo_name;
    int64_t repo_id;
    struct imported *imported; /* or NULL. It answers; `req` is none then */
    /* RECV */
    struct multipart multipart;
    struct form form, metadata;
    bool in_content, paused;
    const char *file_name; /* NULL: no file has come */
    struct blake2b blake;
    unsigned char blake2[32];
    enum err err; /* what is wrong with the form, or the file */
    struct why why;
    /* SEAL */
    struct stage *file, *side[2]; /* metadata, provenance */
    struct upload_facts facts;
    /* LOOK */
    struct buf text;
    unsigned sides; /* how many of them are still being stored */
    /* COMMIT */
    bool already;
};

static void drop_stages(struct upload *u)
{
    stage_drop(u->file);
    stage_drop(u->side[0]);
    stage_drop(u->side[1]);
    u->file = u->side[0] = u->side[1] = NULL;
}

static void upload_free(struct upload *u)
{
    if (u->link)
        u->link->upload = NULL;
    drop_stages(u);
    multipart_free(&u->multipart);
    form_free(&u->form);
    form_free(&u->metadata);
    buf_free(&u->text);
    arena_release(&u->arena);
    free(u);
}

/* The one end. */
static void upload_end(struct upload *u, enum err e, const struct why *why)
{
    struct http_request *req = u->req;
    struct why text = why ? *why : (struct why){ "" };

    struct imported *m = u->imported;

    if (m)
        m->already = m->already || u->already;
    if (m && e == ERR_FORBIDDEN) /* not who asks, but the project's status */
        e = ERR_CONFLICT;
    upload_free(u);
    if (m)
        imported_end(m, e, &text);
    if (!req)
        return;
    if (e)
        pypi_fail(req, e, &text);
    else
        http_reply(req, 200, "text/plain; charset=utf-8", "OK\n", 3);
}

static void upload_gone(void *arg)
{
    struct upload_link *link = arg;
    struct upload *u = link->upload;

    if (!u)
        return;
    link->upload = NULL;
    u->link = NULL;
    u->req = NULL;
    if (u->state != UPLOAD_LOOK && u->state != UPLOAD_COMMIT) /* which have a callback to come */
        upload_free(u);
}

/* NULL: it is gone, and so is the upload. */
static const struct repo *upload_repo(struct upload *u)
{
    const struct repo *repo = registry_repo(u->worker->registry, u->repo_name);

    if (repo && repo->id == u->repo_id)
        return repo;
    upload_end(u, ERR_NOT_FOUND, &(struct why){ "the repository does not exist any more" });
    return NULL;
}

/* --- COMMIT --- */

static enum err upload_apply(void *arg, const char *data, size_t size, struct buf *ret,
                             struct why *why)
{
    struct upload *u = arg;
    struct project_file file = { .facts = &u->facts,
                                 .digests = stage_digests(u->file),
                                 .blake2 = u->blake2,
                                 .size = stage_size(u->file),
                                 .now_ms = u->imported ? u->imported->made_ms : clock_wall_ms(),
                                 .metadata_sha256 =
                                     u->side[0] ? stage_digests(u->side[0])->sha256 : NULL,
                                 .provenance = u->side[1] != NULL,
                                 .fields = u->metadata.fields };
    json_t *project;
    enum err e = project_read(data, size, u->facts.name, &project, why);

    if (e)
        return e;
    e = project_add(project, &file, why);
    u->already = e == ERR_GONE;
    if (!e)
        e = project_write(project, ret, why);
    json_decref(project);
    return e;
}

static void upload_add(void *arg, struct commit *c)
{
    struct upload *u = arg;
    struct commit_what file = { .content_type = "application/octet-stream",
                                .name = u->facts.project,
                                .version = u->facts.version.text,
                                .if_absent = true };
    struct commit_what metadata = { .content_type = "text/plain; charset=utf-8", .hidden = true };
    struct commit_what provenance = { .content_type = "application/vnd.pypi.integrity.v1+json",
                                      .hidden = true };

    if (u->imported)
        commit_imported(c, u->imported, u->facts.path, u->file, &file);
    commit_put(c, u->facts.path, u->file, &file);
    if (u->side[0])
        commit_put(c, pypi_metadata_path(&u->arena, u->facts.project, u->facts.file_name),
                   u->side[0], &metadata);
    if (u->side[1])
        commit_put(c, pypi_provenance_path(&u->arena, u->facts.project, u->facts.file_name),
                   u->side[1], &provenance);
}

static void on_committed(enum err e, const struct why *why, void *arg)
{
    struct upload *u = arg;

    if (!e)
        u->file = u->side[0] = u->side[1] = NULL; /* they have their names */
    if (u->already)
        upload_end(u, OK, NULL);
    else if (e == ERR_PRECONDITION) /* a file that no document tells of: an import's */
        upload_end(u, ERR_CONFLICT, &(struct why){ "File already exists" });
    else
        upload_end(u, e, why);
}

static void upload_commit(struct upload *u)
{
    const struct repo *repo = upload_repo(u);
    struct registry_update update = { .content_type = "application/json",
                                      .limit = PROJECT_BYTES,
                                      .req = u->imported ? u->imported->req : u->req,
                                      .apply = upload_apply,
                                      .add = upload_add,
                                      .done = on_committed,
                                      .arg = u };

    if (!repo)
        return;
    u->state = UPLOAD_COMMIT;
    update.path = pypi_document_path(&u->arena, u->facts.project);
    registry_update(u->worker, repo, &update);
}

/* --- SIDE --- */

static void on_side(struct stage *s, enum err e, const struct why *why, void *arg)
{
    struct upload *u = arg;

    (void)s;
    if (e)
        upload_end(u, e, why);
    else if (--u->sides == 0)
        upload_commit(u);
}

/* PEP 740: what a client attests is kept and served, as it is; nobody here has looked at who signed it,
 * and the publisher's kind says so. */
static const char *provenance_text(struct upload *u)
{
    const char *text = form_text(&u->form, "attestations");
    json_t *list = text ? json_loads(text, 0, NULL) : NULL, *all;
    char *dump;
    const char *ret = NULL;

    if (json_is_array(list) && json_array_size(list)) {
        all = json_pack("{s:i, s:[{s:{s:s}, s:O}]}", "version", 1, "attestation_bundles",
                        "publisher", "kind", "unverified", "attestations", list);
        dump = json_dumps(all, JSON_COMPACT);
        ret = dump ? arena_strdup(&u->arena, dump) : NULL;
        free(dump);
        json_decref(all);
    }
    json_decref(list);
    return ret;
}

static void upload_side(struct upload *u)
{
    const struct repo *repo = upload_repo(u);
    const char *provenance;

    if (!repo)
        return;
    u->state = UPLOAD_SIDE;
    provenance = provenance_text(u);
    u->sides = (u->facts.file.kind == PYPI_WHEEL) + (provenance != NULL);
    if (u->facts.file.kind == PYPI_WHEEL)
        u->side[0] = stage_bytes(u->worker, repo, u->text.data, u->text.length, 0, on_side, u);
    if (provenance)
        u->side[1] = stage_bytes(u->worker, repo, provenance, strlen(provenance), 0, on_side, u);
    if (!u->sides)
        upload_commit(u);
}

/* --- LOOK --- */

/* PEP 427: "<distribution>-<version>.dist-info/METADATA"; what it says of itself is compared. */
static bool wheel_metadata(const char *path, void *arg)
{
    const char *slash = strchr(path, '/');

    (void)arg;
    return slash && slash - path > 10 && !strcmp(slash - 10, ".dist-info/METADATA");
}

/* An upload's client says these; an import's file does. */
static enum err look_facts(struct upload *u, int fd, struct why *why)
{
    static const char *const names[] = { "name", "version", "requires_python" };
    unsigned char block[KIB(16)];
    int64_t at = 0;
    ssize_t n;

    json_object_set_new(u->form.fields, ":action", json_string("file_upload"));
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (form_text(&u->metadata, names[i]))
            json_object_set_new(u->form.fields, names[i], json_string(form_text(&u->metadata, names[i])));
    while ((n = pread(fd, block, sizeof block, at)) > 0) {
        blake2b_update(&u->blake, block, (size_t)n);
        at += n;
    }
    if (n < 0)
        return ERR_IO;
    blake2b_final(&u->blake, u->blake2);
    return form_facts(&u->form, &u->arena, u->file_name, &u->facts, why);
}

static enum err look(int fd, struct why *why, void *arg)
{
    struct upload *u = arg;
    bool wheel = u->imported ? pypi_file_kind(u->file_name) == PYPI_WHEEL : u->facts.file.kind == PYPI_WHEEL;
    unsigned kinds = u->imported ? ARCHIVE_ZIP | ARCHIVE_TAR : u->facts.file.zip ? ARCHIVE_ZIP : ARCHIVE_TAR;
    enum err e = archive_find(fd, kinds, NULL, wheel ? wheel_metadata : archive_is_below,
                              wheel ? NULL : (char *)"PKG-INFO", &u->text, why);

    if (e == ERR_NOT_FOUND)
        e = fail(why, ERR_BAD_REQUEST, "Invalid distribution file: '%.100s' has no %s", u->file_name,
                 wheel ? "METADATA" : "PKG-INFO");
    if (!e)
        e = metadata_read(u->text.data, u->text.length, &u->metadata, why);
    if (!e && u->imported)
        e = look_facts(u, fd, why);
    if (!e)
        e = metadata_check(&u->metadata, &u->arena, &u->facts, why);
    if (!e && form_text(&u->metadata, "requires_python"))
        u->facts.requires_python = form_text(&u->metadata, "requires_python");
    return e == ERR_TOO_BIG ? ERR_BAD_REQUEST : e;
}

static void on_looked(enum err e, const struct why *why, void *arg)
{
    struct upload *u = arg;

    if (e || (!u->req && !u->imported))
        upload_end(u, e ? e : ERR_CLOSED, why);
    else
        upload_side(u);
}

/* --- SEAL --- */

static void on_sealed(struct stage *s, enum err e, const struct why *why, void *arg)
{
    struct upload *u = arg;

    if (!e)
        e = form_digests(&u->form, stage_digests(s), u->blake2, &u->why);
    if (e) {
        upload_end(u, e, u->why.text[0] ? &u->why : why);
        return;
    }
    u->state = UPLOAD_LOOK;
    stage_look(s, INT64_MAX, look, on_looked, u);
}

/* All has come. */
static void upload_seal(struct upload *u)
{
    if (!u->err)
        u->err = multipart_finish(&u->multipart, &u->why);
    if (!u->err && !u->file)
        u->err = fail(&u->why, ERR_BAD_REQUEST, "Upload payload does not have a file");
    if (!u->err)
        u->err = form_facts(&u->form, &u->arena, u->file_name, &u->facts, &u->why);
    if (u->err) {
        upload_end(u, u->err, &u->why);
        return;
    }
    blake2b_final(&u->blake, u->blake2);
    u->state = UPLOAD_SEAL;
    stage_finish(u->file, on_sealed, u);
}

/* --- RECV --- */

static void on_room(struct stage *s, void *arg)
{
    struct upload *u = arg;

    (void)s;
    u->paused = false;
    http_body_resume(u->req);
}

static enum err part_begin(const struct multipart_part *part, void *arg, struct why *why)
{
    struct upload *u = arg;
    const struct repo *repo;
    enum err e;

    u->in_content = !strcmp(part->name, "content");
    if (!u->in_content) {
        form_begin(&u->form, part->name);
        return OK;
    }
    if (u->file_name)
        return fail(why, ERR_BAD_REQUEST, "Upload payload has more than one file");
    if (!part->has_file_name)
        return fail(why, ERR_BAD_REQUEST, "Upload payload does not have a file");
    repo = registry_repo(u->worker->registry, u->repo_name);
    if (!repo || repo->id != u->repo_id)
        return fail(why, ERR_NOT_FOUND, "the repository does not exist any more");
    u->file_name = arena_strdup(&u->arena, part->file_name);
    /* Clients send the file last: what can't become one is not stored first. */
    if (form_text(&u->form, "name") && form_text(&u->form, "version") &&
        (e = form_facts(&u->form, &u->arena, u->file_name, &u->facts, why)))
        return e;
    u->file = stage_new(u->worker, repo, -1, -1, DIGEST_SHA256 | DIGEST_MD5);
    return OK;
}

static enum err part_data(const void *data, size_t size, void *arg, struct why *why)
{
    struct upload *u = arg;

    if (!u->in_content)
        return form_data(&u->form, data, size, why);
    blake2b_update(&u->blake, data, size);
    if (!stage_write(u->file, data, size, on_room, u) && !u->paused) {
        u->paused = true;
        http_body_pause(u->req);
    }
    return OK;
}

static enum err part_end(void *arg, struct why *why)
{
    struct upload *u = arg;

    return u->in_content ? OK : form_end(&u->form, why);
}

static void on_chunk(struct http_request *req, const void *data, size_t size, enum err e, void *arg)
{
    struct upload *u = ((struct upload_link *)arg)->upload;

    (void)req;
    if (!u)
        return;
    if (e) {
        upload_end(u, e == ERR_CLOSED ? ERR_BAD_REQUEST : e,
                   e == ERR_CLOSED ? &(struct why){ "the body ended early" } : NULL);
        return;
    }
    if (!size) {
        upload_seal(u);
        return;
    }
    if (u->err) /* the rest is read and thrown away */
        return;
    u->err = multipart_feed(&u->multipart, data, size, &u->why);
    if (u->err) {
        drop_stages(u);
        if (u->paused)
            on_room(NULL, u);
    }
}

static struct upload *upload_new(struct worker *w, const char *repo, int64_t repo_id)
{
    struct upload *u = calloc(1, sizeof *u);

    check(u);
    arena_init(&u->arena);
    form_init(&u->form);
    form_init(&u->metadata);
    buf_init(&u->text, METADATA_BYTES);
    blake2b_init(&u->blake);
    u->worker = w;
    u->repo_name = arena_strdup(&u->arena, repo);
    u->repo_id = repo_id;
    return u;
}

/* --- an import --- */

static const char *last_segment(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

enum err pypi_importable(const struct repo *repo, const char *path, struct why *why)
{
    (void)repo;
    if (*path != '.' && pypi_file_kind(last_segment(path)) != PYPI_OTHER)
        return OK;
    return fail(why, ERR_BAD_REQUEST, "'%.200s' is neither a wheel nor a source distribution; indexes and "
                "metadata are made here from those", path);
}

void pypi_import(struct imported *m)
{
    struct upload *u = upload_new(m->worker, m->repo, m->repo_id);

    u->imported = m;
    u->file_name = arena_strdup(&u->arena, last_segment(m->path));
    u->file = m->stage;
    m->stage = NULL;
    u->state = UPLOAD_LOOK;
    stage_look(u->file, INT64_MAX, look, on_looked, u);
}

/* --- the beginning --- */

void pypi_upload(struct http_request *req, const struct repo *repo)
{
    static const struct multipart_calls calls = { part_begin, part_data, part_end };
    struct upload *u = upload_new(worker_of(req), repo->name, repo->id);
    struct why why = { "" };
    enum err e;

    e = multipart_init(&u->multipart, http_header(req, "content-type"), &calls, u, &why);
    u->req = req;
    if (e) {
        upload_end(u, e, &why);
        return;
    }
    u->link = arena_alloc(&req->arena, sizeof *u->link);
    u->link->upload = u;
    http_on_end(req, upload_gone, u->link);
    http_body_read(req, -1, on_chunk, u->link);
}
