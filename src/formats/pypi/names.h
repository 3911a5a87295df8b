/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/pypi/names.h: names of projects, versions and files, as the packaging specifications read them.
 * Pure functions; what they give is the arena's. */
#ifndef PYPI_NAMES_H
#define PYPI_NAMES_H

#include <stdint.h>

#include "pantera/arena.h"

enum { PYPI_NAME = 200, PYPI_VERSION = 128 }; /* the longest that we take */

/* PEP 508: letters, digits, '.', '-' and '_', the first and the last no sign. */
bool pypi_name_valid(const char *name);
/* PEP 503: lower case, runs of "-_." one '-'. */
char *pypi_name_normal(struct arena *a, const char *name);

/* PEP 440. Numbers stay digits: they may be longer than any integer of ours. */
struct pypi_version {
    const char *text;             /* its normal form: "1!2.0rc1.post2.dev3+local.4" */
    const char *epoch;            /* "0" unless said */
    const char *release;          /* "2.0" */
    const char *pre_kind;         /* "a", "b", "rc" or NULL */
    const char *pre, *post, *dev; /* or NULL */
    const char *local;            /* or NULL */
};
bool pypi_version_parse(struct arena *a, const char *text, struct pypi_version *ret);
/* By the ordering of PEP 440: "1.0" and "1.0.0" are equal. */
int pypi_version_compare(const struct pypi_version *a, const struct pypi_version *b);

enum pypi_kind { PYPI_OTHER, PYPI_SDIST, PYPI_WHEEL };
struct pypi_file {
    enum pypi_kind kind;
    bool zip; /* a wheel, or an sdist of that kind */
    struct pypi_version version;
    const char *stem; /* a wheel's "<distribution>-<version>" as spelled: its .dist-info's */
    const char *tag;  /* a wheel's "py3-none-any"; else "" */
};
/* By the end of its name alone. */
enum pypi_kind pypi_file_kind(const char *file_name);
/* What the name of a project's file says (PEP 427, PEP 625, and what was usual before). False: no version
 * can be read from it. */
bool pypi_file_parse(struct arena *a, const char *project, const char *file_name,
                     struct pypi_file *ret);

/* RFC 3339 in UTC, with or without a fraction; false if it is not one. */
bool pypi_time_parse(const char *text, int64_t *ret_ms);

#endif
