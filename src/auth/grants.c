/* SPDX-License-Identifier: Apache-2.0 */
/* What a user may, resolved from roles once and then only looked up: a bit an API permission, a sorted
 * list of (kind, repository, image) with action bits. Immutable once sealed; counted references of one
 * worker. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/limits.h"
#include "pantera/log.h"
#include "pantera/text.h"
#include "src/auth/internal.h"

_Static_assert(PERM_COUNT <= 64, "grants keep permissions in 64 bits");

enum kind { ADAPTER, DOCKER_IMAGE, DOCKER_REGISTRY };
struct grant {
    enum kind kind;
    char *repo, *image; /* image "" but for DOCKER_IMAGE */
    unsigned actions;
};

struct grants {
    unsigned refs;
    bool everything;
    uint64_t permissions;
    unsigned anywhere; /* ADAPTER actions on "*" */
    struct grant *list;
    size_t count, room;
};

struct grants *grants_new(void)
{
    struct grants *g = calloc(1, sizeof *g);
    check(g);
    g->refs = 1;
    return g;
}

struct grants *grants_ref(struct grants *g)
{
    g->refs++;
    return g;
}

void grants_unref(struct grants *g)
{
    if (!g || --g->refs)
        return;
    for (size_t i = 0; i < g->count; i++) {
        free(g->list[i].repo);
        free(g->list[i].image);
    }
    free(g->list);
    free(g);
}

static void grant_append(struct grants *g, enum kind kind, const char *repo, const char *image,
                         unsigned actions)
{
    if (!actions)
        return;
    if (kind == ADAPTER && strcmp(repo, "*") == 0)
        g->anywhere |= actions;
    if (g->count == g->room) {
        g->room = g->room ? 2 * g->room : 8;
        g->list = realloc(g->list, g->room * sizeof *g->list);
        check(g->list);
    }
    g->list[g->count++] = (struct grant){ kind, strdup(repo), strdup(image), actions };
}

static unsigned actions_of(const json_t *words, unsigned (*parse)(const char *))
{
    unsigned bits = 0;
    size_t i;
    const json_t *word;
    json_array_foreach(words, i, word)
        if (json_is_string(word))
            bits |= parse(json_string_value(word));
    return bits;
}

static void map_add(struct grants *g, enum kind kind, const char *image, const json_t *map,
                    unsigned (*parse)(const char *))
{
    const char *repo, *deeper;
    json_t *value, *words;
    json_object_foreach((json_t *)map, repo, value) {
        if (kind == DOCKER_IMAGE) {
            json_object_foreach(value, deeper, words)
                grant_append(g, kind, repo, deeper, actions_of(words, parse));
        } else {
            grant_append(g, kind, repo, image, actions_of(value, parse));
        }
    }
}

static void domain_add(struct grants *g, const char *domain, const json_t *words)
{
    size_t i;
    const json_t *word;
    json_array_foreach(words, i, word)
        for (unsigned p = PERM_ANYONE + 1; json_is_string(word) && p < PERM_COUNT; p++)
            if (strcmp(permission_domain_of(p), domain) == 0 &&
                (strcmp(json_string_value(word), "*") == 0 ||
                 strcmp(json_string_value(word), permission_action_of(p)) == 0))
                g->permissions |= 1ull << p;
}

static bool has_star(const json_t *words)
{
    size_t i;
    const json_t *word;
    json_array_foreach(words, i, word)
        if (json_is_string(word) && strcmp(json_string_value(word), "*") == 0)
            return true;
    return false;
}

void grants_add(struct grants *g, const char *text)
{
    const char *key;
    json_t *value, *role = json_loads(text, 0, NULL);
    if (!json_is_object(role))
        log_warn("auth", "a role's permissions are not a JSON object; it grants nothing");
    json_object_foreach(role, key, value) {
        const char *domain = permission_domain(key);
        if (strcmp(key, "all_permission") == 0)
            g->everything = true;
        else if (domain)
            domain_add(g, domain, value);
        else if (strcmp(key, "adapter_basic_permissions") == 0)
            map_add(g, ADAPTER, "", value, repo_actions_parse);
        else if (strcmp(key, "docker_repository_permissions") == 0)
            map_add(g, DOCKER_IMAGE, "", value, docker_actions_parse);
        else if (strcmp(key, "docker_registry_permissions") == 0)
            map_add(g, DOCKER_REGISTRY, "", value, registry_actions_parse);
        else if (strcmp(key, "*") == 0 && has_star(value))
            g->everything = true;
        else
            grant_append(g, ADAPTER, key, "", actions_of(value, repo_actions_parse));
    }
    json_decref(role);
}

static int grant_compare(const void *left, const void *right)
{
    const struct grant *a = left, *b = right;
    int order = (int)a->kind - (int)b->kind;
    if (!order)
        order = strcmp(a->repo, b->repo);
    return order ? order : strcmp(a->image, b->image);
}

void grants_seal(struct grants *g)
{
    size_t kept = 0;
    if (!g->count)
        return;
    qsort(g->list, g->count, sizeof *g->list, grant_compare);
    for (size_t i = 1; i < g->count; i++) {
        if (grant_compare(&g->list[kept], &g->list[i]) == 0) {
            g->list[kept].actions |= g->list[i].actions;
            free(g->list[i].repo);
            free(g->list[i].image);
        } else {
            g->list[++kept] = g->list[i];
        }
    }
    g->count = kept + 1;
}

static unsigned grant_find(const struct grants *g, enum kind kind, const char *repo,
                           const char *image)
{
    struct grant key = { kind, (char *)repo, (char *)image, 0 };
    const struct grant *found =
        g->count ? bsearch(&key, g->list, g->count, sizeof *g->list, grant_compare) : NULL;
    return found ? found->actions : 0;
}

static bool holds(const struct grants *g, enum kind kind, const char *repo, const char *image,
                  unsigned actions)
{
    unsigned got = grant_find(g, kind, repo, image) | grant_find(g, kind, "*", image) |
                   grant_find(g, kind, repo, "*") | grant_find(g, kind, "*", "*");
    return g->everything || (got & actions) == actions;
}

/* --- questions --- */

bool may(const struct principal *p, enum permission need)
{
    if (need == PERM_PUBLIC)
        return true;
    if (!p || need == PERM_UNSET)
        return false;
    if (p->scope || need == PERM_SCOPED)
        return need == PERM_SCOPED;
    return need == PERM_ANYONE || p->grants->everything || (p->grants->permissions >> need & 1);
}

bool may_everything(const struct principal *p)
{
    return p && !p->scope && p->grants->everything;
}

static bool repo_granted(const struct grants *g, const char *repo, enum repo_action action)
{
    return g->everything || (g->anywhere & action) || (grant_find(g, ADAPTER, repo, "") & action);
}

bool may_repo(const struct principal *p, const char *repo, enum repo_action action)
{
    return p && !p->scope && repo_granted(p->grants, repo, action);
}

_Static_assert((int)IMAGE_PULL == (int)DOCKER_PULL && (int)IMAGE_PUSH == (int)DOCKER_PUSH &&
               (int)IMAGE_OVERWRITE == (int)DOCKER_OVERWRITE, "one set of bits");

/* To overwrite is to push, for a token. */
static bool in_scope(const struct principal *p, const char *repo, const char *image, enum image_action action)
{
    char name[2 * LIMIT_NAME];
    size_t size = p->scope ? (size_t)snprintf(name, sizeof name, "%s/%s", repo, image) : 0;

    return !p->scope || (size < sizeof name &&
                         scope_covers(p->scope, "repository", name, action == IMAGE_PULL ? "pull"
                                      : action == IMAGE_DELETE ? "delete" : "push"));
}

bool may_image(const struct principal *p, const char *repo, const char *image, enum image_action action)
{
    enum repo_action wide = action == IMAGE_PULL ? REPO_READ : action == IMAGE_DELETE ? REPO_DELETE
                            : REPO_WRITE;

    if (!p || !in_scope(p, repo, image, action))
        return false;
    return repo_granted(p->grants, repo, wide) ||
           (action != IMAGE_DELETE && holds(p->grants, DOCKER_IMAGE, repo, image, action));
}

bool may_see(const struct principal *p, const char *repo)
{
    const struct grants *g = p ? p->grants : NULL;

    if (!g || g->everything)
        return g != NULL;
    for (size_t i = 0; i < g->count; i++)
        if (!repo || !strcmp(g->list[i].repo, repo) || !strcmp(g->list[i].repo, "*"))
            return true;
    return false;
}

bool may_catalog(const struct principal *p, const char *repo)
{
    if (!p || (p->scope && !scope_covers(p->scope, "registry", "catalog", "*")))
        return false;
    return !repo || repo_granted(p->grants, repo, REPO_READ) ||
           holds(p->grants, DOCKER_REGISTRY, repo, "", DOCKER_CATALOG);
}

bool may_repo_any(const struct principal *p, enum repo_action action)
{
    return p && !p->scope && (p->grants->everything || (p->grants->anywhere & action));
}

json_t *grants_describe(const struct principal *p)
{
    json_t *all = json_object();
    for (unsigned q = PERM_ANYONE + 1; q < PERM_COUNT; q++) {
        json_t *actions = json_object_get(all, permission_domain_of(q));
        if (!actions) {
            actions = json_array();
            json_object_set_new(all, permission_domain_of(q), actions);
        }
        if (may(p, (enum permission)q))
            json_array_append_new(actions, json_string(permission_action_of(q)));
    }
    json_object_set_new(all, "can_delete_artifacts", json_boolean(may_repo_any(p, REPO_DELETE)));
    return all;
}

static const char *lacking(const struct grants *have, const struct grants *want)
{
    if (want->everything && !have->everything)
        return "all_permission";
    if (have->everything)
        return NULL;
    for (unsigned p = PERM_ANYONE + 1; p < PERM_COUNT; p++)
        if (want->permissions & ~have->permissions & 1ull << p)
            return permission_domain_of(p);
    for (size_t i = 0; i < want->count; i++) {
        const struct grant *w = &want->list[i];
        if (!holds(have, w->kind, w->repo, w->image, w->actions))
            return w->repo;
    }
    return NULL;
}

enum err grants_cover(const struct principal *p, const char *text, struct why *why)
{
    struct grants *want = grants_new();
    enum err e = OK;
    grants_add(want, text);
    grants_seal(want);
    const char *what = lacking(p->grants, want);
    if (what)
        e = fail(why, ERR_FORBIDDEN, "you can't grant what you don't hold: '%.100s'", what);
    grants_unref(want);
    return e;
}
