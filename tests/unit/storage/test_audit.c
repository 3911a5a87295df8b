/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log on a real replica: a row with each change, none without one, no secrets, a chain that shows
 * every edit, and lists that never scan. */
#include "fx_meta.h"

#include "pantera/meta_audit.h"
#include "storage/meta/audit.h"
#include "storage/meta/internal.h"

static struct fx_meta fx;

static int open_it(void **state)
{
    fx_meta_open(&fx);
    fx_meta_basics(&fx);
    for (char name[] = "role-0"; name[5] < '6'; name[5]++)
        assert_int_equal(fx_run(&fx, "role.put", json_pack("{s:s, s:{s:[s]}, s:b, s:b}", "name", name,
                                                           "permissions", "*", "read", "create", 1,
                                                           "update", 1), NULL), OK);
    return 0;
}

static int close_it(void **state)
{
    fx_meta_close(&fx);
    return 0;
}

static json_t *by(json_t *args)
{
    json_object_set_new(args, "_audit", json_pack("{s:s, s:s, s:s}", "actor", "eve", "address",
                                                  "10.1.2.3", "request_id", "r1"));
    return args;
}

static unsigned list(const struct audit_query *q, struct audit_row **ret, int64_t *ret_total)
{
    unsigned n;
    audit_list(fx.reader, &fx.arena, q, ret, &n, ret_total);
    return n;
}

static struct audit_row newest(void)
{
    struct audit_row *rows;
    int64_t total;
    assert_int_equal(list(&(struct audit_query){ .limit = 1 }, &rows, &total), 1);
    return rows[0];
}

static json_t *user_args(const char *name, const char *password)
{
    return json_pack("{s:s, s:s, s:b, s:b}", "name", name, "password", password, "create", 1, "update",
                     1);
}

static struct audit_check verify(unsigned step)
{
    struct audit_check c;
    audit_check_begin(fx.reader, &c);
    while (!c.done)
        audit_check_step(fx.reader, &c, step);
    return c;
}

/* Past every guard, as somebody with the file in his hands. */
static void tamper(const char *statement)
{
    connection_exec(fx.meta->connection.db, statement);
}

static void a_change_leaves_a_row(void **state)
{
    assert_int_equal(fx_run(&fx, "user.put", by(user_args("bob", "hash-one")), NULL), OK);
    struct audit_row row = newest();
    assert_string_equal(row.actor, "eve");
    assert_string_equal(row.address, "10.1.2.3");
    assert_string_equal(row.request_id, "r1");
    assert_string_equal(row.action, "user.put");
    assert_string_equal(row.type, "user");
    assert_string_equal(row.resource, "bob");
    assert_null(row.before);
    assert_non_null(strstr(row.after, "\"password_version\":1"));
    assert_int_equal(fx_run(&fx, "user.put", by(user_args("bob", "hash-two")), NULL), OK);
    row = newest();
    assert_non_null(strstr(row.before, "\"password_version\":1"));
    assert_non_null(strstr(row.after, "\"password_version\":2"));
    assert_null(strstr(row.before, "hash-"));
    assert_null(strstr(row.after, "hash-"));
}

static void no_change_leaves_none(void **state)
{
    int64_t before = newest().seq;
    assert_int_equal(fx_run(&fx, "user.delete", by(json_pack("{s:s}", "name", "nobody")), NULL),
                     ERR_NOT_FOUND);
    assert_int_equal(fx_run(&fx, "token.sweep", json_object(), NULL), OK);
    assert_int_equal(newest().seq, before);
    /* An operation that fails after it has written something leaves nothing either. */
    json_t *args = user_args("carl", "x");
    json_object_set_new(args, "roles", json_pack("[s]", "no-such-role"));
    assert_int_equal(fx_run(&fx, "user.put", by(args), NULL), ERR_BAD_REQUEST);
    assert_int_equal(newest().seq, before);
}

static void artifacts_are_named_with_their_digests(void **state)
{
    assert_int_equal(fx_store(&fx, 1, "a/b", 1), OK);
    assert_int_equal(fx_store(&fx, 1, "a/b", 2), OK);
    struct audit_row row = newest();
    assert_string_equal(row.resource, "files/a/b");
    assert_string_equal(row.actor, "system");
    assert_non_null(strstr(row.before, "0000000000000001\",\"size\":1"));
    assert_non_null(strstr(row.after, "0000000000000002\",\"size\":2"));
    assert_int_equal(fx_run(&fx, "artifact.delete", by(json_pack("{s:i, s:s}", "repo_id", 1, "path",
                                                                 "a/b")), NULL), OK);
    row = newest();
    assert_string_equal(row.action, "artifact.delete");
    assert_non_null(row.before);
    assert_null(row.after);
}

static void secrets_are_not_shown(void **state)
{
    json_t *config = json_pack("{s:s, s:s, s:{s:s, s:s, s:s}}", "type", "s3", "bucket", "b",
                               "credentials", "type", "basic", "accessKeyId", "AKIDSECRETID",
                               "secretAccessKey", "topsecret");
    json_t *settings = json_pack("{s:s, s:{s:s, s:{s:s}, s:[{s:s}]}}", "name", "sso", "value",
                                 "client_secret", "clear-one", "tokens", "a", "clear-two", "list",
                                 "password", "clear-three");
    assert_int_equal(fx_alias(&fx, 0, "bucket", config), OK);
    struct audit_row row = newest();
    assert_string_equal(row.action, "alias.put");
    assert_non_null(strstr(row.after, "\"bucket\":\"b\""));
    assert_non_null(strstr(row.after, "***#"));
    assert_null(strstr(row.after, "topsecret"));
    assert_null(strstr(row.after, "AKIDSECRETID"));
    assert_null(strstr(row.after, "s1."));
    assert_int_equal(fx_run(&fx, "setting.put", by(settings), NULL), OK);
    row = newest();
    assert_string_equal(row.action, "setting.put");
    assert_null(strstr(row.after, "clear-"));
}

static void an_edit_breaks_the_chain(void **state)
{
    struct audit_check c = verify(3);
    assert_null(c.reason);
    assert_true(c.ok);
    assert_int_equal(c.count, newest().seq);
    assert_int_equal(c.first_seq, 1);
    static const struct {
        const char *edit, *undo;
        int64_t bad;
    } edits[] = {
        { "UPDATE audit SET actor = 'mallory' WHERE seq = 4",
          "UPDATE audit SET actor = 'system' WHERE seq = 4", 4 },
        { "UPDATE audit SET time_ms = time_ms + 1 WHERE seq = 5",
          "UPDATE audit SET time_ms = time_ms - 1 WHERE seq = 5", 5 },
        { "UPDATE audit SET old_value = '' WHERE seq = 3",
          "UPDATE audit SET old_value = NULL WHERE seq = 3", 3 },
        { "UPDATE audit SET seq = 100000 WHERE seq = 6",
          "UPDATE audit SET seq = 6 WHERE seq = 100000", 6 },
        { "UPDATE audit SET prev = zeroblob(32) WHERE seq = 7", NULL, 7 },
    };
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        tamper("BEGIN");
        tamper(edits[i].edit);
        tamper("COMMIT");
        c = verify(2);
        assert_false(c.ok);
        assert_int_equal(c.bad_seq, edits[i].bad);
        if (edits[i].undo) {
            tamper(edits[i].undo);
            assert_true(verify(1).ok);
        }
    }
}

static void the_first_row_must_be_the_first(void **state)
{
    tamper("DELETE FROM audit WHERE seq = 1");
    struct audit_check c = verify(100);
    assert_false(c.ok);
    assert_int_equal(c.bad_seq, 1);
}

static void a_sweep_keeps_the_rest_a_chain(void **state)
{
    int64_t last = newest().seq;
    struct audit_row *rows;
    int64_t total;
    assert_true(last > 4);
    list(&(struct audit_query){ .limit = 100 }, &rows, &total);
    int64_t cut = rows[last - 4].time_ms + 1; /* the fourth row is older than that */
    assert_true(audit_sweep_due(fx.reader, cut));
    assert_int_equal(fx_run(&fx, "audit.sweep", json_pack("{s:I}", "before_ms", (json_int_t)cut), NULL),
                     OK);
    assert_false(audit_sweep_due(fx.reader, cut));
    struct audit_check c = verify(2);
    assert_true(c.ok);
    assert_int_equal(c.first_seq, 5);
    assert_string_equal(newest().action, "audit.sweep");
    /* Whoever takes rows away without leave is still seen. */
    tamper("DELETE FROM audit WHERE seq = 5");
    c = verify(2);
    assert_false(c.ok);
    assert_int_equal(c.bad_seq, 5);
    /* All of it may be old: the newest stays. */
    assert_int_equal(fx_run(&fx, "audit.sweep", json_pack("{s:I}", "before_ms",
                                                          (json_int_t)fx.now_ms + 1000), NULL), OK);
    c = verify(2);
    assert_true(c.ok);
    assert_true(c.count >= 1);
}

static void lists_are_filtered(void **state)
{
    struct audit_row *rows;
    int64_t total;
    int64_t then = fx.now_ms;
    for (int i = 0; i < 5; i++) {
        json_t *args = user_args(i % 2 ? "odd" : "even", "x");
        assert_int_equal(fx_run(&fx, "user.put", i < 3 ? by(args) : args, NULL), OK);
    }
    assert_int_equal(list(&(struct audit_query){ .actor = "eve", .limit = 2 }, &rows, &total), 2);
    assert_int_equal(total, 3);
    assert_true(rows[0].seq > rows[1].seq);
    assert_int_equal(list(&(struct audit_query){ .actor = "eve", .limit = 2, .offset = 2 }, &rows,
                          &total), 1);
    assert_int_equal(list(&(struct audit_query){ .resource = "odd", .limit = 9 }, &rows, &total), 2);
    assert_int_equal(list(&(struct audit_query){ .resource = "odd", .actor = "eve", .limit = 9 },
                          &rows, &total), 1);
    assert_int_equal(list(&(struct audit_query){ .action = "user.put", .limit = 9 }, &rows, &total), 5);
    assert_int_equal(list(&(struct audit_query){ .action = "user.put", .type = "role", .limit = 9 },
                          &rows, &total), 0);
    assert_int_equal(list(&(struct audit_query){ .from_ms = then + 2, .to_ms = then + 4, .limit = 9 },
                          &rows, &total), 3);
    assert_int_equal(rows[0].time_ms, then + 4);
    assert_int_equal(rows[2].time_ms, then + 2);
    assert_int_equal(list(&(struct audit_query){ .from_ms = then + 100, .limit = 9 }, &rows, &total), 0);
}

/* Every query of the log walks an index (or the rows by seq), whatever is asked for. */
static const char *last_text;
static int on_statement(unsigned kind, void *arg, void *stmt, void *text)
{
    struct fx_meta *f = arg;
    char explain[4096];
    sqlite3_stmt *plan;
    const char *sql = sqlite3_sql(stmt);
    if (strncmp(sql, "SELECT", 6) != 0 || !strstr(sql, "audit"))
        return 0;
    last_text = sql;
    snprintf(explain, sizeof explain, "EXPLAIN QUERY PLAN %s", sql);
    assert_int_equal(sqlite3_prepare_v2(f->meta->connection.db, explain, -1, &plan, NULL), SQLITE_OK);
    while (sqlite3_step(plan) == SQLITE_ROW) {
        const char *step = (const char *)sqlite3_column_text(plan, 3);
        if (strstr(step, "SCAN audit") || strstr(step, "TEMP B-TREE"))
            print_error("%s: %s\n", step, sql), _fail(__FILE__, __LINE__);
    }
    sqlite3_finalize(plan);
    return 0;
}

static void no_list_scans(void **state)
{
    struct audit_row *rows;
    int64_t total;
    sqlite3_trace_v2(fx.reader->connection.db, SQLITE_TRACE_STMT, on_statement, &fx);
    for (unsigned bits = 0; bits < 32; bits++) {
        struct audit_query q = {
            .actor = bits & 1 ? "eve" : NULL, .action = bits & 2 ? "user.put" : NULL,
            .resource = bits & 4 ? "bob" : NULL, .type = bits & 8 ? "user" : NULL,
            .from_ms = bits & 16 ? 5 : 0, .to_ms = bits & 16 ? 1000 : 0, .limit = 3,
        };
        last_text = NULL;
        list(&q, &rows, &total);
        assert_non_null(last_text);
    }
    sqlite3_trace_v2(fx.reader->connection.db, 0, NULL, NULL);
}

/* Whoever adds an operation says in audit.def whether, and as what, it is recorded. */
static void every_operation_has_a_rule(void **state)
{
    static const char *const ops[] = {
#define OP(suffix, name) name,
#include "storage/meta/ops.def"
#undef OP
    };
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (!audit_ruled(ops[i]))
            print_error("%s has no line in storage/meta/audit.def\n", ops[i]), _fail(__FILE__, __LINE__);
}

static void second_factors_show_no_secret(void **state)
{
    assert_int_equal(fx_run(&fx, "user.put", by(user_args("bob", "h")), NULL), OK);
    assert_int_equal(fx_run(&fx, "mfa.enrol", by(json_pack("{s:s, s:s}", "user", "bob", "secret",
                                                           "s1.sealed-seed")), NULL), OK);
    struct audit_row row = newest();
    assert_string_equal(row.action, "mfa.enrol");
    assert_string_equal(row.resource, "bob");
    assert_null(row.before);
    assert_string_equal(row.after, "{\"backup_codes_left\":0,\"confirmed\":false}");
}

static void providers_and_identities_are_shown(void **state)
{
    json_t *args = json_pack("{s:s, s:{s:s, s:s}}", "type", "keycloak", "config", "issuer", "https://idp",
                             "client-secret", "idp-secret"), *result = NULL;
    assert_int_equal(fx_run(&fx, "provider.create", by(args), &result), OK);
    struct audit_row row = newest();
    assert_string_equal(row.resource, "keycloak");
    assert_non_null(strstr(row.after, "https://idp"));
    assert_null(strstr(row.after, "idp-secret"));
    json_int_t id = json_integer_value(json_object_get(result, "id"));
    json_decref(result);
    args = json_pack("{s:s, s:s, s:s, s:s}", "provider", "keycloak", "issuer", "https://idp", "subject",
                     "77", "name", "carol");
    assert_int_equal(fx_run(&fx, "sso.sign_in", by(args), NULL), OK);
    row = newest();
    assert_string_equal(row.resource, "carol");
    assert_null(row.before);
    assert_non_null(strstr(row.after, "\"subject\":\"77\""));
    assert_int_equal(fx_run(&fx, "sso.unlink", by(json_pack("{s:s, s:s}", "name", "carol", "provider",
                                                            "keycloak")), NULL), OK);
    row = newest();
    assert_non_null(strstr(row.before, "\"subject\":\"77\""));
    assert_string_equal(row.after, "[]");
    assert_int_equal(fx_run(&fx, "provider.delete", by(json_pack("{s:I}", "id", id)), NULL), OK);
    row = newest();
    assert_string_equal(row.resource, "keycloak");
    assert_non_null(row.before);
    assert_null(row.after);
}

/* A later operation that nobody wrote a line for is recorded all the same; upkeep is not. */
static void whatever_a_request_causes_is_recorded(void **state)
{
    int64_t before = newest().seq;
    assert_int_equal(fx_reserve(&fx, "a", "default", "blobs/zz/1"), OK);
    assert_int_equal(newest().seq, before);
    assert_int_equal(fx_run(&fx, "audit.note", json_pack("{s:s, s:s, s:s}", "actor", "x", "action",
                                                         "login.failed", "type", "user"), NULL), OK);
    assert_int_equal(newest().seq, before + 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, open_it, close_it)
    const struct CMUnitTest tests[] = {
        T(a_change_leaves_a_row), T(no_change_leaves_none),
        T(artifacts_are_named_with_their_digests), T(secrets_are_not_shown),
        T(an_edit_breaks_the_chain), T(the_first_row_must_be_the_first),
        T(a_sweep_keeps_the_rest_a_chain), T(lists_are_filtered), T(no_list_scans),
        T(every_operation_has_a_rule), T(second_factors_show_no_secret),
        T(providers_and_identities_are_shown), T(whatever_a_request_causes_is_recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
