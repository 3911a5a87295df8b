/* SPDX-License-Identifier: Apache-2.0 */
/* src/config/yaml_json.c: YAML of strangers as JSON, by libyaml's events. It is here because libyaml is. */
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "pantera/yaml.h"

enum { DEPTH = 64, COPIES = 100000, ANCHORS = 4096 };

struct anchor {
    char *name;
    json_t *value;               /* a reference */
};

struct convert {
    yaml_parser_t parser;
    struct why *why;
    unsigned depth, copies, anchor_count;
    struct anchor *anchors;
};

static enum err bad(struct convert *c, const char *what)
{
    return fail(c->why, ERR_BAD_REQUEST, "not valid YAML: %s (line %zu)", what,
                c->parser.mark.line + 1);
}

static enum err next(struct convert *c, yaml_event_t *ret)
{
    if (yaml_parser_parse(&c->parser, ret))
        return OK;
    return bad(c, c->parser.problem ? c->parser.problem : "not readable");
}

static enum err value(struct convert *c, const yaml_event_t *event, json_t **ret);

/* --- anchors and aliases --- */

static enum err anchor_set(struct convert *c, const yaml_char_t *name, json_t *of)
{
    if (!name)
        return OK;
    if (c->anchor_count == ANCHORS)
        return bad(c, "too many anchors");
    if (!c->anchors) {
        c->anchors = calloc(ANCHORS, sizeof *c->anchors);
        check(c->anchors);
    }
    c->anchors[c->anchor_count].name = strdup((const char *)name);
    check(c->anchors[c->anchor_count].name);
    c->anchors[c->anchor_count++].value = json_incref(of);
    return OK;
}

static bool count_values(struct convert *c, const json_t *of)
{
    const char *key;
    const json_t *item;
    size_t i;

    if (++c->copies > COPIES)
        return false;
    json_object_foreach ((json_t *)of, key, item)
        if (!count_values(c, item))
            return false;
    json_array_foreach ((json_t *)of, i, item)
        if (!count_values(c, item))
            return false;
    return true;
}

static enum err alias(struct convert *c, const yaml_char_t *name, json_t **ret)
{
    for (unsigned i = c->anchor_count; i-- > 0;) {
        if (strcmp(c->anchors[i].name, (const char *)name))
            continue;
        if (!count_values(c, c->anchors[i].value))
            return bad(c, "aliases make it too large");
        *ret = json_deep_copy(c->anchors[i].value);
        return OK;
    }
    return bad(c, "an alias without an anchor");
}

/* --- values --- */

static enum err scalar(struct convert *c, const yaml_event_t *e, json_t **ret)
{
    const char *text = (const char *)e->data.scalar.value;
    size_t n = e->data.scalar.length;

    if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
        if (!strcmp(text, "true") || !strcmp(text, "True") || !strcmp(text, "TRUE"))
            *ret = json_true();
        else if (!strcmp(text, "false") || !strcmp(text, "False") || !strcmp(text, "FALSE"))
            *ret = json_false();
        else if (!n || !strcmp(text, "~") || !strcmp(text, "null"))
            *ret = json_null();
    }
    if (!*ret)
        *ret = strlen(text) == n ? json_stringn(text, n) : NULL;
    return *ret ? OK : bad(c, "a text that is not UTF-8");
}

static enum err mapping(struct convert *c, json_t *object)
{
    yaml_event_t key, event;
    json_t *item;
    enum err e;

    for (;;) {
        if ((e = next(c, &key)))
            return e;
        if (key.type != YAML_SCALAR_EVENT) {
            bool over = key.type == YAML_MAPPING_END_EVENT;
            yaml_event_delete(&key);
            return over ? OK : bad(c, "a key that is no text");
        }
        if ((e = next(c, &event))) {
            yaml_event_delete(&key);
            return e;
        }
        item = NULL;
        e = value(c, &event, &item);
        if (!e && json_object_set_new(object, (const char *)key.data.scalar.value, item))
            e = bad(c, "a key that is not UTF-8");
        else if (e)
            json_decref(item);
        yaml_event_delete(&event);
        yaml_event_delete(&key);
        if (e)
            return e;
    }
}

static enum err sequence(struct convert *c, json_t *array)
{
    yaml_event_t event;
    json_t *item;
    enum err e;

    for (;;) {
        if ((e = next(c, &event)))
            return e;
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return OK;
        }
        item = NULL;
        e = value(c, &event, &item);
        yaml_event_delete(&event);
        if (e) {
            json_decref(item);
            return e;
        }
        json_array_append_new(array, item);
    }
}

static enum err collection(struct convert *c, const yaml_event_t *event, json_t **ret)
{
    bool map = event->type == YAML_MAPPING_START_EVENT;
    enum err e;

    if (c->depth == DEPTH)
        return bad(c, "it nests too deep");
    c->depth++;
    *ret = map ? json_object() : json_array();
    e = map ? mapping(c, *ret) : sequence(c, *ret);
    c->depth--;
    return e;
}

static enum err value(struct convert *c, const yaml_event_t *event, json_t **ret)
{
    const yaml_char_t *anchor = NULL;
    enum err e;

    switch (event->type) {
    case YAML_ALIAS_EVENT: return alias(c, event->data.alias.anchor, ret);
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        e = scalar(c, event, ret);
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        e = collection(c, event, ret);
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        e = collection(c, event, ret);
        break;
    default: return bad(c, "something else was expected");
    }
    return e ? e : anchor_set(c, anchor, *ret);
}

/* Past the stream's and the document's beginning. */
static enum err document(struct convert *c, json_t **ret)
{
    yaml_event_t event;
    enum err e;

    for (;;) {
        yaml_event_type_t type;
        if ((e = next(c, &event)))
            return e;
        type = event.type;
        if (type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_START_EVENT) {
            e = type == YAML_STREAM_END_EVENT ? bad(c, "it is empty") : value(c, &event, ret);
            yaml_event_delete(&event);
            return e;
        }
        yaml_event_delete(&event);
    }
}

enum err yaml_to_json(const char *text, size_t size, json_t **ret, struct why *why)
{
    struct convert c = { .why = why };
    json_t *result = NULL;
    enum err e;

    if (!yaml_parser_initialize(&c.parser))
        return fail(why, ERR_INTERNAL, "out of memory");
    yaml_parser_set_input_string(&c.parser, (const unsigned char *)text, size);
    e = document(&c, &result);
    yaml_parser_delete(&c.parser);
    for (unsigned i = 0; i < c.anchor_count; i++) {
        free(c.anchors[i].name);
        json_decref(c.anchors[i].value);
    }
    free(c.anchors);
    if (e)
        json_decref(result);
    else
        *ret = result;
    return e;
}
