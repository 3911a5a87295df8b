/* SPDX-License-Identifier: Apache-2.0 */
/* One-time passwords and backup codes: pure functions. That a step passes once is the operation's. */
#include "pantera/totp.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "pantera/clock.h"
#include "pantera/ids.h"
#include "pantera/meta_mfa.h"
#include "pantera/text.h"

enum { BACKUP_BYTES = 10, BACKUP_CHARS = 16 };

unsigned totp_code(const unsigned char *secret, size_t size, int64_t step)
{
    unsigned char message[8], mac[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    for (int i = 0; i < 8; i++)
        message[i] = (unsigned char)((uint64_t)step >> (56 - 8 * i));
    check(HMAC(EVP_sha1(), secret, (int)size, message, sizeof message, mac, &length) && length == 20);
    unsigned at = mac[19] & 15; /* RFC 4226 §5.3: dynamic truncation */
    unsigned bits = (mac[at] & 127u) << 24 | (unsigned)mac[at + 1] << 16 | (unsigned)mac[at + 2] << 8 |
                    mac[at + 3];
    return bits % 1000000;
}

int64_t totp_step(const unsigned char *secret, size_t size, const char *code, int64_t now_ms)
{
    int64_t now = now_ms / 1000 / TOTP_PERIOD_S, found = 0;
    if (strlen(code) != TOTP_DIGITS)
        return 0;
    for (int64_t step = now - TOTP_DRIFT; step <= now + TOTP_DRIFT; step++) {
        char text[16];
        snprintf(text, sizeof text, "%06u", totp_code(secret, size, step));
        if (equal_constant_time(text, code, TOTP_DIGITS))
            found = step;
    }
    return found;
}

char *base32_encode(struct arena *a, const unsigned char *data, size_t size)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"; /* RFC 4648 §6 */
    char *out = arena_alloc(a, size * 8 / 5 + 2), *at = out;
    unsigned bits = 0, count = 0;
    for (size_t i = 0; i < size; i++) {
        bits = bits << 8 | data[i];
        for (count += 8; count >= 5; count -= 5)
            *at++ = alphabet[bits >> (count - 5) & 31];
    }
    if (count)
        *at++ = alphabet[bits << (5 - count) & 31];
    *at = '\0';
    return out;
}

void totp_secret_new(struct arena *a, const struct seal_key *key, const char *user,
                     struct totp_secret *ret)
{
    unsigned char secret[TOTP_SECRET];
    random_bytes(secret, sizeof secret);
    ret->sealed = seal(a, key, mfa_aad(a, user), secret, sizeof secret);
    ret->text = base32_encode(a, secret, sizeof secret);
    ret->url = arena_printf(a, "otpauth://totp/Pantera:%s?secret=%s&issuer=Pantera&algorithm=SHA1"
                            "&digits=%d&period=%d", percent_encode(a, user, false), ret->text,
                            TOTP_DIGITS, TOTP_PERIOD_S);
    explicit_bzero(secret, sizeof secret);
}

enum err totp_check(struct arena *a, const struct seal_key *key, const char *user, const char *sealed,
                    const char *code, int64_t *ret_step, struct why *why)
{
    void *secret;
    size_t size;
    enum err e = unseal(a, key, mfa_aad(a, user), sealed, &secret, &size, why);
    if (e)
        return fail(why, ERR_INTERNAL, "the second factor of '%.100s' can't be opened", user);
    int64_t step = totp_step(secret, size, code, clock_wall_ms());
    explicit_bzero(secret, size);
    if (!step)
        return fail(why, ERR_UNAUTHORIZED, "mfa_code is wrong or was used");
    *ret_step = step;
    return OK;
}

char *backup_code_new(struct arena *a)
{
    unsigned char random[BACKUP_BYTES];
    random_bytes(random, sizeof random);
    char *plain = base32_encode(a, random, sizeof random);
    for (char *c = plain; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return arena_printf(a, "%.4s-%.4s-%.4s-%.4s", plain, plain + 4, plain + 8, plain + 12);
}

/* Without blanks and dashes, lower case; false: not sixteen letters and digits. */
static bool backup_plain(const char *code, char ret[BACKUP_CHARS + 1])
{
    size_t n = 0;
    for (; *code; code++) {
        if (*code == '-' || *code == ' ')
            continue;
        if (n == BACKUP_CHARS || !isalnum((unsigned char)*code))
            return false;
        ret[n++] = (char)tolower((unsigned char)*code);
    }
    ret[n] = '\0';
    return n == BACKUP_CHARS;
}

bool backup_code_shaped(const char *code)
{
    char plain[BACKUP_CHARS + 1];
    return backup_plain(code, plain);
}

char *backup_code_hash(struct arena *a, const char *user, const char *code)
{
    char plain[BACKUP_CHARS + 1], *hex = arena_alloc(a, 65);
    unsigned char hash[32];
    backup_plain(code, plain);
    const char *text = arena_printf(a, "%s/%s", user, plain);
    sha256(text, strlen(text), hash);
    hex_encode(hash, sizeof hash, hex);
    return hex;
}
