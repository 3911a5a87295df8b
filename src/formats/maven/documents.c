/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/maven/documents.c: maven-metadata.xml and its checksums. What a client puts there is taken and
 * forgotten, for we know what is in the folder; but for a group's plugin prefixes, which no file says. */
#include <stdlib.h>
#include <string.h>

#include "pantera/limits.h"
#include "pantera/stage.h"
#include "pantera/tether.h"
#include "src/formats/maven/maven.h"
#include "src/formats/maven/metadata.h"

/* --- GET --- */

static void on_read(struct http_request *req, enum err e, const struct why *why, const char *data,
                    size_t size,
                    void *arg)
{
    const struct maven_path *p = arg;
    struct digest_values digests;
    struct digester *d;

    if (e) {
        maven_fail(req, e, why);
        return;
    }
    d = digester_new(p->checksum);
    digester_update(d, data, size);
    digester_final(d, &digests);
    digester_free(d);
    http_set_header(req, "Cache-Control", "no-cache");
    maven_checksum_reply(req, &digests, p->checksum);
}

void maven_document_get(struct http_request *req, const struct repo *repo, const struct maven_path *p)
{
    struct document d = { .kind = &maven_metadata_kind, .path = p->file,
                          .package = maven_coordinates(&req->arena, p), .owns = maven_owns };

    if (p->checksum)
        registry_document_read(req, repo, &d, on_read, arena_memdup(&req->arena, p, sizeof *p));
    else
        registry_document(req, repo, &d, maven_fail);
}

/* --- PUT --- */

struct plugins {
    struct http_request *req;
    struct tether *tether;
    struct imported *imported;   /* it answers; or NULL */
    char *data;                  /* what the client sent */
    size_t size;
    struct registry_update update;
    char path[LIMIT_PATH + 32];
};

static void on_plugins(enum err e, const struct why *why, void *arg)
{
    struct plugins *p = arg;

    if (p->req) {
        tether_cut(p->tether);
        if (e)
            maven_fail(p->req, e, why);
        else
            http_reply(p->req, 201, NULL, NULL, 0);
    }
    if (p->imported)
        imported_end(p->imported, e, why);
    free(p->data);
    free(p);
}

static void plugins_add(void *arg, struct commit *c)
{
    struct plugins *p = arg;

    if (p->imported)
        commit_imported(c, p->imported, NULL, NULL, NULL);
}

/* Pool thread. What was known, and what is new. */
static enum err plugins_apply(void *arg, const char *data, size_t size, struct buf *ret, struct why *why)
{
    struct plugins *p = arg;
    struct maven_metadata m, given;
    struct arena a;
    enum err e;

    arena_init(&a);
    maven_metadata_init(&m, &a);
    maven_metadata_init(&given, &a);
    e = maven_metadata_read(&given, p->data, p->size, why);
    if (!e && data)
        e = maven_metadata_read(&m, data, size, why);
    if (!e) {
        m.version_count = 0;
        for (unsigned i = 0; i < given.plugin_count; i++)
            maven_metadata_add_plugin(&m, &given.plugins[i]);
        maven_metadata_finish(&m);
        maven_metadata_render(&m, ret);
        e = !m.plugin_count ? ERR_AGAIN : buf_err(ret);
    }
    arena_release(&a);
    return e;
}

/* Takes `p`. */
static void plugins_run(struct plugins *p, struct worker *w, const struct repo *repo,
                        struct http_request *req, const char *path)
{
    snprintf(p->path, sizeof p->path, "%s", path);
    p->update = (struct registry_update){ .path = p->path, .content_type = "text/xml",
                                          .limit = MAVEN_METADATA_LIMIT, .req = req, .add = plugins_add,
                                          .apply = plugins_apply, .done = on_plugins, .arg = p };
    registry_update(w, repo, &p->update);
}

void maven_plugins_import(struct imported *m, const struct repo *repo, const char *folder, struct buf *text)
{
    struct plugins *p = calloc(1, sizeof *p);

    check(p);
    p->imported = m;
    p->data = text->data;
    p->size = text->length;
    plugins_run(p, m->worker, repo, m->req, maven_plugins_path(&m->arena, folder));
}

struct incoming {                /* the request's memory */
    struct maven_path path;
    char repo[LIMIT_NAME + 1];
};

static void on_body(struct http_request *req, char *data, size_t size, enum err e, void *arg)
{
    struct incoming *in = arg;
    const struct repo *repo = registry_repo(worker_of(req)->registry, in->repo);
    struct plugins *p;

    if (e || !repo) {
        maven_fail(req, e ? e : ERR_NOT_FOUND, NULL);
        return;
    }
    if (!memmem(data, size, "plugins", 7)) {
        http_reply(req, 201, NULL, NULL, 0);
        return;
    }
    p = calloc(1, sizeof *p);
    check(p);
    p->data = malloc(size + 1);
    check(p->data);
    memcpy(p->data, data, size + 1);
    p->size = size;
    p->tether = tether_tie(req, &p->req);
    plugins_run(p, worker_of(req), repo, req, maven_plugins_path(&req->arena, in->path.folder));
}

void maven_document_put(struct http_request *req, const struct repo *repo, const struct maven_path *p)
{
    struct incoming *in = arena_alloc(&req->arena, sizeof *in);

    in->path = *p;
    strncpy(in->repo, repo->name, sizeof in->repo - 1);
    http_body_collect(req, MIB(2), on_body, in);
}
