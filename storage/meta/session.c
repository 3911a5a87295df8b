/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/session.c: uploads of several requests. A chunk's key goes from `upload` to `upload_chunk`,
 * and from there to a blob or to the garbage: it is always in exactly one of them. */
#include "pantera/meta_session.h"

#include <string.h>

#include "pantera/text.h"
#include "storage/meta/objects.h"
#include "storage/meta/ops.h"

/* --- reading --- */

/* The table comes with a migration; until then there are none. */
static bool there(struct meta_reader *r)
{
    struct sql *q = sql_read(r, "SELECT 1 FROM sqlite_master WHERE name = 'upload_session'");
    bool found = sql_row(q);

    sql_end(q);
    return found;
}

enum err session_get(struct meta_reader *r, struct arena *a, int64_t repo_id, const char *id,
                     struct session_row *ret)
{
    struct sql *q;
    bool found;

    if (!there(r))
        return ERR_NOT_FOUND;
    q = sql_read(r, "SELECT scope, owner, size, chunks, created_ms FROM upload_session "
                    "WHERE id = ? AND repo_id = ?");
    sql_bind(q, "si", id, repo_id);
    if ((found = sql_row(q)))
        *ret = (struct session_row){ .scope = sql_str(q, 0, a), .owner = sql_str(q, 1, a),
                                     .size = sql_int(q, 2), .chunks = sql_int(q, 3),
                                     .created_ms = sql_int(q, 4) };
    sql_end(q);
    return found ? OK : ERR_NOT_FOUND;
}

void session_chunks(struct meta_reader *r, struct arena *a, const char *id, struct session_chunk **ret,
                    unsigned *ret_count)
{
    struct session_chunk *rows = arena_alloc(a, SESSION_CHUNKS * sizeof *rows);
    struct sql *q = sql_read(r, "SELECT start, size, key, store, sha256 FROM upload_chunk "
                                "WHERE session = ? ORDER BY start, size");
    unsigned n = 0;
    size_t length;

    sql_bind(q, "s", id);
    while (n < SESSION_CHUNKS && sql_row(q)) {
        struct session_chunk *c = &rows[n++];
        *c = (struct session_chunk){ .start = sql_int(q, 0), .size = sql_int(q, 1),
                                     .key = sql_str(q, 2, a), .store = sql_str(q, 3, a) };
        const void *digest = sql_blob(q, 4, &length);
        if (digest && length == sizeof c->sha256)
            memcpy(c->sha256, digest, sizeof c->sha256);
    }
    sql_end(q);
    *ret = rows;
    *ret_count = n;
}

bool session_sweep_due(struct meta_reader *r, int64_t before_ms)
{
    struct sql *q;
    bool due;

    if (!there(r))
        return false;
    q = sql_read(r, "SELECT 1 FROM upload_session WHERE touched_ms < ? LIMIT 1");
    sql_bind(q, "i", before_ms);
    due = sql_row(q);
    sql_end(q);
    return due;
}

/* --- operations --- */

static enum err ready(struct txn *t, struct why *why)
{
    if (sql_exists(t, "SELECT 1 FROM sqlite_master WHERE name = ?", "s", "upload_session", NULL))
        return OK;
    return fail(why, ERR_UNAVAILABLE, "the cluster is being upgraded; try again");
}

static bool repository_has(struct txn *t, const char *text, int64_t repo_id)
{
    struct sql *q = sql_txn(t, text);
    bool found;

    sql_bind(q, "i", repo_id);
    found = sql_row(q);
    sql_end(q);
    return found;
}

enum err op_session_open(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *id = arg_text(args, "id"), *scope = arg_text(args, "scope");
    int64_t repo_id = arg_int(args, "repo_id", 0);
    enum err e = ready(t, why);

    (void)ret_result;
    if (e)
        return e;
    if (!id || !*id || !scope)
        return fail(why, ERR_BAD_REQUEST, "session.open: bad arguments");
    if (!repository_has(t, "SELECT 1 FROM repository WHERE id = ?", repo_id))
        return fail(why, ERR_NOT_FOUND, "the repository does not exist any more");
    if (sql_exists(t, "SELECT 1 FROM upload_session WHERE id = ?", "s", id, NULL))
        return OK; /* a retry: nobody else draws the same one */
    if (repository_has(t, "SELECT 1 FROM upload_session WHERE repo_id = ? LIMIT 1 OFFSET 9999", repo_id))
        return fail(why, ERR_TOO_MANY, "%d uploads into this repository are open", SESSIONS_OF_REPOSITORY);
    check(!sql_do(t, "INSERT INTO upload_session (id, repo_id, scope, owner, size, chunks, created_ms, "
                     "touched_ms) VALUES (?, ?, ?, ?, 0, 0, ?, ?)", "sissii", id, repo_id, scope,
                  arg_text(args, "owner"), txn_now(t), txn_now(t)));
    return OK;
}

struct append {
    const char *id, *key, *store;
    int64_t repo_id, offset, size;
    unsigned char sha256[32];
};

static enum err append_parse(const json_t *args, struct append *ret, struct why *why)
{
    const char *hex = arg_text(args, "sha256");

    *ret = (struct append){
        .id = arg_text(args, "id"), .key = arg_text(args, "key"), .store = arg_text(args, "store"),
        .repo_id = arg_int(args, "repo_id", 0), .offset = arg_int(args, "offset", -1),
        .size = arg_int(args, "size", -1),
    };
    if (!ret->id || !ret->key || !ret->store || ret->offset < 0 || ret->size < 0 || !hex ||
        strlen(hex) != 64 || !hex_decode(hex, 64, ret->sha256))
        return fail(why, ERR_BAD_REQUEST, "session.append: bad arguments");
    return OK;
}

/* Where the session stands. */
static enum err append_check(struct txn *t, const struct append *p, bool *ret_done, struct why *why)
{
    struct sql *q = sql_txn(t, "SELECT size, chunks FROM upload_session WHERE id = ? AND repo_id = ?");
    int64_t size = -1, chunks = 0;

    sql_bind(q, "si", p->id, p->repo_id);
    if (sql_row(q)) {
        size = sql_int(q, 0);
        chunks = sql_int(q, 1);
    }
    sql_end(q);
    *ret_done = false;
    if (size < 0)
        return fail(why, ERR_NOT_FOUND, "there is no such upload");
    if (sql_exists(t, "SELECT 1 FROM upload_chunk WHERE session = ? AND key = ?", "ss", p->id, p->key)) {
        *ret_done = true; /* a retry */
        return OK;
    }
    if (size != p->offset)
        return fail(why, ERR_RANGE, "the upload has %lld bytes", (long long)size);
    if (chunks >= SESSION_CHUNKS)
        return fail(why, ERR_TOO_BIG, "an upload has at most %d chunks", SESSION_CHUNKS);
    if (!sql_exists(t, "SELECT 1 FROM upload WHERE key = ? AND store = ?", "ss", p->key, p->store))
        return fail(why, ERR_UNAVAILABLE, "the chunk was given up; try again");
    return OK;
}

enum err op_session_append(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    struct append p;
    bool done;
    enum err e = ready(t, why);

    if (e || (e = append_parse(args, &p, why)) || (e = append_check(t, &p, &done, why)))
        return e;
    *ret_result = json_pack("{s:I}", "size", (json_int_t)(p.offset + p.size));
    if (done)
        return OK;
    check(!sql_do(t, "DELETE FROM upload WHERE key = ?", "s", p.key));
    check(!sql_do(t, "INSERT INTO upload_chunk (session, start, size, key, store, sha256) "
                     "VALUES (?, ?, ?, ?, ?, ?)", "siissb", p.id, p.offset, p.size, p.key, p.store,
                  (const void *)p.sha256, sizeof p.sha256));
    check(!sql_do(t, "UPDATE upload_session SET size = size + ?, chunks = chunks + 1, touched_ms = ? "
                     "WHERE id = ?", "iis", p.size, txn_now(t), p.id));
    return OK;
}

/* --- the end of one --- */

struct object {
    const char *key, *store;
    struct object *next;
};

#define CHUNKS "SELECT key, store FROM upload_chunk WHERE session = ?"

/* `text` selects key and store by the session's id. */
static struct object *objects_of(struct txn *t, const char *text, const char *id)
{
    struct sql *q = sql_txn(t, text);
    struct object *list = NULL;

    sql_bind(q, "s", id);
    while (sql_row(q)) {
        struct object *o = arena_alloc(txn_arena(t), sizeof *o);
        o->key = sql_str(q, 0, txn_arena(t));
        o->store = sql_str(q, 1, txn_arena(t));
        o->next = list;
        list = o;
    }
    sql_end(q);
    return list;
}

static void rows_delete(struct txn *t, const char *id)
{
    check(!sql_do(t, "DELETE FROM upload_chunk WHERE session = ?", "s", id));
    check(!sql_do(t, "DELETE FROM upload_session WHERE id = ?", "s", id));
}

/* Its keys are reserved ones for the rest of the operation: what it does not name becomes garbage at its
 * end. */
enum err session_begin_end(struct txn *t, const char *id, struct why *why)
{
    enum err e = ready(t, why);

    if (e)
        return e;
    for (struct object *o = objects_of(t, CHUNKS, id); o; o = o->next)
        check(!sql_do(t, "INSERT INTO upload (key, store, node, incarnation, created_ms) "
                         "VALUES (?, ?, 0, ?, ?)", "sssi", o->key, o->store, id, txn_now(t)));
    rows_delete(t, id);
    return OK;
}

void session_finish_end(struct txn *t, const char *id)
{
    struct object *list =
        objects_of(t, "SELECT key, store FROM upload WHERE node = 0 AND incarnation = ?", id);

    for (; list; list = list->next) {
        check(!sql_do(t, "DELETE FROM upload WHERE key = ?", "s", list->key));
        garbage_add(t, list->key, list->store);
    }
}

bool session_in_store(struct txn *t, const char *store)
{
    return !ready(t, NULL) &&
           sql_exists(t, "SELECT 1 FROM upload_chunk WHERE store = ? LIMIT 1", "s", store, NULL);
}

static void session_drop(struct txn *t, const char *id)
{
    for (struct object *o = objects_of(t, CHUNKS, id); o; o = o->next)
        garbage_add(t, o->key, o->store);
    rows_delete(t, id);
}

enum err op_session_cancel(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *id = arg_text(args, "id");
    struct sql *q;
    bool found;
    enum err e = ready(t, why);

    (void)ret_result;
    if (e)
        return e;
    if (!id)
        return fail(why, ERR_BAD_REQUEST, "session.cancel: no id");
    q = sql_txn(t, "SELECT 1 FROM upload_session WHERE id = ? AND repo_id = ?");
    sql_bind(q, "si", id, arg_int(args, "repo_id", 0));
    found = sql_row(q);
    sql_end(q);
    if (!found)
        return fail(why, ERR_NOT_FOUND, "there is no such upload");
    session_drop(t, id);
    return OK;
}

enum { SWEEP_MOST = 500 };

enum err op_session_sweep(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *ids[SWEEP_MOST];
    int64_t chunks = 0;
    unsigned n = 0;
    struct sql *q;
    enum err e = ready(t, why);

    if (e)
        return e;
    q = sql_txn(t, "SELECT id, chunks FROM upload_session WHERE touched_ms < ? ORDER BY touched_ms");
    sql_bind(q, "i", arg_int(args, "before_ms", 0));
    /* One entry of the log has to hold it. */
    while (n < SWEEP_MOST && chunks < SESSION_CHUNKS && sql_row(q)) {
        ids[n++] = sql_str(q, 0, txn_arena(t));
        chunks += sql_int(q, 1);
    }
    sql_end(q);
    for (unsigned i = 0; i < n; i++)
        session_drop(t, ids[i]);
    *ret_result = json_pack("{s:i}", "deleted", (int)n);
    return OK;
}
