/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/totp.h: time-based one-time passwords (RFC 6238: SHA-1, 6 digits, 30 s) and backup codes.
 * Not:     who used which step (meta_mfa.h). Threads: any. */
#ifndef PANTERA_TOTP_H
#define PANTERA_TOTP_H

#include "pantera/arena.h"
#include "pantera/digest.h"
#include "pantera/err.h"

enum { TOTP_SECRET = 20, TOTP_PERIOD_S = 30, TOTP_DIGITS = 6, TOTP_DRIFT = 1 };

/* RFC 4226 §5.3, of one step. */
unsigned totp_code(const unsigned char *secret, size_t size, int64_t step);
/* The step that the six digits are of, within TOTP_DRIFT steps of `now_ms`; 0: of none. */
int64_t totp_step(const unsigned char *secret, size_t size, const char *code, int64_t now_ms);
char *base32_encode(struct arena *a, const unsigned char *data, size_t size); /* no padding */

/* A new secret: sealed for the row, and as the user's device takes it. */
struct totp_secret {
    const char *sealed, *text, *url;
};
void totp_secret_new(struct arena *a, const struct seal_key *key, const char *user,
                     struct totp_secret *ret);
/* *ret_step: as totp_step. */
enum err totp_check(struct arena *a, const struct seal_key *key, const char *user, const char *sealed,
                    const char *code, int64_t *ret_step, struct why *why);
/* "k5tq-2m7a-…": 80 random bits; and what is kept of it. Blanks, dashes and case don't matter. */
char *backup_code_new(struct arena *a);
bool backup_code_shaped(const char *code);
char *backup_code_hash(struct arena *a, const char *user, const char *code);

#endif
