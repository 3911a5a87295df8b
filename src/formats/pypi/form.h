/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/pypi/form.h: the fields of an upload, and what they must say before it becomes a file. Pure. */
#ifndef PYPI_FORM_H
#define PYPI_FORM_H

#include <jansson.h>

#include "pantera/buf.h"
#include "pantera/digest.h"
#include "pantera/limits.h"
#include "src/formats/pypi/names.h"

#define FORM_BYTES MIB(8) /* of all fields together, those included that are not kept */

/* Fields as they come: form_begin with a name, its bytes, form_end. */
struct form {
    json_t *fields;   /* name → text, or a list of texts for what may come several times */
    struct buf value; /* of the field that comes now */
    char name[64];    /* of it, as we call it; "": not kept */
    bool list;
    size_t bytes, limit; /* of all; limit: of this field */
};
void form_init(struct form *f);
void form_free(struct form *f);
void form_begin(struct form *f, const char *name);
enum err form_data(struct form *f, const void *data, size_t size, struct why *why);
enum err form_end(struct form *f, struct why *why);
const char *form_text(const struct form *f, const char *name); /* NULL: none, or empty */

/* What an upload is, by its fields and its file's name. Strings are the arena's. BAD_REQUEST says what is
 * wrong with it, in words that people see in their client. */
struct upload_facts {
    const char *name, *project;   /* as spelled; normal */
    const char *file_name, *path; /* path: "project/version/file name" */
    struct pypi_version version;
    struct pypi_file file;
    const char *requires_python; /* or NULL */
};
enum err form_facts(const struct form *f, struct arena *a, const char *file_name,
                    struct upload_facts *ret, struct why *why);
/* Every digest that was announced is that of the bytes. BAD_REQUEST. */
enum err form_digests(const struct form *f, const struct digest_values *d,
                      const unsigned char blake2[32], struct why *why);

/* The core metadata in a distribution (METADATA, PKG-INFO) as fields, with the names that forms have. */
enum err metadata_read(const char *text, size_t size, struct form *ret, struct why *why);
/* It speaks of what was announced: else BAD_REQUEST. */
enum err metadata_check(const struct form *metadata, struct arena *a,
                        const struct upload_facts *facts, struct why *why);

#endif
