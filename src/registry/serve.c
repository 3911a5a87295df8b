/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/serve.c: registry_file: a file from wherever it is: hosted, cached, or upstream.
 *
 *   each member that has it, in order ──none──→ each proxy's upstream, in order ──none──→ what went wrong
 *
 * What comes from upstream is followed: sent while it is stored, from a file that grows, at this client's own
 * pace. The last byte is held back until the bytes are known to be good. */
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/limits.h"
#include "pantera/text.h"
#include "src/registry/age.h"
#include "src/registry/flight.h"
#include "src/registry/members.h"
#include "src/registry/policy_view.h"

#define BEGIN_LEAST KIB(32)  /* so many bytes are worth beginning with */
#define HEAD_LEAST MIB(1)    /* a HEAD does not wait for files of such a size */

struct serve;
struct chase {                   /* what the flight holds; gone with it or with the request */
    struct follower follower;
    struct serve *serve;
};

struct aging {                   /* the index is asked about a cached file */
    struct serve *serve;         /* NULL: the request is gone */
    int64_t repo_id;
};

struct serve {                   /* the request's memory */
    struct http_request *req;
    struct worker *worker;
    const char *repo_name;
    struct file_want want;
    registry_fail_cb *failed;
    struct members members;
    unsigned at;
    struct chase *chase;
    struct aging *aging;
    int64_t age_of, aged_ms;     /* of which member's file it is known; what the index said */
    /* what went wrong so far: the worst counts */
    enum err err;
    struct why why;
    int64_t until_ms;
    /* what was sent */
    bool begun, sending, ended;
    int64_t sent, sending_size;
};

static void serve_upstream(struct serve *s);

/* --- the end without bytes --- */

/* A block is a reason; that a remote failed is more than that another has it not. */
static void serve_note(struct serve *s, enum err e, const struct why *why, int64_t until_ms)
{
    bool worse = !s->err || s->err == ERR_NOT_FOUND || (e == ERR_FORBIDDEN && s->err != ERR_FORBIDDEN);

    if (!worse || (s->err && e == ERR_NOT_FOUND))
        return;
    s->err = e;
    s->why = *why;
    s->until_ms = until_ms;
}

static void serve_fail(struct serve *s)
{
    int64_t now = clock_wall_ms();
    char text[24];

    if ((s->err == ERR_FORBIDDEN || s->err == ERR_UNAVAILABLE) && s->until_ms > now) { /* RFC 9110 §10.2.3 */
        snprintf(text, sizeof text, "%lld", (long long)((s->until_ms - now + 999) / 1000));
        http_set_header(s->req, "Retry-After", text);
    }
    if (!s->err)
        s->err = fail(&s->why, ERR_NOT_FOUND, "'%.200s' not found", s->want.path);
    s->failed(s->req, s->err, &s->why);
}

/* --- what is there --- */

enum judged { JUDGED_ALLOWED, JUDGED_BLOCKED, JUDGED_ASK };

/* Cached bytes are judged too: what was allowed when they came may be blocked now. `told_ms`: what the
 * index says, -1: it does not, 0: it was not asked. */
static enum judged judge_cached(struct worker *w, const struct repo *repo, const struct file_want *want,
                                struct warm_entry *entry, int64_t told_ms, struct why *why,
                                int64_t *ret_until_ms)
{
    struct policy_view *v = policy_view_get(w->registry, repo, want->package);
    bool idle = policy_view_idle(v), dated = v->rule.enabled;
    int64_t released_ms = told_ms > 0 ? told_ms : 0;

    policy_view_release(v);
    if (idle)
        return JUDGED_ALLOWED;
    if (!released_ms) {
        entry_upstream(w->registry, entry);
        released_ms = entry->released_ms;
    }
    if (!released_ms && !told_ms && dated && want->index && want->locate)
        return JUDGED_ASK;
    return policy_enforce(w, repo, want->package, want->version, released_ms, why, ret_until_ms)
               ? JUDGED_BLOCKED : JUDGED_ALLOWED;
}

enum cached { CACHED_NONE, CACHED_ANSWERED, CACHED_BLOCKED, CACHED_ASK };

/* Answers if the bytes are here and may be had. ASK: when their age is known. */
static enum cached get_cached(struct http_request *req, const struct repo *repo, const struct file_want *want,
                              int64_t told_ms, registry_fail_cb *failed, struct why *why,
                              int64_t *ret_until_ms)
{
    struct worker *w = worker_of(req);
    bool proxy = repository_kind(repo) == REPO_PROXY;
    enum judged judged;
    struct warm_entry *entry;
    struct registry_as as = { want->content_type, NULL };

    if (proxy && want->package && want->version) {
        if (entry_get(w->registry, repo->id, want->path, &entry))
            return CACHED_NONE;
        judged = judge_cached(w, repo, want, entry, told_ms, why, ret_until_ms);
        warm_release(entry);
        if (judged)
            return judged == JUDGED_ASK ? CACHED_ASK : CACHED_BLOCKED;
    }
    if (want->here) {
        if (entry_get(w->registry, repo->id, want->path, &entry))
            return CACHED_NONE;
        warm_release(entry);
        want->here(req, repo);
        return CACHED_ANSWERED;
    }
    if (!registry_get_as(req, repo, want->path, !proxy && want->content_type
                         ? arena_memdup(&req->arena, &as, sizeof as) : NULL, failed))
        return CACHED_NONE;
    if (proxy)
        figure_add(repo, FIGURE_HIT, 1);
    return CACHED_ANSWERED;
}

static void serve_cached(struct serve *s);

static void on_age(int64_t released_ms, void *arg)
{
    struct aging *aging = arg;
    struct serve *s = aging->serve;

    if (s) {
        s->aging = NULL;
        s->age_of = aging->repo_id;
        s->aged_ms = released_ms > 0 ? released_ms : -1; /* asked: there is no answer */
        serve_cached(s);
    }
    free(aging);
}

static void serve_age(struct serve *s, const struct repo *repo)
{
    s->aging = calloc(1, sizeof *s->aging);
    check(s->aging);
    *s->aging = (struct aging){ s, repo->id };
    age_learn(s->worker, repo, &s->want, on_age, s->aging);
}

/* From member `at` on: one that has it. None: upstream is asked, from the first. */
static void serve_cached(struct serve *s)
{
    for (; s->at < s->members.count; s->at++) {
        const struct repo *repo = member_repo(s->worker->registry, &s->members.list[s->at]);
        struct why why = { "" };
        int64_t until_ms = 0;
        if (!repo)
            continue;
        switch (get_cached(s->req, repo, &s->want, s->age_of == repo->id ? s->aged_ms : 0, s->failed, &why,
                           &until_ms)) {
        case CACHED_ANSWERED:
            return;
        case CACHED_ASK:
            serve_age(s, repo);
            return;
        case CACHED_BLOCKED:
            s->members.list[s->at].proxy = false; /* its upstream is no way around */
            serve_note(s, ERR_FORBIDDEN, &why, until_ms);
            break;
        case CACHED_NONE:
            break;
        }
    }
    s->at = 0;
    serve_upstream(s);
}

/* --- following a flight --- */

static void chase_end(struct serve *s)
{
    struct chase *c = s->chase;

    s->chase = NULL;
    if (c)
        flight_leave(&c->follower);
}

static void on_request_end(void *arg)
{
    struct serve *s = arg;

    chase_end(s);
    if (s->aging)
        s->aging->serve = NULL;
}

static void serve_pump(struct serve *s, const struct flight_view *v);

static void on_sent(struct http_request *req, void *arg)
{
    struct serve *s = arg;
    struct flight_view v;

    (void)req;
    s->sending = false;
    s->sent += s->sending_size;
    if (s->chase) {
        flight_look(&s->chase->follower, &v);
        serve_pump(s, &v);
    }
}

/* As much as there is. The descriptor is the flight's, which we keep until the exchange is over. */
static void serve_pump(struct serve *s, const struct flight_view *v)
{
    if (s->sending || s->ended)
        return;
    if (v->over && v->err && !v->good) {
        s->ended = true;
        http_reply_abort(s->req);
    } else if (v->visible > s->sent) {
        s->sending = true;
        s->sending_size = v->visible - s->sent;
        http_reply_file(s->req, v->fd, s->sent, s->sending_size, on_sent, s);
    } else if (v->good && s->sent == v->length) {
        s->ended = true;
        http_reply_end(s->req);
    }
}

static void serve_begin(struct serve *s, const struct flight_view *v)
{
    const char *type = s->want.content_type ? s->want.content_type : v->content_type;
    char hex[65];

    s->begun = true;
    if (v->good || s->want.expected.kinds & DIGEST_SHA256) {
        hex_encode(v->good ? v->sha256 : s->want.expected.sha256, 32, hex);
        http_set_header(s->req, "ETag", arena_printf(&s->req->arena, "\"%s\"", hex));
        http_set_header(s->req, "X-Checksum-Sha256", hex);
    }
    http_set_header(s->req, "X-Content-Type-Options", "nosniff");
    http_reply_begin(s->req, 200, type ? type : content_type_of_name(s->want.path), v->length);
}

/* The flight is through, and this member is no answer: the next one. */
static void serve_next(struct serve *s, enum err e, const struct why *why, int64_t until_ms)
{
    chase_end(s);
    serve_note(s, e, why, until_ms);
    s->at++;
    serve_upstream(s);
}

static void serve_landed(struct serve *s)
{
    const struct repo *repo = member_repo(s->worker->registry, &s->members.list[s->at]);
    struct why why = { "" };
    int64_t until_ms = 0;
    enum cached what = CACHED_NONE;
    enum err e = ERR_FORBIDDEN;

    chase_end(s);
    if (repo)
        what = get_cached(s->req, repo, &s->want, 0, s->failed, &why, &until_ms);
    if (what == CACHED_ANSWERED)
        return;
    if (what == CACHED_NONE)
        e = fail(&why, ERR_NOT_FOUND, "'%.200s' not found", s->want.path);
    serve_next(s, e, &why, until_ms);
}

/* The flight was judged by the policy of now. If not (it was changed since), its bytes are waited for, and
 * judged as cached ones are. */
static bool judged_now(const struct serve *s, const struct flight_view *v)
{
    const struct repo *repo = member_repo(s->worker->registry, &s->members.list[s->at]);
    struct policy_view *policy;
    bool same;

    if (!s->want.package || !s->want.version)
        return true;
    if (!repo)
        return false;
    policy = policy_view_get(s->worker->registry, repo, s->want.package);
    same = policy_view_stamp(policy) == v->judged;
    policy_view_release(policy);
    return same;
}

static bool worth_beginning(const struct serve *s, const struct flight_view *v)
{
    return v->fd >= 0 && !s->want.here && request_is_plain(s->req) &&
           (v->good || v->visible >= (int64_t)BEGIN_LEAST || (v->slow && v->visible > 0));
}

static void on_wake(struct follower *f)
{
    struct serve *s = ((struct chase *)f)->serve;
    struct flight_view v;

    flight_look(f, &v);
    if (s->begun) {
        serve_pump(s, &v);
    } else if (v.over && (!v.err || !v.good)) {
        if (v.err)
            serve_next(s, v.err, &v.why, v.until_ms);
        else
            serve_landed(s);
    } else if (worth_beginning(s, &v) && judged_now(s, &v) && flight_commits(f, &v)) {
        serve_begin(s, &v);
        serve_pump(s, &v);
    } else if (v.over) { /* good bytes without a name, and a request for a part; or over just now */
        if (v.err)
            serve_next(s, v.err, &v.why, v.until_ms);
        else
            serve_landed(s);
    } else if (s->req->method == HTTP_M_HEAD && !s->want.here && v.length >= (int64_t)HEAD_LEAST &&
               judged_now(s, &v)) {
        serve_begin(s, &v);
        s->ended = true;
        http_reply_end(s->req);
    }
}

static void serve_join(struct serve *s, const struct repo *repo)
{
    struct flight_order o = {
        .path = s->want.path, .url_path = s->want.url_path, .accept = s->want.accept,
        .content_type = s->want.content_type, .kinds = s->want.digest_kinds, .expected = s->want.expected,
        .package = s->want.package, .version = s->want.version, .index = s->want.index,
        .locate = s->want.locate, .index_optional = s->want.index_optional,
    };

    s->chase = calloc(1, sizeof *s->chase);
    check(s->chase);
    s->chase->serve = s;
    s->chase->follower.wake = on_wake;
    flight_join(s->worker, repo, &o, &s->chase->follower);
}

/* Known to be blocked without a look at upstream: a list says so, or an earlier look. */
static bool serve_blocked(struct serve *s, const struct repo *repo)
{
    const char *package = s->want.package, *version = s->want.version;
    struct cooldown_verdict verdict = { .allowed = true };
    struct policy_view *v;
    struct why why;

    if (!package || !version)
        return false;
    v = policy_view_get(s->worker->registry, repo, package);
    for (unsigned i = 0; i < v->count && verdict.allowed; i++)
        if (!v->rows[i].seen_ms && !strcmp(v->rows[i].version, version))
            verdict = policy_verdict_of(v, version, 0, clock_wall_ms());
    if (!verdict.allowed && strcmp(verdict.reason, "UNKNOWN_AGE"))
        serve_note(s, policy_refuse(&why, v, package, version, &verdict), &why, verdict.until_ms);
    policy_view_release(v);
    return !verdict.allowed && strcmp(verdict.reason, "UNKNOWN_AGE");
}

/* From member `at` on: the first whose upstream is worth asking. */
static void serve_upstream(struct serve *s)
{
    for (; s->at < s->members.count; s->at++) {
        const struct member *m = &s->members.list[s->at];
        const struct repo *repo = m->proxy ? member_repo(s->worker->registry, m) : NULL;
        if (!repo)
            continue;
        if (missing_known(repo->id, s->want.path)) {
            figure_add(repo, FIGURE_NEGATIVE, 1);
            continue;
        }
        if (serve_blocked(s, repo))
            continue;
        serve_join(s, repo);
        return;
    }
    serve_fail(s);
}

/* --- entrance --- */

static struct serve *serve_new(struct http_request *req, const struct repo *repo,
                               const struct file_want *want, registry_fail_cb *failed)
{
    struct arena *a = &req->arena;
    struct serve *s = arena_alloc(a, sizeof *s);

    *s = (struct serve){ .req = req, .worker = worker_of(req), .want = *want, .failed = failed };
    s->repo_name = arena_strdup(a, repo->name);
    s->want.path = arena_strdup(a, want->path);
    if (want->package)
        s->want.package = arena_strdup(a, want->package);
    if (want->version)
        s->want.version = arena_strdup(a, want->version);
    if (want->url_path)
        s->want.url_path = arena_strdup(a, want->url_path);
    if (want->content_type)
        s->want.content_type = arena_strdup(a, want->content_type);
    if (want->index)
        s->want.index = arena_memdup(a, want->index, sizeof *want->index);
    members_of(s->worker->registry, a, repo, s->want.package ? s->want.package : NULL, want->owns,
               &s->members);
    http_on_end(req, on_request_end, s);
    return s;
}

void registry_file(struct http_request *req, const struct repo *repo, const struct file_want *want,
                   registry_fail_cb *failed)
{
    struct why why = { "" };
    int64_t until_ms = 0;

    /* The warm way, without a copy of anything. */
    if (repository_kind(repo) != REPO_GROUP &&
        get_cached(req, repo, want, 0, failed, &why, &until_ms) == CACHED_ANSWERED)
        return;
    serve_cached(serve_new(req, repo, want, failed));
}
