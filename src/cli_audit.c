/* SPDX-License-Identifier: Apache-2.0 */
/* `pantera audit` and `pantera audit verify`: who did what, and whether the log is as it was written. */
#include <stdio.h>

#include "src/cli.h"

int cli_audit_list(struct cli *cli, int argc, char **argv)
{
    static const char *const names[] = { "actor", "action", "resource", "resource_type", "from", "to",
                                         "page",  "size",   NULL };
    int code;
    /* One page, the newest: the whole log may be millions of rows. */
    json_t *found = cli_must(cli, "GET", cli_query(cli, "/audit", names), NULL, &code);
    if (!found)
        return code;
    if (cli->json) {
        cli_print_json(found);
    } else {
        cli_table(json_object_get(found, "items"),
                  (const char *const[]){ "SEQ:seq", "TIME:time", "ACTOR:actor", "FROM:address",
                                         "ACTION:action", "WHAT:resource_type", "NAME:resource", NULL });
        if (json_is_true(json_object_get(found, "hasMore")))
            cli_say("%lld in all: --page, --size",
                    (long long)json_integer_value(json_object_get(found, "total")));
    }
    json_decref(found);
    return CLI_OK;
}

static long long number(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

/* 0: every row is as it was written; 1: one is not, or is missing. */
int cli_audit_verify(struct cli *cli, int argc, char **argv)
{
    int code;
    json_t *result = cli_must(cli, "GET", "/audit/verify", NULL, &code);
    if (!result)
        return code;
    bool ok = json_is_true(json_object_get(result, "ok"));
    const json_t *bad = json_object_get(result, "first_bad");
    if (cli->json)
        cli_print_json(result);
    else if (ok)
        printf("ok: %lld rows, %lld to %lld, head %s\n", number(result, "count"),
               number(result, "first_seq"), number(result, "last_seq"),
               json_string_value(json_object_get(result, "head")));
    else
        printf("BROKEN at row %lld: %s\n", number(bad, "seq"),
               json_string_value(json_object_get(bad, "reason")));
    json_decref(result);
    return ok ? CLI_OK : CLI_FAILED;
}
