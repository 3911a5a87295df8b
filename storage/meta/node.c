/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/node.c: which start of a node is the current one. Whatever an earlier start had reserved
 * can't be finished any more (artifact.put refuses a key that is not reserved): it becomes garbage. */
#include "storage/meta/objects.h"
#include "storage/meta/ops.h"

enum err op_node_started(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    const char *incarnation = arg_text(args, "incarnation"), *version = arg_text(args, "version");
    int64_t node = arg_int(args, "node", 0);

    (void)ret_result;
    if (!incarnation || !version || node <= 0)
        return fail(why, ERR_BAD_REQUEST, "node.started: bad arguments");
    check(!sql_do(t, "INSERT INTO node (id, incarnation, version, started_ms) VALUES (?, ?, ?, ?) "
                     "ON CONFLICT (id) DO UPDATE SET incarnation = excluded.incarnation, "
                     "version = excluded.version, started_ms = excluded.started_ms",
                  "issi", node, incarnation, version, txn_now(t)));
    check(!sql_do(t, "INSERT INTO garbage (key, store, since_ms) SELECT key, store, ? FROM upload "
                     "WHERE node = ? AND incarnation <> ?",
                  "iis", txn_now(t), node, incarnation));
    check(!sql_do(t, "DELETE FROM upload WHERE node = ? AND incarnation <> ?", "is", node,
                  incarnation));
    claims_drop(t, node, incarnation);
    return OK;
}
