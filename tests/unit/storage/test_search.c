/* SPDX-License-Identifier: Apache-2.0 */
/* The full-text index: what matches, who sees it, that no query scans, and
 * that building it anew loses nothing while artifacts come and go. */
#include "fx_meta.h"

#include "pantera/meta_artifact.h"
#include "pantera/meta_search.h"
#include "storage/meta/internal.h"

static struct fx_meta fx;
static struct search_repo repos[3];

static void store(int64_t repo, const char *path)
{
    static unsigned next;
    char key[48];
    json_t *args;

    snprintf(key, sizeof key, "blobs/ee/%u", ++next);
    assert_int_equal(fx_reserve(&fx, "a", "default", key), OK);
    args = fx_put_args(repo, path, "default", key, next);
    assert_int_equal(fx_run(&fx, "artifact.put", args, NULL), OK);
}

static const char *const paths[] = {
    "com/google/guava/32.1.3-jre/guava-32.1.3-jre.jar",
    "com/google/guava/33.0/guava-33.0.jar",
    "org/spring/spring-boot/3.2.1/spring-boot-3.2.1.jar",
    "org/spring/spring-core/6.1/spring-core-6.1.jar",
    "tools/go/readme.txt",
};

static int setup(void **state)
{
    fx_meta_open(&fx);
    fx_meta_basics(&fx);
    assert_int_equal(fx_repo(&fx, "maven-local", fx_file_repo("default")), OK);
    assert_int_equal(fx_repo(&fx, "secret", fx_file_repo("default")), OK);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        store(1, paths[i]);
    store(2, "pydantic/2.12/pydantic-2.12.tar.gz");
    store(3, "guava/secret.txt");
    repos[0] = (struct search_repo){ 1, "files", "file" };
    repos[1] = (struct search_repo){ 2, "maven-local", "maven-proxy" };
    repos[2] = (struct search_repo){ 3, "secret", "file" };
    return 0;
}

static int teardown(void **state)
{
    fx_meta_close(&fx);
    return 0;
}

/* For search_parse is the registry's: trees by hand. */
static const struct search_node *t(enum search_field field, const char *text)
{
    struct search_node *n = arena_alloc(&fx.arena, sizeof *n);
    *n = (struct search_node){ .kind = SEARCH_TERM, .field = field, .text = text };
    return n;
}

static const struct search_node *op(enum search_kind kind, const struct search_node *a,
                                    const struct search_node *b)
{
    struct search_node *n = arena_alloc(&fx.arena, sizeof *n);
    *n = (struct search_node){ .kind = kind, .text = "", .a = a, .b = b };
    return n;
}

static int64_t total_of(const struct search_node *root, unsigned repo_count)
{
    struct search_query q = { .root = root, .repos = repos, .repo_count = repo_count,
                              .everything = repo_count == 3, .limit = 20 };
    struct search_result r;

    assert_int_equal(search_run(fx.reader, &fx.arena, &q, &r, &fx.why), OK);
    assert_int_equal(r.count, r.total);
    return r.total;
}

static void search_matches_what_it_reads_like(void **state)
{
    const struct search_node *guava = t(SEARCH_NAME, "GuAvA"), *v32 = t(SEARCH_VERSION, "32.1"),
                             *v33 = t(SEARCH_VERSION, "33.0"), *spring = t(SEARCH_ANY, "spring");

    assert_int_equal(total_of(guava, 3), 2);
    assert_int_equal(total_of(t(SEARCH_ANY, "guava"), 3), 3);
    assert_int_equal(total_of(op(SEARCH_AND, guava, op(SEARCH_OR, v32, v33)), 3), 2);
    assert_int_equal(total_of(op(SEARCH_AND, guava, v33), 3), 1);
    assert_int_equal(total_of(op(SEARCH_AND, guava, op(SEARCH_NOT, v33, NULL)), 3), 1);
    assert_int_equal(total_of(op(SEARCH_AND, spring, t(SEARCH_ANY, "boot")), 3), 1);
    assert_int_equal(total_of(op(SEARCH_AND, v32, v33), 3), 0);
    assert_int_equal(total_of(op(SEARCH_NOT, spring, NULL), 3), 5);
    assert_int_equal(total_of(op(SEARCH_NOT, op(SEARCH_NOT, spring, NULL), NULL), 3), 2);
    assert_int_equal(total_of(op(SEARCH_OR, guava, op(SEARCH_NOT, spring, NULL)), 3), 5);
    assert_int_equal(total_of(op(SEARCH_OR, op(SEARCH_NOT, guava, NULL),
                                 op(SEARCH_NOT, spring, NULL)), 3), 7);
    assert_int_equal(total_of(t(SEARCH_REPO, "files"), 3), 5);
    assert_int_equal(total_of(t(SEARCH_REPO, "file"), 3), 0);
    assert_int_equal(total_of(op(SEARCH_NOT, t(SEARCH_REPO, "nowhere"), NULL), 3), 7);
    assert_int_equal(total_of(t(SEARCH_TYPE, "mav"), 3), 1);
    assert_int_equal(total_of(t(SEARCH_TYPE, "maven-group"), 3), 1);
    assert_int_equal(total_of(t(SEARCH_TYPE, "FILE"), 3), 6);
    assert_int_equal(total_of(t(SEARCH_TYPE, "proxy"), 3), 0);
    assert_int_equal(total_of(t(SEARCH_ANY, "a\"b OR 1"), 3), 0);
    assert_int_equal(total_of(t(SEARCH_ANY, "spring-boot\" OR \"guava"), 3), 0);
}

/* One or two characters: the beginning of a word of name or version. */
static void search_short_terms(void **state)
{
    struct search_query q = { .root = t(SEARCH_ANY, "-"), .repos = repos, .repo_count = 3, .limit = 1 };
    struct search_result r;

    assert_int_equal(total_of(t(SEARCH_VERSION, "3"), 3), 3);
    assert_int_equal(total_of(t(SEARCH_VERSION, "33"), 3), 1);
    assert_int_equal(total_of(t(SEARCH_VERSION, "3."), 3), 2); /* "3.2.1" and "32.1.3": a word "3" */
    assert_int_equal(total_of(t(SEARCH_NAME, "bo"), 3), 1);
    assert_int_equal(total_of(t(SEARCH_NAME, "oo"), 3), 0);
    assert_int_equal(total_of(t(SEARCH_ANY, "sp"), 3), 2);
    assert_int_equal(search_run(fx.reader, &fx.arena, &q, &r, &fx.why), ERR_BAD_REQUEST);
}

/* What a caller may not read is neither found nor counted, whatever the query says. */
static void search_stays_in_the_callers_repositories(void **state)
{
    const struct search_node *guava = t(SEARCH_ANY, "guava");

    assert_int_equal(total_of(guava, 1), 2);
    assert_int_equal(total_of(guava, 0), 0);
    assert_int_equal(total_of(op(SEARCH_NOT, t(SEARCH_NAME, "zzz"), NULL), 2), 6);
    assert_int_equal(total_of(op(SEARCH_NOT, t(SEARCH_REPO, "secret"), NULL), 2), 6);
    assert_int_equal(total_of(t(SEARCH_REPO, "secret"), 2), 0);
    assert_int_equal(total_of(op(SEARCH_OR, t(SEARCH_REPO, "secret"), t(SEARCH_REPO, "files")), 2), 5);
}

/* Rows go and change, the index with them; a whole folder in steps. */
static void search_follows_deletes(void **state)
{
    json_t *result = NULL;

    store(1, "gone/a/one-1.0.txt");
    store(1, "gone/a/two-2.0.txt");
    store(1, "gone/b.txt");
    assert_int_equal(total_of(t(SEARCH_ANY, "gone"), 3), 3);
    assert_int_equal(fx_run(&fx, "artifact.delete_tree",
                            json_pack("{s:i, s:s, s:i}", "repo_id", 1, "path", "gone", "limit", 2),
                            &result), OK);
    assert_true(json_is_true(json_object_get(result, "more")));
    json_decref(result);
    assert_int_equal(total_of(t(SEARCH_ANY, "gone"), 3), 1);
    assert_int_equal(fx_run(&fx, "artifact.delete_tree",
                            json_pack("{s:i, s:s, s:i}", "repo_id", 1, "path", "gone", "limit", 2),
                            &result), OK);
    assert_false(json_is_true(json_object_get(result, "more")));
    json_decref(result);
    assert_int_equal(total_of(t(SEARCH_ANY, "gone"), 3), 0);
    assert_int_equal(fx_run(&fx, "artifact.delete_tree",
                            json_pack("{s:i, s:s}", "repo_id", 1, "path", "gone"), NULL), ERR_NOT_FOUND);
}

static void built_until_idle(void)
{
    while (meta_idle(fx.meta))
        ;
}

static void search_is_built_anew(void **state)
{
    struct search_stats s;
    int64_t before;

    search_stats_get(fx.reader, &s);
    before = s.documents;
    assert_false(s.building);
    assert_true(s.index_bytes > 0);
    assert_true(s.last_ms > 0);
    for (int round = 1; round <= 3; round++) {
        assert_int_equal(fx_run(&fx, "search.reindex", json_object(), NULL), OK);
        search_stats_get(fx.reader, &s);
        assert_true(s.building);
        built_until_idle();
        search_stats_get(fx.reader, &s);
        assert_false(s.building);
        assert_int_equal(s.generation, round);
        assert_int_equal(s.documents, before);
        assert_int_equal(total_of(t(SEARCH_NAME, "guava"), 3), 2);
        assert_int_equal(total_of(op(SEARCH_NOT, t(SEARCH_NAME, "zzz"), NULL), 3), before);
        assert_int_equal(fx_int(&fx, "SELECT count(*) FROM local_search_a WHERE local_search_a MATCH "
                                     "'guava'"), round % 2 ? 0 : 3);
    }
}

/* In the middle of a build: documents on both sides of the cursor come, go and change. */
static void search_is_right_while_building(void **state)
{
    assert_int_equal(fx_run(&fx, "search.reindex", json_object(), NULL), OK);
    connection_exec(fx.meta->connection.db, "UPDATE local_search_state SET phase = 'build', cursor = 4, "
                                            "generation = generation + 1");
    connection_exec(fx.meta->connection.db,
                    fx_int(&fx, "SELECT active FROM local_search_state")
                        ? "INSERT INTO local_search_a (rowid, name, version, path, starts_name, "
                          "starts_version, repo) SELECT * FROM local_search_text WHERE doc <= 4"
                        : "INSERT INTO local_search_b (rowid, name, version, path, starts_name, "
                          "starts_version, repo) SELECT * FROM local_search_text WHERE doc <= 4");
    assert_int_equal(fx_run(&fx, "artifact.delete", json_pack("{s:i, s:s}", "repo_id", 1, "path",
                                                              paths[0]), NULL), OK);
    assert_int_equal(fx_run(&fx, "artifact.delete", json_pack("{s:i, s:s}", "repo_id", 1, "path",
                                                              paths[4]), NULL), OK);
    store(1, "fresh/new-guava-9.9.jar");
    assert_int_equal(total_of(t(SEARCH_NAME, "guava"), 3), 2);
    built_until_idle();
    assert_int_equal(total_of(t(SEARCH_NAME, "guava"), 3), 2);
    assert_int_equal(total_of(t(SEARCH_ANY, "readme"), 3), 0);
    assert_int_equal(total_of(op(SEARCH_NOT, t(SEARCH_NAME, "zzz"), NULL), 3), 6);
    connection_exec(fx.meta->connection.db, "INSERT INTO local_search_a (local_search_a) "
                                            "VALUES ('integrity-check')");
    connection_exec(fx.meta->connection.db, "INSERT INTO local_search_b (local_search_b) "
                                            "VALUES ('integrity-check')");
}

/* --- plans: SQLite is asked about every statement that it prepares from here on --- */

static char plans[65536];

static int on_trace(unsigned type, void *context, void *stmt, void *text)
{
    const char *sql = sqlite3_sql(stmt);
    char explain[4096];
    sqlite3_stmt *plan;

    if (strncmp(sql, "SELECT", 6))
        return 0;
    snprintf(explain, sizeof explain, "EXPLAIN QUERY PLAN %s", sql);
    assert_int_equal(sqlite3_prepare_v2(context, explain, -1, &plan, NULL), SQLITE_OK);
    while (sqlite3_step(plan) == SQLITE_ROW) {
        size_t used = strlen(plans);
        snprintf(plans + used, sizeof plans - used, "%s\n", (const char *)sqlite3_column_text(plan, 3));
    }
    sqlite3_finalize(plan);
    return 0;
}

static void no_query_scans(void **state)
{
    struct search_query q = { .root = t(SEARCH_NAME, "guava"), .repos = repos, .repo_count = 2,
                              .limit = 20 };
    struct search_result r;
    struct search_stats s;
    struct search_repo *all;
    struct artifact_child *children;
    sqlite3 *db = fx.reader->connection.db, *writing = fx.meta->connection.db;
    unsigned count;
    bool found[3], more;

    plans[0] = 0;
    sqlite3_trace_v2(db, SQLITE_TRACE_STMT, NULL, NULL);
    sqlite3_trace_v2(db, SQLITE_TRACE_PROFILE, NULL, NULL);
    sqlite3_trace_v2(db, SQLITE_TRACE_PROFILE, on_trace, db);
    for (int sort = SEARCH_BY_RELEVANCE; sort <= SEARCH_BY_CREATED; sort++)
        for (int down = 0; down < 2; down++) {
            q.sort = (enum search_sort)sort;
            q.facets = down;
            q.descending = down;
            assert_int_equal(search_run(fx.reader, &fx.arena, &q, &r, &fx.why), OK);
            assert_true(r.count > 0);
        }
    search_locate(fx.reader, paths[1], repos, 3, found);
    search_stats_get(fx.reader, &s);
    search_repos(fx.reader, &fx.arena, &all, &count, &more);
    assert_int_equal(artifact_children(fx.reader, &fx.arena, 1, "com", NULL, 10, &children, &count, &more),
                     OK);
    sqlite3_trace_v2(db, 0, NULL, NULL);
    sqlite3_trace_v2(writing, SQLITE_TRACE_PROFILE, on_trace, writing);
    assert_int_equal(fx_run(&fx, "artifact.delete_tree", json_pack("{s:i, s:s}", "repo_id", 1, "path", "org"),
                            NULL), OK);
    assert_int_equal(fx_run(&fx, "search.reindex", json_object(), NULL), OK);
    built_until_idle();
    sqlite3_trace_v2(writing, 0, NULL, NULL);
    assert_non_null(strstr(plans, "local_search_"));
    assert_non_null(strstr(plans, "SEARCH artifact USING INDEX artifact_by_doc"));
    assert_non_null(strstr(plans, "SEARCH a USING COVERING INDEX artifact_by_doc")); /* facets */
    for (const char *line = plans; *line; line = strchr(line, '\n') + 1)
        if (!strncmp(line, "SCAN a\n", 7) || !strncmp(line, "SCAN a ", 7) ||
            !strncmp(line, "SCAN artifact", 13)) {
            fprintf(stderr, "a scan: %.*s\n", (int)strcspn(line, "\n"), line);
            assert_true(false);
        }
}

/* More matches than are counted: a lower bound, in the order of their numbers, as far as pages go. */
static void search_walks_what_is_too_much_to_sort(void **state)
{
    struct search_query q = { .root = t(SEARCH_NAME, "many"), .repos = repos, .repo_count = 2, .limit = 5,
                              .facets = true };
    struct search_result r;

    connection_exec(fx.meta->connection.db,
                    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10020) "
                    "INSERT INTO artifact (repo_id, path, blob_id, size, created_ms, modified_ms, name, "
                    "version, doc) SELECT 1, 'm/' || i, 1, 1, i, i, 'many', '', 1000 + i FROM n");
    assert_int_equal(search_run(fx.reader, &fx.arena, &q, &r, &fx.why), OK);
    assert_int_equal(r.total, SEARCH_COUNTED + 1);
    assert_false(r.exact);
    assert_int_equal(r.repo_counts[0] + r.repo_counts[1], SEARCH_COUNTED + 1);
    assert_string_equal(r.hits[0].path, "m/10020"); /* too many to rank: the newest first */
    q.offset = SEARCH_OFFSET;
    q.facets = false;
    assert_int_equal(search_run(fx.reader, &fx.arena, &q, &r, &fx.why), OK);
    assert_int_equal(r.count, 5);
    assert_string_equal(r.hits[0].path, "m/20");
    q.sort = SEARCH_BY_CREATED;
    assert_int_equal(search_run(fx.reader, &fx.arena, &q, &r, &fx.why), OK);
    assert_string_equal(r.hits[4].path, "m/10005");
    q.sort = SEARCH_BY_NAME;
    assert_int_equal(search_run(fx.reader, &fx.arena, &q, &r, &fx.why), ERR_BAD_REQUEST);
}

static void names_are_read_from_paths(void **state)
{
    static const struct {
        const char *path, *name, *version;
    } rows[] = {
        { "com/example/lib/1.0/lib-1.0.jar", "lib", "1.0" },
        { "com/example/my-lib/1.0-rc1/my-lib-1.0-rc1-sources.jar", "my-lib", "1.0-rc1" },
        { "tool-1.2.3.tar.gz", "tool", "1.2.3" },
        { "a/b/tool-v2.0.zip", "tool", "v2.0" },
        { "a/readme.txt", "readme.txt", "" },
        { "x/-1", "-1", "" },
        { "my-tool", "my-tool", "" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *name, *version;
        artifact_name_of(&fx.arena, rows[i].path, &name, &version);
        assert_string_equal(name, rows[i].name);
        assert_string_equal(version, rows[i].version);
    }
}

static void download_key_is_made_once(void **state)
{
    const char *first;

    assert_null(download_key_sealed(fx.reader, &fx.arena));
    assert_int_equal(fx_run(&fx, "download_key.make", json_object(), NULL), OK);
    first = download_key_sealed(fx.reader, &fx.arena);
    assert_non_null(first);
    assert_int_equal(strncmp(first, "s1.", 3), 0);
    assert_int_equal(fx_run(&fx, "download_key.make", json_object(), NULL), OK);
    assert_string_equal(first, download_key_sealed(fx.reader, &fx.arena));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(search_matches_what_it_reads_like, setup, teardown),
        cmocka_unit_test_setup_teardown(search_short_terms, setup, teardown),
        cmocka_unit_test_setup_teardown(search_stays_in_the_callers_repositories, setup, teardown),
        cmocka_unit_test_setup_teardown(search_follows_deletes, setup, teardown),
        cmocka_unit_test_setup_teardown(search_is_built_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(search_is_right_while_building, setup, teardown),
        cmocka_unit_test_setup_teardown(no_query_scans, setup, teardown),
        cmocka_unit_test_setup_teardown(search_walks_what_is_too_much_to_sort, setup, teardown),
        cmocka_unit_test_setup_teardown(names_are_read_from_paths, setup, teardown),
        cmocka_unit_test_setup_teardown(download_key_is_made_once, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
