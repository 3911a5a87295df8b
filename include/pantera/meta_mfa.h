/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/meta_mfa.h: a user's second factor as this node's replica has it.
 * Not:     how a code is computed (totp.h).
 * Threads: the reader's. Strings are the arena's.
 *
 * Operations (arguments → result), all with `user`:
 *   mfa.enrol   secret: sealed                        → null; CONFLICT: one is confirmed already
 *   mfa.confirm created_ms, step, codes: hashes       → null; what was enrolled holds from now on
 *   mfa.use     created_ms, step                      → null; UNAUTHORIZED: that step or a later one was used
 *   mfa.backup  hash                                  → null; UNAUTHORIZED: not a code, or used
 *   mfa.codes   codes                                 → null; new backup codes in place of the old ones
 *   mfa.remove                                        → null */
#ifndef PANTERA_META_MFA_H
#define PANTERA_META_MFA_H

#include "pantera/meta.h"

enum { MFA_CODES = 10 };

struct mfa {
    const char *secret; /* sealed */
    bool confirmed;
    int64_t last_step, created_ms, codes_left;
};

enum err mfa_get(struct meta_reader *r, struct arena *a, const char *user, struct mfa *ret);
bool mfa_required(struct meta_reader *r, const char *user); /* one is confirmed */
const char *mfa_aad(struct arena *a, const char *user);     /* where the secret is sealed to */

#endif
