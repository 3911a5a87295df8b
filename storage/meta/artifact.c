/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/artifact.c: what a path of a repository names. References to blobs are counted in the same
 * transaction as the rows that name them change. */
#include "pantera/meta_artifact.h"

#include <string.h>

#include "pantera/limits.h"
#include "pantera/meta_blob.h"
#include "pantera/meta_search.h"
#include "pantera/text.h"
#include "storage/meta/objects.h"
#include "storage/meta/ops.h"

/* --- reading --- */

static bool digest_read(struct sql *q, int column, void *ret, size_t size)
{
    size_t n;
    const void *data = sql_blob(q, column, &n);

    if (!data || n != size)
        return false;
    memcpy(ret, data, size);
    return true;
}

enum err artifact_get(struct meta_reader *r, struct arena *a, int64_t repo_id, const char *path,
                      struct artifact_row *ret)
{
    struct sql *q = sql_read(r,
        "SELECT b.size, a.created_ms, a.modified_ms, a.content_type, a.owner, b.store, b.key, "
        "b.sha256, b.sha1, b.md5, b.sha512 FROM artifact a JOIN blob b ON b.id = a.blob_id "
        "WHERE a.repo_id = ? AND a.path = ?");
    struct digest_values *d = &ret->digests;
    bool found;

    sql_bind(q, "is", repo_id, path);
    if ((found = sql_row(q))) {
        ret->size = sql_int(q, 0);
        ret->created_ms = sql_int(q, 1);
        ret->modified_ms = sql_int(q, 2);
        ret->content_type = sql_str(q, 3, a);
        ret->owner = sql_str(q, 4, a);
        ret->store = sql_str(q, 5, a);
        ret->key = sql_str(q, 6, a);
        d->kinds = (digest_read(q, 7, d->sha256, sizeof d->sha256) ? DIGEST_SHA256 : 0u) |
                   (digest_read(q, 8, d->sha1, sizeof d->sha1) ? DIGEST_SHA1 : 0u) |
                   (digest_read(q, 9, d->md5, sizeof d->md5) ? DIGEST_MD5 : 0u) |
                   (digest_read(q, 10, d->sha512, sizeof d->sha512) ? DIGEST_SHA512 : 0u);
    }
    sql_end(q);
    return found ? OK : ERR_NOT_FOUND;
}

/* A scan that seeks over each folder it meets. */
struct children {
    struct meta_reader *reader;
    struct arena *arena;
    int64_t repo_id;
    const char *prefix;          /* "" or "folder/" */
    size_t prefix_length;
    struct artifact_child *rows;
    unsigned count, limit;
    bool more;
};

/* Reads on from `from`, up to the first folder. Where to go on; NULL: that was all. The upper bound of a
 * folder's paths is its name followed by '0', the byte after '/'. */
static const char *children_run(struct children *c, const char *from, const char *to)
{
    struct sql *q = sql_read(c->reader, "SELECT path, size, modified_ms FROM artifact "
                                        "WHERE repo_id = ?1 AND path >= ?2 "
                                        "AND (?3 IS NULL OR path < ?3) ORDER BY path");
    const char *next = NULL;

    sql_bind(q, "iss", c->repo_id, from, to);
    while (!next && sql_row(q)) {
        const char *name = sql_str(q, 0, NULL) + c->prefix_length, *slash = strchr(name, '/');
        struct artifact_child *row = &c->rows[c->count];
        if (c->count == c->limit) {
            c->more = true;
            break;
        }
        c->count++;
        row->name = slash ? arena_strndup(c->arena, name, (size_t)(slash - name))
                          : arena_strdup(c->arena, name);
        row->directory = slash != NULL;
        if (slash) {
            next = arena_printf(c->arena, "%s%s0", c->prefix, row->name);
        } else {
            row->size = sql_int(q, 1);
            row->modified_ms = sql_int(q, 2);
        }
    }
    sql_end(q);
    return next;
}

enum err artifact_children(struct meta_reader *r, struct arena *a, int64_t repo_id,
                           const char *folder, const char *after, unsigned limit,
                           struct artifact_child **ret, unsigned *ret_count, bool *ret_more)
{
    struct children c = { .reader = r, .arena = a, .repo_id = repo_id, .limit = limit };
    const char *from, *to = NULL;
    size_t n = after ? strlen(after) : 0;

    c.prefix = *folder ? arena_printf(a, "%s/", folder) : "";
    c.prefix_length = strlen(c.prefix);
    c.rows = arena_alloc(a, (limit + 1) * sizeof *c.rows);
    from = c.prefix;
    if (*folder)
        to = arena_printf(a, "%s0", folder);
    if (n && after[n - 1] == '/')
        from = arena_printf(a, "%s%.*s0", c.prefix, (int)n - 1, after);
    else if (n)
        from = arena_printf(a, "%s%s\x01", c.prefix, after); /* no path holds a control byte */
    sql_snapshot_begin(r);
    while (from && !c.more)
        from = children_run(&c, from, to);
    sql_snapshot_end(r);
    if (*folder && !c.count && !n)
        return ERR_NOT_FOUND;
    *ret = c.rows;
    *ret_count = c.count;
    *ret_more = c.more;
    return OK;
}

/* --- artifact.put --- */

struct put {
    int64_t repo_id, size;
    const char *path, *store, *key, *content_type, *owner;
    const char *if_sha256, *name, *version;
    bool if_absent;
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
    };
    d->kinds = (digest_arg(args, "sha256", d->sha256, 32, &bad) ? DIGEST_SHA256 : 0u) |
               (digest_arg(args, "sha1", d->sha1, 20, &bad) ? DIGEST_SHA1 : 0u) |
               (digest_arg(args, "md5", d->md5, 16, &bad) ? DIGEST_MD5 : 0u) |
               (digest_arg(args, "sha512", d->sha512, 64, &bad) ? DIGEST_SHA512 : 0u);
    if (bad || !(d->kinds & DIGEST_SHA256) || ret->repo_id <= 0 || ret->size < 0 || !ret->path ||
        !*ret->path || !ret->store || !ret->key)
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
        digest_read(q, 5, ret->sha256, sizeof ret->sha256);
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
    unsigned char wanted[32];

    if (p->if_absent && c->exists)
        return fail(why, ERR_PRECONDITION, "it exists already");
    if (!p->if_sha256)
        return OK;
    if (!c->exists || strlen(p->if_sha256) != 64 || !hex_decode(p->if_sha256, 64, wanted) ||
        memcmp(wanted, c->sha256, 32))
        return fail(why, ERR_PRECONDITION, "it is not what you expected");
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

/* Looks at the repository and at the key. *ret_done: a retry of what has happened. */
static enum err put_check(struct txn *t, const struct put *p, const struct current *c,
                          bool *ret_done, struct why *why)
{
    struct sql *q = sql_txn(t, "SELECT 1 FROM repository WHERE id = ?");
    bool found;

    *ret_done = false;
    sql_bind(q, "i", p->repo_id);
    found = sql_row(q);
    sql_end(q);
    if (!found)
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
                     "modified_ms, owner, name, version, doc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                  "isiisiisssi", p->repo_id, p->path, blob, p->size, p->content_type, txn_now(t),
                  modified, p->owner, name, version, counter_next(t, "artifact_doc")));
}

enum err op_artifact_put(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    struct put p;
    struct current c;
    bool shared, done;
    int64_t blob;
    enum err e = put_parse(args, &p, why);

    if (e || (e = schema_ready(t, why)))
        return e;
    current_get(t, &p, &c);
    if ((e = put_check(t, &p, &c, &done, why)))
        return e;
    if (done) {
        *ret_result = put_result(c.created_ms == c.modified_ms, p.size, !c.same_key);
        return OK;
    }
    if (!c.exists && (e = place_check(t, &p, why)))
        return e;
    check(!sql_do(t, "DELETE FROM upload WHERE key = ?", "s", p.key));
    blob = blob_ref(t, &p, &shared);
    row_write(t, &p, &c, blob);
    if (c.exists)
        blob_unref(t, c.blob_id);
    stats_add(t, p.repo_id, !c.exists, p.size - c.size);
    *ret_result = put_result(!c.exists, p.size, shared);
    return OK;
}

enum err op_artifact_delete(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *path = arg_text(args, "path");
    int64_t repo_id = arg_int(args, "repo_id", 0), blob = 0, size = 0;
    struct sql *q;

    (void)ret_result;
    if (!path)
        return fail(why, ERR_BAD_REQUEST, "artifact.delete: no path");
    q = sql_txn(t, "SELECT blob_id, size FROM artifact WHERE repo_id = ? AND path = ?");
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
