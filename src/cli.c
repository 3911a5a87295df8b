/* SPDX-License-Identifier: Apache-2.0 */
/* `pantera NOUN VERB WORDS... OPTIONS...`: finds the row of cli_commands.def, checks words and options
 * against it, signs in if it says so, runs it. Knows no command itself. */
#include "src/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct cli_command commands[] = {
#define CLI(noun, verb, words, least, most, options, signed_in, run, summary) \
    { noun, verb, words, least, most, options, signed_in, run, summary },
#include "src/cli_commands.def"
#undef CLI
};
enum { COMMANDS = sizeof commands / sizeof *commands, WORDS = 64 };

/* What every command takes. */
static const char common[] = "url= user= pass= pass-stdin ca= json help";

void cli_say(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("pantera: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
}

/* --- usage --- */

static void usage_row(FILE *out, const struct cli_command *c)
{
    char line[160];
    snprintf(line, sizeof line, "%s%s%s%s%s", c->noun, c->verb ? " " : "", c->verb ? c->verb : "",
             *c->words ? " " : "", c->words);
    fprintf(out, "  pantera %-34s %s\n", line, c->summary);
    for (const char *o = c->options; *(o += strspn(o, " "));) {
        size_t n = strcspn(o, " ");
        bool value = o[n - 1] == '=';
        fprintf(out, "%s--%.*s%s", o == c->options ? "            " : " ", (int)(n - value), o,
                value ? " VALUE" : "");
        o += n;
        if (!*o)
            fputc('\n', out);
    }
}

/* All commands, or those of one noun; 2, the exit code of a misuse, unless it was asked for. */
static int usage(const char *noun, bool asked)
{
    FILE *out = asked ? stdout : stderr;
    bool known = false;
    for (unsigned i = 0; noun && i < COMMANDS; i++)
        known |= strcmp(commands[i].noun, noun) == 0;
    fputs("usage:\n", out);
    for (unsigned i = 0; i < COMMANDS; i++)
        if (!known || strcmp(commands[i].noun, noun) == 0)
            usage_row(out, &commands[i]);
    fputs("options of all: --url URL (PANTERA_URL), --user NAME (PANTERA_USER_NAME), --pass-stdin,\n"
          "  --ca FILE, --json, --help. Without a password (PANTERA_USER_PASS) or PANTERA_TOKEN, the\n"
          "  session that `pantera login` kept. Exit codes: 0 done, 1 refused, 2 misuse, 3 not signed in,\n"
          "  4 not found, 5 no answer or unavailable.\n", out);
    return asked ? CLI_OK : CLI_USAGE;
}

const struct cli_command *cli_commands(unsigned *ret_count, const char **ret_common)
{
    *ret_count = COMMANDS;
    *ret_common = common;
    return commands;
}

/* --- options --- */

/* 0: no such option, 1: a flag, 2: takes a value. */
static int option_kind(const char *list, const char *name)
{
    size_t length = strlen(name);
    for (const char *o = list; *(o += strspn(o, " "));) {
        size_t n = strcspn(o, " ");
        bool value = o[n - 1] == '=';
        if (n - value == length && strncmp(o, name, length) == 0)
            return value ? 2 : 1;
        o += n;
    }
    return 0;
}

const char *cli_option(const struct cli *cli, const char *name)
{
    for (unsigned i = cli->option_count; i--;)
        if (strcmp(cli->options[i].name, name) == 0)
            return cli->options[i].value;
    return NULL;
}

json_t *cli_option_list(const struct cli *cli, const char *name)
{
    json_t *list = NULL;
    for (unsigned i = 0; i < cli->option_count; i++)
        if (strcmp(cli->options[i].name, name) == 0) {
            list = list ? list : json_array();
            json_array_append_new(list, json_string(cli->options[i].value));
        }
    return list;
}

/* Of any command; false: said why not. "--name=value" and "--name value". */
static bool option_take(struct cli *cli, int argc, char **argv, int *i)
{
    char *name = argv[*i] + 2, *equal = strchr(name, '=');
    int kind;
    if (equal)
        name = arena_strndup(&cli->arena, name, (size_t)(equal - name));
    kind = option_kind(common, name);
    for (unsigned c = 0; !kind && c < COMMANDS; c++)
        kind = option_kind(commands[c].options, name);
    if (!kind || cli->option_count == CLI_OPTIONS || (kind == 1 && equal)) {
        cli_say(kind ? "too much of --%s" : "no such option: --%s", name);
        return false;
    }
    const char *value = equal ? equal + 1 : "";
    if (kind == 2 && !equal && !(value = ++*i < argc ? argv[*i] : NULL)) {
        cli_say("--%s takes a value", name);
        return false;
    }
    cli->options[cli->option_count++] = (struct cli_option){ name, value };
    return true;
}

static const char *either(const char *value, const char *variable)
{
    const char *set = getenv(variable);
    return value ? value : set && *set ? set : NULL;
}

static void options_apply(struct cli *cli)
{
    cli->url = either(cli_option(cli, "url"), "PANTERA_URL");
    cli->user = either(cli_option(cli, "user"), "PANTERA_USER_NAME");
    cli->pass = either(cli_option(cli, "pass"), "PANTERA_USER_PASS");
    cli->ca = cli_option(cli, "ca");
    cli->json = cli_option(cli, "json");
    cli->pass_stdin = cli_option(cli, "pass-stdin");
}

/* --- which command --- */

/* Its row; *ret_used words name it. NULL: none. */
static const struct cli_command *command_of(char **words, int count, int *ret_used)
{
    for (unsigned i = 0; i < COMMANDS; i++) {
        const struct cli_command *c = &commands[i];
        if (!count || strcmp(c->noun, words[0]) != 0)
            continue;
        if (!c->verb || (count > 1 && strcmp(c->verb, words[1]) == 0)) {
            *ret_used = c->verb ? 2 : 1;
            return c;
        }
    }
    return NULL;
}

static bool fits(const struct cli *cli, const struct cli_command *c, int words)
{
    for (unsigned i = 0; i < cli->option_count; i++)
        if (!option_kind(common, cli->options[i].name) &&
            !option_kind(c->options, cli->options[i].name)) {
            cli_say("%s%s%s has no option --%s", c->noun, c->verb ? " " : "", c->verb ? c->verb : "",
                    cli->options[i].name);
            return false;
        }
    if (words < c->least || (c->most >= 0 && words > c->most)) {
        cli_say("%s", words < c->least ? "something is missing" : "that is too much");
        return false;
    }
    return true;
}

static int run(struct cli *cli, const struct cli_command *c, int count, char **words)
{
    loop_init(&cli->loop, "cli", 0);
    cli->client = client_new(&cli->loop);
    int code = c->signed_in ? cli_sign_in(cli) : CLI_OK;
    if (!code)
        code = (c->run)(cli, count, words);
    client_free(cli->client);
    loop_release(&cli->loop);
    return code;
}

int cli_main(int argc, char **argv)
{
    struct cli cli = { .json = false };
    char *words[WORDS];
    int count = 0, used = 0, code;
    bool options = true, good = true;
    arena_init(&cli.arena);
    for (int i = 1; good && i < argc; i++) {
        if (options && strcmp(argv[i], "--") == 0)
            options = false;
        else if (options && strcmp(argv[i], "-h") == 0)
            cli.options[cli.option_count++ % CLI_OPTIONS] = (struct cli_option){ "help", "" };
        else if (options && strncmp(argv[i], "--", 2) == 0)
            good = option_take(&cli, argc, argv, &i);
        else if ((good = count < WORDS))
            words[count++] = argv[i];
    }
    const char *noun = count ? words[0] : NULL;
    const struct cli_command *command = command_of(words, count, &used);
    options_apply(&cli);
    if (good && (cli_option(&cli, "help") || (noun && strcmp(noun, "help") == 0)))
        code = usage(noun, true);
    else if (!good || !command || !fits(&cli, command, count - used))
        code = usage(noun, false);
    else
        code = run(&cli, command, count - used, words + used);
    arena_release(&cli.arena);
    return code;
}
