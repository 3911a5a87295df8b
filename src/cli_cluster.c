/* SPDX-License-Identifier: Apache-2.0 */
/* `pantera cluster ...`: members and leadership, against any node. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "src/cli.h"

static void print_status(const struct cli *cli, json_t *status)
{
    if (cli->json) {
        cli_print_json(status);
        return;
    }
    printf("cluster %s, term %lld, schema %lld\n",
           json_string_value(json_object_get(status, "cluster_id")),
           (long long)json_integer_value(json_object_get(status, "term")),
           (long long)json_integer_value(json_object_get(status, "schema")));
    cli_table(json_object_get(status, "members"),
              (const char *const[]){ "ID:id", "ADDRESS:address", "ROLE:role", "LEADER:leader",
                                     "REACHABLE:reachable", "APPLIED:applied", NULL });
}

/* Any of the four; an answer with members is shown. */
static int finish(struct cli *cli, const char *method, const char *path, json_t *body)
{
    int code;
    json_t *answer = cli_must(cli, method, path, body, &code);
    if (json_object_get(answer, "members"))
        print_status(cli, answer);
    json_decref(answer);
    return code;
}

/* 0: not a member's number, and that was said. */
static int member_of(const char *word)
{
    char *end;
    errno = 0;
    long id = strtol(word, &end, 10);
    if (!errno && !*end && id > 0 && id <= 1000000)
        return (int)id;
    cli_say("'%s' is not a member's id", word);
    return 0;
}

int cli_cluster_status(struct cli *cli, int argc, char **argv)
{
    return finish(cli, "GET", "/cluster", NULL);
}

int cli_cluster_add(struct cli *cli, int argc, char **argv)
{
    int id = member_of(argv[0]);
    return id ? finish(cli, "POST", "/cluster/members", json_pack("{s:i, s:s}", "id", id, "address", argv[1]))
              : CLI_USAGE;
}

int cli_cluster_remove(struct cli *cli, int argc, char **argv)
{
    int id = member_of(argv[0]);
    return id ? finish(cli, "DELETE", arena_printf(&cli->arena, "/cluster/members/%d", id), NULL) : CLI_USAGE;
}

int cli_cluster_transfer(struct cli *cli, int argc, char **argv)
{
    int id = argc ? member_of(argv[0]) : 0;
    return argc && !id ? CLI_USAGE : finish(cli, "POST", "/cluster/transfer", json_pack("{s:i}", "id", id));
}
