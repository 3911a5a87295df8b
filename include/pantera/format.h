/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/format.h: what a package format gives: formats.def lists them, one line each.
 * A format calls registry_* and http_* only: no SQL, no raft, no files, no sockets. */
#ifndef PANTERA_FORMAT_H
#define PANTERA_FORMAT_H

#include "pantera/http.h"
#include "pantera/registry.h"

enum format_caps { FORMAT_LOCAL = 1, FORMAT_PROXY = 2, FORMAT_GROUP = 4 };

struct format {
    const char *name;            /* "file" */
    const char *const *aliases;  /* names in /api/<alias>/<repo>/: "storage"; NULL-terminated */
    unsigned caps;
    /* A request for a repository of this format; the principal is known, nothing about this repository
     * is decided yet (may_repo). `path` has no leading slash and may end in one. */
    void (*handle)(struct http_request *req, const struct repo *repo, const char *path);
    /* A PUT of the repository's configuration: refuse what this format can't use. */
    enum err (*check)(const json_t *repo_config, struct why *why);
    /* A PUT or POST by who is nobody yet: how this protocol's clients sign in. Such requests are handled
     * whatever their Authorization says, with no principal. NULL: there are none. */
    bool (*anonymous)(const struct http_request *req, const char *path);
    /* A deletion that the management API asks for: of the file `path`, or with `tree` of `path` and all
     * below it, together with what this format's own indexes say of it. NULL: it has none
     * (registry_delete, registry_delete_tree). */
    void (*remove)(struct http_request *req, const struct repo *repo, const char *path, bool tree,
                   registry_done_cb *done);
    /* An import (/.import/) into a repository of this format. First by its path, before any byte is read:
     * BAD_REQUEST says what it can't be. Then with its bytes, and their digests of `import_digests`: looks
     * at them and writes its indexes as for an upload (stage.h, imports). NULL: a path is all there is to a
     * file (registry_put_as). */
    enum err (*importable)(const struct repo *repo, const char *path, struct why *why);
    void (*import)(struct imported *m);
    unsigned import_digests;
    bool import_places;          /* where its files belong is said by what is in them, not by the path */
    /* A first segment that is this format's own (a reserved name: design.md), whatever repository comes
     * after it. NULL: none. Then: errors below it in that dialect (enum dialect); a request there, `base`
     * being "/<root>" with what stood before it, `path` what follows; what a 401 says (else Basic and
     * Bearer). */
    const char *root;
    int root_dialect;
    void (*handle_root)(struct http_request *req, const char *base, const char *path);
    void (*challenge)(struct http_request *req);
};

/* By the first segment of a path: NULL: nobody's. */
const struct format *format_by_root(const char *segment, size_t length);
const struct format *format_find(const char *name); /* NULL: unknown */
/* By type keyword: "file-proxy" → file and FORMAT_PROXY. NULL: unknown or not offered. */
const struct format *format_of_type(const char *type, enum format_caps *ret_cap);
const struct format *format_by_alias(const char *alias);

/* Instructions to get what a path names, for a shell: pull.def. Every line is filled in and quoted. How many;
 * at least one. */
enum { PULL_LINES = 8 };
struct pull_place {
    const char *url;             /* of the repository port, without a slash at the end */
    const char *host;            /* of it: "host:port" */
};
unsigned format_pull(struct arena *a, const char *format, const struct pull_place *place,
                     const char *repo, const char *path, const char *ret[PULL_LINES]);

#endif
