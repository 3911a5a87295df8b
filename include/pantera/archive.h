/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/archive.h: looking into archives that strangers made.
 * What:      walks the members of an archive behind a descriptor (stage_fd, registry_fd), or gives one of
 *            them. Nothing is ever written to disk, no name of a member is ever used as a path.
 * Not here:  making archives; what their members mean.
 * Threads:   blocks: for a pool thread. The descriptor's own offset is neither used nor moved.
 * Errors:    BAD_REQUEST: no such archive, damaged, encrypted; TOO_BIG: over a limit (a bomb); NOT_FOUND;
 *            IO; and whatever a callback returned.
 *
 *     struct buf text;
 *     buf_init(&text, MIB(1));
 *     e = archive_find(fd, ARCHIVE_TAR, NULL, is_metadata, NULL, &text, why); */
#ifndef PANTERA_ARCHIVE_H
#define PANTERA_ARCHIVE_H

#include <stdint.h>

#include "pantera/buf.h"
#include "pantera/err.h"

/* TAR: plain, or packed with gzip, bzip2, xz or zstd. ZIP: by its central directory. AR: Debian's. */
enum archive_kind { ARCHIVE_TAR = 1, ARCHIVE_ZIP = 2, ARCHIVE_AR = 4 };

struct archive_limits {          /* 0: the default */
    unsigned members;            /* looked at: 100,000 */
    int64_t unpacked_bytes;      /* that come out of it, skipped members of a packed tar included: 2 GiB */
    unsigned ratio;              /* of what came out to what went in, once that is over 16 MiB: 200 */
};

struct archive_member {
    const char *path;            /* without a leading "./"; bytes as they stand, "" if they can't be had */
    bool file;                   /* a regular one: no folder, no link, no device */
    bool plain;                  /* relative, UTF-8, no control byte or '\', no empty, "." or ".." segment */
    int64_t size;                /* -1: not said; what comes is what counts */
};

enum archive_step { ARCHIVE_SKIP, ARCHIVE_READ, ARCHIVE_STOP };
struct archive_visit {
    /* Each member once, in the archive's order. */
    enum archive_step (*member)(const struct archive_member *m, void *arg);
    /* Of one that is to be READ (never of what is no file): pieces in order; then size 0, data NULL: its end.
     * Anything but OK ends the walk with it. NULL if `member` never says READ. */
    enum err (*data)(const struct archive_member *m, const void *data, size_t size, void *arg,
                     struct why *why);
    void *arg;
};
/* `kinds`: what it may be. `limits` NULL: all defaults. */
MUST_USE enum err archive_walk(int fd, unsigned kinds, const struct archive_limits *limits,
                               const struct archive_visit *visit, struct why *why);

/* The first regular file whose path `match` likes: appended to `ret`, whose limit counts. */
typedef bool archive_wanted(const char *path, void *arg);
MUST_USE enum err archive_find(int fd, unsigned kinds, const struct archive_limits *limits,
                               archive_wanted *match, void *arg, struct buf *ret, struct why *why);
/* "<one folder>/<arg>" (npm's package.json, an sdist's PKG-INFO, a chart's Chart.yaml); exactly arg. */
bool archive_is_below(const char *path, void *arg);
bool archive_is_exactly(const char *path, void *arg);

#endif
