/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/npm/publish.c: a PUT of a package: a document with a tarball inside (npm publish), a document
 * without one (deprecate, unpublish), or a bare tarball (curl, and what is imported).
 *
 *   BODY → SEAL → LOOK → JUDGE → (SEAL2) → CHANGE → answer
 *
 *   BODY    the scanner splits what comes: the tarball into a stage, the rest into memory
 *   SEAL    waits on the store          LOOK  waits on a descriptor of the tarball
 *   JUDGE   on the pool: is it what it says, and what is in it
 *   SEAL2   attestations, if there are any
 *   CHANGE  document and bytes in one operation (change.c); from here on it goes on without its client */
#include <stdlib.h>
#include <string.h>

#include "pantera/limits.h"
#include "pantera/text.h"
#include "src/formats/npm/doc.h"
#include "src/formats/npm/npm.h"
#include "src/formats/npm/scan.h"

#define BODY_KEPT MIB(16)        /* of a publish without its tarball */
#define ATTESTATIONS MIB(2)
#define KINDS (DIGEST_SHA256 | DIGEST_SHA1 | DIGEST_SHA512)

struct publish {
    struct npm_change change;    /* first: it frees us */
    struct npm_scan scan;
    struct stage *stage, *attested;
    struct publish **slot;       /* the request's word for us while it is read */
    bool paused, document;
    bool named;                  /* a bare tarball whose path says which package and version it is */
    const char *revision;
    struct work work;            /* of a document without a tarball */
    enum err err;
    struct why why;
    /* What JUDGE found. */
    json_t *body, *manifest, *tags;
    const char *version, *readme, *user;
    struct npm_facts facts;
    struct buf attestations;
    const char *default_tag;     /* of a bare tarball */
};

static void publish_release(struct npm_change *c)
{
    struct publish *p = container_of(c, struct publish, change);

    stage_drop(p->stage);
    stage_drop(p->attested);
    npm_scan_release(&p->scan);
    buf_free(&p->attestations);
    json_decref(p->body);
    json_decref(p->manifest);
    json_decref(p->tags);
    free(p);
}

static void publish_fail(struct publish *p, enum err e, const struct why *why)
{
    if (p->change.imported)
        imported_end(p->change.imported, e, why);
    else if (p->change.req)
        npm_fail(p->change.req, e, why);
    npm_change_free(&p->change);
}

/* --- CHANGE --- */

static enum err edit_publish(struct npm_change *c, json_t *doc, struct why *why)
{
    struct publish *p = container_of(c, struct publish, change);
    struct npm_release r = {
        .package = c->package, .version = p->version, .user = p->user, .manifest = p->manifest,
        .tags = p->tags, .readme = p->readme, .now_ms = c->now_ms, .facts = p->facts,
        .moved = c->imported != NULL,
    };
    enum err e;

    if (c->imported)
        r.now_ms = c->imported->made_ms;
    e = npm_doc_publish(doc, &r, why);
    if (e == ERR_GONE)
        c->imported->already = true;
    return e;
}

static void add_bytes(struct npm_change *c, struct commit *commit)
{
    struct publish *p = container_of(c, struct publish, change);
    struct commit_what tarball = { .content_type = "application/octet-stream", .name = c->package,
                                   .version = p->version };
    const char *path = npm_tarball_path(&c->arena, c->package, p->version);
    const struct commit_what hidden = { .content_type = "application/json", .hidden = true };

    if (c->imported)
        commit_imported(commit, c->imported, path, p->stage, &tarball);
    commit_put(commit, path, p->stage, &tarball);
    if (p->attested)
        commit_put(commit, npm_attestations_path(&c->arena, c->package, p->version), p->attested, &hidden);
}

static void on_published(struct npm_change *c, enum err e, const struct why *why)
{
    struct publish *p = container_of(c, struct publish, change);

    if (!e)
        p->stage = p->attested = NULL; /* they have their names */
    if (c->imported)
        imported_end(c->imported, c->imported->already ? OK : e == ERR_PRECONDITION ? ERR_CONFLICT : e, why);
    if (!c->req)
        return;
    if (e)
        npm_fail(c->req, e, why);
    else
        npm_reply(c->req, 201, json_pack("{s:b, s:s}", "ok", 1, "id", c->package));
}

static void publish_commit(struct publish *p)
{
    p->change.create = true;
    p->change.edit = edit_publish;
    p->change.add = add_bytes;
    p->change.done = on_published;
    npm_change_run(&p->change);
}

static void on_attested(struct stage *s, enum err e, const struct why *why, void *arg)
{
    (void)s;
    if (e)
        publish_fail(arg, e, why);
    else
        publish_commit(arg);
}

/* --- JUDGE --- */

/* Which of the body's versions the tarball is: the one that its name says (a client that merged what it had
 * read sends all of them), or the only one. */
static const char *version_sent(const struct publish *p)
{
    const char *package = p->change.package, *version, *name, *found = NULL;
    json_t *versions = json_object_get(p->body, "versions"), *ignored;
    size_t n = strlen(package), bare = strlen(npm_name_bare(package));

    json_object_foreach (json_object_get(p->body, "_attachments"), name, ignored)
        json_object_foreach (versions, version, ignored) {
            const char *rest = !strncmp(name, package, n) ? name + n
                             : !strncmp(name, npm_name_bare(package), bare) ? name + bare : "";
            size_t length = strlen(version);
            if (*rest == '-' && !strncmp(rest + 1, version, length) && !strcmp(rest + 1 + length, ".tgz"))
                found = version;
        }
    if (!found && json_object_size(versions) == 1)
        found = json_object_iter_key(json_object_iter(versions));
    return found;
}

/* What package.json may say of the same version: "v1.0.0", "=1.0.0", and build metadata, which npm leaves
 * out. */
static bool same_version(const char *in_tarball, const char *version)
{
    in_tarball += strspn(in_tarball, " =v");
    return strcspn(in_tarball, "+ ") == strcspn(version, "+") &&
           !strncmp(in_tarball, version, strcspn(version, "+"));
}

static enum err judge_bytes(struct publish *p, int fd, struct why *why)
{
    struct npm_tarball t;
    const char *name, *version;
    enum err e = npm_tarball_read(fd, &t, why);

    if (e)
        return e;
    p->facts.digests = *stage_digests(p->stage);
    p->facts.file_count = t.file_count;
    p->facts.unpacked_bytes = t.unpacked_bytes;
    p->facts.shrinkwrap = t.shrinkwrap;
    p->facts.gyp = t.gyp;
    name = json_string_value(json_object_get(t.manifest, "name"));
    version = json_string_value(json_object_get(t.manifest, "version"));
    if (!p->document)            /* its package.json is all there is */
        p->manifest = json_incref(t.manifest);
    if (!p->document && !p->named) {
        bool fresh = !p->change.imported;
        p->change.package = name && npm_name_valid(name, fresh) ? arena_strdup(&p->change.arena, name) : "";
        p->version = version ? arena_strdup(&p->change.arena, version + strspn(version, " =v")) : "";
    }
    /* What is resolved must be what is installed: a document about another package is how one hides a
     * malicious one. */
    if (!name || strcmp(name, p->change.package))
        e = fail(why, ERR_BAD_REQUEST, "the tarball holds the package '%.100s', not '%.100s'",
                 name ? name : "", p->change.package);
    else if (!version || !same_version(version, p->version))
        e = fail(why, ERR_BAD_REQUEST, "the tarball holds the version '%.60s', not '%.60s'",
                 version ? version : "", p->version);
    json_decref(t.manifest);
    return e;
}

/* A sigstore bundle, as text: DSSE's payload says what is attested. */
static enum err judge_attestations(struct publish *p, const char *text, struct why *why)
{
    json_t *bundle = json_loads(text, 0, NULL), *payload = NULL, *answer;
    const json_t *encoded = json_object_get(json_object_get(bundle, "dsseEnvelope"), "payload");
    size_t size = 0;
    void *bytes = json_is_string(encoded) ? base64_decode(&p->change.arena, json_string_value(encoded),
                                                          json_string_length(encoded), &size) : NULL;
    const char *predicate;
    enum err e = OK;
    char *out;

    payload = bytes ? json_loadb(bytes, size, 0, NULL) : NULL;
    predicate = json_string_value(json_object_get(payload, "predicateType"));
    if (!predicate)
        e = fail(why, ERR_BAD_REQUEST, "the provenance is not a sigstore bundle of a statement");
    else
        p->facts.predicate = arena_strdup(&p->change.arena, predicate);
    if (!e) {
        answer = json_pack("{s:[{s:s, s:O}]}", "attestations", "predicateType", predicate, "bundle", bundle);
        out = json_dumps(answer, JSON_COMPACT);
        if (!out || buf_puts(&p->attestations, out))
            e = fail(why, ERR_TOO_BIG, "the provenance is larger than %zu bytes", ATTESTATIONS);
        free(out);
        json_decref(answer);
    }
    json_decref(payload);
    json_decref(bundle);
    return e;
}

static enum err judge_attachments(struct publish *p, struct why *why)
{
    const char *name;
    json_t *a;
    enum err e = OK;

    json_object_foreach (json_object_get(p->body, "_attachments"), name, a) {
        size_t n = strlen(name);
        const json_t *length = json_object_get(a, "length");
        if (n > 4 && !strcmp(name + n - 4, ".tgz") && json_is_integer(length) &&
            json_integer_value(length) != p->scan.decoded)
            return fail(why, ERR_BAD_REQUEST, "the tarball has %lld bytes, not %lld as announced",
                        (long long)p->scan.decoded, (long long)json_integer_value(length));
        if (n > 9 && !strcmp(name + n - 9, ".sigstore") && json_is_string(json_object_get(a, "data")))
            e = judge_attestations(p, json_string_value(json_object_get(a, "data")), why);
        if (e)
            return e;
    }
    return OK;
}

static enum err judge_document(struct publish *p, struct why *why)
{
    const char *name = json_string_value(json_object_get(p->body, "name"));
    const json_t *readme = json_object_get(p->body, "readme");

    p->version = version_sent(p);
    p->manifest =
        json_incref(json_object_get(json_object_get(p->body, "versions"), p->version ? p->version : ""));
    p->tags = json_incref(json_object_get(p->body, "dist-tags"));
    if (!name || strcmp(name, p->change.package))
        return fail(why, ERR_BAD_REQUEST, "the document is about '%.100s', not '%.100s'", name ? name : "",
                    p->change.package);
    if (!p->version || !json_is_object(p->manifest))
        return fail(why, ERR_BAD_REQUEST, "the document does not say which version the tarball is");
    name = json_string_value(json_object_get(p->manifest, "name"));
    if (!name || strcmp(name, p->change.package))
        return fail(why, ERR_BAD_REQUEST, "the version is of '%.100s', not of '%.100s'", name ? name : "",
                    p->change.package);
    name = json_string_value(json_object_get(p->manifest, "version"));
    if (!name || strcmp(name, p->version))
        return fail(why, ERR_BAD_REQUEST, "the version says that it is '%.60s', not '%.60s'",
                    name ? name : "", p->version);
    if (!readme)
        readme = json_object_get(p->manifest, "readme");
    p->readme = json_string_value(readme);
    return judge_attachments(p, why);
}

static enum err body_read(struct publish *p, struct why *why)
{
    json_error_t error;

    p->body = json_loadb(p->scan.kept.data, p->scan.kept.length, 0, &error);
    if (!json_is_object(p->body))
        return fail(why, ERR_BAD_REQUEST, "the body is not a JSON object: %.100s", error.text);
    return OK;
}

static enum err judge(int fd, struct why *why, void *arg)
{
    struct publish *p = arg;
    enum err e = p->document ? body_read(p, why) : OK;

    if (!e && p->document)
        e = judge_document(p, why);
    if (!e)
        e = judge_bytes(p, fd, why);
    if (!e && !npm_version_valid(p->version))
        e = fail(why, ERR_BAD_REQUEST, "'%.100s' is not a version (semver 2.0.0)", p->version);
    if (!e && p->document)
        e = npm_dist_check(p->manifest, &p->facts.digests, why);
    if (!e && !p->tags && !p->change.imported)
        p->tags = json_pack("{s:s}", p->default_tag ? p->default_tag : "latest", p->version);
    return e;
}

static void on_judged(enum err e, const struct why *why, void *arg)
{
    struct publish *p = arg;
    struct npm_change *c = &p->change;
    const struct repo *repo = npm_change_repo(c);

    if (!e && !repo)
        publish_fail(p, ERR_NOT_FOUND, &(struct why){ "the repository does not exist any more" });
    else if (e || (!c->req && !c->imported))
        publish_fail(p, e, why);
    else if (p->attestations.length)
        p->attested =
            stage_bytes(c->worker, repo, p->attestations.data, p->attestations.length, 0, on_attested, p);
    else
        publish_commit(p);
}

/* A document without a tarball. */
static void read_body(struct work *work)
{
    struct publish *p = container_of(work, struct publish, work);

    p->err = body_read(p, &p->why);
}

static void on_body(struct work *work)
{
    struct publish *p = container_of(work, struct publish, work);
    struct npm_change *c = &p->change;
    const struct repo *repo = npm_change_repo(c);
    const struct npm_path path = { .package = c->package, .revision = p->revision };

    if (!p->err && !repo)
        p->err = fail(&p->why, ERR_NOT_FOUND, "the repository does not exist any more");
    if (p->err || !c->req) {
        publish_fail(p, p->err, &p->why);
        return;
    }
    npm_replace(c->req, repo, &path, json_incref(p->body));
    npm_change_free(c);
}

/* --- BODY, SEAL, LOOK --- */

static void on_sealed(struct stage *s, enum err e, const struct why *why, void *arg)
{
    struct publish *p = arg;

    *p->slot = NULL;
    if (e)
        publish_fail(p, e, why);
    else
        stage_look(s, INT64_MAX, judge, on_judged, p);
}

/* The client went while its bytes came: nothing else will call us. */
static void publish_gone(void *arg)
{
    struct publish *p = *(struct publish **)arg;

    if (p)
        npm_change_free(&p->change);
}

static void on_room(struct stage *s, void *arg)
{
    struct publish *p = arg;

    (void)s;
    p->paused = false;
    http_body_resume(p->change.req);
}

static enum err to_stage(const void *data, size_t size, void *arg)
{
    struct publish *p = arg;
    const struct repo *repo = npm_change_repo(&p->change);

    if (!p->stage && !repo)
        return ERR_NOT_FOUND;
    if (!p->stage)
        p->stage = stage_new(p->change.worker, repo, -1, -1, KINDS);
    if (stage_err(p->stage))
        return stage_err(p->stage);
    if (!stage_write(p->stage, data, size, on_room, p) && !p->paused) {
        p->paused = true;
        http_body_pause(p->change.req);
    }
    return OK;
}

static void body_end(struct publish *p)
{
    if (p->stage) {
        stage_finish(p->stage, on_sealed, p);
        return;
    }
    *p->slot = NULL;
    work_submit(&p->work, &p->change.worker->loop, read_body, on_body);
}

static void on_chunk(struct http_request *req, const void *data, size_t size, enum err e, void *arg)
{
    struct publish **slot = arg, *p = *slot;
    struct why why = { "" };

    if (!p)                      /* it has failed and was answered */
        return;
    if (e == ERR_CLOSED)
        e = fail(&why, ERR_BAD_REQUEST, "the body ended early");
    if (!e && size)
        e = npm_scan_feed(&p->scan, data, size, &why);
    else if (!e)
        e = npm_scan_end(&p->scan, &why);
    if (!e && !size && p->scan.found && !p->stage)
        e = fail(&why, ERR_BAD_REQUEST, "the tarball is empty");
    if (e) {
        *slot = NULL;
        publish_fail(p, e, &why);
    } else if (!size) {
        body_end(p);
    }
}

static struct publish *publish_empty(void)
{
    struct publish *p = calloc(1, sizeof *p);

    check(p);
    p->change.release = publish_release;
    buf_init(&p->attestations, ATTESTATIONS);
    npm_scan_init(&p->scan, BODY_KEPT, to_stage, p);
    return p;
}

static struct publish *publish_new(struct http_request *req, const struct repo *repo,
                                   const struct npm_path *path)
{
    struct publish *p = publish_empty();

    npm_change_init(&p->change, req, repo, path->package);
    p->user = arena_strdup(&p->change.arena, ((const struct principal *)req->principal)->name);
    p->revision = path->revision ? arena_strdup(&p->change.arena, path->revision) : NULL;
    return p;
}

/* --- a bare tarball --- */

static void on_tarball(struct http_request *req, struct stage *s, enum err e, const struct why *why,
                       void *arg)
{
    const struct npm_path *path = arg;
    const struct repo *repo = e ? NULL : npm_repo_again(req);
    struct publish *p;

    if (!e && !repo)
        e = ERR_NOT_FOUND;
    if (e) {
        stage_drop(s);
        npm_fail(req, e, why);
        return;
    }
    p = publish_new(req, repo, path);
    p->stage = s;
    p->named = path->what == NPM_TARBALL;
    p->version = path->version ? arena_strdup(&p->change.arena, path->version) : NULL;
    p->default_tag = query_get(&p->change.arena, req->query, "tag");
    stage_look(s, INT64_MAX, judge, on_judged, p);
}

/* What curl sends: not JSON, and called ".tgz". */
static bool bare(const struct http_request *req, const struct npm_path *path)
{
    const char *type = http_header(req, "content-type");
    size_t n = path->package ? strlen(path->package) : 0;

    return path->what == NPM_TARBALL ||
           (path->what == NPM_PACKAGE && n > 4 && !strcmp(path->package + n - 4, ".tgz") &&
            !(type && !strncasecmp(type, "application/json", 16)));
}

/* By its path if that is where such a tarball belongs, else by what it says itself. */
void npm_import_tarball(struct imported *m)
{
    struct publish *p = publish_empty();
    struct npm_change *c = &p->change;
    struct npm_path path;

    npm_change_init_import(c, m);
    npm_path_read(&c->arena, m->path, &path);
    p->named = path.what == NPM_TARBALL;
    if (p->named) {
        c->package = path.package;
        p->version = path.version;
    }
    p->user = m->by;
    p->stage = m->stage;
    m->stage = NULL;
    stage_look(p->stage, INT64_MAX, judge, on_judged, p);
}

void npm_publish(struct http_request *req, const struct repo *repo, const struct npm_path *path)
{
    struct publish *p;

    if (!npm_name_valid(path->package, true)) {
        npm_fail_text(req, ERR_BAD_REQUEST, "'%.200s' is not a name for a package", path->package);
        return;
    }
    if (bare(req, path)) {
        stage_body(req, repo, -1, KINDS, NULL, on_tarball, (void *)(uintptr_t)path);
        return;
    }
    p = publish_new(req, repo, path);
    p->document = true;
    p->slot = arena_alloc(&req->arena, sizeof *p->slot);
    *p->slot = p;
    http_on_end(req, publish_gone, p->slot);
    http_body_read(req, -1, on_chunk, p->slot);
}
