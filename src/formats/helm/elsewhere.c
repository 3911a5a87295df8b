/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/helm/elsewhere.c: charts of proxies and groups, and index.yaml of several repositories as
 * one.
 *
 * An index holds many charts, and policy is about one: those that are too young by the rule that holds
 * for all are found first (probe), what is decided about each of them is asked on the loop, and the
 * index is made with the names that may be had all the same. What a hosted member has comes from hosted
 * members only. */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/api.h"
#include "pantera/document.h"
#include "pantera/text.h"
#include "src/formats/helm/helm.h"
#include "src/formats/rfc3339.h"

enum { YOUNG_MOST = 500 };

#define EVERY "*" /* the package of the rule that holds for all */

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

/* --- names --- */

/* "charts/lib-1.0.0.tgz[.prov]": the first hyphen that a version follows ends the name. */
static bool chart_of(struct arena *a, const char *path, const char **ret_name, const char **ret_version)
{
    const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path, *end = strstr(base, ".tgz");

    while (end && strstr(end + 1, ".tgz"))
        end = strstr(end + 1, ".tgz");
    for (const char *dash = strchr(base, '-'); end && dash && dash < end; dash = strchr(dash + 1, '-')) {
        *ret_version = arena_strndup(a, dash + 1, (size_t)(end - dash - 1));
        *ret_name = arena_strndup(a, base, (size_t)(dash - base));
        if (helm_version_good(*ret_version) && helm_name_good(*ret_name))
            return true;
    }
    return false;
}

static bool owns_chart(struct registry *r, struct arena *a, const struct repo *repo, const char *package)
{
    const char *stem = arena_printf(a, "%s-", package), *name, *version;
    struct registry_entry *entries;
    unsigned count;
    bool more;

    if (!helm_name_good(package) || registry_list(r, a, repo, "charts", stem, 50, &entries, &count, &more))
        return false;
    for (unsigned i = 0; i < count; i++)
        if (chart_of(a, entries[i].name, &name, &version) && !strcmp(name, package))
            return true;
    return false;
}

static bool owns_nothing(struct registry *r, struct arena *a, const struct repo *repo, const char *package)
{
    (void)r, (void)a, (void)repo, (void)package;
    return false; /* compose decides, chart by chart */
}

/* --- the index --- */

struct merge {
    const struct document_request *q;
    const struct document_source *source;
    json_t *all;
    json_t *owned;               /* names that hosted members have */
    struct buf *young;           /* of a probe: what is too young; else NULL */
    unsigned young_count;
    int64_t *until_ms;
};

/* Variant: "index\n", patterns of names that upstream may have too, "\n", "name version\n" of those that
 * may be had although they are young. A probe's is "probe\n" and the same patterns. */
static bool may_share(const struct document_request *q, const char *name)
{
    const char *at = q->variant ? strchr(q->variant, '\n') : NULL, *end = at ? strchr(at + 1, '\n') : NULL;

    while (end && ++at < end) {
        size_t n = strcspn(at, "\t\n");
        if (n && !fnmatch(arena_strndup(q->arena, at, n), name, 0))
            return true;
        at += n;
    }
    return false;
}

static bool excepted(const struct document_request *q, const char *name, const char *version)
{
    const char *at = q->variant ? strchr(q->variant, '\n') : NULL;

    at = at ? strchr(at + 1, '\n') : NULL;
    return at && strstr(at, arena_printf(q->arena, "\n%s %s\n", name, version)) != NULL;
}

static bool may_be_had(struct merge *m, const char *name, const char *version, const json_t *entry)
{
    int64_t released = rfc3339_ms(text_of(entry, "created"));
    struct policy_verdict_of v;

    if (!m->source->policy)
        return true;
    v = policy_judge(m->source->policy, version, released);
    if (v.allowed || excepted(m->q, name, version))
        return true;
    if (v.until_ms && (!*m->until_ms || v.until_ms < *m->until_ms))
        *m->until_ms = v.until_ms;
    if (m->young && m->young_count++ < YOUNG_MOST)
        (void)buf_printf(m->young, "%s %s %s %lld\n", m->source->repo, name, version, (long long)released);
    return false;
}

static void take_entry(struct merge *m, const char *name, json_t *entry)
{
    const char *version = text_of(entry, "version");

    if (!helm_version_good(version) || helm_index_find(m->all, name, version) ||
        (m->source->proxied && !may_be_had(m, name, version, entry)))
        return;
    entry = json_copy(entry);
    json_object_set_new(entry, "name", json_string(name));
    json_object_set_new(entry, "urls", json_pack("[s]", helm_chart_path(m->q->arena, name, version)));
    helm_index_put(m->all, entry);
}

static void take_index(struct merge *m, json_t *index)
{
    const char *name;
    json_t *list, *entry;
    size_t i;

    json_object_foreach (json_object_get(index, "entries"), name, list) {
        if (!helm_name_good(name) ||
            (m->source->proxied && json_object_get(m->owned, name) && !may_share(m->q, name)))
            continue;
        json_array_foreach (list, i, entry)
            take_entry(m, name, entry);
        if (!m->source->proxied)
            json_object_set_new(m->owned, name, json_true());
    }
}

static enum err index_compose(const struct document_request *q, const struct document_source *sources,
                              unsigned count, struct buf *ret, struct document_answer *answer,
                                  struct why *why)
{
    bool probe = q->variant && *q->variant == 'p';
    struct merge m = { .q = q, .owned = json_object(), .young = probe ? ret : NULL,
                       .until_ms = &answer->valid_until_ms };
    unsigned read = 0;
    enum err e = helm_index_read(NULL, 0, &m.all, why);

    (void)buf_puts(ret, "");
    /* Hosted ones first, whatever their order: what they have must be known. */
    for (unsigned pass = 0; !e && pass < 2; pass++)
        for (unsigned i = 0; i < count; i++) {
            json_t *index = NULL;
            m.source = &sources[i];
            if (sources[i].proxied != (pass == 1))
                continue;
            if (helm_index_read(sources[i].data, sources[i].size, &index, why)) {
                if (!q->whole)
                    continue;
                e = fail(why, ERR_UPSTREAM, "what '%.60s' gives is no index of charts", sources[i].repo);
                break;
            }
            read++;
            take_index(&m, index);
            json_decref(index);
        }
    if (!e && !read)
        e = ERR_UPSTREAM;
    if (!e && !probe) {
        helm_index_sort(m.all);
        e = helm_index_write(m.all, ret);
    }
    answer->content_type = "application/x-yaml";
    json_decref(m.owned);
    json_decref(m.all);
    return e ? e : buf_err(ret);
}

static const struct document_kind index_kind = {
    .name = "helm-index", .limit = HELM_INDEX_LIMIT, .compose = index_compose,
};

struct asking {                  /* the request's memory */
    const char *repo, *patterns;
};

static struct document index_document(struct arena *a, const char *variant)
{
    (void)a;
    return (struct document){ .kind = &index_kind, .path = HELM_INDEX, .package = EVERY,
                              .url_path = "index.yaml", .variant = variant, .owns = owns_nothing };
}

static void on_failed(struct http_request *req, enum err e, const struct why *why)
{
    static const char empty[] = "apiVersion: v1\nentries: {}\n";
    const struct asking *q = req->context;
    const struct repo *repo = registry_repo(worker_of(req)->registry, q->repo);

    if (e == ERR_NOT_FOUND && repo && repository_kind(repo) == REPO_GROUP)
        http_reply(req, 200, "application/x-yaml", empty, sizeof empty - 1);
    else
        helm_fail(req, e, why);
}

/* "mirror lib 1.0.0 1700000000000": is it decided that it may be had? */
static void decide(struct http_request *req, const char *line, size_t length, struct buf *ret)
{
    char *text = arena_strndup(&req->arena, line, length), *word[4], *at = text;
    struct cooldown_verdict verdict = { .allowed = false };
    const struct repo *member;

    for (int i = 0; i < 4; i++)
        word[i] = strsep(&at, " ");
    member = word[3] ? registry_repo(worker_of(req)->registry, word[0]) : NULL;
    if (member)
        cooldown_decide(worker_of(req)->registry, &req->arena, member, word[1], word[2],
                        strtoll(word[3], NULL, 10), &verdict);
    if (verdict.allowed)
        (void)buf_printf(ret, "%s %s\n", word[1], word[2]);
}

static void on_probe(struct http_request *req, enum err e, const struct why *why, const char *data,
                     size_t size,
                     void *arg)
{
    struct asking *q = arg;
    const struct repo *repo = registry_repo(worker_of(req)->registry, q->repo);
    struct document d;
    struct buf b;

    if (e || !repo) {
        on_failed(req, e ? e : ERR_NOT_FOUND, why);
        return;
    }
    buf_init(&b, KIB(256));
    (void)buf_printf(&b, "index\n%s\n", q->patterns);
    for (size_t at = 0; at < size;) {
        size_t n = strcspn(data + at, "\n");
        decide(req, data + at, n, &b);
        at += n + 1;
    }
    d = index_document(&req->arena, buf_err(&b) ? "index\n\n" : b.data);
    registry_document(req, repo, &d, on_failed);
    buf_free(&b);
}

void helm_elsewhere_index(struct http_request *req, const struct repo *repo)
{
    const json_t *open = json_object_get(json_object_get(repo->config, "repo"), "allow_upstream"), *pattern;
    struct asking *q = arena_alloc(&req->arena, sizeof *q);
    struct document d;
    size_t i;

    *q = (struct asking){ arena_strdup(&req->arena, repo->name), "" };
    json_array_foreach (open, i, pattern)
        if (json_string_value(pattern) && !strpbrk(json_string_value(pattern), "\t\n"))
            q->patterns = arena_printf(&req->arena, "%s%s\t", q->patterns, json_string_value(pattern));
    req->context = q;
    d = index_document(&req->arena, arena_printf(&req->arena, "probe\n%s\n", q->patterns));
    registry_document_read(req, repo, &d, on_probe, q);
}

/* --- files --- */

/* One source's, for files of it: read once for each index, not for each chart. */
static enum err places_compose(const struct document_request *q, const struct document_source *sources,
                               unsigned count, struct buf *ret, struct document_answer *answer,
                               struct why *why)
{
    json_t *index = NULL;
    enum err e = helm_index_read(sources[0].data, sources[0].size, &index, why);

    (void)count, (void)answer;
    if (!e)
        e = helm_places_write(index, q->arena, ret);
    json_decref(index);
    return e;
}

static const struct document_kind places_kind = {
    .name = "helm-places", .limit = HELM_INDEX_LIMIT, .compose = places_compose,
};

static enum err chart_locate(const struct document_source *index, const struct file_want *want,
                             struct arena *a, struct file_facts *ret, struct why *why)
{
    struct helm_place place;
    size_t n = strlen(want->path);
    const char *name, *version;

    if (!chart_of(a, want->path, &name, &version) ||
        !helm_places_find(index->data, index->size, a, name, version, &place))
        return fail(why, ERR_NOT_FOUND, "'%.200s' is not in upstream's index", want->path);
    if (n > 5 && !strcmp(want->path + n - 5, ".prov")) {
        ret->url = arena_printf(a, "%s.prov", place.url);
        return OK;
    }
    ret->url = place.url;
    ret->released_ms = place.released_ms;
    if (hex_decode(place.sha256, 64, ret->digests.sha256))
        ret->digests.kinds = DIGEST_SHA256;
    return OK;
}

void helm_elsewhere_get(struct http_request *req, const struct repo *repo, const char *path)
{
    struct arena *a = &req->arena;
    const struct document index = { .kind = &places_kind, .path = HELM_INDEX, .url_path = "index.yaml",
                                    .composed = true };
    const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path, *name, *version;
    struct file_want want = { .path = arena_printf(a, "charts/%s", base), .index = &index,
                              .locate = chart_locate, .owns = owns_chart };
    size_t n = strlen(base);
    bool prov = n > 5 && !strcmp(base + n - 5, ".prov");

    if (!chart_of(a, base, &name, &version) || (!prov && strcmp(base + n - 4, ".tgz"))) {
        helm_fail_text(req, ERR_NOT_FOUND, "'%.200s' not found", path);
        return;
    }
    want.package = name;
    want.version = prov ? NULL : version;
    want.content_type = prov ? "application/pgp-signature" : "application/gzip";
    registry_file(req, repo, &want, helm_fail);
}
