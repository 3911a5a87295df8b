/* SPDX-License-Identifier: Apache-2.0 */
/* Imports on a real replica: the key and the artifact come together, a key is for one import, old keys go,
 * and no query scans. */
#include "fx_meta.h"

#include "pantera/meta_artifact.h"
#include "pantera/meta_import.h"
#include "storage/meta/internal.h"

static struct fx_meta fx;

static int open_it(void **state)
{
    fx_meta_open(&fx);
    fx_meta_basics(&fx);
    return 0;
}

static int close_it(void **state)
{
    fx_meta_close(&fx);
    return 0;
}

static enum err put(const char *key, const char *path, const char *blob, unsigned digest)
{
    json_t *result = NULL;
    assert_int_equal(fx_reserve(&fx, "a", "default", blob), OK);
    enum err e = fx_run(&fx, "import.put",
                        json_pack("{s:i, s:s, s:s, s:s, s:i, s:o, s:{s:s, s:s}}", "repo_id", 1, "path", path,
                                  "store", "default", "key", blob, "size", 3, "sha256",
                                  json_sprintf("%064x", digest), "session", "key", key, "repo_type", "file"),
                        &result);
    bool already = json_is_true(json_object_get(result, "already"));
    json_decref(result);
    return e ? e : already ? ERR_AGAIN : OK;
}

static void a_key_is_for_one_import(void **state)
{
    struct import_session s;
    assert_int_equal(import_get(fx.reader, &fx.arena, "k", &s), ERR_NOT_FOUND);
    assert_int_equal(put("k", "a", "blobs/aa/1", 1), OK);
    assert_int_equal(import_get(fx.reader, &fx.arena, "k", &s), OK);
    assert_true(s.present);
    assert_false(s.replaced);
    assert_string_equal(s.path, "a");
    assert_int_equal(put("k", "a", "blobs/aa/2", 1), ERR_AGAIN);
    assert_int_equal(put("k", "b", "blobs/aa/3", 1), ERR_CONFLICT);
    assert_int_equal(put("k", "a", "blobs/aa/4", 2), ERR_CONFLICT);
    /* Deleted: done again. Replaced: not undone. */
    assert_int_equal(fx_run(&fx, "artifact.delete", json_pack("{s:i, s:s}", "repo_id", 1, "path", "a"), NULL),
                     OK);
    assert_int_equal(put("k", "a", "blobs/aa/5", 1), OK);
    assert_int_equal(fx_store(&fx, 1, "a", 9), OK);
    assert_int_equal(put("k", "a", "blobs/aa/6", 1), ERR_CONFLICT);
}

/* What an import's format commits: a name, a document, and the key, all or none of them. */
static enum err commit(const char *key, const char *path, const char *blob, unsigned digest)
{
    char other[64];
    json_t *result = NULL, *sha256 = json_sprintf("%064x", digest);
    snprintf(other, sizeof other, "%s-document", blob);
    assert_int_equal(fx_reserve(&fx, "a", "default", blob), OK);
    assert_int_equal(fx_reserve(&fx, "a", "default", other), OK);
    json_t *items = json_pack("[{s:s, s:s, s:s, s:s, s:i, s:O, s:b}, {s:s, s:s, s:s, s:s, s:i, s:O, s:b}]",
                              "do", "put", "path", ".doc", "store", "default", "key", other, "size", 3,
                              "sha256", sha256, "hidden", 1, "do", "put", "path", "place/a", "store",
                              "default", "key", blob, "size", 3, "sha256", sha256, "if_absent", 1);
    enum err e = fx_run(&fx, "artifact.commit",
                        json_pack("{s:i, s:s, s:o, s:{s:i, s:s, s:i, s:o, s:{s:s, s:s, s:i}}}", "repo_id",
                                  1, "store", "default", "items", items, "import", "repo_id", 1, "path", path,
                                  "size", 3, "sha256", sha256, "session", "key", key, "repo_type", "npm",
                                  "created_ms", 77),
                        &result);
    bool already = json_is_true(json_object_get(result, "already"));
    json_decref(result);
    return e ? e : already ? ERR_AGAIN : OK;
}

static void a_format_may_choose_the_place(void **state)
{
    struct import_session s;
    struct artifact_row row;
    assert_int_equal(commit("k", "place/a", "blobs/aa/1", 1), OK);
    assert_int_equal(import_get(fx.reader, &fx.arena, "k", &s), OK);
    assert_true(s.present);
    assert_int_equal(artifact_get(fx.reader, &fx.arena, 1, "place/a", &row), OK);
    assert_int_equal(row.created_ms, 77);
    assert_int_equal(commit("k", "place/a", "blobs/aa/2", 1), ERR_AGAIN);
    assert_int_equal(commit("k", "b", "blobs/aa/3", 1), ERR_CONFLICT);
    assert_int_equal(commit("k", "place/a", "blobs/aa/4", 2), ERR_CONFLICT);
    /* Another key: the rest is refused, and so is the key not used. */
    assert_int_equal(commit("l", "place/a", "blobs/aa/5", 1), ERR_PRECONDITION);
    assert_int_equal(import_get(fx.reader, &fx.arena, "l", &s), ERR_NOT_FOUND);
}

static void old_keys_go(void **state)
{
    struct import_session s;
    assert_int_equal(put("k1", "a", "blobs/aa/1", 1), OK);
    int64_t then = fx.now_ms;
    assert_int_equal(put("k2", "b", "blobs/aa/2", 2), OK);
    assert_true(import_sweep_due(fx.reader, then + 1));
    assert_int_equal(fx_run(&fx, "import.sweep", json_pack("{s:I}", "before_ms", (json_int_t)then + 1), NULL),
                     OK);
    assert_false(import_sweep_due(fx.reader, then + 1));
    assert_int_equal(import_get(fx.reader, &fx.arena, "k1", &s), ERR_NOT_FOUND);
    assert_int_equal(import_get(fx.reader, &fx.arena, "k2", &s), OK);
}

static unsigned explained;
static int on_statement(unsigned kind, void *arg, void *stmt, void *text)
{
    char explain[4096];
    sqlite3_stmt *plan;
    snprintf(explain, sizeof explain, "EXPLAIN QUERY PLAN %s", sqlite3_sql(stmt));
    assert_int_equal(sqlite3_prepare_v2(fx.meta->connection.db, explain, -1, &plan, NULL), SQLITE_OK);
    while (sqlite3_step(plan) == SQLITE_ROW) {
        const char *step = (const char *)sqlite3_column_text(plan, 3);
        explained++;
        if (strstr(step, "SCAN") || strstr(step, "TEMP B-TREE"))
            print_error("%s: %s\n", step, sqlite3_sql(stmt)), _fail(__FILE__, __LINE__);
    }
    sqlite3_finalize(plan);
    return 0;
}

static void no_query_scans(void **state)
{
    struct import_session s;
    sqlite3_trace_v2(fx.reader->connection.db, SQLITE_TRACE_STMT, on_statement, NULL);
    (void)import_get(fx.reader, &fx.arena, "k", &s);
    (void)import_sweep_due(fx.reader, 1);
    sqlite3_trace_v2(fx.reader->connection.db, 0, NULL, NULL);
    assert_true(explained >= 4); /* three tables and the sweep's index */
}

/* During an upgrade a request finds no table: it is told to come again, and the leader lives. */
static void before_the_migration_it_is_not_available(void **state)
{
    connection_exec(fx.meta->connection.db, "DROP TABLE import_session");
    assert_int_equal(put("k", "a", "blobs/aa/1", 1), ERR_UNAVAILABLE);
    assert_int_equal(fx_run(&fx, "import.sweep", json_pack("{s:i}", "before_ms", 1), NULL), ERR_UNAVAILABLE);
    connection_exec(fx.meta->connection.db, "DROP TABLE audit");
    assert_int_equal(fx_run(&fx, "audit.note", json_pack("{s:s, s:s, s:s}", "actor", "x", "action",
                                                         "login.failed", "type", "user"), NULL),
                     ERR_UNAVAILABLE);
    assert_int_equal(fx_run(&fx, "audit.sweep", json_pack("{s:i}", "before_ms", 1), NULL), ERR_UNAVAILABLE);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, open_it, close_it)
    const struct CMUnitTest tests[] = { T(a_key_is_for_one_import), T(a_format_may_choose_the_place),
                                       T(old_keys_go), T(no_query_scans),
                                       T(before_the_migration_it_is_not_available) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
