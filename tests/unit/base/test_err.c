/* SPDX-License-Identifier: Apache-2.0 */
/* The list of errors is closed, distinct and plausible; conversions end in it; reasons are text. */
#include "pantera/err.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const enum err all[] = {
#define ERR(name, code, status, text) ERR_##name,
#include "pantera/err.def"
#undef ERR
};

static void names_are_unique_and_statuses_plausible(void **state)
{
    for (size_t i = 0; i < COUNT(all); i++) {
        enum err e = all[i];
        assert_true(err_valid((int)e));
        assert_in_range(err_status(e), 400, 599);
        assert_true(strlen(err_text(e)) > 2);
        assert_true(err_text(e)[strlen(err_text(e)) - 1] != '.');
        for (const char *c = err_code(e); *c; c++)
            assert_true(isupper((unsigned char)*c) || *c == '_');
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(err_name(e), err_name(all[k]));
            assert_string_not_equal(err_text(e), err_text(all[k]));
            if (strcmp(err_code(e), err_code(all[k])) == 0) /* one code has one status */
                assert_int_equal(err_status(e), err_status(all[k]));
        }
    }
    assert_int_equal(err_status(ERR_NOT_FOUND), 404);
    assert_string_equal(err_name(ERR_NOT_FOUND), "NOT_FOUND");
    assert_string_equal(err_code(ERR_NOT_LEADER), "UNAVAILABLE");
    assert_int_equal(err_status(OK), 200);
    assert_string_equal(err_name(OK), "OK");
}

/* No code of another library, and none of ours that was never given, passes for one of ours. */
static void strangers_are_not_valid(void **state)
{
    static const int strangers[] = { 1, -1, 200, 404, 101, 5, UV_EOF, UV_ENOSPC, (1 << 20) - 1,
                                     (int)ERR_END, (int)ERR_END + 1, INT32_MAX, INT32_MIN };
    assert_true(err_valid(OK));
    for (size_t i = 0; i < COUNT(strangers); i++)
        assert_false(err_valid(strangers[i]));
    assert_int_equal(all[0], 1 << 20);
    assert_int_equal(all[COUNT(all) - 1] + 1, ERR_END);
}

static void errno_becomes_ours(void **state)
{
    static const struct { int from; enum err to; } cases[] = {
        { 0, OK }, { ENOSPC, ERR_NO_SPACE }, { EDQUOT, ERR_NO_SPACE }, { ENOENT, ERR_NOT_FOUND },
        { EEXIST, ERR_CONFLICT }, { EACCES, ERR_FORBIDDEN }, { EIO, ERR_IO }, { EBADF, ERR_IO },
        { ETIMEDOUT, ERR_TIMEOUT }, { EPIPE, ERR_CLOSED }, { ECONNRESET, ERR_CLOSED },
        { EMFILE, ERR_UNAVAILABLE }, { ECANCELED, ERR_CANCELED },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(err_from_errno(cases[i].from), cases[i].to);
        assert_int_equal(err_from_uv(-cases[i].from), cases[i].to);
    }
    for (int e = -5000; e < 5000; e++) {
        assert_true(err_valid((int)err_from_errno(e)));
        assert_true(err_valid((int)err_from_uv(e)));
        assert_int_equal(err_from_uv(e) == OK, e >= 0);
    }
    assert_int_equal(err_from_uv(UV_EOF), ERR_CLOSED);
    assert_int_equal(err_from_uv(12), OK); /* a count of bytes */
}

static void reasons_are_kept(void **state)
{
    struct why why = { "" };
    assert_string_equal(why_text(&why, ERR_GONE), "gone");
    assert_string_equal(why_text(NULL, ERR_GONE), "gone");
    assert_int_equal((fail)(&why, ERR_NOT_FOUND, "user '%s' not found", "bob"), ERR_NOT_FOUND);
    assert_string_equal(why_text(&why, ERR_NOT_FOUND), "user 'bob' not found");
    assert_int_equal((fail)(NULL, ERR_IO, "%d", 1), ERR_IO);
}

/* Reasons go into JSON bodies: whatever they were made of, they are text without line ends. */
static void reasons_are_always_text(void **state)
{
    struct why why;
    char name[300], *end = name;
    (fail)(&why, ERR_BAD_REQUEST, "a\nb\r\tc\x7f \xff\xc0\xaf \xc3\xa9");
    assert_string_equal(why.text, "a?b??c? ??? \xc3\xa9");
    for (size_t i = 0; i < 95; i++)
        end = stpcpy(end, "\xe2\x82\xac");
    for (int pad = 0; pad < 4; pad++) { /* cut at every place of a character */
        (fail)(&why, ERR_NOT_FOUND, "%.*s%s", pad, "xxx", name);
        assert_int_equal(strlen(why.text), sizeof why.text - 1);
        json_t *text = json_string(why.text);
        assert_non_null(text);
        json_decref(text);
    }
}

static void a_failed_check_aborts(void **state)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        close(STDERR_FILENO);
        check(1 + 1 == 2);
        check(1 + 1 == 3);
        _exit(0);
    }
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_unique_and_statuses_plausible),
        cmocka_unit_test(strangers_are_not_valid),
        cmocka_unit_test(errno_becomes_ours),
        cmocka_unit_test(reasons_are_kept),
        cmocka_unit_test(reasons_are_always_text),
        cmocka_unit_test(a_failed_check_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
