/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: what strangers send to a Python package index: forms, metadata, pages, names. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "src/formats/pypi/form.h"
#include "src/formats/multipart.h"
#include "src/formats/pypi/page.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err on_begin(const struct multipart_part *part, void *arg, struct why *why)
{
    check(strlen(part->name) <= MULTIPART_NAME && strlen(part->file_name) <= MULTIPART_NAME);
    form_begin(arg, part->name);
    return OK;
}

static enum err on_data(const void *data, size_t size, void *arg, struct why *why)
{
    return form_data(arg, data, size, why);
}

static enum err on_end(void *arg, struct why *why)
{
    return form_end(arg, why);
}

/* Cut into two at each place that the first byte says: the same must come of it. */
static void form_of(const char *data, size_t size, size_t cut)
{
    static const struct multipart_calls calls = { on_begin, on_data, on_end };
    struct form f[2];
    enum err e[2];

    for (unsigned i = 0; i < 2; i++) {
        struct multipart m;
        struct why why = { "" };
        size_t at = i && cut < size ? cut : size;
        form_init(&f[i]);
        e[i] = multipart_init(&m, "multipart/form-data; boundary=b", &calls, &f[i], &why);
        if (!e[i])
            e[i] = multipart_feed(&m, data, at, &why);
        if (!e[i])
            e[i] = multipart_feed(&m, data + at, size - at, &why);
        if (!e[i])
            e[i] = multipart_finish(&m, &why);
        multipart_free(&m);
    }
    check(e[0] == e[1] && (e[0] || json_equal(f[0].fields, f[1].fields)));
    form_free(&f[0]);
    form_free(&f[1]);
}

static void page_of(const char *data, size_t size, bool html)
{
    struct page_source s = { .data = data, .size = size, .content_type = html ? "text/html" : NULL };
    struct page_request q = { .base = "b", .project = "lib", .variant = html ? "json" : "html" };
    struct why why = { "" };
    struct arena a;
    struct buf out;
    int64_t until;

    arena_init(&a);
    buf_init(&out, PAGE_BYTES);
    q.arena = &a;
    if (!page_compose(&q, &s, 1, &out, &until, &why) && html) {
        json_t *page = json_loadb(out.data, out.length, 0, NULL);
        check(page);
        json_decref(page);
    }
    buf_free(&out);
    arena_release(&a);
}

static void names_of(const char *data, size_t size)
{
    struct pypi_version v, again;
    struct pypi_file f;
    struct form form;
    struct why why = { "" };
    struct arena a;
    int64_t ms;

    arena_init(&a);
    char *text = arena_strndup(&a, data, size);
    if (pypi_version_parse(&a, text, &v)) {
        check(pypi_version_parse(&a, v.text, &again) && !strcmp(v.text, again.text));
        check(pypi_version_compare(&v, &again) == 0);
    }
    if (pypi_file_parse(&a, "lib", text, &f))
        check(f.version.text && !strchr(f.version.text, '/'));
    (void)pypi_time_parse(text, &ms);
    form_init(&form);
    (void)metadata_read(data, size, &form, &why);
    form_free(&form);
    arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 2;

    if (size < 2)
        return 0;
    switch (data[0] % 4) {
    case 0: form_of(text, size - 2, data[1]); break;
    case 1: page_of(text, size - 2, true); break;
    case 2: page_of(text, size - 2, false); break;
    default: names_of(text, size - 2);
    }
    return 0;
}
