/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/meta_secret.h: secrets inside JSON configurations (aliases, repositories).
 * What:    which members are secret, sealing them for the log, unsealing for use, masking for answers.
 * Not:     cryptography (digest.h).
 * Place:   `aad` names the row ("storage_alias:<store>", "repository:<id>"), so that a sealed text
 *          that is copied into another row does not open.
 * Threads: any; everything works on the value that it is given. */
#ifndef PANTERA_META_SECRET_H
#define PANTERA_META_SECRET_H

#include <jansson.h>

#include "pantera/arena.h"
#include "pantera/digest.h"
#include "pantera/err.h"

/* A string member of that name is a secret. */
bool secret_key(const char *name);
/* What a client sees of a clear secret: "ab***yz", "***" for six characters or less. */
const char *secret_mask(struct arena *a, const char *clear);

/* Seals every secret below `config`. `old` is the configuration of before, sealed, or NULL: a value
 * that is the mask of the old one at the same place (in arrays: with the same "url") keeps it. */
enum err secrets_seal(struct arena *a, const struct seal_key *key, const char *aad, json_t *config,
                      const json_t *old, struct why *why);
enum err secrets_unseal(struct arena *a, const struct seal_key *key, const char *aad,
                        json_t *config, struct why *why);
/* From the sealed form. What does not open is shown as "***". */
void secrets_mask(struct arena *a, const struct seal_key *key, const char *aad, json_t *config);

#endif
