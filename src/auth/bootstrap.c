/* SPDX-License-Identifier: Apache-2.0 */
/* The first start of a cluster: the administrator, the key pair that signs tokens (made, or the
 * operator's PEM files), the alias `default`. Everything slow happens on the pool; one proposal makes
 * it true. Also the sweeper of expired token rows, the other thing that auth does without a request. */
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/ids.h"
#include "pantera/log.h"
#include "pantera/meta_signing_key.h"
#include "pantera/meta_token.h"
#include "pantera/worker.h"
#include "src/auth/internal.h"

enum { RSA_BITS = 2048, PEM_MAX = 16384, PASSWORD_BYTES = 18 };

struct bootstrap {
    struct work work;
    struct proposal proposal;
    struct worker *worker;
    void (*done)(struct worker *w, enum err e, const char *generated_password);
    bool generated;
    char password[1025], encoded[160];
    char kid[37];
    char *private_pem, *public_pem;
    enum err err;
    struct why why;
};

static char *bio_text(BIO *bio)
{
    char *data;
    long size = BIO_get_mem_data(bio, &data);
    return size > 0 ? strndup(data, (size_t)size) : NULL;
}

static enum err key_export(struct bootstrap *b, EVP_PKEY *key)
{
    BIO *private = BIO_new(BIO_s_mem()), *public = BIO_new(BIO_s_mem());
    if (private && public &&
        PEM_write_bio_PrivateKey(private, key, NULL, NULL, 0, NULL, NULL) == 1 &&
        PEM_write_bio_PUBKEY(public, key) == 1) {
        b->private_pem = bio_text(private);
        b->public_pem = bio_text(public);
    }
    BIO_free(private);
    BIO_free(public);
    return b->private_pem && b->public_pem ? OK : fail(&b->why, ERR_INTERNAL, "no RSA key pair");
}

/* The operator's key: the public half must belong to the private one. */
static enum err key_read(struct bootstrap *b, const struct config *c)
{
    enum err e = OK;
    FILE *f = fopen(c->jwt_private_key_path, "re");
    EVP_PKEY *key = f ? PEM_read_PrivateKey(f, NULL, NULL, (void *)"") : NULL, *public = NULL;
    if (f)
        fclose(f);
    if (!key || EVP_PKEY_base_id(key) != EVP_PKEY_RSA || EVP_PKEY_bits(key) < RSA_BITS)
        e = fail(&b->why, ERR_BAD_REQUEST, "%.150s: not a PEM file of an RSA private key of %d bits",
                 c->jwt_private_key_path, RSA_BITS);
    if (!e && c->jwt_public_key_path) {
        f = fopen(c->jwt_public_key_path, "re");
        public = f ? PEM_read_PUBKEY(f, NULL, NULL, NULL) : NULL;
        if (f)
            fclose(f);
        if (!public || EVP_PKEY_eq(key, public) != 1)
            e = fail(&b->why, ERR_BAD_REQUEST, "%.150s: not the public half of the private key",
                     c->jwt_public_key_path);
    }
    if (!e)
        e = key_export(b, key);
    EVP_PKEY_free(public);
    EVP_PKEY_free(key);
    return e;
}

static enum err key_make(struct bootstrap *b)
{
    EVP_PKEY *key = EVP_RSA_gen(RSA_BITS);
    enum err e = key ? key_export(b, key) : fail(&b->why, ERR_INTERNAL, "no RSA key pair");
    EVP_PKEY_free(key);
    return e;
}

static void bootstrap_run(struct work *work)
{
    struct bootstrap *b = container_of(work, struct bootstrap, work);
    const struct config *c = b->worker->config;
    b->err = password_hash_now(b->password, b->encoded);
    if (!b->err)
        b->err = c->jwt_private_key_path ? key_read(b, c) : key_make(b);
}

static void bootstrap_end(struct bootstrap *b, enum err e, bool founded)
{
    if (e)
        log_error("auth", "first start: %s", why_text(&b->why, e));
    b->done(b->worker, e, !e && founded && b->generated ? b->password : NULL);
    if (b->private_pem)
        explicit_bzero(b->private_pem, strlen(b->private_pem));
    free(b->private_pem);
    free(b->public_pem);
    explicit_bzero(b, sizeof *b);
    free(b);
}

static void bootstrap_proposed(struct proposal *p)
{
    struct bootstrap *b = container_of(p, struct bootstrap, proposal);
    bool founded = json_is_true(json_object_get(p->result, "founded"));
    json_decref(p->result);
    b->why = p->why;
    bootstrap_end(b, p->err, founded);
}

static json_t *bootstrap_args(struct bootstrap *b)
{
    const struct config *c = b->worker->config;
    struct arena a;
    arena_init(&a);
    const char *sealed =
        seal(&a, cluster_seal_key(b->worker->cluster), arena_printf(&a, "signing_key/%s", b->kid),
             b->private_pem, strlen(b->private_pem));
    json_t *storage = c->storage ? json_deep_copy(c->storage)
                                 : json_pack("{s:s, s:s}", "type", "fs", "path",
                                             arena_printf(&a, "%s/blobs", c->home));
    json_t *args = json_pack("{s:s, s:s, s:{s:s, s:s, s:s}, s:o}", "admin",
                             c->user_name ? c->user_name : "admin", "password", b->encoded,
                             "signing_key", "kid", b->kid, "private", sealed, "public",
                             b->public_pem, "storage", storage);
    check(args);
    if (c->global_prefixes && *c->global_prefixes) {
        json_t *prefixes = json_array();
        for (const char **p = c->global_prefixes; *p; p++)
            json_array_append_new(prefixes, json_string(*p));
        json_object_set_new(args, "prefixes", prefixes);
    }
    arena_release(&a);
    return args;
}

static void bootstrap_made(struct work *work)
{
    struct bootstrap *b = container_of(work, struct bootstrap, work);
    if (b->err) {
        bootstrap_end(b, b->err, false);
        return;
    }
    b->proposal = (struct proposal){
        .op = "system.bootstrap", .args = bootstrap_args(b), .home = &b->worker->loop,
        .on_done = bootstrap_proposed, .timeout_ms = 30000,
    };
    cluster_propose(b->worker->cluster, &b->proposal);
}

void auth_bootstrap(struct worker *w,
                    void (*done)(struct worker *w, enum err e, const char *generated_password))
{
    struct bootstrap *b = calloc(1, sizeof *b);
    check(b);
    b->worker = w;
    b->done = done;
    random_uuid(b->kid);
    if (w->config->user_pass) {
        snprintf(b->password, sizeof b->password, "%s", w->config->user_pass);
    } else {
        b->generated = true;
        random_hex(b->password, PASSWORD_BYTES);
    }
    work_submit(&b->work, &w->loop, bootstrap_run, bootstrap_made);
}

bool auth_bootstrapped(struct meta_reader *r)
{
    return signing_key_exists(r);
}

/* --- the sweeper --- */

enum { SWEEP_EVERY_MS = 60000, SWEEP_ROWS = 1000 };

static struct sweeper {
    uv_timer_t timer;
    struct proposal proposal;
    struct worker *worker;
    bool running, started;
} sweeper;

static void swept(struct proposal *p)
{
    sweeper.running = false;
    json_decref(p->result);
    if (p->err)
        log_warn("auth", "token sweep: %s", why_text(&p->why, p->err));
}

static void sweep(uv_timer_t *timer)
{
    struct worker *w = sweeper.worker;
    if (sweeper.running || !cluster_is_leader(w->cluster) ||
        !token_sweep_due(w->reader, clock_wall_ms()))
        return;
    sweeper.running = true;
    sweeper.proposal = (struct proposal){
        .op = "token.sweep", .args = json_pack("{s:i}", "limit", SWEEP_ROWS), .home = &w->loop,
        .on_done = swept,
    };
    cluster_propose(w->cluster, &sweeper.proposal);
}

void auth_sweeper_start(struct worker *w)
{
    sweeper.worker = w;
    sweeper.started = true;
    check(uv_timer_init(&w->loop.uv, &sweeper.timer) == 0);
    check(uv_timer_start(&sweeper.timer, sweep, SWEEP_EVERY_MS, SWEEP_EVERY_MS) == 0);
}

void auth_sweeper_stop(struct worker *w)
{
    if (sweeper.started)
        uv_close((uv_handle_t *)&sweeper.timer, NULL);
    sweeper.started = false;
}
