/* SPDX-License-Identifier: Apache-2.0 */
/* From a frame's type to the file that understands it. */
#include <string.h>

#include "cluster/internal.h"
#include "cluster/wire.h"
#include "pantera/log.h"

static bool raft_frame(struct cluster *c, int id, const void *data, size_t size)
{
    struct raft_message m;
    struct peer *p = peer_find(c, id);
    if (!p || !wire_decode_message(data, size, (raft_id)id, p->address, &m))
        return false;
    if (c->running && !c->stop_posted)
        guard_receive(&c->guard, &m);
    else
        wire_message_release(&m);
    return true;
}

static bool bye_frame(struct cluster *c, int id)
{
    struct peer *p = peer_find(c, id);
    if (p) { /* it has dropped its lease before it said so */
        p->lease_until_us = 0;
        p->promise_until_us = 0;
        p->leaving = true;
    }
    return true;
}

static bool done_frame(struct cluster *c, int id)
{
    forward_never_run(c, id);
    return true;
}

bool frame_received(struct cluster *c, int id, enum frame_type type, const void *data, size_t size)
{
    switch (type) {
    case FRAME_RAFT: return raft_frame(c, id, data, size);
    case FRAME_PING: return lease_ping(c, id, data, size);
    case FRAME_PONG: return lease_pong(c, id, data, size);
    case FRAME_GRANT: return lease_grant(c, id, data, size);
    case FRAME_APPLIED: return lease_applied(c, id, data, size);
    case FRAME_FORWARD: return forward_received(c, id, data, size);
    case FRAME_RESULT: return forward_result(c, id, data, size);
    case FRAME_JOIN: return members_join(c, id, data, size);
    case FRAME_JOIN_READY: return members_join_ready(c, id, data, size);
    case FRAME_FETCH: return resync_fetch(c, id, data, size);
    case FRAME_FETCH_DATA: return resync_data(c, id, data, size);
    case FRAME_FETCH_END: return resync_end(c, id, data, size);
    case FRAME_BYE: return bye_frame(c, id);
    case FRAME_RELEASE: return lease_released(c, id, data, size);
    case FRAME_DONE: return done_frame(c, id);
    case FRAME_HELLO: break;
    }
    return true; /* from a newer version: not ours to understand */
}

void peer_down(struct cluster *c, int id)
{
    struct peer *p = peer_find(c, id);
    if (!p || (p->up && p->accepted))
        return;
    /* Either way a result can't come back any more. But who stops on purpose has a last word, on the
     * connection that it dialled, and closes ours first if it has not read all of it. */
    if (!p->leaving || !p->accepted)
        forward_peer_down(c, id);
}
