/* SPDX-License-Identifier: Apache-2.0 */
/* JSON lines on standard output: built on the stack, written with one write(2). It keeps no queue: a
 * line that is lost helps nobody, and a slow pipe slows the one who logs too much. */
#include "pantera/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pantera/clock.h"

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

/* Room is kept for the closing brace and newline. */
static void put(struct line *l, const char *s, size_t length)
{
    size_t room = sizeof l->text - 3 - l->length;
    if (length > room)
        length = room;
    memcpy(l->text + l->length, s, length);
    l->length += length;
}

static void put_escaped(struct line *l, const char *s)
{
    char unicode[8];
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (l->length + 10 > sizeof l->text)
            return;
        if (c == '"' || c == '\\') {
            char pair[2] = { '\\', (char)c };
            put(l, pair, 2);
        } else if (c < 0x20) {
            put(l, unicode, (size_t)snprintf(unicode, sizeof unicode, "\\u%04x", c));
        } else {
            put(l, s, 1);
        }
    }
}

static void put_field(struct line *l, const char *name, const char *value)
{
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
    l->length = 0;
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
            n = snprintf(number, sizeof number, "%.6g", va_arg(args, double));
            break;
        }
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
