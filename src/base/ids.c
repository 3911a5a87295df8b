/* SPDX-License-Identifier: Apache-2.0 */
/* Random bytes from getrandom(2), and what is made of them. */
#include "pantera/ids.h"

#include <stdio.h>
#include <sys/random.h>

#include "pantera/log.h"
#include "pantera/text.h"

void random_bytes(void *ret, size_t size)
{
    char *at = ret;
    while (size) {
        ssize_t n = getrandom(at, size, 0);
        if (n <= 0)
            log_fatal("base", "getrandom failed");
        at += n;
        size -= (size_t)n;
    }
}

uint64_t random_u64(void)
{
    uint64_t v;
    random_bytes(&v, sizeof v);
    return v;
}

uint64_t random_below(uint64_t bound)
{
    return bound ? random_u64() % bound : 0; /* the bias is far below what jitter needs */
}

void random_hex(char *ret, size_t bytes)
{
    unsigned char raw[64];
    check(bytes <= sizeof raw);
    random_bytes(raw, bytes);
    hex_encode(raw, bytes, ret);
}

void random_uuid(char ret[37])
{
    unsigned char b[16];
    random_bytes(b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(ret, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
             b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
             b[15]);
}
