/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/pypi/blake2b.h: BLAKE2b with 32 bytes of digest (RFC 7693), which uploads announce. OpenSSL
 * 3.0 makes the one of 64 bytes only. */
#ifndef PYPI_BLAKE2B_H
#define PYPI_BLAKE2B_H

#include <stddef.h>
#include <stdint.h>

struct blake2b {
    uint64_t h[8], count; /* count: of the bytes that were compressed; 2^64 of them will do */
    unsigned char block[128];
    size_t filled;
};
void blake2b_init(struct blake2b *b);
void blake2b_update(struct blake2b *b, const void *data, size_t size);
void blake2b_final(struct blake2b *b, unsigned char ret[32]);

#endif
