/* SPDX-License-Identifier: Apache-2.0 */
/* src/formats/npm/names.c: what may be called how, which version is newer, and what a path asks for. */
#include "src/formats/npm/names.h"

#include <ctype.h>
#include <string.h>

#include "src/formats/semver.h"

/* --- names --- */

static bool part_valid(const char *part, size_t length, bool fresh)
{
    if (length == 0 || part[0] == '.' || part[0] == '_' || (length == 1 && part[0] == '-'))
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)part[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
        if (!plain && (fresh || !c || !(isupper(c) || strchr("~'!()*", c))))
            return false;
    }
    return true;
}

bool npm_name_valid(const char *name, bool fresh)
{
    size_t n = strlen(name);
    const char *slash = strchr(name, '/');

    if (n == 0 || n > NPM_NAME_MAX)
        return false;
    if (name[0] == '@')
        return slash && part_valid(name + 1, (size_t)(slash - name) - 1, fresh) &&
               part_valid(slash + 1, n - (size_t)(slash - name) - 1, fresh);
    return part_valid(name, n, fresh) && strcmp(name, "node_modules") && strcmp(name, "favicon.ico");
}

const char *npm_name_bare(const char *name)
{
    const char *slash = strchr(name, '/');

    return slash ? slash + 1 : name;
}

/* --- versions: semver.org 2.0.0 §2, §9 to §11 --- */

/* "0", or digits without a leading zero, as many as a double holds (npm's own limit). NULL: none. */
static const char *number_end(const char *s)
{
    size_t n = strspn(s, "0123456789");

    return n == 0 || n > 16 || (n > 1 && *s == '0') ? NULL : s + n;
}

/* Identifiers, separated by dots, up to `stop` or the end. `zeros`: numbers may begin with one (build). */
static const char *identifiers_end(const char *s, bool zeros)
{
    for (;;) {
        size_t n = 0, digits = strspn(s, "0123456789");
        while (isalnum((unsigned char)s[n]) || s[n] == '-')
            n++;
        if (n == 0 || (!zeros && n > 1 && digits == n && *s == '0'))
            return NULL;
        s += n;
        if (*s != '.')
            return s;
        s++;
    }
}

/* The end of "1.2.3"; NULL: it is not one. */
static const char *core_end(const char *s)
{
    for (int i = 0; i < 3; i++) {
        s = number_end(s);
        if (!s || (i < 2 && *s++ != '.'))
            return NULL;
    }
    return s;
}

bool npm_version_valid(const char *version)
{
    const char *s = strlen(version) > NPM_VERSION_MAX ? NULL : core_end(version);

    if (s && *s == '-')
        s = identifiers_end(s + 1, false);
    if (s && *s == '+')
        s = identifiers_end(s + 1, true);
    return s && !*s;
}

bool npm_version_prerelease(const char *version)
{
    const char *s = core_end(version);

    return s && *s == '-';
}

int npm_version_compare(const char *a, const char *b)
{
    const char *x = a, *y = b;
    int order;

    for (int i = 0; i < 3; i++) {
        size_t an = strspn(x, "0123456789"), bn = strspn(y, "0123456789");
        order = semver_number_compare(x, an, y, bn);
        if (order)
            return order;
        x += an + (i < 2);
        y += bn + (i < 2);
    }
    order = semver_prerelease_compare(*x == '-' ? x + 1 : NULL, *y == '-' ? y + 1 : NULL);
    return order ? order : strcmp(a, b);
}

/* "1", "1.x", "v1.2", ">=1": npm takes for a range what it can, so a tag must not look like one. */
bool npm_tag_valid(const char *tag)
{
    size_t n = strlen(tag);

    if (n == 0 || n > NPM_TAG_MAX || isdigit((unsigned char)*tag) || strchr("xX*", *tag) == tag)
        return false;
    if ((*tag == 'v' || *tag == 'V') && isdigit((unsigned char)tag[1]))
        return false;
    if (n == 1 && strchr("xX", *tag))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)tag[i]) && !strchr("-_.", tag[i]))
            return false;
    return *tag != '.' && *tag != '-';
}

/* --- paths --- */

/* The next segment; *rest moves behind its slash, to "" at the end. */
static const char *segment(struct arena *a, const char **rest)
{
    size_t n = strcspn(*rest, "/");
    const char *s = arena_strndup(a, *rest, n);

    *rest += n + ((*rest)[n] == '/');
    return s;
}

/* `word` is the next of it: moves behind that and its slash. */
static bool consume(const char **rest, const char *word)
{
    size_t n = strlen(word);

    if (strncmp(*rest, word, n) || ((*rest)[n] && (*rest)[n] != '/'))
        return false;
    *rest += n + ((*rest)[n] == '/');
    return true;
}

/* "name" or "@scope/name"; NULL: neither. */
static const char *package(struct arena *a, const char **rest)
{
    const char *name = segment(a, rest);

    if (*name == '@')
        name = arena_printf(a, "%s/%s", name, segment(a, rest));
    return npm_name_valid(name, false) ? name : NULL;
}

static const char *version_of_file(struct arena *a, const char *package, const char *file)
{
    const char *bare = npm_name_bare(package), *version;
    size_t n = strlen(bare), length = strlen(file);

    if (length < n + 6 || strncmp(file, bare, n) || file[n] != '-' || strcmp(file + length - 4, ".tgz"))
        return NULL;
    version = arena_strndup(a, file + n + 1, length - n - 5);
    return npm_version_valid(version) ? version : NULL;
}

/* "-/<file>[/-rev/<revision>]" of a package. npm's own client sends a scoped name's file with its scope. */
static void read_tarball(struct arena *a, const char *rest, struct npm_path *ret)
{
    const char *file = segment(a, &rest);

    if (*file == '@' && !strncmp(ret->package, file, strlen(file)) && ret->package[strlen(file)] == '/')
        file = segment(a, &rest);
    ret->version = version_of_file(a, ret->package, file);
    if (consume(&rest, "-rev"))
        ret->revision = segment(a, &rest);
    if (!ret->version || *rest)
        return;
    ret->file = npm_tarball_path(a, ret->package, ret->version);
    ret->what = NPM_TARBALL;
}

static void read_package(struct arena *a, const char *rest, struct npm_path *ret)
{
    ret->package = package(a, &rest);
    if (!ret->package)
        return;
    if (!*rest) {
        ret->what = NPM_PACKAGE;
    } else if (consume(&rest, "-")) {
        read_tarball(a, rest, ret);
    } else if (consume(&rest, "-rev")) {
        ret->revision = segment(a, &rest);
        ret->what = *rest || !*ret->revision ? NPM_NOTHING : NPM_REVISION;
    } else {
        ret->version = segment(a, &rest);
        ret->what = *rest ? NPM_NOTHING : NPM_MANIFEST;
    }
}

/* "<package>@<version>" */
static void read_attestations(struct arena *a, const char *rest, struct npm_path *ret)
{
    const char *at = strrchr(rest, '@');

    if (!at || at == rest || !npm_version_valid(at + 1))
        return;
    ret->package = arena_strndup(a, rest, (size_t)(at - rest));
    ret->version = at + 1;
    ret->what = npm_name_valid(ret->package, false) ? NPM_ATTESTATIONS : NPM_NOTHING;
}

static void read_tags(struct arena *a, const char *rest, struct npm_path *ret)
{
    ret->package = package(a, &rest);
    if (!ret->package || !consume(&rest, "dist-tags"))
        return;
    ret->word = *rest ? segment(a, &rest) : NULL;
    ret->what = *rest ? NPM_NOTHING : NPM_TAGS;
}

/* What follows "-/". */
static void read_service(struct arena *a, const char *rest, struct npm_path *ret)
{
    static const struct {
        const char *path;
        enum npm_what what;
    } whole[] = {
        { "ping", NPM_PING },
        { "whoami", NPM_WHOAMI },
        { "v1/login", NPM_WEB_LOGIN },
        { "v1/search", NPM_SEARCH },
        { "npm/v1/security/audits/quick", NPM_AUDIT },
        { "npm/v1/security/audits", NPM_AUDIT },
        { "npm/v1/security/advisories/bulk", NPM_BULK },
        { "npm/v1/keys", NPM_KEYS },
        { "npm/v1/tokens", NPM_TOKENS },
        { "npm/v1/user", NPM_PROFILE },
    };

    for (unsigned i = 0; i < sizeof whole / sizeof *whole; i++)
        if (!strcmp(rest, whole[i].path))
            ret->what = whole[i].what;
    if (ret->what != NPM_NOTHING)
        return;
    if (consume(&rest, "package")) {
        read_tags(a, rest, ret);
    } else if (consume(&rest, "npm/v1/attestations")) {
        read_attestations(a, rest, ret);
    } else if (consume(&rest, "npm/v1/tokens/token")) {
        ret->word = segment(a, &rest);
        ret->what = *rest || !*ret->word ? NPM_NOTHING : NPM_TOKENS;
    } else if (consume(&rest, "user/token")) {
        ret->word = segment(a, &rest);
        ret->what = *rest || !*ret->word ? NPM_NOTHING : NPM_TOKEN;
    } else if (!strncmp(rest, "user/org.couchdb.user:", 22)) {
        rest += 22;
        ret->word = segment(a, &rest);
        if (consume(&rest, "-rev"))
            ret->revision = segment(a, &rest);
        ret->what = *rest || !*ret->word ? NPM_NOTHING : NPM_USER;
    }
}

void npm_path_read(struct arena *a, const char *path, struct npm_path *ret)
{
    size_t n = strlen(path);

    *ret = (struct npm_path){ .what = n ? NPM_NOTHING : NPM_ROOT };
    if (n && path[n - 1] == '/')
        path = arena_strndup(a, path, n - 1);
    if (!n)
        return;
    if (consume(&path, "-"))
        read_service(a, path, ret);
    else
        read_package(a, path, ret);
}

const char *npm_tarball_path(struct arena *a, const char *package, const char *version)
{
    return arena_printf(a, "%s/-/%s-%s.tgz", package, npm_name_bare(package), version);
}

const char *npm_document_path(struct arena *a, const char *package)
{
    return arena_printf(a, ".npm/%s/packument.json", package);
}

/* Only what a name can't be asked for with is encoded: registries compare URLs with what npm sends. */
const char *npm_url_name(struct arena *a, const char *package)
{
    const char *slash = strchr(package, '/');

    return slash ? arena_printf(a, "%.*s%%2f%s", (int)(slash - package), package, slash + 1) : package;
}

const char *npm_attestations_path(struct arena *a, const char *package, const char *version)
{
    return arena_printf(a, ".npm/%s/attestations/%s.json", package, version);
}
