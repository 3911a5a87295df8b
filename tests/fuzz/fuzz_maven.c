/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: maven-metadata.xml of clients and upstreams. Whatever is understood is written so that it
 * reads as the same again. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "src/formats/maven/metadata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err once(struct arena *a, const char *data, size_t size, struct buf *ret)
{
    struct maven_metadata m;
    enum err e;

    maven_metadata_init(&m, a);
    e = maven_metadata_read(&m, data, size, NULL);
    if (e)
        return e;
    maven_metadata_finish(&m);
    maven_metadata_render(&m, ret);
    return OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf first, second;
    struct arena a;

    arena_init(&a);
    buf_init(&first, 16 << 20);
    buf_init(&second, 16 << 20);
    if (!once(&a, (const char *)data, size, &first)) {
        check(!buf_err(&first));
        check(!once(&a, first.data, first.length, &second));
        check(first.length == second.length && !memcmp(first.data, second.data, first.length));
    }
    buf_free(&first);
    buf_free(&second);
    arena_release(&a);
    return 0;
}
