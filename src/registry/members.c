/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/members.c: the members of a group, recursively, in the order in which they answer; and who
 * owns a name: what a hosted member has is never asked upstream, or anybody could publish there what is
 * built here. */
#include <fnmatch.h>
#include <string.h>

#include "src/registry/members.h"

enum { DEPTH_MOST = 8, MEMBERS_MOST = 256 };

static bool is_listed(const struct members *m, int64_t id)
{
    for (unsigned i = 0; i < m->count; i++)
        if (m->list[i].id == id)
            return true;
    return false;
}

/* Members of another format would be asked for paths that are not theirs. */
static bool formats_fit(const char *group, const char *member)
{
    bool jars = (!strcmp(group, "maven") || !strcmp(group, "gradle")) &&
                (!strcmp(member, "maven") || !strcmp(member, "gradle"));

    return jars || !strcmp(group, member);
}

static void flatten(struct registry *r, struct arena *a, const struct repo *repo, unsigned depth,
                    struct members *ret)
{
    const struct repo_rules *rules = &repo_entry_of(repo)->rules;

    if (rules->kind != REPO_GROUP) {
        if (ret->count < MEMBERS_MOST && !is_listed(ret, repo->id))
            ret->list[ret->count++] = (struct member){ repo->id, arena_strdup(a, repo->name),
                                                       rules->kind == REPO_PROXY };
        return;
    }
    for (unsigned i = 0; depth < DEPTH_MOST && i < rules->member_count; i++) {
        const struct repo *member = registry_repo(r, rules->members[i]);
        if (member && formats_fit(repo->format, member->format))
            flatten(r, a, member, depth + 1, ret);
    }
}

static void hosted_first(struct arena *a, struct members *m)
{
    struct member *sorted = arena_alloc(a, (m->count + 1) * sizeof *sorted);
    unsigned n = 0;

    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < m->count; i++)
            if (m->list[i].proxy == (pass == 1))
                sorted[n++] = m->list[i];
    m->list = sorted;
}

static bool owns_default(struct registry *r, struct arena *a, const struct repo *repo, const char *package)
{
    struct artifact_child *rows;
    struct artifact_row row;
    unsigned n;
    bool more;

    if (!artifact_get(r->worker->reader, a, repo->id, package, &row))
        return true;
    return *package && !artifact_children(r->worker->reader, a, repo->id, package, NULL, 1, &rows, &n, &more);
}

static bool is_open(const struct repo_rules *rules, const char *package)
{
    for (unsigned i = 0; i < rules->open_count; i++)
        if (fnmatch(rules->open[i], package, 0) == 0)
            return true;
    return false;
}

const struct repo *member_repo(struct registry *r, const struct member *m)
{
    const struct repo *repo = registry_repo(r, m->name);

    return repo && repo->id == m->id ? repo : NULL;
}

static bool is_owned(struct registry *r, struct arena *a, const struct members *m, const char *package,
                     package_owns *owns)
{
    for (unsigned i = 0; i < m->count; i++) {
        const struct repo *repo = m->list[i].proxy ? NULL : member_repo(r, &m->list[i]);
        if (repo && (owns ? owns : owns_default)(r, a, repo, package))
            return true;
    }
    return false;
}

void members_of(struct registry *r, struct arena *a, const struct repo *repo, const char *package,
                package_owns *owns, struct members *ret)
{
    const struct repo_rules *rules = &repo_entry_of(repo)->rules;
    unsigned hosted = 0;

    ret->count = 0;
    if (rules->kind != REPO_GROUP) {
        ret->list = arena_alloc(a, sizeof *ret->list);
        flatten(r, a, repo, 0, ret);
        return;
    }
    ret->list = arena_alloc(a, MEMBERS_MOST * sizeof *ret->list);
    flatten(r, a, repo, 0, ret);
    if (!rules->as_listed)
        hosted_first(a, ret);
    if (!package || is_open(rules, package) || !is_owned(r, a, ret, package, owns))
        return;
    for (unsigned i = 0; i < ret->count; i++)
        if (!ret->list[i].proxy)
            ret->list[hosted++] = ret->list[i];
    ret->count = hosted;
}
