/* SPDX-License-Identifier: Apache-2.0 */
/* Failed sign-ins: token buckets for (user, address) and for the address. An attempt takes from both
 * before the password is looked at, and gives back when it was right, so that many attempts at once
 * can't pass together. The table is of a fixed size: a set that is full loses its fullest bucket, the
 * one that matters least. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/digest.h"
#include "pantera/ids.h"
#include "src/auth/internal.h"

enum { SETS = 4096, WAYS = 4, MINUTE_MS = 60000, PER_PAIR = 10, PER_ADDRESS = 50 };

struct bucket {
    unsigned char key[16]; /* all zero: free */
    double left;
    uint64_t at_ms;
};

struct throttle {
    uv_mutex_t lock;
    uint64_t (*now_ms)(void);
    double per_pair, per_address; /* a minute */
    unsigned char seed[16]; /* so that nobody can choose whose bucket to evict */
    struct bucket buckets[SETS][WAYS];
};

struct throttle *throttle_new_of(uint64_t (*now_ms)(void), unsigned per_pair, unsigned per_address)
{
    struct throttle *t = calloc(1, sizeof *t);
    check(t);
    check(uv_mutex_init(&t->lock) == 0);
    t->now_ms = now_ms;
    t->per_pair = per_pair;
    t->per_address = per_address;
    random_bytes(t->seed, sizeof t->seed);
    return t;
}

struct throttle *throttle_new(uint64_t (*now_ms)(void))
{
    return throttle_new_of(now_ms, PER_PAIR, PER_ADDRESS);
}

void throttle_free(struct throttle *t)
{
    uv_mutex_destroy(&t->lock);
    free(t);
}

static void refill(struct bucket *b, double capacity, uint64_t now)
{
    if (now > b->at_ms)
        b->left += (double)(now - b->at_ms) * capacity / MINUTE_MS;
    if (b->left > capacity)
        b->left = capacity;
    b->at_ms = now;
}

/* An IPv6 client has a whole /64: that is its address here. */
static void address_key(const char *address, char ret[64])
{
    struct in6_addr v6;
    if (inet_pton(AF_INET6, address, &v6) == 1 && !IN6_IS_ADDR_V4MAPPED(&v6)) {
        memset(v6.s6_addr + 8, 0, 8);
        inet_ntop(AF_INET6, &v6, ret, 64);
    } else {
        snprintf(ret, 64, "%s", address);
    }
}

static struct bucket *bucket_of(struct throttle *t, const char *user, const char *address,
                                double capacity, uint64_t now)
{
    unsigned char text[16 + 512], key[32];
    char at[64];
    unsigned set, victim = 0;
    address_key(address, at);
    memcpy(text, t->seed, 16);
    int n = snprintf((char *)text + 16, sizeof text - 16, "%s/%s", at, user ? user : "");
    sha256(text, 16 + (n < 511 ? (size_t)n : 511), key);
    key[0] |= 1;
    memcpy(&set, key + 16, sizeof set);
    struct bucket *b = t->buckets[set % SETS];
    for (unsigned w = 0; w < WAYS; w++) {
        if (memcmp(b[w].key, key, 16) == 0) {
            refill(&b[w], capacity, now);
            return &b[w];
        }
        if (b[victim].key[0] && (!b[w].key[0] || b[w].left > b[victim].left))
            victim = w;
    }
    memcpy(b[victim].key, key, 16);
    b[victim].left = capacity;
    b[victim].at_ms = now;
    return &b[victim];
}

static uint64_t wait_of(const struct bucket *b, double capacity)
{
    return b->left >= 1 ? 0 : (uint64_t)((1 - b->left) * MINUTE_MS / capacity) + 1;
}

uint64_t throttle_take(struct throttle *t, const char *user, const char *address)
{
    uv_mutex_lock(&t->lock);
    uint64_t now = t->now_ms();
    struct bucket *all = bucket_of(t, NULL, address, t->per_address, now);
    uint64_t wait = wait_of(all, t->per_address);
    if (!wait) {
        all->left -= 1; /* first: the next line may evict it, and then it was the fullest */
        struct bucket *pair = bucket_of(t, user, address, t->per_pair, now);
        wait = wait_of(pair, t->per_pair);
        if (!wait)
            pair->left -= 1;
        else
            all->left += 1;
    }
    uv_mutex_unlock(&t->lock);
    return wait;
}

void throttle_give_back(struct throttle *t, const char *user, const char *address)
{
    uv_mutex_lock(&t->lock);
    uint64_t now = t->now_ms();
    struct bucket *b = bucket_of(t, NULL, address, t->per_address, now);
    b->left = b->left + 1 > t->per_address ? t->per_address : b->left + 1;
    b = bucket_of(t, user, address, t->per_pair, now);
    b->left = b->left + 1 > t->per_pair ? t->per_pair : b->left + 1;
    uv_mutex_unlock(&t->lock);
}

static uv_once_t once = UV_ONCE_INIT;
static struct throttle *shared;

static void shared_make(void)
{
    shared = throttle_new(clock_mono_ms);
}

struct throttle *throttle_shared(void)
{
    uv_once(&once, shared_make);
    return shared;
}
