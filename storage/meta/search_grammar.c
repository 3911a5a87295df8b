/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/search_grammar.c: the grammar of pantera/search.h, by recursive descent. It knows no index
 * and no SQL: storage/meta/search.c gives the tree its meaning. */
#include "pantera/search.h"

#include <string.h>
#include <strings.h>

#include "pantera/text.h"

enum token_kind { T_END, T_OPEN, T_CLOSE, T_AND, T_OR, T_NOT, T_TERM };

struct token {
    enum token_kind kind;
    enum search_field field;
    const char *text;
};

struct parser {
    struct arena *arena;
    const char *at;
    struct token token;          /* the next one */
    unsigned terms, depth;
    struct why *why;
    enum err err;                /* the first */
};

static const struct {
    const char *name;
    enum search_field field;
} fields[] = {
    { "name", SEARCH_NAME }, { "version", SEARCH_VERSION }, { "repo", SEARCH_REPO },
    { "type", SEARCH_TYPE },
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool ends_word(char c)
{
    return !c || is_blank(c) || c == '(' || c == ')' || c == '"';
}

/* --- tokens --- */

/* `p->at` is behind the opening quote. */
static const char *quoted(struct parser *p)
{
    const char *end = strchr(p->at, '"'), *text;

    if (!end) {
        p->err = fail(p->why, ERR_BAD_REQUEST, "a quote is not closed");
        return "";
    }
    text = arena_strndup(p->arena, p->at, (size_t)(end - p->at));
    p->at = end + 1;
    return text;
}

static const char *word(struct parser *p)
{
    const char *from = p->at;

    while (!ends_word(*p->at))
        p->at++;
    return arena_strndup(p->arena, from, (size_t)(p->at - from));
}

/* "name:" in front; steps over it. */
static enum search_field field_prefix(struct parser *p)
{
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        size_t n = strlen(fields[i].name);
        if (!strncasecmp(p->at, fields[i].name, n) && p->at[n] == ':') {
            p->at += n + 1;
            return fields[i].field;
        }
    }
    return SEARCH_ANY;
}

static void term(struct parser *p)
{
    struct token *t = &p->token;

    t->kind = T_TERM;
    t->field = *p->at == '"' ? SEARCH_ANY : field_prefix(p);
    if (t->field != SEARCH_ANY)
        while (is_blank(*p->at)) /* "name: x", as the original has it */
            p->at++;
    if (*p->at == '"') {
        p->at++;
        t->text = quoted(p);
    } else {
        t->text = word(p);
    }
    while (is_blank(*t->text))
        t->text++;
    if (!*t->text && !p->err)
        p->err = fail(p->why, ERR_BAD_REQUEST, t->field == SEARCH_ANY ? "an empty phrase"
                                                                      : "a field without a value");
    if (++p->terms > SEARCH_TERMS && !p->err)
        p->err = fail(p->why, ERR_BAD_REQUEST, "more than %d terms", SEARCH_TERMS);
}

static bool operator_is(struct parser *p, const char *name)
{
    size_t n = strlen(name);

    if (strncmp(p->at, name, n) || !ends_word(p->at[n]))
        return false;
    p->at += n;
    return true;
}

static void advance(struct parser *p)
{
    struct token *t = &p->token;

    *t = (struct token){ .kind = T_END, .text = "" };
    while (is_blank(*p->at))
        p->at++;
    if (p->err || !*p->at)
        return;
    if (*p->at == '(' || *p->at == ')')
        t->kind = *p->at++ == '(' ? T_OPEN : T_CLOSE;
    else if (operator_is(p, "AND"))
        t->kind = T_AND;
    else if (operator_is(p, "OR"))
        t->kind = T_OR;
    else if (operator_is(p, "NOT"))
        t->kind = T_NOT;
    else
        term(p);
}

/* --- the grammar --- */

static const struct search_node *parse_or(struct parser *p);

static const struct search_node *make(struct parser *p, enum search_kind kind,
                                      const struct search_node *a, const struct search_node *b)
{
    struct search_node *n = arena_alloc(p->arena, sizeof *n);

    *n = (struct search_node){ .kind = kind, .a = a, .b = b, .text = "" };
    return n;
}

static const struct search_node *parse_error(struct parser *p, const char *text)
{
    if (!p->err)
        p->err = fail(p->why, ERR_BAD_REQUEST, "%s", text);
    return NULL;
}

static const struct search_node *parse_group(struct parser *p)
{
    const struct search_node *inner;

    advance(p);
    inner = parse_or(p);
    if (p->err)
        return NULL;
    if (p->token.kind != T_CLOSE)
        return parse_error(p, "a parenthesis is not closed");
    advance(p);
    return inner;
}

static const struct search_node *parse_not(struct parser *p)
{
    const struct search_node *inner = NULL;

    if (++p->depth > SEARCH_DEPTH)
        return parse_error(p, "nested too deeply");
    if (p->token.kind == T_NOT) {
        advance(p);
        inner = parse_not(p);
        inner = p->err ? NULL : make(p, SEARCH_NOT, inner, NULL);
    } else if (p->token.kind == T_OPEN) {
        inner = parse_group(p);
    } else if (p->token.kind == T_TERM) {
        struct search_node *leaf = (struct search_node *)(uintptr_t)make(p, SEARCH_TERM, NULL, NULL);
        leaf->field = p->token.field;
        leaf->text = p->token.text;
        inner = leaf;
        advance(p);
    } else {
        parse_error(p, p->token.kind == T_CLOSE ? "a parenthesis too many, or an empty pair"
                                                : "an operator without something to search for");
    }
    p->depth--;
    return inner;
}

static const struct search_node *parse_and(struct parser *p)
{
    const struct search_node *left = parse_not(p);

    while (!p->err && (p->token.kind == T_AND || p->token.kind == T_NOT ||
                       p->token.kind == T_OPEN || p->token.kind == T_TERM)) {
        if (p->token.kind == T_AND)
            advance(p);
        left = make(p, SEARCH_AND, left, parse_not(p));
    }
    return left;
}

static const struct search_node *parse_or(struct parser *p)
{
    const struct search_node *left = parse_and(p);

    while (!p->err && p->token.kind == T_OR) {
        advance(p);
        left = make(p, SEARCH_OR, left, parse_and(p));
    }
    return left;
}

enum err search_parse(struct arena *a, const char *query, const struct search_node **ret,
                      struct why *why)
{
    struct parser p = { .arena = a, .at = query, .why = why };
    size_t n = strlen(query);

    if (n > SEARCH_QUERY_BYTES)
        return fail(why, ERR_BAD_REQUEST, "the query is longer than %d bytes", SEARCH_QUERY_BYTES);
    if (!utf8_valid(query, n))
        return fail(why, ERR_BAD_REQUEST, "the query is not valid UTF-8");
    advance(&p);
    if (p.token.kind == T_END && !p.err)
        return fail(why, ERR_BAD_REQUEST, "Missing 'q' parameter");
    *ret = parse_or(&p);
    if (!p.err && p.token.kind != T_END)
        parse_error(&p, "a parenthesis too many");
    return p.err;
}
