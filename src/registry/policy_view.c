/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/policy_view.c: what is decided about one package of one repository, read once, kept while its
 * generations stand. Judging is pure (cooldown.c). */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/gen.h"
#include "pantera/meta_setting.h"
#include "pantera/meta_upstream.h"
#include "src/registry/policy_view.h"

enum { VIEWS = 1024, UNSEEN_MOST = 1000, QUIET_MS = 5000 };

struct policy_cache {
    struct policy_view *views[VIEWS];
};

/* Compose judges on the pool while the worker flushes. */
struct policy_unseen {
    uv_mutex_t lock;
    char *versions[UNSEEN_MOST];
    unsigned count;
    uint64_t quiet_until_ms;
};

static struct policy_unseen *unseen_new(void)
{
    struct policy_unseen *u = calloc(1, sizeof *u);

    check(u && uv_mutex_init(&u->lock) == 0);
    return u;
}

static void unseen_free(struct policy_unseen *u)
{
    if (!u)
        return;
    while (u->count)
        free(u->versions[--u->count]);
    uv_mutex_destroy(&u->lock);
    free(u);
}

static void add_row(const struct cooldown_row_of *row, void *arg)
{
    struct policy_view *v = arg;

    if (v->count == v->capacity) {
        v->capacity = v->capacity ? 2 * v->capacity : 8;
        v->rows = realloc(v->rows, v->capacity * sizeof *v->rows);
        check(v->rows);
    }
    v->rows[v->count++] = (struct policy_row){
        .version = arena_strdup(&v->arena, row->version), .allowed = row->allowed, .by_age = row->by_age,
        .reason = row->reason ? arena_strdup(&v->arena, row->reason) : NULL,
        .released_ms = row->released_ms, .until_ms = row->until_ms,
    };
}

static void add_seen(const char *version, int64_t seen_ms, void *arg)
{
    struct cooldown_row_of row = { .version = version, .by_age = true };
    struct policy_view *v = arg;

    add_row(&row, v);
    v->rows[v->count - 1].seen_ms = seen_ms;
}

static void exemptions_load(struct policy_view *v, struct meta_reader *r, const char *key)
{
    struct cooldown_exemption *list;
    struct arena a;
    unsigned count;

    arena_init(&a);
    cooldown_exemptions(r, &a, v->repo_id, &list, &count);
    v->exemptions = arena_alloc(&v->arena, (count + 1) * sizeof *v->exemptions);
    for (unsigned i = 0; i < count; i++)
        if (cooldown_pattern_fits(cooldown_key(&a, v->type, list[i].package), key))
            v->exemptions[v->exemption_count++] = (struct policy_exemption){
                arena_strdup(&v->arena, list[i].version), list[i].until_ms };
    arena_release(&a);
}

static int compare_rows(const void *a, const void *b)
{
    const struct policy_row *x = a, *y = b;
    int order = strcmp(x->version, y->version);

    return order ? order : (int)y->allowed - (int)x->allowed; /* decisions first */
}

static struct policy_view *view_load(struct registry *r, const struct repo *repo, const char *package,
                                     const char *key, uint64_t hash)
{
    struct policy_view *v = calloc(1, sizeof *v);
    const char *contact;

    check(v);
    arena_init(&v->arena);
    v->refs = 1;
    v->repo_id = repo->id;
    v->package = arena_strdup(&v->arena, package);
    v->type = arena_strdup(&v->arena, repo->type);
    /* Stamps first. */
    v->hash = hash;
    v->rows_stamp = gen_get(GEN_COOLDOWN, hash);
    v->setting_stamp = gen_get(GEN_POLICY, 0);
    v->repo_stamp = gen_get(GEN_REPO, 0);
    v->rule = cooldown_rule(setting_now(r->worker->reader, COOLDOWN_SETTING), repo->type, repo->config);
    if ((contact = cooldown_contact(setting_now(r->worker->reader, COOLDOWN_SETTING))))
        v->contact = arena_strdup(&v->arena, contact);
    cooldown_rows(r->worker->reader, repo->id, key, add_row, v);
    if (v->rule.enabled) {
        cooldown_seen(r->worker->reader, repo->id, key, add_seen, v);
        exemptions_load(v, r->worker->reader, key);
        v->unseen = unseen_new();
    }
    if (v->count)
        qsort(v->rows, v->count, sizeof *v->rows, compare_rows);
    return v;
}

static bool view_current(const struct policy_view *v)
{
    return v->rows_stamp == gen_get(GEN_COOLDOWN, v->hash) && v->setting_stamp == gen_get(GEN_POLICY, 0) &&
           v->repo_stamp == gen_get(GEN_REPO, 0);
}

void policy_view_release(struct policy_view *v)
{
    if (!v || atomic_fetch_sub(&v->refs, 1) > 1)
        return;
    unseen_free(v->unseen);
    free(v->rows);
    arena_release(&v->arena);
    free(v);
}

struct policy_view *policy_view_get(struct registry *r, const struct repo *repo, const char *package)
{
    struct arena a;

    arena_init(&a);
    const char *key = cooldown_key(&a, repo->type, package);
    uint64_t hash = gen_artifact_hash(repo->id, key);
    struct policy_view **place = &r->policies->views[hash % VIEWS], *v = *place;
    if (!v || v->repo_id != repo->id || strcmp(v->package, package) || strcmp(v->type, repo->type) ||
        !view_current(v)) {
        policy_view_release(v);
        v = *place = view_load(r, repo, package, key, hash);
    }
    arena_release(&a);
    atomic_fetch_add(&v->refs, 1);
    return v;
}

uint64_t policy_view_stamp(const struct policy_view *v)
{
    return v->rows_stamp + v->setting_stamp + v->repo_stamp; /* all only grow */
}

bool policy_view_idle(const struct policy_view *v)
{
    return !v->rule.enabled && !v->count;
}

int64_t policy_view_until(const struct policy_view *v, int64_t now_ms)
{
    int64_t until = 0;

    for (unsigned i = 0; i < v->exemption_count; i++) {
        int64_t end = v->exemptions[i].until_ms;
        if (end > now_ms && (!until || end < until))
            until = end;
    }
    return until;
}

void policy_view_note(const struct policy_view *v, const char *version)
{
    struct policy_unseen *u = v->unseen;

    if (!u)
        return;
    uv_mutex_lock(&u->lock);
    if (u->count < UNSEEN_MOST && clock_mono_ms() >= u->quiet_until_ms) {
        u->versions[u->count] = strdup(version);
        check(u->versions[u->count]);
        u->count++;
    }
    uv_mutex_unlock(&u->lock);
}

static void on_told(struct proposal *p)
{
    json_decref(p->result);
    free(p);
}

void policy_view_flush(struct worker *w, const struct policy_view *v)
{
    struct policy_unseen *u = v ? v->unseen : NULL;
    json_t *versions = NULL;
    struct proposal *p;

    if (!u || w->registry->closing)
        return;
    uv_mutex_lock(&u->lock);
    if (u->count) {
        versions = json_array();
        u->quiet_until_ms = clock_mono_ms() + QUIET_MS; /* until then it is told, or has to be told again */
    }
    while (u->count) {
        json_array_append_new(versions, json_string(u->versions[--u->count]));
        free(u->versions[u->count]);
    }
    uv_mutex_unlock(&u->lock);
    if (!versions)
        return;
    p = calloc(1, sizeof *p);
    check(p);
    *p = (struct proposal){
        .op = "cooldown.seen", .home = &w->loop, .on_done = on_told,
        .args = json_pack("{s:I, s:s, s:o}", "repo_id", (json_int_t)v->repo_id, "package", v->package,
                          "versions", versions),
    };
    cluster_propose(w->cluster, p);
}

struct policy_cache *policies_new(void)
{
    struct policy_cache *c = calloc(1, sizeof *c);

    check(c);
    return c;
}

void policies_free(struct policy_cache *c)
{
    for (unsigned i = 0; i < VIEWS; i++)
        policy_view_release(c->views[i]);
    free(c);
}
