/* SPDX-License-Identifier: Apache-2.0 */
/* What the guard makes of URLs and of the environment's proxy, which it has to read as curl does. What it
 * does to connections is in unit/upstream. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/client/private.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void urls_are_read_once(void **state)
{
    static const char *const table[][4] = { /* base, reference, text, origin; NULL: refused */
        { NULL, "HTTPS://Example.COM/A%20b?q#f", "https://example.com/A%20b?q", "https://example.com:443" },
        { NULL, "http://a:80/x", "http://a:80/x", "http://a:80" },
        { NULL, "http://0x7f.1/x", "http://127.0.0.1/x", "http://127.0.0.1:80" },
        { NULL, "http://[::1]:8/x", "http://[::1]:8/x", "http://[::1]:8" },
        { NULL, "http://a/x y", "http://a/x%20y", "http://a:80" },
        { "https://a/b/c?d", "e?f", "https://a/b/e?f", "https://a:443" },
        { "https://a/b/c", "../e", "https://a/e", "https://a:443" },
        { "https://a/b/c", "/e", "https://a/e", "https://a:443" },
        { "https://a/b/c", "//b/e", "https://b/e", "https://b:443" },
        { "https://a/b/c", "http://b/e", "http://b/e", "http://b:80" },
        { NULL, "e", NULL, NULL }, { NULL, "", NULL, NULL }, { NULL, "/e", NULL, NULL },
        { NULL, "ftp://a/", NULL, NULL }, { NULL, "file:///etc/passwd", NULL, NULL },
        { "https://a/", "file:///etc/passwd", NULL, NULL }, { "https://a/", "gopher://a/", NULL, NULL },
        { NULL, "http://u:p@a/", NULL, NULL }, { NULL, "http://u@a/", NULL, NULL },
        { NULL, "http://a\r\nX: y/", NULL, NULL }, { NULL, "http://a/\r\nX: y", NULL, NULL },
        { NULL, "http://a:99999/", NULL, NULL },
        { NULL, "http://a b/", NULL, NULL }, { NULL, "http://m\xc3\xbcller/", NULL, NULL },
        { "https://a/", "//\226x", NULL, NULL }, { NULL, "http://a/m\xc3\xbcller", "http://a/m%c3%bcller",
                                                   "http://a:80" },
    };
    struct client_url url;
    struct why why;
    struct arena a;
    arena_init(&a);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        enum err e = client_url(&a, table[i][0], table[i][1], &url, &why);
        if ((e == OK) != (table[i][2] != NULL))
            print_message("%s: %s\n", table[i][1], e ? why.text : url.text);
        assert_int_equal(e == OK, table[i][2] != NULL);
        if (e)
            continue;
        assert_string_equal(url.text, table[i][2]);
        assert_string_equal(url.origin, table[i][3]);
    }
    arena_release(&a);
}

/* --- the proxy that the environment names --- */

static const char *const *environment;

static const char *env(const char *name)
{
    size_t n = strlen(name);
    for (const char *const *e = environment; *e; e++)
        if (strncmp(*e, name, n) == 0 && (*e)[n] == '=')
            return *e + n + 1;
    return NULL;
}

static const char *proxy_of(const char *text)
{
    struct client_url url;
    struct arena a;
    arena_init(&a);
    assert_int_equal(client_url(&a, NULL, text, &url, NULL), OK);
    const char *proxy = guard_proxy(&url, env);
    arena_release(&a);
    return proxy ? proxy : "none";
}

#define ENV(...) (environment = (const char *const[]){ __VA_ARGS__, NULL })

static void proxies_as_curl_finds_them(void **state)
{
    ENV("X=");
    assert_string_equal(proxy_of("http://a/"), "none");
    ENV("http_proxy=p", "https_proxy=q");
    assert_string_equal(proxy_of("http://a/"), "p");
    assert_string_equal(proxy_of("https://a/"), "q");
    ENV("HTTP_PROXY=p", "HTTPS_PROXY=q");
    assert_string_equal(proxy_of("http://a/"), "none");
    assert_string_equal(proxy_of("https://a/"), "q");
    ENV("ALL_PROXY=r");
    assert_string_equal(proxy_of("http://a/"), "r");
    assert_string_equal(proxy_of("https://a/"), "r");
    ENV("all_proxy=r", "no_proxy=b.example, .c.example,10.0.0.0/8 192.168.1.1");
    assert_string_equal(proxy_of("http://a.example/"), "r");
    assert_string_equal(proxy_of("http://b.example/"), "none");
    assert_string_equal(proxy_of("http://x.B.example/"), "none");
    assert_string_equal(proxy_of("http://xb.example/"), "r");
    assert_string_equal(proxy_of("http://x.c.example/"), "none");
    assert_string_equal(proxy_of("http://10.2.3.4/"), "none");
    assert_string_equal(proxy_of("http://11.2.3.4/"), "r");
    assert_string_equal(proxy_of("http://192.168.1.1/"), "none");
    ENV("all_proxy=r", "NO_PROXY=*");
    assert_string_equal(proxy_of("http://a/"), "none");
}

/* --- through one --- */

struct call {
    struct client_request r;
    bool done;
};

static void on_done(struct client_request *r)
{
    ((struct call *)r->arg)->done = true;
}

static struct call ask(struct loop *loop, struct client *client, const char *url, enum err *ret)
{
    static const struct client_guard nothing;
    static struct call c;
    struct why why;
    c = (struct call){ .r = { .method = "GET", .url = url, .guard = &nothing, .on_done = on_done, .arg = &c,
                              .connect_timeout_ms = 3000 } };
    *ret = client_submit(client, &c.r, &why);
    if (!*ret) {
        loop_run_until(loop, &c.done);
        *ret = c.r.err;
    }
    return c;
}

/* The proxy's own address is the operator's word; behind it only what the URL says can be judged. */
static void behind_a_proxy_the_url_is_judged(void **state)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof at;
    char text[64];
    enum err e;
    struct loop loop;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 8), 0);
    getsockname(fd, (struct sockaddr *)&at, &length);
    close(fd); /* nobody there: it is enough to see that we would connect */
    snprintf(text, sizeof text, "http://127.0.0.1:%d", ntohs(at.sin_port));
    setenv("http_proxy", text, 1);
    unsetenv("no_proxy");
    unsetenv("NO_PROXY");
    loop_init(&loop, "test", 0);
    struct client *client = client_new(&loop);
    ask(&loop, client, "http://somewhere.example/", &e);
    assert_int_equal(e, ERR_UPSTREAM);
    ask(&loop, client, "http://127.0.0.1/", &e);
    assert_int_equal(e, ERR_FORBIDDEN);
    ask(&loop, client, "http://2130706433/", &e);
    assert_int_equal(e, ERR_FORBIDDEN);
    ask(&loop, client, "http://[fd00::1]/", &e);
    assert_int_equal(e, ERR_FORBIDDEN);
    ask(&loop, client, "http://x.localhost/", &e);
    assert_int_equal(e, ERR_FORBIDDEN);
    setenv("no_proxy", "*", 1);
    ask(&loop, client, "http://localhost/", &e);
    assert_int_equal(e, ERR_FORBIDDEN);
    unsetenv("http_proxy");
    unsetenv("no_proxy");
    client_free(client);
    uv_close((uv_handle_t *)&loop.wake, NULL);
    uv_run(&loop.uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop.uv), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_read_once),
        cmocka_unit_test(proxies_as_curl_finds_them),
        cmocka_unit_test(behind_a_proxy_the_url_is_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
