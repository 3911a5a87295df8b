/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/docker/token.c: how clients sign in. Basic does for every request. Those that would rather
 * have a token (`Bearer realm=`) ask /v2/token for one with Basic and get one that lives for five minutes and
 * may what was asked for (`scope`) and its user may: pull, push or delete one image, list names. Asked for
 * nothing, it is good for /v2/ itself. Of who signed in with a token, it ends with that one at the latest. */
#include <string.h>

#include "pantera/clock.h"
#include "pantera/text.h"
#include "pantera/worker.h"
#include "src/formats/docker/docker.h"

#define TOKEN_MS (300ll * 1000)

/* Where clients reach this port, without a slash at the end; NULL: not known. */
static const char *place(struct http_request *req)
{
    const char *base = worker_of(req)->config->base_url;
    size_t n = base ? strlen(base) : 0;

    if (n)
        return arena_strndup(&req->arena, base, base[n - 1] == '/' ? n - 1 : n);
    if (!*req->host || strpbrk(req->host, "\"\\ ,/"))
        return NULL;
    return arena_printf(&req->arena, "%s://%s", req->tls ? "https" : "http", req->host);
}

/* Distribution token spec: what a token would have to say for that. */
static const char *scope_text(struct arena *a, const char *name, enum oci_action action)
{
    if (!name)
        return "registry:catalog:*";
    return arena_printf(a, "repository:%s:%s", name, action == OCI_PULL ? "pull" : action == OCI_DELETE
                        ? "delete" : "pull,push");
}

/* Of the request's target; NULL: of nothing in particular. */
static const char *scope_asked(struct http_request *req)
{
    const char *at = strstr(req->target, "/v2/"), *image, *reference;
    bool reads = req->method & (HTTP_M_GET | HTTP_M_HEAD);
    enum oci_what what;

    if (!at || !strcmp(at, "/v2/_catalog"))
        return at ? scope_text(&req->arena, NULL, OCI_PULL) : NULL;
    what = oci_path_parse(&req->arena, at + 4, &image, &reference);
    if (what == OCI_NOTHING || strpbrk(image, "\"\\%, :"))
        return NULL;
    return scope_text(&req->arena, image, what == OCI_UPLOAD || !(reads || req->method == HTTP_M_DELETE)
                      ? OCI_PUSH : reads ? OCI_PULL : OCI_DELETE);
}

static void challenge(struct http_request *req, const char *scope, const char *error)
{
    const char *at = place(req);

    http_set_header(req, "Docker-Distribution-API-Version", "registry/2.0");
    if (!error) /* Basic first: some look at the first challenge only; it costs them no second request */
        http_set_header(req, "WWW-Authenticate", "Basic realm=\"pantera\"");
    if (at)
        http_set_header(req, "WWW-Authenticate",
                        arena_printf(&req->arena, "Bearer realm=\"%s/v2/token\",service=\"pantera\"%s%s%s%s",
                                     at, scope ? ",scope=\"" : "", scope ? scope : "", scope ? "\"" : "",
                                     error ? error : ""));
}

void oci_challenge(struct http_request *req)
{
    challenge(req, scope_asked(req), NULL);
}

void oci_narrow(struct http_request *req, const char *name, enum oci_action action)
{
    challenge(req, scope_text(&req->arena, name, action), ",error=\"insufficient_scope\"");
    oci_fail(req, 401, "UNAUTHORIZED", "this token was not asked for with a scope for that");
}

void oci_ping(struct http_request *req)
{
    if (req->method & (HTTP_M_GET | HTTP_M_HEAD))
        http_reply(req, 200, "application/json", "{}", 2);
    else
        oci_not_allowed(req, "GET, HEAD");
}

static void reply_token(struct http_request *req, const struct token_order *order)
{
    int64_t left_ms = order->expires_ms - order->issued_ms;
    char issued[32];

    http_set_header(req, "Cache-Control", "no-store");
    api_done(req, 200, json_pack("{s:s, s:s, s:I, s:s, s:s}", "token", order->token, "access_token",
                                 order->token, "expires_in", (json_int_t)((left_ms + 999) / 1000),
                                 "issued_at", clock_rfc3339(order->issued_ms, issued), "scope",
                                 order->scope));
}

static void on_issued(struct http_request *req, enum err e, const struct why *why, struct token_order *orders,
                      void *arg)
{
    (void)arg;
    if (e)
        api_fail(req, e, why);
    else
        reply_token(req, &orders[0]);
}

/* --- scopes: granted is what was asked for and may be had --- */

enum { SCOPES_MOST = 50, SCOPE_BYTES = 4096 };

static bool is_asked(const char *actions, const char *word)
{
    size_t n = strlen(word);

    for (const char *at = actions; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if ((!strncmp(at, word, n) && (at[n] == ',' || !at[n])) || !strcmp(at, "*"))
            return true;
    return false;
}

/* "team/app" of repository "images"; false: it is no image's name. */
static bool image_of(struct arena *a, const char *name, const char **ret_repo, const char **ret_image)
{
    const char *slash = strchr(name, '/');

    *ret_repo = slash ? arena_strndup(a, name, (size_t)(slash - name)) : name;
    *ret_image = slash ? slash + 1 : "";
    return slash && oci_name_valid(*ret_image) && !strpbrk(*ret_repo, " ,:");
}

static void grant_image(struct http_request *req, struct buf *b, const char *name, const char *actions)
{
    static const struct {
        const char *word;
        enum oci_action action;
    } words[] = { { "pull", OCI_PULL }, { "push", OCI_PUSH }, { "push", OCI_OVERWRITE },
                  { "delete", OCI_DELETE } };
    const char *repo, *image, *last = "";

    if (!image_of(&req->arena, name, &repo, &image))
        return;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!strcmp(last, words[i].word) || !is_asked(actions, words[i].word) ||
            !oci_may(req, repo, image, words[i].action))
            continue;
        (void)buf_printf(b, "%s%s", *last ? "," : arena_printf(&req->arena, "%srepository:%s:",
                                                              b->length ? " " : "", name), words[i].word);
        last = words[i].word;
    }
}

/* One "type:name:actions"; a type may have a class behind it, in parentheses. */
static void grant(struct http_request *req, struct buf *b, const char *asked)
{
    const char *name = strchr(asked, ':'), *actions = strrchr(asked, ':');
    size_t type = name ? strcspn(asked, "(:") : 0;

    if (!name || actions == name || strchr(asked, ' '))
        return;
    name = arena_strndup(&req->arena, name + 1, (size_t)(actions - name - 1));
    if (type == 10 && !strncmp(asked, "repository", 10))
        grant_image(req, b, name, actions + 1);
    else if (type == 8 && !strncmp(asked, "registry", 8) && !strcmp(name, "catalog") &&
             may_catalog(req->principal, NULL))
        (void)buf_printf(b, "%sregistry:catalog:*", b->length ? " " : "");
}

/* `scope` may come several times, and name several, with spaces between them. */
static const char *scopes_granted(struct http_request *req)
{
    struct arena *a = &req->arena;
    unsigned left = SCOPES_MOST;
    const char *granted;
    struct buf b;

    buf_init(&b, SCOPE_BYTES);
    for (const char *at = req->query, *next; at && *at; at = next) {
        const char *end = at + strcspn(at, "&"), *value;
        next = *end ? end + 1 : NULL;
        if (strncmp(at, "scope=", 6) || !(value = query_get(a, arena_strndup(a, at, (size_t)(end - at)),
                                                            "scope")))
            continue;
        for (size_t n; *value && left && !buf_err(&b); value += n + (value[n] == ' '), left--)
            if ((n = strcspn(value, " ")))
                grant(req, &b, arena_strndup(a, value, n));
    }
    granted = buf_err(&b) ? "" : arena_strndup(a, b.data ? b.data : "", b.length);
    buf_free(&b);
    return granted;
}

void oci_token(struct http_request *req)
{
    struct token_order *order;

    if (!(req->method & (HTTP_M_GET | HTTP_M_HEAD))) {
        oci_not_allowed(req, "GET, HEAD");
        return;
    }
    order = arena_alloc(&req->arena, sizeof *order);
    *order = (struct token_order){ .type = TOKEN_ACCESS, .lifetime_ms = TOKEN_MS,
                                   .scope = scopes_granted(req) };
    auth_issue(worker_of(req)->auth, req, req->principal, order, 1, on_issued, NULL);
}
