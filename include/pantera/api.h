/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/api.h: how our own endpoints are written.
 * What:     rows of api/routes.def, dialects of errors, JSON in and out, pages, proposals from a handler.
 * Order:    route → (OPTIONS, 404, 405) → guard (401, 403, 429, 503) → body limit (413) → handler.
 * Threads:  the worker's loop.
 *
 *     ROUTE(GET, "/api/v1/users/:name", USER_READ, users_get, 0, "Get a user")
 *     void users_get(struct http_request *req) {
 *         struct user user;
 *         struct why why = { "" };
 *         enum err e = user_get(worker_of(req)->reader, &req->arena, req->params[0], &user, &why);
 *         if (e) { api_fail(req, e, &why); return; }
 *         api_json(req, 200, user_json(&user));
 *     } */
#ifndef PANTERA_API_H
#define PANTERA_API_H

#include <jansson.h>

#include "pantera/auth.h"
#include "pantera/http.h"
#include "pantera/worker.h"

/* Whose API a route belongs to: the shape of its error bodies. JSON: {"error": text}, for who asks for JSON
 * where others get plain text. */
enum dialect { DIALECT_PANTERA, DIALECT_SEARCH, DIALECT_PLAIN, DIALECT_OCI, DIALECT_BARE, DIALECT_JSON };

struct api_route {
    unsigned method;
    const char *pattern;
    enum permission permission;
    void (*handler)(struct http_request *req);
    size_t body_limit;
    const char *summary, *name;
};

/* The one way out with an error, for every layer: status, body in the route's (or the listener's)
 * dialect, WWW-Authenticate with a 401, Retry-After with a 503 or 429. */
void api_fail(struct http_request *req, enum err e, const struct why *why);
void api_fail_text(struct http_request *req, enum err e, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Takes `body`. Looks at the lease first: 503 instead if this node can't prove that it is current. Use
 * it for whatever was read from the replica. */
void api_json(struct http_request *req, int status, json_t *body);
void api_empty(struct http_request *req, int status); /* the same, without a body */

/* After a proposal that succeeded: it was acknowledged, so no lease is asked for. `body` NULL: empty. */
void api_done(struct http_request *req, int status, json_t *body);

/* Collects a JSON object body; on failure it has answered (400, 413) and `then` is not called. Gives
 * `body` as a borrowed reference, alive until the request ends. */
void api_body(struct http_request *req, void (*then)(struct http_request *req, json_t *body));
/* A string member: NULL if absent; *ret_bad set if it is something else. */
const char *api_string(const json_t *object, const char *key, bool *ret_bad);

/* Proposes an operation for this request. Takes args. `then` gets OK (with `result`, borrowed) or is
 * not called: a failure has been answered with api_fail. */
void api_propose(struct http_request *req, const char *op, json_t *args,
                 void (*then)(struct http_request *req, json_t *result));
/* The same, failures included: for handlers that shape them. */
void api_propose_all(struct http_request *req, const char *op, json_t *args,
                     void (*then)(struct http_request *req, enum err e, const struct why *why,
                                  json_t *result));

/* page (0-based; negative or not a number: 0), size (default 20, 1..LIMIT_PAGE_SIZE). */
struct page {
    int64_t page, size;
    const char *q, *sort;
    bool descending;
};
void api_page(struct http_request *req, int64_t default_size, struct page *ret);
/* {"items", "page", "size", "total", "hasMore"}; takes items. */
json_t *api_page_json(const struct page *p, json_t *items, int64_t total);

/* First start, as the configuration says (auth_found). `done` on the worker's loop, once;
 * `generated_password` is NULL unless one was made here and is now the admin's. */
void auth_bootstrap(struct worker *w,
                    void (*done)(struct worker *w, enum err e, const char *generated_password));

/* For formats whose clients manage what belongs to who asks, in shapes of their own (api/account.c).
 * Errors are the format's to shape; an answer may have been given instead (NOT_CURRENT). Texts are borrowed:
 * the request's. */

/* An API token for a name and a password. `code`: the second factor, or NULL; where it is missing or wrong,
 * UNAUTHORIZED and a text that says "one-time password". `days`: 0: as long as the token policy lets it
 * live. */
struct api_sign_in {
    const char *name, *password, *code, *label;
    int64_t days;
};
typedef void api_sign_in_cb(struct http_request *req, enum err e, const struct why *why,
                            const struct token_order *token);
void api_sign_in(struct http_request *req, const struct api_sign_in *asked, api_sign_in_cb *done);
/* New references. [{id, label, created_at, expires_at and expired | permanent}] of the API tokens */
enum err api_own_tokens(struct http_request *req, json_t **ret, struct why *why);
/* {name, email: text or null, created_at, updated_at, second_factor, second_factor_pending} */
enum err api_own_profile(struct http_request *req, json_t **ret, struct why *why);
/* UNAUTHORIZED: `old` is wrong; BAD_REQUEST: `next` is too weak; TOO_MANY. */
typedef void api_changed_cb(struct http_request *req, enum err e, const struct why *why);
void api_own_password(struct http_request *req, const char *old, const char *next, api_changed_cb *done);

/* For formats with a search of their own: names that hold all of `words` (NULL-terminated; none: any name),
 * of artifacts in `repos` (names, NULL-terminated; nothing is asked of permissions), each once, in their
 * order. Answers with api_fail when it can't. Names are borrowed until `done` returns. */
typedef void api_names_cb(struct http_request *req, const char *const *names, unsigned count, int64_t total,
                          void *arg);
void api_search_names(struct http_request *req, const char *const *repos, const char *const *words,
                      unsigned offset, unsigned limit, api_names_cb *done, void *arg);

/* The hooks that main gives to the listeners. */
void api_on_request(struct http_request *req);         /* 8086 */
void api_on_repository_request(struct http_request *req); /* 8080: specials, then formats */
void api_on_metrics_request(struct http_request *req); /* 8087 */
void api_on_refused(struct http_request *req, enum err e, const char *text);
void api_on_finished(struct http_request *req);        /* access log, metrics */
/* Settings in force, the dashboard's counters: on the worker's loop, when it begins and before it ends. */
void api_worker_start(struct worker *w);
void api_worker_stop(struct worker *w);
void api_init(void);  /* builds the routers; once, before any worker */

#endif
