/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/pypi/page.c: several indexes' pages of a project become one, without what policy blocks.
 * Files are linked relative to /simple/<project>/, so that a page is the same by whatever name this server
 * is called. */
#include "src/formats/pypi/page.h"

#include <string.h>

#include "pantera/text.h"
#include "src/formats/pypi/names.h"
#include "src/formats/pypi/project.h"

static bool segment_good(const char *name)
{
    size_t n = strlen(name);

    if (n == 0 || n > 255 || name[0] == '.' || strchr(name, '/') || strchr(name, '\\'))
        return false;
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < 32 || *c == 127)
            return false;
    return true;
}

static enum err page_check(json_t *page, struct why *why)
{
    json_t *files = json_object_get(page, "files"), *file;
    size_t i;

    if (!json_is_array(files) || json_array_size(files) > PAGE_FILES)
        return fail(why, ERR_UPSTREAM, "the index's page of the project can't be read");
    for (i = json_array_size(files); i--;) { /* what we can't name we don't offer */
        file = json_array_get(files, i);
        const char *name = json_string_value(json_object_get(file, "filename"));
        if (!name || !segment_good(name))
            json_array_remove(files, i);
        else if (!json_is_object(json_object_get(file, "hashes")))
            json_object_set_new(file, "hashes", json_object());
    }
    return OK;
}

enum err page_read(const char *data, size_t size, const char *content_type, json_t **ret,
                   struct why *why)
{
    json_t *page = NULL;
    enum err e = OK;

    if (content_type && strstr(content_type, "html"))
        e = page_read_html(data, size, &page, why);
    else if (!(page = json_loadb(data, size, 0, NULL)))
        e = fail(why, ERR_UPSTREAM, "the index's page of the project can't be read");
    if (!e)
        e = page_check(page, why);
    if (e)
        json_decref(page);
    else
        *ret = page;
    return e;
}

const json_t *page_file(const json_t *page, const char *file_name)
{
    json_t *file;
    size_t i;

    json_array_foreach(json_object_get(page, "files"), i,
                       file) if (!strcmp(json_string_value(json_object_get(file, "filename")),
                                         file_name)) return file;
    return NULL;
}

bool page_yanked(const json_t *file, const char **ret_reason)
{
    const json_t *yanked = json_object_get(file, "yanked");

    *ret_reason = json_is_string(yanked) ? json_string_value(yanked) : NULL;
    return json_is_true(yanked) || json_is_string(yanked);
}

/* --- joining --- */

struct join {
    const struct page_request *q;
    json_t *page, *files, *seen, *versions, *seen_versions;
    int64_t valid_until_ms;
    unsigned good;
    bool legacy;
    struct arena scratch;        /* for one file: pages hold many */
};

/* The version that a file is of, as it stands in its path. */
static const char *version_of(struct join *j, const struct page_source *s, const json_t *file)
{
    const char *said = json_string_value(json_object_get(file, "version"));
    struct pypi_file parsed;

    if (s->ours && said)
        return said;
    return pypi_file_parse(&j->scratch, j->q->project,
                           json_string_value(json_object_get(file, "filename")), &parsed)
               ? parsed.version.text
               : "unknown";
}

static bool allowed(struct join *j, const struct page_source *s, const json_t *file,
                    const char *version)
{
    const char *time = json_string_value(json_object_get(file, "upload-time"));
    int64_t released = 0, until = 0;

    if (!s->allowed)
        return true;
    if (time && !pypi_time_parse(time, &released))
        released = 0;
    if (s->allowed(s->policy, version, released, &until))
        return true;
    if (until && (!j->valid_until_ms || until < j->valid_until_ms))
        j->valid_until_ms = until;
    return false;
}

static void copy(json_t *to, const json_t *from, const char *key)
{
    json_t *value = json_object_get(from, key);

    if (value && !json_is_null(value))
        json_object_set(to, key, value);
}

/* What we pass on of a file, and where it is here. */
static json_t *entry_of(struct join *j, const json_t *file, const char *version)
{
    const char *name = json_string_value(json_object_get(file, "filename"));
    json_t *entry = json_object(), *metadata = json_object_get(file, "core-metadata");
    struct arena *a = &j->scratch;

    if (!metadata)
        metadata = json_object_get(file, "dist-info-metadata");
    json_object_set_new(entry, "filename", json_string(name));
    json_object_set_new(entry, "url",
                        json_string(arena_printf(
                            a, "../../%s/%s/%s", percent_encode(a, j->q->project, false),
                            percent_encode(a, version, false), percent_encode(a, name, false))));
    if (j->legacy)
        json_object_set_new(entry, "version", json_string(version));
    copy(entry, file, "hashes");
    copy(entry, file, "requires-python");
    copy(entry, file, "size");
    copy(entry, file, "upload-time");
    copy(entry, file, "yanked");
    if (metadata && !json_is_false(metadata) &&
        !json_is_null(metadata)) { /* PEP 714: under both names */
        json_object_set(entry, "core-metadata", metadata);
        json_object_set(entry, "dist-info-metadata", metadata);
    }
    if (json_is_true(json_object_get(file, "provenance")))
        json_object_set_new(entry, "provenance",
                            json_string(arena_printf(a, "%s/%s/%s/%s.provenance", j->q->base,
                                                     percent_encode(a, j->q->project, false),
                                                     percent_encode(a, version, false),
                                                     percent_encode(a, name, false))));
    return entry;
}

/* What a hosted repository knows of its versions. */
static void join_releases(struct join *j, const json_t *page)
{
    json_t *all = json_object_get(j->page, "releases");

    if (!all)
        json_object_set_new(j->page, "releases", all = json_object());
    json_object_update_missing(all, json_object_get(page, "releases"));
    if (!json_object_get(j->page, "name"))
        copy(j->page, page, "name");
}

static void join_files(struct join *j, const struct page_source *s, const json_t *page)
{
    const char *status = project_status(page, NULL);
    json_t *file;
    size_t i;

    if (status && !json_object_get(j->page, "project-status"))
        json_object_set(j->page, "project-status", json_object_get(page, "project-status"));
    if (status && !strcmp(status, "quarantined")) /* PEP 792: offers nothing */
        return;
    if (j->legacy && s->ours)
        join_releases(j, page);
    json_array_foreach (json_object_get(page, "files"), i, file) {
        const char *name = json_string_value(json_object_get(file, "filename"));
        arena_reset(&j->scratch);
        const char *version = version_of(j, s, file);
        if (json_object_get(j->seen, name) || !allowed(j, s, file, version))
            continue;
        json_object_set_new(j->seen, name, json_true());
        json_array_append_new(j->files, entry_of(j, file, version));
        if (strcmp(version, "unknown") && !json_object_get(j->seen_versions, version)) {
            json_object_set_new(j->seen_versions, version, json_true());
            json_array_append_new(j->versions, json_string(version));
        }
    }
}

static enum err join_write(struct join *j, struct buf *ret, struct why *why)
{
    const char *variant = j->q->variant, *space = strchr(variant, ' ');

    json_object_set(j->page, "versions", j->versions);
    json_object_set(j->page, "files", j->files);
    if (!json_object_get(j->page, "name"))
        json_object_set_new(j->page, "name", json_string(j->q->project));
    if (j->legacy)
        return page_write_legacy(j->page, j->q->base, space ? space + 1 : NULL, j->q->arena, ret, why);
    page_write(j->page, variant, ret);
    return buf_err(ret);
}

enum err page_compose(const struct page_request *q, const struct page_source *sources,
                      unsigned count, struct buf *ret, int64_t *ret_valid_until_ms, struct why *why)
{
    struct join j = { .q = q,
                      .page = json_object(),
                      .files = json_array(),
                      .seen = json_object(),
                      .versions = json_array(),
                      .seen_versions = json_object(),
                      .legacy = !strncmp(q->variant, "legacy", 6) };
    enum err e = OK, failed = OK;

    arena_init(&j.scratch);
    for (unsigned i = 0; i < count; i++) {
        json_t *page;
        enum err one =
            page_read(sources[i].data, sources[i].size, sources[i].content_type, &page, why);
        if (one) {
            failed = one;
            continue;
        }
        j.good++;
        join_files(&j, &sources[i], page);
        json_decref(page);
    }
    if (!j.good || (failed && q->whole)) {
        e = failed ? failed : ERR_NOT_FOUND;
    } else {
        *ret_valid_until_ms = j.valid_until_ms;
        e = join_write(&j, ret, why);
    }
    arena_release(&j.scratch);
    json_decref(j.page);
    json_decref(j.files);
    json_decref(j.seen);
    json_decref(j.versions);
    json_decref(j.seen_versions);
    return e;
}
