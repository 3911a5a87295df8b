/* SPDX-License-Identifier: Apache-2.0 */
/* One S3 operation with its retries. What an operation means is its owner's; here it is signed, sent and
 * judged.
 *
 *   keys? ──no──> WAIT (credentials) ──┐
 *     └──────────────yes───────────────┴─> IN FLIGHT ──answer──> judged: done, or
 *                                              ^                  DELAY (full jitter) ──┐
 *                                              └────────────────────────────────────────┘
 * Retried: no answer, 408, 429, 5xx, 409 ConditionalRequestConflict, expired keys (once, renewed). At most
 * S3_TRIES times and not after retry_ms, except that a GET which moved bytes begins anew. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/ids.h"
#include "pantera/text.h"
#include "s3.h"
#include "xml.h"

enum { BACKOFF_FIRST_MS = 200, BACKOFF_MOST_MS = 4000, STALL_LEAST_MS = 500 };

#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void call_try(struct s3_call *c);

static void call_end(struct s3_call *c, enum err e, const struct why *why)
{
    struct arena arena = c->arena; /* the owner may free `c` in its callback */
    struct buf answer = c->answer;
    struct s3_store *store = c->store;
    c->on_done(c, e, why);
    arena_release(&arena);
    buf_free(&answer);
    s3_unref(store);
}

static void call_fail(struct s3_call *c, enum err e, const char *text)
{
    struct why why;
    call_end(c, fail(&why, e, "S3 %s: %s", c->method, text), &why);
}

static unsigned patience(const struct s3_call *c)
{
    return c->patience ? c->patience : 1;
}

static uint64_t time_left(const struct s3_call *c)
{
    uint64_t end = c->started_ms + (uint64_t)c->store->retry_ms * patience(c), now = clock_mono_ms();
    return now < end ? end - now : 0;
}

static void on_delay(struct s3_delay *d)
{
    struct s3_call *c = container_of(d, struct s3_call, delay);
    c->waiting = false;
    if (c->canceled)
        call_fail(c, ERR_CANCELED, "canceled");
    else
        call_try(c);
}

static void call_delay(struct s3_call *c, uint64_t ms)
{
    c->waiting = true;
    s3_delay_start(c->store, &c->delay, ms, on_delay);
}

/* Full jitter: anything between nothing and the exponential bound. */
static void call_again(struct s3_call *c, enum err e, const char *text)
{
    uint64_t most = BACKOFF_FIRST_MS << (c->tries < 8 ? c->tries : 8);
    most = most < BACKOFF_MOST_MS ? most : BACKOFF_MOST_MS;
    uint64_t ms = random_below(most);
    if (c->tries >= S3_TRIES || ms >= time_left(c))
        call_fail(c, e, text);
    else
        call_delay(c, ms);
}

/* --- judging an answer --- */

static bool code_is(const char *code, const char *name)
{
    return code && strcmp(code, name) == 0;
}

static bool retryable(const struct s3_call *c, const char *code)
{
    return c->status == 408 || c->status == 429 || (c->status >= 500 && c->status != 501 &&
                                                     c->status != 507) ||
           (c->status == 409 && code_is(code, "ConditionalRequestConflict")) ||
           (c->status == 409 && code_is(code, "OperationAborted")) ||
           (c->status == 400 && code_is(code, "RequestTimeout")) ||
           (c->status == 200 && (code_is(code, "InternalError") || code_is(code, "SlowDown")));
}

static bool keys_expired(const char *code)
{
    return code_is(code, "ExpiredToken") || code_is(code, "ExpiredTokenException") ||
           code_is(code, "TokenRefreshRequired") || code_is(code, "InvalidToken") ||
           code_is(code, "InvalidAccessKeyId");
}

static bool conditional_unknown(const struct s3_call *c, const char *code)
{
    return c->conditional && !c->store->unconditional &&
           (c->status == 501 || (c->status == 400 && code_is(code, "NotImplemented")));
}

static enum err err_from_s3(const struct s3_call *c, const char *code)
{
    if (c->status == 507 || code_is(code, "XMinioStorageFull") || code_is(code, "QuotaExceeded") ||
        code_is(code, "InsufficientStorage"))
        return ERR_NO_SPACE;
    if (c->status == 401 || c->status == 403 || code_is(code, "InvalidAccessKeyId"))
        return ERR_FORBIDDEN;
    /* Only the server's own word makes an object missing: a wrong bucket or a proxy's 404 is the
     * operator's to repair. HEAD has no body to say it in. */
    if (c->status == 404 && (code_is(code, "NoSuchKey") || strcmp(c->method, "HEAD") == 0))
        return ERR_NOT_FOUND;
    if (c->status == 404)
        return code_is(code, "NoSuchUpload") ? ERR_IO : ERR_STORE_DOWN;
    if (c->status == 409 || c->status == 412)
        return ERR_CONFLICT;
    return c->status >= 500 ? ERR_STORE_DOWN : ERR_IO;
}

static void judge_refusal(struct s3_call *c)
{
    const char *xml = buf_err(&c->answer) == OK ? c->answer.data : NULL;
    const char *code = xml_text(&c->arena, xml, "Code");
    const char *message = xml_text(&c->arena, xml, "Message");
    const char *text = arena_printf(&c->arena, "the server answers %d %.60s%s%.100s", c->status,
                                    code ? code : "", message ? ": " : "", message ? message : "");
    if (conditional_unknown(c, code)) {
        c->store->unconditional = true;
        c->tries--;
        call_delay(c, 0);
    } else if (keys_expired(code) && !c->renewed_keys) {
        c->renewed_keys = true;
        credentials_invalidate(c->store->credentials);
        call_delay(c, 0);
    } else if (retryable(c, code)) {
        call_again(c, ERR_STORE_DOWN, text);
    } else {
        call_fail(c, err_from_s3(c, code), text);
    }
}

static void judge_unanswered(struct s3_call *c)
{
    const char *text = arena_strdup(&c->arena, c->request.why.text);
    if (c->request.err == ERR_BAD_REQUEST)
        call_fail(c, ERR_IO, text);
    else
        call_again(c, ERR_STORE_DOWN, text);
}

/* `request` has ended, and its memory is ours again. */
static void on_answered(struct client_request *r)
{
    struct s3_call *c = r->arg;
    const char *etag = client_header(r, "etag");
    c->in_flight = false;
    c->status = r->status;
    c->answer_length = r->length;
    snprintf(c->etag, sizeof c->etag, "%s", etag && strlen(etag) < sizeof c->etag ? etag : "");
    if (c->wrong_head && !c->canceled)
        call_fail(c, ERR_IO, c->head_why.text);
    else if (c->canceled || r->err == ERR_CANCELED)
        call_fail(c, ERR_CANCELED, "canceled");
    else if (r->err != OK)
        judge_unanswered(c);
    else if (c->status / 100 != 2 ||
             (c->error_in_200 && c->answer.data && strstr(c->answer.data, "<Error>")))
        judge_refusal(c);
    else if (c->on_data && c->received != c->length)
        call_again(c, ERR_STORE_DOWN, "the answer ended early");
    else
        call_end(c, OK, &(struct why){ "" });
}

/* --- a try --- */

/* A GET's head must promise exactly the bytes that were asked for. */
static void on_head(struct client_request *r)
{
    struct s3_call *c = r->arg;
    int64_t expected = c->length - c->received;
    if (r->status / 100 != 2 || !c->on_data)
        return;
    bool partial = c->ranged || c->received > 0;
    if (r->status != (partial ? 206 : 200) || (r->length >= 0 && r->length != expected)) {
        c->wrong_head = true;
        fail(&c->head_why, ERR_IO, "asked for %lld bytes, the server offers %lld with status %d",
             (long long)expected, (long long)r->length, r->status);
        client_cancel(r);
    }
}

static bool on_data(struct client_request *r, const void *data, size_t size)
{
    struct s3_call *c = r->arg;
    if (r->status / 100 != 2 || !c->on_data) {
        buf_add(&c->answer, data, size);
        return true;
    }
    if (c->canceled)
        return true;
    if ((int64_t)size > c->length - c->received) {
        c->wrong_head = true;
        fail(&c->head_why, ERR_IO, "the server sends more than was asked for");
        client_cancel(r);
        return true;
    }
    if (!c->on_data(c, data, size))
        return false;
    c->received += (int64_t)size;
    c->tries = 1; /* it moves: what comes is a new trouble */
    c->started_ms = clock_mono_ms();
    return true;
}

const char *s3_object_path(const struct s3_store *s, struct arena *a, const char *key)
{
    return percent_encode(a, arena_printf(a, "/%s%s%s%s%s", s->path_style ? s->bucket : "",
                                          s->path_style ? "/" : "", s->prefix,
                                          s->prefix[0] ? "/" : "", key), true);
}

static const char *const *call_headers(struct s3_call *c, const struct sigv4_keys *keys,
                                       const char *path)
{
    struct arena *a = &c->arena;
    const char **out = arena_alloc(a, 8 * sizeof *out), **extra = arena_alloc(a, 3 * sizeof *extra);
    const char *hash = c->body_hash ? c->body_hash : EMPTY_HASH;
    unsigned n = 0, m = 0;
    char date[17];
    struct sigv4_request r = {
        .method = c->method, .host = c->store->host, .path = path, .query = c->query,
        .payload_hash = hash, .headers = extra, .region = c->store->region, .service = "s3",
        .wall_ms = clock_wall_ms(),
    };
    if (c->conditional && !c->store->unconditional)
        extra[m++] = "if-none-match:*";
    if (c->on_data && (c->ranged || c->received > 0))
        extra[m++] = arena_printf(a, "range:bytes=%lld-%lld", (long long)(c->offset + c->received),
                                  (long long)(c->offset + c->length - 1));
    for (unsigned i = 0; i < m; i++)
        out[n++] = extra[i];
    sigv4_date(r.wall_ms, date);
    out[n++] = arena_printf(a, "x-amz-date: %s", date);
    out[n++] = arena_printf(a, "x-amz-content-sha256: %s", hash);
    if (keys->token)
        out[n++] = arena_printf(a, "x-amz-security-token: %s", keys->token);
    out[n++] = arena_printf(a, "Authorization: %s", sigv4_authorization(a, &r, keys));
    return out;
}

static void call_send(struct s3_call *c, const struct sigv4_keys *keys)
{
    struct why why;
    struct s3_store *s = c->store;
    arena_reset(&c->arena);
    buf_clear(&c->answer);
    const char *path = s3_object_path(s, &c->arena, c->key);
    uint64_t left = time_left(c), stall = (uint64_t)s->stall_ms * patience(c);
    stall = left < stall ? left : stall;
    stall = stall > STALL_LEAST_MS ? stall : STALL_LEAST_MS;
    c->request = (struct client_request){
        .method = c->method,
        .url = arena_printf(&c->arena, "%s%s%s%s", s->origin, path, c->query[0] ? "?" : "",
                            c->query),
        .headers = call_headers(c, keys, path),
        .body = c->body, .body_size = c->body_size,
        .connect_timeout_ms = s->connect_ms, .stall_timeout_ms = (unsigned)stall,
        .ca_file = s->ca_file,
        .on_head = on_head, .on_data = on_data, .on_done = on_answered, .arg = c,
    };
    c->tries++;
    c->in_flight = client_submit(s->client, &c->request, &why) == OK;
    if (!c->in_flight)
        call_again(c, ERR_STORE_DOWN, why.text);
}

static void on_keys(struct credentials_wait *w, enum err e, const struct why *why)
{
    struct s3_call *c = container_of(w, struct s3_call, wait);
    struct sigv4_keys keys;
    c->waiting = false;
    if (c->canceled)
        call_fail(c, ERR_CANCELED, "canceled");
    else if (e != OK)
        call_end(c, e, why);
    else if (credentials_now(c->store->credentials, &keys))
        call_send(c, &keys);
    else
        call_fail(c, ERR_FORBIDDEN, "the credentials have expired");
}

static void call_try(struct s3_call *c)
{
    struct sigv4_keys keys;
    if (credentials_now(c->store->credentials, &keys)) {
        call_send(c, &keys);
    } else {
        c->wait.on_ready = on_keys;
        credentials_wait(c->store->credentials, &c->wait);
    }
}

void s3_call_start(struct s3_call *c)
{
    s3_ref(c->store);
    arena_init(&c->arena);
    buf_init(&c->answer, S3_ANSWER_BYTES);
    c->started_ms = clock_mono_ms();
    c->query = c->query ? c->query : "";
    call_try(c);
}

void s3_call_resume(struct s3_call *c)
{
    if (c->in_flight)
        client_resume(&c->request);
}

/* A call that waits for keys or for its next try ends when that wait does; a delay is cut short. */
void s3_call_cancel(struct s3_call *c)
{
    c->canceled = true;
    if (c->in_flight) {
        client_cancel(&c->request);
    } else if (c->waiting) {
        s3_delay_cancel(c->store, &c->delay);
        call_delay(c, 0);
    }
}

void s3_call_last_try(struct s3_call *c)
{
    c->tries = S3_TRIES;
}
