/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/secret.c: secrets inside JSON configurations: sealed, unsealed, masked.
 * A masked value that comes back means "keep it". In an array of objects the old value is looked for in
 * the element with the same "url", so that a secret can't be moved to another server by its mask. */
#include "pantera/meta_secret.h"

#include <string.h>
#include <strings.h>

#define SECRET_DEPTH 16

bool secret_key(const char *name)
{
    static const char *const exact[] = { "accessKeyId", "access-key-id", "privateKey",
                                         "private-key", "passphrase" };

    if (strcasestr(name, "password") || strcasestr(name, "secret") || strcasestr(name, "token"))
        return true;
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++)
        if (!strcasecmp(name, exact[i]))
            return true;
    return false;
}

const char *secret_mask(struct arena *a, const char *clear)
{
    size_t n = strlen(clear);

    /* Bytes, not characters: a cut inside a UTF-8 sequence would not be valid JSON. */
    if (n <= 6 || (clear[0] | clear[1] | clear[n - 2] | clear[n - 1]) & 0x80)
        return "***";
    return arena_printf(a, "%.2s***%s", clear, clear + n - 2);
}

static bool looks_masked(const char *s)
{
    size_t n = strlen(s);
    return !strcmp(s, "***") || (n == 7 && !memcmp(s + 2, "***", 3));
}

static enum err open_one(struct arena *a, const struct seal_key *key, const char *aad,
                         const char *sealed, const char **ret, struct why *why)
{
    void *clear;
    size_t size;
    enum err e = unseal(a, key, aad, sealed, &clear, &size, why);

    if (e)
        return e;
    *ret = arena_strndup(a, clear, size);
    return OK;
}

/* The element of `old` that `element`, at `index` of its array, was before. */
static const json_t *old_element(const json_t *old, const json_t *element, size_t index)
{
    const char *url = json_string_value(json_object_get(element, "url"));

    if (!url)
        return json_array_get(old, index);
    for (size_t i = 0; i < json_array_size(old); i++) {
        const json_t *candidate = json_array_get(old, i);
        const char *other = json_string_value(json_object_get(candidate, "url"));
        if (other && !strcmp(other, url))
            return candidate;
    }
    return NULL;
}

struct walk {
    struct arena *arena;
    const struct seal_key *key;
    const char *aad;
    struct why *why;
    /* Gives the member's new text. `old` may be NULL. */
    enum err (*visit)(const struct walk *w, const char *name, const char *value, const json_t *old,
                      const char **ret);
};

static enum err walk(const struct walk *w, json_t *at, const json_t *old, unsigned depth)
{
    const char *name, *text;
    json_t *value;
    size_t i;
    void *next;
    enum err e = OK;

    if (depth > SECRET_DEPTH)
        return fail(w->why, ERR_BAD_REQUEST, "configuration is nested too deeply");
    if (json_is_array(at)) {
        json_array_foreach (at, i, value)
            if ((e = walk(w, value, old_element(old, value, i), depth + 1)))
                return e;
        return OK;
    }
    if (!json_is_object(at))
        return OK;
    json_object_foreach_safe (at, next, name, value) {
        const json_t *before = json_object_get(old, name);
        if (!json_is_string(value) || !secret_key(name)) {
            e = walk(w, value, before, depth + 1);
        } else if (!(e = w->visit(w, name, json_string_value(value), before, &text))) {
            if (json_string_set(value, text))
                e = fail(w->why, ERR_BAD_REQUEST, "'%s' is not valid UTF-8", name);
        }
        if (e)
            return e;
    }
    return OK;
}

static enum err visit_seal(const struct walk *w, const char *name, const char *value,
                           const json_t *old, const char **ret)
{
    const char *before;

    if (looks_masked(value)) {
        if (json_is_string(old) &&
            !open_one(w->arena, w->key, w->aad, json_string_value(old), &before, NULL) &&
            !strcmp(secret_mask(w->arena, before), value)) {
            *ret = arena_strdup(w->arena, json_string_value(old));
            return OK;
        }
        return fail(w->why, ERR_BAD_REQUEST, "'%s' is masked and there is no such secret to keep",
                    name);
    }
    *ret = seal(w->arena, w->key, w->aad, value, strlen(value));
    return OK;
}

static enum err visit_unseal(const struct walk *w, const char *name, const char *value,
                             const json_t *old, const char **ret)
{
    (void)name, (void)old;
    return open_one(w->arena, w->key, w->aad, value, ret, w->why);
}

static enum err visit_mask(const struct walk *w, const char *name, const char *value,
                           const json_t *old, const char **ret)
{
    const char *clear;

    (void)name, (void)old;
    *ret = open_one(w->arena, w->key, w->aad, value, &clear, NULL) ? "***"
                                                                    : secret_mask(w->arena, clear);
    return OK;
}

enum err secrets_seal(struct arena *a, const struct seal_key *key, const char *aad, json_t *config,
                      const json_t *old, struct why *why)
{
    struct walk w = { a, key, aad, why, visit_seal };
    return walk(&w, config, old, 0);
}

enum err secrets_unseal(struct arena *a, const struct seal_key *key, const char *aad,
                        json_t *config, struct why *why)
{
    struct walk w = { a, key, aad, why, visit_unseal };
    return walk(&w, config, NULL, 0);
}

void secrets_mask(struct arena *a, const struct seal_key *key, const char *aad, json_t *config)
{
    struct walk w = { a, key, aad, NULL, visit_mask };

    if (walk(&w, config, NULL, 0))
        json_object_clear(config); /* deeper than anything that seal would have let in */
}
