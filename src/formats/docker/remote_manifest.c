/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/docker/remote_manifest.c: manifests of proxies and groups: documents, by digest for ever, by
 * tag until upstream says otherwise; the first member's that has it and may give it.
 *
 *   is there a policy? ──no──→ ANSWER
 *   FACTS   of each member's manifest: digest, date, parts, and what would say how old it is
 *   DATES   a configuration's `created`; of an index, one image's; then FACTS again, which knows more
 *   JUDGE   by tag and digest (registry_judge); what may be had takes its parts along (registry_parts)
 *   ANSWER  the manifest of that digest */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/stage.h"
#include "pantera/text.h"
#include "pantera/worker.h"
#include "src/formats/docker/docker.h"

#define ACCEPT \
    TYPE_OCI_INDEX ", " TYPE_OCI_MANIFEST ", " TYPE_DOCKER_LIST ", " TYPE_DOCKER_MANIFEST ", */*;q=0.1"
enum { LOOKS = 12, PARTS_MOST = 500 };

struct ask {                     /* the request's memory */
    struct oci_call *call;
    const char *dates;           /* "sha256:…=1700000000000;…": what was learnt; 0: nobody says */
    unsigned looks;
    const char *wanted;          /* whose date is asked for */
    const char *digest;          /* that was judged and may be had */
    enum err err;                /* the worst so far */
    struct why why;
    int64_t until_ms;
};

static void manifest_failed(struct http_request *req, enum err e, const struct why *why)
{
    oci_fail_as(req, e, why, "MANIFEST_UNKNOWN");
}

/* --- composing: on the pool --- */

/* A variant is "<reference>", or with what else is said, "<reference> <...>". */
static const char *variant_rest(const char *variant)
{
    const char *space = strchr(variant, ' ');

    return space ? space + 1 : "";
}

static bool by_digest(const char *variant)
{
    return strchr(variant, ':') && strcspn(variant, ":") < strcspn(variant, " ");
}

static const char *digest_of(const struct document_request *q, const struct document_source *s)
{
    struct digest_values digests = { .kinds = DIGEST_SHA256 };
    struct oci_digest digest;

    if (by_digest(q->variant))
        return arena_strndup(q->arena, q->variant, strcspn(q->variant, " "));
    sha256(s->data, s->size, digests.sha256);
    digest = oci_digest_of(&digests, DIGEST_SHA256);
    return oci_digest_text(q->arena, &digest);
}

static enum err read_manifest(const struct document_request *q, const struct document_source *s,
                              struct oci_manifest *ret, struct why *why)
{
    struct why text;

    if (oci_manifest_parse(q->arena, s->data, s->size, s->content_type, ret, &text))
        return fail(why, ERR_UPSTREAM, "'%.100s' gave something that is no manifest", s->repo);
    return OK;
}

/* The first that is one; with a digest, of that digest. */
static enum err compose_manifest(const struct document_request *q, const struct document_source *sources,
                                 unsigned count, struct buf *ret, struct document_answer *answer,
                                 struct why *why)
{
    const char *judged = variant_rest(q->variant), *digest;
    enum err e = fail(why, ERR_AGAIN, "it has changed meanwhile; try again");
    struct oci_manifest m;

    for (unsigned i = 0; i < count; i++) {
        digest = digest_of(q, &sources[i]);
        if ((*judged && strcmp(judged, digest)) || (e = read_manifest(q, &sources[i], &m, why)))
            continue;
        answer->content_type = m.media_type;
        answer->headers[0][0] = "Docker-Content-Digest";
        answer->headers[0][1] = digest;
        return buf_add(ret, sources[i].data, sources[i].size);
    }
    return e;
}

static const struct document_kind manifest_kind = {
    .name = "oci-manifest", .limit = MANIFEST_LIMIT, .compose = compose_manifest,
};

/* -1: it was not asked for yet. */
static int64_t date_of(const char *dates, const char *digest)
{
    const char *at = strstr(dates, digest);

    return at && at[strlen(digest)] == '=' ? strtoll(at + strlen(digest) + 1, NULL, 10) : -1;
}

static json_t *parts_of(struct arena *a, const struct oci_manifest *m)
{
    json_t *parts = json_array();

    for (unsigned i = 0; i < m->reference_count && json_array_size(parts) < PARTS_MOST; i++)
        if (m->references[i].manifest)
            json_array_append_new(parts, json_string(oci_digest_text(a, &m->references[i].digest)));
    return parts;
}

/* {repo, judged, digest, created, ask?, kind?, parts}: `ask`: what would say when it was made. */
static json_t *facts_of(const struct document_request *q, const struct document_source *s,
                        const struct oci_manifest *m)
{
    const char *dated_by = oci_digest_text(q->arena, &m->dated_by);
    int64_t created = oci_manifest_created_ms(m);
    json_t *facts = json_pack("{s:s, s:b, s:s, s:o}", "repo", s->repo, "judged", s->policy != NULL, "digest",
                              digest_of(q, s), "parts", parts_of(q->arena, m));

    if (!created && m->dated_by_kind != OCI_DATED_BY_NOTHING)
        created = date_of(variant_rest(q->variant), dated_by);
    if (created < 0) {
        json_object_set_new(facts, "ask", json_string(dated_by));
        json_object_set_new(facts, "image", json_boolean(m->dated_by_kind == OCI_DATED_BY_IMAGE));
    }
    json_object_set_new(facts, "created", json_integer(created));
    return facts;
}

static enum err compose_facts(const struct document_request *q, const struct document_source *sources,
                              unsigned count, struct buf *ret, struct document_answer *answer,
                              struct why *why)
{
    json_t *list = json_array();
    enum err e = OK;
    char *text;

    answer->content_type = "application/json";
    for (unsigned i = 0; i < count; i++) {
        struct oci_manifest m;
        enum err bad = read_manifest(q, &sources[i], &m, why);
        if (!bad)
            json_array_append_new(list, facts_of(q, &sources[i], &m));
        e = bad ? bad : e;
    }
    if (!json_array_size(list)) {
        json_decref(list);
        return e;
    }
    text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    e = text ? buf_puts(ret, text) : fail(why, ERR_INTERNAL, "facts can't be written");
    free(text);
    return e;
}

static const struct document_kind facts_kind = {
    .name = "oci-facts", .limit = MANIFEST_LIMIT, .compose = compose_facts,
};

/* image-spec, "Image Configuration": when it was made, in ms. */
static enum err compose_config(const struct document_request *q, const struct document_source *sources,
                               unsigned count, struct buf *ret, struct document_answer *answer,
                               struct why *why)
{
    json_t *root = json_loadb(sources[0].data, sources[0].size, 0, NULL);
    int64_t ms = oci_created_ms(json_string_value(json_object_get(root, "created")));

    (void)q, (void)count, (void)why;
    json_decref(root);
    answer->content_type = "text/plain";
    return buf_printf(ret, "%lld", (long long)ms);
}

static const struct document_kind config_kind = {
    .name = "oci-config", .limit = CONFIG_LIMIT, .compose = compose_config,
};

/* --- documents --- */

static struct document document_of(struct ask *q, const struct document_kind *kind, const char *reference,
                                   const char *more)
{
    struct arena *a = &q->call->req->arena;
    struct oci_digest digest;
    struct digest_values expected;
    bool blob = kind == &config_kind;
    struct document d = {
        .kind = kind, .package = q->call->image, .accept = blob ? NULL : ACCEPT, .owns = remote_owns,
        .variant = *more ? arena_printf(a, "%s %s", reference, more) : reference,
        .url_path = arena_printf(a, "v2/%s/%s/%s", q->call->image, blob ? "blobs" : "manifests", reference),
    };

    if (!oci_digest_parse(reference, &digest)) {
        d.path = tag_path(a, q->call->image, reference);
        return d;
    }
    d.path = blob ? blob_path(a, q->call->image, &digest) : manifest_path(a, q->call->image, &digest);
    d.forever = true;
    expected = oci_digest_values(&digest);
    d.expected = arena_memdup(a, &expected, sizeof expected);
    return d;
}

/* --- JUDGE, ANSWER --- */

static void ask_facts(struct ask *q);

static void on_answer_failed(struct http_request *req, enum err e, const struct why *why)
{
    struct why busy;

    if (e == ERR_AGAIN) /* a tag that has moved between the two looks */
        e = fail(&busy, ERR_UNAVAILABLE, "%s", why_text(why, e)), why = &busy;
    manifest_failed(req, e, why);
}

static void answer(struct ask *q)
{
    const struct repo *repo = oci_repo(q->call);
    struct document d;

    if (!repo)
        return;
    d = document_of(q, &manifest_kind, q->call->reference, q->digest ? q->digest : "");
    registry_document(q->call->req, repo, &d, on_answer_failed);
}

static void on_parts(struct http_request *req, enum err e, const struct why *why, void *arg)
{
    if (e)
        manifest_failed(req, e, why);
    else
        answer(arg);
}

/* What it has let through takes along what it lists. */
static void let_through(struct ask *q, const struct repo *proxy, const struct policy_named *n,
                        const json_t *facts)
{
    const json_t *list = json_object_get(facts, "parts"), *part;
    const char *parts[PARTS_MOST];
    unsigned count = 0;
    size_t i;

    json_array_foreach (list, i, part)
        if (count < PARTS_MOST)
            parts[count++] = json_string_value(part);
    registry_parts(q->call->req, proxy, n, parts, count, on_parts, q);
}

static void on_date(struct http_request *req, enum err e, const struct why *why, const char *data,
                    size_t size, void *arg)
{
    struct ask *q = arg;
    char text[24] = "0";

    if (e && e != ERR_NOT_FOUND) { /* it may be fresh: nobody knows now */
        manifest_failed(req, e, why);
        return;
    }
    if (!e && size < sizeof text)
        memcpy(text, data, size), text[size] = 0;
    q->dates = arena_printf(&req->arena, "%s%s=%s;", q->dates, q->wanted, text);
    ask_facts(q);
}

static void learn(struct ask *q, const struct repo *member, const char *digest, const json_t *facts);

/* The facts of an image that says how old an index is. */
static void on_image(struct http_request *req, enum err e, const struct why *why, const char *data,
                     size_t size, void *arg)
{
    struct ask *q = arg;
    json_t *list = e ? NULL : json_loadb(data, size, 0, NULL), *facts = json_array_get(list, 0);
    const char *wants = json_string_value(json_object_get(facts, "ask"));
    const char *name = json_string_value(json_object_get(facts, "repo"));
    const struct repo *member = name ? registry_repo(worker_of(req)->registry, name) : NULL;
    char text[24];

    if (facts && wants && member && !json_is_true(json_object_get(facts, "image"))) {
        learn(q, member, arena_strdup(&req->arena, wants), facts);
    } else {
        int64_t ms = (int64_t)json_integer_value(json_object_get(facts, "created"));
        int n = snprintf(text, sizeof text, "%lld", (long long)(ms > 0 ? ms : 0));
        on_date(req, e, why, text, (size_t)n, q);
    }
    json_decref(list);
}

/* Asks for the date of `digest`: a configuration's or an image's. */
static void learn(struct ask *q, const struct repo *member, const char *digest, const json_t *facts)
{
    bool image = json_is_true(json_object_get(facts, "image"));
    struct document d = document_of(q, image ? &facts_kind : &config_kind, digest, image ? q->dates : "");

    q->wanted = digest;
    q->looks++;
    registry_document_read(q->call->req, member, &d, image ? on_image : on_date, q);
}

/* One member's manifest: true if that is what is answered, or what has to be asked first. */
static bool judge(struct ask *q, const json_t *facts)
{
    struct worker *w = worker_of(q->call->req);
    const char *name = json_string_value(json_object_get(facts, "repo"));
    const char *wants = json_string_value(json_object_get(facts, "ask"));
    const struct repo *member = registry_repo(w->registry, name);
    struct arena *a = &q->call->req->arena;
    struct policy_named n = {
        .package = q->call->image, .alias = strchr(q->call->reference, ':') ? NULL : q->call->reference,
        .version = arena_strdup(a, json_string_value(json_object_get(facts, "digest"))),
        .released_ms = (int64_t)json_integer_value(json_object_get(facts, "created")),
    };
    struct why why = { "" };
    int64_t until_ms = 0;
    enum err e = OK;

    if (!member)
        return false;
    if (n.released_ms < 0 && q->looks >= LOOKS)
        n.released_ms = 0;
    q->digest = n.version;
    if (!json_is_true(json_object_get(facts, "judged"))) {
        answer(q);
        return true;
    }
    e = registry_judge(w, member, &n, &why, &until_ms);
    if (e == ERR_AGAIN && wants) {
        learn(q, member, arena_strdup(a, wants), facts);
    } else if (!e) {
        let_through(q, member, &n, facts);
    } else if (!q->err) {
        q->err = e;
        q->why = why;
        q->until_ms = until_ms;
    }
    return !e || e == ERR_AGAIN;
}

static void refuse(struct ask *q)
{
    int64_t left = q->until_ms - clock_wall_ms();

    if (q->until_ms && left > 0) /* RFC 9110 §10.2.3 */
        http_set_header(q->call->req, "Retry-After",
                        arena_printf(&q->call->req->arena, "%lld", (long long)(left + 999) / 1000));
    manifest_failed(q->call->req, q->err ? q->err : ERR_NOT_FOUND, &q->why);
}

static void on_facts(struct http_request *req, enum err e, const struct why *why, const char *data,
                     size_t size, void *arg)
{
    struct ask *q = arg;
    json_t *list = e ? NULL : json_loadb(data, size, 0, NULL);
    const json_t *facts;
    bool settled = false;
    size_t i;

    if (e) {
        manifest_failed(req, e, why);
        return;
    }
    q->err = OK;
    json_array_foreach (list, i, facts)
        if ((settled = judge(q, facts)))
            break;
    json_decref(list);
    if (!settled)
        refuse(q);
}

static void ask_facts(struct ask *q)
{
    const struct repo *repo = oci_repo(q->call);
    struct document d;

    if (!repo)
        return;
    d = document_of(q, &facts_kind, q->call->reference, q->dates);
    registry_document_read(q->call->req, repo, &d, on_facts, q);
}

void remote_manifest(struct oci_call *c, const struct repo *repo)
{
    struct ask *q = arena_alloc(&c->req->arena, sizeof *q);

    if (!strchr(c->reference, ':') ? !oci_tag_valid(c->reference)
                                   : !oci_digest_parse(c->reference, &(struct oci_digest){ 0 })) {
        oci_fail(c->req, 404, "MANIFEST_UNKNOWN", "'%.140s' is neither a tag nor a digest", c->reference);
        return;
    }
    *q = (struct ask){ .call = c, .dates = "" };
    if (registry_judges(worker_of(c->req), repo, c->image, remote_owns))
        ask_facts(q);
    else
        answer(q);
}
