/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/meta_token.h: rows of `token`: refresh and API tokens, and revoked access tokens.
 * Not: signatures (auth.h); the tokens themselves are stored nowhere.
 * Threads: the reader's. Strings are the arena's.
 *
 * Operations (arguments → result):
 *   token.add     user, id, type, label?, family?, expires_ms?, epoch_ms   → null
 *   token.refresh user, id (spent by this), new_id, expires_ms, epoch_ms → {reused}: true if it was
 *                 spent before: then its whole family is revoked now and new_id does not exist
 *   token.revoke  user, id, type   → null; an access token gets a row (expires_ms)
 *   token.sweep   limit           → {deleted} */
#ifndef PANTERA_META_TOKEN_H
#define PANTERA_META_TOKEN_H

#include "pantera/meta.h"

struct token {
    const char *id, *type, *label, *family;
    int64_t created_ms;
    int64_t expires_ms; /* 0: permanent */
    bool revoked;
};

enum err token_get(struct meta_reader *r, struct arena *a, const char *user, const char *id,
                   struct token *ret, struct why *why);
/* API tokens that were not revoked, newest first. */
void token_list(struct meta_reader *r, struct arena *a, const char *user, struct token **ret,
                unsigned *ret_count);
/* There are rows that token.sweep would delete. */
bool token_sweep_due(struct meta_reader *r, int64_t now_ms);

#endif
