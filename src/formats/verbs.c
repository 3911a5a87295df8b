/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/verbs.c: one table of verbs a format, and what proxies and groups leave of it. */
#include "src/formats/verbs.h"

#include "pantera/auth.h"
#include "pantera/document.h"

/* What a proxy has cached may be dropped; nothing may be put there. */
static bool offered(const struct repo *repo, const struct format_verb *v, unsigned method)
{
    enum repo_kind kind = repository_kind(repo);

    return kind == REPO_LOCAL || v->action == REPO_READ ||
           (kind == REPO_PROXY && method == HTTP_M_DELETE && v->action == REPO_DELETE);
}

static const char *allowed(struct arena *a, const struct repo *repo, const struct format_verb *verbs)
{
    static const unsigned methods[] = { HTTP_M_GET, HTTP_M_HEAD, HTTP_M_PUT, HTTP_M_POST, HTTP_M_PATCH,
                                        HTTP_M_DELETE };
    const char *list = "";

    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        for (const struct format_verb *v = verbs; v->methods; v++)
            if (v->methods & methods[i] && offered(repo, v, methods[i]))
                list = arena_printf(a, "%s%s, ", list, http_method_name(methods[i]));
    return arena_printf(a, "%sOPTIONS", list);
}

static void refuse(struct http_request *req, const struct repo *repo, const struct format_verb *verbs,
                   bool known, registry_fail_cb *failed)
{
    const char *kind = repository_kind(repo) == REPO_PROXY ? "proxy" : "group";
    struct why why = { "" };

    http_set_header(req, "Allow", allowed(&req->arena, repo, verbs));
    if (known)
        fail(&why, ERR_METHOD, "'%.100s' is a %s: upload to a hosted repository", repo->name, kind);
    failed(req, ERR_METHOD, &why);
}

void format_dispatch(struct http_request *req, const struct repo *repo, const char *path,
                     const struct format_verb *verbs, registry_fail_cb *failed)
{
    const struct format_verb *v = verbs;
    struct why why;

    while (v->methods && !(v->methods & req->method))
        v++;
    if (!v->methods || !offered(repo, v, req->method)) {
        refuse(req, repo, verbs, v->methods != 0, failed);
    } else if (!may_repo(req->principal, repo->name, v->action)) {
        fail(&why, ERR_FORBIDDEN, "'%.100s' has no permission to %s repository '%.100s'",
             req->user ? req->user : "nobody", v->what, repo->name);
        failed(req, ERR_FORBIDDEN, &why);
    } else {
        v->handle(req, repo, path);
    }
}
