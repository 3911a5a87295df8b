/* SPDX-License-Identifier: Apache-2.0 */
/* Pages: what the seed says, where it is silent never an error: nonsense is the default. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/internal.h"
#include "pantera/limits.h"
#include "pantera/text.h"

/* So far that no table has it, and offsets stay far from overflow. */
#define LAST_PAGE ((int64_t)1 << 40)

static int64_t number(struct http_request *req, const char *name, int64_t otherwise)
{
    const char *text = query_get(&req->arena, req->query, name);
    char *end;
    if (!text || !*text)
        return otherwise;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    return *end || errno ? otherwise : v;
}

void api_page(struct http_request *req, int64_t default_size, struct page *ret)
{
    const char *direction = query_get(&req->arena, req->query, "sort_dir");
    int64_t page = number(req, "page", 0), size = number(req, "size", default_size);
    *ret = (struct page){
        .page = page < 0 ? 0 : page > LAST_PAGE ? LAST_PAGE : page,
        .size = size <= 0 ? default_size : size > LIMIT_PAGE_SIZE ? LIMIT_PAGE_SIZE : size,
        .q = query_get(&req->arena, req->query, "q"),
        .sort = query_get(&req->arena, req->query, "sort"),
        .descending = direction && strcasecmp(direction, "desc") == 0,
    };
}

json_t *api_page_json(const struct page *p, json_t *items, int64_t total)
{
    return json_pack("{s:o, s:I, s:I, s:I, s:b}", "items", items, "page", (json_int_t)p->page,
                     "size", (json_int_t)p->size, "total", (json_int_t)total, "hasMore",
                     (p->page + 1) * p->size < total);
}
