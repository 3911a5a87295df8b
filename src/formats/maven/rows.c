/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/maven/rows.c: what a hosted repository knows for maven-metadata.xml, computed from the
 * rows of the folder at each request: nothing is kept that two deploys could lose, and nothing comes
 * from the clock. In steps, so that a folder of ten thousand versions holds up nobody. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/limits.h"
#include "pantera/stage.h"
#include "src/formats/maven/maven.h"
#include "src/formats/maven/metadata.h"
#include "src/formats/maven/version.h"

enum { FILES_MOST = 256, OWNED_MOST = 200 };

struct rows {
    struct worker *worker;
    struct arena arena;
    char repo[LIMIT_NAME + 1];
    const char *folder;
    const char *artifact;        /* last segment of `folder`; of a snapshot's folder, the one before */
    bool snapshot;               /* `folder` is one version's */
    struct maven_metadata m;
    maven_give *give;
    void *arg;
};

const char *maven_plugins_path(struct arena *a, const char *folder)
{
    return arena_printf(a, ".maven/plugins/%s.xml", folder);
}

static void rows_end(struct rows *r, enum err e, const struct why *why)
{
    struct why text = why ? *why : (struct why){ "" };
    struct buf b;

    buf_init(&b, MAVEN_METADATA_LIMIT);
    maven_metadata_finish(&r->m);
    if (!e && maven_metadata_empty(&r->m))
        e = fail(&text, ERR_NOT_FOUND, "nothing in '%.200s'", r->folder);
    if (!e) {
        maven_metadata_render(&r->m, &b);
        e = buf_err(&b);
    }
    r->give(e, &text, e ? NULL : b.data, e ? 0 : b.length, r->arg);
    buf_free(&b);
    arena_release(&r->arena);
    free(r);
}

/* --- a snapshot's files --- */

static void keep_newest(struct rows *r, const struct maven_path *p, const char *updated)
{
    struct maven_metadata *m = &r->m;
    struct maven_snapshot s = { p->classifier ? p->classifier : "", p->extension, p->file_version, updated };
    struct maven_snapshot *known = NULL;

    for (unsigned i = 0; i < m->snapshot_count && !known; i++)
        if (!strcmp(m->snapshots[i].classifier, s.classifier) &&
            !strcmp(m->snapshots[i].extension, s.extension))
            known = &m->snapshots[i];
    if (known && (strcmp(known->updated, updated) > 0 ||
                  (!strcmp(known->updated, updated) && strcmp(known->value, s.value) >= 0)))
        return;
    s.value = arena_strdup(&r->arena, s.value);
    s.updated = arena_strdup(&r->arena, s.updated);
    if (known) {
        known->value = s.value;
        known->updated = s.updated;
    } else if (m->snapshot_count < FILES_MOST) {
        s.classifier = arena_strdup(&r->arena, s.classifier);
        s.extension = arena_strdup(&r->arena, s.extension);
        maven_metadata_add_snapshot(m, &s);
    }
}

static const char *stamp_of(struct maven_metadata *m, int64_t wall_ms)
{
    maven_metadata_updated_ms(m, wall_ms);
    return m->last_updated;
}

static void add_file(struct rows *r, struct arena *step, const struct registry_entry *e)
{
    struct maven_metadata *m = &r->m;
    struct maven_metadata row;
    struct maven_path p;
    const char *updated;

    maven_path_parse(step, arena_printf(step, "%s/%s", r->folder, e->name), &p);
    if (p.kind != MAVEN_ARTIFACT || p.checksum)
        return;
    maven_metadata_init(&row, step);
    if (p.timestamp)
        updated = arena_printf(step, "%.8s%s", p.timestamp, p.timestamp + 9);
    else
        updated = stamp_of(&row, e->modified_ms);
    maven_metadata_updated(m, updated);
    if (p.timestamp && (!m->timestamp || strcmp(p.timestamp, m->timestamp) >= 0))
        maven_metadata_add_build(m, arena_strdup(&r->arena, p.timestamp), p.build);
    keep_newest(r, &p, updated);
}

/* --- an artifact's versions --- */

/* A folder is a version if it holds a file that is named so: one seek. False: it is none. */
static bool version_in(struct registry *registry, struct arena *a, const struct repo *repo,
                       const char *folder,
                       const char *version, int64_t *ret_modified_ms)
{
    const char *stem;
    struct registry_entry *files;
    size_t n = strlen(version);
    unsigned count;
    bool more;

    if (maven_version_is_snapshot(version) && n > strlen("SNAPSHOT"))
        n -= strlen("SNAPSHOT"); /* its files say the timestamp instead */
    stem = arena_printf(a, "%s-%.*s", maven_base(folder), (int)n, version);
    if (strlen(stem) > LIMIT_PATH_SEGMENT ||
        registry_list(registry, a, repo, arena_printf(a, "%s/%s", folder, version), stem, 1, &files, &count,
                      &more) ||
        !count || files[0].directory || strncmp(files[0].name, stem, strlen(stem)))
        return false;
    *ret_modified_ms = files[0].modified_ms;
    return true;
}

static void add_folder(struct rows *r, struct arena *step, const struct repo *repo,
                       const struct registry_entry *e)
{
    int64_t modified_ms;

    if (!version_in(r->worker->registry, step, repo, r->folder, e->name, &modified_ms))
        return;
    maven_metadata_add_version(&r->m, arena_strdup(&r->arena, e->name));
    maven_metadata_updated_ms(&r->m, modified_ms);
}

/* Has this repository a version of it? Asked of the first folders only: others may be groups' below it. */
bool maven_owns(struct registry *r, struct arena *a, const struct repo *repo, const char *package)
{
    const char *colon = strchr(package, ':'), *folder;
    struct registry_entry *entries;
    unsigned count;
    int64_t modified_ms;
    bool more;

    if (!colon)
        return false;
    folder = arena_printf(a, "%s/%s", maven_slashes(a, arena_strndup(a, package, (size_t)(colon - package))),
                          colon + 1);
    if (registry_list(r, a, repo, folder, NULL, OWNED_MOST, &entries, &count, &more))
        return false;
    for (unsigned i = 0; i < count; i++)
        if (entries[i].directory && version_in(r, a, repo, folder, entries[i].name, &modified_ms))
            return true;
    return false;
}

/* A plugin whose artifact is gone is none any more. */
static void drop_plugins(struct rows *r, const struct repo *repo)
{
    struct maven_metadata *m = &r->m;
    unsigned kept = 0;

    for (unsigned i = 0; i < m->plugin_count; i++) {
        const char *folder = arena_printf(&r->arena, "%s/%s", r->folder, m->plugins[i].artifact_id);
        struct registry_entry *entries;
        unsigned count;
        bool more;
        if (!registry_list(r->worker->registry, &r->arena, repo, folder, NULL, 1, &entries, &count, &more))
            m->plugins[kept++] = m->plugins[i];
    }
    m->plugin_count = kept;
}

/* --- the folder --- */

static void name_it(struct rows *r)
{
    struct arena *a = &r->arena;
    const char *of = r->snapshot ? maven_parent(a, r->folder) : r->folder;

    if (!r->m.version_count && !r->m.snapshot_count)
        return;
    r->m.group_id = maven_dots(a, maven_parent(a, of));
    r->m.artifact_id = maven_base(of);
    r->m.version = r->snapshot ? maven_base(r->folder) : NULL;
}

static void on_each(const struct repo *repo, const struct registry_entry *entries, unsigned count,
                    struct arena *step, void *arg)
{
    struct rows *r = arg;

    for (unsigned i = 0; i < count; i++) {
        if (entries[i].directory && !r->snapshot)
            add_folder(r, step, repo, &entries[i]);
        else if (!entries[i].directory && r->snapshot)
            add_file(r, step, &entries[i]);
    }
}

static void on_listed(const struct repo *repo, enum err e, void *arg)
{
    struct rows *r = arg;

    (void)e; /* no folder: nothing of it */
    if (!repo) {
        rows_end(r, ERR_NOT_FOUND, NULL);
        return;
    }
    drop_plugins(r, repo);
    name_it(r);
    rows_end(r, OK, NULL);
}

static void on_plugins(enum err e, const struct why *why, const char *data, size_t size,
                       const struct digest_values *digests, void *arg)
{
    struct rows *r = arg;
    const struct repo *repo = registry_repo(r->worker->registry, r->repo);

    (void)digests;
    if (!e)
        e = maven_metadata_read(&r->m, data, size, NULL);
    if (e && e != ERR_NOT_FOUND)
        rows_end(r, e, why);
    else if (!repo)
        rows_end(r, ERR_NOT_FOUND, NULL);
    else
        registry_list_all(r->worker, repo, r->folder, on_each, on_listed, r);
}

void maven_rows(struct worker *w, const struct repo *repo, const char *path, const char *package,
                maven_give *give, void *arg)
{
    struct rows *r = calloc(1, sizeof *r);
    struct maven_path p;

    (void)package;
    check(r);
    arena_init(&r->arena);
    r->worker = w;
    r->give = give;
    r->arg = arg;
    maven_metadata_init(&r->m, &r->arena);
    strncpy(r->repo, repo->name, sizeof r->repo - 1);
    maven_path_parse(&r->arena, arena_strdup(&r->arena, path), &p);
    r->folder = p.folder;
    r->artifact = maven_base(p.folder);
    r->snapshot = maven_version_is_snapshot(r->artifact) && strlen(r->artifact) > strlen("SNAPSHOT");
    if (r->snapshot)
        r->artifact = maven_base(maven_parent(&r->arena, p.folder));
    registry_load(w, repo, maven_plugins_path(&r->arena, p.folder), MAVEN_METADATA_LIMIT, on_plugins, r);
}
