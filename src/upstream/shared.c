/* SPDX-License-Identifier: Apache-2.0 */
/* What holds for all requests of this process: the limits of the settings, and the networks that may be
 * reached. */
#include <pthread.h>

#include "internal.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct upstream_limits limits = { .connect_ms = 5000, .head_ms = 10000, .stall_ms = 30000,
                                         .acquire_ms = 30000, .connections = 64, .queue = 128,
                                         .follow_redirects = true };

void upstream_limits_set(const struct upstream_limits *to)
{
    pthread_mutex_lock(&lock);
    limits = *to;
    pthread_mutex_unlock(&lock);
    places_retry();
}

struct upstream_limits limits_now(void)
{
    pthread_mutex_lock(&lock);
    struct upstream_limits copy = limits;
    pthread_mutex_unlock(&lock);
    return copy;
}

enum err upstream_allow(const char *const *list, struct why *why)
{
    return client_allow(list, why);
}

const struct client_guard *guard_now(void)
{
    return client_guard_of(NEAR_NONE);
}
