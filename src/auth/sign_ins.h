/* SPDX-License-Identifier: Apache-2.0 */
/* src/auth/sign_ins.h: how many sign-ins of a minute get a row of their own in the audit log. */
#ifndef AUTH_SIGN_INS_H
#define AUTH_SIGN_INS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { SIGN_IN_ADDRESSES = 256 };

struct sign_ins {
    unsigned each, all;          /* rows a minute: of one address, of all */
    int64_t minute;              /* since 1970 */
    unsigned rows, count;
    uint64_t dropped;
    struct sign_in_address {
        char text[64];
        unsigned rows;
        uint64_t dropped;
    } addresses[SIGN_IN_ADDRESSES];
};
/* True: record it. False: it was counted. */
bool sign_ins_take(struct sign_ins *s, const char *address);
/* If another minute has begun: starts anew; what was only counted, as JSON, a new reference, or NULL. */
json_t *sign_ins_turn(struct sign_ins *s, int64_t minute);

#endif
