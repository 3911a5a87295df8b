/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of the command line: one at a time, on its own loop; pages; what a refusal says and exits with. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pantera/buf.h"
#include "pantera/limits.h"
#include "src/cli.h"

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

json_t *cli_call(struct cli *cli, const char *method, const char *path, json_t *body, int *ret_status)
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
        cli_say("%s: %s", cli->url, why_text(&why, e));
    json_t *answer = e ? NULL : json_loadb(c.body.data ? c.body.data : "", c.body.length, 0, NULL);
    *ret_status = e ? 0 : c.request.status;
    buf_free(&c.body);
    free(text);
    json_decref(body);
    return answer;
}

json_t *cli_must(struct cli *cli, const char *method, const char *path, json_t *body, int *ret_exit)
{
    int status;
    json_t *answer = cli_call(cli, method, path, body, &status);
    if (status >= 200 && status <= 299) {
        *ret_exit = CLI_OK;
        return answer ? answer : json_null();
    }
    const char *message = json_string_value(json_object_get(answer, "message"));
    if (status)
        cli_say("%s (%d)%s", message ? message : "refused", status,
                status == 401 && cli->token ? "; try `pantera login`" : "");
    *ret_exit = !status || status == 503 ? CLI_UNAVAILABLE
                : status == 401          ? CLI_SIGN_IN
                : status == 404          ? CLI_NOT_FOUND
                                         : CLI_FAILED;
    json_decref(answer);
    return NULL;
}

int cli_do(struct cli *cli, const char *method, const char *path, json_t *body)
{
    int code;
    json_decref(cli_must(cli, method, path, body, &code));
    return code;
}

const char *cli_escape(struct cli *cli, const char *segment)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    char *out = arena_alloc(&cli->arena, strlen(segment) * 3 + 1), *at = out;
    for (; *segment; segment++)
        if (strchr(plain, *segment))
            *at++ = *segment;
        else
            at += snprintf(at, 4, "%%%02X", (unsigned char)*segment);
    return out;
}

const char *cli_query(struct cli *cli, const char *path, const char *const names[])
{
    for (; *names; names++) {
        const char *value = cli_option(cli, *names);
        if (value)
            path = arena_printf(&cli->arena, "%s%c%s=%s", path, strchr(path, '?') ? '&' : '?', *names,
                                cli_escape(cli, value));
    }
    return path;
}

json_t *cli_pages(struct cli *cli, const char *path, int *ret_exit)
{
    json_t *items = json_array();
    bool all = !cli_option(cli, "page") && !cli_option(cli, "size");
    for (int page = 0;; page++) {
        const char *url = path;
        if (all)
            url = arena_printf(&cli->arena, "%s%cpage=%d&size=100", path,
                               strchr(path, '?') ? '&' : '?', page);
        json_t *answer = cli_must(cli, "GET", url, NULL, ret_exit);
        if (!answer) {
            json_decref(items);
            return NULL;
        }
        json_array_extend(items, json_object_get(answer, "items"));
        bool more = json_is_true(json_object_get(answer, "hasMore"));
        json_decref(answer);
        if (!all || !more)
            return items;
    }
}
