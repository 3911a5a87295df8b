/* SPDX-License-Identifier: Apache-2.0 */
/* Who belongs to the cluster. A node without a replica founds one (the lowest id, when all configured peers
 * say that they have none either) or asks to join: the leader takes its id out of the configuration if it
 * stood there (an empty log must not vote for what it forgot), adds it as a spare, sends the cluster's key
 * and a copy of the replica; the node starts its raft and, caught up, becomes a voter. */
#include <stdlib.h>
#include <string.h>

#include "cluster/internal.h"
#include "pantera/clock.h"
#include "pantera/log.h"

enum { JOIN_EVERY_MS = 300, MIGRATE_EVERY_MS = 50 };

static bool configured(struct cluster *c, int id)
{
    for (unsigned i = 0; i < c->options->peer_count; i++)
        if (c->options->peers[i].id == id)
            return true;
    return false;
}

/* --- changes, one at a time --- */

static void on_changed(struct raft_change *req, int status)
{
    struct cluster *c = req->data;
    struct proposal *p = c->change_for;
    c->change_busy = false;
    c->change_for = NULL;
    if (status)
        log_warn("cluster", "membership change: %s", raft_strerror(status));
    if (!p)
        return;
    struct why why = { "" };
    if (status)
        fail(&why, ERR_CONFLICT, "membership change failed: %s", raft_strerror(status));
    proposal_finish(c, p, status ? ERR_CONFLICT : OK, &why, status ? NULL : members_status(c), 0);
}

static bool started(struct cluster *c, int status, struct proposal *p, const char *what, int id)
{
    if (status == 0) {
        log_info("cluster", "%s member %d", what, id);
        c->change_busy = true;
        c->change_for = p;
        return true;
    }
    log_info("cluster", "%s member %d: %s", what, id, raft_strerror(status));
    if (p) {
        struct why why = { "" };
        bool unknown = status == RAFT_NOTFOUND || status == RAFT_BADID;
        enum err e = unknown ? ERR_NOT_FOUND : ERR_CONFLICT;
        fail(&why, e, "%s member %d: %s", what, id, raft_strerror(status));
        proposal_finish(c, p, e, &why, NULL, 0);
    }
    return false;
}

static void change_add(struct cluster *c, int id, const char *address, struct proposal *p)
{
    c->change.data = c;
    peer_add(c, id, address);
    started(c, guard_add(&c->guard, &c->change, (raft_id)id, address, on_changed), p, "adding", id);
}

static void change_remove(struct cluster *c, int id, struct proposal *p)
{
    c->change.data = c;
    started(c, guard_remove(&c->guard, &c->change, (raft_id)id, on_changed), p, "removing", id);
}

static void change_promote(struct cluster *c, int id)
{
    c->change.data = c;
    started(c, guard_assign(&c->guard, &c->change, (raft_id)id, RAFT_VOTER, on_changed), NULL,
            "promoting", id);
}

/* --- joining, at the leader --- */

static void join_ready(struct cluster *c, int id)
{
    struct buf b;
    buf_init(&b, 512);
    buf_blob(&b, c->cluster_id, strlen(c->cluster_id));
    buf_blob(&b, c->seal_key.id, strlen(c->seal_key.id));
    buf_blob(&b, c->seal_key.key, sizeof c->seal_key.key);
    peer_send(c, id, FRAME_JOIN_READY, b.data, b.length);
    buf_free(&b);
}

bool members_join(struct cluster *c, int from, const void *data, size_t size)
{
    struct cursor at = cursor_of(data, size);
    size_t n;
    char address[128] = "";
    bool fresh = cursor_u8(&at);
    const char *said = cursor_blob(&at, &n);
    if (at.bad || n >= sizeof address)
        return false;
    memcpy(address, said, n);
    if (!c->running || !c->leader || c->change_busy || c->stopping || !guard_own_applied(&c->guard))
        return true; /* it asks again */
    int role;
    bool member = node_is_member(c, from, &role);
    if (!member && !configured(c, from)) {
        log_warn("cluster", "node %d (%s) wants to join: 'pantera cluster add %d %s' would let it", from,
                 address, from, address);
        return true;
    }
    if (fresh && member && role != RAFT_SPARE)
        change_remove(c, from, NULL);
    else if (fresh && !member)
        change_add(c, from, address, NULL);
    else if (fresh)
        join_ready(c, from);
    else if (member && role != RAFT_VOTER)
        change_promote(c, from);
    return true;
}

/* --- joining, at the newcomer --- */

static void ask_to_join(struct cluster *c, bool fresh)
{
    uint64_t now = clock_mono_us();
    if (now < c->join_at_us)
        return;
    c->join_at_us = now + JOIN_EVERY_MS * 1000;
    struct buf b;
    buf_init(&b, 512);
    buf_u8(&b, fresh);
    buf_blob(&b, c->address, strlen(c->address));
    for (unsigned i = 0; i < MOST_MEMBERS; i++)
        if (c->peers[i].id && c->peers[i].up && c->peers[i].greeted && c->peers[i].hello.member)
            peer_send(c, c->peers[i].id, FRAME_JOIN, b.data, b.length);
    buf_free(&b);
}

bool members_join_ready(struct cluster *c, int from, const void *data, size_t size)
{
    struct cursor at = cursor_of(data, size);
    size_t id_size, key_id_size, key_size;
    const char *id = cursor_blob(&at, &id_size), *key_id = cursor_blob(&at, &key_id_size),
               *key = cursor_blob(&at, &key_size);
    if (at.bad || id_size >= sizeof c->cluster_id || key_id_size >= sizeof c->seal_key.id ||
        key_size != sizeof c->seal_key.key)
        return false;
    if (c->running || c->resync)
        return true;
    memset(c->cluster_id, 0, sizeof c->cluster_id);
    memset(&c->seal_key, 0, sizeof c->seal_key);
    memcpy(c->cluster_id, id, id_size);
    memcpy(c->seal_key.id, key_id, key_id_size);
    memcpy(c->seal_key.key, key, key_size);
    log_info("cluster", "joining cluster %s through node %d", c->cluster_id, from);
    resync_ask(c, from);
    return true;
}

static bool all_peers_are_new(struct cluster *c)
{
    for (unsigned i = 0; i < c->options->peer_count; i++) {
        struct peer *p = peer_find(c, c->options->peers[i].id);
        if (p->id == c->options->id)
            continue;
        if (p->id < c->options->id || !p->up || !p->greeted || p->hello.member)
            return false;
    }
    return true;
}

void members_seek(struct cluster *c)
{
    if (c->resync || c->stopping || !c->seeking)
        return;
    struct peer *member = NULL;
    for (unsigned i = 0; i < MOST_MEMBERS; i++)
        if (c->peers[i].id && c->peers[i].up && c->peers[i].greeted && c->peers[i].hello.member)
            member = &c->peers[i];
    if (member && resync_marked(c)) {
        resync_ask(c, member->id);
    } else if (member) {
        ask_to_join(c, true);
    } else if (!resync_marked(c) && all_peers_are_new(c)) {
        identity_new(c);
        c->seeking = false;
        c->joined = true;
        log_info("cluster", "founding cluster %s", c->cluster_id);
        node_start_raft(c);
    }
}

/* --- every step --- */

/* A migration needs every member to know it: also one that is down, else it could not come back. */
static bool all_know(struct cluster *c, int number)
{
    const struct raft_configuration *conf = &c->raft.configuration;
    for (unsigned i = 0; i < conf->n; i++) {
        if (conf->servers[i].id == c->raft.id)
            continue;
        struct peer *p = peer_find(c, (int)conf->servers[i].id);
        if (!p || p->hello.schema_known < number)
            return false;
    }
    return number <= meta_schema_known();
}

/* The replica lacks a migration that everybody knows: it comes within milliseconds, and until then no
 * statement of this version fits. */
bool members_migration_pending(struct cluster *c)
{
    return all_know(c, meta_schema(c->meta) + 1);
}

void members_step(struct cluster *c)
{
    uint64_t now = clock_mono_us();
    const struct raft_configuration *conf = &c->raft.configuration;
    int role;
    for (unsigned i = 0; i < conf->n; i++)
        peer_add(c, (int)conf->servers[i].id, conf->servers[i].address);
    if (!c->joined) {
        if (node_is_member(c, c->options->id, &role) && role == RAFT_VOTER)
            c->joined = true;
        else
            ask_to_join(c, false);
    }
    if (c->leader && !c->migrating && now >= c->migrate_at_us) {
        c->migrate_at_us = now + MIGRATE_EVERY_MS * 1000;
        if (members_migration_pending(c))
            c->migrating = batch_propose_migration(c, meta_schema(c->meta) + 1);
    }
}

/* --- the operator's commands --- */

static const char *role_name(int role)
{
    return role == RAFT_VOTER ? "voter" : role == RAFT_STANDBY ? "standby" : "spare";
}

json_t *members_status(struct cluster *c)
{
    const struct raft_configuration *conf = &c->raft.configuration;
    uint64_t now = clock_mono_us();
    json_t *members = json_array();
    for (unsigned i = 0; c->running && i < conf->n; i++) {
        int id = (int)conf->servers[i].id;
        bool self = id == c->options->id;
        struct peer *p = peer_find(c, id);
        json_t *m = json_pack("{s:i, s:s, s:s, s:b, s:b}", "id", id, "address",
                              conf->servers[i].address, "role", role_name(conf->servers[i].role),
                              "leader", id == node_leader(c), "reachable", self || (p && p->up));
        if (c->leader) {
            json_object_set_new(m, "applied",
                                json_integer((json_int_t)(self ? raft_last_applied(&c->raft)
                                                               : p ? p->applied : 0)));
            json_object_set_new(m, "lease", json_boolean(self ? lease_leader_valid(c)
                                                              : p && p->confirmed &&
                                                                    p->lease_until_us > now));
        }
        json_array_append_new(members, m);
    }
    return json_pack("{s:s, s:i, s:i, s:I, s:I, s:i, s:b, s:o}", "cluster_id", c->cluster_id, "node",
                     c->options->id, "leader", node_leader(c), "term",
                     (json_int_t)(c->running ? c->raft.current_term : 0), "applied",
                     (json_int_t)meta_applied(c->meta), "schema", meta_schema(c->meta), "current",
                     cluster_current(c), "members", members);
}

static void on_transferred(struct raft_transfer *req)
{
    struct guard *g = container_of(req, struct guard, transfer);
    struct cluster *c = container_of(g, struct cluster, guard);
    struct proposal *p = c->change_for;
    c->transferring = false;
    c->change_busy = false;
    c->change_for = NULL;
    if (!p)
        return;
    struct why why = { "" };
    bool moved = node_leader(c) != c->options->id;
    if (!moved)
        fail(&why, ERR_CONFLICT, "leadership was not taken over");
    proposal_finish(c, p, moved ? OK : ERR_CONFLICT, &why, moved ? members_status(c) : NULL, 0);
}

/* What raft has no words for. */
static bool transfer_possible(const struct cluster *c, int id, struct why *why)
{
    const struct raft_configuration *conf = &c->raft.configuration;
    bool there = false;
    unsigned voters = 0;
    for (unsigned i = 0; i < conf->n; i++) {
        voters += conf->servers[i].role == RAFT_VOTER;
        there = there || (conf->servers[i].id == (raft_id)id && conf->servers[i].role == RAFT_VOTER);
    }
    if (voters < 2)
        fail(why, ERR_CONFLICT, "this node is the only member: there is nobody to hand leadership to");
    else if (id == c->options->id)
        fail(why, ERR_CONFLICT, "node %d leads already", id);
    else if (id && !there)
        fail(why, ERR_CONFLICT, "node %d is not a member that could lead", id);
    else
        return true;
    return false;
}

static void handing_ends(struct cluster *c, enum err e, const struct why *why)
{
    struct proposal *p = c->change_for;
    c->handing = false;
    c->change_busy = false;
    c->change_for = NULL;
    proposal_finish(c, p, e, why, e ? NULL : members_status(c), 0);
}

/* What is in flight when leadership goes has an unknown outcome: so nothing is. */
void members_hand_over(struct cluster *c)
{
    struct why why = { "" };
    if (!c->handing)
        return;
    if (!c->leader) {
        handing_ends(c, OK, NULL); /* somebody has taken it */
    } else if (c->in_flight || c->fencing) {
        if (clock_mono_ms() >= c->change_for->deadline_ms)
            handing_ends(c, fail(&why, ERR_CONFLICT, "a write is under way and does not end"), &why);
    } else {
        c->handing = false;
        lease_release(c);
        int status = guard_transfer(&c->guard, (raft_id)c->handing_to, on_transferred);
        if (status == 0)
            return;
        c->transferring = false;
        fail(&why, ERR_CONFLICT, "cannot hand leadership to %d: %s", c->handing_to, raft_strerror(status));
        handing_ends(c, ERR_CONFLICT, &why);
    }
}

static void transfer(struct cluster *c, int id, struct proposal *p)
{
    struct why why = { "" };
    if (!transfer_possible(c, id, &why)) {
        proposal_finish(c, p, ERR_CONFLICT, &why, NULL, 0);
        return;
    }
    c->change_busy = true;
    c->change_for = p;
    c->handing = true;
    c->handing_to = id;
}

void members_command(struct cluster *c, struct proposal *p)
{
    struct why why = { "" };
    const char *command = p->op + sizeof "cluster." - 1;
    int id = (int)json_integer_value(json_object_get(p->args, "id"));
    const char *address = json_string_value(json_object_get(p->args, "address"));
    if (strcmp(command, "status") == 0) {
        proposal_finish(c, p, OK, NULL, members_status(c), 0);
    } else if (!c->leader) {
        batch_enqueue(c, p); /* forwarded like any operation */
    } else if (c->change_busy || !guard_own_applied(&c->guard)) {
        fail(&why, ERR_CONFLICT, "another membership change is under way");
        proposal_finish(c, p, ERR_CONFLICT, &why, NULL, 0);
    } else if (strcmp(command, "add") == 0 && id > 0 && address && strchr(address, ':') &&
               strlen(address) < sizeof c->address) {
        change_add(c, id, address, p);
    } else if (strcmp(command, "remove") == 0 && id > 0) {
        if (id == c->options->id) {
            fail(&why, ERR_CONFLICT, "node %d leads: transfer leadership first", id);
            proposal_finish(c, p, ERR_CONFLICT, &why, NULL, 0);
        } else {
            change_remove(c, id, p);
        }
    } else if (strcmp(command, "transfer") == 0) {
        transfer(c, id, p);
    } else {
        fail(&why, ERR_BAD_REQUEST, "%s: not a command, or its arguments are off", command);
        proposal_finish(c, p, ERR_BAD_REQUEST, &why, NULL, 0);
    }
}
