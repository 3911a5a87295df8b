/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/flying.h: a flight from inside: for flight.c (who follows, who claims), fetch.c (bytes from
 * upstream) and land.c (its end). */
#ifndef REGISTRY_FLYING_H
#define REGISTRY_FLYING_H

#include "src/registry/flight.h"
#include "src/registry/staging.h"

enum flight_state {
    FLIGHT_CLAIM,                /* waits on fetch.claim */
    FLIGHT_WAIT,                 /* another node fetches */
    FLIGHT_LOCATE,               /* waits on the index */
    FLIGHT_FETCH,                /* upstream answers, bytes go into a stage and a scratch file */
    FLIGHT_SEAL,                 /* waits on both of them */
    FLIGHT_COMMIT,               /* waits on artifact.cache */
    FLIGHT_OVER,
};

/* Bytes on their way into the scratch file, by the pool. Lives on its own: a flight may end before it. */
struct scratch_job {
    struct work work;
    struct flight *flight;       /* NULL: nobody waits for it */
    struct scratch *file;
    char *data;
    size_t size;
    int64_t offset;
    enum err err;
    struct why why;
};
/* A file without a name, for followers; closed by the last that has it. */
struct scratch {
    _Atomic unsigned refs;
    _Atomic int fd;
    char *folder;
};

struct flight {
    /* --- of the process: under the lock --- */
    struct flight *next;         /* in its bucket */
    unsigned refs;
    struct follower *followers;
    bool begun;                  /* bytes were given away */
    struct flight_view view;

    /* --- of its worker --- */
    struct flight *mine_next, **mine_prev; /* registry->flights */
    enum flight_state state;
    struct worker *worker;
    struct arena arena;
    int64_t repo_id, ttl_ms;     /* ttl: of what is missing */
    const char *repo_name;
    struct flight_order order;
    struct document index;       /* order.index, copied */
    uint64_t begun_ms, tried_ms; /* tried: the last fetch.claim */
    /* across nodes */
    bool claimed, claiming, alone;
    char token[33];
    uint64_t artifact_stamp, claim_stamp, missing_stamp;
    struct task begin;
    struct proposal claim, end;
    /* what is asked for */
    struct file_facts facts;
    unsigned remote;             /* index of the one that is asked */
    unsigned page;               /* of a paged document: which answer comes */
    const char *next_page;       /* absolute; NULL: this is the last */
    bool some_failed;
    enum err worst;
    struct why worst_why;
    struct upstream_request request;
    bool asking, canceled, paused, head_seen, good_head, refused;
    bool known;                  /* a document that is there, asked for conditionally */
    bool bodily;                 /* a date is asked for with GET: this remote has no HEAD */
    const char *remote_url, *final_url, *etag, *last_modified, *content_type;
    struct digest_values announced;
    int64_t released_ms;
    /* its bytes */
    struct stage *stage;
    bool room, ended, staged;
    struct scratch *scratch;
    struct scratch_job *job;
    char *fill;
    size_t fill_size, fill_capacity;
    int64_t scratched;
};

/* flight.c */
void flight_ref(struct flight *f);   /* for each callback that is to come */
void flight_unref(struct flight *f);
void flight_changed(struct flight *f, void (*change)(struct flight *f, void *arg), void *arg);
/* The one end. Followers see `e`; OK: the artifact is there. */
void flight_end(struct flight *f, enum err e, const struct why *why);
const struct repo *flight_repo(struct flight *f); /* NULL: it is gone */

/* fetch.c */
void scratch_unref(struct scratch *s); /* NULL is fine */
void flight_fetch(struct flight *f);    /* from the first remote on */
/* This remote was no good (and why; OK: it has no such thing): the next, or the end: also if bytes of it were
 * given away. */
void flight_again(struct flight *f, enum err e, const struct why *why);
void flight_stop(struct flight *f);     /* drops what is under way; on the way down */
/* land.c */
void flight_land(struct flight *f);     /* bytes are staged and the scratch file is complete */
void flight_unchanged(struct flight *f); /* 304 */
void flight_dated(struct flight *f);    /* what was asked for is only a date, and known now */
/* locate.c */
void flight_locate(struct flight *f);
/* Asks the index of a proxy for a file. `done` once, maybe inside the call: facts, borrowed until it
 * returns; their url is absolute, or NULL. */
typedef void located_cb(enum err e, const struct why *why, const struct file_facts *facts, void *arg);
void index_locate(struct worker *w, const struct repo *repo, const struct flight_order *o, located_cb *done,
                  void *arg);
/* OK, or FORBIDDEN as the policy of the flight's package says. */
enum err flight_judge(struct flight *f, int64_t released_ms, struct why *why);

#endif
