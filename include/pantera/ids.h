/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/ids.h: random things, from the kernel's generator. Any thread. */
#ifndef PANTERA_IDS_H
#define PANTERA_IDS_H

#include <stddef.h>
#include <stdint.h>

void random_bytes(void *ret, size_t size);
uint64_t random_u64(void);
void random_hex(char *ret, size_t bytes);      /* 2 * bytes characters and a NUL */
void random_uuid(char ret[37]);                /* version 4, lower case */
uint64_t random_below(uint64_t bound);         /* for jitter */

#endif
