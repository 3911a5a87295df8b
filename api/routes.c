/* SPDX-License-Identifier: Apache-2.0 */
/* routes.def as a table. A row without a permission does not compile. */
#include "api/internal.h"
#include "pantera/limits.h"

#define ROUTE(method, pattern, permission, handler, limit, summary) \
    _Static_assert((int)PERM_##permission != (int)PERM_UNSET, pattern " needs a permission");
#include "api/routes.def"
#undef ROUTE

const struct api_route api_routes[] = {
#define ROUTE(method, pattern, permission, handler, limit, summary) \
    { HTTP_M_##method, pattern, PERM_##permission, handler, limit, summary, #handler },
#include "api/routes.def"
#undef ROUTE
};
const unsigned api_routes_count = sizeof api_routes / sizeof *api_routes;
