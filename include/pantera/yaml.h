/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/yaml.h: YAML of strangers (charts, their indexes) as JSON. What:      mappings, sequences and
 * scalars. A plain true, false, null or ~ is what it says; every other scalar
 *            is a string, as written: a version 1.10 stays "1.10".
 * Not here:  our own configuration (config.h), which knows lines and keys. Tags are ignored. Threads:
 * any; large texts belong on the pool. Limits:    depth 64; aliases may make the result larger by
 * 100,000 values at most. */
#ifndef PANTERA_YAML_H
#define PANTERA_YAML_H

#include <jansson.h>
#include <stddef.h>

#include "pantera/err.h"

/* The first document. BAD_REQUEST: no YAML, or more than the limits allow. The caller gives *ret up. */
MUST_USE enum err yaml_to_json(const char *text, size_t size, json_t **ret, struct why *why);

#endif
