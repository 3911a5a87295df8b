/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a key: every key that was ever reserved is in exactly one of upload, blob, garbage, or done;
 * a blob's references are the artifact rows that name it. Checked after every step of long random runs. */
#include "fx_meta.h"

#include "pantera/meta_blob.h"

enum { KEYS = 4096, PATHS = 6, CONTENTS = 5 };

struct model {
    struct fx_meta fx;
    char keys[KEYS][48];
    bool done[KEYS];             /* garbage.done was said of it */
    unsigned count;
    int content[PATHS];          /* -1: no artifact */
    unsigned seed;
    char incarnation[8];
    unsigned starts;
};

static const char *const paths[PATHS] = { "a", "b/c", "b/d", "b/e/f", "g", "h/\xc3\xa9" };

static unsigned dice(struct model *m, unsigned n)
{
    m->seed = m->seed * 1103515245u + 12345u;
    return (m->seed >> 16) % n;
}

static int64_t count_key(struct model *m, const char *literal, const char *key)
{
    struct sql *q = sql_read(m->fx.reader, literal);
    int64_t n;

    sql_bind(q, "s", key);
    assert_true(sql_row(q));
    n = sql_int(q, 0);
    sql_end(q);
    return n;
}

static void check_invariants(struct model *m)
{
    struct fx_meta *fx = &m->fx;

    assert_int_equal(fx_int(fx, "SELECT count(*) FROM blob b WHERE refs <> "
                                "(SELECT count(*) FROM artifact a WHERE a.blob_id = b.id)"), 0);
    assert_int_equal(fx_int(fx, "SELECT count(*) FROM blob WHERE refs < 1"), 0);
    assert_int_equal(fx_int(fx, "SELECT count(*) FROM artifact a WHERE NOT EXISTS "
                                "(SELECT 1 FROM blob b WHERE b.id = a.blob_id)"), 0);
    for (unsigned i = 0; i < m->count; i++) {
        int64_t places = count_key(m, "SELECT (SELECT count(*) FROM upload WHERE key = ?1) + "
                                      "(SELECT count(*) FROM blob WHERE key = ?1) + "
                                      "(SELECT count(*) FROM garbage WHERE key = ?1)", m->keys[i]);
        assert_int_equal(places, m->done[i] ? 0 : 1);
    }
    for (unsigned i = 0; i < PATHS; i++) {
        struct sql *q = sql_read(fx->reader, "SELECT size FROM artifact WHERE repo_id = 1 AND path = ?");
        sql_bind(q, "s", paths[i]);
        if (sql_row(q))
            assert_int_equal(sql_int(q, 0), m->content[i]);
        else
            assert_int_equal(m->content[i], -1);
        sql_end(q);
    }
}

static const char *reserve(struct model *m)
{
    char *key = m->keys[m->count++];

    snprintf(key, 48, "blobs/00/%032x", m->count);
    assert_int_equal(fx_reserve(&m->fx, m->incarnation, "default", key), OK);
    return key;
}

static void step_put(struct model *m)
{
    unsigned path = dice(m, PATHS), content = dice(m, CONTENTS);
    const char *key = reserve(m);

    assert_int_equal(fx_put(&m->fx, 1, paths[path], key, content), OK);
    m->content[path] = (int)content;
    if (dice(m, 3) == 0) /* the answer was lost: the same again */
        assert_int_equal(fx_put(&m->fx, 1, paths[path], key, content), OK);
}

static void step_delete(struct model *m)
{
    unsigned path = dice(m, PATHS);
    enum err e = fx_run(&m->fx, "artifact.delete",
                        json_pack("{s:i, s:s}", "repo_id", 1, "path", paths[path]), NULL);

    assert_int_equal(e, m->content[path] < 0 ? ERR_NOT_FOUND : OK);
    m->content[path] = -1;
}

static void step_abandon(struct model *m)
{
    const char *key = reserve(m);
    unsigned other = dice(m, m->count);

    /* Of any age: those that have become blobs must not be touched. */
    assert_int_equal(fx_run(&m->fx, "upload.abandon", json_pack("{s:[s, s]}", "keys", key,
                                                                m->keys[other]), NULL), OK);
    assert_int_equal(fx_put(&m->fx, 1, "late", key, 999), ERR_UNAVAILABLE);
}

static void step_restart(struct model *m)
{
    const char *key = reserve(m);

    snprintf(m->incarnation, sizeof m->incarnation, "r%u", ++m->starts);
    assert_int_equal(fx_run(&m->fx, "node.started", json_pack("{s:i, s:s, s:s}", "node", 1,
                                                              "incarnation", m->incarnation,
                                                              "version", "0"), NULL), OK);
    assert_int_equal(fx_int(&m->fx, "SELECT count(*) FROM upload"), 0);
    assert_int_equal(fx_put(&m->fx, 1, "late", key, 999), ERR_UNAVAILABLE);
    assert_int_equal(fx_reserve(&m->fx, "old", "default", "blobs/ff/never"), ERR_CONFLICT);
}

static void step_collect(struct model *m)
{
    struct garbage_row *rows;
    unsigned n;

    garbage_list(m->fx.reader, &m->fx.arena, INT64_MAX, 0, 3, &rows, &n);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(fx_run(&m->fx, "garbage.done", json_pack("{s:[s]}", "keys", rows[i].key),
                                NULL), OK);
        for (unsigned k = 0; k < m->count; k++)
            if (!strcmp(m->keys[k], rows[i].key))
                m->done[k] = true;
    }
}

static void keys_are_in_one_place_through_random_steps(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 5; seed++) {
        struct model *m = calloc(1, sizeof *m);
        fx_meta_open(&m->fx);
        fx_meta_basics(&m->fx);
        strcpy(m->incarnation, "a");
        m->seed = seed;
        memset(m->content, -1, sizeof m->content);
        for (unsigned i = 0; i < 300; i++) {
            unsigned what = dice(m, 20);
            if (what < 11)
                step_put(m);
            else if (what < 16)
                step_delete(m);
            else if (what < 18)
                step_abandon(m);
            else if (what < 19)
                step_collect(m);
            else
                step_restart(m);
            if (i % 10 == 9)
                check_invariants(m);
        }
        check_invariants(m);
        assert_int_equal(fx_int(&m->fx, "SELECT count(*) > 0 FROM garbage"), 1);
        fx_meta_close(&m->fx);
        free(m);
    }
}

/* A retry of a reservation whose answer was lost changes nothing; a key is not given twice. */
static void upload_reserve_is_idempotent(void **state)
{
    struct fx_meta *fx = *state;

    fx_meta_basics(fx);
    assert_int_equal(fx_reserve(fx, "a", "default", "blobs/00/1"), OK);
    assert_int_equal(fx_reserve(fx, "a", "default", "blobs/00/1"), OK);
    assert_int_equal(fx_int(fx, "SELECT count(*) FROM upload"), 1);
    assert_int_equal(fx_run(fx, "upload.abandon", json_pack("{s:[s]}", "keys", "blobs/00/1"), NULL),
                     OK);
    assert_int_equal(fx_reserve(fx, "a", "default", "blobs/00/1"), ERR_CONFLICT);
    assert_int_equal(fx_reserve(fx, "a", "nowhere", "blobs/00/2"), ERR_NOT_FOUND);
}

/* Garbage is listed oldest first, not before its grace, and with a skip. */
static void garbage_list_respects_age_and_skip(void **state)
{
    struct fx_meta *fx = *state;
    struct garbage_row *rows;
    unsigned n;

    fx_meta_basics(fx);
    for (unsigned i = 0; i < 4; i++) {
        char key[48];
        snprintf(key, sizeof key, "blobs/00/%u", i);
        fx->now_ms = 10000 + i * 1000;
        assert_int_equal(fx_reserve(fx, "a", "default", key), OK);
        assert_int_equal(fx_run(fx, "upload.abandon", json_pack("{s:[s]}", "keys", key), NULL), OK);
    }
    garbage_list(fx->reader, &fx->arena, 12500, 0, 10, &rows, &n);
    assert_int_equal(n, 3);
    assert_string_equal(rows[0].key, "blobs/00/0");
    assert_string_equal(rows[2].store, "default");
    garbage_list(fx->reader, &fx->arena, 12500, 2, 10, &rows, &n);
    assert_int_equal(n, 1);
    assert_string_equal(rows[0].key, "blobs/00/2");
    garbage_list(fx->reader, &fx->arena, 10000, 0, 10, &rows, &n);
    assert_int_equal(n, 0);
}

static int setup(void **state)
{
    struct fx_meta *fx = calloc(1, sizeof *fx);
    fx_meta_open(fx);
    *state = fx;
    return 0;
}

static int teardown(void **state)
{
    fx_meta_close(*state);
    free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_in_one_place_through_random_steps),
        cmocka_unit_test_setup_teardown(upload_reserve_is_idempotent, setup, teardown),
        cmocka_unit_test_setup_teardown(garbage_list_respects_age_and_skip, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
