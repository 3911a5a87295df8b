/* SPDX-License-Identifier: Apache-2.0 */
/* `pantera repo ...` and `pantera search`. */
#include "src/cli.h"

static const char *path_of(struct cli *cli, const char *name)
{
    return arena_printf(&cli->arena, "/repositories/%s", cli_escape(cli, name));
}

int cli_repo_list(struct cli *cli, int argc, char **argv)
{
    int code;
    static const char *const names[] = { "q", "type", "page", "size", NULL };
    json_t *rows = cli_pages(cli, cli_query(cli, "/repositories", names), &code);
    return rows ? cli_show(cli, rows, (const char *const[]){ "NAME:name", "TYPE:type", NULL }) : code;
}

int cli_repo_get(struct cli *cli, int argc, char **argv)
{
    int code;
    json_t *repo = cli_must(cli, "GET", path_of(cli, argv[0]), NULL, &code);
    if (repo)
        cli_print_json(repo);
    json_decref(repo);
    return code;
}

/* What the options say; --file is the whole configuration, {"repo": {...}} or what is inside. */
static json_t *repo_of(const struct cli *cli, const char *type)
{
    const char *file = cli_option(cli, "file"), *storage = cli_option(cli, "storage");
    const char *description = cli_option(cli, "description");
    json_error_t at;
    size_t i;
    json_t *repo, *url, *members = cli_option_list(cli, "member"), *urls = cli_option_list(cli, "remote");
    if (file) {
        json_t *all = json_load_file(file, JSON_REJECT_DUPLICATES, &at);
        if (!json_is_object(all))
            cli_say("%s:%d: %s", file, at.line, all ? "expected an object" : at.text);
        json_t *inner = json_object_get(all, "repo");
        repo = json_is_object(all) ? json_incref(inner ? inner : all) : NULL;
        json_decref(all);
    } else {
        repo = json_object();
    }
    if (repo) {
        json_object_set_new(repo, "type", json_string(type));
        if (storage || (!members && !json_object_get(repo, "storage") && !json_object_get(repo, "members")))
            json_object_set_new(repo, "storage", json_string(storage ? storage : "default"));
        if (description)
            json_object_set_new(repo, "description", json_string(description));
        if (members)
            json_object_set(repo, "members", members);
        if (urls)
            json_object_set_new(repo, "remotes", json_array());
        json_array_foreach(urls, i, url)
            json_array_append_new(json_object_get(repo, "remotes"), json_pack("{s:O}", "url", url));
    }
    json_decref(members);
    json_decref(urls);
    return repo;
}

int cli_repo_create(struct cli *cli, int argc, char **argv)
{
    json_t *repo = repo_of(cli, argv[1]);
    return repo ? cli_do(cli, "PUT", path_of(cli, argv[0]), json_pack("{s:o}", "repo", repo)) : CLI_USAGE;
}

int cli_repo_delete(struct cli *cli, int argc, char **argv)
{
    return cli_do(cli, "DELETE", path_of(cli, argv[0]), NULL);
}

int cli_repo_move(struct cli *cli, int argc, char **argv)
{
    return cli_do(cli, "PUT", arena_printf(&cli->arena, "%s/move", path_of(cli, argv[0])),
                  json_pack("{s:s}", "new_name", argv[1]));
}

int cli_search(struct cli *cli, int argc, char **argv)
{
    int code;
    const char *q = argv[0];
    static const char *const names[] = { "page", "size", NULL };
    for (int i = 1; i < argc; i++)
        q = arena_printf(&cli->arena, "%s %s", q, argv[i]);
    const char *path = arena_printf(&cli->arena, "/search?q=%s", cli_escape(cli, q));
    path = cli_query(cli, path, names);
    /* One page: nobody reads ten thousand lines, and programs page themselves. */
    json_t *found = cli_must(cli, "GET", path, NULL, &code);
    if (!found)
        return code;
    if (cli->json) {
        cli_print_json(found);
    } else {
        json_t *items = json_object_get(found, "items");
        cli_table(items, (const char *const[]){ "REPOSITORY:repo_name", "TYPE:repo_type",
                                                "PATH:artifact_path", "VERSION:version", "SIZE:size",
                                                NULL });
        if (json_is_true(json_object_get(found, "hasMore")))
            cli_say("%lld in all: --page, --size", json_integer_value(json_object_get(found, "total")));
    }
    json_decref(found);
    return CLI_OK;
}
