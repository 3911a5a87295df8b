/* SPDX-License-Identifier: Apache-2.0 */
/* The keys that sign tokens: public halves parsed once a worker, the active private half unsealed. They
 * are read again when GEN_POLICY moved; keys that are still there are not parsed again. */
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/gen.h"
#include "pantera/log.h"
#include "pantera/meta_signing_key.h"
#include "src/auth/internal.h"

static void private_forget(struct keyring *k)
{
    if (k->private_pem)
        explicit_bzero(k->private_pem, strlen(k->private_pem));
    free(k->private_pem);
    k->private_pem = NULL;
    k->kid[0] = '\0';
}

void keyring_free(struct keyring *k)
{
    for (unsigned i = 0; i < k->count; i++)
        EVP_PKEY_free(k->keys[i].public);
    k->count = 0;
    private_forget(k);
}

EVP_PKEY *keyring_find(const struct keyring *k, const char *kid)
{
    for (unsigned i = 0; i < k->count; i++)
        if (strcmp(k->keys[i].kid, kid) == 0)
            return k->keys[i].public;
    return NULL;
}

enum err keyring_add(struct keyring *k, const char *kid, const char *public_pem, struct why *why)
{
    if (k->count == KEYRING_KEYS || strlen(kid) >= sizeof k->keys[0].kid)
        return fail(why, ERR_BAD_REQUEST, "too many signing keys, or too long a kid");
    BIO *bio = BIO_new_mem_buf(public_pem, -1);
    EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    if (!key || EVP_PKEY_base_id(key) != EVP_PKEY_RSA) {
        EVP_PKEY_free(key);
        return fail(why, ERR_BAD_REQUEST, "not an RSA public key in PEM");
    }
    struct keyring_key *slot = &k->keys[k->count++];
    snprintf(slot->kid, sizeof slot->kid, "%s", kid);
    slot->public = key;
    return OK;
}

void keyring_sign_with(struct keyring *k, const char *kid, const char *private_pem)
{
    private_forget(k);
    k->private_pem = strdup(private_pem);
    check(k->private_pem);
    snprintf(k->kid, sizeof k->kid, "%s", kid);
}

static void sign_with_row(struct keyring *k, struct arena *a, const struct signing_key *row,
                          const struct seal_key *seal)
{
    void *pem;
    size_t size;
    struct why why = { "" };
    enum err e = unseal(a, seal, arena_printf(a, "signing_key/%s", row->kid), row->private_sealed,
                        &pem, &size, &why);
    if (e) {
        log_error("auth", "signing key %s: %s", row->kid, why_text(&why, e));
        return;
    }
    char *text = arena_strndup(a, pem, size);
    keyring_sign_with(k, row->kid, text);
    explicit_bzero(text, size);
    explicit_bzero(pem, size);
}

void keyring_refresh(struct keyring *k, struct meta_reader *r, const struct seal_key *seal)
{
    uint64_t stamp = gen_get(GEN_POLICY, 0) + 1; /* 0 means never */
    struct arena a;
    struct signing_key *rows;
    unsigned count, kept = 0;
    if (k->stamp == stamp)
        return;
    arena_init(&a);
    signing_key_list(r, &a, &rows, &count);
    for (unsigned i = 0; i < k->count; i++)
        k->keys[i].kept = false;
    const struct signing_key *active = NULL;
    for (unsigned i = 0; i < count; i++) {
        struct why why = { "" };
        if (!keyring_find(k, rows[i].kid) && keyring_add(k, rows[i].kid, rows[i].public_pem, &why))
            log_error("auth", "signing key %s: %s", rows[i].kid, why.text);
        for (unsigned j = 0; j < k->count; j++)
            k->keys[j].kept |= strcmp(k->keys[j].kid, rows[i].kid) == 0;
        if (rows[i].active && !active)
            active = &rows[i];
    }
    for (unsigned i = 0; i < k->count; i++) {
        if (k->keys[i].kept)
            k->keys[kept++] = k->keys[i];
        else
            EVP_PKEY_free(k->keys[i].public);
    }
    k->count = kept;
    if (!active)
        private_forget(k);
    else if (strcmp(active->kid, k->kid) != 0)
        sign_with_row(k, &a, active, seal);
    k->stamp = stamp;
    arena_release(&a);
}
