/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/blob.h's functions: they judge the key and hand on to the store's kind. No I/O here. */
#include "store.h"

#include <stdio.h>
#include <string.h>

#include "pantera/ids.h"

static const struct blob_ops *const kinds[] = { &blob_fs_ops, &blob_s3_ops };

static const struct blob_ops *kind_of(const json_t *config, struct why *why)
{
    const char *type = json_string_value(json_object_get(config, "type"));
    for (size_t i = 0; type && i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i]->type, type) == 0)
            return kinds[i];
    fail(why, ERR_BAD_REQUEST, "storage: type: expected \"fs\" or \"s3\"");
    return NULL;
}

static bool type_fits(const json_t *value, json_type type)
{
    return type == JSON_TRUE ? json_is_boolean(value) : json_typeof(value) == type;
}

static const char *type_name(json_type type)
{
    switch (type) {
    case JSON_STRING: return "a text";
    case JSON_INTEGER: return "a whole number";
    case JSON_OBJECT: return "an object";
    case JSON_TRUE: return "true or false";
    default: return "another type";
    }
}

static const struct blob_config_key *find_key(const struct blob_config_key *keys, const char *name)
{
    for (; keys->name; keys++)
        if (strcmp(keys->name, name) == 0)
            return keys;
    return NULL;
}

enum err blob_config_check(const json_t *config, const char *where,
                           const struct blob_config_key *keys, struct why *why)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)config, name, value) {
        const struct blob_config_key *key = find_key(keys, name);
        if (!key)
            return fail(why, ERR_BAD_REQUEST, "storage: %s%.60s: unknown key", where, name);
        if (!type_fits(value, key->type))
            return fail(why, ERR_BAD_REQUEST, "storage: %s%s: expected %s", where, name,
                        type_name(key->type));
        if (key->type == JSON_STRING && !json_string_value(value)[0])
            return fail(why, ERR_BAD_REQUEST, "storage: %s%s: must not be empty", where, name);
    }
    for (const struct blob_config_key *key = keys; key->name; key++)
        if (key->required && !json_object_get(config, key->name))
            return fail(why, ERR_BAD_REQUEST, "storage: %s%s: missing", where, key->name);
    return OK;
}

/* Keys come from our own rows, but they end in paths and URLs: judge them all the same. */
static bool key_valid(const char *key)
{
    size_t length = strlen(key);
    if (length == 0 || length >= sizeof((struct blob_delete *)0)->key || key[0] == '/' ||
        key[length - 1] == '/' || strstr(key, "..") || strstr(key, "//"))
        return false;
    return strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") == length;
}

static enum err key_refused(struct why *why)
{
    return fail(why, ERR_BAD_REQUEST, "not a blob key");
}

enum err blob_store_check(const json_t *config, bool clustered, struct why *why)
{
    if (!json_is_object(config))
        return fail(why, ERR_BAD_REQUEST, "storage: expected an object");
    const struct blob_ops *ops = kind_of(config, why);
    return ops ? ops->judge(config, clustered, why) : ERR_BAD_REQUEST;
}

enum err blob_store_open(const struct blob_store_options *o, const json_t *config,
                         struct blob_store **ret, struct why *why)
{
    enum err e = blob_store_check(config, o->clustered, why);
    return e == OK ? kind_of(config, why)->open(o, config, ret, why) : e;
}

void blob_store_close(struct blob_store *s)
{
    if (s)
        s->ops->close(s);
}

enum err blob_put_begin(struct blob_store *s, struct blob_put *p, const char *key,
                        int64_t expected, unsigned digest_kinds, struct why *why)
{
    memset(p, 0, sizeof *p);
    p->store = s;
    if (!key_valid(key))
        return key_refused(why);
    return s->ops->put_begin(s, p, key, expected, digest_kinds, why);
}

void blob_put_write(struct blob_put *p, const void *data, size_t size,
                    void (*on_written)(struct blob_put *p, enum err e, const struct why *why,
                                       void *arg),
                    void *arg)
{
    p->store->ops->put_write(p, data, size, on_written, arg);
}

void blob_put_finish(struct blob_put *p,
                     void (*on_finished)(struct blob_put *p, enum err e, const struct why *why,
                                         void *arg),
                     void *arg)
{
    p->store->ops->put_finish(p, on_finished, arg);
}

void blob_put_abort(struct blob_put *p)
{
    if (p->impl)
        p->store->ops->put_abort(p);
    p->impl = NULL;
}

enum err blob_get_open(struct blob_store *s, struct blob_get *g, const char *key, int64_t size,
                       int64_t offset, int64_t length, const struct blob_sink *sink, void *arg,
                       struct why *why)
{
    g->store = s;
    g->impl = NULL;
    if (!key_valid(key))
        return key_refused(why);
    if (size < 0 || offset < 0 || length < 0 || offset > size || length > size - offset)
        return fail(why, ERR_RANGE, "the part asked for is not within the object");
    return s->ops->get_open(s, g, key, size, offset, length, sink, arg, why);
}

void blob_get_more(struct blob_get *g)
{
    if (g->impl)
        g->store->ops->get_more(g);
}

void blob_get_close(struct blob_get *g)
{
    if (g->impl)
        g->store->ops->get_close(g);
    g->impl = NULL;
}

int blob_open_now(struct blob_store *s, const char *key)
{
    return key_valid(key) ? s->ops->open_now(s, key) : -1;
}

enum err blob_delete(struct blob_store *s, struct blob_delete *d, const char *key,
                     void (*on_done)(struct blob_delete *d, enum err e, const struct why *why),
                     struct why *why)
{
    if (!key_valid(key))
        return key_refused(why);
    snprintf(d->key, sizeof d->key, "%s", key);
    d->store = s;
    d->on_done = on_done;
    d->impl = NULL;
    return s->ops->delete(s, d, why);
}

enum err blob_presign(struct blob_store *s, const char *key, unsigned seconds,
                      struct arena *arena, char **ret_url)
{
    if (!key_valid(key))
        return ERR_BAD_REQUEST;
    return s->ops->presign(s, key, seconds, arena, ret_url);
}

void blob_key_new(char ret_key[48])
{
    char id[33];
    random_hex(id, 16);
    snprintf(ret_key, 48, "blobs/%.2s/%s", id, id);
}
