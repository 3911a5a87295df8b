/* SPDX-License-Identifier: Apache-2.0 */
/* Paths → rows: a trie over segments, built once at start and then only read, by every worker. It knows
 * nothing of what a row means. */
#include <stdlib.h>
#include <string.h>

#include "conn.h"
#include "pantera/log.h"
#include "pantera/text.h"

enum { MAX_PARAMS = 4 };

struct row {
    struct row *next;
    unsigned methods;
    const void *row;
};

struct node {
    char *segment;           /* of a literal */
    size_t length;
    struct node **literals;  /* sorted by compare() */
    size_t literal_count;
    struct node *name, *rest;
    struct row *rows;        /* patterns that end here */
};

struct http_router {
    struct node root;
};

static void *must(void *p)
{
    if (!p)
        log_fatal("http", "out of memory: the router");
    return p;
}

struct http_router *http_router_new(void)
{
    return must(calloc(1, sizeof(struct http_router)));
}

static void free_node(struct node *n)
{
    if (!n)
        return;
    for (size_t i = 0; i < n->literal_count; i++) {
        free_node(n->literals[i]);
        free(n->literals[i]);
    }
    free(n->literals);
    free_node(n->name);
    free(n->name);
    free_node(n->rest);
    free(n->rest);
    while (n->rows) {
        struct row *next = n->rows->next;
        free(n->rows);
        n->rows = next;
    }
    free(n->segment);
}

void http_router_free(struct http_router *r)
{
    if (!r)
        return;
    free_node(&r->root);
    free(r);
}

static int compare(const char *segment, size_t length, const struct node *n)
{
    if (length != n->length)
        return length < n->length ? -1 : 1;
    return memcmp(segment, n->segment, length);
}

/* Index of the literal, or of where it would be. */
static bool find_literal(const struct node *n, const char *segment, size_t length, size_t *ret)
{
    size_t low = 0, high = n->literal_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = compare(segment, length, n->literals[middle]);
        if (order == 0) {
            *ret = middle;
            return true;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    *ret = low;
    return false;
}

static struct node *add_literal(struct node *n, const char *segment, size_t length)
{
    size_t at;
    if (find_literal(n, segment, length, &at))
        return n->literals[at];
    struct node *child = must(calloc(1, sizeof *child));
    child->segment = must(strndup(segment, length));
    child->length = length;
    n->literals = must(realloc(n->literals, (n->literal_count + 1) * sizeof *n->literals));
    memmove(n->literals + at + 1, n->literals + at,
            (n->literal_count - at) * sizeof *n->literals);
    n->literals[at] = child;
    n->literal_count++;
    return child;
}

static struct node *add_child(struct node **child)
{
    if (!*child)
        *child = must(calloc(1, sizeof **child));
    return *child;
}

void http_router_add(struct http_router *r, unsigned methods, const char *pattern, const void *row)
{
    check(pattern[0] == '/' && row);
    struct node *n = &r->root;
    unsigned params = 0;
    for (const char *at = pattern + 1;;) {
        size_t length = strcspn(at, "/");
        if (at[0] == ':')
            n = add_child(&n->name);
        else if (at[0] == '*')
            n = add_child(&n->rest);
        else
            n = add_literal(n, at, length);
        params += at[0] == ':';
        check(at[0] != '*' || !at[length]); /* *rest is the end */
        if (!at[length])
            break;
        at += length + 1;
    }
    check(params <= MAX_PARAMS);
    for (const struct row *other = n->rows; other; other = other->next)
        check(!(other->methods & methods)); /* two rows for the same thing */
    struct row *entry = must(calloc(1, sizeof *entry));
    *entry = (struct row){ n->rows, methods, row };
    n->rows = entry;
}

struct match {
    struct http_request *req;
    unsigned allowed;        /* methods of all patterns that fit the path */
    bool fits;
    size_t lengths[MAX_PARAMS];
    const char *at[MAX_PARAMS];
    const char *rest;
    const void *row;
};

static bool take_row(struct match *m, const struct node *n)
{
    const void *as_get = NULL;
    for (const struct row *row = n->rows; row; row = row->next) {
        m->fits = true;
        m->allowed |= row->methods;
        if (row->methods & m->req->method) {
            m->row = row->row;
            return true;
        }
        if (row->methods & HTTP_M_GET)
            as_get = row->row;
    }
    if (m->req->method != HTTP_M_HEAD || !as_get)
        return false;
    m->row = as_get;
    return true;
}

/* `at` is behind a slash. A pattern that fits the path but not the method lets a less specific one try.
 * The depth is that of the patterns. */
static bool walk(struct match *m, const struct node *n, const char *at, unsigned params)
{
    size_t length = strcspn(at, "/"), index;
    bool last = !at[length];
    if (find_literal(n, at, length, &index)) {
        const struct node *child = n->literals[index];
        if (last ? take_row(m, child) : walk(m, child, at + length + 1, params))
            return true;
    }
    if (n->name && length) {
        m->at[params] = at;
        m->lengths[params] = length;
        if (last ? take_row(m, n->name) : walk(m, n->name, at + length + 1, params + 1))
            return true;
        m->at[params] = NULL;
    }
    if (n->rest && take_row(m, n->rest)) {
        m->rest = at;
        return true;
    }
    return false;
}

static const char *list_allowed(struct http_request *req, unsigned allowed)
{
    static const unsigned all[] = { HTTP_M_GET, HTTP_M_HEAD, HTTP_M_PUT, HTTP_M_POST,
                                    HTTP_M_DELETE, HTTP_M_PATCH, HTTP_M_OPTIONS };
    const char *text = "";
    if (allowed & HTTP_M_GET)
        allowed |= HTTP_M_HEAD;
    allowed |= HTTP_M_OPTIONS;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (allowed & all[i])
            text = arena_printf(&req->arena, "%s%s%s", text, *text ? ", " : "",
                                http_method_name((enum http_method)all[i]));
    return text;
}

enum err http_route(const struct http_router *r, struct http_request *req, const char **ret_allow,
                    struct why *why)
{
    char *path;
    enum err e = path_normalise(&req->arena, req->target, strlen(req->target), &path, why);
    if (e)
        return e;
    struct match m = { .req = req };
    if (!walk(&m, &r->root, path + 1, 0)) {
        if (!m.fits)
            return ERR_NOT_FOUND;
        *ret_allow = list_allowed(req, m.allowed);
        return ERR_METHOD;
    }
    req->route = m.row;
    req->rest = m.rest;
    for (unsigned i = 0; i < MAX_PARAMS; i++)
        req->params[i] = m.at[i] ? arena_strndup(&req->arena, m.at[i], m.lengths[i]) : NULL;
    return OK;
}
