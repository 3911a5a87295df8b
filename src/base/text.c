/* SPDX-License-Identifier: Apache-2.0 */
/* Encodings, names, and the judgement of paths. Everything that a client names goes through here once,
 * so that no two layers can read the same bytes differently. */
#include "pantera/text.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "pantera/limits.h"

void hex_encode(const void *data, size_t size, char *ret)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *in = data;
    for (size_t i = 0; i < size; i++) {
        *ret++ = digits[in[i] >> 4];
        *ret++ = digits[in[i] & 15];
    }
    *ret = 0;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool hex_decode(const char *text, size_t length, void *ret)
{
    unsigned char *out = ret;
    if (length % 2)
        return false;
    for (size_t i = 0; i < length; i += 2) {
        int high = hex_value(text[i]), low = hex_value(text[i + 1]);
        if (high < 0 || low < 0)
            return false;
        *out++ = (unsigned char)(high << 4 | low);
    }
    return true;
}

static char *encode64(struct arena *a, const void *data, size_t size, const char *alphabet, bool pad)
{
    const unsigned char *in = data;
    char *text = arena_alloc(a, (size + 2) / 3 * 4 + 1), *out = text;
    for (size_t i = 0; i < size; i += 3) {
        unsigned v = (unsigned)in[i] << 16 | (i + 1 < size ? (unsigned)in[i + 1] << 8 : 0) |
                     (i + 2 < size ? in[i + 2] : 0);
        *out++ = alphabet[v >> 18];
        *out++ = alphabet[v >> 12 & 63];
        if (i + 1 < size)
            *out++ = alphabet[v >> 6 & 63];
        else if (pad)
            *out++ = '=';
        if (i + 2 < size)
            *out++ = alphabet[v & 63];
        else if (pad)
            *out++ = '=';
    }
    *out = 0;
    return text;
}

char *base64_encode(struct arena *a, const void *data, size_t size)
{
    return encode64(a, data, size,
                    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", true);
}

char *base64url_encode(struct arena *a, const void *data, size_t size)
{
    return encode64(a, data, size,
                    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", false);
}

static int value64(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    if (c == '/' || c == '_')
        return 63;
    return -1;
}

void *base64_decode(struct arena *a, const char *text, size_t length, size_t *ret_size)
{
    if (length % 4 == 0) /* padding, if there is any, fills the last four */
        for (int i = 0; i < 2 && length && text[length - 1] == '='; i++)
            length--;
    if (length % 4 == 1)
        return NULL;
    unsigned char *bytes = arena_alloc(a, length / 4 * 3 + 4), *out = bytes;
    unsigned v = 0;
    for (size_t i = 0; i < length; i++) {
        int digit = value64(text[i]);
        if (digit < 0)
            return NULL;
        v = v << 6 | (unsigned)digit;
        if (i % 4 == 1)
            *out++ = (unsigned char)(v >> 4);
        else if (i % 4 == 2)
            *out++ = (unsigned char)(v >> 2);
        else if (i % 4 == 3)
            *out++ = (unsigned char)v;
    }
    /* RFC 4648 §3.5: one text for the same bytes, or what was signed could be written differently */
    if ((length % 4 == 2 && v & 15) || (length % 4 == 3 && v & 3))
        return NULL;
    *out = 0;
    *ret_size = (size_t)(out - bytes);
    return bytes;
}

bool equal_constant_time(const void *a, const void *b, size_t size)
{
    return CRYPTO_memcmp(a, b, size) == 0;
}

/* Unicode 15 §3.9, table 3-7: well-formed UTF-8 byte sequences. */
size_t utf8_sequence(const char *text, size_t left)
{
    const unsigned char *s = (const unsigned char *)text;
    unsigned char c = s[0];
    if (c < 0x80)
        return 1;
    unsigned char low = 0x80, high = 0xbf;
    size_t n = c >= 0xc2 && c <= 0xdf ? 2 : (c & 0xf0) == 0xe0 ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;
    if (n == 0 || n > left)
        return 0;
    if (c == 0xe0)
        low = 0xa0;
    else if (c == 0xed)
        high = 0x9f;
    else if (c == 0xf0)
        low = 0x90;
    else if (c == 0xf4)
        high = 0x8f;
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

bool utf8_valid(const char *text, size_t length)
{
    for (size_t i = 0; i < length;) {
        size_t n = utf8_sequence(text + i, length - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

bool percent_decode(const char *s, size_t length, char *ret, size_t *ret_length)
{
    size_t out = 0;
    for (size_t i = 0; i < length; i++) {
        if (s[i] != '%') {
            ret[out++] = s[i];
            continue;
        }
        if (i + 2 >= length)
            return false;
        int high = hex_value(s[i + 1]), low = hex_value(s[i + 2]);
        if (high < 0 || low < 0)
            return false;
        ret[out++] = (char)(high << 4 | low);
        i += 2;
    }
    ret[out] = 0;
    *ret_length = out;
    return true;
}

static bool unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

char *percent_encode(struct arena *a, const char *s, bool keep_slash)
{
    static const char digits[] = "0123456789ABCDEF";
    char *text = arena_alloc(a, strlen(s) * 3 + 1), *out = text;
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (unreserved(c) || (keep_slash && c == '/')) {
            *out++ = (char)c;
        } else {
            *out++ = '%';
            *out++ = digits[c >> 4];
            *out++ = digits[c & 15];
        }
    }
    *out = 0;
    return text;
}

static bool has_encoded_slash(const char *raw, size_t length)
{
    for (size_t i = 0; i + 2 < length; i++)
        if (raw[i] == '%' && ((raw[i + 1] == '2' && (raw[i + 2] | 32) == 'f') ||
                              (raw[i + 1] == '5' && (raw[i + 2] | 32) == 'c')))
            return true;
    return false;
}

static enum err check_segments(const char *path, size_t length, struct why *why)
{
    for (size_t start = 1; start <= length;) {
        const char *slash = memchr(path + start, '/', length - start);
        size_t end = slash ? (size_t)(slash - path) : length, n = end - start;
        if (n == 0 && end != length)
            return fail(why, ERR_BAD_REQUEST, "path has an empty segment");
        if ((n == 1 && path[start] == '.') || (n == 2 && memcmp(path + start, "..", 2) == 0))
            return fail(why, ERR_BAD_REQUEST, "path has a '.' or '..' segment");
        if (n > LIMIT_PATH_SEGMENT)
            return fail(why, ERR_BAD_REQUEST, "path has a segment over %d bytes", LIMIT_PATH_SEGMENT);
        start = end + 1;
    }
    return OK;
}

enum err path_normalise(struct arena *a, const char *raw, size_t length, char **ret_path,
                        struct why *why)
{
    if (length == 0 || raw[0] != '/')
        return fail(why, ERR_BAD_REQUEST, "path does not begin with '/'");
    if (has_encoded_slash(raw, length))
        return fail(why, ERR_BAD_REQUEST, "path has an encoded slash");
    char *path = arena_alloc(a, length + 1);
    size_t n;
    if (!percent_decode(raw, length, path, &n))
        return fail(why, ERR_BAD_REQUEST, "path has a broken percent escape");
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)path[i] < 0x20 || path[i] == 0x7f || path[i] == '\\')
            return fail(why, ERR_BAD_REQUEST, "path has a control byte or a backslash");
    if (!utf8_valid(path, n))
        return fail(why, ERR_BAD_REQUEST, "path is not valid UTF-8");
    if (n > LIMIT_PATH + LIMIT_NAME * 2)
        return fail(why, ERR_URI_TOO_LONG, "path is over %d bytes", LIMIT_PATH + LIMIT_NAME * 2);
    enum err e = check_segments(path, n, why);
    if (!e)
        *ret_path = path;
    return e;
}

enum err query_check(struct arena *a, const char *query, struct why *why)
{
    size_t n = strlen(query);
    char *text = arena_strndup(a, query, n);
    if (!percent_decode(text, n, text, &n))
        return fail(why, ERR_BAD_REQUEST, "query has a broken percent escape");
    if (memchr(text, 0, n) || !utf8_valid(text, n))
        return fail(why, ERR_BAD_REQUEST, "query is not valid UTF-8");
    return OK;
}

char *query_get(struct arena *a, const char *query, const char *name)
{
    size_t name_length = strlen(name);
    for (const char *at = query; *at;) {
        const char *end = strchrnul(at, '&');
        if ((size_t)(end - at) >= name_length && memcmp(at, name, name_length) == 0 &&
            (at[name_length] == '=' || at + name_length == end)) {
            const char *value = at + name_length + (at[name_length] == '=');
            char *text = arena_strndup(a, value, (size_t)(end - value));
            size_t n;
            for (char *c = text; *c; c++)
                if (*c == '+')
                    *c = ' ';
            if (!percent_decode(text, strlen(text), text, &n) || memchr(text, 0, n) ||
                !utf8_valid(text, n))
                return NULL;
            return text;
        }
        at = *end ? end + 1 : end;
    }
    return NULL;
}

bool name_valid(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n > LIMIT_NAME || !utf8_valid(name, n) || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0)
        return false;
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f || strchr("/\\%?#:", *c))
            return false;
    return true;
}

bool repo_name_reserved(const char *name)
{
    static const char *const reserved[] = { "rpm", "deb", "oci", "gpg", "v1",     "v2",
                                            "api", "auth", "ui", "metrics" };
    if (name[0] == '.')
        return true;
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (strcmp(name, reserved[i]) == 0)
            return true;
    return false;
}

uint64_t hash_bytes(const void *data, size_t size)
{
    const unsigned char *s = data;
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++)
        h = (h ^ s[i]) * 0x100000001b3u;
    return h ^ h >> 32;
}

uint64_t hash_text(const char *s)
{
    return hash_bytes(s, strlen(s));
}
