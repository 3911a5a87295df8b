/* SPDX-License-Identifier: Apache-2.0 */
/* config/keys.c: finding rows of config.def by path or variable, and guessing what was meant.
 * Not here: values (value.c), files (yaml.c). */
#include "src/config/keys.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define KEY(path, kind, field, fallback, min, max, meaning) \
    { path, PLACE_FIELD, KIND_##kind, offsetof(struct config, field), fallback, min, max, meaning },
#define STORE(path, kind, min, max, meaning) \
    { path, PLACE_STORAGE, KIND_##kind, 0, NULL, min, max, meaning },
#define ENV(variable, kind, field, min, max, meaning) \
    { variable, PLACE_ENV, KIND_##kind, offsetof(struct config, field), NULL, min, max, meaning },
#define OUTSIDE(variable, meaning)
#define REFUSED(path, sentence)
const struct key keys[] = {
#include "src/config/config.def"
};
#undef KEY
#undef STORE
#undef ENV
#undef OUTSIDE
#undef REFUSED

_Static_assert(sizeof keys / sizeof keys[0] <= KEY_COUNT_MAX, "raise KEY_COUNT_MAX");

struct pair {
    const char *name, *text;
};

#define KEY(...)
#define STORE(...)
#define ENV(...)
#define OUTSIDE(variable, meaning)
#define REFUSED(path, sentence) { path, sentence },
static const struct pair refused[] = {
#include "src/config/config.def"
};
#undef OUTSIDE
#undef REFUSED
#define OUTSIDE(variable, meaning) { variable, meaning },
#define REFUSED(path, sentence)
static const struct pair outside[] = {
#include "src/config/config.def"
};
#undef KEY
#undef STORE
#undef ENV
#undef OUTSIDE
#undef REFUSED

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

unsigned keys_count(void)
{
    return COUNT(keys);
}

const struct key *key_find(const char *path)
{
    for (unsigned i = 0; i < COUNT(keys); i++)
        if (keys[i].place != PLACE_ENV && strcmp(keys[i].path, path) == 0)
            return &keys[i];
    return NULL;
}

void key_variable(const struct key *k, char ret[PATH_MAX_BYTES])
{
    const char *s = k->path;
    if (k->place == PLACE_ENV) {
        snprintf(ret, PATH_MAX_BYTES, "%s", s);
        return;
    }
    if (strncmp(s, "meta.", 5) == 0)
        s += 5;
    snprintf(ret, PATH_MAX_BYTES, "PANTERA_%s", s);
    for (char *c = ret; *c; c++)
        *c = isalnum((unsigned char)*c) ? (char)toupper((unsigned char)*c) : '_';
}

const struct key *key_find_variable(const char *name)
{
    for (unsigned i = 0; i < COUNT(keys); i++) {
        char variable[PATH_MAX_BYTES];
        key_variable(&keys[i], variable);
        if (strcmp(variable, name) == 0)
            return &keys[i];
    }
    return NULL;
}

/* `path` lies above `below`: "meta.log" above "meta.log.level". */
static bool above(const char *path, const char *below)
{
    size_t n = strlen(path);
    return strncmp(path, below, n) == 0 && below[n] == '.';
}

bool key_section(const char *path)
{
    for (unsigned i = 0; i < COUNT(keys); i++)
        if (keys[i].place != PLACE_ENV && above(path, keys[i].path))
            return true;
    return false;
}

const char *key_refused(const char *path)
{
    for (unsigned i = 0; i < COUNT(refused); i++)
        if (strcmp(refused[i].name, path) == 0)
            return refused[i].text;
    return NULL;
}

bool key_outside(const char *variable)
{
    for (unsigned i = 0; i < COUNT(outside); i++) {
        size_t n = strlen(outside[i].name);
        bool prefix = outside[i].name[n - 1] == '*';
        if (prefix ? strncmp(variable, outside[i].name, n - 1) == 0
                   : strcmp(variable, outside[i].name) == 0)
            return true;
    }
    return false;
}

/* Edits that make `a` of `b` (Levenshtein); '-' and '_' count as the same. Both are short. */
static unsigned distance(const char *a, const char *b)
{
    enum { MAX = PATH_MAX_BYTES };
    unsigned row[MAX + 1];
    size_t n = strlen(b);
    if (n > MAX || strlen(a) > MAX)
        return MAX;
    for (size_t j = 0; j <= n; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; a[i - 1]; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= n; j++) {
            char x = a[i - 1] == '-' ? '_' : a[i - 1], y = b[j - 1] == '-' ? '_' : b[j - 1];
            unsigned best = diagonal + (x != y);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

/* Farther than this is no slip of the finger. */
static unsigned near_enough(const char *name)
{
    size_t n = strlen(name);
    return n < 4 ? 1 : n < 9 ? 2 : (unsigned)(n / 4);
}

void key_suggest(const char *section, const char *name, char ret[PATH_MAX_BYTES])
{
    unsigned best = near_enough(name) + 1;
    size_t skip = *section ? strlen(section) + 1 : 0;
    ret[0] = '\0';
    for (unsigned i = 0; i < COUNT(keys); i++) {
        char segment[PATH_MAX_BYTES];
        if (keys[i].place == PLACE_ENV || (*section && !above(section, keys[i].path)))
            continue;
        const char *s = keys[i].path + skip;
        snprintf(segment, sizeof segment, "%.*s", (int)strcspn(s, "."), s);
        unsigned d = distance(name, segment);
        if (d < best) {
            best = d;
            snprintf(ret, PATH_MAX_BYTES, "%s", segment);
        }
    }
    /* The right name in the wrong section. */
    for (unsigned i = 0; !ret[0] && i < COUNT(keys); i++) {
        const char *last = strrchr(keys[i].path, '.');
        if (last && distance(last + 1, name) == 0)
            snprintf(ret, PATH_MAX_BYTES, "%s", keys[i].path);
    }
}

void key_suggest_variable(const char *name, char ret[PATH_MAX_BYTES])
{
    unsigned best = near_enough(name) + 1;
    ret[0] = '\0';
    for (unsigned i = 0; i < COUNT(keys); i++) {
        char variable[PATH_MAX_BYTES];
        key_variable(&keys[i], variable);
        unsigned d = distance(name, variable);
        if (d < best) {
            best = d;
            snprintf(ret, PATH_MAX_BYTES, "%s", variable);
        }
    }
}
