/* SPDX-License-Identifier: Apache-2.0 */
/* api/handlers.h: the handlers that routes.def names, declared. */
#ifndef API_HANDLERS_H
#define API_HANDLERS_H

#include "pantera/api.h"

#define ROUTE(method, pattern, permission, handler, ...) void handler(struct http_request *req);
#include "api/routes.def"
#undef ROUTE

#endif
