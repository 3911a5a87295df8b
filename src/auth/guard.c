/* SPDX-License-Identifier: Apache-2.0 */
/* The guard before every handler: Authorization → proof → principal → permission → lease.
 *
 *   warm: hash → credential whose stamps stand → permission → lease. No SQL, no signature, no arena.
 *   cold: a token's signature, or a password on the pool (login.c); then the replicated state.
 * A proof (this text was signed by us; this password matched that argon2id text) never goes stale; what
 * it gives is read again whenever a generation that it was read under has moved. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/digest.h"
#include "pantera/ids.h"
#include "pantera/limits.h"
#include "pantera/meta_token.h"
#include "src/auth/login.h"
#include "src/auth/oidc.h"

#define INVALID_TOKEN "Invalid or expired token"

struct auth *auth_new(const struct auth_options *o)
{
    struct auth *a = calloc(1, sizeof *a);
    check(a);
    a->o = *o;
    random_bytes(a->secret, sizeof a->secret);
    return a;
}

void auth_free(struct auth *a)
{
    if (!a)
        return;
    for (unsigned s = 0; s < CREDENTIAL_SETS; s++)
        for (unsigned w = 0; w < CREDENTIAL_WAYS; w++)
            credential_unref(a->credentials[s][w]);
    for (unsigned s = 0; s < IDENTITY_SETS; s++)
        for (unsigned w = 0; w < IDENTITY_WAYS; w++)
            identity_unref(a->identities[s][w]);
    logins_abandon(a);
    keyring_free(&a->keyring);
    sso_free(a->sso);
    explicit_bzero(a->secret, sizeof a->secret);
    free(a);
}

/* --- the replicated state of a proof --- */

/* API and refresh tokens live as long as their row says; an access token has one only if revoked. */
static bool token_row_good(struct auth *a, const struct credential *c)
{
    struct arena arena;
    struct token row;
    arena_init(&arena);
    bool found = token_get(a->o.reader, &arena, c->principal.name, c->principal.token_id, &row,
                           NULL) == OK;
    bool good = c->principal.via == TOKEN_ACCESS
                    ? !found
                    : found && !row.revoked &&
                          strcmp(row.type, token_type_name(c->principal.via)) == 0;
    arena_release(&arena);
    return good;
}

enum err credential_renew(struct auth *a, struct credential *c, struct why *why)
{
    struct principal *p = &c->principal;
    /* An entry is valid under the stamps of its identity: take that first, then read what else the
     * proof stands on, so that nothing is newer than the stamps say. */
    struct identity *i = identity_get(a, p->name);
    identity_unref(c->identity);
    c->identity = i;
    p->grants = i->grants;
    p->must_change_password = i->must_change;
    p->second_factor = i->second_factor;
    if (p->via == TOKEN_NONE) {
        if (!i->exists || !i->enabled || !i->password || strcmp(i->password, c->encoded) != 0)
            return fail(why, ERR_UNAUTHORIZED, "Invalid credentials");
        p->epoch_ms = i->epoch_ms;
        return OK;
    }
    keyring_refresh(&a->keyring, a->o.reader, cluster_seal_key(a->o.cluster));
    if (!i->exists || !i->enabled || i->epoch_ms != p->epoch_ms ||
        !keyring_find(&a->keyring, c->kid) || !token_row_good(a, c))
        return fail(why, ERR_UNAUTHORIZED, INVALID_TOKEN);
    return OK;
}

/* --- the end of every decision --- */

static void release(void *arg)
{
    credential_unref(arg);
}

void guard_finish(struct auth *a, struct http_request *req, enum permission need, enum err e,
                  const struct why *why, struct credential *c, auth_guard_cb *done, void *arg)
{
    struct why denied = { "" };
    /* A password alone does not do for whoever has a second factor. PERM_PUBLIC comes from auth_login only,
     * whose caller asks for that factor. */
    if (!e && need != PERM_PUBLIC && c->principal.via == TOKEN_NONE && c->principal.second_factor) {
        e = fail(&denied, ERR_UNAUTHORIZED, "a second factor is on for this user: use a token");
        why = &denied;
    }
    if (!e && !may(&c->principal, need)) {
        e = fail(&denied, ERR_FORBIDDEN, "Insufficient permissions");
        why = &denied;
    }
    if (c && (!e || e == ERR_FORBIDDEN)) {
        c->refs++;
        http_on_end(req, release, c);
        req->user = c->principal.name;
        if (!e)
            req->principal = &c->principal;
    }
    /* What was read is only true if this node could still prove that it is current. */
    if (!cluster_current(a->o.cluster)) {
        req->principal = NULL;
        done(req, ERR_NOT_CURRENT, NULL, arg);
        return;
    }
    done(req, e, why, arg);
}

/* --- tokens --- */

static enum err token_prove(struct auth *a, struct http_request *req, const char *text,
                            size_t length, const unsigned char key[32], struct credential **ret,
                            struct why *why)
{
    struct claims claims;
    keyring_refresh(&a->keyring, a->o.reader, cluster_seal_key(a->o.cluster));
    enum err e = token_parse(&a->keyring, &req->arena, text, length, &claims, why);
    if (e)
        return e;
    struct credential *c = credential_new(claims.user, claims.context, claims.id, claims.scope);
    memcpy(c->key, key, 32);
    c->principal.via = claims.type;
    c->principal.epoch_ms = claims.epoch_ms;
    c->expires_ms = c->principal.expires_ms = claims.expires_ms;
    snprintf(c->kid, sizeof c->kid, "%s", claims.kid);
    *ret = c;
    return OK;
}

/* In use by a request that has not ended: what it points to must not change under it. */
static struct credential *credential_copy(const struct credential *c)
{
    struct credential *n = credential_new(c->principal.name, c->principal.context,
                                          c->principal.token_id, c->principal.scope);
    memcpy(n->key, c->key, 32);
    n->principal.via = c->principal.via;
    n->principal.epoch_ms = c->principal.epoch_ms;
    n->expires_ms = n->principal.expires_ms = c->expires_ms;
    memcpy(n->kid, c->kid, sizeof n->kid);
    n->encoded = c->encoded ? strdup(c->encoded) : NULL;
    return n;
}

enum err credential_current(struct auth *a, struct credential *c, struct credential **ret,
                            struct why *why)
{
    if (c->expires_ms && c->expires_ms <= clock_wall_ms()) {
        credential_drop(a, c);
        return fail(why, ERR_UNAUTHORIZED, INVALID_TOKEN);
    }
    *ret = c;
    if (c->identity && identity_stands(c->identity))
        return OK;
    struct credential *fresh = credential_copy(c);
    enum err e = credential_renew(a, fresh, why);
    if (e) {
        credential_drop(a, c);
    } else {
        credential_keep(a, fresh); /* in the place of c */
        *ret = fresh;
    }
    credential_unref(fresh); /* the table's reference is left, if any */
    return e;
}

static enum err token_check(struct auth *a, struct http_request *req, const char *user,
                            const char *text, bool refresh, struct credential **ret,
                            struct why *why)
{
    unsigned char key[32];
    size_t length = strlen(text);
    enum err e = OK;
    if (length > LIMIT_TOKEN)
        return fail(why, ERR_UNAUTHORIZED, INVALID_TOKEN);
    sha256(text, length, key);
    struct credential *c = credential_find(a, key);
    if (!c) {
        if ((e = token_prove(a, req, text, length, key, &c, why)))
            return e;
        credential_keep(a, c);
        credential_unref(c);
    }
    /* RFC 7617: the user that Basic names must be the token's. "__token__" names whoever that is, as Python's
     * clients have it from their index; no user can be called so with another's token. */
    if (user && strcmp(user, "__token__") != 0 && strcmp(user, c->principal.name) != 0)
        return fail(why, ERR_UNAUTHORIZED, "Invalid credentials");
    if (refresh != (c->principal.via == TOKEN_REFRESH))
        return fail(why, ERR_UNAUTHORIZED,
                    refresh ? "not a refresh token" : "a refresh token only refreshes");
    return credential_current(a, c, ret, why);
}

enum err auth_check_refresh(struct auth *a, struct http_request *req, const char *token,
                            const struct principal **ret, struct why *why)
{
    const unsigned char key[32] = { 0 };
    struct credential *c = NULL;
    /* A spent token must reach the operation, which ends its family: so its row is not asked here. */
    enum err e = token_prove(a, req, token, strlen(token), key, &c, why);
    if (e)
        return e;
    c->identity = identity_get(a, c->principal.name);
    const struct identity *i = c->identity;
    c->principal.grants = i->grants;
    /* Whom a provider vouched for goes on only while that provider may. */
    struct provider_row provider;
    if (strcmp(c->principal.context, PROVIDER_LOCAL) != 0 &&
        (provider_get(a->o.reader, &req->arena, c->principal.context, &provider, NULL) ||
         !provider.enabled)) {
        credential_unref(c);
        return fail(why, ERR_UNAUTHORIZED, "Refresh token expired or revoked");
    }
    if (c->principal.via != TOKEN_REFRESH || c->expires_ms <= clock_wall_ms() || !i->exists ||
        !i->enabled || i->epoch_ms != c->principal.epoch_ms) {
        credential_unref(c);
        return fail(why, ERR_UNAUTHORIZED, "Refresh token expired or revoked");
    }
    req->user = c->principal.name;
    http_on_end(req, release, c);
    *ret = &c->principal;
    return OK;
}

enum err auth_vouch(struct auth *a, struct http_request *req, const char *name, int64_t epoch_ms,
                    struct why *why)
{
    struct credential *c = credential_new(name, PROVIDER_LOCAL, NULL, NULL);
    struct identity *i = c->identity = identity_get(a, name);
    http_on_end(req, release, c);
    if (!i->exists || !i->enabled || i->must_change || i->epoch_ms != epoch_ms)
        return fail(why, ERR_UNAUTHORIZED, INVALID_TOKEN);
    c->principal.grants = i->grants;
    c->principal.epoch_ms = epoch_ms;
    req->user = c->principal.name;
    req->principal = &c->principal;
    return OK;
}

/* --- Authorization --- */

void auth_guard(struct auth *a, struct http_request *req, enum permission need, auth_guard_cb *done,
                void *arg)
{
    struct why why = { "" };
    struct credentials given;
    struct credential *c = NULL;
    if (need == PERM_PUBLIC) {
        done(req, OK, NULL, arg);
        return;
    }
    const char *value = http_header(req, "authorization");
    enum err e = value ? credentials_parse(&req->arena, value, &given, &why)
                       : fail(&why, ERR_UNAUTHORIZED, "Authentication required");
    if (!e && given.token)
        e = token_check(a, req, given.user, given.token, false, &c, &why);
    else if (!e) {
        login_start(a, req, given.user, given.password, need, false, done, arg);
        return;
    }
    guard_finish(a, req, need, e, &why, c, done, arg);
}
