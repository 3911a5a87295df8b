/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/rfc3339.h: times as indexes give them. */
#ifndef FORMATS_RFC3339_H
#define FORMATS_RFC3339_H

#include <stdint.h>

/* "2026-01-02T03:04:05[.6][Z|+01:00]" in ms since 1970; 0: it is no such time. */
int64_t rfc3339_ms(const char *text);

#endif
