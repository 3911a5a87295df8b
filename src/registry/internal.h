/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/internal.h: what the files of this folder share: a worker's registry, open stores, reserved
 * keys, policy. Nobody else includes it. */
#ifndef REGISTRY_INTERNAL_H
#define REGISTRY_INTERNAL_H

#include "pantera/meta_artifact.h"
#include "pantera/document.h"
#include "pantera/registry.h"
#include "pantera/upstream.h"

#define KEY_SIZE 48 /* "blobs/ab/abcd…" */

/* What a proxy's or a group's configuration says: rules.c. Strings are the entry's. */
struct repo_rules {
    enum repo_kind kind;
    /* proxies */
    struct upstream_remote *remotes; /* in the order in which they are asked */
    unsigned remote_count;
    int64_t document_ttl_ms;     /* how long an index is not asked for again */
    int64_t missing_ttl_ms;      /* the same of what upstream does not have; 0: ask each time */
    /* groups */
    const char **members;
    unsigned member_count;
    bool as_listed;              /* else hosted members come first */
    bool partial;                /* a group's index is given although a member fails */
    const char **open;           /* patterns of packages that upstream is asked about although hosted */
    unsigned open_count;
};

struct repo_entry {
    struct repo pub;
    struct repo_rules rules;
    char *store;                 /* name of the store that new bytes go to; NULL: its alias is gone */
    struct repo_entry *next;     /* in its bucket, or retired */
    struct arena arena;
    json_t *config;
};

/* A store that this worker has open. */
struct store {
    char *name, *config;         /* config: the alias's, sealed, as it was when this was opened */
    struct blob_store *blobs;
    unsigned users;              /* operations that run on it */
    bool retired;                /* not the current one of that name any more */
    struct store *next;
};

enum { REPO_BUCKETS = 256, REPO_CACHE = 1024 };

struct warm;
struct gc;
struct flight;
struct policy_cache;
struct compose_cache;

struct registry {
    struct worker *worker;
    struct repo_entry *repos[REPO_BUCKETS], *retired;
    unsigned repo_count;
    uint64_t repo_stamp, store_stamp;
    struct task retire_task;
    bool retire_posted;
    struct store *stores;
    struct warm *warm;
    struct gc *gc;
    struct flight *flights;      /* whose work is this worker's */
    uv_timer_t *flight_timer;
    struct policy_cache *policies;
    bool closing;
};

/* Fills `e->rules` from its configuration. Logs what it can't read: such a proxy has no remotes. */
void rules_load(struct registry *r, struct repo_entry *e);

static inline struct repo_entry *repo_entry_of(const struct repo *repo)
{
    return container_of(repo, struct repo_entry, pub);
}

/* An open store by name, with a use that store_unref ends. NOT_FOUND: no such alias; what
 * blob_store_open said. */
enum err store_ref(struct registry *r, const char *name, struct store **ret, struct why *why);
void store_unref(struct registry *r, struct store *s);
void stores_close(struct registry *r);

/* --- reserved keys: keys.c; one pool a process --- */
struct key_wait {
    struct task task;
    struct key_wait *next;
    struct loop *home;
    struct cluster *cluster;
    char key[KEY_SIZE];          /* out, when err is OK */
    enum err err;
    struct why why;
    void (*done)(struct key_wait *w);
};
void keys_ref(struct cluster *c);
void keys_unref(void);
void keys_incarnation(char ret[33]); /* which start of the process this is */
/* True: w->key is there. False: done comes later, once; w->home and done are set. */
bool keys_take(const char *store, struct key_wait *w);
void keys_give_back(const char *store, const char *key); /* nothing was written under it */
void keys_abandon(const char *key, struct loop *home);   /* something may have been */
void keys_forget(const char *store); /* the alias points elsewhere: its reserved keys are worth nothing */
/* Once a process, when it may propose: makes this start known, which frees what earlier ones held. And
 * from time to time: sends what was abandoned. */
void keys_tick(struct loop *home);

/* --- the warm path: warm.c --- */
struct warm_entry {
    struct warm_entry *next;               /* in its bucket */
    struct warm_entry *newer, *older;      /* by use */
    unsigned refs;
    int64_t repo_id;
    char *path;
    uint64_t hash, stamp, repo_stamp;
    /* The row and what is made from it; strings are the arena's. */
    struct artifact_row row;
    struct arena arena;
    int fd;                                /* of the whole object, or -1 */
    const char *etag, *content_type, *last_modified;
    int64_t released_ms;                   /* of a proxy's, and where it came from or NULL: entry_upstream */
    const char *url;
    uint64_t upstream_stamp;
    char *head;                            /* of a 200 with the whole object */
    size_t head_size;
};
struct warm *warm_new(struct loop *loop);
void warm_free(struct warm *w); /* on the loop, before its end; entries in use live on until released */
/* The current entry, with a reference; NULL: read the row. */
struct warm_entry *warm_find(struct warm *w, int64_t repo_id, const char *path);
/* An empty entry with its stamps and a reference: fill it from the replica after this, then add it. */
struct warm_entry *warm_entry_new(int64_t repo_id, const char *path);
void warm_add(struct warm *w, struct warm_entry *e);
/* An entry without a descriptor has got one; takes it. */
void warm_set_fd(struct warm *w, struct warm_entry *e, int fd);
void warm_release(struct warm_entry *e);

/* A GET without any header that makes an answer other than "all of it": get.c. */
bool request_is_plain(const struct http_request *req);

/* --- what is known of a path: entry.c --- */
const char *content_type_of_name(const char *path);
/* The current entry, with a reference, from what is warm or from the row. NOT_FOUND. */
enum err entry_get(struct registry *r, int64_t repo_id, const char *path, struct warm_entry **ret);
/* Fills released_ms and url of a proxy's entry as upstream's row says now. */
void entry_upstream(struct registry *r, struct warm_entry *e);
void entry_open(struct registry *r, struct warm_entry *e); /* a descriptor, if that needs no waiting */

/* --- what a client says that it sends: announced.c --- */
/* From the request's headers; kinds 0: nothing. BAD_REQUEST. */
enum err announced_digests(const struct http_request *req, struct arena *a, struct digest_values *ret,
                           struct why *why);
enum err announced_add(struct digest_values *d, const struct digest_values *more, struct why *why);
/* DIGEST_MISMATCH, and which. */
enum err announced_compare(const struct digest_values *announced, const struct digest_values *got,
                           struct why *why);

/* --- housekeeping.c: sweeps what has had its time; from the collector's clock, while this node leads --- */
void housekeeping(struct worker *w);

#endif
