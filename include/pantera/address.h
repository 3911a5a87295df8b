/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/address.h: IP addresses, networks, and which addresses lead into somebody's own network.
 * What:    the judgement behind the guard of requests to upstreams (client.h). Pure; any thread.
 * Not:     names: what a name resolves to is judged when it is connected to. */
#ifndef PANTERA_ADDRESS_H
#define PANTERA_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

struct address {
    unsigned char bytes[16];     /* IPv4 as ::ffff:a.b.c.d, RFC 4291 §2.5.5.2 */
};
struct network {
    struct address base;         /* no bit set behind `bits` */
    unsigned bits;               /* of 128 */
};
enum { NETWORKS_MOST = 64 };

bool address_parse(const char *text, struct address *ret); /* "10.0.0.1", "fd00::1", "fe80::1%eth0" */
bool address_of(const struct sockaddr *sa, struct address *ret); /* false: neither IPv4 nor IPv6 */
/* "10.0.0.0/8", "fd00::/8", or one address. False also for bits set behind the prefix: a slip of the
 * hand. */
bool network_parse(const char *text, struct network *ret);
bool network_has(const struct network *n, const struct address *a);
/* What kind of non-public address it is ("loopback", "private", ...); NULL: a public one. Forms of IPv6
 * that carry an IPv4 address (mapped, compatible, 6to4, NAT64) are what they carry. */
const char *address_special(const struct address *a);
/* Public, or in one of the networks; an address that carries another may be listed in either form. */
bool address_allowed(const struct address *a, const struct network *networks, unsigned count);

#endif
