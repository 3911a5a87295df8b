/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/search_run.c: asks the index, once: the numbers of up to SEARCH_COUNTED documents, with what
 * counts and sorts them from artifact_by_doc alone; then only the page's rows are read. More matches than
 * that are walked in the order of their numbers, as far as the page. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "storage/meta/search_match.h"
#include "storage/meta/sql.h"

enum { NUMBERS, KEYS, NEWEST, OLDEST, STATEMENTS };

#define FOUND(t) "SELECT rowid AS d FROM " t " WHERE " t " MATCH ?1 ORDER BY rowid"
#define STATEMENTS_OF(t)                                                                            \
    { [NUMBERS] = FOUND(t) " LIMIT ?2",                                                             \
      [KEYS] = "SELECT d, a.repo_id, a.name, a.version FROM (" FOUND(t) " LIMIT ?2) "               \
               "CROSS JOIN artifact a ON a.doc = d",                                                \
      [NEWEST] = FOUND(t) " DESC LIMIT ?2 OFFSET ?3", [OLDEST] = FOUND(t) " LIMIT ?2 OFFSET ?3" }
static const char *const statements[2][STATEMENTS] = { STATEMENTS_OF("local_search_a"),
                                                       STATEMENTS_OF("local_search_b") };

struct found {
    int64_t doc;
    const char *key;             /* what it is sorted by, or NULL */
    unsigned rank;
};

struct run {
    struct meta_reader *reader;
    struct arena *arena;
    const struct search_query *query;
    const char *match, *first;
    int active;
    struct search_result *result;
    struct found *found;         /* in the order of their numbers; then of the page */
    unsigned count;
};

/* --- what matches --- */

static void count_repo(struct run *r, int64_t id)
{
    for (unsigned i = 0; i < r->query->repo_count; i++)
        if (r->query->repos[i].id == id) {
            r->result->repo_counts[i]++;
            return;
        }
}

static void find(struct run *r)
{
    const struct search_query *query = r->query;
    bool by_version = query->sort == SEARCH_BY_VERSION;
    bool sorted = query->sort == SEARCH_BY_NAME || by_version, joined = query->facets || sorted;
    struct sql *q = sql_read(r->reader, statements[r->active][joined ? KEYS : NUMBERS]);

    r->found = arena_alloc(r->arena, (SEARCH_COUNTED + 1) * sizeof *r->found);
    sql_bind(q, "si", r->match, (int64_t)SEARCH_COUNTED + 1);
    while (r->count <= SEARCH_COUNTED && sql_row(q)) {
        struct found *f = &r->found[r->count++];
        f->doc = sql_int(q, 0);
        if (query->facets)
            count_repo(r, sql_int(q, 1));
        if (sorted || (joined && query->sort == SEARCH_BY_RELEVANCE && r->count <= SEARCH_RANKED))
            f->key = sql_str(q, by_version ? 3 : 2, r->arena);
    }
    sql_end(q);
}

/* --- their order --- */

static int by_number(const struct found *a, const struct found *b)
{
    return a->doc < b->doc ? -1 : a->doc > b->doc;
}

static int compare(const void *left, const void *right, void *arg)
{
    const struct found *a = left, *b = right;
    const struct search_query *query = arg;
    int order;

    if (query->sort == SEARCH_BY_RELEVANCE) {
        order = a->rank < b->rank ? -1 : a->rank > b->rank;
        return order ? order : by_number(b, a);
    }
    order = strcasecmp(a->key ? a->key : "", b->key ? b->key : "");
    order = order ? order : by_number(a, b);
    return query->descending ? -order : order;
}

/* Names that are the term, begin with it, hold it, do not; the shorter first. */
static unsigned rank_of(const char *name, const char *term)
{
    const char *at = *term ? strcasestr(name, term) : NULL;
    unsigned kind = !at ? 3 : at > name ? 2 : strlen(name) > strlen(term) ? 1 : 0;
    size_t n = strlen(name);

    return kind << 16 | (unsigned)(n < 0xffff ? n : 0xffff);
}

static void rank(struct run *r)
{
    for (unsigned i = 0; i < r->count; i++) {
        struct found *f = &r->found[i];
        if (!f->key) {
            struct sql *q = sql_read(r->reader, "SELECT name FROM artifact WHERE doc = ?");
            sql_bind(q, "i", f->doc);
            f->key = sql_row(q) ? sql_str(q, 0, r->arena) : "";
            sql_end(q);
        }
        f->rank = rank_of(f->key ? f->key : "", r->first);
    }
}

/* The page of all that was found: r->found and r->count become it. */
static void page_of_found(struct run *r)
{
    const struct search_query *query = r->query;
    bool ranked = query->sort == SEARCH_BY_RELEVANCE && r->count <= SEARCH_RANKED;
    bool sorted = ranked || query->sort == SEARCH_BY_NAME || query->sort == SEARCH_BY_VERSION;
    bool newest = query->sort == SEARCH_BY_RELEVANCE || query->descending;
    int64_t left = r->count > query->offset ? r->count - query->offset : 0;
    unsigned count = (unsigned)(left < query->limit ? left : query->limit);
    struct found *page = arena_alloc(r->arena, (count + 1) * sizeof *page);

    if (ranked)
        rank(r);
    if (sorted)
        qsort_r(r->found, r->count, sizeof *r->found, compare, (void *)(uintptr_t)query);
    for (unsigned i = 0; i < count; i++)
        page[i] = r->found[!sorted && newest ? left - 1 - i : query->offset + i];
    r->found = page;
    r->count = count;
}

/* The page of more than was found: the index is walked to it. */
static void page_of_index(struct run *r)
{
    const struct search_query *query = r->query;
    bool newest = query->sort == SEARCH_BY_RELEVANCE || query->descending;
    struct sql *q = sql_read(r->reader, statements[r->active][newest ? NEWEST : OLDEST]);

    r->count = 0;
    sql_bind(q, "sii", r->match, query->limit, query->offset);
    while (r->count < query->limit && r->count <= SEARCH_COUNTED && sql_row(q))
        r->found[r->count++].doc = sql_int(q, 0);
    sql_end(q);
}

/* --- rows --- */

static void rows_read(struct run *r)
{
    struct search_result *ret = r->result;

    ret->hits = arena_alloc(r->arena, (r->count + 1) * sizeof *ret->hits);
    for (unsigned i = 0; i < r->count; i++) {
        struct sql *q = sql_read(r->reader, "SELECT repo_id, path, name, version, size, created_ms, owner "
                                            "FROM artifact WHERE doc = ?");
        sql_bind(q, "i", r->found[i].doc);
        if (sql_row(q))
            ret->hits[ret->count++] = (struct search_hit){
                .repo_id = sql_int(q, 0), .path = sql_str(q, 1, r->arena), .name = sql_str(q, 2, r->arena),
                .version = sql_str(q, 3, r->arena), .size = sql_int(q, 4), .created_ms = sql_int(q, 5),
                .owner = sql_str(q, 6, r->arena),
            };
        sql_end(q);
    }
}

/* 0 or 1; -1: this schema has no index yet. */
static int active_index(struct meta_reader *r)
{
    struct sql *q = sql_read(r, "SELECT active FROM local_search_state");
    int active = sql_row(q) ? (int)sql_int(q, 0) & 1 : -1;

    sql_end(q);
    return active;
}

static enum err run(struct run *r, struct why *why)
{
    const struct search_query *query = r->query;
    struct search_result *ret = r->result;

    if ((r->active = active_index(r->reader)) < 0)
        return fail(why, ERR_UNAVAILABLE, "the cluster is being upgraded; try again");
    find(r);
    ret->total = r->count;
    ret->exact = ret->total <= SEARCH_COUNTED;
    if (!ret->exact && (query->sort == SEARCH_BY_NAME || query->sort == SEARCH_BY_VERSION))
        return fail(why, ERR_BAD_REQUEST, "more than %d results can't be sorted: narrow the query",
                    SEARCH_COUNTED);
    if (ret->exact)
        page_of_found(r);
    else
        page_of_index(r);
    rows_read(r);
    return OK;
}

enum err search_run(struct meta_reader *reader, struct arena *a, const struct search_query *q,
                    struct search_result *ret, struct why *why)
{
    struct run r = { .reader = reader, .arena = a, .query = q, .result = ret };
    enum err e = search_match(a, q, &r.match, &r.first, why);

    *ret = (struct search_result){ .exact = true };
    if (e || !r.match)
        return e;
    if (q->facets)
        ret->repo_counts = arena_alloc(a, (q->repo_count + 1) * sizeof *ret->repo_counts);
    sql_snapshot_begin(reader);
    e = run(&r, why);
    sql_snapshot_end(reader);
    return e;
}
