/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/registry.c: a worker's registry: repositories by name, kept while their generation
 * stands, and open stores. No verbs here (put.c, get.c, delete.c, list.c). */
#include <stdlib.h>
#include <string.h>

#include "pantera/gen.h"
#include "pantera/limits.h"
#include "pantera/log.h"
#include "pantera/meta_alias.h"
#include "pantera/meta_repository.h"
#include "pantera/meta_secret.h"
#include "pantera/text.h"
#include "src/registry/compose.h"
#include "src/registry/flight.h"
#include "src/registry/policy_view.h"

struct registry *registry_new(struct worker *w)
{
    struct registry *r = calloc(1, sizeof *r);

    check(r);
    r->worker = w;
    r->warm = warm_new(&w->loop);
    keys_ref(w->cluster);
    r->policies = policies_new();
    composed_open();
    flights_start(r);
    return r;
}

static void repo_entry_free(struct repo_entry *e)
{
    json_decref(e->config);
    arena_release(&e->arena);
    free(e);
}

static void retired_free(struct registry *r)
{
    while (r->retired) {
        struct repo_entry *e = r->retired;
        r->retired = e->next;
        repo_entry_free(e);
    }
}

static void on_retire(struct task *task)
{
    struct registry *r = container_of(task, struct registry, retire_task);

    r->retire_posted = false;
    retired_free(r);
}

/* Entries were promised until control returns to the loop: they go by a task of their own. */
static void repos_drop(struct registry *r)
{
    for (unsigned i = 0; i < REPO_BUCKETS; i++) {
        while (r->repos[i]) {
            struct repo_entry *e = r->repos[i];
            r->repos[i] = e->next;
            e->next = r->retired;
            r->retired = e;
        }
    }
    r->repo_count = 0;
    if (r->retired && !r->retire_posted) {
        r->retire_posted = true;
        r->retire_task.run = on_retire;
        loop_post(&r->worker->loop, &r->retire_task);
    }
}

void registry_free(struct registry *r)
{
    if (!r)
        return;
    r->closing = true;
    flights_stop(r);
    for (unsigned i = 0; i < REPO_BUCKETS; i++)
        while (r->repos[i]) {
            struct repo_entry *e = r->repos[i];
            r->repos[i] = e->next;
            repo_entry_free(e);
        }
    retired_free(r);
    stores_close(r);
    warm_free(r->warm);
    composed_close();
    policies_free(r->policies);
    keys_unref();
    free(r);
}

/* "file-proxy" → "file" */
static const char *format_name(struct arena *a, const char *type)
{
    static const char *const suffixes[] = { "-proxy", "-group" };
    size_t n = strlen(type);

    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        size_t m = strlen(suffixes[i]);
        if (n > m && !strcmp(type + n - m, suffixes[i]))
            return arena_strndup(a, type, n - m);
    }
    return type;
}

static struct repo_entry *repo_load(struct registry *r, const char *name)
{
    struct repo_entry *e = calloc(1, sizeof *e);
    struct repository_row row;
    const json_t *max;

    check(e);
    arena_init(&e->arena);
    if (repository_get(r->worker->reader, &e->arena, name, &row))
        goto none;
    e->config = json_loads(row.config, 0, NULL);
    if (!e->config) {
        log_error("registry", "repository '%s' has an unreadable configuration", name);
        goto none;
    }
    max = json_object_get(json_object_get(e->config, "repo"), "content-length-max");
    e->store = row.store ? arena_strdup(&e->arena, row.store) : NULL;
    e->pub = (struct repo){
        .id = row.id, .name = row.name, .type = row.type, .storage = row.storage,
        .format = format_name(&e->arena, row.type), .config = e->config,
        .content_length_max = json_is_integer(max) ? json_integer_value(max) : 0,
    };
    rules_load(r, e);
    return e;
none:
    repo_entry_free(e);
    return NULL;
}

const struct repo *registry_repo(struct registry *r, const char *name)
{
    uint64_t stamp = gen_get(GEN_REPO, 0); /* before the row is read */
    struct repo_entry **bucket = &r->repos[hash_text(name) % REPO_BUCKETS], *e;

    if (stamp != r->repo_stamp || r->repo_count >= REPO_CACHE) {
        repos_drop(r);
        r->repo_stamp = stamp;
    }
    for (e = *bucket; e; e = e->next)
        if (!strcmp(e->pub.name, name))
            return &e->pub;
    if (!name_valid(name) || !(e = repo_load(r, name)))
        return NULL;
    e->next = *bucket;
    *bucket = e;
    r->repo_count++;
    return &e->pub;
}

void registry_each(struct registry *r, void (*each)(const char *name, const char *type, void *arg), void *arg)
{
    repository_each(r->worker->reader, NULL, NULL, each, arg);
}

/* --- stores --- */

static void store_close(struct store *s)
{
    blob_store_close(s->blobs);
    free(s->name);
    free(s->config);
    free(s);
}

void store_unref(struct registry *r, struct store *s)
{
    (void)r;
    check(s->users > 0);
    if (--s->users == 0 && s->retired)
        store_close(s);
}

static void store_retire(struct store *s)
{
    s->retired = true;
    if (s->users == 0)
        store_close(s);
}

void stores_close(struct registry *r)
{
    while (r->stores) {
        struct store *s = r->stores;
        r->stores = s->next;
        store_retire(s);
    }
}

static enum err store_open(struct registry *r, struct arena *a, const char *name,
                           const char *sealed, struct blob_store **ret, struct why *why)
{
    const struct worker *w = r->worker;
    struct blob_store_options o = {
        .loop = &r->worker->loop, .client = w->client, .cache_dir = w->config->cache_dir,
        .cache_bytes = w->config->cache_bytes, .clustered = !cluster_alone(w->cluster),
    };
    json_t *config = json_loads(sealed, 0, NULL);
    enum err e = config ? OK : fail(why, ERR_INTERNAL, "storage '%s' is unreadable", name);

    if (!e)
        e = secrets_unseal(a, cluster_seal_key(w->cluster), alias_aad(a, name), config, why);
    if (!e && (e = blob_store_open(&o, config, ret, why)))
        log_error("registry", "storage '%s' does not open: %s", name, why_text(why, e));
    json_decref(config);
    /* The client did nothing wrong: it is our store that can't be used. */
    return e == ERR_BAD_REQUEST || e == ERR_FORBIDDEN ? ERR_STORE_DOWN : e;
}

/* The generation has moved: stores whose aliases read differently now are not the current ones. */
static void stores_review(struct registry *r, struct arena *a)
{
    struct store **at = &r->stores;

    while (*at) {
        struct store *s = *at;
        struct alias_row row;
        if (!alias_of_store(r->worker->reader, a, s->name, &row) && !strcmp(row.config, s->config)) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        keys_forget(s->name);
        store_retire(s);
    }
}

enum err store_ref(struct registry *r, const char *name, struct store **ret, struct why *why)
{
    uint64_t stamp = gen_get(GEN_REPO, 0);
    struct alias_row row;
    struct blob_store *blobs;
    struct store *s;
    struct arena a;
    enum err e;

    arena_init(&a);
    if (stamp != r->store_stamp) {
        r->store_stamp = stamp;
        stores_review(r, &a);
    }
    for (s = r->stores; s; s = s->next)
        if (!strcmp(s->name, name))
            break;
    if (!s) {
        e = alias_of_store(r->worker->reader, &a, name, &row);
        if (e)
            e = fail(why, ERR_STORE_DOWN, "storage '%s' does not exist", name);
        else
            e = store_open(r, &a, name, row.config, &blobs, why);
        if (e)
            goto out;
        s = calloc(1, sizeof *s);
        check(s);
        *s = (struct store){ .name = strdup(name), .config = strdup(row.config), .blobs = blobs,
                             .next = r->stores };
        check(s->name && s->config);
        r->stores = s;
    }
    s->users++;
    *ret = s;
    e = OK;
out:
    arena_release(&a);
    return e;
}
