/* SPDX-License-Identifier: Apache-2.0 */
/* What people decide about a hosted Python project: that a version is yanked, what status the project has.
 * Uploading is publishing to it, so this takes the same permission: to write to the repository. */
#include <string.h>

#include "api/artifacts.h"
#include "api/internal.h"
#include "pantera/format_pypi.h"

enum { REASON = 1024 };

static void on_done(struct http_request *req, enum err e, const struct why *why)
{
    if (e)
        api_fail(req, e, why);
    else
        api_done(req, 204, NULL);
}

/* An optional reason; false after it has answered. */
static bool reason_of(struct http_request *req, const json_t *body, const char **ret)
{
    bool bad = false;

    *ret = api_string(body, "reason", &bad);
    if (!bad && (!*ret || strlen(*ret) <= REASON))
        return true;
    api_fail_text(req, ERR_BAD_REQUEST, "'reason' must be a string of at most %d bytes", REASON);
    return false;
}

static void yank_body(struct http_request *req, json_t *body)
{
    const struct repo *repo = artifacts_repo(req, REPO_WRITE);
    const char *reason;

    if (repo && reason_of(req, body, &reason))
        pypi_yank(req, repo, req->params[1], req->params[2], true, reason, on_done);
}

void pypi_yank_post(struct http_request *req)
{
    if (!artifacts_repo(req, REPO_WRITE))
        return;
    if (req->has_body)
        api_body(req, yank_body);
    else
        yank_body(req, NULL);
}

void pypi_unyank_post(struct http_request *req)
{
    const struct repo *repo = artifacts_repo(req, REPO_WRITE);

    if (repo)
        pypi_yank(req, repo, req->params[1], req->params[2], false, NULL, on_done);
}

static void status_body(struct http_request *req, json_t *body)
{
    const struct repo *repo = artifacts_repo(req, REPO_WRITE);
    const char *status, *reason;
    bool bad = false;

    if (!repo || !reason_of(req, body, &reason))
        return;
    status = api_string(body, "status", &bad);
    if (bad || !status)
        api_fail_text(req, ERR_BAD_REQUEST, "'status' is required and must be a string");
    else
        pypi_set_status(req, repo, req->params[1], status, reason, on_done);
}

void pypi_status_put(struct http_request *req)
{
    if (artifacts_repo(req, REPO_WRITE))
        api_body(req, status_body);
}
