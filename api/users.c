/* SPDX-License-Identifier: Apache-2.0 */
/* Users. Who may is decided here, on what this node knows; that it still holds (the user exists, an
 * administrator remains, the old password is still the one) is decided by the operation, on the leader. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/internal.h"
#include "pantera/limits.h"
#include "pantera/meta_role.h"
#include "pantera/meta_user.h"
#include "pantera/tether.h"
#include "pantera/text.h"

/* --- reading --- */

static void put_text(json_t *object, const char *key, const char *text)
{
    if (text)
        json_object_set_new(object, key, json_string(text));
}

/* The seed's word for a local user is "plain". */
static const char *type_of(const struct user *u)
{
    return strcmp(u->provider, "local") == 0 ? "plain" : u->provider;
}

void users_list(struct http_request *req)
{
    struct page page;
    struct user *users;
    unsigned count;
    int64_t total;
    api_page(req, 20, &page);
    const char *sort = page.sort ? page.sort : "username";
    struct user_query query = {
        .q = page.q,
        .sort = strcmp(sort, "email") == 0          ? USER_BY_EMAIL
                : strcmp(sort, "enabled") == 0       ? USER_BY_ENABLED
                : strcmp(sort, "auth_provider") == 0 ? USER_BY_PROVIDER
                                                     : USER_BY_NAME,
        .descending = page.descending, .offset = page.page * page.size, .limit = page.size,
    };
    user_list(worker_of(req)->reader, &req->arena, &query, &users, &count, &total);
    json_t *items = json_array();
    for (unsigned i = 0; i < count; i++) {
        json_t *item = json_pack("{s:s, s:s}", "name", users[i].name, "type",
                                 type_of(&users[i]));
        put_text(item, "email", users[i].email);
        json_array_append_new(items, item);
    }
    api_json(req, 200, api_page_json(&page, items, total));
}

void users_get(struct http_request *req)
{
    struct meta_reader *r = worker_of(req)->reader;
    struct user user;
    struct why why = { "" };
    unsigned count;
    enum err e = user_get(r, &req->arena, req->params[0], &user, &why);
    if (e) {
        api_refuse(req, e, &why);
        return;
    }
    const char **roles = user_roles(r, &req->arena, user.name, &count);
    json_t *list = json_array();
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(list, json_string(roles[i]));
    json_t *body = json_pack("{s:s, s:o, s:b}", "type", type_of(&user), "roles", list, "enabled",
                             user.enabled);
    put_text(body, "email", user.email);
    if (user.must_change)
        json_object_set_new(body, "must_change_password", json_true());
    api_json(req, 200, body);
}

/* --- nobody makes another stronger than himself, or takes over a stronger one --- */

enum err roles_covered(struct http_request *req, const json_t *roles, struct why *why)
{
    size_t i;
    const json_t *item;
    json_array_foreach(roles, i, item) {
        struct role role;
        const char *name = json_string_value(item);
        if (!name)
            return fail(why, ERR_BAD_REQUEST, "roles must be an array of strings");
        enum err e = role_get(worker_of(req)->reader, &req->arena, name, &role, NULL);
        if (e)
            return fail(why, ERR_BAD_REQUEST, "Role '%.100s' not found", name);
        if ((e = grants_cover(req->principal, role.permissions, why)))
            return e;
    }
    return OK;
}

/* What `name` holds now, the caller holds too (roles that are switched off count). */
enum err user_covered(struct http_request *req, const char *name, struct why *why)
{
    struct meta_reader *r = worker_of(req)->reader;
    struct role role;
    unsigned count;
    struct user user;
    const char **roles = user_roles(r, &req->arena, name, &count), *implied = "";
    if (user_get(r, &req->arena, name, &user, NULL) == OK)
        implied = arena_printf(&req->arena, "default/%s", user.provider);
    for (unsigned i = 0; i <= count; i++)
        if (role_get(r, &req->arena, i < count ? roles[i] : implied, &role, NULL) == OK &&
            grants_cover(req->principal, role.permissions, NULL))
            return fail(why, ERR_FORBIDDEN, "'%.100s' may do what you may not", name);
    return OK;
}

/* --- hashing for a request --- */

struct hashing {
    struct password_hash hash;
    struct http_request *req; /* NULL: gone */
    struct tether *tether;
    void (*then)(struct http_request *req, const struct password_hash *hash, void *arg);
    void *arg;
};

static void hashed(struct password_hash *h)
{
    struct hashing *w = container_of(h, struct hashing, hash);
    if (w->req) {
        tether_cut(w->tether);
        if (h->err)
            api_fail_text(w->req, ERR_UNAVAILABLE, "too many passwords to hash at the moment");
        else
            w->then(w->req, h, w->arg);
    }
    free(w);
}

/* `encoded` NULL: hash; else verify against it. */
static void hash_start(struct http_request *req, const char *password, const char *encoded,
                       void (*then)(struct http_request *, const struct password_hash *, void *),
                       void *arg)
{
    struct hashing *w = calloc(1, sizeof *w);
    check(w);
    snprintf(w->hash.password, sizeof w->hash.password, "%s", password);
    if (encoded)
        snprintf(w->hash.encoded, sizeof w->hash.encoded, "%s", encoded);
    w->hash.verify = encoded != NULL;
    w->hash.done = hashed;
    w->then = then;
    w->arg = arg;
    w->tether = tether_tie(req, &w->req);
    password_hash_start(&w->hash, &worker_of(req)->loop);
}

/* --- PUT --- */

static void put_done(struct http_request *req, json_t *result)
{
    api_done(req, 201, NULL);
}

static void put_hashed(struct http_request *req, const struct password_hash *hash, void *arg)
{
    json_t *args = arg; /* borrowed: it goes with the request */
    json_object_set_new(args, "password", json_string(hash->encoded));
    api_propose(req, "user.put", json_incref(args), put_done);
}

static void args_release(void *args)
{
    json_decref(args);
}

static enum err put_check(struct http_request *req, json_t *body, const char **ret_password,
                          struct why *why)
{
    bool bad = false;
    const char *name = req->params[0];
    const char *pass = api_string(body, "pass", &bad), *alias = api_string(body, "password", &bad);
    const char *email = api_string(body, "email", &bad), *type = api_string(body, "type", &bad);
    const json_t *roles = json_object_get(body, "roles");
    const json_t *must = json_object_get(body, "must_change_password");
    const char *password = *ret_password = pass ? pass : alias;
    enum err e = OK;
    if (!name_valid(name))
        return fail(why, ERR_BAD_REQUEST, "not a user name");
    if (bad || (roles && !json_is_array(roles)) || (must && !json_is_boolean(must)))
        return fail(why, ERR_BAD_REQUEST, "type, pass and email are texts, roles an array of texts");
    if (json_array_size(roles) > 1000 || (email && strlen(email) > 320))
        return fail(why, ERR_BAD_REQUEST, "too many roles, or too long an email");
    if (type && strcmp(type, "plain") != 0 && strcmp(type, "local") != 0)
        return fail(why, ERR_BAD_REQUEST, "type must be \"plain\"");
    if (password && (e = password_policy(name, password, why)))
        return e;
    if ((password || roles || must) && (e = user_covered(req, name, why)))
        return e;
    return roles ? roles_covered(req, roles, why) : OK;
}

static void put_body(struct http_request *req, json_t *body)
{
    const char *password, *name = req->params[0];
    struct why why = { "" };
    struct user old;
    enum err e = put_check(req, body, &password, &why);
    bool known = !e && user_get(worker_of(req)->reader, &req->arena, name, &old, NULL) == OK;
    if (!e && !password && !known)
        e = fail(&why, ERR_BAD_REQUEST, "a new user needs a password: \"pass\"");
    if (e) {
        api_refuse(req, e, &why);
        return;
    }
    json_t *args = json_pack("{s:s, s:b, s:b, s:s}", "name", name, "create",
                             may(req->principal, PERM_USER_CREATE), "update",
                             may(req->principal, PERM_USER_UPDATE), "by", principal_of(req)->name);
    static const char *const copied[][2] = {
        { "email", "email" }, { "roles", "roles" }, { "must_change_password", "must_change" },
    };
    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++) {
        json_t *value = json_object_get(body, copied[i][0]);
        if (value)
            json_object_set(args, copied[i][1], value);
    }
    http_on_end(req, args_release, args);
    if (password)
        hash_start(req, password, NULL, put_hashed, args);
    else
        api_propose(req, "user.put", json_incref(args), put_done);
}

void users_put(struct http_request *req)
{
    if (may_put(req, PERM_USER_CREATE, PERM_USER_UPDATE))
        api_fail_text(req, ERR_FORBIDDEN, "Insufficient permissions");
    else
        api_body(req, put_body);
}

/* --- the rest --- */

static void done_empty(struct http_request *req, json_t *result)
{
    api_done(req, 200, NULL);
}

/* Taking away is a power too: not over somebody who may do more. True: he may; else it is answered. */
static bool power_over(struct http_request *req, const char *name)
{
    struct why why = { "" };
    enum err e = user_covered(req, name, &why);
    if (e)
        api_refuse(req, e, &why);
    return !e;
}

void users_delete(struct http_request *req)
{
    if (!power_over(req, req->params[0]))
        return;
    api_propose(req, "user.delete", json_pack("{s:s}", "name", req->params[0]), done_empty);
}

static void enable(struct http_request *req, bool enabled)
{
    if (!power_over(req, req->params[0]))
        return;
    api_propose(req, "user.enable", json_pack("{s:s, s:b}", "name", req->params[0], "enabled", enabled),
                done_empty);
}

void users_enable(struct http_request *req)
{
    enable(req, true);
}

void users_disable(struct http_request *req)
{
    enable(req, false);
}

/* --- password: one's own with the old one; another's with the permission --- */

struct change {
    const char *name;
    const char *next;     /* the new password, clear: the arena's, wiped at the end */
    const char *verified; /* the argon2id text that the old one matched, or NULL */
    api_changed_cb *done;
};

static void change_release(void *arg)
{
    struct change *c = arg;
    explicit_bzero((char *)c->next, strlen(c->next));
}

static void change_proposed(struct http_request *req, enum err e, const struct why *why, json_t *result)
{
    const struct change *c = req->context;
    c->done(req, e, why);
}

static void change_hashed(struct http_request *req, const struct password_hash *hash, void *arg)
{
    struct change *c = arg;
    json_t *args = json_pack("{s:s, s:s}", "name", c->name, "password", hash->encoded);
    if (c->verified)
        json_object_set_new(args, "old", json_string(c->verified));
    req->context = c;
    api_propose_all(req, "user.password", args, change_proposed);
}

static void change_verified(struct http_request *req, const struct password_hash *hash, void *arg)
{
    struct change *c = arg;
    struct why why;
    if (!hash->matches) {
        c->done(req, fail(&why, ERR_UNAUTHORIZED, "Invalid old password"), &why);
        return;
    }
    auth_attempt_right(req, c->name);
    c->verified = arena_strdup(&req->arena, hash->encoded);
    hash_start(req, c->next, NULL, change_hashed, c);
}

/* `old` NULL: somebody else's. */
static enum err change_check(struct http_request *req, const char *name, const char *old, const char *next,
                             struct user *ret, struct why *why)
{
    bool self = strcmp(name, principal_of(req)->name) == 0;
    enum err e = user_get(worker_of(req)->reader, &req->arena, name, ret, why);
    if (!e && !self)
        e = user_covered(req, ret->name, why);
    if (!e && (old ? strlen(old) > LIMIT_PASSWORD || !ret->password : self))
        e = fail(why, ERR_UNAUTHORIZED, "Invalid old password");
    if (!e)
        e = password_policy(ret->name, next, why);
    if (!e && old && strcmp(old, next) == 0)
        e = fail(why, ERR_BAD_REQUEST, "the new password is the old one");
    if (!cluster_current(worker_of(req)->cluster)) /* after reading */
        return fail(why, ERR_NOT_CURRENT, "%s", err_text(ERR_NOT_CURRENT));
    return e || !old ? e : auth_attempt(req, ret->name, why); /* whoever holds a token may not guess either */
}

static void change_begin(struct http_request *req, const char *name, const char *old, const char *next,
                         api_changed_cb *done)
{
    struct user user;
    struct why why = { "" };
    enum err e = change_check(req, name, old, next, &user, &why);
    if (e) {
        done(req, e, &why);
        return;
    }
    struct change *c = arena_alloc(&req->arena, sizeof *c);
    *c = (struct change){ .name = user.name, .next = arena_strdup(&req->arena, next), .done = done };
    http_on_end(req, change_release, c);
    if (old)
        hash_start(req, old, user.password, change_verified, c);
    else
        hash_start(req, c->next, NULL, change_hashed, c);
}

void api_own_password(struct http_request *req, const char *old, const char *next, api_changed_cb *done)
{
    change_begin(req, principal_of(req)->name, old, next, done);
}

static void password_changed(struct http_request *req, enum err e, const struct why *why)
{
    if (e)
        api_fail(req, e, why);
    else
        api_done(req, 200, NULL);
}

static void password_body(struct http_request *req, json_t *body)
{
    bool bad = false;
    const char *old = api_string(body, "old_pass", &bad), *next = api_string(body, "new_pass", &bad);
    if (bad || !next)
        api_fail_text(req, ERR_BAD_REQUEST, "expected {\"old_pass\": text, \"new_pass\": text}");
    else
        change_begin(req, req->params[0], old, next, password_changed);
}

void users_password(struct http_request *req)
{
    if (strcmp(req->params[0], principal_of(req)->name) != 0 &&
        !may(req->principal, PERM_USER_PASSWORD))
        api_fail_text(req, ERR_FORBIDDEN, "Insufficient permissions");
    else
        api_body(req, password_body);
}
