/* SPDX-License-Identifier: Apache-2.0 */
/* What a token was narrowed to, as text: "repository:images/app:pull,push registry:catalog:*" (the
 * Distribution token specification's grammar: a name may have colons, a type and actions may not). Pure. */
#include <string.h>

#include "src/auth/internal.h"

static bool lists(const char *words, size_t size, const char *word)
{
    size_t n = strlen(word), step;

    for (size_t at = 0; at < size; at += step + 1) {
        const char *comma = memchr(words + at, ',', size - at);
        step = comma ? (size_t)(comma - words) - at : size - at;
        if ((step == n && !memcmp(words + at, word, n)) || (step == 1 && words[at] == '*'))
            return true;
    }
    return false;
}

bool scope_covers(const char *scope, const char *type, const char *name, const char *action)
{
    size_t t = strlen(type), n = strlen(name), size;

    for (const char *at = scope; *at; at += size + (at[size] == ' ')) {
        size = strcspn(at, " ");
        if (size > t + n + 2 && !strncmp(at, type, t) && at[t] == ':' && !strncmp(at + t + 1, name, n) &&
            at[t + 1 + n] == ':' && lists(at + t + n + 2, size - t - n - 2, action))
            return true;
    }
    return false;
}
