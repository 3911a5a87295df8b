/* SPDX-License-Identifier: Apache-2.0 */
/* The cluster thread: raft on its loop, the replica as its state machine, and what happens at the tail of
 * every turn. It decides nothing itself: batches, leases, members and links have files of their own. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cluster/internal.h"
#include "cluster/wire.h"
#include "pantera/clock.h"
#include "pantera/log.h"

enum {
    STEP_MS = 20,               /* timers of leases, members, deadlines */
    LOG_BYTES_IN_MEMORY = 8 << 20,
    FEWEST_ENTRIES = 512,
    MOST_ENTRIES = 20000,
};

#define MANIFEST_MAGIC 0x5446494e414d4e50ull /* "PNMANIFT" */

struct manifest { /* a raft snapshot of ours; the replica's file is the state itself */
    uint64_t magic, applied, schema;
    char cluster_id[40];
};

void node_fatal(void *arg, const char *what)
{
    struct cluster *c = arg;
    log_fatal("cluster", "%s; raft says '%s', its disk '%s'", what, raft_errmsg(&c->raft), c->io.errmsg);
}

/* The same process, from the start: sockets close on exec, the pid stays. */
void node_restart(struct cluster *c, const char *reason)
{
    char *argv[64], text[8192];
    size_t size = 0, count = 0;
    FILE *f = fopen("/proc/self/cmdline", "re");
    if (f) {
        size = fread(text, 1, sizeof text - 1, f);
        fclose(f);
    }
    text[size] = 0;
    for (char *at = text; at < text + size && count < 63; at += strlen(at) + 1)
        argv[count++] = at;
    argv[count] = NULL;
    log_info("cluster", "starting over: %s", reason);
    if (count)
        execv("/proc/self/exe", argv);
    log_fatal("cluster", "cannot start over: %s", strerror(errno));
}

/* --- the state machine --- */

static int fsm_apply(struct raft_fsm *fsm, const struct raft_buffer *buf, void **ret)
{
    struct cluster *c = fsm->data;
    /* libraft 0.15 gives no index: it counts last_applied up after this returns. */
    uint64_t index = raft_last_applied(&c->raft) + 1;
    struct entry e;
    uint32_t number;
    *ret = NULL;
    c->entry_bytes = c->entry_bytes * 0.98 + (double)buf->len * 0.02;
    if (index <= meta_applied(c->meta))
        return 0;
    if (!entry_decode(buf->base, buf->len, &e))
        log_fatal("cluster", "log entry %llu is not one of ours", (unsigned long long)index);
    if (batch_is_ours(c, e.batch_id)) {
        batch_applied(c, index);
        return 0;
    }
    if (meta_batch_open(c->meta))
        meta_batch_rollback(c->meta);
    if (e.kind == ENTRY_CHANGESET)
        meta_apply_changeset(c->meta, index, e.payload, e.payload_size);
    else if (e.kind == ENTRY_MIGRATE && entry_migration(&e, &number))
        meta_apply_migration(c->meta, index, (int)number);
    else
        meta_note_applied(c->meta, index);
    return 0;
}

static int fsm_snapshot(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *count)
{
    struct cluster *c = fsm->data;
    if (!guard_snapshot_allowed(&c->guard) || meta_batch_open(c->meta))
        return RAFT_BUSY;
    struct manifest *m = raft_calloc(1, sizeof *m);
    *bufs = raft_calloc(1, sizeof **bufs);
    check(m && *bufs);
    meta_note_applied(c->meta, raft_last_applied(&c->raft));
    meta_store_applied(c->meta);
    m->magic = MANIFEST_MAGIC;
    m->applied = meta_applied(c->meta);
    m->schema = (uint64_t)meta_schema(c->meta);
    snprintf(m->cluster_id, sizeof m->cluster_id, "%s", c->cluster_id);
    **bufs = (struct raft_buffer){ m, sizeof *m };
    *count = 1;
    atomic_fetch_add(&c->f_snapshots, 1);
    return 0;
}

/* In libuv's pool: the log may be cut only behind what the replica's disk has. */
static int fsm_snapshot_async(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *count)
{
    struct cluster *c = fsm->data;
    meta_make_durable(c->options->data_dir);
    return 0;
}

static int fsm_snapshot_finalize(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *count)
{
    if (*bufs) {
        raft_free((*bufs)[0].base);
        raft_free(*bufs);
    }
    *bufs = NULL;
    *count = 0;
    return 0;
}

/* Also at every start. Never fails: a failing restore wedges a follower for ever (libraft 0.15). */
static int fsm_restore(struct raft_fsm *fsm, struct raft_buffer *buf)
{
    struct cluster *c = fsm->data;
    struct manifest m = { 0 };
    if (buf->len == sizeof m)
        memcpy(&m, buf->base, sizeof m);
    if (m.magic != MANIFEST_MAGIC)
        log_fatal("cluster", "the snapshot is not one of ours");
    if (strcmp(m.cluster_id, c->cluster_id) != 0)
        log_fatal("cluster", "the snapshot is of cluster %.36s, ours is %s", m.cluster_id, c->cluster_id);
    if (m.applied > meta_applied(c->meta)) {
        resync_mark(c);
        node_restart(c, "the log no longer reaches back to our replica; a copy is needed");
    }
    raft_free(buf->base);
    return 0;
}

/* --- raft's network: messages go over our own links --- */

static int transport_init(struct raft_uv_transport *t, raft_id id, const char *address) { return 0; }
static int transport_listen(struct raft_uv_transport *t, raft_uv_accept_cb cb) { return 0; }
static int transport_connect(struct raft_uv_transport *t, struct raft_uv_connect *req, raft_id id,
                             const char *address, raft_uv_connect_cb cb)
{
    return RAFT_NOCONNECTION; /* never asked: the guard sends */
}
static void transport_close(struct raft_uv_transport *t, raft_uv_transport_close_cb cb) { cb(t); }

static int on_send(void *arg, const struct raft_message *m)
{
    struct cluster *c = arg;
    struct peer *p = peer_find(c, (int)m->server_id);
    if (!p || !p->up)
        return RAFT_NOCONNECTION;
    struct buf b;
    buf_init(&b, WIRE_MESSAGE_MAX);
    bool good = wire_encode_message(&b, m) && peer_send(c, p->id, FRAME_RAFT, b.data, b.length);
    buf_free(&b);
    return good ? 0 : RAFT_NOCONNECTION;
}

/* --- state --- */

bool node_is_member(struct cluster *c, int id, int *ret_role)
{
    const struct raft_configuration *conf = &c->raft.configuration;
    for (unsigned i = 0; i < conf->n; i++)
        if (conf->servers[i].id == (raft_id)id) {
            if (ret_role)
                *ret_role = conf->servers[i].role;
            return true;
        }
    return false;
}

int node_leader(struct cluster *c)
{
    raft_id id = 0;
    const char *address;
    if (c->running)
        raft_leader(&c->raft, &id, &address);
    return (int)id;
}

static void publish_figures(struct cluster *c)
{
    unsigned reachable = 0;
    for (unsigned i = 0; i < MOST_MEMBERS; i++)
        reachable += c->peers[i].id && c->peers[i].up;
    atomic_store(&c->f_term, c->raft.current_term);
    atomic_store(&c->f_last, raft_last_index(&c->raft));
    atomic_store(&c->f_commit, c->raft.commit_index);
    atomic_store(&c->f_applied, raft_last_applied(&c->raft));
    atomic_store(&c->f_state, (int)raft_state(&c->raft));
    atomic_store(&c->f_leader, node_leader(c));
    atomic_store(&c->f_members, c->raft.configuration.n);
    atomic_store(&c->f_reachable, reachable);
}

static void bound_log(struct cluster *c)
{
    double entries = LOG_BYTES_IN_MEMORY / (c->entry_bytes > 64 ? c->entry_bytes : 64);
    unsigned bound = entries < FEWEST_ENTRIES ? FEWEST_ENTRIES
                     : entries > MOST_ENTRIES ? MOST_ENTRIES : (unsigned)entries;
    raft_set_snapshot_threshold(&c->raft, bound);
    raft_set_snapshot_trailing(&c->raft, bound * 2);
}

/* After every tick, message and disk write: has leadership come or gone? */
static void after_raft(void *arg)
{
    struct cluster *c = arg;
    int state = (int)raft_state(&c->raft);
    if (state == c->last_state && c->raft.current_term == c->last_term)
        return;
    bool leads = state == RAFT_LEADER;
    if (c->leader && (!leads || c->raft.current_term != c->last_term)) {
        log_info("cluster", "no longer leader of term %llu", (unsigned long long)c->last_term);
        c->leader = false;
        atomic_store(&c->is_leader, false);
        lease_lost(c);
        batch_lost_leadership(c);
    }
    c->last_state = state;
    c->last_term = c->raft.current_term;
    if (leads && !c->leader) {
        log_info("cluster", "leader of term %llu", (unsigned long long)c->last_term);
        c->leader = true;
        atomic_store(&c->is_leader, true);
        atomic_fetch_add(&c->f_elections, 1);
        lease_elected(c);
    }
}

/* libraft tells a follower of a commit with its next message, which may be two heartbeats away; and one
 * that comes before the follower has stored the entry moves nothing. So: a heartbeat to who has stored all
 * that is committed and has not been told since. Acknowledgements wait for it (the fence). */
static void tell_commit(struct cluster *c)
{
    const struct raft_configuration *conf = &c->raft.configuration;
    raft_index commit = c->raft.commit_index;
    bool beat = false;
    for (unsigned i = 0; i < conf->n; i++) {
        struct peer *p = peer_find(c, (int)conf->servers[i].id);
        if (!p || p->id == c->options->id || p->told_commit >= commit || p->applied >= commit ||
            guard_match_index(&c->guard, i) < commit)
            continue;
        p->told_commit = commit;
        beat = true;
    }
    if (beat)
        guard_heartbeat_now(&c->guard);
}

static void tail(struct cluster *c)
{
    if (c->running) {
        guard_flush(&c->guard);
        if (!meta_batch_open(c->meta))
            meta_note_applied(c->meta, raft_last_applied(&c->raft));
        if (c->leader)
            lease_refresh(c);
        batch_fence_step(c);
        members_hand_over(c);
        if (c->leader) {
            tell_commit(c);
            batch_step(c);
        } else {
            forward_queue(c);
        }
        forward_step(c);
        lease_tell_applied(c);
        guard_flush(&c->guard);
    }
    link_flush_all(c);
}

static void on_check(uv_check_t *check) { tail(container_of(check, struct cluster, check)); }
static void on_prepare(uv_prepare_t *p) { tail(container_of(p, struct cluster, prepare)); }

static void expire_queue(struct cluster *c)
{
    uint64_t now = clock_mono_ms();
    for (struct proposal **at = &c->queue, *p; (p = *at);) {
        if (now < p->deadline_ms) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        c->queued--;
        proposal_finish(c, p, ERR_NOT_LEADER, NULL, NULL, 0);
    }
    c->queue_tail = &c->queue;
    while (*c->queue_tail)
        c->queue_tail = &(*c->queue_tail)->next;
}

static void on_tick(uv_timer_t *timer)
{
    struct cluster *c = container_of(timer, struct cluster, tick);
    if (!c->alone)
        link_dial_all(c);
    expire_queue(c);
    if (!c->running) {
        members_seek(c);
    } else {
        lease_step(c);
        members_step(c);
        bound_log(c);
        publish_figures(c);
    }
    resync_step(c);
    if (c->running && !meta_batch_open(c->meta))
        meta_idle(c->meta);
    if (c->stopping)
        node_stop_step(c);
}

/* --- start --- */

static void die_if(struct cluster *c, int status, const char *what)
{
    if (status)
        log_fatal("cluster", "%s: %s (%s, %s)", what, raft_strerror(status), c->io.errmsg,
                  c->raft.errmsg);
}

static void bootstrap_if_founder(struct cluster *c, const char *dir)
{
    char marker[4096];
    snprintf(marker, sizeof marker, "%s/founding", c->options->data_dir);
    if (access(marker, F_OK))
        return;
    struct raft_configuration conf;
    raft_configuration_init(&conf);
    die_if(c, raft_configuration_add(&conf, (raft_id)c->options->id, c->address, RAFT_VOTER), "found");
    int status = raft_bootstrap(&c->raft, &conf);
    if (status != RAFT_CANTBOOTSTRAP)
        die_if(c, status, "found");
    raft_configuration_close(&conf);
    unlink(marker);
}

void node_start_raft(struct cluster *c)
{
    const struct cluster_options *o = c->options;
    char dir[4096];
    snprintf(dir, sizeof dir, "%s/raft", o->data_dir);
    if (mkdir(dir, 0700) && errno != EEXIST)
        log_fatal("cluster", "cannot make '%s': %s", dir, strerror(errno));
    c->transport = (struct raft_uv_transport){ .data = NULL, .init = transport_init,
                                               .listen = transport_listen,
                                               .connect = transport_connect,
                                               .close = transport_close };
    die_if(c, raft_uv_init(&c->io, &c->loop.uv, dir, &c->transport), "raft_uv_init");
    raft_uv_set_auto_recovery(&c->io, false); /* else a voter may forget what it acknowledged */
    guard_prepare_io(&c->io);
    c->fsm = (struct raft_fsm){ .version = 3, .data = c, .apply = fsm_apply, .snapshot = fsm_snapshot,
                                .restore = fsm_restore, .snapshot_finalize = fsm_snapshot_finalize,
                                .snapshot_async = fsm_snapshot_async };
    die_if(c, raft_init(&c->raft, &c->io, &c->fsm, (raft_id)o->id, c->address), "raft_init");
    struct guard_hooks hooks = { .arg = c, .send = on_send, .may_vote = lease_may_vote,
                                 .may_campaign = lease_may_campaign, .after = after_raft,
                                 .fatal = node_fatal };
    guard_install(&c->guard, &c->raft, &hooks);
    raft_set_election_timeout(&c->raft, o->election_ms);
    raft_set_heartbeat_timeout(&c->raft, o->heartbeat_ms);
    raft_set_pre_vote(&c->raft, true);
    raft_set_max_catch_up_round_duration(&c->raft, 2000);
    c->entry_bytes = 512;
    bound_log(c);
    bootstrap_if_founder(c, dir);
    c->running = true;
    lease_started(c);
    die_if(c, raft_start(&c->raft), "raft_start");
    for (unsigned i = 0; i < c->raft.configuration.n; i++)
        peer_add(c, (int)c->raft.configuration.servers[i].id, c->raft.configuration.servers[i].address);
    after_raft(c);
    link_greet_all(c);
}

static void setup(struct loop *loop, void *arg)
{
    struct cluster *c = arg;
    c->meta = meta_open(c->options->data_dir);
    if (!c->alone && (c->start_err = link_listen(c, &c->start_why)))
        return;
    uv_timer_init(&loop->uv, &c->tick);
    uv_check_init(&loop->uv, &c->check);
    uv_prepare_init(&loop->uv, &c->prepare);
    bool known = identity_load(c);
    if (known && !resync_marked(c)) {
        node_start_raft(c);
    } else if (c->alone) {
        identity_new(c);
        node_start_raft(c);
    } else {
        c->seeking = true;
    }
    uv_timer_start(&c->tick, on_tick, STEP_MS, STEP_MS);
    uv_check_start(&c->check, on_check);
    uv_prepare_start(&c->prepare, on_prepare);
}

static bool add_peers(struct cluster *c, struct why *why)
{
    const struct cluster_options *o = c->options;
    for (unsigned i = 0; i < o->peer_count; i++) {
        if (o->peers[i].id == o->id && !o->advertise)
            snprintf(c->address, sizeof c->address, "%s", o->peers[i].address);
        if (!peer_add(c, o->peers[i].id, o->peers[i].address)) {
            fail(why, ERR_BAD_REQUEST, "more than %d cluster peers", MOST_MEMBERS);
            return false;
        }
    }
    if (o->advertise)
        snprintf(c->address, sizeof c->address, "%s", o->advertise);
    if (!c->address[0])
        snprintf(c->address, sizeof c->address, "node-%d", o->id);
    return true;
}

static enum err open_tls(struct cluster *c, struct why *why)
{
    const struct cluster_options *o = c->options;
    if (!o->cert_file || !o->key_file || !o->ca_file)
        return fail(why, ERR_BAD_REQUEST, "cluster.cert, cluster.key and cluster.ca are all needed");
    enum err e = tls_context_new(true, o->cert_file, o->key_file, o->ca_file, &c->tls_server, why);
    return e ? e : tls_context_new(false, o->cert_file, o->key_file, o->ca_file, &c->tls_client, why);
}

enum err cluster_start(const struct cluster_options *o, struct cluster **ret, struct why *why)
{
    struct cluster *c = calloc(1, sizeof *c);
    check(c != NULL);
    c->own_options = *o;
    c->options = &c->own_options;
    struct cluster_options *own = &c->own_options;
    own->election_ms = own->election_ms ? own->election_ms : 500;
    own->heartbeat_ms = own->heartbeat_ms ? own->heartbeat_ms : 40;
    own->lease_ms = own->lease_ms ? own->lease_ms : 500;
    own->lease_renew_ms = own->lease_renew_ms ? own->lease_renew_ms : 100;
    c->alone = o->listen == NULL;
    c->listen_fd = -1;
    c->queue_tail = &c->queue;
    c->fencing_tail = &c->fencing;
    c->last_state = -1;
    enum err e = add_peers(c, why) ? OK : ERR_BAD_REQUEST;
    if (!e && !c->alone)
        e = open_tls(c, why);
    if (e) {
        free(c);
        return e;
    }
    c->started_us = clock_mono_us();
    uv_sem_init(&c->stopped, 0);
    loop_init(&c->loop, "cluster", -1);
    loop_start(&c->loop, setup, c);
    if (c->start_err) {
        *why = c->start_why;
        return c->start_err;
    }
    meta_checkpointer_start(o->data_dir);
    *ret = c;
    return OK;
}

/* --- stop --- */

static void tell_all(struct cluster *c, enum frame_type what)
{
    for (unsigned i = 0; i < MOST_MEMBERS; i++)
        if (c->peers[i].id)
            peer_send(c, c->peers[i].id, what, NULL, 0);
}

static void finish_stop(struct raft *r)
{
    struct cluster *c = container_of(r, struct cluster, raft);
    c->raft_closed = c->running;
    c->running = false; /* nobody looks at what raft has freed */
    batch_give_up(c);
    tell_all(c, FRAME_DONE);
    link_flush_all(c);
    link_close_all(c);
    uv_sem_post(&c->stopped);
}

static bool others_can_lead(struct cluster *c)
{
    int role;
    for (unsigned i = 0; i < MOST_MEMBERS; i++)
        if (c->peers[i].id && c->peers[i].id != c->options->id && c->peers[i].up &&
            node_is_member(c, c->peers[i].id, &role) && role == RAFT_VOTER)
            return true;
    return false;
}

static void on_transferred(struct raft_transfer *req)
{
    struct guard *g = container_of(req, struct guard, transfer);
    container_of(g, struct cluster, guard)->transferring = false;
}

/* Leadership first, then our own lease, then the raft: so nobody has to wait for a time-out. */
void node_stop_step(struct cluster *c)
{
    bool late = clock_mono_us() > c->stop_deadline_us;
    if (c->stop_posted || ((c->in_flight || c->fencing) && !late))
        return;
    if (c->running && c->leader && others_can_lead(c) && !late) {
        if (!c->transferring) {
            c->transferring = true;
            lease_release(c);
            if (guard_transfer(&c->guard, 0, on_transferred))
                c->transferring = false;
        }
        return;
    }
    c->stop_posted = true;
    uv_timer_stop(&c->tick);
    atomic_store(&c->current_until_us, 0);
    tell_all(c, FRAME_BYE);
    link_flush_all(c);
    while (c->queue) {
        struct proposal *p = c->queue;
        c->queue = p->next;
        proposal_finish(c, p, ERR_NOT_LEADER, NULL, NULL, 0);
    }
    if (c->running)
        raft_close(&c->raft, finish_stop);
    else
        finish_stop(&c->raft);
}

struct stop_task {
    struct task task;
    struct cluster *c;
};

static void on_stop(struct task *task)
{
    struct cluster *c = container_of(task, struct stop_task, task)->c;
    c->stopping = true;
    node_stop_step(c);
}

void cluster_stop(struct cluster *c, unsigned grace_ms)
{
    struct stop_task stop = { .task = { .run = on_stop }, .c = c };
    c->stop_deadline_us = clock_mono_us() + (uint64_t)grace_ms * 1000;
    loop_post(&c->loop, &stop.task);
    uv_sem_wait(&c->stopped);
    meta_checkpointer_stop();
    loop_stop(&c->loop);
    loop_join(&c->loop);
    if (c->raft_closed)
        raft_uv_close(&c->io);
    meta_close(c->meta);
    tls_context_free(c->tls_server);
    tls_context_free(c->tls_client);
    for (unsigned i = 0; i < MOST_MEMBERS; i++)
        free(c->peers[i].out);
    uv_sem_destroy(&c->stopped);
    free(c);
}
