/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/go/module.c: modules, versions and paths, as the go command judges them. */
#include "src/formats/go/module.h"

#include <ctype.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>
#include <wchar.h>
#include <wctype.h>

#include "pantera/text.h"
#include "src/formats/semver.h"

/* --- escapes --- */

const char *go_unescape(struct arena *a, const char *escaped)
{
    char *text = arena_alloc(a, strlen(escaped) + 1), *to = text;

    for (const char *c = escaped; *c; c++) {
        if (isupper((unsigned char)*c) || (unsigned char)*c >= 0x80)
            return NULL;
        if (*c == '!' && !islower((unsigned char)*++c))
            return NULL;
        *to++ = c > escaped && c[-1] == '!' ? (char)toupper((unsigned char)*c) : *c;
    }
    return text;
}

const char *go_escape(struct arena *a, const char *text)
{
    char *escaped = arena_alloc(a, 2 * strlen(text) + 1), *to = escaped;

    for (const char *c = text; *c; c++) {
        if (isupper((unsigned char)*c))
            *to++ = '!';
        *to++ = (char)tolower((unsigned char)*c);
    }
    return escaped;
}

/* --- paths --- */

static enum go_kind kind_of(const char *file, size_t *ret_stem)
{
    static const struct { const char *suffix; enum go_kind kind; } kinds[] = {
        { ".zip", GO_ZIP }, { ".mod", GO_MOD }, { ".info", GO_INFO },
    };
    size_t n = strlen(file);

    *ret_stem = n;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t m = strlen(kinds[i].suffix);
        if (n > m && !strcmp(file + n - m, kinds[i].suffix)) {
            *ret_stem = n - m;
            return kinds[i].kind;
        }
    }
    return GO_OTHER;
}

enum err go_path_parse(struct arena *a, const char *path, struct go_path *ret, struct why *why)
{
    const char *at = strstr(path, "/@"), *file;
    size_t stem = 0;

    *ret = (struct go_path){ .kind = GO_OTHER };
    if (!strncmp(path, "sumdb/", 6)) {
        ret->kind = GO_SUMDB;
        return OK;
    }
    if (!at || at == path)
        return OK;
    if (!strcmp(at, "/@latest")) {
        ret->kind = GO_LATEST;
    } else if (!strncmp(at, "/@v/", 4) && at[4] && !strchr(at + 4, '/')) {
        file = at + 4;
        ret->kind = !strcmp(file, "list") ? GO_LIST : kind_of(file, &stem);
    }
    if (ret->kind == GO_OTHER)
        return OK;
    ret->escaped = arena_strndup(a, path, (size_t)(at - path));
    ret->folder = arena_printf(a, "%s/@v", ret->escaped);
    ret->module = go_unescape(a, ret->escaped);
    if (stem) {
        ret->stem = arena_printf(a, "%s/%.*s", ret->folder, (int)stem, at + 4);
        ret->version = go_unescape(a, arena_strndup(a, at + 4, stem));
    }
    if (!ret->module || (stem && !ret->version))
        return fail(why, ERR_NOT_FOUND, "'%.200s' is not escaped: upper case is written '!x'", path);
    return OK;
}

/* --- what names may be --- */

static bool reserved_on_windows(const char *element, size_t length)
{
    static const char *const names[] = { "con", "prn", "aux", "nul" };
    const char *dot = memchr(element, '.', length);
    size_t n = dot ? (size_t)(dot - element) : length;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (n == 3 && !strncasecmp(element, names[i], 3))
            return true;
    return n == 4 && (!strncasecmp(element, "com", 3) || !strncasecmp(element, "lpt", 3)) &&
           element[3] >= '1' && element[3] <= '9';
}

static locale_t unicode;
static uv_once_t unicode_once = UV_ONCE_INIT;

static void unicode_make(void)
{
    unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

/* One character of well-formed UTF-8, decoded. */
static wchar_t wide_of(const char *c, size_t length)
{
    wchar_t wide = (unsigned char)*c;

    if (length > 1)
        wide &= 0x7f >> length;
    for (size_t i = 1; i < length; i++)
        wide = wide << 6 | ((unsigned char)c[i] & 0x3f);
    return wide;
}

static bool is_letter(const char *c, size_t length)
{
    uv_once(&unicode_once, unicode_make);
    return unicode && iswalpha_l((wint_t)wide_of(c, length), unicode);
}

static size_t utf8_put(char *to, wint_t c)
{
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

    if (n == 1) {
        *to = (char)c;
        return 1;
    }
    for (size_t i = n; i-- > 1; c >>= 6)
        to[i] = (char)(0x80 | (c & 0x3f));
    to[0] = (char)(0xf00 >> n | c);
    return n;
}

const char *go_fold(struct arena *a, const char *path)
{
    size_t size = strlen(path);
    char *folded = arena_alloc(a, 2 * size + 1), *to = folded;

    uv_once(&unicode_once, unicode_make);
    for (size_t i = 0, n; i < size; i += n) {
        n = utf8_sequence(path + i, size - i);
        if (n < 2 || !unicode) {
            n = 1;
            *to++ = (char)tolower((unsigned char)path[i]);
            continue;
        }
        /* Up, then down: as EqualFold does, which knows a long s from no s. */
        wint_t wide = towlower_l(towupper_l((wint_t)wide_of(path + i, n), unicode), unicode);
        to += utf8_put(to, wide);
    }
    return folded;
}

/* module.CheckFilePath's characters; of modules, those of CheckPath. */
static bool character_good(const char *c, size_t length, bool file)
{
    if (length > 1)
        return file && is_letter(c, length);
    if (isalnum((unsigned char)*c))
        return true;
    return strchr(file ? "!#$%&()+,-.=@[]^_{}~ " : "-._~", *c) != NULL && *c;
}

static enum err element_check(const char *element, size_t length, bool file, struct why *why)
{
    if (!length || strspn(element, ".") >= length)
        return fail(why, ERR_BAD_REQUEST, "an empty or dotted path element");
    if ((*element == '.' && !file) || element[length - 1] == '.')
        return fail(why, ERR_BAD_REQUEST, "a path element begins or ends with a dot");
    if (reserved_on_windows(element, length))
        return fail(why, ERR_BAD_REQUEST, "'%.*s' is reserved on Windows", (int)length, element);
    for (size_t i = 0, n; i < length; i += n) {
        n = utf8_sequence(element + i, length - i);
        if (!n || !character_good(element + i, n, file))
            return fail(why, ERR_BAD_REQUEST, "a character that is not allowed in '%.*s'", (int)length,
                        element);
    }
    return OK;
}

static enum err path_check(const char *path, bool file, struct why *why)
{
    if (strstr(path, ".."))
        return fail(why, ERR_BAD_REQUEST, "two dots in a row");
    for (;;) {
        size_t n = strcspn(path, "/");
        enum err e = element_check(path, n, file, why);
        if (e || !path[n])
            return e;
        path += n + 1;
    }
}

enum err go_file_check(const char *path, struct why *why)
{
    struct why detail = { "" };

    return path_check(path, true, &detail) ? fail(why, ERR_BAD_REQUEST, "'%.150s': %.150s", path, detail.text)
                                           : OK;
}

/* "/v2" or ".v2" at the end of a module's path; *ret_major "": none. False: one that can't be. */
static bool split_major(const char *module, char ret_major[24])
{
    bool gopkg = !strncmp(module, "gopkg.in/", 9), dot = false;
    size_t end = strlen(module), i, n;

    if (gopkg && end > 9 && !strcmp(module + end - 9, "-unstable"))
        end -= 9;
    i = end;
    while (i > 0 && (isdigit((unsigned char)module[i - 1]) || (!gopkg && module[i - 1] == '.')))
        dot = module[--i] == '.' || dot;
    ret_major[0] = 0;
    if (i <= 1 || i == end || module[i - 1] != 'v' || module[i - 2] != (gopkg ? '.' : '/'))
        return !gopkg;
    n = end - i;
    if (dot || n > 20 || (module[i] == '0' && !(gopkg && n == 1)) ||
        (!gopkg && n == 1 && module[i] == '1'))
        return false;
    memcpy(ret_major, module + i - 1, n + 1);
    ret_major[n + 1] = 0;
    return true;
}

enum err go_module_check(const char *module, const char *version, struct why *why)
{
    size_t first = strcspn(module, "/");
    char major[24], own[24];
    struct go_version v;
    enum err e;

    if ((e = path_check(module, false, why)))
        return e;
    if (!memchr(module, '.', first) || *module == '-' || strcspn(module,
                                                                 "ABCDEFGHIJKLMNOPQRSTUVWXYZ_~") < first)
        return fail(why, ERR_BAD_REQUEST, "'%.200s': a module's path begins with a host's name", module);
    if (!split_major(module, major))
        return fail(why, ERR_BAD_REQUEST, "'%.200s' ends in a major version that can't be", module);
    if (!go_version_parse(version, &v))
        return fail(why, ERR_BAD_REQUEST, "'%.100s' is not a canonical version", version);
    snprintf(own, sizeof own, "v%lu", v.number[0]);
    if (!*major ? v.number[0] < 2 || v.incompatible : !strcmp(major, own))
        return OK;
    if (!strcmp(major, "v1") && !strncmp(version, "v0.0.0-", 7) && !strncmp(module, "gopkg.in/", 9))
        return OK; /* pseudo-versions that old go commands made */
    return fail(why, ERR_BAD_REQUEST, "version %.100s is not of a module '%.200s'", version, module);
}

enum err go_path_judge(const struct go_path *p, struct why *why)
{
    struct why detail;

    if (path_check(p->module, false, &detail) ||
        (p->version && element_check(p->version, strlen(p->version), true, &detail)) ||
        (p->version && strchr(p->version, '!')))
        return fail(why, ERR_NOT_FOUND, "'%.200s' can't be a module, or its version", p->module);
    return OK;
}

/* --- versions --- */

/* No leading zero. Past it; NULL: none. */
static const char *number_read(const char *at, unsigned long *ret)
{
    char *end;

    if (!isdigit((unsigned char)*at) || (*at == '0' && isdigit((unsigned char)at[1])))
        return NULL;
    *ret = strtoul(at, &end, 10);
    return end - at > 18 ? NULL : end;
}

static bool identifier_good(const char *at, size_t length)
{
    bool digits = length > 0;

    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)at[i]) && at[i] != '-')
            return false;
        digits = digits && isdigit((unsigned char)at[i]);
    }
    return length && !(digits && length > 1 && *at == '0');
}

bool go_version_parse(const char *text, struct go_version *ret)
{
    const char *at = text + 1;

    *ret = (struct go_version){ .pre = NULL };
    if (*text != 'v')
        return false;
    for (int i = 0; i < 3; i++) {
        at = number_read(at, &ret->number[i]);
        if (!at || (i < 2 && *at++ != '.'))
            return false;
    }
    if (*at == '-') {
        ret->pre = ++at;
        ret->pre_length = strcspn(at, "+");
        for (const char *end = at + ret->pre_length;; at++) {
            size_t n = strcspn(at, ".+");
            if (!identifier_good(at, n))
                return false;
            at += n;
            if (at == end)
                break;
        }
    }
    ret->incompatible = !strcmp(at, "+incompatible");
    return !*at || ret->incompatible;
}

int go_version_compare(const char *a, const char *b)
{
    struct go_version x, y;
    int order;

    if (!go_version_parse(a, &x) || !go_version_parse(b, &y))
        return strcmp(a, b);
    for (int i = 0; i < 3; i++)
        if (x.number[i] != y.number[i])
            return x.number[i] < y.number[i] ? -1 : 1;
    order = semver_prerelease_compare(x.pre, y.pre);
    return order ? order : strcmp(a, b);
}

/* v1.0.0-20260102030405-abcdefabcdef, v1.2.4-0.2026…, v1.2.3-pre.0.2026… */
bool go_version_is_pseudo(const char *text)
{
    struct go_version v;
    const char *dash, *stamp;
    size_t length;

    if (!go_version_parse(text, &v) || !v.pre)
        return false;
    length = v.pre_length;
    dash = memrchr(v.pre, '-', length);
    if (!dash || dash == v.pre + length - 1 || dash - v.pre < 14)
        return false;
    stamp = dash - 14;
    if (strspn(stamp, "0123456789") != 14)
        return false;
    if (stamp == v.pre)
        return !v.number[1] && !v.number[2];
    return stamp - v.pre >= 2 && stamp[-1] == '.' && stamp[-2] == '0' &&
           (stamp - v.pre == 2 || stamp[-3] == '.');
}

static int class_of(const char *version)
{
    struct go_version v;

    if (!go_version_parse(version, &v))
        return 0;
    return go_version_is_pseudo(version) ? 1 : v.pre ? 2 : 3;
}

bool go_version_better(const char *a, const char *than)
{
    int x = class_of(a), y = than ? class_of(than) : -1;

    return x != y ? x > y : go_version_compare(a, than) > 0;
}

/* --- go.mod --- */

/* The first "module PATH" or "module ( PATH )"; quoted or not. */
const char *go_mod_module(struct arena *a, const char *text)
{
    bool block = false;

    for (const char *line = text; line && *line;) {
        size_t n = strcspn(line, "\n"), length;
        const char *comment = memmem(line, n, "//", 2), *at = line;
        const char *end = comment ? comment : line + n;
        line += n + (line[n] == '\n');
        while (at < end && isspace((unsigned char)*at))
            at++;
        while (end > at && isspace((unsigned char)end[-1]))
            end--;
        if (!block && end - at > 6 && !strncmp(at, "module", 6) &&
            (isspace((unsigned char)at[6]) || at[6] == '"' || at[6] == '`' || at[6] == '(')) {
            at += 6;
            while (at < end && isspace((unsigned char)*at))
                at++;
            if (at < end && *at == '(') {
                block = true;
                continue;
            }
        } else if (!block || at == end) {
            continue;
        }
        length = (size_t)(end - at);
        if (length > 1 && (*at == '"' || *at == '`') && end[-1] == *at)
            return arena_strndup(a, at + 1, length - 2);
        return arena_strndup(a, at, length);
    }
    return NULL;
}
