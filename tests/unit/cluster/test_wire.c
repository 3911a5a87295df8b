/* SPDX-License-Identifier: Apache-2.0 */
/* Every message and log entry survives the trip; every shortened, lengthened or damaged one is refused or
 * is another well-formed one, and nothing leaks (the sanitizer watches). */
#include "cluster/wire.h" /* ahead of cmocka.h, whose fail() is a macro */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESS "node-1.pantera.svc:7000"

static uint64_t words_a[2] = { 1, 2 }, words_b[1] = { 3 };

/* A configuration entry as libraft encodes it. */
static struct raft_buffer configuration(void)
{
    struct raft_configuration conf;
    struct raft_buffer buf;
    raft_configuration_init(&conf);
    assert_int_equal(raft_configuration_add(&conf, 1, "a:1", RAFT_VOTER), 0);
    assert_int_equal(raft_configuration_add(&conf, 2, "b.example:22", RAFT_STANDBY), 0);
    assert_int_equal(raft_configuration_encode(&conf, &buf), 0);
    raft_configuration_close(&conf);
    return buf;
}

enum { SAMPLES = 8 };

struct sample {
    struct raft_message m;
    struct raft_entry entries[3];
    struct raft_buffer conf_entry;
    struct raft_server servers[2];
    char name_a[4], name_b[16];
};

static void append_entries(struct sample *s, unsigned n)
{
    s->conf_entry = configuration();
    s->entries[0] = (struct raft_entry){ 7, RAFT_COMMAND, { words_a, 16 }, NULL };
    s->entries[1] = (struct raft_entry){ 8, RAFT_CHANGE, s->conf_entry, NULL };
    s->entries[2] = (struct raft_entry){ 9, RAFT_BARRIER, { words_b, 8 }, NULL };
    s->m.type = RAFT_IO_APPEND_ENTRIES;
    s->m.append_entries = (struct raft_append_entries){ .term = 9,
                                                        .prev_log_index = 100,
                                                        .prev_log_term = 6,
                                                        .leader_commit = 99,
                                                        .entries = n ? s->entries : NULL,
                                                        .n_entries = n };
}

static void install_snapshot(struct sample *s)
{
    snprintf(s->name_a, sizeof s->name_a, "a:1");
    snprintf(s->name_b, sizeof s->name_b, "b.example:22");
    s->servers[0] = (struct raft_server){ 1, s->name_a, RAFT_VOTER };
    s->servers[1] = (struct raft_server){ 2, s->name_b, RAFT_SPARE };
    s->m.type = RAFT_IO_INSTALL_SNAPSHOT;
    s->m.install_snapshot =
        (struct raft_install_snapshot){ .term = 3,
                                        .last_index = 40,
                                        .last_term = 2,
                                        .conf = { s->servers, 2 },
                                        .conf_index = 30,
                                        .data = { words_a, sizeof words_a } };
}

static void sample(unsigned i, struct sample *s)
{
    memset(s, 0, sizeof *s);
    switch (i) {
    case 0:
    case 1:
        s->m.type = RAFT_IO_REQUEST_VOTE;
        s->m.request_vote = (struct raft_request_vote){ 5, 2, 17, 4, i == 0, i == 1 };
        break;
    case 2:
        s->m.type = RAFT_IO_REQUEST_VOTE_RESULT;
        s->m.request_vote_result = (struct raft_request_vote_result){ 5, true, raft_tribool_false };
        break;
    case 3:
        append_entries(s, 3);
        break;
    case 4:
        append_entries(s, 0);
        break;
    case 5:
        s->m.type = RAFT_IO_APPEND_ENTRIES_RESULT;
        s->m.append_entries_result = (struct raft_append_entries_result){ 5, 6, 7 };
        break;
    case 6:
        install_snapshot(s);
        break;
    default:
        s->m.type = RAFT_IO_TIMEOUT_NOW;
        s->m.timeout_now = (struct raft_timeout_now){ 5, 6, 7 };
    }
}

static struct buf encoded(unsigned i)
{
    struct sample s;
    struct buf b;
    sample(i, &s);
    buf_init(&b, WIRE_MESSAGE_MAX);
    assert_true(wire_encode_message(&b, &s.m));
    raft_free(s.conf_entry.base);
    return b;
}

static bool decode(const void *data, size_t size, struct raft_message *ret)
{
    return wire_decode_message(data, size, 42, ADDRESS, ret);
}

/* ---- round trips ---- */

static void same_entries(const struct raft_append_entries *a, const struct raft_append_entries *b)
{
    assert_int_equal(a->n_entries, b->n_entries);
    for (unsigned i = 0; i < a->n_entries; i++) {
        const struct raft_entry *x = &a->entries[i], *y = &b->entries[i];
        assert_int_equal(x->term, y->term);
        assert_int_equal(x->type, y->type);
        assert_int_equal(x->buf.len, y->buf.len);
        assert_memory_equal(x->buf.base, y->buf.base, x->buf.len);
        assert_ptr_equal(y->batch, b->entries[0].batch); /* one allocation holds all */
        assert_int_equal((uintptr_t)y->buf.base % 8, 0);
    }
}

static void message_survives_the_trip(void **state)
{
    for (unsigned i = 0; i < SAMPLES; i++) {
        struct sample s;
        struct raft_message m;
        struct buf b = encoded(i);
        sample(i, &s);
        assert_true(decode(b.data, b.length, &m));
        assert_int_equal(m.type, s.m.type);
        assert_int_equal(m.server_id, 42);
        assert_string_equal(m.server_address, ADDRESS);
        switch (m.type) {
        case RAFT_IO_APPEND_ENTRIES:
            assert_int_equal(m.append_entries.term, 9);
            assert_int_equal(m.append_entries.prev_log_index, 100);
            assert_int_equal(m.append_entries.prev_log_term, 6);
            assert_int_equal(m.append_entries.leader_commit, 99);
            same_entries(&s.m.append_entries, &m.append_entries);
            if (m.append_entries.n_entries == 0)
                assert_null(m.append_entries.entries);
            break;
        case RAFT_IO_APPEND_ENTRIES_RESULT:
            assert_memory_equal(&m.append_entries_result, &s.m.append_entries_result,
                                sizeof m.append_entries_result);
            break;
        case RAFT_IO_REQUEST_VOTE:
            assert_int_equal(m.request_vote.term, 5);
            assert_int_equal(m.request_vote.candidate_id, 2);
            assert_int_equal(m.request_vote.last_log_index, 17);
            assert_int_equal(m.request_vote.last_log_term, 4);
            assert_int_equal(m.request_vote.disrupt_leader, i == 0);
            assert_int_equal(m.request_vote.pre_vote, i == 1);
            break;
        case RAFT_IO_REQUEST_VOTE_RESULT:
            assert_int_equal(m.request_vote_result.term, 5);
            assert_true(m.request_vote_result.vote_granted);
            assert_int_equal(m.request_vote_result.pre_vote, raft_tribool_false);
            break;
        case RAFT_IO_INSTALL_SNAPSHOT:
            assert_int_equal(m.install_snapshot.term, 3);
            assert_int_equal(m.install_snapshot.last_index, 40);
            assert_int_equal(m.install_snapshot.last_term, 2);
            assert_int_equal(m.install_snapshot.conf_index, 30);
            assert_int_equal(m.install_snapshot.conf.n, 2);
            assert_int_equal(m.install_snapshot.conf.servers[1].id, 2);
            assert_string_equal(m.install_snapshot.conf.servers[1].address, "b.example:22");
            assert_int_equal(m.install_snapshot.conf.servers[1].role, RAFT_SPARE);
            assert_int_equal(m.install_snapshot.data.len, sizeof words_a);
            assert_memory_equal(m.install_snapshot.data.base, words_a, sizeof words_a);
            break;
        default:
            assert_memory_equal(&m.timeout_now, &s.m.timeout_now, sizeof m.timeout_now);
        }
        raft_free(s.conf_entry.base);
        wire_message_release(&m);
        buf_free(&b);
    }
}

/* ---- damage ---- */

/* A copy of exactly that size on the heap, so that the sanitizer sees a read past its end. */
static bool decodes_exactly(const void *data, size_t size)
{
    struct raft_message m;
    void *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, data, size);
    bool ok = decode(copy, size, &m);
    if (ok)
        wire_message_release(&m);
    free(copy);
    return ok;
}

static void shortened_or_lengthened_message_is_refused(void **state)
{
    for (unsigned i = 0; i < SAMPLES; i++) {
        struct buf b = encoded(i);
        for (size_t size = 0; size < b.length; size++)
            assert_false(decodes_exactly(b.data, size));
        assert_true(decodes_exactly(b.data, b.length));
        buf_u8(&b, 0);
        assert_false(decodes_exactly(b.data, b.length));
        buf_free(&b);
    }
}

static uint64_t next_random(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

static void damaged_message_never_crashes(void **state)
{
    uint64_t seed = 88172645463325252u;
    for (unsigned i = 0; i < SAMPLES; i++) {
        struct buf b = encoded(i);
        for (unsigned bit = 0; bit < 8 * b.length; bit++) { /* each bit */
            b.data[bit / 8] ^= (char)(1 << bit % 8);
            decodes_exactly(b.data, b.length);
            b.data[bit / 8] ^= (char)(1 << bit % 8);
        }
        for (unsigned n = 0; n < 2000; n++) { /* some bytes, some length */
            char *copy = malloc(b.length);
            memcpy(copy, b.data, b.length);
            for (unsigned k = next_random(&seed) % 6 + 1; k > 0; k--)
                copy[next_random(&seed) % b.length] = (char)next_random(&seed);
            decodes_exactly(copy, next_random(&seed) % (b.length + 1));
            decodes_exactly(copy, b.length);
            free(copy);
        }
        buf_free(&b);
    }
}

/* What the limits are for. Offsets are those of the format: version, type, then the body. */
static void message_past_a_limit_is_refused(void **state)
{
    struct buf b = encoded(3);
    struct sample s;
    sample(3, &s);
    size_t count = 2 + 32, first = count + 4, type = first + 8, size = type + 1;
    b.data[0] = 9; /* a version that we don't know */
    assert_false(decodes_exactly(b.data, b.length));
    b.data[0] = WIRE_VERSION;
    b.data[1] = 0;
    assert_false(decodes_exactly(b.data, b.length));
    b.data[1] = RAFT_IO_TIMEOUT_NOW + 1;
    assert_false(decodes_exactly(b.data, b.length));
    b.data[1] = RAFT_IO_APPEND_ENTRIES;
    memset(b.data + count, 0xff, 4); /* entries */
    assert_false(decodes_exactly(b.data, b.length));
    memcpy(b.data + count, "\3\0\0\0", 4);
    b.data[type] = RAFT_CHANGE + 1;
    assert_false(decodes_exactly(b.data, b.length));
    b.data[type] = RAFT_CHANGE; /* {1, 2} is no configuration: libraft would read past its end */
    assert_false(decodes_exactly(b.data, b.length));
    b.data[type] = RAFT_COMMAND;
    b.data[size] = 15; /* not a multiple of 8 */
    assert_false(decodes_exactly(b.data, b.length));
    b.data[size] = 16;
    b.data[2 + 7] = 0x7f; /* a term that can't be counted on from */
    assert_false(decodes_exactly(b.data, b.length));
    b.data[2 + 7] = 0;
    assert_true(decodes_exactly(b.data, b.length));
    raft_free(s.conf_entry.base);
    buf_free(&b);
}

static void message_that_libraft_could_not_store_is_not_sent(void **state)
{
    struct raft_entry e = { 1, RAFT_COMMAND, { words_a, 12 }, NULL };
    struct raft_message m = { .type = RAFT_IO_APPEND_ENTRIES };
    m.append_entries.entries = &e;
    m.append_entries.n_entries = 1;
    struct buf b;
    buf_init(&b, WIRE_MESSAGE_MAX);
    buf_u32(&b, 77); /* somebody's frame */
    assert_false(wire_encode_message(&b, &m));
    e.buf.len = 0;
    assert_false(wire_encode_message(&b, &m));
    m.type = 99;
    assert_false(wire_encode_message(&b, &m));
    assert_int_equal(b.length, 4);
    buf_free(&b);
    e.buf.len = 16;
    m.type = RAFT_IO_APPEND_ENTRIES;
    buf_init(&b, 50); /* no room */
    assert_false(wire_encode_message(&b, &m));
    assert_int_equal(b.length, 0);
    buf_free(&b);
}

/* A backlog goes in pieces, so that heartbeats pass; one large entry goes all the same. */
static void backlog_is_sent_in_pieces(void **state)
{
    enum { N = 20 };
    struct raft_entry entries[N];
    struct raft_message m = { .type = RAFT_IO_APPEND_ENTRIES }, got;
    void *large = calloc(1, LIMIT_ENTRY);
    struct buf b;
    for (unsigned i = 0; i < N; i++)
        entries[i] = (struct raft_entry){ 1, RAFT_COMMAND, { large, MIB(1) }, NULL };
    m.append_entries.entries = entries;
    m.append_entries.n_entries = N;
    buf_init(&b, WIRE_MESSAGE_MAX);
    assert_true(wire_encode_message(&b, &m));
    assert_true(decode(b.data, b.length, &got));
    assert_int_equal(got.append_entries.n_entries, 8);
    wire_message_release(&got);
    buf_clear(&b);
    entries[0].buf.len = LIMIT_ENTRY;
    assert_true(wire_encode_message(&b, &m));
    assert_true(decode(b.data, b.length, &got));
    assert_int_equal(got.append_entries.n_entries, 1);
    wire_message_release(&got);
    buf_clear(&b);
    entries[0].buf.len = LIMIT_ENTRY + 8;
    assert_false(wire_encode_message(&b, &m));
    buf_free(&b);
    free(large);
}

/* ---- log entries ---- */

static void entry_survives_the_trip(void **state)
{
    for (size_t size = 1; size < 40; size++) {
        char payload[40];
        memset(payload, 'x', sizeof payload);
        struct entry in = { ENTRY_CHANGESET, 0x1122334455667788u, payload, size }, out;
        struct raft_buffer b;
        assert_true(entry_encode(&in, &b));
        assert_int_equal(b.len % 8, 0);
        assert_true(entry_decode(b.base, b.len, &out));
        assert_int_equal(out.kind, ENTRY_CHANGESET);
        assert_int_equal(out.batch_id, in.batch_id);
        assert_int_equal(out.payload_size, size);
        assert_memory_equal(out.payload, payload, size);
        raft_free(b.base);
    }
}

static void migration_carries_its_number(void **state)
{
    struct entry in = { ENTRY_MIGRATE, 1, "\x07\0\0\0", 4 }, out;
    struct raft_buffer b;
    uint32_t number = 0;
    assert_true(entry_encode(&in, &b));
    assert_true(entry_decode(b.base, b.len, &out));
    assert_true(entry_migration(&out, &number));
    assert_int_equal(number, 7);
    raft_free(b.base);
    in = (struct entry){ ENTRY_NOOP, 1, NULL, 0 };
    assert_true(entry_encode(&in, &b));
    assert_int_equal(b.len, ENTRY_HEAD_BYTES);
    assert_true(entry_decode(b.base, b.len, &out));
    assert_false(entry_migration(&out, &number));
    raft_free(b.base);
}

static void entry_of_the_wrong_size_is_not_made(void **state)
{
    struct raft_buffer b;
    struct entry e = { ENTRY_CHANGESET, 1, "", 0 };
    assert_false(entry_encode(&e, &b));
    e = (struct entry){ ENTRY_MIGRATE, 1, "xxx", 3 };
    assert_false(entry_encode(&e, &b));
    e = (struct entry){ ENTRY_NOOP, 1, "x", 1 };
    assert_false(entry_encode(&e, &b));
    e = (struct entry){ ENTRY_CHANGESET, 1, "x", LIMIT_ENTRY };
    assert_false(entry_encode(&e, &b));
}

/* Only one encoding of an entry is one: every bit of head and padding counts. */
static void damaged_entry_is_refused(void **state)
{
    struct entry in = { ENTRY_CHANGESET, 1, "changed", 7 }, out; /* and one byte of padding */
    struct raft_buffer b;
    assert_true(entry_encode(&in, &b));
    char *bytes = b.base;
    for (size_t size = 0; size < b.len; size++) {
        void *copy = malloc(size ? size : 1);
        memcpy(copy, bytes, size);
        assert_false(entry_decode(copy, size, &out));
        free(copy);
    }
    for (unsigned bit = 0; bit < 8 * b.len; bit++) {
        bool id = bit / 8 >= 8 && bit / 8 < 16;
        bool payload = bit / 8 >= ENTRY_HEAD_BYTES && bit / 8 < ENTRY_HEAD_BYTES + 7;
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        assert_int_equal(entry_decode(bytes, b.len, &out), id || payload);
        bytes[bit / 8] ^= (char)(1 << bit % 8);
    }
    raft_free(b.base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_survives_the_trip),
        cmocka_unit_test(shortened_or_lengthened_message_is_refused),
        cmocka_unit_test(damaged_message_never_crashes),
        cmocka_unit_test(message_past_a_limit_is_refused),
        cmocka_unit_test(message_that_libraft_could_not_store_is_not_sent),
        cmocka_unit_test(backlog_is_sent_in_pieces),
        cmocka_unit_test(entry_survives_the_trip),
        cmocka_unit_test(migration_carries_its_number),
        cmocka_unit_test(entry_of_the_wrong_size_is_not_made),
        cmocka_unit_test(damaged_entry_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
