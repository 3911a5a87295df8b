/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/figures.c: what proxies did, counted by repository: of the process, by any thread. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "src/registry/compose.h"

enum { REPOS = 1024 }; /* more are counted together, without a name */

static struct place {
    _Atomic int64_t repo_id;     /* 0: free; set last */
    char name[256];
    _Atomic uint64_t counts[FIGURES];
} places[REPOS + 1] = { [REPOS] = { .name = "" } };
static uv_once_t once = UV_ONCE_INIT;
static uv_mutex_t lock;

static void init(void)
{
    check(uv_mutex_init(&lock) == 0);
}

static struct place *place_of(const struct repo *repo)
{
    unsigned at = (unsigned)((uint64_t)repo->id % REPOS);

    uv_once(&once, init);
    for (unsigned i = 0; i < REPOS; i++, at = (at + 1) % REPOS) {
        int64_t id = places[at].repo_id;
        if (id == repo->id)
            return &places[at];
        if (id)
            continue;
        uv_mutex_lock(&lock);
        bool taken = !places[at].repo_id;
        if (taken) {
            snprintf(places[at].name, sizeof places[at].name, "%s", repo->name);
            places[at].repo_id = repo->id;
        }
        uv_mutex_unlock(&lock);
        if (taken || places[at].repo_id == repo->id)
            return &places[at];
    }
    return &places[REPOS];
}

void figure_add(const struct repo *repo, unsigned figure, uint64_t by)
{
    check(figure < FIGURES);
    if (repo)
        atomic_fetch_add_explicit(&place_of(repo)->counts[figure], by, memory_order_relaxed);
}

/* A label's value: names of repositories may hold quotes. */
static void put_name(struct buf *b, const char *name)
{
    for (; *name; name++) {
        if (*name == '"')
            (void)buf_add(b, "\\", 1);
        (void)buf_add(b, name, 1);
    }
}

static void put_one(struct buf *b, const char *metric, const struct place *p, const char *result, uint64_t n)
{
    if (!n)
        return;
    (void)buf_printf(b, "%s{repo=\"", metric);
    put_name(b, p->name);
    if (result)
        (void)buf_printf(b, "\",result=\"%s", result);
    (void)buf_printf(b, "\"} %llu\n", (unsigned long long)n);
}

void registry_metrics(struct buf *b)
{
    static const char *const cache[] = { "hit", "miss", "stale", "negative" };
    uint64_t made;
    size_t bytes;

    (void)buf_puts(b, "# HELP pantera_proxy_upstream_requests_total Requests to upstream by outcome.\n"
                      "# TYPE pantera_proxy_upstream_requests_total counter\n");
    for (unsigned i = 0; i <= REPOS; i++)
        for (unsigned o = 0; o <= UPSTREAM_BLOCKED; o++)
            put_one(b, "pantera_proxy_upstream_requests_total", &places[i],
                    upstream_outcome_name((enum upstream_outcome)o), places[i].counts[FIGURE_OUTCOMES + o]);
    (void)buf_puts(b, "# HELP pantera_proxy_cache_total What proxies answered from.\n"
                      "# TYPE pantera_proxy_cache_total counter\n");
    for (unsigned i = 0; i <= REPOS; i++)
        for (unsigned c = 0; c < sizeof cache / sizeof *cache; c++)
            put_one(b, "pantera_proxy_cache_total", &places[i], cache[c], places[i].counts[FIGURE_HIT + c]);
    (void)buf_puts(b, "# HELP pantera_proxy_upstream_bytes_total Bytes of bodies from upstream.\n"
                      "# TYPE pantera_proxy_upstream_bytes_total counter\n");
    for (unsigned i = 0; i <= REPOS; i++)
        put_one(b, "pantera_proxy_upstream_bytes_total", &places[i], NULL, places[i].counts[FIGURE_BYTES]);
    (void)buf_printf(b, "# HELP pantera_proxy_flights Fetches in progress.\n"
                        "# TYPE pantera_proxy_flights gauge\npantera_proxy_flights %u\n",
                     flights_count());
    composed_figures(&made, &bytes);
    (void)buf_printf(b, "# HELP pantera_documents_made_total Indexes that were read and composed.\n"
                        "# TYPE pantera_documents_made_total counter\npantera_documents_made_total %llu\n"
                        "# HELP pantera_documents_kept_bytes Bytes of those that are kept in memory.\n"
                        "# TYPE pantera_documents_kept_bytes gauge\npantera_documents_kept_bytes %zu\n",
                     (unsigned long long)made, bytes);
}
