/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/search.c: questions to the full-text index (migration 0003): the tree of a query becomes one
 * FTS5 expression over trigrams, permission included, so that SQLite walks lists of documents and nothing
 * else. Running it is search_run.c's, building the index anew search_build.c's. */
#include "pantera/meta_search.h"

#include <string.h>
#include <strings.h>

#include "pantera/buf.h"
#include "pantera/limits.h"
#include "pantera/text.h"
#include "storage/meta/search_match.h"
#include "storage/meta/sql.h"

/* --- from a tree to an expression --- */

/* What a subtree matches: nothing, everything, what `text` matches, or all but that. FTS5 knows no negation
 * of its own (only a NOT b), so it is carried up to where something positive stands beside it. */
enum value_kind { NOTHING, EVERYTHING, MATCHES, EXCEPT };

struct value {
    enum value_kind kind;
    const char *text;
};

struct compile {
    struct arena *arena;
    const struct search_query *query;
    const char *first;           /* first term that can rank: without a field, or a name */
    struct why *why;
    enum err err;
};

#define START "\xef\xbf\xbc\xef\xbf\xbc" /* U+FFFC twice: in front of every word of starts_* */

static const char *quote(struct arena *a, const char *text)
{
    char *copy = arena_alloc(a, 2 * strlen(text) + 3), *to = copy;

    *to++ = '"';
    for (; *text; text++) {
        if (*text == '"')
            *to++ = '"';
        *to++ = *text;
    }
    *to++ = '"';
    return copy;
}

static size_t characters(const char *s)
{
    size_t n = 0;

    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

/* One or two characters are no trigram: the beginning of a word of a name or a version. */
static struct value short_term(struct compile *c, const struct search_node *n)
{
    const char *from = n->text + strspn(n->text, "/-._ "), *columns;
    char text[64] = START;

    if (!*from) {
        c->err = fail(c->why, ERR_BAD_REQUEST, "'%s' is too short to search for", n->text);
        return (struct value){ NOTHING, "" };
    }
    for (size_t at = strlen(text); *from && at + 8 < sizeof text; from++) {
        if (strchr("/-._ ", *from)) {
            memcpy(text + at, START, sizeof START);
            at += sizeof START - 1;
        } else {
            text[at++] = *from;
        }
    }
    columns = n->field == SEARCH_NAME ? "starts_name"
              : n->field == SEARCH_VERSION ? "starts_version" : "{starts_name starts_version}";
    return (struct value){ MATCHES, arena_printf(c->arena, "(%s : %s)", columns, quote(c->arena, text)) };
}

/* repo_id as three characters, as local_search_text has it. */
static const char *repo_token(struct arena *a, int64_t id)
{
    char *text = arena_alloc(a, 10);

    for (int i = 0; i < 3; i++) {
        unsigned code = 19968u + (unsigned)(id >> (24 - 12 * i) & 4095);
        text[3 * i] = (char)(0xe0 | code >> 12);
        text[3 * i + 1] = (char)(0x80 | (code >> 6 & 63));
        text[3 * i + 2] = (char)(0x80 | (code & 63));
    }
    return text;
}

static bool base_type_begins(const char *type, const char *prefix)
{
    size_t n = strlen(type), m = strlen(prefix);

    if (n > 6 && (!strcmp(type + n - 6, "-proxy") || !strcmp(type + n - 6, "-group")))
        n -= 6;
    if (m > 6 && (!strcasecmp(prefix + m - 6, "-proxy") || !strcasecmp(prefix + m - 6, "-group")))
        m -= 6;
    return m <= n && !strncasecmp(type, prefix, m);
}

/* The documents of those of the caller's repositories that `n` names; NULL: of all of them. */
static struct value in_repos(struct compile *c, const struct search_node *n)
{
    const struct search_query *q = c->query;
    struct value v = { NOTHING, "" };
    struct buf b;

    buf_init(&b, MIB(1));
    for (unsigned i = 0; i < q->repo_count; i++) {
        const struct search_repo *r = &q->repos[i];
        if (n && n->field == SEARCH_REPO ? strcmp(r->name, n->text) != 0
                                         : n && !base_type_begins(r->type, n->text))
            continue;
        (void)buf_printf(&b, "%s\"%s\"", b.length ? " OR " : "", repo_token(c->arena, r->id));
    }
    if (buf_err(&b))
        c->err = fail(c->why, ERR_BAD_REQUEST, "too many repositories for one search");
    else if (b.length)
        v = (struct value){ MATCHES, arena_printf(c->arena, "(repo : (%.*s))", (int)b.length,
                                                  (const char *)b.data) };
    buf_free(&b);
    return v;
}

static struct value compile_term(struct compile *c, const struct search_node *n)
{
    const char *columns = n->field == SEARCH_NAME ? "name"
                          : n->field == SEARCH_VERSION ? "version" : "{name version path}";

    if (n->field == SEARCH_REPO || n->field == SEARCH_TYPE)
        return in_repos(c, n);
    if (!c->first && n->field != SEARCH_VERSION)
        c->first = n->text;
    if (characters(n->text) < 3)
        return short_term(c, n);
    return (struct value){ MATCHES, arena_printf(c->arena, "(%s : %s)", columns,
                                                 quote(c->arena, n->text)) };
}

static struct value join(struct compile *c, enum value_kind kind, struct value a, const char *op,
                         struct value b)
{
    return (struct value){ kind, arena_printf(c->arena, "(%s %s %s)", a.text, op, b.text) };
}

static struct value both(struct compile *c, struct value a, struct value b)
{
    if (a.kind == NOTHING || b.kind == EVERYTHING)
        return a;
    if (b.kind == NOTHING || a.kind == EVERYTHING)
        return b;
    if (a.kind == EXCEPT && b.kind == EXCEPT)
        return join(c, EXCEPT, a, "OR", b);
    if (a.kind == EXCEPT)
        return join(c, MATCHES, b, "NOT", a);
    return join(c, MATCHES, a, b.kind == EXCEPT ? "NOT" : "AND", b);
}

static struct value negated(struct value v)
{
    static const enum value_kind opposite[] = { [NOTHING] = EVERYTHING, [EVERYTHING] = NOTHING,
                                                [MATCHES] = EXCEPT, [EXCEPT] = MATCHES };
    return (struct value){ opposite[v.kind], v.text };
}

/* de Morgan: a OR b is NOT (NOT a AND NOT b); for two positive sides that gives "a OR b" again. */
static struct value compile_node(struct compile *c, const struct search_node *n)
{
    if (n->kind == SEARCH_TERM)
        return compile_term(c, n);
    if (n->kind == SEARCH_NOT)
        return negated(compile_node(c, n->a));
    struct value a = compile_node(c, n->a), b = compile_node(c, n->b);
    if (n->kind == SEARCH_AND)
        return both(c, a, b);
    return negated(both(c, negated(a), negated(b)));
}

enum err search_match(struct arena *a, const struct search_query *q, const char **ret_match,
                      const char **ret_first, struct why *why)
{
    struct compile c = { .arena = a, .query = q, .why = why };
    struct value v = compile_node(&c, q->root);

    *ret_match = NULL;
    *ret_first = c.first ? c.first : "";
    if (c.err || v.kind == NOTHING)
        return c.err;
    if (v.kind != MATCHES || !q->everything)
        v = both(&c, in_repos(&c, NULL), v);
    if (!c.err && v.kind == MATCHES)
        *ret_match = v.text;
    return c.err;
}

/* --- repositories, locate --- */

void search_repos(struct meta_reader *r, struct arena *a, struct search_repo **ret,
                  unsigned *ret_count, bool *ret_whole)
{
    struct sql *q;
    unsigned n = 0, room = 64;
    struct search_repo *rows = arena_alloc(a, room * sizeof *rows);

    sql_snapshot_begin(r);
    q = sql_read(r, "SELECT 1 FROM repo_sweep LIMIT 1");
    *ret_whole = !sql_row(q);
    sql_end(q);
    q = sql_read(r, "SELECT id, name, type FROM repository ORDER BY name");
    while (sql_row(q)) {
        if (n == room) {
            struct search_repo *more = arena_alloc(a, 2 * room * sizeof *more);
            memcpy(more, rows, room * sizeof *rows);
            rows = more;
            room *= 2;
        }
        rows[n++] = (struct search_repo){ sql_int(q, 0), sql_str(q, 1, a), sql_str(q, 2, a) };
    }
    sql_end(q);
    sql_snapshot_end(r);
    *ret = rows;
    *ret_count = n;
}

void search_locate(struct meta_reader *r, const char *path, const struct search_repo *repos,
                   unsigned count, bool *ret_found)
{
    sql_snapshot_begin(r);
    for (unsigned i = 0; i < count; i++) {
        struct sql *q = sql_read(r, "SELECT 1 FROM artifact WHERE repo_id = ? AND path = ?");
        sql_bind(q, "is", repos[i].id, path);
        ret_found[i] = sql_row(q);
        sql_end(q);
    }
    sql_snapshot_end(r);
}

/* --- figures --- */

static uint64_t varint(const unsigned char **at, const unsigned char *end)
{
    uint64_t v = 0;

    for (int i = 0; i < 8 && *at < end; i++) {
        unsigned char byte = *(*at)++;
        v = v << 7 | (byte & 0x7f);
        if (!(byte & 0x80))
            return v;
    }
    return *at < end ? v << 8 | *(*at)++ : v;
}

/* Pages of an FTS5 index, from its structure record (fts5_index.c): cookie, levels, segments, writes;
 * then for every level merges and segments, for every segment its number, first and last page. */
static int64_t index_pages(const unsigned char *at, size_t size)
{
    const unsigned char *end = at + size;
    int64_t pages_seen = 0;
    uint64_t levels, segments, first, last;

    if (size < 4)
        return 0;
    at += 4;
    levels = varint(&at, end);
    varint(&at, end);
    varint(&at, end);
    for (uint64_t i = 0; i < levels && at < end; i++) {
        varint(&at, end);
        segments = varint(&at, end);
        for (uint64_t k = 0; k < segments && at < end; k++) {
            varint(&at, end);
            first = varint(&at, end);
            last = varint(&at, end);
            pages_seen += last >= first ? (int64_t)(last - first + 1) : 0;
        }
    }
    return pages_seen;
}

static int64_t index_bytes(struct meta_reader *r)
{
    enum { PAGE_BYTES = 4050 }; /* FTS5's pgsz */
    struct sql *q = sql_read(r, "SELECT block FROM local_search_a_data WHERE id = 10 UNION ALL "
                                "SELECT block FROM local_search_b_data WHERE id = 10");
    int64_t n = 0;
    size_t size;

    while (sql_row(q)) {
        const void *data = sql_blob(q, 0, &size);
        n += data ? index_pages(data, size) : 0;
    }
    sql_end(q);
    return n * PAGE_BYTES;
}

void search_stats_get(struct meta_reader *r, struct search_stats *ret)
{
    struct sql *q;

    *ret = (struct search_stats){ 0 };
    sql_snapshot_begin(r);
    q = sql_read(r, "SELECT documents, last_ms, generation, phase IN ('clear', 'build'), cursor, "
                    "(SELECT coalesce(max(doc), 0) FROM artifact), coalesce((SELECT value ->> "
                    "'generation' FROM setting WHERE name = 'internal.search'), 0) "
                    "FROM local_search_state");
    if (sql_row(q)) {
        ret->documents = sql_int(q, 0);
        ret->last_ms = sql_int(q, 1);
        ret->generation = sql_int(q, 2);
        ret->wanted = sql_int(q, 6);
        ret->building = sql_int(q, 3) || ret->wanted > ret->generation;
        ret->built = ret->building ? sql_int(q, 4) : 0;
        ret->to_build = ret->building ? sql_int(q, 5) : 0;
    }
    sql_end(q);
    ret->index_bytes = index_bytes(r);
    sql_snapshot_end(r);
}
