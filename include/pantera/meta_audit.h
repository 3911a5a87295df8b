/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/meta_audit.h: the audit log as it is read: lists, and the proof that nobody has edited it.
 * What:    rows that storage/meta/audit_record.c writes in the transaction of the change itself.
 * Not:     which changes are recorded (storage/meta/audit.def), who may look (api/audit.c).
 * Threads: as every reader's. */
#ifndef PANTERA_META_AUDIT_H
#define PANTERA_META_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "pantera/arena.h"
#include "pantera/meta.h"

/* Of one list query at most so many rows are looked at, newest first; what is older needs a narrower
 * question (from, to). */
#define AUDIT_LOOK_AT 20000

struct audit_row {
    int64_t seq, time_ms;
    const char *actor, *address, *request_id, *action, *type, *resource;
    const char *before, *after;  /* JSON, or NULL */
    unsigned char hash[32];
};

struct audit_query {
    int64_t from_ms, to_ms;      /* 0: open; both included */
    const char *actor, *action, *resource, *type; /* NULL: any. `type` narrows what others found */
    int64_t offset, limit;
};

/* Newest first. *ret_total counts no more than AUDIT_LOOK_AT. */
void audit_list(struct meta_reader *r, struct arena *a, const struct audit_query *query,
                struct audit_row **ret, unsigned *ret_count, int64_t *ret_total);

/* The chain, in steps of bounded work: begin, then step until `done`. */
struct audit_check {
    int64_t next_seq;            /* expected */
    int64_t time_ms;
    unsigned char hash[32];      /* of the row before */
    int64_t count, first_seq;
    bool done, ok;
    int64_t bad_seq;             /* of the first row that is not as it was written, or is not there */
    const char *reason;          /* static text */
};
void audit_check_begin(struct meta_reader *r, struct audit_check *c);
void audit_check_step(struct meta_reader *r, struct audit_check *c, unsigned limit);

/* Rows older than this are there (operation audit.sweep takes them). */
bool audit_sweep_due(struct meta_reader *r, int64_t before_ms);

#endif
