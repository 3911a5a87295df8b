/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/missing.c: what a process remembers of upstream without telling anybody: what it said that
 * it has not, when it said that nothing had changed, and when, asked that, it said nothing. Bounded; a place
 * that two paths share belongs to the later one, which costs a question. */
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/gen.h"
#include "src/registry/flight.h"

enum { PLACES = 16384 };

struct note {
    int64_t repo_id, ms;
    uint64_t stamp;
    char *path;
};
struct notes {
    struct note places[PLACES];
};
static uv_once_t once = UV_ONCE_INIT;
static uv_mutex_t lock;
static struct notes missing, fresh, stale;

static void init(void)
{
    check(uv_mutex_init(&lock) == 0);
}

static void note_put(struct notes *notes, int64_t repo_id, const char *path, int64_t ms, uint64_t stamp)
{
    struct note *n = &notes->places[gen_artifact_hash(repo_id, path) % PLACES];
    char *copy = strdup(path), *old;

    check(copy);
    uv_once(&once, init);
    uv_mutex_lock(&lock);
    old = n->path;
    *n = (struct note){ repo_id, ms, stamp, copy };
    uv_mutex_unlock(&lock);
    free(old);
}

/* 0: nothing. */
static int64_t note_get(struct notes *notes, int64_t repo_id, const char *path, uint64_t stamp)
{
    struct note *n = &notes->places[gen_artifact_hash(repo_id, path) % PLACES];
    int64_t ms = 0;

    uv_once(&once, init);
    uv_mutex_lock(&lock);
    if (n->path && n->repo_id == repo_id && n->stamp == stamp && !strcmp(n->path, path))
        ms = n->ms;
    uv_mutex_unlock(&lock);
    return ms;
}

/* Both only grow: so does their sum. A repository's new configuration may have other remotes. */
uint64_t missing_stamp(int64_t repo_id)
{
    return gen_get(GEN_PURGE, (uint64_t)repo_id) + gen_get(GEN_REPO, 0);
}

bool missing_known(int64_t repo_id, const char *path)
{
    int64_t until = note_get(&missing, repo_id, path, missing_stamp(repo_id));

    return until > (int64_t)clock_mono_ms();
}

void missing_note(int64_t repo_id, const char *path, int64_t ttl_ms, uint64_t stamp)
{
    if (ttl_ms > 0)
        note_put(&missing, repo_id, path, (int64_t)clock_mono_ms() + ttl_ms, stamp);
}

void fresh_note_at(int64_t repo_id, const char *path, int64_t wall_ms)
{
    note_put(&fresh, repo_id, path, wall_ms, missing_stamp(repo_id));
}

void fresh_note(int64_t repo_id, const char *path)
{
    fresh_note_at(repo_id, path, clock_wall_ms());
}

void stale_note(int64_t repo_id, const char *path)
{
    note_put(&stale, repo_id, path, clock_wall_ms(), missing_stamp(repo_id));
}

bool stale_known(int64_t repo_id, const char *path)
{
    int64_t ms = note_get(&stale, repo_id, path, missing_stamp(repo_id));

    return ms && ms >= fresh_ms(repo_id, path);
}

int64_t fresh_ms(int64_t repo_id, const char *path)
{
    return note_get(&fresh, repo_id, path, missing_stamp(repo_id));
}
