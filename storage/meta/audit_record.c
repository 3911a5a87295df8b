/* SPDX-License-Identifier: Apache-2.0 */
/* storage/meta/audit_record.c: the audit log is written here, on the leader, in the transaction of the
 * change that it is about: neither is there without the other. What is recorded says audit.def. */
#include <stdlib.h>
#include <string.h>

#include "pantera/buf.h"
#include "pantera/digest.h"
#include "pantera/limits.h"
#include "pantera/text.h"
#include "storage/meta/audit.h"
#include "storage/meta/ops.h"
#include "storage/meta/sql.h"

#define VALUE_MOST KIB(64) /* of a before or an after; larger ones are named by their digest */

static const struct rule {
    const char *op, *type;
    const struct audit_family *family;
    bool silent, asked;
} rules[] = {
#define AUDIT(op, type, family) { op, type, &audit_family_##family, false, false },
#define ASKED(op, type, family) { op, type, &audit_family_##family, false, true },
#define SILENT(op) { op, NULL, NULL, true, false },
#include "storage/meta/audit.def"
#undef AUDIT
#undef ASKED
#undef SILENT
};

static const struct rule *rule_of(const char *op)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (strcmp(rules[i].op, op) == 0)
            return &rules[i];
    return NULL;
}

bool audit_ruled(const char *op)
{
    return rule_of(op) != NULL;
}

/* "thing.verb" is about a thing. */
static const char *type_of(struct txn *t, const char *op)
{
    return arena_strndup(txn_arena(t), op, strcspn(op, "."));
}

static const char *name_of(const json_t *args)
{
    static const char *const keys[] = { "name", "path", "id", "key" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (arg_text(args, keys[i]))
            return arg_text(args, keys[i]);
    return "";
}

void audit_begin(struct txn *t, const char *op, json_t *args, struct audit_trace *ret)
{
    const struct rule *rule = rule_of(op);
    *ret = (struct audit_trace){ .op = op, .envelope = json_incref(json_object_get(args, "_audit")) };
    json_object_del(args, "_audit");
    ret->wanted = rule ? !rule->silent && (!rule->asked || ret->envelope) : ret->envelope != NULL;
    if (!ret->wanted)
        return;
    ret->family = rule ? rule->family : NULL;
    ret->type = rule ? rule->type : type_of(t, op);
    ret->name = ret->family ? ret->family->name(t, args)
                            : arena_strdup(txn_arena(t), name_of(args));
    ret->before = ret->family ? ret->family->read(t, args, false) : NULL;
}

/* An operation that means different things by its arguments. */
static const char *action_of(const struct audit_trace *trace, const json_t *args,
                             const json_t *result)
{
    const char *type = arg_text(args, "type");
    if (strcmp(trace->op, "token.add") == 0 && type && strcmp(type, "refresh") == 0)
        return "login";
    if (strcmp(trace->op, "token.refresh") == 0 && json_is_true(json_object_get(result, "reused")))
        return "token.reuse";
    return trace->op;
}

void audit_end(struct txn *t, const json_t *args, const json_t *result, bool changed,
               struct audit_trace *trace)
{
    /* A repetition changes no more than what its bytes were reserved under. */
    bool repeated = json_is_true(json_object_get(result, "already"));
    if (trace->wanted && changed && !repeated) {
        const char *action = action_of(trace, args, result);
        const char *actor = arg_text(trace->envelope, "actor");
        if (!actor && trace->envelope)
            actor = arg_text(args, "user"); /* a login: nobody was known when it was asked for */
        json_t *after = trace->family ? trace->family->read(t, args, true) : NULL;
        struct audit_entry e = {
            .actor = actor ? actor : "system", .address = arg_text(trace->envelope, "address"),
            .request_id = arg_text(trace->envelope, "request_id"),
            .action = action, .type = trace->type,
            .resource = trace->name, .before = trace->before, .after = after,
        };
        audit_append(t, &e);
        json_decref(after);
    }
    json_decref(trace->envelope);
    json_decref(trace->before);
}

/* --- the chain --- */

static void add_text(struct buf *b, const char *text)
{
    if (text)
        buf_blob(b, text, strlen(text));
    else
        buf_u32(b, UINT32_MAX); /* none is not the same as empty */
}

/* "pantera audit 1", the hash before, seq and time as 64 bits little-endian, then each text with its
 * length as 32 bits in front (all ones: none), in the order of the columns. */
void audit_hash(const struct audit_row *row, const unsigned char prev[32], unsigned char ret[32])
{
    struct buf b;
    buf_init(&b, 4 * VALUE_MOST);
    (void)buf_puts(&b, "pantera audit 1");
    (void)buf_add(&b, prev, 32);
    buf_u64(&b, (uint64_t)row->seq);
    buf_u64(&b, (uint64_t)row->time_ms);
    add_text(&b, row->actor);
    add_text(&b, row->address);
    add_text(&b, row->request_id);
    add_text(&b, row->action);
    add_text(&b, row->type);
    add_text(&b, row->resource);
    add_text(&b, row->before);
    add_text(&b, row->after);
    if (buf_err(&b))
        memset(ret, 0, 32); /* longer than any row that was written here: matches no hash */
    else
        sha256(b.data, b.length, ret);
    buf_free(&b);
}

/* The last row, or where the swept part of the chain ended, or the beginning. */
static void head_read(struct txn *t, struct audit_row *ret)
{
    static const char *const where[] = {
        "SELECT seq, time_ms, hash FROM audit ORDER BY seq DESC LIMIT 1",
        "SELECT seq, time_ms, hash FROM audit_anchor WHERE id = 1",
    };
    *ret = (struct audit_row){ 0 };
    for (unsigned i = 0; i < 2 && !ret->seq; i++) {
        struct sql *q = sql_txn(t, where[i]);
        size_t size;
        if (sql_row(q)) {
            const void *hash = sql_blob(q, 2, &size);
            ret->seq = sql_int(q, 0);
            ret->time_ms = sql_int(q, 1);
            if (hash && size == 32)
                memcpy(ret->hash, hash, 32);
        }
        sql_end(q);
    }
}

static const char *value_text(struct arena *a, const json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY) : NULL;
    const char *kept = NULL;
    size_t size = text ? strlen(text) : 0;
    unsigned char digest[32];
    char hex[65];
    if (size > VALUE_MOST) {
        sha256(text, size, digest);
        hex_encode(digest, 32, hex);
        kept = arena_printf(a, "{\"bytes\":%zu,\"sha256\":\"%s\",\"too_long\":true}", size, hex);
    } else if (text) {
        kept = arena_strdup(a, text);
    }
    free(text);
    return kept;
}

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

void audit_append(struct txn *t, const struct audit_entry *e)
{
    struct audit_row head, row = {
        .actor = or_empty(e->actor), .address = or_empty(e->address),
        .request_id = or_empty(e->request_id), .action = or_empty(e->action),
        .type = or_empty(e->type), .resource = or_empty(e->resource),
        .before = value_text(txn_arena(t), e->before), .after = value_text(txn_arena(t), e->after),
    };
    head_read(t, &head);
    row.seq = head.seq + 1;
    row.time_ms = txn_now(t) > head.time_ms ? txn_now(t) : head.time_ms;
    audit_hash(&row, head.hash, row.hash);
    check(!sql_do(t, "INSERT INTO audit (seq, time_ms, actor, address, request_id, action,"
                     " resource_type, resource, old_value, new_value, prev, hash)"
                     " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                  "iissssssssbb", row.seq, row.time_ms, row.actor, row.address, row.request_id,
                  row.action, row.type, row.resource, row.before, row.after,
                  (const void *)head.hash, (size_t)32, (const void *)row.hash, (size_t)32));
}

/* --- operations --- */

/* At the birth of a cluster, and while one that is older is being upgraded, strangers sign in already. */
static enum err ready(struct txn *t, struct why *why)
{
    struct sql *q = sql_txn(t, "SELECT 1 FROM sqlite_master WHERE name = 'audit'");
    bool there = sql_row(q);
    sql_end(q);
    return there ? OK : fail(why, ERR_UNAVAILABLE, "the cluster is being upgraded; try again");
}

/* What happened outside of an operation: sign-ins by password, members of the cluster. */
enum err op_audit_note(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    struct audit_entry e = {
        .actor = arg_text(args, "actor"), .address = arg_text(args, "address"),
        .request_id = arg_text(args, "request_id"), .action = arg_text(args, "action"),
        .type = arg_text(args, "type"), .resource = arg_text(args, "resource"),
        .after = json_object_get(args, "detail"),
    };
    enum err ready_err = ready(t, why);
    (void)ret_result;
    if (ready_err)
        return ready_err;
    if (!e.actor || !e.action || !e.type)
        return fail(why, ERR_BAD_REQUEST, "audit.note: bad arguments");
    audit_append(t, &e);
    return OK;
}

static void anchor_set(struct txn *t, const struct audit_row *last)
{
    check(!sql_do(t, "INSERT INTO audit_anchor (id, seq, time_ms, hash) VALUES (1, ?, ?, ?)"
                     " ON CONFLICT (id) DO UPDATE SET seq = excluded.seq,"
                     " time_ms = excluded.time_ms, hash = excluded.hash",
                  "iib", last->seq, last->time_ms, (const void *)last->hash, (size_t)32));
}

/* Takes rows older than `before_ms` from the beginning of the chain, `limit` at most, and keeps the hash of
 * the last of them: what is left is still a chain from there. The newest row always stays. */
enum err op_audit_sweep(struct txn *t, const json_t *args, json_t **ret_result, struct why *why)
{
    int64_t before = arg_int(args, "before_ms", 0), limit = arg_int(args, "limit", 500);
    struct audit_row head, last = { 0 };
    int64_t first = 0;
    enum err ready_err = ready(t, why);
    if (ready_err)
        return ready_err;
    if (limit < 1 || limit > 500)
        return fail(why, ERR_BAD_REQUEST, "audit.sweep: limit is 1 to 500");
    head_read(t, &head);
    struct sql *q = sql_txn(t, "SELECT seq, time_ms, hash FROM audit ORDER BY seq LIMIT ?");
    sql_bind(q, "i", limit);
    while (sql_row(q) && sql_int(q, 1) < before && sql_int(q, 0) < head.seq) {
        size_t size;
        const void *hash = sql_blob(q, 2, &size);
        first = first ? first : sql_int(q, 0);
        last.seq = sql_int(q, 0);
        last.time_ms = sql_int(q, 1);
        if (hash && size == 32)
            memcpy(last.hash, hash, 32);
    }
    sql_end(q);
    *ret_result = json_pack("{s:I}", "deleted", (json_int_t)(first ? last.seq - first + 1 : 0));
    if (!first)
        return OK;
    check(!sql_do(t, "DELETE FROM audit WHERE seq <= ?", "i", last.seq));
    anchor_set(t, &last);
    json_t *detail = json_pack("{s:I, s:I}", "from_seq", (json_int_t)first, "to_seq",
                               (json_int_t)last.seq);
    struct audit_entry e = { .actor = "system", .action = "audit.sweep", .type = "audit",
                             .after = detail };
    audit_append(t, &e);
    json_decref(detail);
    return OK;
}
