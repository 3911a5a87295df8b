/* SPDX-License-Identifier: Apache-2.0 */
/* Writing to the `s3` store. Bytes are copied into part buffers on the loop and digested on the pool (the
 * whole object's digests and each part's SHA-256 in one pass); what fits one part is one PUT, the rest a
 * multipart upload with up to three parts in memory: one filling, two on their way.
 *
 *   part:  FREE ─> FILLING ──full or finish──> CLOSED ──hashed──> READY ─> SENDING ──200──> FREE
 *   put:   PLAIN ──a second part is needed──> CREATING ──upload id──> PARTS ──all sent──> COMPLETING
 *            └──finish with one part──> SINGLE
 *   A put that ends badly, or is aborted, waits for its calls and then deletes the upload (ABORTING). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "pantera/text.h"
#include "s3.h"
#include "xml.h"

enum { BUFFERS = 3, HASH_BYTES = 256 << 10, PARTS_A_SIZE = 1000, XML_BYTES = 4 << 20 };

enum part_state { PART_FREE, PART_FILLING, PART_CLOSED, PART_READY, PART_SENDING };
enum put_state { PUT_PLAIN, PUT_CREATING, PUT_PARTS, PUT_SINGLE, PUT_COMPLETING, PUT_VERIFYING,
                 PUT_DONE, PUT_ABORTING };

struct s3_put;
struct part {
    struct s3_call call;
    struct s3_put *put;
    enum part_state state;
    unsigned number; /* from 1 */
    char *data;
    size_t capacity, size, hashed;
    char hash[65], query[400];
};

struct s3_put {
    struct work work;
    struct task later;
    struct s3_store *store;
    struct blob_put *put; /* NULL: aborted, or on_finished has been called */
    char key[96];
    int64_t expected, total;
    enum put_state state;
    struct part parts[BUFFERS];
    unsigned last_number;  /* of the newest part */
    char **etags;          /* by part number - 1 */
    unsigned etag_count, sent_count;
    char *upload_id;       /* percent-encoded */
    struct s3_call control; /* create, single, complete, verify, abort */
    struct buf xml;
    char xml_hash[65], query[400];
    unsigned calls;        /* under way, all kinds */
    /* the pool's while `hashing` */
    struct digester *whole, *part_digester;
    struct part *hash_part;
    const char *hash_at;
    size_t hash_size;
    bool hash_first, hash_last;
    /* the loop's */
    const char *pending;
    size_t pending_size;
    enum err err;
    struct why why;
    bool hashing, later_posted, finishing;
    void (*on_written)(struct blob_put *p, enum err e, const struct why *why, void *arg);
    void (*on_finished)(struct blob_put *p, enum err e, const struct why *why, void *arg);
    void *arg;
};

static void put_step(struct s3_put *u);

static void put_fail(struct s3_put *u, enum err e, const struct why *why)
{
    if (u->err != OK)
        return;
    u->err = e;
    u->why = *why;
}

/* --- part buffers --- */

/* Pages, not malloc: only what is filled becomes resident, and freeing gives it back at once. */
static bool part_reserve(struct s3_put *u, struct part *p, size_t capacity)
{
    struct s3_store *s = u->store;
    if (p->data && p->capacity == capacity)
        return true;
    if (p->data) {
        munmap(p->data, p->capacity);
        s->buffered -= p->capacity;
        p->data = NULL;
    }
    void *data = mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED)
        return false;
    p->data = data;
    p->capacity = capacity;
    s->buffered += capacity;
    return true;
}

static size_t round_up(size_t size, size_t unit)
{
    return (size + unit - 1) / unit * unit;
}

/* So that 10,000 parts suffice: by the expected size, else larger ones the longer it goes on. */
static size_t part_capacity(const struct s3_put *u, unsigned number)
{
    size_t size = u->store->part_bytes, most = S3_PART_MOST;
    if (u->expected >= 0 && u->expected <= (int64_t)size && number == 1)
        return u->expected ? (size_t)u->expected : 1;
    if (u->expected >= 0) {
        size_t least = round_up((size_t)(u->expected / 9000 + 1), 1 << 20);
        size = least > size ? least : size;
    } else {
        for (unsigned n = PARTS_A_SIZE; n < number && size < most; n += PARTS_A_SIZE)
            size *= 2;
    }
    return size < most ? size : most;
}

static struct part *part_in(struct s3_put *u, enum part_state state)
{
    struct part *lowest = NULL;
    for (int i = 0; i < BUFFERS; i++) {
        struct part *p = &u->parts[i];
        if (p->state == state && (!lowest || p->number < lowest->number))
            lowest = p;
    }
    return lowest;
}

/* The part that is being filled, or a new one; NULL: wait until one has been sent. */
static struct part *part_to_fill(struct s3_put *u)
{
    struct part *p = part_in(u, PART_FILLING), *held = NULL;
    if (p)
        return p;
    for (int i = 0; i < BUFFERS; i++) {
        if (u->parts[i].state != PART_FREE)
            held = &u->parts[i];
        else if (!p || u->parts[i].data)
            p = &u->parts[i];
    }
    size_t capacity = part_capacity(u, u->last_number + 1);
    /* One buffer is everyone's right (else uploads could wait for each other); more come from a pot. */
    if (!p || (held && !p->data && u->store->buffered + capacity > S3_BUFFERED_BYTES))
        return NULL;
    if (u->last_number == S3_PARTS_MOST || !part_reserve(u, p, capacity)) {
        put_fail(u, ERR_TOO_BIG, &(struct why){ "S3 upload: too many parts, or out of memory" });
        return NULL;
    }
    p->put = u;
    p->state = PART_FILLING;
    p->number = ++u->last_number;
    p->size = p->hashed = 0;
    return p;
}

static void take_pending(struct s3_put *u)
{
    while (u->pending_size && u->err == OK) {
        struct part *p = part_to_fill(u);
        if (!p)
            return;
        size_t room = p->capacity - p->size;
        size_t n = room < u->pending_size ? room : u->pending_size;
        memcpy(p->data + p->size, u->pending, n);
        p->size += n;
        u->total += (int64_t)n;
        u->pending += n;
        u->pending_size -= n;
        if (p->size == p->capacity)
            p->state = PART_CLOSED;
    }
}

/* --- digests, on the pool --- */

static void hash_run(struct work *work)
{
    struct s3_put *u = container_of(work, struct s3_put, work);
    if (u->hash_first)
        u->part_digester = digester_new(DIGEST_SHA256);
    digester_update(u->whole, u->hash_at, u->hash_size);
    digester_update(u->part_digester, u->hash_at, u->hash_size);
    if (u->hash_last) {
        struct digest_values values;
        digester_final(u->part_digester, &values);
        hex_encode(values.sha256, sizeof values.sha256, u->hash_part->hash);
        digester_free(u->part_digester);
        u->part_digester = NULL;
    }
}

static void on_hashed(struct work *work)
{
    struct s3_put *u = container_of(work, struct s3_put, work);
    struct part *p = u->hash_part;
    u->hashing = false;
    p->hashed += u->hash_size;
    if (u->hash_last)
        p->state = PART_READY;
    put_step(u);
}

/* Parts are hashed in their order: CLOSED ones first (lower numbers), then what is filling. */
static void hash_step(struct s3_put *u)
{
    struct part *p = part_in(u, PART_CLOSED);
    if (!p)
        p = part_in(u, PART_FILLING);
    if (u->hashing || !p || (p->state == PART_FILLING && p->size - p->hashed < HASH_BYTES))
        return;
    u->hash_part = p;
    u->hash_at = p->data + p->hashed;
    u->hash_size = p->size - p->hashed;
    u->hash_first = p->hashed == 0;
    u->hash_last = p->state == PART_CLOSED;
    u->hashing = true;
    work_submit(&u->work, u->store->base.loop, hash_run, on_hashed);
}

/* --- calls --- */

static void control_start(struct s3_put *u, enum put_state state, const char *method,
                          const char *query,
                          void (*on_done)(struct s3_call *c, enum err e, const struct why *why))
{
    u->state = state;
    u->control.method = method;
    u->control.query = query;
    u->control.on_done = on_done;
    u->calls++;
    s3_call_start(&u->control);
}

static void control_prepare(struct s3_put *u)
{
    memset(&u->control, 0, sizeof u->control);
    u->control.store = u->store;
    snprintf(u->control.key, sizeof u->control.key, "%s", u->key);
}

static void on_created(struct s3_call *c, enum err e, const struct why *why)
{
    struct s3_put *u = container_of(c, struct s3_put, control);
    struct arena a;
    arena_init(&a);
    u->calls--;
    char *id = e == OK ? xml_text(&a, c->answer.data, "UploadId") : NULL;
    if (e != OK) {
        put_fail(u, e, why);
    } else if (!id || !*id || strlen(id = percent_encode(&a, id, false)) > 300) {
        put_fail(u, ERR_IO, &(struct why){ "S3 upload: the server gave no upload id" });
    } else {
        u->upload_id = strdup(id);
    }
    u->state = PUT_PARTS;
    arena_release(&a);
    put_step(u);
}

static bool keep_etag(struct s3_put *u, unsigned number, const char *etag)
{
    if (number > u->etag_count) {
        unsigned count = u->etag_count ? u->etag_count * 2 : 16;
        char **more = realloc(u->etags, count * sizeof *more);
        if (!more)
            return false;
        memset(more + u->etag_count, 0, (count - u->etag_count) * sizeof *more);
        u->etags = more;
        u->etag_count = count;
    }
    free(u->etags[number - 1]);
    return (u->etags[number - 1] = strdup(etag)) != NULL;
}

static void on_part_sent(struct s3_call *c, enum err e, const struct why *why)
{
    struct part *p = container_of(c, struct part, call);
    struct s3_put *u = p->put;
    u->calls--;
    p->state = PART_FREE;
    u->sent_count++;
    if (e != OK)
        put_fail(u, e, why);
    else if (!c->etag[0] || !keep_etag(u, p->number, c->etag))
        put_fail(u, ERR_IO, &(struct why){ "S3 upload: a part got no ETag" });
    put_step(u);
}

static void part_send(struct s3_put *u, struct part *p)
{
    memset(&p->call, 0, sizeof p->call);
    snprintf(p->query, sizeof p->query, "partNumber=%u&uploadId=%s", p->number, u->upload_id);
    p->state = PART_SENDING;
    p->call.store = u->store;
    p->call.method = "PUT";
    snprintf(p->call.key, sizeof p->call.key, "%s", u->key);
    p->call.query = p->query;
    p->call.body = p->data;
    p->call.body_size = p->size;
    p->call.body_hash = p->hash;
    p->call.on_done = on_part_sent;
    u->calls++;
    s3_call_start(&p->call);
}

/* A try whose answer was lost may have stored the object; the next one then hears "exists already" or
 * "no such upload". The key is ours alone, so an object of our size under it is ours. */
static void on_verified(struct s3_call *c, enum err e, const struct why *why)
{
    struct s3_put *u = container_of(c, struct s3_put, control);
    u->calls--;
    u->state = PUT_DONE;
    if (e != OK)
        put_fail(u, e, why);
    else if (c->answer_length != u->total)
        put_fail(u, ERR_CONFLICT, &(struct why){ "S3 upload: the key holds another object" });
    put_step(u);
}

static void on_stored(struct s3_call *c, enum err e, const struct why *why)
{
    struct s3_put *u = container_of(c, struct s3_put, control);
    bool lost = c->tries > 1 && (c->status == 412 || c->status == 404);
    u->calls--;
    if (e != OK && lost && u->put) {
        control_prepare(u);
        control_start(u, PUT_VERIFYING, "HEAD", "", on_verified);
        return;
    }
    u->state = PUT_DONE;
    if (e != OK)
        put_fail(u, e, why);
    put_step(u);
}

static void store_single(struct s3_put *u, struct part *p)
{
    control_prepare(u);
    p->state = PART_SENDING;
    u->control.body = p->data;
    u->control.body_size = p->size;
    u->control.body_hash = p->hash;
    u->control.conditional = true;
    control_start(u, PUT_SINGLE, "PUT", "", on_stored);
}

static void store_complete(struct s3_put *u)
{
    unsigned char digest[32];
    buf_puts(&u->xml, "<CompleteMultipartUpload>");
    for (unsigned i = 0; i < u->last_number; i++)
        buf_printf(&u->xml, "<Part><PartNumber>%u</PartNumber><ETag>%s</ETag></Part>", i + 1,
                   u->etags[i]);
    buf_puts(&u->xml, "</CompleteMultipartUpload>");
    if (buf_err(&u->xml) != OK) {
        put_fail(u, ERR_IO, &(struct why){ "S3 upload: the part list is too large" });
        put_step(u);
        return;
    }
    sha256(u->xml.data, u->xml.length, digest);
    hex_encode(digest, sizeof digest, u->xml_hash);
    control_prepare(u);
    u->control.body = u->xml.data;
    u->control.body_size = u->xml.length;
    u->control.body_hash = u->xml_hash;
    u->control.error_in_200 = true;
    /* The server may join the parts only now, and the more of them, the longer it says nothing. */
    u->control.patience = 3 + (unsigned)(u->total >> 28);
    snprintf(u->query, sizeof u->query, "uploadId=%s", u->upload_id);
    control_start(u, PUT_COMPLETING, "POST", u->query, on_stored);
}

/* --- the end --- */

static void put_free(struct s3_put *u)
{
    for (int i = 0; i < BUFFERS; i++)
        if (u->parts[i].data) {
            munmap(u->parts[i].data, u->parts[i].capacity);
            u->store->buffered -= u->parts[i].capacity;
        }
    for (unsigned i = 0; i < u->etag_count; i++)
        free(u->etags[i]);
    free(u->etags);
    free(u->upload_id);
    buf_free(&u->xml);
    digester_free(u->whole);
    digester_free(u->part_digester);
    s3_unref(u->store);
    free(u);
}

static void on_aborted(struct s3_call *c, enum err e, const struct why *why)
{
    struct s3_put *u = container_of(c, struct s3_put, control);
    u->calls--;
    put_free(u); /* if it failed, the bucket's lifecycle rule removes the parts (README) */
}

/* Nobody waits any more: free when nothing of ours runs; an unfinished upload is deleted first. */
static void put_let_go(struct s3_put *u)
{
    if (u->put || u->calls || u->hashing || u->later_posted)
        return;
    if (u->upload_id && (u->state != PUT_DONE || u->err != OK)) {
        control_prepare(u);
        snprintf(u->query, sizeof u->query, "uploadId=%s", u->upload_id);
        free(u->upload_id);
        u->upload_id = NULL;
        control_start(u, PUT_ABORTING, "DELETE", u->query, on_aborted);
        return;
    }
    put_free(u);
}

static void on_later(struct task *task)
{
    struct s3_put *u = container_of(task, struct s3_put, later);
    struct blob_put *p = u->put;
    if (p && u->on_written) {
        void (*cb)(struct blob_put *, enum err, const struct why *, void *) = u->on_written;
        u->on_written = NULL;
        cb(p, u->err, &u->why, u->arg); /* later_posted holds us if it aborts */
    } else if (p && u->on_finished) {
        p->size = u->total;
        if (u->err == OK)
            digester_final(u->whole, &p->digests);
        u->put = NULL;
        p->impl = NULL;
        u->on_finished(p, u->err, &u->why, u->arg);
    }
    u->later_posted = false;
    put_step(u);
}

static void post_later(struct s3_put *u)
{
    if (u->later_posted)
        return;
    u->later_posted = true;
    u->later.run = on_later;
    loop_post(u->store->base.loop, &u->later);
}

/* --- the machine --- */

static void close_last_part(struct s3_put *u)
{
    struct part *p = part_in(u, PART_FILLING);
    if (!p && u->last_number == 0)
        p = part_to_fill(u); /* an empty object */
    if (p)
        p->state = PART_CLOSED;
}

/* Another part exists or is sure to come. */
static bool needs_multipart(const struct s3_put *u)
{
    const struct part *first = &u->parts[0];
    return u->last_number > 1 || (u->last_number == 1 && first->state >= PART_CLOSED &&
                                  (u->pending_size || u->expected > (int64_t)first->capacity));
}

static void send_step(struct s3_put *u)
{
    struct part *p;
    if (u->state == PUT_PLAIN && needs_multipart(u)) {
        control_prepare(u);
        control_start(u, PUT_CREATING, "POST", "uploads=", on_created);
    }
    while (u->state == PUT_PARTS && u->err == OK && (p = part_in(u, PART_READY)))
        part_send(u, p);
    if (!u->finishing || u->pending_size)
        return;
    if (u->state == PUT_PLAIN && (p = part_in(u, PART_READY)))
        store_single(u, p);
    else if (u->state == PUT_PARTS && u->sent_count == u->last_number)
        store_complete(u);
}

static void put_step(struct s3_put *u)
{
    if (!u->put) {
        put_let_go(u);
        return;
    }
    if (u->err == OK) {
        take_pending(u);
        if (u->finishing && u->pending_size == 0)
            close_last_part(u);
    }
    if (u->err == OK) {
        hash_step(u);
        send_step(u);
    }
    if (u->on_written && (u->err != OK || u->pending_size == 0))
        post_later(u);
    else if (u->on_finished && (u->err != OK || u->state == PUT_DONE))
        post_later(u);
}

enum err s3_put_begin(struct blob_store *store, struct blob_put *p, const char *key,
                      int64_t expected, unsigned digest_kinds, struct why *why)
{
    struct s3_put *u = calloc(1, sizeof *u);
    if (!u)
        return fail(why, ERR_UNAVAILABLE, "out of memory for an upload");
    if (expected > (int64_t)S3_PART_MOST * S3_PARTS_MOST) {
        free(u);
        return fail(why, ERR_TOO_BIG, "an object of the s3 store is at most 625 GiB");
    }
    u->store = s3_of(store);
    s3_ref(u->store);
    u->put = p;
    snprintf(u->key, sizeof u->key, "%s", key);
    u->expected = expected;
    u->whole = digester_new(digest_kinds);
    buf_init(&u->xml, XML_BYTES);
    p->impl = u;
    return OK;
}

void s3_put_write(struct blob_put *p, const void *data, size_t size,
                  void (*on_written)(struct blob_put *p, enum err e, const struct why *why,
                                     void *arg),
                  void *arg)
{
    struct s3_put *u = p->impl;
    check(!u->on_written && !u->on_finished);
    u->pending = data;
    u->pending_size = size;
    u->on_written = on_written;
    u->arg = arg;
    put_step(u);
}

void s3_put_finish(struct blob_put *p,
                   void (*on_finished)(struct blob_put *p, enum err e, const struct why *why,
                                       void *arg),
                   void *arg)
{
    struct s3_put *u = p->impl;
    check(!u->on_written && !u->on_finished);
    u->finishing = true;
    u->on_finished = on_finished;
    u->arg = arg;
    put_step(u);
}

/* The bytes are in our buffers, so the caller's are free at once. Calls that belong to a multipart upload
 * are let end, without another try: a server that still stores a part while it deletes the upload may
 * keep both (seen with versitygw; the S3 documentation of AbortMultipartUpload warns of it). */
void s3_put_abort(struct blob_put *p)
{
    struct s3_put *u = p->impl;
    u->put = NULL;
    u->pending_size = 0;
    put_fail(u, ERR_CANCELED, &(struct why){ "" });
    for (int i = 0; i < BUFFERS; i++)
        if (u->parts[i].state == PART_SENDING)
            s3_call_last_try(&u->parts[i].call);
    s3_call_last_try(&u->control);
    if (u->state == PUT_SINGLE || u->state == PUT_VERIFYING)
        s3_call_cancel(&u->control);
    put_let_go(u);
}
