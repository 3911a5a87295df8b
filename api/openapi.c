/* SPDX-License-Identifier: Apache-2.0 */
/* GET /api/v1/openapi.json: OpenAPI 3.1, made once from routes.def and api/schemas. What every row has in
 * common (401, 403, 413, 429, 503, the error's shape, the path's parameters) is said here and nowhere else.
 * A row that no schema file mentions is described all the same, with any JSON in and out. */
#include "api/openapi.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "api/internal.h"

/* --- the sources, merged: {"schemas": {}, "queries": {}, "handlers": {}} --- */

static json_t *sources_merge(const char **ret_bad)
{
    static const char *const parts[] = { "schemas", "queries", "handlers" };
    json_t *all = json_pack("{s:{}, s:{}, s:{}}", parts[0], parts[1], parts[2]);
    for (size_t i = 0; i < openapi_sources_count; i++) {
        json_t *one = json_loads(openapi_sources[i].text, JSON_REJECT_DUPLICATES, NULL);
        if (!one) {
            *ret_bad = openapi_sources[i].name;
            json_decref(all);
            return NULL;
        }
        for (size_t p = 0; p < 3; p++)
            if (json_object_get(one, parts[p]))
                json_object_update(json_object_get(all, parts[p]), json_object_get(one, parts[p]));
        json_decref(one);
    }
    return all;
}

/* A schema as the files write it: the name of one of "schemas", or the schema itself. A new reference. */
static json_t *schema_of(const json_t *written)
{
    const char *name = json_string_value(written);
    if (name)
        return json_pack("{s:o}", "$ref", json_sprintf("#/components/schemas/%s", name));
    return written ? json_deep_copy(written) : json_object();
}

/* --- who may --- */

static const char *const permissions[PERM_COUNT] = {
    [PERM_PUBLIC] = "public",
    [PERM_ANYONE] = "any",
#define PERM(name, domain, action) [PERM_##name] = domain ":" action,
#include "pantera/permissions.def"
#undef PERM
};

static void describe_security(json_t *op, const struct api_route *route, const json_t *entry)
{
    json_t *decided = json_object_get(entry, "permission"); /* by the handler: "a or b" */
    bool public = route->permission == PERM_PUBLIC;
    json_object_set_new(op, "x-permission",
                        decided ? json_incref(decided) : json_string(permissions[route->permission]));
    json_object_set_new(op, "security",
                        public ? json_array() : json_pack("[{s:[]}, {s:[]}]", "bearer", "basic"));
}

/* --- parameters --- */

/* "/a/:name/b" becomes "/a/{name}/b", "*rest" "{rest}"; a parameter for each. */
static json_t *path_template(const char *pattern, const json_t *entry, json_t *parameters)
{
    static const char literal[] = "{\"type\": \"string\", \"minLength\": 1, \"maxLength\": 255}";
    char out[256];
    size_t n = 0;
    while (*pattern) {
        check(n + 64 < sizeof out);
        if (*pattern != ':' && *pattern != '*') {
            out[n++] = *pattern++;
            continue;
        }
        size_t length = strcspn(++pattern, "/");
        check(length < 48);
        json_t *name = json_stringn(pattern, length);
        const json_t *own = json_object_get(json_object_get(entry, "params"), json_string_value(name));
        json_array_append_new(parameters,
                              json_pack("{s:o, s:s, s:b, s:o}", "name", name, "in", "path", "required", 1,
                                        "schema", own ? schema_of(own) : json_loads(literal, 0, NULL)));
        out[n++] = '{';
        memcpy(out + n, pattern, length);
        n += length;
        out[n++] = '}';
        pattern += length;
    }
    return json_stringn(out, n);
}

/* "page" is looked up in "queries"; an object is the parameter itself. */
static void describe_query(json_t *parameters, const json_t *entry, const json_t *all)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(entry, "query"), i, item) {
        const char *name = json_string_value(item);
        const json_t *known = name ? json_object_get(json_object_get(all, "queries"), name) : item;
        json_t *parameter = json_deep_copy(known);
        check(parameter); /* a name that "queries" lacks: our own slip, seen by the unit test */
        if (name)
            json_object_set_new(parameter, "name", json_string(name));
        json_object_set_new(parameter, "in", json_string(json_is_true(json_object_get(known, "header"))
                                                             ? "header" : "query"));
        json_object_del(parameter, "header");
        json_array_append_new(parameters, parameter);
    }
}

/* --- bodies --- */

static json_t *content(const char *type, json_t *schema)
{
    return json_pack("{s:{s:o}}", type, "schema", schema);
}

static void describe_body(json_t *op, const struct api_route *route, const json_t *entry)
{
    json_t *body = json_object_get(entry, "body");
    if (!route->body_limit && !body)
        return;
    bool required = !json_is_false(json_object_get(entry, "body_required"));
    json_t *schema = body ? schema_of(body) : json_pack("{s:s}", "type", "object");
    json_object_set_new(op, "requestBody",
                        json_pack("{s:b, s:o}", "required", required, "content",
                                  content("application/json", schema)));
}

static const char *const reasons[][2] = {
    { "200", "done" }, { "201", "created" }, { "202", "begun" }, { "204", "done" },
    { "206", "a part" }, { "304", "not modified" },
    { "400", "the request is wrong" }, { "401", "not signed in" }, { "403", "not allowed" },
    { "404", "not found" }, { "405", "not this method" }, { "409", "in conflict with what is there" },
    { "412", "a condition does not hold" }, { "413", "the body is too large" },
    { "414", "the path is too long" },
    { "416", "no such range" }, { "429", "too many attempts: Retry-After" },
    { "501", "not here" }, { "503", "this node can't answer now: Retry-After, or another node" },
};

static const char *reason(const char *status)
{
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (strcmp(reasons[i][0], status) == 0)
            return reasons[i][1];
    return "see the message";
}

static void answer_error(json_t *answers, const struct api_route *route, int status)
{
    char text[4];
    /* Too long a path is refused before it is known whose it is. */
    bool search = strncmp(route->pattern, "/api/v1/search", 14) == 0 && status != 414;
    snprintf(text, sizeof text, "%d", status);
    json_t *schema = schema_of(NULL);
    json_object_set_new(schema, "$ref", json_string(search ? "#/components/schemas/SearchError"
                                                           : "#/components/schemas/Error"));
    json_object_set_new(answers, text, json_pack("{s:s, s:o}", "description", reason(text), "content",
                                                 content("application/json", schema)));
}

static void describe_success(json_t *answers, const json_t *entry)
{
    const char *status;
    json_t *shape;
    json_object_foreach(json_object_get(entry, "answers"), status, shape) {
        json_t *answer = json_pack("{s:s}", "description", reason(status));
        const char *name = json_string_value(shape);
        if (name && strchr(name, '/')) /* a media type: bytes of it */
            json_object_set_new(answer, "content", content(name, json_object()));
        else if (!json_is_null(shape)) /* null: no body */
            json_object_set_new(answer, "content", content("application/json", schema_of(shape)));
        json_object_set_new(answers, status, answer);
    }
    if (!json_object_size(answers))
        json_object_set_new(answers, "2XX",
                            json_pack("{s:s, s:o}", "description", "done", "content",
                                      content("application/json", json_object())));
}

static json_t *describe_answers(const struct api_route *route, const json_t *entry)
{
    size_t i;
    json_t *own, *answers = json_object();
    describe_success(answers, entry);
    bool guarded = route->permission != PERM_PUBLIC;
    answer_error(answers, route, 400); /* if only because the query is no UTF-8 (dispatch.c) */
    if (guarded) {
        answer_error(answers, route, 401);
        answer_error(answers, route, 403);
        answer_error(answers, route, 429);
    }
    if (strpbrk(route->pattern, ":*"))
        answer_error(answers, route, 404);
    answer_error(answers, route, 414);
    if (route->body_limit)
        answer_error(answers, route, 413);
    answer_error(answers, route, 503);
    json_array_foreach(json_object_get(entry, "errors"), i, own)
        answer_error(answers, route, (int)json_integer_value(own));
    return answers;
}

/* --- the document --- */

/* Unique: a handler that two rows share gets a number from the second on. */
static json_t *operation_id(const struct api_route *route)
{
    unsigned before = 0;
    for (const struct api_route *r = api_routes; r < route; r++)
        before += strcmp(r->name, route->name) == 0;
    return before ? json_sprintf("%s_%u", route->name, before + 1) : json_string(route->name);
}

static void describe_route(json_t *paths, const struct api_route *route, const json_t *all)
{
    const json_t *entry = json_object_get(json_object_get(all, "handlers"), route->name);
    json_t *op = json_object(), *parameters = json_array();
    json_t *path = path_template(route->pattern, entry, parameters);
    const char *resource = route->pattern + strlen("/api/v1/");
    json_object_set_new(op, "operationId", operation_id(route));
    json_object_set_new(op, "summary", json_string(route->summary));
    json_object_set_new(op, "tags", json_pack("[o]", json_stringn(resource, strcspn(resource, "/"))));
    describe_security(op, route, entry);
    describe_query(parameters, entry, all);
    if (json_array_size(parameters))
        json_object_set(op, "parameters", parameters);
    describe_body(op, route, entry);
    json_object_set_new(op, "responses", describe_answers(route, entry));
    if (!entry)
        json_object_set_new(op, "x-undescribed", json_true());

    json_t *item = json_object_get(paths, json_string_value(path));
    if (!item) {
        item = json_object();
        json_object_set_new(paths, json_string_value(path), item);
    }
    for (unsigned bit = 1; bit <= HTTP_M_PATCH; bit <<= 1)
        if (route->method & bit) {
            char method[16];
            size_t n = 0;
            for (const char *m = http_method_name(bit); *m && n + 1 < sizeof method; m++)
                method[n++] = (char)(*m | 0x20);
            method[n] = '\0';
            json_object_set(item, method, op);
        }
    json_decref(op);
    json_decref(parameters);
    json_decref(path);
}

json_t *openapi_build(const char **ret_bad)
{
    json_t *all = sources_merge(ret_bad);
    if (!all)
        return NULL;
    json_t *paths = json_object();
    for (unsigned i = 0; i < api_routes_count; i++)
        describe_route(paths, &api_routes[i], all);
    json_t *security = json_pack("{s:{s:s, s:s, s:s}, s:{s:s, s:s}}", "bearer", "type", "http", "scheme",
                                 "bearer", "bearerFormat", "JWT", "basic", "type", "http", "scheme",
                                 "basic");
    json_t *document = json_pack(
        "{s:s, s:{s:s, s:s, s:s}, s:[{s:s}], s:o, s:{s:O, s:o}}", "openapi", "3.1.0", "info", "title",
        "Pantera management API", "version", PANTERA_VERSION, "summary",
        "Repositories, users, roles, tokens, settings; the repository port speaks each format's own API",
        "servers", "url", "/", "paths", paths, "components", "schemas", json_object_get(all, "schemas"),
        "securitySchemes", security);
    json_decref(all);
    return document;
}

/* The text, made by whoever asks first; the same for every worker, for as long as the process lives. */
static char *document_text;
static size_t document_size;

static void document_make(void)
{
    const char *bad = NULL;
    json_t *document = openapi_build(&bad);
    check(document);
    document_text = json_dumps(document, JSON_COMPACT);
    check(document_text);
    document_size = strlen(document_text);
    json_decref(document);
}

void openapi_get(struct http_request *req)
{
    static uv_once_t once = UV_ONCE_INIT;
    uv_once(&once, document_make);
    http_reply(req, 200, "application/json", document_text, document_size);
}
