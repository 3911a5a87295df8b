/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/go/module.h: modules, their versions and the paths of the GOPROXY protocol ("Go Modules
 * Reference"; golang.org/x/mod says the details). Pure. */
#ifndef FORMATS_GO_MODULE_H
#define FORMATS_GO_MODULE_H

#include "pantera/arena.h"

enum go_kind { GO_OTHER, GO_LIST, GO_LATEST, GO_ZIP, GO_MOD, GO_INFO, GO_SUMDB };

struct go_path {                 /* strings are the arena's */
    enum go_kind kind;
    const char *module, *version; /* as people write them: "example.com/Lib", "v1.2.0" */
    const char *escaped;         /* the module as paths write it: "example.com/!lib" */
    const char *folder;          /* "example.com/!lib/@v" */
    const char *stem;            /* "example.com/!lib/@v/v1.2.0" */
};
/* OTHER for whatever is not of the protocol; NOT_FOUND, and why: it could be, but for its escapes. */
enum err go_path_parse(struct arena *a, const char *path, struct go_path *ret, struct why *why);

/* Upper case letters are written "!x", for file systems that don't tell them from lower case. NULL: not
 * so. */
const char *go_unescape(struct arena *a, const char *escaped);
const char *go_escape(struct arena *a, const char *text);

/* NOT_FOUND: a module or a version that can't be, and must not be asked of upstream. */
enum err go_path_judge(const struct go_path *p, struct why *why);
/* BAD_REQUEST: no valid path of a module; no canonical version; a major version that is not the path's. */
enum err go_module_check(const char *module, const char *version, struct why *why);
/* Is it a path that every system can store? `what` is for the text. */
enum err go_file_check(const char *path, struct why *why);
/* Equal for paths that differ in case only. */
const char *go_fold(struct arena *a, const char *path);

/* --- versions: semantic, with a v --- */
struct go_version {
    unsigned long number[3];
    const char *pre;             /* after '-', up to '+' or the end; NULL: none */
    size_t pre_length;
    bool incompatible;
};
bool go_version_parse(const char *text, struct go_version *ret); /* false: not canonical */
int go_version_compare(const char *a, const char *b);  /* both valid, or by their bytes */
bool go_version_is_pseudo(const char *text); /* of a commit: v0.0.0-20260102030405-abcdefabcdef */
/* What @latest prefers: releases, then prereleases, then pseudo-versions; of each the highest. */
bool go_version_better(const char *a, const char *than);

/* What a go.mod says its module is; NULL: nothing. */
const char *go_mod_module(struct arena *a, const char *text);

#endif
