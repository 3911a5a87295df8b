/* SPDX-License-Identifier: Apache-2.0 */
/* Content-Encoding, RFC 9110 §8.4: upstreams that pack what they were asked for as it is. Bytes come in as
 * they arrive and go out in pieces; a taker may pause, and then the same bytes come in again. An end that is
 * missing is seen: half a gzip is no document. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "internal.h"
#include "pantera/log.h"

enum { PIECE = 32 << 10, GZIP_OR_ZLIB = 15 + 32, RAW = -15 };

struct decoder {
    z_stream z;
    enum coding coding;
    bool begun, open, ended, damaged;
    size_t consumed;             /* of the bytes that come again after a pause */
    size_t size, given;          /* of `piece` */
    unsigned char piece[PIECE];
};

/* --- what is said --- */

static bool is(const char *value, size_t n, const char *name)
{
    return strlen(name) == n && strncasecmp(value, name, n) == 0;
}

enum coding coding_parse(const char *value)
{
    enum coding found = CODING_NONE;
    for (value += strspn(value, " \t,"); *value; value += strspn(value, " \t,")) {
        size_t n = strcspn(value, " \t,");
        if (!is(value, n, "identity") && !is(value, n, "none")) {
            if (found)
                return CODING_UNKNOWN; /* packed twice */
            found = is(value, n, "gzip") || is(value, n, "x-gzip") ? CODING_GZIP
                    : is(value, n, "deflate")                      ? CODING_DEFLATE
                                                                   : CODING_UNKNOWN;
        }
        value += n;
    }
    return found;
}

bool coding_is_the_files(const char *url, const char *content_type)
{
    static const char *const ends[] = { ".gz", ".tgz", ".taz", ".gzip", ".svgz" };
    size_t n = strcspn(url, "?#");
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t m = strlen(ends[i]);
        if (n > m && strncasecmp(url + n - m, ends[i], m) == 0)
            return true;
    }
    return content_type && (strcasestr(content_type, "gzip") || strcasestr(content_type, "tgz"));
}

/* --- decoding --- */

struct decoder *decoder_new(enum coding coding)
{
    struct decoder *d = calloc(1, sizeof *d);
    if (!d)
        log_fatal("upstream", "out of memory");
    d->coding = coding;
    return d;
}

void decoder_free(struct decoder *d)
{
    if (d && d->open)
        inflateEnd(&d->z);
    free(d);
}

/* "deflate" is zlib's format (RFC 9110 §8.4.1.2); some send the bare stream. */
static void begin(struct decoder *d, unsigned char first)
{
    bool bare = d->coding == CODING_DEFLATE && ((first & 15) != 8 || first >> 4 > 7);
    if (inflateInit2(&d->z, bare ? RAW : GZIP_OR_ZLIB) != Z_OK)
        log_fatal("upstream", "out of memory");
    d->begun = d->open = true;
}

/* More after an end: another member of a gzip (RFC 1952 §2.2), nothing else. */
static bool again(struct decoder *d, unsigned char first)
{
    if (d->coding != CODING_GZIP || first != 0x1f)
        return false;
    d->ended = false;
    return inflateReset(&d->z) == Z_OK;
}

/* One piece of what is left of `data`. */
static bool step(struct decoder *d, const unsigned char *data, size_t size)
{
    const unsigned char *at = data + d->consumed;
    if (!d->begun)
        begin(d, *at);
    else if (d->ended && !again(d, *at))
        return false;
    d->z.next_in = (unsigned char *)(uintptr_t)at;
    d->z.avail_in = (uInt)(size - d->consumed);
    d->z.next_out = d->piece;
    d->z.avail_out = PIECE;
    int result = inflate(&d->z, Z_NO_FLUSH);
    d->consumed = size - d->z.avail_in;
    d->size = PIECE - d->z.avail_out;
    d->given = 0;
    d->ended = result == Z_STREAM_END;
    return result == Z_OK || result == Z_STREAM_END || (result == Z_BUF_ERROR && !d->z.avail_in);
}

/* What inflate holds back for want of room comes although no byte is left. */
static bool holds_back(const struct decoder *d)
{
    return d->begun && !d->ended && d->size == PIECE;
}

enum decoded decoder_push(struct decoder *d, const void *data, size_t size,
                          bool (*give)(void *arg, const void *data, size_t size), void *arg)
{
    static const unsigned char none[1];
    for (;;) {
        if (d->given < d->size && !give(arg, d->piece, d->size))
            return DECODED_PAUSED;
        d->given = d->size;
        if (d->consumed >= size && !holds_back(d))
            break;
        if (!step(d, size ? data : none, size)) {
            d->damaged = true;
            return DECODED_BAD;
        }
    }
    d->consumed = 0;
    return DECODED_ALL;
}

bool decoder_whole(const struct decoder *d)
{
    return d->ended && !d->damaged;
}

bool decoder_begun(const struct decoder *d)
{
    return d->begun;
}
