/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/flight.h: one fetch of one path from upstream, however many want it.
 * What:      a flight belongs to a (repository, path) while it lasts; whoever comes meanwhile follows it.
 *            Across nodes it holds a claim (meta_upstream.h), or waits until the one that does is through.
 * Not here:  what is done with the bytes afterwards (serve.c, document.c).
 * Threads:   a flight's work is done on the loop of the worker that began it. Followers are on any loop; what
 *            they see is copied under the lock of the process (flight_look).
 *
 *     flight_join(w, repo, &order, &f->follower)   → wake(follower), again and again, on the follower's loop
 *     flight_look(&f->follower, &view)             → how far it is
 *     flight_leave(&f->follower)                   → no wake after that; frees it */
#ifndef REGISTRY_FLIGHT_H
#define REGISTRY_FLIGHT_H

#include "pantera/document.h"
#include "src/registry/internal.h"

/* What is wanted; copied. */
struct flight_order {
    const char *path;
    bool document;               /* may be there already, and is asked for conditionally */
    bool date;                   /* only when it was changed last; `path` names the answer, not bytes */
    bool paged;                  /* a document of several answers */
    const char *url_path, *accept, *content_type;
    unsigned kinds;
    struct digest_values expected;
    const char *package, *version; /* NULL: no policy */
    size_t limit;                /* 0: none */
    /* A file: where the index says that it is. The document's strings are copied too. */
    const struct document *index;
    enum err (*locate)(const struct document_source *index, const struct file_want *want, struct arena *a,
                       struct file_facts *ret, struct why *why);
    bool index_optional;
};

struct flight_view {
    bool over;                   /* nothing changes any more */
    bool good;                   /* all bytes are there and are what they should be; the name may follow */
    enum err err;                /* when over */
    struct why why;
    int64_t until_ms;            /* of a FORBIDDEN: when it ends */
    uint64_t judged;             /* stamp of the policy by which it may be had; 0: not asked yet */
    /* the bytes so far; fd -1: none can be followed */
    int fd;
    int64_t length, visible;     /* length -1: not known before the end */
    unsigned char sha256[32];    /* when good */
    bool slow;                   /* worth beginning with little */
    const char *content_type;    /* NULL: none was given */
};

/* First member of a malloc'ed struct. */
struct follower {
    struct follower *next;
    struct flight *flight;
    struct loop *home;
    struct task task;
    bool posted, gone;
    void (*wake)(struct follower *f);
};
void flight_join(struct worker *w, const struct repo *repo, const struct flight_order *o, struct follower *f);
void flight_look(struct follower *f, struct flight_view *ret);
/* Bytes will be given away: from here on the flight can't begin anew with another remote. *ret is how far it
 * is then. False: there is nothing to give away any more. */
bool flight_commits(struct follower *f, struct flight_view *ret);
void flight_leave(struct follower *f);

void flights_start(struct registry *r);
void flights_stop(struct registry *r);
unsigned flights_count(void);

/* --- what upstream has said that it has not: missing.c; of the process --- */
bool missing_known(int64_t repo_id, const char *path);
/* `stamp`: of missing_stamp, taken before upstream was asked. */
uint64_t missing_stamp(int64_t repo_id);
void missing_note(int64_t repo_id, const char *path, int64_t ttl_ms, uint64_t stamp);

/* --- when a document was found to be current: missing.c; of the process --- */
void fresh_note(int64_t repo_id, const char *path); /* now */
void fresh_note_at(int64_t repo_id, const char *path, int64_t wall_ms);
int64_t fresh_ms(int64_t repo_id, const char *path); /* by the clock on the wall; 0: not known here */

/* It was given although upstream could not be asked whether it has changed; no longer so after fresh_note. */
void stale_note(int64_t repo_id, const char *path);
bool stale_known(int64_t repo_id, const char *path);

/* --- figures: figures.c; of the process --- */
enum figure { FIGURE_HIT, FIGURE_MISS, FIGURE_STALE, FIGURE_NEGATIVE, FIGURE_BYTES, FIGURE_OUTCOMES };
enum { FIGURES = FIGURE_OUTCOMES + UPSTREAM_BLOCKED + 1 };
void figure_add(const struct repo *repo, unsigned figure, uint64_t by);

#endif
