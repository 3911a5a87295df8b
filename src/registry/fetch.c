/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/fetch.c: the remotes of a proxy, one after the other, until one gives the bytes.
 *
 *   A remote that has no such thing, or fails before a byte was given away: the next one. All of them have
 *   it not: NOT_FOUND, which is remembered. One of them failed: that is the answer; "not there" would be a
 *   guess.
 *
 * Bytes go two ways, each with its own room: into a stage (which digests and stores them) and, for files,
 * into a scratch file without a name that followers read. Upstream waits while either is full. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pantera/clock.h"
#include "pantera/limits.h"
#include "pantera/log.h"
#include "pantera/meta_upstream.h"
#include "pantera/text.h"
#include "src/registry/flying.h"
#include "src/registry/source.h"

#define SCRATCH_FULL KIB(256)
#define HEAD_TEXT_MOST 1024

static void flight_pump(struct flight *f);
static void flight_next(struct flight *f);

/* --- the scratch file: on the pool --- */

void scratch_unref(struct scratch *s)
{
    if (!s || --s->refs > 0)
        return;
    if (s->fd >= 0)
        close(s->fd);
    free(s->folder);
    free(s);
}

/* A folder that is missing is our trouble, not "not found". */
static void scratch_fail(struct scratch_job *j, const char *text)
{
    enum err e = err_from_errno(errno);

    j->err = fail(&j->why, e == ERR_NO_SPACE ? e : ERR_IO, "%s", text);
}

static int scratch_named(const char *folder)
{
    char path[1200];
    int n = snprintf(path, sizeof path, "%s/scratch-XXXXXX", folder), fd;

    if (n < 0 || (size_t)n >= sizeof path || (fd = mkostemp(path, O_CLOEXEC)) < 0)
        return -1;
    unlink(path);
    return fd;
}

static int scratch_open(struct scratch_job *j)
{
    struct scratch *s = j->file;
    int fd = open(s->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0 && errno == ENOENT && (mkdir(s->folder, 0755) == 0 || errno == EEXIST))
        fd = open(s->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) /* not every file system has such files */
        fd = scratch_named(s->folder);
    if (fd < 0)
        scratch_fail(j, "no scratch file can be made in the cache folder");
    s->fd = fd;
    return fd;
}

static void scratch_run(struct work *work)
{
    struct scratch_job *j = container_of(work, struct scratch_job, work);
    int fd = j->file->fd;

    if (fd < 0 && (fd = scratch_open(j)) < 0)
        return;
    for (size_t done = 0; done < j->size;) {
        ssize_t n = pwrite(fd, j->data + done, j->size - done, j->offset + (int64_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            scratch_fail(j, "the scratch file can't be written");
            return;
        }
        done += (size_t)n;
    }
}

static void change_written(struct flight *f, void *arg)
{
    int64_t length = f->view.length;

    (void)arg;
    f->view.fd = f->scratch->fd; /* good while the flight lives */
    /* The last byte waits until the bytes are known to be good: so a client can't take bad ones for whole. */
    f->view.visible = length >= 0 && f->scratched >= length ? length - 1 : f->scratched;
    if (f->view.visible < 0)
        f->view.visible = 0;
}

static void on_scratched(struct work *work)
{
    struct scratch_job *j = container_of(work, struct scratch_job, work);
    struct flight *f = j->flight;

    if (f) { /* else it has ended meanwhile */
        f->job = NULL;
        f->scratched += (int64_t)j->size;
        if (j->err) {
            flight_end(f, j->err, &j->why);
        } else {
            flight_changed(f, change_written, NULL);
            flight_pump(f);
        }
    }
    scratch_unref(j->file);
    free(j->data);
    free(j);
}

static void scratch_submit(struct flight *f)
{
    struct scratch_job *j = calloc(1, sizeof *j);

    check(j);
    *j = (struct scratch_job){ .flight = f, .file = f->scratch, .data = f->fill, .size = f->fill_size,
                               .offset = f->scratched };
    f->scratch->refs++;
    f->job = j;
    f->fill = NULL;
    f->fill_size = f->fill_capacity = 0;
    work_submit(&j->work, &f->worker->loop, scratch_run, on_scratched);
}

static void scratch_add(struct flight *f, const void *data, size_t size)
{
    if (f->fill_size + size > f->fill_capacity) {
        size_t capacity = f->fill_capacity ? f->fill_capacity : KIB(16);
        while (capacity < f->fill_size + size)
            capacity *= 2;
        f->fill = realloc(f->fill, capacity);
        check(f->fill);
        f->fill_capacity = capacity;
    }
    memcpy(f->fill + f->fill_size, data, size);
    f->fill_size += size;
}

/* --- bytes --- */

static bool has_room(const struct flight *f)
{
    return f->room && f->fill_size < SCRATCH_FULL;
}

static void flight_pump(struct flight *f)
{
    if (f->scratch && !f->job && f->fill_size)
        scratch_submit(f);
    if (f->paused && f->asking && !f->canceled && has_room(f)) {
        f->paused = false;
        upstream_resume(&f->request);
    }
    if (f->state == FLIGHT_SEAL && f->staged && !f->job && !f->fill_size)
        flight_land(f);
}

static void on_room(struct stage *s, void *arg)
{
    struct flight *f = arg;

    (void)s;
    f->room = true;
    flight_pump(f);
}

static void ask_cancel(struct flight *f)
{
    if (f->asking && !f->canceled) {
        f->canceled = true;
        upstream_cancel(&f->request);
    }
}

static bool on_data(struct upstream_request *r, const void *data, size_t size)
{
    struct flight *f = r->arg;

    if (f->canceled || f->order.date)
        return true;
    if (!has_room(f)) {
        f->paused = true;
        return false;
    }
    f->room = stage_write(f->stage, data, size, on_room, f);
    if (stage_err(f->stage)) {
        ask_cancel(f);
        return true;
    }
    if (f->scratch)
        scratch_add(f, data, size);
    figure_add(flight_repo(f), FIGURE_BYTES, size);
    flight_pump(f);
    return true;
}

/* What one remote has given is forgotten: *arg, only while nobody has seen a byte of it. */
static void change_anew(struct flight *f, void *arg)
{
    bool *done = arg;

    *done = !f->begun;
    if (f->begun)
        return;
    scratch_unref(f->scratch);
    f->scratch = NULL;
    f->view.fd = -1;
    f->view.visible = 0;
    f->view.length = -1;
}

static void bytes_drop(struct flight *f)
{
    stage_drop(f->stage);
    f->stage = NULL;
    if (f->job)
        f->job->flight = NULL;
    f->job = NULL;
    free(f->fill);
    f->fill = NULL;
    f->fill_size = f->fill_capacity = 0;
    f->scratched = 0;
    f->ended = f->staged = f->paused = false;
    f->page = 0;
    f->next_page = NULL;
}

void flight_stop(struct flight *f)
{
    if (f->asking) {
        f->request.arg = NULL;
        ask_cancel(f);
    }
    bytes_drop(f);
}

/* --- one remote's answer --- */

static const char *kept(struct flight *f, const char *text)
{
    return text && *text && strlen(text) <= HEAD_TEXT_MOST && utf8_valid(text, strlen(text))
               ? arena_strdup(&f->arena, text) : NULL;
}

static void hex_header(const struct upstream_request *r, const char *name, unsigned kind, void *ret,
                       size_t size, struct digest_values *d)
{
    const char *text = upstream_header(r, name);

    if (text && strlen(text) == 2 * size && hex_decode(text, 2 * size, ret))
        d->kinds |= kind;
}

/* What upstream itself says of its bytes: as other registries do, and RFC 9530. */
static void announced_read(struct flight *f)
{
    const struct upstream_request *r = &f->request;
    struct digest_values *d = &f->announced;
    const char *oci = upstream_header(r, "docker-content-digest");

    d->kinds = 0;
    hex_header(r, "x-checksum-md5", DIGEST_MD5, d->md5, 16, d);
    hex_header(r, "x-checksum-sha1", DIGEST_SHA1, d->sha1, 20, d);
    hex_header(r, "x-checksum-sha512", DIGEST_SHA512, d->sha512, 64, d);
    hex_header(r, "x-checksum-sha256", DIGEST_SHA256, d->sha256, 32, d);
    if (oci && strlen(oci) == 71 && !strncmp(oci, "sha256:", 7) && hex_decode(oci + 7, 64, d->sha256))
        d->kinds |= DIGEST_SHA256;
}

static void change_head(struct flight *f, void *arg)
{
    (void)arg;
    f->view.length = f->request.length;
    f->view.content_type = f->content_type;
}

/* The page after this one. Of several pages nothing is kept that speaks of the first alone. */
static void page_note(struct flight *f)
{
    const struct upstream_request *r = &f->request;

    f->next_page = f->page + 1 < DOCUMENT_PAGES ? url_next(&f->arena, r->url, upstream_header(r, "link"))
                                                : NULL;
    if (f->next_page)
        f->etag = f->last_modified = NULL;
}

static void on_head(struct upstream_request *r)
{
    struct flight *f = r->arg;
    const struct repo *repo = f ? flight_repo(f) : NULL;
    struct why why = { "" };
    enum err e = OK;
    int64_t limit;

    if (!f || f->canceled)
        return;
    if (f->page) {
        page_note(f);
        f->good_head = true;
        return;
    }
    f->etag = kept(f, upstream_header(r, "etag"));
    f->last_modified = kept(f, upstream_header(r, "last-modified"));
    f->final_url = kept(f, r->url);
    f->content_type = f->order.content_type ? f->order.content_type
                                            : kept(f, upstream_header(r, "content-type"));
    f->released_ms = f->facts.released_ms;
    if (!f->released_ms && f->last_modified)
        (void)clock_parse_http_date(f->last_modified, &f->released_ms);
    if (f->order.date) {
        f->good_head = true;
        return;
    }
    announced_read(f);
    if (f->order.paged) {
        page_note(f);
        f->announced.kinds = f->next_page ? 0 : f->announced.kinds;
    }
    if (!repo)
        e = fail(&why, ERR_NOT_FOUND, "the repository does not exist any more");
    if (!e && !f->order.document && !f->facts.released_ms)
        e = flight_judge(f, f->released_ms, &why);
    limit = f->order.limit ? (int64_t)f->order.limit : -1;
    if (!e && limit >= 0 && r->length > limit)
        e = fail(&why, ERR_UPSTREAM, "upstream's answer is larger than %lld bytes", (long long)limit);
    if (e) {
        f->refused = true;
        f->worst = e;
        f->worst_why = why;
        ask_cancel(f);
        return;
    }
    f->stage = stage_new(f->worker, repo, f->next_page ? -1 : r->length, limit,
                         f->order.kinds | f->order.expected.kinds | f->facts.digests.kinds |
                             f->announced.kinds);
    f->room = true;
    f->good_head = true;
    if (!f->order.document) {
        f->scratch = calloc(1, sizeof *f->scratch);
        check(f->scratch);
        f->scratch->refs = 1;
        f->scratch->fd = -1;
        f->scratch->folder = strdup(f->worker->config->cache_dir);
        check(f->scratch->folder);
    }
    flight_changed(f, change_head, NULL);
}

static void on_staged(struct stage *s, enum err e, const struct why *why, void *arg)
{
    struct flight *f = arg;

    (void)s;
    if (e) {
        flight_end(f, e == ERR_TOO_BIG ? ERR_UPSTREAM : e, why); /* the client did not send it */
        return;
    }
    f->staged = true;
    flight_pump(f);
}

static void change_until(struct flight *f, void *arg)
{
    f->view.until_ms = *(const int64_t *)arg;
}

static void note_worst(struct flight *f, enum err e, const struct why *why)
{
    if (f->some_failed)
        return; /* the first remote's word: it has the highest priority */
    f->some_failed = true;
    f->worst = e;
    f->worst_why = *why;
}

void flight_again(struct flight *f, enum err e, const struct why *why)
{
    bool done;

    if (e)
        note_worst(f, e, why);
    bytes_drop(f);
    flight_changed(f, change_anew, &done);
    if (!done) {
        log_warn("registry", "upstream of '%s' broke off in '%s': %s", f->repo_name, f->order.path,
                 why_text(why, e));
        flight_end(f, e ? e : ERR_UPSTREAM, why);
        return;
    }
    f->remote++;
    f->bodily = false;
    flight_next(f);
}

static void on_done(struct upstream_request *r)
{
    struct flight *f = r->arg;
    struct flight *owner = container_of(r, struct flight, request);
    struct why why = r->why;

    owner->asking = false;
    if (!f) { /* it has ended meanwhile */
        flight_unref(owner);
        return;
    }
    figure_add(flight_repo(f), FIGURE_OUTCOMES + (unsigned)r->outcome, 1);
    if (f->refused) {
        flight_end(f, f->worst, &f->worst_why);
    } else if (f->canceled && f->stage && stage_err(f->stage)) {
        f->state = FLIGHT_SEAL;
        stage_finish(f->stage, on_staged, f); /* says what went wrong */
    } else if (r->outcome == UPSTREAM_OK && f->good_head && f->order.date) {
        flight_dated(f);
    } else if (f->order.date && !f->bodily && (r->status == 405 || r->status == 501)) {
        f->bodily = true;
        flight_next(f); /* the same remote */
    } else if (r->outcome == UPSTREAM_OK && f->good_head && f->next_page) {
        f->page++;
        flight_next(f);
    } else if (r->outcome == UPSTREAM_OK && f->good_head) {
        f->state = FLIGHT_SEAL;
        stage_finish(f->stage, on_staged, f);
        flight_pump(f);
    } else if (r->outcome == UPSTREAM_NOT_MODIFIED && f->known) {
        flight_unchanged(f);
    } else {
        int64_t until_ms = clock_wall_ms() + r->retry_after_ms;
        enum err e = r->outcome != UPSTREAM_NOT_FOUND ? r->err ? r->err : ERR_UPSTREAM
                     : f->page ? ERR_UPSTREAM : OK;
        if (r->err == ERR_UNAVAILABLE && r->retry_after_ms > 0 && !f->some_failed)
            flight_changed(f, change_until, &until_ms);
        flight_again(f, e, &why);
    }
    flight_unref(owner);
}

/* --- asking --- */

/* A document that is there is asked for with what upstream said of it, if the same remote is asked. */
static void conditions_add(struct flight *f, const char **headers, unsigned *n)
{
    struct upstream_row row;

    if (!f->known || upstream_row_get(f->worker->reader, &f->arena, f->repo_id, f->order.path, &row) ||
        strcmp(row.remote, f->remote_url))
        return;
    if (row.etag)
        headers[(*n)++] = arena_printf(&f->arena, "If-None-Match: %s", row.etag);
    if (row.last_modified)
        headers[(*n)++] = arena_printf(&f->arena, "If-Modified-Since: %s", row.last_modified);
}

static void flight_none(struct flight *f)
{
    struct why why;

    if (f->some_failed) {
        flight_end(f, f->worst, &f->worst_why);
        return;
    }
    missing_note(f->repo_id, f->order.path, f->ttl_ms, f->missing_stamp);
    flight_end(f, fail(&why, ERR_NOT_FOUND, "'%.200s' not found", f->order.path), &why);
}

static void flight_next(struct flight *f)
{
    const struct repo *repo = flight_repo(f);
    const struct repo_rules *rules = repo ? &repo_entry_of(repo)->rules : NULL;
    const char *headers[5] = { NULL };
    unsigned n = 0;
    struct why why = { "" };
    enum err e;

    if (!repo || f->worker->registry->closing) {
        flight_end(f, repo ? ERR_UNAVAILABLE : ERR_NOT_FOUND, &why);
        return;
    }
    if (f->remote >= rules->remote_count || (f->remote && f->facts.url)) {
        flight_none(f);
        return;
    }
    const struct upstream_remote *remote = &rules->remotes[f->remote];
    f->remote_url = arena_strdup(&f->arena, remote->url);
    f->canceled = f->paused = f->good_head = f->refused = false;
    if (f->order.accept)
        headers[n++] = arena_printf(&f->arena, "Accept: %s", f->order.accept);
    headers[n++] = "Accept-Encoding: identity"; /* the bytes themselves: digests are of those */
    if (!f->page)
        conditions_add(f, headers, &n);
    f->request = (struct upstream_request){
        .remote = remote, .path = f->page ? f->next_page : f->facts.url ? f->facts.url : f->order.url_path,
        .headers = headers,
        .method = f->order.date && !f->bodily ? "HEAD" : NULL,
        .on_head = on_head, .on_data = on_data, .on_done = on_done, .arg = f,
    };
    e = upstream_submit(f->worker->upstream, &f->request, &why);
    if (e) {
        note_worst(f, e, &why);
        if (f->page)
            bytes_drop(f);
        f->remote++;
        flight_next(f);
        return;
    }
    f->asking = true;
    flight_ref(f);
}

void flight_fetch(struct flight *f)
{
    f->state = FLIGHT_FETCH;
    f->remote = 0;
    flight_next(f);
}
