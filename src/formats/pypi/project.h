/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/pypi/project.h: what a repository holds of one project: a document of ours at
 * ".pypi/<project>.json", in the terms of the simple API:
 *     {"name", "project-status": {"status", "reason"?},
 *      "files": [{"filename", "version", "hashes": {"sha256", "md5"}, "size", "upload-time",
 *                 "requires-python"?, "yanked": reason or true?, "core-metadata": {"sha256"}?,
 *                 "provenance": true?}],
 *      "releases": {version: what its metadata says}}
 * Pure: changes of a parsed document. Pool threads. */
#ifndef PYPI_PROJECT_H
#define PYPI_PROJECT_H

#include <jansson.h>

#include "pantera/buf.h"
#include "src/formats/pypi/form.h"

#define PROJECT_BYTES MIB(32)

/* `data` NULL: a new one. INTERNAL if it can't be read, which only we have written. */
enum err project_read(const char *data, size_t size, const char *name, json_t **ret,
                      struct why *why);
/* Empty without a file and without a status: then it is to go. */
enum err project_write(const json_t *project, struct buf *ret, struct why *why);

/* A status that is not "active", and its reason; NULL: active. */
const char *project_status(const json_t *project, const char **ret_reason);

struct project_file {
    const struct upload_facts *facts;
    const struct digest_values *digests;
    const unsigned char *blake2;
    int64_t size, now_ms;
    const unsigned char *metadata_sha256; /* or NULL */
    bool provenance;
    const json_t *fields; /* of the form, or of the file's metadata */
};
/* OK; GONE: the very same file is there; CONFLICT: another of that name is; FORBIDDEN: the project takes
 * no files. */
enum err project_add(json_t *project, const struct project_file *f, struct why *why);
/* Takes the files of `version` (NULL: any) and of that name (NULL: any) out, at most `most`; *ret_paths: a
 * list of [version, file name]. *ret_more: others are left. NOT_FOUND: none is there. */
enum err project_remove(json_t *project, const char *version, const char *file_name, unsigned most,
                        json_t **ret_paths, bool *ret_more);
/* PEP 592. `reason` NULL: none; may be "". NOT_FOUND: there is no such version. */
enum err project_yank(json_t *project, const char *version, bool yanked, const char *reason);
/* PEP 792. BAD_REQUEST: no such status. */
enum err project_set_status(json_t *project, const char *status, const char *reason,
                            struct why *why);

#endif
