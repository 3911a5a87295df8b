/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/gen.h: generations, by which a cache knows that what it holds is still the current answer.
 * What:   counters in buckets. The cluster thread bumps those that a change touched, after the change
 *         is committed to the replica and before this node confirms it. A reader takes the stamps
 *         first, then reads the replica, then keeps both; later it may answer from what it kept while
 *         the stamps still match and the lease is valid (cluster_current).
 * Not:    messages, times to live. Nothing expires; a stamp that differs means: read again.
 * Thread: any. */
#ifndef PANTERA_GEN_H
#define PANTERA_GEN_H

#include <stdint.h>

enum gen_kind {
    GEN_USER,     /* bucket: hash of the user's name. user, user_role, token, and their like */
    GEN_POLICY,   /* one: roles, settings, signing keys, providers */
    GEN_REPO,     /* one: repositories and storage aliases */
    GEN_ARTIFACT, /* bucket: gen_artifact_hash(repository id, path) */
    GEN_BLOB,     /* one a bucket of the blob's id */
    GEN_UPSTREAM, /* as GEN_ARTIFACT: what a proxy knows of the path */
    GEN_CLAIM,    /* as GEN_ARTIFACT: who fetches it */
    GEN_PURGE,    /* repository id: what it remembers as missing is to be forgotten */
    GEN_COOLDOWN, /* gen_artifact_hash(repository id, key): blocks and decisions of a package */
    GEN_KINDS
};
#define GEN_BUCKETS 4096

uint64_t gen_get(enum gen_kind kind, uint64_t hash);
void gen_bump(enum gen_kind kind, uint64_t hash);
void gen_bump_all(void); /* after the replica was replaced as a whole */
uint64_t gen_artifact_hash(int64_t repo_id, const char *path);

#endif
