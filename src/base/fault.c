/* SPDX-License-Identifier: Apache-2.0 */
/* Fault points: a short table, scanned only when a test armed it. */
#include "pantera/fault.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/err.h"

bool faults_armed;

enum { MOST_FAULTS = 16 };
static struct point {
    char name[48];
    int errno_value, nth, calls;
    bool sticky;
} points[MOST_FAULTS];
static unsigned point_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void fault_set(const char *name, int errno_value, int nth, bool sticky)
{
    pthread_mutex_lock(&lock);
    check(point_count < MOST_FAULTS);
    struct point *p = &points[point_count++];
    snprintf(p->name, sizeof p->name, "%s", name);
    p->errno_value = errno_value;
    p->nth = nth;
    p->sticky = sticky;
    p->calls = 0;
    __atomic_store_n(&faults_armed, true, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&lock);
}

void fault_clear(void)
{
    pthread_mutex_lock(&lock);
    point_count = 0;
    __atomic_store_n(&faults_armed, false, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&lock);
}

int fault_check(const char *name)
{
    int result = 0;
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < point_count; i++) {
        struct point *p = &points[i];
        if (strcmp(p->name, name) != 0)
            continue;
        p->calls++;
        if (p->calls == p->nth || (p->sticky && p->calls > p->nth))
            result = p->errno_value;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

static int errno_of(const char *text)
{
    static const struct { const char *name; int value; } names[] = {
        { "EIO", EIO }, { "ENOSPC", ENOSPC }, { "EAGAIN", EAGAIN }, { "EMFILE", EMFILE },
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(text, names[i].name) == 0)
            return names[i].value;
    return EIO;
}

void fault_init(void)
{
    const char *spec = getenv("PANTERA_FAULTS");
    char copy[512], *save = NULL;
    if (!spec)
        return;
    snprintf(copy, sizeof copy, "%s", spec);
    for (char *item = strtok_r(copy, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
        char *value = strchr(item, '='), *count = value ? strchr(value, ':') : NULL;
        if (!value)
            continue;
        *value++ = 0;
        if (count)
            *count++ = 0;
        fault_set(item, errno_of(value), count ? (int)strtol(count, NULL, 10) : 1,
                  count && strchr(count, '+'));
    }
}
