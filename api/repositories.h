/* SPDX-License-Identifier: Apache-2.0 */
/* api/repositories.h: what the endpoints below /api/v1/repositories share. */
#ifndef API_REPOSITORIES_H
#define API_REPOSITORIES_H

#include "pantera/api.h"
#include "pantera/meta_repository.h"

/* The repository of that name; false: answered (404, 503). */
bool api_repository(struct http_request *req, const char *name, struct repository_row *ret);

/* Where clients reach the repository port: `base_url`, or the host that was asked with that port. Without a
 * slash at the end. */
const char *api_repository_url(struct http_request *req);

#endif
