/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/maven/maven.h: what the files of this format share. */
#ifndef FORMATS_MAVEN_H
#define FORMATS_MAVEN_H

#include "pantera/document.h"
#include "pantera/format.h"
#include "pantera/limits.h"
#include "pantera/stage.h"
#include "src/formats/maven/path.h"

/* --- maven.c: errors, and what a repository's configuration says --- */

/* The reason phrase says what is wrong, besides the body: it is all that mvn shows. */
void maven_fail(struct http_request *req, enum err e, const struct why *why);
void maven_fail_text(struct http_request *req, enum err e, const char *fmt, ...) PRINTF_LIKE(3, 4);

struct maven_rules {
    bool redeploy;               /* a release's file may be replaced */
    bool snapshots, releases;    /* are taken */
    bool lenient;                /* a wrong checksum is only warned of */
};
struct maven_rules maven_rules_of(const struct repo *repo);

/* --- upload.c --- */
void maven_put(struct http_request *req, const struct repo *repo, const char *path);

/* May a file be put there? BAD_REQUEST, URI_TOO_LONG; CONFLICT: not by this repository's rules. */
enum err maven_judge(const struct repo *repo, const char *path, const struct maven_path *p, struct why *why);

/* --- import.c --- */
enum err maven_importable(const struct repo *repo, const char *path, struct why *why);
void maven_import(struct imported *m);

/* --- elsewhere.c: files of proxies and groups --- */
void maven_elsewhere_get(struct http_request *req, const struct repo *repo, const struct maven_path *p);
void maven_elsewhere_checksum(struct http_request *req, const struct repo *repo, const struct maven_path *p);

/* --- compose.c --- */
extern const struct document_kind maven_metadata_kind, maven_checksum_kind;
/* The first run of as many hex digits as a digest of that kind has; false: there is none. */
bool maven_checksum_read(const char *text, enum digest_kind kind, char ret_hex[129]);

/* --- checksums.c --- */
/* Of a file that is in this repository: from its row, or from its bytes. */
void maven_checksum_of(struct http_request *req, const struct repo *repo, const struct maven_path *p);
void maven_checksum_get(struct http_request *req, const struct repo *repo, const char *path,
                        const struct maven_path *p);
void maven_checksum_put(struct http_request *req, const struct repo *repo, const struct maven_path *p);
/* 200, the digest in hex. */
void maven_checksum_reply(struct http_request *req, const struct digest_values *d, enum digest_kind kind);

/* --- documents.c: maven-metadata.xml --- */
/* It, or with p->checksum a checksum of the same bytes. */
void maven_document_get(struct http_request *req, const struct repo *repo, const struct maven_path *p);
/* What a client says of plugins is kept; the rest is known better here. */
void maven_document_put(struct http_request *req, const struct repo *repo, const struct maven_path *p);
/* The same of an imported one, which is ended; takes the buffer's bytes. */
void maven_plugins_import(struct imported *m, const struct repo *repo, const char *folder, struct buf *text);

/* --- rows.c: our part of a metadata document, from what is in the folder. struct document_kind's source
 * --- */
typedef void maven_give(enum err e, const struct why *why, const char *data, size_t size, void *arg);
void maven_rows(struct worker *w, const struct repo *repo, const char *path, const char *package,
                maven_give *give, void *arg);
/* struct document's owns */
bool maven_owns(struct registry *r, struct arena *a, const struct repo *repo, const char *package);
/* Where a group's plugins are kept. */
const char *maven_plugins_path(struct arena *a, const char *folder);
#define MAVEN_METADATA_LIMIT MIB(8)

#endif
