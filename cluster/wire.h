/* SPDX-License-Identifier: Apache-2.0 */
/* cluster/wire.h: the bytes between nodes, and those of a log entry.
 * What:      libraft's six messages and the envelope of a log entry, little-endian, versioned.
 * Not here:  frames, sockets and who sent it (link: it knows the peer from its certificate).
 * Threads:   any; no state.
 * Ownership: what a decoder gives is raft_malloc'ed, the way libraft wants to own it; encoders borrow.
 * Errors:    decoders answer false to whatever is not exactly one well-formed message within the
 *            limits, and leave nothing allocated. They never crash, whoever wrote the bytes. */
#ifndef CLUSTER_WIRE_H
#define CLUSTER_WIRE_H

#include <raft.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pantera/buf.h"
#include "pantera/err.h"
#include "pantera/limits.h"

#if defined(RAFT_VERSION_MINOR) && RAFT_VERSION_MINOR > 18 /* new names, same numbers */
#define RAFT_IO_APPEND_ENTRIES RAFT_APPEND_ENTRIES
#define RAFT_IO_APPEND_ENTRIES_RESULT RAFT_APPEND_ENTRIES_RESULT
#define RAFT_IO_REQUEST_VOTE RAFT_REQUEST_VOTE
#define RAFT_IO_REQUEST_VOTE_RESULT RAFT_REQUEST_VOTE_RESULT
#define RAFT_IO_INSTALL_SNAPSHOT RAFT_INSTALL_SNAPSHOT
#define RAFT_IO_TIMEOUT_NOW RAFT_TIMEOUT_NOW
#endif

#define WIRE_VERSION 1
#define WIRE_MESSAGE_MAX MIB(64)  /* one message, all in: the cap of its buffer */
#define WIRE_BATCH_BYTES MIB(8)   /* entries in one AppendEntries, unless a single one is larger */
#define WIRE_ENTRIES_MAX 65536u   /* in one AppendEntries */
#define WIRE_SERVERS_MAX 64u      /* in one configuration */
#define WIRE_ADDRESS_MAX 255u     /* bytes of a server's address, host:port */

/* Appends `m` to `b`, without server_id and server_address: they are the link's business. Of the entries
 * of an AppendEntries it sends the leading ones that make up WIRE_BATCH_BYTES, at least one: libraft
 * would send a backlog in one piece, and no heartbeat would pass it. The follower's answer says how far
 * it came, and libraft goes on from there.
 * False: a count or size above its cap, an entry whose length is 0 or not a multiple of 8, or no room
 * left in `b`, whose `length` is then what it was. */
MUST_USE bool wire_encode_message(struct buf *b, const struct raft_message *m);

/* All of `data` is one message from the peer. server_address is borrowed into *ret. On true the message
 * owns memory: hand it to libraft (guard_receive), or wire_message_release. */
MUST_USE bool wire_decode_message(const void *data, size_t size, raft_id server_id,
                                  const char *server_address, struct raft_message *ret);
/* Frees what a decoded message owns and libraft was not given. */
void wire_message_release(struct raft_message *m);

/* ---- log entries: the content of a RAFT_COMMAND ---- */

enum entry_kind { ENTRY_CHANGESET = 1, ENTRY_MIGRATE = 2, ENTRY_NOOP = 3 };

#define ENTRY_HEAD_BYTES 24

/* CHANGESET: payload is the SQLite changeset. MIGRATE: its number, u32. NOOP: none. */
struct entry {
    enum entry_kind kind;
    uint64_t batch_id; /* of the proposer, so that a leader knows its own open batch again */
    const void *payload; /* borrowed by the encoder; the decoder's points into the entry */
    size_t payload_size;
};

/* Gives a raft_malloc'ed buffer, padded to a multiple of 8 (libraft's rule). False: larger than
 * LIMIT_ENTRY, or no memory. */
MUST_USE bool entry_encode(const struct entry *e, struct raft_buffer *ret);
MUST_USE bool entry_decode(const void *data, size_t size, struct entry *ret);
/* MIGRATE's payload. */
MUST_USE bool entry_migration(const struct entry *e, uint32_t *ret_number);

#endif
