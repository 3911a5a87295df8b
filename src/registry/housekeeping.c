/* SPDX-License-Identifier: Apache-2.0 */
/* src/registry/housekeeping.c: rows that have had their time: imports after 30 days, the audit log after
 * two years, uploads that nobody goes on with after a day. In small steps, by the leader, from the
 * collector's clock (gc.c). */
#include <stdatomic.h>
#include <stdlib.h>

#include "pantera/clock.h"
#include "pantera/log.h"
#include "pantera/meta_audit.h"
#include "pantera/meta_import.h"
#include "pantera/meta_session.h"
#include "src/registry/internal.h"

#define AUDIT_KEEP_MS (2ll * 365 * 24 * 3600 * 1000)
enum { SWEEP_ROWS = 500, LOOK_EVERY_MS = 10000 };

struct sweep {
    struct proposal proposal;
};

static atomic_bool sweeping;
static uint64_t due_ms; /* the collector's thread */

static void on_swept(struct proposal *p)
{
    if (p->err)
        log_warn("registry", "%s: %s", p->op, why_text(&p->why, p->err));
    json_decref(p->result);
    free(container_of(p, struct sweep, proposal));
    atomic_store(&sweeping, false);
}

static void sweep(struct worker *w, const char *op, int64_t before_ms)
{
    struct sweep *s = calloc(1, sizeof *s);
    check(s);
    atomic_store(&sweeping, true);
    s->proposal = (struct proposal){
        .op = op, .home = &w->loop, .on_done = on_swept,
        .args = json_pack("{s:I, s:i}", "before_ms", (json_int_t)before_ms, "limit", SWEEP_ROWS),
    };
    cluster_propose(w->cluster, &s->proposal);
}

void housekeeping(struct worker *w)
{
    int64_t now = clock_wall_ms();
    if (atomic_load(&sweeping) || clock_mono_ms() < due_ms)
        return;
    if (import_sweep_due(w->reader, now - IMPORT_KEEP_MS))
        sweep(w, "import.sweep", now - IMPORT_KEEP_MS);
    else if (audit_sweep_due(w->reader, now - AUDIT_KEEP_MS))
        sweep(w, "audit.sweep", now - AUDIT_KEEP_MS);
    else if (session_sweep_due(w->reader, now - SESSION_KEEP_MS))
        sweep(w, "session.sweep", now - SESSION_KEEP_MS);
    else
        due_ms = clock_mono_ms() + LOOK_EVERY_MS;
}
