/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/put.c: a body becomes an artifact.
 *
 *   KEY ──→ RECV ──→ SEAL ──→ COMMIT ──→ (freed)        any state → (freed) on failure
 *
 *   KEY     waits on a reserved key (keys.c); mostly there at once
 *   RECV    waits on chunks of the body and on the store, two buffers so that both run
 *   SEAL    waits on the store's word that the bytes are durable; then digests are compared
 *   COMMIT  waits on artifact.put
 *
 * The client may go at any time: before COMMIT all is undone, from COMMIT on the operation ends by itself
 * and nobody is told. Memory: at most two buffers of 128 KiB, however long the body is. */
#include <stdlib.h>
#include <string.h>

#include "pantera/ids.h"
#include "pantera/limits.h"
#include "pantera/log.h"
#include "pantera/text.h"
#include "src/registry/internal.h"

#define CHUNK KIB(64) /* of http_body_read: the most that comes at once */

enum put_state { PUT_KEY, PUT_RECV, PUT_SEAL, PUT_COMMIT };

static const unsigned put_next[] = {
    [PUT_KEY] = 1u << PUT_RECV,
    [PUT_RECV] = 1u << PUT_SEAL,
    [PUT_SEAL] = 1u << PUT_COMMIT,
    [PUT_COMMIT] = 0,
};

struct put_buffer {
    char *data;
    size_t size, capacity;
};

struct put_link { /* the request's memory: how it finds a put that may be gone */
    struct put *put;
};

struct put {
    enum put_state state;
    struct http_request *req;    /* NULL: the client is gone */
    struct put_link *link;
    struct worker *worker;
    registry_put_cb *done;
    struct arena arena;
    /* where to */
    int64_t repo_id, max;
    const char *path, *content_type, *owner, *store_name;
    bool if_absent;
    const char *if_sha256;
    const char *op;
    json_t *session;
    /* what the client says that it sends */
    struct digest_values expected;
    int64_t size;                /* -1: did not say */
    unsigned kinds;
    /* how far */
    struct key_wait wait;
    struct store *store;
    struct blob_put blob;
    bool blob_open, touched;     /* touched: something may be stored under the key */
    struct put_buffer buffers[2];
    unsigned writing;            /* index of the buffer that the store has, if `busy` */
    bool busy, paused, ended;
    struct proposal proposal;
    struct registry_put_result result;
};

static void put_to(struct put *p, enum put_state next)
{
    check(put_next[p->state] & 1u << next);
    p->state = next;
}

static void put_free(struct put *p)
{
    if (p->link)
        p->link->put = NULL;
    if (p->store)
        store_unref(p->worker->registry, p->store);
    json_decref(p->proposal.result);
    json_decref(p->session);
    free(p->buffers[0].data);
    free(p->buffers[1].data);
    arena_release(&p->arena);
    free(p);
}

/* The one end. Before COMMIT whatever was stored is given up. */
static void put_end(struct put *p, enum err e, const struct why *why)
{
    struct http_request *req = p->req;
    registry_put_cb *done = p->done;
    struct registry_put_result result = p->result;
    struct why text = why ? *why : (struct why){ "" };

    if (p->blob_open)
        blob_put_abort(&p->blob);
    if (e && p->wait.key[0] && p->touched)
        keys_abandon(p->wait.key, &p->worker->loop);
    else if (e && p->wait.key[0])
        keys_give_back(p->store_name, p->wait.key);
    put_free(p);
    if (req)
        done(req, e, &text, e && e != ERR_DIGEST_MISMATCH ? NULL : &result);
}

static void put_gone(void *arg)
{
    struct put_link *link = arg;
    struct put *p = link->put;

    if (!p)
        return;
    link->put = NULL;
    p->link = NULL;
    p->req = NULL;
    if (p->state == PUT_RECV || p->state == PUT_SEAL)
        put_end(p, ERR_CLOSED, NULL);
    /* KEY and COMMIT have a callback to come, which finds no request. */
}

/* --- COMMIT --- */

static void on_committed(struct proposal *proposal)
{
    struct put *p = proposal->arg;
    struct why why = proposal->why;
    enum err e = proposal->err;

    if (!e) {
        p->result.created = json_is_true(json_object_get(proposal->result, "created"));
        p->result.already = json_is_true(json_object_get(proposal->result, "already"));
    } else if (e == ERR_UNAVAILABLE) {
        keys_forget(p->store_name); /* a key of ours is not reserved any more: nor are its siblings */
    }
    put_end(p, e, &why);
}

static void set_digest(json_t *args, const char *name, const void *data, size_t size)
{
    char hex[129];

    hex_encode(data, size, hex);
    json_object_set_new(args, name, json_string(hex));
}

static void put_commit(struct put *p)
{
    const struct digest_values *d = &p->blob.digests;
    json_t *args = json_pack("{s:I, s:s, s:s, s:s, s:I, s:s?, s:s?, s:s?, s:b}",
                             "repo_id", (json_int_t)p->repo_id, "path", p->path,
                             "store", p->store_name, "key", p->wait.key,
                             "size", (json_int_t)p->blob.size, "content_type", p->content_type,
                             "owner", p->owner, "if_sha256", p->if_sha256,
                             "if_absent", p->if_absent);

    if (!args) { /* only text that is not UTF-8 can do that */
        put_end(p, ERR_BAD_REQUEST, &(struct why){ "Content-Type is not valid text" });
        return;
    }
    if (p->session)
        json_object_set(args, "session", p->session);
    if (p->req)
        json_object_set_new(args, "_audit", audit_envelope(p->req));
    set_digest(args, "sha256", d->sha256, 32);
    if (d->kinds & DIGEST_SHA1)
        set_digest(args, "sha1", d->sha1, 20);
    if (d->kinds & DIGEST_MD5)
        set_digest(args, "md5", d->md5, 16);
    if (d->kinds & DIGEST_SHA512)
        set_digest(args, "sha512", d->sha512, 64);
    put_to(p, PUT_COMMIT);
    p->result.etag[0] = '"';
    hex_encode(d->sha256, 32, p->result.etag + 1);
    p->result.etag[65] = '"';
    p->proposal = (struct proposal){ .op = p->op, .args = args,
                                     .home = &p->worker->loop, .on_done = on_committed, .arg = p };
    cluster_propose(p->worker->cluster, &p->proposal);
}

/* --- SEAL --- */

/* RFC 9530 §2 leaves the status to us: 422 says that the bytes are not those that were announced. */
static enum err put_compare(const struct put *p, struct why *why)
{
    if (p->size >= 0 && p->size != p->blob.size)
        return fail(why, ERR_DIGEST_MISMATCH, "Size mismatch: expected %lld got %lld",
                    (long long)p->size, (long long)p->blob.size);
    return announced_compare(&p->expected, &p->blob.digests, why);
}

static void on_finished(struct blob_put *blob, enum err e, const struct why *why, void *arg)
{
    struct put *p = arg;
    struct why text = { "" };

    (void)blob;
    if (e) {
        put_end(p, e, why);
        return;
    }
    p->blob_open = false;
    p->result.size = p->blob.size;
    p->result.digests = p->blob.digests;
    if ((e = put_compare(p, &text)))
        put_end(p, e, &text);
    else
        put_commit(p);
}

static void put_seal(struct put *p)
{
    put_to(p, PUT_SEAL);
    blob_put_finish(&p->blob, on_finished, p);
}

/* --- RECV: one buffer is the store's, the other fills --- */

static void buffer_append(struct put_buffer *b, const void *data, size_t size)
{
    if (b->size + size > b->capacity) {
        size_t capacity = b->capacity ? b->capacity : KIB(4);
        while (capacity < b->size + size)
            capacity *= 2;
        b->data = realloc(b->data, capacity);
        check(b->data);
        b->capacity = capacity;
    }
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static void on_written(struct blob_put *blob, enum err e, const struct why *why, void *arg);

static void put_pump(struct put *p)
{
    struct put_buffer *fill = &p->buffers[!p->writing];

    if (p->busy)
        return;
    if (fill->size) {
        p->writing = !p->writing;
        p->busy = true;
        blob_put_write(&p->blob, fill->data, fill->size, on_written, p);
        if (p->paused) {
            p->paused = false;
            http_body_resume(p->req);
        }
    } else if (p->ended) {
        put_seal(p);
    }
}

static void on_written(struct blob_put *blob, enum err e, const struct why *why, void *arg)
{
    struct put *p = arg;

    (void)blob;
    p->busy = false;
    p->buffers[p->writing].size = 0;
    if (e)
        put_end(p, e, why);
    else
        put_pump(p);
}

static void on_chunk(struct http_request *req, const void *data, size_t size, enum err e, void *arg)
{
    struct put_link *link = arg;
    struct put *p = link->put;
    struct put_buffer *fill;

    if (!p) /* the put has failed and was answered; what still comes is not wanted */
        return;
    if (e == ERR_CLOSED) { /* RFC 9112 §8: an incomplete message */
        put_end(p, ERR_BAD_REQUEST, &(struct why){ "the body ended early" });
        return;
    }
    if (e) {
        put_end(p, e, NULL);
        return;
    }
    fill = &p->buffers[!p->writing];
    if (size)
        buffer_append(fill, data, size);
    else
        p->ended = true;
    /* Room for one more chunk is kept, so that none comes that would not fit. */
    if (p->busy && fill->size >= CHUNK && !p->paused && !p->ended) {
        p->paused = true;
        http_body_pause(req);
    }
    put_pump(p);
}

static void put_recv(struct put *p)
{
    struct why why = { "" };
    enum err e = blob_put_begin(p->store->blobs, &p->blob, p->wait.key, p->req->content_length,
                                p->kinds, &why);

    if (e) {
        put_end(p, e, &why);
        return;
    }
    p->blob_open = p->touched = true;
    put_to(p, PUT_RECV);
    http_body_read(p->req, p->max > 0 ? p->max : -1, on_chunk, p->link);
}

/* --- KEY --- */

static void on_key(struct key_wait *w)
{
    struct put *p = container_of(w, struct put, wait);

    if (w->err) {
        w->key[0] = 0;
        put_end(p, w->err, &w->why);
    } else if (!p->req) {
        put_end(p, ERR_CLOSED, NULL);
    } else {
        put_recv(p);
    }
}

/* --- the beginning --- */

static enum err put_expect(struct put *p, const struct registry_put_order *order, struct why *why)
{
    enum err e;

    if ((e = announced_digests(p->req, &p->arena, &p->expected, why)) ||
        (e = announced_add(&p->expected, &order->expected, why)))
        return e;
    p->kinds |= p->expected.kinds | DIGEST_SHA256;
    return OK;
}

/* RFC 9110 §13.1: of a PUT, what can be decided where the rows are: in the operation. Of If-Match one
 * tag is understood, ours: a SHA-256. */
static enum err put_conditions(struct put *p, struct why *why)
{
    const char *none = http_header(p->req, "if-none-match"), *match = http_header(p->req, "if-match");
    size_t n = match ? strlen(match) : 0;

    if (none && strcmp(none, "*"))
        return fail(why, ERR_BAD_REQUEST, "of If-None-Match only \"*\" has a meaning for a PUT");
    p->if_absent = none != NULL;
    if (!match)
        return OK;
    if (n != 66 || match[0] != '"' || match[65] != '"')
        return fail(why, ERR_PRECONDITION, "If-Match is not an entity tag of ours");
    p->if_sha256 = arena_strndup(&p->arena, match + 1, 64);
    return OK;
}

static enum err put_check(struct put *p, const struct repo *repo,
                          const struct registry_put_order *order, struct why *why)
{
    const char *store = repo_entry_of(repo)->store;
    enum err e;

    if (!store)
        return fail(why, ERR_STORE_DOWN, "storage '%s' of the repository does not exist",
                    repo->storage ? repo->storage : "");
    p->store_name = arena_strdup(&p->arena, store);
    if (strlen(p->path) > LIMIT_PATH)
        return fail(why, ERR_URI_TOO_LONG, "the path is longer than %d bytes", LIMIT_PATH);
    if (p->max > 0 && p->req->content_length > p->max)
        return fail(why, ERR_TOO_BIG, "the repository takes %lld bytes at most", (long long)p->max);
    if ((e = put_expect(p, order, why)))
        return e;
    return put_conditions(p, why);
}

void registry_put_as(struct http_request *req, const struct repo *repo, const char *path,
                     const char *content_type, unsigned digest_kinds,
                     const struct registry_put_order *order, registry_put_cb *done)
{
    struct put *p = calloc(1, sizeof *p);
    struct why why = { "" };
    enum err e;

    check(p);
    arena_init(&p->arena);
    p->req = req;
    p->worker = worker_of(req);
    p->done = done;
    p->repo_id = repo->id;
    p->max = repo->content_length_max;
    p->path = arena_strdup(&p->arena, path);
    p->content_type = content_type ? arena_strdup(&p->arena, content_type) : NULL;
    const char *owner = order->owner ? order->owner : req->user;
    p->owner = owner ? arena_strdup(&p->arena, owner) : NULL;
    p->op = order->op;
    p->session = order->session;
    p->size = order->size;
    p->kinds = digest_kinds;
    p->link = arena_alloc(&req->arena, sizeof *p->link);
    p->link->put = p;
    http_on_end(req, put_gone, p->link);
    p->wait.home = &p->worker->loop;
    p->wait.done = on_key;
    /* The store first: that its alias points elsewhere now makes keys worthless that are still there. */
    if ((e = put_check(p, repo, order, &why)) ||
        (e = store_ref(p->worker->registry, p->store_name, &p->store, &why)))
        put_end(p, e, &why);
    else if (keys_take(p->store_name, &p->wait))
        put_recv(p);
}

void registry_put(struct http_request *req, const struct repo *repo, const char *path,
                  const char *content_type, unsigned digest_kinds, registry_put_cb *done)
{
    registry_put_as(req, repo, path, content_type, digest_kinds,
                    &(struct registry_put_order){ .op = "artifact.put", .size = -1 }, done);
}
