/* SPDX-License-Identifier: Apache-2.0 */
/* Repositories and storage aliases: references between them, moves, sweeps, secrets at rest. */
#include "fx_meta.h"

#include "pantera/meta_alias.h"
#include "pantera/meta_blob.h"
#include "pantera/meta_repository.h"
#include "pantera/meta_secret.h"

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

static json_t *fs(const char *path)
{
    return json_pack("{s:s, s:s}", "type", "fs", "path", path);
}

static enum err alias_delete(struct fx_meta *fx, int64_t repo_id, const char *name)
{
    return fx_run(fx, "alias.delete", json_pack("{s:I, s:s}", "repo_id", (json_int_t)repo_id, "name",
                                                name), NULL);
}

static enum err repo_delete(struct fx_meta *fx, const char *name)
{
    return fx_run(fx, "repo.delete", json_pack("{s:s}", "name", name), NULL);
}

static enum err repo_move(struct fx_meta *fx, const char *name, const char *new_name)
{
    return fx_run(fx, "repo.move", json_pack("{s:s, s:s}", "name", name, "new_name", new_name), NULL);
}

static json_t *group(const char *a, const char *b)
{
    return json_pack("{s:{s:s, s:[s, s]}}", "repo", "type", "file-group", "members", a, b);
}

static void repository_is_read_back(void **state)
{
    struct fx_meta *fx = *state;
    struct repository_row row;

    assert_int_equal(repository_get(fx->reader, &fx->arena, "files", &row), OK);
    assert_int_equal(row.id, 1);
    assert_string_equal(row.type, "file");
    assert_string_equal(row.storage, "default");
    assert_string_equal(row.store, "default");
    assert_int_equal(repository_get(fx->reader, &fx->arena, "Files", &row), ERR_NOT_FOUND);
}

static enum err put_expect(struct fx_meta *fx, const char *name, const char *expect)
{
    return fx_run(fx, "repo.put", json_pack("{s:s, s:s, s:s, s:o, s:s}", "name", name, "type", "file",
                                            "storage", "default", "config", fx_file_repo("default"),
                                            "expect", expect), NULL);
}

static void repository_put_checks_what_it_names(void **state)
{
    struct fx_meta *fx = *state;

    assert_int_equal(fx_repo(fx, "x", fx_file_repo("nowhere")), ERR_BAD_REQUEST);
    assert_non_null(strstr(fx->why.text, "nowhere"));
    assert_int_equal(fx_repo(fx, "api", fx_file_repo("default")), ERR_BAD_REQUEST);
    assert_int_equal(fx_repo(fx, "g", group("files", "ghost")), ERR_BAD_REQUEST);
    assert_non_null(strstr(fx->why.text, "ghost"));
    assert_int_equal(fx_repo(fx, "g", group("files", "g")), ERR_BAD_REQUEST);
    assert_int_equal(put_expect(fx, "files", "create"), ERR_CONFLICT);
    assert_int_equal(put_expect(fx, "new", "update"), ERR_NOT_FOUND);
    assert_int_equal(put_expect(fx, "new", "create"), OK);
    assert_int_equal(put_expect(fx, "new", "update"), OK);
    assert_int_equal(put_expect(fx, "new", "any"), OK);
}

/* A group that leads back to itself over another would never end. */
static void repository_group_cycles_are_refused(void **state)
{
    struct fx_meta *fx = *state;

    assert_int_equal(fx_repo(fx, "g1", group("files", "files")), OK);
    assert_int_equal(fx_repo(fx, "g2", group("files", "g1")), OK);
    assert_int_equal(fx_repo(fx, "g1", group("files", "g2")), ERR_BAD_REQUEST);
}

/* A move changes names only: the id, the artifacts and its own aliases stay; groups follow. */
static void repository_move_keeps_everything_else(void **state)
{
    struct fx_meta *fx = *state;
    struct repository_row row;
    struct alias_row alias;

    assert_int_equal(fx_repo(fx, "other", fx_file_repo("default")), OK);
    assert_int_equal(fx_repo(fx, "g", group("files", "other")), OK);
    assert_int_equal(fx_alias(fx, 1, "own", fs("/own")), OK);
    assert_int_equal(fx_repo(fx, "files", fx_file_repo("own")), OK);
    assert_int_equal(fx_store(fx, 1, "a", 1), OK);
    assert_int_equal(repo_move(fx, "files", "other"), ERR_CONFLICT);
    assert_int_equal(repo_move(fx, "ghost", "x"), ERR_NOT_FOUND);
    assert_int_equal(repo_move(fx, "files", "v2"), ERR_BAD_REQUEST);
    assert_int_equal(repo_move(fx, "files", "moved"), OK);
    assert_int_equal(repository_get(fx->reader, &fx->arena, "files", &row), ERR_NOT_FOUND);
    assert_int_equal(repository_get(fx->reader, &fx->arena, "moved", &row), OK);
    assert_int_equal(row.id, 1);
    assert_string_equal(row.store, "1/own");
    assert_int_equal(alias_of_store(fx->reader, &fx->arena, "1/own", &alias), OK);
    assert_int_equal(repository_get(fx->reader, &fx->arena, "g", &row), OK);
    assert_non_null(strstr(row.config, "[\"moved\",\"other\"]"));
    assert_int_equal(fx_int(fx, "SELECT count(*) FROM artifact WHERE repo_id = 1"), 1);
}

/* A deleted repository is gone at once, its artifacts go in bounded steps, and a later repository of that
 * name has nothing of it. */
static void repository_delete_sweeps_in_steps(void **state)
{
    struct fx_meta *fx = *state;
    struct repository_row row;
    json_t *result;
    char path[32];

    assert_int_equal(fx_repo(fx, "g", group("files", "files")), OK);
    assert_int_equal(fx_repo(fx, "keep", fx_file_repo("default")), OK);
    for (unsigned i = 0; i < 25; i++) {
        snprintf(path, sizeof path, "d/%u", i);
        assert_int_equal(fx_store(fx, 1, path, i), OK);
    }
    assert_int_equal(fx_store(fx, 3, "kept", 7), OK);
    assert_false(sweep_pending(fx->reader));
    assert_int_equal(repo_delete(fx, "files"), OK);
    assert_int_equal(repo_delete(fx, "files"), ERR_NOT_FOUND);
    assert_int_equal(fx_repo(fx, "files", fx_file_repo("default")), OK);
    assert_int_equal(repository_get(fx->reader, &fx->arena, "files", &row), OK);
    assert_true(row.id > 3);
    assert_int_equal(fx_int(fx, "SELECT count(*) FROM artifact WHERE repo_id > 3"), 0);
    for (unsigned steps = 0;; steps++) {
        assert_true(steps < 4);
        assert_true(sweep_pending(fx->reader));
        assert_int_equal(fx_run(fx, "repo.sweep", json_pack("{s:i}", "limit", 10), &result), OK);
        assert_true(json_integer_value(json_object_get(result, "swept")) <= 10);
        if (json_is_false(json_object_get(result, "more"))) {
            json_decref(result);
            break;
        }
        json_decref(result);
    }
    assert_false(sweep_pending(fx->reader));
    assert_int_equal(fx_int(fx, "SELECT count(*) FROM artifact"), 1);
    assert_int_equal(fx_int(fx, "SELECT refs FROM blob"), 1); /* the one that "keep" shares */
    assert_int_equal(fx_int(fx, "SELECT count(*) FROM garbage"), 25);
    assert_int_equal(repository_get(fx->reader, &fx->arena, "g", &row), OK);
    assert_non_null(strstr(row.config, "\"members\":[]"));
}

/* The newest repository's number must not come again while uploads for it may still be under way. */
static void repository_ids_are_not_reused(void **state)
{
    struct fx_meta *fx = *state;
    struct repository_row row;

    assert_int_equal(repo_delete(fx, "files"), OK);
    assert_int_equal(fx_run(fx, "repo.sweep", json_pack("{s:i}", "limit", 10), NULL), OK);
    assert_int_equal(fx_repo(fx, "files", fx_file_repo("default")), OK);
    assert_int_equal(repository_get(fx->reader, &fx->arena, "files", &row), OK);
    assert_int_equal(row.id, 2);
    assert_int_equal(fx_reserve(fx, "a", "default", "blobs/00/late"), OK);
    assert_int_equal(fx_put(fx, 1, "a", "blobs/00/late", 1), ERR_NOT_FOUND);
}

static void repository_type_stays_while_it_holds_artifacts(void **state)
{
    struct fx_meta *fx = *state;
    json_t *npm = json_pack("{s:{s:s, s:s}}", "repo", "type", "npm", "storage", "default");

    assert_int_equal(fx_store(fx, 1, "a", 1), OK);
    assert_int_equal(fx_repo(fx, "files", json_incref(npm)), ERR_CONFLICT);
    assert_int_equal(fx_run(fx, "artifact.delete", json_pack("{s:i, s:s}", "repo_id", 1, "path", "a"),
                            NULL), OK);
    assert_int_equal(fx_repo(fx, "files", npm), OK);
}

/* --- aliases --- */

static void alias_delete_names_its_users(void **state)
{
    struct fx_meta *fx = *state;

    assert_int_equal(fx_repo(fx, "another", fx_file_repo("default")), OK);
    assert_int_equal(alias_delete(fx, 0, "default"), ERR_CONFLICT);
    assert_string_equal(fx->why.text,
                        "Cannot delete alias 'default': used by repositories: another, files");
    assert_int_equal(alias_delete(fx, 0, "ghost"), ERR_NOT_FOUND);
    assert_int_equal(fx_alias(fx, 0, "spare", fs("/s")), OK);
    assert_int_equal(alias_delete(fx, 0, "spare"), OK);
    assert_int_equal(fx_int(fx, "SELECT count(*) FROM storage_alias"), 1);
}

/* A repository's own alias hides the global one of that name; the global one is then free. */
static void alias_of_repository_comes_first(void **state)
{
    struct fx_meta *fx = *state;
    struct repository_row row;

    assert_int_equal(fx_alias(fx, 1, "default", fs("/own")), OK);
    assert_int_equal(repository_get(fx->reader, &fx->arena, "files", &row), OK);
    assert_string_equal(row.store, "1/default");
    assert_int_equal(alias_delete(fx, 1, "default"), ERR_CONFLICT);
    assert_int_equal(alias_delete(fx, 0, "default"), OK);
    assert_int_equal(fx_alias(fx, 99, "x", fs("/own")), ERR_NOT_FOUND);
}

/* What lives in a store must stay reachable: the alias may not point elsewhere, and when it is deleted it
 * stays hidden until the last object is gone. */
static void alias_stays_while_objects_live_in_it(void **state)
{
    struct fx_meta *fx = *state;
    struct garbage_row *rows;
    struct alias_row row;
    unsigned n;

    assert_int_equal(fx_reserve(fx, "a", "default", "blobs/00/r"), OK);
    assert_int_equal(fx_alias(fx, 0, "default", fs("/early")), OK); /* reserved, nothing stored */
    assert_int_equal(fx_int(fx, "SELECT count(*) FROM upload"), 0);
    assert_int_equal(fx_store(fx, 1, "a", 1), OK);
    assert_int_equal(fx_alias(fx, 0, "default", fs("/elsewhere")), ERR_CONFLICT);
    assert_int_equal(fx_alias(fx, 0, "default", fs("/early")), OK);
    assert_int_equal(fx_alias(fx, 0, "second", fs("/s")), OK);
    assert_int_equal(fx_repo(fx, "files", fx_file_repo("second")), OK);
    assert_int_equal(alias_delete(fx, 0, "default"), OK);
    assert_int_equal(alias_get(fx->reader, &fx->arena, 0, "default", &row), ERR_NOT_FOUND);
    assert_int_equal(alias_of_store(fx->reader, &fx->arena, "default", &row), OK);
    assert_int_equal(fx_repo(fx, "x", fx_file_repo("default")), ERR_BAD_REQUEST);
    assert_int_equal(fx_reserve(fx, "a", "default", "blobs/00/x"), ERR_NOT_FOUND);
    assert_int_equal(fx_alias(fx, 0, "default", fs("/elsewhere")), ERR_CONFLICT);
    assert_int_equal(fx_run(fx, "artifact.delete", json_pack("{s:i, s:s}", "repo_id", 1, "path", "a"),
                            NULL), OK);
    assert_true(sweep_pending(fx->reader));
    assert_int_equal(fx_run(fx, "repo.sweep", json_pack("{}"), NULL), OK);
    assert_int_equal(alias_of_store(fx->reader, &fx->arena, "default", &row), OK);
    assert_int_equal(fx_alias(fx, 0, "default", fs("/elsewhere")), ERR_CONFLICT); /* garbage */
    garbage_list(fx->reader, &fx->arena, INT64_MAX, 0, 9, &rows, &n);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(fx_run(fx, "garbage.done", json_pack("{s:[s]}", "keys", rows[i].key), NULL),
                         OK);
    assert_int_equal(fx_run(fx, "repo.sweep", json_pack("{}"), NULL), OK);
    assert_int_equal(alias_of_store(fx->reader, &fx->arena, "default", &row), ERR_NOT_FOUND);
    assert_int_equal(fx_alias(fx, 0, "default", fs("/elsewhere")), OK);
}

/* --- secrets --- */

static json_t *s3(const char *secret)
{
    return json_pack("{s:s, s:s, s:{s:s, s:s, s:s}}", "type", "s3", "bucket", "b", "credentials",
                     "type", "basic", "accessKeyId", "AKIDEXAMPLE", "secretAccessKey", secret);
}

static json_t *alias_config(struct fx_meta *fx, const char *name)
{
    struct alias_row row;

    assert_int_equal(alias_get(fx->reader, &fx->arena, 0, name, &row), OK);
    return json_loads(row.config, 0, NULL);
}

static const char *secret_of(const json_t *config)
{
    return json_string_value(json_object_get(json_object_get(config, "credentials"),
                                             "secretAccessKey"));
}

/* Sealed in the row and in the changeset, masked in answers, clear for the store; a masked value that
 * comes back keeps the secret; one that belongs to nothing is refused. */
static void alias_secrets_are_sealed_and_masked(void **state)
{
    struct fx_meta *fx = *state;
    const char *aad = alias_aad(&fx->arena, "cloud");
    json_t *config;

    assert_int_equal(fx_alias(fx, 0, "cloud", s3("abHUSHHUSHyz")), OK);
    config = alias_config(fx, "cloud");
    assert_null(strstr(secret_of(config), "HUSH"));
    assert_int_equal(strncmp(secret_of(config), "s1.", 3), 0);
    secrets_mask(&fx->arena, &fx->key, aad, config);
    assert_string_equal(secret_of(config), "ab***yz");
    json_decref(config);

    assert_int_equal(fx_alias(fx, 0, "cloud", s3("xx***yy")), ERR_BAD_REQUEST);
    config = s3("ab***yz");
    json_object_set_new(config, "region", json_string("r"));
    json_object_set_new(json_object_get(config, "credentials"), "accessKeyId", json_string("AK***LE"));
    assert_int_equal(fx_alias(fx, 0, "cloud", config), OK);
    config = alias_config(fx, "cloud");
    assert_int_equal(secrets_unseal(&fx->arena, &fx->key, aad, config, NULL), OK);
    assert_string_equal(secret_of(config), "abHUSHHUSHyz");
    assert_string_equal(json_string_value(json_object_get(config, "region")), "r");
    json_decref(config);

    config = alias_config(fx, "cloud"); /* copied to another row it does not open */
    assert_int_equal(secrets_unseal(&fx->arena, &fx->key, alias_aad(&fx->arena, "other"), config, NULL),
                     ERR_FORBIDDEN);
    json_decref(config);
}

/* A secret can't be sent to another server by putting its mask beside a new URL. */
static void repository_masked_secret_stays_with_its_url(void **state)
{
    struct fx_meta *fx = *state;
    json_t *config, *remote;
    struct repository_row row;
    const char *put = "{\"repo\":{\"type\":\"file-proxy\",\"storage\":\"default\",\"remotes\":["
                      "{\"url\":\"http://a\",\"password\":\"first-one\"},"
                      "{\"url\":\"http://b\",\"password\":\"second-one\"}]}}";
    const char *swapped = "{\"repo\":{\"type\":\"file-proxy\",\"storage\":\"default\",\"remotes\":["
                          "{\"url\":\"http://b\",\"password\":\"se***ne\"}]}}";
    const char *evil = "{\"repo\":{\"type\":\"file-proxy\",\"storage\":\"default\",\"remotes\":["
                       "{\"url\":\"http://evil\",\"password\":\"se***ne\"}]}}";

    assert_int_equal(fx_repo(fx, "p", json_loads(put, 0, NULL)), OK);
    assert_int_equal(fx_repo(fx, "p", json_loads(evil, 0, NULL)), ERR_BAD_REQUEST);
    assert_int_equal(fx_repo(fx, "p", json_loads(swapped, 0, NULL)), OK);
    assert_int_equal(repository_get(fx->reader, &fx->arena, "p", &row), OK);
    assert_null(strstr(row.config, "one"));
    config = json_loads(row.config, 0, NULL);
    assert_int_equal(secrets_unseal(&fx->arena, &fx->key, repository_aad(&fx->arena, row.id), config,
                                    NULL), OK);
    remote = json_array_get(json_object_get(json_object_get(config, "repo"), "remotes"), 0);
    assert_string_equal(json_string_value(json_object_get(remote, "password")), "second-one");
    json_decref(config);
}

static void secret_masks_show_little(void **state)
{
    struct fx_meta *fx = *state;

    assert_string_equal(secret_mask(&fx->arena, "123456"), "***");
    assert_string_equal(secret_mask(&fx->arena, "1234567"), "12***67");
    assert_string_equal(secret_mask(&fx->arena, "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"), "***");
    assert_true(secret_key("upstreamPassword") && secret_key("client_secret") &&
                secret_key("session-token") && secret_key("accessKeyId"));
    assert_false(secret_key("key") || secret_key("bucket") || secret_key("url"));
}

/* --- listing --- */

static void collect(const char *name, const char *type, void *arg)
{
    struct fx_meta *fx = arg;
    (void)type;
    snprintf(fx->why.text + strlen(fx->why.text), sizeof fx->why.text - strlen(fx->why.text), "%s ",
             name);
}

static void repository_each_filters_by_substring(void **state)
{
    struct fx_meta *fx = *state;

    assert_int_equal(fx_repo(fx, "my_repo-", fx_file_repo("default")), OK);
    assert_int_equal(fx_repo(fx, "G", group("files", "files")), OK);
    fx->why.text[0] = 0;
    repository_each(fx->reader, NULL, NULL, collect, fx);
    assert_string_equal(fx->why.text, "G files my_repo- ");
    fx->why.text[0] = 0;
    repository_each(fx->reader, NULL, "O-", collect, fx);
    assert_string_equal(fx->why.text, "my_repo- ");
    fx->why.text[0] = 0;
    repository_each(fx->reader, "GROUP", NULL, collect, fx);
    assert_string_equal(fx->why.text, "G ");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(repository_is_read_back),
        TEST(repository_put_checks_what_it_names),
        TEST(repository_group_cycles_are_refused),
        TEST(repository_move_keeps_everything_else),
        TEST(repository_delete_sweeps_in_steps),
        TEST(repository_ids_are_not_reused),
        TEST(repository_type_stays_while_it_holds_artifacts),
        TEST(alias_delete_names_its_users),
        TEST(alias_of_repository_comes_first),
        TEST(alias_stays_while_objects_live_in_it),
        TEST(alias_secrets_are_sealed_and_masked),
        TEST(repository_masked_secret_stays_with_its_url),
        TEST(secret_masks_show_little),
        TEST(repository_each_filters_by_substring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
