/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/err.h: one error space for the whole program.
 * What:   `enum err`, made from err.def; OK is 0, ours start at 1 << 20, so that a stray code of
 *         libuv, SQLite, raft or curl is never mistaken for one of them (err_valid).
 * Not:    other libraries' codes. One function a library, in the folder that owns it, turns them.
 * Detail: `struct why`, the optional last parameter of a function that can fail: filled only on
 *         failure, text for people, no secrets. The API boundary logs and answers with it, once.
 * Thread: all of it from any thread. */
#ifndef PANTERA_ERR_H
#define PANTERA_ERR_H

#include <stdbool.h>

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

enum err {
    OK = 0,
    ERR_FIRST_MINUS_ONE = (1 << 20) - 1,
#define ERR(name, code, status, text) ERR_##name,
#include "pantera/err.def"
#undef ERR
    ERR_END
};

struct why {
    char text[256]; /* no newline, no full stop; "" when the error's own text says it all */
};

bool err_valid(int e);
const char *err_name(enum err e); /* "NOT_FOUND" */
const char *err_code(enum err e); /* seed 000's code */
int err_status(enum err e);       /* HTTP status; 200 for OK */
const char *err_text(enum err e);

/* Sets the text and returns `e`: `return fail(why, ERR_NOT_FOUND, "user '%s' not found", name);`
 * `why` may be NULL. */
enum err fail(struct why *why, enum err e, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* `why`'s text, or the error's own. */
const char *why_text(const struct why *why, enum err e);
/* errno → err: ENOSPC, EDQUOT → NO_SPACE; ENOENT → NOT_FOUND; ... ; else IO. */
enum err err_from_errno(int errno_value);
/* libuv's negative codes are negated errnos. */
enum err err_from_uv(int uv_status);

/* Our own bugs only; always on; prints and aborts. No request may reach one. */
#define check(cond) \
    do { \
        if (!(cond)) \
            check_failed(#cond, __FILE__, __LINE__); \
    } while (0)
void check_failed(const char *cond, const char *file, int line) __attribute__((noreturn));

#endif
