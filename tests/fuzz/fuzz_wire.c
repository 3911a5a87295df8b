/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer target: whatever comes over a peer connection or lies in the log. What decodes must encode
 * to the same bytes again. */
#include <stdlib.h>
#include <string.h>

#include "cluster/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_message(const uint8_t *data, size_t size)
{
    struct raft_message m;
    if (!wire_decode_message(data, size, 1, "a:1", &m))
        return;
    struct buf b;
    buf_init(&b, WIRE_MESSAGE_MAX);
    check(wire_encode_message(&b, &m));
    if (size < WIRE_BATCH_BYTES) /* a longer backlog is sent in pieces */
        check(b.length == size && memcmp(b.data, data, size) == 0);
    buf_free(&b);
    wire_message_release(&m);
}

static void fuzz_entry(const uint8_t *data, size_t size)
{
    struct entry e;
    if (!entry_decode(data, size, &e))
        return;
    struct raft_buffer b;
    uint32_t number;
    check(entry_encode(&e, &b));
    check(b.len == size && memcmp(b.base, data, size) == 0);
    check(entry_migration(&e, &number) == (e.kind == ENTRY_MIGRATE));
    raft_free(b.base);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] == WIRE_VERSION)
        fuzz_message(data, size);
    else
        fuzz_entry(data, size);
    return 0;
}
