/* SPDX-License-Identifier: Apache-2.0 */
/* api/account.c: what belongs to who asks, for formats whose clients manage it in shapes of their own: an API
 * token for a name and a password, the tokens that there are, the profile. */
#include <string.h>

#include "api/internal.h"
#include "pantera/clock.h"
#include "pantera/meta_mfa.h"
#include "pantera/meta_token.h"
#include "pantera/meta_user.h"

#define DAY_MS (24ll * 3600 * 1000)

/* --- signing in --- */

struct entrance {
    struct api_sign_in asked;
    api_sign_in_cb *done;
    struct token_order *order;
};

static void entrance_added(struct http_request *req, enum err e, const struct why *why, json_t *result)
{
    const struct entrance *s = req->context;
    s->done(req, e, why, e ? NULL : s->order);
}

static void entrance_signed(struct http_request *req, enum err e, const struct why *why,
                            struct token_order *orders, void *arg)
{
    struct entrance *s = req->context;
    const struct principal *p = req->principal;
    if (e) {
        s->done(req, e, why, NULL);
        return;
    }
    s->order = orders;
    api_propose_all(req, "token.add",
                    json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "user", p->name, "id", orders->id, "type",
                              "api", "label", s->asked.label, "expires_ms", (json_int_t)orders->expires_ms,
                              "epoch_ms", (json_int_t)p->epoch_ms),
                    entrance_added);
}

static void entrance_issue(struct http_request *req)
{
    const struct entrance *s = req->context;
    struct token_policy policy;
    struct why why;
    if (!token_policy_now(req, &policy))
        return;
    if (s->asked.days > policy.api_max_days) {
        enum err e = fail(&why, ERR_BAD_REQUEST, "a token may live at most %lld days",
                          (long long)policy.api_max_days);
        s->done(req, e, &why, NULL);
        return;
    }
    int64_t days = s->asked.days ? s->asked.days : policy.api_max_days;
    struct token_order order = { .type = TOKEN_API, .lifetime_ms = days * DAY_MS };
    auth_issue(worker_of(req)->auth, req, req->principal, &order, 1, entrance_signed, NULL);
}

static void entrance_asked(struct http_request *req, enum err e, const struct why *why)
{
    const struct entrance *s = req->context;
    struct why text;
    if (e == ERR_UNAUTHORIZED)
        s->done(req, fail(&text, e, "the one-time password is wrong, or was used"), &text, NULL);
    else if (e)
        s->done(req, e, why, NULL);
    else
        entrance_issue(req);
}

static void entered(struct http_request *req, enum err e, const struct why *why, void *arg)
{
    struct entrance *s = arg;
    struct why text = { "" };
    if (e) {
        s->done(req, e, why, NULL);
    } else if (must_change_first(req)) {
        e = fail(&text, ERR_FORBIDDEN, "the password must be changed first");
        s->done(req, e, &text, NULL);
    } else if (principal_of(req)->second_factor && !s->asked.code) {
        e = fail(&text, ERR_UNAUTHORIZED, "a one-time password is needed");
        s->done(req, e, &text, NULL);
    } else {
        req->context = s;
        if (principal_of(req)->second_factor)
            mfa_check(req, s->asked.code, entrance_asked);
        else
            entrance_issue(req);
    }
}

void api_sign_in(struct http_request *req, const struct api_sign_in *asked, api_sign_in_cb *done)
{
    struct entrance *s = arena_alloc(&req->arena, sizeof *s);
    *s = (struct entrance){ .asked = *asked, .done = done };
    if (s->asked.code && !*s->asked.code)
        s->asked.code = NULL;
    auth_login(worker_of(req)->auth, req, asked->name, asked->password, entered, s);
}

/* --- what there is --- */

/* After reading: it is the truth only while this node holds its lease. */
static enum err current(struct http_request *req, json_t **ret, struct why *why)
{
    if (cluster_current(worker_of(req)->cluster))
        return OK;
    json_decref(*ret);
    *ret = NULL;
    return fail(why, ERR_NOT_CURRENT, "%s", err_text(ERR_NOT_CURRENT));
}

enum err api_own_tokens(struct http_request *req, json_t **ret, struct why *why)
{
    struct token *tokens;
    unsigned count;
    char text[32];
    int64_t now = clock_wall_ms();
    token_list(worker_of(req)->reader, &req->arena, principal_of(req)->name, &tokens, &count);
    json_t *list = json_array();
    for (unsigned i = 0; i < count; i++) {
        const struct token *t = &tokens[i];
        json_t *item = json_pack("{s:s, s:s, s:s}", "id", t->id, "label", t->label ? t->label : "",
                                 "created_at", clock_rfc3339(t->created_ms, text));
        if (t->expires_ms) {
            json_object_set_new(item, "expires_at", json_string(clock_rfc3339(t->expires_ms, text)));
            json_object_set_new(item, "expired", json_boolean(t->expires_ms <= now));
        } else {
            json_object_set_new(item, "permanent", json_true());
        }
        json_array_append_new(list, item);
    }
    *ret = list;
    return current(req, ret, why);
}

enum err api_own_profile(struct http_request *req, json_t **ret, struct why *why)
{
    const struct principal *p = principal_of(req);
    struct meta_reader *r = worker_of(req)->reader;
    struct user user;
    struct mfa mfa;
    char created[32], updated[32];
    enum err e = user_get(r, &req->arena, p->name, &user, why);
    if (e)
        return e;
    bool second = mfa_get(r, &req->arena, p->name, &mfa) == OK;
    *ret = json_pack("{s:s, s:s?, s:s, s:s, s:b, s:b}", "name", p->name, "email", user.email, "created_at",
                     clock_rfc3339(user.created_ms, created), "updated_at",
                     clock_rfc3339(user.updated_ms, updated), "second_factor", second && mfa.confirmed,
                     "second_factor_pending", second && !mfa.confirmed);
    return current(req, ret, why);
}
