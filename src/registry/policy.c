/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/policy.c: the decision about bytes that are asked for without their format, by their path
 * alone. What a format serves is judged where its names are known (serve.c, compose.c); all ask
 * policy_view.h. */
#include "pantera/document.h"
#include "src/registry/policy_view.h"

enum err registry_allowed(struct registry *r, const struct repo *repo, const char *path, struct why *why)
{
    struct warm_entry *entry;
    struct policy_view *v;
    int64_t until_ms = 0;
    enum err e = OK;
    bool idle;

    if (repository_kind(repo) != REPO_PROXY || entry_get(r, repo->id, path, &entry))
        return OK;
    if (entry->row.name && entry->row.version && *entry->row.version) {
        v = policy_view_get(r, repo, entry->row.name);
        idle = policy_view_idle(v);
        policy_view_release(v);
        if (!idle) {
            entry_upstream(r, entry);
            e = policy_enforce(r->worker, repo, entry->row.name, entry->row.version, entry->released_ms, why,
                               &until_ms);
        }
    }
    warm_release(entry);
    return e;
}
