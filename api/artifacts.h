/* SPDX-License-Identifier: Apache-2.0 */
/* api/artifacts.h: what the endpoints about single artifacts share. Each gives NULL after it has answered. */
#ifndef API_ARTIFACTS_H
#define API_ARTIFACTS_H

#include "pantera/api.h"
#include "pantera/registry.h"

/* The repository that the route names, if the caller may: 403 first, then 404. Valid until control returns
 * to the loop. */
const struct repo *artifacts_repo(struct http_request *req, enum repo_action action);

enum artifacts_path_kind { PATH_FILE, PATH_ANY, PATH_ROOT_TOO };
/* A path as clients give it in a body or ?path=, with or without a slash in front: decoded, judged. */
const char *artifacts_path(struct http_request *req, const char *text, enum artifacts_path_kind kind);
const char *artifacts_query_path(struct http_request *req, enum artifacts_path_kind kind);

void artifacts_missing(struct http_request *req, const char *path); /* 404 */
const char *artifacts_file_name(const char *path);

#endif
