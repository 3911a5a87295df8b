/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/npm/names.h: names, versions and paths of npm's registry. Pure; any thread. */
#ifndef NPM_NAMES_H
#define NPM_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "pantera/arena.h"

enum { NPM_NAME_MAX = 214, NPM_VERSION_MAX = 128, NPM_TAG_MAX = 64 };

/* "name" or "@scope/name". `fresh`: by the rules for what is published now; else as old ones may be called
 * (upper case, ~'!()*). */
bool npm_name_valid(const char *name, bool fresh);
const char *npm_name_bare(const char *name); /* without its scope */
bool npm_tag_valid(const char *tag);         /* can't be mistaken for a version */

/* semver.org 2.0.0, strictly: no "v", no blanks. */
bool npm_version_valid(const char *version);
bool npm_version_prerelease(const char *version);
/* <0, 0, >0 by precedence (§11); of two that are equal there (build metadata), the text decides. Both valid.
 * */
int npm_version_compare(const char *a, const char *b);

enum npm_what {
    NPM_NOTHING,
    NPM_ROOT,
    NPM_PACKAGE,
    NPM_MANIFEST,
    NPM_REVISION,
    NPM_TARBALL,
    NPM_TAGS,
    NPM_PING,
    NPM_WHOAMI,
    NPM_USER,
    NPM_TOKEN,
    NPM_TOKENS,
    NPM_PROFILE,
    NPM_WEB_LOGIN,
    NPM_SEARCH,
    NPM_AUDIT,
    NPM_BULK,
    NPM_ATTESTATIONS,
    NPM_KEYS,
};
struct npm_path {
    enum npm_what what;
    const char *package;         /* of PACKAGE to TAGS, ATTESTATIONS */
    const char *version;         /* MANIFEST: or a tag; TARBALL: what its name says; ATTESTATIONS */
    const char *file;            /* TARBALL: the canonical path in the repository */
    const char *revision;        /* of -rev/<revision>; or NULL */
    const char *whole;           /* as it was asked for */
    const char *word;            /* TAGS: the tag or NULL; USER: a name; TOKEN: it;
                                    TOKENS: the id of one, or NULL */
};
/* Of a decoded path within the repository. NOTHING: nothing of npm's is called so. */
void npm_path_read(struct arena *a, const char *path, struct npm_path *ret);
/* Where a version's bytes are: "<package>/-/<bare name>-<version>.tgz". */
const char *npm_tarball_path(struct arena *a, const char *package, const char *version);
const char *npm_document_path(struct arena *a, const char *package);
const char *npm_url_name(struct arena *a, const char *package); /* "@scope%2fname": a segment of a URL */
const char *npm_attestations_path(struct arena *a, const char *package, const char *version);

#endif
