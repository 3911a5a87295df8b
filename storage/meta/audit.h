/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/audit.h: how the audit log is written; for meta.c, which runs the operations, and for the
 * files of the log itself. Reading is pantera/meta_audit.h. */
#ifndef STORAGE_META_AUDIT_H
#define STORAGE_META_AUDIT_H

#include <jansson.h>

#include "pantera/meta.h"
#include "pantera/meta_audit.h"

/* The first schema that has the tables. */
#define AUDIT_SCHEMA 5

/* How a kind of resource is named and read, inside the operation's transaction. */
struct audit_family {
    /* Text of the transaction's arena; never NULL. */
    const char *(*name)(struct txn *t, const json_t *args);
    /* A new reference, without secrets; NULL: there is none. `args` are the operation's. */
    json_t *(*read)(struct txn *t, const json_t *args, bool after);
};
#define AUDIT_FAMILY(name) extern const struct audit_family audit_family_##name
AUDIT_FAMILY(bootstrap);
AUDIT_FAMILY(user);
AUDIT_FAMILY(role);
AUDIT_FAMILY(token);
AUDIT_FAMILY(setting);
AUDIT_FAMILY(alias);
AUDIT_FAMILY(repository);
AUDIT_FAMILY(artifact);
AUDIT_FAMILY(commit);
AUDIT_FAMILY(prefixes); /* the rest: audit_access.c */
AUDIT_FAMILY(cooldown);
AUDIT_FAMILY(plain);
AUDIT_FAMILY(block);
AUDIT_FAMILY(exemption);
AUDIT_FAMILY(provider);
AUDIT_FAMILY(sign_in);
AUDIT_FAMILY(link);
AUDIT_FAMILY(factor);
#undef AUDIT_FAMILY

/* One operation on its way. */
struct audit_trace {
    bool wanted;
    const char *op, *type;
    const struct audit_family *family; /* NULL: not read */
    json_t *envelope;                  /* {"actor", "address", "request_id"}, or NULL */
    const char *name;
    json_t *before;
};
/* The operation has a line in audit.def. */
bool audit_ruled(const char *op);
/* Takes the member "_audit" out of `args`. */
void audit_begin(struct txn *t, const char *op, json_t *args, struct audit_trace *ret);
/* After the operation: if it `changed` something, that is recorded. Frees what the trace holds. */
void audit_end(struct txn *t, const json_t *args, const json_t *result, bool changed,
               struct audit_trace *trace);

/* Appends to the chain; `before` and `after` borrowed, NULL: none. Texts are UTF-8. */
struct audit_entry {
    const char *actor, *address, *request_id, *action, *type, *resource;
    const json_t *before, *after;
};
void audit_append(struct txn *t, const struct audit_entry *e);

/* The hash of a row that follows one with the hash `prev`. */
void audit_hash(const struct audit_row *row, const unsigned char prev[32], unsigned char ret[32]);

/* --- for families: new references --- */
struct sql;
json_t *audit_user(struct txn *t, const char *name);    /* NULL: there is none */
json_t *audit_setting(struct txn *t, const char *name); /* NULL: not set */
json_t *audit_parsed(struct sql *q, int column);        /* a column of JSON, redacted */
/* Secrets below `value` become "***#" and a few digits of a digest of their sealed text: that one was
 * changed can be seen, and nothing else. */
void audit_redact(json_t *value);

#endif
