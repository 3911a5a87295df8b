/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/pypi/form.c: the upload API's fields (those of the core metadata, and what is about the
 * file), and core metadata itself, which has the form of a mail's head. */
#include "src/formats/pypi/form.h"

#include <string.h>
#include <strings.h>

#include "pantera/text.h"

/* What is kept. Of the others only the bytes are counted. */
static const struct {
    const char *name, *header; /* header: in core metadata; NULL: of forms only */
    bool list;
    unsigned limit;
} known[] = {
    { ":action", NULL, false, 64 },
    { "protocol_version", NULL, false, 16 },
    { "filetype", NULL, false, 64 },
    { "pyversion", NULL, false, 64 },
    { "md5_digest", NULL, false, 128 },
    { "sha256_digest", NULL, false, 128 },
    { "blake2_256_digest", NULL, false, 128 },
    { "attestations", NULL, false, KIB(256) },
    { "metadata_version", "Metadata-Version", false, 16 },
    { "name", "Name", false, 256 },
    { "version", "Version", false, 256 },
    { "summary", "Summary", false, 1024 },
    { "keywords", "Keywords", false, 2048 },
    { "home_page", "Home-page", false, 2048 },
    { "author", "Author", false, 1024 },
    { "author_email", "Author-email", false, 2048 },
    { "maintainer", "Maintainer", false, 1024 },
    { "maintainer_email", "Maintainer-email", false, 2048 },
    { "license", "License", false, KIB(64) },
    { "license_expression", "License-Expression", false, 1024 },
    { "requires_python", "Requires-Python", false, 256 },
    { "requires_dist", "Requires-Dist", true, 2048 },
    { "provides_extra", "Provides-Extra", true, 256 },
    { "project_urls", "Project-URL", true, 2048 },
    { "classifiers", "Classifier", true, 512 },
};
enum { KNOWN = sizeof known / sizeof *known, LIST_ITEMS = 1000 };

void form_init(struct form *f)
{
    memset(f, 0, sizeof *f);
    f->fields = json_object();
    buf_init(&f->value, KIB(256));
}

void form_free(struct form *f)
{
    json_decref(f->fields);
    f->fields = NULL;
    buf_free(&f->value);
}

static void begin_known(struct form *f, unsigned i)
{
    memcpy(f->name, known[i].name, strlen(known[i].name) + 1);
    f->list = known[i].list;
    f->limit = known[i].limit;
}

void form_begin(struct form *f, const char *name)
{
    buf_clear(&f->value);
    f->name[0] = 0;
    for (unsigned i = 0; i < KNOWN; i++)
        if (!strcmp(name, known[i].name))
            begin_known(f, i);
}

enum err form_data(struct form *f, const void *data, size_t size, struct why *why)
{
    f->bytes += size;
    if (f->bytes > FORM_BYTES)
        return fail(why, ERR_TOO_BIG, "the form's fields are larger than %zu bytes",
                    (size_t)FORM_BYTES);
    if (!f->name[0])
        return OK;
    if (f->value.length + size > f->limit || buf_add(&f->value, data, size))
        return fail(why, ERR_BAD_REQUEST, "'%s' is longer than %zu bytes", f->name, f->limit);
    return OK;
}

enum err form_end(struct form *f, struct why *why)
{
    const char *text = f->value.length ? f->value.data : "";
    json_t *value, *list;

    if (!f->name[0])
        return OK;
    if (strlen(text) != f->value.length || !utf8_valid(text, f->value.length))
        return fail(why, ERR_BAD_REQUEST, "'%s' is not valid UTF-8 text", f->name);
    value = json_string(text);
    list = json_object_get(f->fields, f->name);
    if (!f->list) {
        if (list && strcmp(json_string_value(list), text)) { /* which of them would count? */
            json_decref(value);
            return fail(why, ERR_BAD_REQUEST, "'%s' comes twice", f->name);
        }
        json_object_set_new(f->fields, f->name, value);
        return OK;
    }
    if (!list)
        json_object_set_new(f->fields, f->name, list = json_array());
    if (json_array_size(list) >= LIST_ITEMS) {
        json_decref(value);
        return fail(why, ERR_BAD_REQUEST, "'%s' comes more than %d times", f->name, LIST_ITEMS);
    }
    json_array_append_new(list, value);
    return OK;
}

const char *form_text(const struct form *f, const char *name)
{
    const char *text = json_string_value(json_object_get(f->fields, name));

    return text && *text ? text : NULL;
}

/* --- what it must say --- */

/* One segment of a URL that every tool takes as it stands. */
static bool file_name_good(const char *name)
{
    for (const char *c = name; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
              strchr("._+!-", *c)))
            return false;
    return *name && *name != '.' && strlen(name) <= 240;
}

static enum err file_facts(const struct form *f, struct arena *a, struct upload_facts *u,
                           struct why *why)
{
    const char *type = form_text(f, "filetype");

    if (!file_name_good(u->file_name))
        return fail(why, ERR_BAD_REQUEST, "Invalid file name '%.100s'", u->file_name);
    if (!pypi_file_parse(a, u->project, u->file_name, &u->file))
        return fail(why, ERR_BAD_REQUEST,
                    "Filename '%.100s' should be of project '%.60s': "
                    "<name>-<version>.tar.gz or <name>-<version>-<tags>.whl",
                    u->file_name, u->project);
    if (u->file.kind == PYPI_OTHER)
        return fail(why, ERR_BAD_REQUEST,
                    "Invalid file '%.100s': neither a wheel nor a source distribution",
                    u->file_name);
    if (pypi_version_compare(&u->file.version, &u->version))
        return fail(why, ERR_BAD_REQUEST,
                    "Version in filename '%.100s' should be '%.60s', not '%.60s'", u->file_name,
                    u->version.text, u->file.version.text);
    if (type && strcmp(type, u->file.kind == PYPI_WHEEL ? "bdist_wheel" : "sdist"))
        return fail(why, ERR_BAD_REQUEST,
                    "Invalid value for filetype: '%.40s' is not what '%.100s' is", type,
                    u->file_name);
    return OK;
}

enum err form_facts(const struct form *f, struct arena *a, const char *file_name,
                    struct upload_facts *ret, struct why *why)
{
    const char *action = form_text(f, ":action"), *version = form_text(f, "version");
    const char *name = form_text(f, "name"), *python = form_text(f, "requires_python");
    struct upload_facts u = { .file_name = arena_strdup(a, file_name) };
    enum err e;

    if (!action || strcmp(action, "file_upload"))
        return fail(why, ERR_BAD_REQUEST, "':action' is to be 'file_upload'");
    if (!name || !pypi_name_valid(name))
        return fail(why, ERR_BAD_REQUEST, "Invalid value for name: '%.100s'", name ? name : "");
    if (!version || !pypi_version_parse(a, version, &u.version))
        return fail(why, ERR_BAD_REQUEST,
                    "Invalid value for version: '%.100s' is not one of PEP 440",
                    version ? version : "");
    u.name = arena_strdup(a, name);
    u.project = pypi_name_normal(a, name);
    u.requires_python = python ? arena_strdup(a, python) : NULL;
    if ((e = file_facts(f, a, &u, why)))
        return e;
    u.path = arena_printf(a, "%s/%s/%s", u.project, u.version.text, u.file_name);
    *ret = u;
    return OK;
}

static enum err same_digest(const struct form *f, const char *field, const void *got, size_t size,
                            struct why *why)
{
    const char *text = form_text(f, field);
    char hex[65];

    hex_encode(got, size, hex);
    if (text && strcasecmp(text, hex))
        return fail(why, ERR_BAD_REQUEST,
                    "The digest supplied as %s does not match the uploaded file: %s", field, hex);
    return OK;
}

enum err form_digests(const struct form *f, const struct digest_values *d,
                      const unsigned char blake2[32], struct why *why)
{
    enum err e;

    if ((e = same_digest(f, "sha256_digest", d->sha256, 32, why)) ||
        (e = same_digest(f, "md5_digest", d->md5, 16, why)))
        return e;
    return same_digest(f, "blake2_256_digest", blake2, 32, why);
}

/* --- core metadata --- */

static void begin_header(struct form *f, const char *name, size_t length)
{
    buf_clear(&f->value);
    f->name[0] = 0;
    for (unsigned i = 0; i < KNOWN; i++)
        if (known[i].header && strlen(known[i].header) == length &&
            !strncasecmp(name, known[i].header, length))
            begin_known(f, i);
}

/* Lines "Name: value"; one that begins with a blank goes on with the one before; an empty one is the end,
 * after which a description may follow. */
enum err metadata_read(const char *text, size_t size, struct form *ret, struct why *why)
{
    const char *end = text + size;
    enum err e;

    ret->name[0] = 0;
    while (text < end) {
        const char *stop = memchr(text, '\n', (size_t)(end - text)), *next = stop ? stop + 1 : end,
                   *colon;
        if (!stop)
            stop = end;
        if (stop > text && stop[-1] == '\r')
            stop--;
        if (stop == text)
            break;
        if (*text == ' ' || *text == '\t') {
            if ((e = form_data(ret, "\n", 1, why)))
                return e;
        } else {
            if ((e = form_end(ret, why)))
                return e;
            colon = memchr(text, ':', (size_t)(stop - text));
            if (!colon)
                return fail(why, ERR_BAD_REQUEST, "the file's metadata can't be read");
            begin_header(ret, text, (size_t)(colon - text));
            text = colon + 1;
        }
        while (text < stop && (*text == ' ' || *text == '\t'))
            text++;
        if ((e = form_data(ret, text, (size_t)(stop - text), why)))
            return e;
        text = next;
    }
    return form_end(ret, why);
}

enum err metadata_check(const struct form *metadata, struct arena *a,
                        const struct upload_facts *facts, struct why *why)
{
    const char *name = form_text(metadata, "name"), *text = form_text(metadata, "version");
    struct pypi_version version;

    if (!form_text(metadata, "metadata_version") || !name || !text)
        return fail(why, ERR_BAD_REQUEST,
                    "the file's metadata has no Metadata-Version, Name or Version");
    if (!pypi_name_valid(name) || strcmp(pypi_name_normal(a, name), facts->project))
        return fail(why, ERR_BAD_REQUEST,
                    "the file's metadata is of project '%.100s', not '%.100s'", name, facts->name);
    if (!pypi_version_parse(a, text, &version) || pypi_version_compare(&version, &facts->version))
        return fail(why, ERR_BAD_REQUEST, "the file's metadata is of version '%.60s', not '%.60s'",
                    text, facts->version.text);
    return OK;
}
