/* SPDX-License-Identifier: Apache-2.0 */
/* pantera/config.h: what the operator said: pantera.yml, then PANTERA_* variables over it.
 * What:   every key with its type, default and meaning; config.def is the list. A key that is not in
 *         it, or a value that does not fit, is refused at start with file, line and what was expected.
 * Keys:   the seed's `meta:` names where they make sense. A variable has the key's path in capitals
 *         with '_' ("meta.http_server.request_timeout" → PANTERA_HTTP_SERVER_REQUEST_TIMEOUT; "meta."
 *         is left out). "${NAME}" in a value is replaced from the environment.
 * Thread: immutable after config_load. */
#ifndef PANTERA_CONFIG_H
#define PANTERA_CONFIG_H

#include <jansson.h>
#include <stdint.h>

#include "pantera/err.h"
#include "pantera/log.h"

struct config_peer {
    int id;
    const char *address;
};

struct config {
    const char *file;            /* or NULL: embedded default */
    const char *home;            /* PANTERA_HOME; default "./data" */
    const char *host;            /* default "0.0.0.0" */
    int port, api_port, metrics_port; /* 8080, 8086, 8087; 0: any free one */
    int workers;                 /* 0: one a core */
    enum log_level log_level;
    bool access_log;
    const char *base_url;        /* what clients see, or NULL: from Host */
    const char *metrics_endpoint; /* "/metrics/vertx" besides /metrics */
    /* meta.storage: the alias `default` of the first start, as blob.h's JSON; NULL: fs in home */
    json_t *storage;
    const char *storage_where;   /* "pantera.yml:4: meta.storage.type": begins a message about it */
    uint64_t cache_bytes;        /* s3 read-through cache on this node; default 10 GiB */
    const char *cache_dir;       /* default home/cache */
    /* meta.jwt */
    int access_token_expiry_s, refresh_token_expiry_s; /* 3600, 604800 */
    const char *jwt_private_key_path, *jwt_public_key_path; /* PEM instead of a made pair */
    /* meta.http_server */
    uint64_t request_timeout_ms, idle_timeout_ms, drain_ms;
    unsigned max_connections;
    /* meta.http_client */
    const char **allow_upstreams; /* NULL-terminated; by default loopback if host is that, else empty */
    const char *http_ca_file;    /* PEM, or NULL */
    const char *http_ca_where;   /* "pantera.yml:4: meta.http_client.ca_file" */
    /* meta.ssl: for 8080 and 8086 */
    bool ssl;
    const char *ssl_cert, *ssl_key;
    /* meta.global_prefixes of the first start */
    const char **global_prefixes;
    /* meta.cluster */
    int node_id;                 /* default 1 */
    const char *cluster_listen;  /* NULL: alone */
    const char *cluster_advertise;
    const char *cluster_cert, *cluster_key, *cluster_ca;
    struct config_peer *peers;
    unsigned peer_count;
    unsigned election_ms, heartbeat_ms, lease_ms, lease_renew_ms, wait_ms;
    /* meta.gc */
    uint64_t gc_grace_ms;        /* default 10 min: a deleted blob's object stays so long */
    uint64_t gc_interval_ms;     /* default 30 s */
    uint64_t dashboard_interval_ms; /* default 10 s */
    /* first start only */
    const char *user_name, *user_pass; /* PANTERA_USER_NAME, PANTERA_USER_PASS; NULL: made */
};

/* `file` NULL: pantera.yml in the current folder if there is one, else the embedded default. The result
 * lives as long as the process. ERR_BAD_REQUEST: why is "pantera.yml:12: meta.prot: unknown key; ...". */
enum err config_load(const char *file, struct config **ret, struct why *why);
/* From text, for tests and the fuzzer. */
enum err config_parse(const char *name, const char *text, size_t size, struct config **ret,
                      struct why *why);
void config_free(struct config *c);

#endif
