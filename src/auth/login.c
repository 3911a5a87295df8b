/* SPDX-License-Identifier: Apache-2.0 */
/* Name and password: cached proof, or throttle and argon2id on the pool. Equal attempts that arrive
 * while one is being verified wait for its outcome: a hundred connections of one build cost one hash.
 * An unknown user costs as much as a known one. */
#include "src/auth/login.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/digest.h"
#include "pantera/limits.h"
#include "pantera/meta_provider.h"
#include "pantera/tether.h"

enum { LOGINS = 256, WAITERS = 1024 };

struct waiter {
    struct waiter *next;
    struct http_request *req; /* NULL: gone */
    struct tether *tether;
    enum permission need;
    auth_guard_cb *done;
    void *arg;
};

struct login {
    struct login *next;
    struct password_hash hash;
    struct auth *auth; /* NULL: gone */
    unsigned char key[32];
    char *name, *address, *encoded, *provider;
    struct waiter *waiters, **tail;
    unsigned count;
    bool session;
};

/* What an unknown user's password is compared with: argon2id, at our cost, of 32 random bytes that were
 * thrown away. */
static const char dummy[] = "$argon2id$v=19$m=19456,t=2,p=1$qFMLSDBmsqGnGCB4WoHqwA"
                            "$sBcNZGDSmtKyBZjKO02EmlheC8Hw9T1IAacRW8EkN5w";

static void password_key(const struct auth *a, const char *name, const char *password,
                         unsigned char ret[32])
{
    char text[LIMIT_NAME + 1 + LIMIT_PASSWORD + 2];
    size_t n = strlen(name), p = strlen(password);
    memcpy(text, name, n + 1);
    memcpy(text + n + 1, password, p);
    hmac_sha256(a->secret, sizeof a->secret, text, n + 1 + p, ret);
    explicit_bzero(text, sizeof text);
}

static void login_free(struct login *l)
{
    while (l->waiters) {
        struct waiter *w = l->waiters;
        l->waiters = w->next;
        if (w->req)
            tether_cut(w->tether);
        free(w);
    }
    free(l->name);
    free(l->address);
    free(l->encoded);
    free(l->provider);
    free(l);
}

static void login_unlink(struct auth *a, struct login *l)
{
    for (struct login **at = &a->logins; *at; at = &(*at)->next)
        if (*at == l) {
            *at = l->next;
            a->login_count--;
            return;
        }
}

void logins_abandon(struct auth *a)
{
    for (struct login *l = a->logins; l; l = l->next)
        l->auth = NULL;
    a->logins = NULL;
}

static bool waiter_add(struct login *l, struct http_request *req, enum permission need,
                       auth_guard_cb *done, void *arg)
{
    if (l->count >= WAITERS)
        return false;
    struct waiter *w = calloc(1, sizeof *w);
    check(w);
    w->need = need;
    w->done = done;
    w->arg = arg;
    w->tether = tether_tie(req, &w->req);
    *l->tail = w;
    l->tail = &w->next;
    l->count++;
    return true;
}

/* --- what the audit log says --- */

#define SECOND_FACTOR "a second factor is on: the password alone does not do"

static void record(struct auth *a, const char *name, const char *address, const char *refused)
{
    audit_sign_in(a->o.cluster, a->o.loop, &(struct sign_in){ name, address, "password", refused });
}

/* A password that was checked before signs in with every request: that is worth one row an hour and
 * address. The table forgets what falls on the same place; then there is a row too many. */
static void record_again(struct auth *a, const struct credential *c, const char *address)
{
    uint64_t mark, hour = clock_mono_ms() / 3600000;
    memcpy(&mark, c->key, sizeof mark); /* keyed and random already */
    for (const char *p = address; *p; p++)
        mark = (mark ^ (unsigned char)*p) * 0x100000001b3; /* FNV-1a */
    mark = (mark ^ hour) * 0x100000001b3;
    uint64_t *place = &a->seen[(mark >> 32) % SIGN_INS_SEEN];
    if (*place == mark)
        return;
    *place = mark;
    record(a, c->principal.name, address, c->principal.second_factor ? SECOND_FACTOR : NULL);
}

/* The verified password as a proof, with what it gives now. */
static enum err login_credential(struct login *l, struct credential **ret, struct why *why)
{
    struct credential *c = credential_new(l->name, l->provider, NULL, NULL);
    memcpy(c->key, l->key, 32);
    c->encoded = l->encoded;
    l->encoded = NULL;
    enum err e = credential_renew(l->auth, c, why);
    if (e) {
        credential_unref(c);
        return e;
    }
    credential_keep(l->auth, c);
    *ret = c; /* with a reference of ours, besides the table's */
    return OK;
}

/* The hash that a password is compared with; NULL: this user has none to sign in with. */
static const char *hash_of(const struct identity *i)
{
    bool usable = i->exists && i->enabled && i->password && strcmp(i->provider, PROVIDER_LOCAL) == 0;
    return usable ? i->password : NULL;
}

/* Wrong, by a row that was read before the hashing. The lease that is looked at afterwards vouches for what
 * is read now: a node that caught up in between, or a changed password, must not become a 401. */
static enum err login_refuse(const struct login *l, struct why *why)
{
    struct identity *i = identity_get(l->auth, l->name);
    const char *now = hash_of(i), *then = l->encoded;
    bool same = now && then ? strcmp(now, then) == 0 : !now && !then;
    identity_unref(i);
    return same ? fail(why, ERR_UNAUTHORIZED, "Invalid credentials")
                : fail(why, ERR_AGAIN, "the user was changed while the password was checked: try again");
}

static void login_done(struct password_hash *h)
{
    struct login *l = container_of(h, struct login, hash);
    struct auth *a = l->auth;
    struct why why = { "" };
    struct credential *c = NULL;
    if (!a) {
        login_free(l);
        return;
    }
    login_unlink(a, l);
    enum err e = h->err;
    if (e)
        e = fail(&why, ERR_UNAVAILABLE, "too many sign-ins at the moment");
    else if (!h->matches || !l->provider)
        e = login_refuse(l, &why);
    else
        e = login_credential(l, &c, &why);
    if (e == ERR_UNAUTHORIZED)
        record(a, l->name, l->address, why.text);
    else if (!e && !l->session)
        record_again(a, c, l->address);
    if (e != ERR_UNAUTHORIZED)
        throttle_give_back(throttle_shared(), l->name, l->address);
    while (l->waiters) {
        struct waiter *w = l->waiters;
        l->waiters = w->next;
        if (w->req) {
            tether_cut(w->tether);
            guard_finish(a, w->req, w->need, e, &why, c, w->done, w->arg);
        }
        free(w);
    }
    credential_unref(c);
    login_free(l);
}

static struct login *login_new(struct auth *a, struct http_request *req, const char *name,
                               const char *password, const unsigned char key[32])
{
    struct login *l = calloc(1, sizeof *l);
    check(l);
    struct identity *i = identity_get(a, name);
    l->auth = a;
    l->tail = &l->waiters;
    memcpy(l->key, key, 32);
    l->name = strdup(name);
    l->address = strdup(req->peer ? req->peer : "");
    if (hash_of(i)) {
        l->encoded = strdup(i->password);
        l->provider = strdup(i->provider);
    }
    identity_unref(i);
    snprintf(l->hash.encoded, sizeof l->hash.encoded, "%s", l->encoded ? l->encoded : dummy);
    snprintf(l->hash.password, sizeof l->hash.password, "%s", password);
    l->hash.verify = true;
    l->hash.done = login_done;
    l->next = a->logins;
    a->logins = l;
    a->login_count++;
    return l;
}

static enum err throttled(struct http_request *req, const char *name, struct why *why)
{
    uint64_t wait = throttle_take(throttle_shared(), name, req->peer ? req->peer : "");
    char text[24];
    if (!wait)
        return OK;
    snprintf(text, sizeof text, "%llu", (unsigned long long)(wait + 999) / 1000);
    http_set_header(req, "Retry-After", text);
    return fail(why, ERR_TOO_MANY, "too many failed sign-ins; try again in %s s", text);
}

void login_start(struct auth *a, struct http_request *req, const char *name, const char *password,
                 enum permission need, bool session, auth_guard_cb *done, void *arg)
{
    unsigned char key[32];
    struct why why = { "" };
    struct credential *c = NULL;
    struct login *l;
    enum err e = OK;
    if (strlen(name) > LIMIT_NAME || strlen(password) > LIMIT_PASSWORD) {
        e = fail(&why, ERR_UNAUTHORIZED, "Invalid credentials");
        goto now;
    }
    password_key(a, name, password, key);
    if ((c = credential_find(a, key)) && !(e = credential_current(a, c, &c, &why))) {
        if (!session)
            record_again(a, c, req->peer ? req->peer : "");
        goto now;
    }
    c = NULL;
    for (l = a->logins; l; l = l->next)
        if (memcmp(l->key, key, 32) == 0 && waiter_add(l, req, need, done, arg))
            return;
    if ((e = throttled(req, name, &why))) {
        record(a, name, req->peer ? req->peer : "", "locked out: too many failed sign-ins");
        goto now;
    }
    if (a->login_count >= LOGINS) {
        throttle_give_back(throttle_shared(), name, req->peer ? req->peer : "");
        e = fail(&why, ERR_UNAVAILABLE, "too many sign-ins at the moment");
        goto now;
    }
    l = login_new(a, req, name, password, key);
    l->session = session;
    check(waiter_add(l, req, need, done, arg));
    password_hash_start(&l->hash, a->o.loop);
    return;
now:
    guard_finish(a, req, need, e, &why, c, done, arg);
}

void auth_login(struct auth *a, struct http_request *req, const char *name, const char *password,
                auth_guard_cb *done, void *arg)
{
    /* PUBLIC: any principal, and the second factor is the caller's to ask for (guard_finish). */
    login_start(a, req, name, password, PERM_PUBLIC, true, done, arg);
}

enum err auth_attempt(struct http_request *req, const char *name, struct why *why)
{
    return throttled(req, name, why);
}

void auth_attempt_right(struct http_request *req, const char *name)
{
    throttle_give_back(throttle_shared(), name, req->peer ? req->peer : "");
}
