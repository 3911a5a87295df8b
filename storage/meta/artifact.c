/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/artifact.c: what a path of a repository names, and what is in a folder (artifact_put.c changes
 * it). */
#include "pantera/meta_artifact.h"

#include <string.h>

#include "storage/meta/sql.h"

/* --- reading --- */

enum err artifact_get(struct meta_reader *r, struct arena *a, int64_t repo_id, const char *path,
                      struct artifact_row *ret)
{
    struct sql *q = sql_read(r,
        "SELECT b.size, a.created_ms, a.modified_ms, a.content_type, a.owner, b.store, b.key, "
        "b.sha256, b.sha1, b.md5, b.sha512, a.name, a.version "
        "FROM artifact a JOIN blob b ON b.id = a.blob_id "
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
        ret->name = sql_str(q, 11, a);
        ret->version = sql_str(q, 12, a);
        d->kinds = (sql_digest(q, 7, d->sha256, sizeof d->sha256) ? DIGEST_SHA256 : 0u) |
                   (sql_digest(q, 8, d->sha1, sizeof d->sha1) ? DIGEST_SHA1 : 0u) |
                   (sql_digest(q, 9, d->md5, sizeof d->md5) ? DIGEST_MD5 : 0u) |
                   (sql_digest(q, 10, d->sha512, sizeof d->sha512) ? DIGEST_SHA512 : 0u);
    }
    sql_end(q);
    return found ? OK : ERR_NOT_FOUND;
}

#define PLACES(digest) "SELECT r.name, a.path FROM blob b JOIN artifact a ON a.blob_id = b.id " \
    "JOIN repository r ON r.id = a.repo_id WHERE b.store = ? AND b." digest " = ? LIMIT ?"

/* A replica that is still on the older schema would have to read all blobs. */
static bool has_sha512_index(struct meta_reader *r)
{
    struct sql *q = sql_read(r, "SELECT 1 FROM sqlite_master WHERE name = 'blob_by_sha512'");
    bool yes = sql_row(q);

    sql_end(q);
    return yes;
}

unsigned artifact_places(struct meta_reader *r, struct arena *a, const char *store,
                         const struct digest_values *d, unsigned limit, struct artifact_place *ret)
{
    bool longer = !(d->kinds & DIGEST_SHA256);
    unsigned n = 0;
    struct sql *q;

    if (longer && !has_sha512_index(r))
        return 0;
    q = sql_read(r, longer ? PLACES("sha512") : PLACES("sha256"));
    sql_bind(q, "sbi", store, longer ? (const void *)d->sha512 : (const void *)d->sha256,
             longer ? sizeof d->sha512 : sizeof d->sha256, (int64_t)limit);
    while (n < limit && sql_row(q)) {
        ret[n].repo = sql_str(q, 0, a);
        ret[n++].path = sql_str(q, 1, a);
    }
    sql_end(q);
    return n;
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
    struct sql *q = sql_read(c->reader, "SELECT path, size, modified_ms, doc IS NULL FROM artifact "
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
        row->hidden = sql_int(q, 3) != 0 && (!slash || *name == '.');
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
