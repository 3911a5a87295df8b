/* SPDX-License-Identifier: Apache-2.0 */
/* What OpenID providers publish, their addresses and their keys: asked for when it is needed, kept for an
 * hour by each worker. An unknown key asks again (oidc.c). */
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "src/auth/internal.h"
#include "src/auth/oidc_flow.h"

enum { KEPT_MS = 3600000 };

/* --- keeping --- */

struct sso {
    struct fetched *first;
};

static void fetched_free(struct fetched *f)
{
    jwks_free(&f->keys);
    free(f->issuer);
    free(f->ca_file);
    free(f->iss);
    free(f->authorize_url);
    free(f->token_url);
    free(f->keys_url);
    free(f);
}

void sso_free(struct sso *s)
{
    while (s && s->first) {
        struct fetched *f = s->first;
        s->first = f->next;
        fetched_free(f);
    }
    free(s);
}

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static char *copy(const char *text)
{
    char *s = text ? strdup(text) : NULL;
    check(s || !text);
    return s;
}

/* Moved to the front; the oldest goes. */
struct fetched *fetched_get(struct auth *a, const struct provider *p)
{
    if (!a->sso) {
        a->sso = calloc(1, sizeof *a->sso);
        check(a->sso);
    }
    struct sso *s = a->sso;
    struct fetched **at = &s->first, *f;
    for (unsigned n = 0; *at; at = &(*at)->next, n++) {
        f = *at;
        bool found = strcmp(f->issuer, p->issuer) == 0 && same(f->ca_file, p->ca_file);
        if (!found && n < PROVIDERS)
            continue;
        *at = f->next;
        if (found)
            goto front;
        fetched_free(f);
        break;
    }
    f = calloc(1, sizeof *f);
    check(f);
    f->issuer = copy(p->issuer);
    f->ca_file = copy(p->ca_file);
front:
    f->next = s->first;
    return s->first = f;
}

bool fetched_fresh(uint64_t then_ms)
{
    return then_ms && clock_mono_ms() - then_ms < KEPT_MS;
}

/* --- discovery: OpenID Connect Discovery §4 --- */

static const char *address(const struct flow *f, const json_t *doc, const char *name)
{
    const char *url = json_string_value(json_object_get(doc, name));
    return provider_address_good(&f->provider, url) ? url : NULL;
}

static bool lists(const json_t *doc, const char *name, const char *value)
{
    const json_t *list = json_object_get(doc, name), *item;
    size_t i;
    json_array_foreach(list, i, item)
        if (json_is_string(item) && strcmp(json_string_value(item), value) == 0)
            return true;
    return false;
}

static void replace(char **slot, const char *text)
{
    free(*slot);
    *slot = copy(text);
}

static void on_discovery(struct flow *f, json_t *doc)
{
    if (!flow_good(f, doc))
        return;
    static const char methods[] = "token_endpoint_auth_methods_supported";
    struct fetched *d = fetched_get(f->auth, &f->provider);
    struct why why = { "" };
    const char *issuer = json_string_value(json_object_get(doc, "issuer"));
    const char *authorize = address(f, doc, "authorization_endpoint");
    const char *token = address(f, doc, "token_endpoint"), *keys = address(f, doc, "jwks_uri");
    size_t n = strlen(f->provider.issuer);
    if (!issuer || strncmp(issuer, f->provider.issuer, n) != 0 ||
        (issuer[n] && strcmp(issuer + n, "/") != 0)) {
        fail(&why, ERR_UPSTREAM, "discovery: it is of the issuer '%.80s', not '%.80s'",
             issuer ? issuer : "", f->provider.issuer);
        flow_fail(f, ERR_UPSTREAM, &why);
    } else if (!authorize || !token || !keys) {
        fail(&why, ERR_UPSTREAM, "discovery: an endpoint is missing, or not https");
        flow_fail(f, ERR_UPSTREAM, &why);
    } else {
        replace(&d->iss, issuer); /* as its tokens say it: perhaps with a slash at the end */
        replace(&d->authorize_url, authorize);
        replace(&d->token_url, token);
        if (!same(d->keys_url, keys))
            d->keys_ms = 0;
        replace(&d->keys_url, keys);
        d->post_secret = json_object_get(doc, methods) && !lists(doc, methods, "client_secret_basic") &&
                         lists(doc, methods, "client_secret_post");
        d->near = f->call.near;
        d->found_ms = clock_mono_ms();
        flow_next(f);
    }
}

void flow_discover(struct flow *f)
{
    static const char *const headers[] = { "Accept: application/json", NULL };
    flow_call(f, "GET", arena_printf(&f->arena, "%s/.well-known/openid-configuration", f->provider.issuer),
              headers, NULL, on_discovery);
}

/* --- keys: RFC 7517 --- */

static void on_keys(struct flow *f, json_t *body)
{
    if (!flow_good(f, body))
        return;
    struct fetched *d = fetched_get(f->auth, &f->provider);
    struct jwks keys;
    struct why why = { "" };
    enum err e = jwks_parse(f->answer.data, f->answer.length, &keys, &why);
    if (e) {
        jwks_free(&keys);
        flow_fail(f, e, &why);
        return;
    }
    jwks_free(&d->keys);
    d->keys = keys;
    d->keys_ms = clock_mono_ms();
    flow_next(f);
}

void flow_keys(struct flow *f, const struct fetched *d)
{
    static const char *const headers[] = { "Accept: application/json, application/jwk-set+json", NULL };
    flow_call(f, "GET", arena_strdup(&f->arena, d->keys_url), headers, NULL, on_keys);
}
