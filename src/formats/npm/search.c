/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/npm/search.c: what is not about one package: npm search, and what npm audit asks. Hosted
 * packages are found by the search index, of a group those of its hosted members; a proxy passes the
 * question on to its upstream, a group passes audits on to that of its first proxy. */
#include <stdlib.h>
#include <string.h>

#include "pantera/api.h"
#include "pantera/clock.h"
#include "pantera/document.h"
#include "pantera/limits.h"
#include "pantera/text.h"
#include "src/formats/npm/doc.h"
#include "src/formats/npm/npm.h"

enum { MEMBERS = 64, DEPTH = 8, PAGE = 20, PAGE_MOST = 50, WORDS = 8 };

/* --- who answers --- */

struct members {
    const struct repo *list[MEMBERS];
    unsigned count;
};

/* Repositories of that kind, as a group lists them, or itself. Valid until control returns to the loop. */
static void members_add(struct registry *r, const struct repo *repo, enum repo_kind kind, unsigned depth,
                        struct members *ret)
{
    const json_t *name, *repos = json_object_get(json_object_get(repo->config, "repo"), "members");
    size_t i;

    if (repository_kind(repo) == kind && ret->count < MEMBERS)
        ret->list[ret->count++] = repo;
    if (repository_kind(repo) != REPO_GROUP || depth == DEPTH)
        return;
    json_array_foreach ((json_t *)repos, i, name) {
        const struct repo *member = json_is_string(name) ? registry_repo(r, json_string_value(name)) : NULL;
        if (member && !strcmp(member->format, "npm"))
            members_add(r, member, kind, depth + 1, ret);
    }
}

bool npm_forward(struct http_request *req, const struct repo *repo, const char *url_path)
{
    struct members proxies = { .count = 0 };

    members_add(worker_of(req)->registry, repo, REPO_PROXY, 0, &proxies);
    if (!proxies.count)
        return false;
    registry_forward(req, proxies.list[0], url_path, MIB(8), npm_fail);
    return true;
}

/* --- npm search --- */

struct search {
    struct work work;
    struct http_request *req;    /* NULL: gone */
    struct tether *tether;
    struct worker *worker;
    struct arena arena;
    const char *const *names;    /* of packages */
    const char **repos;
    unsigned count, at, repo_count, repo_at;
    int64_t total;
    char *data;
    size_t size;
    json_t *objects;
};

static void search_load(struct search *s);

static void search_end(struct search *s)
{
    char now[32];

    if (s->req) {
        tether_cut(s->tether);
        npm_reply(s->req, 200,
                  json_pack("{s:O, s:I, s:s}", "objects", s->objects, "total", (json_int_t)s->total, "time",
                            npm_time_text(clock_wall_ms(), now)));
    }
    free(s->data);
    json_decref(s->objects);
    arena_release(&s->arena);
    free(s);
}

static json_t *people(const json_t *list)
{
    json_t *ret = json_array(), *one;
    size_t i;

    json_array_foreach ((json_t *)list, i, one) {
        const char *name = json_string_value(json_object_get(one, "name"));
        if (name)
            json_array_append_new(ret, json_pack("{s:s}", "username", name));
    }
    return ret;
}

/* What npm's own search answers of a package; nobody here knows how popular it is. */
static json_t *found(const char *name, const json_t *doc)
{
    static const char *const keys[] = { "description", "keywords", "author", "license" };
    const char *latest = json_string_value(json_object_get(json_object_get(doc, "dist-tags"), "latest"));
    const json_t *version = json_object_get(json_object_get(doc, "versions"), latest ? latest : "");
    const char *date = json_string_value(json_object_get(json_object_get(doc, "time"), latest ? latest : ""));
    const char *user = json_string_value(json_object_get(json_object_get(version, "_npmUser"), "name"));
    json_t *p;

    if (!version)
        return NULL;
    p = json_pack("{s:s, s:s, s:{}, s:o, s:s, s:{s:s}}", "name", name, "version", latest, "links",
                  "maintainers", people(json_object_get(doc, "maintainers")), "date", date ? date : "",
                  "publisher", "username", user ? user : "");
    for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_object_get(doc, keys[i]))
            json_object_set(p, keys[i], json_object_get(doc, keys[i]));
    if (*name == '@')
        json_object_set_new(p, "scope", json_stringn(name + 1, strcspn(name + 1, "/")));
    return json_pack("{s:o, s:{s:f, s:{s:f, s:f, s:f}}, s:f}", "package", p, "score", "final", 1.0, "detail",
                     "quality", 1.0, "popularity", 1.0, "maintenance", 1.0, "searchScore", 1.0);
}

static void search_read(struct work *work)
{
    struct search *s = container_of(work, struct search, work);
    json_t *doc = json_loadb(s->data, s->size, JSON_ALLOW_NUL, NULL);
    json_t *object = found(s->names[s->at], doc);

    if (object)
        json_array_append_new(s->objects, object);
    json_decref(doc);
}

static void search_next(struct search *s)
{
    s->at++;
    s->repo_at = 0;
    search_load(s);
}

static void search_was_read(struct work *work)
{
    search_next(container_of(work, struct search, work));
}

static void on_loaded(enum err e, const struct why *why, const char *data, size_t size,
                      const struct digest_values *digests, void *arg)
{
    struct search *s = arg;

    if (e && e != ERR_NOT_FOUND) {
        search_next(s);
        return;
    }
    if (e) {
        s->repo_at++;
        search_load(s);
        return;
    }
    free(s->data);
    s->data = malloc(size + 1);
    check(s->data);
    memcpy(s->data, data, size);
    s->size = size;
    work_submit(&s->work, &s->worker->loop, search_read, search_was_read);
}

/* The document of the next name, from the first repository that has it. */
static void search_load(struct search *s)
{
    while (s->req && s->at < s->count) {
        const struct repo *repo = s->repo_at < s->repo_count
                                      ? registry_repo(s->worker->registry, s->repos[s->repo_at]) : NULL;
        if (repo) {
            registry_load(s->worker, repo, npm_document_path(&s->arena, s->names[s->at]), NPM_DOCUMENT_LIMIT,
                          on_loaded, s);
            return;
        }
        if (s->repo_at < s->repo_count) {
            s->repo_at++;
        } else {
            s->at++;
            s->repo_at = 0;
        }
    }
    search_end(s);
}

static void on_names(struct http_request *req, const char *const *names, unsigned count, int64_t total,
                     void *arg)
{
    struct search *s = calloc(1, sizeof *s);
    const char **repos = arg, **copy;

    check(s);
    arena_init(&s->arena);
    s->worker = worker_of(req);
    s->objects = json_array();
    s->total = total;
    copy = arena_alloc(&s->arena, (count + 1) * sizeof *copy);
    for (s->count = 0; s->count < count; s->count++)
        copy[s->count] = arena_strdup(&s->arena, names[s->count]);
    s->names = copy;
    s->repos = arena_alloc(&s->arena, (MEMBERS + 1) * sizeof *s->repos);
    for (; repos[s->repo_count]; s->repo_count++)
        s->repos[s->repo_count] = arena_strdup(&s->arena, repos[s->repo_count]);
    s->tether = tether_tie(req, &s->req);
    search_load(s);
}

static unsigned number(struct http_request *req, const char *name, unsigned otherwise, unsigned most)
{
    const char *text = query_get(&req->arena, req->query, name);
    long n = text ? strtol(text, NULL, 10) : (long)otherwise;

    return n < 0 ? 0 : n > (long)most ? most : (unsigned)n;
}

/* The words of `text`; what npm's search can be told besides ("keywords:…", "not:…") means nothing here, but
 * a scope does: it begins the name. */
static const char **words_of(struct http_request *req)
{
    const char *text = query_get(&req->arena, req->query, "text");
    const char **words = arena_alloc(&req->arena, (WORDS + 1) * sizeof *words);
    unsigned n = 0;

    for (text = text ? text : ""; *text && n < WORDS; text += strspn(text, " ")) {
        size_t length = strcspn(text, " ");
        const char *word = arena_strndup(&req->arena, text, length);
        text += length;
        if (!strncmp(word, "scope:", 6))
            words[n++] = arena_printf(&req->arena, "@%s/", word + 6);
        else if (length && !strchr(word, ':'))
            words[n++] = word;
    }
    return words;
}

void npm_search(struct http_request *req, const struct repo *repo)
{
    struct members hosted = { .count = 0 };
    const char **names;

    if (repository_kind(repo) == REPO_PROXY &&
        npm_forward(req, repo, arena_printf(&req->arena, "-/v1/search?%s", req->query)))
        return;
    members_add(worker_of(req)->registry, repo, REPO_LOCAL, 0, &hosted);
    names = arena_alloc(&req->arena, (hosted.count + 1) * sizeof *names);
    for (unsigned i = 0; i < hosted.count; i++)
        names[i] = arena_strdup(&req->arena, hosted.list[i]->name);
    api_search_names(req, names, words_of(req), number(req, "from", 0, 10000),
                     number(req, "size", PAGE, PAGE_MOST), on_names, names);
}
