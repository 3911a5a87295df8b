/* SPDX-License-Identifier: Apache-2.0 */
/* The guard: which addresses a request may be sent to. curl asks before each connection (after DNS, at
 * each redirect, for each address that a name has), and before each request on a connection that stands
 * already. With a proxy it is the proxy that resolves and connects: then only what the URL says can be
 * judged here. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "private.h"

/* --- of the process: set before the first worker starts --- */

static struct network allowed[NETWORKS_MOST];
static struct client_guard guards[] = { { NEAR_NONE, allowed, 0 }, { NEAR_PRIVATE, allowed, 0 },
                                        { NEAR_LOOPBACK, allowed, 0 } };
static const char *trusted;

enum err client_allow(const char *const *list, struct why *why)
{
    unsigned n = 0;
    for (; list && *list; list++) {
        if (n == NETWORKS_MOST)
            return fail(why, ERR_BAD_REQUEST, "at most %d networks", NETWORKS_MOST);
        if (!network_parse(*list, &allowed[n++]))
            return fail(why, ERR_BAD_REQUEST, "'%.60s' is not a network like 10.0.0.0/8 or fd00::/8", *list);
    }
    for (size_t i = 0; i < sizeof guards / sizeof *guards; i++)
        guards[i].count = n;
    return OK;
}

const struct client_guard *client_guard_of(enum client_near near)
{
    return &guards[near];
}

void client_trust(const char *ca_file)
{
    trusted = ca_file;
}

const char *client_trusted(void)
{
    return trusted;
}

/* --- judging --- */

static enum client_near near_of(const struct address *a)
{
    const char *kind = address_special(a);
    return !kind                        ? NEAR_NONE
           : !strcmp(kind, "private")  ? NEAR_PRIVATE
           : !strcmp(kind, "loopback") ? NEAR_LOOPBACK
                                       : NEAR_NONE;
}

static bool address_good(const struct client_private *p, const struct address *a)
{
    const struct client_guard *g = p->request->guard;
    enum client_near near = near_of(a);
    return (near && near <= g->near) || address_allowed(a, g->networks, g->count);
}

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct client_private *p = arg;
    struct address a;
    if (!address_of(&to->addr, &a) || !address_good(p, &a)) {
        p->refused = true;
        return CURL_SOCKET_BAD; /* curl goes on with the next address of that name */
    }
    p->reached = true;
    return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

/* The connection may be an older one, made for a request without a guard. */
static int on_connected(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
    struct client_private *p = arg;
    struct address a;
    if (address_parse(remote_ip, &a) && address_good(p, &a)) {
        p->request->near = near_of(&a);
        return CURL_PREREQFUNC_OK;
    }
    p->refused = true;
    p->reached = false;
    return CURL_PREREQFUNC_ABORT;
}

/* --- the proxy of the environment --- */

static bool ends_with_label(const char *host, const char *suffix, size_t n)
{
    size_t h = strlen(host);
    return h >= n && strncasecmp(host + h - n, suffix, n) == 0 && (h == n || host[h - n - 1] == '.');
}

static bool listed(const char *host, const char *list)
{
    struct address a;
    struct network net;
    bool numeric = address_parse(host, &a);
    while (*list) {
        size_t n = strcspn(list, ", ");
        char item[256];
        if (n == 1 && *list == '*')
            return true;
        if (n && n < sizeof item) {
            const char *name = item + (*list == '.');
            memcpy(item, list, n);
            item[n] = 0;
            if (numeric ? network_parse(item, &net) && network_has(&net, &a)
                        : *name && ends_with_label(host, name, strlen(name)))
                return true;
        }
        list += n;
        list += strspn(list, ", ");
    }
    return false;
}

const char *guard_proxy(const struct client_url *url, const char *(*env)(const char *name))
{
    /* Not HTTP_PROXY: a CGI's request header "Proxy:" would set it; curl doesn't look at it either. */
    static const char *const names[2][5] = { { "http_proxy", "all_proxy", "ALL_PROXY" },
                                             { "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" } };
    const char *proxy = NULL, *except = env("no_proxy");
    for (const char *const *name = names[url->secure]; *name && !proxy; name++)
        proxy = env(*name);
    if (!except)
        except = env("NO_PROXY");
    if (!proxy || !*proxy || (except && listed(url->host, except)))
        return NULL;
    return proxy;
}

static const char *environment(const char *name)
{
    return getenv(name);
}

/* --- setting up --- */

/* What can be said without asking the DNS. */
static bool host_good(const struct client_private *p, const char *host)
{
    struct address a;
    if (address_parse(host, &a))
        return address_good(p, &a);
    if (!ends_with_label(host, "localhost", 9)) /* RFC 6761 §6.3 */
        return true;
    return address_parse("127.0.0.1", &a) && address_good(p, &a);
}

enum err guard_prepare(struct client_private *p, struct why *why)
{
    struct arena a;
    struct client_url url;
    check(!p->request->follow_redirects); /* the proxy was chosen for this URL only */
    arena_init(&a);
    enum err e = client_url(&a, NULL, p->request->url, &url, why);
    const char *proxy = e ? NULL : guard_proxy(&url, environment);
    if (!e && proxy && !host_good(p, url.host))
        e = fail(why, ERR_FORBIDDEN, "the server's address is in a network that is not allowed");
    if (!e) {
        curl_easy_setopt(p->easy, CURLOPT_PROXY, proxy ? proxy : "");
        curl_easy_setopt(p->easy, CURLOPT_NOPROXY, "");
    }
    if (!e && !proxy) {
        curl_easy_setopt(p->easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
        curl_easy_setopt(p->easy, CURLOPT_OPENSOCKETDATA, p);
        curl_easy_setopt(p->easy, CURLOPT_PREREQFUNCTION, on_connected);
        curl_easy_setopt(p->easy, CURLOPT_PREREQDATA, p);
    }
    arena_release(&a);
    return e;
}
