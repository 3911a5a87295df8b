/* SPDX-License-Identifier: Apache-2.0 */
/* api/openapi.h: the OpenAPI description of routes.def. The rows say which endpoints there are and who may;
 * api/schemas/<resource>.json, keyed by handler, what goes in and out. Not a second list of endpoints. */
#ifndef API_OPENAPI_H
#define API_OPENAPI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* api/schemas/, embedded at build. */
struct openapi_source {
    const char *name, *text;
};
extern const struct openapi_source openapi_sources[];
extern const size_t openapi_sources_count;

/* The document; the caller's reference. NULL: a schema file is not JSON (*ret_bad is its name). */
json_t *openapi_build(const char **ret_bad);

#endif
