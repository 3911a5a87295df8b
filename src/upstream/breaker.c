/* SPDX-License-Identifier: Apache-2.0 */
/* The circuit breaker: a remote that fails again and again is left alone for a while that grows, then
 * one request tries it out. No clock, no lock, no randomness of its own. */
#include <stdio.h>
#include <string.h>

#include "internal.h"

enum { FAILURES = 5, FIRST_MS = 1000, MOST_MS = 30000 };

bool breaker_ask(struct breaker *b, uint64_t now_ms, bool *ret_probe, int64_t *ret_left_ms)
{
    *ret_probe = false;
    *ret_left_ms = 0;
    if (b->state == BREAKER_OPEN && now_ms >= b->until_ms)
        b->state = BREAKER_HALF_OPEN;
    if (b->state == BREAKER_OPEN)
        *ret_left_ms = (int64_t)(b->until_ms - now_ms);
    if (b->state == BREAKER_CLOSED)
        return true;
    if (b->state == BREAKER_OPEN || b->probing)
        return false;
    b->probing = *ret_probe = true;
    return true;
}

void breaker_good(struct breaker *b)
{
    memset(b, 0, sizeof *b);
}

/* Half to one and a half of it: those who were sent away together shall not come back together. */
static int64_t jittered(int64_t ms, uint64_t random)
{
    return ms / 2 + (int64_t)(random % (uint64_t)(ms + 1));
}

void breaker_bad(struct breaker *b, uint64_t now_ms, int64_t wait_ms, bool told, uint64_t random,
                 const char *why)
{
    if (b->state == BREAKER_OPEN && b->until_ms > now_ms) { /* one that was under way when it opened */
        if (wait_ms && now_ms + (uint64_t)wait_ms > b->until_ms)
            b->until_ms = now_ms + (uint64_t)wait_ms;
        return;
    }
    b->failures++;
    snprintf(b->why, sizeof b->why, "%s", why);
    b->told = told;
    if (b->state == BREAKER_CLOSED && b->failures < FAILURES && !wait_ms)
        return;
    if (wait_ms) {
        b->until_ms = now_ms + (uint64_t)wait_ms + random % 250; /* never before it */
    } else {
        int64_t ms = b->opened < 5 ? FIRST_MS << b->opened : MOST_MS;
        b->until_ms = now_ms + (uint64_t)jittered(ms > MOST_MS ? MOST_MS : ms, random);
        b->opened++;
    }
    b->state = BREAKER_OPEN;
    b->probing = false;
}

void breaker_gave_up(struct breaker *b)
{
    if (b->state == BREAKER_HALF_OPEN && b->probing)
        b->probing = false;
}
