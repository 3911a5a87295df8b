/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/artifact_put.c: paths get and lose their bytes, one at a time or several at once. References
 * to blobs are counted in the same transaction as the rows that name them change. */
#include <string.h>

#include "pantera/limits.h"
#include "pantera/meta_artifact.h"
#include "pantera/meta_blob.h"
#include "pantera/meta_search.h"
#include "pantera/text.h"
#include "storage/meta/objects.h"
#include "storage/meta/ops.h"

/* --- artifact.put --- */

struct put {
    int64_t repo_id, size;
    const char *path, *store, *key, *content_type, *owner;
    const char *if_sha256, *name, *version;
    bool if_absent, hidden, again;
    struct digest_values digests;
};

static bool digest_arg(const json_t *args, const char *name, void *ret, size_t size, bool *ret_bad)
{
    const char *text = arg_text(args, name);

    if (!text)
        return false;
    if (strlen(text) == 2 * size && hex_decode(text, 2 * size, ret))
        return true;
    *ret_bad = true;
    return false;
}

static enum err put_parse(const json_t *args, struct put *ret, struct why *why)
{
    struct digest_values *d = &ret->digests;
    bool bad = false;

    *ret = (struct put){
        .repo_id = arg_int(args, "repo_id", 0), .size = arg_int(args, "size", -1),
        .path = arg_text(args, "path"), .store = arg_text(args, "store"),
        .key = arg_text(args, "key"), .content_type = arg_text(args, "content_type"),
        .owner = arg_text(args, "owner"), .if_sha256 = arg_text(args, "if_sha256"),
        .name = arg_text(args, "name"), .version = arg_text(args, "version"),
        .if_absent = json_is_true(json_object_get(args, "if_absent")),
        .hidden = json_is_true(json_object_get(args, "hidden")),
        .again = json_is_true(json_object_get(args, "again")),
    };
    d->kinds = (digest_arg(args, "sha256", d->sha256, 32, &bad) ? DIGEST_SHA256 : 0u) |
               (digest_arg(args, "sha1", d->sha1, 20, &bad) ? DIGEST_SHA1 : 0u) |
               (digest_arg(args, "md5", d->md5, 16, &bad) ? DIGEST_MD5 : 0u) |
               (digest_arg(args, "sha512", d->sha512, 64, &bad) ? DIGEST_SHA512 : 0u);
    if (bad || !(d->kinds & DIGEST_SHA256) || ret->size < 0 || !ret->path || !*ret->path || !ret->store ||
        !ret->key)
        return fail(why, ERR_BAD_REQUEST, "artifact.put: bad arguments");
    return OK;
}

struct current {
    bool exists;
    int64_t blob_id, created_ms, modified_ms, size;
    bool same_key, same_bytes;
    unsigned char sha256[32];
};

static void current_get(struct txn *t, const struct put *p, struct current *ret)
{
    struct sql *q = sql_txn(t, "SELECT a.blob_id, a.created_ms, a.modified_ms, b.key, b.store, "
                               "b.sha256, a.size FROM artifact a JOIN blob b ON b.id = a.blob_id "
                               "WHERE a.repo_id = ? AND a.path = ?");

    *ret = (struct current){ 0 };
    sql_bind(q, "is", p->repo_id, p->path);
    if (sql_row(q)) {
        ret->exists = true;
        ret->blob_id = sql_int(q, 0);
        ret->created_ms = sql_int(q, 1);
        ret->modified_ms = sql_int(q, 2);
        ret->size = sql_int(q, 6);
        ret->same_key = !strcmp(sql_str(q, 3, NULL), p->key);
        sql_digest(q, 5, ret->sha256, sizeof ret->sha256);
        ret->same_bytes = !memcmp(ret->sha256, p->digests.sha256, 32) &&
                          !strcmp(sql_str(q, 4, NULL), p->store);
    }
    sql_end(q);
}

static bool artifact_exists(struct txn *t, int64_t repo_id, const char *path)
{
    struct sql *q = sql_txn(t, "SELECT 1 FROM artifact WHERE repo_id = ? AND path = ?");
    bool found;

    sql_bind(q, "is", repo_id, path);
    found = sql_row(q);
    sql_end(q);
    return found;
}

/* A path is a file or a folder, not both: neither a part of it is a file, nor is there anything below. */
static enum err place_check(struct txn *t, const struct put *p, struct why *why)
{
    struct arena *a = txn_arena(t);
    struct sql *q;
    bool found;

    for (const char *slash = strchr(p->path, '/'); slash; slash = strchr(slash + 1, '/')) {
        const char *part = arena_strndup(a, p->path, (size_t)(slash - p->path));
        if (artifact_exists(t, p->repo_id, part))
            return fail(why, ERR_CONFLICT, "'%.200s' is a file, not a folder", part);
    }
    q = sql_txn(t, "SELECT 1 FROM artifact WHERE repo_id = ? AND path > ? AND path < ? LIMIT 1");
    sql_bind(q, "iss", p->repo_id, arena_printf(a, "%s/", p->path),
             arena_printf(a, "%s0", p->path));
    found = sql_row(q);
    sql_end(q);
    return found ? fail(why, ERR_CONFLICT, "'%.200s' is a folder, not a file", p->path) : OK;
}

static enum err conditions_check(const struct put *p, const struct current *c, struct why *why)
{
    enum err no = p->again ? ERR_AGAIN : ERR_PRECONDITION;
    unsigned char wanted[32];

    if (p->if_absent && c->exists)
        return fail(why, no, "'%.200s' exists already", p->path);
    if (!p->if_sha256)
        return OK;
    if (!c->exists || strlen(p->if_sha256) != 64 || !hex_decode(p->if_sha256, 64, wanted) ||
        memcmp(wanted, c->sha256, 32))
        return fail(why, no, "'%.200s' is not what you expected", p->path);
    return OK;
}

/* Finds or makes the blob, with one reference more. *ret_shared: equal bytes were there; ours are
 * garbage. */
static int64_t blob_ref(struct txn *t, const struct put *p, bool *ret_shared)
{
    const struct digest_values *d = &p->digests;
    struct sql *q = sql_txn(t, "SELECT id FROM blob WHERE store = ? AND sha256 = ?");
    int64_t id = 0;

    sql_bind(q, "sb", p->store, (const void *)d->sha256, (size_t)32);
    if (sql_row(q))
        id = sql_int(q, 0);
    sql_end(q);
    *ret_shared = id != 0;
    if (id) {
        check(!sql_do(t, "UPDATE blob SET refs = refs + 1, sha1 = coalesce(sha1, ?), "
                         "md5 = coalesce(md5, ?), sha512 = coalesce(sha512, ?) WHERE id = ?",
                      "bbbi", (const void *)(d->kinds & DIGEST_SHA1 ? d->sha1 : NULL), (size_t)20,
                      (const void *)(d->kinds & DIGEST_MD5 ? d->md5 : NULL), (size_t)16,
                      (const void *)(d->kinds & DIGEST_SHA512 ? d->sha512 : NULL), (size_t)64, id));
        garbage_add(t, p->key, p->store);
        return id;
    }
    check(!sql_do(t, "INSERT INTO blob (store, sha256, key, size, refs, sha1, md5, sha512, "
                     "created_ms) VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?)",
                  "sbsibbbi", p->store, (const void *)d->sha256, (size_t)32, p->key, p->size,
                  (const void *)(d->kinds & DIGEST_SHA1 ? d->sha1 : NULL), (size_t)20,
                  (const void *)(d->kinds & DIGEST_MD5 ? d->md5 : NULL), (size_t)16,
                  (const void *)(d->kinds & DIGEST_SHA512 ? d->sha512 : NULL), (size_t)64,
                  txn_now(t)));
    return sql_last_id(t);
}

static json_t *put_result(bool created, int64_t size, bool shared)
{
    return json_pack("{s:b, s:I, s:b}", "created", created, "size", (json_int_t)size, "shared",
                     shared);
}

static bool repository_exists(struct txn *t, int64_t id)
{
    struct sql *q = sql_txn(t, "SELECT 1 FROM repository WHERE id = ?");
    bool found;

    sql_bind(q, "i", id);
    found = sql_row(q);
    sql_end(q);
    return found;
}

/* Looks at the repository and at the key. *ret_done: a retry of what has happened. */
static enum err put_check(struct txn *t, const struct put *p, const struct current *c,
                          bool *ret_done, struct why *why)
{
    *ret_done = false;
    if (!repository_exists(t, p->repo_id))
        return fail(why, ERR_NOT_FOUND, "the repository does not exist any more");
    if (!sql_exists(t, "SELECT 1 FROM upload WHERE key = ? AND store = ?", "ss", p->key,
                    p->store)) {
        /* Committed before under this key, or found to be equal to what was there then. */
        *ret_done = c->exists && (c->same_key || c->same_bytes);
        return *ret_done ? OK
                         : fail(why, ERR_UNAVAILABLE, "the upload was given up; try again");
    }
    return conditions_check(p, c, why);
}

/* The row, with its name and version for those who search: the format's, or read from the path. */
static void row_write(struct txn *t, struct put *p, const struct current *c, int64_t blob)
{
    const char *name, *version;
    int64_t modified = c->exists && txn_now(t) == c->created_ms ? txn_now(t) + 1 : txn_now(t);

    artifact_name_of(txn_arena(t), p->path, &name, &version);
    if (p->name && *p->name) {
        name = p->name;
        version = p->version ? p->version : "";
    }
    if (c->exists) {
        check(!sql_do(t, "UPDATE artifact SET blob_id = ?, size = ?, content_type = ?, modified_ms = ?, "
                         "owner = ?, name = ?, version = ? WHERE repo_id = ? AND path = ?",
                      "iisisssis", blob, p->size, p->content_type, modified, p->owner, name, version,
                      p->repo_id, p->path));
        return;
    }
    check(!sql_do(t, "INSERT INTO artifact (repo_id, path, blob_id, size, content_type, created_ms, "
                     "modified_ms, owner, name, version, doc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
                     "nullif(?, 0))",
                  "isiisiisssi", p->repo_id, p->path, blob, p->size, p->content_type, txn_now(t),
                  modified, p->owner, name, version, p->hidden ? 0 : counter_next(t, "artifact_doc")));
}

/* A path gets the bytes of a blob that has one reference more for it. */
static void path_set(struct txn *t, struct put *p, const struct current *c, int64_t blob)
{
    row_write(t, p, c, blob);
    if (c->exists)
        blob_unref(t, c->blob_id);
    stats_add(t, p->repo_id, !c->exists, p->size - c->size);
}

static enum err put_run(struct txn *t, struct put *p, json_t **ret_result, struct why *why)
{
    struct current c;
    bool shared, done;
    int64_t blob;
    enum err e;

    current_get(t, p, &c);
    if ((e = put_check(t, p, &c, &done, why)))
        return e;
    if (done) {
        *ret_result = put_result(c.created_ms == c.modified_ms, p->size, !c.same_key);
        return OK;
    }
    if (!c.exists && (e = place_check(t, p, why)))
        return e;
    check(!sql_do(t, "DELETE FROM upload WHERE key = ?", "s", p->key));
    blob = blob_ref(t, p, &shared);
    path_set(t, p, &c, blob);
    *ret_result = put_result(!c.exists, p->size, shared);
    return OK;
}

enum err op_artifact_put(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    struct put p;
    enum err e = put_parse(args, &p, why);

    return e || (e = schema_ready(t, why)) ? e : put_run(t, &p, ret_result, why);
}

/* --- artifact.delete --- */

static enum err path_delete(struct txn *t, int64_t repo_id, const char *path, struct why *why)
{
    int64_t blob = 0, size = 0;
    struct sql *q = sql_txn(t, "SELECT blob_id, size FROM artifact WHERE repo_id = ? AND path = ?");

    sql_bind(q, "is", repo_id, path);
    if (sql_row(q)) {
        blob = sql_int(q, 0);
        size = sql_int(q, 1);
    }
    sql_end(q);
    if (!blob)
        return fail(why, ERR_NOT_FOUND, "'%.200s' not found", path);
    check(!sql_do(t, "DELETE FROM artifact WHERE repo_id = ? AND path = ?", "is", repo_id, path));
    blob_unref(t, blob);
    stats_add(t, repo_id, -1, -size);
    return OK;
}

enum err op_artifact_delete(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *path = arg_text(args, "path");

    (void)ret_result;
    if (!path)
        return fail(why, ERR_BAD_REQUEST, "artifact.delete: no path");
    return path_delete(t, arg_int(args, "repo_id", 0), path, why);
}

/* --- artifact.commit: its items, in order --- */

/* Bytes that another path names get one more. */
static enum err item_link(struct txn *t, const json_t *item, struct put *p, struct why *why)
{
    unsigned char sha256[32];
    int64_t blob = 0;
    struct current c;
    const char *from = arg_text(item, "from_path"), *wanted = arg_text(item, "sha256");
    struct sql *q;
    enum err e;

    if (!from || !wanted || strlen(wanted) != 64 || !hex_decode(wanted, 64, sha256))
        return fail(why, ERR_BAD_REQUEST, "artifact.commit: bad link");
    q = sql_txn(t, "SELECT b.id, b.size, a.content_type FROM artifact a JOIN blob b ON b.id = a.blob_id "
                   "WHERE a.repo_id = ? AND a.path = ? AND b.sha256 = ? AND b.store = ?");
    sql_bind(q, "isbs", arg_int(item, "from_repo", 0), from, (const void *)sha256, (size_t)32, p->store);
    if (sql_row(q)) {
        blob = sql_int(q, 0);
        p->size = sql_int(q, 1);
        p->content_type = p->content_type ? p->content_type : sql_str(q, 2, txn_arena(t));
    }
    sql_end(q);
    if (!blob)
        return fail(why, ERR_PRECONDITION, "'%.200s' is not there, or not what you expected", from);
    memcpy(p->digests.sha256, sha256, 32);
    current_get(t, p, &c);
    if ((e = conditions_check(p, &c, why)) || (!c.exists && (e = place_check(t, p, why))))
        return e;
    check(!sql_do(t, "UPDATE blob SET refs = refs + 1 WHERE id = ?", "i", blob));
    path_set(t, p, &c, blob);
    return OK;
}

static enum err item_delete(struct txn *t, const json_t *item, const struct put *p, struct why *why)
{
    struct current c;
    enum err e;

    current_get(t, p, &c);
    if (!c.exists && json_is_true(json_object_get(item, "may_miss")))
        return OK;
    if ((c.exists || p->again) && (e = conditions_check(p, &c, why)))
        return e;
    return path_delete(t, p->repo_id, p->path, why);
}

static enum err item_expect(struct txn *t, const json_t *item, const struct put *p, struct why *why)
{
    bool exists = json_is_true(json_object_get(item, "exists"));
    struct current c;

    current_get(t, p, &c);
    if (exists != c.exists)
        return fail(why, ERR_PRECONDITION, "'%.200s' %s", p->path, exists ? "is not there" : "exists");
    return exists ? conditions_check(p, &c, why) : OK;
}

static enum err item_put(struct txn *t, const json_t *args, const json_t *item, struct why *why)
{
    json_t *ignored = NULL;
    struct put p;
    enum err e = put_parse(item, &p, why);

    if (e)
        return e;
    p.repo_id = arg_int(args, "repo_id", 0);
    p.owner = arg_text(args, "owner");
    e = put_run(t, &p, &ignored, why);
    json_decref(ignored);
    return e;
}

static enum err item_run(struct txn *t, const json_t *args, const json_t *item, struct why *why)
{
    const char *what = arg_text(item, "do");
    struct put p = {
        .repo_id = arg_int(args, "repo_id", 0), .path = arg_text(item, "path"),
        .store = arg_text(args, "store"), .key = "", .owner = arg_text(args, "owner"),
        .content_type = arg_text(item, "content_type"), .name = arg_text(item, "name"),
        .version = arg_text(item, "version"), .if_sha256 = arg_text(item, "if_sha256"),
        .if_absent = json_is_true(json_object_get(item, "if_absent")),
        .hidden = json_is_true(json_object_get(item, "hidden")),
        .again = json_is_true(json_object_get(item, "again")),
    };

    if (!what || !p.path || !*p.path || !p.store)
        return fail(why, ERR_BAD_REQUEST, "artifact.commit: bad item");
    if (!strcmp(what, "put"))
        return item_put(t, args, item, why);
    if (!strcmp(what, "link"))
        return item_link(t, item, &p, why);
    if (!strcmp(what, "delete"))
        return item_delete(t, item, &p, why);
    if (!strcmp(what, "expect"))
        return item_expect(t, item, &p, why);
    return fail(why, ERR_BAD_REQUEST, "artifact.commit: bad item");
}

/* An import that was done before: what came with this one is not needed. */
static enum err commit_already(struct txn *t, const json_t *items, json_t **ret_result, struct why *why)
{
    json_t *keys = json_array(), *abandon = json_pack("{s:o}", "keys", keys), *key;
    const json_t *item;
    enum err e;
    size_t i;

    json_array_foreach ((json_t *)items, i, item)
        if ((key = json_object_get(item, "key")))
            json_array_append(keys, key);
    e = op_upload_abandon(t, abandon, ret_result, why);
    json_decref(abandon);
    json_decref(*ret_result);
    *ret_result = json_pack("{s:b}", "already", 1);
    return e;
}

static enum err commit_imported(struct txn *t, const json_t *import, const json_t *items, struct why *why)
{
    const json_t *item;
    size_t i;

    json_array_foreach ((json_t *)items, i, item)
        if (arg_text(item, "key") && !json_is_true(json_object_get(item, "hidden")))
            import_created(t, import, arg_text(item, "path"));
    return import_end(t, import, why);
}

enum err op_artifact_commit(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const json_t *items = json_object_get(args, "items"), *item, *import = json_object_get(args, "import");
    const char *session = arg_text(args, "session");
    enum err e = schema_ready(t, why);
    bool done = false;
    size_t i;

    if (!e && import)
        e = import_begin(t, import, &done, why);
    if (!e && done)
        return commit_already(t, items, ret_result, why);
    if (!e && !repository_exists(t, arg_int(args, "repo_id", 0)))
        e = fail(why, ERR_NOT_FOUND, "the repository does not exist any more");
    if (!e && session)
        e = session_begin_end(t, session, why);
    json_array_foreach ((json_t *)items, i, item)
        if (!e)
            e = item_run(t, args, item, why);
    if (!e && import)
        e = commit_imported(t, import, items, why);
    if (!e && session)
        session_finish_end(t, session);
    return e;
}
