/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/npm/compose.c: documents become answers. Of several sources the first that has a version, a tag
 * or a time gives it (hosted members come first). Whatever URL a source gives of a tarball, ours is its
 * canonical path below the URL that the client used, so that it comes back through this repository and its
 * policy. What is not ours to say is passed on as it is written: a document can be tens of megabytes. */
#include "src/formats/npm/compose.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/text.h"
#include "src/formats/npm/doc.h"
#include "src/formats/npm/names.h"
#include "src/formats/npm/span.h"

struct text {                    /* of a source */
    struct span doc;             /* an object with "versions"; or none */
    struct span versions, time, tags; /* of it */
    char *mended;                /* its own copy, or NULL */
};
struct version_of {
    const char *name;
    struct span manifest, dist;
};
struct composing {
    const struct document_request *q;
    const struct text *first;    /* the first document */
    json_t *doc, *versions;      /* {"versions": versions}; versions: name → its place in `list` */
    json_t *times, *tags;
    struct version_of *list;
    size_t count, capacity;
    bool joined;                 /* of several sources */
    int64_t until_ms;            /* when the first block ends; 0: none, or never */
    unsigned blocked;
    const char *reason;          /* of a block */
};

/* --- reading --- */

static int hex4(const char *s)
{
    unsigned char two[2];

    return hex_decode(s, 4, two) ? two[0] << 8 | two[1] : -1;
}

/* Halves of surrogate pairs, which a README can hold, are no text that a JSON parser must take (RFC 8259
 * §8.2): U+FFFD instead, in place. */
static void mend_surrogates(char *s, size_t n)
{
    for (size_t i = 0; i + 5 < n; i++) {
        int unit, next;
        if (s[i] != '\\')
            continue;
        if (s[i + 1] != 'u' || (unit = hex4(s + i + 2)) < 0) {
            i++;
            continue;
        }
        next = i + 11 < n && s[i + 6] == '\\' && s[i + 7] == 'u' ? hex4(s + i + 8) : -1;
        if (unit >= 0xd800 && unit < 0xdc00 && next >= 0xdc00 && next < 0xe000)
            i += 11;
        else if (unit >= 0xd800 && unit < 0xe000)
            memcpy(s + i + 2, "fffd", 4), i += 5;
        else
            i += 5;
    }
}

static bool document_read(const char *data, size_t size, struct text *ret)
{
    struct span key, value;
    struct span_walk w;

    *ret = (struct text){ 0 };
    if (!span_read(data, size, &ret->doc)) {
        ret->mended = malloc(size ? size : 1);
        check(ret->mended);
        memcpy(ret->mended, data, size);
        mend_surrogates(ret->mended, size);
        if (!span_read(ret->mended, size, &ret->doc))
            return false;
    }
    w = span_walk(ret->doc);
    while (span_next(&w, &key, &value)) {
        if (span_is(key, "versions"))
            ret->versions = value;
        else if (span_is(key, "time"))
            ret->time = value;
        else if (span_is(key, "dist-tags"))
            ret->tags = value;
    }
    return span_object(ret->versions);
}

static int64_t released_ms(const json_t *times, const char *version)
{
    const char *text = json_string_value(json_object_get(times, version));

    return text ? npm_time_read(text) : 0;
}

/* --- policy --- */

static bool allowed(struct composing *c, const struct document_source *s, const char *version,
                    int64_t released)
{
    struct policy_verdict_of v;

    if (!s->policy)
        return true;
    v = policy_judge(s->policy, version, released);
    if (v.allowed)
        return true;
    c->blocked++;
    c->reason = v.reason;
    if (v.until_ms && (!c->until_ms || v.until_ms < c->until_ms))
        c->until_ms = v.until_ms;
    return false;
}

/* --- joining --- */

static void version_add(struct composing *c, const char *version, struct span manifest)
{
    struct span dist = span_get(manifest, "dist");

    if (!span_object(dist))
        return;
    if (c->count == c->capacity) {
        c->capacity = c->capacity ? 2 * c->capacity : 64;
        c->list = realloc(c->list, c->capacity * sizeof *c->list);
        check(c->list);
    }
    json_object_set_new(c->versions, version, json_integer((json_int_t)c->count));
    c->list[c->count++] = (struct version_of){ version, manifest, dist };
}

/* A key as a version; NULL: it is none. */
static const char *version_read(struct composing *c, struct span key)
{
    const char *version;

    if (key.size > NPM_VERSION_MAX)
        return NULL;
    version = arena_strndup(c->q->arena, key.at, key.size);
    return npm_version_valid(version) ? version : NULL;
}

static void versions_join(struct composing *c, const struct document_source *s, const struct text *text,
                          const json_t *times)
{
    struct span_walk w = span_walk(text->versions);
    struct span key, manifest;
    const char *version;
    json_t *time;

    while (span_next(&w, &key, &manifest)) {
        version = version_read(c, key);
        if (!version || json_object_get(c->versions, version) ||
            !allowed(c, s, version, released_ms(times, version)))
            continue;
        version_add(c, version, manifest);
        time = json_object_get(times, version);
        if (json_is_string(time) && json_object_get(c->versions, version))
            json_object_set(c->times, version, time);
    }
}

/* The latest is blocked: the newest that isn't, and isn't newer than it (a next major that nobody called the
 * latest stays what it is). */
static void tags_join(struct composing *c, const json_t *theirs, bool blocked)
{
    const char *tag, *latest = json_string_value(json_object_get(theirs, "latest"));
    json_t *value, *tags = json_object();

    json_object_foreach ((json_t *)theirs, tag, value)
        if (json_is_string(value) && json_object_get(c->versions, json_string_value(value)))
            json_object_set(tags, tag, value);
    if (latest && blocked && !json_object_get(tags, "latest") && npm_version_valid(latest) &&
        npm_doc_newest(c->doc, latest))
        json_object_set_new(tags, "latest", json_string(npm_doc_newest(c->doc, latest)));
    json_object_update_missing(c->tags, tags);
    json_decref(tags);
}

/* What one source has and those before it have not. */
static void join(struct composing *c, const struct document_source *s, const struct text *text)
{
    static const char *const names[] = { "modified", "created" };
    json_t *times = span_json(text->time), *tags = span_json(text->tags), *value;
    unsigned blocked = c->blocked;

    versions_join(c, s, text, times);
    tags_join(c, tags, c->blocked > blocked);
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        value = json_object_get(times, names[i]);
        if (json_is_string(value) && !json_object_get(c->times, names[i]))
            json_object_set(c->times, names[i], value);
    }
    json_decref(tags);
    json_decref(times);
}

static void composing_begin(struct composing *c)
{
    c->versions = json_object();
    c->times = json_object();
    c->tags = json_object();
    c->doc = json_pack("{s:o}", "versions", c->versions);
}

static void composing_end(struct composing *c)
{
    json_decref(c->doc);
    json_decref(c->times);
    json_decref(c->tags);
    free(c->list);
}

/* --- writing: a failure stays in the buffer --- */

static int write_piece(const char *text, size_t size, void *arg)
{
    return buf_add(arg, text, size) ? -1 : 0;
}

static void put_json(struct buf *b, const json_t *value)
{
    (void)json_dump_callback(value, write_piece, b, JSON_COMPACT | JSON_ENCODE_ANY);
}

static void put_text(struct buf *b, const char *text)
{
    json_t *value = json_string(text);

    put_json(b, value);
    json_decref(value);
}

/* A comma, unless the object has just begun. */
static void put_comma(struct buf *b)
{
    if (b->length && b->data[b->length - 1] != '{')
        (void)buf_puts(b, ",");
}

static void put_key(struct buf *b, const char *key)
{
    put_comma(b);
    (void)buf_printf(b, "\"%s\":", key);
}

/* A member as it is written there. */
static void put_member(struct buf *b, struct span key, struct span value)
{
    put_comma(b);
    (void)buf_puts(b, "\"");
    (void)buf_add(b, key.at, key.size);
    (void)buf_puts(b, "\":");
    (void)buf_add(b, value.at, value.size);
}

static bool is_one_of(struct span key, const char *const *names)
{
    while (*names && !span_is(key, *names))
        names++;
    return *names != NULL;
}

/* Members of an object but those, or those only. `known`: one of its values, or none. */
static void put_members(struct buf *b, struct span object, struct span known, const char *const *names,
                        bool only)
{
    struct span_walk w = span_walk(object);
    struct span key, value;

    w.known = known;
    while (span_next(&w, &key, &value))
        if (is_one_of(key, names) == only)
            put_member(b, key, value);
}

/* Where the bytes are is ours to say, last: of two members of a name the last one counts. */
static void put_dist(const struct composing *c, struct buf *b, const struct version_of *v)
{
    static const char *const ours[] = { "tarball", "attestations", NULL }, *const all[] = { "tarball", NULL };
    const struct document_request *q = c->q;
    struct span attestations = span_get(v->dist, "attestations");
    json_t *theirs = span_object(attestations) ? span_json(attestations) : NULL;

    (void)buf_puts(b, "{");
    put_members(b, v->dist, attestations, theirs ? ours : all, false);
    if (theirs) {
        json_object_set_new(theirs, "url",
                            json_string(arena_printf(q->arena, "%s/-/npm/v1/attestations/%s@%s", q->base,
                                                     q->package, v->name)));
        put_key(b, "attestations");
        put_json(b, theirs);
        json_decref(theirs);
    }
    put_key(b, "tarball");
    put_text(b, arena_printf(q->arena, "%s/%s", q->base, npm_tarball_path(q->arena, q->package, v->name)));
    (void)buf_puts(b, "}");
}

/* What installing needs (npm's page on package metadata, "abbreviated"). */
static void put_manifest(const struct composing *c, struct buf *b, const struct version_of *v, bool brief)
{
    static const char *const needed[] = {
        "name", "version", "deprecated", "dependencies", "optionalDependencies", "devDependencies",
        "bundleDependencies", "bundledDependencies", "peerDependencies", "peerDependenciesMeta",
        "acceptDependencies", "bin", "directories", "engines", "cpu", "os", "libc", "funding",
        "_hasShrinkwrap", "hasInstallScript", NULL
    };
    static const char *const ours[] = { "dist", NULL };

    (void)buf_puts(b, "{");
    put_members(b, v->manifest, v->dist, brief ? needed : ours, brief);
    put_key(b, "dist");
    put_dist(c, b, v);
    (void)buf_puts(b, "}");
}

/* The first document's own fields, then what all of them hold. The times in the short one too: clients that
 * wait some days with new versions read them. */
static void put_document(const struct composing *c, struct buf *b, bool brief)
{
    /* "_moved": what waits for versions to come. "_rev" last: of several documents it would be nobody's. */
    static const char *const ours[] = { "name", "dist-tags", "versions", "time", "_moved", "_rev", NULL };
    static const char *const one[] = { "name", "dist-tags", "versions", "time", "_moved", NULL };
    const json_t *modified = json_object_get(c->times, "modified");

    (void)buf_puts(b, "{");
    if (!brief)
        put_members(b, c->first->doc, c->first->versions, c->joined ? ours : one, false);
    put_key(b, "name");
    put_text(b, c->q->package);
    if (brief && modified) {
        put_key(b, "modified");
        put_json(b, modified);
    }
    put_key(b, "dist-tags");
    put_json(b, c->tags);
    put_key(b, "versions");
    (void)buf_puts(b, "{");
    for (size_t i = 0; i < c->count && !buf_err(b); i++) {
        put_key(b, c->list[i].name);
        put_manifest(c, b, &c->list[i], brief);
    }
    (void)buf_puts(b, "}");
    put_key(b, "time");
    put_json(b, c->times);
    (void)buf_puts(b, "}");
}

static enum err put_one(const struct composing *c, struct buf *b, const char *wanted, struct why *why)
{
    const json_t *tag = json_object_get(c->tags, wanted);
    const json_t *place = json_object_get(c->versions, tag ? json_string_value(tag) : wanted);

    if (!place)
        return fail(why, ERR_NOT_FOUND, "version not found: %.100s", wanted);
    put_manifest(c, b, &c->list[json_integer_value(place)], false);
    return OK;
}

static enum err answer_write(const struct composing *c, struct buf *ret, struct document_answer *answer,
                             struct why *why)
{
    const char *variant = c->q->variant ? c->q->variant : NPM_FULL;
    bool brief = !strcmp(variant, NPM_SHORT);
    enum err e = OK;

    if (!c->count && c->blocked)
        return fail(why, ERR_FORBIDDEN, "every version of '%.100s' is blocked here (%s)", c->q->package,
                    c->reason);
    if (!c->count)
        return fail(why, ERR_NOT_FOUND, "package '%.100s' has no versions", c->q->package);
    answer->content_type = brief ? "application/vnd.npm.install-v1+json" : "application/json";
    if (!strcmp(variant, NPM_TAG_LIST))
        put_json(ret, c->tags);
    else if (!strncmp(variant, NPM_ONE, strlen(NPM_ONE)))
        e = put_one(c, ret, variant + strlen(NPM_ONE), why);
    else
        put_document(c, ret, brief);
    if (!e && buf_err(ret))
        e = fail(why, ERR_TOO_BIG, "the document of '%.100s' is too large", c->q->package);
    return e;
}

enum err npm_compose(const struct document_request *q, const struct document_source *sources, unsigned count,
                     struct buf *ret, struct document_answer *answer, struct why *why)
{
    struct composing c = { .q = q, .joined = count > 1 };
    struct text *texts = arena_alloc(q->arena, (count + 1) * sizeof *texts);
    const struct document_source *unread = NULL;
    enum err e;

    composing_begin(&c);
    for (unsigned i = 0; i < count; i++) {
        if (!document_read(sources[i].data, sources[i].size, &texts[i])) {
            unread = &sources[i];
            continue;
        }
        if (!c.first)
            c.first = &texts[i];
        join(&c, &sources[i], &texts[i]);
    }
    if (unread && q->whole)
        e = fail(why, ERR_UPSTREAM, "what '%.60s' gives about '%.100s' is no package document", unread->repo,
                 q->package);
    else if (!c.first)
        e = fail(why, ERR_UPSTREAM, "the upstream's answer about '%.100s' is no package document",
                 q->package);
    else
        e = answer_write(&c, ret, answer, why);
    answer->valid_until_ms = c.until_ms;
    answer->headers[0][0] = "Vary";
    answer->headers[0][1] = "Accept";
    for (unsigned i = 0; i < count; i++)
        free(texts[i].mended);
    composing_end(&c);
    return e;
}

enum err npm_pass(const struct document_request *q, const struct document_source *sources, unsigned count,
                  struct buf *ret, struct document_answer *answer, struct why *why)
{
    answer->content_type = "application/json";
    return buf_add(ret, sources[0].data, sources[0].size) ? fail(why, ERR_TOO_BIG, "the answer is too large")
                                                          : OK;
}

/* --- where a file is --- */

static bool digests_read(struct arena *a, const json_t *dist, struct digest_values *ret)
{
    const char *integrity = json_string_value(json_object_get(dist, "integrity"));
    const char *shasum = json_string_value(json_object_get(dist, "shasum"));
    const char *sha512 = integrity ? strstr(integrity, "sha512-") : NULL;
    size_t size = 0;
    void *bytes = sha512 ? base64_decode(a, sha512 + 7, strcspn(sha512 + 7, " ?"), &size) : NULL;

    if (bytes && size == sizeof ret->sha512) {
        memcpy(ret->sha512, bytes, size);
        ret->kinds |= DIGEST_SHA512;
    }
    if (shasum && strlen(shasum) == 40 && hex_decode(shasum, 40, ret->sha1))
        ret->kinds |= DIGEST_SHA1;
    return ret->kinds != 0;
}

enum err npm_locate(const struct document_source *index, const struct file_want *want, struct arena *a,
                    struct file_facts *ret, struct why *why)
{
    struct text text;
    bool good = document_read(index->data, index->size, &text);
    json_t *dist = good ? span_json(span_get(span_get(text.versions, want->version), "dist")) : NULL;
    json_t *time = good ? span_json(span_get(text.time, want->version)) : NULL;
    const char *url = json_string_value(json_object_get(dist, "tarball"));
    enum err e = OK;

    if (!good) {
        e = fail(why, ERR_UPSTREAM, "the upstream's answer about '%.100s' is no package document",
                 want->package);
    } else if (!url) {
        e = fail(why, ERR_NOT_FOUND, "version not found: %.100s@%.100s", want->package, want->version);
    } else {
        ret->url = arena_strdup(a, url);
        ret->released_ms = json_is_string(time) ? npm_time_read(json_string_value(time)) : 0;
        (void)digests_read(a, dist, &ret->digests);
    }
    json_decref(time);
    json_decref(dist);
    free(text.mended);
    return e;
}
