/* SPDX-License-Identifier: Apache-2.0 */
/* config/yaml.c: libyaml's events become settings; the only file that includes yaml.h.
 * Not here: what a value means (value.c), defaults and variables (config.c).
 * A small YAML on purpose: no anchors, aliases, tags or second documents, so nothing can grow. */
#include "src/config/keys.h"

#include <stdio.h>
#include <string.h>
#include <yaml.h>

enum { SECTIONS_MAX = 32, ITEMS_MAX = 64 };

struct reader {
    struct build *build;
    const char *name;
    yaml_parser_t parser;
    yaml_event_t event; /* the current one; libyaml's memory until the next */
    bool have_event;
    const char *sections[SECTIONS_MAX]; /* that were there already */
    unsigned section_count;
    struct why *why;
};

static unsigned long line_of(const struct reader *r)
{
    return (unsigned long)r->event.start_mark.line + 1;
}

/* "pantera.yml:12: meta.port", or "pantera.yml:12" for the root. */
static const char *where(struct reader *r, const char *path)
{
    size_t n = strlen(r->name);
    return arena_printf(&r->build->arena, "%s:%lu%s%.100s", r->name + (n > 80 ? n - 80 : 0),
                        line_of(r), *path ? ": " : "", path);
}

static enum err refuse(struct reader *r, const char *path, const char *text)
{
    return fail(r->why, ERR_BAD_REQUEST, "%s: %s", where(r, path), text);
}

static enum err next(struct reader *r)
{
    if (r->have_event)
        yaml_event_delete(&r->event);
    r->have_event = yaml_parser_parse(&r->parser, &r->event);
    if (r->have_event)
        return OK;
    unsigned long line = (unsigned long)r->parser.problem_mark.line + 1;
    memset(&r->event, 0, sizeof r->event);
    return fail(r->why, ERR_BAD_REQUEST, "%.80s:%lu: not YAML: %s", r->name, line,
                r->parser.problem ? r->parser.problem : "out of memory");
}

/* The current event as text, NULL for YAML's null; refused if it is none or uses what we don't take. */
static enum err scalar(struct reader *r, const char *path, const char **ret)
{
    if (r->event.type != YAML_SCALAR_EVENT)
        return refuse(r, path, "expected a plain value");
    const char *s = (const char *)r->event.data.scalar.value;
    size_t n = r->event.data.scalar.length;
    if (r->event.data.scalar.tag || r->event.data.scalar.anchor)
        return refuse(r, path, "tags and anchors are not supported");
    if (memchr(s, '\0', n))
        return refuse(r, path, "holds a NUL");
    bool plain = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    bool null = plain && (n == 0 || strcmp(s, "~") == 0 || strcmp(s, "null") == 0);
    *ret = null ? NULL : arena_strndup(&r->build->arena, s, n);
    return OK;
}

/* A scalar that must say something, with ${NAME} replaced. */
static enum err value(struct reader *r, const char *path, const char **ret)
{
    enum err e = scalar(r, path, ret);
    if (e)
        return e;
    if (!*ret)
        return refuse(r, path, "has no value");
    return value_expand(&r->build->arena, *ret, where(r, path), ret, r->why);
}

static enum err read_names(struct reader *r, const struct key *k)
{
    const char *names[ITEMS_MAX], *at = where(r, k->path);
    unsigned n = 0;
    for (;;) {
        enum err e = next(r);
        if (e)
            return e;
        if (r->event.type == YAML_SEQUENCE_END_EVENT)
            return value_set_names(r->build, k, names, n, at, r->why);
        if (n == ITEMS_MAX)
            return refuse(r, k->path, "too many items");
        e = value(r, k->path, &names[n++]);
        if (e)
            return e;
    }
}

/* One {id, address}; the event is its mapping's start. */
static enum err read_peer(struct reader *r, const struct key *k, struct config_peer *ret)
{
    const char *id = NULL, *address = NULL, *name, *at = where(r, k->path);
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return refuse(r, k->path, "expected {id: 1, address: host:port}");
    for (;;) {
        enum err e = next(r);
        if (e)
            return e;
        if (r->event.type == YAML_MAPPING_END_EVENT)
            break;
        e = scalar(r, k->path, &name);
        if (e)
            return e;
        const char **to = !name                           ? NULL
                          : strcmp(name, "id") == 0      ? &id
                          : strcmp(name, "address") == 0 ? &address
                                                         : NULL;
        if (!to)
            return refuse(r, k->path, "unknown key of a peer; expected id and address");
        if (*to)
            return refuse(r, k->path, "the same key twice in a peer");
        e = next(r);
        if (!e)
            e = value(r, k->path, to);
        if (e)
            return e;
    }
    if (!id || !address)
        return fail(r->why, ERR_BAD_REQUEST, "%s: a peer needs id and address", at);
    return value_peer(id, address, ret, at, r->why);
}

static enum err read_peers(struct reader *r, const struct key *k)
{
    struct config_peer peers[ITEMS_MAX];
    const char *at = where(r, k->path);
    unsigned n = 0;
    for (;;) {
        enum err e = next(r);
        if (e)
            return e;
        if (r->event.type == YAML_SEQUENCE_END_EVENT)
            return value_set_peers(r->build, k, peers, n, at, r->why);
        if (n == ITEMS_MAX)
            return refuse(r, k->path, "too many peers");
        e = read_peer(r, k, &peers[n++]);
        if (e)
            return e;
    }
}

/* The value of a row of config.def; the event is its first. */
static enum err read_key(struct reader *r, const struct key *k)
{
    const char *text;
    bool list = k->kind == KIND_NAMES || k->kind == KIND_NETWORKS || k->kind == KIND_PEERS;
    if (list && r->event.type == YAML_SEQUENCE_START_EVENT)
        return k->kind == KIND_PEERS ? read_peers(r, k) : read_names(r, k);
    if (list || r->event.type != YAML_SCALAR_EVENT) {
        char expected[128];
        value_expected(k, expected, sizeof expected);
        return fail(r->why, ERR_BAD_REQUEST, "%s: expected %s, got %s", where(r, k->path),
                    expected,
                    r->event.type == YAML_SEQUENCE_START_EVENT  ? "a list"
                    : r->event.type == YAML_MAPPING_START_EVENT ? "a section"
                    : r->event.type == YAML_ALIAS_EVENT         ? "an alias"
                                                                : "a plain value");
    }
    enum err e = value(r, k->path, &text);
    return e ? e : value_set(r->build, k, text, where(r, k->path), r->why);
}

static enum err unknown(struct reader *r, const char *section, const char *name, const char *path)
{
    char near[PATH_MAX_BYTES];
    key_suggest(section, name, near);
    if (!near[0])
        return refuse(r, path, "unknown key");
    return fail(r->why, ERR_BAD_REQUEST, "%s: unknown key; did you mean '%s'?", where(r, path), near);
}

static enum err read_section(struct reader *r, const char *section);

/* One "name: value" of a section; the event is the name. */
static enum err read_pair(struct reader *r, const char *section)
{
    const char *name;
    enum err e = scalar(r, section, &name);
    if (e)
        return e;
    if (!name || strlen(name) + strlen(section) + 2 > PATH_MAX_BYTES)
        return refuse(r, section, name ? "a key that is too long" : "a key without a name");
    for (const char *s = name; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 127)
            return refuse(r, section, "a key with control characters");
    const char *path = *section ? arena_printf(&r->build->arena, "%s.%s", section, name) : name;
    const struct key *k = key_find(path);
    const char *sentence = key_refused(path);
    if (sentence)
        return refuse(r, path, sentence);
    if (!k && !key_section(path))
        return unknown(r, section, name, path);
    if (k && r->build->where[k - keys])
        return refuse(r, path, "is there twice");
    if (k) {
        e = next(r);
        return e ? e : read_key(r, k);
    }
    for (unsigned i = 0; i < r->section_count; i++)
        if (strcmp(r->sections[i], path) == 0)
            return refuse(r, path, "is there twice");
    if (r->section_count == SECTIONS_MAX)
        return refuse(r, path, "too many sections");
    r->sections[r->section_count++] = path;
    e = next(r);
    return e ? e : read_section(r, path);
}

/* A mapping, or nothing ("meta:"); the event is its first. Depth is bounded by the rows' paths. */
static enum err read_section(struct reader *r, const char *section)
{
    const char *text = NULL;
    if (r->event.type == YAML_SCALAR_EVENT) {
        enum err e = scalar(r, section, &text);
        if (!e && text)
            e = refuse(r, section, "expected a section (\"key: value\" lines below it)");
        return e;
    }
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return refuse(r, section, "expected a section (\"key: value\" lines below it)");
    for (;;) {
        enum err e = next(r);
        if (e)
            return e;
        if (r->event.type == YAML_MAPPING_END_EVENT)
            return OK;
        e = read_pair(r, section);
        if (e)
            return e;
    }
}

static enum err read_stream(struct reader *r)
{
    enum err e = next(r); /* stream start */
    if (!e)
        e = next(r);
    if (e || r->event.type == YAML_STREAM_END_EVENT)
        return e; /* comments only */
    e = next(r);
    if (!e)
        e = read_section(r, "");
    if (!e)
        e = next(r); /* document end */
    if (!e)
        e = next(r);
    if (!e && r->event.type != YAML_STREAM_END_EVENT)
        e = refuse(r, "", "a second document");
    return e;
}

enum err yaml_read(struct build *b, const char *name, const char *text, size_t size,
                   struct why *why)
{
    struct reader r = { .build = b, .name = name, .why = why };
    if (!yaml_parser_initialize(&r.parser))
        return fail(why, ERR_INTERNAL, "%.80s: out of memory", name);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, size);
    enum err e = read_stream(&r);
    if (r.have_event)
        yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    return e;
}
