/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/meta_setting.h: rows of `setting`: a JSON value by name ("auth_settings", "prefixes").
 * Threads: the reader's.
 * Order:   ask for the lease (cluster_current) after reading, as with any row.
 * Ops: setting.put {name, value, by?}; setting.merge {name, patch, by?}: members that the patch leaves out
 *        keep their values, null takes one away; prefixes.put {prefixes, by?}: CONFLICT if one is a
 *        repository's name. */
#ifndef PANTERA_META_SETTING_H
#define PANTERA_META_SETTING_H

#include "pantera/meta.h"

/* A new reference, or NULL if there is no such setting. */
json_t *setting_get(struct meta_reader *r, const char *name);
/* The same for the path of a request: parsed once and kept while GEN_POLICY stands. Borrowed, until the
 * next call. NULL: no such setting. */
const json_t *setting_now(struct meta_reader *r, const char *name);

#endif
