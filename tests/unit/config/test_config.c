/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration: what a file and the environment may say, and what is said when they may not. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pantera/config.h"
#include "src/config/keys.h"

#include <cmocka.h> /* last: it makes a macro of fail */

static struct config *parse(const char *text)
{
    struct config *c = NULL;
    struct why why = { "" };
    enum err e = config_parse("pantera.yml", text, strlen(text), &c, &why);
    if (e)
        print_error("%s\n", why.text);
    assert_int_equal(e, OK);
    return c;
}

/* Refused, with exactly this sentence. */
static void assert_refused(const char *text, const char *sentence)
{
    struct config *c = NULL;
    struct why why = { "" };
    assert_int_equal(config_parse("pantera.yml", text, strlen(text), &c, &why), ERR_BAD_REQUEST);
    assert_string_equal(why.text, sentence);
    assert_null(c);
}

/* An empty file, or one of comments, is the embedded default. */
static void empty_file_gives_defaults(void **state)
{
    static const char *const texts[] = { "", "# nothing\n", "meta:\n", "---\n" };
    for (unsigned i = 0; i < 4; i++) {
        struct config *c = parse(texts[i]);
        assert_int_equal(c->port, 8080);
        assert_int_equal(c->api_port, 8086);
        assert_int_equal(c->metrics_port, 8087);
        assert_string_equal(c->home, "./data");
        assert_string_equal(c->cache_dir, "./data/cache");
        assert_int_equal(c->cache_bytes, (uint64_t)10 << 30);
        assert_int_equal(c->request_timeout_ms, 60000);
        assert_int_equal(c->access_token_expiry_s, 3600);
        assert_int_equal(c->refresh_token_expiry_s, 604800);
        assert_int_equal(c->gc_grace_ms, 600000);
        assert_int_equal(c->log_level, LOG_INFO);
        assert_true(c->access_log);
        assert_null(c->storage);
        assert_null(c->cluster_listen);
        assert_null(c->global_prefixes[0]);
        assert_null(c->allow_upstreams[0]);
        assert_int_equal(c->node_id, 1);
        config_free(c);
    }
}

/* Every kind of value arrives where the struct says. */
static void whole_file_is_read(void **state)
{
    struct config *c = parse("meta:\n"
                             "  home: /srv/p\n"
                             "  port: 18080\n"
                             "  global_prefixes: [team, \"old\"]\n"
                             "  log: {level: debug, access: false}\n"
                             "  http_client: {allow_upstreams: [10.0.0.0/8, 'fd00::/8']}\n"
                             "  http_server:\n"
                             "    request_timeout: PT2M\n"
                             "    idle_timeout: 1500\n"
                             "  jwt:\n"
                             "    access-token-expiry-seconds: 900\n"
                             "  storage:\n"
                             "    type: s3\n"
                             "    bucket: b\n"
                             "    endpoint: http://127.0.0.1:9000\n"
                             "    path-style: true\n"
                             "    multipart: {part-size: 8MiB}\n"
                             "    credentials:\n"
                             "      type: basic\n"
                             "      accessKeyId: A\n"
                             "      secretAccessKey: S\n"
                             "  cache: {bytes: 1.5GiB}\n"
                             "  cluster:\n"
                             "    id: 2\n"
                             "    listen: 0.0.0.0:7070\n"
                             "    cert: c.pem\n"
                             "    key: k.pem\n"
                             "    ca: ca.pem\n"
                             "    peers:\n"
                             "      - {id: 1, address: node-1.pantera:7070}\n"
                             "      - {id: 2, address: '[::1]:7071'}\n");
    assert_int_equal(c->port, 18080);
    assert_string_equal(c->global_prefixes[0], "team");
    assert_string_equal(c->global_prefixes[1], "old");
    assert_null(c->global_prefixes[2]);
    assert_string_equal(c->allow_upstreams[0], "10.0.0.0/8");
    assert_string_equal(c->allow_upstreams[1], "fd00::/8");
    assert_null(c->allow_upstreams[2]);
    assert_int_equal(c->log_level, LOG_DEBUG);
    assert_false(c->access_log);
    assert_int_equal(c->request_timeout_ms, 120000);
    assert_int_equal(c->idle_timeout_ms, 1500);
    assert_int_equal(c->access_token_expiry_s, 900);
    assert_int_equal(c->cache_bytes, 3ULL << 29);
    assert_string_equal(c->cache_dir, "/srv/p/cache");
    assert_int_equal(c->peer_count, 2);
    assert_int_equal(c->peers[1].id, 2);
    assert_string_equal(c->peers[1].address, "[::1]:7071");
    char *json = json_dumps(c->storage, JSON_SORT_KEYS | JSON_COMPACT);
    assert_string_equal(json, "{\"bucket\":\"b\",\"credentials\":{\"accessKeyId\":\"A\","
                              "\"secretAccessKey\":\"S\",\"type\":\"basic\"},"
                              "\"endpoint\":\"http://127.0.0.1:9000\","
                              "\"multipart\":{\"part-size\":8388608},\"path-style\":true,"
                              "\"type\":\"s3\"}");
    free(json);
    assert_string_equal(c->storage_where, "pantera.yml:13: meta.storage.type");
    config_free(c);
}

/* A key that is not ours is refused with its line, and the one that was meant. */
static void unknown_key_is_refused_with_a_guess(void **state)
{
    assert_refused("meta:\n  prot: 1\n",
                   "pantera.yml:2: meta.prot: unknown key; did you mean 'port'?");
    assert_refused("meta:\n\n  http_server:\n    request-timeut: 1s\n",
                   "pantera.yml:4: meta.http_server.request-timeut: unknown key; did you mean "
                   "'request_timeout'?");
    assert_refused("port: 1\n", "pantera.yml:1: port: unknown key; did you mean 'meta.port'?");
    assert_refused("meta:\n  gc:\n    cat: 9\n", "pantera.yml:3: meta.gc.cat: unknown key");
    assert_refused("meta:\n  artifacts_database:\n    postgres_host: x\n",
                   "pantera.yml:2: meta.artifacts_database: metadata is kept by the nodes "
                   "themselves; there is no database to connect to");
}

/* A value of the wrong kind or size is refused, saying what was expected and what came. */
static void bad_value_is_refused_with_what_was_expected(void **state)
{
    assert_refused("meta:\n  port: http\n",
                   "pantera.yml:2: meta.port: expected a port (0 to 65535), got 'http'");
    assert_refused("meta:\n  port: 65536\n",
                   "pantera.yml:2: meta.port: expected a port (0 to 65535), got '65536'");
    assert_refused("meta:\n  port: +1\n",
                   "pantera.yml:2: meta.port: expected a port (0 to 65535), got '+1'");
    assert_refused("meta:\n  port: [1]\n",
                   "pantera.yml:2: meta.port: expected a port (0 to 65535), got a list");
    assert_refused("meta:\n  port:\n", "pantera.yml:2: meta.port: has no value");
    assert_refused("meta:\n  port: \"1\\n\"\n",
                   "pantera.yml:2: meta.port: expected a port (0 to 65535), got '1?'");
    assert_refused("meta:\n  log: {access: yes}\n",
                   "pantera.yml:2: meta.log.access: expected true or false, got 'yes'");
    assert_refused("meta:\n  log: loud\n",
                   "pantera.yml:2: meta.log: expected a section (\"key: value\" lines below it)");
    assert_refused("meta:\n  base_url: host/\n",
                   "pantera.yml:2: meta.base_url: expected a URL like https://host without a "
                   "slash at the end, got 'host/'");
    assert_refused("meta:\n  cluster: {listen: 7070}\n",
                   "pantera.yml:2: meta.cluster.listen: expected host:port, got '7070'");
    assert_refused("meta:\n  http_client: {allow_upstreams: [10.0.0.1/8]}\n",
                   "pantera.yml:2: meta.http_client.allow_upstreams: expected a list of networks like "
                   "10.0.0.0/8 or fd00::/8, got '10.0.0.1/8'");
    assert_refused("meta:\n  http_client: {proxy_timeout: 5s}\n",
                   "pantera.yml:2: meta.http_client.proxy_timeout: it is a setting: PUT "
                   "/api/v1/settings/http_client");
    assert_refused("meta:\n  global_prefixes: [a/b]\n",
                   "pantera.yml:2: meta.global_prefixes: expected names without / \\ % ? # :");
}

/* Who can reach a node that listens on loopback is on its machine already. */
static void upstreams_of_a_local_node(void **state)
{
    static const char *const hosts[] = { "127.0.0.1", "127.1.2.3", "localhost", "'::1'" };
    char text[100];
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        snprintf(text, sizeof text, "meta:\n  host: %s\n", hosts[i]);
        struct config *c = parse(text);
        assert_string_equal(c->allow_upstreams[0], "127.0.0.0/8");
        assert_string_equal(c->allow_upstreams[1], "::1/128");
        assert_null(c->allow_upstreams[2]);
        config_free(c);
    }
    struct config *c = parse("meta:\n  host: 127.0.0.1\n  http_client: {allow_upstreams: []}\n");
    assert_null(c->allow_upstreams[0]);
    config_free(c);
    c = parse("meta:\n  host: 10.0.0.1\n");
    assert_null(c->allow_upstreams[0]);
    config_free(c);
}

static void yaml_beyond_our_small_part_is_refused(void **state)
{
    assert_refused("meta:\n  port: 1\n  port: 2\n", "pantera.yml:3: meta.port: is there twice");
    assert_refused("meta: {}\nmeta: {}\n", "pantera.yml:2: meta: is there twice");
    assert_refused("meta: &a\n  port: *a\n",
                   "pantera.yml:2: meta.port: expected a port (0 to 65535), got an alias");
    assert_refused("meta:\n  port: !!int 1\n",
                   "pantera.yml:2: meta.port: tags and anchors are not supported");
    assert_refused("meta: {}\n---\nmeta: {}\n", "pantera.yml:2: a second document");
    assert_refused("meta:\n  home: \"a\\0b\"\n", "pantera.yml:2: meta.home: holds a NUL");
    assert_refused("meta:\n\tport: 1\n",
                   "pantera.yml:2: not YAML: found character that cannot start any token");
}

static void durations_and_sizes_have_units(void **state)
{
    static const struct { const char *text; uint64_t ms; } good[] = {
        { "250ms", 250 }, { "1.5s", 1500 }, { "2m", 120000 }, { "1h", 3600000 }, { "1d", 86400000 },
        { "750", 750 }, { "PT0.25S", 250 }, { "PT1H", 3600000 }, { "PT1M30S", 90000 },
        { "P1D", 86400000 }, { "PT60S", 60000 },
    };
    static const char *const bad[] = { "1x", "-1s", "PT", "P", "PT1S1M", "P1S", "1s ", "PT1M1M", "1.5",
                                       "99999999999999999999s", "PTS", "", "P1DT" };
    for (unsigned i = 0; i < sizeof good / sizeof *good; i++) {
        char text[128];
        snprintf(text, sizeof text, "meta: {http_server: {idle_timeout: \"%s\"}}", good[i].text);
        struct config *c = parse(text);
        assert_int_equal(c->idle_timeout_ms, good[i].ms);
        config_free(c);
    }
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[128];
        struct config *c = NULL;
        snprintf(text, sizeof text, "meta: {http_server: {idle_timeout: \"%s\"}}", bad[i]);
        if (config_parse("x", text, strlen(text), &c, NULL) == OK)
            fail_msg("accepted %s as %llu", bad[i], (unsigned long long)c->idle_timeout_ms);
    }
}

/* Single values may be right and yet not fit together. */
static void values_must_fit_together(void **state)
{
    assert_refused("meta: {port: 8086}",
                   "pantera.yml:1: meta.port: port 8086 is taken by another of our ports");
    assert_refused("meta: {ssl: {enabled: true, cert: c}}",
                   "pantera.yml:1: meta.ssl.enabled: needs meta.ssl.key too");
    assert_refused("meta: {jwt: {private-key-path: k}}",
                   "pantera.yml:1: meta.jwt.private-key-path: needs meta.jwt.public-key-path too");
    assert_refused("meta: {storage: {type: gcs}}",
                   "pantera.yml:1: meta.storage.type: expected fs or s3, got 'gcs'");
    assert_refused("meta: {storage: {type: s3}}",
                   "pantera.yml:1: meta.storage.type: needs meta.storage.bucket too");
    assert_refused("meta: {cluster: {listen: \"h:1\", cert: c, key: k, ca: a}}",
                   "pantera.yml:1: meta.cluster.listen: needs meta.cluster.peers too");
    assert_refused("meta: {cluster: {id: 3, listen: \"h:1\", cert: c, key: k, ca: a, "
                   "peers: [{id: 1, address: \"h:1\"}]}}",
                   "pantera.yml:1: meta.cluster.peers: this node (id 3) is not among them; then it "
                   "needs meta.cluster.advertise");
    assert_refused("meta: {cluster: {heartbeat_ms: 400}}",
                   "pantera.yml:1: meta.cluster.heartbeat_ms: expected at most half of "
                   "meta.cluster.election_ms");
    assert_refused("meta: {cluster: {peers: [{id: 1, address: \"h:1\"}, {id: 1, address: "
                   "\"h:2\"}]}}",
                   "pantera.yml:1: meta.cluster.peers: id 1 is there twice");
    assert_refused("meta: {cluster: {peers: [{id: 1}]}}",
                   "pantera.yml:1: meta.cluster.peers: a peer needs id and address");
}

static void dollar_names_are_replaced_in_values(void **state)
{
    setenv("PANTERA_TEST_VALUE", "x y", 1);
    unsetenv("PANTERA_TEST_NONE");
    struct config *c = parse("meta: {home: \"/a/${PANTERA_TEST_VALUE}/$${b}\"}");
    assert_string_equal(c->home, "/a/x y/${b}");
    config_free(c);
    assert_refused("meta: {home: \"${PANTERA_TEST_NONE}\"}",
                   "pantera.yml:1: meta.home: the variable 'PANTERA_TEST_NONE' is not set");
    assert_refused("meta: {home: \"${\"}", "pantera.yml:1: meta.home: expected ${NAME}");
}

/* A secret that does not fit is never repeated. */
static void secrets_are_not_shown(void **state)
{
    char text[600] = "meta: {storage: {credentials: {secretAccessKey: ";
    size_t n = strlen(text);
    memset(text + n, 'z', 300);
    memcpy(text + n + 300, "}}}", 4);
    assert_refused(text, "pantera.yml:1: meta.storage.credentials.secretAccessKey: expected a text "
                         "of 1 to 256 bytes");
}

static enum err load_with(const char *variable, const char *value, struct config **ret,
                          struct why *why)
{
    setenv(variable, value, 1);
    enum err e = config_load(NULL, ret, why);
    unsetenv(variable);
    return e;
}

/* PANTERA_ variables win over the file and are checked in the same way. */
static void variables_override_the_file(void **state)
{
    char file[] = "/tmp/pantera-test-XXXXXX";
    static const char text[] = "meta: {port: 1111, api_port: 2222}\n";
    struct config *c = NULL;
    struct why why = { "" };
    int fd = mkstemp(file);
    assert_int_equal(write(fd, text, sizeof text - 1), (ssize_t)sizeof text - 1);
    close(fd);
    setenv("PANTERA_PORT", "3333", 1);
    setenv("PANTERA_HTTP_SERVER_REQUEST_TIMEOUT", "5s", 1);
    setenv("PANTERA_CLUSTER_PEERS", "1=a:1,2=b:2", 1);
    setenv("PANTERA_CLUSTER_LISTEN", "a:1", 1);
    setenv("PANTERA_CLUSTER_CERT", "c", 1);
    setenv("PANTERA_CLUSTER_KEY", "k", 1);
    setenv("PANTERA_CLUSTER_CA", "ca", 1);
    setenv("PANTERA_USER_NAME", "root", 1);
    setenv("PANTERA_JWT_ACCESS_TOKEN_EXPIRY_SECONDS", "60", 1);
    setenv("PANTERA_WORKERS", "", 1); /* empty: not given */
    assert_int_equal(config_load(file, &c, &why), OK);
    assert_int_equal(c->port, 3333);
    assert_int_equal(c->api_port, 2222);
    assert_int_equal(c->request_timeout_ms, 5000);
    assert_int_equal(c->peer_count, 2);
    assert_string_equal(c->peers[1].address, "b:2");
    assert_string_equal(c->user_name, "root");
    assert_int_equal(c->access_token_expiry_s, 60);
    config_free(c);
    static const char *const used[] = { "PANTERA_PORT", "PANTERA_HTTP_SERVER_REQUEST_TIMEOUT",
        "PANTERA_CLUSTER_PEERS", "PANTERA_CLUSTER_LISTEN", "PANTERA_CLUSTER_CERT",
        "PANTERA_CLUSTER_KEY", "PANTERA_CLUSTER_CA", "PANTERA_USER_NAME",
        "PANTERA_JWT_ACCESS_TOKEN_EXPIRY_SECONDS", "PANTERA_WORKERS" };
    for (unsigned i = 0; i < sizeof used / sizeof *used; i++)
        unsetenv(used[i]);
    unlink(file);
}

static void bad_variables_are_refused(void **state)
{
    struct config *c = NULL;
    struct why why = { "" };
    assert_int_equal(load_with("PANTERA_PORT", "tcp://1.2.3.4:80", &c, &why), ERR_BAD_REQUEST);
    assert_string_equal(why.text, "PANTERA_PORT: expected a port (0 to 65535), got "
                                  "'tcp://1.2.3.4:80'; is enableServiceLinks on?");
    assert_int_equal(load_with("PANTERA_API_PROT", "1", &c, &why), ERR_BAD_REQUEST);
    assert_string_equal(why.text,
                        "PANTERA_API_PROT: unknown variable; did you mean 'PANTERA_API_PORT'?");
    assert_int_equal(load_with("PANTERA_WHATEVER_IT_IS", "1", &c, &why), ERR_BAD_REQUEST);
    assert_string_equal(why.text, "PANTERA_WHATEVER_IT_IS: unknown variable");
    assert_int_equal(load_with("PANTERA_NODE_ID", "1", &c, &why), OK);
    config_free(c);
}

static void missing_file_is_refused_only_if_asked_for(void **state)
{
    struct config *c = NULL;
    struct why why = { "" };
    assert_int_equal(config_load("/nonexistent/pantera.yml", &c, &why), ERR_BAD_REQUEST);
    assert_string_equal(why.text, "/nonexistent/pantera.yml: No such file or directory");
    assert_int_equal(config_load(NULL, &c, &why), OK);
    assert_null(c->file);
    config_free(c);
}

/* No two rows share a variable, and no row's path is another's section. */
static void rows_are_distinct(void **state)
{
    for (unsigned i = 0; i < keys_count(); i++) {
        char variable[PATH_MAX_BYTES];
        key_variable(&keys[i], variable);
        assert_ptr_equal(key_find_variable(variable), &keys[i]);
        assert_false(keys[i].place != PLACE_ENV && key_section(keys[i].path));
        assert_null(key_refused(keys[i].path));
        assert_true(strlen(keys[i].meaning) > 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_file_gives_defaults),
        cmocka_unit_test(whole_file_is_read),
        cmocka_unit_test(unknown_key_is_refused_with_a_guess),
        cmocka_unit_test(bad_value_is_refused_with_what_was_expected),
        cmocka_unit_test(upstreams_of_a_local_node),
        cmocka_unit_test(yaml_beyond_our_small_part_is_refused),
        cmocka_unit_test(durations_and_sizes_have_units),
        cmocka_unit_test(values_must_fit_together),
        cmocka_unit_test(dollar_names_are_replaced_in_values),
        cmocka_unit_test(secrets_are_not_shown),
        cmocka_unit_test(variables_override_the_file),
        cmocka_unit_test(bad_variables_are_refused),
        cmocka_unit_test(missing_file_is_refused_only_if_asked_for),
        cmocka_unit_test(rows_are_distinct),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
