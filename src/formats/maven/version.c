/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/maven/version.c: Maven's order of versions, as its POM reference describes it ("Version
 * Order Specification") and Maven 3.8 and 3.9 do it: a version is a list of numbers and words; a hyphen,
 * and each change between digits and letters, begins a list within the list. Zeros and empty words at a
 * list's end count for nothing. Words have an order: alpha, beta, milestone, rc, snapshot, (none), sp,
 * and then all others. */
#include "src/formats/maven/version.h"

#include <ctype.h>
#include <string.h>

#include "pantera/limits.h"

enum item_kind { ITEM_NUMBER, ITEM_WORD, ITEM_LIST };

struct maven_version {           /* an item; the whole is a list */
    enum item_kind kind;
    const char *text;            /* of a number: without leading zeros, so "" is zero */
    size_t length;
    int rank;                    /* of a word: its place among those that are known */
    struct maven_version *first, *last, *next, *previous; /* of a list: its items */
};

enum { RANK_NONE = 5, RANK_OTHER = 7 };
static const char *const ranks[RANK_OTHER] = { "alpha", "beta", "milestone", "rc", "snapshot", "", "sp" };

struct parse {
    struct arena *arena;
    struct maven_version *list;  /* that items go to */
    struct maven_version *stack[2 * LIMIT_PATH_SEGMENT + 2];
    unsigned depth;
};

/* --- items --- */

static struct maven_version *item_add(struct parse *p, enum item_kind kind)
{
    struct maven_version *item = arena_alloc(p->arena, sizeof *item), *list = p->list;

    item->kind = kind;
    item->text = "";
    item->previous = list->last;
    if (list->last)
        list->last->next = item;
    else
        list->first = item;
    list->last = item;
    return item;
}

static void list_begin(struct parse *p)
{
    p->list = item_add(p, ITEM_LIST);
    p->stack[p->depth++] = p->list;
}

static void number_add(struct parse *p, const char *text, size_t length)
{
    struct maven_version *item = item_add(p, ITEM_NUMBER);

    while (length && *text == '0') {
        text++;
        length--;
    }
    item->text = text;
    item->length = length;
}

static bool is_word(const char *text, size_t length, const char *word)
{
    return strlen(word) == length && !memcmp(text, word, length);
}

static void word_add(struct parse *p, const char *text, size_t length, bool before_digit)
{
    struct maven_version *item = item_add(p, ITEM_WORD);

    item->text = text;
    item->length = length;
    item->rank = RANK_OTHER;
    for (int i = 0; i < RANK_OTHER; i++)
        if (is_word(text, length, ranks[i]))
            item->rank = i;
    if (before_digit && length == 1) /* a1 is alpha-1, b1 beta-1, m1 milestone-1 */
        item->rank = *text == 'a' ? 0 : *text == 'b' ? 1 : *text == 'm' ? 2 : item->rank;
    else if (is_word(text, length, "cr"))
        item->rank = 3;
    else if (is_word(text, length, "ga") || is_word(text, length, "final") ||
             is_word(text, length, "release"))
        item->rank = RANK_NONE;
}

static void token_add(struct parse *p, bool digits, const char *text, size_t length)
{
    if (!length || digits)
        number_add(p, text, length); /* nothing between two separators is a zero */
    else
        word_add(p, text, length, false);
}

/* --- parsing --- */

static bool is_nothing(const struct maven_version *item)
{
    return item->kind == ITEM_NUMBER ? !item->length
         : item->kind == ITEM_WORD   ? item->rank == RANK_NONE
                                     : !item->first;
}

/* From its end on, what is nothing goes; lists that are something are passed over, anything else ends it. */
static void list_normalise(struct maven_version *list)
{
    struct maven_version *item = list->last, *previous;

    for (; item; item = previous) {
        previous = item->previous;
        if (!is_nothing(item)) {
            if (item->kind != ITEM_LIST)
                return;
            continue;
        }
        *(previous ? &previous->next : &list->first) = item->next;
        *(item->next ? &item->next->previous : &list->last) = previous;
    }
}

static void parse_run(struct parse *p, const char *text, size_t length)
{
    size_t start = 0;
    bool digits = false;

    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c == '.' || c == '-') {
            token_add(p, digits, text + start, i - start);
            start = i + 1;
            if (c == '-')
                list_begin(p);
        } else if (isdigit((unsigned char)c) != 0) {
            if (!digits && i > start) {
                if (p->list->first) /* ".x1" counts as "-x1" */
                    list_begin(p);
                word_add(p, text + start, i - start, true);
                start = i;
                list_begin(p);
            }
            digits = true;
        } else {
            if (digits && i > start) {
                number_add(p, text + start, i - start);
                start = i;
                list_begin(p);
            }
            digits = false;
        }
    }
    if (length == start)
        return;
    if (!digits && p->list->first)
        list_begin(p);
    token_add(p, digits, text + start, length - start);
}

struct maven_version *maven_version_parse(struct arena *a, const char *text)
{
    struct maven_version *whole = arena_alloc(a, sizeof *whole);
    struct parse p = { .arena = a, .list = whole };
    size_t length = strlen(text);
    char *lower;

    /* What is longer than a path's segment can't be a version; its beginning is compared. */
    length = length > LIMIT_PATH_SEGMENT ? LIMIT_PATH_SEGMENT : length;
    lower = arena_strndup(a, text, length);
    for (char *c = lower; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    whole->kind = ITEM_LIST;
    whole->text = "";
    p.stack[p.depth++] = whole;
    parse_run(&p, lower, length);
    while (p.depth)
        list_normalise(p.stack[--p.depth]);
    return whole;
}

/* --- order --- */

static int sign(long n)
{
    return n < 0 ? -1 : n > 0;
}

static int number_compare(const struct maven_version *a, const struct maven_version *b)
{
    if (a->length != b->length)
        return a->length < b->length ? -1 : 1;
    return sign(memcmp(a->text, b->text, a->length));
}

static int word_compare(const struct maven_version *a, const struct maven_version *b)
{
    size_t n = a->length < b->length ? a->length : b->length;
    int order;

    if (a->rank != b->rank || a->rank != RANK_OTHER)
        return sign(a->rank - b->rank);
    order = memcmp(a->text, b->text, n);
    return order ? sign(order) : sign((long)a->length - (long)b->length);
}

/* Against the end of the other list. */
static int item_compare_none(const struct maven_version *item)
{
    int order = 0;

    if (item->kind == ITEM_NUMBER)
        return item->length ? 1 : 0;
    if (item->kind == ITEM_WORD)
        return sign(item->rank - RANK_NONE);
    for (item = item->first; item && !order; item = item->next)
        order = item_compare_none(item);
    return order;
}

static int list_compare(const struct maven_version *a, const struct maven_version *b);

static int item_compare(const struct maven_version *a, const struct maven_version *b)
{
    static const int weight[] = { [ITEM_WORD] = 0, [ITEM_LIST] = 1, [ITEM_NUMBER] = 2 };

    if (a->kind != b->kind)
        return sign(weight[a->kind] - weight[b->kind]); /* 1-sp < 1-1 < 1.1 */
    return a->kind == ITEM_NUMBER ? number_compare(a, b)
         : a->kind == ITEM_WORD   ? word_compare(a, b)
                                  : list_compare(a, b);
}

static int list_compare(const struct maven_version *a, const struct maven_version *b)
{
    const struct maven_version *x = a->first, *y = b->first;
    int order = 0;

    while (!order && (x || y)) {
        order = !x ? -item_compare_none(y) : !y ? item_compare_none(x) : item_compare(x, y);
        x = x ? x->next : NULL;
        y = y ? y->next : NULL;
    }
    return order;
}

int maven_version_compare(const struct maven_version *a, const struct maven_version *b)
{
    return list_compare(a, b);
}

/* "1.0-20260102.030405-6": eight digits, a dot, six digits, a hyphen, digits. */
static bool has_timestamp(const char *text)
{
    const char *build = strrchr(text, '-'), *stamp;

    if (!build || build - text < 17 || !build[1] || strspn(build + 1, "0123456789") != strlen(build + 1))
        return false;
    stamp = build - 15;
    return stamp[-1] == '-' && strspn(stamp, "0123456789") == 8 && stamp[8] == '.' &&
           strspn(stamp + 9, "0123456789") == 6;
}

bool maven_version_is_snapshot(const char *text)
{
    size_t n = strlen(text), m = strlen("SNAPSHOT");

    return (n >= m && !strcasecmp(text + n - m, "SNAPSHOT") && (n == m || text[n - m - 1] == '-')) ||
           has_timestamp(text);
}
