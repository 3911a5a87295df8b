/* SPDX-License-Identifier: Apache-2.0 */
/* The dashboard's figures are what counting would give, after every kind of change and after the migration;
 * requests by minute add up over nodes. */
#include "fx_meta.h"

#include "pantera/meta_dashboard.h"

static struct fx_meta fx;

static int setup(void **state)
{
    fx_meta_open(&fx);
    fx_meta_basics(&fx);
    return 0;
}

static int teardown(void **state)
{
    fx_meta_close(&fx);
    return 0;
}

struct seen {
    unsigned count;
    int64_t artifacts, bytes, blocked;
};

static void add(const struct repository_figures *f, void *arg)
{
    struct seen *s = arg;
    s->count++;
    s->artifacts += f->artifact_count;
    s->bytes += f->bytes;
    s->blocked += f->blocked;
}

static struct seen look(void)
{
    struct seen s = { 0 };
    dashboard_repositories(fx.reader, 5000, add, &s);
    return s;
}

static void assert_counted(unsigned repositories)
{
    struct seen s = look();
    assert_int_equal(s.count, repositories);
    assert_int_equal(s.artifacts, fx_int(&fx, "SELECT count(*) FROM artifact a JOIN repository r "
                                              "ON r.id = a.repo_id"));
    assert_int_equal(s.bytes, fx_int(&fx, "SELECT ifnull(sum(a.size), 0) FROM artifact a "
                                          "JOIN repository r ON r.id = a.repo_id"));
}

static void figures_follow_every_change(void **state)
{
    assert_counted(1);
    assert_int_equal(fx_store(&fx, 1, "a", 10), OK);
    assert_int_equal(fx_store(&fx, 1, "b/c", 20), OK);
    assert_counted(1);
    assert_int_equal(look().bytes, 30);
    assert_int_equal(fx_store(&fx, 1, "a", 7), OK); /* replaced by something smaller */
    assert_counted(1);
    assert_int_equal(look().bytes, 27);
    assert_int_equal(fx_run(&fx, "artifact.delete", json_pack("{s:i, s:s}", "repo_id", 1, "path", "a"),
                            NULL), OK);
    assert_counted(1);
    assert_int_equal(look().artifacts, 1);
    assert_int_equal(fx_repo(&fx, "more", fx_file_repo("default")), OK);
    assert_int_equal(fx_store(&fx, 2, "a", 5), OK);
    assert_counted(2);
    assert_int_equal(fx_run(&fx, "repo.delete", json_pack("{s:s}", "name", "more"), NULL), OK);
    assert_counted(1);
    assert_int_equal(fx_run(&fx, "repo.sweep", json_pack("{s:i}", "limit", 500), NULL), OK);
    assert_counted(1);
    assert_int_equal(fx_int(&fx, "SELECT count(*) FROM repository_stats"), 1);
}

static void a_block_is_counted_until_it_ends(void **state)
{
    for (int i = 0; i < 2; i++)
        assert_int_equal(fx_run(&fx, "cooldown.block",
                                json_pack("{s:i, s:s, s:s, s:s, s:i}", "repo_id", 1, "package", "p",
                                          "version", i ? "2" : "1", "reason", "TOO_YOUNG", "until_ms",
                                          i ? 4000 : 9000), NULL), OK);
    assert_int_equal(look().blocked, 1);
}

static enum err flush(int node, const char *start, json_t *minutes)
{
    return fx_run(&fx, "dashboard.flush", json_pack("{s:i, s:s, s:o}", "node", node, "start", start,
                                                    "minutes", minutes), NULL);
}

static void minutes_add_up_and_old_ones_go(void **state)
{
    struct request_figures f[3];
    fx.now_ms = 60000ll * 20000;
    assert_int_equal(flush(1, "a", json_pack("[[i,i,i,i,i],[i,i,i,i,i]]", 19990, 5, 1, 10, 100, 19991, 1, 0,
                                             0, 0)), OK);
    assert_int_equal(flush(1, "a", json_pack("[[i,i,i,i,i]]", 19990, 6, 1, 10, 100)), OK); /* and more */
    assert_int_equal(flush(2, "b", json_pack("[[i,i,i,i,i]]", 19990, 10, 0, 1, 1)), OK);
    assert_int_equal(flush(1, "c", json_pack("[[i,i,i,i,i]]", 19995, 3, 0, 0, 0)), OK); /* restarted */
    dashboard_requests(fx.reader, 19985, 5, 3, f);
    assert_int_equal(f[0].requests, 0);
    assert_int_equal(f[1].requests, 17);
    assert_int_equal(f[1].errors, 1);
    assert_int_equal(f[1].bytes_in, 11);
    assert_int_equal(f[1].bytes_out, 101);
    assert_int_equal(f[2].requests, 3);
    fx.now_ms += 60000ll * 8 * 24 * 60 - 60000ll * 9;
    assert_int_equal(flush(1, "c", json_array()), OK);
    assert_int_equal(fx_int(&fx, "SELECT count(*) FROM request_minute"), 2); /* 19990 is older than 8 days */
}

static void nonsense_is_refused(void **state)
{
    assert_int_equal(flush(0, "a", json_array()), ERR_BAD_REQUEST);
    assert_int_equal(flush(1, "a", json_pack("[i]", 1)), ERR_BAD_REQUEST);
    assert_int_equal(flush(1, "a", json_pack("[[i,i]]", 1, 2)), ERR_BAD_REQUEST);
    assert_int_equal(flush(1, "a", json_pack("[[i,i,i,i,i]]", 1, -2, 0, 0, 0)), ERR_BAD_REQUEST);
}

/* A replica of before, with artifacts: the migration counts them; until it comes, puts are not refused. */
static void the_migration_counts_what_is_there(void **state)
{
    fx_meta_close(&fx);
    memset(&fx, 0, sizeof fx);
    snprintf(fx.dir, sizeof fx.dir, "/tmp/fx_meta.XXXXXX");
    assert_non_null(mkdtemp(fx.dir));
    fx.meta = meta_open(fx.dir);
    for (int i = 1; i <= 3; i++)
        meta_apply_migration(fx.meta, ++fx.index, i);
    fx.reader = meta_reader_open(fx.dir, &fx.why);
    seal_key_new(&fx.key);
    arena_init(&fx.arena);
    fx_meta_basics(&fx);
    assert_int_equal(fx_store(&fx, 1, "a", 10), OK);
    assert_int_equal(fx_store(&fx, 1, "b", 30), OK);
    assert_int_equal(flush(1, "a", json_array()), ERR_UNAVAILABLE);
    for (int i = 4; i <= meta_schema_known(); i++)
        meta_apply_migration(fx.meta, ++fx.index, i);
    assert_counted(1);
    assert_int_equal(look().bytes, 40);
    assert_int_equal(fx_store(&fx, 1, "c", 2), OK);
    assert_counted(1);
}

static char *plan_of(const char *text)
{
    char path[96], *plan = arena_alloc(&fx.arena, 4096);
    sqlite3 *db;
    sqlite3_stmt *stmt;
    snprintf(path, sizeof path, "%s/" META_FILE, fx.dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    char *sql = arena_printf(&fx.arena, "EXPLAIN QUERY PLAN %s", text);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        strncat(plan, (const char *)sqlite3_column_text(stmt, 3), 1000);
        strncat(plan, "\n", 2);
    }
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return plan;
}

/* One row a repository, in the order of an index; nothing is counted but what is blocked, by its index. */
static void no_figure_is_a_scan(void **state)
{
    const char *plan = plan_of(dashboard_repositories_sql);
    const char *scan = strstr(plan, "SCAN r USING INDEX");
    assert_non_null(scan);
    assert_null(strstr(scan + 4, "SCAN"));
    assert_non_null(strstr(plan, "SEARCH s USING INTEGER PRIMARY KEY"));
    assert_non_null(strstr(plan, "SEARCH b USING COVERING INDEX cooldown_block_by_repo"));
    plan = plan_of(dashboard_requests_sql);
    assert_non_null(strstr(plan, "SEARCH request_minute USING PRIMARY KEY (minute>? AND minute<?)"));
    assert_null(strstr(plan, "SCAN"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(figures_follow_every_change), TEST(a_block_is_counted_until_it_ends),
        TEST(minutes_add_up_and_old_ones_go), TEST(nonsense_is_refused),
        TEST(the_migration_counts_what_is_there), TEST(no_figure_is_a_scan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
