/* SPDX-License-Identifier: Apache-2.0 */
/* Users as this worker has them: the row and the grants of their roles, resolved once and shared by all
 * credentials of the user, valid while the generations that they were read under stand. */
#include <stdlib.h>
#include <string.h>

#include "pantera/gen.h"
#include "pantera/meta_mfa.h"
#include "pantera/meta_role.h"
#include "pantera/text.h"
#include "src/auth/internal.h"

bool identity_stands(const struct identity *i)
{
    return i->user_stamp == gen_get(GEN_USER, hash_text(i->name)) &&
           i->policy_stamp == gen_get(GEN_POLICY, 0);
}

void identity_unref(struct identity *i)
{
    if (!i || --i->refs)
        return;
    grants_unref(i->grants);
    free(i->name);
    free(i->password);
    free(i->provider);
    free(i);
}

static char *copy(const char *text)
{
    char *s = text ? strdup(text) : NULL;
    check(s || !text);
    return s;
}

static struct identity *identity_read(struct auth *a, const char *name)
{
    struct arena arena;
    struct user user;
    struct identity *i = calloc(1, sizeof *i);
    check(i);
    /* Stamps first: a change after them makes what is read look older than it is, never newer. */
    i->user_stamp = gen_get(GEN_USER, hash_text(name));
    i->policy_stamp = gen_get(GEN_POLICY, 0);
    i->refs = 1;
    i->name = copy(name);
    i->grants = grants_new();
    arena_init(&arena);
    if (user_get(a->o.reader, &arena, name, &user, NULL) == OK) {
        struct role *roles = NULL;
        unsigned count = 0;
        i->exists = true;
        i->enabled = user.enabled;
        i->must_change = user.must_change;
        i->second_factor = mfa_required(a->o.reader, name);
        i->epoch_ms = user.epoch_ms;
        i->password = copy(user.password);
        i->provider = copy(user.provider);
        role_list_of_user(a->o.reader, &arena, name, user.provider, &roles, &count);
        for (unsigned n = 0; n < count; n++)
            grants_add(i->grants, roles[n].permissions);
    }
    grants_seal(i->grants);
    arena_release(&arena);
    return i;
}

struct identity *identity_get(struct auth *a, const char *name)
{
    struct identity **set = a->identities[hash_text(name) % IDENTITY_SETS];
    unsigned victim = (unsigned)(++a->clock % IDENTITY_WAYS);
    for (unsigned w = 0; w < IDENTITY_WAYS; w++) {
        if (!set[w]) {
            victim = w;
            continue;
        }
        if (strcmp(set[w]->name, name) != 0)
            continue;
        if (identity_stands(set[w])) {
            set[w]->refs++;
            return set[w];
        }
        victim = w;
        break;
    }
    identity_unref(set[victim]);
    set[victim] = identity_read(a, name);
    set[victim]->refs++;
    return set[victim];
}
