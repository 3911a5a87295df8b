/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/npm/scan.h: the body of a publish, as it comes in.
 * What:    JSON, of which "_attachments" → "….tgz" → "data" is a tarball in base64: its bytes go to `data` as
 *          they pass, and an empty string stands in their place; all else is kept, for a real parser.
 * Not:     a parser: what is kept may be no JSON at all, which the real one will say.
 * Limits:  `limit` bytes are kept (TOO_BIG); one tarball (BAD_REQUEST).
 * Threads: one at a time. */
#ifndef NPM_SCAN_H
#define NPM_SCAN_H

#include <stdint.h>

#include "pantera/buf.h"

enum { SCAN_KEY = 512, SCAN_LEVELS = 3 };

struct npm_scan {
    /* The decoded bytes, in pieces of at most the size that was fed. */
    enum err (*data)(const void *data, size_t size, void *arg);
    void *arg;
    struct buf kept;             /* NUL-terminated */
    int64_t decoded;             /* bytes of the tarball */
    bool found;                  /* there was one */
    /* The state between two pieces. */
    unsigned depth;              /* of '{' and '[' */
    bool object[SCAN_LEVELS + 1];
    bool value;                  /* of the object at `depth`: behind its ':' */
    char key[SCAN_LEVELS + 1][SCAN_KEY];
    size_t key_length[SCAN_LEVELS + 1];
    enum { SCAN_BETWEEN, SCAN_KEY_TEXT, SCAN_TEXT, SCAN_DATA } in;
    /* in SCAN_TEXT and SCAN_KEY_TEXT: 1 after '\'; in SCAN_DATA: of 5 bytes at most */
    unsigned escape;
    char escaped[5];
    uint32_t bits;               /* of base64 */
    unsigned bit_count, padding;
};

void npm_scan_init(struct npm_scan *s, size_t limit,
                   enum err (*data)(const void *data, size_t size, void *arg), void *arg);
void npm_scan_release(struct npm_scan *s);
enum err npm_scan_feed(struct npm_scan *s, const char *text, size_t size, struct why *why);
enum err npm_scan_end(struct npm_scan *s, struct why *why);

#endif
