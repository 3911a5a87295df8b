/* SPDX-License-Identifier: Apache-2.0 */
/* Which addresses a request to an upstream may be sent to: each form in which a forbidden one can be
 * written. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "pantera/address.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static const char *kind_of(const char *text)
{
    struct address a;
    if (!address_parse(text, &a))
        return "unreadable";
    const char *kind = address_special(&a);
    return kind ? kind : "public";
}

static void address_kinds(void **state)
{
    static const char *const table[][2] = {
        { "8.8.8.8", "public" }, { "1.0.0.0", "public" }, { "9.255.255.255", "public" },
        { "11.0.0.0", "public" }, { "100.63.255.255", "public" }, { "100.128.0.0", "public" },
        { "172.15.255.255", "public" }, { "172.32.0.0", "public" }, { "223.255.255.255", "public" },
        { "169.253.255.255", "public" }, { "169.255.0.0", "public" }, { "192.167.255.255", "public" },
        { "0.0.0.0", "unspecified" }, { "0.1.2.3", "unspecified" },
        { "127.0.0.1", "loopback" }, { "127.255.255.255", "loopback" },
        { "10.0.0.0", "private" }, { "10.255.255.255", "private" },
        { "100.64.0.0", "private" }, { "100.127.255.255", "private" },
        { "172.16.0.0", "private" }, { "172.31.255.255", "private" },
        { "192.168.0.1", "private" }, { "198.18.0.1", "private" }, { "198.19.255.255", "private" },
        { "169.254.169.254", "link-local" }, { "100.100.100.200", "metadata" },
        { "100.100.100.199", "private" }, { "192.0.0.8", "reserved" }, { "192.0.2.1", "reserved" },
        { "192.88.99.1", "reserved" }, { "198.51.100.1", "reserved" }, { "203.0.113.1", "reserved" },
        { "224.0.0.1", "multicast" }, { "239.255.255.255", "multicast" },
        { "240.0.0.1", "reserved" }, { "255.255.255.255", "reserved" },
        { "::", "unspecified" }, { "::1", "loopback" }, { "fc00::1", "private" },
        { "fdff:ffff::1", "private" },
        { "fd00:ec2::254", "metadata" }, { "fd00:ec3::254", "private" },
        { "fe80::1", "link-local" }, { "fe80::1%eth0", "link-local" },
        { "febf::1", "link-local" }, { "fec0::1", "private" }, { "ff02::1", "multicast" },
        { "2001:db8::1", "reserved" }, { "2001::1", "reserved" }, { "2001:2::1", "reserved" },
        { "3fff::1", "reserved" }, { "100::1", "reserved" }, { "4000::1", "reserved" },
        { "5f00::1", "reserved" }, { "64:ff9b:1::1", "reserved" },
        { "2606:4700::1", "public" }, { "2a00:1450:4001::1", "public" }, { "2001:4860::8888", "public" },
        /* what carries an IPv4 address */
        { "::ffff:127.0.0.1", "loopback" }, { "::ffff:7f00:1", "loopback" },
        { "::ffff:10.1.2.3", "private" }, { "::ffff:8.8.8.8", "public" },
        { "::ffff:0:127.0.0.1", "loopback" },
        { "::127.0.0.1", "loopback" }, { "::10.0.0.1", "private" }, { "::8.8.8.8", "public" },
        { "64:ff9b::127.0.0.1", "loopback" }, { "64:ff9b::a9fe:a9fe", "link-local" },
        { "64:ff9b::8.8.8.8", "public" },
        { "2002:7f00:1::", "loopback" }, { "2002:a00:1::1", "private" }, { "2002:808:808::1", "public" },
        { "127.1", "unreadable" }, { "0x7f.0.0.1", "unreadable" }, { "", "unreadable" },
        { "1.2.3.4%eth0", "unreadable" },
        { "1234:1234:1234:1234:1234:1234:1234:1234:1234:1234", "unreadable" },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(kind_of(table[i][0]), table[i][1]) != 0)
            print_message("%s\n", table[i][0]);
        assert_string_equal(kind_of(table[i][0]), table[i][1]);
    }
}

static bool allowed(const char *text, const char *const *list)
{
    struct network networks[8];
    struct address a;
    unsigned n = 0;
    for (; list[n]; n++)
        assert_true(network_parse(list[n], &networks[n]));
    assert_true(address_parse(text, &a));
    return address_allowed(&a, networks, n);
}

static void address_lists_open_what_they_name(void **state)
{
    const char *const none[] = { NULL };
    const char *const loop[] = { "127.0.0.0/8", "::1/128", NULL };
    const char *const one[] = { "10.1.2.3", "fd00:1::/32", NULL };
    assert_false(allowed("127.0.0.1", none));
    assert_true(allowed("8.8.8.8", none));
    assert_true(allowed("127.0.0.1", loop));
    assert_true(allowed("127.9.9.9", loop));
    assert_true(allowed("::1", loop));
    assert_true(allowed("::ffff:127.0.0.1", loop));
    assert_true(allowed("64:ff9b::127.0.0.1", loop));
    assert_false(allowed("::2", loop));
    assert_false(allowed("10.1.2.3", loop));
    assert_true(allowed("10.1.2.3", one));
    assert_false(allowed("10.1.2.4", one));
    assert_true(allowed("fd00:1:2::3", one));
    assert_false(allowed("fd00:2::3", one));
    /* ::/0 is all of IPv6, and of IPv4 too; 0.0.0.0/0 all of IPv4 only */
    assert_true(allowed("10.0.0.1", (const char *const[]){ "0.0.0.0/0", NULL }));
    assert_false(allowed("::1", (const char *const[]){ "0.0.0.0/0", NULL }));
    assert_true(allowed("::1", (const char *const[]){ "::/0", NULL }));
}

static void network_texts(void **state)
{
    static const char *const bad[] = { "", "/", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/ 8",
                                       "10.0.0.1/8", "10.0.0.0/8/8", "fd00::/129", "fd00::1/64", "localhost",
                                       "10.0.0.0/0x8", "10.0.0.0/0008", "fe80::1%lo/128" };
    struct network n;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(network_parse(bad[i], &n));
    assert_true(network_parse("10.0.0.0/8", &n));
    assert_int_equal(n.bits, 104);
    assert_true(network_parse("::/0", &n));
    assert_int_equal(n.bits, 0);
}

static void address_of_sockets(void **state)
{
    struct sockaddr_in four = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000001) };
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    struct sockaddr other = { .sa_family = AF_UNIX };
    struct address a;
    assert_true(address_of((struct sockaddr *)&four, &a));
    assert_string_equal(address_special(&a), "private");
    assert_true(address_of((struct sockaddr *)&six, &a));
    assert_string_equal(address_special(&a), "loopback");
    assert_false(address_of(&other, &a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address_kinds),
        cmocka_unit_test(address_lists_open_what_they_name),
        cmocka_unit_test(network_texts),
        cmocka_unit_test(address_of_sockets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
