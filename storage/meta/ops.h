/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/ops.h: prototypes of all operations (ops.def), and how they read their arguments.
 * Arguments come from another layer or another node: what is missing or of the wrong kind is
 * BAD_REQUEST, never an assertion. */
#ifndef STORAGE_META_OPS_H
#define STORAGE_META_OPS_H

#include <jansson.h>

#include "pantera/meta.h"

#define OP(function, name) meta_op op_##function;
#include "storage/meta/ops.def"
#undef OP

/* A string member, or NULL. Borrowed. */
static inline const char *arg_text(const json_t *args, const char *name)
{
    return json_string_value(json_object_get(args, name));
}

static inline int64_t arg_int(const json_t *args, const char *name, int64_t otherwise)
{
    const json_t *v = json_object_get(args, name);
    return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

#endif
