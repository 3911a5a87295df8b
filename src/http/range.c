/* SPDX-License-Identifier: Apache-2.0 */
/* Range headers, RFC 9110 §14.1.2 and §14.2. Pure. */
#include <string.h>
#include <strings.h>

#include "conn.h"

/* Digits → number; a number too large for int64_t is as good as the largest. False: no digit. */
static bool parse_number(const char **at, int64_t *ret)
{
    const char *s = *at;
    int64_t n = 0;
    if (*s < '0' || *s > '9')
        return false;
    for (; *s >= '0' && *s <= '9'; s++)
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *s - '0', &n)) {
            n = INT64_MAX;
            s += strspn(s, "0123456789");
            break;
        }
    *at = s;
    *ret = n;
    return true;
}

enum spec { SPEC_BAD, SPEC_UNSATISFIABLE, SPEC_OK };

/* "first-last", "first-" or "-suffix". */
static enum spec parse_spec(const char **at, int64_t size, struct http_range *ret)
{
    int64_t first, last = INT64_MAX;
    if (**at == '-') {
        ++*at;
        if (!parse_number(at, &last))
            return SPEC_BAD;
        if (last == 0 || size == 0)
            return SPEC_UNSATISFIABLE;
        *ret = (struct http_range){ last < size ? size - last : 0, size - 1 };
        return SPEC_OK;
    }
    if (!parse_number(at, &first) || **at != '-')
        return SPEC_BAD;
    ++*at;
    if (**at >= '0' && **at <= '9' && (!parse_number(at, &last) || last < first))
        return SPEC_BAD;
    if (first >= size)
        return SPEC_UNSATISFIABLE;
    *ret = (struct http_range){ first, last < size ? last : size - 1 };
    return SPEC_OK;
}

int http_ranges(const char *range_header, int64_t size, struct http_range ret[16])
{
    if (!range_header || strncasecmp(range_header, "bytes=", 6) != 0)
        return 0;
    const char *at = range_header + 6;
    int specs = 0, count = 0;
    int64_t total = 0;
    for (;;) { /* a list with optional white space and empty elements: RFC 9110 §5.6.1 */
        at += strspn(at, " \t,");
        if (!*at)
            break;
        struct http_range range;
        enum spec spec = parse_spec(&at, size, &range);
        at += strspn(at, " \t");
        if (spec == SPEC_BAD || (*at && *at != ',') || ++specs > LIMIT_RANGES)
            return 0;
        if (spec == SPEC_UNSATISFIABLE)
            continue;
        ret[count++] = range;
        total += range.last - range.first + 1;
        if (total > size)
            return 0; /* overlapping: more work than the whole, §14.2 */
    }
    if (specs == 0)
        return 0;
    return count ? count : -1;
}
