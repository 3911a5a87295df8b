/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer target: bytes that claim to be an archive. The first one says which kinds are tried. */
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pantera/archive.h"
#include "pantera/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum archive_step look(const struct archive_member *m, void *arg)
{
    check(m->path && m->size >= -1);
    return strlen(m->path) % 2 ? ARCHIVE_READ : ARCHIVE_SKIP;
}

static enum err count(const struct archive_member *m, const void *data, size_t size, void *arg,
                      struct why *why)
{
    *(size_t *)arg += size;
    return OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct archive_limits limits = { .members = 1000, .unpacked_bytes = 8 << 20 };
    size_t bytes = 0;
    const struct archive_visit visit = { look, count, &bytes };
    struct why why = { "" };
    int fd;

    if (size < 2)
        return 0;
    fd = memfd_create("fuzz", MFD_CLOEXEC);
    check(fd >= 0 && write(fd, data + 1, size - 1) == (ssize_t)size - 1);
    enum err e = archive_walk(fd, data[0] & 7, &limits, &visit, &why);
    check(e == OK || e == ERR_BAD_REQUEST || e == ERR_TOO_BIG);
    check(bytes <= (8 << 20) + KIB(1024));
    close(fd);
    return 0;
}
