/* SPDX-License-Identifier: Apache-2.0 */
/* The generation counters. They only grow; a collision of hashes costs a needless read, never a wrong
 * answer. */
#include "pantera/gen.h"

#include <stdatomic.h>

#include "pantera/err.h"
#include "pantera/text.h"

static _Atomic uint64_t counters[GEN_KINDS][GEN_BUCKETS];

uint64_t gen_get(enum gen_kind kind, uint64_t hash)
{
    check(kind < GEN_KINDS);
    return atomic_load_explicit(&counters[kind][hash % GEN_BUCKETS], memory_order_acquire);
}

void gen_bump(enum gen_kind kind, uint64_t hash)
{
    check(kind < GEN_KINDS);
    atomic_fetch_add_explicit(&counters[kind][hash % GEN_BUCKETS], 1, memory_order_release);
}

void gen_bump_all(void)
{
    for (unsigned kind = 0; kind < GEN_KINDS; kind++)
        for (unsigned i = 0; i < GEN_BUCKETS; i++)
            gen_bump((enum gen_kind)kind, i);
}

uint64_t gen_artifact_hash(int64_t repo_id, const char *path)
{
    return hash_text(path) ^ ((uint64_t)repo_id * 0x9e3779b97f4a7c15u);
}
