/* SPDX-License-Identifier: Apache-2.0 */
/* `pantera user ...`, `pantera role ...`, `pantera token ...`. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/cli.h"

static const char *path_of(struct cli *cli, const char *kind, const char *name, const char *verb)
{
    return arena_printf(&cli->arena, "/%s/%s%s", kind, cli_escape(cli, name), verb);
}

/* --- users --- */

int cli_user_list(struct cli *cli, int argc, char **argv)
{
    int code;
    static const char *const names[] = { "q", "sort", "sort_dir", "page", "size", NULL };
    json_t *rows = cli_pages(cli, cli_query(cli, "/users", names), &code);
    return rows ? cli_show(cli, rows, (const char *const[]){ "NAME:name", "TYPE:type", "EMAIL:email", NULL })
                : code;
}

/* One object as a table of one row, its name in front. */
static int show_one(struct cli *cli, const char *path, const char *name, const char *const columns[])
{
    int code;
    json_t *one = cli_must(cli, "GET", path, NULL, &code);
    if (!one)
        return code;
    if (cli->json) {
        cli_print_json(one);
    } else {
        json_object_set_new(one, "name", json_string(name));
        json_t *rows = json_pack("[O]", one);
        cli_table(rows, columns);
        json_decref(rows);
    }
    json_decref(one);
    return CLI_OK;
}

int cli_user_get(struct cli *cli, int argc, char **argv)
{
    return show_one(cli, path_of(cli, "users", argv[0], ""), argv[0],
                    (const char *const[]){ "NAME:name", "TYPE:type", "EMAIL:email", "ENABLED:enabled",
                                           "ROLES:roles", NULL });
}

/* A user that is there stays as it is: PUT would give it the new password. */
int cli_user_create(struct cli *cli, int argc, char **argv)
{
    int status;
    const char *path = path_of(cli, "users", argv[0], ""), *email = cli_option(cli, "email");
    json_decref(cli_call(cli, "GET", path, NULL, &status));
    if (status == 200) {
        cli_say("user '%s' is there already; `pantera user passwd` changes its password", argv[0]);
        return CLI_FAILED;
    }
    const char *pass = cli_password(cli, arena_printf(&cli->arena, "Password for %s", argv[0]),
                                    "PANTERA_NEW_PASS", true);
    if (!pass)
        return CLI_USAGE;
    json_t *body = json_pack("{s:s}", "pass", pass), *roles = cli_option_list(cli, "role");
    if (email)
        json_object_set_new(body, "email", json_string(email));
    if (roles)
        json_object_set_new(body, "roles", roles);
    if (cli_option(cli, "must-change"))
        json_object_set_new(body, "must_change_password", json_true());
    return cli_do(cli, "PUT", path, body);
}

int cli_user_delete(struct cli *cli, int argc, char **argv)
{
    return cli_do(cli, "DELETE", path_of(cli, "users", argv[0], ""), NULL);
}

int cli_user_enable(struct cli *cli, int argc, char **argv)
{
    return cli_do(cli, "POST", path_of(cli, "users", argv[0], "/enable"), NULL);
}

int cli_user_disable(struct cli *cli, int argc, char **argv)
{
    return cli_do(cli, "POST", path_of(cli, "users", argv[0], "/disable"), NULL);
}

/* One's own with the old one (PANTERA_USER_PASS, --pass or asked); another's by right. --pass-stdin: the old
 * one, if it is asked for, then the new one, a line each. */
int cli_user_passwd(struct cli *cli, int argc, char **argv)
{
    int code;
    json_t *me = cli_must(cli, "GET", "/auth/me", NULL, &code), *body = json_object();
    const char *self = json_string_value(json_object_get(me, "name"));
    const char *name = argc ? argv[0] : arena_strdup(&cli->arena, self ? self : "");
    bool own = self && strcmp(self, name) == 0;
    json_decref(me);
    if (!me) {
        json_decref(body);
        return code;
    }
    if (own) {
        const char *old = cli->pass ? cli->pass : cli_password(cli, "The old password", NULL, false);
        json_object_set_new(body, "old_pass", json_string(old ? old : ""));
    }
    const char *next = cli_password(cli, arena_printf(&cli->arena, "The new password of %s", name),
                                    "PANTERA_NEW_PASS", true);
    if (!next) {
        json_decref(body);
        return CLI_USAGE;
    }
    json_object_set_new(body, "new_pass", json_string(next));
    return cli_do(cli, "POST", path_of(cli, "users", name, "/password"), body);
}

/* --- roles --- */

int cli_role_list(struct cli *cli, int argc, char **argv)
{
    int code;
    static const char *const names[] = { "q", "page", "size", NULL };
    json_t *rows = cli_pages(cli, cli_query(cli, "/roles", names), &code);
    return rows ? cli_show(cli, rows, (const char *const[]){ "NAME:name", "PERMISSIONS:permissions", NULL })
                : code;
}

/* "default/<provider>" is the one name with a slash, and has a route of its own. */
static const char *role_path(struct cli *cli, const char *name)
{
    if (strncmp(name, "default/", 8) == 0)
        return path_of(cli, "roles/default", name + 8, "");
    return path_of(cli, "roles", name, "");
}

int cli_role_get(struct cli *cli, int argc, char **argv)
{
    return show_one(cli, role_path(cli, argv[0]), argv[0],
                    (const char *const[]){ "NAME:name", "ENABLED:enabled", "PERMISSIONS:permissions", NULL });
}

/* "repo=read,write": a repository ("*": all) or a domain, and actions. False: it is not of that form. */
static bool grant_add(struct cli *cli, json_t *permissions, const char *word)
{
    const char *equal = strchr(word, '=');
    if (!equal || equal == word || !equal[1])
        return false;
    json_t *actions = json_array();
    for (const char *at = equal + 1; *at; at += *at == ',') {
        size_t n = strcspn(at, ",");
        json_array_append_new(actions, json_stringn(at, n));
        at += n;
    }
    json_object_set_new(permissions, arena_strndup(&cli->arena, word, (size_t)(equal - word)), actions);
    return true;
}

int cli_role_put(struct cli *cli, int argc, char **argv)
{
    const char *file = cli_option(cli, "file");
    json_error_t at;
    json_t *body;
    if (file) {
        body = json_load_file(file, JSON_REJECT_DUPLICATES, &at);
        if (!body)
            cli_say("%s:%d: %s", file, at.line, at.text);
    } else {
        json_t *permissions = json_object();
        body = json_pack("{s:o}", "permissions", permissions);
        for (int i = 1; body && i < argc; i++)
            if (!grant_add(cli, permissions, argv[i])) {
                cli_say("'%s' is not REPOSITORY=ACTION,...", argv[i]);
                json_decref(body);
                body = NULL;
            }
    }
    return body ? cli_do(cli, "PUT", role_path(cli, argv[0]), body) : CLI_USAGE;
}

int cli_role_delete(struct cli *cli, int argc, char **argv)
{
    return cli_do(cli, "DELETE", role_path(cli, argv[0]), NULL);
}

/* --- API tokens --- */

int cli_token_list(struct cli *cli, int argc, char **argv)
{
    int code;
    json_t *answer = cli_must(cli, "GET", "/auth/tokens", NULL, &code);
    if (!answer)
        return code;
    json_t *tokens = json_incref(json_object_get(answer, "tokens"));
    json_decref(answer);
    return cli_show(cli, tokens, (const char *const[]){ "ID:id", "LABEL:label", "CREATED:created_at",
                                                        "EXPIRES:expires_at", NULL });
}

/* The token alone on standard output, so that a script can take it: it is shown this once. */
int cli_token_create(struct cli *cli, int argc, char **argv)
{
    int code;
    char *end = NULL;
    const char *days = cli_option(cli, "days");
    json_t *body = json_object();
    if (argc)
        json_object_set_new(body, "label", json_string(argv[0]));
    if (days) {
        errno = 0;
        long n = strtol(days, &end, 10);
        if (errno || *end || !*days || n < 0) {
            cli_say("--days is a number, 0: for ever");
            json_decref(body);
            return CLI_USAGE;
        }
        json_object_set_new(body, "expiry_days", json_integer(n));
    }
    json_t *made = cli_must(cli, "POST", "/auth/token/generate", body, &code);
    if (!made)
        return code;
    const char *expires = json_string_value(json_object_get(made, "expires_at"));
    if (cli->json) {
        cli_print_json(made);
    } else {
        fprintf(stderr, "token %s, %s%s\n", json_string_value(json_object_get(made, "id")),
                expires ? "good until " : "good for ever", expires ? expires : "");
        puts(json_string_value(json_object_get(made, "token")));
    }
    json_decref(made);
    return CLI_OK;
}

int cli_token_revoke(struct cli *cli, int argc, char **argv)
{
    return cli_do(cli, "DELETE", path_of(cli, "auth/tokens", argv[0], ""), NULL);
}
