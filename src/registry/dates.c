/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/dates.c: release dates that an index does not have: a file's Last-Modified says when its
 * version was released.
 *
 *   WANT  the format says of which versions (pool) ──none──→ done
 *     │ ↑
 *     ↓ │ all are known, or upstream has been asked
 *   LEARN a row says it: of the cached file, or of an earlier question; else a flight with HEAD
 *
 * What was learned is a row beside no artifact, under a name of its own: every node finds it there. */
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/limits.h"
#include "pantera/meta_upstream.h"
#include "pantera/text.h"
#include "src/registry/dates.h"

enum { AT_ONCE = 6 };            /* questions in the air, of one source */
#define AGAIN_MS 15000           /* after a question that was not answered */
#define DATE_PREFIX ".dates/"    /* no repository has such a path: it begins with a dot */

struct asked {                   /* a follower; malloc'ed */
    struct follower follower;
    struct dates *dates;
    unsigned at;
};

struct dates {
    struct work work;
    struct source *source;
    struct document_date list[DOCUMENT_DATES];
    unsigned count, next;        /* those before `next` are known, or asked for */
    unsigned wanted;             /* by the last question to the format */
    unsigned flying;
    bool failed;                 /* upstream does not answer: it is not asked for more */
    void (*done)(struct source *s);
};

static void dates_want(struct dates *d);

static const char *date_path(struct arena *a, const char *path)
{
    return arena_printf(a, DATE_PREFIX "%s", path);
}

/* What the replica knows. False: nothing. */
static bool date_row(struct source *s, struct document_date *date)
{
    struct meta_reader *r = s->worker->reader;
    struct arena *a = &s->arena;
    struct upstream_row row;

    if ((upstream_row_get(r, a, s->repo_id, date->path, &row) || row.released_ms <= 0) &&
        upstream_row_get(r, a, s->repo_id, date_path(a, date->path), &row))
        return false;
    date->released_ms = row.released_ms;
    return true;
}

static void dates_end(struct dates *d)
{
    struct source *s = d->source;
    void (*done)(struct source *s) = d->done;

    s->pub.dates = arena_memdup(&s->arena, d->list, (d->count + 1) * sizeof *d->list);
    s->pub.date_count = d->count;
    free(d);
    done(s);
}

/* --- LEARN --- */

static void dates_learn_next(struct dates *d);

static void not_answered(struct dates *d, struct document_date *date)
{
    d->failed = true;
    date->released_ms = -1;
    d->source->until_ms = clock_wall_ms() + AGAIN_MS;
}

static void on_wake(struct follower *f)
{
    struct asked *asked = (struct asked *)f;
    struct dates *d = asked->dates;
    struct document_date *date = &d->list[asked->at];
    struct flight_view v;

    flight_look(f, &v);
    if (!v.over)
        return;
    flight_leave(f);
    d->flying--;
    if (v.err == ERR_NOT_FOUND)
        date->released_ms = 0;
    else if (v.err || !date_row(d->source, date))
        not_answered(d, date);
    dates_learn_next(d);
}

static void ask(struct dates *d, const struct repo *repo, unsigned at)
{
    struct source *s = d->source;
    struct flight_order o = { .date = true, .path = date_path(&s->arena, d->list[at].path),
                              .url_path = percent_encode(&s->arena, d->list[at].path, true) };
    struct asked *asked = calloc(1, sizeof *asked);

    check(asked);
    asked->follower.wake = on_wake;
    asked->dates = d;
    asked->at = at;
    d->flying++;
    flight_join(s->worker, repo, &o, &asked->follower);
}

static void dates_learn_next(struct dates *d)
{
    struct source *s = d->source;
    const struct repo *repo = registry_repo(s->worker->registry, s->pub.repo);
    bool same = repo && repo->id == s->repo_id;

    while (d->next < d->count && d->flying < AT_ONCE) {
        struct document_date *date = &d->list[d->next];
        if (date_row(s, date))
            ;
        else if (same && missing_known(repo->id, date_path(&s->arena, date->path)))
            date->released_ms = 0;
        else if (d->failed || !same)
            not_answered(d, date);
        else
            ask(d, repo, d->next);
        d->next++;
    }
    if (!d->flying)
        dates_want(d);
}

/* --- WANT --- */

static void want_run(struct work *work)
{
    struct dates *d = container_of(work, struct dates, work);
    struct source *s = d->source;

    s->pub.dates = d->list;
    s->pub.date_count = d->count;
    d->wanted = s->document->kind->undated(&s->pub, s->document->path, &s->arena, d->list + d->count,
                                           DOCUMENT_DATES - d->count);
    s->pub.dates = NULL;
    s->pub.date_count = 0;
}

static void on_wanted(struct work *work)
{
    struct dates *d = container_of(work, struct dates, work);

    if (!d->wanted) {
        dates_end(d);
        return;
    }
    d->next = d->count;
    d->count += d->wanted;
    dates_learn_next(d);
}

static void dates_want(struct dates *d)
{
    if (d->count < DOCUMENT_DATES)
        work_submit(&d->work, &d->source->worker->loop, want_run, on_wanted);
    else
        dates_end(d);
}

void dates_learn(struct source *s, void (*done)(struct source *s))
{
    struct dates *d = calloc(1, sizeof *d);

    check(d);
    d->source = s;
    d->done = done;
    dates_want(d);
}
