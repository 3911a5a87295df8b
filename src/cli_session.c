/* SPDX-License-Identifier: Apache-2.0 */
/* Who the command line is: passwords without echo, and the session that `pantera login` keeps in
 * ~/.config/pantera/credentials.json (mode 0600): {"current": URL, "servers": {URL: {user, token,
 * refresh_token, expires}}}. A refresh token is good once, so the file is locked from before it is read until
 * what replaces it is written. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "pantera/limits.h"
#include "src/cli.h"

#define DEFAULT_URL "http://localhost:8086"
#define DEFAULT_USER "admin"

/* --- passwords --- */

static const char *line_of(struct cli *cli, FILE *in)
{
    char line[LIMIT_PASSWORD + 2];
    if (!fgets(line, sizeof line, in))
        return NULL;
    line[strcspn(line, "\r\n")] = '\0';
    const char *copy = *line ? arena_strdup(&cli->arena, line) : NULL;
    explicit_bzero(line, sizeof line);
    return copy;
}

static const char *ask(struct cli *cli, FILE *terminal, const char *prompt)
{
    struct termios before, silent;
    int fd = fileno(terminal);
    if (tcgetattr(fd, &before))
        return NULL;
    silent = before;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(fd, TCSAFLUSH, &silent); /* before the prompt: it would flush what is typed after it */
    fprintf(terminal, "%s: ", prompt);
    fflush(terminal);
    const char *answer = line_of(cli, terminal);
    tcsetattr(fd, TCSAFLUSH, &before);
    fputc('\n', terminal);
    return answer;
}

const char *cli_password(struct cli *cli, const char *prompt, const char *variable, bool again)
{
    const char *set = variable ? getenv(variable) : NULL, *answer = NULL;
    if (cli->pass_stdin)
        answer = line_of(cli, stdin);
    else if (set && *set)
        return set;
    FILE *terminal = cli->pass_stdin ? NULL : fopen("/dev/tty", "r+");
    if (terminal) {
        answer = ask(cli, terminal, prompt);
        const char *second = answer && again ? ask(cli, terminal, "Once more") : answer;
        fclose(terminal);
        if (answer && (!second || strcmp(answer, second) != 0)) {
            cli_say("these are two different passwords");
            return NULL;
        }
    }
    if (!answer)
        cli_say("no password: give it to --pass-stdin%s%s, or at a terminal", variable ? " or in " : "",
                variable ? variable : "");
    return answer;
}

/* --- the file --- */

static const char *store_path(struct cli *cli)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (config && *config == '/')
        return arena_printf(&cli->arena, "%s/pantera/credentials.json", config);
    return home ? arena_printf(&cli->arena, "%s/.config/pantera/credentials.json", home) : NULL;
}

/* The folders above a path, 0700 where they are made. */
static void folders_make(struct cli *cli, const char *path)
{
    char *copy = arena_strdup(&cli->arena, path);
    for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(copy, 0700); /* there, or the open that follows says why not */
        *slash = '/';
    }
}

/* Opens and locks the lock file beside it: the file itself is replaced as a whole. -1: no store. */
static int store_lock(struct cli *cli, const char *path)
{
    folders_make(cli, path);
    int fd = open(arena_printf(&cli->arena, "%s.lock", path), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX)) {
        close(fd);
        return -1;
    }
    return fd;
}

static json_t *store_read(const char *path)
{
    json_t *store = path ? json_load_file(path, 0, NULL) : NULL;
    if (json_is_object(store) && json_is_object(json_object_get(store, "servers")))
        return store;
    json_decref(store);
    return json_pack("{s:{}}", "servers");
}

static bool store_write(struct cli *cli, const char *path, const json_t *store)
{
    const char *next = arena_printf(&cli->arena, "%s.new", path);
    (void)unlink(next);
    int fd = open(next, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool good = fd >= 0 && json_dumpfd(store, fd, JSON_INDENT(2)) == 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    good = good && rename(next, path) == 0;
    if (!good)
        cli_say("%s: %s", path, strerror(errno));
    return good;
}

static void store_session(const struct cli *cli, json_t *store, const json_t *answer, const char *user)
{
    json_t *session = json_pack(
        "{s:s, s:O, s:O, s:I}", "user", user, "token", json_object_get(answer, "token"), "refresh_token",
        json_object_get(answer, "refresh_token"), "expires",
        (json_int_t)time(NULL) + json_integer_value(json_object_get(answer, "expires_in")));
    json_object_set_new(json_object_get(store, "servers"), cli->url, session);
}

/* --- signing in --- */

static int token_keep(struct cli *cli, const json_t *answer)
{
    const char *token = json_string_value(json_object_get(answer, "token"));
    if (!token)
        return CLI_FAILED;
    cli->token = arena_strdup(&cli->arena, token);
    return CLI_OK;
}

static int by_password(struct cli *cli, json_t **ret_answer)
{
    int code;
    const char *user = cli->user ? cli->user : DEFAULT_USER;
    json_t *answer = cli_must(cli, "POST", "/auth/token",
                              json_pack("{s:s, s:s, s:s*}", "name", user, "pass", cli->pass, "mfa_code",
                                        cli_option(cli, "mfa-code")), &code);
    if (answer && ret_answer)
        *ret_answer = json_incref(answer);
    code = answer ? token_keep(cli, answer) : code;
    json_decref(answer);
    return code;
}

/* The session of the store, renewed if it is about to end; the lock is held. */
static int by_store(struct cli *cli, const char *path, json_t *store)
{
    int code;
    const json_t *session = json_object_get(json_object_get(store, "servers"), cli->url);
    const char *user = json_string_value(json_object_get(session, "user"));
    const char *refresh = json_string_value(json_object_get(session, "refresh_token"));
    if (!user || !refresh) {
        cli_say("not signed in to %s: `pantera login`", cli->url);
        return CLI_SIGN_IN;
    }
    if (cli->user && strcmp(cli->user, user) != 0) {
        cli_say("signed in to %s as %s, not as %s: `pantera login --user %s`", cli->url, user, cli->user,
                cli->user);
        return CLI_SIGN_IN;
    }
    user = cli->user = arena_strdup(&cli->arena, user);
    if (json_integer_value(json_object_get(session, "expires")) > (json_int_t)time(NULL) + 30)
        return token_keep(cli, session);
    json_t *answer = cli_must(cli, "POST", "/auth/refresh", json_pack("{s:s}", "refresh_token", refresh),
                              &code);
    if (!answer)
        return code;
    store_session(cli, store, answer, user);
    code = store_write(cli, path, store) ? token_keep(cli, answer) : CLI_FAILED;
    json_decref(answer);
    return code;
}

/* The server: as told, else the one of the last login, else this machine. */
static void url_choose(struct cli *cli, const json_t *store)
{
    const char *current = json_string_value(json_object_get(store, "current"));
    if (!cli->url)
        cli->url = arena_strdup(&cli->arena, current ? current : DEFAULT_URL);
    size_t n = strlen(cli->url);
    while (n && cli->url[n - 1] == '/')
        n--;
    cli->url = arena_strndup(&cli->arena, cli->url, n);
}

int cli_sign_in(struct cli *cli)
{
    const char *path = store_path(cli), *token = getenv("PANTERA_TOKEN");
    if (cli->pass || (token && *token)) {
        json_t *store = store_read(path);
        url_choose(cli, store);
        json_decref(store);
        cli->token = cli->pass ? NULL : token;
        return cli->pass ? by_password(cli, NULL) : CLI_OK;
    }
    int lock = path ? store_lock(cli, path) : -1;
    json_t *store = store_read(path);
    url_choose(cli, store);
    int code = by_store(cli, path, store);
    json_decref(store);
    if (lock >= 0)
        close(lock);
    return code;
}

/* --- login, logout, whoami --- */

int cli_login(struct cli *cli, int argc, char **argv)
{
    const char *path = store_path(cli);
    json_t *answer = NULL, *store = store_read(path);
    url_choose(cli, store);
    json_decref(store);
    if (!cli->user)
        cli->user = DEFAULT_USER;
    if (!cli->pass || cli->pass_stdin)
        cli->pass = cli_password(cli, arena_printf(&cli->arena, "Password of %s at %s", cli->user, cli->url),
                                 "PANTERA_USER_PASS", false);
    if (!cli->pass)
        return CLI_USAGE;
    int code = by_password(cli, &answer);
    if (code)
        return code;
    int lock = path ? store_lock(cli, path) : -1;
    store = store_read(path);
    store_session(cli, store, answer, cli->user);
    json_object_set_new(store, "current", json_string(cli->url));
    code = lock >= 0 && store_write(cli, path, store) ? CLI_OK : CLI_FAILED;
    if (lock >= 0)
        close(lock);
    else
        cli_say("no place for the session: %s", path ? path : "HOME is not set");
    if (!code)
        fprintf(stderr, "signed in to %s as %s\n", cli->url, cli->user);
    json_decref(store);
    json_decref(answer);
    return code;
}

int cli_logout(struct cli *cli, int argc, char **argv)
{
    const char *path = store_path(cli);
    int lock = path ? store_lock(cli, path) : -1;
    json_t *store = store_read(path);
    url_choose(cli, store);
    bool had = json_object_del(json_object_get(store, "servers"), cli->url) == 0;
    int code = !had ? CLI_OK : lock >= 0 && store_write(cli, path, store) ? CLI_OK : CLI_FAILED;
    if (!had)
        cli_say("there was no session with %s", cli->url);
    json_decref(store);
    if (lock >= 0)
        close(lock);
    return code;
}

int cli_whoami(struct cli *cli, int argc, char **argv)
{
    int code;
    const char *domain;
    json_t *allowed, *me = cli_must(cli, "GET", "/auth/me", NULL, &code);
    if (!me)
        return code;
    if (cli->json) {
        cli_print_json(me);
    } else {
        json_t *rows = json_array();
        json_array_append_new(rows, json_pack("{s:s, s:O}", "what", "name", "value",
                                              json_object_get(me, "name")));
        json_array_append_new(rows, json_pack("{s:s, s:s}", "what", "server", "value", cli->url));
        json_object_foreach(json_object_get(me, "permissions"), domain, allowed)
            json_array_append_new(rows, json_pack("{s:s, s:O}", "what", domain, "value", allowed));
        cli_table(rows, (const char *const[]){ "WHAT:what", "VALUE:value", NULL });
        json_decref(rows);
    }
    json_decref(me);
    return CLI_OK;
}
