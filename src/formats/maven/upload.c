/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/maven/upload.c: a PUT. Files are streamed; a release's file is written once, unless the
 * repository says otherwise; checksums and metadata are compared and read, not kept (checksums.c,
 * documents.c). */
#include <stdlib.h>
#include <string.h>

#include "pantera/limits.h"
#include "pantera/stage.h"
#include "pantera/tether.h"
#include "src/formats/maven/maven.h"

struct upload {
    struct http_request *req;    /* NULL: the client is gone */
    struct tether *tether;
    struct stage *stage;
    struct worker *worker;
    bool once;                   /* it must not be there yet */
    char etag[72];
    char repo[LIMIT_NAME + 1];
    char path[LIMIT_PATH + 1];
};

/* --- a refusal before the body is read --- */

/* mvn sends its body without asking; unread, it would see a connection that broke instead of the reason. */
struct refusal {
    enum err err;
    struct why why;
};

static void on_ignored(struct http_request *req, const void *data, size_t size, enum err e, void *arg)
{
    struct refusal *r = arg;

    (void)data;
    if (!size && e != ERR_CLOSED)
        maven_fail(req, r->err, &r->why);
}

static void refuse(struct http_request *req, enum err e, const struct why *why)
{
    struct refusal *r = arena_alloc(&req->arena, sizeof *r);

    *r = (struct refusal){ e, *why };
    if (!req->has_body || http_header(req, "expect") || req->content_length > (int64_t)MIB(64))
        maven_fail(req, e, why);
    else
        http_body_read(req, (int64_t)MIB(64), on_ignored, r);
}

/* --- a file --- */

static void upload_end(struct upload *u, enum err e, const struct why *why)
{
    if (u->req) {
        tether_cut(u->tether);
        if (e) {
            maven_fail(u->req, e, why);
        } else {
            http_set_header(u->req, "ETag", u->etag);
            http_reply(u->req, 201, NULL, NULL, 0);
        }
    }
    free(u);
}

/* It is there already. The same bytes again are no harm: a client that did not hear our answer asks again. */
static void upload_again(struct upload *u)
{
    const struct repo *repo = registry_repo(u->worker->registry, u->repo);
    const struct digest_values *ours = stage_digests(u->stage);
    struct registry_stat stat;
    struct arena a;
    struct why why = { "" };
    enum err e;

    arena_init(&a);
    e = repo ? registry_stat(u->worker->registry, &a, repo, u->path, &stat) : ERR_NOT_FOUND;
    if (e)
        e = fail(&why, ERR_CONFLICT, "'%.200s' has just been changed; try again", u->path);
    else if (memcmp(stat.digests.sha256, ours->sha256, sizeof ours->sha256))
        e = fail(&why, ERR_CONFLICT,
                 "'%.150s' exists, and repository '%.60s' does not allow redeploying a release",
                 u->path, u->repo);
    else if (!cluster_current(u->worker->cluster))
        e = ERR_NOT_CURRENT;
    arena_release(&a);
    stage_drop(u->stage);
    upload_end(u, e, &why);
}

static void on_committed(enum err e, const struct why *why, void *arg)
{
    struct upload *u = arg;

    if (e == ERR_PRECONDITION && u->once) {
        upload_again(u);
        return;
    }
    if (e)
        stage_drop(u->stage);
    upload_end(u, e, why);
}

static void on_received(struct http_request *req, struct stage *s, enum err e, const struct why *why,
                        void *arg)
{
    struct worker *w = worker_of(req);
    struct upload *u = arg; /* the request's, so far */
    const struct repo *repo = registry_repo(w->registry, u->repo);
    const char *type = http_header(req, "content-type");
    struct commit_what what = { 0 };
    struct maven_path p;
    struct commit *c;

    if (!e && !repo) {
        stage_drop(s);
        e = ERR_NOT_FOUND;
        why = NULL;
    }
    if (e) {
        maven_fail(req, e, why);
        return;
    }
    u = malloc(sizeof *u);
    check(u);
    *u = *(struct upload *)arg;
    u->stage = s;
    u->tether = tether_tie(req, &u->req);
    strncpy(u->etag, stage_etag(s), sizeof u->etag - 1);
    maven_path_parse(&req->arena, u->path, &p);
    if (p.kind == MAVEN_ARTIFACT) {
        what.name = maven_package(&req->arena, &p);
        what.version = p.version;
    }
    /* What curl --data-binary says of anything. */
    if (type && strcmp(type, "application/x-www-form-urlencoded"))
        what.content_type = type;
    what.if_absent = u->once;
    c = commit_new(w, repo, req);
    commit_put(c, u->path, s, &what);
    commit_run(c, on_committed, u);
}

static void file_put(struct http_request *req, const struct repo *repo, const char *path,
                     const struct maven_path *p)
{
    struct upload *u = arena_alloc(&req->arena, sizeof *u);

    *u = (struct upload){ .worker = worker_of(req) };
    u->once = p->kind == MAVEN_ARTIFACT && !p->snapshot && !maven_rules_of(repo).redeploy;
    strncpy(u->repo, repo->name, sizeof u->repo - 1);
    strncpy(u->path, path, sizeof u->path - 1);
    stage_body(req, repo, -1, MAVEN_DIGESTS, NULL, on_received, u);
}

/* --- what may be put where --- */

enum err maven_judge(const struct repo *repo, const char *path, const struct maven_path *p, struct why *why)
{
    struct maven_rules rules = maven_rules_of(repo);
    size_t n = strlen(path);

    if (n == 0 || path[n - 1] == '/')
        return fail(why, ERR_BAD_REQUEST, "a file's path can't be empty or end in '/'");
    if (n > LIMIT_PATH)
        return fail(why, ERR_URI_TOO_LONG, "the path is longer than %d bytes", LIMIT_PATH);
    if (p->kind != MAVEN_ARTIFACT)
        return OK;
    if (p->snapshot && !rules.snapshots)
        return fail(why, ERR_CONFLICT, "repository '%.60s' takes no snapshots: %.100s", repo->name,
                    p->version);
    if (!p->snapshot && !rules.releases)
        return fail(why, ERR_CONFLICT, "repository '%.60s' takes snapshots only: %.100s", repo->name,
                    p->version);
    return OK;
}

void maven_put(struct http_request *req, const struct repo *repo, const char *path)
{
    struct maven_path p;
    struct why why = { "" };
    enum err e;

    maven_path_parse(&req->arena, path, &p);
    e = maven_judge(repo, path, &p, &why);
    /* RFC 9110 §14.4: a part of a file would be taken for the whole. */
    if (!e && http_header(req, "content-range"))
        e = fail(&why, ERR_BAD_REQUEST, "Content-Range is not understood");
    if (e)
        refuse(req, e, &why);
    else if (p.checksum)
        maven_checksum_put(req, repo, &p);
    else if (p.kind == MAVEN_METADATA)
        maven_document_put(req, repo, &p);
    else
        file_put(req, repo, path, &p);
}
