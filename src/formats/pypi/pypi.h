/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/pypi/pypi.h: what the files of this folder that answer requests share. */
#ifndef PYPI_PYPI_H
#define PYPI_PYPI_H

#include "pantera/api.h"
#include "pantera/registry.h"
#include "pantera/stage.h"
#include "pantera/text.h"

/* Errors as pip, twine and uv show them: in the reason phrase, and as text. */
void pypi_fail(struct http_request *req, enum err e, const struct why *why);
void pypi_fail_text(struct http_request *req, enum err e, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* 301 to `to`, relative to what was asked for (with its slash at the end, if it had one). */
void pypi_redirect(struct http_request *req, const char *to);

/* Where things are in a repository, besides "project/version/file". */
char *pypi_document_path(struct arena *a, const char *project);
char *pypi_metadata_path(struct arena *a, const char *project, const char *file_name);
char *pypi_provenance_path(struct arena *a, const char *project, const char *file_name);
char *pypi_quarantine_path(struct arena *a,
                           const char *project); /* there is one: its files are not given out */

/* accept.c: the form of an index that is wanted, by "?format=" or Accept (RFC 9110 §12.5.1): "json", "html",
 * "html-v1"; NULL: none that we have. */
const char *pypi_variant(const char *accept, const char *format);

void pypi_upload(struct http_request *req, const struct repo *repo);                       /* upload.c */
enum err pypi_importable(const struct repo *repo, const char *path, struct why *why);      /* upload.c */
void pypi_import(struct imported *m);                                                      /* upload.c */
void pypi_page(struct http_request *req, const struct repo *repo, const char *project);    /* index.c */
void pypi_file(struct http_request *req, const struct repo *repo, const char *project, const char *version,
               const char *name);                                                          /* index.c */
void pypi_legacy(struct http_request *req, const struct repo *repo, const char *project,
                 const char *version);                                                     /* index.c */
void pypi_root(struct http_request *req, const struct repo *repo);                         /* root.c */
void pypi_remove(struct http_request *req, const struct repo *repo, const char *path, bool tree,
                 registry_done_cb *done);                                                  /* change.c */

#endif
