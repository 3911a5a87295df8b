/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/npm/source.h: what compose.c reads and gives: the shapes of pantera/document.h, which takes
 * this file's place when proxies and groups come. */
#ifndef NPM_SOURCE_H
#define NPM_SOURCE_H

#include "pantera/buf.h"
#include "pantera/digest.h"
#include "pantera/registry.h"

struct policy_view;
struct policy_verdict_of {
    bool allowed;
    const char *reason;
    int64_t until_ms;
};
struct document_source {
    const char *repo;
    bool proxied;
    const char *data;
    size_t size;
    const struct policy_view *policy;
};
struct document_request {
    const char *repo, *base, *path, *package, *variant;
    struct arena *arena;
};
struct document_answer {
    const char *content_type;
    int64_t valid_until_ms;
};
struct file_facts {
    const char *url;
    struct digest_values digests;
    int64_t released_ms;
};
struct file_want {
    const char *path, *package, *version;
};

#endif
