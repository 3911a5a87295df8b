/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/list.c: children of a folder. The lease is the caller's to check, as for all reading. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/limits.h"
#include "src/registry/members.h"

static enum err list_one(struct registry *r, struct arena *a, int64_t repo_id, const char *folder,
                         const char *after, unsigned limit, struct registry_entry **ret, unsigned *ret_count,
                         bool *ret_more)
{
    struct artifact_child *rows;
    struct registry_entry *entries;
    unsigned n;
    enum err e = artifact_children(r->worker->reader, a, repo_id, folder, after, limit, &rows, &n, ret_more);

    if (e)
        return e;
    entries = arena_alloc(a, (n + 1) * sizeof *entries);
    for (unsigned i = 0; i < n; i++)
        entries[i] = (struct registry_entry){ .name = rows[i].name, .directory = rows[i].directory,
                                              .hidden = rows[i].hidden, .size = rows[i].size,
                                              .modified_ms = rows[i].modified_ms };
    *ret = entries;
    *ret_count = n;
    return OK;
}

/* --- of a group: what its members have, each name once --- */

/* In the order of paths: a folder's name has its slash. */
static int compare_entries(const void *x, const void *y)
{
    const struct registry_entry *a = x, *b = y;
    size_t n = strlen(a->name), m = strlen(b->name), least = n < m ? n : m;
    int order = memcmp(a->name, b->name, least);
    unsigned char next_a, next_b;

    if (order)
        return order;
    next_a = (unsigned char)(n > least ? a->name[least] : a->directory ? '/' : 0);
    next_b = (unsigned char)(m > least ? b->name[least] : b->directory ? '/' : 0);
    return (int)next_a - (int)next_b;
}

static enum err list_group(struct registry *r, struct arena *a, const struct repo *repo, const char *folder,
                           const char *after, unsigned limit, struct registry_entry **ret,
                           unsigned *ret_count, bool *ret_more)
{
    struct registry_entry *all = NULL, *some;
    unsigned count = 0, n = 0;
    struct members members;
    enum err e = ERR_NOT_FOUND;
    bool more;

    *ret_more = false;
    members_of(r, a, repo, NULL, NULL, &members);
    for (unsigned i = 0; i < members.count; i++) {
        if (list_one(r, a, members.list[i].id, folder, after, limit, &some, &n, &more))
            continue;
        struct registry_entry *both = arena_alloc(a, (count + n + 1) * sizeof *both);
        if (count)
            memcpy(both, all, count * sizeof *both);
        memcpy(both + count, some, n * sizeof *both);
        all = both;
        count += n;
        *ret_more |= more;
        e = OK;
    }
    if (e)
        return *folder ? e : (*ret = arena_alloc(a, sizeof *all), *ret_count = 0, OK);
    qsort(all, count, sizeof *all, compare_entries); /* not stable: of equal names any will do */
    for (unsigned i = n = 0; i < count; i++)
        if (!n || compare_entries(&all[n - 1], &all[i]))
            all[n++] = all[i];
    *ret_more |= n > limit;
    *ret = all;
    *ret_count = n < limit ? n : limit;
    return OK;
}

enum err registry_list(struct registry *r, struct arena *a, const struct repo *repo,
                       const char *folder, const char *after, unsigned limit,
                       struct registry_entry **ret, unsigned *ret_count, bool *ret_more)
{
    if (repository_kind(repo) == REPO_GROUP)
        return list_group(r, a, repo, folder, after, limit, ret, ret_count, ret_more);
    return list_one(r, a, repo->id, folder, after, limit, ret, ret_count, ret_more);
}

/* --- in steps --- */

enum { STEP = 128 };

struct listing {
    struct task task;
    struct worker *worker;
    int64_t repo_id;
    char *repo, *folder;
    char after[LIMIT_PATH_SEGMENT + 2]; /* how far */
    registry_each_cb *each;
    registry_listed_cb *done;
    void *arg;
};

static void listing_end(struct listing *l, const struct repo *repo, enum err e)
{
    l->done(repo, e, l->arg);
    free(l->repo);
    free(l->folder);
    free(l);
}

static void on_step(struct task *task)
{
    struct listing *l = container_of(task, struct listing, task);
    struct registry *r = l->worker->registry;
    const struct repo *repo = registry_repo(r, l->repo);
    struct registry_entry *entries;
    struct arena step;
    unsigned count = 0;
    bool more = false;
    enum err e;

    if (!repo || repo->id != l->repo_id) {
        listing_end(l, NULL, ERR_NOT_FOUND);
        return;
    }
    arena_init(&step);
    e = registry_list(r, &step, repo, l->folder, *l->after ? l->after : NULL, STEP, &entries, &count, &more);
    if (!e && count) {
        const struct registry_entry *last = &entries[count - 1];
        snprintf(l->after, sizeof l->after, "%s%s", last->name, last->directory ? "/" : "");
        l->each(repo, entries, count, &step, l->arg);
    }
    arena_release(&step);
    if (!e && more && count)
        loop_post(&l->worker->loop, &l->task);
    else
        listing_end(l, repo, e);
}

void registry_list_all(struct worker *w, const struct repo *repo, const char *folder, registry_each_cb *each,
                       registry_listed_cb *done, void *arg)
{
    struct listing *l = calloc(1, sizeof *l);

    check(l);
    *l = (struct listing){ .task.run = on_step, .worker = w, .repo_id = repo->id, .repo = strdup(repo->name),
                           .folder = strdup(folder), .each = each, .done = done, .arg = arg };
    check(l->repo && l->folder);
    loop_post(&w->loop, &l->task);
}

unsigned registry_places(struct registry *r, struct arena *a, const struct repo *repo,
                         const struct digest_values *d, unsigned limit, struct registry_place *ret)
{
    const char *store = repo_entry_of(repo)->store;
    struct artifact_place *rows = arena_alloc(a, (limit + 1) * sizeof *rows);
    unsigned n = store ? artifact_places(r->worker->reader, a, store, d, limit, rows) : 0;

    for (unsigned i = 0; i < n; i++)
        ret[i] = (struct registry_place){ rows[i].repo, rows[i].path };
    return n;
}
