/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/artifact_tree.c: what is done to a folder, in bounded steps; what a file is called; the key
 * that signs download tokens. */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "pantera/digest.h"
#include "pantera/ids.h"
#include "pantera/meta_artifact.h"
#include "pantera/meta_search.h"
#include "storage/meta/objects.h"
#include "storage/meta/ops.h"

/* --- artifact.delete_tree --- */

enum { TREE_STEP = 500 };

struct victim {
    const char *path;
    int64_t blob, size;
};

/* The file `path` and all that is below the folder `path`: '0' is the byte after '/'. */
static unsigned victims(struct txn *t, int64_t repo_id, const char *path, int64_t limit,
                        struct victim *ret)
{
    struct arena *a = txn_arena(t);
    struct sql *q = sql_txn(t, "SELECT path, blob_id, size FROM artifact WHERE repo_id = ?1 AND path = ?2 "
                               "UNION ALL SELECT path, blob_id, size FROM artifact WHERE repo_id = ?1 "
                               "AND path > ?3 AND path < ?4 LIMIT ?5");
    unsigned n = 0;

    sql_bind(q, "isssi", repo_id, path, arena_printf(a, "%s/", path), arena_printf(a, "%s0", path),
             limit);
    while (n < (unsigned)limit && sql_row(q)) {
        ret[n].path = sql_str(q, 0, a);
        ret[n].size = sql_int(q, 2);
        ret[n++].blob = sql_int(q, 1);
    }
    sql_end(q);
    return n;
}

enum err op_artifact_delete_tree(struct txn *t, const json_t *args, json_t **ret_result,
                                 struct why *why)
{
    const char *path = arg_text(args, "path");
    int64_t repo_id = arg_int(args, "repo_id", 0), limit = arg_int(args, "limit", TREE_STEP);
    int64_t bytes = 0;
    struct victim *rows;
    unsigned n;

    if (!path || !*path || limit < 1 || limit > TREE_STEP)
        return fail(why, ERR_BAD_REQUEST, "artifact.delete_tree: bad arguments");
    rows = arena_alloc(txn_arena(t), (size_t)(limit + 1) * sizeof *rows);
    n = victims(t, repo_id, path, limit, rows);
    if (n == 0)
        return fail(why, ERR_NOT_FOUND, "'%.200s' not found", path);
    for (unsigned i = 0; i < n; i++) {
        check(!sql_do(t, "DELETE FROM artifact WHERE repo_id = ? AND path = ?", "is", repo_id,
                      rows[i].path));
        blob_unref(t, rows[i].blob);
        bytes += rows[i].size;
    }
    stats_add(t, repo_id, -(int64_t)n, -bytes);
    *ret_result = json_pack("{s:i, s:b}", "deleted", (int)n, "more", n == (unsigned)limit);
    return OK;
}

/* --- names --- */

static const char *segment_before(struct arena *a, const char *path, const char *end,
                                  const char **ret_start)
{
    const char *start = end;

    while (start > path && start[-1] != '/')
        start--;
    *ret_start = start;
    return arena_strndup(a, start, (size_t)(end - start));
}

static bool is_known_suffix(const char *s)
{
    static const char *const known[] = {
        "jar", "war", "pom", "aar", "zip", "tar", "gz", "tgz", "bz2", "xz", "zst", "whl", "gem",
        "rpm", "deb", "nupkg", "crate", "json", "txt", "md5", "sha1", "sha256", "sha512", "asc",
        "sig", "exe", "msi", "dmg", "pkg", "bin", "iso", "img", "apk", "7z", "xml", "yaml", "yml",
        "so", "dll", "module", "mod", "info", "conda", "egg", "phar", "sh", "log", "csv", "pdf",
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcasecmp(s, known[i]))
            return true;
    return false;
}

/* "lib-1.2.3.tar.gz": what stands before "-<digit>", and what follows it without its suffixes. */
static bool split_file(struct arena *a, const char *file, const char **ret_name,
                       const char **ret_version)
{
    const char *dash = strchr(file, '-');
    char *version, *dot;

    while (dash && !(dash > file && (isdigit((unsigned char)dash[1]) ||
                                     (dash[1] == 'v' && isdigit((unsigned char)dash[2])))))
        dash = strchr(dash + 1, '-');
    if (!dash)
        return false;
    version = arena_strdup(a, dash + 1);
    while ((dot = strrchr(version, '.')) && is_known_suffix(dot + 1))
        *dot = 0;
    *ret_name = arena_strndup(a, file, (size_t)(dash - file));
    *ret_version = version;
    return true;
}

void artifact_name_of(struct arena *a, const char *path, const char **ret_name,
                      const char **ret_version)
{
    const char *end = path + strlen(path), *at, *file = segment_before(a, path, end, &at), *name,
               *version;
    size_t n, m;

    if (at > path) {
        version = segment_before(a, path, at - 1, &at);
        if (at > path) {
            name = segment_before(a, path, at - 1, &at);
            n = strlen(name);
            m = strlen(version);
            /* maven: a/b/1.0/b-1.0.jar */
            if (m && !strncmp(file, name, n) && file[n] == '-' &&
                !strncmp(file + n + 1, version, m)) {
                *ret_name = name;
                *ret_version = version;
                return;
            }
        }
    }
    if (split_file(a, file, ret_name, ret_version))
        return;
    *ret_name = file;
    *ret_version = "";
}

/* --- the key of download tokens --- */

const char *download_key_sealed(struct meta_reader *r, struct arena *a)
{
    struct sql *q = sql_read(r, "SELECT value ->> 'key' FROM setting WHERE name = "
                                "'internal.download_key'");
    const char *sealed = sql_row(q) ? sql_str(q, 0, a) : NULL;

    sql_end(q);
    return sealed;
}

enum err op_download_key_make(struct txn *t, const json_t *args, json_t **ret_result,
                              struct why *why)
{
    unsigned char key[32];
    const char *sealed;

    (void)args, (void)ret_result, (void)why;
    if (sql_exists(t, "SELECT 1 FROM setting WHERE name = 'internal.download_key'", "", NULL, NULL))
        return OK;
    random_bytes(key, sizeof key);
    sealed = seal(txn_arena(t), txn_seal_key(t), "download_key", key, sizeof key);
    memset(key, 0, sizeof key);
    /* Sealed text needs no escaping: its alphabet is base64url's. */
    check(!sql_do(t, "INSERT INTO setting (name, value, updated_ms) VALUES ('internal.download_key', "
                     "?, ?)", "si", arena_printf(txn_arena(t), "{\"key\":\"%s\"}", sealed),
                  txn_now(t)));
    return OK;
}
