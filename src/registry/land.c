/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/land.c: what was fetched is compared with what it should be, gets its name, and what
 * upstream said of it is kept beside it: one operation. */
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/log.h"
#include "pantera/meta_upstream.h"
#include "src/registry/flying.h"

/* A row that says when upstream was asked last is written this often, if nothing else changes. */
#define REFRESH_MS (24ll * 3600 * 1000)

static json_t *upstream_args(const struct flight *f)
{
    return json_pack("{s:s, s:s?, s:s?, s:s?, s:I}", "remote", f->remote_url, "url", f->final_url, "etag",
                     f->etag, "last_modified", f->last_modified, "released_ms", (json_int_t)f->released_ms);
}

static void change_good(struct flight *f, void *arg)
{
    (void)arg;
    f->view.good = true;
    memcpy(f->view.sha256, stage_digests(f->stage)->sha256, 32);
    if (f->view.fd >= 0) {
        f->view.length = stage_size(f->stage);
        f->view.visible = f->view.length;
    }
}

static void on_landed(struct proposal *p)
{
    struct flight *f = container_of(p, struct flight, end);
    struct why why = p->why;

    json_decref(p->result);
    if (f->state != FLIGHT_OVER && p->err) {
        log_warn("registry", "'%s' of '%s' was fetched and can't be kept: %s", f->order.path, f->repo_name,
                 why_text(&why, p->err));
        flight_end(f, p->err, &why);
    } else if (f->state != FLIGHT_OVER) {
        if (f->stage)
            stage_named(f->stage);
        f->stage = NULL;
        f->claimed = false; /* ended with it */
        if (!f->order.date)
            fresh_note(f->repo_id, f->order.path);
        flight_end(f, OK, NULL);
    }
    flight_unref(f);
}

static void land_propose(struct flight *f, const char *op, json_t *args)
{
    f->state = FLIGHT_COMMIT;
    if (f->claimed)
        json_object_set_new(args, "token", json_string(f->token));
    flight_ref(f);
    f->end = (struct proposal){ .op = op, .args = args, .home = &f->worker->loop, .on_done = on_landed };
    cluster_propose(f->worker->cluster, &f->end);
}

static enum err land_compare(struct flight *f, struct why *why)
{
    const struct digest_values *got = stage_digests(f->stage);
    enum err e = announced_compare(&f->order.expected, got, why);

    if (!e)
        e = announced_compare(&f->facts.digests, got, why);
    return e ? e : announced_compare(&f->announced, got, why);
}

/* Not what it should be: nothing of it is kept. Another remote may have the right one. */
static void land_wrong(struct flight *f, const struct why *why)
{
    struct why text;

    log_warn("registry", "upstream of '%s' gave wrong bytes for '%s': %s", f->repo_name, f->order.path,
             why->text);
    fail(&text, ERR_UPSTREAM, "upstream's bytes are not what they should be: %s", why->text);
    flight_again(f, ERR_UPSTREAM, &text);
}

void flight_land(struct flight *f)
{
    json_t *args = NULL;
    struct why why = { "" };
    enum err e = land_compare(f, &why);

    if (e) {
        land_wrong(f, &why);
        return;
    }
    flight_changed(f, change_good, NULL);
    args = stage_args(f->stage, f->order.path, f->content_type);
    if (!args) {
        flight_end(f, ERR_UPSTREAM, &(struct why){ "upstream's headers are not valid text" });
        return;
    }
    json_object_set_new(args, "repo_id", json_integer(f->repo_id));
    json_object_set_new(args, "upstream", upstream_args(f));
    if (f->order.document)
        json_object_set_new(args, "hidden", json_true());
    else if (f->order.package) {
        json_object_set_new(args, "name", json_string(f->order.package));
        json_object_set_new(args, "version", json_string(f->order.version ? f->order.version : ""));
    }
    land_propose(f, "artifact.cache", args);
}

void flight_dated(struct flight *f)
{
    json_t *args = json_pack("{s:I, s:s, s:o?}", "repo_id", (json_int_t)f->repo_id, "path", f->order.path,
                             "upstream", upstream_args(f));

    if (args)
        land_propose(f, "upstream.seen", args);
    else
        flight_end(f, ERR_UPSTREAM, &(struct why){ "upstream's headers are not valid text" });
}

static void on_seen(struct proposal *p)
{
    json_decref(p->result);
    free(p);
}

void flight_unchanged(struct flight *f)
{
    struct upstream_row row;
    struct proposal *p;

    fresh_note(f->repo_id, f->order.path);
    if (!upstream_row_get(f->worker->reader, &f->arena, f->repo_id, f->order.path, &row) &&
        clock_wall_ms() - row.checked_ms > REFRESH_MS) {
        p = calloc(1, sizeof *p);
        check(p);
        f->etag = row.etag;
        f->last_modified = row.last_modified;
        f->final_url = row.url;
        f->released_ms = row.released_ms;
        *p = (struct proposal){
            .op = "upstream.seen", .home = &f->worker->loop, .on_done = on_seen,
            .args = json_pack("{s:I, s:s, s:o}", "repo_id", (json_int_t)f->repo_id, "path", f->order.path,
                              "upstream", upstream_args(f)),
        };
        cluster_propose(f->worker->cluster, p);
    }
    flight_end(f, OK, NULL);
}
