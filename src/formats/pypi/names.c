/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/pypi/names.c: names of projects and of files. */
#include "src/formats/pypi/names.h"

#include <string.h>
#include <time.h>

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool sign(char c)
{
    return c == '-' || c == '_' || c == '.';
}

bool pypi_name_valid(const char *name)
{
    size_t n = strlen(name);

    if (n == 0 || n > PYPI_NAME || !letter(name[0]) || !letter(name[n - 1]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!letter(name[i]) && !sign(name[i]))
            return false;
    return true;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

char *pypi_name_normal(struct arena *a, const char *name)
{
    char *ret = arena_alloc(a, strlen(name) + 1), *to = ret;

    for (const char *c = name; *c; c++) {
        if (!sign(*c))
            *to++ = lower(*c);
        else if (to == ret || to[-1] != '-')
            *to++ = '-';
    }
    *to = 0;
    return ret;
}

/* Is `length` bytes of `name`, made normal, `project`? Takes no memory: pages hold many names. */
static bool same_name(const char *project, const char *name, size_t length)
{
    const char *at = project;

    for (size_t i = 0; i < length; i++) {
        char c = sign(name[i]) ? '-' : lower(name[i]);
        if (c == '-' && at > project && at[-1] == '-')
            continue;
        if (*at++ != c)
            return false;
    }
    return !*at;
}

/* The length of `name`'s end if it is `suffix` in any case; else 0. */
static size_t ends(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);

    if (n <= m)
        return 0;
    for (size_t i = 0; i < m; i++)
        if (lower(name[n - m + i]) != suffix[i])
            return 0;
    return m;
}

/* PEP 427: a '-' of a version is a '_' in a file's name. */
static bool version_of(struct arena *a, const char *from, size_t length, bool wheel,
                       struct pypi_version *ret)
{
    char *text;

    if (length == 0 || length > PYPI_VERSION)
        return false;
    text = arena_strndup(a, from, length);
    for (char *c = text; wheel && *c; c++)
        if (*c == '_')
            *c = '-';
    return pypi_version_parse(a, text, ret);
}

/* distribution-version(-build)?-python-abi-platform */
static bool wheel_parse(struct arena *a, const char *project, const char *name, size_t length,
                        struct pypi_file *ret)
{
    const char *dash[6], *end = name + length;
    unsigned n = 0;

    for (const char *c = name; c < end; c++)
        if (*c == '-') {
            if (n == 5)
                return false;
            dash[n++] = c;
        }
    if (n != 4 && n != 5)
        return false;
    if (n == 5 && !(dash[1][1] >= '0' && dash[1][1] <= '9')) /* a build tag begins with a digit */
        return false;
    if (!same_name(project, name, (size_t)(dash[0] - name)))
        return false;
    ret->kind = PYPI_WHEEL;
    ret->zip = true;
    ret->stem = arena_strndup(a, name, (size_t)(dash[1] - name));
    ret->tag = arena_strndup(a, dash[n - 3] + 1, (size_t)(end - dash[n - 3] - 1));
    return version_of(a, dash[0] + 1, (size_t)(dash[1] - dash[0] - 1), true, &ret->version);
}

enum { LOOSE_TRIES = 8 }; /* "1.0.macosx-10.9-x86_64-py3.7" has six */

/* name-version, where both may hold '-': the project says where the name ends. `loose`: something may follow
 * the version after a '-' or a '.' (eggs, installers). */
static bool named_parse(struct arena *a, const char *project, const char *name, size_t length,
                        bool loose, struct pypi_file *ret)
{
    unsigned tries = loose ? LOOSE_TRIES : 0;
    size_t i = 1;

    while (i + 1 < length && (name[i] != '-' || !same_name(project, name, i)))
        i++;
    if (i + 1 >= length)
        return false;
    if (version_of(a, name + i + 1, length - i - 1, false, &ret->version))
        return true;
    for (size_t end = length; tries && end > i + 2; end--)
        if (name[end - 1] == '-' || name[end - 1] == '.') {
            tries--;
            if (version_of(a, name + i + 1, end - i - 2, false, &ret->version))
                return true;
        }
    return false;
}

static const char *const sdists[] = { ".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz", ".tar.z" };
enum { SDISTS = sizeof sdists / sizeof *sdists };

enum pypi_kind pypi_file_kind(const char *file_name)
{
    if (ends(file_name, ".whl"))
        return PYPI_WHEEL;
    for (unsigned i = 0; i < SDISTS; i++)
        if (ends(file_name, sdists[i]))
            return PYPI_SDIST;
    return PYPI_OTHER;
}

bool pypi_file_parse(struct arena *a, const char *project, const char *file_name,
                     struct pypi_file *ret)
{
    static const char *const others[] = { ".egg", ".exe", ".msi", ".rpm", ".deb", ".dmg" };
    size_t n = strlen(file_name), end;

    *ret = (struct pypi_file){ .tag = "" };
    if (n > 255)
        return false;
    if ((end = ends(file_name, ".whl")))
        return wheel_parse(a, project, file_name, n - end, ret);
    for (unsigned i = 0; i < SDISTS; i++)
        if ((end = ends(file_name, sdists[i]))) {
            ret->kind = PYPI_SDIST;
            ret->zip = i == 1;
            return named_parse(a, project, file_name, n - end, i == 1, ret);
        }
    for (unsigned i = 0; i < sizeof others / sizeof *others; i++)
        if ((end = ends(file_name, others[i])))
            return named_parse(a, project, file_name, n - end, true, ret);
    return false;
}

static bool digits(const char **at, int count, int *ret)
{
    *ret = 0;
    for (int i = 0; i < count; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        *ret = *ret * 10 + (**at - '0');
    }
    return true;
}

bool pypi_time_parse(const char *text, int64_t *ret_ms)
{
    static const char signs[] = "--T::";
    static const int widths[] = { 4, 2, 2, 2, 2, 2 };
    int v[6], millis = 0, scale = 100;
    struct tm tm = { 0 };

    for (int i = 0; i < 6; i++)
        if (!digits(&text, widths[i], &v[i]) || (i < 5 && *text++ != signs[i]))
            return false;
    if (*text == '.' || *text == ',')
        for (text++; *text >= '0' && *text <= '9'; text++, scale /= 10)
            millis += (*text - '0') * scale;
    if (strcmp(text, "Z") && strcmp(text, "+00:00") && *text)
        return false;
    if (v[1] < 1 || v[1] > 12 || v[2] < 1 || v[2] > 31 || v[3] > 23 || v[4] > 59 || v[5] > 60)
        return false;
    tm.tm_year = v[0] - 1900;
    tm.tm_mon = v[1] - 1;
    tm.tm_mday = v[2];
    tm.tm_hour = v[3];
    tm.tm_min = v[4];
    tm.tm_sec = v[5];
    *ret_ms = (int64_t)timegm(&tm) * 1000 + millis;
    return true;
}
