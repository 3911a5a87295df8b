/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/maven/import.c: files of another Maven repository. Artifacts become what a deploy makes of
 * them. Checksums are compared with their file, if it has come, and not kept: they are known here. Of
 * maven-metadata.xml what no file says is kept (documents.c). */
#include <stdlib.h>
#include <string.h>

#include "pantera/stage.h"
#include "pantera/text.h"
#include "src/formats/maven/maven.h"

#define CHECKSUM_BYTES KIB(4) /* some tools add the file's name */

enum err maven_importable(const struct repo *repo, const char *path, struct why *why)
{
    struct maven_path p;
    struct arena a;
    enum err e;

    arena_init(&a);
    maven_path_parse(&a, path, &p);
    e = *path == '.' ? fail(why, ERR_BAD_REQUEST, "'%.200s' can't be imported", path)
                     : maven_judge(repo, path, &p, why);
    arena_release(&a);
    return e == ERR_CONFLICT ? ERR_BAD_REQUEST : e;
}

/* --- small files, read on the pool --- */

struct small {
    struct imported *imported;
    struct maven_path path;
    struct buf text;
};

static void small_end(struct small *s, enum err e, const struct why *why)
{
    struct imported *m = s->imported;

    buf_free(&s->text);
    free(s);
    imported_end(m, e, why);
}

static enum err small_read(int fd, struct why *why, void *arg)
{
    struct small *s = arg;

    return look_read(fd, &s->text, why);
}

static enum err checksum_compare(struct small *s, const struct repo *repo, struct why *why)
{
    struct imported *m = s->imported;
    const struct maven_path *p = &s->path;
    struct registry_stat stat;
    char said[129], hex[129];
    const void *digest;
    size_t size;

    if (strlen(s->text.data) != s->text.length || !maven_checksum_read(s->text.data, p->checksum, said))
        return fail(why, ERR_BAD_REQUEST, "not a %s checksum", maven_suffix(p->checksum) + 1);
    if (p->kind == MAVEN_METADATA ||
        registry_stat(m->worker->registry, &m->arena, repo, p->file, &stat) ||
        !(stat.digests.kinds & p->checksum))
        return OK;
    digest = maven_digest(&stat.digests, p->checksum, &size);
    hex_encode(digest, size, hex);
    m->already = true;
    return !strcmp(hex, said) || maven_rules_of(repo).lenient
               ? OK
               : fail(why, ERR_DIGEST_MISMATCH, "'%.150s' has %s %s, not %s", p->file,
                      maven_suffix(p->checksum) + 1, hex, said);
}

static void on_small(enum err e, const struct why *why, void *arg)
{
    struct small *s = arg;
    const struct repo *repo = imported_repo(s->imported);
    struct why text = *why;

    if (e || !repo) {
        small_end(s, e == ERR_TOO_BIG ? ERR_BAD_REQUEST : e ? e : ERR_NOT_FOUND, why);
    } else if (s->path.checksum) {
        e = checksum_compare(s, repo, &text);
        small_end(s, e, &text);
    } else if (!memmem(s->text.data, s->text.length, "plugins", 7)) {
        small_end(s, OK, NULL);
    } else {
        maven_plugins_import(s->imported, repo, s->path.folder, &s->text);
        free(s);
    }
}

/* --- files --- */

struct file {
    struct imported *imported;
    struct stage *stage;
    bool once;
};

static void on_committed(enum err e, const struct why *why, void *arg)
{
    struct file *f = arg;
    struct imported *m = f->imported;

    if (e)
        stage_drop(f->stage);
    free(f);
    imported_end(m, e == ERR_PRECONDITION ? ERR_CONFLICT : e, why);
}

static void file_commit(struct imported *m, const struct repo *repo, const struct maven_path *p)
{
    struct commit_what what = { .content_type = m->content_type };
    struct file *f = calloc(1, sizeof *f);
    struct commit *c;

    check(f);
    f->imported = m;
    f->stage = m->stage;
    f->once = p->kind == MAVEN_ARTIFACT && !p->snapshot && !maven_rules_of(repo).redeploy;
    m->stage = NULL;
    if (p->kind == MAVEN_ARTIFACT) {
        what.name = maven_package(&m->arena, p);
        what.version = p->version;
    }
    c = commit_new(m->worker, repo, m->req);
    commit_imported(c, m, m->path, f->stage, f->once ? &what : NULL);
    commit_put(c, m->path, f->stage, &what);
    commit_run(c, on_committed, f);
}

void maven_import(struct imported *m)
{
    const struct repo *repo = imported_repo(m);
    struct maven_path p;
    struct small *s;

    if (!repo) {
        imported_end(m, ERR_NOT_FOUND, NULL);
        return;
    }
    maven_path_parse(&m->arena, m->path, &p);
    if (!p.checksum && p.kind != MAVEN_METADATA) {
        file_commit(m, repo, &p);
        return;
    }
    s = calloc(1, sizeof *s);
    check(s);
    s->imported = m;
    s->path = p;
    buf_init(&s->text, MAVEN_METADATA_LIMIT);
    stage_look(m->stage, (int64_t)(p.checksum ? CHECKSUM_BYTES : MAVEN_METADATA_LIMIT), small_read,
               on_small, s);
}
