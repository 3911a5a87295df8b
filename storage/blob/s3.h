/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the `s3` store share: the store, its delays, and the signed call with retries that
 * everything else is made of. s3.c: open, delete, presign. s3_call.c: one operation on the server.
 * s3_put.c, s3_get.c: streams. */
#ifndef BLOB_S3_H
#define BLOB_S3_H

#include "cache.h"
#include "credentials.h"
#include "pantera/buf.h"
#include "store.h"

enum {
    S3_PART_BYTES = 8 << 20,        /* default; the protocol's least is 5 MiB */
    S3_PART_LEAST = 5 << 20,
    S3_PART_MOST = 64 << 20,        /* a part is held in memory while it is sent */
    S3_PARTS_MOST = 10000,          /* the protocol's */
    S3_BUFFERED_BYTES = 64 << 20,   /* a store's second and third buffers of all uploads together */
    S3_ANSWER_BYTES = 64 << 10,     /* an XML answer */
    S3_TRIES = 5,
    S3_STALL_MS = 10000,
    S3_CONNECT_MS = 3000,
    S3_RETRY_MS = 20000,            /* no try begins later than this after the first */
    S3_ETAG_BYTES = 160,
};

/* Waiting without a uv handle in every operation. */
struct s3_delay {
    struct s3_delay *next;
    uint64_t due_ms;
    void (*on_due)(struct s3_delay *d);
};

struct s3_store {
    struct blob_store base;
    unsigned refs;
    struct client *client;
    struct credentials *credentials;
    struct blob_cache *cache;  /* or NULL */
    char *bucket, *region, *prefix, *ca_file;
    char *origin, *host;       /* "https://host[:port]"; "host[:port]" as the Host header has it */
    bool path_style;
    bool unconditional;        /* the server answered 501 to If-None-Match once: not sent again */
    size_t part_bytes, buffered;
    unsigned connect_ms, stall_ms, retry_ms;
    uv_timer_t timer;
    struct s3_delay *delays;
};

struct s3_store *s3_of(struct blob_store *s);
void s3_ref(struct s3_store *s);
void s3_unref(struct s3_store *s);
void s3_delay_start(struct s3_store *s, struct s3_delay *d, uint64_t ms,
                    void (*on_due)(struct s3_delay *d));
void s3_delay_cancel(struct s3_store *s, struct s3_delay *d);
/* "/bucket/prefix/key", percent-encoded. */
const char *s3_object_path(const struct s3_store *s, struct arena *a, const char *key);

/* One operation: signs, sends, judges, and tries again while that can help. Zero it, fill the input
 * fields, s3_call_start. on_done comes exactly once, later; the memory is the owner's again when it
 * begins. `body` is borrowed until then, also after s3_call_cancel. */
struct s3_call {
    /* in */
    struct s3_store *store;
    const char *method;
    char key[96];
    const char *query;            /* canonical; "" */
    const void *body;
    size_t body_size;
    const char *body_hash;        /* hex; NULL: there is no body */
    bool conditional;             /* If-None-Match: * where the server has it */
    bool error_in_200;            /* CompleteMultipartUpload: a 200 may hold an <Error> */
    unsigned patience;            /* times the store's time limits; 0: 1 */
    bool ranged;                  /* GET of the part at offset, length */
    int64_t offset, length;       /* of a GET: a retry goes on where the last try ended */
    /* A GET's bytes; false: pause, then s3_call_resume. */
    bool (*on_data)(struct s3_call *c, const void *data, size_t size);
    void (*on_done)(struct s3_call *c, enum err e, const struct why *why);
    /* out */
    int status;
    int64_t answer_length;        /* Content-Length of the last answer, or -1 */
    unsigned tries;
    struct buf answer;            /* an XML body; freed after on_done */
    char etag[S3_ETAG_BYTES];     /* "" if there was none */
    int64_t received;             /* of a GET */
    /* private */
    struct client_request request;
    struct credentials_wait wait;
    struct s3_delay delay;
    struct arena arena;           /* of one try */
    uint64_t started_ms;
    struct why head_why;          /* why a GET's head was refused */
    bool in_flight, waiting, canceled, renewed_keys, wrong_head;
};

void s3_call_start(struct s3_call *c);
void s3_call_resume(struct s3_call *c);
void s3_call_cancel(struct s3_call *c); /* on_done comes, later, with ERR_CANCELED */
void s3_call_last_try(struct s3_call *c); /* what is under way may end, but is not tried again */

/* s3_put.c, s3_get.c */
enum err s3_put_begin(struct blob_store *s, struct blob_put *p, const char *key, int64_t expected,
                      unsigned digest_kinds, struct why *why);
void s3_put_write(struct blob_put *p, const void *data, size_t size,
                  void (*on_written)(struct blob_put *p, enum err e, const struct why *why,
                                     void *arg),
                  void *arg);
void s3_put_finish(struct blob_put *p,
                   void (*on_finished)(struct blob_put *p, enum err e, const struct why *why,
                                       void *arg),
                   void *arg);
void s3_put_abort(struct blob_put *p);
enum err s3_get_open(struct blob_store *s, struct blob_get *g, const char *key, int64_t size,
                     int64_t offset, int64_t length, const struct blob_sink *sink, void *arg,
                     struct why *why);
void s3_get_more(struct blob_get *g);
void s3_get_close(struct blob_get *g);

#endif
