/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer target: the body of an npm publish. However it is cut into pieces (the first byte says how), the
 * scanner gives the same bytes and keeps the same text; and what it keeps, if it is JSON, is the body without
 * its tarball. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "src/formats/npm/scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err collect(const void *data, size_t size, void *arg)
{
    return buf_add(arg, data, size);
}

static enum err scan(const uint8_t *data, size_t size, size_t step, struct npm_scan *s, struct buf *bytes)
{
    struct why why;
    enum err e = OK;

    buf_init(bytes, 1 << 20);
    npm_scan_init(s, 1 << 20, collect, bytes);
    for (size_t i = 0; i < size && !e; i += step)
        e = npm_scan_feed(s, (const char *)data + i, step < size - i ? step : size - i, &why);
    return e ? e : npm_scan_end(s, &why);
}

static const json_t *tarball_in(const json_t *body)
{
    const json_t *found = NULL;
    const char *name;
    json_t *a;

    json_object_foreach (json_object_get(body, "_attachments"), name, a)
        if (strlen(name) > 4 && !strcmp(name + strlen(name) - 4, ".tgz"))
            found = json_object_get(a, "data");
    return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct npm_scan whole, pieces;
    struct buf a, b;
    enum err e, f;

    if (size < 2 || size > 1 << 16)
        return 0;
    e = scan(data + 1, size - 1, size, &whole, &a);
    f = scan(data + 1, size - 1, 1 + data[0] % 64, &pieces, &b);
    check(e == f);
    if (!e) {
        json_t *kept = json_loadb(whole.kept.data, whole.kept.length, 0, NULL);
        json_t *body = json_loadb((const char *)data + 1, size - 1, 0, NULL);
        check(a.length == b.length && !memcmp(a.length ? a.data : "", b.length ? b.data : "", a.length));
        check(!strcmp(whole.kept.data, pieces.kept.data) && whole.decoded == (int64_t)a.length);
        /* A name that is written with escapes is none that we look for. */
        check(!body || kept);
        if (kept && body && whole.found && json_is_string(tarball_in(body)))
            check(!json_string_length(tarball_in(kept)));
        json_decref(kept);
        json_decref(body);
    }
    npm_scan_release(&whole);
    npm_scan_release(&pieces);
    buf_free(&a);
    buf_free(&b);
    return 0;
}
