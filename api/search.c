/* SPDX-License-Identifier: Apache-2.0 */
/* api/search.c: /api/v1/search (seed 000, "Search"). The grammar is pantera/search.h's, the index
 * pantera/meta_search.h's; here is who may see what, pages, and the lane that a worker's searches run in: one
 * at a time on the pool, with a connection of its own, so that no loop ever waits for a search. */
#include "pantera/meta_search.h"

#include <stdlib.h>
#include <string.h>

#include "api/artifacts.h"
#include "api/internal.h"
#include "pantera/clock.h"
#include "pantera/limits.h"
#include "pantera/log.h"
#include "pantera/tether.h"
#include "pantera/text.h"

struct lane;

struct job {
    struct work work;
    struct job *next;
    struct lane *lane;
    struct http_request *req;        /* NULL: gone */
    struct tether *tether;
    struct arena arena;              /* all that the pool's thread touches */
    struct search_repo *repos;
    unsigned repo_count;
    bool everything;
    void (*run)(struct job *j, struct meta_reader *r);
    void (*done)(struct job *j);     /* with j->req, on the loop */
    enum err err;
    struct why why;
    /* of a search */
    struct page page;
    struct search_query query;
    struct search_result result;
    /* of locate */
    const char *path;
    bool *found;
    /* of names */
    const char **names;
    unsigned name_count, name_offset, name_limit;
    api_names_cb *on_names;
    void *arg;
};

/* --- lanes --- */

enum { WORKERS = 256, LANE_WAITING = 128 };
static struct lane {
    struct meta_reader *reader;
    const char *dir;                 /* that it was opened for */
    struct job *head, **tail;
    unsigned waiting;
    bool busy;
} lanes[WORKERS];

static void job_free(struct job *j)
{
    arena_release(&j->arena);
    free(j);
}

static void job_run(struct work *work)
{
    struct job *j = container_of(work, struct job, work);

    j->run(j, j->lane->reader);
}

static void lane_next(struct lane *l);

static void job_done(struct work *work)
{
    struct job *j = container_of(work, struct job, work);
    struct lane *l = j->lane;

    l->busy = false;
    lane_next(l);
    if (j->req) {
        tether_cut(j->tether);
        if (j->err)
            api_refuse(j->req, j->err, &j->why);
        else
            j->done(j);
    }
    job_free(j);
}

static void lane_next(struct lane *l)
{
    while (!l->busy && l->head) {
        struct job *j = l->head;
        l->head = j->next;
        if (!l->head)
            l->tail = &l->head;
        l->waiting--;
        if (j->req) {
            l->busy = true;
            work_submit(&j->work, &worker_of(j->req)->loop, job_run, job_done);
        } else {
            job_free(j);
        }
    }
}

/* The connection of this worker's lane; NULL: it can't be opened. */
static struct meta_reader *lane_reader(struct lane *l, const char *dir, struct why *why)
{
    if (l->reader && strcmp(l->dir, dir)) { /* another cluster in the same process: tests */
        meta_reader_close(l->reader);
        free((char *)(uintptr_t)l->dir);
        l->reader = NULL;
    }
    if (!l->reader && (l->reader = meta_reader_open(dir, why))) {
        l->dir = strdup(dir);
        check(l->dir);
    }
    return l->reader;
}

static bool named(const char *const *names, const char *name)
{
    while (*names && strcmp(*names, name))
        names++;
    return *names != NULL;
}

/* A job for whoever asks, with the repositories that he may read, or with those of `only`. NULL: answered. */
static struct job *job_new_of(struct http_request *req, const char *const *only)
{
    struct worker *w = worker_of(req);
    struct lane *l = &lanes[w->loop.index];
    struct why why = { "" };
    struct job *j;
    unsigned count;
    bool whole;

    check(w->loop.index >= 0 && w->loop.index < WORKERS);
    if (l->waiting >= LANE_WAITING) {
        api_fail_text(req, ERR_UNAVAILABLE, "too many searches are waiting; try again");
        return NULL;
    }
    if (!l->busy && !lane_reader(l, cluster_data_dir(w->cluster), &why)) {
        log_error("api", "no connection for searches: %s", why.text);
        api_fail_text(req, ERR_UNAVAILABLE, "the index could not be opened; try again");
        return NULL;
    }
    j = calloc(1, sizeof *j);
    check(j);
    arena_init(&j->arena);
    j->lane = l;
    search_repos(w->reader, &j->arena, &j->repos, &count, &whole);
    for (unsigned i = 0; i < count; i++)
        if (only ? named(only, j->repos[i].name) : may_repo(principal_of(req), j->repos[i].name, REPO_READ))
            j->repos[j->repo_count++] = j->repos[i];
    j->everything = whole && j->repo_count == count;
    return j;
}

static struct job *job_new(struct http_request *req)
{
    return job_new_of(req, NULL);
}

static void job_start(struct job *j, struct http_request *req,
                      void (*run)(struct job *j, struct meta_reader *r), void (*done)(struct job *j))
{
    struct lane *l = j->lane;

    j->run = run;
    j->done = done;
    j->tether = tether_tie(req, &j->req);
    if (!l->tail)
        l->tail = &l->head;
    *l->tail = j;
    l->tail = &j->next;
    l->waiting++;
    lane_next(l);
}

/* --- GET /search --- */

static void sort_read(struct http_request *req, struct search_query *q, const struct page *page)
{
    static const char *const names[] = { "relevance", "name", "version", "created_at" };
    const char *direction = query_get(&req->arena, req->query, "sort_dir");

    q->descending = page->descending;
    for (unsigned i = 0; page->sort && i < sizeof names / sizeof *names; i++)
        if (!strcmp(page->sort, names[i]))
            q->sort = (enum search_sort)i;
    if (q->sort == SEARCH_BY_CREATED && !direction)
        q->descending = true; /* the newest first */
}

/* ?repo= and ?type= are AND repo:…, AND type:… */
static const struct search_node *narrowed(struct http_request *req, struct arena *a,
                                          const struct search_node *root)
{
    static const struct {
        const char *name;
        enum search_field field;
    } filters[] = { { "repo", SEARCH_REPO }, { "type", SEARCH_TYPE } };

    for (unsigned i = 0; i < 2; i++) {
        const char *text = query_get(a, req->query, filters[i].name);
        struct search_node *leaf, *both;
        if (!text || !*text)
            continue;
        leaf = arena_alloc(a, sizeof *leaf);
        both = arena_alloc(a, sizeof *both);
        *leaf = (struct search_node){ .kind = SEARCH_TERM, .field = filters[i].field, .text = text };
        *both = (struct search_node){ .kind = SEARCH_AND, .text = "", .a = root, .b = leaf };
        root = both;
    }
    return root;
}

static void search_job(struct job *j, struct meta_reader *r)
{
    j->err = search_run(r, &j->arena, &j->query, &j->result, &j->why);
}

static const struct search_repo *repo_by_id(const struct job *j, int64_t id)
{
    for (unsigned i = 0; i < j->repo_count; i++)
        if (j->repos[i].id == id)
            return &j->repos[i];
    return NULL;
}

static json_t *hit_json(const struct search_repo *repo, const struct search_hit *h)
{
    char created[32];

    return json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:I, s:s, s:s?}", "repo_type", repo->type, "repo_name",
                     repo->name, "artifact_path", h->path, "artifact_name", h->name, "version", h->version,
                     "size", (json_int_t)h->size, "created_at", clock_rfc3339(h->created_ms, created),
                     "owner", h->owner);
}

/* By repository, and by type without -proxy and -group: what repo: and type: narrow to. */
static void facets_add(json_t *body, struct job *j)
{
    json_t *by_repo = json_object(), *by_type = json_object();

    for (unsigned i = 0; i < j->repo_count; i++) {
        const char *type = j->repos[i].type;
        size_t n = strlen(type);
        if (!j->result.repo_counts || !j->result.repo_counts[i])
            continue;
        if (n > 6 && (!strcmp(type + n - 6, "-proxy") || !strcmp(type + n - 6, "-group")))
            type = arena_strndup(&j->arena, type, n - 6);
        json_object_set_new(by_repo, j->repos[i].name, json_integer(j->result.repo_counts[i]));
        json_object_set_new(by_type, type,
                            json_integer(json_integer_value(json_object_get(by_type, type)) +
                                         j->result.repo_counts[i]));
    }
    json_object_set_new(body, "repo_counts", by_repo);
    json_object_set_new(body, "type_counts", by_type);
}

static void search_done(struct job *j)
{
    json_t *items = json_array(), *body;

    for (unsigned i = 0; i < j->result.count; i++) {
        /* None: it was deleted between the two looks. */
        const struct search_repo *repo = repo_by_id(j, j->result.hits[i].repo_id);
        if (repo)
            json_array_append_new(items, hit_json(repo, &j->result.hits[i]));
    }
    body = api_page_json(&j->page, items, j->result.total);
    json_object_set_new(body, "total_exact", json_boolean(j->result.exact));
    if (j->query.facets)
        facets_add(body, j);
    api_json(j->req, 200, body);
}

void search_get(struct http_request *req)
{
    const char *facets = query_get(&req->arena, req->query, "facets");
    struct page page;
    struct job *j;

    api_page(req, 20, &page);
    if (!page.q || !*page.q) {
        api_fail_text(req, ERR_BAD_REQUEST, "Missing 'q' parameter");
        return;
    }
    if (page.page * page.size > SEARCH_OFFSET) {
        api_fail_text(req, ERR_BAD_REQUEST, "page * size is more than %d: narrow the query", SEARCH_OFFSET);
        return;
    }
    if (!(j = job_new(req)))
        return;
    j->page = page;
    sort_read(req, &j->query, &page);
    j->err = search_parse(&j->arena, page.q, &j->query.root, &j->why);
    if (j->err) {
        api_fail(req, j->err, &j->why);
        job_free(j);
        return;
    }
    j->query.root = narrowed(req, &j->arena, j->query.root);
    j->query.repos = j->repos;
    j->query.repo_count = j->repo_count;
    j->query.everything = j->everything;
    j->query.facets = page.page == 0 && !(facets && !strcmp(facets, "false"));
    j->query.offset = page.page * page.size;
    j->query.limit = page.size;
    job_start(j, req, search_job, search_done);
}

/* --- GET /search/locate --- */

static void locate_job(struct job *j, struct meta_reader *r)
{
    search_locate(r, j->path, j->repos, j->repo_count, j->found);
}

static void locate_done(struct job *j)
{
    json_t *names = json_array();
    int count;

    for (unsigned i = 0; i < j->repo_count; i++)
        if (j->found[i])
            json_array_append_new(names, json_string(j->repos[i].name));
    count = (int)json_array_size(names);
    api_json(j->req, 200, json_pack("{s:o, s:i}", "repositories", names, "count", count));
}

void search_locate_get(struct http_request *req)
{
    const char *path = artifacts_query_path(req, PATH_FILE);
    struct job *j = path ? job_new(req) : NULL;

    if (!j)
        return;
    j->path = arena_strdup(&j->arena, path);
    j->found = arena_alloc(&j->arena, j->repo_count + 1);
    job_start(j, req, locate_job, locate_done);
}

/* --- names, for formats --- */

static void names_job(struct job *j, struct meta_reader *r)
{
    const char *last = NULL;
    unsigned n = 0;

    j->err = search_run(r, &j->arena, &j->query, &j->result, &j->why);
    if (j->err)
        return;
    j->names = arena_alloc(&j->arena, (j->result.count + 1) * sizeof *j->names);
    for (unsigned i = 0; i < j->result.count; i++) {
        const char *name = j->result.hits[i].name;
        if (last && !strcmp(last, name))
            continue;
        last = name;
        if (n >= j->name_offset && j->name_count < j->name_limit)
            j->names[j->name_count++] = name;
        n++;
    }
    j->result.total = n;
}

static void names_done(struct job *j)
{
    if (cluster_current(worker_of(j->req)->cluster))
        j->on_names(j->req, j->names, j->name_count, j->result.total, j->arg);
    else
        api_fail(j->req, ERR_NOT_CURRENT, NULL);
}

static const struct search_node *leaf(struct arena *a, enum search_field field, const char *text,
                                      const struct search_node *other)
{
    struct search_node *one = arena_alloc(a, sizeof *one), *both = arena_alloc(a, sizeof *both);

    *one = (struct search_node){ .kind = SEARCH_TERM, .field = field, .text = arena_strdup(a, text) };
    *both = (struct search_node){ .kind = SEARCH_AND, .a = other, .b = one };
    return other ? both : one;
}

void api_search_names(struct http_request *req, const char *const *repos, const char *const *words,
                      unsigned offset, unsigned limit, api_names_cb *done, void *arg)
{
    struct job *j = job_new_of(req, repos);
    const struct search_node *root = NULL;

    if (!j)
        return;
    for (; *words; words++)
        root = leaf(&j->arena, SEARCH_NAME, *words, root);
    /* Any name: all that these repositories are of. */
    if (!root && j->repo_count)
        root = leaf(&j->arena, SEARCH_TYPE,
                    arena_strndup(&j->arena, j->repos[0].type, strcspn(j->repos[0].type, "-")), NULL);
    if (!root) {
        job_free(j);
        done(req, NULL, 0, 0, arg);
        return;
    }
    j->on_names = done;
    j->arg = arg;
    j->name_offset = offset;
    j->name_limit = limit;
    j->query = (struct search_query){ .root = root, .repos = j->repos, .repo_count = j->repo_count,
                                      .everything = j->everything, .sort = SEARCH_BY_NAME,
                                      .limit = SEARCH_COUNTED };
    job_start(j, req, names_job, names_done);
}

/* --- figures, building anew --- */

void search_stats_show(struct http_request *req)
{
    struct search_stats s;
    char text[32];
    json_t *body;

    search_stats_get(worker_of(req)->reader, &s);
    body = json_pack("{s:I, s:I, s:o, s:s, s:i, s:I, s:I}", "total_documents", (json_int_t)s.documents,
                     "index_size_bytes", (json_int_t)s.index_bytes, "last_indexed",
                     s.last_ms ? json_string(clock_rfc3339(s.last_ms, text)) : json_null(), "status",
                     s.building ? "building" : "ready", "node",
                     cluster_node_id(worker_of(req)->cluster), "generation", (json_int_t)s.generation,
                     "wanted_generation", (json_int_t)s.wanted);
    if (s.building)
        json_object_set_new(body, "progress",
                            json_real(s.to_build ? (double)s.built / (double)s.to_build : 0));
    api_json(req, 200, body);
}

static void on_reindex(struct http_request *req, json_t *result)
{
    api_done(req, 202, json_pack("{s:s, s:s, s:I}", "status", "started", "message",
                                 "Full reindex initiated", "generation",
                                 json_integer_value(json_object_get(result, "generation"))));
}

void search_reindex_post(struct http_request *req)
{
    api_propose(req, "search.reindex", json_pack("{s:s}", "by", principal_of(req)->name), on_reindex);
}
