/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a JSON text: span_read takes what jansson takes, and what is walked then is what jansson's
 * tree holds. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/err.h"
#include "src/formats/npm/span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What jansson can't hold, although it is JSON. */
static bool is_beyond(const json_error_t *error)
{
    enum json_error_code code = json_error_code(error);

    return code == json_error_numeric_overflow || code == json_error_null_byte_in_key ||
           code == json_error_null_character;
}

static void same(struct span object, const json_t *tree)
{
    struct span_walk w = span_walk(object);
    struct span key, value, inner;
    char name[64];

    while (span_next(&w, &key, &value)) {
        check(span_read(value.at, value.size, &inner) && inner.size == value.size);
        if (key.size >= sizeof name || memchr(key.at, '\\', key.size))
            continue;
        memcpy(name, key.at, key.size);
        name[key.size] = 0;
        json_t *got = span_json(span_get(object, name));
        bool escaped = memmem(object.at, object.size, "\\u", 2); /* that name may be there in disguise */
        check(escaped || json_equal(got, json_object_get(tree, name)));
        json_decref(got);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size ? size : 1); /* its very end is the end of what may be read */
    struct span root;
    json_error_t error;
    json_t *tree;
    bool good;

    /* jansson passes over a NUL between tokens. */
    if (!text || size >= SPAN_DEPTH || memchr(data, 0, size)) {
        free(text);
        return 0;
    }
    memcpy(text, data, size);
    good = span_read(text, size, &root);
    tree = json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    check(!tree || good);
    check(!good || tree || is_beyond(&error));
    if (good && tree)
        same(root, tree);
    json_decref(tree);
    free(text);
    return 0;
}
