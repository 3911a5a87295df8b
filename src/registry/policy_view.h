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
    int64_t seen_ms;             /* no block: known since, without a date */
};
struct policy_exemption {
    const char *version;         /* a pattern; the package fits already */
    int64_t until_ms;            /* 0: until it is taken back */
};
struct policy_unseen;
struct policy_view {
    _Atomic unsigned refs;
    int64_t repo_id;
    const char *package, *type;
    uint64_t hash, rows_stamp, setting_stamp, repo_stamp;
    struct cooldown_rule rule;
    struct policy_row *rows;     /* by version; a decision before a block */
    unsigned count, capacity;
    struct policy_exemption *exemptions;
    unsigned exemption_count;
    const char *contact;         /* whom to ask; NULL: not said */
    struct policy_unseen *unseen; /* versions that were judged without a date and not known yet; has a lock */
    struct arena arena;
};

/* With a reference; any thread may judge by it and release it. */
struct policy_view *policy_view_get(struct registry *r, const struct repo *repo, const char *package);
void policy_view_release(struct policy_view *v); /* NULL is fine */
uint64_t policy_view_stamp(const struct policy_view *v);
bool policy_view_idle(const struct policy_view *v); /* everything is allowed */
/* When it says something else without having changed: an exemption ends. 0: never. */
int64_t policy_view_until(const struct policy_view *v, int64_t now_ms);
/* What was judged without a date is known from now on: any thread notes it, the worker tells the cluster. */
void policy_view_note(const struct policy_view *v, const char *version);
void policy_view_flush(struct worker *w, const struct policy_view *v);
struct policy_cache *policies_new(void);
void policies_free(struct policy_cache *c);

/* The first row whose version is not less than that one. */
unsigned policy_rows_from(const struct policy_view *v, const char *version);
/* The whole verdict, with what is to be recorded. */
struct cooldown_verdict policy_verdict_of(const struct policy_view *v, const char *version,
                                          int64_t released_ms, int64_t now_ms);
/* The same for a version with two names. Reason "": its date decides, and was not asked for yet. */
struct cooldown_verdict policy_named_verdict(const struct policy_view *v, const struct policy_named *n,
                                             int64_t now);
/* Tells the cluster of a block by age, without waiting. */
void policy_record(struct worker *w, const struct repo *repo, const char *package, const char *version,
                   const struct cooldown_verdict *verdict);
/* Why, how long still, and whom to ask: for people. FORBIDDEN. */
enum err policy_refuse(struct why *why, const struct policy_view *v, const char *package,
                       const char *version, const struct cooldown_verdict *verdict);
/* All of it at once, for a request or a fetch: judges, records, and says why not. */
enum err policy_enforce(struct worker *w, const struct repo *repo, const char *package, const char *version,
                        int64_t released_ms, struct why *why, int64_t *ret_until_ms);

#endif
