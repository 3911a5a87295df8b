/* SPDX-License-Identifier: Apache-2.0 */
/* Error bodies, in the shape that the clients of each API read. */
#include "api/internal.h"

#include <stdlib.h>
#include <string.h>

/* npm's clients name it. It matters: yarn 1 takes a 401 without a JSON body for an answer, and says "success
 * Published." */
static bool asks_for_json(const struct http_request *req)
{
    const char *accept = http_header(req, "accept");
    return accept && (strstr(accept, "application/json") || strstr(accept, "application/vnd.npm."));
}

enum dialect dialect_of(struct http_request *req)
{
    const char *base, *rest;
    const struct format *format = root_of(req, req->target, &base, &rest);
    if (format)
        return (enum dialect)format->root_dialect;
    if (req->listener->dialect == DIALECT_PANTERA &&
        strncmp(req->target, "/api/v1/search", 14) == 0)
        return DIALECT_SEARCH;
    if (req->listener->dialect == DIALECT_PLAIN && asks_for_json(req))
        return DIALECT_JSON;
    return (enum dialect)req->listener->dialect;
}

static const char *json_body(struct arena *a, json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT);
    const char *copy = text ? arena_strdup(a, text) : "{}";
    free(text);
    json_decref(body);
    return copy;
}

/* The distribution specification's codes; for what it has none, those that its clients know of old. */
static const char *oci_code(enum err e)
{
    switch (err_status(e)) {
    case 401: return "UNAUTHORIZED";
    case 403: return "DENIED";
    case 404: return "NAME_UNKNOWN";
    case 405: case 406: case 415: case 501: return "UNSUPPORTED";
    case 411: case 413: return "SIZE_INVALID";
    case 416: return "BLOB_UPLOAD_INVALID";
    case 422: return "DIGEST_INVALID";
    case 429: return "TOOMANYREQUESTS";
    case 503: return "UNAVAILABLE";
    default: return err_status(e) < 500 ? "NAME_INVALID" : "UNKNOWN";
    }
}

const char *dialect_body(struct arena *a, enum dialect d, enum err e, const char *text,
                         const char **ret_type)
{
    *ret_type = "application/json";
    /* json_pack's s? … a text that is not UTF-8 (a header came back in it) must not lose the body. */
    json_t *message = json_string(text);
    if (!message)
        message = json_string(err_text(e));
    switch (d) {
    case DIALECT_PANTERA:
        return json_body(a, json_pack("{s:s, s:o, s:i}", "error", err_code(e), "message", message,
                                      "status", err_status(e)));
    case DIALECT_SEARCH:
        return json_body(a, json_pack("{s:i, s:o}", "code", err_status(e), "message", message));
    case DIALECT_OCI:
        return json_body(a, json_pack("{s:[{s:s, s:o}]}", "errors", "code", oci_code(e), "message",
                                      message));
    case DIALECT_JSON:
        return json_body(a, json_pack("{s:o}", "error", message));
    case DIALECT_PLAIN:
        json_decref(message);
        *ret_type = "text/plain; charset=utf-8";
        return arena_printf(a, "%s\n", text);
    case DIALECT_BARE:
        break;
    }
    json_decref(message);
    *ret_type = NULL;
    return "";
}
