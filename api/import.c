/* SPDX-License-Identifier: Apache-2.0 */
/* PUT or POST /.import/<repository>/<path> of the repository port: an artifact from elsewhere, with what is
 * known about it in headers and a key that makes repeating safe. docs/guide/import.md.
 *
 *   headers → permission → is the key known?   yes: its bytes are compared, nothing is written
 *                                               no: registry_put_as, whose one operation makes artifact and
 *                                                   key visible together, or neither. A format with
 *                                                   indexes takes the bytes instead (format.import), and
 *                                                   its commit writes the key besides
 *
 * Each answer has seed 000's shape: {"status", "message", "size", "digests"}. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/internal.h"
#include "pantera/format.h"
#include "pantera/limits.h"
#include "pantera/log.h"
#include "pantera/meta_import.h"
#include "pantera/registry.h"
#include "pantera/text.h"

enum { IMPORTS = 64, TEXT_MOST = 255, QUEUE_RETRY_S = 5 };
static atomic_uint running; /* of this process; more are asked to come again */

/* Both sets of names: seed 000's, and those that the original understands. */
enum mode { VERIFY, STORE, NONE };
static const struct {
    const char *name;
    enum mode mode;
} modes[] = {
    { "VERIFY", VERIFY }, { "COMPUTE", VERIFY }, { "STORE", STORE },
    { "METADATA", STORE }, { "NONE", NONE }, { "SKIP", NONE },
};

struct import {
    int64_t repo_id, size, created_ms, release_ms; /* the last three -1: not said */
    const char *path, *type, *key, *name, *version, *owner;
    struct digest_values given;
    enum mode mode;
    bool metadata_only;
    struct import_session known; /* of a key that was used */
    struct digester *digester;
    int64_t seen;
};

/* --- answers --- */

static void digest_set(json_t *digests, const char *name, const void *data, size_t size)
{
    char hex[129];
    hex_encode(data, size, hex);
    json_object_set_new(digests, name, json_string(hex));
}

static void answer(struct http_request *req, int code, const char *status, const char *message,
                   int64_t size, const struct digest_values *d)
{
    json_t *digests = json_object();
    if (d && d->kinds & DIGEST_SHA1)
        digest_set(digests, "sha1", d->sha1, 20);
    if (d && d->kinds & DIGEST_SHA256)
        digest_set(digests, "sha256", d->sha256, 32);
    if (d && d->kinds & DIGEST_MD5)
        digest_set(digests, "md5", d->md5, 16);
    json_t *text = json_string(message); /* NULL: a header that is not UTF-8 came back in it */
    api_done(req, code, json_pack("{s:s, s:o, s:I, s:o}", "status", status, "message",
                                  text ? text : json_string(status), "size", (json_int_t)size,
                                  "digests", digests));
}

static void retry_later(struct http_request *req, unsigned seconds, const char *message)
{
    http_set_header(req, "Retry-After", arena_printf(&req->arena, "%u", seconds));
    answer(req, 503, "RETRY_LATER", message, 0, NULL);
}

static void import_fail(struct http_request *req, enum err e, const struct why *why,
                        const struct registry_put_result *result)
{
    const char *text = why_text(why, e);
    int code = err_status(e);
    if (code == 503) {
        retry_later(req, 1, text);
        return;
    }
    if (code >= 500)
        log_error("api", "request %s: %s: %s", req->id, err_name(e), text);
    if (e == ERR_DIGEST_MISMATCH)
        answer(req, 409, "CHECKSUM_MISMATCH", text, result ? result->size : 0,
               result ? &result->digests : NULL);
    else
        answer(req, code, e == ERR_BAD_REQUEST ? "INVALID_METADATA" : err_code(e), text, 0, NULL);
}

void import_refuse(struct http_request *req, enum err e, const struct why *why)
{
    import_fail(req, e, why, NULL);
}

/* What was read from the replica is true only if this node was current afterwards. */
static bool current(struct http_request *req)
{
    if (cluster_current(worker_of(req)->cluster))
        return true;
    import_fail(req, ERR_NOT_CURRENT, NULL, NULL);
    return false;
}

/* --- headers --- */

static enum err text_header(const struct http_request *req, const char *name, const char *shown,
                            bool needed, size_t most, const char **ret, struct why *why)
{
    const char *text = http_header(req, name);
    *ret = text && *text ? text : NULL;
    if (!*ret)
        return needed ? fail(why, ERR_BAD_REQUEST, "Missing required header %s", shown) : OK;
    if (strlen(text) > most || !utf8_valid(text, strlen(text)))
        return fail(why, ERR_BAD_REQUEST, "%s must be valid text of at most %zu bytes", shown, most);
    return OK;
}

static enum err number_header(const struct http_request *req, const char *name, const char *shown,
                              int64_t *ret, struct why *why)
{
    const char *text = http_header(req, name);
    char *end;
    *ret = -1;
    if (!text || !*text)
        return OK;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || n > 1ll << 53)
        return fail(why, ERR_BAD_REQUEST, "%s is not a number", shown);
    *ret = n;
    return OK;
}

static enum err digest_header(const struct http_request *req, const char *name, unsigned kind,
                              void *ret, size_t size, unsigned *kinds, struct why *why)
{
    const char *text = http_header(req, name);
    if (!text || !*text)
        return OK;
    if (strlen(text) != 2 * size || !hex_decode(text, 2 * size, ret))
        return fail(why, ERR_BAD_REQUEST, "%s is not %zu hexadecimal digits", name, 2 * size);
    *kinds |= kind;
    return OK;
}

static enum err mode_header(const struct http_request *req, enum mode *ret, struct why *why)
{
    const char *text = http_header(req, "x-pantera-checksum-mode");
    *ret = VERIFY;
    if (!text || !*text)
        return OK;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcasecmp(modes[i].name, text) == 0) {
            *ret = modes[i].mode;
            return OK;
        }
    return fail(why, ERR_BAD_REQUEST, "X-Pantera-Checksum-Mode is VERIFY, STORE or NONE");
}

static enum err flag_header(const struct http_request *req, const char *name, const char *shown,
                            bool *ret, struct why *why)
{
    const char *text = http_header(req, name);
    *ret = text && strcasecmp(text, "true") == 0;
    if (*ret || !text || !*text || strcasecmp(text, "false") == 0)
        return OK;
    return fail(why, ERR_BAD_REQUEST, "%s is true or false", shown);
}

static enum err headers_read(const struct http_request *req, struct import *i, struct why *why)
{
    struct digest_values *d = &i->given;
    const struct {
        const char *name, *shown;
        bool needed;
        size_t most;
        const char **ret;
    } texts[] = {
        { "x-pantera-repo-type", "X-Pantera-Repo-Type", true, TEXT_MOST, &i->type },
        { "x-pantera-idempotency-key", "X-Pantera-Idempotency-Key", true, IMPORT_KEY_MOST, &i->key },
        { "x-pantera-artifact-name", "X-Pantera-Artifact-Name", false, LIMIT_PATH, &i->name },
        { "x-pantera-artifact-version", "X-Pantera-Artifact-Version", false, TEXT_MOST, &i->version },
        { "x-pantera-artifact-owner", "X-Pantera-Artifact-Owner", false, TEXT_MOST, &i->owner },
    };
    const struct {
        const char *name, *shown;
        int64_t *ret;
    } numbers[] = {
        { "x-pantera-artifact-size", "X-Pantera-Artifact-Size", &i->size },
        { "x-pantera-artifact-created", "X-Pantera-Artifact-Created", &i->created_ms },
        { "x-pantera-artifact-release", "X-Pantera-Artifact-Release", &i->release_ms },
    };
    const struct {
        const char *name;
        unsigned kind;
        void *ret;
        size_t size;
    } digests[] = {
        { "x-pantera-checksum-sha256", DIGEST_SHA256, d->sha256, 32 },
        { "x-pantera-checksum-sha1", DIGEST_SHA1, d->sha1, 20 },
        { "x-pantera-checksum-md5", DIGEST_MD5, d->md5, 16 },
    };
    enum err e = OK;
    for (size_t n = 0; n < sizeof texts / sizeof *texts && !e; n++)
        e = text_header(req, texts[n].name, texts[n].shown, texts[n].needed, texts[n].most,
                        texts[n].ret, why);
    for (size_t n = 0; n < sizeof numbers / sizeof *numbers && !e; n++)
        e = number_header(req, numbers[n].name, numbers[n].shown, numbers[n].ret, why);
    for (size_t n = 0; n < sizeof digests / sizeof *digests && !e; n++)
        e = digest_header(req, digests[n].name, digests[n].kind, digests[n].ret, digests[n].size,
                          &d->kinds, why);
    if (!e)
        e = mode_header(req, &i->mode, why);
    return e ? e : flag_header(req, "x-pantera-metadata-only", "X-Pantera-Metadata-Only",
                               &i->metadata_only, why);
}

/* What is sent as Maven must not end up among npm packages. */
static enum err target_check(const struct repo *repo, const struct import *i, struct why *why)
{
    const struct format *named = format_by_alias(i->type);
    enum format_caps cap;
    size_t n = strlen(i->path);
    if (!format_of_type(repo->type, &cap) || cap != FORMAT_LOCAL)
        return fail(why, ERR_BAD_REQUEST, "'%.200s' is a %s: only hosted repositories can be imported to",
                    repo->name, repo->type);
    if (strcasecmp(i->type, repo->type) != 0 && (!named || strcmp(named->name, repo->format) != 0))
        return fail(why, ERR_BAD_REQUEST, "'%.200s' is of type %s, not of X-Pantera-Repo-Type '%.60s'",
                    repo->name, repo->type, i->type);
    if (n == 0 || i->path[n - 1] == '/')
        return fail(why, ERR_BAD_REQUEST, "an artifact's path can't be empty or end in '/'");
    return format_find(repo->format)->importable ? format_find(repo->format)->importable(repo, i->path, why)
                                                 : OK;
}

/* --- a new import --- */

static void digest_text_set(json_t *session, const struct digest_values *d)
{
    if (d->kinds & DIGEST_SHA256)
        digest_set(session, "sha256", d->sha256, 32);
    if (d->kinds & DIGEST_SHA1)
        digest_set(session, "sha1", d->sha1, 20);
    if (d->kinds & DIGEST_MD5)
        digest_set(session, "md5", d->md5, 16);
}

/* STORE keeps the client's SHA-1 and MD5 unseen. SHA-256 names the bytes here and is always computed. */
static json_t *session_json(const struct http_request *req, const struct import *i)
{
    bool told = i->metadata_only || i->mode == STORE;
    json_t *s = json_pack("{s:s, s:s, s:b, s:b, s:s*, s:s*, s:s*}", "key", i->key, "repo_type", i->type,
                          "told", told, "metadata_only", i->metadata_only, "name", i->name, "version",
                          i->version, "by", req->user);
    if (i->created_ms >= 0)
        json_object_set_new(s, "created_ms", json_integer(i->created_ms));
    if (i->release_ms >= 0)
        json_object_set_new(s, "release_ms", json_integer(i->release_ms));
    if (told)
        digest_text_set(s, &i->given);
    return s;
}

static void present(struct http_request *req, int64_t size, const struct digest_values *d)
{
    answer(req, 200, "ALREADY_PRESENT", "Artifact already exists with matching checksum", size, d);
}

static void on_put(struct http_request *req, enum err e, const struct why *why,
                   const struct registry_put_result *result)
{
    const struct import *i = req->context;
    if (e) {
        import_fail(req, e, why, result);
        return;
    }
    struct digest_values d = result->digests;
    d.kinds &= i->mode == VERIFY ? ~0u : (unsigned)DIGEST_SHA256; /* a format may have wanted more */
    if (i->mode == STORE) {
        memcpy(d.sha1, i->given.sha1, sizeof d.sha1);
        memcpy(d.md5, i->given.md5, sizeof d.md5);
        d.kinds |= i->given.kinds & (DIGEST_SHA1 | DIGEST_MD5);
    }
    if (result->already)
        present(req, result->size, &d);
    else
        answer(req, 201, "CREATED", "Artifact imported successfully", result->size, &d);
}

static void put_begin(struct http_request *req, const struct repo *repo, const struct import *i)
{
    const struct format *format = format_find(repo->format);
    const char *type = http_header(req, "content-type");
    unsigned kinds = i->mode == VERIFY ? DIGEST_SHA256 | DIGEST_SHA1 | DIGEST_MD5 : DIGEST_SHA256;
    struct registry_put_order order = {
        .op = "import.put", .session = session_json(req, i), .owner = i->owner, .size = i->size,
        .expected = i->given,
    };
    order.expected.kinds &= i->mode == VERIFY ? ~0u : i->mode == STORE ? (unsigned)DIGEST_SHA256 : 0u;
    /* What curl --data-binary says of anything. */
    if (type && strcmp(type, "application/x-www-form-urlencoded") == 0)
        type = NULL;
    order.take = format->import;
    order.made_ms = i->release_ms >= 0 ? i->release_ms : i->created_ms;
    registry_put_as(req, repo, i->path, type, kinds | format->import_digests, &order, on_put);
}

/* --- without bytes --- */

static void recorded(struct http_request *req, enum err e, const struct why *why, json_t *result)
{
    const struct import *i = req->context;
    int64_t size = i->size < 0 ? 0 : i->size;
    if (e)
        import_fail(req, e, why, NULL);
    else if (json_is_true(json_object_get(result, "already")))
        present(req, size, &i->given);
    else
        answer(req, 201, "CREATED", "Metadata recorded", size, &i->given);
}

static void record(struct http_request *req, const struct import *i)
{
    api_propose_all(req, "import.put",
                    json_pack("{s:I, s:s, s:I, s:s?, s:o}", "repo_id", (json_int_t)i->repo_id, "path",
                              i->path, "size", (json_int_t)(i->size < 0 ? 0 : i->size), "owner",
                              i->owner ? i->owner : req->user, "session", session_json(req, i)),
                    recorded);
}

/* --- a key that was used before --- */

static bool differs(unsigned kinds, unsigned kind, const void *a, const void *b, size_t size)
{
    return kinds & kind && memcmp(a, b, size) != 0;
}

/* As far as the headers tell. */
static enum err known_check(const struct import *i, struct why *why)
{
    const struct import_session *k = &i->known;
    const struct digest_values *a = &i->given, *b = &k->digests;
    unsigned both = i->mode == NONE ? 0 : a->kinds & b->kinds;
    if (k->repo_id != i->repo_id || strcmp(k->path, i->path) != 0 || k->metadata_only != i->metadata_only)
        return fail(why, ERR_CONFLICT, "the idempotency key was used for another import");
    if (k->replaced)
        return fail(why, ERR_CONFLICT, "the artifact has been replaced since it was imported under this "
                    "idempotency key");
    if ((i->size >= 0 && i->size != k->size) ||
        differs(both, DIGEST_SHA256, a->sha256, b->sha256, 32) ||
        differs(both, DIGEST_SHA1, a->sha1, b->sha1, 20) || differs(both, DIGEST_MD5, a->md5, b->md5, 16))
        return fail(why, ERR_CONFLICT, "the idempotency key was used for other bytes");
    return OK;
}

static void replay_release(void *arg)
{
    struct import *i = arg;
    digester_free(i->digester);
}

static void on_replay(struct http_request *req, const void *data, size_t size, enum err e, void *arg)
{
    struct import *i = arg;
    struct digest_values d;
    struct why why = { "" };
    if (size) {
        digester_update(i->digester, data, size);
        i->seen += (int64_t)size;
        return;
    }
    if (e == ERR_TOO_BIG)
        e = fail(&why, ERR_CONFLICT, "the idempotency key was used for other bytes");
    else if (e == ERR_CLOSED)
        e = fail(&why, ERR_BAD_REQUEST, "the body ended early");
    if (!e) {
        digester_final(i->digester, &d);
        if (i->seen != i->known.size || memcmp(d.sha256, i->known.digests.sha256, 32) != 0)
            e = fail(&why, ERR_CONFLICT, "the idempotency key was used for other bytes");
    }
    if (e)
        import_fail(req, e, &why, NULL);
    else
        present(req, i->known.size, &i->known.digests);
}

static void replay(struct http_request *req, struct import *i)
{
    struct why why = { "" };
    enum err e = known_check(i, &why);
    if (e)
        import_fail(req, e, &why, NULL);
    else if (i->metadata_only || (http_header(req, "expect") && i->given.kinds & DIGEST_SHA256))
        present(req, i->known.size, &i->known.digests); /* RFC 9110 §10.1.1: the body need not come */
    else {
        i->digester = digester_new(DIGEST_SHA256);
        http_on_end(req, replay_release, i);
        http_body_read(req, i->known.size, on_replay, i);
    }
}

/* --- the beginning --- */

static void slot_release(void *arg)
{
    atomic_fetch_sub(&running, 1);
}

static bool slot_take(struct http_request *req)
{
    if (atomic_fetch_add(&running, 1) < IMPORTS) {
        http_on_end(req, slot_release, NULL);
        return true;
    }
    atomic_fetch_sub(&running, 1);
    return false;
}

static enum err target_find(struct http_request *req, const char *name, const struct repo **ret,
                            struct why *why)
{
    *ret = registry_repo(worker_of(req)->registry, name);
    if (!*ret)
        return fail(why, ERR_NOT_FOUND, "Repository '%.200s' not found", name);
    if (!may_repo(req->principal, name, REPO_WRITE))
        return fail(why, ERR_FORBIDDEN, "no permission to write to repository '%.200s'", name);
    return OK;
}

/* Nothing is at the path that was asked for, but the format may have known a better one for the bytes. */
static bool elsewhere(struct http_request *req, const struct repo *repo, const struct import *i)
{
    struct registry_place places[32];
    unsigned count = 0;

    if (format_find(repo->format)->import_places && !i->known.metadata_only && !i->known.replaced)
        count = registry_places(worker_of(req)->registry, &req->arena, repo, &i->known.digests, 32,
                                places);
    for (unsigned n = 0; n < count; n++)
        if (strcmp(places[n].repo, repo->name) == 0)
            return true;
    return false;
}

static void import_begin(struct http_request *req, const struct repo *repo, struct import *i)
{
    enum err e = import_get(worker_of(req)->reader, &req->arena, i->key, &i->known);
    if (!e && !i->known.present)
        i->known.present = elsewhere(req, repo, i);
    if (!current(req))
        return;
    if (!e && (i->metadata_only || i->known.metadata_only || i->known.present || i->known.replaced ||
               i->known.repo_id != i->repo_id || strcmp(i->known.path, i->path) != 0))
        replay(req, i);
    else if (i->metadata_only)
        record(req, i);
    else
        put_begin(req, repo, i);
}

void import_handle(struct http_request *req, const char *whole)
{
    struct import *i = arena_alloc(&req->arena, sizeof *i);
    size_t n = strcspn(whole, "/");
    const char *name = arena_strndup(&req->arena, whole, n);
    const struct repo *repo;
    struct why why = { "" };
    *i = (struct import){ .path = whole[n] ? whole + n + 1 : "" };
    req->context = i;
    if (!(req->method & (HTTP_M_PUT | HTTP_M_POST))) {
        http_set_header(req, "Allow", "PUT, POST, OPTIONS");
        import_fail(req, ERR_METHOD, NULL, NULL);
        return;
    }
    enum err e = target_find(req, name, &repo, &why);
    if (!e && !(e = headers_read(req, i, &why)))
        e = target_check(repo, i, &why);
    if (e) {
        if (current(req))
            import_fail(req, e, &why, NULL);
        return;
    }
    i->repo_id = repo->id;
    if (slot_take(req))
        import_begin(req, repo, i);
    else
        retry_later(req, QUEUE_RETRY_S, "Import queue is full, retry after 5 seconds");
}
