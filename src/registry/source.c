/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/source.c: one repository's part of a document.
 *
 *   hosted   what the format's `source` gives, or the artifact
 *   proxy    the cached bytes while they are fresh; else upstream is asked whether they still hold (a
 *   flight); they
 *            are served although stale when it does not answer */
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/digest.h"
#include "pantera/meta_upstream.h"
#include "pantera/text.h"
#include "src/registry/dates.h"
#include "src/registry/staging.h"

#define STALE_MS 15000 /* so long upstream is not asked again after it has failed */

struct source_chase {
    struct follower follower;
    struct source *source;
};

static void source_done(struct source *s, enum err e, const struct why *why)
{
    s->err = e;
    if (e && why)
        s->why = *why;
    s->done(s, s->arg);
}

static const struct repo *source_repo(struct source *s)
{
    const struct repo *repo = registry_repo(s->worker->registry, s->pub.repo);

    return repo && repo->id == s->repo_id ? repo : NULL;
}

/* --- bytes --- */

static void take_bytes(struct source *s, const char *data, size_t size)
{
    s->data = malloc(size + 1);
    check(s->data);
    memcpy(s->data, data ? data : "", size);
    s->data[size] = 0;
    s->pub.data = s->data;
    s->pub.size = size;
    s->read = true;
}

static void on_dated(struct source *s)
{
    source_done(s, OK, NULL);
}

/* The bytes are ours from here on. */
static void on_loaded(enum err e, const struct why *why, const char *data, size_t size,
                      const struct digest_values *digests, void *arg)
{
    struct source *s = arg;

    if (!e) {
        s->data = (char *)(uintptr_t)data;
        s->pub.data = data ? data : "";
        s->pub.size = size;
        s->read = true;
        memcpy(s->sha256, digests->sha256, 32); /* it may have changed since it was opened */
    }
    if (!e && s->policy && s->document->kind->undated)
        dates_learn(s, on_dated);
    else
        source_done(s, e, why);
}

void source_read(struct source *s, source_cb *done, void *arg)
{
    const struct repo *repo = source_repo(s);

    s->done = done;
    s->arg = arg;
    if (s->err || s->read)
        s->done(s, s->arg);
    else if (!repo)
        source_done(s, ERR_NOT_FOUND, NULL);
    else
        registry_load_keep(s->worker, repo, s->document->path, s->document->kind->limit, on_loaded, s);
}

/* --- what is here --- */

/* The artifact as the replica has it. */
static enum err open_artifact(struct source *s)
{
    struct warm_entry *entry;
    enum err e = entry_get(s->worker->registry, s->repo_id, s->document->path, &entry);

    if (e)
        return e;
    memcpy(s->sha256, entry->row.digests.sha256, 32);
    if (entry->row.content_type)
        s->pub.content_type = arena_strdup(&s->arena, entry->row.content_type);
    if (s->pub.proxied) {
        entry_upstream(s->worker->registry, entry);
        s->pub.url = entry->url ? arena_strdup(&s->arena, entry->url) : NULL;
    }
    warm_release(entry);
    return OK;
}

static void on_given(enum err e, const struct why *why, const char *data, size_t size, void *arg)
{
    struct source *s = arg;

    if (!e) {
        take_bytes(s, data, size);
        sha256(s->data, size, s->sha256);
    }
    source_done(s, e, why);
}

/* --- upstream --- */

static const char *default_url(struct source *s, const struct repo *repo)
{
    const struct repo_rules *rules = &repo_entry_of(repo)->rules;
    const struct document *d = s->document;

    return arena_printf(&s->arena, "%s/%s", rules->remote_count ? rules->remotes[0].url : "",
                        d->url_path ? d->url_path : percent_encode(&s->arena, d->path, true));
}

/* The cached bytes are what we give. */
static void open_cached(struct source *s, const struct repo *repo)
{
    const struct document *d = s->document;
    enum err e = open_artifact(s);

    s->stale = stale_known(s->repo_id, d->path);
    if (!e) {
        if (!s->pub.url)
            s->pub.url = default_url(s, repo);
        if (d->package) {
            s->policy = policy_view_get(s->worker->registry, repo, d->package);
            if (policy_view_idle(s->policy)) {
                policy_view_release(s->policy);
                s->policy = NULL;
            }
        }
        s->pub.policy = s->policy;
    }
    source_done(s, e, NULL);
}

static void on_wake(struct follower *f)
{
    struct source *s = ((struct source_chase *)f)->source;
    const struct repo *repo = source_repo(s);
    struct flight_view v;
    struct warm_entry *entry;

    flight_look(f, &v);
    if (!v.over)
        return;
    flight_leave(f);
    s->chase = NULL;
    if (!repo) {
        source_done(s, ERR_NOT_FOUND, NULL);
    } else if (!v.err) {
        open_cached(s, repo);
    } else if (v.err == ERR_NOT_FOUND ||
               entry_get(s->worker->registry, s->repo_id, s->document->path, &entry)) {
        source_done(s, v.err, &v.why);
    } else {
        int64_t ttl = repo_entry_of(repo)->rules.document_ttl_ms;
        warm_release(entry);
        figure_add(repo, FIGURE_STALE, 1);
        stale_note(s->repo_id, s->document->path);
        fresh_note_at(s->repo_id, s->document->path, clock_wall_ms() - (ttl > STALE_MS ? ttl - STALE_MS : 0));
        open_cached(s, repo);
    }
}

static void ask_upstream(struct source *s, const struct repo *repo)
{
    const struct document *d = s->document;
    struct flight_order o = { .path = d->path, .document = true, .url_path = d->url_path, .accept = d->accept,
                              .limit = d->kind->limit, .paged = d->paged };

    if (d->expected) {
        o.expected = *d->expected;
        o.kinds = d->expected->kinds;
    }
    s->chase = calloc(1, sizeof *s->chase);
    check(s->chase);
    s->chase->source = s;
    s->chase->follower.wake = on_wake;
    flight_join(s->worker, repo, &o, &s->chase->follower);
}

static bool is_fresh(struct source *s, const struct repo *repo)
{
    int64_t ttl = repo_entry_of(repo)->rules.document_ttl_ms, now = clock_wall_ms();
    int64_t checked = fresh_ms(s->repo_id, s->document->path);
    struct upstream_row row;
    struct warm_entry *entry;

    if (entry_get(s->worker->registry, s->repo_id, s->document->path, &entry))
        return false;
    warm_release(entry);
    if (s->document->forever || (now - checked < ttl && checked <= now))
        return true;
    if (upstream_row_get(s->worker->reader, &s->arena, s->repo_id, s->document->path, &row))
        return false;
    if (row.checked_ms > now || now - row.checked_ms >= ttl)
        return false;
    fresh_note_at(s->repo_id, s->document->path, row.checked_ms); /* not read again until then */
    return true;
}

static void open_proxy(struct source *s, const struct repo *repo)
{
    s->pub.proxied = true;
    if (is_fresh(s, repo)) {
        figure_add(repo, FIGURE_HIT, 1);
        open_cached(s, repo);
    } else if (missing_known(repo->id, s->document->path)) {
        figure_add(repo, FIGURE_NEGATIVE, 1);
        source_done(s, ERR_NOT_FOUND, NULL);
    } else {
        ask_upstream(s, repo);
    }
}

struct source *source_open(struct worker *w, const struct repo *repo, const struct document *d,
                           source_cb *done, void *arg)
{
    struct source *s = calloc(1, sizeof *s);

    check(s);
    arena_init(&s->arena);
    s->worker = w;
    s->repo_id = repo->id;
    s->document = d;
    s->done = done;
    s->arg = arg;
    s->pub.repo = arena_strdup(&s->arena, repo->name);
    s->pub.data = "";
    if (repository_kind(repo) == REPO_PROXY)
        open_proxy(s, repo);
    else if (d->kind->source)
        d->kind->source(w, repo, d->path, d->package, on_given, s);
    else
        source_done(s, open_artifact(s), NULL);
    return s;
}

void source_free(struct source *s)
{
    if (!s)
        return;
    policy_view_flush(s->worker, s->policy);
    policy_view_release(s->policy);
    free(s->data);
    arena_release(&s->arena);
    free(s);
}
