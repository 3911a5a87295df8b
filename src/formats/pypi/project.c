/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/pypi/project.c: changes to a project's document. */
#include "src/formats/pypi/project.h"

#include <string.h>

#include "pantera/clock.h"
#include "pantera/text.h"

enum { PROJECT_FILES = 20000 };

enum err project_read(const char *data, size_t size, const char *name, json_t **ret,
                      struct why *why)
{
    json_t *p =
        data ? json_loadb(data, size, 0, NULL) : json_pack("{s:s, s:[]}", "name", name, "files");

    if (!json_is_array(json_object_get(p, "files"))) {
        json_decref(p);
        return fail(why, ERR_INTERNAL, "the document of project '%.100s' can't be read", name);
    }
    *ret = p;
    return OK;
}

static int append(const char *data, size_t size, void *arg)
{
    return buf_add(arg, data, size) ? -1 : 0;
}

enum err project_write(const json_t *project, struct buf *ret, struct why *why)
{
    if (!json_array_size(json_object_get(project, "files")) && !project_status(project, NULL))
        return OK;
    if (json_dump_callback(project, append, ret, JSON_COMPACT))
        return fail(why, ERR_TOO_BIG, "the project has too many files");
    return OK;
}

const char *project_status(const json_t *project, const char **ret_reason)
{
    const json_t *object = json_object_get(project, "project-status");
    const char *status = json_string_value(json_object_get(object, "status"));

    if (ret_reason)
        *ret_reason = json_string_value(json_object_get(object, "reason"));
    return status && strcmp(status, "active") ? status : NULL;
}

/* --- adding --- */

static json_t *hex_of(const void *data, size_t size)
{
    char hex[129];

    hex_encode(data, size, hex);
    return json_string(hex);
}

static json_t *file_entry(const struct project_file *f)
{
    json_t *entry = json_object(), *hashes = json_object();
    char time[32];

    json_object_set_new(entry, "filename", json_string(f->facts->file_name));
    json_object_set_new(entry, "version", json_string(f->facts->version.text));
    json_object_set_new(hashes, "sha256", hex_of(f->digests->sha256, 32));
    json_object_set_new(hashes, "md5", hex_of(f->digests->md5, 16));
    json_object_set_new(hashes, "blake2b_256", hex_of(f->blake2, 32));
    json_object_set_new(entry, "hashes", hashes);
    json_object_set_new(entry, "size", json_integer(f->size));
    json_object_set_new(entry, "upload-time", json_string(clock_rfc3339(f->now_ms, time)));
    if (f->facts->requires_python)
        json_object_set_new(entry, "requires-python", json_string(f->facts->requires_python));
    if (f->metadata_sha256)
        json_object_set_new(entry, "core-metadata",
                            json_pack("{s:o}", "sha256", hex_of(f->metadata_sha256, 32)));
    if (f->provenance)
        json_object_set_new(entry, "provenance", json_true());
    return entry;
}

/* What /pypi/<name>/json tells of a version: the last file that was uploaded says it. */
static void release_put(json_t *project, const struct project_file *f)
{
    static const char *const kept[] = { "summary",          "keywords",           "home_page",
                                        "author",           "author_email",       "maintainer",
                                        "maintainer_email", "license_expression", "requires_python",
                                        "requires_dist",    "provides_extra",     "project_urls",
                                        "classifiers" };
    json_t *all = json_object_get(project, "releases"), *one = json_object(), *value;

    if (!all)
        json_object_set_new(project, "releases", all = json_object());
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if ((value = json_object_get(f->fields, kept[i])))
            json_object_set(one, kept[i], value);
    json_object_set_new(all, f->facts->version.text, one);
}

static const char *text_of(const json_t *entry, const char *key)
{
    const char *text = json_string_value(json_object_get(entry, key));

    return text ? text : "";
}

enum err project_add(json_t *project, const struct project_file *f, struct why *why)
{
    json_t *files = json_object_get(project, "files"), *entry, *made, *yanked = NULL;
    const char *status = project_status(project, NULL);
    size_t i;

    json_array_foreach(files, i, entry)
    {
        if (!strcmp(text_of(entry, "version"), f->facts->version.text) &&
            json_object_get(entry, "yanked"))
            yanked = json_object_get(entry, "yanked");
        if (strcmp(text_of(entry, "filename"), f->facts->file_name))
            continue;
        made = hex_of(f->digests->sha256, 32);
        bool same = json_equal(made, json_object_get(json_object_get(entry, "hashes"), "sha256"));
        json_decref(made);
        return same ? ERR_GONE
                    : fail(why, ERR_CONFLICT, "File already exists: '%.150s' with other content",
                           f->facts->file_name);
    }
    /* PEP 792: neither of the two takes uploads. */
    if (status && (!strcmp(status, "archived") || !strcmp(status, "quarantined")))
        return fail(why, ERR_FORBIDDEN, "Project '%.100s' is %s and takes no uploads",
                    f->facts->name, status);
    if (i >= PROJECT_FILES)
        return fail(why, ERR_TOO_BIG, "the project has %d files and takes no more", PROJECT_FILES);
    made = file_entry(f);
    if (yanked) /* what is yanked is a version: a wheel that comes late is no way around it */
        json_object_set(made, "yanked", yanked);
    json_array_append_new(files, made);
    release_put(project, f);
    return OK;
}

/* --- removing --- */

static bool has_version(const json_t *files, const char *version)
{
    json_t *entry;
    size_t i;

    json_array_foreach((json_t *)files, i,
                       entry) if (!strcmp(text_of(entry, "version"), version)) return true;
    return false;
}

enum err project_remove(json_t *project, const char *version, const char *file_name, unsigned most,
                        json_t **ret_paths, bool *ret_more)
{
    json_t *files = json_object_get(project, "files"), *left = json_array(), *gone = json_array(),
           *entry;
    size_t i;

    *ret_more = false;
    json_array_foreach(files, i, entry)
    {
        bool wanted = (!version || !strcmp(text_of(entry, "version"), version)) &&
                      (!file_name || !strcmp(text_of(entry, "filename"), file_name));
        if (wanted && json_array_size(gone) < most) {
            json_array_append_new(
                gone, json_pack("[s, s]", text_of(entry, "version"), text_of(entry, "filename")));
            continue;
        }
        *ret_more |= wanted;
        json_array_append(left, entry);
    }
    if (!json_array_size(gone)) {
        json_decref(left);
        json_decref(gone);
        return ERR_NOT_FOUND;
    }
    json_array_foreach(gone, i, entry)
    {
        const char *of = json_string_value(json_array_get(entry, 0));
        if (!has_version(left, of))
            json_object_del(json_object_get(project, "releases"), of);
    }
    json_object_set_new(project, "files", left);
    *ret_paths = gone;
    return OK;
}

/* --- yanking, status --- */

enum err project_yank(json_t *project, const char *version, bool yanked, const char *reason)
{
    json_t *entry;
    bool found = false;
    size_t i;

    json_array_foreach(json_object_get(project, "files"), i, entry)
    {
        if (strcmp(text_of(entry, "version"), version))
            continue;
        found = true;
        if (yanked)
            json_object_set_new(entry, "yanked",
                                reason && *reason ? json_string(reason) : json_true());
        else
            json_object_del(entry, "yanked");
    }
    return found ? OK : ERR_NOT_FOUND;
}

enum err project_set_status(json_t *project, const char *status, const char *reason,
                            struct why *why)
{
    static const char *const all[] = { "active", "archived", "quarantined", "deprecated" };
    size_t i = 0;

    while (i < sizeof all / sizeof *all && strcmp(all[i], status))
        i++;
    if (i == sizeof all / sizeof *all)
        return fail(why, ERR_BAD_REQUEST,
                    "'status' is active, archived, quarantined or deprecated");
    if (i == 0)
        json_object_del(project, "project-status");
    else
        json_object_set_new(project, "project-status",
                            json_pack("{s:s, s:s*}", "status", status, "reason", reason));
    return OK;
}
