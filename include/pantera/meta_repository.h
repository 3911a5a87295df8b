/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/meta_repository.h: repositories as rows.
 * Ops: repo.put {name, type, storage, config, by, expect: "create"|"update"|"any"} → {id, created,
 *        more}: more: its blocks are not all in line with its cooldown yet (cooldown.review)
 *      repo.delete {name}; repo.move {name, new_name, by}; repo.sweep {limit} → {swept, more}.
 * Ids: never given twice. */
#ifndef PANTERA_META_REPOSITORY_H
#define PANTERA_META_REPOSITORY_H

#include "pantera/arena.h"
#include "pantera/meta.h"

struct repository_row {
    int64_t id;
    const char *name, *type;
    const char *storage;         /* alias; NULL for groups */
    const char *store;           /* what that alias means here: "alias" or "id/alias"; NULL: nothing */
    const char *config;          /* JSON {"repo": {...}}, secrets sealed with repository_aad */
    int64_t created_ms, updated_ms;
};

const char *repository_aad(struct arena *a, int64_t id);
/* NOT_FOUND. */
enum err repository_get(struct meta_reader *r, struct arena *a, const char *name,
                        struct repository_row *ret);
/* Every repository whose type and name hold these substrings (NULL: any; ASCII case does not matter),
 * in order of names. `each` gets strings that live until it returns. */
void repository_each(struct meta_reader *r, const char *type, const char *q,
                     void (*each)(const char *name, const char *type, void *arg), void *arg);

#endif
