/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever the bytes of a message: what comes out is one JSON object a line, whole. Standard output is a
 * pipe here, read back and parsed. */
#include "pantera/log.h"

#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pantera/ids.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static int pipe_read, saved_stdout;
static char captured[60000];

static void capture_begin(void)
{
    int ends[2];
    fflush(stdout);
    saved_stdout = dup(STDOUT_FILENO);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    fcntl(ends[1], F_SETPIPE_SZ, 1 << 20); /* nobody reads meanwhile */
    pipe_read = ends[0];
    dup2(ends[1], STDOUT_FILENO);
    close(ends[1]);
}

static size_t capture_end(void)
{
    size_t size = 0;
    ssize_t n;
    dup2(saved_stdout, STDOUT_FILENO);
    close(saved_stdout);
    while ((n = read(pipe_read, captured + size, sizeof captured - 1 - size)) > 0)
        size += (size_t)n;
    close(pipe_read);
    captured[size] = 0;
    return size;
}

/* The one line that was captured, as JSON; fails the test if it is anything else. */
static json_t *one_line(void)
{
    size_t size = capture_end();
    json_error_t error;
    assert_true(size > 1);
    assert_ptr_equal(strchr(captured, '\n'), captured + size - 1);
    json_t *line = json_loads(captured, JSON_REJECT_DUPLICATES, &error);
    if (!line)
        fail_msg("not JSON: %s: %s", error.text, captured);
    return line;
}

static const char *field(const json_t *line, const char *name)
{
    const char *text = json_string_value(json_object_get(line, name));
    return text ? text : "(none)";
}

static void a_line_has_its_fields(void **state)
{
    log_init(LOG_INFO, 7);
    capture_begin();
    log_info("test", "hello %d", 42);
    json_t *line = one_line();
    assert_string_equal(field(line, "message"), "hello 42");
    assert_string_equal(field(line, "log.level"), "info");
    assert_string_equal(field(line, "log.logger"), "test");
    assert_int_equal(json_integer_value(json_object_get(line, "node")), 7);
    assert_int_equal(strlen(field(line, "@timestamp")), strlen("2026-03-22T10:00:00.000Z"));
    json_decref(line);
}

static void levels_below_the_least_are_silent(void **state)
{
    enum log_level level;
    log_init(LOG_WARN, 0);
    capture_begin();
    log_debug("test", "no");
    log_info("test", "no");
    log_event(LOG_INFO, "test", "no", NULL);
    log_warn("test", "yes");
    json_t *line = one_line();
    assert_string_equal(field(line, "message"), "yes");
    assert_null(json_object_get(line, "node"));
    json_decref(line);
    assert_true(log_level_parse("debug", &level) && level == LOG_DEBUG);
    assert_true(log_level_parse("error", &level) && level == LOG_ERROR);
    assert_false(log_level_parse("Debug", &level));
    assert_false(log_level_parse("", &level));
    log_set_level(LOG_INFO);
}

static void fields_keep_their_kinds(void **state)
{
    capture_begin();
    log_event(LOG_INFO, "http.access", "m", "text", "s", "a\"b\\c\n", "absent", "s", NULL, "status",
              "i", -200, "bytes", "l", 1234567890123LL, "seconds", "d", 0.25, "nan", "d", NAN,
              "infinite", "d", -INFINITY, NULL);
    json_t *line = one_line();
    assert_string_equal(field(line, "text"), "a\"b\\c\n");
    assert_null(json_object_get(line, "absent"));
    assert_int_equal(json_integer_value(json_object_get(line, "status")), -200);
    assert_true(json_integer_value(json_object_get(line, "bytes")) == 1234567890123LL);
    assert_true(json_real_value(json_object_get(line, "seconds")) == 0.25);
    assert_true(json_is_null(json_object_get(line, "nan")));
    assert_true(json_is_null(json_object_get(line, "infinite")));
    json_decref(line);
}

/* One of every byte, alone and in the middle of something. */
static void every_byte_gives_json(void **state)
{
    for (int c = 1; c < 256; c++) {
        char text[] = { 'a', (char)c, 'z', 0 };
        capture_begin();
        log_event(LOG_INFO, "test", text, "path", "s", text, NULL);
        json_t *line = one_line();
        if (c < 0x80)
            assert_string_equal(field(line, "message"), text);
        else
            assert_string_equal(field(line, "path"), "a\xef\xbf\xbdz");
        json_decref(line);
    }
    capture_begin();
    log_info("test", "%s", "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xed\xa0\x80 \xc0\xaf");
    json_t *line = one_line();
    assert_memory_equal(field(line, "message"), "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xef\xbf\xbd", 14);
    json_decref(line);
}

static void random_bytes_give_json(void **state)
{
    for (int round = 0; round < 3000; round++) {
        char text[3000];
        size_t size = random_below(sizeof text);
        random_bytes(text, size);
        for (size_t i = 0; i < size; i++)
            text[i] = text[i] ? text[i] : 1;
        text[size] = 0;
        capture_begin();
        log_warn("test", "%s", text);
        json_decref(one_line());
    }
}

/* At every length the end of a line cuts through something else: a character, an escape, a name. */
static void a_line_too_long_is_cut_where_it_may_be(void **state)
{
    static const char *const units[] = { "a", "\x01", "\"", "\xe2\x82\xac", "\xff" };
    char text[5000];
    for (size_t u = 0; u < 5; u++) {
        for (size_t total = 1200; total < 4200; total += 7) {
            size_t n = strlen(units[u]), used = 0;
            while (used + n < total)
                memcpy(text + used, units[u], n), used += n;
            text[used] = 0;
            capture_begin();
            log_event(LOG_INFO, "test", "m", "first", "s", text, "number", "i", 1, "second", "s", text,
                      "third", "s", "end", "last", "l", 2LL, NULL);
            json_t *line = one_line();
            assert_string_equal(field(line, "message"), "m");
            json_decref(line);
            capture_begin();
            log_info("test", "%s", text); /* cut by the message's own bound before */
            json_decref(one_line());
        }
    }
}

enum { THREADS = 4, LINES = 50 };

static void *write_lines(void *arg)
{
    for (int i = 0; i < LINES; i++)
        log_info("test", "thread %d line %d", *(int *)arg, i);
    return NULL;
}

static void lines_of_threads_do_not_mix(void **state)
{
    pthread_t threads[THREADS];
    int ids[THREADS], next[THREADS] = { 0 }, count = 0;
    capture_begin();
    for (int i = 0; i < THREADS; i++) {
        ids[i] = i;
        pthread_create(&threads[i], NULL, write_lines, &ids[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    capture_end();
    char *save = NULL;
    for (char *text = strtok_r(captured, "\n", &save); text; text = strtok_r(NULL, "\n", &save)) {
        int thread, number;
        json_t *line = json_loads(text, 0, NULL);
        assert_int_equal(sscanf(field(line, "message"), "thread %d line %d", &thread, &number), 2);
        assert_int_equal(number, next[thread]++);
        count++;
        json_decref(line);
    }
    assert_int_equal(count, THREADS * LINES);
}

static void a_fatal_line_is_the_last_one(void **state)
{
    int status;
    capture_begin();
    pid_t child = fork();
    if (child == 0)
        log_fatal("test", "the disk said %s", "\xff no");
    waitpid(child, &status, 0);
    json_t *line = one_line();
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 70);
    assert_string_equal(field(line, "log.level"), "error");
    assert_string_equal(field(line, "event.action"), "process_end");
    assert_string_equal(field(line, "message"), "the disk said \xef\xbf\xbd no");
    json_decref(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_its_fields),
        cmocka_unit_test(levels_below_the_least_are_silent),
        cmocka_unit_test(fields_keep_their_kinds),
        cmocka_unit_test(every_byte_gives_json),
        cmocka_unit_test(random_bytes_give_json),
        cmocka_unit_test(a_line_too_long_is_cut_where_it_may_be),
        cmocka_unit_test(lines_of_threads_do_not_mix),
        cmocka_unit_test(a_fatal_line_is_the_last_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
