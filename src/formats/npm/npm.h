/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/npm/npm.h: what the files of this folder share: errors, changes of a package, the handlers. */
#ifndef NPM_NPM_H
#define NPM_NPM_H

#include <jansson.h>

#include "pantera/registry.h"
#include "pantera/stage.h"
#include "pantera/tether.h"
#include "src/formats/npm/names.h"

/* {"error": "..."}: what npm's clients show. */
void npm_fail(struct http_request *req, enum err e, const struct why *why);
void npm_fail_text(struct http_request *req, enum err e, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The same; what is not there is said in words about what was asked for. */
void npm_missing(struct http_request *req, enum err e, const struct why *why);
void npm_reply(struct http_request *req, int status, json_t *body); /* takes body; nothing was read for it */

/* The repository that `req` asked, as it is now, some turns of the loop later; NULL: gone. */
const struct repo *npm_repo_again(struct http_request *req);

/* --- change.c: a package's document, changed on the pool, with what goes or comes along --- */
struct npm_change {
    struct worker *worker;
    struct http_request *req;    /* NULL: gone */
    struct tether *tether;
    struct arena arena;          /* for strings; the loop's */
    const char *repo_name, *package;
    struct imported *imported;   /* it answers, and `req` is none; or NULL */
    int64_t repo_id, now_ms;
    bool create;                 /* there need be no such package yet */
    bool may_delete;
    /* On the pool, once an attempt: what it leaves in `removed` (versions) goes, bytes included. */
    enum err (*edit)(struct npm_change *c, json_t *doc, struct why *why);
    void (*add)(struct npm_change *c, struct commit *commit); /* or NULL */
    /* Once, on the loop; c->req may be NULL. The change is freed after it. */
    void (*done)(struct npm_change *c, enum err e, const struct why *why);
    void (*release)(struct npm_change *c); /* or NULL: of what is around it, which it frees */
    /* What edits need; the change's. */
    const char *tag, *version, *revision;
    json_t *body;
    json_t *removed;
    bool more;                   /* it must run again: too much for one operation */
    registry_done_cb *removed_cb; /* of npm_remove */
};
/* An `c` of the caller's memory (malloc), zeroed, is made ready. */
void npm_change_init(struct npm_change *c, struct http_request *req, const struct repo *repo,
                     const char *package);
void npm_change_init_import(struct npm_change *c, struct imported *m);
void npm_change_run(struct npm_change *c); /* freed by itself, at the end */
void npm_change_free(struct npm_change *c);
const struct repo *npm_change_repo(struct npm_change *c); /* as it is now; NULL: gone */

void npm_tags(struct http_request *req, const struct repo *repo, const struct npm_path *path);
void npm_unpublish(struct http_request *req, const struct repo *repo, const struct npm_path *path);
/* A PUT of a document without a tarball (deprecate, unpublish, owner). Takes body. */
void npm_replace(struct http_request *req, const struct repo *repo, const struct npm_path *path,
                 json_t *body);
void npm_remove(struct http_request *req, const struct repo *repo, const char *path, bool tree,
                registry_done_cb *done);

/* --- publish.c --- */
void npm_publish(struct http_request *req, const struct repo *repo, const struct npm_path *path);
void npm_import_tarball(struct imported *m);

/* --- import.c: tarballs, and packages' documents, of another registry --- */
enum err npm_importable(const struct repo *repo, const char *path, struct why *why);
void npm_import(struct imported *m);

/* --- tarball.c: what a tarball holds, for a pool thread --- */
struct npm_tarball {
    json_t *manifest;            /* its package.json */
    unsigned file_count;
    int64_t unpacked_bytes;
    bool shrinkwrap, gyp;
};
/* BAD_REQUEST: it is no package; TOO_BIG. */
enum err npm_tarball_read(int fd, struct npm_tarball *ret, struct why *why);

/* --- read.c --- */
void npm_read(struct http_request *req, const struct repo *repo, const struct npm_path *path);
void npm_keys(struct http_request *req, const struct repo *repo);

/* --- search.c --- */
void npm_search(struct http_request *req, const struct repo *repo);
/* To the upstream of a proxy, or of a group's first one. False: there is none, and nothing was done. */
bool npm_forward(struct http_request *req, const struct repo *repo, const char *url_path);

/* --- account.c: who am I, signing in and out, and what is asked besides packages --- */
void npm_account(struct http_request *req, const struct repo *repo, const struct npm_path *path);
bool npm_anonymous(const struct http_request *req, const char *path);
/* What went wrong with a password or a one-time password: the client asks for it again, or shows the text. */
void npm_refuse(struct http_request *req, enum err e, const struct why *why);

/* --- tokens.c: npm token, npm profile --- */
void npm_tokens(struct http_request *req, const struct npm_path *path);
void npm_profile(struct http_request *req);

#endif
