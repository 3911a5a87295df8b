/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/semver.c: precedence of pre-releases, semver.org 2.0.0 §11. */
#include "src/formats/semver.h"

#include <stdbool.h>
#include <string.h>

int semver_number_compare(const char *a, size_t a_length, const char *b, size_t b_length)
{
    return a_length != b_length ? (a_length < b_length ? -1 : 1) : memcmp(a, b, a_length);
}

/* §11.4.1 to 3: numbers by value, words by their bytes, a number below a word. */
static int identifier_compare(const char *a, size_t an, const char *b, size_t bn)
{
    bool a_number = strspn(a, "0123456789") >= an, b_number = strspn(b, "0123456789") >= bn;
    int order;

    if (a_number && b_number)
        return semver_number_compare(a, an, b, bn);
    if (a_number != b_number)
        return a_number ? -1 : 1;
    order = memcmp(a, b, an < bn ? an : bn);
    return order ? order : (an > bn) - (an < bn);
}

int semver_prerelease_compare(const char *a, const char *b)
{
    if (!a || !b)
        return !a - !b; /* §11.3: below the version itself */
    for (;;) {
        size_t an = strcspn(a, ".+"), bn = strcspn(b, ".+");
        int order = identifier_compare(a, an, b, bn);
        if (order)
            return order;
        a += an;
        b += bn;
        if (*a != '.' || *b != '.')
            return (*a == '.') - (*b == '.'); /* §11.4.4: the longer list is higher */
        a++;
        b++;
    }
}
