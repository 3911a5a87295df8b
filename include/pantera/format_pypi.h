/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/format_pypi.h: what the management API does to a hosted Python package index, besides deleting.
 * Not here:  permissions: the caller has asked.
 * Threads:   the worker's loop. `done` once, on it; not if the request ends first, which ends nothing here.
 * Errors:    NOT_FOUND: no such project or version (names and versions in any spelling); METHOD: the
 * repository
 *            is none of that kind; BAD_REQUEST. */
#ifndef PANTERA_FORMAT_PYPI_H
#define PANTERA_FORMAT_PYPI_H

#include "pantera/registry.h"

/* PEP 592, for all files of a version. `reason` may be NULL. */
void pypi_yank(struct http_request *req, const struct repo *repo, const char *project,
               const char *version, bool yanked, const char *reason, registry_done_cb *done);
/* PEP 792: "active", "archived" (takes no uploads), "quarantined" (nor gives files out), "deprecated". */
void pypi_set_status(struct http_request *req, const struct repo *repo, const char *project,
                     const char *status, const char *reason, registry_done_cb *done);

#endif
