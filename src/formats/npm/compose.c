/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/npm/compose.c: documents become answers. Of several sources the first that has a version, a tag
 * or a time gives it (hosted members come first). Whatever URL a source gives of a tarball, ours is its
 * canonical path below the URL that the client used, so that it comes back through this repository and its
 * policy. */
#include "src/formats/npm/compose.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/text.h"
#include "src/formats/npm/doc.h"
#include "src/formats/npm/names.h"

struct composing {
    const struct document_request *q;
    json_t *doc, *versions, *times, *tags;
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

static json_t *document_read(const char *data, size_t size)
{
    json_t *doc = json_loadb(data, size, JSON_ALLOW_NUL, NULL);

    if (!doc) {
        char *copy = malloc(size ? size : 1);
        check(copy);
        memcpy(copy, data, size);
        mend_surrogates(copy, size);
        doc = json_loadb(copy, size, JSON_ALLOW_NUL, NULL);
        free(copy);
    }
    if (json_is_object(doc) && json_is_object(json_object_get(doc, "versions")))
        return doc;
    json_decref(doc);
    return NULL;
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

static void version_add(struct composing *c, const char *version, json_t *manifest)
{
    const struct document_request *q = c->q;
    json_t *dist = json_object_get(manifest, "dist"), *attestations;

    if (!json_is_object(manifest) || !json_is_object(dist))
        return;
    json_object_set_new(dist, "tarball",
                        json_string(arena_printf(q->arena, "%s/%s", q->base,
                                                 npm_tarball_path(q->arena, q->package, version))));
    attestations = json_object_get(dist, "attestations");
    if (json_is_object(attestations))
        json_object_set_new(attestations, "url",
                            json_string(arena_printf(q->arena, "%s/-/npm/v1/attestations/%s@%s", q->base,
                                                     q->package, version)));
    json_object_set(c->versions, version, manifest);
}

/* What one source has and those before it have not. */
static void join(struct composing *c, const struct document_source *s, json_t *doc)
{
    json_t *times = json_object_get(doc, "time"), *manifest, *value, *tags = json_object();
    const char *version, *tag, *latest = json_string_value(json_object_get(json_object_get(doc, "dist-tags"),
                                                                           "latest"));
    unsigned blocked = c->blocked;

    json_object_foreach (json_object_get(doc, "versions"), version, manifest) {
        if (json_object_get(c->versions, version) || !npm_version_valid(version) ||
            !allowed(c, s, version, released_ms(times, version)))
            continue;
        version_add(c, version, manifest);
        value = json_object_get(times, version);
        if (json_is_string(value) && json_object_get(c->versions, version))
            json_object_set(c->times, version, value);
    }
    json_object_foreach (json_object_get(doc, "dist-tags"), tag, value)
        if (json_is_string(value) && json_object_get(c->versions, json_string_value(value)))
            json_object_set(tags, tag, value);
    /* The latest is blocked: the newest that isn't, and isn't newer than it (a next major that nobody called
     * the latest stays what it is). */
    if (latest && c->blocked > blocked && !json_object_get(tags, "latest") && npm_version_valid(latest) &&
        npm_doc_newest(c->doc, latest))
        json_object_set_new(tags, "latest", json_string(npm_doc_newest(c->doc, latest)));
    json_object_update_missing(c->tags, tags);
    json_decref(tags);
    for (unsigned i = 0; i < 2; i++) {
        const char *name = i ? "created" : "modified";
        value = json_object_get(times, name);
        if (json_is_string(value) && !json_object_get(c->times, name))
            json_object_set(c->times, name, value);
    }
}

/* The first document's own fields, then what all of them hold. */
static void composing_begin(struct composing *c, json_t *first)
{
    c->doc = json_copy(first);
    json_object_del(c->doc, "_moved"); /* of ours: what waits for versions to come */
    c->versions = json_object();
    c->times = json_object();
    c->tags = json_object();
    json_object_set_new(c->doc, "name", json_string(c->q->package));
    json_object_set_new(c->doc, "dist-tags", c->tags);
    json_object_set_new(c->doc, "versions", c->versions);
    json_object_set_new(c->doc, "time", c->times);
}

/* --- writing --- */

static void keep(json_t *to, const json_t *from, const char *const *keys)
{
    for (; *keys; keys++) {
        json_t *value = json_object_get(from, *keys);
        if (value)
            json_object_set(to, *keys, value);
    }
}

/* What installing needs (npm's page on package metadata, "abbreviated"); the times too, because clients that
 * wait some days with new versions read them. */
static json_t *shortened(const struct composing *c)
{
    static const char *const keys[] = {
        "name", "version", "deprecated", "dependencies", "optionalDependencies", "devDependencies",
        "bundleDependencies", "bundledDependencies", "peerDependencies", "peerDependenciesMeta",
        "acceptDependencies", "bin", "directories", "dist", "engines", "cpu", "os", "libc", "funding",
        "_hasShrinkwrap", "hasInstallScript", NULL
    };
    json_t *doc = json_object(), *versions = json_object(), *manifest, *modified;
    const char *version;

    json_object_set(doc, "name", json_object_get(c->doc, "name"));
    modified = json_object_get(c->times, "modified");
    if (modified)
        json_object_set(doc, "modified", modified);
    json_object_set(doc, "dist-tags", c->tags);
    json_object_set_new(doc, "versions", versions);
    json_object_foreach (c->versions, version, manifest) {
        json_t *brief = json_object();
        keep(brief, manifest, keys);
        json_object_set_new(versions, version, brief);
    }
    json_object_set(doc, "time", c->times);
    return doc;
}

static int write_piece(const char *text, size_t size, void *arg)
{
    return buf_add(arg, text, size) ? -1 : 0;
}

static json_t *chosen(const struct composing *c, struct document_answer *answer)
{
    const char *variant = c->q->variant ? c->q->variant : NPM_FULL, *wanted;
    const json_t *tag;

    answer->content_type = "application/json";
    if (!strcmp(variant, NPM_SHORT)) {
        answer->content_type = "application/vnd.npm.install-v1+json";
        return shortened(c);
    }
    if (!strcmp(variant, NPM_TAG_LIST))
        return json_incref(c->tags);
    if (strncmp(variant, NPM_ONE, strlen(NPM_ONE)))
        return json_incref(c->doc);
    wanted = variant + strlen(NPM_ONE);
    tag = json_object_get(c->tags, wanted);
    return json_incref(json_object_get(c->versions, tag ? json_string_value(tag) : wanted));
}

static enum err answer_write(const struct composing *c, struct buf *ret, struct document_answer *answer,
                             struct why *why)
{
    json_t *what;
    enum err e = OK;

    if (!json_object_size(c->versions) && c->blocked)
        return fail(why, ERR_FORBIDDEN, "every version of '%.100s' is blocked here (%s)", c->q->package,
                    c->reason);
    if (!json_object_size(c->versions))
        return fail(why, ERR_NOT_FOUND, "package '%.100s' has no versions", c->q->package);
    what = chosen(c, answer);
    if (!what)
        return fail(why, ERR_NOT_FOUND, "version not found: %.100s", c->q->variant + strlen(NPM_ONE));
    if (json_dump_callback(what, write_piece, ret, JSON_COMPACT))
        e = fail(why, ERR_TOO_BIG, "the document of '%.100s' is too large", c->q->package);
    json_decref(what);
    return e;
}

enum err npm_compose(const struct document_request *q, const struct document_source *sources, unsigned count,
                     struct buf *ret, struct document_answer *answer, struct why *why)
{
    struct composing c = { .q = q };
    enum err e;

    for (unsigned i = 0; i < count; i++) {
        json_t *doc = document_read(sources[i].data, sources[i].size);
        if (!doc)
            continue;
        if (!c.doc)
            composing_begin(&c, doc);
        join(&c, &sources[i], doc);
        json_decref(doc);
    }
    if (!c.doc)
        return fail(why, ERR_UPSTREAM, "the upstream's answer about '%.100s' is no package document",
                    q->package);
    if (count > 1)
        json_object_del(c.doc, "_rev"); /* of several documents it would be nobody's */
    e = answer_write(&c, ret, answer, why);
    answer->valid_until_ms = c.until_ms;
    answer->headers[0][0] = "Vary";
    answer->headers[0][1] = "Accept";
    json_decref(c.doc);
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
    json_t *doc = document_read(index->data, index->size);
    const json_t *dist =
        json_object_get(json_object_get(json_object_get(doc, "versions"), want->version), "dist");
    const char *url = json_string_value(json_object_get(dist, "tarball"));

    if (!doc)
        return fail(why, ERR_UPSTREAM, "the upstream's answer about '%.100s' is no package document",
                    want->package);
    if (!url) {
        json_decref(doc);
        return fail(why, ERR_NOT_FOUND, "version not found: %.100s@%.100s", want->package, want->version);
    }
    ret->url = arena_strdup(a, url);
    ret->released_ms = released_ms(json_object_get(doc, "time"), want->version);
    (void)digests_read(a, dist, &ret->digests);
    json_decref(doc);
    return OK;
}
