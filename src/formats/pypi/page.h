/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/pypi/page.h: a project's page of the simple API: read from what an index gives (JSON of PEP
 * 691, HTML of PEP 503, our own document), joined, written in either form. Pure; pool threads. */
#ifndef PYPI_PAGE_H
#define PYPI_PAGE_H

#include <jansson.h>

#include "pantera/arena.h"
#include "pantera/buf.h"
#include "pantera/limits.h"

#define PAGE_BYTES MIB(64)
enum { PAGE_FILES = 50000 };

/* A page as an object of PEP 691: "files" (each with "filename", a text, and "hashes", an object),
 * "project-status". A new reference; ERR_UPSTREAM: it can't be read. */
enum err page_read(const char *data, size_t size, const char *content_type, json_t **ret,
                   struct why *why);
/* HTML (page_html.c): the same. */
enum err page_read_html(const char *data, size_t size, json_t **ret, struct why *why);
/* The entry of that file; NULL: none. Borrowed. */
const json_t *page_file(const json_t *page, const char *file_name);
/* "yanked" is true, or a reason. */
bool page_yanked(const json_t *file, const char **ret_reason);

/* Writes what PEP 691 calls a project's detail. `variant`: "json", "html", "html-v1" (the type of PEP
 * 691). */
void page_write(const json_t *page, const char *variant, struct buf *ret);
const char *page_content_type(const char *variant);
/* What PyPI's own JSON API tells of a version, NULL: of the newest (legacy.c). NOT_FOUND: there is none. */
enum err page_write_legacy(const json_t *page, const char *base, const char *version, struct arena *a,
                           struct buf *ret, struct why *why);
void page_escape(struct buf *b, const char *text);

/* Joins pages: of files of one name the first counts. */
struct page_source {
    const char *data; /* borrowed */
    size_t size;
    const char *content_type; /* NULL: JSON */
    bool ours;                /* a document of ours (project.h): it says what version a file is of */
    /* May a file of that version, released then (0: not said), be shown? *ret_until_ms: when a block ends,
     * 0: not known. NULL: all may. */
    bool (*allowed)(const void *policy, const char *version, int64_t released_ms,
                    int64_t *ret_until_ms);
    const void *policy;
};
struct page_request {
    const char *base;             /* URL of the repository */
    const char *project, *variant; /* variant: besides those of page_write "legacy", "legacy <version>" */
    struct arena *arena;
    bool whole;                   /* a source that can't be read fails it */
};
/* *ret_valid_until_ms: when a block ends that changes the answer; 0: none. NOT_FOUND: no source. */
enum err page_compose(const struct page_request *q, const struct page_source *sources,
                      unsigned count, struct buf *ret, int64_t *ret_valid_until_ms,
                      struct why *why);

#endif
