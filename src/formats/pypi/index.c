/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/pypi/index.c: a project's page of the simple API. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/stage.h"
#include "pantera/tether.h"
#include "src/formats/pypi/page.h"
#include "src/formats/pypi/project.h"
#include "src/formats/pypi/pypi.h"

struct page_job {
    struct http_request *req; /* NULL: the client is gone */
    struct tether *tether;
    struct worker *worker;
    struct arena arena;
    struct page_request request;
    struct page_source source;
    char etag[96];
    char *data;
    struct buf out;
    struct work work;
    enum err err;
    struct why why;
};

static void job_end(struct page_job *j, enum err e, const struct why *why)
{
    if (j->req)
        tether_cut(j->tether);
    if (j->req && e)
        pypi_fail(j->req, e, why);
    free(j->data);
    buf_free(&j->out);
    arena_release(&j->arena);
    free(j);
}

static void compose(struct work *work)
{
    struct page_job *j = container_of(work, struct page_job, work);

    int64_t until;

    j->err = page_compose(&j->request, &j->source, 1, &j->out, &until, &j->why);
}

static void on_composed(struct work *work)
{
    struct page_job *j = container_of(work, struct page_job, work);

    if (j->req && !j->err && !cluster_current(j->worker->cluster))
        j->err = ERR_NOT_CURRENT;
    if (j->req && !j->err) {
        http_set_header(j->req, "ETag", j->etag);
        http_set_header(j->req, "Vary", "Accept");
        http_set_header(j->req, "Cache-Control", "no-cache");
        http_reply(j->req, 200, page_content_type(j->request.variant), j->out.data, j->out.length);
    }
    job_end(j, j->err, &j->why);
}

static void on_loaded(enum err e, const struct why *why, const char *data, size_t size,
                      const struct digest_values *digests, void *arg)
{
    struct page_job *j = arg;
    char hex[65];

    if (e == ERR_NOT_FOUND && !cluster_current(j->worker->cluster))
        e = ERR_NOT_CURRENT;
    if (e || !j->req) {
        job_end(j, e ? e : ERR_CLOSED, why);
        return;
    }
    hex_encode(digests->sha256, 16, hex);
    (void)snprintf(j->etag, sizeof j->etag, "\"%s-%s\"", hex, j->request.variant);
    if (http_conditions(j->req, j->etag, 0, &(const char *){ NULL }) == 304 &&
        cluster_current(j->worker->cluster)) {
        http_set_header(j->req, "ETag", j->etag);
        http_set_header(j->req, "Vary", "Accept");
        http_reply(j->req, 304, NULL, NULL, 0);
        job_end(j, OK, NULL);
        return;
    }
    j->data = malloc(size + 1);
    check(j->data);
    memcpy(j->data, data, size);
    j->source.data = j->data;
    j->source.size = size;
    work_submit(&j->work, &j->worker->loop, compose, on_composed);
}

void pypi_page(struct http_request *req, const struct repo *repo, const char *project)
{
    const char *variant =
        pypi_variant(http_header(req, "accept"), query_get(&req->arena, req->query, "format"));
    struct page_job *j;

    if (!variant) {
        pypi_fail_text(req, ERR_NOT_ACCEPTABLE,
                       "the index is HTML or JSON of the simple API, version 1");
        return;
    }
    j = calloc(1, sizeof *j);
    check(j);
    arena_init(&j->arena);
    buf_init(&j->out, PAGE_BYTES);
    j->worker = worker_of(req);
    j->request.base = arena_strdup(&j->arena, pypi_base(req, repo));
    j->request.project = arena_strdup(&j->arena, project);
    j->request.variant = variant;
    j->request.arena = &j->arena;
    j->tether = tether_tie(req, &j->req);
    registry_load(j->worker, repo, pypi_document_path(&j->arena, project), PROJECT_BYTES, on_loaded,
                  j);
}
