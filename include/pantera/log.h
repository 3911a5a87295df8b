/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/log.h: one JSON object a line on standard output.
 * Threads: any; a line is written with one write(2) and never mixes with another.
 * Not:     secrets. Nothing that was a password, token or key reaches a log line.
 *
 *     log_info("cluster", "became leader of term %llu", term);
 *     log_event(LOG_INFO, "http.access", "method", "s", m, "status", "i", 200, NULL); */
#ifndef PANTERA_LOG_H
#define PANTERA_LOG_H

#include <stddef.h>

#include "pantera/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_init(enum log_level least, int node_id);
void log_set_level(enum log_level least);
bool log_level_parse(const char *text, enum log_level *ret_level);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *logger, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* A line with fields: name, kind, value triples, ended by NULL. Kinds: "s" const char * (NULL is left
 * out), "i" int, "l" long long, "d" double. */
void log_event(enum log_level level, const char *logger, const char *message, ...);
/* A line that is already JSON, with its newline. */
void log_raw(const char *line, size_t length);
/* The last line of a process that cannot go on (crash-only): prints, and _exit(70). */
void log_fatal(const char *logger, const char *fmt, ...) PRINTF_LIKE(2, 3) __attribute__((noreturn));

#define log_debug(logger, ...) \
    do { \
        if (log_enabled(LOG_DEBUG)) \
            log_write(LOG_DEBUG, logger, __VA_ARGS__); \
    } while (0)
#define log_info(logger, ...) log_write(LOG_INFO, logger, __VA_ARGS__)
#define log_warn(logger, ...) log_write(LOG_WARN, logger, __VA_ARGS__)
#define log_error(logger, ...) log_write(LOG_ERROR, logger, __VA_ARGS__)

#endif
