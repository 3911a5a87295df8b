/* SPDX-License-Identifier: Apache-2.0 */
/* JSON lines on standard output: built on the stack, written with one write(2). It keeps no queue: a
 * line that is lost helps nobody, and a slow pipe slows the one who logs too much. */
#include "pantera/log.h"

#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pantera/clock.h"
#include "pantera/text.h"

static _Atomic int least_level = LOG_INFO;
static int node;

static const char *const level_names[] = { "debug", "info", "warn", "error" };

struct line {
    char text[4096];
    size_t length;
};

void log_init(enum log_level least, int node_id)
{
    atomic_store(&least_level, (int)least);
    node = node_id;
}

void log_set_level(enum log_level least)
{
    atomic_store(&least_level, (int)least);
}

bool log_level_parse(const char *text, enum log_level *ret_level)
{
    for (int i = 0; i < 4; i++)
        if (strcmp(text, level_names[i]) == 0) {
            *ret_level = (enum log_level)i;
            return true;
        }
    return false;
}

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&least_level, memory_order_relaxed);
}

/* Room for the quote, the brace and the newline that end a line. */
enum { TAIL = 4 };

static bool has_room(const struct line *l, size_t length)
{
    return l->length + length + TAIL <= sizeof l->text;
}

static void put(struct line *l, const char *s, size_t length)
{
    check(length <= sizeof l->text - l->length);
    memcpy(l->text + l->length, s, length);
    l->length += length;
}

/* As much of it as there is room for. What is not UTF-8 becomes U+FFFD: no reader of JSON takes less. */
static void put_escaped(struct line *l, const char *s)
{
    char unicode[8];
    for (size_t left = strlen(s), n; left && has_room(l, 6); s += n, left -= n) {
        unsigned char c = (unsigned char)*s;
        n = utf8_sequence(s, left);
        if (n == 0) {
            put(l, "\xef\xbf\xbd", 3);
            n = 1;
        } else if (c == '"' || c == '\\') {
            char pair[2] = { '\\', (char)c };
            put(l, pair, 2);
        } else if (c < 0x20) {
            put(l, unicode, (size_t)snprintf(unicode, sizeof unicode, "\\u%04x", c));
        } else {
            put(l, s, n);
        }
    }
}

/* A field for which there is no room any more is left out. */
static void put_field(struct line *l, const char *name, const char *value)
{
    if (!has_room(l, strlen(name) + 6))
        return;
    put(l, ",\"", 2);
    put(l, name, strlen(name));
    put(l, "\":\"", 3);
    put_escaped(l, value);
    put(l, "\"", 1);
}

static void begin(struct line *l, enum log_level level, const char *logger, const char *message)
{
    char when[32], head[64];
    int64_t now = clock_wall_ms();
    clock_rfc3339(now, when);
    when[strlen(when) - 1] = 0; /* the Z comes after the milliseconds */
    l->length = 0; /* what begin puts always fits: names of loggers are our own, and short */
    int n = snprintf(head, sizeof head, "{\"@timestamp\":\"%s.%03dZ\"", when, (int)(now % 1000));
    put(l, head, (size_t)n);
    put_field(l, "log.level", level_names[level]);
    put_field(l, "log.logger", logger);
    if (node) {
        n = snprintf(head, sizeof head, ",\"node\":%d", node);
        put(l, head, (size_t)n);
    }
    put_field(l, "message", message);
}

static void finish(struct line *l)
{
    l->text[l->length++] = '}';
    l->text[l->length++] = '\n';
    log_raw(l->text, l->length);
}

void log_raw(const char *text, size_t length)
{
    while (length) {
        ssize_t n = write(STDOUT_FILENO, text, length);
        if (n <= 0)
            return; /* nobody reads: there is nowhere left to say so */
        text += n;
        length -= (size_t)n;
    }
}

void log_write(enum log_level level, const char *logger, const char *fmt, ...)
{
    if (!log_enabled(level))
        return;
    char message[2048];
    struct line l;
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    begin(&l, level, logger, message);
    finish(&l);
}

/* JSON has no infinity and no NaN. */
static int number_text(char *ret, size_t size, double v)
{
    return isfinite(v) ? snprintf(ret, size, "%.6g", v) : snprintf(ret, size, "null");
}

void log_event(enum log_level level, const char *logger, const char *message, ...)
{
    if (!log_enabled(level))
        return;
    struct line l;
    char number[48];
    va_list args;
    begin(&l, level, logger, message);
    va_start(args, message);
    for (const char *name; (name = va_arg(args, const char *));) {
        const char *kind = va_arg(args, const char *), *text;
        int n;
        switch (kind[0]) {
        case 's':
            text = va_arg(args, const char *);
            if (text)
                put_field(&l, name, text);
            continue;
        case 'i':
            n = snprintf(number, sizeof number, "%d", va_arg(args, int));
            break;
        case 'l':
            n = snprintf(number, sizeof number, "%lld", va_arg(args, long long));
            break;
        default:
            n = number_text(number, sizeof number, va_arg(args, double));
            break;
        }
        if (!has_room(&l, strlen(name) + (size_t)n + 4))
            continue;
        put(&l, ",\"", 2);
        put(&l, name, strlen(name));
        put(&l, "\":", 2);
        put(&l, number, (size_t)n);
    }
    va_end(args);
    finish(&l);
}

void log_fatal(const char *logger, const char *fmt, ...)
{
    char message[2048];
    struct line l;
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    begin(&l, LOG_ERROR, logger, message);
    put_field(&l, "event.action", "process_end");
    finish(&l);
    _exit(70); /* EX_SOFTWARE: crash-only, the supervisor starts us again */
}
