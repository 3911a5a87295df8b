/* SPDX-License-Identifier: Apache-2.0 */
/* test_session: a chunk's key is in one table at any time: reserved, a session's, a blob's, garbage. */
#include "tests/unit/storage/fx_meta.h"

#include "pantera/meta_artifact.h"
#include "pantera/meta_blob.h"
#include "pantera/meta_session.h"

#define SHA "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static struct fx_meta fx;
static json_int_t repo_id;

static int start(void **state)
{
    json_t *result;

    (void)state;
    fx_meta_open(&fx);
    assert_int_equal(fx_run(&fx, "alias.put", json_pack("{s:s, s:s, s:{s:s, s:s}}", "repo", "", "name", "d",
                                                        "config", "type", "fs", "path", "/nowhere"), NULL),
                                                            OK);
    assert_int_equal(fx_run(&fx, "repo.put", json_pack("{s:s, s:s, s:s, s:{s:{s:s, s:s}}, s:s, s:s}", "name",
                                                       "r", "type", "docker", "storage", "d", "config",
                                                           "repo",
                                                       "type", "docker", "storage", "d", "by", "t", "expect",
                                                       "create"), &result), OK);
    repo_id = json_integer_value(json_object_get(result, "id"));
    json_decref(result);
    assert_int_equal(fx_run(&fx, "node.started", json_pack("{s:i, s:s, s:s}", "node", 1, "incarnation", "i",
                                                           "version", "1"), NULL), OK);
    assert_int_equal(fx_run(&fx, "upload.reserve", json_pack("{s:i, s:s, s:s, s:[s, s, s, s]}", "node", 1,
                                                             "incarnation", "i", "store", "d", "keys", "k1",
                                                             "k2", "k3", "k4"), NULL), OK);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fx_meta_close(&fx);
    return 0;
}

static enum err open_session(const char *id)
{
    return fx_run(&fx, "session.open", json_pack("{s:s, s:I, s:s}", "id", id, "repo_id", repo_id, "scope",
                                                 "x"),
                  NULL);
}

static enum err append(const char *id, int offset, const char *key, int size)
{
    return fx_run(&fx, "session.append", json_pack("{s:s, s:I, s:i, s:s, s:s, s:i, s:s}", "id", id, "repo_id",
                                                   repo_id, "offset", offset, "key", key, "store", "d",
                                                       "size",
                                                   size, "sha256", SHA), NULL);
}

static unsigned garbage(void)
{
    struct garbage_row *rows;
    unsigned n;

    garbage_list(fx.reader, &fx.arena, 1 << 30, 0, 100, &rows, &n);
    return n;
}

static int64_t size_of(const char *id)
{
    struct session_row row;

    return session_get(fx.reader, &fx.arena, repo_id, id, &row) ? -1 : row.size;
}

static void chunks_come_in_order(void **state)
{
    struct session_chunk *chunks;
    unsigned n;

    (void)state;
    assert_int_equal(append("s", 0, "k1", 10), ERR_NOT_FOUND);
    assert_int_equal(open_session("s"), OK);
    assert_int_equal(open_session("s"), OK); /* a retry */
    assert_int_equal(append("s", 5, "k1", 10), ERR_RANGE);
    assert_int_equal(append("s", 0, "k1", 10), OK);
    assert_int_equal(append("s", 0, "k1", 10), OK); /* a retry counts once */
    assert_int_equal(append("s", 0, "k2", 10), ERR_RANGE);
    assert_int_equal(append("s", 10, "unheard-of", 10), ERR_UNAVAILABLE);
    assert_int_equal(append("s", 10, "k2", 7), OK);
    assert_int_equal(size_of("s"), 17);
    session_chunks(fx.reader, &fx.arena, "s", &chunks, &n);
    assert_int_equal(n, 2);
    assert_string_equal(chunks[1].key, "k2");
    /* Another start of the node that took them frees what it had reserved, and not them. */
    assert_int_equal(fx_run(&fx, "node.started", json_pack("{s:i, s:s, s:s}", "node", 1, "incarnation", "j",
                                                           "version", "1"), NULL), OK);
    assert_int_equal(garbage(), 2);
    assert_int_equal(size_of("s"), 17);
    assert_int_equal(fx_run(&fx, "session.cancel", json_pack("{s:s, s:I}", "id", "s", "repo_id", repo_id),
                            NULL),
                     OK);
    assert_int_equal(garbage(), 4);
    assert_int_equal(size_of("s"), -1);
    assert_int_equal(fx_run(&fx, "session.cancel", json_pack("{s:s, s:I}", "id", "s", "repo_id", repo_id),
                            NULL),
                     ERR_NOT_FOUND);
}

static enum err commit(const char *session, const char *key, const char *if_sha256)
{
    return fx_run(&fx, "artifact.commit",
                  json_pack("{s:I, s:s, s:s, s:[{s:s, s:s, s:s, s:s, s:i, s:s, s:s?}]}", "repo_id", repo_id,
                            "store", "d", "session", session, "items", "do", "put", "path", "a", "store", "d",
                            "key", key, "size", 10, "sha256", SHA, "if_sha256", if_sha256), NULL);
}

static void a_commit_ends_one(void **state)
{
    struct artifact_row row;

    (void)state;
    assert_int_equal(open_session("s"), OK);
    assert_int_equal(append("s", 0, "k1", 10), OK);
    assert_int_equal(append("s", 10, "k2", 1), OK);
    /* One that fails leaves everything as it was. */
    assert_int_equal(commit("s", "k1", SHA), ERR_PRECONDITION);
    assert_int_equal(size_of("s"), 11);
    assert_int_equal(garbage(), 0);
    assert_int_equal(commit("s", "k1", NULL), OK);
    assert_int_equal(commit("s", "k1", NULL), OK); /* a retry */
    assert_int_equal(size_of("s"), -1);
    assert_int_equal(artifact_get(fx.reader, &fx.arena, repo_id, "a", &row), OK);
    assert_string_equal(row.key, "k1");
    assert_int_equal(garbage(), 1); /* k2 */
}

static void old_ones_are_swept(void **state)
{
    (void)state;
    assert_int_equal(open_session("old"), OK);
    assert_int_equal(append("old", 0, "k1", 10), OK);
    fx.now_ms += 1000;
    int64_t between = fx.now_ms;
    assert_int_equal(open_session("new"), OK);
    assert_true(session_sweep_due(fx.reader, between));
    assert_int_equal(fx_run(&fx, "session.sweep", json_pack("{s:I, s:i}", "before_ms", (json_int_t)between,
                                                            "limit", 500), NULL), OK);
    assert_false(session_sweep_due(fx.reader, between));
    assert_int_equal(size_of("old"), -1);
    assert_int_equal(size_of("new"), 0);
    assert_int_equal(garbage(), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(chunks_come_in_order, start, stop),
        cmocka_unit_test_setup_teardown(a_commit_ends_one, start, stop),
        cmocka_unit_test_setup_teardown(old_ones_are_swept, start, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
