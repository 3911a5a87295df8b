/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: paths below /v2/, digests, ranges and manifests, as strangers send them. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "src/formats/docker/docker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *image, *reference;
    struct why why = { "" };
    struct oci_manifest m;
    struct oci_digest d;
    int64_t first, last;
    struct arena a;
    char *text;

    arena_init(&a);
    text = arena_strndup(&a, (const char *)data, size);
    if (oci_path_parse(&a, text, &image, &reference) != OCI_NOTHING && oci_name_valid(image))
        check(!strstr(image, "/_") && !strstr(image, ".."));
    if (oci_digest_parse(text, &d))
        check(strlen(d.hex) == (d.kind == DIGEST_SHA512 ? 128 : 64));
    if (oci_range_parse(text, &first, &last))
        check(first >= 0 && last >= first);
    if (!oci_manifest_parse(&a, (const char *)data, size, NULL, &m, &why))
        check(m.media_type && m.reference_count <= REFERENCES_LIMIT);
    arena_release(&a);
    return 0;
}
