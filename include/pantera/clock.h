/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/clock.h: what time it is.
 * clock_mono_ms counts suspension (CLOCK_BOOTTIME): leases stand on it, and a node that was paused
 * must see that time has passed. clock_wall_ms is for people, never for safety. */
#ifndef PANTERA_CLOCK_H
#define PANTERA_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "pantera/err.h"

uint64_t clock_mono_ms(void);
uint64_t clock_mono_us(void);
int64_t clock_wall_ms(void); /* since 1970 UTC */
/* RFC 3339 UTC to the second ("2026-03-22T10:00:00Z"); needs 21 bytes. */
char *clock_rfc3339(int64_t wall_ms, char ret_text[32]);
/* RFC 9110 §5.6.7 IMF-fixdate; needs 30 bytes. */
char *clock_http_date(int64_t wall_ms, char ret_text[32]);
/* All three forms of RFC 9110 §5.6.7; false if none. */
bool clock_parse_http_date(const char *text, int64_t *ret_wall_ms);
/* RFC 3339: a date (its first moment, UTC), or a date and a time with Z or an offset; false if neither. */
bool clock_parse_rfc3339(const char *text, int64_t *ret_wall_ms);
/* "7d", "3h", "30m", "45s", and ISO 8601 "P7D", "PT60S", "PT2M"; false if neither. */
bool clock_parse_duration(const char *text, uint64_t *ret_ms);

#endif
