/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli.h: `pantera`, the operator's command line: the same binary under another name. What its files
 * share. It has no power of its own: it signs in like any client and speaks the management API. A command is
 * a row of cli_commands.def and one function `int cli_<noun>_<verb>(struct cli *, int argc, char **argv)`,
 * which gets its words (as many as the row says), asks for its options, and returns an exit code. */
#ifndef SRC_CLI_H
#define SRC_CLI_H

#include <jansson.h>
#include <stdbool.h>

#include "pantera/arena.h"
#include "pantera/client.h"
#include "pantera/loop.h"

enum cli_exit {
    CLI_OK, CLI_FAILED, CLI_USAGE, CLI_SIGN_IN, /* 401: sign in first */
    CLI_NOT_FOUND, CLI_UNAVAILABLE             /* no answer, or 503: try again */
};

enum { CLI_OPTIONS = 32 };
struct cli {
    struct loop loop;
    struct client *client;
    struct arena arena;
    const char *url, *user, *pass, *ca;
    bool json, pass_stdin;
    const char *token; /* what requests are signed with, once there is one */
    struct cli_option {
        const char *name, *value; /* a flag's value is "" */
    } options[CLI_OPTIONS];
    unsigned option_count;
};

struct cli_command {
    const char *noun, *verb; /* verb NULL: the noun is the command */
    const char *words;       /* as usage shows them */
    int least, most;         /* how many words; most -1: any number */
    const char *options;     /* "name= flag ": = takes a value; what every command takes is in cli.c */
    bool signed_in;          /* signs in before the function is called */
    int (*run)(struct cli *cli, int argc, char **argv);
    const char *summary;
};

int cli_main(int argc, char **argv);
/* The table, and the options of every command. */
const struct cli_command *cli_commands(unsigned *ret_count, const char **ret_common);

/* --- options --- */
const char *cli_option(const struct cli *cli, const char *name); /* the last one; NULL: not given */
/* All values of an option that may be given more than once, as a new JSON array; NULL: none. */
json_t *cli_option_list(const struct cli *cli, const char *name);

/* --- requests: cli_http.c --- */
/* Takes body. The answer's JSON (NULL: none). *ret_status 0: no answer, and that was said. */
json_t *cli_call(struct cli *cli, const char *method, const char *path, json_t *body, int *ret_status);
/* The same, and whatever is not a 2xx has been said: NULL then, *ret_exit set. A success without a body is
 * JSON null. */
json_t *cli_must(struct cli *cli, const char *method, const char *path, json_t *body, int *ret_exit);
/* cli_must for those who only want to know whether. */
int cli_do(struct cli *cli, const char *method, const char *path, json_t *body);
/* All items of a list, page after page, or the page that --page and --size ask for. */
json_t *cli_pages(struct cli *cli, const char *path, int *ret_exit);
const char *cli_escape(struct cli *cli, const char *segment); /* for a path or a query */
/* "/path?q=...&type=..." of those of the options that are given; `names` ends with NULL. */
const char *cli_query(struct cli *cli, const char *path, const char *const names[]);
void cli_say(const char *fmt, ...) PRINTF_LIKE(1, 2); /* to standard error, with our name in front */

/* --- who: cli_session.c --- */
int cli_sign_in(struct cli *cli);      /* password, PANTERA_TOKEN or what login stored */
/* A password: --pass-stdin's line, the environment's `variable`, or asked of the terminal without echo (twice
 * if `again`). NULL: none, and that was said. */
const char *cli_password(struct cli *cli, const char *prompt, const char *variable, bool again);

/* --- output: cli_print.c --- */
void cli_print_json(const json_t *value);
/* Names come from others: no control character of theirs reaches the terminal. */
void cli_tame(char *text);
/* Columns "TITLE:member", NULL at the end; arrays are joined, what could steer a terminal is shown as '?'. */
void cli_table(const json_t *rows, const char *const columns[]);
/* JSON with --json, else the table. Takes rows. */
int cli_show(const struct cli *cli, json_t *rows, const char *const columns[]);

/* --- the commands --- */
#define CLI(noun, verb, words, least, most, options, signed_in, run, summary) \
    int run(struct cli *cli, int argc, char **argv);
#include "src/cli_commands.def"
#undef CLI

#endif
