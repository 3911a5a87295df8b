/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/locate.c: before bytes are asked for: where the index says that they are, when they were
 * released, and whether they may be had at all. */
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "src/registry/flying.h"
#include "src/registry/compose.h"

static void change_until(struct flight *f, void *arg)
{
    f->view.until_ms = *(const int64_t *)arg;
}

static void change_judged(struct flight *f, void *arg)
{
    f->view.judged = *(const uint64_t *)arg;
}

enum err flight_judge(struct flight *f, int64_t released_ms, struct why *why)
{
    const struct repo *repo = flight_repo(f);
    struct policy_view *v;
    int64_t until_ms = 0;
    uint64_t stamp;
    enum err e;

    if (!repo || !f->order.package || !f->order.version)
        return OK;
    v = policy_view_get(f->worker->registry, repo, f->order.package);
    stamp = policy_view_stamp(v); /* before it is asked: what changes meanwhile makes this too old */
    policy_view_release(v);
    flight_changed(f, change_judged, &stamp);
    e = policy_enforce(f->worker, repo, f->order.package, f->order.version, released_ms, why, &until_ms);
    if (e)
        flight_changed(f, change_until, &until_ms);
    return e;
}

/* --- asking an index --- */

struct locating {
    struct work work;
    struct worker *worker;
    struct arena arena;
    struct document index;
    struct file_want want;
    enum err (*locate)(const struct document_source *index, const struct file_want *want, struct arena *a,
                       struct file_facts *ret, struct why *why);
    bool optional;
    struct source *source;
    struct document_source part; /* what `locate` reads */
    bool stale;                  /* and there may be a newer one upstream */
    unsigned char key[32];
    struct compose_wait wait;
    struct composed *making;     /* what we have to make; NULL: nothing */
    struct composed *composed;   /* its bytes; NULL: they are the source's */
    struct file_facts facts;
    enum err err;
    struct why why;
    located_cb *done;
    void *arg;
};

static void locating_end(struct locating *l)
{
    l->done(l->err, &l->why, &l->facts, l->arg);
    if (l->composed)
        composed_release(l->composed);
    source_free(l->source);
    arena_release(&l->arena);
    free(l);
}

static void locate_run(struct work *work)
{
    struct locating *l = container_of(work, struct locating, work);

    l->err = l->locate(&l->part, &l->want, &l->arena, &l->facts, &l->why);
    if (l->err == ERR_NOT_FOUND && l->stale) /* "not there" would be a guess */
        l->err = fail(&l->why, ERR_UPSTREAM, "the index that is here knows no '%.150s', and upstream can't "
                      "be asked for a newer one", l->want.path);
    if (!l->err && l->facts.url)
        l->facts.url = url_resolve(&l->arena, l->part.url ? l->part.url : "", l->facts.url);
}

static void on_located(struct work *work)
{
    locating_end(container_of(work, struct locating, work));
}

static void locate_none(struct locating *l, enum err e, const struct why *why)
{
    l->err = e == ERR_NOT_FOUND && l->optional ? OK : e;
    l->why = *why;
    locating_end(l);
}

/* --- an index that was made for it --- */

/* Takes the reference. */
static void locate_in(struct locating *l, struct composed *c)
{
    l->composed = c;
    l->part.data = c->data ? c->data : "";
    l->part.size = c->size;
    if (c->err)
        locate_none(l, c->err, &c->why);
    else
        work_submit(&l->work, &l->worker->loop, locate_run, on_located);
}

static void on_made(struct compose_wait *wait, struct composed *c)
{
    locate_in(container_of(wait, struct locating, wait), c);
}

/* What it is made from says which one it is. */
static void locating_key(struct locating *l)
{
    const struct document *d = &l->index;
    struct buf b;

    buf_init(&b, 1 << 20);
    (void)buf_printf(&b, "locate\n%s\n%s\n%s\n%s\n", d->kind->name, l->part.repo, d->path,
                     d->variant ? d->variant : "");
    (void)buf_add(&b, l->source->sha256, 32);
    sha256(b.data, b.length, l->key);
    buf_free(&b);
}

/* The source is given away: what is needed of it is kept. */
static void part_keep(struct locating *l)
{
    l->stale = l->source->stale;
    l->part = (struct document_source){
        .repo = arena_strdup(&l->arena, l->source->pub.repo), .proxied = l->source->pub.proxied,
        .url = l->source->pub.url ? arena_strdup(&l->arena, l->source->pub.url) : NULL, .data = "",
    };
}

static void locating_make(struct locating *l)
{
    struct composed *making = l->making;
    struct source *s = l->source;

    l->making = NULL;
    if (s->err) {
        composed_fail(making, s->err, &s->why);
        return;
    }
    locating_key(l); /* again: it may be newer than what was opened */
    l->source = NULL;
    composed_make(making, l->worker, l->key, &l->index, l->part.repo, "", false, &s, 1);
}

/* --- its own bytes --- */

static void on_index_read(struct source *s, void *arg)
{
    struct locating *l = arg;

    l->source = s;
    if (l->making) {
        locating_make(l);
    } else if (s->err) {
        locate_none(l, s->err, &s->why);
    } else {
        l->part = s->pub;
        l->stale = s->stale;
        work_submit(&l->work, &l->worker->loop, locate_run, on_located);
    }
}

static void on_index_opened(struct source *s, void *arg)
{
    struct locating *l = arg;
    struct composed *c = NULL;

    l->source = s;
    if (!s->err && l->index.composed) {
        part_keep(l);
        locating_key(l);
        l->wait.done = on_made;
        c = composed_join(l->key, &l->wait, &l->worker->loop, &l->making);
        if (!c && !l->making)
            return; /* somebody makes it */
    }
    if (c)
        locate_in(l, c);
    else
        source_read(s, on_index_read, l);
}

static const char *copied(struct arena *a, const char *s)
{
    return s ? arena_strdup(a, s) : NULL;
}

void index_locate(struct worker *w, const struct repo *repo, const struct flight_order *o, located_cb *done,
                  void *arg)
{
    struct locating *l = calloc(1, sizeof *l);
    struct arena *a = &l->arena;

    check(l);
    arena_init(a);
    l->worker = w;
    l->locate = o->locate;
    l->optional = o->index_optional;
    l->done = done;
    l->arg = arg;
    l->index = *o->index;
    l->index.path = arena_strdup(a, o->index->path);
    l->index.package = copied(a, o->index->package);
    l->index.url_path = copied(a, o->index->url_path);
    l->index.accept = copied(a, o->index->accept);
    l->index.variant = copied(a, o->index->variant);
    l->want = (struct file_want){
        .path = arena_strdup(a, o->path), .package = copied(a, o->package), .version = copied(a, o->version),
        .url_path = copied(a, o->url_path), .expected = o->expected, .digest_kinds = o->kinds,
    };
    (void)source_open(w, repo, &l->index, on_index_opened, l);
}

/* --- a flight's question --- */

static void on_facts(enum err e, const struct why *why, const struct file_facts *facts, void *arg)
{
    struct flight *f = arg;
    struct why text = { "" };

    if (f->state == FLIGHT_OVER) {
        /* the node is stopping */
    } else if (e) {
        flight_end(f, e, why);
    } else {
        f->facts = *facts;
        f->facts.url = copied(&f->arena, facts->url);
        if (facts->released_ms && (e = flight_judge(f, facts->released_ms, &text)))
            flight_end(f, e, &text);
        else
            flight_fetch(f);
    }
    flight_unref(f);
}

void flight_locate(struct flight *f)
{
    const struct repo *repo = flight_repo(f);

    if (!f->order.index || !f->order.locate || !repo) {
        flight_fetch(f);
        return;
    }
    f->state = FLIGHT_LOCATE;
    flight_ref(f);
    index_locate(f->worker, repo, &f->order, on_facts, f);
}
