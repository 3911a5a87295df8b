/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/age.c: a cached file whose release nobody noted, while its age matters: the index is asked,
 * and what it says is kept beside the file. */
#include <stdlib.h>

#include "pantera/meta_upstream.h"
#include "src/registry/age.h"
#include "src/registry/flying.h"

struct age {
    struct worker *worker;
    int64_t repo_id;
    struct arena arena;
    const char *path;
    age_cb *done;
    void *arg;
};

static void on_noted(struct proposal *p)
{
    json_decref(p->result);
    free(p);
}

/* Nobody waits for it: without the row the index is asked again. */
static void age_note(struct age *age, int64_t released_ms)
{
    struct upstream_row row = { .remote = "" };
    struct proposal *p = calloc(1, sizeof *p);

    check(p);
    (void)upstream_row_get(age->worker->reader, &age->arena, age->repo_id, age->path, &row);
    *p = (struct proposal){
        .op = "upstream.seen", .home = &age->worker->loop, .on_done = on_noted,
        .args = json_pack("{s:I, s:s, s:{s:s, s:s?, s:s?, s:s?, s:I}}", "repo_id", (json_int_t)age->repo_id,
                          "path", age->path, "upstream", "remote", row.remote, "url", row.url, "etag",
                          row.etag, "last_modified", row.last_modified, "released_ms",
                          (json_int_t)released_ms),
    };
    cluster_propose(age->worker->cluster, p);
}

static void on_facts(enum err e, const struct why *why, const struct file_facts *facts, void *arg)
{
    struct age *age = arg;
    int64_t released_ms = e ? 0 : facts->released_ms;

    (void)why;
    if (released_ms > 0 && !age->worker->registry->closing)
        age_note(age, released_ms);
    age->done(released_ms, age->arg);
    arena_release(&age->arena);
    free(age);
}

void age_learn(struct worker *w, const struct repo *repo, const struct file_want *want, age_cb *done,
               void *arg)
{
    struct flight_order o = { .path = want->path, .url_path = want->url_path, .package = want->package,
                              .version = want->version, .index = want->index, .locate = want->locate };
    struct age *age = calloc(1, sizeof *age);

    check(age);
    arena_init(&age->arena);
    age->worker = w;
    age->repo_id = repo->id;
    age->path = arena_strdup(&age->arena, want->path);
    age->done = done;
    age->arg = arg;
    index_locate(w, repo, &o, on_facts, age);
}
