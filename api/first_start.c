/* SPDX-License-Identifier: Apache-2.0 */
/* The first start: what the configuration says, as auth_found takes it. */
#include <stdlib.h>

#include "api/internal.h"

struct first_start {
    struct worker *worker;
    json_t *storage;
    void (*done)(struct worker *w, enum err e, const char *generated_password);
};

static void founded(enum err e, const char *generated_password, void *arg)
{
    struct first_start *s = arg;
    s->done(s->worker, e, generated_password);
    json_decref(s->storage);
    free(s);
}

static json_t *default_storage(const struct config *c)
{
    struct arena a;
    arena_init(&a);
    json_t *storage =
        json_pack("{s:s, s:s}", "type", "fs", "path", arena_printf(&a, "%s/blobs", c->home));
    arena_release(&a);
    return storage;
}

void auth_bootstrap(struct worker *w,
                    void (*done)(struct worker *w, enum err e, const char *generated_password))
{
    const struct config *c = w->config;
    struct first_start *s = calloc(1, sizeof *s);
    check(s);
    s->worker = w;
    s->done = done;
    s->storage = c->storage ? json_incref(c->storage) : default_storage(c);
    check(s->storage);
    auth_found(&(struct auth_founding){
        .loop = &w->loop, .cluster = w->cluster, .user_name = c->user_name,
        .user_pass = c->user_pass, .private_key_path = c->jwt_private_key_path,
        .public_key_path = c->jwt_public_key_path, .storage = s->storage,
        .prefixes = (const char *const *)c->global_prefixes, .done = founded, .arg = s,
    });
}
