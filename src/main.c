/* SPDX-License-Identifier: Apache-2.0 */
/* panterad: configuration → cluster → workers → signals → drain. It puts the modules together and holds no
 * logic of theirs. Run under the name `pantera` it is the operator's command line (cli.c). */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pantera/api.h"
#include "pantera/clock.h"
#include "pantera/config.h"
#include "pantera/fault.h"
#include "pantera/log.h"
#include "pantera/registry.h"
#include "pantera/tls.h"
#include "pantera/upstream.h"
#include "pantera/worker.h"
#include "src/cli.h"

enum { MOST_WORKERS = 64, READY_POLL_MS = 10, LISTENERS = 3 };

struct program;

struct listeners { /* one worker's */
    struct worker worker;
    struct http_listener_options options[LISTENERS];
    struct program *program;
    struct why why;
    enum err err;
};

struct program {
    struct config *config;
    struct cluster *cluster;
    struct tls_context *tls;
    struct listeners *workers[MOST_WORKERS];
    unsigned worker_count;
    int ports[LISTENERS];
    struct loop loop; /* the main thread's: signals and the way down */
    uv_signal_t signals[2];
    uv_timer_t ready;
    _Atomic bool bootstrapping; /* worker 0 begins it, the main thread sees its end */
    bool announced, stopping, over;
    uint64_t started_us;
    unsigned draining;
    struct proposal transfer;
    struct cluster_peer *peers;
};

/* --- workers --- */

static enum err listen_all(struct listeners *l)
{
    struct program *p = l->program;
    const struct config *config = p->config;
    static void (*const handlers[LISTENERS])(struct http_request *) = {
        api_on_repository_request, api_on_request, api_on_metrics_request
    };
    static const enum dialect dialects[LISTENERS] = { DIALECT_PLAIN, DIALECT_PANTERA, DIALECT_PLAIN };
    for (int i = 0; i < LISTENERS; i++) {
        l->options[i] = (struct http_listener_options){
            .host = config->host, .port = p->ports[i], .tls = i < 2 ? p->tls : NULL,
            .dialect = (int)dialects[i], .on_request = handlers[i], .on_refused = api_on_refused,
            .on_finished = api_on_finished, .context = &l->worker
        };
        enum err e = http_listen(l->worker.http, &l->options[i], &p->ports[i], &l->why);
        if (e)
            return e;
    }
    return OK;
}

static void worker_setup(struct loop *loop, void *arg)
{
    struct listeners *l = arg;
    struct worker *w = &l->worker;
    const struct config *config = l->program->config;
    struct http_limits limits = { .idle_timeout_ms = (unsigned)config->idle_timeout_ms,
                                  .body_timeout_ms = (unsigned)config->request_timeout_ms,
                                  .max_connections = config->max_connections };
    w->config = config;
    w->cluster = l->program->cluster;
    w->client = client_new(loop);
    w->upstream = upstream_new(loop, w->client);
    w->reader = meta_reader_open(config->home, &l->why);
    if (!w->reader) {
        l->err = ERR_IO;
        return;
    }
    w->auth = auth_new(&(struct auth_options){ .loop = loop, .cluster = w->cluster, .reader = w->reader });
    w->registry = registry_new(w);
    w->http = http_server_new(loop, &limits);
    api_worker_start(w);
    l->err = listen_all(l);
}

static void worker_stop(struct loop *loop)
{
    struct worker *w = container_of(loop, struct worker, loop);
    if (loop->index == 0)
        registry_gc_stop(w->registry);
    api_worker_stop(w);
    http_server_free(w->http);
    registry_free(w->registry);
    auth_free(w->auth);
    client_free(w->client);
    upstream_free(w->upstream);
    meta_reader_close(w->reader);
}

static bool start_workers(struct program *p)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned count = p->config->workers ? (unsigned)p->config->workers : cores > 0 ? (unsigned)cores : 1;
    p->worker_count = count > MOST_WORKERS ? MOST_WORKERS : count;
    for (unsigned i = 0; i < p->worker_count; i++) {
        struct listeners *l = calloc(1, sizeof *l);
        check(l != NULL);
        p->workers[i] = l;
        l->program = p;
        loop_init(&l->worker.loop, "worker", (int)i);
        l->worker.loop.on_stop = worker_stop;
        loop_start(&l->worker.loop, worker_setup, l);
        if (l->err) {
            fprintf(stderr, "panterad: %s\n", why_text(&l->why, l->err));
            return false;
        }
    }
    return true;
}

/* --- ready: the first leader of a new cluster makes the admin and the signing key --- */

struct bootstrap_task {
    struct task task;
    struct program *program;
    enum err err;
    char *password;
};

static const char *scheme(const struct program *p) { return p->tls ? "https" : "http"; }

static void announce(struct program *p, const char *password)
{
    const char *host = strcmp(p->config->host, "0.0.0.0") == 0 || strcmp(p->config->host, "::") == 0
                           ? "localhost" : p->config->host;
    fprintf(stderr, "repositories  %s://%s:%d/\n", scheme(p), host, p->ports[0]);
    fprintf(stderr, "management    %s://%s:%d/api/v1\n", scheme(p), host, p->ports[1]);
    fprintf(stderr, "metrics       http://%s:%d/metrics\n", host, p->ports[2]);
    if (password)
        fprintf(stderr, "admin password: %s   (user %s; shown this once)\n", password,
                p->config->user_name ? p->config->user_name : "admin");
    fprintf(stderr, "panterad is ready\n");
    log_event(LOG_INFO, "main", "ready", "port", "i", p->ports[0], "api_port", "i", p->ports[1],
              "metrics_port", "i", p->ports[2], "start_ms", "l",
              (long long)((clock_mono_us() - p->started_us) / 1000), NULL);
    p->announced = true;
}

static void on_bootstrapped(struct task *task)
{
    struct bootstrap_task *b = container_of(task, struct bootstrap_task, task);
    struct program *p = b->program;
    p->bootstrapping = false;
    if (b->err)
        log_warn("main", "first start: %s", err_text(b->err));
    else if (b->password)
        fprintf(stderr, "admin password: %s   (user %s; shown this once)\n", b->password,
                p->config->user_name ? p->config->user_name : "admin");
    free(b->password);
    free(b);
}

static struct program *the_program; /* for callbacks that carry no argument of ours */

static void bootstrap_done(struct worker *w, enum err e, const char *password)
{
    struct bootstrap_task *b = calloc(1, sizeof *b);
    check(b != NULL);
    b->program = the_program;
    b->err = e;
    b->password = password ? strdup(password) : NULL;
    b->task.run = on_bootstrapped;
    loop_post(&the_program->loop, &b->task);
}

struct look_task {
    struct task task;
    _Atomic bool busy, bootstrapped;
};
static struct look_task look;

static void on_look(struct task *task) /* on worker 0: the replica is read there */
{
    struct listeners *l = the_program->workers[0];
    bool done = cluster_current(the_program->cluster) && auth_bootstrapped(l->worker.reader);
    if (!done && !the_program->bootstrapping && cluster_is_leader(the_program->cluster) &&
        cluster_current(the_program->cluster)) {
        the_program->bootstrapping = true;
        auth_bootstrap(&l->worker, bootstrap_done);
    }
    if (done && !look.bootstrapped) {
        registry_gc_start(l->worker.registry);
        look.bootstrapped = true;
    }
    look.busy = false;
}

static void on_ready_poll(uv_timer_t *timer)
{
    struct program *p = container_of(timer, struct program, ready);
    if (look.bootstrapped && !p->bootstrapping) {
        uv_timer_stop(timer);
        announce(p, NULL);
    } else if (!look.busy && !p->stopping) {
        look.busy = true;
        look.task.run = on_look;
        loop_post(&p->workers[0]->worker.loop, &look.task);
    }
}

/* --- the way down: leadership, then connections, then the cluster, then the loops --- */

static void on_worker_drained(struct task *task)
{
    free(task);
    if (--the_program->draining == 0)
        the_program->over = true;
}

static void drained(void *arg)
{
    struct task *task = calloc(1, sizeof *task);
    check(task != NULL);
    task->run = on_worker_drained;
    loop_post(&the_program->loop, task);
}

static void drain_worker(struct task *task)
{
    struct listeners *l = *(struct listeners **)(task + 1);
    http_server_drain(l->worker.http, (unsigned)l->program->config->drain_ms, drained, l);
    free(task);
}

static void on_transferred(struct proposal *transfer)
{
    struct program *p = container_of(transfer, struct program, transfer);
    json_decref(transfer->result);
    p->draining = p->worker_count;
    for (unsigned i = 0; i < p->worker_count; i++) {
        struct task *task = calloc(1, sizeof *task + sizeof(void *));
        check(task != NULL);
        *(struct listeners **)(task + 1) = p->workers[i];
        task->run = drain_worker;
        loop_post(&p->workers[i]->worker.loop, task);
    }
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct program *p = handle->data;
    if (p->stopping)
        _exit(130); /* asked twice: at once */
    p->stopping = true;
    uv_timer_stop(&p->ready);
    log_info("main", "stopping: leadership, then connections");
    p->transfer = (struct proposal){ .op = "cluster.transfer", .args = json_pack("{s:i}", "id", 0),
                                     .home = &p->loop, .on_done = on_transferred, .timeout_ms = 2000 };
    if (cluster_is_leader(p->cluster) && !cluster_alone(p->cluster)) {
        cluster_propose(p->cluster, &p->transfer);
    } else {
        json_decref(p->transfer.args);
        on_transferred(&p->transfer);
    }
}

static void run_until_stopped(struct program *p)
{
    static const int numbers[2] = { SIGTERM, SIGINT };
    for (int i = 0; i < 2; i++) {
        uv_signal_init(&p->loop.uv, &p->signals[i]);
        p->signals[i].data = p;
        uv_signal_start(&p->signals[i], on_signal, numbers[i]);
    }
    uv_timer_init(&p->loop.uv, &p->ready);
    uv_timer_start(&p->ready, on_ready_poll, 0, READY_POLL_MS);
    while (!p->over)
        uv_run(&p->loop.uv, UV_RUN_ONCE);
}

static void stop(struct program *p)
{
    cluster_stop(p->cluster, 3000);
    for (unsigned i = 0; i < p->worker_count; i++) {
        loop_stop(&p->workers[i]->worker.loop);
        loop_join(&p->workers[i]->worker.loop);
        free(p->workers[i]);
    }
    work_pool_stop();
    loop_release(&p->loop);
    tls_context_free(p->tls);
    free(p->peers);
    config_free(p->config);
    log_info("main", "stopped");
}

/* --- start --- */

static enum err start_cluster(struct program *p, struct why *why)
{
    const struct config *c = p->config;
    struct cluster_peer *peers = p->peers = calloc(c->peer_count + 1, sizeof *peers);
    check(peers != NULL);
    for (unsigned i = 0; i < c->peer_count; i++)
        peers[i] = (struct cluster_peer){ c->peers[i].id, c->peers[i].address };
    struct cluster_options o = {
        .data_dir = c->home, .id = c->node_id, .listen = c->cluster_listen,
        .advertise = c->cluster_advertise, .peers = peers, .peer_count = c->peer_count,
        .cert_file = c->cluster_cert, .key_file = c->cluster_key, .ca_file = c->cluster_ca,
        .election_ms = c->election_ms, .heartbeat_ms = c->heartbeat_ms, .lease_ms = c->lease_ms,
        .lease_renew_ms = c->lease_renew_ms
    };
    return cluster_start(&o, &p->cluster, why);
}

/* glibc keeps what was freed once it was large (argon2's 19 MiB) and gives every thread an arena. */
static void bound_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    mallopt(M_TRIM_THRESHOLD, 1 << 20);
    mallopt(M_ARENA_MAX, 4);
}

static void raise_limits(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    signal(SIGPIPE, SIG_IGN);
    setenv("UV_THREADPOOL_SIZE", "8", 0); /* raft's disk must never wait for a resolver */
}

/* Two processes on one data folder would both be the same node. */
static bool lock_home(const char *home)
{
    char path[4096];
    if (mkdir(home, 0700) && errno != EEXIST) {
        fprintf(stderr, "panterad: cannot make the data folder '%s': %s\n", home, strerror(errno));
        return false;
    }
    snprintf(path, sizeof path, "%s/lock", home);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600); /* held until the process ends */
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return true;
    fprintf(stderr, "panterad: the data folder '%s' is in use, or not ours: %s\n", home, strerror(errno));
    if (fd >= 0)
        close(fd);
    return false;
}

static int usage(FILE *to)
{
    fputs("usage: panterad [-f pantera.yml]\n"
          "  Runs one node in the foreground. Without -f: ./pantera.yml, else defaults and PANTERA_*.\n"
          "  --version, --help\n", to);
    return to == stderr ? 2 : 0;
}

static int run_server(const char *config_file)
{
    static struct program p;
    struct why why = { "" };
    the_program = &p;
    p.started_us = clock_mono_us();
    enum err e = config_load(config_file, &p.config, &why);
    if (e) {
        fprintf(stderr, "panterad: %s\n", why_text(&why, e));
        return 2;
    }
    /* The first administrator's password is no exception to the policy. */
    if (p.config->user_pass && password_policy(p.config->user_name ? p.config->user_name : "admin",
                                               p.config->user_pass, &why)) {
        fprintf(stderr, "panterad: PANTERA_USER_PASS: %s\n", why.text);
        return 2;
    }
    if (upstream_allow((const char *const *)p.config->allow_upstreams, &why)) {
        fprintf(stderr, "panterad: meta.http_client.allow_upstreams: %s\n", why.text);
        return 2;
    }
    if (p.config->http_ca_file && tls_authorities_check(p.config->http_ca_file, &why)) {
        fprintf(stderr, "panterad: %s: %s\n", p.config->http_ca_where, why.text);
        return 2;
    }
    client_trust(p.config->http_ca_file);
    if (!lock_home(p.config->home))
        return 1;
    bound_memory();
    raise_limits();
    log_init(p.config->log_level, p.config->cluster_listen ? p.config->node_id : 0);
    fault_init();
    work_pool_start(0);
    loop_init(&p.loop, "main", -1);
    p.ports[0] = p.config->port;
    p.ports[1] = p.config->api_port;
    p.ports[2] = p.config->metrics_port;
    if (p.config->ssl)
        e = tls_context_new(true, p.config->ssl_cert, p.config->ssl_key, NULL, &p.tls, &why);
    if (!e)
        e = start_cluster(&p, &why);
    if (e) {
        fprintf(stderr, "panterad: %s\n", why_text(&why, e));
        return 1;
    }
    api_init();
    if (!start_workers(&p))
        return 1;
    run_until_stopped(&p);
    stop(&p);
    return 0;
}

int main(int argc, char **argv)
{
    const char *config_file = NULL;
    if (strcmp(basename(argv[0]), "pantera") == 0)
        return cli_main(argc, argv);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--version") == 0)
            return printf("panterad %s\n", PANTERA_VERSION), 0;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return usage(stdout);
        if ((strcmp(argv[i], "-f") == 0 || strcmp(argv[i], "--config-file") == 0) && i + 1 < argc)
            config_file = argv[++i];
        else
            return usage(stderr);
    }
    return run_server(config_file);
}
