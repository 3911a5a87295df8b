/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/meta_dashboard.h: figures that are kept, not counted: what repositories hold, requests by minute.
 * Not:  scans. repository_stats is written by the operations that change artifacts (stats_add in objects.h).
 * Ops:  dashboard.flush {node, start, minutes: [[minute, requests, errors, bytes_in, bytes_out], ...]}:
 *         absolute figures of that start of the node; safe to repeat. Sweeps what is older than 8 days.
 * Threads: the reader's. */
#ifndef PANTERA_META_DASHBOARD_H
#define PANTERA_META_DASHBOARD_H

#include "pantera/arena.h"
#include "pantera/meta.h"

struct repository_figures {
    int64_t id;
    const char *name, *type, *config; /* config: JSON, secrets sealed */
    int64_t artifact_count, bytes;
    int64_t blocked;                  /* cooldown: blocked at `now_ms` */
};
/* Every repository by name, seen at one moment; strings live until `each` returns. */
void dashboard_repositories(struct meta_reader *r, int64_t now_ms,
                            void (*each)(const struct repository_figures *f, void *arg), void *arg);

struct request_figures {
    int64_t requests, errors, bytes_in, bytes_out;
};
/* Sums over all nodes in `count` buckets of `width` minutes from `first_minute`, written to ret. */
void dashboard_requests(struct meta_reader *r, int64_t first_minute, int64_t width, unsigned count,
                        struct request_figures *ret);
extern const char dashboard_repositories_sql[], dashboard_requests_sql[]; /* for the test of their plans */

#endif
