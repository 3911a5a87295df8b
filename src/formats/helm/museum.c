/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/helm/museum.c: ChartMuseum's API: what charts there are, and which go. */
#include <stdlib.h>
#include <string.h>

#include "pantera/api.h"
#include "pantera/stage.h"
#include "pantera/tether.h"
#include "src/formats/helm/helm.h"

/* --- GET api/charts[/NAME[/VERSION]] --- */

struct question {
    struct http_request *req;    /* NULL: the client is gone */
    struct tether *tether;
    struct worker *worker;
    char *name, *version;        /* or NULL */
    char *data;                  /* the index */
    size_t size;
    struct work work;
    char *answer;
    enum err err;
    struct why why;
};

static void question_free(struct question *q)
{
    free(q->name);
    free(q->version);
    free(q->data);
    free(q->answer);
    free(q);
}

static void look_up(struct work *work)
{
    struct question *q = container_of(work, struct question, work);
    json_t *index = NULL, *found;

    q->err = helm_index_read(q->data, q->size, &index, &q->why);
    if (q->err)
        return;
    found = json_object_get(index, "entries");
    if (q->version)
        found = helm_index_find(index, q->name, q->version);
    else if (q->name)
        found = json_object_get(found, q->name);
    if (found)
        q->answer = json_dumps(found, JSON_COMPACT);
    if (!q->answer)
        q->err = fail(&q->why, ERR_NOT_FOUND, "no chart '%.100s%s%.100s' here", q->name,
                      q->version ? "-" : "", q->version ? q->version : "");
    json_decref(index);
}

static void on_looked_up(struct work *work)
{
    struct question *q = container_of(work, struct question, work);

    if (q->req) {
        tether_cut(q->tether);
        if (!cluster_current(q->worker->cluster))
            helm_fail(q->req, ERR_NOT_CURRENT, NULL);
        else if (q->err)
            helm_fail(q->req, q->err, &q->why);
        else
            http_reply(q->req, 200, "application/json", q->answer, strlen(q->answer));
    }
    question_free(q);
}

static void on_index(enum err e, const struct why *why, const char *data, size_t size,
                     const struct digest_values *digests, void *arg)
{
    struct question *q = arg;

    (void)digests;
    if (e && e != ERR_NOT_FOUND) {
        if (q->req) {
            tether_cut(q->tether);
            helm_fail(q->req, e, why);
        }
        question_free(q);
        return;
    }
    if (!e) {
        q->data = malloc(size + 1);
        check(q->data);
        memcpy(q->data, data, size + 1);
        q->size = size;
    }
    work_submit(&q->work, &q->worker->loop, look_up, on_looked_up);
}

void helm_charts_get(struct http_request *req, const struct repo *repo, const char *path)
{
    struct question *q = calloc(1, sizeof *q);
    const char *slash = strchr(path, '/');

    check(q);
    q->worker = worker_of(req);
    q->tether = tether_tie(req, &q->req);
    if (*path)
        q->name = strndup(path, slash ? (size_t)(slash - path) : strlen(path));
    if (slash && slash[1])
        q->version = strdup(slash + 1);
    registry_load(q->worker, repo, HELM_INDEX, HELM_INDEX_LIMIT, on_index, q);
}

/* --- DELETE --- */

static void on_deleted(struct http_request *req, enum err e, const struct why *why)
{
    struct why text;

    if (e == ERR_NOT_FOUND)
        helm_fail(req, e, (fail(&text, e, "no such chart here"), &text));
    else if (e)
        helm_fail(req, e, why);
    else
        helm_reply(req, 200, json_pack("{s:b}", "deleted", 1));
}

/* All versions of a chart: the index's entry and the files, in one operation. */
struct removal {
    struct http_request *req;
    struct tether *tether;
    struct worker *worker;
    char name[LIMIT_NAME + 1];
    json_t *paths;               /* of the files, as the index had them at this try */
    struct registry_update update;
};

static void on_chart_removed(enum err e, const struct why *why, void *arg)
{
    struct removal *r = arg;

    if (r->req) {
        tether_cut(r->tether);
        on_deleted(r->req, e, why);
    }
    json_decref(r->paths);
    free(r);
}

static enum err chart_apply(void *arg, const char *data, size_t size, struct buf *ret, struct why *why)
{
    struct removal *r = arg;
    json_t *index = NULL, *list, *item;
    enum err e = helm_index_read(data, size, &index, why);
    size_t i;

    if (e)
        return e;
    json_array_clear(r->paths);
    list = json_object_get(json_object_get(index, "entries"), r->name);
    json_array_foreach (list, i, item)
        json_array_append(r->paths, json_array_get(json_object_get(item, "urls"), 0));
    if (!list)
        e = ERR_NOT_FOUND;
    else if (json_array_size(r->paths) > COMMIT_ITEMS / 2 - 2)
        e = fail(why, ERR_TOO_BIG, "too many versions for one operation: delete them one by one");
    if (!e) {
        json_object_del(json_object_get(index, "entries"), r->name);
        e = helm_index_write(index, ret);
    }
    json_decref(index);
    return e;
}

static void chart_add(void *arg, struct commit *c)
{
    struct removal *r = arg;
    json_t *path;
    size_t i;
    char prov[LIMIT_PATH + 8];

    json_array_foreach (r->paths, i, path) {
        commit_delete(c, json_string_value(path), NULL, true);
        snprintf(prov, sizeof prov, "%s.prov", json_string_value(path));
        commit_delete(c, prov, NULL, true);
    }
}

void helm_charts_delete(struct http_request *req, const struct repo *repo, const char *path)
{
    const char *slash = strchr(path, '/');
    struct removal *r;

    if (slash && slash[1]) {
        helm_remove(req, repo,
                    helm_chart_path(&req->arena, arena_strndup(&req->arena, path, (size_t)(slash - path)),
                                    slash + 1),
                    false, on_deleted);
        return;
    }
    r = calloc(1, sizeof *r);
    check(r);
    r->worker = worker_of(req);
    r->tether = tether_tie(req, &r->req);
    r->paths = json_array();
    snprintf(r->name, sizeof r->name, "%.*s", (int)strcspn(path, "/"), path);
    r->update = (struct registry_update){ .path = HELM_INDEX, .content_type = "application/json",
                                          .limit = HELM_INDEX_LIMIT, .req = req, .apply = chart_apply,
                                          .add = chart_add, .done = on_chart_removed, .arg = r };
    registry_update(r->worker, repo, &r->update);
}
