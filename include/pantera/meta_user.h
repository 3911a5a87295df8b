/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/meta_user.h: rows of `user` and `user_role` as this node's replica has them.
 * Not: permissions (auth.h), writing (operations user.* of ops.def).
 * Threads: the reader's. Strings are the arena's.
 *
 * Operations (arguments → result):
 *   user.put      name, create, update: may the caller; password?: argon2id; email?, roles?, provider?,
 *                 must_change?, by?            → {created}
 *   user.delete   name                        → null
 *   user.enable   name, enabled               → null
 *   user.password name, password, old?: the encoded one that was verified   → null
 *   user.revoke   name                        → {tokens_revoked} */
#ifndef PANTERA_META_USER_H
#define PANTERA_META_USER_H

#include "pantera/meta.h"

struct user {
    const char *name, *password, *email, *provider; /* password: argon2id, or NULL */
    bool enabled, must_change;
    int64_t epoch_ms, version, created_ms, updated_ms;
};

enum err user_get(struct meta_reader *r, struct arena *a, const char *name, struct user *ret,
                  struct why *why);
/* Names, sorted, NULL-terminated. */
const char **user_roles(struct meta_reader *r, struct arena *a, const char *name,
                        unsigned *ret_count);

enum user_sort { USER_BY_NAME, USER_BY_EMAIL, USER_BY_ENABLED, USER_BY_PROVIDER };
struct user_query {
    const char *q; /* substring of name or email, any case; NULL: all */
    enum user_sort sort;
    bool descending;
    int64_t offset, limit;
};
/* Gives the page and the total of one snapshot. */
void user_list(struct meta_reader *r, struct arena *a, const struct user_query *query,
               struct user **ret, unsigned *ret_count, int64_t *ret_total);

#endif
