/* SPDX-License-Identifier: Apache-2.0 */
/* src/archive/archive.c: libarchive behind limits. Bytes are read with pread and counted on their way in and
 * out; a member that is skipped in a packed tar has to be unpacked all the same, so it counts too. */
#include "pantera/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pantera/limits.h"
#include "pantera/text.h"

enum { READ_BYTES = 65536, DEFAULT_MEMBERS = 100000, DEFAULT_RATIO = 200 };
#define DEFAULT_UNPACKED ((int64_t)2 << 30)
#define RATIO_FROM (16 << 20) /* less is no harm, and small texts pack well */

struct walk {
    int fd;
    int64_t at, size;
    int64_t in;                  /* bytes read */
    int64_t out;                 /* of members, seekable archives; else libarchive's own count */
    bool packed_tar;
    unsigned members;
    struct archive_limits limits;
    const struct archive_visit *visit;
    struct archive *archive;
    int io_errno;
    char chunk[READ_BYTES];
};

static la_ssize_t on_read(struct archive *a, void *arg, const void **ret)
{
    struct walk *w = arg;
    ssize_t n;

    do
        n = pread(w->fd, w->chunk, sizeof w->chunk, w->at);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        w->io_errno = errno;
        archive_set_error(a, errno, "read failed");
        return -1;
    }
    w->at += n;
    w->in += n;
    *ret = w->chunk;
    return n;
}

static la_int64_t on_skip(struct archive *a, void *arg, la_int64_t request)
{
    struct walk *w = arg;
    int64_t left = w->size - w->at, n = request < left ? request : left;

    if (n <= 0)
        return 0;
    w->at += n;
    return n;
}

static la_int64_t on_seek(struct archive *a, void *arg, la_int64_t offset, int whence)
{
    struct walk *w = arg;
    int64_t from = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? w->at : w->size;

    if (offset < -from || offset > w->size - from) {
        archive_set_error(a, EINVAL, "a position outside of the file");
        return ARCHIVE_FATAL;
    }
    w->at = from + offset;
    return w->at;
}

static enum err broken(const struct walk *w, struct why *why)
{
    const char *text = archive_error_string(w->archive);

    if (w->io_errno)
        return fail(why, err_from_errno(w->io_errno), "an archive can't be read: %s", strerror(w->io_errno));
    return fail(why, ERR_BAD_REQUEST, "not a readable archive: %.150s", text ? text : "damaged");
}

/* What came out so far, against the limits. */
static enum err weigh(const struct walk *w, struct why *why)
{
    int64_t filtered = archive_filter_bytes(w->archive, 0);
    int64_t out = w->out > filtered || !w->packed_tar ? w->out : filtered;

    if (out > w->limits.unpacked_bytes)
        return fail(why, ERR_TOO_BIG, "the archive unpacks to more than %lld bytes",
                    (long long)w->limits.unpacked_bytes);
    if (out > RATIO_FROM && out / w->limits.ratio > w->in)
        return fail(why, ERR_TOO_BIG, "the archive unpacks to more than %u times its size", w->limits.ratio);
    return OK;
}

static bool path_is_plain(const char *path)
{
    const char *segment = path;

    if (!*path || *path == '/' || !utf8_valid(path, strlen(path)))
        return false;
    for (const char *c = path; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f || *c == '\\')
            return false;
    for (;;) {
        size_t n = strcspn(segment, "/");
        if (n == 0)              /* a folder's slash at the end is fine */
            return segment != path && !*segment;
        if ((n == 1 && segment[0] == '.') || (n == 2 && segment[0] == '.' && segment[1] == '.'))
            return false;
        if (!segment[n])
            return true;
        segment += n + 1;
    }
}

static void describe(struct archive_entry *entry, struct archive_member *ret)
{
    const char *path = archive_entry_pathname_utf8(entry);

    if (!path)
        path = archive_entry_pathname(entry);
    if (path && path[0] == '.' && path[1] == '/')
        path += 2;
    *ret = (struct archive_member){
        .path = path ? path : "",
        .file = archive_entry_filetype(entry) == AE_IFREG && !archive_entry_hardlink(entry),
        .plain = path && path_is_plain(path),
        .size = archive_entry_size_is_set(entry) ? archive_entry_size(entry) : -1,
    };
}

/* Its pieces to `data`, or nowhere. */
static enum err member_read(struct walk *w, const struct archive_member *m, bool wanted, struct why *why)
{
    const void *data;
    la_int64_t offset;
    size_t size;
    enum err e = OK;
    int status;

    while (!e && (status = archive_read_data_block(w->archive, &data, &size, &offset)) != ARCHIVE_EOF) {
        if (status < ARCHIVE_WARN)
            return broken(w, why);
        w->out += (int64_t)size;
        e = weigh(w, why);
        /* A sparse file's holes are no bytes of anything that we read. */
        if (!e && wanted && size)
            e = w->visit->data(m, data, size, w->visit->arg, why);
    }
    return e || !wanted ? e : w->visit->data(m, NULL, 0, w->visit->arg, why);
}

/* *ret_more false: the end, or enough seen. */
static enum err step(struct walk *w, bool *ret_more, struct why *why)
{
    struct archive_entry *entry;
    struct archive_member m;
    enum archive_step what;
    enum err e = OK;
    int status = archive_read_next_header(w->archive, &entry);

    *ret_more = false;
    if (status == ARCHIVE_EOF)
        return OK;
    if (status < ARCHIVE_WARN)
        return broken(w, why);
    if (++w->members > w->limits.members)
        return fail(why, ERR_TOO_BIG, "the archive has more than %u members", w->limits.members);
    e = weigh(w, why);
    if (e)
        return e;
    describe(entry, &m);
    what = w->visit->member(&m, w->visit->arg);
    if (what == ARCHIVE_STOP)
        return OK;
    if (what == ARCHIVE_READ && m.file) {
        if (archive_entry_is_encrypted(entry))
            return fail(why, ERR_BAD_REQUEST, "the archive is encrypted");
        e = member_read(w, &m, true, why);
    } else if (w->packed_tar) {
        e = member_read(w, &m, false, why);
    } else if (archive_read_data_skip(w->archive) < ARCHIVE_WARN) {
        e = broken(w, why);
    }
    *ret_more = !e;
    return e;
}

static void support(struct archive *a, unsigned kinds)
{
    if (kinds & ARCHIVE_TAR) {
        archive_read_support_format_tar(a);
        archive_read_support_filter_gzip(a);
        archive_read_support_filter_bzip2(a);
        archive_read_support_filter_xz(a);
        archive_read_support_filter_zstd(a);
    }
    if (kinds & ARCHIVE_ZIP)
        archive_read_support_format_zip_seekable(a);
    if (kinds & ARCHIVE_AR)
        archive_read_support_format_ar(a);
}

static enum err walk_all(struct walk *w, struct why *why)
{
    bool more = true;
    enum err e = OK;

    archive_read_set_callback_data(w->archive, w);
    archive_read_set_read_callback(w->archive, on_read);
    archive_read_set_skip_callback(w->archive, on_skip);
    archive_read_set_seek_callback(w->archive, on_seek);
    if (archive_read_open1(w->archive) < ARCHIVE_WARN)
        return broken(w, why);
    while (!e && more) {
        e = step(w, &more, why);
        /* Known once the first header was read: a filter besides the file itself. */
        w->packed_tar = archive_filter_count(w->archive) > 1;
    }
    return e;
}

enum err archive_walk(int fd, unsigned kinds, const struct archive_limits *limits,
                      const struct archive_visit *visit, struct why *why)
{
    struct walk w = { .fd = fd, .visit = visit, .packed_tar = (kinds & ARCHIVE_TAR) != 0 };
    struct stat st;
    enum err e;

    if (limits)
        w.limits = *limits;
    w.limits.members = w.limits.members ? w.limits.members : DEFAULT_MEMBERS;
    w.limits.ratio = w.limits.ratio ? w.limits.ratio : DEFAULT_RATIO;
    w.limits.unpacked_bytes = w.limits.unpacked_bytes ? w.limits.unpacked_bytes : DEFAULT_UNPACKED;
    if (fstat(fd, &st))
        return fail(why, err_from_errno(errno), "an archive can't be read: %s", strerror(errno));
    w.size = st.st_size;
    w.archive = archive_read_new();
    check(w.archive);
    support(w.archive, kinds);
    e = walk_all(&w, why);
    archive_read_free(w.archive);
    return e;
}

/* --- one member --- */

struct find {
    archive_wanted *match;
    void *arg;
    struct buf *ret;
    bool found;
};

static enum archive_step find_member(const struct archive_member *m, void *arg)
{
    struct find *f = arg;

    if (f->found)
        return ARCHIVE_STOP;
    return m->file && f->match(m->path, f->arg) ? ARCHIVE_READ : ARCHIVE_SKIP;
}

static enum err find_data(const struct archive_member *m, const void *data, size_t size, void *arg,
                          struct why *why)
{
    struct find *f = arg;

    if (!data)
        f->found = true;
    else if (buf_add(f->ret, data, size))
        return fail(why, ERR_TOO_BIG, "'%.100s' in the archive is larger than %zu bytes", m->path,
                    f->ret->limit);
    return OK;
}

enum err archive_find(int fd, unsigned kinds, const struct archive_limits *limits, archive_wanted *match,
                      void *arg, struct buf *ret, struct why *why)
{
    struct find f = { .match = match, .arg = arg, .ret = ret };
    const struct archive_visit visit = { find_member, find_data, &f };
    enum err e = archive_walk(fd, kinds, limits, &visit, why);

    /* What comes after the member doesn't matter: some packers leave rubbish at the end. */
    if (f.found)
        return OK;
    return e ? e : fail(why, ERR_NOT_FOUND, "the archive has no such member");
}

bool archive_is_below(const char *path, void *arg)
{
    const char *slash = strchr(path, '/');

    return slash && slash != path && !strcmp(slash + 1, arg);
}

bool archive_is_exactly(const char *path, void *arg)
{
    return !strcmp(path, arg);
}
