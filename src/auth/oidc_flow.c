/* SPDX-License-Identifier: Apache-2.0 */
/* A sign-in with an OpenID provider: its memory, its calls, its end. */
#include <stdlib.h>
#include <string.h>

#include "src/auth/internal.h"
#include "src/auth/oidc_flow.h"

enum { ANSWER = 256 << 10 };

static void config_release(void *arg)
{
    json_decref(arg);
}

struct flow *flow_new(struct auth *a, struct client *c, struct http_request *req, const struct provider *p,
                      const char *callback)
{
    struct flow *f = calloc(1, sizeof *f);
    check(f);
    arena_init(&f->arena);
    buf_init(&f->answer, ANSWER);
    f->auth = a;
    f->client = c;
    f->tether = tether_tie(req, &f->req);
    f->provider = *p; /* texts are the configuration's, which is kept, but for these */
    arena_on_release(&f->arena, config_release, json_incref((json_t *)(uintptr_t)p->config));
    f->provider.type = arena_strdup(&f->arena, p->type);
    f->provider.issuer = arena_strdup(&f->arena, p->issuer);
    f->provider.authn_url = arena_strdup(&f->arena, p->authn_url);
    f->callback = arena_strdup(&f->arena, callback);
    return f;
}

void flow_free(struct flow *f)
{
    if (f->req)
        tether_cut(f->tether);
    buf_free(&f->answer);
    arena_release(&f->arena);
    free(f);
}

void flow_fail(struct flow *f, enum err e, const struct why *why)
{
    struct http_request *req = f->req;
    sso_start_cb *started = f->started;
    sso_exchange_cb *exchanged = f->exchanged;
    struct why text = *why;
    flow_free(f);
    if (req && started)
        started(req, e, &text, NULL);
    else if (req)
        exchanged(req, e, &text, NULL);
}

/* --- calls --- */

static bool on_data(struct client_request *r, const void *data, size_t size)
{
    struct flow *f = r->arg;
    (void)buf_add(&f->answer, data, size);
    if (buf_err(&f->answer) || !f->req)
        client_cancel(r); /* it is too large, or nobody waits for it */
    return true;
}

/* FORBIDDEN means something else to who asked for a sign-in. */
static enum err not_allowed(const char *url, struct why *why)
{
    return fail(why, ERR_UPSTREAM, "%.150s: its address is in a network that "
                "meta.http_client.allow_upstreams does not list", url);
}

static void on_done(struct client_request *r)
{
    struct flow *f = r->arg;
    struct why why = { "" };
    enum err e = r->err;
    if (e == ERR_FORBIDDEN)
        e = not_allowed(r->url, &why);
    if (buf_err(&f->answer)) {
        e = fail(&why, ERR_UPSTREAM, "%.150s: too large an answer", r->url);
    } else if (e == ERR_CANCELED) { /* nobody waits, or everything is being torn down */
        flow_free(f);
        return;
    }
    if (e && !why.text[0])
        why = r->why;
    if (!e && !f->req)
        e = ERR_CANCELED;
    if (e) {
        flow_fail(f, e, &why);
        return;
    }
    json_t *body = json_loadb(f->answer.data ? f->answer.data : "", f->answer.length, JSON_REJECT_DUPLICATES,
                              NULL);
    f->on_answer(f, body);
    json_decref(body);
}

bool flow_good(struct flow *f, const json_t *body)
{
    struct why why = { "" };
    const char *said = json_string_value(json_object_get(body, "error"));
    if (body && f->call.status == 200)
        return true;
    flow_fail(f, fail(&why, ERR_UPSTREAM, "%.120s: status %d%s%.60s", f->call.url, f->call.status,
                      said ? ", " : body ? "" : ", not JSON", said ? said : ""), &why);
    return false;
}

static const char *host_of(struct arena *a, const char *url)
{
    struct client_url parsed;
    return url && !client_url(a, NULL, url, &parsed, NULL) ? parsed.host : "";
}

/* The hosts that an administrator named may be in a private network or on this machine; those that a
 * provider publishes may be as near as the provider is, and no nearer: or it could send our requests into a
 * network that it is no part of. */
static const struct client_guard *guard_of(struct flow *f, const char *url)
{
    const char *host = host_of(&f->arena, url);
    if (strcmp(host, host_of(&f->arena, f->provider.issuer)) == 0 ||
        strcmp(host, host_of(&f->arena, f->provider.authn_url)) == 0)
        return client_guard_of(NEAR_LOOPBACK);
    return client_guard_of(fetched_get(f->auth, &f->provider)->near);
}

void flow_call(struct flow *f, const char *method, const char *url, const char *const *headers,
               const char *body, void (*on_answer)(struct flow *f, json_t *body))
{
    struct why why = { "" };
    f->on_answer = on_answer;
    buf_clear(&f->answer);
    f->call = (struct client_request){
        .method = method, .url = url, .headers = headers, .body = body,
        .body_size = body ? strlen(body) : 0, .upstream = true,
        .ca_file = f->provider.ca_file, .guard = guard_of(f, url), .on_data = on_data, .on_done = on_done,
        .arg = f,
    };
    enum err e = client_submit(f->client, &f->call, &why);
    if (e == ERR_FORBIDDEN)
        e = not_allowed(url, &why);
    if (e)
        flow_fail(f, e, &why);
}
