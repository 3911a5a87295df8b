/* SPDX-License-Identifier: Apache-2.0 */
/* Signing keys of tokens, as rows: the private half sealed. Made by system.bootstrap. */
#include "pantera/meta_signing_key.h"

#include "storage/meta/sql.h"

enum { KEYS = 64 }; /* rotated ones stay until the tokens that they signed are gone */

bool signing_key_exists(struct meta_reader *r)
{
    struct sql *q = sql_read(r, "SELECT 1 FROM signing_key LIMIT 1");
    bool exists = sql_row(q);
    sql_end(q);
    return exists;
}

void signing_key_list(struct meta_reader *r, struct arena *a, struct signing_key **ret,
                      unsigned *ret_count)
{
    unsigned n = 0;
    struct signing_key *keys = arena_alloc(a, KEYS * sizeof *keys);
    struct sql *q = sql_read(r, "SELECT kid, private, public, active FROM signing_key"
                                " ORDER BY created_ms DESC, kid");
    while (n < KEYS && sql_row(q))
        keys[n++] = (struct signing_key){ sql_str(q, 0, a), sql_str(q, 1, a), sql_str(q, 2, a),
                                          sql_int(q, 3) != 0 };
    sql_end(q);
    *ret = keys;
    *ret_count = n;
}
