/* SPDX-License-Identifier: Apache-2.0 */
/* Signing in to a remote: Basic, a configured token, or a registry's token flow: a 401 with a Bearer
 * challenge names a realm, which gives a token to who proves himself with the remote's Basic
 * credentials, or to anybody. What a path needed is remembered, so that its neighbours ask with the
 * right token at once. */
#include <string.h>

#include "private.h"
#include "pantera/text.h"

enum { SIGN_INS = 3, HINT_LIFE_MS = 3600 * 1000 };

/* --- what is known from before --- */

/* Tokens are for a name, and names are what stands before the last two segments in registries' paths (NAME/
 * manifests/TAG, NAME/blobs/DIGEST). It is a guess only: a wrong one costs a 401. */
static const char *place_of(struct arena *a, const char *path)
{
    size_t n = strcspn(path, "?");
    for (unsigned segments = 0; segments < 2; segments++) {
        while (n && path[n - 1] != '/')
            n--;
        n -= n > 0;
    }
    return arena_strndup(a, path, n);
}

void signin_prepare(struct upstream_private *p)
{
    const struct upstream_request *r = p->request;
    const struct upstream_remote *remote = r->remote;
    struct arena *a = &p->arena;
    const char *password = remote->password ? remote->password : "";
    p->token = remote->token ? arena_strdup(a, remote->token) : NULL;
    p->username = remote->username ? arena_strdup(a, remote->username) : NULL;
    if (p->username) {
        const char *pair = arena_printf(a, "%s:%s", remote->username, password);
        p->basic = arena_printf(a, "Authorization: Basic %s", base64_encode(a, pair, strlen(pair)));
    }
    p->identity = arena_printf(a, "%s\n%s\n%s", remote->url, p->username ? p->username : "", password);
    p->hint = r->scope ? arena_printf(a, "hint\n%s\nscope %s", p->identity, r->scope)
                       : arena_printf(a, "hint\n%s\n%s", p->identity, place_of(a, r->path));
    p->challenge.scope = r->scope ? arena_strdup(a, r->scope) : NULL;
}

static const char *token_key(struct upstream_private *p)
{
    return arena_printf(&p->arena, "token\n%s\n%s\n%s\n%s", p->identity, p->challenge.realm,
                        p->challenge.service, p->challenge.scope);
}

static const char *realm_key(struct upstream_private *p)
{
    return arena_printf(&p->arena, "realm\n%s", p->identity);
}

/* "realm\nservice" and perhaps "\nscope". */
static bool challenge_read(struct upstream_private *p, const char *text)
{
    size_t n = strcspn(text, "\n");
    if (!text[n])
        return false;
    const char *service = text + n + 1, *scope = service + strcspn(service, "\n");
    p->challenge.realm = arena_strndup(&p->arena, text, n);
    p->challenge.service = arena_strndup(&p->arena, service, (size_t)(scope - service));
    if (*scope)
        p->challenge.scope = scope + 1;
    return true;
}

static void challenge_keep(struct upstream_private *p)
{
    const struct challenge *c = &p->challenge;
    const char *realm = arena_printf(&p->arena, "%s\n%s", c->realm, c->service);
    tokens_put(realm_key(p), realm, HINT_LIFE_MS);
    tokens_put(p->hint, arena_printf(&p->arena, "%s\n%s", realm, c->scope), HINT_LIFE_MS);
}

static bool challenge_known(struct upstream_private *p)
{
    const char *text;
    if (tokens_get(&p->arena, p->hint, &text))
        return challenge_read(p, text);
    return p->challenge.scope && tokens_get(&p->arena, realm_key(p), &text) && challenge_read(p, text);
}

/* --- the token service --- */

static void param(struct arena *a, const char **url, const char *name, const char *value)
{
    *url = arena_printf(a, "%s%c%s=%s", *url, strchr(*url, '?') ? '&' : '?', name,
                        percent_encode(a, value, false));
}

static const char *service_url(struct upstream_private *p)
{
    struct arena *a = &p->arena;
    const char *url = p->challenge.realm, *scope = p->challenge.scope;
    if (*p->challenge.service)
        param(a, &url, "service", p->challenge.service);
    while (*(scope += strspn(scope, " "))) { /* several are several parameters */
        size_t n = strcspn(scope, " ");
        param(a, &url, "scope", arena_strndup(a, scope, n));
        scope += n;
    }
    if (p->username)
        param(a, &url, "account", p->username);
    return url;
}

static void fetch(struct upstream_private *p)
{
    struct client_url url;
    const char **headers = arena_alloc(&p->arena, 4 * sizeof *headers);
    bool secure = strncmp(p->origin, "https:", 6) == 0;
    if (client_url(&p->arena, NULL, service_url(p), &url, NULL) || (secure && !url.secure)) {
        request_end(p, UPSTREAM_REFUSED, ERR_UPSTREAM, "it names a token service that can't be asked");
        return;
    }
    headers[0] = "User-Agent: pantera/" PANTERA_VERSION;
    headers[1] = "Accept: application/json";
    headers[2] = p->basic;
    p->token_fetched = true;
    buf_free(&p->answer);
    buf_init(&p->answer, TOKEN_TEXT_MOST);
    request_send(p, "GET", url.text, headers, true);
}

bool signin_on_data(struct client_request *call, const void *data, size_t size)
{
    struct upstream_private *p = call->arg;
    if (buf_add(&p->answer, data, size) != OK && !p->enough) {
        p->enough = true;
        client_cancel(call);
    }
    return true;
}

void signin_on_done(struct client_request *call)
{
    struct upstream_private *p = call->arg;
    const char *token;
    int64_t life;
    p->calling = false;
    if (request_canceled(p))
        return;
    if (call->err && !p->enough) {
        request_failed(p);
    } else if (call->status == 429) {
        request_end(p, UPSTREAM_TOO_MANY, ERR_UNAVAILABLE, "its token service answered 429");
    } else if (call->status >= 500) {
        request_end(p, UPSTREAM_FAILED, ERR_UPSTREAM, "its token service fails");
    } else if (call->status != 200) {
        request_end(p, UPSTREAM_REFUSED, ERR_UPSTREAM, "its token service gives no token");
    } else if (p->enough || !token_answer_parse(&p->arena, p->answer.data ? p->answer.data : "",
                                                p->answer.length, &token, &life)) {
        request_end(p, UPSTREAM_FAILED, ERR_UPSTREAM, "its token service answers what is no token");
    } else {
        int64_t margin = life / 5 < 30000 ? life / 5 : 30000; /* clocks differ, answers take time */
        tokens_put(token_key(p), token, life - margin);
        challenge_keep(p);
        p->bearer = token;
        request_hop(p);
    }
}

/* A cached token, or a new one. False: it is being fetched, or that was the end. */
static bool token_find(struct upstream_private *p)
{
    const char *key = token_key(p), *cached;
    if (tokens_get(&p->arena, key, &cached)) {
        if (!p->bearer || strcmp(p->bearer, cached) != 0) {
            p->bearer = cached;
            return true;
        }
        tokens_drop(key); /* it was refused just now */
    }
    fetch(p);
    return false;
}

bool signin_begin(struct upstream_private *p)
{
    if (p->token || strcmp(p->url.origin, p->origin) != 0 || !challenge_known(p))
        return true;
    return token_find(p);
}

bool signin_challenged(struct upstream_private *p)
{
    struct challenge found;
    const char *value;
    size_t at = 0;
    if (p->call.status != 401 || p->token || strcmp(p->url.origin, p->origin) != 0)
        return false;
    if ((p->token_fetched && p->sign_ins > 0) || p->sign_ins >= SIGN_INS)
        return false; /* a fresh token for just this was no good */
    while ((value = client_header_next(&p->call, "www-authenticate", &at)))
        if (challenge_parse(&p->arena, value, &found)) {
            p->challenge = found;
            return true;
        }
    return false;
}

void signin_answer(struct upstream_private *p)
{
    p->sign_ins++;
    if (token_find(p)) {
        challenge_keep(p);
        request_hop(p);
    }
}
