/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/npm/doc.c: one package's document, and what changes it. The shapes are those of npm's registry
 * (its package metadata page); whatever a client says of bytes is replaced by what they are. */
#include "src/formats/npm/doc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pantera/arena.h"
#include "pantera/ids.h"
#include "pantera/text.h"
#include "src/formats/npm/names.h"

/* --- times --- */

char *npm_time_text(int64_t ms, char ret[32])
{
    time_t s = (time_t)(ms / 1000);
    struct tm tm;

    gmtime_r(&s, &tm);
    strftime(ret, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(ret + strlen(ret), 12, ".%03dZ", (int)(ms % 1000));
    return ret;
}

int64_t npm_time_read(const char *text)
{
    struct tm tm = { 0 };
    const char *at = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    int64_t ms = 0;
    int hours, minutes, taken = 0;

    if (!at)
        return 0;
    if (*at == '.') {
        int scale = 100;
        for (at++; *at >= '0' && *at <= '9'; at++, scale /= 10)
            ms += (*at - '0') * scale;
    }
    ms += (int64_t)timegm(&tm) * 1000;
    if (!strcmp(at, "Z"))
        return ms;
    if ((*at != '+' && *at != '-') || sscanf(at + 1, "%2d:%2d%n", &hours, &minutes, &taken) != 2 ||
        at[1 + taken])
        return 0;
    return ms - (*at == '-' ? -1 : 1) * (hours * 60 + minutes) * 60000ll;
}

/* --- as it is stored --- */

static json_t *object_of(json_t *doc, const char *key)
{
    json_t *o = json_object_get(doc, key);

    if (!json_is_object(o)) {
        o = json_object();
        json_object_set_new(doc, key, o);
    }
    return o;
}

enum err npm_doc_load(const char *package, const char *data, size_t size, json_t **ret, struct why *why)
{
    json_t *doc = data ? json_loadb(data, size, JSON_ALLOW_NUL, NULL) : json_object();

    if (!json_is_object(doc)) {
        json_decref(doc);
        return fail(why, ERR_IO, "the stored document of '%.100s' is not readable", package);
    }
    json_object_set_new(doc, "_id", json_string(package));
    json_object_set_new(doc, "name", json_string(package));
    object_of(doc, "dist-tags");
    object_of(doc, "versions");
    object_of(doc, "time");
    *ret = doc;
    return OK;
}

static int write_piece(const char *text, size_t size, void *arg)
{
    return buf_add(arg, text, size) ? -1 : 0;
}

enum err npm_doc_store(json_t *doc, int64_t now_ms, struct buf *ret, struct why *why)
{
    const char *rev = json_string_value(json_object_get(doc, "_rev"));
    json_t *times = object_of(doc, "time");
    char text[32], random[17], next[64];

    if (!json_object_size(object_of(doc, "versions")) && !json_object_get(doc, "_moved"))
        return OK;
    random_hex(random, 8);
    snprintf(next, sizeof next, "%lld-%s", (rev ? strtoll(rev, NULL, 10) : 0) + 1, random);
    json_object_set_new(doc, "_rev", json_string(next));
    npm_time_text(now_ms, text);
    json_object_set_new(times, "modified", json_string(text));
    if (!json_object_get(times, "created"))
        json_object_set_new(times, "created", json_string(text));
    if (json_dump_callback(doc, write_piece, ret, JSON_COMPACT))
        return fail(why, ERR_TOO_BIG, "the package's document grows over %zu bytes", ret->limit);
    return OK;
}

/* --- what clients say of tarballs --- */

/* Subresource Integrity: hashes, best first or not, separated by blanks. */
static enum err integrity_check(const char *text, const unsigned char sha512[64],
                                const unsigned char sha1[20], struct why *why)
{
    struct arena a;
    enum err e = OK;

    arena_init(&a);
    for (const char *at = text + strspn(text, " "); *at && !e; at += strspn(at, " ")) {
        size_t n = strcspn(at, " "), hash = n > 7 && !strncmp(at, "sha512-", 7) ? 64
                                          : n > 5 && !strncmp(at, "sha1-", 5)   ? 20 : 0;
        size_t skip = hash == 64 ? 7 : 5, options = hash ? strcspn(at + skip, " ?") : 0, size = 0;
        void *bytes = hash ? base64_decode(&a, at + skip, options, &size) : NULL;
        if (hash && (!bytes || size != hash))
            e = fail(why, ERR_BAD_REQUEST, "dist.integrity is not readable");
        else if (hash && memcmp(bytes, hash == 64 ? sha512 : sha1, hash))
            e = fail(why, ERR_DIGEST_MISMATCH, "the tarball is not what dist.integrity says");
        at += n;
    }
    arena_release(&a);
    return e;
}

enum err npm_dist_check(const json_t *manifest, const struct digest_values *got, struct why *why)
{
    const json_t *dist = json_object_get(manifest, "dist");
    const json_t *integrity = json_object_get(dist, "integrity"), *shasum = json_object_get(dist, "shasum");
    char hex[41];
    enum err e = OK;

    if (integrity && !json_is_string(integrity))
        return fail(why, ERR_BAD_REQUEST, "dist.integrity is not a text");
    if (shasum && !json_is_string(shasum))
        return fail(why, ERR_BAD_REQUEST, "dist.shasum is not a text");
    if (integrity)
        e = integrity_check(json_string_value(integrity), got->sha512, got->sha1, why);
    hex_encode(got->sha1, sizeof got->sha1, hex);
    if (!e && shasum && strcasecmp(json_string_value(shasum), hex))
        e = fail(why, ERR_DIGEST_MISMATCH, "the tarball is not what dist.shasum says");
    return e;
}

/* --- publishing --- */

/* What is known of the bytes; nothing that the client claims of them remains. */
static json_t *dist_new(const struct npm_release *r)
{
    const struct npm_facts *f = &r->facts;
    struct arena a;
    char hex[41];
    json_t *dist;

    arena_init(&a);
    hex_encode(f->digests.sha1, sizeof f->digests.sha1, hex);
    dist = json_pack("{s:s, s:s, s:s, s:I, s:I}", "integrity",
                     arena_printf(&a, "sha512-%s", base64_encode(&a, f->digests.sha512, 64)), "shasum", hex,
                     "tarball", npm_tarball_path(&a, r->package, r->version), "fileCount",
                     (json_int_t)f->file_count, "unpackedSize", (json_int_t)f->unpacked_bytes);
    if (f->predicate)
        json_object_set_new(dist, "attestations",
                            json_pack("{s:s, s:{s:s}}", "url",
                                      arena_printf(&a, "-/npm/v1/attestations/%s@%s", r->package, r->version),
                                      "provenance", "predicateType", f->predicate));
    arena_release(&a);
    return dist;
}

static bool installs(const json_t *manifest, bool gyp)
{
    const json_t *scripts = json_object_get(manifest, "scripts");

    /* npm runs "node-gyp rebuild" for a binding.gyp unless the package says what to do instead. */
    return json_object_get(scripts, "preinstall") || json_object_get(scripts, "install") ||
           json_object_get(scripts, "postinstall") || gyp;
}

static json_t *manifest_new(const struct npm_release *r)
{
    json_t *m = json_copy(r->manifest);
    char id[NPM_NAME_MAX + NPM_VERSION_MAX + 2];

    snprintf(id, sizeof id, "%s@%s", r->package, r->version);
    json_object_set_new(m, "_id", json_string(id));
    json_object_set_new(m, "name", json_string(r->package));
    json_object_set_new(m, "version", json_string(r->version));
    json_object_set_new(m, "dist", dist_new(r));
    json_object_set_new(m, "_npmUser", json_pack("{s:s}", "name", r->user));
    json_object_set_new(m, "_hasShrinkwrap", json_boolean(r->facts.shrinkwrap));
    if (installs(m, r->facts.gyp))
        json_object_set_new(m, "hasInstallScript", json_true());
    else
        json_object_del(m, "hasInstallScript");
    json_object_del(m, "readme"); /* one for all versions, at the top, as npm's registry keeps it */
    json_object_del(m, "readmeFilename");
    return m;
}

/* The document's own description is that of its latest version. */
static void describe(json_t *doc, const struct npm_release *r)
{
    static const char *const keys[] = { "description", "keywords",      "author", "license",
                                        "homepage",    "repository",    "bugs",   "contributors",
                                        "maintainers", "readmeFilename" };

    for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_t *value = json_object_get(r->manifest, keys[i]);
        if (value)
            json_object_set(doc, keys[i], value);
        else if (strcmp(keys[i], "maintainers"))
            json_object_del(doc, keys[i]);
    }
    if (r->readme)
        json_object_set_new(doc, "readme", json_string(r->readme));
    if (!json_object_get(doc, "maintainers"))
        json_object_set_new(doc, "maintainers", json_pack("[{s:s, s:s}]", "name", r->user, "email", ""));
}

static bool is_same(const json_t *manifest, const struct npm_release *r)
{
    const char *shasum = json_string_value(json_object_get(json_object_get(manifest, "dist"), "shasum"));
    char hex[41];

    hex_encode(r->facts.digests.sha1, 20, hex);
    return shasum && !strcmp(shasum, hex);
}

enum err npm_doc_publish(json_t *doc, const struct npm_release *r, struct why *why)
{
    json_t *versions = object_of(doc, "versions"), *tags = object_of(doc, "dist-tags"), *version;
    const char *tag;
    char text[32];
    bool tagged = false;

    if (r->moved && is_same(json_object_get(versions, r->version), r))
        return ERR_GONE;
    if (json_object_get(versions, r->version))
        return fail(why, ERR_CONFLICT, "you cannot publish over the previously published versions: %s",
                    r->version);
    if (json_object_size(versions) >= NPM_VERSIONS)
        return fail(why, ERR_TOO_BIG, "'%.100s' has %d versions, which is as many as it may", r->package,
                    NPM_VERSIONS);
    json_object_set_new(versions, r->version, manifest_new(r));
    json_object_set_new(object_of(doc, "time"), r->version, json_string(npm_time_text(r->now_ms, text)));
    json_object_foreach (r->tags, tag, version) {
        if (!npm_tag_valid(tag))
            return fail(why, ERR_BAD_REQUEST, "'%.70s' can't be a tag", tag);
        if (!json_is_string(version) || strcmp(json_string_value(version), r->version))
            continue;
        json_object_set(tags, tag, version);
        tagged = true;
    }
    if (r->moved)
        (void)npm_doc_moved(doc, r->version);
    /* A first version is the latest, whatever its tag: "npm install name" must find something. */
    else if (!tagged || !json_object_get(tags, "latest"))
        json_object_set_new(tags, "latest", json_string(tagged ? r->version : npm_doc_newest(doc, NULL)));
    if (!strcmp(json_string_value(json_object_get(tags, "latest")), r->version))
        describe(doc, r);
    return OK;
}

/* --- changing --- */

const char *npm_doc_newest(const json_t *doc, const char *limit)
{
    const char *version, *stable = NULL, *any = NULL;
    json_t *ignored;

    json_object_foreach (json_object_get(doc, "versions"), version, ignored) {
        if (!npm_version_valid(version))
            continue;
        if (!any || npm_version_compare(version, any) > 0)
            any = version;
        if (!npm_version_prerelease(version) && (!limit || npm_version_compare(version, limit) <= 0) &&
            (!stable || npm_version_compare(version, stable) > 0))
            stable = version;
    }
    return stable ? stable : limit && any ? npm_doc_newest(doc, NULL) : any;
}

enum err npm_doc_revision(const json_t *doc, const char *revision, struct why *why)
{
    const char *ours = json_string_value(json_object_get(doc, "_rev"));

    if (revision && (!ours || strcmp(ours, revision)))
        return fail(why, ERR_CONFLICT, "the package was changed meanwhile; read it again");
    return OK;
}

enum err npm_doc_tag(json_t *doc, const char *tag, const char *version, struct why *why)
{
    json_t *tags = object_of(doc, "dist-tags");

    if (!npm_tag_valid(tag))
        return fail(why, ERR_BAD_REQUEST, "'%.70s' can't be a tag: it could be meant as a version", tag);
    if (!version) {
        if (!strcmp(tag, "latest"))
            return fail(why, ERR_BAD_REQUEST, "the tag 'latest' can be moved, not removed");
        return json_object_del(tags, tag) ? fail(why, ERR_NOT_FOUND, "there is no tag '%.70s'", tag) : OK;
    }
    if (!json_object_get(json_object_get(doc, "versions"), version))
        return fail(why, ERR_NOT_FOUND, "version not found: %.100s", version);
    json_object_set_new(tags, tag, json_string(version));
    return OK;
}

enum err npm_doc_remove(json_t *doc, const char *version, struct why *why)
{
    json_t *tags = object_of(doc, "dist-tags"), *value;
    const char *tag;
    void *next;
    bool latest = false;

    if (json_object_del(object_of(doc, "versions"), version))
        return fail(why, ERR_NOT_FOUND, "version not found: %.100s", version);
    json_object_del(object_of(doc, "time"), version);
    if (!json_object_size(object_of(doc, "versions")))
        json_object_del(doc, "_moved");
    json_object_foreach_safe (tags, next, tag, value)
        if (json_is_string(value) && !strcmp(json_string_value(value), version)) {
            latest = latest || !strcmp(tag, "latest");
            json_object_del(tags, tag);
        }
    if (latest && npm_doc_newest(doc, NULL))
        json_object_set_new(tags, "latest", json_string(npm_doc_newest(doc, NULL)));
    return OK;
}

/* Versions of ours that `wanted` does not have. */
static enum err remove_missing(json_t *doc, const json_t *wanted, bool may_remove, json_t *removed,
                               struct why *why)
{
    json_t *versions = object_of(doc, "versions"), *ignored;
    const char *version;
    enum err e = OK;
    size_t i;

    json_object_foreach (versions, version, ignored)
        if (!json_object_get(json_object_get(wanted, "versions"), version))
            json_array_append_new(removed, json_string(version));
    if (json_array_size(removed) && !may_remove)
        return fail(why, ERR_FORBIDDEN, "no permission to delete versions");
    json_array_foreach (removed, i, ignored)
        if (!e)
            e = npm_doc_remove(doc, json_string_value(ignored), why);
    return e;
}

static void take_deprecations(json_t *doc, const json_t *wanted)
{
    json_t *ours, *said;
    const char *version;

    json_object_foreach (object_of(doc, "versions"), version, ours) {
        const json_t *theirs = json_object_get(json_object_get(wanted, "versions"), version);
        if (!theirs)
            continue;
        said = json_object_get(theirs, "deprecated");
        if (json_is_true(said) || (json_is_string(said) && json_string_length(said)))
            json_object_set(ours, "deprecated", said);
        else
            json_object_del(ours, "deprecated");
    }
}

enum err npm_doc_replace(json_t *doc, const json_t *wanted, const char *revision, bool may_remove,
                         json_t *removed, struct why *why)
{
    json_t *maintainers = json_object_get(wanted, "maintainers");
    enum err e = npm_doc_revision(doc, revision, why);

    if (!e && !json_is_object(json_object_get(wanted, "versions")))
        e = fail(why, ERR_BAD_REQUEST, "the body has no versions");
    if (!e && revision)
        e = remove_missing(doc, wanted, may_remove, removed, why);
    if (e)
        return e;
    take_deprecations(doc, wanted);
    if (json_is_array(maintainers) && json_array_size(maintainers) && revision)
        json_object_set(doc, "maintainers", maintainers);
    return OK;
}
