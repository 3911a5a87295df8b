/* SPDX-License-Identifier: Apache-2.0 */
/* fx_meta: a real replica in a folder of its own, with operations run as the leader runs them. */
#ifndef FX_META_H
#define FX_META_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pantera/digest.h"
#include "pantera/meta.h"
#include "storage/meta/sql.h"

#include <cmocka.h> /* after our headers: its fail() is a macro */
#undef fail

struct fx_meta {
    char dir[64];
    struct meta *meta;
    struct meta_reader *reader;
    struct seal_key key;
    struct arena arena;
    uint64_t index;
    int64_t now_ms;
    struct why why;
};

static inline void fx_meta_open(struct fx_meta *fx)
{
    memset(fx, 0, sizeof *fx);
    snprintf(fx->dir, sizeof fx->dir, "/tmp/fx_meta.XXXXXX");
    assert_non_null(mkdtemp(fx->dir));
    fx->meta = meta_open(fx->dir);
    for (int i = 1; i <= meta_schema_known(); i++)
        meta_apply_migration(fx->meta, ++fx->index, i);
    fx->reader = meta_reader_open(fx->dir, &fx->why);
    assert_non_null(fx->reader);
    seal_key_new(&fx->key);
    arena_init(&fx->arena);
    fx->now_ms = 1000;
}

static inline int fx_meta_unlink(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static inline void fx_meta_close(struct fx_meta *fx)
{
    arena_release(&fx->arena);
    meta_reader_close(fx->reader);
    meta_close(fx->meta);
    nftw(fx->dir, fx_meta_unlink, 8, FTW_DEPTH | FTW_PHYS);
}

/* One operation, one entry. Takes args; gives *ret_result if that is not NULL. */
static inline enum err fx_run(struct fx_meta *fx, const char *op, json_t *args, json_t **ret_result)
{
    json_t *result = NULL;
    const void *changeset;
    size_t size;
    enum err e;

    assert_non_null(args);
    fx->why.text[0] = 0;
    meta_batch_begin(fx->meta);
    e = meta_batch_run(fx->meta, op, args, ++fx->now_ms, &fx->key, &result, &fx->why);
    meta_batch_changeset(fx->meta, &changeset, &size);
    meta_batch_commit(fx->meta, ++fx->index);
    if (ret_result)
        *ret_result = result;
    else
        json_decref(result);
    return e;
}

static inline int64_t fx_int(struct fx_meta *fx, const char *literal)
{
    struct sql *q = sql_read(fx->reader, literal);
    int64_t n;

    assert_true(sql_row(q));
    n = sql_int(q, 0);
    sql_end(q);
    return n;
}

static inline enum err fx_repo(struct fx_meta *fx, const char *name, json_t *config)
{
    json_t *storage = json_object_get(json_object_get(config, "repo"), "storage");
    return fx_run(fx, "repo.put",
                  json_pack("{s:s, s:O, s:O?, s:o}", "name", name, "type",
                            json_object_get(json_object_get(config, "repo"), "type"), "storage",
                            storage, "config", config), NULL);
}

static inline enum err fx_alias(struct fx_meta *fx, int64_t repo_id, const char *name, json_t *config)
{
    return fx_run(fx, "alias.put", json_pack("{s:I, s:s, s:o}", "repo_id", (json_int_t)repo_id,
                                             "name", name, "config", config), NULL);
}

static inline json_t *fx_file_repo(const char *storage)
{
    return json_pack("{s:{s:s, s:s}}", "repo", "type", "file", "storage", storage);
}

/* An alias "default" and a repository of id 1, "files"; node 1 started. */
static inline void fx_meta_basics(struct fx_meta *fx)
{
    assert_int_equal(fx_alias(fx, 0, "default", json_pack("{s:s, s:s}", "type", "fs", "path", "/x")),
                     OK);
    assert_int_equal(fx_repo(fx, "files", fx_file_repo("default")), OK);
    assert_int_equal(fx_run(fx, "node.started", json_pack("{s:i, s:s, s:s}", "node", 1,
                                                          "incarnation", "a", "version", "0"),
                            NULL), OK);
}

static inline enum err fx_reserve(struct fx_meta *fx, const char *incarnation, const char *store,
                                  const char *key)
{
    return fx_run(fx, "upload.reserve", json_pack("{s:i, s:s, s:s, s:[s]}", "node", 1, "incarnation",
                                                  incarnation, "store", store, "keys", key), NULL);
}

/* artifact.put of content that is known by its number; the digest follows from it. */
static inline json_t *fx_put_args(int64_t repo_id, const char *path, const char *store,
                                  const char *key, unsigned content)
{
    char sha[65];

    snprintf(sha, sizeof sha, "%064x", content);
    return json_pack("{s:I, s:s, s:s, s:s, s:I, s:s}", "repo_id", (json_int_t)repo_id, "path", path,
                     "store", store, "key", key, "size", (json_int_t)content, "sha256", sha);
}

static inline enum err fx_put(struct fx_meta *fx, int64_t repo_id, const char *path, const char *key,
                              unsigned content)
{
    return fx_run(fx, "artifact.put", fx_put_args(repo_id, path, "default", key, content), NULL);
}

/* Reserve and put. */
static inline enum err fx_store(struct fx_meta *fx, int64_t repo_id, const char *path,
                                unsigned content)
{
    static unsigned next;
    char key[48];

    snprintf(key, sizeof key, "blobs/aa/%032x", ++next);
    assert_int_equal(fx_reserve(fx, "a", "default", key), OK);
    return fx_put(fx, repo_id, path, key, content);
}

#endif
