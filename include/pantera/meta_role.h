/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/meta_role.h: rows of `role` as this node's replica has them.
 * Not: what permissions mean (auth.h). Threads: the reader's. Strings are the arena's.
 *
 * Operations (arguments → result):
 *   role.put    name, permissions: canonical JSON object, create, update: may the caller → {created}
 *   role.delete name            → null
 *   role.enable name, enabled   → null */
#ifndef PANTERA_META_ROLE_H
#define PANTERA_META_ROLE_H

#include "pantera/meta.h"

struct role {
    const char *name, *permissions; /* canonical JSON text */
    bool enabled;
};

enum err role_get(struct meta_reader *r, struct arena *a, const char *name, struct role *ret,
                  struct why *why);
/* The enabled roles of a user, and default/<provider> if there is one. */
void role_list_of_user(struct meta_reader *r, struct arena *a, const char *user,
                       const char *provider, struct role **ret, unsigned *ret_count);

struct role_query {
    const char *q; /* substring of the name, any case; NULL: all */
    bool by_enabled, descending;
    int64_t offset, limit;
};
void role_list(struct meta_reader *r, struct arena *a, const struct role_query *query,
               struct role **ret, unsigned *ret_count, int64_t *ret_total);

#endif
