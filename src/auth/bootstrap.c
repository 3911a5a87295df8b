/* SPDX-License-Identifier: Apache-2.0 */
/* The first start of a cluster: the administrator, the key pair that signs tokens (made, or the
 * operator's PEM files), the alias `default`. Everything slow happens on the pool; one proposal makes
 * it true. */
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
#include "src/auth/internal.h"

enum { RSA_BITS = 2048, PEM_MAX = 16384, PASSWORD_BYTES = 18 };

struct bootstrap {
    struct work work;
    struct proposal proposal;
    struct auth_founding f;
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
static enum err key_read(struct bootstrap *b)
{
    const char *private_path = b->f.private_key_path, *public_path = b->f.public_key_path;
    enum err e = OK;
    FILE *f = fopen(private_path, "re");
    EVP_PKEY *key = f ? PEM_read_PrivateKey(f, NULL, NULL, (void *)"") : NULL, *public = NULL;
    if (f)
        fclose(f);
    if (!key || EVP_PKEY_base_id(key) != EVP_PKEY_RSA || EVP_PKEY_bits(key) < RSA_BITS)
        e = fail(&b->why, ERR_BAD_REQUEST, "%.150s: not a PEM file of an RSA private key of %d bits",
                 private_path, RSA_BITS);
    if (!e && public_path) {
        f = fopen(public_path, "re");
        public = f ? PEM_read_PUBKEY(f, NULL, NULL, NULL) : NULL;
        if (f)
            fclose(f);
        if (!public || EVP_PKEY_eq(key, public) != 1)
            e = fail(&b->why, ERR_BAD_REQUEST, "%.150s: not the public half of the private key",
                     public_path);
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
    b->err = password_hash_now(b->password, b->encoded);
    if (!b->err)
        b->err = b->f.private_key_path ? key_read(b) : key_make(b);
}

static void bootstrap_end(struct bootstrap *b, enum err e, bool founded)
{
    if (e)
        log_error("auth", "first start: %s", why_text(&b->why, e));
    b->f.done(e, !e && founded && b->generated ? b->password : NULL, b->f.arg);
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
    const struct auth_founding *f = &b->f;
    struct arena a;
    arena_init(&a);
    const char *sealed =
        seal(&a, cluster_seal_key(f->cluster), arena_printf(&a, "signing_key/%s", b->kid),
             b->private_pem, strlen(b->private_pem));
    json_t *args = json_pack("{s:s, s:s, s:{s:s, s:s, s:s}, s:o}", "admin",
                             f->user_name ? f->user_name : "admin", "password", b->encoded,
                             "signing_key", "kid", b->kid, "private", sealed, "public",
                             b->public_pem, "storage", json_deep_copy(f->storage));
    check(args);
    if (f->prefixes && *f->prefixes) {
        json_t *prefixes = json_array();
        for (const char *const *p = f->prefixes; *p; p++)
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
        .op = "system.bootstrap", .args = bootstrap_args(b), .home = b->f.loop,
        .on_done = bootstrap_proposed, .timeout_ms = 30000,
    };
    cluster_propose(b->f.cluster, &b->proposal);
}

void auth_found(const struct auth_founding *f)
{
    struct bootstrap *b = calloc(1, sizeof *b);
    check(b);
    b->f = *f;
    random_uuid(b->kid);
    if (f->user_pass) {
        snprintf(b->password, sizeof b->password, "%s", f->user_pass);
    } else {
        b->generated = true;
        random_hex(b->password, PASSWORD_BYTES);
    }
    work_submit(&b->work, f->loop, bootstrap_run, bootstrap_made);
}

bool auth_bootstrapped(struct meta_reader *r)
{
    return signing_key_exists(r);
}
