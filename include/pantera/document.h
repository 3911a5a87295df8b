/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/document.h: what formats say so that local, proxy and group repositories come from the registry.
 * What:      two verbs answer every GET of every kind of repository: registry_file (bytes that never change
 *            under their name) and registry_document (indexes, which do). Fetching, caching, revalidation,
 *            negative cache, single flight, order of members, ownership of names, cooldown: here, once.
 *            A format says where things are, how several indexes become one, and what it knows of a file.
 * Not here:  storing what is hosted (stage.h, registry_put); anyone's paths.
 * Threads:   the verbs: the worker's loop. `compose`, `locate`: a pool thread; they touch only what
 *            they are given.
 *
 *   local   document → `source` gives our bytes ──────────────────────────┐
 *   proxy   document → cached upstream bytes, revalidated after the TTL ──┼→ compose (filter, join) → answer
 *   group   document → the same of every member, hosted members first ────┘
 *
 *   local   file → the artifact
 *   proxy   file → cached, or fetched: streamed to who asks while it is stored, verified, then offered again
 *   group   file → the first member that has it; one whose hosted member owns the package asks no upstream */
#ifndef PANTERA_DOCUMENT_H
#define PANTERA_DOCUMENT_H

#include "pantera/buf.h"
#include "pantera/registry.h"

/* Whether a hosted repository owns a package's name, so that groups ask no upstream about it. On the loop;
 * rows only (registry_stat, registry_list). NULL where it is asked for: a folder or an artifact of that
 * path exists. */
typedef bool package_owns(struct registry *r, struct arena *a, const struct repo *repo, const char *package);

/* --- policy, asked at the index and at the bytes --- */

/* All that is decided about one package of one repository, read once; immutable, for any thread. */
struct policy_view;
struct policy_verdict_of {
    bool allowed;
    const char *reason;          /* TOO_YOUNG, FROZEN, BLOCKED, UNKNOWN_AGE, ...; the view's */
    int64_t until_ms;            /* of a block: when it ends by itself; 0: not known */
};
/* `released_ms` 0: upstream does not say (the setting of "unknown" decides). Pure. */
struct policy_verdict_of policy_judge(const struct policy_view *v, const char *version,
                                      int64_t released_ms);
/* For lists without dates: what is known to be blocked; the rest is judged where its bytes are. Pure. */
struct policy_verdict_of policy_known(const struct policy_view *v, const char *version);

/* --- versions with two names, and parts of others: an image's tag and digest, what an index lists --- */

struct policy_named {
    const char *package;
    const char *alias;           /* that may move (a tag), if it was asked for by that; or NULL */
    const char *version;         /* that never does (a digest) */
    int64_t released_ms;         /* 0: upstream does not say; -1: that was not asked yet */
};
/* Is there anything to judge, in this repository or a member of it? On the loop. */
bool registry_judges(struct worker *w, const struct repo *repo, const char *package, package_owns *owns);
/* Decides for a proxy, records a block and says why: FORBIDDEN. AGAIN: released_ms is -1 and matters. On the
 * loop. */
enum err registry_judge(struct worker *w, const struct repo *proxy, const struct policy_named *n,
                        struct why *why, int64_t *ret_until_ms);
/* What is a part of a version that may be had may be had too, on every node as soon as `done` says OK; and
 * `version`, if its alias was released by somebody. `done` once, maybe inside the call; not when the request
 * ends first. */
void registry_parts(struct http_request *req, const struct repo *proxy, const struct policy_named *n,
                    const char *const *parts, unsigned count,
                    void (*done)(struct http_request *req, enum err e, const struct why *why, void *arg),
                    void *arg);

/* --- configuration --- */

/* For `format.check`: refuses every key that means nothing to a repository of its type, and judges those
 * that all formats share: of any (type, storage, content-length-max, description), of a proxy (remotes,
 * cache, cooldown), of a group (members, order, allow_upstream). `more`: keys of the format's own,
 * NULL-terminated, which it judges itself; NULL: none. docs/guide/proxies.md says what they mean. */
enum err repository_check(const json_t *repo, const char *const *more, struct why *why);
enum repo_kind { REPO_LOCAL, REPO_PROXY, REPO_GROUP };
enum repo_kind repository_kind(const struct repo *repo); /* only local ones take uploads */

/* --- documents --- */

/* When a version was released whose index does not say so. */
struct document_date {
    const char *version;
    const char *path;            /* of a file of it: what the remote says of its last change counts */
    int64_t released_ms;         /* 0: it doesn't say; -1: it can't be asked just now */
};
enum { DOCUMENT_DATES = 64 };    /* of one source */

/* One member's part, in the order in which members count. */
struct document_source {
    const char *repo;            /* the member's name */
    bool proxied;                /* upstream's bytes; else those of `source` */
    const char *data;            /* never NULL */
    size_t size;
    const char *content_type, *url; /* of the upstream's answer: type, and final URL (for relative links) */
    const struct policy_view *policy; /* of a proxied one with cooldown; NULL: nothing to judge */
    const struct document_date *dates; /* what `undated` wanted to know */
    unsigned date_count;
};
struct document_request {
    const char *repo;            /* that was asked */
    const char *base;            /* its URL as the client sees it, no slash at the end */
    const char *path, *package;
    const char *variant;         /* what `document.variant` was */
    bool whole;                  /* a source that can't be read fails it: ERR_UPSTREAM */
    struct arena *arena;         /* for compose's own use */
};
/* What compose tells of its result; zeroed before. */
struct document_answer {
    const char *content_type;    /* static or the arena's */
    const char *headers[4][2];   /* more of them */
    int64_t valid_until_ms;      /* a block that ends changes it: 0: never by time */
};

struct document_kind {           /* static const: one a kind of index */
    const char *name;
    size_t limit;                /* of one source: TOO_BIG beyond */
    /* Local repositories: our part, now. Calls `give` once, now or later (NOT_FOUND: we have nothing),
     * with bytes borrowed until it returns. NULL: the artifact at `path`. */
    void (*source)(struct worker *w, const struct repo *repo, const char *path, const char *package,
                   void (*give)(enum err e, const struct why *why, const char *data, size_t size, void *arg),
                   void *arg);
    /* Joins sources (at least one), leaves out what their policies block, writes the answer. NOT_FOUND:
     * nothing is left of it. A source of unreadable bytes: ERR_UPSTREAM if the answer is to be whole (a
     * group's, unless it says partial_indexes), or if no other is good; else it is left out. */
    enum err (*compose)(const struct document_request *q, const struct document_source *sources,
                        unsigned count, struct buf *ret, struct document_answer *answer,
                        struct why *why);
    /* Indexes without release dates: versions (and a file of each) whose dates compose wants, at most `room`;
     * asked again with what was learned, until it wants no more. Each is asked of a remote once, with HEAD,
     * and remembered by the cluster. Of proxied sources with a policy, on a pool thread. NULL: none. */
    unsigned (*undated)(const struct document_source *s, const char *path, struct arena *a,
                        struct document_date *ret, unsigned room);
};

enum { DOCUMENT_PAGES = 100 };
struct document {
    const struct document_kind *kind;
    const char *path;            /* where it lives in a repository; also its cache key */
    const char *package;         /* whose names it holds; NULL: of many (catalogs, index.yaml) */
    const char *url_path;        /* at the remote, encoded, relative to its url; NULL: `path`, encoded. May
                                    hold a query */
    const char *accept;          /* for upstream; NULL: anything */
    const char *variant;         /* what else the answer depends on ("json", "html", "abbreviated"); NULL:
                                    nothing */
    package_owns *owns;          /* NULL: as said above */
    bool composed;               /* as the index of a file: `locate` reads what compose makes of it, which is
        kept while there is room; else upstream's own bytes */
    bool forever;                /* it never changes under its name: once cached,
        upstream is not asked again */
    bool paged;                  /* upstream's answers name the next (Link, RFC 8288): a proxy's source is
        all of them, one behind the other, DOCUMENT_PAGES at most */
    const struct digest_values *expected; /* that its name says;
        upstream's bytes are compared. NULL: nothing */
};

/* Answers `req` (ETag, conditions, HEAD; Cache-Control: no-cache) or calls `failed`: NOT_FOUND, UPSTREAM,
 * UPSTREAM_TIMEOUT, FORBIDDEN, NOT_CURRENT, ... Permission is decided before, for the repository that was
 * asked. */
void registry_document(struct http_request *req, const struct repo *repo, const struct document *d,
                       registry_fail_cb *failed);
/* The composed bytes instead of an answer; borrowed until `done` returns. For formats that look things up
 * in an index of their own (dist-tags, latest). `done` comes once, maybe inside the call; not when the
 * request ends first. */
typedef void document_cb(struct http_request *req, enum err e, const struct why *why, const char *data,
                         size_t size, void *arg);
void registry_document_read(struct http_request *req, const struct repo *repo, const struct document *d,
                            document_cb *done, void *arg);

/* --- files --- */

/* What an index says of a file. */
struct file_facts {
    const char *url;             /* absolute, or relative to the index's URL; NULL: file.url_path */
    struct digest_values digests; /* verified before it is offered again; kinds 0: none known */
    int64_t released_ms;         /* 0: not said */
};

struct file_want {
    const char *path;            /* where it lives in a repository */
    const char *package, *version; /* what policy is asked about; NULL: it is no version's (checksums,
                                      keys, ...) */
    const char *url_path;        /* at the remote, encoded; NULL: `path`, encoded */
    const char *accept;          /* for upstream */
    const char *content_type;    /* of the answer; NULL: as stored */
    unsigned digest_kinds;       /* to compute when it is stored */
    struct digest_values expected; /* that its name says (OCI digests) */
    /* The index that knows where the file is, or when it was released: asked when the file is not cached,
     * or its release is not known and matters. NULL: none; then released_ms is upstream's Last-Modified. */
    const struct document *index;
    enum err (*locate)(const struct document_source *index, const struct file_want *want, struct arena *a,
                       struct file_facts *ret, struct why *why); /* NOT_FOUND: it has no such file */
    bool index_optional;         /* upstream may have no such index: then nothing is known */
    package_owns *owns;          /* NULL: as said above */
    /* Called instead of an answer, once the bytes are in `repo` (which was asked, or the member that has
     * them) and may be had. */
    void (*here)(struct http_request *req, const struct repo *repo);
};
/* Answers `req` (as registry_get does) or calls `failed`. A block: FORBIDDEN, with the reason, the time
 * left and how to ask for release in `why`; the answer has Retry-After when the end is known. */
void registry_file(struct http_request *req, const struct repo *repo, const struct file_want *want,
                   registry_fail_cb *failed);

/* Passes a request on to a proxy's first remote (npm audit, sumdb): body up to `limit` collected, answer
 * streamed, neither stored. */
void registry_forward(struct http_request *req, const struct repo *repo, const char *url_path, size_t limit,
                      registry_fail_cb *failed);

/* What a proxy has cached of `path` (with `tree`: and below it; "": of everything) and what it knows to be
 * missing upstream is forgotten, on every node. Goes on without its client. */
void registry_purge(struct http_request *req, const struct repo *repo, const char *path, bool tree,
                    registry_done_cb *done);

/* Figures of this process, as Prometheus text. Any thread. */
void registry_metrics(struct buf *b);

#endif
