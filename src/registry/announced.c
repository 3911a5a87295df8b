/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/announced.c: digests that a client announces in a request's headers, and whether what came is
 * what was announced. Knows no put. */
#include <string.h>
#include <strings.h>

#include "pantera/text.h"
#include "src/registry/internal.h"

static enum err expect_hex(const struct http_request *req, const char *header, unsigned kind,
                           void *ret, size_t size, unsigned *kinds, struct why *why)
{
    const char *text = http_header(req, header);

    if (!text)
        return OK;
    if (strlen(text) != 2 * size || !hex_decode(text, 2 * size, ret))
        return fail(why, ERR_BAD_REQUEST, "%s is not %zu hexadecimal digits", header, 2 * size);
    *kinds |= kind;
    return OK;
}

static enum err expect_base64(struct arena *a, const char *text, size_t length, const char *header,
                              unsigned kind, void *ret, size_t size, unsigned *kinds,
                              struct why *why)
{
    size_t n;
    const void *raw = base64_decode(a, text, length, &n);

    if (!raw || n != size)
        return fail(why, ERR_BAD_REQUEST, "%s is not the base64 of %zu bytes", header, size);
    if (*kinds & kind && memcmp(ret, raw, size))
        return fail(why, ERR_BAD_REQUEST, "%s contradicts another header", header);
    memcpy(ret, raw, size);
    *kinds |= kind;
    return OK;
}

/* Digest (RFC 3230) "sha-256=<base64>", Content-Digest and Repr-Digest (RFC 9530) "sha-256=:<base64>:".
 * Algorithms that we don't know are none of our business. */
static enum err expect_list(const struct http_request *req, struct arena *a, const char *header,
                            struct digest_values *d, struct why *why)
{
    const char *at = http_header(req, header);
    enum err e = OK;

    while (at && *at && !e) {
        size_t item = strcspn(at, ","), skip = strspn(at, " \t");
        const char *name = at + skip, *value = memchr(at, '=', item);
        if (value) {
            size_t name_length = (size_t)(value - name), length;
            value++;
            length = (size_t)(at + item - value);
            while (length && (value[length - 1] == ' ' || value[length - 1] == '\t'))
                length--;
            if (length >= 2 && value[0] == ':' && value[length - 1] == ':')
                value++, length -= 2;
            if (name_length == 7 && !strncasecmp(name, "sha-256", 7))
                e = expect_base64(a, value, length, header, DIGEST_SHA256, d->sha256, 32,
                                  &d->kinds, why);
            else if (name_length == 7 && !strncasecmp(name, "sha-512", 7))
                e = expect_base64(a, value, length, header, DIGEST_SHA512, d->sha512, 64,
                                  &d->kinds, why);
        }
        at += item + (at[item] == ',');
    }
    return e;
}

enum err announced_digests(const struct http_request *req, struct arena *a, struct digest_values *ret,
                           struct why *why)
{
    const char *md5 = http_header(req, "content-md5");
    struct digest_values *d = ret;
    enum err e;

    d->kinds = 0;
    if ((e = expect_hex(req, "x-checksum-sha256", DIGEST_SHA256, d->sha256, 32, &d->kinds, why)) ||
        (e = expect_hex(req, "x-checksum-sha1", DIGEST_SHA1, d->sha1, 20, &d->kinds, why)) ||
        (e = expect_hex(req, "x-checksum-md5", DIGEST_MD5, d->md5, 16, &d->kinds, why)) ||
        (md5 && (e = expect_base64(a, md5, strlen(md5), "Content-MD5", DIGEST_MD5, d->md5, 16,
                                   &d->kinds, why))) ||
        (e = expect_list(req, a, "digest", d, why)) ||
        (e = expect_list(req, a, "content-digest", d, why)))
        return e;
    return expect_list(req, a, "repr-digest", d, why);
}

enum err announced_add(struct digest_values *d, const struct digest_values *more, struct why *why)
{
    if ((d->kinds & more->kinds & DIGEST_SHA256 && memcmp(d->sha256, more->sha256, 32)) ||
        (d->kinds & more->kinds & DIGEST_SHA1 && memcmp(d->sha1, more->sha1, 20)) ||
        (d->kinds & more->kinds & DIGEST_MD5 && memcmp(d->md5, more->md5, 16)))
        return fail(why, ERR_BAD_REQUEST, "two headers announce different digests");
    if (more->kinds & DIGEST_SHA256)
        memcpy(d->sha256, more->sha256, 32);
    if (more->kinds & DIGEST_SHA1)
        memcpy(d->sha1, more->sha1, 20);
    if (more->kinds & DIGEST_MD5)
        memcpy(d->md5, more->md5, 16);
    d->kinds |= more->kinds & (DIGEST_SHA256 | DIGEST_SHA1 | DIGEST_MD5);
    return OK;
}

static enum err digest_compare(const char *name, const void *want, const void *got, size_t size,
                               struct why *why)
{
    char expected[129], found[129];

    if (memcmp(want, got, size) == 0)
        return OK;
    hex_encode(want, size, expected);
    hex_encode(got, size, found);
    return fail(why, ERR_DIGEST_MISMATCH, "%s mismatch: expected %s got %s", name, expected, found);
}

enum err announced_compare(const struct digest_values *announced, const struct digest_values *got,
                           struct why *why)
{
    enum err e = OK;

    if (announced->kinds & DIGEST_SHA256)
        e = digest_compare("SHA-256", announced->sha256, got->sha256, 32, why);
    if (!e && announced->kinds & DIGEST_SHA1)
        e = digest_compare("SHA-1", announced->sha1, got->sha1, 20, why);
    if (!e && announced->kinds & DIGEST_MD5)
        e = digest_compare("MD5", announced->md5, got->md5, 16, why);
    if (!e && announced->kinds & DIGEST_SHA512)
        e = digest_compare("SHA-512", announced->sha512, got->sha512, 64, why);
    return e;
}
