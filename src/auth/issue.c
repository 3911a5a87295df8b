/* SPDX-License-Identifier: Apache-2.0 */
/* Signing tokens on the pool. How long they live is the caller's policy; so is the row that a refresh or
 * API token needs (operation token.add): without one it is worth nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/ids.h"
#include "pantera/tether.h"
#include "src/auth/internal.h"

struct issue {
    struct work work;
    struct http_request *req; /* NULL: gone */
    struct tether *tether;
    struct token_order orders[TOKEN_ORDERS];
    char *tokens[TOKEN_ORDERS];
    unsigned count;
    enum err err;
    int64_t epoch_ms;
    char *user, *context, *private_pem, *scopes[TOKEN_ORDERS];
    char kid[64];
    void (*done)(struct http_request *req, enum err e, const struct why *why,
                 struct token_order *orders, void *arg);
    void *arg;
};

static void issue_run(struct work *work)
{
    struct issue *i = container_of(work, struct issue, work);
    for (unsigned n = 0; n < i->count && !i->err; n++) {
        const struct token_order *o = &i->orders[n];
        struct claims c = {
            .user = i->user, .context = i->context, .id = o->id, .kid = i->kid, .type = o->type,
            .epoch_ms = i->epoch_ms, .issued_ms = o->issued_ms, .expires_ms = o->expires_ms,
            .scope = i->scopes[n],
        };
        i->err = token_build(&c, i->private_pem, &i->tokens[n]);
    }
}

static void issue_done(struct work *work)
{
    struct issue *i = container_of(work, struct issue, work);
    struct why why = { "" };
    if (i->req) {
        tether_cut(i->tether);
        struct token_order *orders =
            arena_memdup(&i->req->arena, i->orders, i->count * sizeof *orders);
        for (unsigned n = 0; n < i->count && !i->err; n++)
            orders[n].token = arena_strdup(&i->req->arena, i->tokens[n]);
        enum err e = i->err ? fail(&why, i->err, "a token could not be signed") : OK;
        i->done(i->req, e, &why, orders, i->arg);
    }
    for (unsigned n = 0; n < i->count; n++) {
        free(i->tokens[n]);
        free(i->scopes[n]);
    }
    explicit_bzero(i->private_pem, strlen(i->private_pem));
    free(i->private_pem);
    free(i->user);
    free(i->context);
    free(i);
}

/* Narrowed: the token of who asks, if it was by one. */
static void narrow(struct token_order *o, const struct principal *p)
{
    if (!o->scope || p->via == TOKEN_NONE)
        return;
    o->type = p->via;
    snprintf(o->id, sizeof o->id, "%s", p->token_id);
    if (p->expires_ms && (!o->expires_ms || p->expires_ms < o->expires_ms))
        o->expires_ms = p->expires_ms;
}

void auth_issue(struct auth *a, struct http_request *req, const struct principal *p,
                const struct token_order *orders, unsigned count,
                void (*done)(struct http_request *req, enum err e, const struct why *why,
                             struct token_order *orders, void *arg),
                void *arg)
{
    struct why why = { "" };
    check(count <= TOKEN_ORDERS);
    keyring_refresh(&a->keyring, a->o.reader, cluster_seal_key(a->o.cluster));
    if (!a->keyring.private_pem) {
        enum err e = fail(&why, ERR_UNAVAILABLE, "there is no key to sign tokens with yet");
        done(req, e, &why, NULL, arg);
        return;
    }
    struct issue *i = calloc(1, sizeof *i);
    check(i);
    memcpy(i->orders, orders, count * sizeof *orders);
    i->count = count;
    i->epoch_ms = p->epoch_ms;
    i->user = strdup(p->name);
    i->context = strdup(p->context);
    i->private_pem = strdup(a->keyring.private_pem);
    memcpy(i->kid, a->keyring.kid, sizeof i->kid);
    for (unsigned n = 0; n < count; n++) {
        struct token_order *o = &i->orders[n];
        random_uuid(o->id);
        o->issued_ms = clock_wall_ms();
        /* Whole seconds, as the claim: row and token must end together. */
        o->expires_ms = o->lifetime_ms ? (o->issued_ms + o->lifetime_ms) / 1000 * 1000 : 0;
        i->scopes[n] = o->scope ? strdup(o->scope) : NULL;
        narrow(o, p);
    }
    i->done = done;
    i->arg = arg;
    i->tether = tether_tie(req, &i->req);
    work_submit(&i->work, a->o.loop, issue_run, issue_done);
}
