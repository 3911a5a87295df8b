/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/formats.c: the formats that this binary has (formats.def), found by name, type or alias. */
#include <string.h>

#include "pantera/format.h"

#define FORMAT(name) extern const struct format name##_format;
#include "src/formats/formats.def"
#undef FORMAT

static const struct format *const formats[] = {
#define FORMAT(name) &name##_format,
#include "src/formats/formats.def"
#undef FORMAT
};
enum { FORMATS = sizeof formats / sizeof *formats };

const struct format *format_find(const char *name)
{
    for (size_t i = 0; i < FORMATS; i++)
        if (!strcmp(formats[i]->name, name))
            return formats[i];
    return NULL;
}

const struct format *format_of_type(const char *type, enum format_caps *ret_cap)
{
    static const struct { const char *suffix; enum format_caps cap; } kinds[] = {
        { "", FORMAT_LOCAL }, { "-proxy", FORMAT_PROXY }, { "-group", FORMAT_GROUP },
    };

    for (size_t i = 0; i < FORMATS; i++) {
        size_t n = strlen(formats[i]->name);
        if (strncmp(type, formats[i]->name, n))
            continue;
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
            if (!strcmp(type + n, kinds[k].suffix) && formats[i]->caps & kinds[k].cap) {
                if (ret_cap)
                    *ret_cap = kinds[k].cap;
                return formats[i];
            }
    }
    return NULL;
}

const struct format *format_by_root(const char *segment, size_t length)
{
    for (size_t i = 0; i < FORMATS; i++)
        if (formats[i]->root && strlen(formats[i]->root) == length &&
            !strncmp(formats[i]->root, segment, length))
            return formats[i];
    return NULL;
}

const struct format *format_by_alias(const char *alias)
{
    for (size_t i = 0; i < FORMATS; i++)
        for (const char *const *a = formats[i]->aliases; a && *a; a++)
            if (!strcmp(*a, alias))
                return formats[i];
    return NULL;
}
