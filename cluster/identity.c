/* SPDX-License-Identifier: Apache-2.0 */
/* What a node keeps beside its replica: which cluster it belongs to (node.json) and the cluster's sealing
 * key (cluster.key, 0600), which is never in the log, a snapshot or a copy. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cluster/internal.h"
#include "pantera/ids.h"
#include "pantera/log.h"
#include "pantera/text.h"

static void write_file(struct cluster *c, const char *name, const char *text)
{
    char path[4096], fresh[4104];
    snprintf(path, sizeof path, "%s/%s", c->options->data_dir, name);
    snprintf(fresh, sizeof fresh, "%s.new", path);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t size = strlen(text);
    if (fd < 0 || write(fd, text, size) != (ssize_t)size || fsync(fd) || rename(fresh, path))
        log_fatal("cluster", "cannot write '%s': %s", path, strerror(errno));
    close(fd);
    fd = open(c->options->data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd))
        log_fatal("cluster", "cannot sync '%s': %s", c->options->data_dir, strerror(errno));
    close(fd);
}

void identity_save(struct cluster *c)
{
    char hex[65], text[256];
    hex_encode(c->seal_key.key, sizeof c->seal_key.key, hex);
    snprintf(text, sizeof text, "%s %s\n", c->seal_key.id, hex);
    write_file(c, "cluster.key", text);
    snprintf(text, sizeof text, "{\"cluster_id\": \"%s\", \"id\": %d}\n", c->cluster_id, c->options->id);
    write_file(c, "node.json", text);
    atomic_store(&c->has_key, true);
}

/* A cluster of our own: with the marker that lets raft bootstrap, once. */
void identity_new(struct cluster *c)
{
    random_uuid(c->cluster_id);
    seal_key_new(&c->seal_key);
    write_file(c, "founding", "");
    identity_save(c);
}

static void load_key(struct cluster *c)
{
    char path[4096], hex[65] = "";
    snprintf(path, sizeof path, "%s/cluster.key", c->options->data_dir);
    FILE *f = fopen(path, "re");
    if (!f || fscanf(f, "%8s %64s", c->seal_key.id, hex) != 2 ||
        !hex_decode(hex, strlen(hex), c->seal_key.key) || strlen(hex) != 64)
        log_fatal("cluster", "'%s' is missing or not a cluster key", path);
    fclose(f);
    atomic_store(&c->has_key, true);
}

bool identity_load(struct cluster *c)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/node.json", c->options->data_dir);
    if (access(path, F_OK))
        return false;
    json_t *node = json_load_file(path, 0, NULL);
    const char *cluster_id = json_string_value(json_object_get(node, "cluster_id"));
    int id = (int)json_integer_value(json_object_get(node, "id"));
    if (!cluster_id || strlen(cluster_id) >= sizeof c->cluster_id)
        log_fatal("cluster", "'%s' is not a node's identity", path);
    if (id != c->options->id)
        log_fatal("cluster", "'%s' belongs to node %d, this is node %d", c->options->data_dir, id,
                  c->options->id);
    snprintf(c->cluster_id, sizeof c->cluster_id, "%s", cluster_id);
    json_decref(node);
    load_key(c);
    return true;
}
