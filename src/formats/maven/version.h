/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/maven/version.h: Maven's order of versions. Pure. */
#ifndef FORMATS_MAVEN_VERSION_H
#define FORMATS_MAVEN_VERSION_H

#include <stdbool.h>

#include "pantera/arena.h"

/* A version taken apart; the arena's. */
struct maven_version;
struct maven_version *maven_version_parse(struct arena *a, const char *text);
/* Below, equal to or above 0. "1.0" and "1" are equal, as they are to Maven. */
int maven_version_compare(const struct maven_version *a, const struct maven_version *b);
/* "1.0-SNAPSHOT", and the same with its timestamp. */
bool maven_version_is_snapshot(const char *text);

#endif
