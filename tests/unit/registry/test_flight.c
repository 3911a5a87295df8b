/* SPDX-License-Identifier: Apache-2.0 */
/* When a fetch may begin anew: not once a byte of what came first was given away. The first remote breaks off
 * when it is told to, before, after or while a follower takes its first bytes. */
#include "fx_registry.h"

#include "pantera/text.h"
#include "src/registry/flight.h"

enum { SIZE = 128 << 10, ROUNDS = 24 };

static struct fx_registry fx;

/* --- the remotes: one listener; /a-N/ breaks off in the middle, /b-N/ has all of it --- */

static int listener, port;
static pthread_t accepting;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int broken_until, open_until; /* rounds whose first remote breaks off, whose second answers */
static int asked_second[ROUNDS];

static void wait_for(int *until, int round)
{
    pthread_mutex_lock(&lock);
    while (*until <= round)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void allow(int *until, int rounds)
{
    pthread_mutex_lock(&lock);
    if (*until < rounds)
        *until = rounds;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static int second(int round)
{
    pthread_mutex_lock(&lock);
    int n = asked_second[round];
    pthread_mutex_unlock(&lock);
    return n;
}

static void *remote_answer(void *arg)
{
    int fd = (int)(intptr_t)arg, round = 0;
    char head[4096], which = 0, *body = malloc(SIZE);
    ssize_t n = recv(fd, head, sizeof head - 1, 0);

    head[n > 0 ? n : 0] = 0;
    if (sscanf(head, "GET /%c-%d/", &which, &round) == 2) {
        memset(body, which, SIZE);
        if (which == 'b') {
            pthread_mutex_lock(&lock);
            asked_second[round]++;
            pthread_mutex_unlock(&lock);
            wait_for(&open_until, round);
        }
        n = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n",
                     SIZE);
        (void)fx_send(fd, head, (size_t)n);
        (void)fx_send(fd, body, which == 'a' ? SIZE / 2 : SIZE);
        if (which == 'a')
            wait_for(&broken_until, round);
    }
    free(body);
    close(fd);
    return NULL;
}

static void *remote_accept(void *arg)
{
    (void)arg;
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0;) {
        pthread_t thread;
        pthread_create(&thread, NULL, remote_answer, (void *)(intptr_t)fd);
        pthread_detach(thread);
    }
    return NULL;
}

/* --- a follower, looked at from a thread that is not its loop's --- */

static struct follower *follower;
static int this_round;

static void on_wake(struct follower *f)
{
    (void)f;
}

static void join(struct fx_registry *f)
{
    const struct repo *repo = registry_repo(f->worker.registry, "mirror");
    struct flight_order o = { .path = "x" };

    follower = calloc(1, sizeof *follower);
    follower->wake = on_wake;
    flight_join(&f->worker, repo, &o, follower);
}

static void leave(struct fx_registry *f)
{
    (void)f;
    flight_leave(follower);
}

/* Each round has remotes of its own, so that no breaker opens, and an empty cache. */
static void begin(int round)
{
    char a[64], b[64];

    this_round = round;
    snprintf(a, sizeof a, "http://127.0.0.1:%d/a-%d", port, round);
    snprintf(b, sizeof b, "http://127.0.0.1:%d/b-%d", port, round);
    json_t *repo = json_pack("{s:s, s:s, s:[{s:s}, {s:s}]}", "type", "file-proxy", "storage", "default",
                             "remotes", "url", a, "url", b);
    if (round)
        assert_int_equal(fx_propose(&fx, "repo.delete", json_pack("{s:s}", "name", "mirror")), OK);
    assert_int_equal(fx_propose(&fx, "repo.put",
                                json_pack("{s:s, s:s, s:s, s:{s:o}}", "name", "mirror", "type", "file-proxy",
                                          "storage", "default", "config", "repo", repo)), OK);
    fx_on_loop(&fx, join);
}

static bool has_bytes(const struct flight_view *v)
{
    return v->fd >= 0 && v->visible > 0;
}

static bool is_over(const struct flight_view *v)
{
    return v->over;
}

static bool is_asked_again(const struct flight_view *v)
{
    return v->over || second(this_round) > 0;
}

static struct flight_view await(bool (*what)(const struct flight_view *v))
{
    uint64_t end = clock_mono_ms() + 20000;
    struct flight_view v;

    for (;;) {
        flight_look(follower, &v);
        if (what(&v))
            return v;
        assert_true(clock_mono_ms() < end);
        usleep(200);
    }
}

/* --- --- */

static int start(void **state)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof a;

    (void)state;
    broken_until = open_until = 0;
    memset(asked_second, 0, sizeof asked_second);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(listener, 64), 0);
    getsockname(listener, (struct sockaddr *)&a, &length);
    port = ntohs(a.sin_port);
    pthread_create(&accepting, NULL, remote_accept, NULL);
    assert_int_equal(upstream_allow((const char *const[]){ "127.0.0.0/8", NULL }, NULL), OK);
    fx_registry_start(&fx);
    fx_await(&fx, "SELECT count(*) FROM sqlite_master WHERE name = 'upstream_purge'", 1);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    allow(&broken_until, ROUNDS);
    allow(&open_until, ROUNDS);
    fx_registry_stop(&fx);
    shutdown(listener, SHUT_RDWR);
    pthread_join(accepting, NULL);
    close(listener);
    return 0;
}

/* Looked at, broken off, and only then taken: what was looked at is gone, and the second remote's come. */
static void bytes_that_nobody_took_are_forgotten(void **state)
{
    struct flight_view v;

    (void)state;
    begin(0);
    await(has_bytes);
    allow(&broken_until, 1);
    v = await(is_asked_again);
    assert_false(v.over);
    assert_false(flight_commits(follower, &v));
    assert_int_equal(v.fd, -1);
    assert_int_equal(v.visible, 0);
    allow(&open_until, 1);
    v = await(is_over);
    assert_int_equal(v.err, OK);
    assert_int_equal(second(0), 1);
    fx_on_loop(&fx, leave);
}

static void bytes_that_were_taken_end_the_fetch(void **state)
{
    struct flight_view v;

    (void)state;
    allow(&open_until, ROUNDS);
    begin(0);
    await(has_bytes);
    assert_true(flight_commits(follower, &v));
    assert_true(v.fd >= 0);
    allow(&broken_until, 1);
    v = await(is_over);
    assert_int_not_equal(v.err, OK);
    assert_false(v.good);
    assert_int_equal(second(0), 0);
    fx_on_loop(&fx, leave);
}

/* At the same moment: one of the two, never both. */
static void one_of_both_when_it_is_at_once(void **state)
{
    struct flight_view v, end;
    int taken = 0;

    (void)state;
    allow(&open_until, ROUNDS);
    for (int round = 0; round < ROUNDS; round++) {
        begin(round);
        await(has_bytes);
        allow(&broken_until, round + 1);
        usleep((unsigned)round * 40);
        char whose = 0; /* it may have begun anew already: then they are the second one's */
        if (flight_commits(follower, &v))
            assert_int_equal(pread(v.fd, &whose, 1, 0), 1);
        end = await(is_over);
        if (whose == 'a') { /* no others may follow them */
            taken++;
            assert_int_not_equal(end.err, OK);
            assert_int_equal(second(round), 0);
        } else {
            assert_int_equal(end.err, OK);
            assert_int_equal(second(round), 1);
        }
        fx_on_loop(&fx, leave);
    }
    print_message("%d of %d were taken before it broke off\n", taken, ROUNDS);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_that_nobody_took_are_forgotten),
        TEST(bytes_that_were_taken_end_the_fetch),
        TEST(one_of_both_when_it_is_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
