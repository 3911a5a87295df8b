/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/maven/checksums.c: .md5, .sha1, .sha256 and .sha512 of every file, from its row: they were
 * computed when it was stored. What a client puts there is compared, not kept. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pantera/api.h"
#include "pantera/limits.h"
#include "pantera/log.h"
#include "pantera/stage.h"
#include "pantera/tether.h"
#include "pantera/text.h"
#include "src/formats/maven/maven.h"

enum { CHECKSUM_BYTES = KIB(4) }; /* some tools add the file's name */

void maven_checksum_reply(struct http_request *req, const struct digest_values *d, enum digest_kind kind)
{
    size_t size;
    const void *digest = maven_digest(d, kind, &size);
    char hex[129];

    hex_encode(digest, size, hex);
    http_reply(req, 200, "text/plain", hex, 2 * size);
}

/* --- of files that were stored without it (imported, or shared with another format) --- */

struct sum {
    struct http_request *req;
    struct tether *tether;
    struct worker *worker;
    enum digest_kind kind;
    void (*then)(struct http_request *req, enum err e, const struct digest_values *d, void *arg);
    void *arg;
    struct work work;
    int fd;
    struct digest_values digests;
    enum err err;
};

static void sum_run(struct work *work)
{
    struct sum *s = container_of(work, struct sum, work);
    struct digester *d = digester_new(s->kind);
    char *buffer = malloc(KIB(64));
    int64_t at = 0;
    ssize_t n;

    check(buffer);
    while ((n = pread(s->fd, buffer, KIB(64), at)) > 0) {
        digester_update(d, buffer, (size_t)n);
        at += n;
    }
    if (n < 0)
        s->err = ERR_IO;
    else
        digester_final(d, &s->digests);
    digester_free(d);
    free(buffer);
}

static void sum_end(struct work *work)
{
    struct sum *s = container_of(work, struct sum, work);

    if (s->fd >= 0)
        close(s->fd);
    if (s->req) {
        tether_cut(s->tether);
        s->then(s->req, s->err, &s->digests, s->arg);
    }
    free(s);
}

static void on_fd(enum err e, const struct why *why, int fd, int64_t size, void *arg)
{
    struct sum *s = arg;

    (void)why, (void)size;
    s->err = e;
    s->fd = fd;
    if (e)
        sum_end(&s->work);
    else
        work_submit(&s->work, &s->worker->loop, sum_run, sum_end);
}

static void sum_start(struct http_request *req, const struct repo *repo, const struct maven_path *p,
                      void (*then)(struct http_request *req, enum err e, const struct digest_values *d,
                                   void *arg),
                      void *arg)
{
    struct sum *s = calloc(1, sizeof *s);

    check(s);
    s->worker = worker_of(req);
    s->tether = tether_tie(req, &s->req);
    s->kind = p->checksum;
    s->then = then;
    s->arg = arg;
    s->fd = -1;
    registry_fd(s->worker, repo, p->file, INT64_MAX, on_fd, s);
}

/* Calls `then` with the file's digest, now or later. NOT_FOUND; NOT_CURRENT. */
static void digest_find(struct http_request *req, const struct repo *repo, const struct maven_path *p,
                        void (*then)(struct http_request *req, enum err e, const struct digest_values *d,
                                     void *arg),
                        void *arg)
{
    struct worker *w = worker_of(req);
    struct registry_stat stat;
    enum err e = registry_stat(w->registry, &req->arena, repo, p->file, &stat);

    if (!cluster_current(w->cluster))
        then(req, ERR_NOT_CURRENT, NULL, arg);
    else if (e || stat.digests.kinds & p->checksum)
        then(req, e, &stat.digests, arg);
    else
        sum_start(req, repo, p, then, arg);
}

/* --- GET --- */

static void on_known(struct http_request *req, enum err e, const struct digest_values *d, void *arg)
{
    const struct maven_path *p = arg;

    if (e)
        maven_fail(req, e, NULL);
    else
        maven_checksum_reply(req, d, p->checksum);
}

void maven_checksum_of(struct http_request *req, const struct repo *repo, const struct maven_path *p)
{
    digest_find(req, repo, p, on_known, arena_memdup(&req->arena, p, sizeof *p));
}

void maven_checksum_get(struct http_request *req, const struct repo *repo, const char *path,
                        const struct maven_path *p)
{
    struct registry_stat stat;

    if (repository_kind(repo) != REPO_LOCAL)
        maven_elsewhere_checksum(req, repo, p);
    else if (!registry_stat(worker_of(req)->registry, &req->arena, repo, p->file, &stat))
        maven_checksum_of(req, repo, p);
    /* A file that only looks like a checksum, for there is nothing that it could be of. */
    else if (!registry_get(req, repo, path, maven_fail))
        maven_fail_text(req, ERR_NOT_FOUND, "'%.200s' not found", path);
}

/* --- PUT --- */

struct claim {                   /* the request's memory */
    struct maven_path path;
    char repo[LIMIT_NAME + 1];
    bool lenient;
    char hex[129];               /* what the client says, lower case */
};

static void on_compared(struct http_request *req, enum err e, const struct digest_values *d, void *arg)
{
    struct claim *c = arg;
    char hex[129] = "";
    size_t size;

    if (e && e != ERR_NOT_FOUND) {
        maven_fail(req, e, NULL);
        return;
    }
    if (!e) {
        const void *digest = maven_digest(d, c->path.checksum, &size);
        hex_encode(digest, size, hex);
    }
    if (!e && !strcmp(hex, c->hex)) {
        http_reply(req, 201, NULL, NULL, 0);
        return;
    }
    if (c->lenient) {
        log_warn("maven", "'%s': a client's checksum %s%s is %s, the file's %s", c->repo, c->path.file,
                 maven_suffix(c->path.checksum), c->hex, e ? "(missing)" : hex);
        http_set_header(req, "Warning", "299 - \"the checksum is not that of the stored file\"");
        http_reply(req, 201, NULL, NULL, 0);
    } else if (e) {
        maven_fail_text(req, ERR_CONFLICT, "a checksum of '%.200s', which is not there", c->path.file);
    } else {
        maven_fail_text(req, ERR_CONFLICT, "checksum mismatch: '%.150s' has %s %s, not %s", c->path.file,
                        maven_suffix(c->path.checksum) + 1, hex, c->hex);
    }
}

static void on_claim(struct http_request *req, char *data, size_t size, enum err e, void *arg)
{
    struct claim *c = arg;
    const struct repo *repo = registry_repo(worker_of(req)->registry, c->repo);

    if (e)
        maven_fail(req, e, NULL);
    else if (!repo)
        maven_fail(req, ERR_NOT_FOUND, NULL);
    else if (strlen(data) != size || !maven_checksum_read(data, c->path.checksum, c->hex))
        maven_fail_text(req, ERR_BAD_REQUEST, "not a %s checksum", maven_suffix(c->path.checksum) + 1);
    else if (c->path.kind == MAVEN_METADATA) /* of the client's own, which is not what we have */
        http_reply(req, 201, NULL, NULL, 0);
    else
        digest_find(req, repo, &c->path, on_compared, c);
}

void maven_checksum_put(struct http_request *req, const struct repo *repo, const struct maven_path *p)
{
    struct claim *c = arena_alloc(&req->arena, sizeof *c);

    c->path = *p;
    c->lenient = maven_rules_of(repo).lenient;
    strncpy(c->repo, repo->name, sizeof c->repo - 1);
    http_body_collect(req, CHECKSUM_BYTES, on_claim, c);
}
