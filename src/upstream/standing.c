/* SPDX-License-Identifier: Apache-2.0 */
/* What this process knows of a remote: its breaker and its figures. Remotes come from configurations and
 * from what indexes say of files elsewhere, so there may be many: the least used that nobody is using
 * goes first. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pantera/clock.h"
#include "pantera/ids.h"
#include "pantera/log.h"
#include "pantera/text.h"

enum { BUCKETS = 256, STANDINGS = 512, LABEL_MOST = 300 };

struct standing {
    struct standing *next;
    unsigned users;
    uint64_t used;
    struct breaker breaker;
    uint64_t results[RESULTS], sent, us, finished;
    char name[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct standing *buckets[BUCKETS];
static unsigned count;
static uint64_t uses;

static void drop_oldest(void)
{
    struct standing **oldest = NULL, *s;
    for (unsigned i = 0; i < BUCKETS; i++)
        for (struct standing **at = &buckets[i]; *at; at = &(*at)->next)
            if (!(*at)->users && (!oldest || (*at)->used < (*oldest)->used))
                oldest = at;
    if (!oldest)
        return;
    s = *oldest;
    *oldest = s->next;
    free(s);
    count--;
}

struct standing *standing_get(const char *remote)
{
    struct standing **bucket = &buckets[hash_text(remote) % BUCKETS], *s;
    pthread_mutex_lock(&lock);
    for (s = *bucket; s && strcmp(s->name, remote) != 0; s = s->next)
        ;
    if (!s) {
        size_t n = strlen(remote) + 1;
        if (count >= STANDINGS)
            drop_oldest();
        s = calloc(1, sizeof *s + n);
        if (!s)
            log_fatal("upstream", "out of memory");
        memcpy(s->name, remote, n);
        s->next = *bucket;
        *bucket = s;
        count++;
    }
    s->users++;
    s->used = ++uses;
    pthread_mutex_unlock(&lock);
    return s;
}

void standing_put(struct standing *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&lock);
    s->users--;
    pthread_mutex_unlock(&lock);
}

bool standing_ask(struct standing *s, bool *ret_probe, int64_t *ret_left_ms, bool *ret_told,
                  struct why *why)
{
    pthread_mutex_lock(&lock);
    bool may = breaker_ask(&s->breaker, clock_mono_ms(), ret_probe, ret_left_ms);
    *ret_told = s->breaker.told;
    if (!may)
        fail(why, ERR_UNAVAILABLE, "%s (it is asked again in %lld s)", s->breaker.why,
             (long long)(*ret_left_ms + 999) / 1000);
    pthread_mutex_unlock(&lock);
    return may;
}

void standing_good(struct standing *s)
{
    pthread_mutex_lock(&lock);
    bool was_open = s->breaker.state != BREAKER_CLOSED;
    breaker_good(&s->breaker);
    pthread_mutex_unlock(&lock);
    if (was_open)
        log_event(LOG_INFO, "upstream", "a remote answers again", "remote", "s", s->name, NULL);
}

void standing_bad(struct standing *s, int64_t wait_ms, bool told, const char *why)
{
    uint64_t now = clock_mono_ms();
    pthread_mutex_lock(&lock);
    bool was_open = s->breaker.state != BREAKER_CLOSED;
    breaker_bad(&s->breaker, now, wait_ms, told, random_u64(), why);
    bool opened = !was_open && s->breaker.state == BREAKER_OPEN;
    long long left = opened ? (long long)(s->breaker.until_ms - now) : 0;
    pthread_mutex_unlock(&lock);
    if (opened)
        log_event(LOG_WARN, "upstream", "a remote is left alone for a while", "remote", "s", s->name,
                  "reason", "s", why, "ms", "l", left, NULL);
}

void standing_gave_up(struct standing *s)
{
    pthread_mutex_lock(&lock);
    breaker_gave_up(&s->breaker);
    pthread_mutex_unlock(&lock);
}

void standing_sent(struct standing *s)
{
    pthread_mutex_lock(&lock);
    s->sent++;
    pthread_mutex_unlock(&lock);
}

void standing_count(struct standing *s, enum result result, uint64_t us)
{
    pthread_mutex_lock(&lock);
    s->results[result]++;
    if (result != RESULT_NOT_ASKED) {
        s->finished++;
        s->us += us;
    }
    pthread_mutex_unlock(&lock);
}

/* --- metrics --- */

static const char *result_name(unsigned result)
{
    return result == RESULT_CANCELED    ? "canceled"
           : result == RESULT_NOT_ASKED ? "not_asked"
                                        : upstream_outcome_name((enum upstream_outcome)result);
}

static void line(struct buf *b, const char *name, const struct standing *s, const char *more)
{
    buf_printf(b, "%s{remote=\"", name);
    for (const char *c = s->name; *c && c < s->name + LABEL_MOST; c++)
        if (*c == '"' || *c == '\\')
            buf_printf(b, "\\%c", *c);
        else
            buf_add(b, c, 1);
    buf_printf(b, "\"%s} ", more);
}

static void render_results(struct buf *b, const struct standing *s)
{
    char more[48];
    for (unsigned r = 0; r < RESULTS; r++)
        if (s->results[r]) {
            snprintf(more, sizeof more, ",result=\"%s\"", result_name(r));
            line(b, "pantera_upstream_requests_total", s, more);
            buf_printf(b, "%llu\n", (unsigned long long)s->results[r]);
        }
}

static void render_sent(struct buf *b, const struct standing *s)
{
    line(b, "pantera_upstream_http_requests_total", s, "");
    buf_printf(b, "%llu\n", (unsigned long long)s->sent);
}

static void render_latency(struct buf *b, const struct standing *s)
{
    line(b, "pantera_upstream_request_duration_seconds_sum", s, "");
    buf_printf(b, "%.6f\n", (double)s->us / 1e6);
    line(b, "pantera_upstream_request_duration_seconds_count", s, "");
    buf_printf(b, "%llu\n", (unsigned long long)s->finished);
}

static void render_breaker(struct buf *b, const struct standing *s)
{
    line(b, "pantera_upstream_breaker_state", s, "");
    buf_printf(b, "%d\n", (int)s->breaker.state);
}

static const struct {
    const char *name, *type, *help;
    void (*render)(struct buf *b, const struct standing *s);
} families[] = {
    { "pantera_upstream_requests_total", "counter", "Requests to remotes, by how they went.",
      render_results },
    { "pantera_upstream_http_requests_total", "counter",
      "What was sent for them: with redirects, token requests and repetitions.", render_sent },
    { "pantera_upstream_request_duration_seconds", "summary",
      "From the first byte sent to the last received.", render_latency },
    { "pantera_upstream_breaker_state", "gauge", "0: asked, 1: tried out, 2: left alone.",
      render_breaker },
};

void upstream_metrics(struct buf *b)
{
    pthread_mutex_lock(&lock);
    for (size_t f = 0; count && f < sizeof families / sizeof *families; f++) {
        buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", families[f].name, families[f].help, families[f].name,
                   families[f].type);
        for (unsigned i = 0; i < BUCKETS; i++)
            for (const struct standing *s = buckets[i]; s; s = s->next)
                families[f].render(b, s);
    }
    pthread_mutex_unlock(&lock);
}
