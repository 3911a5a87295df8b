/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/maven/compose.c: metadata of several repositories as one, without what policy blocks
 * (young.c); and checksums that upstream gives. Pool threads. */
#include <ctype.h>
#include <string.h>

#include "pantera/text.h"
#include "src/formats/maven/maven.h"
#include "src/formats/maven/young.h"

/* --- metadata --- */

static void say_checksums(struct arena *a, const struct buf *b, struct document_answer *answer)
{
    static const struct { enum digest_kind kind; const char *header; } headers[] = {
        { DIGEST_SHA256, "X-Checksum-Sha256" }, { DIGEST_SHA1, "X-Checksum-Sha1" },
        { DIGEST_MD5, "X-Checksum-Md5" }, { DIGEST_SHA512, "X-Checksum-Sha512" },
    };
    struct digester *d = digester_new(MAVEN_DIGESTS);
    struct digest_values digests;
    char hex[129];

    digester_update(d, b->data, b->length);
    digester_final(d, &digests);
    digester_free(d);
    /* With these a client needs no second request, between which and the first there may be a deploy. */
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        size_t n;
        const void *digest = maven_digest(&digests, headers[i].kind, &n);
        hex_encode(digest, n, hex);
        answer->headers[i][0] = headers[i].header;
        answer->headers[i][1] = arena_strdup(a, hex);
    }
}

static enum err metadata_compose(const struct document_request *q, const struct document_source *sources,
                                 unsigned count, struct buf *ret, struct document_answer *answer,
                                 struct why *why)
{
    struct maven_metadata all, part;
    unsigned read = 0;
    enum err e = OK;

    maven_metadata_init(&all, q->arena);
    for (unsigned i = 0; i < count; i++) {
        maven_metadata_init(&part, q->arena);
        e = maven_metadata_read(&part, sources[i].data, sources[i].size, why);
        if (e && q->whole)
            return fail(why, ERR_UPSTREAM, "what '%.60s' gives as '%.120s' can't be read", sources[i].repo,
                        q->path);
        if (e)
            continue; /* others may do */
        read++;
        if (sources[i].policy)
            maven_leave_out(&part, &sources[i], &answer->valid_until_ms);
        maven_metadata_finish(&part);
        maven_metadata_join(&all, &part);
    }
    if (!read)
        return ERR_UPSTREAM;
    maven_metadata_finish(&all);
    if (maven_metadata_empty(&all))
        return fail(why, ERR_NOT_FOUND, "nothing of '%.200s' may be had", q->path);
    maven_metadata_render(&all, ret);
    if ((e = buf_err(ret)))
        return e;
    answer->content_type = "text/xml";
    say_checksums(q->arena, ret, answer);
    return OK;
}

const struct document_kind maven_metadata_kind = {
    .name = "maven-metadata", .limit = MAVEN_METADATA_LIMIT, .source = maven_rows,
    .compose = metadata_compose, .undated = maven_undated,
};

/* --- checksums --- */

bool maven_checksum_read(const char *text, enum digest_kind kind, char ret_hex[129])
{
    struct digest_values none = { 0 };
    size_t want;

    /* "d41d…", "d41d…  lib.jar", "MD5 (lib.jar) = d41d…" */
    (void)maven_digest(&none, kind, &want);
    want *= 2;
    for (const char *at = text; *at;) {
        size_t n = strspn(at, "0123456789abcdefABCDEF");
        if (n == want) {
            for (size_t i = 0; i < n; i++)
                ret_hex[i] = (char)tolower((unsigned char)at[i]);
            ret_hex[n] = 0;
            return true;
        }
        at += n ? n : 1;
    }
    return false;
}

/* A hosted member has none but those of its files, which are asked for before (elsewhere.c). */
static void checksum_source(struct worker *w, const struct repo *repo, const char *path, const char *package,
                            maven_give *give, void *arg)
{
    (void)w, (void)repo, (void)path, (void)package;
    give(ERR_NOT_FOUND, NULL, NULL, 0, arg);
}

static enum err checksum_compose(const struct document_request *q, const struct document_source *sources,
                                 unsigned count, struct buf *ret, struct document_answer *answer,
                                 struct why *why)
{
    struct maven_path p;
    char hex[129];

    maven_path_parse(q->arena, q->path, &p);
    answer->content_type = "text/plain";
    for (unsigned i = 0; i < count; i++)
        if (maven_checksum_read(sources[i].data, p.checksum, hex))
            return buf_puts(ret, hex);
    return fail(why, ERR_UPSTREAM, "upstream's '%.200s' is no checksum", q->path);
}

const struct document_kind maven_checksum_kind = {
    .name = "maven-checksum", .limit = KIB(16), .source = checksum_source, .compose = checksum_compose,
};
