/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/migrations.h: migrations/NNNN_*.sql, embedded at build time, in order from 1. */
#ifndef PANTERA_MIGRATIONS_H
#define PANTERA_MIGRATIONS_H

#include <stddef.h>

struct migration {
    int number;
    const char *name, *sql;
};
extern const struct migration migrations[];
extern const size_t migrations_count;

#endif
