/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/commit.c: names for what is staged, names for what is there, deletions: all or none, in one
 * operation (artifact.commit). */
#include <stdlib.h>
#include <string.h>

#include "pantera/limits.h"
#include "pantera/session.h"
#include "pantera/text.h"
#include "src/registry/staging.h"

struct commit {
    struct worker *worker;
    json_t *args, *items;
    bool bad;                    /* text that is not UTF-8: told when it runs */
    struct stage **stages;
    unsigned stage_count, stage_capacity;
    commit_cb *done;
    void *arg;
    bool *already;               /* of an import */
    struct proposal proposal;
    struct task task;
    enum err err;
    struct why why;
};

struct commit *commit_new_as(struct worker *w, const struct repo *repo, const char *owner, json_t *audit)
{
    const char *store = repo_entry_of(repo)->store;
    struct commit *c = calloc(1, sizeof *c);

    check(c);
    c->worker = w;
    c->args = json_pack("{s:I, s:o}", "repo_id", (json_int_t)repo->id, "items", c->items = json_array());
    if (owner)
        json_object_set_new(c->args, "owner", json_string(owner));
    if (store)
        json_object_set_new(c->args, "store", json_string(store));
    if (audit)
        json_object_set_new(c->args, "_audit", audit);
    return c;
}

struct commit *commit_new(struct worker *w, const struct repo *repo, const struct http_request *req)
{
    return commit_new_as(w, repo, req ? req->user : NULL, req ? audit_envelope(req) : NULL);
}

static void commit_free(struct commit *c)
{
    json_decref(c->args);
    free(c->stages);
    free(c);
}

static json_t *commit_add(struct commit *c, json_t *item, const char *what)
{
    if (!item || json_array_size(c->items) >= COMMIT_ITEMS) {
        c->bad = true;
        json_decref(item);
        return NULL;
    }
    json_object_set_new(item, "do", json_string(what));
    json_array_append_new(c->items, item);
    return item;
}

static void set_text(struct commit *c, json_t *item, const char *key, const char *text)
{
    if (text && json_object_set_new(item, key, json_string(text)))
        c->bad = true;
}

static void commit_what(struct commit *c, json_t *item, const struct commit_what *what)
{
    if (!item || !what)
        return;
    set_text(c, item, "content_type", what->content_type);
    set_text(c, item, "name", what->name);
    set_text(c, item, "version", what->version);
    set_text(c, item, "if_sha256", what->if_sha256 && *what->if_sha256 ? what->if_sha256 : NULL);
    if (what->hidden)
        json_object_set_new(item, "hidden", json_true());
    if (what->if_absent || (what->if_sha256 && !*what->if_sha256))
        json_object_set_new(item, "if_absent", json_true());
}

void commit_put(struct commit *c, const char *path, struct stage *s, const struct commit_what *what)
{
    check(s->state == STAGE_READY);
    if (c->stage_count == c->stage_capacity) {
        c->stage_capacity = c->stage_capacity ? 2 * c->stage_capacity : 8;
        c->stages = realloc(c->stages, c->stage_capacity * sizeof *c->stages);
        check(c->stages);
    }
    c->stages[c->stage_count++] = s;
    commit_what(c, commit_add(c, stage_args(s, path, NULL), "put"), what);
}

void commit_link(struct commit *c, const char *path, const struct repo *from, const char *from_path,
                 const unsigned char sha256[32], const struct commit_what *what)
{
    char hex[65];

    hex_encode(sha256, 32, hex);
    commit_what(c, commit_add(c, json_pack("{s:s, s:I, s:s, s:s}", "path", path, "from_repo",
                                           (json_int_t)from->id, "from_path", from_path, "sha256", hex),
                              "link"), what);
}

void commit_delete(struct commit *c, const char *path, const char *if_sha256, bool may_miss)
{
    commit_add(c, json_pack("{s:s, s:s?, s:b}", "path", path, "if_sha256", if_sha256, "may_miss",
                            may_miss), "delete");
}

void commit_expect(struct commit *c, const char *path, bool exists, const char *if_sha256)
{
    commit_add(c, json_pack("{s:s, s:b, s:s?}", "path", path, "exists", exists, "if_sha256", if_sha256),
               "expect");
}

void commit_or_again(struct commit *c)
{
    json_object_set_new(json_array_get(c->items, json_array_size(c->items) - 1), "again", json_true());
}

void commit_session(struct commit *c, const char *id)
{
    json_object_set_new(c->args, "session", json_string(id));
}

void commit_imported(struct commit *c, struct imported *m, const char *path, const struct stage *s,
                     struct commit_what *what)
{
    json_t *owner = json_object_get(m->record, "owner");
    const struct repo *repo = imported_repo(m);
    struct registry_stat stat;
    char hex[65];

    if (what)
        what->if_absent = true;
    if (what && repo && !registry_stat(m->worker->registry, &m->arena, repo, path, &stat) &&
        !memcmp(stat.digests.sha256, stage_digests(s)->sha256, 32)) {
        hex_encode(stat.digests.sha256, 32, hex);
        m->already = true;
        what->if_absent = false;
        what->if_sha256 = arena_strdup(&m->arena, hex);
    }
    json_object_set(c->args, "import", m->record);
    json_object_set(c->args, "owner", owner);
    c->already = &m->already;
}

static void commit_end(struct commit *c, enum err e, const struct why *why)
{
    struct why text = *why;
    commit_cb *done = c->done;
    void *arg = c->arg;

    for (unsigned i = 0; i < c->stage_count; i++) {
        if (!e)
            stage_named(c->stages[i]);
        else if (e == ERR_UNAVAILABLE)
            stage_worthless(c->stages[i]);
    }
    commit_free(c);
    done(e, &text, arg);
}

static void on_committed(struct proposal *p)
{
    struct commit *c = container_of(p, struct commit, proposal);

    if (c->already && json_is_true(json_object_get(p->result, "already")))
        *c->already = true;
    json_decref(p->result);
    commit_end(c, p->err, &p->why);
}

static void on_refused(struct task *task)
{
    struct commit *c = container_of(task, struct commit, task);

    commit_end(c, c->err, &c->why);
}

void commit_run(struct commit *c, commit_cb *done, void *arg)
{
    c->done = done;
    c->arg = arg;
    if (c->bad) {
        c->err = fail(&c->why, ERR_BAD_REQUEST, "more than %d names at once, or one that is not valid text",
                      COMMIT_ITEMS);
        c->task.run = on_refused;
        loop_post(&c->worker->loop, &c->task);
        return;
    }
    c->proposal = (struct proposal){ .op = "artifact.commit", .args = json_incref(c->args),
                                     .home = &c->worker->loop, .on_done = on_committed };
    cluster_propose(c->worker->cluster, &c->proposal);
}

void commit_drop(struct commit *c)
{
    commit_free(c);
}
