/* SPDX-License-Identifier: Apache-2.0 */
/* Remotes as repositories configure them: what may be put, and what is read back. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pantera/meta_secret.h"

enum { TEXT_MOST = 4096, PRIORITY_MOST = 1000000 };

/* --- checking --- */

static enum err url_check(const char *url, struct why *why)
{
    struct arena a;
    struct client_url parsed;
    enum err e = OK;
    if (!url || !*url || strlen(url) > TEXT_MOST)
        return fail(why, ERR_BAD_REQUEST, "'remotes[].url' is required and must be a URL");
    arena_init(&a);
    if (client_url(&a, NULL, url, &parsed, why) != OK)
        e = fail(why, ERR_BAD_REQUEST, "'remotes[].url' must be a URL like https://host/path, without user "
                 "and password (they are keys of their own)");
    else if (strpbrk(url, "?#"))
        e = fail(why, ERR_BAD_REQUEST, "'remotes[].url' must have no query and no fragment");
    arena_release(&a);
    return e;
}

static enum err text_check(const char *key, const json_t *value, struct why *why)
{
    const char *text = json_string_value(value);
    if (!text || strlen(text) > TEXT_MOST)
        return fail(why, ERR_BAD_REQUEST, "'remotes[].%s' must be a string", key);
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return fail(why, ERR_BAD_REQUEST, "'remotes[].%s' holds a control character", key);
    if (strcmp(key, "username") == 0 && strchr(text, ':')) /* RFC 7617 §2 */
        return fail(why, ERR_BAD_REQUEST, "'remotes[].username' must not hold a colon");
    if (strcmp(key, "token") == 0 && !header_text(text))
        return fail(why, ERR_BAD_REQUEST, "'remotes[].token' must be visible ASCII");
    return OK;
}

static enum err cache_check(const json_t *cache, struct why *why)
{
    if (json_object_size(cache) == 1 && json_is_true(json_object_get(cache, "enabled")))
        return OK;
    return fail(why, ERR_BAD_REQUEST,
                "'remotes[].cache' can only be {\"enabled\": true}: what is proxied is kept");
}

static enum err key_check(const char *key, const json_t *value, struct why *why)
{
    if (strcmp(key, "url") == 0)
        return url_check(json_string_value(value), why);
    if (strcmp(key, "username") == 0 || strcmp(key, "password") == 0 || strcmp(key, "token") == 0)
        return text_check(key, value, why);
    if (strcmp(key, "cache") == 0)
        return cache_check(value, why);
    if (strcmp(key, "priority") != 0)
        return fail(why, ERR_BAD_REQUEST, "'remotes[].%.60s' has no effect here", key);
    if (!json_is_integer(value) || llabs(json_integer_value(value)) > PRIORITY_MOST)
        return fail(why, ERR_BAD_REQUEST, "'remotes[].priority' must be a number from -%d to %d",
                    PRIORITY_MOST, PRIORITY_MOST);
    return OK;
}

static enum err remote_check(const json_t *remote, struct why *why)
{
    const char *key;
    json_t *value;
    enum err e;
    if (!json_is_object(remote))
        return fail(why, ERR_BAD_REQUEST, "'remotes' must be a list of objects with a 'url'");
    json_object_foreach((json_t *)remote, key, value)
        if ((e = key_check(key, value, why)))
            return e;
    if (!json_object_get(remote, "url"))
        return url_check(NULL, why);
    if (json_object_get(remote, "password") && !json_object_get(remote, "username"))
        return fail(why, ERR_BAD_REQUEST, "'remotes[].password' needs a 'username'");
    if (json_object_get(remote, "token") && json_object_get(remote, "username"))
        return fail(why, ERR_BAD_REQUEST, "a remote has a 'token' or a 'username', not both");
    return OK;
}

enum err upstream_check(const json_t *repo, struct why *why)
{
    const json_t *remotes = json_object_get(repo, "remotes"), *remote;
    size_t i;
    enum err e;
    if (!json_is_array(remotes) || !json_array_size(remotes))
        return fail(why, ERR_BAD_REQUEST, "'remotes' is required: a list of {\"url\": ...}");
    if (json_array_size(remotes) > UPSTREAM_REMOTES)
        return fail(why, ERR_BAD_REQUEST, "there may be at most %d remotes", UPSTREAM_REMOTES);
    json_array_foreach((json_t *)remotes, i, remote) {
        const char *url;
        if ((e = remote_check(remote, why)))
            return e;
        /* Masked secrets that come back are found by their URL (meta_secret.h). */
        url = json_string_value(json_object_get(remote, "url"));
        for (size_t k = 0; k < i; k++)
            if (strcmp(url, json_string_value(json_object_get(json_array_get(remotes, k), "url"))) == 0)
                return fail(why, ERR_BAD_REQUEST, "a remote is there twice");
    }
    return OK;
}

/* --- reading --- */

static const char *text_of(struct arena *a, const json_t *remote, const char *key)
{
    const char *text = json_string_value(json_object_get(remote, key));
    return text && *text ? arena_strdup(a, text) : NULL;
}

static bool remote_read(struct arena *a, const json_t *from, struct upstream_remote *ret)
{
    struct client_url url;
    const char *text = json_string_value(json_object_get(from, "url"));
    if (!text || client_url(a, NULL, text, &url, NULL) != OK)
        return false;
    size_t n = strcspn(url.text, "?#");
    while (n && url.text[n - 1] == '/')
        n--;
    *ret = (struct upstream_remote){
        .url = arena_strndup(a, url.text, n),
        .username = text_of(a, from, "username"),
        .password = text_of(a, from, "password"),
        .token = text_of(a, from, "token"),
        .priority = (int)json_integer_value(json_object_get(from, "priority")),
    };
    return true;
}

static void insert(struct upstream_remote *list, unsigned count, const struct upstream_remote *one)
{
    unsigned at = count;
    for (; at && list[at - 1].priority < one->priority; at--)
        list[at] = list[at - 1];
    list[at] = *one;
}

enum err upstream_remotes(struct arena *a, const json_t *config, const struct seal_key *key, const char *aad,
                          struct upstream_remote **ret, unsigned *ret_count, struct why *why)
{
    json_t *copy = json_deep_copy(json_object_get(json_object_get(config, "repo"), "remotes"));
    enum err e = copy ? secrets_unseal(a, key, aad, copy, why) : OK;
    unsigned count = 0;
    struct upstream_remote one;
    json_t *remote;
    size_t i;
    *ret = arena_alloc(a, UPSTREAM_REMOTES * sizeof **ret);
    json_array_foreach(copy, i, remote)
        if (!e && count < UPSTREAM_REMOTES && remote_read(a, remote, &one))
            insert(*ret, count++, &one);
    *ret_count = count;
    json_decref(copy);
    return e;
}
