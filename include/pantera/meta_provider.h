/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/meta_provider.h: authentication providers, sign-ins that are under way, linked identities.
 * Not:     OpenID Connect (sso.h), what a configuration may say (sso.h: provider_config_check).
 * Threads: the reader's. Strings are the arena's.
 *
 * Operations (arguments → result):
 *   provider.create type, priority, enabled, config            → {id}
 *   provider.config id, config: a masked secret keeps the old one, unless it would go to another issuer
 *   provider.enable id, enabled
 *   provider.delete id
 *   sso.begin   state, provider (id), callback, nonce, verifier, expires_ms
 *   sso.take    state → {provider (type), id, callback, nonce, verifier}: it is gone then; NOT_FOUND: never
 *               was, used, or expired
 *   sso.sign_in provider (type), issuer, subject, name, email?, roles?: an array, absent: as they are
 *               → {name, created, skipped: [roles that don't exist]}; CONFLICT: the name is another's
 *   sso.link    name, provider, issuer, subject    sso.unlink  name, provider */
#ifndef PANTERA_META_PROVIDER_H
#define PANTERA_META_PROVIDER_H

#include "pantera/meta.h"

#define PROVIDER_LOCAL "local"
enum { PROVIDERS = 16, SSO_STATES = 10000, SSO_STATE_MS = 600000 };

struct provider_row {
    int64_t id, priority;
    const char *type, *config; /* config: JSON, secrets sealed */
    bool enabled;
};

/* `local` first, then by priority. */
void provider_list(struct meta_reader *r, struct arena *a, struct provider_row **ret,
                   unsigned *ret_count);
enum err provider_get(struct meta_reader *r, struct arena *a, const char *type,
                      struct provider_row *ret, struct why *why);
enum err provider_get_id(struct meta_reader *r, struct arena *a, int64_t id,
                         struct provider_row *ret, struct why *why);
const char *provider_aad(struct arena *a, int64_t id); /* where its secrets are sealed to */
/* The issuer that a configuration means, without a slash at its end; NULL: it names none. */
const char *provider_issuer(struct arena *a, const char *type, const json_t *config);

#endif
