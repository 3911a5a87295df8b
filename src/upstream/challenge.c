/* SPDX-License-Identifier: Apache-2.0 */
/* What servers write into WWW-Authenticate (RFC 9110 §11.6.1), Retry-After, and the answers of token
 * services. All of it is somebody else's text: pure functions, fuzzed (tests/fuzz/fuzz_challenge.c). */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "internal.h"
#include "pantera/clock.h"

enum { RETRY_MOST_MS = 10 * 60 * 1000, TOKEN_LIFE_MS = 60000, TOKEN_LIFE_MOST_MS = 24 * 3600 * 1000 };
#define TCHAR "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define TOKEN68 TCHAR "/:@" /* a little more than both grammars: URLs without quotes are met, too */

bool header_text(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s <= ' ' || (unsigned char)*s >= 0x7f)
            return false;
    return true;
}

/* A quoted string or a token; *at is moved past it. */
static const char *value_read(struct arena *a, const char **at)
{
    const char *s = *at;
    if (*s != '"') {
        size_t n = strspn(s, TOKEN68);
        *at = s + n;
        return arena_strndup(a, s, n);
    }
    char *value = arena_alloc(a, strlen(s) + 1), *out = value;
    for (s++; *s && *s != '"'; s++) {
        if (*s == '\\' && s[1])
            s++;
        *out++ = *s;
    }
    *at = s + (*s == '"');
    return value;
}

static void param_take(struct challenge *c, const char *name, size_t n, const char *value)
{
    if (n == 5 && strncasecmp(name, "realm", 5) == 0)
        c->realm = value;
    else if (n == 7 && strncasecmp(name, "service", 7) == 0)
        c->service = value;
    else if (n == 5 && strncasecmp(name, "scope", 5) == 0)
        c->scope = value;
}

bool challenge_parse(struct arena *a, const char *value, struct challenge *ret)
{
    bool bearer = false;
    const char *s = value;
    *ret = (struct challenge){ NULL, "", "" };
    for (;;) {
        s += strspn(s, ", \t");
        size_t n = strspn(s, TCHAR);
        const char *name = s, *after = s + n + strspn(s + n, " \t");
        if (n == 0) {
            if (!*s)
                break;
            s++; /* nonsense: go on behind it */
        } else if (*after != '=') {
            if (bearer && ret->realm)
                break;
            bearer = n == 6 && strncasecmp(name, "Bearer", 6) == 0;
            s += n;
        } else {
            s = after + 1 + strspn(after + 1, " \t");
            const char *text = value_read(a, &s);
            if (bearer)
                param_take(ret, name, n, text);
            s += strspn(s, "="); /* the padding of a token68 */
        }
    }
    return ret->realm && *ret->realm && header_text(ret->realm);
}

bool token_answer_parse(struct arena *a, const char *json, size_t size, const char **ret_token,
                        int64_t *ret_life_ms)
{
    json_t *answer = json_loadb(json, size, 0, NULL);
    const char *token = json_string_value(json_object_get(answer, "token"));
    const json_t *life = json_object_get(answer, "expires_in");
    if (!token || !*token)
        token = json_string_value(json_object_get(answer, "access_token"));
    bool good = token && *token && header_text(token);
    if (good) {
        json_int_t seconds = json_is_integer(life) ? json_integer_value(life) : 0;
        *ret_token = arena_strdup(a, token);
        *ret_life_ms = seconds <= 0                          ? TOKEN_LIFE_MS
                       : seconds > TOKEN_LIFE_MOST_MS / 1000 ? TOKEN_LIFE_MOST_MS
                                                             : (int64_t)seconds * 1000;
    }
    json_decref(answer);
    return good;
}

int64_t retry_after_parse(const char *value, int64_t wall_ms)
{
    int64_t at, ms;
    if (!value || !*value)
        return 0;
    if (value[strspn(value, "0123456789")] == 0)
        ms = strlen(value) > 9 ? RETRY_MOST_MS : (int64_t)strtoll(value, NULL, 10) * 1000;
    else if (clock_parse_http_date(value, &at))
        ms = at - wall_ms;
    else
        return 0;
    return ms < 1000 ? 1000 : ms > RETRY_MOST_MS ? RETRY_MOST_MS : ms;
}
