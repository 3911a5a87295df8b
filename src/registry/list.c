/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/list.c: children of a folder. The lease is the caller's to check, as for all reading. */
#include "src/registry/internal.h"

enum err registry_list(struct registry *r, struct arena *a, const struct repo *repo,
                       const char *folder, const char *after, unsigned limit,
                       struct registry_entry **ret, unsigned *ret_count, bool *ret_more)
{
    struct artifact_child *rows;
    struct registry_entry *entries;
    unsigned n;
    enum err e = artifact_children(r->worker->reader, a, repo->id, folder, after, limit, &rows, &n,
                                   ret_more);

    if (e)
        return e;
    entries = arena_alloc(a, (n + 1) * sizeof *entries);
    for (unsigned i = 0; i < n; i++)
        entries[i] = (struct registry_entry){ .name = rows[i].name, .directory = rows[i].directory,
                                              .hidden = rows[i].hidden,
                                              .size = rows[i].size,
                                              .modified_ms = rows[i].modified_ms };
    *ret = entries;
    *ret_count = n;
    return OK;
}
