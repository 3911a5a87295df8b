/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/import.c: imports by idempotency key. import.put is artifact.put and the session's row in one
 * operation, so that a key that is known means an artifact that is there; artifact.commit writes the row,
 * too, for formats that have an index to write with it. */
#include "pantera/meta_import.h"

#include <string.h>

#include "pantera/text.h"
#include "storage/meta/objects.h"
#include "storage/meta/ops.h"

/* --- reading --- */

#define SESSION \
    "SELECT s.repo_id, s.path, s.size, s.sha256, s.sha1, s.md5, s.told, s.metadata_only, b.sha256" \
    " FROM import_session s LEFT JOIN artifact a ON a.repo_id = s.repo_id AND a.path = s.path" \
    " LEFT JOIN blob b ON b.id = a.blob_id WHERE s.key = ?"

static enum err session_read(struct sql *q, struct arena *a, const char *key,
                             struct import_session *ret)
{
    struct digest_values *d = &ret->digests;
    unsigned char now[32];
    *ret = (struct import_session){ 0 };
    sql_bind(q, "s", key);
    if (!sql_row(q)) {
        sql_end(q);
        return ERR_NOT_FOUND;
    }
    ret->repo_id = sql_int(q, 0);
    ret->path = sql_str(q, 1, a);
    ret->size = sql_int(q, 2);
    d->kinds = (sql_digest(q, 3, d->sha256, 32) ? DIGEST_SHA256 : 0u) |
               (sql_digest(q, 4, d->sha1, 20) ? DIGEST_SHA1 : 0u) |
               (sql_digest(q, 5, d->md5, 16) ? DIGEST_MD5 : 0u);
    ret->told = sql_int(q, 6) != 0;
    ret->metadata_only = sql_int(q, 7) != 0;
    bool there = sql_digest(q, 8, now, 32);
    ret->present = there && d->kinds & DIGEST_SHA256 && memcmp(now, d->sha256, 32) == 0;
    ret->replaced = there && !ret->present;
    sql_end(q);
    return OK;
}

enum err import_get(struct meta_reader *r, struct arena *a, const char *key,
                    struct import_session *ret)
{
    return session_read(sql_read(r, SESSION), a, key, ret);
}

bool import_sweep_due(struct meta_reader *r, int64_t before_ms)
{
    struct sql *q = sql_read(r, "SELECT 1 FROM import_session WHERE done_ms < ? LIMIT 1");
    sql_bind(q, "i", before_ms);
    bool due = sql_row(q);
    sql_end(q);
    return due;
}

/* --- operations --- */

/* A binary that is newer than the schema runs until the migration comes. */
static enum err ready(struct txn *t, struct why *why)
{
    if (sql_exists(t, "SELECT 1 FROM sqlite_master WHERE name = ?", "s", "import_session", NULL))
        return OK;
    return fail(why, ERR_UNAVAILABLE, "the cluster is being upgraded; try again");
}

struct digest_column {
    unsigned char bytes[32];
    size_t size;
    bool there;
};

static bool digest_arg(const json_t *args, const char *name, size_t size, struct digest_column *ret)
{
    const char *text = arg_text(args, name);
    *ret = (struct digest_column){ .size = size };
    if (!text)
        return true;
    ret->there = true;
    return strlen(text) == 2 * size && hex_decode(text, 2 * size, ret->bytes);
}

/* NULL unless it was given: 0 is a time like any other. */
static void time_set(struct txn *t, const char *text, const json_t *args, const char *name,
                     const char *key)
{
    if (json_is_integer(json_object_get(args, name)))
        check(!sql_do(t, text, "is", arg_int(args, name, 0), key));
}

static enum err session_write(struct txn *t, const json_t *args, const json_t *session,
                              struct why *why)
{
    const char *key = arg_text(session, "key"), *path = arg_text(args, "path");
    const char *type = arg_text(session, "repo_type");
    bool told = json_is_true(json_object_get(session, "told"));
    struct digest_column sha256, sha1, md5;
    /* What the client told stands beside what was found out; SHA-256 is always found out. */
    if (!digest_arg(json_object_get(args, "sha256") ? args : session, "sha256", 32, &sha256) ||
        !digest_arg(told ? session : args, "sha1", 20, &sha1) ||
        !digest_arg(told ? session : args, "md5", 16, &md5) || !path || !type)
        return fail(why, ERR_BAD_REQUEST, "import.put: bad arguments");
    check(!sql_do(t, "INSERT OR REPLACE INTO import_session (key, repo_id, path, size, sha256, sha1,"
                     " md5, told, metadata_only, repo_type, name, version, owner, imported_by,"
                     " done_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                  "sisibbbiisssssi", key, arg_int(args, "repo_id", 0), path,
                  arg_int(args, "size", 0), (const void *)(sha256.there ? sha256.bytes : NULL),
                  sha256.size, (const void *)(sha1.there ? sha1.bytes : NULL), sha1.size,
                  (const void *)(md5.there ? md5.bytes : NULL), md5.size, (int64_t)told,
                  (int64_t)json_is_true(json_object_get(session, "metadata_only")), type,
                  arg_text(session, "name"), arg_text(session, "version"), arg_text(args, "owner"),
                  arg_text(session, "by"), txn_now(t)));
    time_set(t, "UPDATE import_session SET artifact_created_ms = ? WHERE key = ?", session,
             "created_ms", key);
    time_set(t, "UPDATE import_session SET artifact_release_ms = ? WHERE key = ?", session,
             "release_ms", key);
    return OK;
}

/* The bytes that came with a replay are not needed. */
static enum err already(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *key = arg_text(args, "key");
    json_t *result = NULL;
    enum err e = OK;
    if (key) {
        json_t *abandon = json_pack("{s:[s]}", "keys", key);
        e = op_upload_abandon(t, abandon, &result, why);
        json_decref(abandon);
        json_decref(result);
    }
    *ret_result = json_pack("{s:b, s:b}", "created", 0, "already", 1);
    return e;
}

static bool same(const struct digest_column *given, bool there, const void *kept, size_t size)
{
    return !given->there || !there || memcmp(given->bytes, kept, size) == 0;
}

/* Without bytes the client's word is compared, as far as it was given both times. */
static bool told_same(const struct import_session *s, const json_t *args)
{
    const json_t *session = json_object_get(args, "session");
    const struct digest_values *d = &s->digests;
    struct digest_column sha256, sha1, md5;
    return s->size == arg_int(args, "size", 0) && digest_arg(session, "sha256", 32, &sha256) &&
           digest_arg(session, "sha1", 20, &sha1) && digest_arg(session, "md5", 16, &md5) &&
           same(&sha256, d->kinds & DIGEST_SHA256, d->sha256, 32) &&
           same(&sha1, d->kinds & DIGEST_SHA1, d->sha1, 20) &&
           same(&md5, d->kinds & DIGEST_MD5, d->md5, 16);
}

/* A key that is known: the same import again (OK, *ret_again), one to do anew (OK), or another. */
static enum err known(const struct import_session *s, const json_t *args, bool metadata_only,
                      bool *ret_again, struct why *why)
{
    const char *path = arg_text(args, "path");
    struct digest_column sha256;
    if (s->repo_id != arg_int(args, "repo_id", 0) || !path || strcmp(s->path, path) != 0 ||
        s->metadata_only != metadata_only)
        return fail(why, ERR_CONFLICT, "the idempotency key was used for another import");
    if (metadata_only) {
        *ret_again = told_same(s, args);
        return *ret_again ? OK : fail(why, ERR_CONFLICT, "the idempotency key was used for other bytes");
    }
    if (s->replaced)
        return fail(why, ERR_CONFLICT, "the artifact has been replaced since it was imported under "
                                       "this idempotency key");
    if (!digest_arg(args, "sha256", 32, &sha256) || memcmp(sha256.bytes, s->digests.sha256, 32))
        return fail(why, ERR_CONFLICT, "the idempotency key was used for other bytes");
    *ret_again = s->present;
    return OK;
}

enum err import_begin(struct txn *t, const json_t *args, bool *ret_done, struct why *why)
{
    const json_t *session = json_object_get(args, "session");
    const char *key = arg_text(session, "key");
    struct import_session s;
    enum err e = ready(t, why);
    *ret_done = false;
    if (e)
        return e;
    if (!key || !*key || strlen(key) > IMPORT_KEY_MOST)
        return fail(why, ERR_BAD_REQUEST, "import.put: bad key");
    if (session_read(sql_txn(t, SESSION), txn_arena(t), key, &s))
        return OK;
    return known(&s, args, json_is_true(json_object_get(session, "metadata_only")), ret_done, why);
}

enum err import_end(struct txn *t, const json_t *args, struct why *why)
{
    return session_write(t, args, json_object_get(args, "session"), why);
}

void import_created(struct txn *t, const json_t *args, const char *path)
{
    int64_t created = arg_int(json_object_get(args, "session"), "created_ms", -1);
    if (created >= 0)
        check(!sql_do(t, "UPDATE artifact SET created_ms = ? WHERE repo_id = ? AND path = ?", "iis", created,
                      arg_int(args, "repo_id", 0), path));
}

enum err op_import_put(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const json_t *session = json_object_get(args, "session");
    int64_t repo_id = arg_int(args, "repo_id", 0);
    bool metadata_only = json_is_true(json_object_get(session, "metadata_only")), again;
    enum err e = import_begin(t, args, &again, why);
    if (e)
        return e;
    if (again)
        return already(t, args, ret_result, why);
    if (metadata_only) {
        struct sql *q = sql_txn(t, "SELECT 1 FROM repository WHERE id = ?");
        sql_bind(q, "i", repo_id);
        e = sql_row(q) ? OK : fail(why, ERR_NOT_FOUND, "the repository does not exist any more");
        sql_end(q);
        *ret_result = json_pack("{s:b}", "created", 1);
    } else {
        e = op_artifact_put(t, args, ret_result, why);
        if (!e)
            import_created(t, args, arg_text(args, "path"));
    }
    return e ? e : import_end(t, args, why);
}

enum err op_import_sweep(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    int64_t limit = arg_int(args, "limit", 500);
    enum err e = ready(t, why);
    if (e)
        return e;
    if (limit < 1 || limit > 500)
        return fail(why, ERR_BAD_REQUEST, "import.sweep: limit is 1 to 500");
    check(!sql_do(t, "DELETE FROM import_session WHERE key IN (SELECT key FROM import_session"
                     " WHERE done_ms < ? ORDER BY done_ms LIMIT ?)",
                  "ii", arg_int(args, "before_ms", 0), limit));
    *ret_result = json_pack("{s:I}", "deleted", (json_int_t)sql_changes(t));
    return OK;
}
