/* SPDX-License-Identifier: Apache-2.0 */
/* src/upstream/private.h: one request: request.c moves it, signin.c gets tokens for it. */
#ifndef UPSTREAM_PRIVATE_H
#define UPSTREAM_PRIVATE_H

#include "internal.h"
#include "pantera/loop.h"

/* What becomes of the answer that is being read. */
enum step {
    STEP_END,                    /* it is the answer */
    STEP_HOP,                    /* a redirect */
    STEP_TOKEN,                  /* a challenge */
};

struct upstream {
    struct loop *loop;
    struct client *client;
    struct upstream_private *all;
    uv_timer_t sweep;            /* while somebody waits for a place */
    bool closed;
};

struct upstream_private {
    struct upstream_request *request;
    struct upstream *owner;      /* NULL: it is gone, and so is the request */
    struct upstream_private *next, **prev;
    struct arena arena;
    struct task task;            /* the end, when it may not come at once */
    struct upstream_limits limits;
    struct standing *standing;
    struct place *place;
    struct client_request call;
    struct client_url url;       /* of this hop */
    const char *origin, *host;   /* the remote's; whom messages name */
    const char *method, *location;
    const char *const *headers;
    const char *basic, *token;   /* a header line; the configured one */
    const char *identity;        /* remote and credentials, for the keys of tokens.c */
    const char *hint;            /* what of it is asked */
    const char *bearer;          /* a token service's */
    const char *username;
    struct challenge challenge;
    struct buf answer;           /* of the token service */
    struct decoder *decoder;     /* of a packed body */
    const char *asked_url;       /* before redirects */
    enum step next_step;
    unsigned hops, sign_ins;
    size_t drained;
    uint64_t started_us, waiting_since_ms;
    bool in_submit, posted, waiting, calling, asked, canceled, probe, judged, body, enough, token_fetched,
        damaged;
    enum upstream_outcome outcome;
    enum err err;
    int64_t retry_after_ms;
    struct why why;
};

/* request.c */
/* Sends p->call. `token`: to a token service, with its own callbacks. */
void request_send(struct upstream_private *p, const char *method, const char *url, const char *const *headers,
                  bool token);
void request_hop(struct upstream_private *p);
void request_failed(struct upstream_private *p);
void request_end(struct upstream_private *p, enum upstream_outcome outcome, enum err e, const char *what);
/* Settles the end when a client of ours was canceled: true: it was. */
bool request_canceled(struct upstream_private *p);

/* signin.c */
void signin_prepare(struct upstream_private *p); /* identity, hint, Basic: from p->request, at the submit */
/* True: go on, with whatever token there is. False: one is being fetched, and the hop comes after it. */
bool signin_begin(struct upstream_private *p);
bool signin_challenged(struct upstream_private *p); /* by the answer whose head is there */
void signin_answer(struct upstream_private *p);     /* that challenge */
bool signin_on_data(struct client_request *call, const void *data, size_t size);
void signin_on_done(struct client_request *call);

#endif
