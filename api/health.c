/* SPDX-License-Identifier: Apache-2.0 */
/* Liveness of the management port: no I/O, no lease. */
#include "api/internal.h"

void health_get(struct http_request *req)
{
    static const char body[] = "{\"status\":\"ok\"}";
    http_reply(req, 200, "application/json", body, sizeof body - 1);
}
