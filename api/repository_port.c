/* SPDX-License-Identifier: Apache-2.0 */
/* The repository port: what is ours begins with a dot; the rest is /:repo/… in the forms that
 * rest-endpoints lists (a global prefix, /api/, a type's name before the repository), handed to the
 * format of the repository. Who asks is known before any name is looked up: names don't leak. */
#include <stdlib.h>
#include <string.h>

#include "api/internal.h"
#include "api/settings.h"
#include "pantera/format.h"
#include "pantera/meta_setting.h"
#include "pantera/registry.h"
#include "pantera/text.h"

static bool is_prefix(struct http_request *req, const char *segment, size_t length)
{
    const json_t *item, *list = setting_now(worker_of(req)->reader, "prefixes");
    size_t i;
    json_array_foreach((json_t *)list, i, item)
        if (json_is_string(item) && json_string_length(item) == length &&
            memcmp(json_string_value(item), segment, length) == 0)
            return true;
    return false;
}

/* "a/b/c" → "a", and what follows the slash ("" at the end). */
static const char *segment_of(struct http_request *req, const char *path, const char **ret_rest)
{
    size_t n = strcspn(path, "/");
    *ret_rest = path[n] ? path + n + 1 : path + n;
    return arena_strndup(&req->arena, path, n);
}

static const struct repo *repo_find(struct http_request *req, const char *path,
                                    const char **ret_name, const char **ret_path)
{
    struct registry *registry = worker_of(req)->registry;
    const char *rest, *deeper, *first = segment_of(req, path, &rest);
    if (strcmp(first, "api") == 0 && *rest) {
        first = segment_of(req, rest, &rest);
        /* A type's name only if a repository follows; else it is the repository. */
        if (format_by_alias(first) && *rest) {
            const char *second = segment_of(req, rest, &deeper);
            const struct repo *repo = registry_repo(registry, second);
            if (repo) {
                *ret_name = second;
                *ret_path = deeper;
                return repo;
            }
        }
    }
    *ret_name = first;
    *ret_path = rest;
    return registry_repo(registry, first);
}

const struct format *root_of(struct http_request *req, const char *path, const char **ret_base,
                             const char **ret_rest)
{
    size_t skip = *path == '/', first = strcspn(path + skip, "/"), n;
    if (req->listener->on_request != api_on_repository_request)
        return NULL;
    if (is_prefix(req, path + skip, first))
        skip += first + (path[skip + first] == '/');
    n = strcspn(path + skip, "/");
    const struct format *f = n ? format_by_root(path + skip, n) : NULL;
    if (f) {
        *ret_base = arena_strndup(&req->arena, path, skip + n);
        *ret_rest = path + skip + n + (path[skip + n] == '/');
    }
    return f;
}

/* Without the global prefix. */
static const char *unprefixed(struct http_request *req, const char *whole)
{
    size_t first = strcspn(whole, "/");
    if (is_prefix(req, whole, first))
        whole += whole[first] ? first + 1 : first;
    return whole;
}

/* What of the target stands before `path`, which may have been decoded: slash by slash from the end. */
static const char *base_of(struct http_request *req, const char *path)
{
    const char *end = req->target + strlen(req->target);
    unsigned slashes = *path || end[-1] == '/';
    for (const char *c = path; *c; c++)
        slashes += *c == '/';
    while (end > req->target && slashes) {
        end--;
        slashes -= *end == '/' || !strncasecmp(end, "%2f", 3);
    }
    return arena_strndup(&req->arena, req->target, (size_t)(end - req->target));
}

/* A format's own way to sign in. Others' names don't leak: whatever else is asked goes to the guard. */
static bool anonymous(struct http_request *req, const char *whole)
{
    const char *name, *path;
    if (!(req->method & (HTTP_M_PUT | HTTP_M_POST)))
        return false;
    const struct repo *repo = repo_find(req, unprefixed(req, whole), &name, &path);
    const struct format *format = repo ? format_find(repo->format) : NULL;
    if (!format || !format->anonymous || !format->anonymous(req, path))
        return false;
    if (cluster_current(worker_of(req)->cluster))
        format->handle(req, repo, path);
    else
        api_fail(req, ERR_NOT_CURRENT, NULL);
    return true;
}

/* npm signs out by DELETE …/-/user/token/<token>, with the same token in Authorization. A secret is no part
 * of a path: no log shall show it, and it may be longer than one can be. What its place says is all a handler
 * needs. */
static void token_hidden(struct http_request *req)
{
    static const char place[] = "/-/user/token/";
    const char *at = req->method == HTTP_M_DELETE ? strstr(req->target, place) : NULL;
    const char *header = at ? http_header(req, "authorization") : NULL;
    if (!at || !at[sizeof place - 1])
        return;
    at += sizeof place - 1;
    if (header && !strncasecmp(header, "Bearer ", 7))
        header += 7 + strspn(header + 7, " ");
    bool same = header && strlen(header) == strlen(at) && equal_constant_time(header, at, strlen(at));
    req->target = arena_printf(&req->arena, "%.*s%s", (int)(at - req->target), req->target,
                               same ? "self" : "another");
}

/* npm's clients send the slash of a scoped name encoded ("@scope%2fname"), as the one place of a path where
 * it separates nothing for them. For us it does; all else of it is judged as any path. */
static const char *scopes_opened(struct http_request *req, const char *target)
{
    char *copy = NULL;
    if (!strchr(target, '%'))
        return target;
    for (const char *at = strchr(target, '/'); at; at = strchr(at + 1, '/')) {
        size_t n = strcspn(at + 1, "/");
        bool scope = at[1] == '@' || !strncmp(at + 1, "%40", 3);
        const char *encoded = scope ? strcasestr(at + 1, "%2f") : NULL;
        if (!encoded || encoded >= at + 1 + n)
            continue;
        copy = arena_strndup(&req->arena, target, (size_t)(encoded - target));
        target = arena_printf(&req->arena, "%s/%s", copy, encoded + 3);
        at = target + strlen(copy);
    }
    return target;
}

/* Who may do nothing at all with a repository is told what he would be told if there were none. A format with
 * a root of its own has permissions of its own (images). */
static bool hidden(const struct http_request *req, const struct repo *repo)
{
    const struct principal *p = req->principal;
    const struct format *format = format_find(repo->format);
    if (format && format->handle_root)
        return !may_see(p, repo->name);
    return !may_repo(p, repo->name, REPO_READ) && !may_repo(p, repo->name, REPO_WRITE) &&
           !may_repo(p, repo->name, REPO_DELETE);
}

static void guarded(struct http_request *req, enum err e, const struct why *why, void *arg)
{
    const char *name, *path, *base, *whole = arg;
    if (e) {
        api_fail(req, e, why);
        return;
    }
    if (must_change_first(req)) {
        api_fail_text(req, ERR_FORBIDDEN, "the password must be changed first");
        return;
    }
    const struct format *format = root_of(req, whole - 1, &base, &path);
    if (format) {
        format->handle_root(req, base, path);
        return;
    }
    if (((const struct principal *)req->principal)->scope) {
        api_fail_text(req, ERR_UNAUTHORIZED, "this token is for images only");
        return;
    }
    if (strncmp(whole, ".import/", 8) == 0) {
        import_handle(req, whole + 8);
        return;
    }
    whole = unprefixed(req, whole);
    if (!*whole) {
        http_reply(req, 204, NULL, "", 0);
        return;
    }
    const struct repo *repo = repo_find(req, whole, &name, &path);
    if (!repo || hidden(req, repo)) {
        struct why unknown;
        api_refuse(req, fail(&unknown, ERR_NOT_FOUND, "Repository '%.200s' not found", name),
                   &unknown);
        return;
    }
    format = format_find(repo->format);
    req->base = base_of(req, path);
    if (format)
        format->handle(req, repo, path);
    else
        api_fail_text(req, ERR_NOT_IMPLEMENTED, "no format '%.60s' here", repo->format);
}

static void reply_json(struct http_request *req, int status, const char *text)
{
    http_reply(req, status, "application/json", text, strlen(text));
}

static void get_ready(struct http_request *req)
{
    if (cluster_current(worker_of(req)->cluster)) {
        reply_json(req, 200, "{\"status\":\"ready\"}");
        return;
    }
    http_set_header(req, "Retry-After", "1");
    reply_json(req, 503, "{\"status\":\"not current\"}");
}

/* What is public. No I/O in any of it. */
static bool special(struct http_request *req)
{
    const char *t = req->target;
    bool get = req->method & (HTTP_M_GET | HTTP_M_HEAD);
    if (strcmp(t, "/.health") == 0) {
        reply_json(req, 200, "{\"status\":\"ok\"}");
    } else if (strcmp(t, "/") == 0 || strcmp(t, "*") == 0 || !*t) {
        http_reply(req, 204, NULL, "", 0);
    } else if (strcmp(t, "/.ready") != 0 && strcmp(t, "/.version") != 0) {
        return false;
    } else if (!get) {
        http_set_header(req, "Allow", "GET, HEAD");
        api_fail(req, ERR_METHOD, NULL);
    } else if (t[1 + 1] == 'r') {
        get_ready(req);
    } else {
        reply_json(req, 200, "[{\"version\":\"" PANTERA_VERSION "\"}]");
    }
    return true;
}

static void entered(struct http_request *req)
{
    struct why why = { "" };
    char *path;
    settings_apply(worker_of(req));
    token_hidden(req);
    const char *target = scopes_opened(req, req->target);
    enum err e = path_normalise(&req->arena, target, strlen(target), &path, &why);
    if (e)
        (strncmp(req->target, "/.import/", 9) == 0 ? import_refuse : api_fail)(req, e, &why);
    else if (!anonymous(req, path + 1))
        auth_guard(worker_of(req)->auth, req, PERM_SCOPED, guarded, path + 1);
}

void api_on_repository_request(struct http_request *req)
{
    metrics_began(req);
    if (!special(req))
        gate_enter(req, entered);
}
