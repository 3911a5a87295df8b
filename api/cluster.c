/* SPDX-License-Identifier: Apache-2.0 */
/* Members and leadership: the operator's calls, answered by the leader. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/internal.h"

static void answered(struct http_request *req, json_t *result)
{
    api_done(req, 200, result ? json_incref(result) : json_object());
}

void cluster_get(struct http_request *req)
{
    api_propose(req, "cluster.status", json_object(), answered);
}

static void member_add(struct http_request *req, json_t *body)
{
    bool bad = false;
    const json_t *id = json_object_get(body, "id");
    const char *address = api_string(body, "address", &bad);
    if (!json_is_integer(id) || json_integer_value(id) < 1 || json_integer_value(id) > 1000000 ||
        !address || strlen(address) > 255 || !strrchr(address, ':')) {
        api_fail_text(req, ERR_BAD_REQUEST, "expected {\"id\": 1…, \"address\": \"host:port\"}");
        return;
    }
    api_propose(req, "cluster.add",
                json_pack("{s:I, s:s}", "id", json_integer_value(id), "address", address),
                answered);
}

void cluster_members_post(struct http_request *req)
{
    api_body(req, member_add);
}

void cluster_members_delete(struct http_request *req)
{
    char *end;
    errno = 0;
    long id = strtol(req->params[0], &end, 10);
    if (*end || errno || id < 1 || id > 1000000) {
        api_fail_text(req, ERR_BAD_REQUEST, "a member's id is a number");
        return;
    }
    api_propose(req, "cluster.remove", json_pack("{s:I}", "id", (json_int_t)id), answered);
}

static void transfer(struct http_request *req, json_t *body)
{
    const json_t *id = json_object_get(body, "id");
    if (id && (!json_is_integer(id) || json_integer_value(id) < 0)) {
        api_fail_text(req, ERR_BAD_REQUEST, "a member's id is a number");
        return;
    }
    api_propose(req, "cluster.transfer", json_pack("{s:I}", "id", json_integer_value(id)), answered);
}

static void transfer_any(struct http_request *req)
{
    api_propose(req, "cluster.transfer", json_pack("{s:i}", "id", 0), answered);
}

void cluster_transfer_post(struct http_request *req)
{
    if (req->has_body)
        api_body(req, transfer);
    else
        transfer_any(req);
}
