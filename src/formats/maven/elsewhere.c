/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/maven/elsewhere.c: files of proxies and groups. A file's SHA-1 is asked of upstream before
 * its bytes are, and what is not what it should be is not kept. Clients get checksums of what is here; of
 * what is not, upstream's; and if upstream has none of that kind, the file is fetched for it. */
#include <string.h>

#include "pantera/stage.h"
#include "pantera/text.h"
#include "src/formats/maven/maven.h"

/* Upstream's .sha1, as the index that knows the file's digest. Without one nothing is compared. */
static enum err sha1_locate(const struct document_source *index, const struct file_want *want,
                            struct arena *a,
                            struct file_facts *ret, struct why *why)
{
    char hex[129];

    (void)want, (void)a, (void)why;
    if (maven_checksum_read(index->data, DIGEST_SHA1, hex) && hex_decode(hex, 40, ret->digests.sha1))
        ret->digests.kinds = DIGEST_SHA1;
    return OK;
}

static bool is_signature(const char *name)
{
    size_t n = strlen(name);

    return n > 4 && !strcmp(name + n - 4, ".asc");
}

/* All of it in the request's memory. */
static struct file_want file_want_of(struct arena *a, const struct maven_path *p)
{
    struct document sha1 = { .kind = &maven_checksum_kind, .path = arena_printf(a, "%s.sha1", p->file) };
    struct file_want want = {
        .path = p->file, .package = maven_coordinates(a, p), .version = p->version,
        .digest_kinds = MAVEN_DIGESTS, .owns = maven_owns,
    };

    if (p->kind == MAVEN_ARTIFACT && !is_signature(p->name) && strlen(sha1.path) <= LIMIT_PATH) {
        want.index = arena_memdup(a, &sha1, sizeof sha1);
        want.index_optional = true;
        want.locate = sha1_locate;
    }
    return want;
}

void maven_elsewhere_get(struct http_request *req, const struct repo *repo, const struct maven_path *p)
{
    struct file_want want = file_want_of(&req->arena, p);

    registry_file(req, repo, &want, maven_fail);
}

/* The repository behind this one that has the file now, in the order in which members answer. NULL: none. */
static const struct repo *holder_of(struct http_request *req, const struct repo *repo, const char *file,
                                    unsigned depth)
{
    const json_t *config = json_object_get(repo->config, "repo"), *name, *list;
    const char *order = json_string_value(json_object_get(config, "order"));
    bool listed = order && !strcmp(order, "listed");
    struct registry *r = worker_of(req)->registry;
    struct registry_stat stat;
    size_t i;

    if (repository_kind(repo) != REPO_GROUP)
        return registry_stat(r, &req->arena, repo, file, &stat) ? NULL : repo;
    list = json_object_get(config, "members");
    for (unsigned pass = listed; depth < 8 && pass < 2; pass++) {
        json_array_foreach (list, i, name) {
            const struct repo *member = registry_repo(r,
                                                      json_string_value(name) ? json_string_value(name) : "");
            const struct repo *found;
            if (!member || (!listed && (repository_kind(member) == REPO_PROXY) != (pass == 1)))
                continue;
            found = holder_of(req, member, file, depth + 1);
            if (found)
                return found;
        }
    }
    return NULL;
}

struct question {                /* the request's memory */
    const char *repo;
    struct maven_path path;
};

static void on_here(struct http_request *req, const struct repo *repo)
{
    const struct question *q = req->context;

    maven_checksum_of(req, repo, &q->path);
}

/* Upstream has no such checksum; the file it may have. */
static void on_missing(struct http_request *req, enum err e, const struct why *why)
{
    const struct question *q = req->context;
    const struct repo *repo = registry_repo(worker_of(req)->registry, q->repo);
    struct file_want want = file_want_of(&req->arena, &q->path);

    want.here = on_here;
    if (e == ERR_NOT_FOUND && repo)
        registry_file(req, repo, &want, maven_fail);
    else
        maven_fail(req, e, why);
}

void maven_elsewhere_checksum(struct http_request *req, const struct repo *repo, const struct maven_path *p)
{
    const struct repo *holder = holder_of(req, repo, p->file, 0);
    struct question *q = arena_alloc(&req->arena, sizeof *q);
    struct document d = { .kind = &maven_checksum_kind, .owns = maven_owns,
                          .path = arena_printf(&req->arena, "%s%s", p->file, maven_suffix(p->checksum)),
                          .package = maven_coordinates(&req->arena, p) };

    *q = (struct question){ arena_strdup(&req->arena, repo->name), *p };
    req->context = q;
    if (holder)
        maven_checksum_of(req, holder, p);
    else
        registry_document(req, repo, &d, on_missing);
}
