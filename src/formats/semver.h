/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/semver.h: what semver.org says of versions and several ecosystems keep.
 * Not here: which versions each of them takes at all. */
#ifndef FORMATS_SEMVER_H
#define FORMATS_SEMVER_H

#include <stddef.h>

/* Of digits without leading zeros, by value: <0, 0, >0. */
int semver_number_compare(const char *a, size_t a_length, const char *b, size_t b_length);
/* §11.3 and §11.4: what stands behind the '-', up to a '+' or the end; NULL: it is no pre-release. */
int semver_prerelease_compare(const char *a, const char *b);

#endif
