/* SPDX-License-Identifier: Apache-2.0 */
/* test_search_random: random trees of queries against a naive evaluator over the same rows, while artifacts
 * and repositories come, change and go and the index is built anew, on a leader and on a follower that gets
 * its changesets. SEED=n repeats a run. */
#include "fx_meta.h"

#include <strings.h>

#include "pantera/meta_search.h"
#include "storage/meta/internal.h"

enum { ROUNDS = 40, OPS = 12, QUERIES = 12, NODES = 2, ROWS = 4096 };

static struct fx_meta nodes[NODES];
#define leader (nodes[0])
static unsigned long long seed;

static unsigned rnd(unsigned n)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(seed >> 33) % n;
}

/* --- the leader runs it, the follower gets the changeset --- */

static enum err run(const char *op, json_t *args)
{
    json_t *result = NULL;
    const void *changeset;
    size_t size;
    enum err e;

    assert_non_null(args);
    meta_batch_begin(leader.meta);
    e = meta_batch_run(leader.meta, op, args, ++leader.now_ms, &leader.key, &result, &leader.why);
    meta_batch_changeset(leader.meta, &changeset, &size);
    for (int n = 1; n < NODES; n++)
        if (size)
            meta_apply_changeset(nodes[n].meta, leader.index + 1, changeset, size);
    meta_batch_commit(leader.meta, ++leader.index);
    json_decref(result);
    return e;
}

static void put(int64_t repo, const char *path, const char *name, const char *version)
{
    static unsigned next;
    char key[48];
    json_t *args;

    snprintf(key, sizeof key, "blobs/aa/%032x", ++next);
    assert_int_equal(run("upload.reserve", json_pack("{s:i, s:s, s:s, s:[s]}", "node", 1, "incarnation", "a",
                                                     "store", "default", "keys", key)), OK);
    args = fx_put_args(repo, path, "default", key, next);
    if (name) {
        json_object_set_new(args, "name", json_string(name));
        json_object_set_new(args, "version", json_string(version));
    }
    run("artifact.put", args); /* may be refused: a folder, a repository that is gone */
}

/* --- random things, from few letters, so that they meet --- */

static const char *const words[] = { "guava", "Spring", "boot", "core", "lib", "x", "go", "my-lib", "a_b",
                                     "Zed" };
static const char *const versions[] = { "1.0", "2.1.3", "10.0-rc1", "3", "1.0.1" };
static const char *const types[] = { "maven", "maven-proxy", "npm", "file", "file-group" };

static const char *word(void)
{
    return words[rnd(sizeof words / sizeof *words)];
}

static const char *version(void)
{
    return versions[rnd(sizeof versions / sizeof *versions)];
}

static const char *random_path(struct arena *a)
{
    const char *name = word(), *v = version();

    switch (rnd(3)) {
    case 0:
        return arena_printf(a, "com/%s/%s/%s/%s-%s.jar", word(), name, v, name, v);
    case 1:
        return arena_printf(a, "%s/%s-%s.tgz", word(), name, v);
    default:
        return arena_printf(a, "%s/%s.txt", word(), word());
    }
}

static void make_repo(unsigned n)
{
    const char *type = types[n % (sizeof types / sizeof *types)];
    char name[16];

    snprintf(name, sizeof name, "repo%u", n);
    run("repo.put", json_pack("{s:s, s:s, s:s, s:{s:{s:s, s:s}}}", "name", name, "type", type, "storage",
                              "default", "config", "repo", "type", type, "storage", "default"));
}

static void random_op(struct arena *a)
{
    struct search_repo *repos;
    unsigned count;
    int64_t repo;
    bool whole;

    search_repos(leader.reader, a, &repos, &count, &whole);
    repo = count ? repos[rnd(count)].id : 1;
    switch (rnd(20)) {
    case 0:
        run("artifact.delete_tree", json_pack("{s:I, s:s, s:i}", "repo_id", (json_int_t)repo, "path", word(),
                                              "limit", 3));
        return;
    case 1:
        make_repo(rnd(6));
        return;
    case 2:
        if (count > 2)
            run("repo.delete", json_pack("{s:s}", "name", repos[rnd(count)].name));
        return;
    case 3:
        run("repo.sweep", json_pack("{s:i}", "limit", 4));
        return;
    case 4:
        if (count)
            run("repo.move", json_pack("{s:s, s:s}", "name", repos[rnd(count)].name, "new_name",
                                       arena_printf(a, "repo%u", rnd(6))));
        return;
    case 5:
        run("search.reindex", json_object());
        return;
    case 6: case 7: case 8:
        run("artifact.delete", json_pack("{s:I, s:s}", "repo_id", (json_int_t)repo, "path", random_path(a)));
        return;
    case 9: case 10:
        put(repo, random_path(a), word(), version());
        return;
    default:
        put(repo, random_path(a), NULL, NULL);
    }
}

/* --- the naive evaluator --- */

static struct row {
    int64_t repo;
    const char *path, *name, *version;
} rows[ROWS];
static unsigned row_count;

static void rows_read(struct arena *a, struct fx_meta *fx)
{
    struct sql *q = sql_read(fx->reader, "SELECT repo_id, path, name, version FROM artifact");

    row_count = 0;
    while (sql_row(q)) {
        assert_true(row_count < ROWS);
        rows[row_count++] = (struct row){ sql_int(q, 0), sql_str(q, 1, a), sql_str(q, 2, a),
                                          sql_str(q, 3, a) };
    }
    sql_end(q);
}

/* The beginning of a word, where words end at one of "/-._ ". */
static bool begins(const char *text, const char *term)
{
    for (const char *at = text; *at; at++)
        if ((at == text || strchr("/-._ ", at[-1])) && !strncasecmp(at, term, strlen(term)))
            return true;
    return false;
}

static bool holds(const char *text, const char *term, bool is_path)
{
    if (strlen(term) < 3)
        return !is_path && begins(text, term);
    return strcasestr(text, term) != NULL;
}

static bool type_is(const char *type, const char *prefix)
{
    size_t n = strlen(type), m = strlen(prefix);

    n -= n > 6 && (!strcmp(type + n - 6, "-proxy") || !strcmp(type + n - 6, "-group")) ? 6 : 0;
    m -= m > 6 && (!strcmp(prefix + m - 6, "-proxy") || !strcmp(prefix + m - 6, "-group")) ? 6 : 0;
    return m <= n && !strncasecmp(type, prefix, m);
}

static bool naive(const struct search_node *n, const struct row *r, const struct search_repo *repo)
{
    switch (n->kind) {
    case SEARCH_AND:
        return naive(n->a, r, repo) && naive(n->b, r, repo);
    case SEARCH_OR:
        return naive(n->a, r, repo) || naive(n->b, r, repo);
    case SEARCH_NOT:
        return !naive(n->a, r, repo);
    case SEARCH_TERM:
        break;
    }
    switch (n->field) {
    case SEARCH_NAME:
        return holds(r->name, n->text, false);
    case SEARCH_VERSION:
        return holds(r->version, n->text, false);
    case SEARCH_REPO:
        return !strcmp(repo->name, n->text);
    case SEARCH_TYPE:
        return type_is(repo->type, n->text);
    case SEARCH_ANY:
        break;
    }
    return holds(r->name, n->text, false) || holds(r->version, n->text, false) ||
           holds(r->path, n->text, true);
}

/* --- queries: written as text, so that the grammar is in it too --- */

static const char *random_term(struct arena *a)
{
    const char *w = rnd(2) ? word() : version();
    size_t n = strlen(w), from = n > 3 ? rnd((unsigned)n - 2) : 0;

    switch (rnd(8)) {
    case 0:
        return arena_printf(a, "repo:repo%u", rnd(7));
    case 1:
        return arena_printf(a, "type:%.*s", (int)(1 + rnd(5)), types[rnd(5)]);
    case 2:
        return arena_printf(a, "name:\"%s\"", w + from);
    case 3:
        return arena_printf(a, "version:%s", version());
    case 4:
        return arena_printf(a, "NAME: %s", w);
    case 5:
        return arena_printf(a, "%.2s", word());
    case 6:
        return arena_printf(a, "\"%s/%s\"", word(), word());
    default:
        return w + from;
    }
}

static const char *random_query(struct arena *a, unsigned depth)
{
    switch (depth ? rnd(7) : 0) {
    case 1: case 2:
        return arena_printf(a, "%s AND %s", random_query(a, depth - 1), random_query(a, depth - 1));
    case 3:
        return arena_printf(a, "%s %s", random_query(a, depth - 1), random_query(a, depth - 1));
    case 4:
        return arena_printf(a, "%s OR %s", random_query(a, depth - 1), random_query(a, depth - 1));
    case 5:
        return arena_printf(a, "NOT %s", random_query(a, depth - 1));
    case 6:
        return arena_printf(a, "(%s)", random_query(a, depth - 1));
    default:
        return random_term(a);
    }
}

static const struct search_repo *repo_of(const struct search_query *q, int64_t id)
{
    for (unsigned i = 0; i < q->repo_count; i++)
        if (q->repos[i].id == id)
            return &q->repos[i];
    return NULL;
}

/* Any page is that part of the whole list. */
static void one_page(struct arena *a, struct fx_meta *fx, struct search_query q,
                     const struct search_result *whole)
{
    struct search_result page;

    q.limit = 1 + rnd(9);
    q.offset = rnd(30);
    q.facets = rnd(2);
    assert_int_equal(search_run(fx->reader, a, &q, &page, &fx->why), OK);
    assert_int_equal(page.total, whole->total);
    for (unsigned i = 0; i < page.count; i++) {
        assert_true(q.offset + i < whole->count);
        assert_string_equal(page.hits[i].path, whole->hits[q.offset + i].path);
        assert_int_equal(page.hits[i].repo_id, whole->hits[q.offset + i].repo_id);
    }
    assert_true(page.count == q.limit || q.offset + page.count >= whole->count);
}

static void one_query(struct arena *a, struct fx_meta *fx, unsigned long long from)
{
    const char *text = random_query(a, 3);
    struct search_query q = { .limit = ROWS, .facets = rnd(2), .sort = (enum search_sort)rnd(4),
                              .descending = rnd(2) };
    struct search_result result;
    struct search_repo *repos;
    unsigned count, expected = 0;
    int64_t sum = 0;
    bool whole;

    search_repos(fx->reader, a, &repos, &count, &whole);
    assert_int_equal(search_parse(a, text, &q.root, &fx->why), OK);
    for (unsigned i = 0; i < count; i++) /* a caller who may read some of them, or all */
        if (rnd(8))
            repos[q.repo_count++] = repos[i];
    q.repos = repos;
    q.everything = whole && q.repo_count == count;
    assert_int_equal(search_run(fx->reader, a, &q, &result, &fx->why), OK);
    for (unsigned i = 0; i < row_count; i++) {
        const struct search_repo *repo = repo_of(&q, rows[i].repo);
        bool hit = false;
        if (!repo || !naive(q.root, &rows[i], repo))
            continue;
        expected++;
        for (unsigned h = 0; !hit && h < result.count; h++)
            hit = result.hits[h].repo_id == rows[i].repo && !strcmp(result.hits[h].path, rows[i].path);
        if (!hit)
            printf("SEED=%llu: '%s' misses %s\n", from, text, rows[i].path);
        assert_true(hit);
    }
    if (result.total != expected)
        printf("SEED=%llu: '%s' has %lld, not %u\n", from, text, (long long)result.total, expected);
    assert_int_equal(result.total, expected);
    assert_int_equal(result.count, expected);
    for (unsigned i = 0; q.facets && result.repo_counts && i < q.repo_count; i++)
        sum += result.repo_counts[i];
    assert_true(!q.facets || !result.repo_counts || sum == expected);
    one_page(a, fx, q, &result);
}

static void check_index(struct fx_meta *fx)
{
    struct search_stats s;

    search_stats_get(fx->reader, &s);
    assert_int_equal(s.documents, row_count);
}

static void index_is_what_the_rows_are(void **state)
{
    const char *given = getenv("SEED");
    unsigned long long from = given ? strtoull(given, NULL, 10) : 1;
    unsigned builds = 0;

    seed = from;
    for (unsigned n = 0; n < 5; n++)
        make_repo(n);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct arena a;
        arena_init(&a);
        for (unsigned i = 0; i < OPS; i++) {
            random_op(&a);
            for (int n = 0; n < NODES; n++) /* each at its own pace */
                builds += rnd(3) && search_build_once(&nodes[n].meta->connection);
        }
        for (int n = 0; n < NODES; n++) {
            rows_read(&a, &nodes[n]);
            check_index(&nodes[n]);
            for (unsigned i = 0; i < QUERIES; i++)
                one_query(&a, &nodes[n], from);
        }
        arena_release(&a);
    }
    assert_true(builds > 50 && row_count > 30);
    for (int n = 0; n < NODES; n++) {
        connection_exec(nodes[n].meta->connection.db,
                        "INSERT INTO local_search_a (local_search_a) VALUES ('integrity-check')");
        connection_exec(nodes[n].meta->connection.db,
                        "INSERT INTO local_search_b (local_search_b) VALUES ('integrity-check')");
    }
}

static int setup(void **state)
{
    for (int n = 0; n < NODES; n++)
        fx_meta_open(&nodes[n]);
    assert_int_equal(run("alias.put", json_pack("{s:i, s:s, s:{s:s, s:s}}", "repo_id", 0, "name", "default",
                                                "config", "type", "fs", "path", "/x")), OK);
    assert_int_equal(run("node.started", json_pack("{s:i, s:s, s:s}", "node", 1, "incarnation", "a",
                                                   "version", "0")), OK);
    return 0;
}

static int teardown(void **state)
{
    for (int n = 0; n < NODES; n++)
        fx_meta_close(&nodes[n]);
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(index_is_what_the_rows_are, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
