/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/entry.c: what is known of a path, made once and kept while it is current (warm.c): the row,
 * its entity tag, the head of an answer, the descriptor. Sends nothing (get.c). */
#include <string.h>
#include <strings.h>

#include "pantera/buf.h"
#include "pantera/clock.h"
#include "pantera/gen.h"
#include "pantera/limits.h"
#include "pantera/meta_upstream.h"
#include "pantera/text.h"
#include "src/registry/internal.h"

/* The head of a 200, to be sent as it is: what http_reply_prepared adds is left out. */
static void entry_prepare(struct warm_entry *e)
{
    const struct digest_values *d = &e->row.digests;
    char hex[65];
    struct buf b;

    buf_init(&b, KIB(4));
    hex_encode(d->sha256, 32, hex);
    (void)buf_printf(&b, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nETag: %s\r\nLast-Modified: %s\r\n"
                         "Accept-Ranges: bytes\r\nX-Content-Type-Options: nosniff\r\n"
                         "X-Checksum-Sha256: %s\r\n", e->content_type, e->etag, e->last_modified,
                     hex);
    if (d->kinds & DIGEST_SHA1) {
        hex_encode(d->sha1, 20, hex);
        (void)buf_printf(&b, "X-Checksum-Sha1: %s\r\n", hex);
    }
    if (d->kinds & DIGEST_MD5) {
        hex_encode(d->md5, 16, hex);
        (void)buf_printf(&b, "X-Checksum-Md5: %s\r\n", hex);
    }
    if (!buf_err(&b)) {
        e->head = arena_memdup(&e->arena, b.data, b.length);
        e->head_size = b.length;
    }
    buf_free(&b);
}

const char *content_type_of_name(const char *path)
{
    static const char *const types[][2] = {
        { ".txt", "text/plain; charset=utf-8" }, { ".md", "text/markdown; charset=utf-8" },
        { ".html", "text/html; charset=utf-8" }, { ".htm", "text/html; charset=utf-8" },
        { ".json", "application/json" },         { ".xml", "application/xml" },
        { ".pom", "application/xml" },           { ".yaml", "application/yaml" },
        { ".yml", "application/yaml" },          { ".css", "text/css" },
        { ".js", "text/javascript" },            { ".csv", "text/csv" },
        { ".pdf", "application/pdf" },           { ".png", "image/png" },
        { ".jpg", "image/jpeg" },                { ".jpeg", "image/jpeg" },
        { ".gif", "image/gif" },                 { ".svg", "image/svg+xml" },
        { ".zip", "application/zip" },           { ".jar", "application/java-archive" },
        { ".tar", "application/x-tar" },         { ".gz", "application/gzip" },
        { ".tgz", "application/gzip" },          { ".bz2", "application/x-bzip2" },
        { ".xz", "application/x-xz" },           { ".zst", "application/zstd" },
    };
    const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');

    for (size_t i = 0; dot && i < sizeof types / sizeof *types; i++)
        if (!strcasecmp(dot, types[i][0]))
            return types[i][1];
    return "application/octet-stream";
}

/* A header's value, whatever was stored: it goes into a prepared head unseen by http_set_header. */
static bool header_safe(const char *value)
{
    size_t n = strlen(value);

    for (size_t i = 0; i < n; i++)
        if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f)
            return false;
    return n > 0 && n <= 120;
}

static enum err entry_load(struct registry *r, struct warm_entry *e)
{
    struct artifact_row *row = &e->row;
    char hex[65], date[32];

    if (artifact_get(r->worker->reader, &e->arena, e->repo_id, e->path, row))
        return ERR_NOT_FOUND;
    hex_encode(row->digests.sha256, 32, hex);
    e->etag = arena_printf(&e->arena, "\"%s\"", hex);
    e->last_modified = arena_strdup(&e->arena, clock_http_date(row->modified_ms, date));
    e->content_type = row->content_type && header_safe(row->content_type) ? row->content_type
                                                                          : content_type_of_name(e->path);
    entry_prepare(e);
    return OK;
}

enum err entry_get(struct registry *r, int64_t repo_id, const char *path, struct warm_entry **ret)
{
    struct warm_entry *e = warm_find(r->warm, repo_id, path);
    enum err err;

    if (!e) {
        e = warm_entry_new(repo_id, path);
        if ((err = entry_load(r, e))) {
            warm_release(e);
            return err;
        }
        warm_add(r->warm, e);
    }
    *ret = e;
    return OK;
}

/* Rows without news are rarely written: a stamp that differs is mostly another path's of its bucket. */
void entry_upstream(struct registry *r, struct warm_entry *e)
{
    uint64_t stamp = gen_get(GEN_UPSTREAM, e->hash) + 1; /* before the row is read; 0 means never */
    struct upstream_row row;
    struct arena a;

    if (e->upstream_stamp == stamp)
        return;
    arena_init(&a);
    if (upstream_row_get(r->worker->reader, &a, e->repo_id, e->path, &row))
        row = (struct upstream_row){ 0 };
    e->released_ms = row.released_ms;
    if (!row.url || !e->url || strcmp(row.url, e->url))
        e->url = row.url ? arena_strdup(&e->arena, row.url) : NULL;
    e->upstream_stamp = stamp;
    arena_release(&a);
}

void entry_open(struct registry *r, struct warm_entry *e)
{
    struct store *s;
    int fd;

    if (e->fd >= 0 || e->row.size == 0 || store_ref(r, e->row.store, &s, NULL))
        return;
    fd = blob_open_now(s->blobs, e->row.key);
    store_unref(r, s);
    if (fd >= 0)
        warm_set_fd(r->warm, e, fd);
}
