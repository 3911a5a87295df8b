/* SPDX-License-Identifier: Apache-2.0 */
/* `pantera cluster status|add|remove|transfer` against any node, over the management API. It has no power of
 * its own: it signs in like any client. */
#include "src/cli.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/arena.h"
#include "pantera/buf.h"
#include "pantera/client.h"
#include "pantera/limits.h"
#include "pantera/loop.h"

struct cli {
    struct loop loop;
    struct client *client;
    struct arena arena;
    const char *url, *user, *pass, *ca;
    bool json;
    const char *token;
};

struct call {
    struct client_request request;
    struct buf body;
    volatile bool done;
};

static bool on_data(struct client_request *r, const void *data, size_t size)
{
    buf_add(&container_of(r, struct call, request)->body, data, size);
    return true;
}

static void on_done(struct client_request *r)
{
    container_of(r, struct call, request)->done = true;
}

/* The answer's JSON (NULL if it has none); *ret_status 0: no answer, and a message was printed. */
static json_t *call(struct cli *cli, const char *method, const char *path, json_t *body, int *ret_status)
{
    struct call c = { .done = false };
    struct why why = { "" };
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    const char *headers[3] = { "Content-Type: application/json", NULL, NULL };
    buf_init(&c.body, MIB(16));
    if (cli->token)
        headers[1] = arena_printf(&cli->arena, "Authorization: Bearer %s", cli->token);
    c.request = (struct client_request){
        .method = method, .url = arena_printf(&cli->arena, "%s/api/v1%s", cli->url, path),
        .headers = headers, .body = text, .body_size = text ? strlen(text) : 0, .on_data = on_data,
        .on_done = on_done, .ca_file = cli->ca, .total_timeout_ms = 30000
    };
    enum err e = client_submit(cli->client, &c.request, &why);
    if (!e) {
        loop_run_until(&cli->loop, &c.done);
        e = c.request.err;
        why = c.request.why;
    }
    if (e)
        fprintf(stderr, "pantera: %s: %s\n", cli->url, why_text(&why, e));
    json_t *answer = e ? NULL : json_loadb(c.body.data ? c.body.data : "", c.body.length, 0, NULL);
    *ret_status = e ? 0 : c.request.status;
    buf_free(&c.body);
    free(text);
    json_decref(body);
    return answer;
}

static int refused(json_t *answer, int status)
{
    const char *message = json_string_value(json_object_get(answer, "message"));
    if (status)
        fprintf(stderr, "pantera: %s (%d)\n", message ? message : "refused", status);
    json_decref(answer);
    return 1;
}

static bool sign_in(struct cli *cli)
{
    int status;
    json_t *answer = call(cli, "POST", "/auth/token",
                          json_pack("{s:s, s:s}", "name", cli->user, "pass", cli->pass), &status);
    const char *token = json_string_value(json_object_get(answer, "token"));
    if (status != 200 || !token) {
        refused(answer, status);
        return false;
    }
    cli->token = arena_strdup(&cli->arena, token);
    json_decref(answer);
    return true;
}

static void print_status(const struct cli *cli, json_t *status)
{
    size_t i;
    json_t *m, *members = json_object_get(status, "members");
    if (cli->json) {
        json_dumpf(status, stdout, JSON_INDENT(2));
        putchar('\n');
        return;
    }
    printf("cluster %s, term %lld, schema %lld\n",
           json_string_value(json_object_get(status, "cluster_id")),
           (long long)json_integer_value(json_object_get(status, "term")),
           (long long)json_integer_value(json_object_get(status, "schema")));
    printf("%-4s %-28s %-8s %-7s %-10s %s\n", "ID", "ADDRESS", "ROLE", "LEADER", "REACHABLE", "APPLIED");
    json_array_foreach(members, i, m) {
        json_t *applied = json_object_get(m, "applied");
        printf("%-4lld %-28s %-8s %-7s %-10s ", (long long)json_integer_value(json_object_get(m, "id")),
               json_string_value(json_object_get(m, "address")),
               json_string_value(json_object_get(m, "role")),
               json_is_true(json_object_get(m, "leader")) ? "yes" : "",
               json_is_true(json_object_get(m, "reachable")) ? "yes" : "no");
        if (applied)
            printf("%lld\n", (long long)json_integer_value(applied));
        else
            puts("-");
    }
}

static int cluster_command(struct cli *cli, int argc, char **argv)
{
    const char *command = argc ? argv[0] : "";
    int status;
    json_t *answer;
    if (strcmp(command, "status") == 0 && argc == 1)
        answer = call(cli, "GET", "/cluster", NULL, &status);
    else if (strcmp(command, "add") == 0 && argc == 3)
        answer = call(cli, "POST", "/cluster/members",
                      json_pack("{s:i, s:s}", "id", (int)strtol(argv[1], NULL, 10), "address", argv[2]),
                      &status);
    else if (strcmp(command, "remove") == 0 && argc == 2)
        answer = call(cli, "DELETE",
                      arena_printf(&cli->arena, "/cluster/members/%ld", strtol(argv[1], NULL, 10)), NULL,
                      &status);
    else if (strcmp(command, "transfer") == 0 && argc <= 2)
        answer = call(cli, "POST", "/cluster/transfer",
                      json_pack("{s:i}", "id", argc == 2 ? (int)strtol(argv[1], NULL, 10) : 0), &status);
    else
        return -1;
    if (status < 200 || status > 299)
        return refused(answer, status);
    if (json_object_get(answer, "members"))
        print_status(cli, answer);
    json_decref(answer);
    return 0;
}

static int usage(void)
{
    fputs("usage: pantera cluster status\n"
          "       pantera cluster add ID HOST:PORT\n"
          "       pantera cluster remove ID\n"
          "       pantera cluster transfer [ID]\n"
          "options: --url URL (PANTERA_URL, http://localhost:8086), --user NAME (PANTERA_USER_NAME),\n"
          "         --pass WORD (PANTERA_USER_PASS), --ca FILE, --json\n", stderr);
    return 2;
}

static const char *env_or(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

int cli_main(int argc, char **argv)
{
    struct cli cli = { .url = env_or("PANTERA_URL", "http://localhost:8086"),
                       .user = env_or("PANTERA_USER_NAME", "admin"),
                       .pass = env_or("PANTERA_USER_PASS", "") };
    char *words[8];
    int count = 0;
    for (int i = 1; i < argc; i++) {
        const char **option = strcmp(argv[i], "--url") == 0    ? &cli.url
                              : strcmp(argv[i], "--user") == 0 ? &cli.user
                              : strcmp(argv[i], "--pass") == 0 ? &cli.pass
                              : strcmp(argv[i], "--ca") == 0   ? &cli.ca : NULL;
        if (option && i + 1 < argc)
            *option = argv[++i];
        else if (strcmp(argv[i], "--json") == 0)
            cli.json = true;
        else if (argv[i][0] == '-' || count == 8)
            return usage();
        else
            words[count++] = argv[i];
    }
    if (count < 2 || strcmp(words[0], "cluster") != 0)
        return usage();
    arena_init(&cli.arena);
    loop_init(&cli.loop, "cli", 0);
    cli.client = client_new(&cli.loop);
    int result = sign_in(&cli) ? cluster_command(&cli, count - 1, words + 1) : 1;
    client_free(cli.client);
    loop_release(&cli.loop);
    arena_release(&cli.arena);
    return result == -1 ? usage() : result;
}
