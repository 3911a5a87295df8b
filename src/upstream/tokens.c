/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens that token services gave, and where they are to be had: texts by key until they expire, the
 * least used going first when there are too many. In memory only. A key is hashed with who asks (remote,
 * credentials), so that changed credentials never find what the old ones were given. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pantera/clock.h"
#include "pantera/log.h"

enum { TOKENS = 1024 };

static struct entry {
    unsigned char key[32];
    char *value;                 /* NULL: free */
    uint64_t until_ms, used;
} entries[TOKENS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t uses;

static void empty(struct entry *e)
{
    if (e->value)
        memset(e->value, 0, strlen(e->value));
    free(e->value);
    e->value = NULL;
    e->used = 0;
}

static struct entry *find(const unsigned char key[32])
{
    for (unsigned i = 0; i < TOKENS; i++)
        if (entries[i].value && memcmp(entries[i].key, key, 32) == 0)
            return &entries[i];
    return NULL;
}

bool tokens_get(struct arena *a, const char *key, const char **ret_value)
{
    unsigned char digest[32];
    sha256(key, strlen(key), digest);
    pthread_mutex_lock(&lock);
    struct entry *e = find(digest);
    if (e && e->until_ms <= clock_mono_ms()) {
        empty(e);
        e = NULL;
    }
    if (e) {
        e->used = ++uses;
        *ret_value = arena_strdup(a, e->value);
    }
    pthread_mutex_unlock(&lock);
    return e != NULL;
}

void tokens_put(const char *key, const char *value, int64_t life_ms)
{
    unsigned char digest[32];
    char *copy = strdup(value);
    if (!copy)
        log_fatal("upstream", "out of memory");
    sha256(key, strlen(key), digest);
    pthread_mutex_lock(&lock);
    struct entry *e = find(digest);
    for (unsigned i = 0; !e && i < TOKENS; i++)
        if (!entries[i].value)
            e = &entries[i];
    if (!e) {
        e = &entries[0];
        for (unsigned i = 1; i < TOKENS; i++)
            if (entries[i].used < e->used)
                e = &entries[i];
    }
    empty(e);
    memcpy(e->key, digest, 32);
    e->value = copy;
    e->until_ms = clock_mono_ms() + (uint64_t)(life_ms > 0 ? life_ms : 0);
    e->used = ++uses;
    pthread_mutex_unlock(&lock);
}

void tokens_drop(const char *key)
{
    unsigned char digest[32];
    sha256(key, strlen(key), digest);
    pthread_mutex_lock(&lock);
    struct entry *e = find(digest);
    if (e)
        empty(e);
    pthread_mutex_unlock(&lock);
}
