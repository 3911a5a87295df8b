/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/pypi/legacy.c: what /pypi/<project>/json and /pypi/<project>/<version>/json say: what a
 * version says of itself, and its files, for tools that read PyPI's own JSON API. Pure. */
#include <string.h>

#include "pantera/text.h"
#include "src/formats/pypi/names.h"
#include "src/formats/pypi/page.h"

/* The newest that is neither a pre-release nor yanked; else the newest. */
static const char *newest(const json_t *page, struct arena *a)
{
    struct pypi_version best = { 0 }, v;
    bool best_good = false;
    const char *reason;
    json_t *file;
    size_t i;

    json_array_foreach (json_object_get(page, "files"), i, file) {
        const char *text = json_string_value(json_object_get(file, "version"));
        if (!text || !pypi_version_parse(a, text, &v))
            continue;
        bool good = !v.pre && !v.dev && !page_yanked(file, &reason);
        if (!best.text || good > best_good || (good == best_good && pypi_version_compare(&v, &best) > 0)) {
            best = v;
            best_good = good;
        }
    }
    return best.text;
}

static void copy(json_t *to, const char *key, json_t *value)
{
    if (value)
        json_object_set(to, key, value);
    else
        json_object_set_new(to, key, json_null());
}

/* A page links relative to itself: "../../<project>/…". */
static json_t *url_of(const json_t *file, const char *base, struct arena *a)
{
    const char *name = json_string_value(json_object_get(file, "filename")), *reason;
    const char *link = json_string_value(json_object_get(file, "url"));
    size_t n = strlen(name);
    bool yanked = page_yanked(file, &reason), wheel = n > 4 && !strcmp(name + n - 4, ".whl");
    json_t *hashes = json_object_get(file, "hashes"), *url = json_object();

    json_object_set_new(url, "filename", json_string(name));
    json_object_set_new(url, "packagetype", json_string(wheel ? "bdist_wheel" : "sdist"));
    json_object_set_new(url, "url", json_string(arena_printf(a, "%s/%s", base, link + strlen("../../"))));
    copy(url, "digests", hashes);
    copy(url, "md5_digest", json_object_get(hashes, "md5"));
    copy(url, "size", json_object_get(file, "size"));
    copy(url, "upload_time_iso_8601", json_object_get(file, "upload-time"));
    copy(url, "requires_python", json_object_get(file, "requires-python"));
    json_object_set_new(url, "yanked", json_boolean(yanked));
    json_object_set_new(url, "yanked_reason", reason ? json_string(reason) : json_null());
    return url;
}

static int append(const char *data, size_t size, void *arg)
{
    return buf_add(arg, data, size) ? -1 : 0;
}

enum err page_write_legacy(const json_t *page, const char *base, const char *version, struct arena *a,
                           struct buf *ret, struct why *why)
{
    json_t *releases = json_object(), *info = json_object(), *file, *out;
    const char *of = version ? version : newest(page, a);
    enum err e = OK;
    size_t i;

    json_array_foreach (json_object_get(page, "files"), i, file) {
        const char *text = json_string_value(json_object_get(file, "version"));
        if (!json_object_get(releases, text))
            json_object_set_new(releases, text, json_array());
        json_array_append_new(json_object_get(releases, text), url_of(file, base, a));
    }
    if (!of || !json_object_get(releases, of)) {
        e = fail(why, ERR_NOT_FOUND, "there is no such version");
    } else {
        json_object_update(info, json_object_get(json_object_get(page, "releases"), of));
        json_object_set(info, "name", json_object_get(page, "name"));
        json_object_set_new(info, "version", json_string(of));
        out = json_pack("{s:O, s:O, s:O}", "info", info, "urls", json_object_get(releases, of), "releases",
                        releases);
        (void)json_dump_callback(out, append, ret, JSON_COMPACT);
        json_decref(out);
        e = buf_err(ret);
    }
    json_decref(info);
    json_decref(releases);
    return e;
}
