/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/named.c: the decision (cooldown.c) about versions that have two names, one of which may move
 * (an image's tag and its digest), and about those that are parts of others (what an image index lists).
 *
 *   a list's block of either name                       counts first
 *   people's word on either name                        then
 *   the age of the version that never changes           then
 *   a version that it is a part of, and that may be had releases it too: by people's word, or, where the part
 *                                                       itself has no date, by its own age
 *
 * That D is a part of P is a row beside those of what is known since when (cooldown.seen), so that a view
 * holds it: "D in P of <P's date in ms>". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/tether.h"
#include "src/registry/members.h"
#include "src/registry/policy_view.h"

enum { DEPTH_MOST = 4, VERSION_MOST = 255, PARTS_MOST = 1000 };
#define NEVER_MS (INT64_MAX / 2) /* released then: only people's word lets it pass */
#define ALWAYS_MS 1              /* released then: only people's and lists' word holds it back */

static bool by_people(const struct policy_view *v, const char *name, int64_t now)
{
    return name && policy_verdict_of(v, name, NEVER_MS, now).allowed;
}

/* --- parts --- */

/* "D in P of 1700000000000" → P and its date. False: it is of another version, or too long. */
static bool whole_of(const char *row, const char *version, char *ret_whole, int64_t *ret_released_ms)
{
    size_t n = strlen(version);
    const char *at, *end;

    if (strncmp(row, version, n) || strncmp(row + n, " in ", 4))
        return false;
    at = row + n + 4;
    end = strstr(at, " of ");
    if (!end || end == at || end - at > VERSION_MOST)
        return false;
    memcpy(ret_whole, at, (size_t)(end - at));
    ret_whole[end - at] = 0;
    *ret_released_ms = strtoll(end + 4, NULL, 10);
    return true;
}

/* Does something that it is a part of release it? `dated`: then only people's word does. */
static bool released_by_whole(const struct policy_view *v, const char *version, bool dated, int64_t now,
                              unsigned depth)
{
    char first[VERSION_MOST + 8], whole[VERSION_MOST + 1];
    size_t n = strlen(version);
    int64_t released_ms;

    if (depth == DEPTH_MOST || n > VERSION_MOST)
        return false;
    snprintf(first, sizeof first, "%s in ", version);
    for (unsigned i = policy_rows_from(v, first);
         i < v->count && !strncmp(v->rows[i].version, first, n + 4); i++) {
        if (!whole_of(v->rows[i].version, version, whole, &released_ms))
            continue;
        if (by_people(v, whole, now))
            return true;
        /* A tag (released_ms -1) has no age of its own. */
        if (!dated && released_ms >= 0 && policy_verdict_of(v, whole, released_ms, now).allowed)
            return true;
        if (released_by_whole(v, whole, dated, now, depth + 1))
            return true;
    }
    return false;
}

/* --- the decision --- */

/* Is there no row yet that says so under this name? */
static bool is_news(const struct policy_view *v, const char *name, const struct cooldown_verdict *verdict,
                    int64_t now)
{
    for (unsigned i = policy_rows_from(v, name); i < v->count && !strcmp(v->rows[i].version, name); i++)
        if (v->rows[i].by_age && !v->rows[i].seen_ms)
            return v->rows[i].until_ms <= now || strcmp(v->rows[i].reason, verdict->reason) ||
                   v->rows[i].released_ms != verdict->since_ms;
    return true;
}

struct cooldown_verdict policy_named_verdict(const struct policy_view *v, const struct policy_named *n,
                                             int64_t now)
{
    const struct cooldown_verdict allowed = { .allowed = true };
    const char *names[] = { n->alias, n->version };
    struct cooldown_verdict verdict;

    for (unsigned i = 0; i < 2; i++)
        if (names[i] && !(verdict = policy_verdict_of(v, names[i], ALWAYS_MS, now)).allowed)
            return verdict;
    for (unsigned i = 0; i < 2; i++)
        if (by_people(v, names[i], now))
            return allowed;
    verdict = n->released_ms < 0 ? (struct cooldown_verdict){ .reason = "" }
                                 : policy_verdict_of(v, n->version, n->released_ms, now);
    if (!verdict.allowed && released_by_whole(v, n->version, n->released_ms != 0, now, 0))
        return allowed;
    if (!verdict.allowed && *verdict.reason && n->alias)
        verdict.record = is_news(v, n->alias, &verdict, now);
    return verdict;
}

bool registry_judges(struct worker *w, const struct repo *repo, const char *package, package_owns *owns)
{
    struct members members;
    struct arena a;
    bool some = false;

    arena_init(&a);
    members_of(w->registry, &a, repo, package, owns, &members);
    for (unsigned i = 0; i < members.count && !some; i++) {
        const struct repo *member = members.list[i].proxy ? member_repo(w->registry, &members.list[i]) : NULL;
        struct policy_view *v = member ? policy_view_get(w->registry, member, package) : NULL;
        some = v && !policy_view_idle(v);
        policy_view_release(v);
    }
    arena_release(&a);
    return some;
}

enum err registry_judge(struct worker *w, const struct repo *proxy, const struct policy_named *n,
                        struct why *why, int64_t *ret_until_ms)
{
    struct policy_view *v = policy_view_get(w->registry, proxy, n->package);
    struct cooldown_verdict verdict = policy_named_verdict(v, n, clock_wall_ms());
    const char *name = n->alias ? n->alias : n->version;
    enum err e = OK;

    if (!verdict.allowed && !*verdict.reason) {
        e = ERR_AGAIN;
    } else if (!verdict.allowed) {
        policy_record(w, proxy, n->package, name, &verdict);
        *ret_until_ms = verdict.until_ms;
        e = policy_refuse(why, v, n->package, name, &verdict);
    }
    policy_view_flush(w, v);
    policy_view_release(v);
    return e;
}

/* --- telling the cluster of parts --- */

struct telling {
    struct http_request *req;    /* NULL: gone */
    struct tether *tether;
    struct proposal proposal;
    void (*done)(struct http_request *req, enum err e, const struct why *why, void *arg);
    void *arg;
};

static void on_told(struct proposal *p)
{
    struct telling *t = container_of(p, struct telling, proposal);

    if (t->req) {
        tether_cut(t->tether);
        t->done(t->req, p->err, &p->why, t->arg);
    }
    json_decref(p->result);
    free(t);
}

static void part_add(json_t *list, const struct policy_view *v, const char *part, const char *whole,
                     int64_t released_ms)
{
    char row[2 * VERSION_MOST];
    int n = snprintf(row, sizeof row, "%s in %s of %lld", part, whole, (long long)released_ms);
    unsigned at = policy_rows_from(v, row);

    if (n <= VERSION_MOST && json_array_size(list) < PARTS_MOST &&
        (at == v->count || strcmp(v->rows[at].version, row)))
        json_array_append_new(list, json_string(row));
}

void registry_parts(struct http_request *req, const struct repo *proxy, const struct policy_named *n,
                    const char *const *parts, unsigned count,
                    void (*done)(struct http_request *req, enum err e, const struct why *why, void *arg),
                    void *arg)
{
    struct worker *w = worker_of(req);
    struct policy_view *v = policy_view_get(w->registry, proxy, n->package);
    int64_t now = clock_wall_ms();
    json_t *news = json_array();
    struct telling *t;

    for (unsigned i = 0; v->rule.enabled && i < count; i++)
        part_add(news, v, parts[i], n->version, n->released_ms > 0 ? n->released_ms : 0);
    if (v->rule.enabled && n->alias && by_people(v, n->alias, now))
        part_add(news, v, n->version, n->alias, -1);
    policy_view_release(v);
    if (!json_array_size(news)) {
        json_decref(news);
        done(req, OK, &(struct why){ "" }, arg);
        return;
    }
    t = calloc(1, sizeof *t);
    check(t);
    t->tether = tether_tie(req, &t->req);
    t->done = done;
    t->arg = arg;
    t->proposal = (struct proposal){
        .op = "cooldown.seen", .home = &w->loop, .on_done = on_told,
        .args = json_pack("{s:I, s:s, s:o}", "repo_id", (json_int_t)proxy->id, "package", n->package,
                          "versions", news),
    };
    cluster_propose(w->cluster, &t->proposal);
}
