/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/pypi/accept.c: which form of an index a client wants (PEP 691, "Version + Format
 * Selection"). */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "src/formats/pypi/pypi.h"

/* Those that come first win where a client likes several as much. */
static const struct {
    const char *type, *variant;
} offers[] = {
    { "text/html", "html" },
    { "application/vnd.pypi.simple.v1+json", "json" },
    { "application/vnd.pypi.simple.latest+json", "json" },
    { "application/vnd.pypi.simple.v1+html", "html-v1" },
    { "application/vnd.pypi.simple.latest+html", "html-v1" },
    { "application/json", "json" },
};
enum { OFFERS = sizeof offers / sizeof *offers };

/* 1000 times the weight; 1000 if it does not say. */
static int weight_of(const char *parameters, const char *end)
{
    for (const char *c = parameters; c < end; c++) {
        if (*c != ';')
            continue;
        c++;
        while (c < end && (*c == ' ' || *c == '\t'))
            c++;
        if (end - c > 2 && (*c == 'q' || *c == 'Q') && c[1] == '=') {
            double q = strtod(c + 2, NULL);
            return q >= 1 ? 1000 : q > 0 ? (int)(q * 1000) : 0;
        }
        c--;
    }
    return 1000;
}

/* How exactly a range names a type: 0 not at all. */
static int precision(const char *range, size_t length, const char *type)
{
    size_t slash = strcspn(type, "/") + 1;

    if (length == 3 && !memcmp(range, "*/*", 3))
        return 1;
    if (length == slash + 1 && range[slash] == '*' && !strncasecmp(range, type, slash))
        return 2;
    return length == strlen(type) && !strncasecmp(range, type, length) ? 3 : 0;
}

static int liking(const char *accept, const char *type)
{
    int best = 0, weight = 0;

    while (*accept) {
        const char *end;
        size_t n;
        accept += strspn(accept, " \t");
        end = accept + strcspn(accept, ",");
        n = strcspn(accept, ";, \t");
        int p = precision(accept, n, type);
        if (p > best) {
            best = p;
            weight = weight_of(accept + n, end);
        }
        accept = *end ? end + 1 : end;
    }
    return weight;
}

/* In a query a '+' is a blank to some, and everybody writes these types with one. */
static bool is_format(const char *format, const char *type)
{
    while (*type && (*format == *type || (*format == ' ' && *type == '+')))
        format++, type++;
    return !*format && !*type;
}

const char *pypi_variant(const char *accept, const char *format)
{
    const char *variant = NULL;
    int best = 0;

    for (unsigned i = 0; i < OFFERS; i++) {
        int w;
        if (format) {
            if (is_format(format, offers[i].type))
                return offers[i].variant;
            continue;
        }
        w = accept ? liking(accept, offers[i].type) : 1000;
        if (w > best) {
            best = w;
            variant = offers[i].variant;
        }
    }
    return variant;
}
