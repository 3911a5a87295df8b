/* SPDX-License-Identifier: Apache-2.0 */
/* cluster/wire.c: libraft's messages and our log entries as bytes.
 * A decoder walks its input twice where memory is involved: once to see that all of it is well-formed
 * and within the limits, once to copy. So it allocates nothing for what it refuses. */
#include "cluster/wire.h"

#include <string.h>

#define ENTRY_MAGIC 0x4e544e50u /* "PNTN" */
#define ENTRY_VERSION 1
#define NUMBER_MAX (UINT64_C(1) << 62) /* libraft adds to terms and indexes without looking */

enum { VOTE_DISRUPT = 1, VOTE_PRE = 2, VOTE_FLAGS = 3 };

static uint64_t get_number(struct cursor *c)
{
    uint64_t v = cursor_u64(c);
    if (v >= NUMBER_MAX)
        c->bad = true;
    return v;
}

static uint8_t get_u8_below(struct cursor *c, uint8_t end)
{
    uint8_t v = cursor_u8(c);
    if (v >= end)
        c->bad = true;
    return v;
}

/* ---- AppendEntries ---- */

static bool entry_sendable(const struct raft_entry *e)
{
    return e->buf.len > 0 && e->buf.len <= LIMIT_ENTRY && e->buf.len % 8 == 0;
}

static unsigned entries_to_send(const struct raft_append_entries *ae)
{
    size_t total = 0;
    unsigned n = 0;
    while (n < ae->n_entries && n < WIRE_ENTRIES_MAX) {
        total += ae->entries[n].buf.len;
        if (n > 0 && total > WIRE_BATCH_BYTES)
            break;
        n++;
    }
    return n;
}

static bool put_append_entries(struct buf *b, const struct raft_append_entries *ae)
{
    unsigned n = entries_to_send(ae);
    buf_u64(b, ae->term);
    buf_u64(b, ae->prev_log_index);
    buf_u64(b, ae->prev_log_term);
    buf_u64(b, ae->leader_commit);
    buf_u32(b, n);
    for (unsigned i = 0; i < n; i++) {
        const struct raft_entry *e = &ae->entries[i];
        if (!entry_sendable(e))
            return false;
        buf_u64(b, e->term);
        buf_u8(b, (uint8_t)e->type);
        buf_blob(b, e->buf.base, e->buf.len);
    }
    return true;
}

/* A configuration entry's content is libraft's own encoding, and its decoder believes what it reads:
 * version 1, count u64, then id u64, NUL-terminated address, role u8 for each. */
static bool is_configuration(const void *data, size_t size)
{
    struct cursor c = cursor_of(data, size);
    if (cursor_u8(&c) != 1)
        return false;
    uint64_t n = cursor_u64(&c);
    if (c.bad || n == 0 || n > WIRE_SERVERS_MAX)
        return false;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t id = cursor_u64(&c);
        if (c.bad || id == 0)
            return false;
        const unsigned char *end = memchr(c.at, 0, cursor_left(&c));
        if (end == NULL || end == c.at || (size_t)(end - c.at) > WIRE_ADDRESS_MAX)
            return false;
        c.at = end + 1;
        get_u8_below(&c, RAFT_SPARE + 1);
    }
    return !c.bad;
}

struct entry_seen {
    uint64_t term;
    uint8_t type;
    const void *data;
    size_t size;
};

static struct entry_seen get_entry(struct cursor *c)
{
    struct entry_seen e;
    e.term = get_number(c);
    e.type = cursor_u8(c);
    e.data = cursor_blob(c, &e.size);
    if (c->bad || e.size == 0 || e.size > LIMIT_ENTRY || e.size % 8 != 0)
        c->bad = true;
    else if (e.type != RAFT_COMMAND && e.type != RAFT_BARRIER && e.type != RAFT_CHANGE)
        c->bad = true;
    else if (e.type == RAFT_CHANGE && !is_configuration(e.data, e.size))
        c->bad = true;
    return e;
}

/* libraft wants one allocation for the array and one, the batch, for all contents: it frees the batch
 * with the last entry that points into it. */
static bool copy_entries(struct cursor c, unsigned n, size_t total, struct raft_append_entries *ret)
{
    struct raft_entry *entries = raft_calloc(n, sizeof *entries);
    char *batch = raft_malloc(total);
    if (entries == NULL || batch == NULL) {
        raft_free(entries);
        raft_free(batch);
        return false;
    }
    char *at = batch;
    for (unsigned i = 0; i < n; i++) {
        struct entry_seen e = get_entry(&c);
        entries[i].term = e.term;
        entries[i].type = e.type;
        entries[i].buf = (struct raft_buffer){ at, e.size };
        entries[i].batch = batch;
        memcpy(at, e.data, e.size);
        at += e.size;
    }
    ret->entries = entries;
    ret->n_entries = n;
    return true;
}

static bool get_append_entries(struct cursor *c, struct raft_append_entries *ret)
{
    ret->term = get_number(c);
    ret->prev_log_index = get_number(c);
    ret->prev_log_term = get_number(c);
    ret->leader_commit = get_number(c);
    uint32_t n = cursor_u32(c);
    if (c->bad || n > WIRE_ENTRIES_MAX)
        return false;
    struct cursor start = *c;
    size_t total = 0;
    for (uint32_t i = 0; i < n && !c->bad; i++)
        total += get_entry(c).size;
    if (c->bad || cursor_left(c) != 0)
        return false;
    return n == 0 || copy_entries(start, n, total, ret);
}

/* ---- InstallSnapshot ---- */

static bool put_install_snapshot(struct buf *b, const struct raft_install_snapshot *is)
{
    if (is->conf.n == 0 || is->conf.n > WIRE_SERVERS_MAX || is->data.len == 0 ||
        is->data.len > WIRE_MESSAGE_MAX)
        return false;
    buf_u64(b, is->term);
    buf_u64(b, is->last_index);
    buf_u64(b, is->last_term);
    buf_u64(b, is->conf_index);
    buf_u32(b, is->conf.n);
    for (unsigned i = 0; i < is->conf.n; i++) {
        const struct raft_server *s = &is->conf.servers[i];
        size_t length = strlen(s->address);
        if (length == 0 || length > WIRE_ADDRESS_MAX)
            return false;
        buf_u64(b, s->id);
        buf_u8(b, (uint8_t)s->role);
        buf_blob(b, s->address, length);
    }
    buf_blob(b, is->data.base, is->data.len);
    return true;
}

static bool get_server(struct cursor *c, struct raft_configuration *conf)
{
    uint64_t id = cursor_u64(c);
    uint8_t role = get_u8_below(c, RAFT_SPARE + 1);
    size_t length;
    const char *bytes = cursor_blob(c, &length);
    char address[WIRE_ADDRESS_MAX + 1];
    if (c->bad || id == 0 || length == 0 || length > WIRE_ADDRESS_MAX ||
        memchr(bytes, 0, length) != NULL)
        return false;
    memcpy(address, bytes, length);
    address[length] = 0;
    return raft_configuration_add(conf, id, address, role) == 0; /* refuses duplicates */
}

static bool get_install_snapshot(struct cursor *c, struct raft_install_snapshot *ret)
{
    struct raft_configuration conf;
    raft_configuration_init(&conf);
    ret->term = get_number(c);
    ret->last_index = get_number(c);
    ret->last_term = get_number(c);
    ret->conf_index = get_number(c);
    uint32_t n = cursor_u32(c);
    if (c->bad || n == 0 || n > WIRE_SERVERS_MAX)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        if (!get_server(c, &conf))
            goto refuse;
    }
    size_t size;
    const void *data = cursor_blob(c, &size);
    if (c->bad || size == 0 || cursor_left(c) != 0)
        goto refuse;
    ret->data.base = raft_malloc(size);
    if (ret->data.base == NULL)
        goto refuse;
    memcpy(ret->data.base, data, size);
    ret->data.len = size;
    ret->conf = conf;
    return true;
refuse:
    raft_configuration_close(&conf);
    return false;
}

/* ---- the small ones ---- */

static void put_request_vote(struct buf *b, const struct raft_request_vote *rv)
{
    buf_u64(b, rv->term);
    buf_u64(b, rv->candidate_id);
    buf_u64(b, rv->last_log_index);
    buf_u64(b, rv->last_log_term);
    buf_u8(b, (uint8_t)((rv->disrupt_leader ? VOTE_DISRUPT : 0) | (rv->pre_vote ? VOTE_PRE : 0)));
}

static void get_request_vote(struct cursor *c, struct raft_request_vote *ret)
{
    ret->term = get_number(c);
    ret->candidate_id = cursor_u64(c);
    ret->last_log_index = get_number(c);
    ret->last_log_term = get_number(c);
    uint8_t flags = get_u8_below(c, VOTE_FLAGS + 1);
    ret->disrupt_leader = (flags & VOTE_DISRUPT) != 0;
    ret->pre_vote = (flags & VOTE_PRE) != 0;
}

/* Of three values in 0.15, two from 0.17 on; the same bytes in both. */
enum { PRE_VOTE_UNKNOWN, PRE_VOTE_YES, PRE_VOTE_NO };

#ifndef RAFT_VERSION_MINOR
_Static_assert((int)raft_tribool_unknown == PRE_VOTE_UNKNOWN && (int)raft_tribool_true == PRE_VOTE_YES &&
                   (int)raft_tribool_false == PRE_VOTE_NO,
               "raft_tribool is what is sent");
#endif

static uint8_t pre_vote_to_wire(const struct raft_request_vote_result *r)
{
#ifndef RAFT_VERSION_MINOR
    return (uint8_t)r->pre_vote;
#else
    return r->pre_vote ? PRE_VOTE_YES : PRE_VOTE_NO;
#endif
}

static void pre_vote_from_wire(struct raft_request_vote_result *ret, uint8_t v)
{
#ifndef RAFT_VERSION_MINOR
    ret->pre_vote = (raft_tribool)v;
#else
    ret->pre_vote = v == PRE_VOTE_YES;
#endif
}

static void put_three(struct buf *b, uint64_t x, uint64_t y, uint64_t z)
{
    buf_u64(b, x);
    buf_u64(b, y);
    buf_u64(b, z);
}

/* ---- messages ---- */

static bool put_body(struct buf *b, const struct raft_message *m)
{
    switch (m->type) {
    case RAFT_IO_APPEND_ENTRIES:
        return put_append_entries(b, &m->append_entries);
    case RAFT_IO_APPEND_ENTRIES_RESULT:
        put_three(b, m->append_entries_result.term, m->append_entries_result.rejected,
                  m->append_entries_result.last_log_index);
        return true;
    case RAFT_IO_REQUEST_VOTE:
        put_request_vote(b, &m->request_vote);
        return true;
    case RAFT_IO_REQUEST_VOTE_RESULT:
        buf_u64(b, m->request_vote_result.term);
        buf_u8(b, m->request_vote_result.vote_granted);
        buf_u8(b, pre_vote_to_wire(&m->request_vote_result));
        return true;
    case RAFT_IO_INSTALL_SNAPSHOT:
        return put_install_snapshot(b, &m->install_snapshot);
    case RAFT_IO_TIMEOUT_NOW:
        put_three(b, m->timeout_now.term, m->timeout_now.last_log_index,
                  m->timeout_now.last_log_term);
        return true;
    default:
        return false;
    }
}

bool wire_encode_message(struct buf *b, const struct raft_message *m)
{
    size_t before = b->length;
    buf_u8(b, WIRE_VERSION);
    buf_u8(b, (uint8_t)m->type);
    if (put_body(b, m) && !b->failed && b->length - before <= WIRE_MESSAGE_MAX)
        return true;
    b->length = before;
    return false;
}

static bool get_body(struct cursor *c, struct raft_message *m)
{
    switch (m->type) {
    case RAFT_IO_APPEND_ENTRIES:
        return get_append_entries(c, &m->append_entries);
    case RAFT_IO_APPEND_ENTRIES_RESULT:
        m->append_entries_result.term = get_number(c);
        m->append_entries_result.rejected = get_number(c);
        m->append_entries_result.last_log_index = get_number(c);
        return true;
    case RAFT_IO_REQUEST_VOTE:
        get_request_vote(c, &m->request_vote);
        return true;
    case RAFT_IO_REQUEST_VOTE_RESULT:
        m->request_vote_result.term = get_number(c);
        m->request_vote_result.vote_granted = get_u8_below(c, 2) != 0;
        pre_vote_from_wire(&m->request_vote_result, get_u8_below(c, PRE_VOTE_NO + 1));
        return true;
    case RAFT_IO_INSTALL_SNAPSHOT:
        return get_install_snapshot(c, &m->install_snapshot);
    case RAFT_IO_TIMEOUT_NOW:
        m->timeout_now.term = get_number(c);
        m->timeout_now.last_log_index = get_number(c);
        m->timeout_now.last_log_term = get_number(c);
        return true;
    default:
        return false;
    }
}

bool wire_decode_message(const void *data, size_t size, raft_id server_id,
                         const char *server_address, struct raft_message *ret)
{
    if (size > WIRE_MESSAGE_MAX)
        return false;
    struct raft_message m;
    memset(&m, 0, sizeof m);
    struct cursor c = cursor_of(data, size);
    if (cursor_u8(&c) != WIRE_VERSION)
        return false;
    m.type = cursor_u8(&c);
    m.server_id = server_id;
    m.server_address = server_address;
    /* A body that owns memory has already seen that the input ends with it. */
    if (c.bad || !get_body(&c, &m) || c.bad || cursor_left(&c) != 0)
        return false;
    *ret = m;
    return true;
}

void wire_message_release(struct raft_message *m)
{
    if (m->type == RAFT_IO_APPEND_ENTRIES && m->append_entries.entries != NULL) {
        raft_free(m->append_entries.entries[0].batch);
        raft_free(m->append_entries.entries);
        m->append_entries.entries = NULL;
        m->append_entries.n_entries = 0;
    } else if (m->type == RAFT_IO_INSTALL_SNAPSHOT) {
        raft_configuration_close(&m->install_snapshot.conf);
        raft_configuration_init(&m->install_snapshot.conf);
        raft_free(m->install_snapshot.data.base);
        m->install_snapshot.data.base = NULL;
    }
}

/* ---- log entries: magic u32, version u8, kind u8, zero u16, batch id u64, payload size u64,
 *      payload, zeroes up to a multiple of 8 ---- */

static size_t padded(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

static bool payload_fits(enum entry_kind kind, size_t size)
{
    switch (kind) {
    case ENTRY_CHANGESET:
        return size > 0 && size <= LIMIT_ENTRY - ENTRY_HEAD_BYTES;
    case ENTRY_MIGRATE:
        return size == sizeof(uint32_t);
    case ENTRY_NOOP:
        return size == 0;
    }
    return false;
}

bool entry_encode(const struct entry *e, struct raft_buffer *ret)
{
    if (!payload_fits(e->kind, e->payload_size))
        return false;
    size_t size = padded(ENTRY_HEAD_BYTES + e->payload_size);
    char *base = raft_calloc(1, size);
    if (base == NULL)
        return false;
    struct buf head;
    buf_init(&head, ENTRY_HEAD_BYTES);
    buf_u32(&head, ENTRY_MAGIC);
    buf_u8(&head, ENTRY_VERSION);
    buf_u8(&head, (uint8_t)e->kind);
    buf_u16(&head, 0);
    buf_u64(&head, e->batch_id);
    buf_u64(&head, e->payload_size);
    check(head.length == ENTRY_HEAD_BYTES);
    memcpy(base, head.data, ENTRY_HEAD_BYTES);
    buf_free(&head);
    if (e->payload_size > 0)
        memcpy(base + ENTRY_HEAD_BYTES, e->payload, e->payload_size);
    *ret = (struct raft_buffer){ base, size };
    return true;
}

bool entry_decode(const void *data, size_t size, struct entry *ret)
{
    struct cursor c = cursor_of(data, size);
    bool known = cursor_u32(&c) == ENTRY_MAGIC && cursor_u8(&c) == ENTRY_VERSION;
    uint8_t kind = cursor_u8(&c);
    uint16_t zero = cursor_u16(&c);
    uint64_t batch_id = cursor_u64(&c);
    uint64_t payload_size = cursor_u64(&c);
    if (c.bad || !known || zero != 0 || kind < ENTRY_CHANGESET || kind > ENTRY_NOOP ||
        payload_size > LIMIT_ENTRY || !payload_fits((enum entry_kind)kind, payload_size) ||
        size != padded(ENTRY_HEAD_BYTES + payload_size))
        return false;
    const void *payload = cursor_bytes(&c, payload_size);
    while (cursor_left(&c) > 0) {
        if (cursor_u8(&c) != 0)
            return false;
    }
    *ret = (struct entry){ (enum entry_kind)kind, batch_id, payload, payload_size };
    return true;
}

bool entry_migration(const struct entry *e, uint32_t *ret_number)
{
    if (e->kind != ENTRY_MIGRATE)
        return false;
    struct cursor c = cursor_of(e->payload, e->payload_size);
    *ret_number = cursor_u32(&c);
    return !c.bad && cursor_left(&c) == 0;
}
