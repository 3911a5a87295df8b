/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/maven/metadata.h: maven-metadata.xml as data: read, joined, put in order, written ("Maven
 * Metadata", 1.1.0). Pure: the same parts give the same bytes, whatever the clock says. */
#ifndef FORMATS_MAVEN_METADATA_H
#define FORMATS_MAVEN_METADATA_H

#include "pantera/arena.h"
#include "pantera/buf.h"

struct maven_snapshot {          /* of one classifier and extension, the newest */
    const char *classifier, *extension, *value, *updated; /* classifier "" for none */
};
struct maven_plugin {
    const char *name, *prefix, *artifact_id;
};
struct maven_metadata {          /* strings are the arena's, or live as long */
    struct arena *arena;
    const char *group_id, *artifact_id, *version;
    const char *latest, *release; /* what is said; the highest of what remains when several say it */
    char last_updated[15];       /* "20260102030405"; "": never */
    const char **versions;
    unsigned version_count, version_room;
    const char *timestamp;       /* of the newest snapshot: "20260102.030405" */
    unsigned build;
    bool local_copy;
    struct maven_snapshot *snapshots;
    unsigned snapshot_count, snapshot_room;
    struct maven_plugin *plugins;
    unsigned plugin_count, plugin_room;
};

void maven_metadata_init(struct maven_metadata *m, struct arena *a);
/* Adds what a document says. BAD_REQUEST; then some of it may have been added. */
enum err maven_metadata_read(struct maven_metadata *m, const char *data, size_t size, struct why *why);
/* Adds single things; strings are borrowed for as long as `m` is used. */
void maven_metadata_add_version(struct maven_metadata *m, const char *version);
void maven_metadata_add_snapshot(struct maven_metadata *m, const struct maven_snapshot *s);
void maven_metadata_add_plugin(struct maven_metadata *m, const struct maven_plugin *p);
void maven_metadata_add_build(struct maven_metadata *m, const char *timestamp, unsigned build);
void maven_metadata_updated(struct maven_metadata *m, const char *digits);
void maven_metadata_updated_ms(struct maven_metadata *m, int64_t wall_ms);
/* All of `part` into `m`; both of one arena. */
void maven_metadata_join(struct maven_metadata *m, const struct maven_metadata *part);
/* When "20260102030405" was; 0: it is no such time. */
int64_t maven_time_ms(const char *digits);

/* Puts in order, leaves out what is there twice, and finds latest and release among what there is. */
void maven_metadata_finish(struct maven_metadata *m);
bool maven_metadata_empty(const struct maven_metadata *m);
void maven_metadata_render(const struct maven_metadata *m, struct buf *ret);

#endif
