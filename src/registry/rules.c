/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/rules.c: what the configuration of a proxy or a group says: checked when it is put, read
 * when the repository is. Remotes themselves are remote.c's. */
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/document.h"
#include "pantera/log.h"
#include "pantera/meta_cooldown.h"
#include "pantera/meta_repository.h"
#include "src/registry/internal.h"

#define DOCUMENT_TTL_MS (10ll * 60 * 1000)
#define MISSING_TTL_MS (10ll * 60 * 1000)
#define TTL_MOST_MS (366ll * 24 * 3600 * 1000)
#define OPEN_MOST 256

static enum repo_kind kind_of(const char *type)
{
    size_t n = strlen(type);

    if (n > 6 && !strcmp(type + n - 6, "-proxy"))
        return REPO_PROXY;
    return n > 6 && !strcmp(type + n - 6, "-group") ? REPO_GROUP : REPO_LOCAL;
}

/* --- checking --- */

static bool listed(const char *const *keys, const char *name)
{
    while (keys && *keys && strcmp(*keys, name))
        keys++;
    return keys && *keys;
}

static bool ttl_read(const json_t *v, int64_t *ret_ms)
{
    uint64_t ms;

    if (!json_is_string(v) || !clock_parse_duration(json_string_value(v), &ms) || ms > TTL_MOST_MS)
        return false;
    *ret_ms = (int64_t)ms;
    return true;
}

static enum err object_check(const json_t *v, const char *where, const char *const *keys, struct why *why)
{
    const char *name;
    json_t *value;

    if (!v)
        return OK;
    if (!json_is_object(v))
        return fail(why, ERR_BAD_REQUEST, "'%s' must be an object", where);
    json_object_foreach ((json_t *)v, name, value)
        if (!listed(keys, name))
            return fail(why, ERR_BAD_REQUEST, "'%s.%.60s' is not a key that means anything here", where,
                        name);
    return OK;
}

static enum err cache_check(const json_t *cache, struct why *why)
{
    static const char *const keys[] = { "metadata", "negative", "enabled", NULL };
    static const char *const ttl_keys[] = { "ttl", "enabled", NULL };
    enum err e = object_check(cache, "cache", keys, why);

    for (unsigned i = 0; !e && i < 2; i++) {
        const json_t *part = json_object_get(cache, keys[i]), *ttl = json_object_get(part, "ttl");
        const json_t *enabled = json_object_get(part, "enabled");
        char where[32];
        int64_t ms;
        snprintf(where, sizeof where, "cache.%s", keys[i]);
        e = object_check(part, where, ttl_keys, why);
        if (!e && ttl && !ttl_read(ttl, &ms))
            e = fail(why, ERR_BAD_REQUEST, "'%s.ttl' must be a duration like \"1h\", \"10m\" or \"PT1H\"",
                     where);
        if (!e && enabled && !json_is_boolean(enabled))
            e = fail(why, ERR_BAD_REQUEST, "'%s.enabled' must be true or false", where);
    }
    if (!e && json_object_get(cache, "enabled") && !json_is_true(json_object_get(cache, "enabled")))
        e = fail(why, ERR_BAD_REQUEST, "'cache.enabled' can only be true: a proxy caches");
    return e;
}

static enum err group_check(const json_t *repo, struct why *why)
{
    const json_t *order = json_object_get(repo, "order"), *open = json_object_get(repo, "allow_upstream");
    const json_t *partial = json_object_get(repo, "partial_indexes");
    const char *text = json_string_value(order);
    const json_t *item;
    size_t i;

    if (order && (!text || (strcmp(text, "hosted-first") && strcmp(text, "listed"))))
        return fail(why, ERR_BAD_REQUEST, "'order' must be \"hosted-first\" or \"listed\"");
    if (open && (!json_is_array(open) || json_array_size(open) > OPEN_MOST))
        return fail(why, ERR_BAD_REQUEST, "'allow_upstream' must be an array of at most %d patterns",
                    OPEN_MOST);
    if (partial && !json_is_boolean(partial))
        return fail(why, ERR_BAD_REQUEST, "'partial_indexes' must be true or false");
    json_array_foreach ((json_t *)open, i, item)
        if (!json_is_string(item) || !*json_string_value(item))
            return fail(why, ERR_BAD_REQUEST, "'allow_upstream' must be an array of names or patterns");
    return OK;
}

enum err repository_check(const json_t *repo, const char *const *more, struct why *why)
{
    static const char *const common[] = { "type", "storage", "content-length-max", "description", NULL };
    static const char *const kinds[][5] = {
        [REPO_LOCAL] = { NULL },
        [REPO_PROXY] = { "remotes", "cache", "cooldown", NULL },
        [REPO_GROUP] = { "members", "order", "allow_upstream", "partial_indexes", NULL },
    };
    const char *type = json_string_value(json_object_get(repo, "type")), *name;
    enum repo_kind kind = kind_of(type ? type : "");
    json_t *value;
    enum err e;

    json_object_foreach ((json_t *)repo, name, value)
        if (!listed(common, name) && !listed(kinds[kind], name) && !listed(more, name))
            return fail(why, ERR_BAD_REQUEST, "'%.100s' is not a key of a repository of type %.60s", name,
                        type ? type : "?");
    if (kind == REPO_GROUP)
        return group_check(repo, why);
    if (kind == REPO_LOCAL)
        return OK;
    if ((e = upstream_check(repo, why)) || (e = cache_check(json_object_get(repo, "cache"), why)))
        return e;
    return cooldown_own_check(json_object_get(repo, "cooldown"), why);
}

/* --- reading --- */

static void proxy_load(struct registry *r, struct repo_entry *e, const json_t *repo)
{
    const json_t *cache = json_object_get(repo, "cache"), *negative = json_object_get(cache, "negative");
    const struct cluster *cluster = r->worker->cluster;
    struct repo_rules *rules = &e->rules;
    struct why why = { "" };

    rules->document_ttl_ms = DOCUMENT_TTL_MS;
    rules->missing_ttl_ms = MISSING_TTL_MS;
    (void)ttl_read(json_object_get(json_object_get(cache, "metadata"), "ttl"), &rules->document_ttl_ms);
    (void)ttl_read(json_object_get(negative, "ttl"), &rules->missing_ttl_ms);
    if (json_is_false(json_object_get(negative, "enabled")))
        rules->missing_ttl_ms = 0;
    if (upstream_remotes(&e->arena, e->config, cluster_seal_key(cluster),
                         repository_aad(&e->arena, e->pub.id), &rules->remotes, &rules->remote_count, &why)) {
        log_error("registry", "the remotes of repository '%s' are unreadable: %s", e->pub.name, why.text);
        rules->remote_count = 0;
    }
}

static const char **strings(struct arena *a, const json_t *list, unsigned *ret_count)
{
    const char **ret = arena_alloc(a, (json_array_size(list) + 1) * sizeof *ret);
    const json_t *item;
    unsigned n = 0;
    size_t i;

    json_array_foreach ((json_t *)list, i, item)
        if (json_is_string(item))
            ret[n++] = json_string_value(item);
    *ret_count = n;
    return ret;
}

enum repo_kind repository_kind(const struct repo *repo)
{
    return repo_entry_of(repo)->rules.kind;
}

void rules_load(struct registry *r, struct repo_entry *e)
{
    const json_t *repo = json_object_get(e->config, "repo");
    const char *order = json_string_value(json_object_get(repo, "order"));
    struct repo_rules *rules = &e->rules;

    rules->kind = kind_of(e->pub.type);
    if (rules->kind == REPO_PROXY) {
        proxy_load(r, e, repo);
    } else if (rules->kind == REPO_GROUP) {
        rules->members = strings(&e->arena, json_object_get(repo, "members"), &rules->member_count);
        rules->open = strings(&e->arena, json_object_get(repo, "allow_upstream"), &rules->open_count);
        rules->partial = json_is_true(json_object_get(repo, "partial_indexes"));
        rules->as_listed = order && !strcmp(order, "listed");
    }
}
