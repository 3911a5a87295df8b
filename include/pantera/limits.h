/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/limits.h: every size that a client can influence, in one place. Bytes unless said. */
#ifndef PANTERA_LIMITS_H
#define PANTERA_LIMITS_H

#define KIB(n) ((size_t)(n) << 10)
#define MIB(n) ((size_t)(n) << 20)

#define LIMIT_HEADERS KIB(32)          /* request line and headers together: 431, 414 */
#define LIMIT_HEADER_COUNT 100         /* 431 */
#define LIMIT_TARGET KIB(8)            /* 414 */
#define LIMIT_API_BODY MIB(1)          /* JSON bodies of the management API: 413 */
#define LIMIT_NAME 255                 /* users, roles, repositories, aliases */
#define LIMIT_PATH 1024                /* an artifact's path */
#define LIMIT_PATH_SEGMENT 255
#define LIMIT_RANGES 16                /* ranges in one request; more: the whole body */
#define LIMIT_PAGE_SIZE 100
#define LIMIT_PASSWORD 1024
#define LIMIT_TOKEN KIB(8)
#define LIMIT_CONNECTIONS 16384        /* a process; RLIMIT_NOFILE may say less */
#define LIMIT_OP_ARGS MIB(4)           /* one operation's arguments */
#define LIMIT_ENTRY MIB(16)            /* one log entry */
#define LIMIT_PENDING_OPS 65536        /* a node; more: 503 */

#endif
