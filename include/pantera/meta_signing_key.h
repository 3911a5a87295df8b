/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/meta_signing_key.h: rows of `signing_key`. `private_sealed` is sealed with the cluster key, aad
 * "signing_key/<kid>". Threads: the reader's. Strings are the arena's.
 *
 * Operation system.bootstrap: admin, password (argon2id), signing_key {kid, private (sealed), public},
 * storage (JSON of the alias `default`), prefixes? → {founded}: false if there was a key already; then
 * nothing was changed. */
#ifndef PANTERA_META_SIGNING_KEY_H
#define PANTERA_META_SIGNING_KEY_H

#include "pantera/meta.h"

struct signing_key {
    const char *kid, *private_sealed, *public_pem;
    bool active;
};

bool signing_key_exists(struct meta_reader *r);
void signing_key_list(struct meta_reader *r, struct arena *a, struct signing_key **ret,
                      unsigned *ret_count);

#endif
