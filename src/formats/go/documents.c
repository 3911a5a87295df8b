/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/go/documents.c: @v/list and @latest. */
#include <stdlib.h>

#include "pantera/api.h"
#include "pantera/tether.h"
#include "pantera/text.h"
#include "src/formats/go/go.h"

struct answer {
    struct http_request *req;
    struct tether *tether;
    bool json;
};

static void on_rows(enum err e, const struct why *why, const char *data, size_t size, void *arg)
{
    struct answer *a = arg;
    struct http_request *req = a->req;
    bool json = a->json;

    if (req)
        tether_cut(a->tether);
    free(a);
    if (!req)
        return;
    /* After reading: what was read is the truth only if the lease holds. */
    if (!cluster_current(worker_of(req)->cluster)) {
        api_fail(req, ERR_NOT_CURRENT, NULL);
    } else if (e) {
        api_fail(req, e, why);
    } else {
        http_set_header(req, "Cache-Control", "no-cache");
        http_reply(req, 200, json ? "application/json" : "text/plain; charset=utf-8", data, size);
    }
}

void go_document_get(struct http_request *req, const struct repo *repo, const char *path,
                     const struct go_path *p)
{
    struct answer *a = calloc(1, sizeof *a);

    check(a);
    a->tether = tether_tie(req, &a->req);
    a->json = p->kind == GO_LATEST;
    go_rows(worker_of(req), repo, path, p->module, on_rows, a);
}
