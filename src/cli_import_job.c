/* SPDX-License-Identifier: Apache-2.0 */
/* One artifact on its way into a repository.
 *
 *   a file:  HASH ─────────────────────────→ PUT → done       any → WAIT → (again) after a 503 or no answer
 *   a URL:   HEAD ─→ TARGET ─→ FETCH ──────→ PUT → done
 *
 *   HASH     reads the file on the pool: the server compares, and the key is made from it
 *   HEAD     asks the source what it has; its ETag may be a SHA-256, as ours are
 *   TARGET   then asks the repository whether it has that already
 *   FETCH    brings the bytes into a nameless file
 *   PUT      /.import/ with a key made of repository, path and content: whoever is killed here finds on the
 *            next run what was done, and does the rest */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pantera/clock.h"
#include "pantera/limits.h"
#include "pantera/text.h"
#include "src/cli_import.h"

enum { TRIES = 12, TRIES_LATER = 200, WAIT_MOST_S = 60 };
#define ANSWER_BYTES KIB(64)
#define EXPECT_FROM KIB(64) /* worth a round trip: the server may have the bytes */

static void job_attempt(struct import_job *job);

void import_item_free(struct import_item *item)
{
    free(item->path);
    free(item->from);
    *item = (struct import_item){ .path = NULL };
}

bool import_job_running(const struct import_job *job)
{
    return job->step != JOB_IDLE && job->step != JOB_WAIT;
}

/* --- ends --- */

static void attempt_end(struct import_job *job)
{
    digester_free(job->digester);
    job->digester = NULL;
    buf_free(&job->answer);
    arena_reset(&job->arena);
    job->path = NULL;
}

static void job_end(struct import_job *job, enum import_outcome outcome, const char *message)
{
    struct import *im = job->im;
    im->created += outcome == IMPORT_CREATED;
    im->present += outcome == IMPORT_PRESENT;
    im->failed += outcome == IMPORT_FAILED;
    if (outcome != IMPORT_FAILED)
        im->bytes += job->size;
    job->step = JOB_IDLE;
    import_show(im, outcome, job->item.path, message);
    attempt_end(job);
    if (job->fd >= 0)
        close(job->fd);
    job->fd = -1;
    import_item_free(&job->item);
    arena_release(&job->arena);
    im->wake = true;
}

/* Of no use to the others either: nothing more is begun. */
static void job_end_all(struct import_job *job, int code, const char *message)
{
    job->im->stop = code;
    job_end(job, IMPORT_FAILED, message);
}

static void job_wait(struct import_job *job, uint64_t ms)
{
    attempt_end(job);
    job->sent = 0;
    job->due_ms = clock_mono_ms() + ms;
    job->step = JOB_WAIT;
    job->im->wake = true;
}

/* No answer, or one that time may cure. `ours`: of the repository, not of the source. */
static void job_retry(struct import_job *job, bool ours, const char *message)
{
    uint64_t ms = job->tries < 5 ? 300u << job->tries : 10000;
    const char *after = client_header(&job->request, "retry-after");
    unsigned most = job->request.status == 503 || job->request.status == 429 ? TRIES_LATER : TRIES;
    if (!job->request.err && after) {
        long s = strtol(after, NULL, 10);
        ms = 1000u * (uint64_t)(s < 1 ? 1 : s > WAIT_MOST_S ? WAIT_MOST_S : s);
    }
    if (++job->tries < most)
        job_wait(job, ms);
    else if (ours)
        job_end_all(job, CLI_UNAVAILABLE, message);
    else
        job_end(job, IMPORT_FAILED, message);
}

/* --- requests --- */

static bool on_answer(struct client_request *r, const void *data, size_t size)
{
    buf_add(&container_of(r, struct import_job, request)->answer, data, size);
    return true;
}

static void request_send(struct import_job *job, const char *method, const char *url,
                         const char *const *headers, void (*done)(struct client_request *r))
{
    struct why why = { "" };
    job->request.method = method;
    job->request.url = url;
    job->request.headers = headers;
    job->request.on_done = done;
    job->request.stall_timeout_ms = 120000;
    job->request.ca_file = job->im->cli->ca;
    if (!job->request.on_data)
        job->request.on_data = on_answer;
    buf_init(&job->answer, ANSWER_BYTES);
    if (client_submit(job->im->cli->client, &job->request, &why))
        job_end(job, IMPORT_FAILED, arena_strdup(&job->arena, why.text));
}

static const char *target_url(struct import_job *job, const char *special)
{
    struct import *im = job->im;
    return arena_printf(&job->arena, "%s%s/%s/%s", im->repo_url, special, im->repo,
                        percent_encode(&job->arena, job->path, true));
}

static const char *bearer(struct import_job *job)
{
    return arena_printf(&job->arena, "Authorization: Bearer %s", job->im->cli->token);
}

/* --- PUT --- */

static size_t put_read(struct client_request *r, void *ret, size_t size, bool *ret_later)
{
    struct import_job *job = container_of(r, struct import_job, request);
    ssize_t n = pread(job->fd, ret, size, job->sent);
    *ret_later = false;
    if (n <= 0) /* it has become shorter: curl fails, or the server says that it is not what it was */
        return 0;
    job->sent += n;
    import_draw(job->im, false);
    return (size_t)n;
}

static void put_answered(struct import_job *job, int status, const json_t *answer)
{
    const char *word = json_string_value(json_object_get(answer, "status"));
    const char *message = json_string_value(json_object_get(answer, "message"));
    if (!message)
        message = arena_printf(&job->arena, "HTTP %d", status);
    if (status == 201 || (status == 200 && word && strcmp(word, "ALREADY_PRESENT") == 0))
        job_end(job, status == 201 ? IMPORT_CREATED : IMPORT_PRESENT, NULL);
    else if (status == 401 && !job->asked_again) {
        job->asked_again = job->im->sign_in = true; /* the token's time is over, on a long way */
        job_wait(job, 0);
    } else if (status == 429 || (status >= 500 && status != 501 && status != 507))
        job_retry(job, true, message);
    else if (status == 401 || status == 403 || status == 404 || status == 507)
        job_end_all(job, status == 401 ? CLI_SIGN_IN : status == 404 ? CLI_NOT_FOUND : CLI_FAILED, message);
    else
        job_end(job, IMPORT_FAILED, message);
}

static void put_done(struct client_request *r)
{
    struct import_job *job = container_of(r, struct import_job, request);
    if (r->err) {
        job_retry(job, true, arena_strdup(&job->arena, r->why.text));
        return;
    }
    json_t *answer = json_loadb(job->answer.data ? job->answer.data : "", job->answer.length, 0, NULL);
    put_answered(job, r->status, answer);
    json_decref(answer);
}

/* The same content at the same place always has the same key, and nothing else has. */
static const char *key_of(struct import_job *job, const char *sha256_hex)
{
    unsigned char digest[32];
    char hex[65];
    const char *text = arena_printf(&job->arena, "%s\n%s\n%s", job->im->repo, job->path, sha256_hex);
    sha256(text, strlen(text), digest);
    hex_encode(digest, 32, hex);
    return arena_printf(&job->arena, "pantera-import-%s", hex);
}

static void job_put(struct import_job *job)
{
    char hex[65];
    struct arena *a = &job->arena;
    const char **headers = arena_alloc(a, 9 * sizeof *headers);
    unsigned n = 0;
    hex_encode(job->sha256, 32, hex);
    headers[n++] = bearer(job);
    headers[n++] = "Content-Type: application/octet-stream";
    headers[n++] = arena_printf(a, "X-Pantera-Repo-Type: %s", job->im->type);
    headers[n++] = arena_printf(a, "X-Pantera-Idempotency-Key: %s", key_of(job, hex));
    headers[n++] = arena_printf(a, "X-Pantera-Checksum-Sha256: %s", hex);
    headers[n++] = arena_printf(a, "X-Pantera-Artifact-Size: %lld", (long long)job->size);
    if (job->item.created_ms >= 0)
        headers[n++] = arena_printf(a, "X-Pantera-Artifact-Created: %lld", (long long)job->item.created_ms);
    if (job->size >= (int64_t)EXPECT_FROM)
        headers[n++] = "Expect: 100-continue";
    headers[n] = NULL;
    job->step = JOB_PUT;
    job->sent = 0;
    job->request = (struct client_request){ .read_body = put_read, .body_length = job->size };
    request_send(job, "PUT", target_url(job, "/.import"), headers, put_done);
}

/* --- HASH --- */

static void hash_run(struct work *work)
{
    struct import_job *job = container_of(work, struct import_job, work);
    struct digester *d = digester_new(DIGEST_SHA256);
    struct digest_values v;
    char *block = malloc(MIB(1));
    ssize_t n = -1;
    check(block);
    job->size = 0;
    while ((n = pread(job->fd, block, MIB(1), job->size)) > 0) {
        digester_update(d, block, (size_t)n);
        job->size += n;
    }
    digester_final(d, &v);
    memcpy(job->sha256, v.sha256, 32);
    job->broken = n < 0;
    digester_free(d);
    free(block);
}

static void hash_done(struct work *work)
{
    struct import_job *job = container_of(work, struct import_job, work);
    job->hashed = !job->broken;
    if (job->broken)
        job_end(job, IMPORT_FAILED, "the file can't be read");
    else
        job_put(job);
}

static void job_hash(struct import_job *job)
{
    job->fd = open(job->item.from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (job->fd < 0) {
        job_end(job, IMPORT_FAILED, strerror(errno));
        return;
    }
    job->step = JOB_HASH;
    work_submit(&job->work, &job->im->cli->loop, hash_run, hash_done);
}

/* --- FETCH --- */

/* Without a name, so that nothing is left of it whatever happens. */
static int spool_open(void)
{
    const char *set = getenv("TMPDIR"), *folder = set && *set ? set : "/tmp";
    return open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

static bool fetch_data(struct client_request *r, const void *data, size_t size)
{
    struct import_job *job = container_of(r, struct import_job, request);
    if (r->status != 200 || job->broken)
        return true;
    for (size_t at = 0; at < size;) {
        ssize_t n = write(job->fd, (const char *)data + at, size - at);
        if (n <= 0) {
            job->broken = true;
            return true;
        }
        at += (size_t)n;
    }
    digester_update(job->digester, data, size);
    job->size += (int64_t)size;
    return true;
}

static const char *source_said(struct import_job *job)
{
    const struct client_request *r = &job->request;
    return r->err ? arena_printf(&job->arena, "source: %s", r->why.text)
                  : arena_printf(&job->arena, "source: HTTP %d", r->status);
}

static void fetch_done(struct client_request *r)
{
    struct import_job *job = container_of(r, struct import_job, request);
    struct digest_values v;
    if (!r->err && r->status == 200 && !job->broken) {
        digester_final(job->digester, &v);
        memcpy(job->sha256, v.sha256, 32);
        job->hashed = true;
        digester_free(job->digester);
        job->digester = NULL;
        buf_free(&job->answer);
        job_put(job);
        return;
    }
    close(job->fd);
    job->fd = -1;
    if (job->broken)
        job_end_all(job, CLI_FAILED, "no room for it in the folder of temporary files (TMPDIR)");
    else if (r->err || r->status == 429 || r->status >= 500)
        job_retry(job, false, source_said(job));
    else
        job_end(job, IMPORT_FAILED, source_said(job));
}

static const char *const *source_headers(struct import_job *job)
{
    const char **headers = arena_alloc(&job->arena, 2 * sizeof *headers);
    headers[0] = job->im->source_authorization;
    headers[1] = NULL;
    return headers;
}

static void job_fetch(struct import_job *job)
{
    job->fd = spool_open();
    if (job->fd < 0) {
        job_end_all(job, CLI_FAILED, "no file can be made in the folder of temporary files (TMPDIR)");
        return;
    }
    job->step = JOB_FETCH;
    job->size = 0;
    job->digester = digester_new(DIGEST_SHA256);
    job->request = (struct client_request){ .on_data = fetch_data };
    request_send(job, "GET", job->item.from, source_headers(job), fetch_done);
}

/* --- HEAD and TARGET: what need not be fetched --- */

/* A strong tag of 64 hexadecimal digits. That it is a SHA-256 is only a guess until the bytes are there. */
static bool etag_sha256(const struct client_request *r, unsigned char ret[32])
{
    const char *etag = client_header(r, "etag");
    return etag && strlen(etag) == 66 && etag[0] == '"' && etag[65] == '"' && hex_decode(etag + 1, 64, ret);
}

static void target_done(struct client_request *r)
{
    struct import_job *job = container_of(r, struct import_job, request);
    unsigned char there[32];
    buf_free(&job->answer);
    if (!r->err && r->status == 200 && etag_sha256(r, there) && memcmp(there, job->etag, 32) == 0)
        job_end(job, IMPORT_PRESENT, NULL);
    else if (!r->err && (r->status == 503 || r->status == 429))
        job_retry(job, true, "the repository is not available");
    else
        job_fetch(job); /* what else is wrong, the PUT finds out */
}

static void head_done(struct client_request *r)
{
    struct import_job *job = container_of(r, struct import_job, request);
    buf_free(&job->answer);
    if (r->err || r->status == 429 || r->status >= 502) {
        job_retry(job, false, source_said(job));
        return;
    }
    job->size = r->length > 0 ? r->length : 0;
    if (r->status != 200 || !etag_sha256(r, job->etag)) {
        job_fetch(job);
        return;
    }
    const char **headers = arena_alloc(&job->arena, 2 * sizeof *headers);
    headers[0] = bearer(job);
    headers[1] = NULL;
    job->step = JOB_TARGET;
    job->request = (struct client_request){ .on_data = NULL };
    request_send(job, "HEAD", target_url(job, ""), headers, target_done);
}

/* --- the beginning --- */

static void job_attempt(struct import_job *job)
{
    const char *folder = job->im->folder;
    job->path = *folder ? arena_printf(&job->arena, "%s/%s", folder, job->item.path)
                        : arena_strdup(&job->arena, job->item.path);
    job->broken = false;
    if (!utf8_valid(job->item.path, strlen(job->item.path))) {
        job_end(job, IMPORT_FAILED, "its name is not valid UTF-8");
    } else if (job->hashed && job->fd >= 0) {
        job_put(job);
    } else if (!job->im->source->remote) {
        job_hash(job);
    } else {
        job->step = JOB_HEAD;
        job->request = (struct client_request){ .on_data = NULL };
        request_send(job, "HEAD", job->item.from, source_headers(job), head_done);
    }
}

void import_job_start(struct import_job *job, struct import_item *item)
{
    struct import *im = job->im;
    *job = (struct import_job){ .im = im, .fd = -1, .item = *item, .step = JOB_WAIT };
    arena_init(&job->arena);
    buf_init(&job->answer, ANSWER_BYTES);
    job_attempt(job);
}

void import_job_again(struct import_job *job)
{
    job_attempt(job);
}
