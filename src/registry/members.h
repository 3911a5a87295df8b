/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/members.h: who answers for a repository: itself, or the members of a group in their order. */
#ifndef REGISTRY_MEMBERS_H
#define REGISTRY_MEMBERS_H

#include "src/registry/internal.h"

struct member {
    int64_t id;
    const char *name;
    bool proxy;
};
struct members {
    struct member *list;
    unsigned count;
};
/* Flattened, hosted ones first unless the group says otherwise; each once. If a hosted one owns `package`
 * (NULL: nobody asks), proxies are left out, unless the group has an exception. All is the arena's. */
void members_of(struct registry *r, struct arena *a, const struct repo *repo, const char *package,
                package_owns *owns, struct members *ret);
/* NULL: it is gone, or another one by now. Until control returns to the loop. */
const struct repo *member_repo(struct registry *r, const struct member *m);

#endif
