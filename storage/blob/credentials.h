/* SPDX-License-Identifier: Apache-2.0 */
/* Where an S3 store's keys come from: the alias itself, the environment, web identity (STS), the shared
 * file, the instance metadata service (IMDSv2); fetched without blocking, refreshed before they expire.
 * Not here: signing (sigv4.h). Threads: one loop. Keys never reach a log or a `why`. */
#ifndef BLOB_CREDENTIALS_H
#define BLOB_CREDENTIALS_H

#include <jansson.h>

#include "pantera/client.h"
#include "pantera/loop.h"
#include "sigv4.h"

struct credentials;

struct credentials_wait {
    struct credentials_wait *next;
    void (*on_ready)(struct credentials_wait *w, enum err e, const struct why *why);
};

/* `config`: the alias's "credentials" object, or NULL for the default chain. No I/O. */
enum err credentials_check(const json_t *config, struct why *why);
struct credentials *credentials_new(struct loop *loop, struct client *client, const json_t *config,
                                    const char *region);
void credentials_free(struct credentials *c); /* waiters are gone before */
/* True: `ret` is good until the loop's next turn. False: wait. Starts a refresh when the end is near. */
bool credentials_now(struct credentials *c, struct sigv4_keys *ret);
void credentials_prefetch(struct credentials *c);
/* Calls back exactly once, later, unless it is canceled. */
void credentials_wait(struct credentials *c, struct credentials_wait *w);
void credentials_cancel(struct credentials *c, struct credentials_wait *w);
/* The store refused them as expired: fetch again. Static keys stay. */
void credentials_invalidate(struct credentials *c);

#endif
