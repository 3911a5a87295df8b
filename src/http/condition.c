/* SPDX-License-Identifier: Apache-2.0 */
/* Conditional requests, RFC 9110 §13, in the order of §13.2.2. Pure. */
#include <string.h>

#include "conn.h"
#include "pantera/clock.h"

/* One entity-tag of a list, quotes included; *at moves behind it. False: not one. */
static bool next_etag(const char **at, const char **ret_tag, size_t *ret_size, bool *ret_weak)
{
    const char *s = *at + strspn(*at, " \t,");
    *ret_weak = strncmp(s, "W/", 2) == 0;
    if (*ret_weak)
        s += 2;
    if (*s != '"')
        return false;
    const char *end = strchr(s + 1, '"');
    if (!end)
        return false;
    *ret_tag = s;
    *ret_size = (size_t)(end + 1 - s);
    *at = end + 1;
    return true;
}

/* Is the representation's etag in the list? Strong: neither side may be weak (§8.8.3.2). */
static bool etag_in(const char *list, const char *etag, bool strong)
{
    bool our_weak = strncmp(etag, "W/", 2) == 0;
    const char *ours = our_weak ? etag + 2 : etag;
    size_t our_size = strlen(ours);
    const char *tag;
    size_t size;
    bool weak;
    while (next_etag(&list, &tag, &size, &weak))
        if (size == our_size && memcmp(tag, ours, size) == 0 && !(strong && (weak || our_weak)))
            return true;
    return false;
}

/* "*" is true if there is a representation at all. */
static bool matches(const char *list, const char *etag, int64_t modified_ms, bool strong)
{
    if (strcmp(list, "*") == 0)
        return etag || modified_ms;
    return etag && etag_in(list, etag, strong);
}

/* Dates have seconds only. */
static bool modified_after(int64_t modified_ms, int64_t date_ms)
{
    return modified_ms / 1000 > date_ms / 1000;
}

/* §13.1.5: an etag compared strongly, or exactly the date of the last change. */
static bool if_range_holds(const char *value, const char *etag, int64_t modified_ms)
{
    int64_t date;
    if (value[0] == '"' || strncmp(value, "W/", 2) == 0)
        return etag && etag_in(value, etag, true);
    return modified_ms && clock_parse_http_date(value, &date) && date / 1000 == modified_ms / 1000;
}

int http_conditions(const struct http_request *req, const char *etag, int64_t modified_ms,
                    const char **range_header)
{
    bool reads = req->method == HTTP_M_GET || req->method == HTTP_M_HEAD;
    const char *value;
    int64_t date;
    if ((value = http_header(req, "if-match"))) {
        if (!matches(value, etag, modified_ms, true))
            return 412;
    } else if ((value = http_header(req, "if-unmodified-since"))) {
        if (modified_ms && clock_parse_http_date(value, &date) && modified_after(modified_ms, date))
            return 412;
    }
    if ((value = http_header(req, "if-none-match"))) {
        if (matches(value, etag, modified_ms, false))
            return reads ? 304 : 412;
    } else if (reads && (value = http_header(req, "if-modified-since"))) {
        if (modified_ms && clock_parse_http_date(value, &date) && !modified_after(modified_ms, date))
            return 304;
    }
    if (!range_header || !*range_header)
        return 0;
    /* Range is defined for GET only (§14.2). */
    if (req->method != HTTP_M_GET)
        *range_header = NULL;
    else if ((value = http_header(req, "if-range")) && !if_range_holds(value, etag, modified_ms))
        *range_header = NULL;
    return 0;
}
