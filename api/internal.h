/* SPDX-License-Identifier: Apache-2.0 */
/* api/internal.h: what api's files share: the route table, the request's phases, metrics. */
#ifndef API_INTERNAL_H
#define API_INTERNAL_H

#include "pantera/api.h"
#include "pantera/format.h"

/* Every handler of routes.def. */
#define ROUTE(method, pattern, permission, handler, limit, summary) \
    void handler(struct http_request *req);
#include "api/routes.def"
#undef ROUTE

extern const struct api_route api_routes[];
extern const unsigned api_routes_count;


/* --- policy.c: the token policy of /admin/auth-settings --- */
struct token_policy {
    int64_t access_s, refresh_s, api_max_days;
    bool permanent;
};
/* False: NOT_CURRENT was answered; what was read may be yesterday's policy. */
MUST_USE bool token_policy_now(struct http_request *req, struct token_policy *ret);

/* --- metrics.c: counters of one worker each, added up when somebody asks --- */
void metrics_began(struct http_request *req);
/* It waited at the gate; `current`: until this node was. */
void metrics_waited(struct http_request *req, bool current);
void metrics_finished(struct http_request *req);
void metrics_render(struct http_request *req);
/* Of the repository and the management port, health probes aside; since the start. Any thread. */
struct traffic {
    uint64_t requests, errors, bytes_in, bytes_out; /* errors: answered with 5xx */
};
void metrics_traffic(struct traffic *ret);

/* --- dashboard.c: on worker 0, every now and then --- */
void dashboard_tick(struct worker *w);
/* --- cooldown.c: checks and saves its configuration, answers {"status": "saved"} --- */
void cooldown_save(struct http_request *req, json_t *body);

/* --- gate.c: `enter` now if this node is current, else when it is, or in vain after wait_ms --- */
void gate_enter(struct http_request *req, void (*enter)(struct http_request *req));
void gate_start(struct worker *w);
void gate_stop(struct worker *w);

/* --- access_log.c --- */
void access_log_write(struct http_request *req);

/* --- repository_port.c --- */
/* The format whose own first segment a path of the repository port begins with, a global prefix aside; NULL:
 * none, or not that port. *ret_base: "/v2", with the prefix; *ret_rest: what follows it. */
const struct format *root_of(struct http_request *req, const char *path, const char **ret_base,
                             const char **ret_rest);

/* --- dialect.c --- */
enum dialect dialect_of(struct http_request *req);
/* The body of an error; the arena's. *ret_type its content type; NULL: no body. */
const char *dialect_body(struct arena *a, enum dialect d, enum err e, const char *text,
                         const char **ret_type);

/* That this user must change the password first. */
bool must_change_first(const struct http_request *req);
static inline const struct principal *principal_of(const struct http_request *req)
{
    return req->principal;
}
/* --- import.c: PUT /.import/<repository>/<path>; `whole` is what follows ".import/" --- */
void import_handle(struct http_request *req, const char *whole);
void import_refuse(struct http_request *req, enum err e, const struct why *why);
/* An error that was read from the replica: true only if this node is current. */
void api_refuse(struct http_request *req, enum err e, const struct why *why);
/* --- users.c: nobody hands out, or takes over, what he does not hold --- */
enum err roles_covered(struct http_request *req, const json_t *roles, struct why *why);
enum err user_covered(struct http_request *req, const char *name, struct why *why);
/* --- auth.c: tokens for `p`, and the answer; `spent`: the refresh token that pays, or NULL --- */
void session_begin(struct http_request *req, const struct principal *p, const struct principal *spent);
/* --- mfa.c: the second factor of req->principal, whose password was right; `then` if it is right too --- */
void mfa_ask(struct http_request *req, const char *code, void (*then)(struct http_request *req));
void mfa_check(struct http_request *req, const char *code, api_changed_cb *done); /* errors to `done` too */
/* --- providers.c: all of them, secrets masked: [{id, type, priority, enabled, config}] --- */
json_t *providers_describe(struct http_request *req);

/* A user or role by name may be put by whoever has `update` or `create`; FORBIDDEN with neither. */
enum err may_put(const struct http_request *req, enum permission create, enum permission update);

#endif
