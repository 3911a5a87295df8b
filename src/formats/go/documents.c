/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/go/documents.c: @v/list, @latest and .info, of hosted modules, proxies and groups. .info
 * is an index: a branch's name in it means another commit tomorrow, and it says when a version was made.
 *
 *   list ──→ is the highest version old enough? ──not known──→ its .info ──→ list, with that date ──→ …
 *
 * A list has no dates. Where policy wants them, the .info of the highest version is asked for, and of
 * the next while that one is too young: LOOKS of them at most. Lower ones are judged where their bytes
 * are. */
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/stage.h"
#include "pantera/text.h"
#include "pantera/api.h"
#include "src/formats/go/go.h"
#include "src/formats/rfc3339.h"

enum { LOOKS = 32 };

#define INFO_PREFIX ".go/info/"

/* --- list --- */

struct line {
    const char *version;
    const struct policy_view *policy;
};

static int by_version(const void *x, const void *y)
{
    const struct line *a = x, *b = y;

    return go_version_compare(a->version, b->version);
}

/* "v1.2.3=1700000000000;…": what the variant knows. 0: nothing. */
static int64_t date_of(const char *dates, const char *version)
{
    size_t n = strlen(version);

    for (const char *at = dates; at && *at; at = strchr(at, ';') ? strchr(at, ';') + 1 : NULL)
        if (!strncmp(at, version, n) && at[n] == '=')
            return strtoll(at + n + 1, NULL, 10);
    return 0;
}

static unsigned dates_count(const char *dates)
{
    unsigned n = 0;

    for (const char *at = dates; at && *at; at++)
        n += *at == ';';
    return n;
}

static unsigned lines_of(const struct document_request *q, const struct document_source *s, struct line *to)
{
    unsigned n = 0;
    size_t length;

    for (const char *at = s->data; *at; at += length + (at[length] == '\n')) {
        size_t word = strcspn(at, " \t\r\n");
        struct go_version v;
        length = strcspn(at, "\n");
        if (!to) {
            n++;
            continue;
        }
        to[n].version = arena_strndup(q->arena, at, word);
        to[n].policy = s->policy;
        n += word < 256 && go_version_parse(to[n].version, &v);
    }
    return n;
}

/* From the highest down until one may be had: what may not goes. What has no date yet is *ret_unknown. */
static void leave_out(struct line *lines, unsigned count, const char *dates, int64_t *until_ms,
                      const char **ret_unknown)
{
    bool found = false;

    for (unsigned i = count; i-- > 0;) {
        struct line *l = &lines[i];
        int64_t released = date_of(dates, l->version);
        struct policy_verdict_of v = { .allowed = true };
        if (l->policy)
            v = policy_judge(l->policy, l->version, released);
        if (!v.allowed && !released && !strcmp(v.reason, "UNKNOWN_AGE")) {
            if (!found && dates_count(dates) < LOOKS) {
                *ret_unknown = l->version;
                return;
            }
            v.allowed = policy_judge(l->policy, l->version, 1).allowed; /* but for lists of people */
        }
        if (!v.allowed && v.until_ms && (!*until_ms || v.until_ms < *until_ms))
            *until_ms = v.until_ms;
        found = found || (v.allowed && !strchr(l->version, '-'));
        if (!v.allowed)
            l->version = NULL;
    }
}

static enum err list_compose(const struct document_request *q, const struct document_source *sources,
                             unsigned count, struct buf *ret, struct document_answer *answer, struct why *why)
{
    unsigned most = 0, n = 0;
    const char *unknown = NULL, *last = NULL;
    struct line *lines;

    (void)why;
    for (unsigned i = 0; i < count; i++)
        most += lines_of(q, &sources[i], NULL);
    lines = arena_alloc(q->arena, (most + 1) * sizeof *lines);
    for (unsigned i = 0; i < count; i++)
        n += lines_of(q, &sources[i], lines + n);
    if (n)
        qsort(lines, n, sizeof *lines, by_version);
    leave_out(lines, n, q->variant, &answer->valid_until_ms, &unknown);
    answer->content_type = "text/plain; charset=utf-8";
    (void)buf_puts(ret, "");
    if (unknown)
        return buf_printf(ret, "?%s", unknown);
    for (unsigned i = 0; i < n; i++)
        if (lines[i].version && (!last || strcmp(last, lines[i].version)))
            (void)buf_printf(ret, "%s\n", last = lines[i].version);
    return buf_err(ret);
}

static const struct document_kind list_kind = {
    .name = "go-list", .limit = GO_LIST_LIMIT, .source = go_rows, .compose = list_compose,
};

/* --- .info and @latest --- */

static void info_source(struct worker *w, const struct repo *repo, const char *path, const char *package,
                        go_give *give, void *arg);

struct info {
    const char *version;
    int64_t released_ms;
};

static bool info_read(struct arena *a, const char *data, size_t size, struct info *ret)
{
    json_t *json = json_loadb(data, size, 0, NULL);
    const char *version = json_string_value(json_object_get(json, "Version"));

    if (version) {
        ret->version = arena_strdup(a, version);
        ret->released_ms = rfc3339_ms(json_string_value(json_object_get(json, "Time")));
    }
    json_decref(json);
    return version != NULL;
}

static enum err blocked(const struct document_request *q, const char *version,
                        const struct policy_verdict_of *v,
                        struct why *why)
{
    char until[32];

    return fail(why, ERR_FORBIDDEN, "%.120s %.60s is blocked (%s)%s%s; an administrator can unblock it",
                q->package, version, v->reason, v->until_ms ? " until " : "",
                v->until_ms ? clock_rfc3339(v->until_ms, until) : "");
}

/* The best of those that may be had; of equal ones the first. */
static enum err info_compose(const struct document_request *q, const struct document_source *sources,
                             unsigned count, struct buf *ret, struct document_answer *answer, struct why *why)
{
    const struct document_source *best = NULL;
    const char *version = NULL;
    enum err e = fail(why, ERR_UPSTREAM, "upstream's '%.200s' is no description of a version", q->path);

    for (unsigned i = 0; i < count; i++) {
        struct info info;
        struct policy_verdict_of v = { .allowed = true };
        if (!info_read(q->arena, sources[i].data, sources[i].size, &info)) {
            if (q->whole)
                return fail(why, ERR_UPSTREAM, "what '%.60s' gives as '%.120s' describes no version",
                            sources[i].repo, q->path);
            continue;
        }
        if (sources[i].policy)
            v = policy_judge(sources[i].policy, info.version, info.released_ms);
        if (!v.allowed) {
            e = blocked(q, info.version, &v, why);
        } else if (!best || go_version_better(info.version, version)) {
            best = &sources[i];
            version = info.version;
        }
    }
    if (!best)
        return e;
    answer->content_type = "application/json";
    return buf_add(ret, best->data, best->size);
}

static const struct document_kind latest_kind = {
    .name = "go-latest", .limit = GO_INFO_LIMIT, .source = go_rows, .compose = info_compose,
};
static const struct document_kind info_kind = {
    .name = "go-info", .limit = GO_INFO_LIMIT, .source = info_source, .compose = info_compose,
};

struct loading {
    go_give *give;
    void *arg;
};

static void on_loaded(enum err e, const struct why *why, const char *data, size_t size,
                      const struct digest_values *digests, void *arg)
{
    struct loading l = *(struct loading *)arg;

    (void)digests;
    free(arg);
    l.give(e, why, data, size, l.arg);
}

static void info_source(struct worker *w, const struct repo *repo, const char *path, const char *package,
                        go_give *give, void *arg)
{
    struct loading *l = malloc(sizeof *l);

    (void)package;
    check(l);
    *l = (struct loading){ give, arg };
    registry_load(w, repo, path + strlen(INFO_PREFIX), GO_INFO_LIMIT, on_loaded, l);
}

/* --- for upstream, paths stand as they are: there is nothing in them to be encoded (go_path_judge) --- */

static struct document info_document(struct arena *a, const struct go_path *p, const char *version)
{
    const char *url = arena_printf(a, "%s/%s.info", p->folder, go_escape(a, version));

    return (struct document){ .kind = &info_kind, .path = arena_printf(a, INFO_PREFIX "%s", url),
                              .package = p->module, .url_path = url, .owns = go_owns };
}

static enum err info_locate(const struct document_source *index, const struct file_want *want,
                            struct arena *a,
                            struct file_facts *ret, struct why *why)
{
    struct info info;

    (void)want, (void)why;
    if (info_read(a, index->data, index->size, &info))
        ret->released_ms = info.released_ms;
    return OK;
}

/* .zip and .mod of proxies and groups: as old as their .info says. */
void go_elsewhere_get(struct http_request *req, const struct repo *repo, const char *path,
                      const struct go_path *p)
{
    struct document info = info_document(&req->arena, p, p->version);
    struct file_want want = { .path = path, .url_path = path, .package = p->module, .version = p->version,
                              .index = &info, .index_optional = true, .locate = info_locate,
                                  .owns = go_owns };

    if (p->kind == GO_INFO)
        registry_document(req, repo, &info, api_fail);
    else
        registry_file(req, repo, &want, api_fail);
}

/* --- requests --- */

struct asking {                  /* the request's memory */
    const char *repo, *path;
    struct go_path p;
    struct document list;
    const char *dates, *unknown;
};

static void ask_list(struct http_request *req, const struct repo *repo, struct asking *q);

static void on_info(struct http_request *req, enum err e, const struct why *why, const char *data,
                    size_t size,
                    void *arg)
{
    struct asking *q = arg;
    const struct repo *repo = registry_repo(worker_of(req)->registry, q->repo);
    struct info info = { .released_ms = 0 };

    (void)why;
    /* What policy blocks, and what can't be read, is as young as can be. */
    if (e || !info_read(&req->arena, data, size, &info) || !info.released_ms)
        info.released_ms = INT64_MAX / 2;
    q->dates = arena_printf(&req->arena, "%s%s=%lld;", q->dates ? q->dates : "", q->unknown,
                            (long long)info.released_ms);
    if (repo)
        ask_list(req, repo, q);
    else
        api_fail(req, ERR_NOT_FOUND, NULL);
}

static void on_list(struct http_request *req, enum err e, const struct why *why, const char *data,
                    size_t size,
                    void *arg)
{
    struct asking *q = arg;
    const struct repo *repo = registry_repo(worker_of(req)->registry, q->repo);
    struct document info;

    if (e || !repo) {
        api_fail(req, e ? e : ERR_NOT_FOUND, why);
    } else if (size && *data == '?') {
        q->unknown = arena_strndup(&req->arena, data + 1, size - 1);
        info = info_document(&req->arena, &q->p, q->unknown);
        registry_document_read(req, repo, &info, on_info, q);
    } else {
        http_set_header(req, "Cache-Control", "no-cache");
        http_reply(req, 200, "text/plain; charset=utf-8", data, size);
    }
}

static void ask_list(struct http_request *req, const struct repo *repo, struct asking *q)
{
    q->list.variant = q->dates;
    registry_document_read(req, repo, &q->list, on_list, q);
}

void go_document_get(struct http_request *req, const struct repo *repo, const char *path,
                     const struct go_path *p)
{
    struct asking *q = arena_alloc(&req->arena, sizeof *q);

    *q = (struct asking){
        .repo = arena_strdup(&req->arena, repo->name), .p = *p,
        .list = { .kind = p->kind == GO_LIST ? &list_kind : &latest_kind, .path = path, .url_path = path,
                  .package = p->module, .owns = go_owns },
    };
    if (p->kind == GO_LIST)
        ask_list(req, repo, q);
    else
        registry_document(req, repo, &q->list, api_fail);
}

/* --- the sum database, through the first upstream --- */

static const struct repo *first_proxy(struct registry *r, const struct repo *repo, unsigned depth)
{
    const json_t *list = json_object_get(json_object_get(repo->config, "repo"), "members"), *name;
    size_t i;

    if (repository_kind(repo) != REPO_GROUP)
        return repository_kind(repo) == REPO_PROXY ? repo : NULL;
    json_array_foreach (list, i, name) {
        const char *text = json_string_value(name);
        const struct repo *member = text && depth < 8 ? registry_repo(r, text) : NULL;
        const struct repo *found = member ? first_proxy(r, member, depth + 1) : NULL;
        if (found)
            return found;
    }
    return NULL;
}

void go_sumdb_get(struct http_request *req, const struct repo *repo, const char *path)
{
    const struct repo *proxy = first_proxy(worker_of(req)->registry, repo, 0);

    if (proxy)
        registry_forward(req, proxy, percent_encode(&req->arena, path, true), 0, api_fail);
    else /* the go command asks the database itself then */
        api_fail_text(req, ERR_NOT_FOUND, "'%.200s' not found", path);
}
