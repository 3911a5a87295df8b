/* SPDX-License-Identifier: Apache-2.0 */
/* The words of roles: permission types, their actions and synonyms, and what a client may put. A role
 * comes in two shapes, which may be mixed: by type ({"adapter_basic_permissions": {"repo": ["read"]}})
 * and flat ({"repo": ["read"]}, where "*": ["*"] is everything). Both are stored as they were put,
 * without the wrapper and without repetitions, because they are shown again; what is unknown is refused
 * now instead of granting nothing later. */
#include <string.h>

#include "pantera/limits.h"
#include "pantera/text.h"
#include "src/auth/internal.h"

struct word {
    const char *text;
    unsigned bits;
};

static unsigned word_find(const struct word *words, const char *text)
{
    for (; words->text; words++)
        if (strcmp(words->text, text) == 0)
            return words->bits;
    return 0;
}

unsigned repo_actions_parse(const char *text)
{
    static const struct word words[] = {
        { "read", REPO_READ }, { "r", REPO_READ }, { "download", REPO_READ },
        { "install", REPO_READ }, { "pull", REPO_READ },
        { "write", REPO_WRITE }, { "w", REPO_WRITE }, { "publish", REPO_WRITE },
        { "push", REPO_WRITE }, { "deploy", REPO_WRITE }, { "upload", REPO_WRITE },
        { "delete", REPO_DELETE }, { "d", REPO_DELETE }, { "remove", REPO_DELETE },
        { "*", REPO_READ | REPO_WRITE | REPO_DELETE }, { NULL, 0 },
    };
    return word_find(words, text);
}

unsigned docker_actions_parse(const char *text)
{
    static const struct word words[] = {
        { "pull", DOCKER_PULL }, { "push", DOCKER_PUSH }, { "overwrite", DOCKER_OVERWRITE },
        { "*", DOCKER_PULL | DOCKER_PUSH | DOCKER_OVERWRITE }, { NULL, 0 },
    };
    return word_find(words, text);
}

unsigned registry_actions_parse(const char *text)
{
    static const struct word words[] = {
        { "base", DOCKER_BASE }, { "catalog", DOCKER_CATALOG },
        { "*", DOCKER_BASE | DOCKER_CATALOG }, { NULL, 0 },
    };
    return word_find(words, text);
}

static const struct {
    const char *domain, *action;
} permissions[PERM_COUNT] = {
#define PERM(name, domain, action) [PERM_##name] = { domain, action },
#include "pantera/permissions.def"
#undef PERM
};

const char *permission_domain_of(enum permission p)
{
    return permissions[p].domain;
}

const char *permission_action_of(enum permission p)
{
    return permissions[p].action;
}

const char *permission_domain(const char *type)
{
    if (strcmp(type, "api_storage_alias_permissions") == 0)
        return "api_alias_permissions";
    for (unsigned p = PERM_ANYONE + 1; p < PERM_COUNT; p++)
        if (strcmp(permissions[p].domain, type) == 0)
            return permissions[p].domain;
    return NULL;
}

enum permission permission_find(const char *domain, const char *action)
{
    for (unsigned p = PERM_ANYONE + 1; p < PERM_COUNT; p++)
        if (strcmp(permissions[p].domain, domain) == 0 && strcmp(permissions[p].action, action) == 0)
            return (enum permission)p;
    return PERM_UNSET;
}

/* --- what a client puts --- */

/* An array of words that `known` knows, without repetitions. */
static enum err words_copy(const char *type, const char *place, const json_t *in,
                           bool (*known)(const char *type, const char *word), json_t *ret,
                           struct why *why)
{
    size_t i, j;
    const json_t *item;
    if (!json_is_array(in))
        return fail(why, ERR_BAD_REQUEST, "'%.100s': expected an array of actions", place);
    json_array_foreach(in, i, item) {
        const char *word = json_string_value(item);
        if (!word)
            return fail(why, ERR_BAD_REQUEST, "'%.100s': actions are strings", place);
        if (!known(type, word))
            return fail(why, ERR_BAD_REQUEST, "unknown action '%.40s' in '%.100s'", word, place);
        for (j = 0; j < json_array_size(ret); j++)
            if (strcmp(json_string_value(json_array_get(ret, j)), word) == 0)
                break;
        if (j == json_array_size(ret))
            json_array_append_new(ret, json_string(word));
    }
    return OK;
}

static bool repo_word(const char *type, const char *word)
{
    return repo_actions_parse(word) != 0;
}

static bool docker_word(const char *type, const char *word)
{
    return docker_actions_parse(word) != 0;
}

static bool registry_word(const char *type, const char *word)
{
    return registry_actions_parse(word) != 0;
}

static bool api_word(const char *type, const char *word)
{
    return strcmp(word, "*") == 0 || permission_find(permission_domain(type), word) != PERM_UNSET;
}

/* Image names have slashes; the others are names. */
static bool key_valid(const char *key, bool image)
{
    if (strcmp(key, "*") == 0)
        return true;
    return image ? *key && strlen(key) <= LIMIT_NAME && utf8_valid(key, strlen(key)) : name_valid(key);
}

/* {name: [actions]}, or with `deeper` {name: {image: [actions]}}. */
static enum err map_copy(const char *type, const json_t *in, bool deeper, bool image,
                         bool (*known)(const char *, const char *), json_t *ret, struct why *why)
{
    const char *key;
    json_t *value;
    if (!json_is_object(in))
        return fail(why, ERR_BAD_REQUEST, "'%.100s': expected an object", type);
    json_object_foreach((json_t *)in, key, value) {
        if (!key_valid(key, image))
            return fail(why, ERR_BAD_REQUEST, "'%.60s': '%.100s' is not a name", type, key);
        json_t *copy = deeper ? json_object() : json_array();
        json_object_set_new(ret, key, copy);
        enum err e = deeper ? map_copy(type, value, false, true, known, copy, why)
                            : words_copy(type, key, value, known, copy, why);
        if (e)
            return e;
    }
    return OK;
}

static bool type_shaped(const char *key)
{
    size_t n = strlen(key);
    return n >= 12 && strcmp(key + n - 12, "_permissions") == 0;
}

static enum err member_copy(const char *key, const json_t *value, json_t *ret, struct why *why)
{
    const char *domain = permission_domain(key);
    json_t *copy;
    if (strcmp(key, "all_permission") == 0) {
        if (!json_is_object(value) && !json_is_true(value))
            return fail(why, ERR_BAD_REQUEST, "'all_permission': expected {}");
        json_object_set_new(ret, key, json_object());
        return OK;
    }
    if (domain) { /* the two names of the alias domain become one */
        if (!(copy = json_object_get(ret, domain)))
            json_object_set_new(ret, domain, copy = json_array());
        return words_copy(key, key, value, api_word, copy, why);
    }
    bool basic = strcmp(key, "adapter_basic_permissions") == 0;
    bool image = strcmp(key, "docker_repository_permissions") == 0;
    bool registry = strcmp(key, "docker_registry_permissions") == 0;
    if (basic || image || registry) {
        json_object_set_new(ret, key, copy = json_object());
        return map_copy(key, value, image, false,
                        basic ? repo_word : image ? docker_word : registry_word, copy, why);
    }
    if (type_shaped(key))
        return fail(why, ERR_BAD_REQUEST, "unknown permission type '%.100s'", key);
    if (!key_valid(key, false))
        return fail(why, ERR_BAD_REQUEST, "'%.100s' is neither a permission type nor a repository",
                    key);
    json_object_set_new(ret, key, copy = json_array());
    return words_copy(key, key, value, repo_word, copy, why);
}

enum err role_permissions_parse(const json_t *in, json_t **ret_canonical, struct why *why)
{
    const char *key;
    json_t *value;
    const json_t *wrapped = json_object_get(in, "permissions");
    if (json_is_object(wrapped))
        in = wrapped;
    if (!json_is_object(in))
        return fail(why, ERR_BAD_REQUEST, "permissions must be an object");
    json_t *out = json_object();
    json_object_foreach((json_t *)in, key, value) {
        enum err e = member_copy(key, value, out, why);
        if (e) {
            json_decref(out);
            return e;
        }
    }
    *ret_canonical = out;
    return OK;
}
