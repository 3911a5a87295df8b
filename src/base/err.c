/* SPDX-License-Identifier: Apache-2.0 */
/* The error list as names, codes, statuses and texts, and the two conversions that base owns: errno and
 * libuv. It does not log and does not decide anything. */
#include "pantera/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/text.h"

struct row {
    const char *name, *code, *text;
    int status;
};

static const struct row rows[] = {
#define ERR(name, code, status, text) { #name, code, text, status },
#include "pantera/err.def"
#undef ERR
};

static const struct row *row_of(enum err e)
{
    check(err_valid((int)e) && e != OK);
    return &rows[(int)e - (int)ERR_FIRST_MINUS_ONE - 1];
}

bool err_valid(int e)
{
    return e == OK || (e > (int)ERR_FIRST_MINUS_ONE && e < (int)ERR_END);
}

const char *err_name(enum err e)
{
    return e == OK ? "OK" : row_of(e)->name;
}

const char *err_code(enum err e)
{
    return e == OK ? "OK" : row_of(e)->code;
}

int err_status(enum err e)
{
    return e == OK ? 200 : row_of(e)->status;
}

const char *err_text(enum err e)
{
    return e == OK ? "ok" : row_of(e)->text;
}

/* What was cut in the middle of a character, or came from a client's bytes, must still be text: it goes
 * into JSON bodies and headers. */
static void make_text(char *s)
{
    size_t left = strlen(s);
    while (left) {
        size_t n = utf8_sequence(s, left);
        if (n == 0 || (unsigned char)*s < 0x20 || *s == 0x7f) {
            *s = '?';
            n = 1;
        }
        s += n;
        left -= n;
    }
}

enum err fail(struct why *why, enum err e, const char *fmt, ...)
{
    if (why) {
        va_list args;
        va_start(args, fmt);
        vsnprintf(why->text, sizeof why->text, fmt, args);
        va_end(args);
        make_text(why->text);
    }
    return e;
}

const char *why_text(const struct why *why, enum err e)
{
    return why && why->text[0] ? why->text : err_text(e);
}

enum err err_from_errno(int errno_value)
{
    switch (errno_value) {
    case 0:
        return OK;
    case ENOSPC:
    case EDQUOT:
        return ERR_NO_SPACE;
    case ENOENT:
        return ERR_NOT_FOUND;
    case EEXIST:
        return ERR_CONFLICT;
    case EACCES:
    case EPERM:
        return ERR_FORBIDDEN;
    case EAGAIN:
        return ERR_AGAIN;
    case ETIMEDOUT:
        return ERR_TIMEOUT;
    case ECANCELED:
        return ERR_CANCELED;
    case EPIPE:
    case ECONNRESET:
    case ENOTCONN:
        return ERR_CLOSED;
    case ENAMETOOLONG:
        return ERR_BAD_REQUEST;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
        return ERR_UNAVAILABLE;
    default:
        return ERR_IO;
    }
}

enum err err_from_uv(int uv_status)
{
    return uv_status >= 0 ? OK : uv_status == -4095 ? ERR_CLOSED : err_from_errno(-uv_status);
}

void check_failed(const char *cond, const char *file, int line)
{
    fprintf(stderr, "%s:%d: check failed: %s\n", file, line, cond);
    abort();
}
