/* SPDX-License-Identifier: Apache-2.0 */
/* Finding a tag and decoding its text. What is not there is NULL; nothing is judged here. */
#include "xml.h"

#include <stdlib.h>
#include <string.h>

static const char *decode_entity(const char *at, char *ret)
{
    static const struct { const char *name; char value; } entities[] = {
        { "&amp;", '&' }, { "&lt;", '<' }, { "&gt;", '>' }, { "&quot;", '"' }, { "&apos;", '\'' },
    };
    for (size_t i = 0; i < sizeof entities / sizeof entities[0]; i++)
        if (strncmp(at, entities[i].name, strlen(entities[i].name)) == 0) {
            *ret = entities[i].value;
            return at + strlen(entities[i].name);
        }
    if (at[1] == '#') {
        char *end;
        long value = at[2] == 'x' ? strtol(at + 3, &end, 16) : strtol(at + 2, &end, 10);
        if (*end == ';' && value > 0 && value < 128) {
            *ret = (char)value;
            return end + 1;
        }
    }
    *ret = '&';
    return at + 1;
}

char *xml_text(struct arena *a, const char *xml, const char *tag)
{
    const char *open = arena_printf(a, "<%s>", tag), *close = arena_printf(a, "</%s>", tag);
    const char *at = xml ? strstr(xml, open) : NULL;
    const char *end = at ? strstr(at, close) : NULL;
    if (!end)
        return NULL;
    at += strlen(open);
    char *text = arena_alloc(a, (size_t)(end - at) + 1), *to = text;
    while (at < end) {
        if (*at == '&')
            at = decode_entity(at, to++);
        else
            *to++ = *at++;
    }
    return text;
}
