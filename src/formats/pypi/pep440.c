/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/pypi/pep440.c: versions: read in all the spellings that PEP 440 allows ("Normalization"),
 * written in the normal one, ordered. */
#include <string.h>

#include "src/formats/pypi/names.h"

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits at *at, without zeros in front; NULL: none. */
static const char *number(struct arena *a, const char **at)
{
    const char *from = *at, *to = from;

    while (digit(*to))
        to++;
    *at = to;
    if (to == from)
        return NULL;
    while (from + 1 < to && *from == '0')
        from++;
    return arena_strndup(a, from, (size_t)(to - from));
}

static bool separator(char c)
{
    return c == '.' || c == '-' || c == '_';
}

/* [-_.]? one of `words` [-_.]? digits?: the number ("0" if there is none), and which word; NULL: it is not
 * there. */
static const char *part(struct arena *a, const char **at, const char *const *words,
                        unsigned *ret_word)
{
    const char *from = *at + separator(**at), *n;

    for (unsigned i = 0; words[i]; i++) {
        size_t length = strlen(words[i]);
        if (strncmp(from, words[i], length))
            continue;
        *ret_word = i;
        *at = from + length;
        if (separator(**at) && digit((*at)[1]))
            (*at)++;
        n = number(a, at);
        return n ? n : "0";
    }
    return NULL;
}

static const char *release(struct arena *a, const char **at)
{
    const char *text = number(a, at);

    while (text && **at == '.' && digit((*at)[1])) {
        (*at)++;
        text = arena_printf(a, "%s.%s", text, number(a, at));
    }
    return text;
}

/* What follows '+': letters and digits, parted by single signs; numbers without zeros in front. */
static const char *local(struct arena *a, const char **at)
{
    const char *text = NULL;

    for (;;) {
        const char *from = *at, *segment;
        bool all_digits = true;
        while (digit(**at) || (**at >= 'a' && **at <= 'z')) {
            all_digits &= digit(**at);
            (*at)++;
        }
        if (*at == from)
            return NULL;
        segment = arena_strndup(a, from, (size_t)(*at - from));
        if (all_digits) {
            const char *again = segment;
            segment = number(a, &again);
        }
        text = text ? arena_printf(a, "%s.%s", text, segment) : segment;
        if (!separator(**at))
            return text;
        (*at)++;
    }
}

/* The parts after the release, each of which may be missing. */
static bool rest(struct arena *a, const char **at, struct pypi_version *v)
{
    static const char *const pre[] = {
        "alpha", "a", "beta", "b", "preview", "pre", "c", "rc", NULL
    };
    static const char *const kinds[] = { "a", "a", "b", "b", "rc", "rc", "rc", "rc" };
    static const char *const post[] = { "post", "rev", "r", NULL }, *const dev[] = { "dev", NULL };
    unsigned word = 0;

    if ((v->pre = part(a, at, pre, &word)))
        v->pre_kind = kinds[word];
    if (**at == '-' && digit((*at)[1])) { /* an implicit post release */
        (*at)++;
        v->post = number(a, at);
    } else {
        v->post = part(a, at, post, &word);
    }
    v->dev = part(a, at, dev, &word);
    if (**at == '+') {
        (*at)++;
        v->local = local(a, at);
        return v->local != NULL;
    }
    return true;
}

static const char *trimmed(struct arena *a, const char *text)
{
    size_t n;
    char *copy;

    while (*text == ' ' || *text == '\t')
        text++;
    n = strlen(text);
    while (n && (text[n - 1] == ' ' || text[n - 1] == '\t'))
        n--;
    copy = arena_strndup(a, text, n);
    for (char *c = copy; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c + 32);
    return copy;
}

bool pypi_version_parse(struct arena *a, const char *text, struct pypi_version *ret)
{
    struct pypi_version v = { .epoch = "0" };
    const char *at, *first;

    if (strlen(text) > PYPI_VERSION)
        return false;
    at = trimmed(a, text);
    at += *at == 'v';
    first = at;
    while (digit(*first))
        first++;
    if (*first == '!' && first > at) {
        v.epoch = number(a, &at);
        at++;
    }
    if (!(v.release = release(a, &at)) || !rest(a, &at, &v) || *at)
        return false;
    v.text = arena_printf(a, "%s%s%s%s%s%s%s%s%s%s%s", strcmp(v.epoch, "0") ? v.epoch : "",
                          strcmp(v.epoch, "0") ? "!" : "", v.release, v.pre ? v.pre_kind : "",
                          v.pre ? v.pre : "", v.post ? ".post" : "", v.post ? v.post : "",
                          v.dev ? ".dev" : "", v.dev ? v.dev : "", v.local ? "+" : "",
                          v.local ? v.local : "");
    *ret = v;
    return strlen(v.text) <= PYPI_VERSION; /* "1-2" is longer when it is written in full */
}

/* --- order --- */

static int sign_of(long long n)
{
    return (n > 0) - (n < 0);
}

/* Digits without zeros in front; of one of them `length` bytes. */
static int compare_numbers(const char *a, size_t n, const char *b, size_t m)
{
    return n != m ? sign_of((long long)n - (long long)m) : sign_of(memcmp(a, b, n));
}

static int compare_numbers_or(const char *a, const char *b, int missing)
{
    if (!a || !b)
        return a ? -missing : b ? missing : 0;
    return compare_numbers(a, strlen(a), b, strlen(b));
}

static int compare_releases(const char *a, const char *b)
{
    while (*a || *b) {
        const char *x = *a ? a : "0", *y = *b ? b : "0";
        size_t n = strcspn(x, "."), m = strcspn(y, ".");
        int c = compare_numbers(x, n, y, m);
        if (c)
            return c;
        a += *a ? n + (a[n] == '.') : 0;
        b += *b ? m + (b[m] == '.') : 0;
    }
    return 0;
}

/* "1.0.dev1" comes before "1.0a1", which comes before "1.0". */
static int rank(const struct pypi_version *v)
{
    if (v->pre)
        return v->pre_kind[0] == 'a' ? 1 : v->pre_kind[0] == 'b' ? 2 : 3;
    return !v->post && v->dev ? 0 : 4;
}

/* "Local version identifiers": by segment, numbers above words. */
static int compare_locals(const char *a, const char *b)
{
    if (!a || !b)
        return (a != NULL) - (b != NULL);
    while (*a && *b) {
        size_t n = strcspn(a, "."), m = strcspn(b, "."), least = n < m ? n : m;
        bool x = strspn(a, "0123456789") >= n, y = strspn(b, "0123456789") >= m;
        int c = x != y ? x - y : x ? compare_numbers(a, n, b, m) : memcmp(a, b, least);
        if (!c && !x)
            c = sign_of((long long)n - (long long)m);
        if (c)
            return sign_of(c);
        a += n + (a[n] == '.');
        b += m + (b[m] == '.');
    }
    return (*a != 0) - (*b != 0);
}

int pypi_version_compare(const struct pypi_version *a, const struct pypi_version *b)
{
    int c;

    if ((c = compare_numbers_or(a->epoch, b->epoch, 0)) ||
        (c = compare_releases(a->release, b->release)) || (c = rank(a) - rank(b)) ||
        (c = compare_numbers_or(a->pre, b->pre, 0)) ||
        (c = compare_numbers_or(a->post, b->post, -1)) ||
        (c = compare_numbers_or(a->dev, b->dev, 1)))
        return c;
    return compare_locals(a->local, b->local);
}
