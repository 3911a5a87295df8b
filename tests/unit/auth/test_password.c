/* SPDX-License-Identifier: Apache-2.0 */
/* The password policy; argon2id on the pool, bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/limits.h"
#include "src/auth/internal.h"

#include <cmocka.h>
#undef fail

static bool good(const char *password)
{
    struct why why = { "" };
    enum err e = password_policy("joe", password, &why);
    assert_true(e == OK || (e == ERR_BAD_REQUEST && why.text[0]));
    return e == OK;
}

/* Length, four classes, not the name, not a known one. */
static void policy_refuses_weak_passwords(void **state)
{
    static const char *const bad[] = {
        "", "Short-1a", "alllowercase-123", "ALLUPPERCASE-123", "NoDigitsHere--", "NoSpecial12345",
        "P@ssw0rd1234", "Password-1234", "Welcome-12345", "Changeme-2024",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(good(bad[i]));
    assert_true(good("Tr0ub4dor&3-horse"));
    assert_true(good("Abcdefghij-1"));
    assert_false(password_policy("Abcdefghij-1", "aBCDEFGHIJ-1", NULL) == OK);
    char *longest = malloc(LIMIT_PASSWORD + 2);
    memset(longest, 'a', LIMIT_PASSWORD + 1);
    memcpy(longest, "A1-", 3);
    longest[LIMIT_PASSWORD + 1] = '\0';
    assert_false(good(longest));
    longest[LIMIT_PASSWORD] = '\0';
    assert_true(good(longest));
    free(longest);
}

struct fixture {
    struct loop loop;
    struct password_hash *hashes;
    unsigned count, done, refused, matched;
    volatile bool finished;
};
static struct fixture *fx;

static void on_done(struct password_hash *h)
{
    fx->refused += h->err == ERR_UNAVAILABLE;
    fx->matched += !h->err && h->matches;
    for (size_t i = 0; i < sizeof h->password; i++)
        assert_int_equal(h->password[i], 0); /* wiped, whatever the outcome */
    fx->finished = ++fx->done == fx->count;
}

static void run(unsigned count, const char *password, const char *encoded)
{
    fx->done = fx->refused = fx->matched = 0;
    fx->finished = false;
    fx->count = count;
    fx->hashes = calloc(count, sizeof *fx->hashes);
    for (unsigned i = 0; i < count; i++) {
        struct password_hash *h = &fx->hashes[i];
        strcpy(h->password, password);
        h->verify = encoded != NULL;
        if (encoded)
            strcpy(h->encoded, encoded);
        h->done = on_done;
        password_hash_start(h, &fx->loop);
        assert_int_equal(fx->done, 0); /* never inside the call */
    }
    loop_run_until(&fx->loop, &fx->finished);
}

static int setup(void **state)
{
    fx = calloc(1, sizeof *fx);
    loop_init(&fx->loop, "test", 0);
    work_pool_start(4);
    return 0;
}

static int teardown(void **state)
{
    work_pool_stop();
    uv_close((uv_handle_t *)&fx->loop.wake, NULL);
    uv_run(&fx->loop.uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fx->loop.uv), 0);
    free(fx);
    return 0;
}

/* argon2id with a salt of its own; only the right password matches. */
static void hash_verifies_only_its_password(void **state)
{
    char encoded[160];
    run(1, "Right-pass-123", NULL);
    assert_int_equal(fx->hashes[0].err, OK);
    strcpy(encoded, fx->hashes[0].encoded);
    free(fx->hashes);
    assert_int_equal(strncmp(encoded, "$argon2id$v=19$m=19456,t=2,p=1$", 31), 0);
    run(1, "Right-pass-123", NULL);
    assert_string_not_equal(encoded, fx->hashes[0].encoded);
    free(fx->hashes);
    run(1, "Right-pass-123", encoded);
    assert_int_equal(fx->matched, 1);
    free(fx->hashes);
    run(1, "Right-pass-124", encoded);
    assert_int_equal(fx->matched, 0);
    free(fx->hashes);
    run(1, "x", "not argon2 at all");
    assert_int_equal(fx->matched + fx->refused, 0);
    free(fx->hashes);
}

/* More than may wait is refused at once instead of queued without end; the rest is done. */
static void hash_queue_is_bounded(void **state)
{
    char encoded[160];
    assert_int_equal(password_hash_now("p", encoded), OK);
    run(200, "q", encoded);
    assert_int_equal(fx->refused, 200 - 2 - 128);
    assert_int_equal(fx->matched, 0);
    free(fx->hashes);
    run(1, "p", encoded); /* and it works again afterwards */
    assert_int_equal(fx->matched, 1);
    free(fx->hashes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policy_refuses_weak_passwords),
        cmocka_unit_test(hash_verifies_only_its_password),
        cmocka_unit_test(hash_queue_is_bounded),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
