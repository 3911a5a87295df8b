/* SPDX-License-Identifier: Apache-2.0 */
/* The `s3` store: configuration, life and death, deleting, presigning. Streams are s3_put.c and s3_get.c. */
#include "s3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pantera/clock.h"
#include "pantera/text.h"

/* --- configuration --- */

static const struct blob_config_key s3_keys[] = {
    { "type", JSON_STRING, true },        { "bucket", JSON_STRING, true },
    { "region", JSON_STRING, false },     { "endpoint", JSON_STRING, false },
    { "path-style", JSON_TRUE, false },   { "prefix", JSON_STRING, false },
    { "ca-file", JSON_STRING, false },    { "credentials", JSON_OBJECT, false },
    { "multipart", JSON_OBJECT, false },  { "http", JSON_OBJECT, false },
    { NULL, JSON_NULL, false },
}, multipart_keys[] = {
    { "part-size", JSON_INTEGER, false }, { NULL, JSON_NULL, false },
}, http_keys[] = { /* milliseconds */
    { "connect-timeout", JSON_INTEGER, false }, { "stall-timeout", JSON_INTEGER, false },
    { "retry-timeout", JSON_INTEGER, false },   { NULL, JSON_NULL, false },
};

static const char *text_of(const json_t *config, const char *name, const char *otherwise)
{
    const char *value = json_string_value(json_object_get(config, name));
    return value ? value : otherwise;
}

static bool made_of(const char *text, const char *characters)
{
    return *text && strspn(text, characters) == strlen(text);
}

#define LOWER "abcdefghijklmnopqrstuvwxyz0123456789-."
#define MIXED "ABCDEFGHIJKLMNOPQRSTUVWXYZ_" LOWER

static enum err check_names(const json_t *config, struct why *why)
{
    const char *bucket = text_of(config, "bucket", ""), *region = text_of(config, "region", "r");
    const char *prefix = text_of(config, "prefix", "p");
    if (!made_of(bucket, MIXED) || strlen(bucket) < 3 || strlen(bucket) > 63)
        return fail(why, ERR_BAD_REQUEST, "storage: bucket: expected 3 to 63 letters, digits, '-', "
                    "'.'");
    if (!made_of(region, MIXED) || strlen(region) > 40)
        return fail(why, ERR_BAD_REQUEST, "storage: region: expected a name such as eu-central-1");
    if (!made_of(prefix, MIXED "/") || strlen(prefix) > 512 || prefix[0] == '/' ||
        prefix[strlen(prefix) - 1] == '/' || strstr(prefix, "..") || strstr(prefix, "//"))
        return fail(why, ERR_BAD_REQUEST, "storage: prefix: expected a path such as a/b, without "
                    "'/' at its ends");
    return OK;
}

/* "http[s]://host[:port]" and at most a '/' after it. */
static enum err check_endpoint(const json_t *config, struct why *why)
{
    const char *endpoint = text_of(config, "endpoint", NULL), *host;
    if (!endpoint)
        return OK;
    host = strncasecmp(endpoint, "https://", 8) == 0 ? endpoint + 8
           : strncasecmp(endpoint, "http://", 7) == 0 ? endpoint + 7 : "";
    size_t n = strspn(host, MIXED ":[]");
    if (n == 0 || n > 255 || (host[n] && strcmp(host + n, "/") != 0))
        return fail(why, ERR_BAD_REQUEST, "storage: endpoint: expected http[s]://host[:port]");
    return OK;
}

static enum err check_numbers(const json_t *config, struct why *why)
{
    static const char *const times[] = { "connect-timeout", "stall-timeout", "retry-timeout" };
    const json_t *multipart = json_object_get(config, "multipart");
    const json_t *http = json_object_get(config, "http"), *part;
    enum err e = multipart ? blob_config_check(multipart, "multipart.", multipart_keys, why) : OK;
    if (e == OK && http)
        e = blob_config_check(http, "http.", http_keys, why);
    if (e != OK)
        return e;
    part = json_object_get(multipart, "part-size");
    if (part && (json_integer_value(part) < S3_PART_LEAST || json_integer_value(part) > S3_PART_MOST))
        return fail(why, ERR_BAD_REQUEST,
                    "storage: multipart.part-size: expected %d to %d bytes", S3_PART_LEAST,
                    S3_PART_MOST);
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        const json_t *value = json_object_get(http, times[i]);
        if (value && (json_integer_value(value) < 100 || json_integer_value(value) > 600000))
            return fail(why, ERR_BAD_REQUEST,
                        "storage: http.%s: expected 100 to 600000 milliseconds", times[i]);
    }
    return OK;
}

static enum err s3_judge(const json_t *config, bool clustered, struct why *why)
{
    enum err e = blob_config_check(config, "", s3_keys, why);
    if (e == OK)
        e = check_names(config, why);
    if (e == OK)
        e = check_endpoint(config, why);
    if (e == OK)
        e = credentials_check(json_object_get(config, "credentials"), why);
    return e == OK ? check_numbers(config, why) : e;
}

/* --- life --- */

static unsigned number_of(const json_t *object, const char *name, unsigned otherwise)
{
    const json_t *value = json_object_get(object, name);
    return value ? (unsigned)json_integer_value(value) : otherwise;
}

/* Where requests go, and the Host that is signed: a port that is the scheme's own is not in it. */
static void set_origin(struct s3_store *s, const json_t *config)
{
    const char *endpoint = text_of(config, "endpoint", NULL);
    const json_t *style = json_object_get(config, "path-style");
    bool plain = endpoint && strncasecmp(endpoint, "http://", 7) == 0;
    struct arena a;
    arena_init(&a);
    s->path_style = style ? json_is_true(style) : endpoint != NULL;
    char *host = endpoint ? arena_strdup(&a, endpoint + (plain ? 7 : 8))
                          : arena_printf(&a, "s3.%s.amazonaws.com", s->region);
    host[strcspn(host, "/")] = 0;
    const char *standard = plain ? ":80" : ":443";
    size_t n = strlen(host), m = strlen(standard);
    if (n > m && strcmp(host + n - m, standard) == 0)
        host[n - m] = 0;
    if (!s->path_style)
        host = arena_printf(&a, "%s.%s", s->bucket, host);
    s->host = strdup(host);
    s->origin = strdup(arena_printf(&a, "http%s://%s", plain ? "" : "s", host));
    arena_release(&a);
}

struct scan {
    struct work work;
    struct blob_cache *cache;
};

static void scan_run(struct work *work)
{
    blob_cache_scan(container_of(work, struct scan, work)->cache);
}

static void on_scanned(struct work *work)
{
    struct scan *scan = container_of(work, struct scan, work);
    blob_cache_close(scan->cache);
    free(scan);
}

static void open_cache(struct s3_store *s, const struct blob_store_options *o)
{
    struct scan *scan = o->cache_dir && o->cache_bytes ? calloc(1, sizeof *scan) : NULL;
    if (!scan)
        return;
    s->cache = blob_cache_open(o->cache_dir, o->cache_bytes);
    scan->cache = blob_cache_open(o->cache_dir, o->cache_bytes);
    work_submit(&scan->work, o->loop, scan_run, on_scanned);
}

static enum err s3_open(const struct blob_store_options *o, const json_t *config,
                        struct blob_store **ret, struct why *why)
{
    const json_t *http = json_object_get(config, "http");
    struct s3_store *s = calloc(1, sizeof *s);
    check(o->client != NULL);
    if (!s)
        return fail(why, ERR_UNAVAILABLE, "out of memory for a store");
    s->base.ops = &blob_s3_ops;
    s->base.loop = o->loop;
    s->refs = 1;
    s->client = o->client;
    s->bucket = strdup(text_of(config, "bucket", ""));
    s->region = strdup(text_of(config, "region", "us-east-1"));
    s->prefix = strdup(text_of(config, "prefix", ""));
    const char *ca = text_of(config, "ca-file", NULL);
    s->ca_file = ca ? strdup(ca) : NULL;
    s->part_bytes = number_of(json_object_get(config, "multipart"), "part-size", S3_PART_BYTES);
    s->connect_ms = number_of(http, "connect-timeout", S3_CONNECT_MS);
    s->stall_ms = number_of(http, "stall-timeout", S3_STALL_MS);
    s->retry_ms = number_of(http, "retry-timeout", S3_RETRY_MS);
    set_origin(s, config);
    s->credentials = credentials_new(o->loop, o->client, json_object_get(config, "credentials"),
                                     s->region);
    open_cache(s, o);
    uv_timer_init(&o->loop->uv, &s->timer);
    *ret = &s->base;
    return OK;
}

struct s3_store *s3_of(struct blob_store *s)
{
    return (struct s3_store *)s;
}

void s3_ref(struct s3_store *s)
{
    s->refs++;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct s3_store *s = container_of((uv_timer_t *)handle, struct s3_store, timer);
    free(s->bucket);
    free(s->region);
    free(s->prefix);
    free(s->ca_file);
    free(s->origin);
    free(s->host);
    free(s);
}

void s3_unref(struct s3_store *s)
{
    if (--s->refs > 0)
        return;
    check(s->delays == NULL);
    credentials_free(s->credentials);
    blob_cache_close(s->cache);
    uv_close((uv_handle_t *)&s->timer, on_timer_closed);
}

static void s3_close(struct blob_store *s)
{
    s3_unref(s3_of(s));
}

/* --- delays: one timer a store, a list in order of time --- */

static void on_timer(uv_timer_t *timer);

static void arm(struct s3_store *s)
{
    uint64_t now = clock_mono_ms();
    if (s->delays)
        uv_timer_start(&s->timer, on_timer, s->delays->due_ms > now ? s->delays->due_ms - now : 0, 0);
    else
        uv_timer_stop(&s->timer);
}

static void on_timer(uv_timer_t *timer)
{
    struct s3_store *s = container_of(timer, struct s3_store, timer);
    uint64_t now = clock_mono_ms();
    s3_ref(s);
    while (s->delays && s->delays->due_ms <= now) {
        struct s3_delay *d = s->delays;
        s->delays = d->next;
        d->on_due(d);
    }
    arm(s);
    s3_unref(s);
}

void s3_delay_start(struct s3_store *s, struct s3_delay *d, uint64_t ms,
                    void (*on_due)(struct s3_delay *d))
{
    struct s3_delay **at = &s->delays;
    d->due_ms = clock_mono_ms() + (ms ? ms : 1); /* at least 1: a turn of the loop lies between */
    d->on_due = on_due;
    while (*at && (*at)->due_ms <= d->due_ms)
        at = &(*at)->next;
    d->next = *at;
    *at = d;
    arm(s);
}

void s3_delay_cancel(struct s3_store *s, struct s3_delay *d)
{
    for (struct s3_delay **at = &s->delays; *at; at = &(*at)->next)
        if (*at == d) {
            *at = d->next;
            break;
        }
    arm(s);
}

/* --- small operations --- */

static int s3_open_now(struct blob_store *s, const char *key)
{
    return s3_of(s)->cache ? blob_cache_get(s3_of(s)->cache, key) : -1;
}

struct s3_delete {
    struct s3_call call;
    struct blob_delete *delete;
};

static void drop_run(struct work *work)
{
    struct blob_delete *d = container_of(work, struct blob_delete, work);
    blob_cache_drop(s3_of(d->store)->cache, d->key);
}

static void on_dropped(struct work *work)
{
    struct blob_delete *d = container_of(work, struct blob_delete, work);
    struct s3_store *s = s3_of(d->store);
    d->on_done(d, OK, &(struct why){ "" });
    s3_unref(s);
}

static void on_deleted(struct s3_call *c, enum err e, const struct why *why)
{
    struct s3_delete *x = container_of(c, struct s3_delete, call);
    struct blob_delete *d = x->delete;
    struct s3_store *s = c->store;
    free(x);
    if (e == ERR_NOT_FOUND)
        e = OK;
    if (e == OK && s->cache) {
        s3_ref(s);
        work_submit(&d->work, s->base.loop, drop_run, on_dropped);
    } else {
        d->on_done(d, e, why);
    }
}

static enum err s3_delete(struct blob_store *s, struct blob_delete *d, struct why *why)
{
    struct s3_delete *x = calloc(1, sizeof *x);
    if (!x)
        return fail(why, ERR_UNAVAILABLE, "out of memory for a delete");
    x->delete = d;
    x->call.store = s3_of(s);
    x->call.method = "DELETE";
    snprintf(x->call.key, sizeof x->call.key, "%s", d->key);
    x->call.on_done = on_deleted;
    s3_call_start(&x->call);
    return OK;
}

static enum err s3_presign(struct blob_store *store, const char *key, unsigned seconds,
                           struct arena *arena, char **ret_url)
{
    struct s3_store *s = s3_of(store);
    struct sigv4_keys keys;
    if (!credentials_now(s->credentials, &keys)) {
        credentials_prefetch(s->credentials);
        return ERR_AGAIN;
    }
    const char *path = s3_object_path(s, arena, key);
    struct sigv4_request r = { .method = "GET", .host = s->host, .path = path, .query = "",
                               .region = s->region, .service = "s3", .wall_ms = clock_wall_ms() };
    *ret_url = arena_printf(arena, "%s%s?%s", s->origin, path,
                            sigv4_presign(arena, &r, &keys, seconds));
    return OK;
}

const struct blob_ops blob_s3_ops = {
    .type = "s3",
    .judge = s3_judge,
    .open = s3_open,
    .close = s3_close,
    .put_begin = s3_put_begin,
    .put_write = s3_put_write,
    .put_finish = s3_put_finish,
    .put_abort = s3_put_abort,
    .get_open = s3_get_open,
    .get_more = s3_get_more,
    .get_close = s3_get_close,
    .open_now = s3_open_now,
    .delete = s3_delete,
    .presign = s3_presign,
};
