/* SPDX-License-Identifier: Apache-2.0 */
/* api/downloads.c: bytes for people with a browser: with a token of ours, or with a download token, which may
 * stand in a URL because it is worth one file for a minute. Any node takes what any node gave: the key is the
 * cluster's, sealed in the replica. A token is good for as long as its user is. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/artifacts.h"
#include "api/internal.h"
#include "pantera/clock.h"
#include "pantera/limits.h"
#include "pantera/meta_artifact.h"
#include "pantera/meta_search.h"
#include "pantera/text.h"

enum { TOKEN_SECONDS = 60, SIGNATURE = 32 };

/* --- sending --- */

/* RFC 6266: quoted ASCII for everyone, and the real name in UTF-8 if that is another. */
static const char *disposition(struct arena *a, const char *name)
{
    char *ascii = arena_strdup(a, name);

    for (char *c = ascii; *c; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e || *c == '"' || *c == '\\' || *c == '%')
            *c = '_';
    if (!strcmp(ascii, name))
        return arena_printf(a, "attachment; filename=\"%s\"", ascii);
    return arena_printf(a, "attachment; filename=\"%s\"; filename*=UTF-8''%s", ascii,
                        percent_encode(a, name, false));
}

static void send_file(struct http_request *req, const struct repo *repo, const char *path)
{
    struct registry_as *as = arena_alloc(&req->arena, sizeof *as);
    struct why why = { "" };

    if (registry_allowed(worker_of(req)->registry, repo, path, &why)) {
        api_fail(req, ERR_FORBIDDEN, &why);
        return;
    }
    as->content_type = "application/octet-stream";
    as->disposition = disposition(&req->arena, artifacts_file_name(path));
    if (!registry_get_as(req, repo, path, as, api_fail))
        api_fail_text(req, ERR_NOT_FOUND, "'%.200s' not found", path);
}

void artifacts_download(struct http_request *req)
{
    const struct repo *repo = artifacts_repo(req, REPO_READ);
    const char *path = repo ? artifacts_query_path(req, PATH_FILE) : NULL;

    if (path)
        send_file(req, repo, path);
}

/* --- download tokens: base64url(claims) "." base64url(HMAC-SHA256(claims)) --- */

/* The claims, a line each; none of them can hold a line break. */
enum claim { C_VERSION, C_REPO, C_USER, C_EPOCH, C_EXPIRES, C_PATH, CLAIMS };

/* The cluster's key; NULL: none was made yet, or it can't be opened. */
static const unsigned char *key_read(struct http_request *req, size_t *ret_size)
{
    const struct seal_key *seal = cluster_seal_key(worker_of(req)->cluster);
    const char *sealed = download_key_sealed(worker_of(req)->reader, &req->arena);
    void *key = NULL;

    if (!sealed || unseal(&req->arena, seal, "download_key", sealed, &key, ret_size, NULL))
        return NULL;
    return key;
}

static void token_reply(struct http_request *req, const unsigned char *key, size_t key_size)
{
    const struct principal *p = principal_of(req);
    const struct repo *repo = artifacts_repo(req, REPO_READ);
    const char *path = repo ? artifacts_query_path(req, PATH_FILE) : NULL, *claims, *token;
    struct arena *a = &req->arena;
    unsigned char signature[SIGNATURE];
    struct artifact_row row;

    if (!path)
        return;
    if (artifact_get(worker_of(req)->reader, a, repo->id, path, &row)) {
        artifacts_missing(req, path);
        return;
    }
    claims = arena_printf(a, "1\n%lld\n%s\n%lld\n%lld\n%s", (long long)repo->id, p->name,
                          (long long)p->epoch_ms, (long long)clock_wall_ms() + TOKEN_SECONDS * 1000, path);
    hmac_sha256(key, key_size, claims, strlen(claims), signature);
    token = arena_printf(a, "%s.%s", base64url_encode(a, claims, strlen(claims)),
                         base64url_encode(a, signature, sizeof signature));
    api_json(req, 200, json_pack("{s:s, s:i}", "token", token, "expires_in", TOKEN_SECONDS));
}

static void on_key_made(struct http_request *req, json_t *result)
{
    size_t size;
    const unsigned char *key = key_read(req, &size);

    (void)result;
    if (key)
        token_reply(req, key, size);
    else
        api_fail_text(req, ERR_INTERNAL, "the key of download tokens can't be opened");
}

void artifacts_download_token(struct http_request *req)
{
    size_t size;
    const unsigned char *key = key_read(req, &size);

    if (key)
        token_reply(req, key, size);
    else if (artifacts_repo(req, REPO_READ))
        api_propose(req, "download_key.make", json_object(), on_key_made);
}

static bool number_read(const char *text, int64_t *ret)
{
    char *end;

    errno = 0;
    *ret = strtoll(text, &end, 10);
    return end != text && !*end && !errno;
}

static enum err token_read(struct http_request *req, const char *text, char *ret[CLAIMS], struct why *why)
{
    static const char *const bad = "the download token is not valid";
    const char *dot = text && strlen(text) <= LIMIT_TOKEN ? strchr(text, '.') : NULL;
    struct arena *a = &req->arena;
    unsigned char wanted[SIGNATURE];
    const unsigned char *key;
    size_t size, given_size, key_size;
    char *claims = dot ? base64_decode(a, text, (size_t)(dot - text), &size) : NULL;
    unsigned char *given = dot ? base64_decode(a, dot + 1, strlen(dot + 1), &given_size) : NULL;

    if (!claims || !given || given_size != SIGNATURE || !(key = key_read(req, &key_size)))
        return fail(why, ERR_UNAUTHORIZED, "%s", bad);
    hmac_sha256(key, key_size, claims, size, wanted);
    if (!equal_constant_time(given, wanted, SIGNATURE))
        return fail(why, ERR_UNAUTHORIZED, "%s", bad);
    /* From here on it is what we wrote, perhaps another version of us. */
    for (unsigned i = 0; i < CLAIMS; i++) {
        ret[i] = claims;
        claims = claims ? strchr(claims, '\n') : NULL;
        if (claims)
            *claims++ = 0;
        if ((claims != NULL) != (i + 1 < CLAIMS))
            return fail(why, ERR_UNAUTHORIZED, "%s", bad);
    }
    return strcmp(ret[C_VERSION], "1") ? fail(why, ERR_UNAUTHORIZED, "%s", bad) : OK;
}

void artifacts_download_direct(struct http_request *req)
{
    const char *name = req->params[0];
    const struct repo *repo;
    struct why why = { "" };
    int64_t repo_id = 0, epoch = 0, expires = 0;
    char *c[CLAIMS];
    enum err e = token_read(req, query_get(&req->arena, req->query, "token"), c, &why);

    if (!e && (!number_read(c[C_REPO], &repo_id) || !number_read(c[C_EPOCH], &epoch) ||
               !number_read(c[C_EXPIRES], &expires) || expires <= clock_wall_ms()))
        e = fail(&why, ERR_UNAUTHORIZED, "the download token has expired");
    if (!e)
        e = auth_vouch(worker_of(req)->auth, req, c[C_USER], epoch, &why);
    if (!e && (!may(principal_of(req), PERM_REPO_GET) || !may_repo(principal_of(req), name, REPO_READ)))
        e = fail(&why, ERR_FORBIDDEN, "Insufficient permissions");
    repo = e ? NULL : registry_repo(worker_of(req)->registry, name);
    if (!e && (!repo || repo->id != repo_id))
        e = fail(&why, ERR_UNAUTHORIZED, "the download token is for another repository");
    if (e)
        api_refuse(req, e, &why);
    else
        send_file(req, repo, c[C_PATH]);
}
