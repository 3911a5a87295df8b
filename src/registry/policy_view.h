/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/policy_view.h: a package's decisions from inside: for those who get views and those who
 * judge. */
#ifndef REGISTRY_POLICY_VIEW_H
#define REGISTRY_POLICY_VIEW_H

#include "pantera/document.h"
#include "pantera/meta_cooldown.h"
#include "src/registry/internal.h"

struct policy_row {
    const char *version, *reason;
    bool allowed, by_age;
    int64_t released_ms, until_ms;
};
struct policy_view {
    _Atomic unsigned refs;
    int64_t repo_id;
    const char *package, *type;
    uint64_t hash, rows_stamp, setting_stamp, repo_stamp;
    struct cooldown_rule rule;
    struct policy_row *rows;     /* by version; a decision before a block */
    unsigned count, capacity;
    struct arena arena;
};

/* With a reference; any thread may judge by it and release it. */
struct policy_view *policy_view_get(struct registry *r, const struct repo *repo, const char *package);
void policy_view_release(struct policy_view *v); /* NULL is fine */
uint64_t policy_view_stamp(const struct policy_view *v);
bool policy_view_idle(const struct policy_view *v); /* everything is allowed */
struct policy_cache *policies_new(void);
void policies_free(struct policy_cache *c);

/* The whole verdict, with what is to be recorded. */
struct cooldown_verdict policy_verdict_of(const struct policy_view *v, const char *version,
                                          int64_t released_ms, int64_t now_ms);
/* Tells the cluster of a block by age, without waiting. */
void policy_record(struct worker *w, const struct repo *repo, const char *package, const char *version,
                   int64_t released_ms, const struct cooldown_verdict *verdict);
/* "blocked by cooldown until ...": for people. FORBIDDEN. */
enum err policy_refuse(struct why *why, const char *package, const char *version,
                       const struct cooldown_verdict *verdict);

#endif
