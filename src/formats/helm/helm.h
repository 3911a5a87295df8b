/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/helm/helm.h: what the files of this format share. */
#ifndef FORMATS_HELM_H
#define FORMATS_HELM_H

#include "pantera/format.h"
#include "pantera/limits.h"
#include "pantera/stage.h"
#include "src/formats/helm/chart.h"

/* {"error": "…"}, as ChartMuseum says it. */
void helm_fail(struct http_request *req, enum err e, const struct why *why);
void helm_fail_text(struct http_request *req, enum err e, const char *fmt, ...) PRINTF_LIKE(3, 4);
void helm_reply(struct http_request *req, int status, json_t *body); /* takes body */

#define HELM_INDEX ".helm/index.json" /* the document; hidden */

/* --- upload.c: a chart, a provenance or both, as they are or in a form --- */
enum helm_upload { HELM_CHART, HELM_PROV };
void helm_upload(struct http_request *req, const struct repo *repo, enum helm_upload what);
enum err helm_importable(const struct repo *repo, const char *path, struct why *why);
void helm_import(struct imported *m);

/* --- remove.c: files and what the index says of them --- */
void helm_remove(struct http_request *req, const struct repo *repo, const char *path, bool tree,
                 registry_done_cb *done);

/* --- elsewhere.c: proxies and groups --- */
void helm_elsewhere_index(struct http_request *req, const struct repo *repo);
void helm_elsewhere_get(struct http_request *req, const struct repo *repo, const char *path);

/* --- museum.c: ChartMuseum's API --- */
void helm_charts_get(struct http_request *req, const struct repo *repo,
                     const char *path); /* after api/charts */
/* "lib/1.0.0", or "lib" for all of its versions. */
void helm_charts_delete(struct http_request *req, const struct repo *repo, const char *path);

#endif
