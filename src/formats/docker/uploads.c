/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/docker/uploads.c: blobs come in: at once (POST ?digest=), by POST and PUT, in chunks (PATCH),
 * or from another image (POST ?mount=). Each step may be another node's: an upload is a session of the
 * registry.
 *
 *   POST → 202, Location → PATCH (202, Range)… → PUT ?digest= → 201
 *                          GET 204, DELETE 204 */
#include <stdlib.h>
#include <string.h>

#include "pantera/ids.h"
#include "pantera/session.h"
#include "pantera/tether.h"
#include "pantera/text.h"
#include "pantera/worker.h"
#include "src/formats/docker/docker.h"

enum { PLACES = 50 }; /* that a blob is looked for in */

/* One step of an upload, from its last byte on; it may outlive its request. */
struct step {
    struct http_request *req;    /* NULL: the client is gone */
    struct tether *tether;
    struct oci_call *call;       /* while req is there */
    struct worker *worker;
    struct stage *stage;         /* ours unless a commit or session took it */
    struct oci_digest digest;
    int64_t size;                /* of the session after this step */
    char id[37];                 /* of the session; "" none */
};

static struct step *step_new(struct oci_call *c, struct stage *stage)
{
    struct step *s = calloc(1, sizeof *s);

    check(s);
    s->call = c;
    s->worker = worker_of(c->req);
    s->stage = stage;
    s->tether = tether_tie(c->req, &s->req);
    return s;
}

/* The request, if it is there still; the step is gone. */
static struct http_request *step_end(struct step *s)
{
    struct http_request *req = s->req;

    if (req)
        tether_cut(s->tether);
    stage_drop(s->stage);
    free(s);
    return req;
}

/* --- answers --- */

static void set_range(struct http_request *req, int64_t size)
{
    http_set_header(req, "Range", arena_printf(&req->arena, "0-%lld", (long long)(size ? size - 1 : 0)));
}

static void reply_upload(struct oci_call *c, int status, const char *id, int64_t size)
{
    oci_location(c, "blobs/uploads", id);
    http_set_header(c->req, "Docker-Upload-UUID", id);
    set_range(c->req, size);
    http_reply(c->req, status, NULL, NULL, 0);
}

static void reply_created(struct oci_call *c, const struct oci_digest *d)
{
    const char *digest = oci_digest_text(&c->req->arena, d);

    oci_location(c, "blobs", digest);
    http_set_header(c->req, "Docker-Content-Digest", digest);
    http_reply(c->req, 201, NULL, NULL, 0);
}

static void fail_order(struct oci_call *c, const char *id, int64_t size)
{
    oci_location(c, "blobs/uploads", id);
    http_set_header(c->req, "Docker-Upload-UUID", id);
    set_range(c->req, size);
    oci_fail(c->req, 416, "BLOB_UPLOAD_INVALID", "the next chunk begins at %lld", (long long)size);
}

/* --- POST without more: a session --- */

static void on_opened(enum err e, const struct why *why, void *arg)
{
    struct step *s = arg;
    struct oci_call *c = s->call;
    char id[37];

    memcpy(id, s->id, sizeof id);
    if (!step_end(s))
        return;
    if (e)
        oci_fail_as(c->req, e, why, "NAME_UNKNOWN");
    else
        reply_upload(c, 202, id, 0);
}

static void upload_open(struct oci_call *c, const struct repo *repo)
{
    struct step *s = step_new(c, NULL);

    random_uuid(s->id);
    session_open(s->worker, repo, s->id, c->image, c->req->user, on_opened, s);
}

/* --- naming what is there: the end of each way --- */

static void on_named(enum err e, const struct why *why, void *arg)
{
    struct step *s = arg;
    struct oci_call *c = s->call;
    struct oci_digest digest = s->digest;

    if (!e)
        s->stage = NULL; /* the commit took it */
    if (!step_end(s))
        return;
    if (e)
        oci_fail_as(c->req, e, why, "NAME_UNKNOWN");
    else
        reply_created(c, &digest);
}

static void blob_name(struct step *s, const struct repo *repo)
{
    struct commit_what what = { .content_type = "application/octet-stream", .hidden = true };
    struct commit *commit = commit_new(s->worker, repo, s->req);

    commit_put(commit, blob_path(&s->req->arena, s->call->image, &s->digest), s->stage, &what);
    if (*s->id)
        commit_session(commit, s->id);
    commit_run(commit, on_named, s);
}

static void on_canceled(enum err e, const struct why *why, void *arg)
{
    struct step *s = arg;
    struct oci_call *c = s->call;

    (void)e, (void)why; /* what is left of it goes after a day */
    if (step_end(s))
        oci_fail(c->req, 400, "DIGEST_INVALID", "the bytes do not have the digest that was announced");
}

/* The bytes are durable. What was sent under a wrong name is worth nothing: its session ends too. */
static void blob_finish(struct step *s)
{
    struct oci_call *c = s->call;
    const struct repo *repo = oci_repo(c);

    if (!repo) {
        step_end(s);
    } else if (oci_digest_matches(&s->digest, stage_digests(s->stage))) {
        blob_name(s, repo);
    } else if (*s->id) {
        session_cancel(s->worker, repo, s->id, on_canceled, s);
    } else {
        on_canceled(OK, NULL, s);
    }
}

/* --- POST ?digest= --- */

static void on_posted(struct http_request *req, struct stage *stage, enum err e, const struct why *why,
                      void *arg)
{
    struct oci_call *c = arg;
    struct step *s;

    if (e) {
        oci_fail_as(req, e, why, "NAME_UNKNOWN");
        return;
    }
    s = step_new(c, stage);
    if (oci_digest_parse(query_get(&req->arena, req->query, "digest"), &s->digest))
        blob_finish(s);
    else
        step_end(s);
}

static void upload_at_once(struct oci_call *c, const struct repo *repo, const char *digest)
{
    struct oci_digest d;

    if (oci_digest_parse(digest, &d))
        stage_body(c->req, repo, -1, d.kind, NULL, on_posted, c);
    else
        oci_fail(c->req, 400, "DIGEST_INVALID", "'%.140s' is not a digest", digest);
}

/* --- POST ?mount=&from= --- */

static void on_mounted(enum err e, const struct why *why, void *arg)
{
    struct step *s = arg;
    struct oci_call *c = s->call;
    struct oci_digest digest = s->digest;
    const struct repo *repo;

    (void)why;
    if (!step_end(s))
        return;
    if (!e)
        reply_created(c, &digest);
    else if ((repo = oci_repo(c))) /* spec: "the registry MAY … return a 202 Accepted" */
        upload_open(c, repo);
}

/* spec: without `from` a registry may look for the blob itself: in images that this user may pull. */
static const char *mount_anywhere(struct oci_call *c, const struct repo *repo, const struct oci_digest *d)
{
    struct arena *a = &c->req->arena;
    struct digest_values wanted = oci_digest_values(d);
    struct registry_place places[PLACES];
    const char *suffix = blob_path(a, "", d);
    unsigned n = registry_places(worker_of(c->req)->registry, a, repo, &wanted, PLACES, places);

    for (unsigned i = 0; i < n; i++) {
        size_t length = strlen(places[i].path), tail = strlen(suffix);
        if (length <= tail || strcmp(places[i].path + length - tail, suffix))
            continue;
        const char *image = arena_strndup(a, places[i].path, length - tail);
        if (oci_may(c->req, places[i].repo, image, OCI_PULL))
            return arena_printf(a, "%s/%s", places[i].repo, image);
    }
    return NULL;
}

/* Where a mount would come from: its repository and path; NULL: nowhere that this user may know of. */
static const struct repo *mount_source(struct oci_call *c, const char *from, const struct oci_digest *d,
                                       const char **ret_path, struct registry_stat *ret)
{
    struct http_request *req = c->req;
    const char *slash = from ? strchr(from, '/') : NULL;
    const struct repo *source;

    if (!slash || !oci_name_valid(slash + 1))
        return NULL;
    source = registry_repo(worker_of(req)->registry,
                           arena_strndup(&req->arena, from, (size_t)(slash - from)));
    if (!source || strcmp(source->format, "docker") || !oci_may(req, source->name, slash + 1, OCI_PULL))
        return NULL;
    *ret_path = blob_path(&req->arena, slash + 1, d);
    return registry_stat(worker_of(req)->registry, &req->arena, source, *ret_path, ret) ? NULL : source;
}

static void upload_mount(struct oci_call *c, const struct repo *repo, const char *digest)
{
    struct http_request *req = c->req;
    struct commit_what what = { .content_type = "application/octet-stream", .hidden = true };
    const struct repo *source;
    struct registry_stat stat;
    struct oci_digest d;
    struct commit *commit;
    const char *path, *from;
    struct step *s;

    if (!oci_digest_parse(digest, &d)) {
        oci_fail(req, 400, "DIGEST_INVALID", "'%.140s' is not a digest", digest);
        return;
    }
    from = query_get(&req->arena, req->query, "from");
    source = mount_source(c, from ? from : mount_anywhere(c, repo, &d), &d, &path, &stat);
    if (!source) {
        upload_open(c, repo);
        return;
    }
    s = step_new(c, NULL);
    s->digest = d;
    commit = commit_new(s->worker, repo, req);
    commit_link(commit, blob_path(&req->arena, c->image, &d), source, path, stat.digests.sha256, &what);
    commit_run(commit, on_mounted, s);
}

void oci_uploads(struct oci_call *c, const struct repo *repo)
{
    struct http_request *req = c->req;
    const char *digest, *mount;

    if (req->method != HTTP_M_POST) {
        oci_not_allowed(req, "POST");
    } else if ((mount = query_get(&req->arena, req->query, "mount"))) {
        upload_mount(c, repo, mount);
    } else if ((digest = query_get(&req->arena, req->query, "digest"))) {
        upload_at_once(c, repo, digest);
    } else {
        upload_open(c, repo);
    }
}

/* --- an upload that is open: GET, PATCH, PUT, DELETE --- */

/* False: it was answered. Sessions are bound to an image: who may push to another learns nothing of them. */
static bool upload_find(struct oci_call *c, const struct repo *repo, struct session *ret)
{
    struct worker *w = worker_of(c->req);

    if (!session_find(w->registry, &c->req->arena, repo, c->reference, ret) && !strcmp(ret->scope, c->image))
        return true;
    oci_fail(c->req, 404, "BLOB_UPLOAD_UNKNOWN", "there is no upload '%.60s' into '%.100s'", c->reference,
             c->name);
    return false;
}

/* False: it was answered. Without Content-Range the body is what comes next. */
static bool chunk_in_order(struct oci_call *c, const struct session *session)
{
    const char *range = http_header(c->req, "content-range");
    int64_t first, last;

    if (!range)
        return true;
    if (!oci_range_parse(range, &first, &last)) {
        oci_fail(c->req, 400, "BLOB_UPLOAD_INVALID", "Content-Range: '%.60s' is not understood", range);
        return false;
    }
    if (first != session->size) {
        fail_order(c, c->reference, session->size);
        return false;
    }
    if (c->req->content_length >= 0 && c->req->content_length != last - first + 1) {
        oci_fail(c->req, 400, "SIZE_INVALID", "Content-Range and Content-Length differ");
        return false;
    }
    return true;
}

static void on_appended(enum err e, const struct why *why, void *arg)
{
    struct step *s = arg;
    struct oci_call *c = s->call;
    int64_t size = s->size;
    struct session session;
    const struct repo *repo;

    if (!e)
        s->stage = NULL;
    if (!step_end(s))
        return;
    if (!e) {
        reply_upload(c, 202, c->reference, size);
    } else if (e != ERR_RANGE) {
        oci_fail_as(c->req, e, why, "BLOB_UPLOAD_UNKNOWN");
    } else if ((repo = oci_repo(c)) && upload_find(c, repo, &session)) {
        fail_order(c, c->reference, session.size); /* another chunk came first */
    }
}

static void on_chunk(struct http_request *req, struct stage *stage, enum err e, const struct why *why,
                     void *arg)
{
    struct oci_call *c = arg;
    const struct repo *repo;
    struct session session;
    struct step *s;

    if (e) {
        oci_fail_as(req, e, why, "BLOB_UPLOAD_UNKNOWN");
        return;
    }
    s = step_new(c, stage);
    if (!(repo = oci_repo(c)) || !upload_find(c, repo, &session) || !chunk_in_order(c, &session)) {
        step_end(s);
        return;
    }
    if (repo->content_length_max > 0 && session.size + stage_size(stage) > repo->content_length_max) {
        step_end(s);
        oci_fail(req, 413, "SIZE_INVALID", "the repository takes %lld bytes at most",
                 (long long)repo->content_length_max);
        return;
    }
    s->size = session.size + stage_size(stage);
    session_append(s->worker, repo, c->reference, session.size, stage, on_appended, s);
}

/* --- PUT ?digest= --- */

static void on_joined(struct stage *stage, enum err e, const struct why *why, void *arg)
{
    struct step *s = arg;
    struct oci_call *c = s->call;

    s->stage = stage;
    if (!s->req) {
        step_end(s);
    } else if (e) {
        step_end(s);
        oci_fail_as(c->req, e, why, "BLOB_UPLOAD_UNKNOWN");
    } else {
        blob_finish(s);
    }
}

static void upload_close(struct oci_call *c, const struct repo *repo, struct stage *last)
{
    struct step *s = step_new(c, NULL);

    (void)oci_digest_parse(query_get(&c->req->arena, c->req->query, "digest"), &s->digest);
    memcpy(s->id, c->reference, strnlen(c->reference, sizeof s->id - 1));
    session_join(s->worker, repo, s->id, last, s->digest.kind, on_joined, s);
}

static void on_last(struct http_request *req, struct stage *stage, enum err e, const struct why *why,
                    void *arg)
{
    struct oci_call *c = arg;
    const struct repo *repo;
    struct session session;

    if (e) {
        oci_fail_as(req, e, why, "BLOB_UPLOAD_UNKNOWN");
        return;
    }
    if ((repo = oci_repo(c)) && upload_find(c, repo, &session) && chunk_in_order(c, &session))
        upload_close(c, repo, stage);
    else
        stage_drop(stage);
}

static void upload_put(struct oci_call *c, const struct repo *repo, const struct session *session)
{
    const char *text = query_get(&c->req->arena, c->req->query, "digest");
    struct oci_digest digest;

    if (!text || !oci_digest_parse(text, &digest))
        oci_fail(c->req, 400, "DIGEST_INVALID", "?digest= says what it is: '%.140s' is none", text ? text
                 : "");
    else if (!chunk_in_order(c, session))
        return;
    else if (c->req->content_length == 0)
        upload_close(c, repo, NULL);
    else
        stage_body(c->req, repo, -1, digest.kind, NULL, on_last, c);
}

static void on_deleted(enum err e, const struct why *why, void *arg)
{
    struct step *s = arg;
    struct oci_call *c = s->call;

    if (!step_end(s))
        return;
    if (e)
        oci_fail_as(c->req, e, why, "BLOB_UPLOAD_UNKNOWN");
    else
        http_reply(c->req, 204, NULL, NULL, 0);
}

/* A PUT whose answer was lost is asked again: the session is gone, and the blob is there. */
static bool was_closed(struct oci_call *c, const struct repo *repo)
{
    const char *text = query_get(&c->req->arena, c->req->query, "digest");
    struct registry_stat stat;
    struct oci_digest d;

    if (c->req->method != HTTP_M_PUT || c->req->content_length != 0 || !text || !oci_digest_parse(text, &d) ||
        registry_stat(worker_of(c->req)->registry, &c->req->arena, repo,
                      blob_path(&c->req->arena, c->image, &d), &stat) ||
        !cluster_current(worker_of(c->req)->cluster))
        return false;
    reply_created(c, &d);
    return true;
}

void oci_upload(struct oci_call *c, const struct repo *repo)
{
    struct http_request *req = c->req;
    struct session session;

    if (!(req->method & (HTTP_M_GET | HTTP_M_HEAD | HTTP_M_PATCH | HTTP_M_PUT | HTTP_M_DELETE))) {
        oci_not_allowed(req, "GET, PATCH, PUT, DELETE");
        return;
    }
    if (session_find(worker_of(req)->registry, &req->arena, repo, c->reference, &session) &&
        was_closed(c, repo))
        return;
    if (!upload_find(c, repo, &session))
        return;
    switch (req->method) {
    case HTTP_M_PATCH:
        if (chunk_in_order(c, &session))
            stage_body(req, repo, -1, 0, NULL, on_chunk, c);
        return;
    case HTTP_M_PUT:
        upload_put(c, repo, &session);
        return;
    case HTTP_M_DELETE:
        session_cancel(worker_of(req), repo, c->reference, on_deleted, step_new(c, NULL));
        return;
    default:
        if (cluster_current(worker_of(req)->cluster))
            reply_upload(c, 204, c->reference, session.size);
        else
            api_fail(req, ERR_NOT_CURRENT, NULL);
    }
}
