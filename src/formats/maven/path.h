/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/maven/path.h: what a path of a Maven 2 repository says ("Maven 2 Repository Layout"). Pure.
 *
 *     org/example/lib/1.0/lib-1.0-sources.jar      group org.example, artifact lib, version 1.0
 *     org/example/lib/1.1-SNAPSHOT/lib-1.1-20260102.030405-6.jar.sha1    of 1.1-SNAPSHOT; a checksum */
#ifndef FORMATS_MAVEN_PATH_H
#define FORMATS_MAVEN_PATH_H

#include "pantera/arena.h"
#include "pantera/digest.h"

enum maven_kind {
    MAVEN_OTHER,                 /* a file that has no coordinates */
    MAVEN_ARTIFACT,
    MAVEN_METADATA               /* maven-metadata.xml of `folder` */
};

struct maven_path {              /* strings are the arena's; NULL: there is none */
    enum maven_kind kind;
    enum digest_kind checksum;   /* 0: the file itself, not a checksum of it */
    const char *file, *folder;   /* without the checksum's suffix; "" is the root */
    const char *name;            /* last segment of `file` */
    /* Of MAVEN_ARTIFACT: */
    const char *group, *artifact, *version; /* group with dots; "1.1-SNAPSHOT" */
    const char *file_version;    /* "1.1-20260102.030405-6" */
    const char *classifier, *extension;
    const char *timestamp;       /* "20260102.030405"; NULL: none */
    unsigned build;
    bool snapshot;
};
void maven_path_parse(struct arena *a, const char *path, struct maven_path *ret);

/* "org.example" → "org/example" and back. */
const char *maven_slashes(struct arena *a, const char *group);
const char *maven_dots(struct arena *a, const char *folder);
/* What search calls it: "org.example.lib". NULL: it is no artifact. */
const char *maven_package(struct arena *a, const struct maven_path *p);
/* "org.example:lib", by which policy and groups know it, also of its metadata; NULL: a path of nothing. */
const char *maven_coordinates(struct arena *a, const struct maven_path *p);
/* The last segment of a folder, and what is before it ("" if nothing). */
const char *maven_base(const char *folder);
const char *maven_parent(struct arena *a, const char *folder);

/* How many bytes of `ret` a kind has, and its file's suffix (".sha1"). */
const void *maven_digest(const struct digest_values *d, enum digest_kind kind, size_t *ret_size);
const char *maven_suffix(enum digest_kind kind);
enum { MAVEN_DIGESTS = DIGEST_MD5 | DIGEST_SHA1 | DIGEST_SHA256 | DIGEST_SHA512 };

#endif
