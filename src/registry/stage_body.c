/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/stage_body.c: a request's body becomes a stage. The client may go at any time: then the stage
 * goes too, and nobody is told. */
#include "src/registry/staging.h"

struct receive {                 /* the request's memory */
    struct http_request *req;
    struct stage *stage;
    bool paused, finishing;
    enum err err;                /* of the body or the tap: the stage is given up then */
    struct why why;
    stage_tap *tap;
    stage_body_cb *done;
    void *arg;
    /* of stage_body */
    struct digest_values announced;
    stage_body_cb *then;
    void *then_arg;
};

static void receive_gone(void *arg)
{
    struct receive *r = arg;

    stage_drop(r->stage);
    r->stage = NULL;
}

static void receive_end(struct receive *r, enum err e, const struct why *why)
{
    struct stage *s = r->stage;
    struct why text = why ? *why : (struct why){ "" }; /* it may be the stage's */

    r->stage = NULL; /* the receiver's now, or gone */
    if (e) {
        stage_drop(s);
        s = NULL;
    }
    r->done(r->req, s, e, &text, r->arg);
}

static void on_staged(struct stage *s, enum err e, const struct why *why, void *arg)
{
    (void)s;
    receive_end(arg, e, why);
}

static void on_room(struct stage *s, void *arg)
{
    struct receive *r = arg;

    (void)s;
    r->paused = false;
    http_body_resume(r->req);
}

static void on_chunk(struct http_request *req, const void *data, size_t size, enum err e, void *arg)
{
    struct receive *r = arg;

    if (!r->stage || r->finishing) /* it has failed and was answered; what still comes is not wanted */
        return;
    if (e == ERR_CLOSED) /* RFC 9112 §8: an incomplete message */
        e = fail(&r->why, ERR_BAD_REQUEST, "the body ended early");
    if (!e && size && r->tap)
        e = r->tap(req, data, size, &r->why, r->arg);
    if (e) {
        receive_end(r, e, &r->why);
    } else if (!size || stage_err(r->stage)) {
        r->finishing = true;
        stage_finish(r->stage, on_staged, r);
    } else if (!r->paused && !stage_write(r->stage, data, size, on_room, r)) {
        r->paused = true;
        http_body_pause(req);
    }
}

void stage_receive(struct http_request *req, const struct repo *repo, int64_t limit, unsigned kinds,
                   stage_tap *tap, stage_body_cb *done, void *arg)
{
    struct receive *r = arena_alloc(&req->arena, sizeof *r);
    enum err e;

    *r = (struct receive){ .req = req, .tap = tap, .done = done, .arg = arg };
    r->stage = stage_new(worker_of(req), repo, req->content_length, limit, kinds);
    http_on_end(req, receive_gone, r);
    if ((e = stage_err(r->stage)))
        receive_end(r, e, &r->stage->why);
    else
        http_body_read(req, r->stage->limit, on_chunk, r);
}

static void on_received(struct http_request *req, struct stage *s, enum err e, const struct why *why,
                        void *arg)
{
    struct receive *r = arg;
    struct why text = { "" };

    if (!e && (e = announced_compare(&r->announced, stage_digests(s), &text))) {
        stage_drop(s);
        s = NULL;
        why = &text;
    }
    r->then(req, s, e, why, r->then_arg);
}

static enum err pass(struct http_request *req, const void *data, size_t size, struct why *why, void *arg)
{
    struct receive *r = arg;

    return r->tap ? r->tap(req, data, size, why, r->then_arg) : OK;
}

void stage_body(struct http_request *req, const struct repo *repo, int64_t limit, unsigned kinds,
                stage_tap *tap, stage_body_cb *done, void *arg)
{
    struct receive *r = arena_alloc(&req->arena, sizeof *r);
    struct why why = { "" };
    enum err e;

    *r = (struct receive){ .tap = tap, .then = done, .then_arg = arg };
    if ((e = announced_digests(req, &req->arena, &r->announced, &why))) {
        done(req, NULL, e, &why, arg);
        return;
    }
    stage_receive(req, repo, limit, kinds | r->announced.kinds, pass, on_received, r);
}
