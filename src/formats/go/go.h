/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/go/go.h: what the files of this format share. */
#ifndef FORMATS_GO_H
#define FORMATS_GO_H

#include "pantera/document.h"
#include "pantera/format.h"
#include "pantera/limits.h"
#include "pantera/stage.h"
#include "src/formats/go/module.h"

/* --- upload.c --- */
void go_put(struct http_request *req, const struct repo *repo, const struct go_path *p);
enum err go_importable(const struct repo *repo, const char *path, struct why *why);
void go_import(struct imported *m);

/* --- rows.c: list and @latest of a hosted module, from the names in its folder --- */
typedef void go_give(enum err e, const struct why *why, const char *data, size_t size, void *arg);
void go_rows(struct worker *w, const struct repo *repo, const char *path, const char *package, go_give *give,
             void *arg);
#define GO_LIST_LIMIT MIB(8)
#define GO_INFO_LIMIT KIB(64)

/* struct document's owns: has it a version of this module? */
bool go_owns(struct registry *r, struct arena *a, const struct repo *repo, const char *package);

/* --- documents.c --- */
/* .zip, .mod and .info of a proxy or a group. */
void go_elsewhere_get(struct http_request *req, const struct repo *repo, const char *path,
                      const struct go_path *p);
void go_sumdb_get(struct http_request *req, const struct repo *repo, const char *path);
void go_document_get(struct http_request *req, const struct repo *repo, const char *path,
                     const struct go_path *p);

#endif
