/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/maven/metadata.c: maven-metadata.xml as data. Documents are joined by union: every
 * version, of each snapshot's files the newest, every plugin. */
#include "src/formats/maven/metadata.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "src/formats/maven/version.h"
#include "src/formats/maven/xml.h"

void maven_metadata_init(struct maven_metadata *m, struct arena *a)
{
    *m = (struct maven_metadata){ .arena = a };
}

/* --- adding --- */

/* Room for one more in an array of the arena. */
static void *grow(struct arena *a, void *array, unsigned count, unsigned *room, size_t size)
{
    void *larger;

    if (count < *room)
        return array;
    *room = *room ? *room * 2 : 16;
    larger = arena_alloc(a, *room * size);
    if (count)
        memcpy(larger, array, count * size);
    return larger;
}

void maven_metadata_add_version(struct maven_metadata *m, const char *version)
{
    m->versions = grow(m->arena, m->versions, m->version_count, &m->version_room, sizeof *m->versions);
    m->versions[m->version_count++] = version;
}

void maven_metadata_add_snapshot(struct maven_metadata *m, const struct maven_snapshot *s)
{
    m->snapshots = grow(m->arena, m->snapshots, m->snapshot_count, &m->snapshot_room, sizeof *m->snapshots);
    m->snapshots[m->snapshot_count++] = *s;
}

void maven_metadata_add_plugin(struct maven_metadata *m, const struct maven_plugin *p)
{
    m->plugins = grow(m->arena, m->plugins, m->plugin_count, &m->plugin_room, sizeof *m->plugins);
    m->plugins[m->plugin_count++] = *p;
}

void maven_metadata_add_build(struct maven_metadata *m, const char *timestamp, unsigned build)
{
    int order = m->timestamp ? strcmp(timestamp, m->timestamp) : 1;

    if (order < 0 || (order == 0 && build <= m->build))
        return;
    m->timestamp = timestamp;
    m->build = build;
}

static bool all_digits(const char *text, size_t length)
{
    return strlen(text) == length && strspn(text, "0123456789") == length;
}

void maven_metadata_updated(struct maven_metadata *m, const char *digits)
{
    if (all_digits(digits, 14) && strcmp(digits, m->last_updated) > 0)
        memcpy(m->last_updated, digits, 15);
}

void maven_metadata_updated_ms(struct maven_metadata *m, int64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    char digits[32];
    struct tm tm;

    if (gmtime_r(&seconds, &tm) && strftime(digits, sizeof digits, "%Y%m%d%H%M%S", &tm))
        maven_metadata_updated(m, digits);
}

int64_t maven_time_ms(const char *digits)
{
    struct tm tm = { 0 };
    int n[6];

    if (!all_digits(digits, 14) ||
        sscanf(digits, "%4d%2d%2d%2d%2d%2d", &n[0], &n[1], &n[2], &n[3], &n[4], &n[5]) != 6)
        return 0;
    tm.tm_year = n[0] - 1900;
    tm.tm_mon = n[1] - 1;
    tm.tm_mday = n[2];
    tm.tm_hour = n[3];
    tm.tm_min = n[4];
    tm.tm_sec = n[5];
    return (int64_t)timegm(&tm) * 1000;
}

/* --- reading --- */

struct reading {
    struct maven_metadata *m;
    struct maven_snapshot snapshot; /* of the element that is open */
    struct maven_plugin plugin;
    const char *timestamp;
    unsigned build;
};

static const char *higher(struct arena *a, const char *x, const char *y)
{
    if (!x || !y)
        return x ? x : y;
    return maven_version_compare(maven_version_parse(a, x), maven_version_parse(a, y)) < 0 ? y : x;
}

static void first(struct arena *a, const char **to, const char *text)
{
    if (!*to && *text)
        *to = arena_strdup(a, text);
}

#define VERSIONING "metadata/versioning/"
#define SNAPSHOT VERSIONING "snapshotVersions/snapshotVersion"
#define PLUGIN "metadata/plugins/plugin"

static void end_group(struct reading *r, const char *path)
{
    struct maven_metadata *m = r->m;

    if (!strcmp(path, SNAPSHOT)) {
        if (r->snapshot.value && r->snapshot.extension)
            maven_metadata_add_snapshot(m, &r->snapshot);
        r->snapshot = (struct maven_snapshot){ .classifier = "", .updated = "" };
    } else if (!strcmp(path, PLUGIN)) {
        if (r->plugin.prefix && r->plugin.artifact_id)
            maven_metadata_add_plugin(m, &r->plugin);
        r->plugin = (struct maven_plugin){ 0 };
    } else if (!strcmp(path, VERSIONING "snapshot") && r->timestamp) {
        maven_metadata_add_build(m, r->timestamp, r->build);
    }
}

static bool read_versioning(struct reading *r, const char *path, const char *text)
{
    struct maven_metadata *m = r->m;
    struct arena *a = m->arena;

    if (!strcmp(path, VERSIONING "versions/version")) {
        if (*text)
            maven_metadata_add_version(m, arena_strdup(a, text));
    } else if (!strcmp(path, VERSIONING "latest")) {
        m->latest = higher(a, m->latest, *text ? arena_strdup(a, text) : NULL);
    } else if (!strcmp(path, VERSIONING "release")) {
        m->release = higher(a, m->release, *text ? arena_strdup(a, text) : NULL);
    } else if (!strcmp(path, VERSIONING "lastUpdated")) {
        maven_metadata_updated(m, text);
    } else if (!strcmp(path, VERSIONING "snapshot/timestamp")) {
        r->timestamp = arena_strdup(a, text);
    } else if (!strcmp(path, VERSIONING "snapshot/buildNumber")) {
        r->build = (unsigned)strtoul(text, NULL, 10);
    } else if (!strcmp(path, VERSIONING "snapshot/localCopy")) {
        m->local_copy = m->local_copy || !strcmp(text, "true");
    } else {
        return false;
    }
    return true;
}

static void on_close(void *arg, const char *path, const char *text)
{
    struct reading *r = arg;
    struct arena *a = r->m->arena;
    const struct { const char *path, **to; } fields[] = {
        { "metadata/groupId", &r->m->group_id }, { "metadata/artifactId", &r->m->artifact_id },
        { "metadata/version", &r->m->version },
        { SNAPSHOT "/extension", &r->snapshot.extension }, { SNAPSHOT "/value", &r->snapshot.value },
        { PLUGIN "/name", &r->plugin.name }, { PLUGIN "/prefix", &r->plugin.prefix },
        { PLUGIN "/artifactId", &r->plugin.artifact_id },
    };

    end_group(r, path);
    if (read_versioning(r, path, text))
        return;
    if (!strcmp(path, SNAPSHOT "/classifier"))
        r->snapshot.classifier = arena_strdup(a, text);
    else if (!strcmp(path, SNAPSHOT "/updated"))
        r->snapshot.updated = arena_strdup(a, text);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (!strcmp(path, fields[i].path))
            first(a, fields[i].to, text);
}

enum err maven_metadata_read(struct maven_metadata *m, const char *data, size_t size, struct why *why)
{
    struct reading r = { .m = m, .snapshot = { .classifier = "", .updated = "" } };
    struct xml_reader reader = { .on_close = on_close, .arg = &r };

    return xml_read(data, size, &reader, why);
}

void maven_metadata_join(struct maven_metadata *m, const struct maven_metadata *part)
{
    m->group_id = m->group_id ? m->group_id : part->group_id;
    m->artifact_id = m->artifact_id ? m->artifact_id : part->artifact_id;
    m->version = m->version ? m->version : part->version;
    m->latest = higher(m->arena, m->latest, part->latest);
    m->release = higher(m->arena, m->release, part->release);
    maven_metadata_updated(m, part->last_updated);
    m->local_copy = m->local_copy || part->local_copy;
    if (part->timestamp)
        maven_metadata_add_build(m, part->timestamp, part->build);
    for (unsigned i = 0; i < part->version_count; i++)
        maven_metadata_add_version(m, part->versions[i]);
    for (unsigned i = 0; i < part->snapshot_count; i++)
        maven_metadata_add_snapshot(m, &part->snapshots[i]);
    for (unsigned i = 0; i < part->plugin_count; i++)
        maven_metadata_add_plugin(m, &part->plugins[i]);
}

/* --- in order --- */

struct ranked {
    const char *text;
    struct maven_version *version;
};

static int by_version(const void *x, const void *y)
{
    const struct ranked *a = x, *b = y;
    int order = maven_version_compare(a->version, b->version);

    return order ? order : strcmp(a->text, b->text); /* "1" and "1.0" are two */
}

static void finish_versions(struct maven_metadata *m)
{
    struct ranked *list;
    unsigned kept = 0;

    if (!m->version_count)
        return;
    list = arena_alloc(m->arena, m->version_count * sizeof *list);
    for (unsigned i = 0; i < m->version_count; i++)
        list[i] = (struct ranked){ m->versions[i], maven_version_parse(m->arena, m->versions[i]) };
    qsort(list, m->version_count, sizeof *list, by_version);
    for (unsigned i = 0; i < m->version_count; i++)
        if (!kept || strcmp(m->versions[kept - 1], list[i].text))
            m->versions[kept++] = list[i].text;
    m->version_count = kept;
}

static bool is_there(const struct maven_metadata *m, const char *version)
{
    for (unsigned i = 0; version && i < m->version_count; i++)
        if (!strcmp(m->versions[i], version))
            return true;
    return false;
}

/* What was said stands if it is there; else it is the highest that is. */
static void finish_latest(struct maven_metadata *m)
{
    unsigned n = m->version_count;

    if (!is_there(m, m->latest))
        m->latest = n ? m->versions[n - 1] : NULL;
    if (is_there(m, m->release))
        return;
    while (n && maven_version_is_snapshot(m->versions[n - 1]))
        n--;
    m->release = n ? m->versions[n - 1] : NULL;
}

static int by_file(const void *x, const void *y)
{
    const struct maven_snapshot *a = x, *b = y;
    int order = strcmp(a->extension, b->extension);

    order = order ? order : strcmp(a->classifier, b->classifier);
    order = order ? order : strcmp(b->updated, a->updated); /* the newest first */
    return order ? order : strcmp(b->value, a->value);
}

static void finish_snapshots(struct maven_metadata *m)
{
    struct maven_snapshot *s = m->snapshots;
    unsigned kept = 0;

    if (m->snapshot_count)
        qsort(s, m->snapshot_count, sizeof *s, by_file);
    for (unsigned i = 0; i < m->snapshot_count; i++)
        if (!kept || strcmp(s[kept - 1].extension, s[i].extension) ||
            strcmp(s[kept - 1].classifier, s[i].classifier))
            s[kept++] = s[i];
    m->snapshot_count = kept;
}

static int by_plugin(const void *x, const void *y)
{
    const struct maven_plugin *a = x, *b = y;
    int order = strcmp(a->artifact_id, b->artifact_id);

    return order ? order : strcmp(a->prefix, b->prefix);
}

static void finish_plugins(struct maven_metadata *m)
{
    struct maven_plugin *p = m->plugins;
    unsigned kept = 0;

    if (m->plugin_count)
        qsort(p, m->plugin_count, sizeof *p, by_plugin);
    for (unsigned i = 0; i < m->plugin_count; i++)
        if (!kept || by_plugin(&p[kept - 1], &p[i]))
            p[kept++] = p[i];
    m->plugin_count = kept;
}

void maven_metadata_finish(struct maven_metadata *m)
{
    finish_versions(m);
    finish_latest(m);
    finish_snapshots(m);
    finish_plugins(m);
}

bool maven_metadata_empty(const struct maven_metadata *m)
{
    return !m->version_count && !m->snapshot_count && !m->plugin_count && !m->timestamp;
}

/* --- writing --- */

static void put(struct buf *b, int indent, const char *name, const char *text)
{
    if (!text || !*text)
        return;
    (void)buf_printf(b, "%*s<%s>", indent, "", name);
    xml_puts(b, text);
    (void)buf_printf(b, "</%s>\n", name);
}

static void put_snapshots(const struct maven_metadata *m, struct buf *b)
{
    if (m->timestamp || m->local_copy) {
        (void)buf_puts(b, "    <snapshot>\n");
        put(b, 6, "timestamp", m->timestamp);
        if (m->timestamp)
            (void)buf_printf(b, "      <buildNumber>%u</buildNumber>\n", m->build);
        else
            put(b, 6, "localCopy", "true");
        (void)buf_puts(b, "    </snapshot>\n");
    }
    put(b, 4, "lastUpdated", m->last_updated);
    if (!m->snapshot_count)
        return;
    (void)buf_puts(b, "    <snapshotVersions>\n");
    for (unsigned i = 0; i < m->snapshot_count; i++) {
        const struct maven_snapshot *s = &m->snapshots[i];
        (void)buf_puts(b, "      <snapshotVersion>\n");
        put(b, 8, "classifier", s->classifier);
        put(b, 8, "extension", s->extension);
        put(b, 8, "value", s->value);
        put(b, 8, "updated", s->updated);
        (void)buf_puts(b, "      </snapshotVersion>\n");
    }
    (void)buf_puts(b, "    </snapshotVersions>\n");
}

static void put_versions(const struct maven_metadata *m, struct buf *b)
{
    put(b, 4, "latest", m->latest);
    put(b, 4, "release", m->release);
    (void)buf_puts(b, "    <versions>\n");
    for (unsigned i = 0; i < m->version_count; i++)
        put(b, 6, "version", m->versions[i]);
    (void)buf_puts(b, "    </versions>\n");
}

static void put_plugins(const struct maven_metadata *m, struct buf *b)
{
    (void)buf_puts(b, "  <plugins>\n");
    for (unsigned i = 0; i < m->plugin_count; i++) {
        const struct maven_plugin *p = &m->plugins[i];
        (void)buf_puts(b, "    <plugin>\n");
        put(b, 6, "name", p->name);
        put(b, 6, "prefix", p->prefix);
        put(b, 6, "artifactId", p->artifact_id);
        (void)buf_puts(b, "    </plugin>\n");
    }
    (void)buf_puts(b, "  </plugins>\n");
}

void maven_metadata_render(const struct maven_metadata *m, struct buf *b)
{
    (void)buf_puts(b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<metadata modelVersion=\"1.1.0\">\n");
    put(b, 2, "groupId", m->group_id);
    put(b, 2, "artifactId", m->artifact_id);
    put(b, 2, "version", m->version);
    if (m->version_count || m->snapshot_count || m->timestamp || m->local_copy) {
        (void)buf_puts(b, "  <versioning>\n");
        if (m->version_count)
            put_versions(m, b);
        put_snapshots(m, b);
        (void)buf_puts(b, "  </versioning>\n");
    }
    if (m->plugin_count)
        put_plugins(m, b);
    (void)buf_puts(b, "</metadata>\n");
}
