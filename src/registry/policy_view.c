/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/policy_view.c: what is decided about one package of one repository, read once, kept while its
 * generations stand. Judging is pure (cooldown.c). */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/gen.h"
#include "pantera/meta_setting.h"
#include "pantera/meta_upstream.h"
#include "src/registry/policy_view.h"

enum { VIEWS = 1024 };

struct policy_cache {
    struct policy_view *views[VIEWS];
};

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
    cooldown_rows(r->worker->reader, repo->id, key, add_row, v);
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
