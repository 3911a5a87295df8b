/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks and the few date formats that protocols want. No time zones: all is UTC. */
#include "pantera/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t clock_mono_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t clock_mono_ms(void)
{
    return clock_mono_us() / 1000;
}

int64_t clock_wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

char *clock_rfc3339(int64_t wall_ms, char ret_text[32])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    strftime(ret_text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return ret_text;
}

/* strftime's names follow the locale; a protocol's do not. */
static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

char *clock_http_date(int64_t wall_ms, char ret_text[32])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    char text[64]; /* room for what the compiler thinks a year can be */
    snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday % 7], tm.tm_mday,
             months[tm.tm_mon % 12], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    snprintf(ret_text, 32, "%.29s", text);
    return ret_text;
}

static int month_of(const char *name)
{
    for (int i = 0; i < 12; i++)
        if (strcmp(name, months[i]) == 0)
            return i;
    return -1;
}

/* 'a' is a letter, '0' a digit, '_' a digit or a blank, the rest is itself: sscanf alone takes signs,
 * blanks and short numbers. */
static bool has_shape(const char *text, const char *shape)
{
    for (; *shape; shape++, text++) {
        bool digit = *text >= '0' && *text <= '9';
        bool letter = (*text | 32) >= 'a' && (*text | 32) <= 'z';
        if (*shape == 'a' ? !letter : *shape == '0' ? !digit
            : *shape == '_' ? !digit && *text != ' ' : *text != *shape)
            return false;
    }
    return *text == 0;
}

static bool read_http_date(const char *text, struct tm *tm, char month[4])
{
    if (has_shape(text, "aaa, 00 aaa 0000 00:00:00 GMT")) /* IMF-fixdate */
        return sscanf(text + 5, "%2d %3s %4d %2d:%2d:%2d", &tm->tm_mday, month, &tm->tm_year,
                      &tm->tm_hour, &tm->tm_min, &tm->tm_sec) == 6;
    if (has_shape(text, "aaa aaa _0 00:00:00 0000")) /* asctime */
        return sscanf(text + 4, "%3s %2d %2d:%2d:%2d %4d", month, &tm->tm_mday, &tm->tm_hour,
                      &tm->tm_min, &tm->tm_sec, &tm->tm_year) == 6;
    const char *comma = strchr(text, ','); /* rfc850-date: the day's name is spelled out */
    if (!comma || comma - text < 6 || comma - text > 9 ||
        !has_shape(comma, ", 00-aaa-00 00:00:00 GMT") ||
        sscanf(comma + 2, "%2d-%3[A-Za-z]-%2d %2d:%2d:%2d", &tm->tm_mday, month, &tm->tm_year,
               &tm->tm_hour, &tm->tm_min, &tm->tm_sec) != 6)
        return false;
    tm->tm_year += tm->tm_year < 70 ? 2000 : 1900; /* never more than 50 years ahead, as it must be */
    return true;
}

bool clock_parse_http_date(const char *text, int64_t *ret_wall_ms)
{
    char month[4];
    struct tm tm = { 0 };
    if (!read_http_date(text, &tm, month))
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon = month_of(month);
    int day = tm.tm_mday;
    if (tm.tm_mon < 0 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
        return false;
    if (tm.tm_sec == 60) /* a leap second: the clock of the system has none */
        tm.tm_sec = 59;
    time_t seconds = timegm(&tm);
    if (tm.tm_mday != day) /* the 30th of February */
        return false;
    *ret_wall_ms = (int64_t)seconds * 1000;
    return true;
}

/* "Z" or "+hh:mm": minutes. */
static bool read_offset(const char *text, int *ret_minutes)
{
    int hours, minutes;
    *ret_minutes = 0;
    if (strcmp(text, "Z") == 0 || strcmp(text, "z") == 0)
        return true;
    if ((*text != '+' && *text != '-') || !has_shape(text + 1, "00:00") ||
        sscanf(text + 1, "%2d:%2d", &hours, &minutes) != 2 || hours > 23 || minutes > 59)
        return false;
    *ret_minutes = (*text == '-' ? -1 : 1) * (hours * 60 + minutes);
    return true;
}

bool clock_parse_rfc3339(const char *text, int64_t *ret_wall_ms)
{
    char head[20] = "";
    struct tm tm = { 0 };
    int minutes = 0;
    size_t n = strlen(text);
    memcpy(head, text, n < 19 ? n : 19);
    bool timed = has_shape(head, "0000-00-00a00:00:00");
    if (!timed && (n != 10 || !has_shape(text, "0000-00-00")))
        return false;
    if (sscanf(head, "%4d-%2d-%2d%*c%2d:%2d:%2d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
               &tm.tm_min, &tm.tm_sec) < 3)
        return false;
    if (timed) {
        const char *rest = text + 19;
        if ((head[10] | 0x20) != 't')
            return false;
        if (*rest == '.') /* parts of a second are cut off */
            rest += 1 + strspn(rest + 1, "0123456789");
        if (!read_offset(rest, &minutes))
            return false;
    }
    int day = tm.tm_mday;
    tm.tm_year -= 1900;
    if (--tm.tm_mon < 0 || tm.tm_mon > 11 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
        return false;
    if (tm.tm_sec == 60)
        tm.tm_sec = 59;
    time_t seconds = timegm(&tm);
    if (tm.tm_mday != day)
        return false;
    *ret_wall_ms = ((int64_t)seconds - minutes * 60) * 1000;
    return true;
}

static uint64_t unit_ms(char unit, bool in_time)
{
    switch (unit) {
    case 'd': case 'D': return 86400000;
    case 'w': case 'W': return 604800000;
    case 'h': case 'H': return 3600000;
    case 'm': case 'M': return in_time ? 60000 : 0;
    case 's': case 'S': return 1000;
    default: return 0;
    }
}

bool clock_parse_duration(const char *text, uint64_t *ret_ms)
{
    bool iso = text[0] == 'P', in_time = !iso, some = false;
    uint64_t total = 0;
    const char *s = text + iso;
    while (*s) {
        if (iso && *s == 'T' && !in_time) {
            in_time = true;
            s++;
            continue;
        }
        if (*s < '0' || *s > '9')
            return false;
        char *end;
        unsigned long long n = strtoull(s, &end, 10);
        uint64_t unit = !iso && end[0] == 'm' && end[1] == 's' ? 1 : unit_ms(*end, in_time);
        if (unit == 0 || n > ((uint64_t)1 << 53) / unit || total > (uint64_t)1 << 53)
            return false;
        total += n * unit;
        s = end + (unit == 1 ? 2 : 1);
        some = true;
    }
    if (some)
        *ret_ms = total;
    return some;
}
