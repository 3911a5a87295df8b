/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/import.c: what an import brought, on its way through its format: bytes that are durable and
 * compared, until a commit names them together with the import's key (commit_imported). The client may go at
 * any time; it ends all the same. */
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "src/registry/staging.h"

static enum err record_make(struct imported *m, const char *owner, json_t *session, struct why *why)
{
    m->record = stage_args(m->stage, m->path, NULL);
    if (!m->record)
        return fail(why, ERR_BAD_REQUEST, "the path is not valid text");
    json_object_set_new(m->record, "repo_id", json_integer(m->repo_id));
    json_object_set_new(m->record, "owner", owner ? json_string(owner) : json_null());
    json_object_set(m->record, "session", session);
    return OK;
}

void imported_begin(struct http_request *req, const struct imported_order *o, struct stage *s)
{
    struct imported *m = calloc(1, sizeof *m);
    int64_t now = clock_wall_ms();
    struct why why = { "" };
    enum err e;

    check(m);
    arena_init(&m->arena);
    m->worker = worker_of(req);
    m->repo = arena_strdup(&m->arena, o->repo);
    m->repo_id = o->repo_id;
    m->path = arena_strdup(&m->arena, o->path);
    m->content_type = o->content_type ? arena_strdup(&m->arena, o->content_type) : NULL;
    m->by = arena_strdup(&m->arena, o->owner ? o->owner : "");
    m->made_ms = o->made_ms >= 0 && o->made_ms < now ? o->made_ms : now;
    m->stage = s;
    m->result = (struct registry_put_result){ .size = stage_size(s), .digests = *stage_digests(s) };
    memcpy(m->result.etag, stage_etag(s), strlen(stage_etag(s)) + 1);
    m->done = o->done;
    m->tether = tether_tie(req, &m->req);
    if ((e = record_make(m, o->owner, o->session, &why)))
        imported_end(m, e, &why);
    else
        o->take(m);
}

const struct repo *imported_repo(struct imported *m)
{
    const struct repo *repo = registry_repo(m->worker->registry, m->repo);

    return repo && repo->id == m->repo_id ? repo : NULL;
}

void imported_end(struct imported *m, enum err e, const struct why *why)
{
    struct why text = why ? *why : (struct why){ "" };

    stage_drop(m->stage);
    if (m->req) {
        tether_cut(m->tether);
        m->result.created = !m->already;
        m->result.already = m->already;
        m->done(m->req, e, &text, e ? NULL : &m->result);
    }
    json_decref(m->record);
    arena_release(&m->arena);
    free(m);
}
