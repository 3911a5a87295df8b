/* SPDX-License-Identifier: Apache-2.0 */
/* What holds for all requests of this process: the limits of the settings, and the networks that may be
 * reached. */
#include <pthread.h>

#include "internal.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct upstream_limits limits = { .connect_ms = 5000, .head_ms = 10000, .stall_ms = 30000,
                                         .acquire_ms = 30000, .connections = 64, .queue = 128,
                                         .follow_redirects = true };
static struct network networks[NETWORKS_MOST]; /* set before the first worker starts */
static struct client_guard guard = { networks, 0 };

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
    guard.count = 0;
    for (; list && *list; list++) {
        if (guard.count == NETWORKS_MOST)
            return fail(why, ERR_BAD_REQUEST, "at most %d networks", NETWORKS_MOST);
        if (!network_parse(*list, &networks[guard.count]))
            return fail(why, ERR_BAD_REQUEST, "'%.60s' is not a network like 10.0.0.0/8 or fd00::/8", *list);
        guard.count++;
    }
    return OK;
}

const struct client_guard *guard_now(void)
{
    return &guard;
}
