/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/meta_search.h: the full-text index of this node's replica.
 * What:    queries, locate, figures; rebuilding it (in meta_idle's steps, on every node).
 * Meaning: name:, version: substrings, any case; without a field: a substring of path, name or version.
 *          One or two characters: the beginning of a word of name or version. repo: the exact name;
 *          type: a prefix of the type without -proxy and -group. Only in repositories that the caller gives.
 * Order:   documents have the same numbers on every node, so pages from different nodes fit together.
 * Threads: the reader's. Strings are the arena's.
 *
 * Operations: search.reindex {by?} → {generation}: every node builds its index anew.
 *             artifact.delete_tree {repo_id, path, limit ≤ 500} → {deleted, more}: path and what is
 *             below it; NOT_FOUND if there was nothing. Call it again while there is more.
 *             download_key.make {} → {}: the key of download tokens, sealed, unless there is one. */
#ifndef PANTERA_META_SEARCH_H
#define PANTERA_META_SEARCH_H

#include "pantera/meta.h"
#include "pantera/search.h"

enum {
    SEARCH_OFFSET = 10000,  /* as far as pages go */
    SEARCH_COUNTED = 10000, /* more matches than this are not counted */
    SEARCH_RANKED = 1000,   /* more than this come newest first */
};

struct search_repo {
    int64_t id;
    const char *name, *type;
};
/* All of them, in order of names. *ret_whole: no document is left of a repository that was deleted. */
void search_repos(struct meta_reader *r, struct arena *a, struct search_repo **ret,
                  unsigned *ret_count, bool *ret_whole);

enum search_sort { SEARCH_BY_RELEVANCE, SEARCH_BY_NAME, SEARCH_BY_VERSION, SEARCH_BY_CREATED };
struct search_query {
    const struct search_node *root;
    const struct search_repo *repos; /* those that the caller may read */
    unsigned repo_count;
    bool everything;                 /* and the index holds no others (ret_whole) */
    bool facets;                     /* wanted: ret->repo_counts */
    enum search_sort sort;
    bool descending;
    int64_t offset, limit;
};
struct search_hit {
    int64_t repo_id, size, created_ms;
    const char *path, *name, *version, *owner; /* owner or NULL */
};
struct search_result {
    struct search_hit *hits;
    unsigned count;
    int64_t total;                   /* at most SEARCH_COUNTED + 1 */
    bool exact;                      /* total is not just a lower bound */
    int64_t *repo_counts;            /* NULL, or of each of the query's repositories: their sum is total */
};
/* BAD_REQUEST: more than SEARCH_COUNTED matches can't be sorted by name or version. */
enum err search_run(struct meta_reader *r, struct arena *a, const struct search_query *q,
                    struct search_result *ret, struct why *why);

/* Of these repositories, those that have an artifact at exactly that path: ret_found[i]. */
void search_locate(struct meta_reader *r, const char *path, const struct search_repo *repos,
                   unsigned count, bool *ret_found);

struct search_stats {
    int64_t documents, index_bytes, last_ms;
    int64_t generation, wanted;      /* of the index here; asked for */
    bool building;
    int64_t built, to_build;         /* documents, while building */
};
void search_stats_get(struct meta_reader *r, struct search_stats *ret);

/* The sealed key, or NULL; aad "download_key". */
const char *download_key_sealed(struct meta_reader *r, struct arena *a);

/* What a file is called, read from its path: maven's layout and "name-1.2.3.ext"; else its last segment
 * and "". */
void artifact_name_of(struct arena *a, const char *path, const char **ret_name,
                      const char **ret_version);

#endif
