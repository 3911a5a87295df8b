/* SPDX-License-Identifier: Apache-2.0 */
/* Signature Version 4: canonical request → string to sign → signature. */
#include "sigv4.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pantera/buf.h"
#include "pantera/digest.h"
#include "pantera/text.h"

enum { MOST_HEADERS = 16, CANONICAL_BYTES = 64 << 10 };

struct header_list {
    const char *items[MOST_HEADERS + 1]; /* "name:value" */
    unsigned count;
};

void sigv4_date(int64_t wall_ms, char ret[17])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    strftime(ret, 17, "%Y%m%dT%H%M%SZ", &tm);
}

static int by_name(const void *a, const void *b)
{
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    size_t nx = strcspn(x, ":"), ny = strcspn(y, ":");
    int order = memcmp(x, y, nx < ny ? nx : ny);
    return order ? order : (nx > ny) - (nx < ny);
}

static void list_add(struct header_list *l, const char *item)
{
    check(l->count < MOST_HEADERS);
    l->items[l->count++] = item;
}

static const char *signed_names(struct arena *a, const struct header_list *l)
{
    const char *names = "";
    for (unsigned i = 0; i < l->count; i++)
        names = arena_printf(a, "%s%s%.*s", names, i ? ";" : "",
                             (int)strcspn(l->items[i], ":"), l->items[i]);
    return names;
}

/* SigV4, "Create a canonical request"; gives its SHA-256 in hex. */
static void canonical_hash(const struct sigv4_request *r, const char *query,
                           const struct header_list *l, const char *names, const char *payload,
                           char ret[65])
{
    struct buf b;
    unsigned char digest[32];
    buf_init(&b, CANONICAL_BYTES);
    buf_printf(&b, "%s\n%s\n%s\n", r->method, r->path, query);
    for (unsigned i = 0; i < l->count; i++)
        buf_printf(&b, "%s\n", l->items[i]);
    buf_printf(&b, "\n%s\n%s", names, payload);
    check(buf_err(&b) == OK); /* keys, prefixes and tokens are capped well below */
    sha256(b.data, b.length, digest);
    hex_encode(digest, sizeof digest, ret);
    buf_free(&b);
}

static const char *scope_of(struct arena *a, const struct sigv4_request *r, const char *date)
{
    return arena_printf(a, "%.8s/%s/%s/aws4_request", date, r->region, r->service);
}

static void signature(struct arena *a, const struct sigv4_request *r, const char *secret,
                      const char *date, const char *request_hash, char ret[65])
{
    unsigned char key[32];
    const char *first = arena_printf(a, "AWS4%s", secret);
    const char *text = arena_printf(a, "AWS4-HMAC-SHA256\n%s\n%s\n%s", date, scope_of(a, r, date),
                                    request_hash);
    hmac_sha256(first, strlen(first), date, 8, key);
    hmac_sha256(key, 32, r->region, strlen(r->region), key);
    hmac_sha256(key, 32, r->service, strlen(r->service), key);
    hmac_sha256(key, 32, "aws4_request", 12, key);
    hmac_sha256(key, 32, text, strlen(text), key);
    hex_encode(key, sizeof key, ret);
}

char *sigv4_authorization(struct arena *a, const struct sigv4_request *r,
                          const struct sigv4_keys *keys)
{
    struct header_list l = { .count = 0 };
    char date[17], hash[65], sign[65];
    sigv4_date(r->wall_ms, date);
    list_add(&l, arena_printf(a, "host:%s", r->host));
    list_add(&l, arena_printf(a, "x-amz-content-sha256:%s", r->payload_hash));
    list_add(&l, arena_printf(a, "x-amz-date:%s", date));
    if (keys->token)
        list_add(&l, arena_printf(a, "x-amz-security-token:%s", keys->token));
    for (const char *const *h = r->headers; h && *h; h++)
        list_add(&l, *h);
    qsort(l.items, l.count, sizeof l.items[0], by_name);
    const char *names = signed_names(a, &l);
    canonical_hash(r, r->query, &l, names, r->payload_hash, hash);
    signature(a, r, keys->secret, date, hash, sign);
    return arena_printf(a, "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s",
                        keys->access, scope_of(a, r, date), names, sign);
}

char *sigv4_presign(struct arena *a, const struct sigv4_request *r, const struct sigv4_keys *keys,
                    unsigned seconds)
{
    struct header_list l = { .count = 0 };
    char date[17], hash[65], sign[65];
    sigv4_date(r->wall_ms, date);
    const char *credential = arena_printf(a, "%s/%s", keys->access, scope_of(a, r, date));
    list_add(&l, arena_printf(a, "host:%s", r->host));
    const char *token = keys->token ? arena_printf(a, "&X-Amz-Security-Token=%s",
                                                   percent_encode(a, keys->token, false)) : "";
    const char *query = arena_printf(
        a, "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=%s&X-Amz-Date=%s&X-Amz-Expires=%u%s"
        "&X-Amz-SignedHeaders=host", percent_encode(a, credential, false), date, seconds, token);
    canonical_hash(r, query, &l, "host", "UNSIGNED-PAYLOAD", hash);
    signature(a, r, keys->secret, date, hash, sign);
    return arena_printf(a, "%s&X-Amz-Signature=%s", query, sign);
}
