/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/arena.h: memory that is freed at once.
 * What:      bump allocation in blocks, for all that lives as long as one request or operation.
 * Ownership: what it gives is valid until arena_release. Dispose hooks run then, newest first.
 * Errors:    aborts when memory is out: sizes here are bounded (limits.h).
 * Threads:   one thread at a time.
 *
 *     struct arena a; arena_init(&a);
 *     char *s = arena_printf(&a, "%s/%s", dir, name);
 *     arena_release(&a); */
#ifndef PANTERA_ARENA_H
#define PANTERA_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "pantera/err.h"

struct arena_block;
struct arena_hook;
struct arena {
    struct arena_block *head;
    char *next, *end;
    struct arena_hook *hooks;
};

void arena_init(struct arena *a);
void arena_release(struct arena *a); /* leaves it initialised */
/* Like release, then init, but keeps the first block: for keep-alive. */
void arena_reset(struct arena *a);
void *arena_alloc(struct arena *a, size_t size); /* zeroed, aligned for anything */
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t length);
void *arena_memdup(struct arena *a, const void *data, size_t size);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* `dispose(arg)` when the arena is released. */
void arena_on_release(struct arena *a, void (*dispose)(void *arg), void *arg);

#endif
