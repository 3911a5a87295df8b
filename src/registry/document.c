/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/document.c: an index of a repository, of a group's members together.
 *
 *   OPEN  each member's part is made current, all at once    (source.c)
 *   KEY   what they are says what the answer is: kept? → answer; made by somebody? → wait for it
 *   READ  their bytes
 *   MAKE  the format joins them on the pool                  (compose.c) → answer, of all who wait
 *
 * A member that has nothing is left out. One that can't say whether it has something fails the whole: a union
 * without it would be another answer, and builds would resolve to something else without a word. A group with
 * `partial_indexes` leaves it out, and says so in a header. */
#include <stdlib.h>
#include <string.h>

#include "pantera/buf.h"
#include "pantera/log.h"
#include "pantera/tether.h"
#include "pantera/text.h"
#include "src/registry/compose.h"
#include "src/registry/members.h"

enum { LEFT_OUT_MOST = 4096 };

struct gather {
    struct http_request *req;    /* NULL: gone */
    struct tether *tether;
    struct worker *worker;
    struct arena arena;
    struct document document;
    const char *repo_name, *base;
    registry_fail_cb *failed;    /* of an answer */
    document_cb *done;           /* of a look */
    void *arg;
    struct source **sources;
    unsigned count, pending;
    bool strict;                 /* a group that gives nothing by halves */
    struct buf left_out;         /* names of members that failed */
    unsigned char key[32];
    struct composed *making;     /* by us: others may wait for it */
    struct compose_wait wait;
};

static void gather_free(struct gather *g)
{
    for (unsigned i = 0; i < g->count; i++)
        source_free(g->sources[i]);
    buf_free(&g->left_out);
    arena_release(&g->arena);
    free(g);
}

/* --- answering --- */

static void release_composed(void *arg)
{
    composed_release(arg);
}

static void on_sent(struct http_request *req, void *arg)
{
    (void)arg;
    http_reply_end(req);
}

static void answer(struct http_request *req, struct composed *c, const struct buf *left_out,
                   registry_fail_cb *failed)
{
    int verdict = http_conditions(req, c->etag, 0, &(const char *){ NULL });

    if (verdict == 412) {
        failed(req, ERR_PRECONDITION, NULL);
        return;
    }
    http_set_header(req, "ETag", c->etag);
    http_set_header(req, "Cache-Control", "no-cache");
    if (left_out->length || c->partial)
        http_set_header(req, "X-Pantera-Partial",
                        arena_printf(&req->arena, "%s%s%s", left_out->length ? left_out->data : "",
                                     left_out->length && c->partial ? ", " : "",
                                     c->partial ? c->partial : ""));
    for (unsigned i = 0; i < sizeof c->answer.headers / sizeof *c->answer.headers; i++)
        if (c->answer.headers[i][0] && c->answer.headers[i][1])
            http_set_header(req, c->answer.headers[i][0], c->answer.headers[i][1]);
    if (verdict == 304) {
        http_reply(req, 304, NULL, NULL, 0);
        return;
    }
    c->refs++;
    http_on_end(req, release_composed, c);
    http_reply_begin(req, 200, c->answer.content_type ? c->answer.content_type : "application/octet-stream",
                     (int64_t)c->size);
    if (req->method == HTTP_M_HEAD || !c->size)
        http_reply_end(req);
    else
        http_reply_write(req, c->data, c->size, on_sent, NULL);
}

static void gather_fail(struct gather *g, enum err e, const struct why *why)
{
    struct http_request *req = g->req;

    if (req) {
        tether_cut(g->tether);
        if (g->done)
            g->done(req, e, why, NULL, 0, g->arg);
        else
            g->failed(req, e, why);
    }
    gather_free(g);
}

/* Takes the reference. */
static void gather_end(struct gather *g, struct composed *c)
{
    struct http_request *req = g->req;

    if (c->err || !cluster_current(g->worker->cluster)) {
        gather_fail(g, c->err ? c->err : ERR_NOT_CURRENT, &c->why);
    } else {
        if (req)
            tether_cut(g->tether);
        if (req && g->done)
            g->done(req, OK, &c->why, c->data ? c->data : "", c->size, g->arg);
        else if (req)
            answer(req, c, &g->left_out, g->failed);
        gather_free(g);
    }
    composed_release(c);
}

/* --- MAKE --- */

static void on_made(struct compose_wait *wait, struct composed *c)
{
    gather_end(container_of(wait, struct gather, wait), c);
}

/* What the answer depends on, in order. */
static void gather_key(struct gather *g)
{
    const struct document *d = &g->document;
    struct buf b;

    buf_init(&b, 1 << 20);
    (void)buf_printf(&b, "%s\n%s\n%s\n%s\n%s\n%s\n%d\n", d->kind->name, g->repo_name, d->path,
                     d->package ? d->package : "", d->variant ? d->variant : "", g->base, g->strict);
    for (unsigned i = 0; i < g->count; i++) {
        const struct source *s = g->sources[i];
        (void)buf_printf(&b, "%s %d %s %llu\n", s->pub.repo, s->pub.proxied, s->pub.url ? s->pub.url : "",
                         s->policy ? (unsigned long long)policy_view_stamp(s->policy) : 0ull);
        (void)buf_add(&b, s->sha256, 32);
    }
    sha256(b.data, b.length, g->key);
    buf_free(&b);
}

/* A member that can't say what it has. */
static const struct source *gather_unknown(const struct gather *g)
{
    for (unsigned i = 0; g->strict && i < g->count; i++)
        if (g->sources[i]->err && g->sources[i]->err != ERR_NOT_FOUND)
            return g->sources[i];
    return NULL;
}

/* Those that have nothing go. Not OK: there is no answer. Names of those that failed go to `left_out`. */
static enum err gather_sift(struct gather *g, struct buf *left_out, struct why *why)
{
    enum err worst = OK;
    unsigned n = 0;
    const struct source *unknown = gather_unknown(g);

    if (unknown)
        return fail(why, unknown->err, "'%.60s', a member, has no answer: %s", unknown->pub.repo,
                    why_text(&unknown->why, unknown->err));
    for (unsigned i = 0; i < g->count; i++) {
        struct source *s = g->sources[i];
        if (!s->err) {
            g->sources[n++] = s;
            continue;
        }
        if (!worst || worst == ERR_NOT_FOUND) {
            worst = s->err;
            *why = s->why;
        }
        if (s->err != ERR_NOT_FOUND) {
            log_warn("registry", "'%s' has no '%s' to give: %s", s->pub.repo, g->document.path,
                     why_text(&s->why, s->err));
            (void)buf_printf(left_out, "%s%s", left_out->length ? ", " : "", s->pub.repo);
        }
        source_free(s);
    }
    g->count = n;
    if (n)
        return OK;
    if (!worst || worst == ERR_NOT_FOUND)
        worst = fail(why, ERR_NOT_FOUND, "'%.200s' not found",
                     g->document.package ? g->document.package : g->document.path);
    return cluster_current(g->worker->cluster) ? worst : ERR_NOT_CURRENT;
}

/* We are one of those who wait for it. */
static void gather_make(struct gather *g)
{
    struct composed *making = g->making;
    struct why why = { "" };
    struct buf lost;
    enum err e;
    unsigned count;

    buf_init(&lost, LEFT_OUT_MOST);
    e = gather_sift(g, &lost, &why);
    count = g->count;
    g->making = NULL;
    if (e) {
        composed_fail(making, e, &why);
    } else {
        making->partial = lost.length ? arena_strdup(&making->arena, lost.data) : NULL;
        gather_key(g); /* again: what was read may be newer than what was opened, and less */
        g->count = 0;  /* they are who makes it's now */
        composed_make(making, g->worker, g->key, &g->document, g->repo_name, g->base, g->strict, g->sources,
                      count);
    }
    buf_free(&lost);
}

/* --- READ --- */

static void on_read(struct source *s, void *arg)
{
    struct gather *g = arg;

    (void)s;
    if (--g->pending == 0)
        gather_make(g);
}

static void gather_read(struct gather *g)
{
    unsigned count = g->count;

    g->pending = count + 1; /* ours, so that it does not end inside the loop */
    for (unsigned i = 0; i < count; i++)
        source_read(g->sources[i], on_read, g);
    on_read(NULL, g);
}

/* --- OPEN --- */

static void gather_opened(struct gather *g)
{
    struct why why = { "" };
    struct composed *c;
    enum err e;

    if (!g->req) {
        gather_free(g);
        return;
    }
    e = gather_sift(g, &g->left_out, &why);
    if (e) {
        gather_fail(g, e, &why);
        return;
    }
    gather_key(g);
    g->wait.done = on_made;
    c = composed_join(g->key, &g->wait, &g->worker->loop, &g->making);
    if (c)
        gather_end(g, c);
    else if (g->making)
        gather_read(g);
}

static void on_opened(struct source *s, void *arg)
{
    struct gather *g = arg;

    (void)s;
    if (--g->pending == 0)
        gather_opened(g);
}

static void gather_open(struct gather *g, const struct repo *repo)
{
    struct registry *r = g->worker->registry;
    struct members members;
    unsigned n = 0;

    members_of(r, &g->arena, repo, g->document.package, g->document.owns, &members);
    g->strict = repository_kind(repo) == REPO_GROUP && !repo_entry_of(repo)->rules.partial;
    g->sources = arena_alloc(&g->arena, (members.count + 1) * sizeof *g->sources);
    g->pending = 1;
    for (unsigned i = 0; i < members.count; i++) {
        const struct repo *member = member_repo(r, &members.list[i]);
        if (!member)
            continue;
        g->pending++;
        g->sources[n++] = source_open(g->worker, member, &g->document, on_opened, g);
    }
    g->count = n;
    on_opened(NULL, g);
}

/* --- entrance --- */

/* The repository's URL as this client wrote it: a prefix and a type's name may stand before its name. */
static const char *base_of(struct http_request *req, struct arena *a, const char *repo_name)
{
    const struct config *c = worker_of(req)->config;
    size_t n = c->base_url ? strlen(c->base_url) : 0;
    const char *origin = n ? arena_strndup(a, c->base_url, c->base_url[n - 1] == '/' ? n - 1 : n)
                           : arena_printf(a, "%s://%s", req->tls ? "https" : "http", req->host);

    return req->base ? arena_printf(a, "%s%s", origin, req->base)
                     : arena_printf(a, "%s/%s", origin, percent_encode(a, repo_name, false));
}

static struct gather *gather_new(struct http_request *req, const struct repo *repo, const struct document *d)
{
    struct gather *g = calloc(1, sizeof *g);
    struct arena *a;

    check(g);
    a = &g->arena;
    arena_init(a);
    g->worker = worker_of(req);
    g->tether = tether_tie(req, &g->req);
    g->repo_name = arena_strdup(a, repo->name);
    g->base = base_of(req, a, repo->name);
    buf_init(&g->left_out, LEFT_OUT_MOST);
    g->document = *d;
    g->document.path = arena_strdup(a, d->path);
    g->document.package = d->package ? arena_strdup(a, d->package) : NULL;
    g->document.url_path = d->url_path ? arena_strdup(a, d->url_path) : NULL;
    g->document.accept = d->accept ? arena_strdup(a, d->accept) : NULL;
    g->document.variant = d->variant ? arena_strdup(a, d->variant) : NULL;
    g->document.expected = d->expected ? arena_memdup(a, d->expected, sizeof *d->expected) : NULL;
    return g;
}

void registry_document(struct http_request *req, const struct repo *repo, const struct document *d,
                       registry_fail_cb *failed)
{
    struct gather *g = gather_new(req, repo, d);

    g->failed = failed;
    gather_open(g, repo);
}

void registry_document_read(struct http_request *req, const struct repo *repo, const struct document *d,
                            document_cb *done, void *arg)
{
    struct gather *g = gather_new(req, repo, d);

    g->done = done;
    g->arg = arg;
    gather_open(g, repo);
}
