/* SPDX-License-Identifier: Apache-2.0 */
/* JSON bodies: collected up to the route's limit, an object, strict (no duplicate keys, UTF-8). */
#include "api/internal.h"
#include "pantera/limits.h"

struct body {
    void (*then)(struct http_request *req, json_t *body);
    json_t *json;
};

static void body_release(void *arg)
{
    json_decref(((struct body *)arg)->json);
}

static void body_collected(struct http_request *req, char *data, size_t size, enum err e, void *arg)
{
    struct body *b = arg;
    json_error_t at;
    if (e) {
        api_fail(req, e, NULL);
        return;
    }
    b->json = json_loadb(data, size, JSON_REJECT_DUPLICATES, &at);
    if (!json_is_object(b->json)) {
        if (b->json || !size)
            api_fail_text(req, ERR_BAD_REQUEST, "expected a JSON object");
        else
            api_fail_text(req, ERR_BAD_REQUEST, "malformed JSON in line %d, column %d", at.line,
                          at.column);
        return;
    }
    b->then(req, b->json);
}

void api_body(struct http_request *req, void (*then)(struct http_request *req, json_t *body))
{
    const struct api_route *route = req->route;
    size_t limit = route && route->body_limit ? route->body_limit : LIMIT_API_BODY;
    struct body *b = arena_alloc(&req->arena, sizeof *b);
    b->then = then;
    http_on_end(req, body_release, b);
    http_body_collect(req, limit, body_collected, b);
}

const char *api_string(const json_t *object, const char *key, bool *ret_bad)
{
    const json_t *v = json_object_get(object, key);
    if (!v || json_is_null(v))
        return NULL;
    if (!json_is_string(v))
        *ret_bad = true;
    return json_string_value(v);
}
