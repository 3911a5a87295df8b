/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/multipart.h: multipart/form-data (RFC 7578) while it streams by. Keeps nothing but the
 * head of the part that it is in. Pure: bytes in, calls out. */
#ifndef FORMATS_MULTIPART_H
#define FORMATS_MULTIPART_H

#include "pantera/buf.h"

enum {
    MULTIPART_BOUNDARY = 70, /* RFC 2046 §5.1.1 */
    MULTIPART_HEAD = 8192,   /* bytes of one part's headers */
    MULTIPART_PARTS = 4096,
    MULTIPART_NAME = 255, /* of a field, and of a file */
};

struct multipart_part {
    char name[MULTIPART_NAME + 1];
    char file_name[MULTIPART_NAME + 1]; /* "" unless has_file_name */
    bool has_file_name;
};

/* What is found; each returns OK, or what ends it all. */
struct multipart_calls {
    enum err (*begin)(const struct multipart_part *part, void *arg, struct why *why);
    enum err (*data)(const void *data, size_t size, void *arg, struct why *why);
    enum err (*end)(void *arg, struct why *why);
};

enum multipart_state {
    MULTIPART_PREAMBLE,
    MULTIPART_TAIL,
    MULTIPART_HEADERS,
    MULTIPART_BODY,
    MULTIPART_OVER
};

struct multipart {
    const struct multipart_calls *calls;
    void *arg;
    char delimiter[MULTIPART_BOUNDARY + 5]; /* "\r\n--boundary" */
    size_t length, matched; /* of the delimiter: how much of it the last bytes were */
    enum multipart_state state;
    unsigned parts;
    struct buf head; /* of the part that begins, or what follows a delimiter on its line */
    struct multipart_part part;
};

/* From a request's Content-Type: MEDIA_TYPE if it is something else, BAD_REQUEST without a good boundary.
 * Free it either way. */
enum err multipart_init(struct multipart *m, const char *content_type,
                        const struct multipart_calls *calls, void *arg, struct why *why);
enum err multipart_feed(struct multipart *m, const void *data, size_t size, struct why *why);
/* No more bytes: BAD_REQUEST unless the last delimiter was there. */
enum err multipart_finish(const struct multipart *m, struct why *why);
void multipart_free(struct multipart *m);

#endif
