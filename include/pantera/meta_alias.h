/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/meta_alias.h: storage aliases as rows.
 * Names: an alias is global (repo "") or belongs to a repository (its id in decimal). The store that it
 *        names, as in blob.store: "alias" or "id/alias". A deleted alias whose store still holds objects
 *        stays as a hidden row: alias_of_store finds it, the others don't.
 * Ops:   alias.put {repo_id (0: global), name, config} → {created}
 *        alias.delete {repo_id, name}: CONFLICT while repositories name it. */
#ifndef PANTERA_META_ALIAS_H
#define PANTERA_META_ALIAS_H

#include "pantera/arena.h"
#include "pantera/meta.h"

struct alias_row {
    const char *repo, *name;
    const char *config;          /* JSON, secrets sealed with alias_aad */
    int64_t created_ms, updated_ms;
};

const char *alias_store(struct arena *a, int64_t repo_id, const char *name);
const char *alias_aad(struct arena *a, const char *store);

/* NOT_FOUND. repo_id 0: global. */
enum err alias_get(struct meta_reader *r, struct arena *a, int64_t repo_id, const char *name,
                   struct alias_row *ret);
enum err alias_of_store(struct meta_reader *r, struct arena *a, const char *store,
                        struct alias_row *ret);
/* In order of names; the array is the arena's. */
void alias_list(struct meta_reader *r, struct arena *a, int64_t repo_id, struct alias_row **ret,
                unsigned *ret_count);

#endif
