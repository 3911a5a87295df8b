/* SPDX-License-Identifier: Apache-2.0 */
/* The ways out: errors in the dialect of whoever asks, JSON after a look at the lease, proposals. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/internal.h"
#include "pantera/log.h"
#include "pantera/tether.h"

static void challenge(struct http_request *req)
{
    const char *base, *rest;
    const struct format *format = root_of(req, req->target, &base, &rest);
    if (format && format->challenge) {
        format->challenge(req);
        return;
    }
    /* Basic makes a browser ask; the management API is for tokens. RFC 9110 §11.6.1: one field a
     * challenge. */
    if (dialect_of(req) != DIALECT_PANTERA && dialect_of(req) != DIALECT_SEARCH)
        http_set_header(req, "WWW-Authenticate", "Basic realm=\"pantera\"");
    http_set_header(req, "WWW-Authenticate", "Bearer realm=\"pantera\"");
}

void api_fail(struct http_request *req, enum err e, const struct why *why)
{
    const char *type;
    check(e != OK);
    int status = err_status(e);
    if (status >= 500 && status != 503)
        log_error("api", "request %s: %s: %s", req->id, err_name(e), why_text(why, e));
    if (http_reply_started(req)) {
        http_reply_abort(req);
        return;
    }
    if (status == 401)
        challenge(req);
    if (status == 503)
        http_set_header(req, "Retry-After", "1");
    const char *body = dialect_body(&req->arena, dialect_of(req), e, why_text(why, e), &type);
    http_reply(req, status, type, body, strlen(body));
}

void api_fail_text(struct http_request *req, enum err e, const char *fmt, ...)
{
    struct why why;
    va_list args;
    va_start(args, fmt);
    vsnprintf(why.text, sizeof why.text, fmt, args);
    va_end(args);
    api_fail(req, e, &why);
}

void api_done(struct http_request *req, int status, json_t *body)
{
    if (!body) {
        http_reply(req, status, NULL, "", 0);
        return;
    }
    char *text = json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(body);
    if (!text) {
        api_fail_text(req, ERR_INTERNAL, "the answer could not be written");
        return;
    }
    http_reply(req, status, "application/json", text, strlen(text));
    free(text);
}

void api_json(struct http_request *req, int status, json_t *body)
{
    if (!cluster_current(worker_of(req)->cluster)) {
        json_decref(body);
        api_fail(req, ERR_NOT_CURRENT, NULL);
        return;
    }
    check(body);
    api_done(req, status, body);
}

void api_empty(struct http_request *req, int status)
{
    if (!cluster_current(worker_of(req)->cluster))
        api_fail(req, ERR_NOT_CURRENT, NULL);
    else
        api_done(req, status, NULL);
}

void api_refuse(struct http_request *req, enum err e, const struct why *why)
{
    if (cluster_current(worker_of(req)->cluster))
        api_fail(req, e, why);
    else
        api_fail(req, ERR_NOT_CURRENT, NULL);
}

/* --- proposals --- */

struct call {
    struct proposal proposal;
    struct http_request *req; /* NULL: the client is gone; the operation happens all the same */
    struct tether *tether;
    struct worker *worker;
    json_t *note; /* for a command to the cluster: what the audit log will say */
    void (*then)(struct http_request *req, json_t *result);
    void (*then_all)(struct http_request *req, enum err e, const struct why *why, json_t *result);
};

/* Members change through raft's own entries, not through an operation that would record itself. */
static void note_membership(struct call *c)
{
    const char *op = c->proposal.op;
    if (c->note && strcmp(op, "cluster.status") != 0) {
        json_object_set_new(c->note, "action", json_string(op));
        json_object_set_new(c->note, "type", json_string("cluster"));
        audit_note(c->worker->cluster, &c->worker->loop, c->note);
        c->note = NULL;
    }
}

static void call_done(struct proposal *p)
{
    struct call *c = container_of(p, struct call, proposal);
    if (!p->err && strncmp(p->op, "cluster.", 8) == 0)
        note_membership(c);
    if (c->req) {
        tether_cut(c->tether);
        if (c->then_all)
            c->then_all(c->req, p->err, &p->why, p->result);
        else if (p->err)
            api_fail(c->req, p->err, &p->why);
        else
            c->then(c->req, p->result);
    }
    json_decref(p->result);
    json_decref(c->note);
    free(c);
}

static struct call *call_new(struct http_request *req, const char *op, json_t *args)
{
    struct call *c = calloc(1, sizeof *c);
    check(c && args);
    json_object_set_new(args, "_audit", audit_envelope(req));
    c->proposal = (struct proposal){
        .op = op, .args = args, .home = &worker_of(req)->loop, .on_done = call_done,
    };
    c->worker = worker_of(req);
    if (strncmp(op, "cluster.", 8) == 0) {
        c->note = audit_envelope(req);
        json_object_set_new(c->note, "detail", json_copy(args));
        json_object_del(json_object_get(c->note, "detail"), "_audit");
    }
    c->tether = tether_tie(req, &c->req);
    return c;
}

void api_propose(struct http_request *req, const char *op, json_t *args,
                 void (*then)(struct http_request *req, json_t *result))
{
    struct call *c = call_new(req, op, args);
    c->then = then;
    cluster_propose(worker_of(req)->cluster, &c->proposal);
}

void api_propose_all(struct http_request *req, const char *op, json_t *args,
                     void (*then)(struct http_request *req, enum err e, const struct why *why,
                                  json_t *result))
{
    struct call *c = call_new(req, op, args);
    c->then_all = then;
    cluster_propose(worker_of(req)->cluster, &c->proposal);
}
