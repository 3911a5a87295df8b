/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/put.c: a body becomes an artifact.
 *
 *   RECEIVE ──→ COMMIT ──→ (freed)        RECEIVE → (freed) on failure
 *
 *   RECEIVE waits on the stage (stage_body.c): bytes durable, digests known; then they are compared
 *   COMMIT  waits on artifact.put; an import goes to its format instead (import.c)
 *
 * The client may go at any time: before COMMIT all is undone, from COMMIT on the operation ends by itself
 * and nobody is told. */
#include <stdlib.h>
#include <string.h>

#include "pantera/limits.h"
#include "pantera/tether.h"
#include "src/registry/staging.h"

struct put {                     /* from COMMIT on; before, it is the request's */
    struct http_request *req;    /* NULL: the client is gone */
    struct tether *tether;
    struct worker *worker;
    struct stage *stage;
    registry_put_cb *done;
    struct proposal proposal;
    struct registry_put_result result;
};

struct receive {                 /* what the client asked for; the request's memory */
    int64_t repo_id, made_ms;
    const char *repo, *path, *content_type, *owner, *op;
    void (*take)(struct imported *m);
    json_t *session;
    bool if_absent;
    const char *if_sha256;
    struct digest_values expected;
    int64_t size;                /* -1: did not say */
    registry_put_cb *done;
};

/* --- COMMIT --- */

static void on_committed(struct proposal *proposal)
{
    struct put *p = proposal->arg;
    enum err e = proposal->err;

    if (!e) {
        p->result.created = json_is_true(json_object_get(proposal->result, "created"));
        p->result.already = json_is_true(json_object_get(proposal->result, "already"));
        stage_named(p->stage);
    } else {
        if (e == ERR_UNAVAILABLE)
            stage_worthless(p->stage);
        stage_drop(p->stage);
    }
    json_decref(proposal->result);
    if (p->req) {
        tether_cut(p->tether);
        p->done(p->req, e, &proposal->why, e ? NULL : &p->result);
    }
    free(p);
}

static void result_of(const struct stage *s, struct registry_put_result *ret)
{
    *ret = (struct registry_put_result){ .size = stage_size(s), .digests = *stage_digests(s) };
    memcpy(ret->etag, stage_etag(s), strlen(stage_etag(s)) + 1);
}

static void put_commit(struct http_request *req, const struct receive *r, struct stage *s, json_t *args)
{
    struct put *p = calloc(1, sizeof *p);

    check(p);
    p->worker = worker_of(req);
    p->stage = s;
    p->done = r->done;
    result_of(s, &p->result);
    p->tether = tether_tie(req, &p->req);
    json_object_set_new(args, "repo_id", json_integer(r->repo_id));
    json_object_set_new(args, "owner", r->owner ? json_string(r->owner) : json_null());
    json_object_set_new(args, "if_sha256", r->if_sha256 ? json_string(r->if_sha256) : json_null());
    json_object_set_new(args, "if_absent", json_boolean(r->if_absent));
    if (r->session)
        json_object_set(args, "session", r->session);
    json_object_set_new(args, "_audit", audit_envelope(req));
    p->proposal = (struct proposal){ .op = r->op, .args = args, .home = &p->worker->loop,
                                     .on_done = on_committed, .arg = p };
    cluster_propose(p->worker->cluster, &p->proposal);
}

/* --- RECEIVE --- */

/* RFC 9530 §2 leaves the status to us: 422 says that the bytes are not those that were announced. */
static enum err put_compare(const struct receive *r, const struct stage *s, struct why *why)
{
    if (r->size >= 0 && r->size != stage_size(s))
        return fail(why, ERR_DIGEST_MISMATCH, "Size mismatch: expected %lld got %lld",
                    (long long)r->size, (long long)stage_size(s));
    return announced_compare(&r->expected, stage_digests(s), why);
}

static void put_give(struct http_request *req, const struct receive *r, struct stage *s)
{
    const struct imported_order o = {
        .repo = r->repo, .path = r->path, .content_type = r->content_type, .owner = r->owner,
        .repo_id = r->repo_id, .made_ms = r->made_ms, .session = r->session, .take = r->take,
        .done = r->done,
    };

    imported_begin(req, &o, s);
}

static void on_received(struct http_request *req, struct stage *s, enum err e, const struct why *why,
                        void *arg)
{
    struct receive *r = arg;
    struct registry_put_result result;
    struct why text = { "" };
    json_t *args;

    if (e) {
        r->done(req, e, why, NULL);
    } else if ((e = put_compare(r, s, &text))) {
        result_of(s, &result);
        stage_drop(s);
        r->done(req, e, &text, &result);
    } else if (r->take) {
        put_give(req, r, s);
    } else if (!(args = stage_args(s, r->path, r->content_type))) { /* only text can do that */
        stage_drop(s);
        r->done(req, ERR_BAD_REQUEST, &(struct why){ "Content-Type is not valid text" }, NULL);
    } else {
        put_commit(req, r, s, args);
    }
}

/* RFC 9110 §13.1: of a PUT, what can be decided where the rows are: in the operation. Of If-Match one
 * tag is understood, ours: a SHA-256. */
static enum err put_conditions(struct http_request *req, struct receive *r, struct why *why)
{
    const char *none = http_header(req, "if-none-match"), *match = http_header(req, "if-match");
    size_t n = match ? strlen(match) : 0;

    if (none && strcmp(none, "*"))
        return fail(why, ERR_BAD_REQUEST, "of If-None-Match only \"*\" has a meaning for a PUT");
    r->if_absent = none != NULL;
    if (!match)
        return OK;
    if (n != 66 || match[0] != '"' || match[65] != '"')
        return fail(why, ERR_PRECONDITION, "If-Match is not an entity tag of ours");
    r->if_sha256 = arena_strndup(&req->arena, match + 1, 64);
    return OK;
}

static enum err put_check(struct http_request *req, const struct repo *repo, struct receive *r,
                          const struct digest_values *expected, struct why *why)
{
    int64_t max = repo->content_length_max;
    enum err e;

    if (strlen(r->path) > LIMIT_PATH)
        return fail(why, ERR_URI_TOO_LONG, "the path is longer than %d bytes", LIMIT_PATH);
    if (max > 0 && req->content_length > max)
        return fail(why, ERR_TOO_BIG, "the repository takes %lld bytes at most", (long long)max);
    if ((e = announced_digests(req, &req->arena, &r->expected, why)) ||
        (e = announced_add(&r->expected, expected, why)))
        return e;
    if (r->take && (http_header(req, "if-match") || http_header(req, "if-none-match")))
        return fail(why, ERR_BAD_REQUEST, "If-Match and If-None-Match mean nothing to an import into this "
                    "repository");
    return put_conditions(req, r, why);
}

static void session_free(void *arg)
{
    json_decref(arg);
}

void registry_put_as(struct http_request *req, const struct repo *repo, const char *path,
                     const char *content_type, unsigned digest_kinds,
                     const struct registry_put_order *order, registry_put_cb *done)
{
    struct arena *a = &req->arena;
    struct receive *r = arena_alloc(a, sizeof *r);
    const char *owner = order->owner ? order->owner : req->user;
    struct why why = { "" };
    enum err e;

    *r = (struct receive){
        .repo_id = repo->id, .repo = arena_strdup(a, repo->name), .path = arena_strdup(a, path),
        .op = order->op, .session = order->session, .take = order->take, .made_ms = order->made_ms,
        .content_type = content_type ? arena_strdup(a, content_type) : NULL,
        .owner = owner ? arena_strdup(a, owner) : NULL, .size = order->size, .done = done,
    };
    if (order->session)
        arena_on_release(a, session_free, order->session);
    if ((e = put_check(req, repo, r, &order->expected, &why)))
        done(req, e, &why, NULL);
    else
        stage_receive(req, repo, -1, digest_kinds | r->expected.kinds, NULL, on_received, r);
}

void registry_put(struct http_request *req, const struct repo *repo, const char *path,
                  const char *content_type, unsigned digest_kinds, registry_put_cb *done)
{
    registry_put_as(req, repo, path, content_type, digest_kinds,
                    &(struct registry_put_order){ .op = "artifact.put", .size = -1 }, done);
}
