/* SPDX-License-Identifier: Apache-2.0 */
/* Artifacts: what a path names, conditions, files against folders, children of folders. */
#include "fx_meta.h"

#include "pantera/meta_artifact.h"

static int setup(void **state)
{
    struct fx_meta *fx = calloc(1, sizeof *fx);
    fx_meta_open(fx);
    fx_meta_basics(fx);
    *state = fx;
    return 0;
}

static int teardown(void **state)
{
    fx_meta_close(*state);
    free(*state);
    return 0;
}

/* What was put is what is got. */
static void artifact_put_is_read_back(void **state)
{
    struct fx_meta *fx = *state;
    struct artifact_row row;
    json_t *args, *result;

    assert_int_equal(fx_reserve(fx, "a", "default", "blobs/aa/k1"), OK);
    args = fx_put_args(1, "x/y.txt", "default", "blobs/aa/k1", 7);
    json_object_set_new(args, "content_type", json_string("text/plain"));
    json_object_set_new(args, "md5", json_string("00112233445566778899aabbccddeeff"));
    assert_int_equal(fx_run(fx, "artifact.put", args, &result), OK);
    assert_true(json_is_true(json_object_get(result, "created")));
    json_decref(result);
    assert_int_equal(artifact_get(fx->reader, &fx->arena, 1, "x/y.txt", &row), OK);
    assert_int_equal(row.size, 7);
    assert_string_equal(row.key, "blobs/aa/k1");
    assert_string_equal(row.store, "default");
    assert_string_equal(row.content_type, "text/plain");
    assert_int_equal(row.digests.kinds, DIGEST_SHA256 | DIGEST_MD5);
    assert_int_equal(row.digests.md5[15], 0xff);
    assert_int_equal(row.digests.sha256[31], 7);
    assert_int_equal(artifact_get(fx->reader, &fx->arena, 1, "x/y", &row), ERR_NOT_FOUND);
    assert_int_equal(artifact_get(fx->reader, &fx->arena, 2, "x/y.txt", &row), ERR_NOT_FOUND);
}

/* A retry says what the first attempt said, also when the bytes were found to be there already. */
static void artifact_put_retry_says_the_same(void **state)
{
    struct fx_meta *fx = *state;
    json_t *first, *second;

    assert_int_equal(fx_store(fx, 1, "one", 5), OK);
    assert_int_equal(fx_reserve(fx, "a", "default", "blobs/aa/k2"), OK);
    for (int shared = 0; shared < 2; shared++) {
        const char *path = shared ? "shared" : "fresh", *key = shared ? "blobs/aa/k3" : "blobs/aa/k2";
        if (shared)
            assert_int_equal(fx_reserve(fx, "a", "default", key), OK);
        assert_int_equal(fx_run(fx, "artifact.put", fx_put_args(1, path, "default", key, shared ? 5 : 6),
                                &first), OK);
        assert_int_equal(fx_run(fx, "artifact.put", fx_put_args(1, path, "default", key, shared ? 5 : 6),
                                &second), OK);
        assert_true(json_equal(first, second));
        assert_true(json_is_true(json_object_get(first, "created")));
        assert_int_equal(json_is_true(json_object_get(first, "shared")), shared);
        json_decref(first);
        json_decref(second);
    }
}

/* A key that is not reserved (any more), a repository that is gone: refused, nothing changes. */
static void artifact_put_needs_key_and_repository(void **state)
{
    struct fx_meta *fx = *state;

    assert_int_equal(fx_put(fx, 1, "p", "blobs/aa/unknown", 1), ERR_UNAVAILABLE);
    assert_int_equal(fx_reserve(fx, "a", "default", "blobs/aa/k"), OK);
    assert_int_equal(fx_put(fx, 9, "p", "blobs/aa/k", 1), ERR_NOT_FOUND);
    assert_int_equal(fx_int(fx, "SELECT count(*) FROM artifact"), 0);
    assert_int_equal(fx_int(fx, "SELECT count(*) FROM upload"), 1);
    assert_int_equal(fx_put(fx, 1, "p", "blobs/aa/k", 1), OK);
}

/* A path is a file or a folder, never both. */
static void artifact_path_is_file_or_folder(void **state)
{
    struct fx_meta *fx = *state;

    assert_int_equal(fx_store(fx, 1, "a/b/c", 1), OK);
    assert_int_equal(fx_store(fx, 1, "a", 1), ERR_CONFLICT);
    assert_int_equal(fx_store(fx, 1, "a/b", 1), ERR_CONFLICT);
    assert_int_equal(fx_store(fx, 1, "a/b/c/d", 1), ERR_CONFLICT);
    assert_int_equal(fx_store(fx, 1, "a/b/c/d/e", 1), ERR_CONFLICT);
    assert_int_equal(fx_store(fx, 1, "a-b", 1), OK); /* sorts between "a" and "a/" */
    assert_int_equal(fx_store(fx, 1, "a/b0", 1), OK);
    assert_int_equal(fx_store(fx, 1, "a/b/c", 2), OK);
    assert_int_equal(fx_run(fx, "artifact.delete", json_pack("{s:i, s:s}", "repo_id", 1, "path",
                                                             "a/b/c"), NULL), OK);
    assert_int_equal(fx_store(fx, 1, "a/b", 1), OK);
}

static enum err put_if(struct fx_meta *fx, const char *path, unsigned content, bool absent,
                       const char *sha256)
{
    static unsigned next;
    char key[48];
    json_t *args;

    snprintf(key, sizeof key, "blobs/cc/%u", ++next);
    assert_int_equal(fx_reserve(fx, "a", "default", key), OK);
    args = fx_put_args(1, path, "default", key, content);
    json_object_set_new(args, "if_absent", json_boolean(absent));
    if (sha256)
        json_object_set_new(args, "if_sha256", json_string(sha256));
    return fx_run(fx, "artifact.put", args, NULL);
}

/* If-None-Match: * and If-Match are decided where the rows are. */
static void artifact_put_conditions_hold(void **state)
{
    struct fx_meta *fx = *state;
    char one[65], two[65];

    snprintf(one, sizeof one, "%064x", 1);
    snprintf(two, sizeof two, "%064x", 2);
    assert_int_equal(put_if(fx, "p", 1, false, one), ERR_PRECONDITION);
    assert_int_equal(put_if(fx, "p", 1, true, NULL), OK);
    assert_int_equal(put_if(fx, "p", 2, true, NULL), ERR_PRECONDITION);
    assert_int_equal(put_if(fx, "p", 2, false, two), ERR_PRECONDITION);
    assert_int_equal(put_if(fx, "p", 2, false, one), OK);
    assert_int_equal(put_if(fx, "p", 3, false, "nonsense"), ERR_PRECONDITION);
}

/* --- children --- */

/* "a-b|a.c|a/|a0" in pages of `limit`. */
static const char *list(struct fx_meta *fx, const char *folder, unsigned limit)
{
    struct artifact_child *rows;
    unsigned n;
    bool more = true;
    const char *after = NULL;
    char *text = arena_strdup(&fx->arena, "");

    while (more) {
        if (artifact_children(fx->reader, &fx->arena, 1, folder, after, limit, &rows, &n, &more))
            return "none";
        assert_true(n <= limit);
        for (unsigned i = 0; i < n; i++) {
            after = arena_printf(&fx->arena, "%s%s", rows[i].name, rows[i].directory ? "/" : "");
            text = arena_printf(&fx->arena, "%s%s%s", text, *text ? "|" : "", after);
        }
        assert_true(n > 0 || !more);
    }
    return text;
}

/* Names that sort around '/', look like patterns, or are not ASCII; whatever the page size. */
static void artifact_children_are_complete_in_pages(void **state)
{
    static const char *const paths[] = {
        "a/x", "a/y/z", "a/y/zz", "a-b", "a.c", "a0", "a0b/q", "%", "_", "%a/b", "d/\xc3\xa9/1",
        "d/\xc3\xa9/2", "d/\xf0\x9f\x98\x80", "d/ e", "d/~", "z/1", "zz", "z!/1", "z.1",
    };
    struct fx_meta *fx = *state;

    assert_string_equal(list(fx, "", 10), "");
    assert_string_equal(list(fx, "a", 10), "none");
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        assert_int_equal(fx_store(fx, 1, paths[i], (unsigned)i % 3), OK);
    for (unsigned limit = 1; limit < 20; limit++) {
        assert_string_equal(list(fx, "", limit), "%|%a/|_|a-b|a.c|a/|a0|a0b/|d/|z!/|z.1|z/|zz");
        assert_string_equal(list(fx, "a", limit), "x|y/");
        assert_string_equal(list(fx, "d", limit),
                            " e|~|\xc3\xa9/|\xf0\x9f\x98\x80");
        assert_string_equal(list(fx, "a/y", limit), "z|zz");
    }
    assert_string_equal(list(fx, "a-b", 5), "none");
    assert_string_equal(list(fx, "a/x", 5), "none");
    assert_string_equal(list(fx, "y", 5), "none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(artifact_put_is_read_back, setup, teardown),
        cmocka_unit_test_setup_teardown(artifact_put_retry_says_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(artifact_put_needs_key_and_repository, setup, teardown),
        cmocka_unit_test_setup_teardown(artifact_path_is_file_or_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(artifact_put_conditions_hold, setup, teardown),
        cmocka_unit_test_setup_teardown(artifact_children_are_complete_in_pages, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
