/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/get.c: an artifact becomes a response.
 *
 *   row (warm, or read) → policy → lease → conditions → ranges → bytes
 *
 * Bytes come as a piece of a file (sendfile) or as pieces of memory from the store. A plain GET of an
 * object that is warm and local takes the short way: a prepared head and a descriptor. */
#include <stdlib.h>
#include <string.h>

#include "pantera/ids.h"
#include "pantera/limits.h"
#include "pantera/log.h"
#include "pantera/text.h"
#include "src/registry/internal.h"

struct get {
    struct http_request *req;
    struct registry *registry;
    registry_fail_cb *failed;
    const struct registry_as *as; /* or NULL */
    const char *path;
    struct warm_entry *entry;
    struct store *store;
    struct blob_get blob;
    bool blob_open;
    int fd;                      /* the entry's, or -1 */
    /* What is sent: `count` pieces; more than one: multipart/byteranges. */
    struct http_range ranges[LIMIT_RANGES];
    unsigned count, at;
    int status;
    int64_t length;              /* of the reply */
    bool begun;
    char boundary[33];
    char part_head[256];
};

static void release_entry(void *arg)
{
    warm_release(arg);
}

static void get_release(void *arg)
{
    struct get *g = arg;

    if (g->blob_open)
        blob_get_close(&g->blob);
    if (g->store)
        store_unref(g->registry, g->store);
    warm_release(g->entry);
}

/* --- bytes --- */

static void get_part(struct get *g);

static void get_fail(struct get *g, enum err e, const struct why *why)
{
    if (e == ERR_NOT_FOUND) {
        log_error("registry", "object %s of store '%s' is missing", g->entry->row.key,
                  g->entry->row.store);
        e = ERR_IO;
    }
    if (g->begun) {
        log_warn("registry", "download of '%s' broke off: %s", g->path, why_text(why, e));
        http_reply_abort(g->req);
    } else {
        g->failed(g->req, e, why);
    }
}

static const char *content_type(const struct get *g)
{
    return g->as ? g->as->content_type : g->entry->content_type;
}

static void get_begin(struct get *g)
{
    const char *type = content_type(g);

    if (g->begun)
        return;
    g->begun = true;
    if (g->count > 1)
        type = arena_printf(&g->req->arena, "multipart/byteranges; boundary=%s", g->boundary);
    http_reply_begin(g->req, g->status, type, g->length);
}

static void on_part_sent(struct http_request *req, void *arg)
{
    struct get *g = arg;

    (void)req;
    if (g->blob_open) {
        g->blob_open = false;
        blob_get_close(&g->blob);
    }
    g->at++;
    get_part(g);
}

static void on_file(struct blob_get *blob, int fd, void *arg)
{
    struct get *g = arg;
    const struct http_range *r = &g->ranges[g->at];

    (void)blob;
    get_begin(g);
    http_reply_file(g->req, fd, r->first, r->last - r->first + 1, on_part_sent, g);
}

static void on_piece_sent(struct http_request *req, void *arg)
{
    struct get *g = arg;

    (void)req;
    blob_get_more(&g->blob);
}

static void on_data(struct blob_get *blob, const void *data, size_t size, void *arg)
{
    struct get *g = arg;

    (void)blob;
    get_begin(g);
    http_reply_write(g->req, data, size, on_piece_sent, g);
}

static void on_end(struct blob_get *blob, enum err e, const struct why *why, void *arg)
{
    struct get *g = arg;

    (void)blob;
    if (e)
        get_fail(g, e, why);
    else
        on_part_sent(g->req, g);
}

static void get_bytes(struct get *g)
{
    static const struct blob_sink sink = { on_file, on_data, on_end };
    const struct http_range *r = &g->ranges[g->at];
    struct why why = { "" };
    enum err e = OK;

    if (g->fd >= 0) {
        on_file(NULL, g->fd, g);
        return;
    }
    if (!g->store)
        e = store_ref(g->registry, g->entry->row.store, &g->store, &why);
    if (!e)
        e = blob_get_open(g->store->blobs, &g->blob, g->entry->row.key, g->entry->row.size,
                          r->first, r->last - r->first + 1, &sink, g, &why);
    if (e)
        get_fail(g, e, &why);
    else
        g->blob_open = true;
}

static void on_part_head_sent(struct http_request *req, void *arg)
{
    (void)req;
    get_bytes(arg);
}

static void on_all_sent(struct http_request *req, void *arg)
{
    (void)arg;
    http_reply_end(req);
}

/* RFC 9110 §14.6: "\r\n--B\r\n", the part's headers, its bytes; "\r\n--B--\r\n" at the end. */
static int part_head(const struct get *g, const struct http_range *r, char *ret, size_t size)
{
    return snprintf(ret, size,
                    "\r\n--%s\r\nContent-Type: %.120s\r\nContent-Range: bytes %lld-%lld/%lld\r\n\r\n",
                    g->boundary, content_type(g), (long long)r->first, (long long)r->last,
                    (long long)g->entry->row.size);
}

static void get_part(struct get *g)
{
    int n;

    if (g->count == 1 && g->at == 0) {
        get_bytes(g);
    } else if (g->count == 1) {
        http_reply_end(g->req);
    } else if (g->at < g->count) {
        n = part_head(g, &g->ranges[g->at], g->part_head, sizeof g->part_head);
        get_begin(g);
        http_reply_write(g->req, g->part_head, (size_t)n, on_part_head_sent, g);
    } else {
        n = snprintf(g->part_head, sizeof g->part_head, "\r\n--%s--\r\n", g->boundary);
        http_reply_write(g->req, g->part_head, (size_t)n, on_all_sent, g);
    }
}

/* --- heads --- */

static void set_headers(struct get *g, bool with_body)
{
    struct warm_entry *e = g->entry;
    const struct digest_values *d = &e->row.digests;
    char hex[65];

    http_set_header(g->req, "ETag", e->etag);
    http_set_header(g->req, "Last-Modified", e->last_modified);
    http_set_header(g->req, "Accept-Ranges", "bytes");
    if (!with_body)
        return;
    if (g->as && g->as->disposition)
        http_set_header(g->req, "Content-Disposition", g->as->disposition);
    http_set_header(g->req, "X-Content-Type-Options", "nosniff");
    hex_encode(d->sha256, 32, hex);
    http_set_header(g->req, "X-Checksum-Sha256", hex);
    if (d->kinds & DIGEST_SHA1) {
        hex_encode(d->sha1, 20, hex);
        http_set_header(g->req, "X-Checksum-Sha1", hex);
    }
    if (d->kinds & DIGEST_MD5) {
        hex_encode(d->md5, 16, hex);
        http_set_header(g->req, "X-Checksum-Md5", hex);
    }
}

/* --- the slow way --- */

static void reply_range_failed(struct get *g)
{
    char range[48];

    snprintf(range, sizeof range, "bytes */%lld", (long long)g->entry->row.size);
    http_set_header(g->req, "Content-Range", range);
    g->failed(g->req, ERR_RANGE, NULL);
}

/* Chooses what is sent. False: it was answered. */
static bool get_plan(struct get *g, const char *range)
{
    int64_t size = g->entry->row.size;
    int n = range && g->req->method == HTTP_M_GET ? http_ranges(range, size, g->ranges) : 0;
    char text[80];

    if (n < 0) {
        reply_range_failed(g);
        return false;
    }
    g->status = n ? 206 : 200;
    g->count = n ? (unsigned)n : 1;
    if (!n)
        g->ranges[0] = (struct http_range){ 0, size - 1 };
    g->length = g->ranges[0].last - g->ranges[0].first + 1;
    if (n == 1) {
        snprintf(text, sizeof text, "bytes %lld-%lld/%lld", (long long)g->ranges[0].first,
                 (long long)g->ranges[0].last, (long long)size);
        http_set_header(g->req, "Content-Range", text);
    } else if (n > 1) {
        random_hex(g->boundary, 16);
        g->length = (int64_t)sizeof "\r\n----\r\n" - 1 + 32;
        for (int i = 0; i < n; i++)
            g->length += part_head(g, &g->ranges[i], g->part_head, sizeof g->part_head) +
                         g->ranges[i].last - g->ranges[i].first + 1;
    }
    return true;
}

static void get_full(struct http_request *req, struct warm_entry *entry, const char *path,
                     const struct registry_as *as, registry_fail_cb *failed)
{
    struct get *g = arena_alloc(&req->arena, sizeof *g);
    const char *range = http_header(req, "range");
    int verdict;

    *g = (struct get){ .req = req, .registry = worker_of(req)->registry, .failed = failed,
                       .as = as, .entry = entry, .path = arena_strdup(&req->arena, path), .fd = -1 };
    http_on_end(req, get_release, g);
    verdict = http_conditions(req, entry->etag, entry->row.modified_ms, &range);
    if (verdict == 304) {
        set_headers(g, false);
        http_reply(req, 304, NULL, NULL, 0);
        return;
    }
    if (verdict == 412) {
        failed(req, ERR_PRECONDITION, NULL);
        return;
    }
    if (!get_plan(g, range))
        return;
    set_headers(g, true);
    if (req->method == HTTP_M_HEAD || entry->row.size == 0) {
        get_begin(g);
        http_reply_end(req);
        return;
    }
    entry_open(g->registry, entry);
    g->fd = entry->fd; /* open as long as we hold the entry */
    get_part(g);
}

/* --- entrance --- */

/* Any header that makes an answer other than "all of it". */
bool request_is_plain(const struct http_request *req)
{
    return req->method == HTTP_M_GET && !http_header(req, "range") &&
           !http_header(req, "if-none-match") && !http_header(req, "if-modified-since") &&
           !http_header(req, "if-match") && !http_header(req, "if-unmodified-since");
}

/* Row, policy, lease. *ret NULL: answered. False: not found. */
static bool get_admit(struct http_request *req, const struct repo *repo, const char *path,
                      struct warm_entry **ret, registry_fail_cb *failed)
{
    struct worker *w = worker_of(req);
    struct why why = { "" };
    enum err e = entry_get(w->registry, repo->id, path, ret), answer = OK;

    /* After reading: what this node has read is the truth only if it still holds its lease. */
    if (!cluster_current(w->cluster))
        answer = ERR_NOT_CURRENT;
    if (!answer)
        return e == OK;
    if (!e)
        warm_release(*ret);
    *ret = NULL;
    failed(req, answer, &why);
    return true;
}

bool registry_get_as(struct http_request *req, const struct repo *repo, const char *path,
                     const struct registry_as *as, registry_fail_cb *failed)
{
    struct warm_entry *entry;

    if (!get_admit(req, repo, path, &entry, failed))
        return false;
    if (!entry)
        return true;
    if (!as && entry->fd >= 0 && entry->head && request_is_plain(req)) {
        http_on_end(req, release_entry, entry);
        http_reply_prepared(req, 200, entry->head, entry->head_size, entry->fd, 0,
                            entry->row.size);
        return true;
    }
    get_full(req, entry, path, as, failed);
    return true;
}

bool registry_get(struct http_request *req, const struct repo *repo, const char *path,
                  registry_fail_cb *failed)
{
    return registry_get_as(req, repo, path, NULL, failed);
}
