/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/docker/unpush.c: DELETE of a tag, which leaves its manifest, or of a manifest, which takes
 * its tags and its place in its subject's list with it. What it referred to stays: other manifests may need
 * it.
 *
 *   LOAD the manifest → PARSE (pool): its subject → TAGS, in slices → COMMIT
 *                                                     ↑_________________|  a tag has moved;
 *                                                        at the end for tags that came meanwhile */
#include <stdlib.h>
#include <string.h>

#include "pantera/stage.h"
#include "pantera/tether.h"
#include "pantera/text.h"
#include "pantera/worker.h"
#include "src/formats/docker/docker.h"

enum { SLICE = 200, TAGS_MOST = 4000, ATTEMPTS = 20 };

struct unpush {
    struct work work;
    struct task task;
    struct http_request *req;    /* NULL: the client is gone; it goes on */
    struct tether *tether;
    struct worker *worker;
    registry_done_cb *done;
    struct arena arena, tags_arena;
    const char *repo, *image, *path;
    int64_t repo_id;
    struct oci_digest digest;
    unsigned char sha256[32];
    char hex[65];
    const char *data;
    size_t size;
    struct oci_manifest m;
    enum err parsed;
    const char **tags, *after;
    unsigned tag_count, attempts;
    bool more, gone;             /* gone: it is; left are tags that came while others were looked for */
};

static const struct repo *repo_again(struct unpush *u)
{
    const struct repo *repo = registry_repo(u->worker->registry, u->repo);

    return repo && repo->id == u->repo_id ? repo : NULL;
}

static void unpush_end(struct unpush *u, enum err e, const struct why *why)
{
    struct http_request *req = u->req;
    registry_done_cb *done = u->done;
    struct why text = why ? *why : (struct why){ "" };

    if (req)
        tether_cut(u->tether);
    arena_release(&u->tags_arena);
    arena_release(&u->arena);
    free(u);
    if (req)
        done(req, e, &text);
}

/* --- COMMIT --- */

static void tags_begin(struct unpush *u);

static void on_committed(enum err e, const struct why *why, void *arg)
{
    struct unpush *u = arg;

    if (u->gone && (e == ERR_PRECONDITION || (!e && !u->more))) { /* or pushed anew, with its tags */
        unpush_end(u, OK, NULL);
        return;
    }
    u->gone = u->gone || (!e && !u->more);
    if ((e == ERR_PRECONDITION && ++u->attempts < ATTEMPTS) || !e)
        tags_begin(u);
    else
        unpush_end(u, e, why);
}

static void add_names(void *arg, struct commit *c)
{
    struct unpush *u = arg;

    for (unsigned i = 0; i < u->tag_count; i++)
        commit_delete(c, tag_path(&u->tags_arena, u->image, u->tags[i]), u->hex, true);
    if (u->gone)
        commit_expect(c, u->path, false, NULL);
    else if (!u->more)
        commit_delete(c, u->path, u->hex, false);
}

static enum err apply(void *arg, const char *data, size_t size, struct buf *ret, struct why *why)
{
    struct unpush *u = arg;

    return referrers_remove(data, size, oci_digest_text(&u->arena, &u->digest), ret, why);
}

static void unpush_commit(struct unpush *u)
{
    const struct repo *repo = repo_again(u);
    struct commit *c;

    if (!repo) {
        unpush_end(u, ERR_NOT_FOUND, NULL);
        return;
    }
    if (u->gone && u->tag_count == 0) {
        unpush_end(u, OK, NULL);
        return;
    }
    if (u->gone || u->more || u->parsed || !u->m.has_subject) {
        c = commit_new(u->worker, repo, u->req);
        add_names(u, c);
        commit_run(c, on_committed, u);
        return;
    }
    registry_update(u->worker, repo, &(struct registry_update){
        .path = referrers_path(&u->arena, u->image, &u->m.subject), .content_type = TYPE_OCI_INDEX,
        .limit = REFERRERS_LIMIT, .req = u->req, .apply = apply, .add = add_names, .done = on_committed,
            .arg = u,
    });
}

/* --- TAGS: so many at a time, then others have their turn --- */

static void tag_look(struct unpush *u, const struct repo *repo, const char *tag)
{
    struct registry_stat stat;

    if (!registry_stat(u->worker->registry, &u->tags_arena, repo, tag_path(&u->tags_arena, u->image, tag),
                       &stat) &&
        !memcmp(stat.digests.sha256, u->sha256, 32))
        u->tags[u->tag_count++] = tag;
}

static void tags_slice(struct task *task)
{
    struct unpush *u = container_of(task, struct unpush, task);
    const struct repo *repo = repo_again(u);
    struct registry_entry *entries;
    unsigned count = 0;
    bool more = false;

    if (!repo) {
        unpush_end(u, ERR_NOT_FOUND, NULL);
        return;
    }
    if (registry_list(u->worker->registry, &u->tags_arena, repo,
                      arena_printf(&u->tags_arena, "%s/_tags", u->image), u->after, SLICE, &entries, &count,
                          &more))
        count = 0;
    for (unsigned i = 0; i < count; i++)
        tag_look(u, repo, entries[i].name);
    if (count)
        u->after = entries[count - 1].name;
    u->more = more && u->tag_count + SLICE > TAGS_MOST;
    if (more && count && !u->more)
        loop_post(&u->worker->loop, &u->task);
    else
        unpush_commit(u);
}

static void tags_begin(struct unpush *u)
{
    arena_reset(&u->tags_arena);
    u->tags = arena_alloc(&u->tags_arena, TAGS_MOST * sizeof *u->tags);
    u->tag_count = 0;
    u->after = NULL;
    u->more = false;
    u->task.run = tags_slice;
    loop_post(&u->worker->loop, &u->task);
}

/* --- LOAD, PARSE --- */

static void on_parsed(struct work *work)
{
    tags_begin(container_of(work, struct unpush, work));
}

/* What can't be read has no subject. */
static void parse(struct work *work)
{
    struct unpush *u = container_of(work, struct unpush, work);

    u->parsed = oci_manifest_parse(&u->arena, u->data, u->size, NULL, &u->m, NULL);
}

static void on_loaded(enum err e, const struct why *why, const char *data, size_t size,
                      const struct digest_values *digests, void *arg)
{
    struct unpush *u = arg;

    if (e) {
        unpush_end(u, e, why);
        return;
    }
    memcpy(u->sha256, digests->sha256, 32);
    hex_encode(u->sha256, 32, u->hex);
    u->data = arena_memdup(&u->arena, data, size);
    u->size = size;
    work_submit(&u->work, &u->worker->loop, parse, on_parsed);
}

static void unpush(struct http_request *req, const struct repo *repo, const char *image,
                   const struct oci_digest *digest, registry_done_cb *done)
{
    struct unpush *u = calloc(1, sizeof *u);

    check(u);
    arena_init(&u->arena);
    arena_init(&u->tags_arena);
    u->worker = worker_of(req);
    u->done = done;
    u->repo = arena_strdup(&u->arena, repo->name);
    u->repo_id = repo->id;
    u->image = arena_strdup(&u->arena, image);
    u->digest = *digest;
    u->path = manifest_path(&u->arena, image, digest);
    u->tether = tether_tie(req, &u->req);
    registry_load(u->worker, repo, u->path, MANIFEST_LIMIT, on_loaded, u);
}

/* --- entrances --- */

static void on_deleted(struct http_request *req, enum err e, const struct why *why)
{
    if (e)
        oci_fail_as(req, e, why, "MANIFEST_UNKNOWN");
    else
        http_reply(req, 202, NULL, NULL, 0);
}

void oci_manifest_delete(struct oci_call *c, const struct repo *repo)
{
    struct oci_digest digest;

    if (oci_digest_parse(c->reference, &digest))
        unpush(c->req, repo, c->image, &digest, on_deleted);
    else if (strchr(c->reference, ':'))
        oci_fail(c->req, 400, "DIGEST_INVALID", "'%.140s' is not a digest", c->reference);
    else
        registry_delete(c->req, repo, tag_path(&c->req->arena, c->image, c->reference), on_deleted);
}

/* "<image>/_manifests/<algorithm>/<hex>" */
static bool is_manifest(struct http_request *req, const char *path, const char **ret_image,
                        struct oci_digest *ret)
{
    const char *at = strstr(path, "/_manifests/"), *hex = at ? strchr(at + 12, '/') : NULL;

    if (!hex)
        return false;
    *ret_image = arena_strndup(&req->arena, path, (size_t)(at - path));
    return oci_digest_parse(arena_printf(&req->arena, "%.*s:%s", (int)(hex - at - 12), at + 12, hex + 1),
                            ret);
}

/* By the management API. Of a folder, lists of those that referred to something in it stay: they name
 * digests that are not there any more, as the specification lets them. */
void oci_remove(struct http_request *req, const struct repo *repo, const char *path, bool tree,
                registry_done_cb *done)
{
    struct oci_digest digest;
    const char *image;

    if (!tree && is_manifest(req, path, &image, &digest))
        unpush(req, repo, image, &digest, done);
    else if (tree)
        registry_delete_tree(req, repo, path, done);
    else
        registry_delete(req, repo, path, done);
}
