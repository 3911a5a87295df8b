/* SPDX-License-Identifier: Apache-2.0 */
/* Bump allocation: blocks in a list, newest first; the first block of a kept arena is used again. It has
 * no per-object free, on purpose: what needs one does not belong here. */
#include "pantera/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/log.h"

enum { FIRST_BLOCK = 4096 - 64, ALIGNMENT = 16 };

struct arena_block {
    struct arena_block *older;
    size_t size;
    char bytes[] __attribute__((aligned(ALIGNMENT)));
};

struct arena_hook {
    struct arena_hook *older;
    void (*dispose)(void *arg);
    void *arg;
};

void arena_init(struct arena *a)
{
    *a = (struct arena){ 0 };
}

static void run_hooks(struct arena *a)
{
    while (a->hooks) {
        struct arena_hook *hook = a->hooks;
        a->hooks = hook->older;
        hook->dispose(hook->arg);
    }
}

void arena_release(struct arena *a)
{
    run_hooks(a);
    while (a->head) {
        struct arena_block *older = a->head->older;
        free(a->head);
        a->head = older;
    }
    arena_init(a);
}

void arena_reset(struct arena *a)
{
    run_hooks(a);
    struct arena_block *first = a->head;
    while (first && first->older) {
        struct arena_block *older = first->older;
        free(first);
        first = older;
    }
    if (first && first->size > FIRST_BLOCK) { /* don't let one big request stay for ever */
        free(first);
        first = NULL;
    }
    arena_init(a);
    if (first) {
        a->head = first;
        a->next = first->bytes;
        a->end = first->bytes + first->size;
    }
}

static void add_block(struct arena *a, size_t least)
{
    size_t size = a->head ? a->head->size * 2 : FIRST_BLOCK;
    if (size > 65536)
        size = 65536;
    if (size < least)
        size = least;
    struct arena_block *block = malloc(sizeof *block + size);
    if (!block)
        log_fatal("base", "out of memory: %zu bytes for an arena", size);
    block->older = a->head;
    block->size = size;
    a->head = block;
    a->next = block->bytes;
    a->end = block->bytes + size;
}

void *arena_alloc(struct arena *a, size_t size)
{
    size_t rounded = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if ((size_t)(a->end - a->next) < rounded || !a->head)
        add_block(a, rounded);
    void *p = a->next;
    a->next += rounded;
    return memset(p, 0, size);
}

void *arena_memdup(struct arena *a, const void *data, size_t size)
{
    void *p = arena_alloc(a, size ? size : 1);
    if (size)
        memcpy(p, data, size);
    return p;
}

char *arena_strndup(struct arena *a, const char *s, size_t length)
{
    char *p = arena_alloc(a, length + 1);
    memcpy(p, s, length);
    return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
    return arena_strndup(a, s, strlen(s));
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    check(length >= 0);
    char *p = arena_alloc(a, (size_t)length + 1);
    vsnprintf(p, (size_t)length + 1, fmt, again);
    va_end(again);
    return p;
}

void arena_on_release(struct arena *a, void (*dispose)(void *arg), void *arg)
{
    struct arena_hook *hook = arena_alloc(a, sizeof *hook);
    *hook = (struct arena_hook){ a->hooks, dispose, arg };
    a->hooks = hook;
}
