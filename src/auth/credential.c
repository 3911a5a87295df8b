/* SPDX-License-Identifier: Apache-2.0 */
/* The table of proofs that were checked once: by the hash of the token, or the keyed hash of name and
 * password. Bounded: sets of four, the least recently used one goes. */
#include <stdlib.h>
#include <string.h>

#include "src/auth/internal.h"

struct credential *credential_new(const char *user, const char *context, const char *token_id,
                                  const char *scope)
{
    size_t u = strlen(user) + 1, c = strlen(context) + 1, t = token_id ? strlen(token_id) + 1 : 0;
    size_t s = scope ? strlen(scope) + 1 : 0;
    struct credential *n = calloc(1, sizeof *n + u + c + t + s);
    check(n);
    n->refs = 1;
    n->principal.name = memcpy(n->text, user, u);
    n->principal.context = memcpy(n->text + u, context, c);
    if (token_id)
        n->principal.token_id = memcpy(n->text + u + c, token_id, t);
    if (scope)
        n->principal.scope = memcpy(n->text + u + c + t, scope, s);
    return n;
}

void credential_unref(struct credential *c)
{
    if (!c || --c->refs)
        return;
    identity_unref(c->identity);
    free(c->encoded);
    free(c);
}

static struct credential **set_of(struct auth *a, const unsigned char key[32])
{
    unsigned n;
    memcpy(&n, key, sizeof n);
    return a->credentials[n % CREDENTIAL_SETS];
}

struct credential *credential_find(struct auth *a, const unsigned char key[32])
{
    struct credential **set = set_of(a, key);
    for (unsigned w = 0; w < CREDENTIAL_WAYS; w++)
        if (set[w] && memcmp(set[w]->key, key, 32) == 0) {
            set[w]->used = ++a->clock;
            return set[w];
        }
    return NULL;
}

void credential_keep(struct auth *a, struct credential *c)
{
    struct credential **set = set_of(a, c->key);
    unsigned victim = 0;
    for (unsigned w = 0; w < CREDENTIAL_WAYS; w++) {
        if (!set[w] || memcmp(set[w]->key, c->key, 32) == 0) {
            victim = w;
            break;
        }
        if (set[w]->used < set[victim]->used)
            victim = w;
    }
    c->used = ++a->clock;
    c->refs++;
    credential_unref(set[victim]);
    set[victim] = c;
}

void credential_drop(struct auth *a, struct credential *c)
{
    struct credential **set = set_of(a, c->key);
    for (unsigned w = 0; w < CREDENTIAL_WAYS; w++)
        if (set[w] == c) {
            set[w] = NULL;
            credential_unref(c);
            return;
        }
}
