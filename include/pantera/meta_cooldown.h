/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/meta_cooldown.h: cooldown as rows: the configuration, what is blocked now, what was decided by
 * hand. Whether something is blocked is decided in one place: cooldown_decide (registry.h).
 * Ops: cooldown.config {patch, by?, limit?} → {more}: merges, then brings blocks in line in steps of
 *        `limit` rows: those of repositories without cooldown go, the others get their new end. Again, with
 *        the same arguments, while there is more.
 *      cooldown.review {repo_id, limit?} → {more}: the same for one repository, whose configuration has
 *        changed; its repo.put has done the first step.
 *      cooldown.block {repo_id, package, version, reason, released_ms, until_ms} → {blocked}: false if
 *        somebody has allowed it meanwhile. until_ms 0: for ever. Of UNKNOWN_AGE, released_ms is since when
 *        it is known. NOT_FOUND: no such repository.
 *      cooldown.seen {repo_id, package, versions}: known from now on, unless they were; at most 1000. Also
 *        that one is a part of another: "D in P of <ms>" (src/registry/named.c).
 *      cooldown.exempt {repo?, package, version, reason, until_ms, by?} → {id}; cooldown.unexempt {id, by?}.
 *      cooldown.unblock {repo, package, version, by?}: a decision that stands, whatever was blocked.
 *      cooldown.unblock_all {repo, before_ms?, by?, limit?} → {unblocked, more, before_ms}: again, with the
 *        before_ms of the first answer, while there is more.
 * Threads: the reader's. */
#ifndef PANTERA_META_COOLDOWN_H
#define PANTERA_META_COOLDOWN_H

#include "pantera/arena.h"
#include "pantera/meta.h"

#define COOLDOWN_SETTING "cooldown"
#define COOLDOWN_AGE_MOST_MS (3650ll * 24 * 3600 * 1000)

/* What a version is whose release date upstream does not say. */
enum cooldown_unknown {
    COOLDOWN_FIRST_SEEN,         /* as old as we have known it: blocked until seen for the minimum age */
    COOLDOWN_ALLOW, COOLDOWN_BLOCK,
};
/* What holds for one repository: its own words, else its type's rule, else the global one. */
struct cooldown_rule {
    bool enabled;
    int64_t age_ms;
    enum cooldown_unknown unknown;
    int64_t frozen_ms;           /* what was released after it is blocked; 0: no freeze */
};
struct cooldown_ruling {
    bool allowed;
    const char *reason;          /* TOO_YOUNG, UNKNOWN_AGE, FROZEN; static */
    int64_t until_ms;            /* 0: not before somebody decides */
    bool unseen;                 /* its age begins now: cooldown.seen */
};
/* The age's part of the decision, pure. `released_ms` 0: not known. `seen_ms`: since when it is known here;
 * 0: it is not. */
struct cooldown_ruling cooldown_rule_judge(const struct cooldown_rule *rule, int64_t released_ms,
                                           int64_t seen_ms, int64_t now_ms);
#define COOLDOWN_FOREVER_MS 253402300799000ll /* of a row: 9999-12-31, ends only by a decision */
/* "cooldown" of a repository's configuration: {duration?, enabled?, unknown?, frozen_at?}. BAD_REQUEST. */
enum err cooldown_own_check(const json_t *own, struct why *why);
/* Whom to ask for a release, by the configuration; NULL: not said. Borrowed. */
const char *cooldown_contact(const json_t *config);
/* `config`: the setting, NULL for none; `repo_config`: {"repo": {...}}, or NULL. */
struct cooldown_rule cooldown_rule(const json_t *config, const char *type, const json_t *repo_config);
/* As put by a client, whole or a part. BAD_REQUEST names what is wrong. */
enum err cooldown_config_check(const json_t *body, struct why *why);
/* As answered: all members there, durations as "7d", "3h", "30m". A new reference. */
json_t *cooldown_config_describe(const json_t *config);
bool cooldown_parse_age(const char *text, int64_t *ret_ms); /* whole minutes, at least one */
char *cooldown_format_age(int64_t age_ms, char ret_text[32]);

/* The one spelling of a package's name that is compared: maven's group:artifact is group.artifact, Python's
 * are in their normal form. */
const char *cooldown_key(struct arena *a, const char *type, const char *package);

struct cooldown_state {
    bool allowed;                /* by hand */
    bool blocked;                /* there is a row that has not ended */
    bool by_age;                 /* of a block: it is the age's, not a list's */
    char reason[64];             /* of a block */
    int64_t released_ms, until_ms;
};
void cooldown_state(struct meta_reader *r, int64_t repo_id, const char *key, const char *version,
                    int64_t now_ms, struct cooldown_state *ret);

/* All rows of a package, those that have ended too: `each` gets strings that live until it returns. */
struct cooldown_row_of {
    const char *version, *reason; /* reason: of a block */
    bool allowed, by_age;
    int64_t released_ms, until_ms;
};
void cooldown_rows(struct meta_reader *r, int64_t repo_id, const char *key,
                   void (*each)(const struct cooldown_row_of *row, void *arg), void *arg);

/* Exemptions from the age's part (not from lists' blocks), by patterns with * and ?. */
struct cooldown_exemption {
    int64_t id, repo_id;         /* repo_id 0: of every proxy */
    const char *repo;            /* NULL: of every proxy */
    const char *package, *version, *reason, *by;
    int64_t created_ms, until_ms; /* until_ms 0: until it is taken back */
};
enum { COOLDOWN_EXEMPTIONS = 1000 };
/* All, or with `repo_id` those that concern it; strings are the arena's. */
void cooldown_exemptions(struct meta_reader *r, struct arena *a, int64_t repo_id,
                         struct cooldown_exemption **ret, unsigned *ret_count);
bool cooldown_pattern_fits(const char *pattern, const char *text);
/* Since when versions without a date are known. `version` is borrowed until `each` returns. */
void cooldown_seen(struct meta_reader *r, int64_t repo_id, const char *key,
                   void (*each)(const char *version, int64_t seen_ms, void *arg), void *arg);

enum cooldown_sort { COOLDOWN_BY_DATE, COOLDOWN_BY_UNTIL, COOLDOWN_BY_PACKAGE, COOLDOWN_BY_VERSION,
                     COOLDOWN_BY_REPO };
struct cooldown_query {
    const char *search;          /* in package, version and repository; NULL: all */
    const json_t *repo_ids;      /* array of the repositories that may be seen; NULL: all */
    enum cooldown_sort sort;
    bool descending;
    int64_t now_ms, offset, limit;
};
struct cooldown_row {
    const char *package, *version, *repo, *type, *reason;
    int64_t blocked_ms, until_ms;
};
void cooldown_list(struct meta_reader *r, struct arena *a, const struct cooldown_query *query,
                   struct cooldown_row **ret, unsigned *ret_count, int64_t *ret_total);
const char *cooldown_list_sql(const struct cooldown_query *query); /* for the test of its plan */

#endif
