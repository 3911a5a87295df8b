/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/pypi/page_write.c: a project's page as JSON (PEP 691, 700, 714, 740, 792) and as HTML (PEP
 * 503, 592, 629, 658, 714, 792). */
#include <string.h>

#include "src/formats/pypi/page.h"

void page_escape(struct buf *b, const char *text)
{
    for (; *text; text++) {
        size_t n = strcspn(text, "&<>\"'");
        (void)buf_add(b, text, n);
        text += n;
        switch (*text) {
        case '&':
            (void)buf_puts(b, "&amp;");
            break;
        case '<':
            (void)buf_puts(b, "&lt;");
            break;
        case '>':
            (void)buf_puts(b, "&gt;");
            break;
        case '"':
            (void)buf_puts(b, "&quot;");
            break;
        case '\'':
            (void)buf_puts(b, "&#x27;");
            break;
        default:
            return;
        }
    }
}

const char *page_content_type(const char *variant)
{
    return !strncmp(variant, "legacy", 6) ? "application/json"
           : !strcmp(variant, "json")      ? "application/vnd.pypi.simple.v1+json"
           : !strcmp(variant, "html-v1") ? "application/vnd.pypi.simple.v1+html"
                                         : "text/html; charset=utf-8";
}

static int append(const char *data, size_t size, void *arg)
{
    return buf_add(arg, data, size) ? -1 : 0;
}

/* PEP 700 wants a size of each file from 1.1 on: an index in HTML does not tell it. */
static const char *version_of(const json_t *page)
{
    json_t *file;
    size_t i;

    json_array_foreach(json_object_get(page, "files"), i,
                       file) if (!json_is_integer(json_object_get(file, "size"))) return "1.0";
    return "1.4";
}

static void write_json(const json_t *page, struct buf *ret)
{
    json_t *out = json_pack("{s:{s:s}}", "meta", "api-version", version_of(page));

    json_object_update(out, (json_t *)page);
    (void)json_dump_callback(out, append, ret, JSON_COMPACT); /* a failure stays in `ret` */
    json_decref(out);
}

static void attribute(struct buf *b, const char *name, const char *value)
{
    (void)buf_printf(b, " %s=\"", name);
    page_escape(b, value);
    (void)buf_puts(b, "\"");
}

/* "sha256=..." of an object of hashes, or "true". */
static void metadata_attributes(struct buf *b, const json_t *metadata)
{
    static const char *const names[] = { "data-core-metadata", "data-dist-info-metadata" };
    const char *sha256 = json_string_value(json_object_get(metadata, "sha256"));

    for (unsigned i = 0; metadata && i < 2; i++) {
        (void)buf_printf(b, " %s=\"%s", names[i], sha256 ? "sha256=" : "true");
        page_escape(b, sha256 ? sha256 : "");
        (void)buf_puts(b, "\"");
    }
}

static void write_anchor(const json_t *file, struct buf *b)
{
    const char *name = json_string_value(json_object_get(file, "filename")), *reason, *kind;
    const char *python = json_string_value(json_object_get(file, "requires-python"));
    const char *provenance = json_string_value(json_object_get(file, "provenance"));
    json_t *hashes = json_object_get(file, "hashes"), *hash = json_object_get(hashes, "sha256");

    (void)buf_puts(b, "<a href=\"");
    page_escape(b, json_string_value(json_object_get(file, "url")));
    kind = "sha256";
    if (!hash) { /* PEP 503: any that hashlib guarantees */
        void *first = json_object_iter(hashes);
        kind = first ? json_object_iter_key(first) : NULL;
        hash = first ? json_object_iter_value(first) : NULL;
    }
    if (kind && json_is_string(hash)) {
        (void)buf_puts(b, "#");
        page_escape(b, kind);
        (void)buf_puts(b, "=");
        page_escape(b, json_string_value(hash));
    }
    (void)buf_puts(b, "\"");
    if (python)
        attribute(b, "data-requires-python", python);
    metadata_attributes(b, json_object_get(file, "core-metadata"));
    if (page_yanked(file, &reason))
        attribute(b, "data-yanked", reason ? reason : "");
    if (provenance)
        attribute(b, "data-provenance", provenance);
    (void)buf_puts(b, ">");
    page_escape(b, name);
    (void)buf_puts(b, "</a><br/>\n");
}

static void meta(struct buf *b, const char *name, const char *content)
{
    if (!content)
        return;
    (void)buf_printf(b, "<meta name=\"%s\" content=\"", name);
    page_escape(b, content);
    (void)buf_puts(b, "\">\n");
}

static void write_html(const json_t *page, struct buf *b)
{
    const json_t *status = json_object_get(page, "project-status");
    const char *name = json_string_value(json_object_get(page, "name"));
    json_t *file;
    size_t i;

    (void)buf_puts(b, "<!DOCTYPE html>\n<html>\n<head>\n");
    meta(b, "pypi:repository-version", "1.4");
    meta(b, "pypi:project-status", json_string_value(json_object_get(status, "status")));
    meta(b, "pypi:project-status-reason", json_string_value(json_object_get(status, "reason")));
    (void)buf_puts(b, "<title>Links for ");
    page_escape(b, name);
    (void)buf_puts(b, "</title>\n</head>\n<body>\n<h1>Links for ");
    page_escape(b, name);
    (void)buf_puts(b, "</h1>\n");
    json_array_foreach(json_object_get(page, "files"), i, file) write_anchor(file, b);
    (void)buf_puts(b, "</body>\n</html>\n");
}

void page_write(const json_t *page, const char *variant, struct buf *ret)
{
    if (!strcmp(variant, "json"))
        write_json(page, ret);
    else
        write_html(page, ret);
}
