/* SPDX-License-Identifier: Apache-2.0 */
/* Around signing in with a provider: how often, and who is then signed in. */
#include "pantera/sso.h"

#include <stdio.h>

#include "pantera/clock.h"
#include "src/auth/login.h"

/* --- who asks without being known --- */

static uv_once_t throttle_once = UV_ONCE_INIT;
static struct throttle *throttle;

/* A start costs a log entry: 120 a minute for an address, so that one can't fill SSO_STATES. */
static void throttle_make(void)
{
    throttle = throttle_new_of(clock_mono_ms, 120, 240);
}

enum err sso_attempt(struct http_request *req, const char *provider, struct why *why)
{
    uv_once(&throttle_once, throttle_make);
    uint64_t wait = throttle_take(throttle, provider, req->peer ? req->peer : "");
    char text[24];
    if (!wait)
        return OK;
    snprintf(text, sizeof text, "%llu", (unsigned long long)(wait + 999) / 1000);
    http_set_header(req, "Retry-After", text);
    return fail(why, ERR_TOO_MANY, "too many sign-ins from this address; try again in %s s", text);
}

/* --- the principal --- */

static void principal_release(void *arg)
{
    credential_unref(arg);
}

enum err auth_vouched(struct auth *a, struct http_request *req, const char *name, const char *context,
                      const struct principal **ret, struct why *why)
{
    struct credential *c = credential_new(name, context, NULL, NULL);
    c->identity = identity_get(a, name);
    c->principal.grants = c->identity->grants;
    c->principal.epoch_ms = c->identity->epoch_ms;
    http_on_end(req, principal_release, c);
    if (!c->identity->exists || !c->identity->enabled)
        return fail(why, ERR_UNAUTHORIZED, "the user '%.100s' is disabled", name);
    req->user = c->principal.name;
    *ret = &c->principal;
    return OK;
}
