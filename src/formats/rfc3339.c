/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/rfc3339.c: times as indexes give them (RFC 3339 §5.6). */
#include "src/formats/rfc3339.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int64_t rfc3339_ms(const char *text)
{
    struct tm tm = { 0 };
    int n = 0, hours, minutes;
    int64_t ms;

    if (!text || sscanf(text, "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
                        &tm.tm_hour,
                        &tm.tm_min, &tm.tm_sec, &n) != 6 || n != 19 || tm.tm_mon < 1 || tm.tm_mon > 12 ||
        tm.tm_mday < 1 || tm.tm_mday > 31)
        return 0;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    ms = (int64_t)timegm(&tm) * 1000;
    text += n;
    if (*text == '.')
        text += 1 + strspn(text + 1, "0123456789");
    if ((*text == '+' || *text == '-') && isdigit((unsigned char)text[1])) {
        if (sscanf(text + 1, "%2d:%2d", &hours, &minutes) != 2)
            return 0;
        ms -= (*text == '+' ? 1 : -1) * (hours * 60 + minutes) * INT64_C(60000);
    } else if (*text && strcmp(text, "Z") && strcmp(text, "z")) {
        return 0;
    }
    return ms > 0 ? ms : 0;
}
