/* SPDX-License-Identifier: Apache-2.0 */
/* The replica with the real operations: what a leader's batch changes is what its followers get, a refused
 * operation leaves nothing, and what does not fit ends the process. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "pantera/clock.h"
#include "pantera/ids.h"
#include "pantera/log.h"
#include "pantera/meta_setting.h"
#include "pantera/meta_user.h"
#include "storage/meta/sql.h"
#include "unit/storage/fx_replicas.h" /* last: cmocka.h has a macro fail() */

/* --- migrations --- */

static void migrations_are_applied_once_and_in_order(void **state)
{
    struct pair *p = *state;
    assert_int_equal(meta_schema_known(), (int)migrations_count);
    assert_int_equal(meta_schema(p->leader.meta), meta_schema_known());
    assert_int_equal(meta_applied(p->leader.meta), migrations_count);
    for (size_t i = 0; i < migrations_count; i++)
        assert_int_equal(migrations[i].number, (int)i + 1);
    meta_apply_migration(p->leader.meta, 1, 1);    /* an old entry */
    meta_apply_migration(p->leader.meta, 1000, 1); /* proposed twice: the second is only an index */
    assert_int_equal(meta_applied(p->leader.meta), 1000);
    node_reopen(&p->leader);
    assert_int_equal(meta_schema(p->leader.meta), meta_schema_known());
    assert_int_equal(meta_applied(p->leader.meta), 1000);
}

/* --- batches and changesets --- */

static void a_batch_reaches_the_other_replica(void **state)
{
    struct pair *p = *state;
    meta_batch_begin(p->leader.meta);
    assert_true(meta_batch_open(p->leader.meta));
    assert_int_equal(run(p, "setting.put", setting("prefixes", 1)), OK);
    assert_int_equal(run(p, "role.put", role("admins", "*")), OK);
    assert_int_equal(run(p, "user.put", user("alice", "admins")), OK);
    assert_int_equal(run(p, "setting.put", setting("prefixes", 2)), OK);
    commit_both(p);
    assert_false(meta_batch_open(p->leader.meta));
    assert_true(holds(&p->follower, "user_role|3:alice|3:admins"));
    assert_true(holds(&p->follower, "{\"n\":2}"));
    assert_same(p);
    assert_int_equal(meta_applied(p->follower.meta), p->index);

    meta_batch_begin(p->leader.meta); /* and what is changed and deleted again */
    assert_int_equal(run(p, "role.put", role("admins2", "*")), OK);
    assert_int_equal(run(p, "user.put", user("alice", "admins2")), OK);
    assert_int_equal(run(p, "role.delete", named("admins")), OK);
    commit_both(p);
    assert_true(holds(&p->follower, "user_role|3:alice|3:admins2"));
    assert_false(holds(&p->follower, "\nrole|3:admins|"));
    assert_same(p);
}

/* user.put with an unknown role fails after it has written: nothing of it may stay. */
static void a_refused_operation_leaves_no_trace(void **state)
{
    struct pair *p = *state;
    meta_batch_begin(p->leader.meta);
    assert_int_equal(run(p, "setting.put", setting("first", 1)), OK);
    assert_int_equal(run(p, "user.put", user("mallory", "no-such-role")), ERR_BAD_REQUEST);
    assert_int_equal(run(p, "no.such.operation", json_object()), ERR_NOT_IMPLEMENTED);
    assert_int_equal(run(p, "setting.put", json_object()), ERR_BAD_REQUEST);
    assert_int_equal(run(p, "user.delete", named("nobody")), ERR_NOT_FOUND);
    assert_int_equal(run(p, "setting.put", setting("last", 2)), OK);
    assert_int_equal(run(p, "user.put", user("mallory", NULL)), OK); /* the name is free */
    commit_both(p);
    assert_true(holds(&p->leader, "setting|3:first"));
    assert_true(holds(&p->leader, "setting|3:last"));
    assert_true(holds(&p->leader, "user|3:mallory"));
    assert_false(holds(&p->leader, "no-such-role"));
    assert_same(p);

    meta_batch_begin(p->leader.meta); /* refused ones alone: there is nothing to send */
    assert_int_equal(run(p, "user.put", user("eve", "no-such-role")), ERR_BAD_REQUEST);
    assert_int_equal(run(p, "user.put", user("mallory", "no-such-role")), ERR_BAD_REQUEST);
    const void *changes;
    size_t size;
    meta_batch_changeset(p->leader.meta, &changes, &size);
    assert_int_equal(size, 0);
    meta_batch_rollback(p->leader.meta);
    assert_same(p);
}

static void a_rollback_leaves_nothing(void **state)
{
    struct pair *p = *state;
    uint64_t applied = meta_applied(p->leader.meta);
    char *before = dump(p->leader.dir);
    meta_batch_begin(p->leader.meta);
    assert_int_equal(run(p, "setting.put", setting("gone", 1)), OK);
    assert_int_equal(run(p, "user.put", user("gone", NULL)), OK);
    const void *changes;
    size_t size;
    meta_batch_changeset(p->leader.meta, &changes, &size);
    assert_true(size > 0);
    meta_batch_rollback(p->leader.meta);
    assert_false(meta_batch_open(p->leader.meta));
    char *after = dump(p->leader.dir);
    assert_string_equal(before, after);
    assert_int_equal(meta_applied(p->leader.meta), applied);
    free(before);
    free(after);
    meta_batch_begin(p->leader.meta); /* the next batch has none of it */
    assert_int_equal(run(p, "setting.put", setting("kept", 1)), OK);
    commit_both(p);
    assert_false(holds(&p->follower, "gone"));
    assert_same(p);
    meta_batch_begin(p->leader.meta); /* closing with a batch open is a rollback */
    assert_int_equal(run(p, "setting.put", setting("gone", 1)), OK);
    node_reopen(&p->leader);
    assert_same(p);
}

static json_t *repository(const char *name)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:{s:{s:s}}, s:s}", "name", name, "type", "file", "storage",
                     "default", "by", "x", "config", "repo", "type", "file", "expect", "any");
}

static json_t *move(const char *name, const char *to)
{
    return json_pack("{s:s, s:s, s:s}", "name", name, "new_name", to, "by", "x");
}

/* Row by row the new names collide with the old ones: only together they fit. */
static void two_rows_swap_a_unique_value(void **state)
{
    struct pair *p = *state;
    meta_batch_begin(p->leader.meta);
    assert_int_equal(run(p, "alias.put", json_pack("{s:i, s:s, s:{s:s, s:s}}", "repo_id", 0, "name",
                                                   "default", "config", "type", "fs", "path", "/x")), OK);
    assert_int_equal(run(p, "repo.put", repository("one")), OK);
    assert_int_equal(run(p, "repo.put", repository("two")), OK);
    commit_both(p);
    meta_batch_begin(p->leader.meta);
    assert_int_equal(run(p, "setting.put", setting("before", 1)), OK);
    assert_int_equal(run(p, "repo.move", move("one", "other")), OK);
    assert_int_equal(run(p, "repo.move", move("two", "one")), OK);
    assert_int_equal(run(p, "repo.move", move("other", "two")), OK);
    commit_both(p);
    assert_true(holds(&p->follower, "repository|1:1|3:two"));
    assert_true(holds(&p->follower, "setting|3:before"));
    assert_same(p);
}

/* One in three is refused; batches of one to twenty; deletions, updates, all on few names, so that one
 * batch changes a row many times over. */
static void random_batches_keep_replicas_equal(void **state)
{
    struct pair *p = *state;
    unsigned refused = 0, done = 0;
    for (int round = 0; round < 400; round++) {
        meta_batch_begin(p->leader.meta);
        for (uint64_t n = 1 + random_below(20); n; n--) {
            char name[8], in_role[8];
            enum err e = OK;
            snprintf(name, sizeof name, "n%d", (int)random_below(6));
            snprintf(in_role, sizeof in_role, "n%d", (int)random_below(8));
            json_t *enable = json_pack("{s:s, s:b}", "name", name, "enabled", (int)random_below(2));
            switch (random_below(9)) {
            case 0: e = run(p, "setting.put", setting(name, (int)random_below(3))); break;
            case 1: e = run(p, "role.put", role(name, random_below(2) ? "read" : "write")); break;
            case 2: e = run(p, "role.delete", named(name)); break;
            case 3: e = run(p, "role.enable", json_incref(enable)); break;
            case 4: case 5: e = run(p, "user.put", user(name, in_role)); break;
            case 6: e = run(p, "user.put", user(name, NULL)); break;
            case 7: e = run(p, "user.delete", named(name)); break;
            default: e = run(p, "user.enable", json_incref(enable)); break;
            }
            json_decref(enable);
            refused += e != OK;
            done += e == OK;
        }
        commit_both(p);
        if (round % 8 == 0)
            assert_same(p);
    }
    assert_same(p);
    assert_true(refused > 100 && done > 1000);
}

/* --- applied index --- */

static void what_is_applied_already_is_skipped(void **state)
{
    struct pair *p = *state;
    size_t size;
    meta_batch_begin(p->leader.meta);
    assert_int_equal(run(p, "user.put", user("alice", NULL)), OK);
    void *first = commit(p, &size);
    uint64_t index = p->index;
    meta_apply_changeset(p->follower.meta, index, first, size);
    meta_apply_changeset(p->follower.meta, index, first, size);     /* would be a conflict */
    meta_apply_changeset(p->follower.meta, index - 1, first, size);
    meta_apply_changeset(p->follower.meta, 0, first, size);
    assert_int_equal(meta_applied(p->follower.meta), index);
    assert_same(p);
    free(first);
    meta_apply_changeset(p->follower.meta, ++p->index, NULL, 0);    /* an empty one moves the index */
    assert_int_equal(meta_applied(p->follower.meta), p->index);
}

static void the_applied_index_survives(void **state)
{
    struct pair *p = *state;
    meta_batch_begin(p->leader.meta);
    assert_int_equal(run(p, "setting.put", setting("a", 1)), OK);
    p->index = 76;
    commit_both(p);
    node_reopen(&p->leader);
    node_reopen(&p->follower);
    assert_int_equal(meta_applied(p->leader.meta), 77);
    assert_int_equal(meta_applied(p->follower.meta), 77);
    meta_note_applied(p->follower.meta, 80);
    meta_note_applied(p->follower.meta, 79); /* never back */
    assert_int_equal(meta_applied(p->follower.meta), 80);
    struct meta_reader *r = meta_reader_open(p->follower.dir, NULL);
    assert_int_equal(meta_reader_applied(r), 77); /* noted, not stored */
    meta_store_applied(p->follower.meta);
    assert_int_equal(meta_reader_applied(r), 80);
    meta_reader_close(r);
    meta_note_applied(p->follower.meta, 81);
    node_reopen(&p->follower);
    assert_int_equal(meta_applied(p->follower.meta), 81);
}

/* --- copies, readers, the file --- */

struct copier {
    struct node *from;
    char path[128];
    atomic_bool stop;
    unsigned copies, wrong;
};

/* In every committed state, a and b are what the applied index was. */
static void *copy_often(void *arg)
{
    struct copier *c = arg;
    while (!atomic_load(&c->stop) || c->copies == 0) {
        uint64_t applied = 0;
        sqlite3 *db;
        sqlite3_stmt *q;
        if (meta_copy(c->from->dir, c->path, &applied, NULL) != OK) {
            c->wrong++;
            break;
        }
        sqlite3_open_v2(c->path, &db, SQLITE_OPEN_READONLY, NULL);
        sqlite3_prepare_v2(db, "SELECT a.value, b.value FROM setting a, setting b WHERE a.name = 'a' AND "
                               "b.name = 'b'", -1, &q, NULL);
        char expected[64];
        snprintf(expected, sizeof expected, "{\"n\":%d}", (int)applied);
        c->wrong += sqlite3_step(q) != SQLITE_ROW ||
                    strcmp((const char *)sqlite3_column_text(q, 0), expected) != 0 ||
                    strcmp((const char *)sqlite3_column_text(q, 1), expected) != 0;
        sqlite3_finalize(q);
        sqlite3_close(db);
        c->copies++;
    }
    return NULL;
}

/* A copy, taken while the writer is busy, is one moment, and goes on from there. */
static void a_copy_is_one_moment_and_catches_up(void **state)
{
    enum { ROUNDS = 1500 };
    struct pair *p = *state;
    struct copier c = { .from = &p->leader };
    static struct { void *data; size_t size; } log[ROUNDS + 64];
    pthread_t thread;
    meta_close(p->follower.meta); /* the copy takes its place */
    snprintf(c.path, sizeof c.path, "%s/" META_FILE, p->follower.dir);
    for (int i = 0; i < ROUNDS; i++) {
        meta_batch_begin(p->leader.meta);
        assert_int_equal(run(p, "setting.put", setting("a", (int)p->index + 1)), OK);
        char filler[16];
        snprintf(filler, sizeof filler, "filler-%d", i);
        assert_int_equal(run(p, "setting.put", setting(filler, i)), OK);
        assert_int_equal(run(p, "setting.put", setting("b", (int)p->index + 1)), OK);
        size_t size;
        void *data = commit(p, &size);
        log[p->index].data = data;
        log[p->index].size = size;
        if (i == 0)
            pthread_create(&thread, NULL, copy_often, &c);
        if (i == ROUNDS / 2)
            atomic_store(&c.stop, true);
    }
    pthread_join(thread, NULL);
    assert_int_equal(c.wrong, 0);
    assert_true(c.copies > 0);
    p->follower.meta = meta_open(p->follower.dir);
    assert_true(meta_applied(p->follower.meta) > 0);
    assert_int_equal(meta_schema(p->follower.meta), meta_schema_known());
    for (uint64_t i = 1; i <= p->index; i++) {
        if (log[i].data)
            meta_apply_changeset(p->follower.meta, i, log[i].data, log[i].size);
        free(log[i].data);
        log[i].data = NULL;
    }
    assert_same(p);
}

static void a_reader_sees_what_is_committed(void **state)
{
    struct pair *p = *state;
    struct why why = { "" };
    struct meta_reader *r = meta_reader_open(p->leader.dir, &why);
    assert_non_null(r);
    meta_batch_begin(p->leader.meta);
    assert_int_equal(run(p, "setting.put", setting("s", 1)), OK);
    assert_null(setting_get(r, "s"));
    uint64_t before = meta_reader_applied(r);
    size_t size;
    free(commit(p, &size));
    json_t *value = setting_get(r, "s");
    assert_int_equal(json_integer_value(json_object_get(value, "n")), 1);
    json_decref(value);
    assert_int_equal(meta_reader_applied(r), p->index);
    assert_true(before < p->index);
    sql_snapshot_begin(r); /* within a snapshot nothing moves */
    before = meta_reader_applied(r);
    meta_batch_begin(p->leader.meta);
    assert_int_equal(run(p, "setting.put", setting("s", 2)), OK);
    free(commit(p, &size));
    assert_int_equal(meta_reader_applied(r), before);
    sql_snapshot_end(r);
    assert_int_equal(meta_reader_applied(r), p->index);
    meta_reader_close(r);
    assert_null(meta_reader_open("/nonexistent/folder", &why));
    assert_true(why.text[0] != 0);
}

/* A newer binary on an older schema: no rows, no crash; and rows when the schema has come. */
static void a_statement_that_does_not_fit_gives_no_rows(void **state)
{
    struct pair *p = *state;
    struct node young;
    struct arena a;
    struct user u;
    uint64_t index = 0;
    node_up(&young);
    arena_init(&a);
    struct meta_reader *r = meta_reader_open(young.dir, NULL);
    assert_null(setting_get(r, "s"));
    assert_int_equal(user_get(r, &a, "alice", &u, NULL), ERR_NOT_FOUND);
    struct sql *q = sql_read(r, "SELECT nothing FROM nowhere WHERE x = ?");
    sql_bind(q, "s", "y");
    assert_false(sql_row(q));
    sql_end(q);
    sql_end(q);
    struct pair alone = { .leader = young, .key = p->key };
    meta_batch_begin(young.meta); /* an operation answers; what is around it works */
    assert_int_equal(run(&alone, "setting.put", setting("s", 1)), ERR_NOT_IMPLEMENTED);
    meta_batch_rollback(young.meta);
    migrate(young.meta, &index);
    alone.index = index;
    meta_batch_begin(young.meta);
    assert_int_equal(run(&alone, "setting.put", setting("s", 5)), OK);
    assert_int_equal(run(&alone, "user.put", user("alice", NULL)), OK);
    size_t size;
    free(commit(&alone, &size));
    json_t *value = setting_get(r, "s");
    assert_int_equal(json_integer_value(json_object_get(value, "n")), 5);
    json_decref(value);
    assert_int_equal(user_get(r, &a, "alice", &u, NULL), OK);
    meta_reader_close(r);
    arena_release(&a);
    node_down(&young);
}

/* A query inside a query with the same text does not disturb it. */
static void a_statement_in_use_gets_a_twin(void **state)
{
    struct pair *p = *state;
    static const char text[] = "SELECT name FROM role ORDER BY name";
    size_t size;
    meta_batch_begin(p->leader.meta);
    assert_int_equal(run(p, "role.put", role("a", "read")), OK);
    assert_int_equal(run(p, "role.put", role("b", "read")), OK);
    free(commit(p, &size));
    struct meta_reader *r = meta_reader_open(p->leader.dir, NULL);
    for (int round = 0; round < 3; round++) {
        struct sql *outer = sql_read(r, text);
        unsigned seen = 0;
        while (sql_row(outer)) {
            struct sql *inner = sql_read(r, text);
            assert_ptr_not_equal(inner, outer);
            while (sql_row(inner))
                seen++;
            sql_end(inner);
        }
        sql_end(outer);
        assert_int_equal(seen, 4);
    }
    meta_reader_close(r);
}

static off_t size_of(const char *dir, const char *suffix)
{
    char path[128];
    struct stat st;
    snprintf(path, sizeof path, "%s/" META_FILE "%s", dir, suffix);
    return stat(path, &st) == 0 ? st.st_size : -1;
}

static void the_checkpointer_moves_the_wal(void **state)
{
    struct pair *p = *state;
    off_t before = size_of(p->leader.dir, "");
    uint64_t deadline = clock_mono_ms() + 20000;
    size_t size;
    meta_checkpointer_start(p->leader.dir);
    for (int i = 0; size_of(p->leader.dir, "") <= before + (64 << 10); i++) {
        char name[32];
        assert_true(clock_mono_ms() < deadline);
        snprintf(name, sizeof name, "setting-%d", i);
        meta_batch_begin(p->leader.meta);
        assert_int_equal(run(p, "setting.put", setting(name, i)), OK);
        free(commit(p, &size));
    }
    meta_checkpointer_stop();
    meta_checkpointer_stop();
    meta_make_durable(p->leader.dir);
    uint64_t applied = meta_applied(p->leader.meta);
    node_reopen(&p->leader);
    assert_int_equal(meta_applied(p->leader.meta), applied);
}

/* --- what does not fit ends the process --- */

static int exit_status_of(struct node *n, uint64_t index, const void *data, size_t size)
{
    int status;
    meta_close(n->meta); /* a connection must not be carried across a fork */
    pid_t child = fork();
    if (child == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDOUT_FILENO);
        struct meta *m = meta_open(n->dir);
        meta_apply_changeset(m, index, data, size);
        _exit(0);
    }
    waitpid(child, &status, 0);
    n->meta = meta_open(n->dir);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void a_divergent_changeset_ends_the_process(void **state)
{
    struct pair *p = *state;
    size_t insert_size, update_size, delete_size;
    meta_batch_begin(p->leader.meta);
    assert_int_equal(run(p, "user.put", user("alice", NULL)), OK);
    void *insert = commit(p, &insert_size);
    meta_batch_begin(p->leader.meta);
    assert_int_equal(run(p, "user.enable", json_pack("{s:s, s:b}", "name", "alice", "enabled", 0)), OK);
    void *update = commit(p, &update_size);
    meta_batch_begin(p->leader.meta);
    assert_int_equal(run(p, "user.delete", named("alice")), OK);
    void *delete = commit(p, &delete_size);

    struct node *f = &p->follower;
    uint64_t applied = meta_applied(f->meta);
    assert_int_equal(exit_status_of(f, applied + 1, update, update_size), 70); /* no such row */
    assert_int_equal(exit_status_of(f, applied + 1, delete, delete_size), 70);
    assert_int_equal(exit_status_of(f, applied + 1, insert, insert_size), 0);
    assert_int_equal(exit_status_of(f, applied + 2, insert, insert_size), 70); /* there already */
    assert_int_equal(exit_status_of(f, applied + 2, delete, delete_size), 70); /* another content */
    assert_int_equal(exit_status_of(f, applied + 1, insert, insert_size), 0);  /* skipped */
    assert_int_equal(exit_status_of(f, applied + 2, "garbage", 7), 70);
    assert_int_equal(exit_status_of(f, applied + 2, update, update_size / 2), 70);
    assert_int_equal(meta_applied(f->meta), applied + 1); /* what ended left nothing */
    assert_int_equal(exit_status_of(f, applied + 2, update, update_size), 0);
    assert_int_equal(exit_status_of(f, applied + 3, delete, delete_size), 0);
    assert_same(p);
    free(insert);
    free(update);
    free(delete);
}

/* SQLite skips what it has no table for; that would be a divergence that nobody sees. */
static void a_changeset_for_an_unknown_table_ends_the_process(void **state)
{
    struct pair *p = *state;
    struct node young;
    size_t size;
    node_up(&young);
    meta_batch_begin(p->leader.meta);
    assert_int_equal(run(p, "setting.put", setting("s", 1)), OK);
    void *changes = commit(p, &size);
    assert_int_equal(exit_status_of(&young, 1, changes, size), 70);
    assert_int_equal(meta_applied(young.meta), 0);
    free(changes);
    node_down(&young);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, pair_up, pair_down)
    const struct CMUnitTest tests[] = {
        T(migrations_are_applied_once_and_in_order),
        T(a_batch_reaches_the_other_replica),
        T(a_refused_operation_leaves_no_trace),
        T(a_rollback_leaves_nothing),
        T(random_batches_keep_replicas_equal),
        T(what_is_applied_already_is_skipped),
        T(the_applied_index_survives),
        T(a_copy_is_one_moment_and_catches_up),
        T(a_reader_sees_what_is_committed),
        T(a_statement_that_does_not_fit_gives_no_rows),
        T(a_statement_in_use_gets_a_twin),
        T(the_checkpointer_moves_the_wal),
        T(two_rows_swap_a_unique_value),
        T(a_divergent_changeset_ends_the_process),
        T(a_changeset_for_an_unknown_table_ends_the_process),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
