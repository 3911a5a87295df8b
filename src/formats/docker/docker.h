/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/docker/docker.h: what the files of this folder share. `spec`: the OCI distribution
 * specification 1.1.
 *
 *   <image>/_manifests/<algorithm>/<hex>    a manifest, with its media type
 *   <image>/_tags/<tag>                     the same bytes
 *   <image>/_blobs/<algorithm>/<hex>
 *   .docker/<image>/_referrers/<algorithm>/<hex>   who refers to that digest: an image index that we make
 *
 * No image's name has a segment that begins with '_' or '.'. */
#ifndef FORMATS_DOCKER_H
#define FORMATS_DOCKER_H

#include <jansson.h>

#include "pantera/api.h"
#include "pantera/auth.h"
#include "pantera/buf.h"
#include "pantera/digest.h"
#include "pantera/document.h"
#include "pantera/limits.h"
#include "pantera/registry.h"

#define MANIFEST_LIMIT MIB(4)    /* spec: at least that much should be taken */
#define CONFIG_LIMIT MIB(1)      /* of an image's configuration whose date we read */
#define REFERRERS_LIMIT MIB(16)  /* of one subject */
enum { NAME_LIMIT = 255, TAG_LIMIT = 128, TAGS_LISTED = 100000, REFERENCES_LIMIT = 3000, PAGE_LIMIT = 1000 };

#define TYPE_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define TYPE_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define TYPE_OCI_ARTIFACT "application/vnd.oci.artifact.manifest.v1+json"
#define TYPE_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define TYPE_DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define TYPE_OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define TYPE_DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"

/* --- names.c: pure --- */

struct oci_digest {
    const char *algorithm;       /* "sha256", "sha512": static */
    unsigned kind;               /* DIGEST_SHA256, DIGEST_SHA512 */
    char hex[129];
};
/* Of an algorithm that is taken, in lower case, of the right length. */
bool oci_digest_parse(const char *text, struct oci_digest *ret);
bool oci_digest_matches(const struct oci_digest *d, const struct digest_values *got);
/* "sha256:…" */
const char *oci_digest_text(struct arena *a, const struct oci_digest *d);
struct digest_values oci_digest_values(const struct oci_digest *d);
struct oci_digest oci_digest_of(const struct digest_values *d, unsigned kind);

bool oci_name_valid(const char *name);
bool oci_tag_valid(const char *tag);

enum oci_what { OCI_NOTHING, OCI_MANIFEST, OCI_BLOB, OCI_UPLOADS, OCI_UPLOAD, OCI_TAGS, OCI_REFERRERS };
/* What follows the repository in a path: "<image>/manifests/<reference>", ... `reference`: also an upload's
 * id. */
enum oci_what oci_path_parse(struct arena *a, const char *path, const char **ret_image,
                             const char **ret_reference);

const char *manifest_path(struct arena *a, const char *image, const struct oci_digest *d);
const char *blob_path(struct arena *a, const char *image, const struct oci_digest *d);
const char *tag_path(struct arena *a, const char *image, const char *tag);
const char *referrers_path(struct arena *a, const char *image, const struct oci_digest *subject);
/* "3-7" (of Content-Range, as the spec has it, or with "bytes " and a total). */
bool oci_range_parse(const char *text, int64_t *ret_first, int64_t *ret_last);

/* --- manifest.c: pure, for a pool thread --- */

struct oci_reference {
    struct oci_digest digest;
    bool manifest;               /* else a blob */
    bool either;                 /* a child of an index whose media type says neither */
};
enum oci_dated { OCI_DATED_BY_NOTHING, OCI_DATED_BY_CONFIG, OCI_DATED_BY_IMAGE };
struct oci_manifest {
    const char *media_type;
    const char *artifact_type;   /* what a referrers list says of it; or NULL */
    bool has_subject;
    struct oci_digest subject;
    struct oci_reference *references; /* that have to be there; each once */
    unsigned reference_count;
    json_t *annotations;         /* or NULL; the arena drops it */
    /* Where it says itself nothing of when it was made: what does. An image's configuration; one image of an
     * index. */
    enum oci_dated dated_by_kind;
    struct oci_digest dated_by;
};
/* `content_type`: what it was sent as, or NULL. BAD_REQUEST. */
enum err oci_manifest_parse(struct arena *a, const char *data, size_t size, const char *content_type,
                            struct oci_manifest *ret, struct why *why);

/* RFC 3339; 0: it says nothing: NULL, no date, or one from before there were images. */
int64_t oci_created_ms(const char *text);
/* When it says that it was made (org.opencontainers.image.created); 0: it does not. */
int64_t oci_manifest_created_ms(const struct oci_manifest *m);

/* --- referrers.c --- */

/* The list `data` (NULL: none yet) with `descriptor` in it, and without the one of that digest before. */
enum err referrers_add(const char *data, size_t size, json_t *descriptor, struct buf *ret, struct why *why);
/* Without `digest`. AGAIN: it is not in it. *ret empty: nothing is left. */
enum err referrers_remove(const char *data, size_t size, const char *digest, struct buf *ret,
                          struct why *why);
/* Of those, the ones of that type. */
enum err referrers_filter(const char *data, size_t size, const char *artifact_type, struct buf *ret,
                          struct why *why);

/* All lists as one, each digest once; `artifact_type` NULL: any. Sources that are none are left out. */
enum err referrers_join(const struct document_source *sources, unsigned count, const char *artifact_type,
                        struct buf *ret, struct why *why);

/* --- one request: docker.c --- */

struct oci_call {                /* the request's memory; pointers live as long as it does */
    struct http_request *req;
    const char *base;            /* "/v2", with what stood before it */
    const char *repo;            /* name */
    int64_t repo_id;
    const char *image, *name;    /* name: "<repo>/<image>" */
    const char *reference;
};
/* The repository again, after control was given to the loop. NULL: it is gone; it was answered. */
const struct repo *oci_repo(struct oci_call *c);
enum oci_action { OCI_PULL, OCI_PUSH, OCI_OVERWRITE, OCI_DELETE };
bool oci_may(const struct http_request *req, const char *repo, const char *image, enum oci_action action);
/* What the user may, whatever the token was narrowed to. */
struct principal oci_user(const struct http_request *req);

/* The one way out with an error of ours: the spec's body. `code`: one of its codes. */
void oci_fail(struct http_request *req, int status, const char *code, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* What a verb of the registry said; `missing`: the code of a NOT_FOUND. */
void oci_fail_as(struct http_request *req, enum err e, const struct why *why, const char *missing);
void oci_not_allowed(struct http_request *req, const char *allow);
void oci_location(struct oci_call *c, const char *kind, const char *reference);
/* JSON that was read from the replica: a look at the lease first. Takes it. */
void oci_json(struct http_request *req, const char *type, json_t *body);

void oci_blob(struct oci_call *c, const struct repo *repo);      /* blobs.c */
void oci_uploads(struct oci_call *c, const struct repo *repo);   /* uploads.c */
void oci_upload(struct oci_call *c, const struct repo *repo);
void oci_manifest(struct oci_call *c, const struct repo *repo);  /* manifests.c */
void oci_manifest_put(struct oci_call *c, const struct repo *repo); /* push.c */
void oci_manifest_delete(struct oci_call *c, const struct repo *repo); /* unpush.c */
void oci_remove(struct http_request *req, const struct repo *repo, const char *path, bool tree,
                registry_done_cb *done);
void oci_tags(struct oci_call *c, const struct repo *repo);      /* lists.c */
void oci_tags_reply(struct oci_call *c, json_t *tags);           /* takes all tags; a page of them */
void oci_catalog(struct http_request *req, const char *base);
struct oci_names {               /* grows in its arena */
    struct arena *arena;
    const char **list;
    size_t count, room;
};
void oci_names_add(struct oci_names *n, const char *name);       /* a copy */
void oci_referrers(struct oci_call *c, const struct repo *repo); /* referrers_get.c */
void referrers_none(struct http_request *req);
void remote_manifest(struct oci_call *c, const struct repo *repo); /* remote_manifest.c */
/* remote.c. A hosted repository has an image once it has a manifest of it. */
bool remote_owns(struct registry *r, struct arena *a, const struct repo *repo, const char *image);
void remote_blob(struct oci_call *c, const struct repo *repo, const struct oci_digest *digest);
void remote_tags(struct oci_call *c, const struct repo *repo);
void remote_referrers(struct oci_call *c, const struct repo *repo, const struct oci_digest *subject,
                      const char *artifact_type);
void oci_ping(struct http_request *req);                         /* token.c */
void oci_token(struct http_request *req);
void oci_challenge(struct http_request *req);
/* A token whose scope is too narrow for what its user may do: 401, and which scope would do. */
void oci_narrow(struct http_request *req, const char *name, enum oci_action action);

#endif
