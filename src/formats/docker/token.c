/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/docker/token.c: how clients sign in. Basic does for every request. Those that would rather
 * have a token (`Bearer realm=`) ask /v2/token for one with Basic and get an access token of ours that
 * lives for five minutes; who signed in with a token gets that one back: it says no more than before. */
#include <string.h>
#include <strings.h>

#include "pantera/auth.h"
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

/* Basic first: some clients look at the first challenge only, and it costs them no second request. */
void oci_challenge(struct http_request *req)
{
    const char *at = place(req);

    http_set_header(req, "Docker-Distribution-API-Version", "registry/2.0");
    http_set_header(req, "WWW-Authenticate", "Basic realm=\"pantera\"");
    if (at)
        http_set_header(req, "WWW-Authenticate",
                        arena_printf(&req->arena, "Bearer realm=\"%s/v2/token\",service=\"pantera\"", at));
}

void oci_ping(struct http_request *req)
{
    if (req->method & (HTTP_M_GET | HTTP_M_HEAD))
        http_reply(req, 200, "application/json", "{}", 2);
    else
        oci_not_allowed(req, "GET, HEAD");
}

static void reply_token(struct http_request *req, const char *token, int64_t issued_ms)
{
    char issued[32];

    http_set_header(req, "Cache-Control", "no-store");
    api_done(req, 200, json_pack("{s:s, s:s, s:I, s:s}", "token", token, "access_token", token, "expires_in",
                                 (json_int_t)(TOKEN_MS / 1000), "issued_at",
                                 clock_rfc3339(issued_ms, issued)));
}

static void on_issued(struct http_request *req, enum err e, const struct why *why, struct token_order *orders,
                      void *arg)
{
    (void)arg;
    if (e)
        api_fail(req, e, why);
    else
        reply_token(req, orders[0].token, orders[0].issued_ms);
}

/* The token that was sent, as Bearer or as the password of Basic; NULL: none that can be read again. */
static const char *token_sent(struct http_request *req)
{
    const char *value = http_header(req, "authorization"), *colon;
    char *pair;
    size_t n;

    if (value && !strncasecmp(value, "Bearer ", 7))
        return value + 7 + strspn(value + 7, " ");
    if (!value || strncasecmp(value, "Basic ", 6))
        return NULL;
    value += 6 + strspn(value + 6, " ");
    pair = base64_decode(&req->arena, value, strlen(value), &n);
    colon = pair ? memchr(pair, ':', n) : NULL;
    return colon ? colon + 1 : NULL;
}

void oci_token(struct http_request *req)
{
    const struct principal *p = req->principal;
    struct token_order *order;
    const char *sent;

    if (!(req->method & (HTTP_M_GET | HTTP_M_HEAD))) {
        oci_not_allowed(req, "GET, HEAD");
        return;
    }
    if (p->via != TOKEN_NONE && (sent = token_sent(req))) {
        reply_token(req, sent, clock_wall_ms());
        return;
    }
    order = arena_alloc(&req->arena, sizeof *order);
    *order = (struct token_order){ .type = TOKEN_ACCESS, .lifetime_ms = TOKEN_MS };
    auth_issue(worker_of(req)->auth, req, p, order, 1, on_issued, NULL);
}
