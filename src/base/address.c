/* SPDX-License-Identifier: Apache-2.0 */
/* IP addresses and networks. All are 128 bits wide here, IPv4 in its mapped form, so that a network of one
 * family never has to be compared with an address of the other. */
#include "pantera/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

/* --- reading --- */

static void from_v4(const void *four, struct address *ret)
{
    memcpy(ret->bytes, mapped, sizeof mapped);
    memcpy(ret->bytes + 12, four, 4);
}

static bool is_v4(const struct address *a)
{
    return memcmp(a->bytes, mapped, sizeof mapped) == 0;
}

bool address_parse(const char *text, struct address *ret)
{
    unsigned char four[4];
    char copy[INET6_ADDRSTRLEN + 1];
    size_t n = strcspn(text, "%"); /* a zone says through which interface, not who */
    if (n >= sizeof copy)
        return false;
    memcpy(copy, text, n);
    copy[n] = 0;
    if (inet_pton(AF_INET, copy, four) == 1 && !text[n]) {
        from_v4(four, ret);
        return true;
    }
    return inet_pton(AF_INET6, copy, ret->bytes) == 1;
}

bool address_of(const struct sockaddr *sa, struct address *ret)
{
    if (sa->sa_family == AF_INET) {
        from_v4(&((const struct sockaddr_in *)(const void *)sa)->sin_addr, ret);
        return true;
    }
    if (sa->sa_family != AF_INET6)
        return false;
    memcpy(ret->bytes, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
    return true;
}

static bool bit_of(const struct address *a, unsigned i)
{
    return a->bytes[i / 8] >> (7 - i % 8) & 1;
}

bool network_parse(const char *text, struct network *ret)
{
    char copy[INET6_ADDRSTRLEN + 1];
    size_t n = strcspn(text, "/");
    char *end;
    if (n >= sizeof copy || memchr(text, '%', n))
        return false;
    memcpy(copy, text, n);
    copy[n] = 0;
    if (!address_parse(copy, &ret->base))
        return false;
    unsigned most = strchr(copy, ':') ? 128 : 32;
    ret->bits = most;
    if (text[n]) {
        const char *digits = text + n + 1;
        if (*digits < '0' || *digits > '9' || strlen(digits) > 3)
            return false;
        ret->bits = (unsigned)strtoul(digits, &end, 10);
        if (*end || ret->bits > most)
            return false;
    }
    ret->bits += 128 - most;
    for (unsigned i = ret->bits; i < 128; i++)
        if (bit_of(&ret->base, i))
            return false;
    return true;
}

bool network_has(const struct network *n, const struct address *a)
{
    for (unsigned i = 0; i < n->bits; i++)
        if (bit_of(&n->base, i) != bit_of(a, i))
            return false;
    return true;
}

/* --- judging --- */

struct special {
    unsigned char base[16];
    unsigned bits;
    const char *kind;
};

/* IANA's IPv4 special-purpose address registry (RFC 6890 and what it became), without those that are
 * globally reachable services of one host. Bits are those of the mapped form. */
#define V4(a, b, c, bits, kind) \
    { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, 0 }, 96 + (bits), kind }
static const struct special v4_special[] = {
    V4(0, 0, 0, 8, "unspecified"),       /* "this network": Linux connects 0.0.0.0 to itself */
    V4(10, 0, 0, 8, "private"),
    { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 100, 100, 100, 200 }, 128, "metadata" }, /* a cloud's */
    V4(100, 64, 0, 10, "private"),       /* carrier-grade NAT, RFC 6598; clouds put services there */
    V4(127, 0, 0, 8, "loopback"),
    V4(169, 254, 0, 16, "link-local"),   /* and the metadata services of clouds */
    V4(172, 16, 0, 12, "private"),
    V4(192, 0, 0, 24, "reserved"),
    V4(192, 0, 2, 24, "reserved"),
    V4(192, 88, 99, 24, "reserved"),     /* 6to4 relays, RFC 7526 */
    V4(192, 168, 0, 16, "private"),
    V4(198, 18, 0, 15, "private"),       /* benchmarks */
    V4(198, 51, 100, 24, "reserved"),
    V4(203, 0, 113, 24, "reserved"),
    V4(224, 0, 0, 4, "multicast"),
    V4(240, 0, 0, 4, "reserved"),        /* and broadcast */
};

/* Of IPv6, only 2000::/3 is handed out as global unicast (RFC 4291 §2.4); the rest is refused as a
 * whole, with names for what people meet. */
static const struct special v6_special[] = {
    { { 0 }, 128, "unspecified" },
    { { [15] = 1 }, 128, "loopback" },
    { { 0xfd, 0x00, 0x0e, 0xc2 }, 32, "metadata" }, /* a cloud's own services, fd00:ec2::254 and others */
    { { 0xfc }, 7, "private" },
    { { 0xfe, 0x80 }, 10, "link-local" },
    { { 0xfe, 0xc0 }, 10, "private" },   /* site-local, RFC 3879 */
    { { 0xff }, 8, "multicast" },
    { { 0x20, 0x01, 0x0d, 0xb8 }, 32, "reserved" },
    { { 0x20, 0x01, 0x00 }, 23, "reserved" }, /* IETF protocols: Teredo, ORCHID, benchmarks */
    { { 0x3f, 0xff, 0x00 }, 20, "reserved" },
};

static const char *find(const struct special *list, size_t count, const struct address *a)
{
    for (size_t i = 0; i < count; i++) {
        struct network n = { .bits = list[i].bits };
        memcpy(n.base.bytes, list[i].base, 16);
        if (network_has(&n, a))
            return list[i].kind;
    }
    return NULL;
}

static bool begins(const struct address *a, const void *bytes, size_t size)
{
    return memcmp(a->bytes, bytes, size) == 0;
}

/* The IPv4 address that an IPv6 one leads to. */
static bool carried(const struct address *a, struct address *ret)
{
    static const unsigned char zero[12], nat64[12] = { 0x00, 0x64, 0xff, 0x9b },
                               translated[12] = { [8] = 0xff, [9] = 0xff };
    if (begins(a, "\x20\x02", 2)) {             /* 6to4, RFC 3056 */
        from_v4(a->bytes + 2, ret);
        return true;
    }
    if (begins(a, nat64, 12) ||                 /* RFC 6052 §2.1 */
        begins(a, translated, 12) ||            /* ::ffff:0:a.b.c.d, RFC 2765 */
        (begins(a, zero, 12) && (a->bytes[12] || a->bytes[13]))) { /* compatible, RFC 4291 §2.5.5.1 */
        from_v4(a->bytes + 12, ret);
        return true;
    }
    return false;
}

const char *address_special(const struct address *a)
{
    struct address inner;
    if (is_v4(a))
        return find(v4_special, sizeof v4_special / sizeof *v4_special, a);
    if (carried(a, &inner))
        return address_special(&inner);
    const char *kind = find(v6_special, sizeof v6_special / sizeof *v6_special, a);
    return kind ? kind : (a->bytes[0] & 0xe0) == 0x20 ? NULL : "reserved";
}

bool address_allowed(const struct address *a, const struct network *networks, unsigned count)
{
    struct address inner;
    for (unsigned i = 0; i < count; i++)
        if (network_has(&networks[i], a))
            return true;
    if (!is_v4(a) && carried(a, &inner))
        return address_allowed(&inner, networks, count);
    return address_special(a) == NULL;
}
