/* SPDX-License-Identifier: Apache-2.0 */
/* config/config.c: defaults, then the file, then PANTERA_ variables, then what must fit together.
 * Not here: how a value or a file is read (value.c, yaml.c). */
#include "pantera/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/address.h"
#include "pantera/limits.h"
#include "pantera/loop.h"
#include "src/config/keys.h"

extern char **environ;

static struct build *build_new(void)
{
    struct build *b = calloc(1, sizeof *b);
    struct why why;
    check(b);
    arena_init(&b->arena);
    for (unsigned i = 0; i < keys_count(); i++)
        if (keys[i].fallback)
            check(value_set(b, &keys[i], keys[i].fallback, keys[i].path, &why) == OK);
    memset(b->where, 0, sizeof b->where); /* a default may be said again */
    return b;
}

static void build_free(struct build *b)
{
    if (!b)
        return;
    json_decref(b->config.storage);
    arena_release(&b->arena);
    free(b);
}

void config_free(struct config *c)
{
    if (c)
        build_free(container_of(c, struct build, config));
}

static const char *where_of(const struct build *b, const char *path)
{
    const struct key *k = key_find(path);
    check(k);
    return b->where[k - keys];
}

/* Each of `paths` is needed because `because` was given. */
static enum err require(const struct build *b, const char *because, const char *const *paths,
                        struct why *why)
{
    for (; *paths; paths++)
        if (!where_of(b, *paths))
            return fail(why, ERR_BAD_REQUEST, "%s: needs %s too", where_of(b, because), *paths);
    return OK;
}

/* "where of `path`, or its name while it is the default" */
static const char *blame(const struct build *b, const char *path)
{
    const char *where = where_of(b, path);
    return where ? where : path;
}

static enum err check_ports(const struct build *b, struct why *why)
{
    const struct config *c = &b->config;
    if (c->port && (c->port == c->api_port || c->port == c->metrics_port))
        return fail(why, ERR_BAD_REQUEST, "%s: port %d is taken by another of our ports",
                    blame(b, "meta.port"), c->port);
    if (c->api_port && c->api_port == c->metrics_port)
        return fail(why, ERR_BAD_REQUEST, "%s: port %d is taken by meta.metrics.port",
                    blame(b, "meta.api_port"), c->api_port);
    return OK;
}

static enum err check_cluster(const struct build *b, struct why *why)
{
    static const char *const needed[] = { "meta.cluster.cert", "meta.cluster.key",
                                          "meta.cluster.ca", "meta.cluster.peers", NULL };
    const struct config *c = &b->config;
    bool there = false;
    if (2 * c->heartbeat_ms > c->election_ms)
        return fail(why, ERR_BAD_REQUEST, "%s: expected at most half of meta.cluster.election_ms",
                    blame(b, "meta.cluster.heartbeat_ms"));
    if (2 * c->lease_renew_ms > c->lease_ms)
        return fail(why, ERR_BAD_REQUEST, "%s: expected at most half of meta.cluster.lease_ms",
                    blame(b, "meta.cluster.lease_renew_ms"));
    if (!c->cluster_listen) {
        if (c->peer_count > 1)
            return fail(why, ERR_BAD_REQUEST, "%s: needs meta.cluster.listen too",
                        where_of(b, "meta.cluster.peers"));
        return OK;
    }
    enum err e = require(b, "meta.cluster.listen", needed, why);
    if (e)
        return e;
    for (unsigned i = 0; i < c->peer_count; i++)
        there = there || c->peers[i].id == c->node_id;
    if (!there && !c->cluster_advertise)
        return fail(why, ERR_BAD_REQUEST,
                    "%s: this node (id %d) is not among them; then it needs meta.cluster.advertise",
                    where_of(b, "meta.cluster.peers"), c->node_id);
    return OK;
}

static enum err check_storage(const struct build *b, struct why *why)
{
    static const char *const fs[] = { "meta.storage.path", NULL };
    static const char *const s3[] = { "meta.storage.bucket", NULL };
    static const char *const basic[] = { "meta.storage.credentials.accessKeyId",
                                         "meta.storage.credentials.secretAccessKey", NULL };
    const json_t *o = b->config.storage;
    const char *where = where_of(b, "meta.storage.type");
    const char *type = json_string_value(json_object_get(o, "type"));
    const char *credentials =
        json_string_value(json_object_get(json_object_get(o, "credentials"), "type"));
    if (!o)
        return OK;
    if (!type)
        return fail(why, ERR_BAD_REQUEST, "meta.storage: needs meta.storage.type, fs or s3");
    if (strcmp(type, "fs") != 0 && strcmp(type, "s3") != 0)
        return fail(why, ERR_BAD_REQUEST, "%s: expected fs or s3, got '%s'", where, type);
    if (credentials && strcmp(credentials, "basic") == 0) {
        enum err e = require(b, "meta.storage.credentials.type", basic, why);
        if (e)
            return e;
    }
    return require(b, "meta.storage.type", type[0] == 'f' ? fs : s3, why);
}

/* What no single value can get wrong alone. */
static enum err check_together(const struct build *b, struct why *why)
{
    static const char *const ssl[] = { "meta.ssl.cert", "meta.ssl.key", NULL };
    static const char *const public_key[] = { "meta.jwt.public-key-path", NULL };
    static const char *const private_key[] = { "meta.jwt.private-key-path", NULL };
    enum err e = check_ports(b, why);
    if (!e && b->config.ssl)
        e = require(b, "meta.ssl.enabled", ssl, why);
    if (!e && b->config.jwt_private_key_path)
        e = require(b, "meta.jwt.private-key-path", public_key, why);
    if (!e && b->config.jwt_public_key_path)
        e = require(b, "meta.jwt.public-key-path", private_key, why);
    if (!e)
        e = check_storage(b, why);
    return e ? e : check_cluster(b, why);
}

static enum err unknown_variable(const char *name, struct why *why)
{
    char near[PATH_MAX_BYTES];
    bool service = strstr(name, "_SERVICE_") || strstr(name, "_TCP");
    key_suggest_variable(name, near);
    if (near[0])
        return fail(why, ERR_BAD_REQUEST, "%.80s: unknown variable; did you mean '%s'?", name, near);
    /* Kubernetes gives every pod variables of the services around it. */
    return fail(why, ERR_BAD_REQUEST, "%.80s: unknown variable%s", name,
                service ? "; is enableServiceLinks on?" : "");
}

/* One "NAME=value" of the environment, if it is ours. An empty value is as good as none. */
static enum err read_variable(struct build *b, const char *entry, struct why *why)
{
    const char *equals = strchr(entry, '=');
    if (!equals || strncmp(entry, "PANTERA_", 8) != 0 || !equals[1])
        return OK;
    const char *name = arena_strndup(&b->arena, entry, (size_t)(equals - entry));
    const struct key *k = key_find_variable(name);
    if (k)
        return value_set(b, k, equals + 1, name, why);
    return key_outside(name) ? OK : unknown_variable(name, why);
}

/* Whoever can reach this node is on this machine already. */
static bool host_is_loopback(const char *host)
{
    struct address a;
    if (strcmp(host, "localhost") == 0)
        return true;
    const char *kind = address_parse(host, &a) ? address_special(&a) : NULL;
    return kind && strcmp(kind, "loopback") == 0;
}

static enum err finish(struct build *b, struct config **ret, struct why *why)
{
    static const char *loopback[] = { "127.0.0.0/8", "::1/128", NULL };
    enum err e = check_together(b, why);
    if (e) {
        build_free(b);
        return e;
    }
    struct config *c = &b->config;
    if (!c->cache_dir)
        c->cache_dir = arena_printf(&b->arena, "%s/cache", c->home);
    if (!c->global_prefixes)
        c->global_prefixes = arena_alloc(&b->arena, sizeof *c->global_prefixes);
    if (!c->allow_upstreams)
        c->allow_upstreams = host_is_loopback(c->host) ? loopback : loopback + 2;
    const char *storage = where_of(b, "meta.storage.type");
    c->http_ca_where = where_of(b, "meta.http_client.ca_file");
    c->storage_where = storage ? storage : "meta.storage";
    *ret = c;
    return OK;
}

enum err config_parse(const char *name, const char *text, size_t size, struct config **ret,
                      struct why *why)
{
    struct build *b = build_new();
    enum err e = size > MIB(1) ? fail(why, ERR_BAD_REQUEST, "%.80s: larger than 1 MiB", name)
                               : yaml_read(b, name, text, size, why);
    if (e) {
        build_free(b);
        return e;
    }
    b->config.file = arena_strdup(&b->arena, name);
    return finish(b, ret, why);
}

/* The whole file into the arena; *ret_text NULL if there is none and none was asked for. */
static enum err read_file(struct build *b, const char *name, bool optional, const char **ret_text,
                          size_t *ret_size, struct why *why)
{
    FILE *f = fopen(name, "re");
    if (!f && optional && errno == ENOENT) {
        *ret_text = NULL;
        return OK;
    }
    if (!f)
        return fail(why, ERR_BAD_REQUEST, "%.100s: %s", name, strerror(errno));
    size_t limit = MIB(1);
    char *text = arena_alloc(&b->arena, limit + 1);
    size_t n = fread(text, 1, limit + 1, f);
    enum err e = ferror(f)   ? fail(why, ERR_BAD_REQUEST, "%.100s: %s", name, strerror(errno))
                 : n > limit ? fail(why, ERR_BAD_REQUEST, "%.100s: larger than 1 MiB", name)
                             : OK;
    fclose(f);
    *ret_text = text;
    *ret_size = n;
    return e;
}

enum err config_load(const char *file, struct config **ret, struct why *why)
{
    struct build *b = build_new();
    const char *name = file ? file : "pantera.yml", *text = NULL;
    size_t size = 0;
    enum err e = read_file(b, name, !file, &text, &size, why);
    if (!e && text) {
        b->config.file = arena_strdup(&b->arena, name);
        e = yaml_read(b, name, text, size, why);
    }
    for (char **entry = environ; !e && *entry; entry++)
        e = read_variable(b, *entry, why);
    if (e) {
        build_free(b);
        return e;
    }
    return finish(b, ret, why);
}
