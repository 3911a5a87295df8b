/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/pypi/blake2b.c: RFC 7693 §3, with a parameter block that says: 32 bytes, no key. */
#include "src/formats/pypi/blake2b.h"

#include <stdbool.h>
#include <string.h>

static const uint64_t initial[8] = {
    0x6a09e667f3bcc908u, 0xbb67ae8584caa73bu, 0x3c6ef372fe94f82bu, 0xa54ff53a5f1d36f1u,
    0x510e527fade682d1u, 0x9b05688c2b3e6c1fu, 0x1f83d9abfb41bd6bu, 0x5be0cd19137e2179u,
};

/* §2.7 */
static const unsigned char sigma[10][16] = {
    { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
    { 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3 },
    { 11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4 },
    { 7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8 },
    { 9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13 },
    { 2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9 },
    { 12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11 },
    { 13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10 },
    { 6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5 },
    { 10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0 },
};

static inline uint64_t rotate(uint64_t x, unsigned n)
{
    return x >> n | x << (64 - n);
}

static inline void mix(uint64_t v[16], unsigned a, unsigned b, unsigned c, unsigned d, uint64_t x,
                       uint64_t y)
{
    v[a] += v[b] + x;
    v[d] = rotate(v[d] ^ v[a], 32);
    v[c] += v[d];
    v[b] = rotate(v[b] ^ v[c], 24);
    v[a] += v[b] + y;
    v[d] = rotate(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = rotate(v[b] ^ v[c], 63);
}

/* §3.2; words are little-endian. */
static void compress(struct blake2b *b, const unsigned char block[128], bool last)
{
    uint64_t v[16], m[16];

    for (unsigned i = 0; i < 16; i++) {
        m[i] = 0;
        for (unsigned k = 8; k--;)
            m[i] = m[i] << 8 | block[i * 8 + k];
        v[i] = i < 8 ? b->h[i] : initial[i - 8];
    }
    v[12] ^= b->count;
    if (last)
        v[14] = ~v[14];
    for (unsigned r = 0; r < 12; r++) {
        const unsigned char *s = sigma[r % 10];
        for (unsigned i = 0; i < 4; i++)
            mix(v, i, 4 + i, 8 + i, 12 + i, m[s[2 * i]], m[s[2 * i + 1]]);
        for (unsigned i = 0; i < 4; i++)
            mix(v, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, m[s[8 + 2 * i]],
                m[s[9 + 2 * i]]);
    }
    for (unsigned i = 0; i < 8; i++)
        b->h[i] ^= v[i] ^ v[i + 8];
}

void blake2b_init(struct blake2b *b)
{
    memset(b, 0, sizeof *b);
    memcpy(b->h, initial, sizeof initial);
    b->h[0] ^= 0x01010000u ^ 32;
}

void blake2b_update(struct blake2b *b, const void *data, size_t size)
{
    const unsigned char *at = data;

    while (size) {
        size_t room, n;
        if (b->filled == sizeof b->block) { /* only now: the last block is another */
            b->count += sizeof b->block;
            compress(b, b->block, false);
            b->filled = 0;
        }
        room = sizeof b->block - b->filled;
        n = size < room ? size : room;
        memcpy(b->block + b->filled, at, n);
        b->filled += n;
        at += n;
        size -= n;
    }
}

void blake2b_final(struct blake2b *b, unsigned char ret[32])
{
    b->count += b->filled;
    memset(b->block + b->filled, 0, sizeof b->block - b->filled);
    compress(b, b->block, true);
    for (unsigned i = 0; i < 32; i++)
        ret[i] = (unsigned char)(b->h[i / 8] >> (8 * (i % 8)));
}
