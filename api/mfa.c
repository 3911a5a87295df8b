/* SPDX-License-Identifier: Apache-2.0 */
/* Second factors of local users: enrolling, confirming, asking, taking away. docs/guide/sso.md. The code
 * is checked here; that it was not used before is the operation's to say, on the leader, before any token
 * is made. */
#include "pantera/meta_mfa.h"

#include <string.h>

#include "api/internal.h"
#include "pantera/limits.h"
#include "pantera/totp.h"

static const struct seal_key *key_of(struct http_request *req)
{
    return cluster_seal_key(worker_of(req)->cluster);
}

/* --- asking --- */

struct asking {
    api_changed_cb *done;
    const char *name;
    void *context;               /* of whoever asked, which `done` finds again */
};

static void ask_end(struct http_request *req, enum err e, const struct why *why)
{
    const struct asking *s = req->context;
    struct worker *w = worker_of(req);
    if (e == ERR_UNAUTHORIZED || e == ERR_TOO_MANY)
        audit_refused(req, w->cluster, &w->loop, s->name, "second factor", why_text(why, e));
    req->context = s->context;
    s->done(req, e, why);
}

/* An error that was read from the replica. */
static void ask_refuse(struct http_request *req, enum err e, const struct why *why)
{
    if (cluster_current(worker_of(req)->cluster))
        ask_end(req, e, why);
    else
        ask_end(req, ERR_NOT_CURRENT, NULL);
}

static void ask_answer(struct http_request *req, enum err e, const struct why *why, json_t *result)
{
    const struct asking *s = req->context;
    if (e != ERR_UNAUTHORIZED)
        auth_attempt_right(req, s->name);
    ask_end(req, e, why);
}

static void ask_totp(struct http_request *req, const char *name, const struct mfa *mfa, const char *code)
{
    struct why why = { "" };
    int64_t step;
    enum err e = totp_check(&req->arena, key_of(req), name, mfa->secret, code, &step, &why);
    if (!e && step <= mfa->last_step)
        e = fail(&why, ERR_UNAUTHORIZED, "mfa_code is wrong or was used");
    if (e)
        ask_refuse(req, e, &why);
    else
        api_propose_all(req, "mfa.use",
                        json_pack("{s:s, s:I, s:I}", "user", name, "created_ms",
                                  (json_int_t)mfa->created_ms, "step", (json_int_t)step), ask_answer);
}

void mfa_check(struct http_request *req, const char *code, api_changed_cb *done)
{
    const char *name = principal_of(req)->name;
    struct asking *s = arena_alloc(&req->arena, sizeof *s);
    struct mfa mfa;
    struct why why = { "" };
    s->done = done;
    s->name = name;
    s->context = req->context;
    req->context = s;
    enum err e = code && *code ? auth_attempt(req, name, &why)
                               : fail(&why, ERR_UNAUTHORIZED, "mfa_code required");
    if (!e && (mfa_get(worker_of(req)->reader, &req->arena, name, &mfa) || !mfa.confirmed))
        e = fail(&why, ERR_UNAUTHORIZED, "the second factor was taken away: sign in again");
    if (e)
        ask_refuse(req, e, &why);
    else if (backup_code_shaped(code))
        api_propose_all(req, "mfa.backup",
                        json_pack("{s:s, s:s}", "user", name, "hash",
                                  backup_code_hash(&req->arena, name, code)), ask_answer);
    else
        ask_totp(req, name, &mfa, code);
}

struct asking_then {
    void (*then)(struct http_request *req);
    void *context;
};

static void ask_then(struct http_request *req, enum err e, const struct why *why)
{
    const struct asking_then *s = req->context;
    req->context = s->context;
    if (e)
        api_fail(req, e, why);
    else
        s->then(req);
}

void mfa_ask(struct http_request *req, const char *code, void (*then)(struct http_request *req))
{
    struct asking_then *s = arena_alloc(&req->arena, sizeof *s);
    s->then = then;
    s->context = req->context;
    req->context = s;
    mfa_check(req, code, ask_then);
}

/* --- the password again, before anything changes: a stolen token is not enough --- */

struct change {
    const char *code;
    void (*then)(struct http_request *req);
};

static void change_asked(struct http_request *req, enum err e, const struct why *why, void *arg)
{
    const struct change *c = arg;
    if (e)
        api_fail(req, e, why);
    else if (principal_of(req)->second_factor)
        mfa_ask(req, c->code, c->then);
    else
        c->then(req);
}

static void change_begin(struct http_request *req, json_t *body, void (*then)(struct http_request *req))
{
    bool bad = false;
    const struct principal *p = req->principal;
    const char *password = api_string(body, "password", &bad);
    struct change *c = arena_alloc(&req->arena, sizeof *c);
    c->code = api_string(body, "mfa_code", &bad);
    c->then = then;
    if (bad || !password)
        api_fail_text(req, ERR_BAD_REQUEST, "expected {\"password\": text, \"mfa_code\": text}");
    else if (p->via == TOKEN_API)
        api_fail_text(req, ERR_FORBIDDEN, "an API token can't change a second factor");
    else
        auth_login(worker_of(req)->auth, req, arena_strdup(&req->arena, p->name), password, change_asked, c);
}

static void done_empty(struct http_request *req, json_t *result)
{
    api_done(req, 204, NULL);
}

/* --- status --- */

void mfa_status_get(struct http_request *req)
{
    struct mfa mfa = { 0 };
    bool found = mfa_get(worker_of(req)->reader, &req->arena, principal_of(req)->name, &mfa) == OK;
    api_json(req, 200, json_pack("{s:b, s:b, s:I}", "enabled", found && mfa.confirmed, "pending",
                                 found && !mfa.confirmed, "backup_codes_remaining",
                                 (json_int_t)mfa.codes_left));
}

/* --- enrolling --- */

static void enrolled(struct http_request *req, json_t *result)
{
    const struct totp_secret *s = req->context;
    http_set_header(req, "Cache-Control", "no-store");
    api_done(req, 200, json_pack("{s:s, s:s}", "secret", s->text, "otpauth_url", s->url));
}

static void enrol(struct http_request *req)
{
    const char *name = principal_of(req)->name;
    struct totp_secret *s = arena_alloc(&req->arena, sizeof *s);
    totp_secret_new(&req->arena, key_of(req), name, s);
    req->context = s;
    api_propose(req, "mfa.enrol", json_pack("{s:s, s:s}", "user", name, "secret", s->sealed), enrolled);
}

static void enrol_body(struct http_request *req, json_t *body)
{
    if (mfa_required(worker_of(req)->reader, principal_of(req)->name))
        api_refuse(req, ERR_CONFLICT, &(struct why){ "a second factor is on already" });
    else
        change_begin(req, body, enrol);
}

void mfa_enrol_post(struct http_request *req)
{
    api_body(req, enrol_body);
}

/* New backup codes: hashes for the operation, and the answer that shows them once. */
static json_t *codes_make(struct http_request *req, json_t *args)
{
    const char *name = principal_of(req)->name;
    json_t *shown = json_array(), *kept = json_array();
    for (unsigned i = 0; i < MFA_CODES; i++) {
        const char *code = backup_code_new(&req->arena);
        json_array_append_new(shown, json_string(code));
        json_array_append_new(kept, json_string(backup_code_hash(&req->arena, name, code)));
    }
    json_object_set_new(args, "codes", kept);
    return json_pack("{s:o}", "backup_codes", shown);
}

static void answer_release(void *arg)
{
    json_decref(arg);
}

static void codes_answer(struct http_request *req, json_t *result)
{
    http_set_header(req, "Cache-Control", "no-store");
    api_done(req, 200, json_incref(req->context));
}

static void codes_propose(struct http_request *req, const char *op, json_t *args)
{
    json_t *answer = codes_make(req, args);
    http_on_end(req, answer_release, answer);
    req->context = answer;
    api_propose(req, op, args, codes_answer);
}

static void confirm_body(struct http_request *req, json_t *body)
{
    bool bad = false;
    const char *code = api_string(body, "mfa_code", &bad), *name = principal_of(req)->name;
    struct mfa mfa;
    struct why why = { "" };
    int64_t step = 0;
    enum err e = OK;
    if (bad || !code)
        e = fail(&why, ERR_BAD_REQUEST, "expected {\"mfa_code\": text}");
    else if (mfa_get(worker_of(req)->reader, &req->arena, name, &mfa))
        e = fail(&why, ERR_NOT_FOUND, "nothing was enrolled: POST /api/v1/auth/mfa/enrol");
    else if (mfa.confirmed)
        e = fail(&why, ERR_CONFLICT, "a second factor is on already");
    if (!e && !(e = auth_attempt(req, name, &why))) {
        e = totp_check(&req->arena, key_of(req), name, mfa.secret, code, &step, &why);
        if (e == ERR_UNAUTHORIZED) /* the caller is known; it is the code that is wrong */
            e = fail(&why, ERR_BAD_REQUEST, "mfa_code is wrong; is the device's clock right?");
        else
            auth_attempt_right(req, name);
    }
    if (e) {
        api_refuse(req, e, &why);
        return;
    }
    codes_propose(req, "mfa.confirm",
                  json_pack("{s:s, s:I, s:I}", "user", name, "created_ms", (json_int_t)mfa.created_ms,
                            "step", (json_int_t)step));
}

void mfa_confirm_post(struct http_request *req)
{
    if (principal_of(req)->via == TOKEN_API)
        api_fail_text(req, ERR_FORBIDDEN, "an API token can't change a second factor");
    else
        api_body(req, confirm_body);
}

static void backup_codes(struct http_request *req)
{
    codes_propose(req, "mfa.codes", json_pack("{s:s}", "user", principal_of(req)->name));
}

static void backup_codes_body(struct http_request *req, json_t *body)
{
    change_begin(req, body, backup_codes);
}

void mfa_backup_codes_post(struct http_request *req)
{
    api_body(req, backup_codes_body);
}

/* --- taking away --- */

static void disable(struct http_request *req)
{
    api_propose(req, "mfa.remove", json_pack("{s:s}", "user", principal_of(req)->name), done_empty);
}

static void disable_body(struct http_request *req, json_t *body)
{
    change_begin(req, body, disable);
}

void mfa_disable_post(struct http_request *req)
{
    api_body(req, disable_body);
}

/* For a user who has lost the device and the backup codes. Not for oneself: that needs a code. */
void mfa_reset_delete(struct http_request *req)
{
    const char *name = req->params[0];
    struct why why = { "" };
    enum err e = OK;
    if (strcmp(name, principal_of(req)->name) == 0)
        e = fail(&why, ERR_FORBIDDEN, "one's own: POST /api/v1/auth/mfa/disable");
    if (!e)
        e = user_covered(req, name, &why);
    if (e)
        api_refuse(req, e, &why);
    else
        api_propose(req, "mfa.remove", json_pack("{s:s}", "user", name), done_empty);
}
